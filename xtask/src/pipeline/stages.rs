//! Every stage, and who does its work. A test sees that what puts a stage together goes through no other crate.

use sdk::openwrt::{drive, image};
use sdk::{local, program};

use crate::stage::{By, Stage};

const fn by_crates(name: &'static str, crates: &'static [&'static str]) -> Stage {
    Stage { name, by: By::Crates(crates) }
}

const fn by_version(name: &'static str, version: u32) -> Stage {
    Stage { name, by: By::Version(version) }
}

/// The kernel's Debian packages: apt chooses, fetches and verifies them.
pub const DEBIAN_KERNEL: Stage = by_version("debian-kernel", local::FETCHED);
/// Those of the root in which modules are compiled for it.
pub const DEBIAN_BUILD: Stage = by_version("debian-build", local::FETCHED);
/// Those of the image's programs.
pub const DEBIAN_IMAGE: Stage = by_version("debian-image", local::FETCHED);
/// The stand-in's kernel and its modules.
pub const KERNEL: Stage = by_crates("kernel", &["sdk"]);
/// The root in which modules are compiled for it: dpkg unpacks it.
pub const BUILD_ROOT: Stage = by_version("build-root", local::BUILD_ROOT);
/// Modules that are compiled from source.
pub const MODULES: Stage = by_crates("modules", &["sdk"]);
/// The programs of the stand-in's image: dpkg unpacks them.
pub const PROGRAMS: Stage = by_version("programs", local::UNPACKED);
/// The SDK of a release, the tree that is in its archive.
pub const SDK: Stage = by_version(drive::UNPACK_STAGE, drive::UNPACKED);
/// The sources of Rust's standard library, from Debian.
pub const RUST_SOURCES: Stage = by_version("rust-sources", program::SOURCES_FETCHED);
/// zig, which links for other architectures, from PyPI.
pub const ZIG: Stage = by_version("zig", program::ZIG_FETCHED);
/// Programs for a release's routers; what they are compiled from is an input.
pub const ROUTER_PROGRAMS: Stage = by_crates("router-programs", &["sdk"]);
/// The packages, of either kind.
pub const PACKAGES: Stage = by_crates("packages", &["sdk"]);
/// What the lint says of them.
pub const LINT: Stage = by_crates(crate::lint::STAGE, &["formats"]);
/// The signed feed.
pub const FEED: Stage = by_crates("feed", &["feeds"]);
/// A feed that must be refused.
pub const SPOILED_FEED: Stage = by_crates("spoiled-feed", &["feeds"]);
/// Published trees for routers to subscribe to, good ones and others.
pub const TREES: Stage = by_crates("trees", &["feeds"]);
/// The package manager of the stand-in's image; what it is compiled from is an input.
pub const OPKG: Stage = by_crates("opkg", &["sdk"]);
/// The stand-in's image.
pub const IMAGE: Stage = by_crates("image", &["client", "sdk", "vm"]);
/// The image of a release, the bytes that are in its archive.
pub const OPENWRT_IMAGE: Stage = by_version(image::STAGE, image::UNPACKED);
/// A booted router.
pub const STATE: Stage = by_crates("state", &["scenarios"]);
/// A router with packages.
pub const INSTALLED: Stage = by_crates("installed", &["scenarios"]);
/// The image of the guest that measures.
pub const BENCH_IMAGE: Stage = by_crates("bench-image", &["scenarios", "sdk"]);
/// What it measured.
pub const MEASURED: Stage = by_crates("measured", &["scenarios", "sdk"]);

/// All of them.
pub const ALL: [Stage; 23] = [
    DEBIAN_KERNEL,
    DEBIAN_BUILD,
    DEBIAN_IMAGE,
    KERNEL,
    BUILD_ROOT,
    MODULES,
    PROGRAMS,
    SDK,
    RUST_SOURCES,
    ZIG,
    ROUTER_PROGRAMS,
    PACKAGES,
    LINT,
    FEED,
    SPOILED_FEED,
    TREES,
    OPKG,
    IMAGE,
    OPENWRT_IMAGE,
    STATE,
    INSTALLED,
    BENCH_IMAGE,
    MEASURED,
];
