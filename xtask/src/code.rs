//! Digests of this program's own code, an input of every stage.
//!
//! Nothing here is a list by hand. cargo tells which crates exist and which depend on which; the code of a crate is the
//! files in its folder, files that it embeds from elsewhere, and the code of all its dependencies. A new crate counts
//! as soon as it is linked.
//!
//! If cargo cannot be asked, or a source was changed after cargo began to compile, the sources may not be those of this
//! program; then the program's own bytes stand for all of it.

pub(crate) mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use host::Job;
use model::{Cancel, Digest, Exit, Failure, Problem, Result};
use serde::Deserialize;

/// Deadline for cargo to read its manifests.
const METADATA: Duration = Duration::from_secs(60);

/// The code of a program, by crate.
#[derive(Debug, Clone)]
pub struct Code {
    /// The code that every stage uses: this crate, the compiler, and the versions of all dependencies.
    common: Digest,
    /// The other crates, by their names in sources.
    crates: BTreeMap<String, Part>,
}

/// One crate.
#[derive(Debug, Clone)]
struct Part {
    digest: Digest,
    /// Crates that it depends on, directly or not.
    needs: BTreeSet<String>,
}

impl Code {
    /// Folders and files of this crate that only call stages, or receive their events: no result depends on them. A
    /// test checks that nothing else in this crate uses them.
    pub(crate) const ABOVE: [&str; 5] = ["cmd", "report", "sink", "lib", "main"];

    /// Crates that every stage uses, since this one does.
    pub(crate) const BENEATH: [&str; 2] = ["host", "model"];

    /// The code of the running program.
    pub(crate) fn of_this_program(cargo: &OsStr, cancel: &Cancel) -> Result<Code> {
        let program = std::env::current_exe()
            .and_then(|path| Utf8PathBuf::from_path_buf(path).map_err(|_| std::io::ErrorKind::InvalidFilename.into()))
            .map_err(|error| Failure::io("find this program", "/proc/self/exe", &error))?;
        let sources = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Utf8Path::new("/"));
        match Workspace::read(cargo, sources, cancel).and_then(|workspace| Code::of_sources(&workspace, began())) {
            Ok(code) => Ok(code),
            Err(failure) if failure.exit() == Exit::Interrupted => Err(failure),
            Err(_cannot_be_told_apart) => Code::of_bytes(&program),
        }
    }

    /// The code of the program that cargo builds from these sources, unless one was changed since `began`.
    pub fn of_sources(workspace: &Workspace, began: Option<SystemTime>) -> Result<Code> {
        let mut common = vec![workspace.surroundings()?];
        let mut crates = BTreeMap::new();
        for member in &workspace.members {
            let mut files = workspace.files(member)?;
            if member.package == env!("CARGO_PKG_NAME") {
                files.retain(|file| !is_above(file, member));
            }
            files.iter().try_for_each(|file| unchanged(file, began))?;
            let digest = workspace.digest(files)?;
            if member.package == env!("CARGO_PKG_NAME") {
                common.push(digest);
            }
            let needs = workspace.needed(&member.name).into_iter().map(str::to_owned).collect();
            crates.insert(member.name.clone(), Part { digest, needs });
        }
        Ok(Code { common: together(common), crates })
    }

    /// The code of a program of which only the bytes are known.
    fn of_bytes(program: &Utf8Path) -> Result<Code> {
        let io = |error: std::io::Error| Failure::io("read this program", program, &error);
        let mut file = std::fs::File::open(program).map_err(io)?;
        let (common, _length) = Digest::of_reader(&mut file).map_err(io)?;
        Ok(Code { common, crates: BTreeMap::new() })
    }

    /// Uses a text as code, for tests.
    #[cfg(test)]
    pub(crate) fn fixed(text: &str) -> Code {
        Code { common: Digest::of(text), crates: BTreeMap::new() }
    }

    /// The digest of the code that runs when this program calls these crates.
    pub fn of(&self, crates: &[&str]) -> Digest {
        let parts = crates.iter().chain(&Code::BENEATH).filter_map(|name| self.crates.get(*name));
        let needed: BTreeSet<&String> = parts.flat_map(|part| &part.needs).collect();
        let digests = needed.into_iter().filter_map(|name| self.crates.get(name)).map(|part| part.digest);
        together(std::iter::once(self.common).chain(digests))
    }
}

/// Fails if a file was changed since `began`: the compiler may have seen the old one or the new one.
fn unchanged(file: &Utf8Path, began: Option<SystemTime>) -> Result<()> {
    let changed = std::fs::metadata(file).and_then(|meta| meta.modified());
    let changed = changed.map_err(|error| Failure::io("read a source of this program", file, &error))?;
    if began.is_some_and(|began| changed < began) { Ok(()) } else { Err(unknown(file, "it was changed meanwhile")) }
}

fn is_above(file: &Utf8Path, this: &Member) -> bool {
    let first = file.strip_prefix(this.folder.join("src")).ok().and_then(|file| file.components().next());
    first.is_some_and(|first| Code::ABOVE.contains(&first.as_str().trim_end_matches(".rs")))
}

/// When this process began. `cargo run` execs the program, so this is when cargo began.
fn began() -> Option<SystemTime> {
    const STARTED: usize = 19; // the 22nd field of proc(5), counted from after the program's name
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(STARTED)?.parse().ok()?;
    let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    let started = ticks / f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).ok()?);
    SystemTime::now().checked_sub(Duration::try_from_secs_f64(uptime - started).ok()?)
}

/// A cargo workspace: its crates, and their dependencies on each other.
#[derive(Debug)]
pub struct Workspace {
    root: Utf8PathBuf,
    members: Vec<Member>,
}

/// A crate of the workspace.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// Its name in sources.
    name: String,
    package: String,
    folder: Utf8PathBuf,
    /// The folders of the crates that it is linked with.
    needs: Vec<Utf8PathBuf>,
}

impl Workspace {
    /// Asks cargo about the workspace in this folder.
    ///
    /// # Errors
    /// `SRC001` when cargo fails.
    pub fn read(cargo: &OsStr, root: &Utf8Path, cancel: &Cancel) -> Result<Workspace> {
        let words = ["metadata", "--no-deps", "--offline", "--format-version", "1"].map(OsString::from);
        let words: Vec<OsString> = std::iter::once(cargo.to_owned()).chain(words).collect();
        let output = Job::of_words(&words, root, METADATA).output(cancel)?;
        match serde_json::from_str(&output.stdout) {
            Ok(metadata) => Ok(Workspace::of(root, metadata)),
            Err(_) => Err(unknown(root, output.last_words())),
        }
    }

    fn of(root: &Utf8Path, metadata: Metadata) -> Workspace {
        let member = |package: Package| {
            let library = package.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "lib"));
            let built = |need: &Need| need.kind.as_deref() != Some("dev");
            Member {
                name: library.map_or(package.name.clone(), |library| library.name.clone()),
                package: package.name,
                folder: package.manifest_path.parent().unwrap_or(root).to_owned(),
                needs: package.dependencies.into_iter().filter(built).filter_map(|need| need.path).collect(),
            }
        };
        Workspace { root: root.to_owned(), members: metadata.packages.into_iter().map(member).collect() }
    }

    /// The names of the crates in sources.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The folder of a crate.
    pub fn folder(&self, name: &str) -> Option<&Utf8Path> {
        self.members.iter().find(|member| member.name == name).map(|member| member.folder.as_path())
    }

    /// The crates that a crate depends on, itself included.
    pub fn needed(&self, name: &str) -> BTreeSet<&str> {
        let members = self.members.iter().filter(|member| member.name == name);
        members.flat_map(|member| self.closure(member)).map(|needed| needed.name.as_str()).collect()
    }

    /// The digest of everything that cargo builds this package from: its folder and those of the crates that it depends
    /// on.
    pub fn package(&self, package: &str) -> Result<Digest> {
        let found = self.members.iter().find(|member| member.package == package);
        let found = found.ok_or_else(|| no_package(&self.root, package))?;
        let mut files = Vec::new();
        for member in self.closure(found) {
            files.extend(self.files(member)?);
        }
        Ok(together([self.surroundings()?, self.digest(files)?]))
    }

    /// The files that a crate is built from: those in its folder, without tests and crates below it, and files that it
    /// embeds from elsewhere.
    fn files(&self, member: &Member) -> Result<Vec<Utf8PathBuf>> {
        const NOT_BUILT: [&str; 4] = ["tests", "tests.rs", "benches", "examples"];
        let mut files = Vec::new();
        let mut folders = vec![member.folder.clone()];
        while let Some(folder) = folders.pop() {
            let io = |error: std::io::Error| Failure::io("list the sources", &folder, &error);
            for entry in folder.read_dir_utf8().map_err(io)? {
                let entry = entry.map_err(io)?;
                let path = entry.path();
                match entry.file_type().map_err(io)?.is_dir() {
                    _ if NOT_BUILT.contains(&entry.file_name()) => {}
                    // Skips cargo's output and hidden files of other programs.
                    true if entry.file_name() == "target" || entry.file_name().starts_with('.') => {}
                    true if path.join("Cargo.toml").exists() => {}
                    true => folders.push(path.to_owned()),
                    false if path.extension() == Some("md") => {}
                    false => files.push(path.to_owned()),
                }
            }
        }
        let mut embedded = Vec::new();
        for file in files.iter().filter(|file| file.extension() == Some("rs")) {
            let text = std::fs::read_to_string(file).map_err(|error| Failure::io("read a source", file, &error))?;
            embedded.extend(embeds(&text).map(|path| file.with_file_name(path)).filter(|path| path.exists()));
        }
        files.extend(embedded);
        Ok(files)
    }

    /// The compiler, and the versions of all dependencies from outside the workspace.
    fn surroundings(&self) -> Result<Digest> {
        let files = ["Cargo.toml", "Cargo.lock"].map(|name| self.root.join(name));
        Ok(together([Digest::of(env!("XTASK_RUSTC_VERSION")), self.digest(files)?]))
    }

    /// The digest of files, by their paths below the root and their contents.
    fn digest(&self, files: impl IntoIterator<Item = Utf8PathBuf>) -> Result<Digest> {
        let mut files: Vec<Utf8PathBuf> = files.into_iter().collect();
        files.sort();
        files.dedup();
        fields::digest(|hash| {
            files.iter().try_for_each(|file| {
                hash.field(file.strip_prefix(&self.root).unwrap_or(file).as_str().as_bytes());
                let content = std::fs::read(file);
                hash.field(&content.map_err(|error| Failure::io("read a source of the program", file, &error))?);
                Ok(())
            })
        })
    }

    /// A crate and everything that it depends on.
    fn closure<'a>(&'a self, member: &'a Member) -> BTreeSet<&'a Member> {
        let mut found = BTreeSet::new();
        let mut next = vec![member];
        while let Some(member) = next.pop() {
            if found.insert(member) {
                next.extend(self.members.iter().filter(|other| member.needs.contains(&other.folder)));
            }
        }
        found
    }
}

/// The paths that a source embeds.
fn embeds(source: &str) -> impl Iterator<Item = &str> {
    let behind = ["include_str!(\"", "include_bytes!(\""].into_iter().flat_map(|call| source.split(call).skip(1));
    behind.filter_map(|rest| rest.split_once('"')).map(|(path, _rest)| path)
}

fn together(digests: impl IntoIterator<Item = Digest>) -> Digest {
    Digest::of(digests.into_iter().flat_map(|digest| digest.0).collect::<Vec<u8>>())
}

fn no_package(root: &Utf8Path, package: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "SRC002",
        what: format!("there is no package `{package}` in this workspace"),
        why: "a recipe builds a program of this workspace: `cargo.package` is the name in its Cargo.toml",
        fix: "correct `cargo` in the recipe of the program",
    })
    .at(root)
}

fn unknown(place: &Utf8Path, why: impl Into<String>) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "SRC001",
        what: "cargo does not tell what a program is built from",
        why,
        fix: "run `cargo metadata --no-deps` there, and fix what it reports",
    })
    .at(place)
}

/// The parts of `cargo metadata`'s output that are used.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: Utf8PathBuf,
    targets: Vec<Built>,
    dependencies: Vec<Need>,
}

#[derive(Debug, Deserialize)]
struct Built {
    kind: Vec<String>,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Need {
    path: Option<Utf8PathBuf>,
    kind: Option<String>,
}
