//! From a row of the matrix to verified files.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use host::files::read_text;
use host::lock::Waiting;
use model::{Cancel, Digest, Event, Events, Exit, Failure, Problem, Result, Status};

use super::kept::Kept;
use super::keys::Keys;
use super::lists::{self, LIST, Verified};
use super::matrix::Row;
use super::mirror::Mirror;
use super::profiles::{Image, Profiles};
use super::resolved::{Artifact, Resolved, Role};
use super::store::Store;
use super::sums::Sums;
use super::transfer::{Link, STAGE};
use super::trouble::Patience;

/// How many files are fetched at once.
const SIDE_BY_SIDE: usize = 4;

/// How often progress is reported.
const TICK: Duration = Duration::from_millis(100);

/// How often a snapshot is started over when it was replaced during the fetch.
const SNAPSHOT_ATTEMPTS: u32 = 3;

/// The id of the failure for what must be fetched and may not be.
pub(super) const NOT_KEPT: &str = "MIR002";

/// Access to OpenWrt's files for this run.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The mirror that files come from.
    pub mirror: Mirror,
    /// The keys that may sign lists.
    pub keys: Keys,
    /// The cache that all runs share.
    pub cache: Utf8PathBuf,
    /// Never use the network, only the cache or a directory.
    pub offline: bool,
    /// How long to wait for another run that fetches the same.
    pub lock_timeout: Duration,
    /// Deadlines and numbers of attempts.
    pub patience: Patience,
    /// Where progress is reported.
    pub events: Events,
    /// The user's interrupt.
    pub cancel: Cancel,
}

impl Upstream {
    /// What the release offers for the target. The list of a point release never changes, so a verified one from the
    /// cache is used without asking the mirror; for a snapshot only when offline.
    ///
    /// # Errors
    /// `REL…` for a list that is missing or not trusted, `SUM…` and `PROF…` for one that is malformed, `MIR…` for a
    /// mirror that does not answer.
    pub fn resolve(&self, row: &Row) -> Result<Resolved> {
        match lists::kept(&self.kept(row), &self.keys, row) {
            Some(verified) if self.offline || !row.release.is_snapshot() => resolved(row, &verified),
            _ => self.resolve_now(row),
        }
    }

    /// As [`Upstream::resolve`], but always asks the mirror.
    ///
    /// # Errors
    /// As there.
    pub fn resolve_now(&self, row: &Row) -> Result<Resolved> {
        resolved(row, &self.list_now(row)?)
    }

    /// The verified list of the release, for files without a [`Role`]: published packages to compare with.
    ///
    /// # Errors
    /// As [`Upstream::resolve`].
    pub fn list(&self, row: &Row) -> Result<Sums> {
        match lists::kept(&self.kept(row), &self.keys, row) {
            Some(verified) if self.offline || !row.release.is_snapshot() => Ok(verified.sums),
            _ => Ok(self.list_now(row)?.sums),
        }
    }

    /// The list that a lock names, whatever the mirror has signed since.
    ///
    /// # Errors
    /// As [`Upstream::fetch`]; `REL007` when the lock does not name one.
    pub fn locked_list(&self, row: &Row, locked: &Resolved) -> Result<Sums> {
        let wanted = locked.require(Role::List)?.sha256;
        if let Some(verified) =
            lists::kept(&self.kept(row), &self.keys, row).filter(|verified| verified.sha256 == wanted)
        {
            return Ok(verified.sums);
        }
        let files = self.fetch_roles(locked, &[Role::List])?;
        let text = files.iter().map(|file| read_text(file)).collect::<Result<String>>()?;
        Sums::parse(&text)
    }

    /// Asks the mirror for sizes that are not known.
    ///
    /// # Errors
    /// `MIR…` when it does not answer.
    pub fn measure(&self, resolved: &mut Resolved) -> Result<()> {
        let link = self.link();
        for artifact in resolved.artifacts.iter_mut().filter(|artifact| artifact.size.is_none()) {
            let told = link.persist(&artifact.path, || self.mirror.size(&artifact.path));
            artifact.size =
                told.map_err(|trouble| trouble.failure(&self.mirror.address(&artifact.path), &self.patience))?;
        }
        Ok(())
    }

    /// Resolves the row and fetches its files for these roles, in their order. If a snapshot is replaced meanwhile,
    /// starts over with its list.
    ///
    /// # Errors
    /// As [`Upstream::resolve`] and [`Upstream::fetch`]; `REL007` when the release has no file for a role.
    pub fn obtain(&self, row: &Row, roles: &[Role]) -> Result<(Resolved, Vec<Utf8PathBuf>)> {
        let mut resolved = self.resolve(row)?;
        for number in 1.. {
            let failure = match self.fetch_roles(&resolved, roles) {
                Ok(files) => return Ok((resolved, files)),
                Err(failure) => failure,
            };
            let may_have_changed = row.release.is_snapshot() && !self.offline && failure.exit() != Exit::Interrupted;
            if !may_have_changed || number == SNAPSHOT_ATTEMPTS {
                return Err(failure);
            }
            let now = self.resolve_now(row)?;
            if now == resolved {
                return Err(failure);
            }
            self.events.line(STAGE, format!("{} was replaced meanwhile; fetching the new one", row.release));
            resolved = now;
        }
        Err(Failure::interrupted())
    }

    /// The files for these roles, in their order.
    ///
    /// # Errors
    /// `REL007` when there is none for a role, and as [`Upstream::fetch`].
    pub fn fetch_roles(&self, resolved: &Resolved, roles: &[Role]) -> Result<Vec<Utf8PathBuf>> {
        let artifacts = roles.iter().map(|&role| resolved.require(role)).collect::<Result<Vec<_>>>()?;
        self.fetch(&format!("{} {}", resolved.release, resolved.target), &artifacts)
    }

    /// Fetches files into the shared cache, several at once; cached files are not fetched again. Returns their paths in
    /// the same order. `about` is for messages.
    ///
    /// # Errors
    /// `DIG001` for wrong bytes, `MIR…` for a mirror that does not deliver them, `MIR002` when fetching is needed but
    /// not allowed.
    pub fn fetch(&self, about: &str, artifacts: &[&Artifact]) -> Result<Vec<Utf8PathBuf>> {
        if artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let store = Store::below(&self.cache);
        let kept: Option<Vec<Utf8PathBuf>> = artifacts.iter().map(|artifact| store.get(artifact.sha256)).collect();
        if let Some(files) = kept {
            let why = format!("{about}: {} verified files are in the cache", files.len());
            self.events.emit(Event::StageSkipped { stage: STAGE.into(), why });
            return Ok(files);
        }
        if self.offline && self.mirror.is_remote() {
            return Err(offline(about));
        }
        let names: Vec<&str> = artifacts.iter().filter_map(|artifact| artifact.path.file_name()).collect();
        let from = self.mirror.address(Utf8Path::new(""));
        let detail = format!("{} from {from}", names.join(", "));
        self.events.emit(Event::StageBegin { stage: STAGE.into(), detail });
        let started = Instant::now();
        let outcome = self.fetch_all(&store, artifacts);
        let (status, summary) = match &outcome {
            Ok(files) => (Status::Done, format!("{about}: {} files, each with its signed digest", files.len())),
            Err(failure) => (Status::Failed, failure.finding().what.clone()),
        };
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.events.emit(Event::StageEnd { stage: STAGE.into(), status, millis, summary });
        outcome
    }

    /// Starts threads that may outlive this function, so that a hanging read does not delay an interrupt.
    fn fetch_all(&self, store: &Store, artifacts: &[&Artifact]) -> Result<Vec<Utf8PathBuf>> {
        let link = self.link();
        let work = Arc::new(Work {
            queue: Mutex::new(artifacts.iter().map(|&artifact| artifact.clone()).enumerate().collect()),
            bytes: AtomicU64::new(0),
            lock_timeout: self.lock_timeout,
        });
        let (sender, results) = channel();
        for _ in 0..SIDE_BY_SIDE.min(artifacts.len()) {
            let (work, link, store, sender) = (Arc::clone(&work), link.clone(), store.clone(), sender.clone());
            std::thread::spawn(move || work.run(&link, &store, &sender));
        }
        drop(sender);
        let total = artifacts.iter().map(|artifact| artifact.size).sum::<Option<u64>>();
        let mut files = vec![Utf8PathBuf::new(); artifacts.len()];
        loop {
            match results.recv_timeout(TICK) {
                Ok((at, Ok(file))) => files.iter_mut().skip(at).take(1).for_each(|place| place.clone_from(&file)),
                Ok((_, Err(failure))) => {
                    link.stop.store(true, Ordering::Relaxed);
                    return Err(failure);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.cancel.check()?;
            self.events.progress(STAGE, work.bytes.load(Ordering::Relaxed), total);
        }
        Ok(files)
    }

    fn list_now(&self, row: &Row) -> Result<Verified> {
        if self.offline && self.mirror.is_remote() {
            return Err(offline(&format!("the list of {} {}", row.release, row.target)));
        }
        let (verified, files) = lists::fetch(&self.link(), &self.keys, row)?;
        lists::keep(&self.kept(row), &files, &self.waiting())?;
        Ok(verified)
    }

    fn kept(&self, row: &Row) -> Kept {
        Kept::below(&self.cache, &self.mirror.address(&lists::folder(row)))
    }

    /// How another run's lock is waited for.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        Waiting { stage: STAGE, at_most: self.lock_timeout, events: &self.events, cancel: &self.cancel }
    }

    pub(super) fn link(&self) -> Link {
        Link {
            mirror: self.mirror.clone(),
            patience: self.patience.clone(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// The state that the threads share.
struct Work {
    queue: Mutex<VecDeque<(usize, Artifact)>>,
    bytes: AtomicU64,
    lock_timeout: Duration,
}

impl Work {
    fn run(&self, link: &Link, store: &Store, sender: &Sender<(usize, Result<Utf8PathBuf>)>) {
        let next = || self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
        while let Some((at, artifact)) = next() {
            let waiting =
                Waiting { stage: STAGE, at_most: self.lock_timeout, events: &link.events, cancel: &link.cancel };
            let came = |bytes| {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
            };
            let fetched = store.fetch(link, &artifact, &waiting, came);
            let failed = fetched.is_err();
            if sender.send((at, fetched)).is_err() || failed {
                return;
            }
        }
    }
}

/// Picks the needed files from a verified list.
fn resolved(row: &Row, verified: &Verified) -> Result<Resolved> {
    let Verified { sums, sha256, size, signed_by, profiles } = verified;
    if let Some(arch) = profiles.arch().filter(|arch| *arch != row.arch.0) {
        return Err(other_arch(row, arch));
    }
    let folder = lists::folder(row);
    let artifact =
        |role, name: &str, sha256| Artifact { role, path: folder.join(name), sha256, size: profiles.size(name) };
    let (sdk, digest) = sums.sdk()?;
    let list = Artifact { size: Some(*size), ..artifact(Role::List, LIST, *sha256) };
    let mut artifacts = vec![list, artifact(Role::Sdk, sdk, digest)];
    let images = [
        (Role::Kernel, profiles.kernel_image(), &row.images.kernel),
        (Role::Rootfs, profiles.rootfs(), &row.images.rootfs),
        (Role::Initramfs, profiles.initramfs(), &row.images.initramfs),
        (Role::Combined, profiles.combined(), &row.images.combined),
    ];
    for (role, told, ends) in images {
        let chosen = match told.and_then(|image| listed(sums, image)) {
            Some(chosen) => Some(chosen),
            None => sums.image(&row.published, ends)?,
        };
        artifacts.extend(chosen.map(|(name, digest)| artifact(role, name, digest)));
    }
    Ok(Resolved {
        release: row.release.clone(),
        target: row.target.clone(),
        published: row.published.clone(),
        arch: row.arch.clone(),
        format: row.format,
        kernel: profiles.kernel().or_else(|| sums.kernel()),
        signed_by: vec![*signed_by],
        artifacts,
    })
}

/// An image in profiles.json that is also in the list, with the same digest.
fn listed<'a>(sums: &Sums, image: &'a Image) -> Option<(&'a str, Digest)> {
    let digest = sums.get(&image.name)?;
    Profiles::agrees(image, digest).then_some((image.name.as_str(), digest))
}

fn other_arch(row: &Row, found: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "MTX004",
        what: format!("{} {} is built for {found}", row.release, row.published),
        why: format!("feeds/matrix.yaml says {}", row.arch),
        fix: "correct `arch` of the target there: every router refuses packages for another architecture",
    })
}

fn offline(about: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: NOT_KEPT,
        what: format!("{about} must be fetched, and --offline forbids it"),
        why: "the cache does not have all of it",
        fix: "run once without --offline, or name a directory with --mirror",
    })
}
