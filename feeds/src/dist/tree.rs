//! A published tree: trusted by its signature, and each file by its digest.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use formats::usign::{self, Signature};
use host::files;
use host::web::Web;
use model::{Cancel, Exit, Failure, Problem, Result, parallel, processors};
use serde::de::DeserializeOwned;

use super::identity::is_kernel;
use super::keys::{self, KnownKeys};
use super::records::{Build, Feed, FolderRecord, Row, RowRecord};
use super::sums::{self, Sums};
use crate::explain;
use crate::published::untrusted;
use crate::trust::Trust;

/// Path of the tree's description.
pub(crate) const FEED: &str = "feed.json";
/// The largest list of digests, and the largest file, that are read.
const LARGEST: u64 = 64 << 20;
/// How many files are fetched at once.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// A tree in which every listed file has the signed digest.
#[derive(Debug)]
pub struct Published {
    /// The folder that holds it.
    pub root: Utf8PathBuf,
    /// Its `feed.json`.
    pub feed: Feed,
    pub(crate) keys: KnownKeys,
    pub(crate) sums: Sums,
}

impl Published {
    /// Opens the tree in a folder.
    ///
    /// # Errors
    /// `FEED008` when no trusted key signed it, `DIST001` when the folder holds no tree, `DIST002` for a file that is
    /// missing or differs from the signed one.
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
            Ok(_) => Err(changed(&root.join(path), "its digest differs from the one in the signed list")),
            Err(failure) => Err(changed(&root.join(path), &failure.finding().why)),
        })?;
        let feed: Feed = json(root, FEED)?;
        let keys: KnownKeys = json(root, keys::LIST)?;
        Ok(Published { root: root.to_owned(), feed, keys, sums })
    }

    /// Copies the tree at an address into the empty folder `into`, and opens it. Calls `progress` with the number of
    /// files fetched, and of all files.
    ///
    /// # Errors
    /// As [`Published::open`], and `WEB…` for what cannot be fetched.
    pub fn fetch(
        url: &str,
        into: &Utf8Path,
        trust: &Trust,
        cancel: &Cancel,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self> {
        let (url, web) = (url.trim_end_matches('/'), Web::new(cancel)?);
        let get = |path: &str| -> Result<Vec<u8>> {
            let address = format!("{url}/{path}");
            let bytes = web.get(&address, LARGEST)?;
            match bytes.len() as u64 > LARGEST {
                true => Err(explain(Exit::Mismatch, address, &formats::Error::IndexTooLarge { limit: LARGEST })),
                false => Ok(bytes),
            }
        };
        let (text, signature) = (get(sums::NAME)?, get(sums::SIGNATURE)?);
        let sums = signed(&text, &signature, trust, Utf8Path::new(url))?;
        let write = |path: &str, bytes: &[u8]| {
            files::create_folder(into.join(path).parent().unwrap_or(into))?;
            files::write(&into.join(path), bytes)
        };
        let (paths, done) = (sums.0.keys().collect::<Vec<_>>(), AtomicU64::new(0));
        parallel(&paths, CONNECTIONS, |path| {
            write(path, &get(path)?)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, paths.len() as u64);
            Ok(())
        })?;
        write(sums::NAME, &text)?;
        write(sums::SIGNATURE, &signature)?;
        Published::open(into, trust)
    }

    /// Whether the row is published with these inputs and these packages (names and digests).
    pub fn has(&self, row: &Row, inputs: &str, packages: &[(String, String)]) -> bool {
        let is_this = |record: &&RowRecord| record.row == *row && record.inputs == inputs;
        let Some(record) = self.feed.rows.iter().find(is_this) else { return false };
        let place = super::place(&row.line, &row.target, &record.kernel);
        packages.iter().filter(|(name, _)| !is_kernel(name)).all(|(name, digest)| {
            self.sums.0.get(&format!("{place}/{name}")).is_some_and(|found| found.to_string() == *digest)
        })
    }

    /// How many files the tree has.
    pub fn files_count(&self) -> usize {
        self.sums.0.len()
    }

    /// The files of a folder, by their paths in the tree.
    pub(crate) fn files<'a>(&'a self, folder: &'a FolderRecord) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{}/", folder.place());
        let inside = move |path: &&String| path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        self.sums.0.keys().filter(inside).map(String::as_str)
    }

    /// Reads the `build.json` of a folder.
    pub(crate) fn build(&self, folder: &FolderRecord) -> Result<Build> {
        json(&self.root, &format!("{}/{}", folder.place(), super::folder::BUILD))
    }
}

/// The list of digests, if a trusted key signed it.
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
            what: format!("cannot read {place}"),
            why: error.to_string(),
            fix: "publish with the version of this program that made the tree, or start a new tree",
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
        fix: "give the folder or address of a tree; `cargo xtask dist --out DIR` makes DIR/current",
    })
    .at(root)
}

fn changed(path: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "DIST002",
        what: format!("{path} differs from what was published"),
        why,
        fix: "find out who changed it; replace the tree by a good copy",
    })
    .at(path)
}
