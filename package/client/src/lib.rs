//! A package client for routers: installs from a signed feed into a root directory.
mod error;
mod fetch;
mod lock;
pub mod opkg;
mod root;

pub use error::{Error, Result};
pub use root::Root;
