//! A miniature release on a mirror of its own: an SDK with the modules of a kernel that boots, and the image.

use camino::Utf8PathBuf;
use formats::Format;
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};

use super::image::{Parts, relabelled, release_of, stock};
use super::recipes;
use crate::place::Place;

const TARGET: &str = "x86/64";

pub(crate) struct MiniRelease {
    pub(crate) mirror: MiniMirror,
    key: String,
    release: &'static str,
}

impl MiniRelease {
    /// Publishes one whose packages have this format, made of the finished stages of a place.
    pub(crate) fn publish(place: &Place, format: Format) -> MiniRelease {
        MiniRelease::publish_with(place, format, &[])
    }

    /// The same with modules that its SDK compiles of somebody's sources, which were compiled for the stand-in.
    pub(crate) fn publish_with(place: &Place, format: Format, compiled: &[(&str, &[u8])]) -> MiniRelease {
        MiniRelease::of(place, &Parts::of(place), format, compiled)
    }

    /// The same of these parts.
    pub(crate) fn of(place: &Place, parts: &Parts, format: Format, compiled: &[(&str, &[u8])]) -> MiniRelease {
        let mirror = MiniMirror::new();
        let release = publish(&mirror, place, parts, format, compiled);
        let key = mirror.key_file().into_string();
        MiniRelease { mirror, key, release }
    }

    /// Publishes another one on the same mirror.
    pub(crate) fn with(self, place: &Place, format: Format) -> MiniRelease {
        publish(&self.mirror, place, &Parts::of(place), format, &[]);
        self
    }

    /// The words that name the mirror, and who is trusted to sign for it.
    pub(crate) fn source(&self) -> [&str; 4] {
        ["--mirror", self.mirror.root().as_str(), "--release-key", &self.key]
    }

    /// The words that run scenarios on it.
    pub(crate) fn test<'a>(&'a self, scenarios: &[&'a str]) -> Vec<&'a str> {
        [&["test"][..], scenarios, &["--exact"], &self.named(), &["--accel", "tcg"]].concat()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.release
    }

    /// The words that name it.
    pub(crate) fn named(&self) -> Vec<&str> {
        [&["--release", self.release, "--target", TARGET][..], &self.source()].concat()
    }
}

fn publish(
    mirror: &MiniMirror,
    place: &Place,
    parts: &Parts,
    format: Format,
    compiled: &[(&str, &[u8])],
) -> &'static str {
    let release = release_of(format);
    let (recipes, scratch) = (recipes(), place.path(release));
    std::fs::create_dir(&scratch).unwrap();
    let modules = parts.modules(&recipes, format);
    let plain = MiniSdk::new(&recipes, parts.version(), KERNEL_HASH, format);
    let program = program(place);
    let known = program.as_ref().map(|(bytes, version)| (bytes.as_slice(), version.as_str()));
    let compiled: Vec<(&str, Vec<u8>)> =
        compiled.iter().map(|(name, bytes)| (*name, relabelled(bytes.to_vec(), parts.version()))).collect();
    let compiled: Vec<(&str, &[u8])> = compiled.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let program = known.unwrap_or(plain.program);
    let sdk = MiniSdk { modules: Some(&modules), compiled: &compiled, program, ..plain };
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
    let stock = stock(parts, &recipes, format);
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
    release
}

fn name(release: &str, end: &str) -> String {
    format!("openwrt-{release}-{}-{end}", TARGET.replace('/', "-"))
}

/// The program and its version, if an earlier run in this place has built it: the one that was used last, since others
/// may work in the cache that the place began with. An SDK of `.apk` files packs none that it does not know: there is no apk
/// on the host.
pub(super) fn program(place: &Place) -> Option<(Vec<u8>, String)> {
    let entries = place.cache().join("router-programs").read_dir_utf8().ok()?;
    let folders = entries.map(|entry| entry.unwrap().into_path()).filter(|path| path.is_dir());
    let used = |folder: &Utf8PathBuf| folder.with_extension("stamp").metadata().unwrap().modified().unwrap();
    let folder = folders.max_by_key(used)?;
    Some((std::fs::read(folder.join("offloadctl")).unwrap(), std::fs::read_to_string(folder.join("version")).unwrap()))
}
