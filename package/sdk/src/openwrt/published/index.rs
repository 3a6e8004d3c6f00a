//! The index of a published feed: where it is, who vouches for it, and what it lists.

use camino::{Utf8Path, Utf8PathBuf};
use formats::adb::Adb;
use formats::apk::index::Index;
use formats::{Format, Limits, ec, packages};
use host::files::read;
use model::{Digest, Exit, Failure, Problem, Result};

use super::super::kept::Kept;
use super::super::keys::Untrusted;
use super::super::lockfile::Lockfile;
use super::super::matrix::Row;
use super::super::resolved::{Artifact, Resolved, Role};
use super::super::transfer::STAGE;
use super::super::trouble::{ABSENT, Trouble};
use super::super::upstream::{NOT_KEPT, Upstream};
use super::Offer;

/// The largest index, as it is fetched.
const MAX_INDEX: u64 = 64 << 20;
const MAX_SIGNATURE: u64 = 4 << 10;

/// How often an index and its signature are fetched that do not fit each other: feeds are rebuilt at any time.
const SETS: u32 = 3;

/// A folder with an index.
pub(super) struct Place {
    /// Its name in messages.
    pub(super) name: String,
    folder: Utf8PathBuf,
    vouched: Vouched,
}

/// Who vouches for an index.
enum Vouched {
    /// The target's signed list, which names its digest.
    Listed(Digest),
    /// `openwrt.lock` names its digest.
    Locked(Digest),
    /// It is signed itself.
    Signed,
    /// Nobody, and why.
    Not(String),
}

/// Name of the index in a folder, and of its signature if that is another file.
fn names(format: Format) -> (&'static str, Option<&'static str>) {
    match format {
        Format::Ipk => ("Packages.gz", Some("Packages.sig")),
        Format::Apk => ("packages.adb", None),
    }
}

/// The path of a feed's index below the mirror's root.
pub(super) fn path(row: &Row, feed: &str) -> Utf8PathBuf {
    folder(row, feed).join(names(row.format).0)
}

fn folder(row: &Row, feed: &str) -> Utf8PathBuf {
    row.release.folder().join("packages").join(&row.arch.0).join(feed)
}

/// An index as it was fetched, and opkg's signature of it.
struct Fetched {
    index: Vec<u8>,
    signature: Option<Vec<u8>>,
}

impl Upstream {
    /// Where a release's indexes are.
    pub(super) fn places(&self, row: &Row, resolved: &Resolved, locked: Option<&Lockfile>) -> Result<Vec<Place>> {
        let sums = match locked {
            Some(lock) => self.locked_list(row, lock.get(row)?)?,
            None => self.list(row)?,
        };
        let (index, _) = names(row.format);
        let target = super::super::lists::folder(row);
        let kmods = resolved
            .kernel
            .as_ref()
            .map(|kernel| format!("kmods/{}-{}-{}", kernel.version, kernel.release, kernel.config_hash));
        let of_target = ["packages".to_owned()].into_iter().chain(kmods).map(|name| {
            let vouched = match sums.get(&format!("{name}/{index}")) {
                Some(digest) => Vouched::Listed(digest),
                None => Vouched::Not("the target's signed list does not have it".into()),
            };
            Place { folder: target.join(&name), name, vouched }
        });
        let of_arch = row.feeds.iter().map(|feed| {
            let vouched = match locked {
                None => Vouched::Signed,
                Some(lock) => match lock.index(&path(row, feed)) {
                    Some(digest) => Vouched::Locked(digest),
                    None => Vouched::Not("openwrt.lock does not have it; `cargo xtask lock` adds it".into()),
                },
            };
            Place { folder: folder(row, feed), name: feed.clone(), vouched }
        });
        Ok(of_target.chain(of_arch).collect())
    }

    /// What an index offers. `Ok(Err(_))`: why it cannot be asked, which is no fault.
    pub(super) fn index(
        &self,
        row: &Row,
        place: &Place,
        locked: Option<&Lockfile>,
        trusted: &[ec::PublicKey],
    ) -> Result<Result<Vec<Offer>, String>> {
        let path = place.folder.join(names(row.format).0);
        let about = format!("index of {} {}", row.release, place.name);
        let by_digest = |sha256| -> Result<Vec<u8>> {
            let artifact = Artifact { role: Role::Package, path: path.clone(), sha256, size: None };
            let files = self.fetch(&about, &[&artifact])?;
            files.first().map_or_else(|| Ok(Vec::new()), |file| read(file))
        };
        let fetched = match &place.vouched {
            Vouched::Not(why) => return Ok(Err(why.clone())),
            Vouched::Listed(digest) => match by_digest(*digest) {
                Err(failure) if failure.id() == NOT_KEPT => return Ok(Err(not_kept())),
                // Mirrors of images alone have none, and what was synchronised half has not all.
                Err(failure) if failure.id() == ABSENT => return Ok(Err(absent())),
                index => Fetched { index: index?, signature: None },
            },
            Vouched::Locked(digest) => {
                let index = by_digest(*digest).map_err(|failure| match failure.exit() {
                    Exit::Mismatch => moved(row, &place.name, &failure),
                    _ => failure,
                })?;
                Fetched { index, signature: None }
            }
            Vouched::Signed => match self.signed(row, &path)? {
                Ok(fetched) => fetched,
                Err(why) => return Ok(Err(why)),
            },
        };
        // Locking does not know apk's keys, so an apk index is held against them whenever it is used.
        let is_vouched = match row.format {
            Format::Ipk => locked.is_some() || matches!(place.vouched, Vouched::Listed(_)),
            Format::Apk => matches!(place.vouched, Vouched::Listed(_)),
        };
        let offers = self.read_index(row, &path, &fetched, trusted, is_vouched)?;
        if matches!(place.vouched, Vouched::Signed) {
            self.keep(row, &path, &fetched)?;
        }
        Ok(Ok(offers))
    }

    /// The digest of a feed's index as it is now, to be locked; `None` where the mirror does not have it.
    ///
    /// # Errors
    /// As [`Upstream::published`].
    pub fn index_digest(&self, row: &Row, feed: &str) -> Result<Option<(Utf8PathBuf, Digest)>> {
        let path = path(row, feed);
        let Ok(fetched) = self.signed(row, &path)? else { return Ok(None) };
        if row.format == Format::Ipk {
            self.read_index(row, &path, &fetched, &[], false)?;
        }
        Ok(Some((path, Digest::of(&fetched.index))))
    }

    /// An index and its signature from the mirror; offline, what was kept of the last time. `Ok(Err(_))`: why there is
    /// none.
    fn signed(&self, row: &Row, path: &Utf8Path) -> Result<Result<Fetched, String>> {
        let (index, signature) = names(row.format);
        if self.offline && self.mirror.is_remote() {
            let [kept, signed] = self.kept_index(path).read([index, signature.unwrap_or_default()]);
            let Some(index) = kept else { return Ok(Err(not_kept())) };
            return Ok(Ok(Fetched { index, signature: signed.filter(|_| signature.is_some()) }));
        }
        for number in 1.. {
            let Some(fetched) = self.download(path, signature)? else {
                return Ok(Err(absent()));
            };
            let fits = signature.is_none() || self.verify_opkg(row, path, &fetched).is_ok();
            if fits || number == SETS {
                return Ok(Ok(fetched));
            }
            self.events.line(STAGE, format!("{path}: the signature does not fit; fetching both again"));
        }
        Err(Failure::interrupted())
    }

    /// Keeps an index that was verified, for offline runs: one that is not trusted never takes its place.
    fn keep(&self, row: &Row, path: &Utf8Path, fetched: &Fetched) -> Result<()> {
        if self.offline && self.mirror.is_remote() {
            return Ok(());
        }
        let (index, signature) = names(row.format);
        let files = [Some((index, &fetched.index)), signature.zip(fetched.signature.as_ref())];
        let files: Vec<(&str, &[u8])> = files.into_iter().flatten().map(|(name, bytes)| (name, &bytes[..])).collect();
        self.kept_index(path).save(&files, &self.waiting())
    }

    fn kept_index(&self, path: &Utf8Path) -> Kept {
        Kept::below(&self.cache, &self.mirror.address(path))
    }

    fn download(&self, path: &Utf8Path, signature: Option<&str>) -> Result<Option<Fetched>> {
        let link = self.link();
        let get = |path: &Utf8Path, limit| match link.small(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Trouble::Absent) => Ok(None),
            Err(trouble) => Err(trouble.failure(&self.mirror.address(path), &self.patience)),
        };
        let Some(index) = get(path, MAX_INDEX)? else { return Ok(None) };
        let signature = match signature {
            Some(name) => get(&path.with_file_name(name), MAX_SIGNATURE)?,
            None => None,
        };
        Ok(Some(Fetched { index, signature }))
    }

    fn read_index(
        &self,
        row: &Row,
        path: &Utf8Path,
        fetched: &Fetched,
        trusted: &[ec::PublicKey],
        is_vouched: bool,
    ) -> Result<Vec<Offer>> {
        let folder = path.parent().unwrap_or(path);
        let refused = |error: formats::Error| unreadable(&self.mirror.address(path), &error);
        match row.format {
            Format::Ipk => {
                let text = match is_vouched {
                    true => packages::decompress(&fetched.index[..], &Limits::default()).map_err(refused)?,
                    false => self.verify_opkg(row, path, fetched)?,
                };
                // What opkg skips too says nothing about the other packages.
                let (listed, _odd) = packages::read_each(&text, &Limits::default()).map_err(refused)?;
                Ok(Offer::of_opkg(folder, listed))
            }
            Format::Apk => {
                let adb = Adb::read(&fetched.index[..], &Limits::default()).map_err(refused)?;
                if !is_vouched {
                    let keys: Vec<ec::PublicKey> = self.keys.of_apk().iter().chain(trusted).cloned().collect();
                    adb.verify(&keys).map_err(|error| untrusted(&self.mirror.address(path), &error.to_string()))?;
                }
                let index = Index::from_adb(&adb, &Limits::default()).map_err(refused)?;
                Offer::of_apk(folder, &index).map_err(refused)
            }
        }
    }

    /// The text of opkg's index, if a key of the release signed it.
    fn verify_opkg(&self, row: &Row, path: &Utf8Path, fetched: &Fetched) -> Result<Vec<u8>> {
        let address = self.mirror.address(path);
        let Some(signature) = &fetched.signature else { return Err(untrusted(&address, "it has no signature")) };
        let text = packages::decompress(&fetched.index[..], &Limits::default())
            .map_err(|error| unreadable(&address, &error))?;
        let signature = String::from_utf8_lossy(signature);
        let why = match self.keys.verify(&row.keys, &text, &signature) {
            Ok(_key) => return Ok(text),
            Err(Untrusted::Unreadable(why)) => why,
            Err(Untrusted::OtherKey { signed_by, .. }) => format!("it is signed by key {signed_by}"),
            Err(Untrusted::Wrong(key)) => format!("key {key} signed other bytes"),
        };
        Err(untrusted(&address, &why))
    }
}

fn absent() -> String {
    "the mirror does not have it".into()
}

fn not_kept() -> String {
    "it is not in the cache, and --offline forbids fetching it".into()
}

fn untrusted(address: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "PUB001",
        what: "no trusted key signed an index of the release's packages",
        why: why.to_owned(),
        fix: "trusted are the keys that sign the release's list, for apk those of its image; name another mirror with \
              --mirror, or a mirror's own key with --release-key (for apk, a PEM file)",
    })
    .at(address)
}

fn unreadable(address: &str, error: &formats::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "PUB002",
        what: "an index of the release's packages cannot be read",
        why: format!("{error} ({})", error.id()),
        fix: "name another mirror with --mirror: this one's copy is damaged",
    })
    .at(address)
}

/// Feeds are rebuilt after the release.
fn moved(row: &Row, feed: &str, failure: &Failure) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "PUB003",
        what: format!("the feed {feed} of {} is not what was locked", row.release),
        why: failure.finding().why.clone(),
        fix: "feeds are rebuilt after a release: lock them anew with `cargo xtask lock` and review what changed, or name a \
              mirror with --mirror that has the old ones",
    })
}
