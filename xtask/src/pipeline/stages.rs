//! All stages, and who does their work. A test checks that the code of each stage uses no other crate.

use sdk::openwrt::{drive, image};
use sdk::{local, program};

use crate::stage::{By, Stage};

const fn by_crates(name: &'static str, crates: &'static [&'static str]) -> Stage {
    Stage { name, by: By::Crates(crates) }
}

const fn by_version(name: &'static str, version: u32) -> Stage {
    Stage { name, by: By::Version(version) }
}

/// Debian packages of the kernel: apt chooses, fetches and verifies them.
pub const DEBIAN_KERNEL: Stage = by_version("debian-kernel", local::FETCHED);
/// Debian packages of the build root in which modules are compiled for it.
pub const DEBIAN_BUILD: Stage = by_version("debian-build", local::FETCHED);
/// Debian packages of the image's programs.
pub const DEBIAN_IMAGE: Stage = by_version("debian-image", local::FETCHED);
/// The stand-in's kernel and modules.
pub const KERNEL: Stage = by_crates("kernel", &["sdk"]);
/// The build root in which modules are compiled, unpacked by dpkg.
pub const BUILD_ROOT: Stage = by_version("build-root", local::BUILD_ROOT);
/// Modules that are compiled from source.
pub const MODULES: Stage = by_crates("modules", &["sdk"]);
/// The programs of the stand-in's image, unpacked by dpkg.
pub const PROGRAMS: Stage = by_version("programs", local::UNPACKED);
/// The SDK of a release: the unpacked tree of its archive.
pub const SDK: Stage = by_version(drive::UNPACK_STAGE, drive::UNPACKED);
/// The sources of Rust's standard library, from Debian.
pub const RUST_SOURCES: Stage = by_version("rust-sources", program::SOURCES_FETCHED);
/// zig, which links for other architectures, from PyPI.
pub const ZIG: Stage = by_version("zig", program::ZIG_FETCHED);
/// Programs for a release's routers; their sources are an input.
pub const ROUTER_PROGRAMS: Stage = by_crates("router-programs", &["sdk"]);
/// The packages, of stand-in or release.
pub const PACKAGES: Stage = by_crates("packages", &["sdk"]);
/// Packages from elsewhere.
pub const BROUGHT: Stage = by_crates("brought", &["formats"]);
/// Packages of a release's own feeds.
pub const BORROWED: Stage = by_version("borrowed", 1);
/// The findings of the lint.
pub const LINT: Stage = by_crates(crate::lint::STAGE, &["formats"]);
/// The signed feed.
pub const FEED: Stage = by_crates("feed", &["feeds"]);
/// A spoiled feed, which routers must refuse.
pub const SPOILED_FEED: Stage = by_crates("spoiled-feed", &["feeds"]);
/// Published trees for routers to subscribe to, good and spoiled ones.
pub const TREES: Stage = by_crates("trees", &["feeds"]);
/// The package manager of the stand-in's image; its sources are an input.
pub const OPKG: Stage = by_crates("opkg", &["sdk"]);
/// The stand-in's image.
pub const IMAGE: Stage = by_crates("image", &["client", "sdk", "vm"]);
/// The image of a release: the decompressed bytes of its archive.
pub const OPENWRT_IMAGE: Stage = by_version(image::STAGE, image::UNPACKED);
/// The saved state of a booted router.
pub const STATE: Stage = by_crates("state", &["scenarios"]);
/// What the image of a release says about itself.
pub const IMAGE_SAYS: Stage = by_version("image-says", 1);
/// The saved state of a router with packages.
pub const INSTALLED: Stage = by_crates("installed", &["scenarios"]);
/// The image of the measuring guest.
pub const BENCH_IMAGE: Stage = by_crates("bench-image", &["scenarios", "sdk"]);
/// The figures that it measured.
pub const MEASURED: Stage = by_crates("measured", &["scenarios", "sdk"]);

/// All stages.
pub const ALL: [Stage; 26] = [
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
    BROUGHT,
    BORROWED,
    LINT,
    FEED,
    SPOILED_FEED,
    TREES,
    OPKG,
    IMAGE,
    OPENWRT_IMAGE,
    STATE,
    IMAGE_SAYS,
    INSTALLED,
    BENCH_IMAGE,
    MEASURED,
];
