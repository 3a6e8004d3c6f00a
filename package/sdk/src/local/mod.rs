//! The provider `local`: a stand-in for an OpenWrt SDK, made of Debian's own packages.
//!
//! [`fetch`] gets the packages with apt, [`Kernel`] opens the kernel among them.

mod apt;
mod apt_bytes;
mod apt_index;
mod apt_message;
mod boot_image;
mod build_root;
mod compile;
mod config;
#[cfg(test)]
pub(crate) mod fixture;
mod kernel;
mod mirror;
mod module;
mod symbols;
mod unpack;

pub use apt::{Deb, Extent, FETCHED, Freshness, Request, fetch};
pub use build_root::{BUILD_ROOT, BuildRoot};
pub use compile::{Compile, compile};
pub(crate) use compile::{Compiled, Use, compiled};
pub(crate) use config::Config;
pub use config::Setting;
pub use kernel::{Kernel, UNPACKED, unpack};
pub use mirror::Mirror;
pub use module::Module;
pub(crate) use module::name_of_path as module_of_path;
