//! A tree that was published: believed by its signature, file by file by digest.

use camino::{Utf8Path, Utf8PathBuf};
use formats::usign::{self, Signature};
use host::files;
use model::{Cancel, Exit, Failure, Problem, Result, parallel, processors};
use serde::de::DeserializeOwned;

use super::keys::{self, KnownKeys};
use super::records::{Build, Feed, FolderRecord};
use super::sums::{self, Sums};
use crate::explain;
use crate::published::untrusted;
use crate::trust::Trust;

/// Name of the tree's description.
pub(crate) const FEED: &str = "feed.json";
/// Largest list of digests, and largest file.
const LARGEST: u64 = 64 << 20;

/// A tree whose every listed file is the one that was signed.
#[derive(Debug)]
pub struct Published {
    /// Where it is.
    pub root: Utf8PathBuf,
    /// What it says of itself.
    pub feed: Feed,
    pub(crate) keys: KnownKeys,
    pub(crate) sums: Sums,
}

impl Published {
    /// Opens the tree in a folder.
    ///
    /// # Errors
    /// `FEED008` when no trusted key has signed it, `DIST001` when it is no tree, `DIST002` for a file that is missing or
    /// not the one that was signed.
    pub fn open(root: &Utf8Path, trust: &Trust) -> Result<Self> {
        let (text, signature) = (root.join(sums::NAME), root.join(sums::SIGNATURE));
        let sums = signed(
            &files::read(&text).map_err(|_| no_tree(root))?,
            &files::read(&signature).unwrap_or_default(),
            trust,
            root,
        )?;
        let listed: Vec<(&String, &model::Digest)> = sums.0.iter().collect();
        parallel(&listed, processors(), |(path, wanted)| match sums::digest(&root.join(path)) {
            Ok(found) if found == **wanted => Ok(()),
            Ok(_) => Err(changed(&root.join(path), "its digest is another than the signed list has")),
            Err(failure) => Err(changed(&root.join(path), &failure.finding().why)),
        })?;
        let feed: Feed = json(root, FEED)?;
        let keys: KnownKeys = json(root, keys::LIST)?;
        Ok(Published { root: root.to_owned(), feed, keys, sums })
    }

    /// Copies the tree at an address into the empty folder `into`, and opens it. `progress` is told how many files of
    /// how many are there.
    ///
    /// # Errors
    /// As [`Published::open`], and `INST005` for what cannot be had.
    pub fn fetch(
        url: &str,
        into: &Utf8Path,
        trust: &Trust,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let url = url.trim_end_matches('/');
        let get = |path: &str| -> Result<Vec<u8>> {
            let (address, mut bytes) = (format!("{url}/{path}"), Vec::new());
            let size = client::download(&address, LARGEST, &mut bytes).map_err(|error| {
                let (what, why, fix) = (error.what(), error.why().unwrap_or_default(), error.fix());
                Failure::of(Problem { exit: Exit::Upstream, id: error.id(), what, why, fix })
            })?;
            if size > LARGEST {
                return Err(explain(Exit::Mismatch, address, &formats::Error::IndexTooLarge { limit: LARGEST }));
            }
            Ok(bytes)
        };
        let (text, signature) = (get(sums::NAME)?, get(sums::SIGNATURE)?);
        let sums = signed(&text, &signature, trust, Utf8Path::new(url))?;
        let write = |path: &str, bytes: &[u8]| {
            files::create_folder(into.join(path).parent().unwrap_or(into))?;
            files::write(&into.join(path), bytes)
        };
        for (number, path) in (1..).zip(sums.0.keys()) {
            cancel.check()?;
            write(path, &get(path)?)?;
            progress(number, sums.0.len() as u64);
        }
        write(sums::NAME, &text)?;
        write(sums::SIGNATURE, &signature)?;
        Published::open(into, trust)
    }

    /// How many files there are.
    pub fn files_count(&self) -> usize {
        self.sums.0.len()
    }

    /// The files of a folder, by their paths in the tree.
    pub(crate) fn files<'a>(&'a self, folder: &'a FolderRecord) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{}/", folder.place());
        let inside = move |path: &&String| path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        self.sums.0.keys().filter(inside).map(String::as_str)
    }

    /// Where the packages of a folder come from.
    pub(crate) fn build(&self, folder: &FolderRecord) -> Result<Build> {
        json(&self.root, &format!("{}/{}", folder.place(), super::folder::BUILD))
    }
}

/// The list, if a trusted key has signed it.
fn signed(text: &[u8], signature: &[u8], trust: &Trust, place: &Utf8Path) -> Result<Sums> {
    let list = place.join(sums::NAME);
    let signature = Signature::parse(&String::from_utf8_lossy(signature));
    let signature = signature.map_err(|error| untrusted(&list, &error.to_string()))?;
    usign::verify(text, &signature, &trust.usign).map_err(|error| untrusted(&list, &error.to_string()))?;
    Sums::parse(&String::from_utf8_lossy(text)).ok_or_else(|| no_tree(place))
}

fn json<T: DeserializeOwned>(root: &Utf8Path, path: &str) -> Result<T> {
    let place = root.join(path);
    serde_json::from_slice(&files::read(&place)?).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "DIST007",
            what: format!("{place} cannot be read"),
            why: error.to_string(),
            fix: "publish with the version of this program that made the tree, or begin a new one",
        })
        .at(&place)
    })
}

fn no_tree(root: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "DIST001",
        what: format!("there is no published tree at {root}"),
        why: format!("a tree has a list of all its files, {}, with a signature beside it", sums::NAME),
        fix: "give the folder or address that holds it; `cargo xtask dist --out DIR` makes DIR/current",
    })
    .at(root)
}

fn changed(path: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "DIST002",
        what: format!("{path} is not what was published"),
        why,
        fix: "find out who changed it; a good copy of the tree can take its place",
    })
    .at(path)
}
