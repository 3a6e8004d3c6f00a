//! A miniature release on a mirror of its own: an SDK with the modules of a kernel that boots, and the image.

use camino::Utf8Path;
use formats::Format;
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};

use super::image::{Parts, stock};
use super::recipes;
use crate::place::Place;

/// One whose packages are `.ipk` files.
const RELEASE: &str = "24.10.8";
const TARGET: &str = "x86/64";

pub(crate) struct MiniRelease {
    mirror: MiniMirror,
    key: String,
}

impl MiniRelease {
    /// Publishes it, made of the finished stages of a place.
    pub(crate) fn publish(place: &Place) -> MiniRelease {
        let (parts, recipes, scratch) = (Parts::of(place), recipes(), place.path("release"));
        std::fs::create_dir(&scratch).unwrap();
        let modules = parts.modules(&recipes);
        let sdk =
            MiniSdk { modules: Some(&modules), ..MiniSdk::new(&recipes, parts.version(), KERNEL_HASH, Format::Ipk) };
        let mirror = MiniMirror::new();
        let archive = mirror.publish_standard(RELEASE, TARGET);
        let (kernel, rootfs) = (name("generic-kernel.bin"), name("generic-ext4-rootfs.img.gz"));
        let profiles = serde_json::json!({
            "metadata_version": 1,
            "target": TARGET,
            "linux_kernel": { "version": parts.version(), "release": "1", "vermagic": KERNEL_HASH },
            "profiles": { "generic": { "images": [
                { "type": "kernel", "name": kernel },
                { "type": "rootfs", "filesystem": "ext4", "name": rootfs },
            ]}},
        });
        let stock = stock(&parts, &recipes);
        mirror.publish(
            RELEASE,
            TARGET,
            &[
                (&archive, &sdk.archive(&archive)),
                (&kernel, &parts.kernel_image(&scratch)),
                (&rootfs, &parts.rootfs(&scratch, &stock)),
                ("profiles.json", profiles.to_string().as_bytes()),
            ],
        );
        let key = mirror.key_file().into_string();
        MiniRelease { mirror, key }
    }

    /// The words that run scenarios on it.
    pub(crate) fn test<'a>(&'a self, scenarios: &[&'a str]) -> Vec<&'a str> {
        let (root, key): (&Utf8Path, _) = (self.mirror.root(), self.key.as_str());
        let flags = ["--exact", "--release", RELEASE, "--target", TARGET, "--mirror", root.as_str()];
        [&["test"][..], scenarios, &flags, &["--release-key", key, "--accel", "tcg"]].concat()
    }
}

fn name(end: &str) -> String {
    format!("openwrt-{RELEASE}-{}-{end}", TARGET.replace('/', "-"))
}
