//! Trees for the routers in scenarios: good ones, one without their kernel, some with a changed byte, and those of a
//! key rotation.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use host::files;
use model::{Failure, Result};

use super::{Made, Outcome, Published, Request, compose, sums};
use crate::keys::Keys;
use crate::refused::{of_other_kernel, spoil};
use crate::trust::Trust;
use crate::{Spoil, layout};

/// What the trees are made from.
#[derive(Debug, Clone, Copy)]
pub struct Lab<'a> {
    /// A signed feed of the packages.
    pub feed: &'a Utf8Path,
    /// The feed's name.
    pub name: &'a str,
    /// The address at which the folder of the trees is served.
    pub url: &'a str,
    /// The keys that sign the trees.
    pub keys: &'a Keys,
    /// The packages of an older kernel that there are, too.
    pub older: Option<&'a Made>,
}

/// Makes the trees below the empty folder `out`, and returns their names:
///
/// * `good` has the router's kernel; `newer` has that and another one, `lines` that and an older one that there is,
/// * `elsewhere` has another kernel only,
/// * `key`, `script`, `index` and `package` have one byte changed in the file that they are named after,
/// * `announced` is `good` and announces the next keys; `rotated` is signed by those alone.
///
/// # Errors
/// When a package cannot be read or published.
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
        let request = Request {
            name: lab.name,
            url: &url,
            tool: "lab",
            commit: None,
            epoch: 0,
            pruned: &pruned,
            verdicts: &BTreeMap::new(),
        };
        files::create_folder(&out.join(name))?;
        compose(&request, published.as_ref(), outcomes, keys, &out.join(name)).map(drop)
    };
    make("good", None, vec![of(made)], lab.keys)?;
    make("newer", Some("good"), vec![of(&other)], lab.keys)?;
    if let Some(older) = lab.older {
        make("lines", Some("good"), vec![of(older)], lab.keys)?;
    }
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
        .chain(lab.older.map(|_| "lines"))
        .chain(CHANGED.map(|(name, _)| name))
        .collect())
}

/// A tree's name, and which of its files are changed after signing.
type Changed = (&'static str, fn(&str) -> bool);

/// The trees with a changed byte.
const CHANGED: [Changed; 4] = [
    ("key", |path| path.starts_with("keys/") && !path.ends_with(".json")),
    ("script", |path| path == "subscribe.sh"),
    ("index", |path| path.ends_with("/Packages.gz") || path.ends_with("/packages.adb")),
    ("package", |path| path.contains("/kmod-nf-conntrack-netlink") && Format::of_file_name(path).is_some()),
];

/// Rebuilds the packages for another kernel.
fn other_kernel(made: &Made, feed: &Utf8Path) -> Result<Made> {
    let mut packages: Vec<Utf8PathBuf> = Vec::new();
    for place in layout::places(feed)? {
        let is_package = |file: &Utf8PathBuf| Format::of_file_name(file.as_str()) == Some(place.format);
        packages.extend(files::entries(&place.folder)?.into_iter().filter(is_package));
    }
    let kernel_version = of_other_kernel(&made.kernel_version);
    Ok(Made { kernel_version, files: packages, ..made.clone() })
}

/// Changes one byte in the middle of a file.
fn flip(path: &Utf8Path) -> Result<()> {
    let mut bytes = files::read(path)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    // The file may be a hard link to one that must stay good.
    files::remove(path)?;
    files::write(path, bytes)
}
