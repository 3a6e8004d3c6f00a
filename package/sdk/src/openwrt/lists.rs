//! The signed list of a target's folder, fetched and trusted as a set.
//!
//! `sha256sums`, its signature and `profiles.json` belong together, and a snapshot's may be replaced while we fetch. If
//! they do not fit each other, the whole set is fetched again, a few times. A verified list is kept, and verified again
//! whenever it is used.

use camino::Utf8PathBuf;
use formats::usign::Fingerprint;
use host::lock::Waiting;
use model::{Digest, Exit, Failure, Problem, Result};

use super::kept::Kept;
use super::keys::{Keys, Untrusted};
use super::matrix::Row;
use super::profiles::Profiles;
use super::sums::Sums;
use super::transfer::{Link, STAGE};
use super::trouble::Trouble;

/// File names of a set.
pub(super) const LIST: &str = "sha256sums";
const SIGNATURE: &str = "sha256sums.sig";
const PROFILES: &str = "profiles.json";

/// The largest sizes; a list has about 120 bytes for each package.
const MAX_LIST: u64 = 16 << 20;
const MAX_SIGNATURE: u64 = 4 << 10;
const MAX_PROFILES: u64 = 32 << 20;

/// The ids of failures that say that a mirror does not have a release, a snapshot.
const NO_RELEASE: &str = "REL001";
const NO_SNAPSHOT: &str = "REL002";

/// The ids of failures that say that a mirror does not have this release for this target, and nothing else.
pub const NOT_PUBLISHED: [&str; 2] = [NO_RELEASE, NO_SNAPSHOT];

/// The id of the failure for a list without a signature: of a new release it may come some hours later.
pub const NOT_SIGNED: &str = "REL003";

/// How often a set that does not fit together is fetched.
const SETS: u32 = 3;

/// The files as they were downloaded.
struct Set {
    list: Vec<u8>,
    signature: Vec<u8>,
    profiles: Option<Vec<u8>>,
}

/// A list that a trusted key signed, and the data that it vouches for.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) sums: Sums,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    pub(super) signed_by: Fingerprint,
    pub(super) profiles: Profiles,
}

/// Why a set is not trusted.
enum Doubt {
    /// Its files may come from different uploads.
    Apart(Failure),
    /// Another attempt would give the same.
    Final(Failure),
}

/// The folder of the row's files, below the mirror's root.
pub(super) fn folder(row: &Row) -> Utf8PathBuf {
    row.release.folder().join("targets").join(&row.published.board).join(&row.published.subtarget)
}

/// Fetches the set until its files fit together.
pub(super) fn fetch(link: &Link, keys: &Keys, row: &Row) -> Result<(Verified, Files)> {
    let mut before: Option<Set> = None;
    for number in 1.. {
        let set = download(link, row)?;
        let doubt = match judge(&set, keys, row) {
            Ok(verified) => return Ok((verified, Files(set))),
            Err(Doubt::Final(failure)) => return Err(failure),
            Err(Doubt::Apart(failure)) => failure,
        };
        let unchanged = before.as_ref().is_some_and(|before| {
            (&before.list, &before.signature, &before.profiles) == (&set.list, &set.signature, &set.profiles)
        });
        if unchanged || number == SETS {
            return Err(doubt);
        }
        link.events.line(STAGE, format!("{}: {}; fetching the set again", folder(row), doubt.finding().what));
        link.wait(link.patience.pause * number).map_err(|trouble| trouble.failure("", &link.patience))?;
        before = Some(set);
    }
    Err(Failure::interrupted())
}

fn download(link: &Link, row: &Row) -> Result<Set> {
    let folder = folder(row);
    let get = |name: &str, limit: u64| link.small(&folder.join(name), limit);
    let told = |name: &str, trouble: Trouble| trouble.failure(&link.mirror.address(&folder.join(name)), &link.patience);
    let list = get(LIST, MAX_LIST).map_err(|trouble| match trouble {
        Trouble::Absent => unpublished(row, &link.mirror.address(&folder)),
        trouble => told(LIST, trouble),
    })?;
    let signature = get(SIGNATURE, MAX_SIGNATURE).map_err(|trouble| match trouble {
        Trouble::Absent => unsigned(row, &link.mirror.address(&folder)),
        trouble => told(SIGNATURE, trouble),
    })?;
    // Reads the list before it is verified only to see whether profiles.json exists; the set is verified as a whole
    // afterwards.
    let listed = String::from_utf8_lossy(&list).lines().any(|line| line.ends_with(&format!("*{PROFILES}")));
    let profiles = match listed {
        true => Some(get(PROFILES, MAX_PROFILES).map_err(|trouble| told(PROFILES, trouble))?),
        false => None,
    };
    Ok(Set { list, signature, profiles })
}

/// Checks the signature first: nothing of an unsigned list is used, not even to explain what is wrong with it.
fn judge(set: &Set, keys: &Keys, row: &Row) -> Result<Verified, Doubt> {
    let signature = String::from_utf8_lossy(&set.signature);
    let signed_by = keys.verify(&row.keys, &set.list, &signature).map_err(|untrusted| distrust(untrusted, row))?;
    let text = String::from_utf8_lossy(&set.list);
    let sums = Sums::parse(&text).map_err(Doubt::Final)?;
    let profiles = match (sums.get(PROFILES), &set.profiles) {
        (None, _) => Profiles::default(),
        (Some(expected), Some(bytes)) if Digest::of(bytes) == expected => {
            Profiles::parse(bytes).map_err(Doubt::Final)?
        }
        (Some(expected), found) => {
            let found = found.as_ref().map_or("missing".into(), |bytes| Digest::of(bytes).to_string());
            return Err(Doubt::Apart(changing(
                row,
                &format!(
                    "{PROFILES} should have the digest {expected}, but has \
                {found}"
                ),
            )));
        }
    };
    Ok(Verified { sums, sha256: Digest::of(&set.list), size: set.list.len() as u64, signed_by, profiles })
}

fn distrust(untrusted: Untrusted, row: &Row) -> Doubt {
    match untrusted {
        Untrusted::OtherKey { signed_by, trusted } => Doubt::Final(other_key(row, signed_by, &trusted)),
        Untrusted::Unreadable(why) => Doubt::Apart(wrong_signature(row, why)),
        Untrusted::Wrong(key) => {
            Doubt::Apart(wrong_signature(row, format!("key {key} signed other bytes than this list")))
        }
    }
}

/// The files of a trusted set, to be kept.
pub(super) struct Files(Set);

/// The list that was kept, if it can still be verified.
pub(super) fn kept(kept: &Kept, keys: &Keys, row: &Row) -> Option<Verified> {
    let [list, signature, profiles] = kept.read([LIST, SIGNATURE, PROFILES]);
    let set = Set { list: list?, signature: signature?, profiles };
    judge(&set, keys, row).ok()
}

/// Keeps a trusted set in the place of the one before.
pub(super) fn keep(kept: &Kept, files: &Files, waiting: &Waiting) -> Result<()> {
    let Set { list, signature, profiles } = &files.0;
    let all = [(LIST, Some(list)), (SIGNATURE, Some(signature)), (PROFILES, profiles.as_ref())];
    let there: Vec<(&str, &[u8])> =
        all.iter().filter_map(|(name, bytes)| Some((*name, bytes.as_ref()?.as_slice()))).collect();
    kept.save(&there, waiting)
}

fn unpublished(row: &Row, address: &str) -> Failure {
    let Row { release, published, .. } = row;
    if release.is_snapshot() {
        return Failure::of(Problem {
            exit: Exit::Upstream,
            id: NO_SNAPSHOT,
            what: format!("there is no snapshot {release} for {published} now"),
            why: "a branch's snapshots are removed when the branch ends, and a failed build leaves a gap",
            fix: "use a release of the branch, or the snapshot of a newer one; see `cargo xtask plan`",
        })
        .at(address);
    }
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: NO_RELEASE,
        what: format!("the mirror has no release {release} for {published}"),
        why: "there is no list of digests in the release's folder",
        fix: "name a complete mirror with --mirror: copies drop old releases, OpenWrt's own mirror never does",
    })
    .at(address)
}

fn unsigned(row: &Row, address: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: NOT_SIGNED,
        what: format!("the list of {} {} is not signed", row.release, row.published),
        why: "a release may appear some hours before its signature, and a mirror may leave signatures out",
        fix: "wait for the signature, or name another mirror with --mirror; nothing unsigned is unpacked",
    })
    .at(address)
}

fn other_key(row: &Row, signed_by: Fingerprint, trusted: &[Fingerprint]) -> Failure {
    let trusted = match trusted {
        [] => "none".into(),
        keys => keys.iter().map(Fingerprint::to_string).collect::<Vec<_>>().join(", "),
    };
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "REL004",
        what: format!("the list of {} {} is signed by key {signed_by}", row.release, row.published),
        why: format!("the keys that may sign it: {trusted}"),
        fix: "for OpenWrt's own mirror, compare the key with OpenWrt's keyring and pin it in feeds/openwrt-keys and \
         feeds/matrix.yaml; for a mirror with a key of its own, name the key with --release-key FILE",
    })
}

fn wrong_signature(row: &Row, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "REL005",
        what: format!("the signature of the list of {} {} is wrong", row.release, row.published),
        why,
        fix: "none of it was used; name another mirror with --mirror, and tell the owner of this one",
    })
}

fn changing(row: &Row, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "REL006",
        what: format!("the files of {} {} do not belong together", row.release, row.published),
        why,
        fix: "wait until the upload or the mirror's synchronisation has ended, or name another mirror with --mirror",
    })
}
