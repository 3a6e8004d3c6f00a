//! OpenWrt package formats in pure Rust.
//!
//! The crate writes and reads what OpenWrt's package managers exchange, from one neutral plan
//! ([`Package`]):
//!
//! | | opkg (24.10 and older) | apk (25.12 and later) |
//! |---|---|---|
//! | package | [`ipk`] | [`apk`] |
//! | index | [`packages`] | [`apk::index`] |
//! | keys and signatures | [`usign`] | [`ec`] |
//! | versions | [`version::opkg`] | [`version::apk`] |
//! | container | [`tar`] in [`gzip`] | [`adb`] |
//!
//! What the two managers do differently is handled, and listed, in one place: [`apk::from_plan`].
//! [`Format`] chooses between them. [`opened`] shows a package of either in one view. [`modinfo`] reads what kernel modules say about themselves.
//!
//! Three promises hold everywhere:
//!
//! * **Pure.** Bytes come from [`std::io::Read`] and go to [`std::io::Write`]; nothing opens a file,
//!   asks for the time or for randomness.
//! * **Bytes are a function of the inputs.** Owner, order, times and compression headers are fixed.
//! * **Foreign bytes are hostile.** Every reader has [`Limits`], refuses what it does not understand
//!   with an [`Error`] that carries a stable id, and never panics. What the real programs accept by
//!   mistake (paths out of the root, truncated data, wrong checksums) is refused.
//!
//! # Compression, and which bytes are equal to those of the real programs
//!
//! There is one encoder, without levels, in the module `deflate`; it is the default because size comes first for
//! files that are written once and fetched often, and at its size nothing in Rust was as fast. What it makes
//! differs from what gzip and zlib make of the same input, so a compressed file is never equal to that of
//! `ipkg-build` or `apk mkpkg`. Equal are, byte for byte: an apk or index with [`adb::Compression::None`], and what
//! a compressed one unpacks to; the archives inside an ipk once unpacked, but for the texts of the generated
//! scripts. Indexes bind an apk by its metadata, so they are the same whatever the encoder.
//!
//! Packages of any size are written and read in tens of MB (a program that does both with one of 200 MB peaked at 24): give [`ipk::write_with_scratch`] a file to put the
//! compressed payload in, and files as [`Content::Source`]. [`ipk::write()`] keeps the compressed payload in memory.
//!
//! ```
//! use formats::{Content, Entry, Package, ipk};
//!
//! let package = Package {
//!     name: "hello".into(),
//!     version: "1.0-r1".into(),
//!     architecture: "all".into(),
//!     description: "Says hello".into(),
//!     files: vec![Entry::file("usr/bin/hello", 0o755, Content::from("#!/bin/sh\necho hello\n"))],
//!     ..Package::default()
//! };
//! let bytes = ipk::to_vec(&package)?;
//! let read = ipk::read(&bytes[..], &formats::Limits::default())?;
//! assert_eq!(read.metadata.control.package, "hello");
//! assert_eq!(ipk::file_name(&package), "hello_1.0-r1_all.ipk");
//! # Ok::<(), formats::Error>(())
//! ```

pub mod adb;
pub mod apk;
mod changes;
pub mod control;
mod deflate;
pub mod depend;
pub mod ec;
mod elf;
mod error;
mod format;
pub mod gzip;
mod inflate;
pub mod ipk;
mod limits;
pub mod lint;
pub mod md5;
pub mod modinfo;
pub mod opened;
mod package;
pub mod packages;
mod rsa;
pub mod tar;
pub mod usign;
pub mod version;

pub use changes::{Changes, Newest};
pub use error::Error;
pub use limits::Limits;
pub use model::{Format, sha256};
pub use package::{Content, Device, Entry, Kind, Owner, Package, Scripts};
