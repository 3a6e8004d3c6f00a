//! A package client for routers: installs from a signed feed into a root directory.
//!
//! It speaks for both of OpenWrt's managers: [`opkg`] with ipk packages, and [`apk`] with those of version 3. The root
//! is the running system, or another directory: the same code is `/bin/opkg` or `/usr/bin/apk` on a router, and checks
//! a feed on a build machine by installing all of it. Trust starts at a key in the root; every byte is verified before
//! the first file is written, and no package can write outside the root.
//!
//! ```no_run
//! use client::opkg::{Client, Config, Root};
//!
//! let root = Root::open("/tmp/scratch".into())?;
//! let config = Config::load_offline(&root)?;
//! let client = Client::new(root, config);
//! let mut seen = Vec::new();
//! client.update(&mut |progress| seen.push(progress.to_string()))?;
//! client.install(&["kmod-nft-offload".to_owned()], &mut |progress| seen.push(progress.to_string()))?;
//! # Ok::<(), client::Error>(())
//! ```
//!
//! The same with [`apk`]:
//!
//! ```no_run
//! use client::apk::{Client, Config, Root};
//!
//! let root = Root::open("/tmp/scratch".into())?;
//! let config = Config::load(&root)?;
//! let client = Client::new(root, config);
//! client.update(&mut |progress| drop(progress))?;
//! client.add(&["kmod-nft-offload".to_owned()], &mut |progress| drop(progress))?;
//! # Ok::<(), client::Error>(())
//! ```

pub mod apk;
mod client;
mod error;
mod failures;
mod fetch;
mod lock;
pub mod opkg;
mod pattern;
mod place;
mod progress;
mod root;
mod script;

pub use client::Client;
pub use error::{Error, Result};
pub use fetch::download;
pub use pattern::matches;
pub use progress::Progress;
