//! A place for runs: cache, temporary files, results and source tree, none of them the user's.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Events};
use tempfile::TempDir;
use xtask::Ctx;
use xtask::doctor::{self, Host, Purpose};
use xtask::usage::Request;

use crate::run::{Ran, Run, SLOW};

/// The source tree that this program was built from.
pub(crate) fn sources() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Everything that runs of a test read and write; removed on drop.
pub(crate) struct Place {
    folder: TempDir,
    /// Temporary files: apart from the rest, because a socket's path may have 107 bytes.
    temporary: TempDir,
    /// The user's keys sign what the user's cache holds.
    own_keys: bool,
    /// Where sources are read from.
    pub(crate) root: Utf8PathBuf,
    /// What PATH begins with.
    pub(crate) programs: Option<Utf8PathBuf>,
    /// What PATH is, all of it.
    pub(crate) only_programs: bool,
}

/// What a path of the cache is: bytes, inode and time of change.
pub(crate) type Print = BTreeMap<Utf8PathBuf, (u64, u64, i64)>;

/// Whether this user may compile no modules here: a container may forbid user namespaces. What says so then is `doctor`.
pub(crate) fn may_not_compile() -> bool {
    let Err(failure) = sdk::local::BuildRoot::may_enter(&Cancel::default()) else { return false };
    assert_eq!((failure.id(), failure.exit()), ("BLD001", model::Exit::Host));
    let told = Place::empty().run(&["doctor"]);
    assert!(told.out.contains("modules") || told.err.contains("modules"), "{}{}", told.out, told.err);
    true
}

impl Place {
    /// A place with an empty cache.
    pub(crate) fn empty() -> Place {
        Place::at(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn at(folder: TempDir) -> Place {
        let place = Place {
            folder,
            temporary: tempfile::Builder::new().prefix("e2e-").tempdir().unwrap(),
            own_keys: true,
            root: sources().into(),
            programs: None,
            only_programs: false,
        };
        std::fs::create_dir(place.path("programs")).unwrap();
        place
    }

    /// A place in which every stage is finished, but for those named.
    pub(crate) fn warm_without(stages: &[&str]) -> Place {
        Place::empty().warmed(stages)
    }

    /// A warm place outside of every git repository, as an SDK of OpenWrt needs one.
    pub(crate) fn warm_elsewhere() -> Place {
        Place::at(tempfile::Builder::new().prefix("e2e-").tempdir().unwrap()).warmed(&[])
    }

    fn warmed(self, stages: &[&str]) -> Place {
        let place = Place { own_keys: false, ..self };
        for finished in finished().iter().filter(|finished| !stages.contains(&finished.stage.as_str())) {
            place.adopt(finished);
        }
        place
    }

    /// A place outside of every git repository, in which the stages are finished that these words need.
    pub(crate) fn after(words: &[&str]) -> Place {
        let place = Place::at(tempfile::Builder::new().prefix("e2e-").tempdir().unwrap());
        let made = made_by(words).unwrap_or_else(|said| panic!("{words:?}: {said}"));
        made.iter().for_each(|finished| place.adopt(finished));
        place
    }

    /// A place in which every stage is finished.
    pub(crate) fn warm() -> Place {
        Place::warm_without(&[])
    }

    /// A place in which every stage is finished, also those named that a run with these words makes.
    pub(crate) fn warm_and(words: &[&str], stages: &[&str]) -> Place {
        let place = Place::warm();
        let made = made_by(words).unwrap_or_else(|said| panic!("{words:?}:\n{said}"));
        made.iter()
            .filter(|finished| stages.contains(&finished.stage.as_str()))
            .for_each(|finished| place.adopt(finished));
        place
    }

    /// A place in which every stage is finished, and routers have the packages that are published.
    pub(crate) fn warm_with_routers() -> Place {
        static MADE: OnceLock<Result<Vec<Finished>, String>> = OnceLock::new();
        let made = MADE.get_or_init(|| made_by(&["test", "--exact", "offload-ipv4-nat", "--accel", "tcg"]));
        let made = made.as_ref().unwrap_or_else(|said| panic!("offload is not proved on a good day:\n{said}"));
        let place = Place::warm();
        made.iter().filter(|finished| finished.stage == "installed").for_each(|finished| place.adopt(finished));
        place
    }

    fn adopt(&self, Finished { stage, result, stamp }: &Finished) {
        let folder = self.cache().join(stage);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(stamp, folder.join(stamp.file_name().unwrap())).unwrap();
        let target = folder.join(result.file_name().unwrap());
        // Whoever else works in the user's cache may have used it, too.
        if !target.is_symlink() {
            symlink(result, target).unwrap();
        }
    }

    /// The result of a stage, as a copy of its own that may be damaged.
    pub(crate) fn own_copy(&self, stage: &str) -> Utf8PathBuf {
        let folder = self.cache().join(stage);
        let link =
            folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).find(|path| path.is_symlink());
        let link = link.unwrap();
        let result = link.read_link_utf8().unwrap();
        std::fs::remove_file(&link).unwrap();
        copy_tree(&result, &link);
        link
    }

    /// The results of a stage, which are shared and not to be changed. Another run may have used one meanwhile.
    pub(crate) fn results(&self, stage: &str) -> Vec<Utf8PathBuf> {
        let entries = self.cache().join(stage).read_dir_utf8().unwrap();
        let results = entries.map(|entry| entry.unwrap().into_path()).filter(|path| path.is_symlink());
        results.map(|path| path.read_link_utf8().unwrap()).collect()
    }

    /// A path below this place.
    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    /// Our folder of the cache.
    pub(crate) fn cache(&self) -> Utf8PathBuf {
        self.path("cache/openwrt-offload")
    }

    /// Where sockets are made.
    pub(crate) fn temporary(&self) -> &Utf8Path {
        Utf8Path::from_path(self.temporary.path()).unwrap()
    }

    /// Copies what a run reads of the source tree, so that a test can change it.
    pub(crate) fn own_sources(&mut self) {
        let root = self.path("root");
        for part in ["Cargo.toml", "Cargo.lock", "feeds", "package", "qemu", "tests", "xtask"] {
            copy_tree(&sources().join(part), &root.join(part));
        }
        self.root = root;
    }

    /// Changes a file of the copied source tree, and returns its path.
    pub(crate) fn edit(&self, file: &str, change: impl Fn(String) -> String) -> Utf8PathBuf {
        assert_ne!(self.root, sources(), "the real source tree is not for editing");
        let path = self.root.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(text)).unwrap();
        path
    }

    /// Puts a shell script before all other programs in PATH.
    pub(crate) fn program(&mut self, name: &str, script: &str) {
        let path = self.path("programs").join(name);
        // A shell writes it: a file that we had open for writing could be inherited by a parallel test's
        // child for a moment, and then not be executed.
        let text = format!("#!/bin/sh\n{script}\n");
        let words = ["-c", "printf '%s' \"$1\" > \"$2\"", "sh", &text, path.as_str()];
        assert!(Command::new("sh").args(words).status().unwrap().success());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.programs = Some(self.path("programs"));
    }

    /// Leaves in PATH what `doctor` declares for a purpose, and what any Debian has.
    pub(crate) fn only_declared(&mut self, purpose: Purpose) {
        let folder = self.path("declared");
        std::fs::create_dir(&folder).unwrap();
        let Ok(Request::Run(cli)) = xtask::usage::parse(["xtask", "doctor"].map(Into::into)) else { panic!() };
        let ctx = Ctx::new(&cli.global, Events::discard(), Cancel::default()).unwrap();
        doctor::link(&ctx, &Host::this(), &doctor::needs(purpose), &folder).unwrap();
        (self.programs, self.only_programs) = (Some(folder), true);
    }

    /// Runs the program with these words to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.start(words).ends_within(SLOW)
    }

    /// Starts the program with these words.
    pub(crate) fn start(&self, words: &[&str]) -> Run {
        Run::start(self, words)
    }

    /// The environment of a run.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("XDG_CACHE_HOME", self.path("cache").into_string()),
            ("TMPDIR", self.temporary().to_string()),
            ("CARGO_MANIFEST_DIR", self.root.join("xtask").into_string()),
        ];
        if self.own_keys {
            variables.push(("XDG_CONFIG_HOME", self.path("config").into_string()));
        }
        if let Some(programs) = &self.programs {
            let path = std::env::var("PATH").unwrap();
            variables
                .push(("PATH", if self.only_programs { programs.to_string() } else { format!("{programs}:{path}") }));
        }
        variables
    }

    /// What the cache holds. Locks are no content, and a stamp's time only says when it was last used.
    pub(crate) fn fingerprint(&self) -> Print {
        let mut print = Print::new();
        let mut folders = vec![self.cache()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir_utf8().into_iter().flatten() {
                let path = entry.unwrap().into_path();
                let meta = path.metadata().unwrap();
                match path.extension() {
                    Some("lock") => continue,
                    Some("stamp") => print.insert(path.clone(), (meta.len(), meta.ino(), 0)),
                    _ if meta.is_dir() && folder == self.cache() => None,
                    _ => print.insert(path.clone(), (meta.len(), meta.ino(), meta.mtime())),
                };
                if meta.is_dir() {
                    folders.push(path);
                }
            }
        }
        print
    }

    /// Nothing in the cache is new, gone or different since the fingerprint was taken.
    #[track_caller]
    pub(crate) fn unchanged_since(&self, before: &Print) {
        let after = self.fingerprint();
        let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed: Vec<_> = paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "changed in the cache: {changed:#?}");
    }

    /// The cache holds nothing but finished results of one stage, if anything.
    #[track_caller]
    pub(crate) fn holds_only(&self, stage: &str) {
        let stage = self.cache().join(stage);
        let is_finished = |path: &Utf8PathBuf| path.starts_with(&stage) && path.extension() != Some("tmp");
        let others: Vec<_> = self.fingerprint().into_keys().filter(|path| !is_finished(path)).collect();
        assert!(others.is_empty(), "in the cache: {others:#?}");
    }

    /// Processes that runs in this place started and that still live, by their id and command line.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let mark = format!("TMPDIR={}\0", self.temporary());
        let mut found = Vec::new();
        for entry in Utf8Path::new("/proc").read_dir_utf8().unwrap().flatten() {
            let Ok(id) = entry.file_name().parse() else { continue };
            // A process may end while we look.
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            if read("environ").windows(mark.len()).any(|window| window == mark.as_bytes()) {
                found.push((id, String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")));
            }
        }
        found
    }
}

/// A finished stage of the user's cache.
struct Finished {
    stage: String,
    result: Utf8PathBuf,
    stamp: Utf8PathBuf,
}

/// Makes every stage in the user's cache, once, and says which results a run uses.
fn finished() -> &'static [Finished] {
    static FINISHED: OnceLock<Result<Vec<Finished>, String>> = OnceLock::new();
    let finished = FINISHED.get_or_init(|| made_by(&["boot", "--accel", "tcg", "--", "true"]));
    finished.as_ref().unwrap_or_else(|said| panic!("the pipeline does not work on a good day:\n{said}"))
}

/// Runs the program in the user's cache, and says which results it used; or what it said when it failed.
fn made_by(words: &[&str]) -> Result<Vec<Finished>, String> {
    let before = SystemTime::now();
    let place = Place::empty();
    let warm = Run::in_users_cache(&place, words).ends_within(30 * SLOW);
    if warm.code != 0 {
        return Err(warm.err);
    }
    Ok(used_since(&users_cache(), before))
}

/// Our folder of the user's cache.
pub(crate) fn users_cache() -> Utf8PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME").map(Utf8PathBuf::from);
    let cache = cache.unwrap_or_else(|_| Utf8PathBuf::from(std::env::var("HOME").unwrap()).join(".cache"));
    cache.join("openwrt-offload")
}

/// Finished stages whose stamp was touched since.
fn used_since(cache: &Utf8Path, since: SystemTime) -> Vec<Finished> {
    let mut found = Vec::new();
    for stage in cache.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).filter(|path| path.is_dir()) {
        for entry in stage.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()) {
            let recent = || entry.metadata().unwrap().modified().unwrap() >= since;
            if entry.extension() == Some("stamp") && recent() {
                let stage = stage.file_name().unwrap().to_owned();
                found.push(Finished { stage, result: entry.with_extension(""), stamp: entry });
            }
        }
    }
    found
}

/// Copies a tree, links as links.
fn copy_tree(from: &Utf8Path, to: &Utf8Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let meta = from.symlink_metadata().unwrap();
    if meta.is_symlink() {
        symlink(from.read_link_utf8().unwrap(), to).unwrap();
    } else if meta.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in from.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            copy_tree(entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}
