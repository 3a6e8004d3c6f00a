//! A miniature release on a mirror of its own: an SDK with the modules of a kernel that boots, and the image.

use camino::Utf8Path;
use formats::Format;
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};

use super::image::{Parts, stock};
use super::recipes;
use crate::place::Place;

const TARGET: &str = "x86/64";

pub(crate) struct MiniRelease {
    mirror: MiniMirror,
    key: String,
    release: &'static str,
}

impl MiniRelease {
    /// Publishes one whose packages have this format, made of the finished stages of a place.
    pub(crate) fn publish(place: &Place, format: Format) -> MiniRelease {
        let release = if format == Format::Ipk { "24.10.8" } else { "25.12.5" };
        let (parts, recipes, scratch) = (Parts::of(place), recipes(), place.path(release));
        std::fs::create_dir(&scratch).unwrap();
        let modules = parts.modules(&recipes, format);
        let plain = MiniSdk::new(&recipes, parts.version(), KERNEL_HASH, format);
        let program = program(place);
        let known = program.as_ref().map(|(bytes, version)| (bytes.as_slice(), version.as_str()));
        let sdk = MiniSdk { modules: Some(&modules), program: known.unwrap_or(plain.program), ..plain };
        let mirror = MiniMirror::new();
        let archive = mirror.publish_standard(release, TARGET);
        let (kernel, rootfs) = (name(release, "generic-kernel.bin"), name(release, "generic-ext4-rootfs.img.gz"));
        let profiles = serde_json::json!({
            "metadata_version": 1,
            "target": TARGET,
            "linux_kernel": { "version": parts.version(), "release": "1", "vermagic": KERNEL_HASH },
            "profiles": { "generic": { "images": [
                { "type": "kernel", "name": kernel },
                { "type": "rootfs", "filesystem": "ext4", "name": rootfs },
            ]}},
        });
        let stock = stock(&parts, &recipes, format);
        mirror.publish(
            release,
            TARGET,
            &[
                (&archive, &sdk.archive(&archive)),
                (&kernel, &parts.kernel_image(&scratch)),
                (&rootfs, &parts.rootfs(&scratch, &stock, format)),
                ("profiles.json", profiles.to_string().as_bytes()),
            ],
        );
        let key = mirror.key_file().into_string();
        MiniRelease { mirror, key, release }
    }

    /// The words that run scenarios on it.
    pub(crate) fn test<'a>(&'a self, scenarios: &[&'a str]) -> Vec<&'a str> {
        let (root, key): (&Utf8Path, _) = (self.mirror.root(), self.key.as_str());
        let flags = ["--exact", "--release", self.release, "--target", TARGET, "--mirror", root.as_str()];
        [&["test"][..], scenarios, &flags, &["--release-key", key, "--accel", "tcg"]].concat()
    }
}

fn name(release: &str, end: &str) -> String {
    format!("openwrt-{release}-{}-{end}", TARGET.replace('/', "-"))
}

/// The program and its version, if an earlier run in this place has built it. An SDK of `.apk` files packs none that it
/// does not know: there is no apk on the host.
fn program(place: &Place) -> Option<(Vec<u8>, String)> {
    let entries = place.cache().join("router-programs").read_dir_utf8().ok()?;
    let folder = entries.map(|entry| entry.unwrap().into_path()).find(|path| path.is_dir())?;
    Some((std::fs::read(folder.join("offloadctl")).unwrap(), std::fs::read_to_string(folder.join("version")).unwrap()))
}
