//! opkg.
mod config;
pub use config::{Config, Source};
