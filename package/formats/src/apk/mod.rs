//! apk v3 packages and indexes, the format of OpenWrt 25.12 and later.
//!
//! [`from_plan`] translates the neutral plan and [`write()`] makes a package file from the result; [`read()`],
//! [`inspect`] and [`visit`] read one; [`index`] does the same for `packages.adb`, and [`dump()`] shows any of them as
//! text.
//!
//! These readers are stricter than apk: lists must be sorted and without duplicates, paths must stay inside the root
//! and never pass through a link, and every file must have its SHA-256.
//!
//! ```
//! use formats::{Content, Entry, Limits, Package, adb::Compression, apk, ec::SecretKey};
//!
//! let package = Package {
//!     name: "hello".into(),
//!     version: "1.0-r1".into(),
//!     architecture: "all".into(),
//!     files: vec![Entry::file("usr/bin/hello", 0o755, Content::from("#!/bin/sh\necho hello\n"))],
//!     ..Package::default()
//! };
//! let plan = apk::from_plan(&package)?;
//! let key = SecretKey::from_random([1; 32])?; // only for this example
//! let mut bytes = Vec::new();
//! apk::write(&plan, &[&key], Compression::Deflate, &mut bytes)?;
//! let (read, _members, key_id) = apk::read(&bytes[..], &[key.public()], &Limits::default())?;
//! assert_eq!(read.info.file_name(), "hello-1.0-r1.apk");
//! assert_eq!(key_id, key.public().id());
//! # Ok::<(), formats::Error>(())
//! ```

mod dump;
pub mod index;
mod info;
mod members;
mod metadata;
mod plan;
mod read;
mod schema;
mod write;

pub use dump::dump;
pub use info::{Dependency, Info};
pub use members::{Iter, Member, Members};
pub use metadata::{Metadata, Script};
pub use plan::from_plan;
pub use read::{inspect, read, revisit, visit};
pub use write::{Plan, seal, write};
