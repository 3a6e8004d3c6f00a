//! The provider `local`: a stand-in for an OpenWrt SDK, made of Debian's own packages.
//!
//! [`fetch`] gets the packages through apt, [`Kernel`] opens what was fetched.

mod apt;
mod apt_message;
mod mirror;

pub use apt::{Deb, Request, fetch};
pub use mirror::Mirror;
