//! Trees that routers in scenarios meet: good ones, one that has nothing for them, some that somebody changed, and those
//! of a rotation of keys.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use host::files;
use model::{Failure, Result};

use super::{Made, Outcome, Published, Request, compose, sums};
use crate::keys::Keys;
use crate::published::Trust;
use crate::refused::{of_other_kernel, spoil};
use crate::{Spoil, layout};

/// What trees are made of.
#[derive(Debug, Clone, Copy)]
pub struct Lab<'a> {
    /// The signed feed of the packages.
    pub feed: &'a Utf8Path,
    /// Its name.
    pub name: &'a str,
    /// Where the folder of the trees is served.
    pub url: &'a str,
    /// What signs them.
    pub keys: &'a Keys,
}

/// Makes the trees below the empty folder `out`, and returns their names:
///
/// * `good` has the router's kernel; `newer` that and another one,
/// * `elsewhere` has another kernel only,
/// * of `key`, `script`, `index` and `package` somebody changed a byte,
/// * `announced` is `good` with the next keys given out, and `rotated` is signed by those alone.
///
/// # Errors
/// What is wrong with a package.
pub fn lab(lab: &Lab, made: &Made, out: &Utf8Path) -> Result<Vec<&'static str>> {
    let aside = tempfile::tempdir().map_err(|error| Failure::io("make a temporary folder", "/tmp", &error))?;
    let aside = Utf8Path::from_path(aside.path()).unwrap_or(Utf8Path::new("/tmp"));
    spoil(lab.feed, Spoil::OtherKernel, &made.architecture, lab.keys, aside)?;
    let other = other_kernel(made, aside)?;
    let strangers = Keys::generate()?;
    let (mut announced, mut rotated) = (lab.keys.clone(), lab.keys.clone());
    (announced.opkg.next, announced.apk.next) =
        (Some(strangers.opkg.current.clone()), Some(strangers.apk.current.clone()));
    (rotated.opkg.current, rotated.apk.current) = (strangers.opkg.current, strangers.apk.current);
    (rotated.opkg.next, rotated.apk.next) = (None, None);

    let of = |made: &Made| Outcome::Made(Box::new(made.clone()));
    let make = |name: &str, before: Option<&str>, outcomes: Vec<Outcome>, keys: &Keys| -> Result<()> {
        let trust = Trust::of(lab.keys);
        let published = before.map(|before| Published::open(&out.join(before), &trust)).transpose()?;
        let pruned = BTreeSet::new();
        let url = format!("{}/{name}", lab.url);
        let request = Request { name: lab.name, url: &url, tool: "lab", commit: None, epoch: 0, pruned: &pruned };
        files::create_folder(&out.join(name))?;
        compose(&request, published.as_ref(), outcomes, keys, &out.join(name)).map(drop)
    };
    make("good", None, vec![of(made)], lab.keys)?;
    make("newer", Some("good"), vec![of(&other)], lab.keys)?;
    make("elsewhere", None, vec![of(&other)], lab.keys)?;
    make("announced", Some("good"), Vec::new(), &announced)?;
    make("rotated", Some("announced"), Vec::new(), &rotated)?;
    for (name, is_changed) in CHANGED {
        make(name, None, vec![of(made)], lab.keys)?;
        for path in sums::walk(&out.join(name))?.into_iter().filter(|path| is_changed(path)) {
            flip(&out.join(name).join(path))?;
        }
    }
    Ok(["good", "newer", "elsewhere", "announced", "rotated"]
        .into_iter()
        .chain(CHANGED.map(|(name, _)| name))
        .collect())
}

/// The name of a tree, and which of its files are other ones than were signed.
type Changed = (&'static str, fn(&str) -> bool);

/// Those trees.
const CHANGED: [Changed; 4] = [
    ("key", |path| path.starts_with("keys/") && !path.ends_with(".json")),
    ("script", |path| path == "subscribe.sh"),
    ("index", |path| path.ends_with("/Packages.gz") || path.ends_with("/packages.adb")),
    ("package", |path| path.contains("/kmod-nf-conntrack-netlink") && Format::of_file_name(path).is_some()),
];

/// The packages for another kernel, which were made from these.
fn other_kernel(made: &Made, feed: &Utf8Path) -> Result<Made> {
    let mut packages: Vec<Utf8PathBuf> = Vec::new();
    for place in layout::places(feed)? {
        let is_package = |file: &Utf8PathBuf| Format::of_file_name(file.as_str()) == Some(place.format);
        packages.extend(files::entries(&place.folder)?.into_iter().filter(is_package));
    }
    let kernel_version = of_other_kernel(&made.kernel_version);
    Ok(Made { kernel_version, files: packages, ..made.clone() })
}

/// Changes a byte in the middle.
fn flip(path: &Utf8Path) -> Result<()> {
    let mut bytes = files::read(path)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    // The file may be a link to one that stays good.
    files::remove(path)?;
    files::write(path, bytes)
}
