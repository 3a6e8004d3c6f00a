//! Installed packages: `/usr/lib/opkg/status` and the `info` directory beside it, in opkg's layout.
//!
//! The status file is replaced in one step and decides: a package is *half-installed* from before its first file is
//! touched until the last one is in place, then *unpacked* until its `postinst` has run, then *installed*. If a run
//! dies, the next one sees how far it came. `info/NAME.dirs` is our own addition: the directories that were made for
//! the package.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use formats::control::{Control, Stanza};
use formats::depend::Term;
use model::Digest;

use crate::error::{Error, Result};
use crate::root::{Access, Root};

/// The file with one stanza for each package.
const STATUS: &str = "/usr/lib/opkg/status";
/// The folder of each package's control files and file list.
const INFO: &str = "/usr/lib/opkg/info";
/// The largest status file or file list.
const MAX_BYTES: u64 = 64 << 20;

/// The installation state of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is complete.
    Installed,
    /// The files are in place; `postinst` has not run, or failed.
    Unpacked,
    /// Only some files may be in place: it must be installed or removed again.
    HalfInstalled,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Installed => "installed",
            State::Unpacked => "unpacked",
            State::HalfInstalled => "half-installed",
        }
    }
}

/// A package of the status file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its control data, with the fields that opkg adds.
    pub control: Control,
    /// Its installation state.
    pub state: State,
    /// Each conffile with the digest of the content that the package installed.
    pub conffiles: BTreeMap<Utf8PathBuf, Digest>,
}

impl Installed {
    /// The status of a package that was just read. `asked`: the user named it; it is not just a dependency.
    pub(crate) fn new(control: &Control, asked: bool) -> Installed {
        const KEPT: [&str; 8] =
            ["Package", "Version", "Depends", "Conflicts", "Provides", "Alternatives", "Essential", "Architecture"];
        let mut kept = control.clone();
        kept.stanza = Stanza::default();
        for (name, value) in control.stanza.fields().filter(|(name, _)| KEPT.contains(name)) {
            kept.stanza.set(name, value);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        kept.stanza.set("Installed-Time", now.to_string());
        if !asked {
            kept.stanza.set("Auto-Installed", "yes");
        }
        if is_held(&control.stanza) {
            kept.stanza.set("Status", "install hold half-installed");
        }
        Installed { control: kept, state: State::HalfInstalled, conffiles: BTreeMap::new() }
    }

    /// Whether all its files are in place, so that others can depend on it.
    pub fn is_usable(&self) -> bool {
        self.state != State::HalfInstalled
    }

    /// Whether it was installed only as a dependency.
    pub fn came_along(&self) -> bool {
        self.control.stanza.get("Auto-Installed").is_some()
    }

    /// Whether upgrades skip it, because the user or the package itself says so.
    pub fn is_held(&self) -> bool {
        is_held(&self.control.stanza)
    }

    /// Sets one of opkg's flags; false for an unknown word.
    pub(crate) fn set_flag(&mut self, flag: &str) -> bool {
        match flag {
            "installed" => self.state = State::Installed,
            "unpacked" => self.state = State::Unpacked,
            "hold" | "ok" => self.control.stanza.set("Status", format!("install {flag} {}", self.state.word())),
            "user" => {
                self.control.stanza.set("Status", format!("install user {}", self.state.word()));
                self.control.stanza.remove("Auto-Installed");
            }
            _ => return false,
        }
        true
    }

    /// Reads a stanza of the status file; `None` for a package that was removed.
    fn parse(stanza: Stanza) -> Result<Option<Installed>, String> {
        let words: Vec<_> = stanza.get("Status").unwrap_or_default().split_ascii_whitespace().collect();
        let state = match words.last() {
            Some(&"installed") => State::Installed,
            Some(&("unpacked" | "half-configured" | "post-inst-failed")) => State::Unpacked,
            Some(&("half-installed" | "removal-failed")) => State::HalfInstalled,
            Some(&("not-installed" | "config-files")) => return Ok(None),
            _ => return Err(format!("the stanza of {:?} has no known Status", stanza.get("Package"))),
        };
        let mut conffiles = BTreeMap::new();
        for line in stanza.get("Conffiles").unwrap_or_default().lines().filter(|line| !line.is_empty()) {
            let wrong = || format!("the conffile line {line:?} is no path and digest");
            let (path, digest) = line.trim().split_once(' ').ok_or_else(wrong)?;
            conffiles.insert(Utf8PathBuf::from(path), digest.trim().parse().map_err(|_no_digest| wrong())?);
        }
        let control = Control::new(stanza).map_err(|error| error.to_string())?;
        Ok(Some(Installed { control, state, conffiles }))
    }

    /// The stanza as it is in the status file.
    pub fn stanza(&self) -> Stanza {
        let mut stanza = self.control.stanza.clone();
        let flags = match (is_held(&stanza), !self.came_along()) {
            (true, true) => "hold,user",
            (true, false) => "hold",
            (false, true) => "user",
            (false, false) => "ok",
        };
        stanza.set("Status", format!("install {flags} {}", self.state.word()));
        let lines = self.conffiles.iter().map(|(path, digest)| format!("\n{path} {digest}"));
        match lines.collect::<String>() {
            none if none.is_empty() => stanza.remove("Conffiles"),
            lines => stanza.set("Conffiles", lines),
        }
        stanza
    }
}

/// Whether the flags in the middle of `Status` include `hold`.
fn is_held(stanza: &Stanza) -> bool {
    let flags = stanza.get("Status").unwrap_or_default().split_ascii_whitespace().nth(1);
    flags.is_some_and(|flags| flags.split(',').any(|flag| flag == "hold"))
}

/// The content of the status file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status(pub(crate) BTreeMap<String, Installed>);

impl Status {
    pub(crate) fn load(root: &Root) -> Result<Status> {
        let path = Utf8Path::new(STATUS);
        let wrong = |problem: String| Error::State { path: path.to_owned(), problem };
        let bytes = root.read(path, MAX_BYTES)?.unwrap_or_default();
        let mut packages = BTreeMap::new();
        for stanza in Stanza::parse_all(&bytes).map_err(|error| wrong(error.to_string()))? {
            if let Some(package) = Installed::parse(stanza).map_err(wrong)? {
                packages.insert(package.control.package.clone(), package);
            }
        }
        Ok(Status(packages))
    }

    /// Replaces the file in one step.
    pub(crate) fn save(&self, root: &Root) -> Result<()> {
        let path = Utf8Path::new(STATUS);
        root.make_parents(path)?;
        let text: String = self.0.values().map(|package| format!("{}\n", package.stanza())).collect();
        root.write(path, Access::root(0o644), true, &mut text.as_bytes())
    }

    /// The package of that name, if all its files are in place.
    pub(crate) fn usable(&self, name: &str) -> Option<&Installed> {
        self.0.get(name).filter(|package| package.is_usable())
    }

    /// The paths in `info/….list` or `info/….dirs` of all packages except one.
    pub(crate) fn paths_of_others(&self, root: &Root, name: &str, kind: &str) -> Result<BTreeSet<Utf8PathBuf>> {
        let mut paths = BTreeSet::new();
        for other in self.0.keys().filter(|other| *other != name) {
            paths.extend(read_paths(root, other, kind)?);
        }
        Ok(paths)
    }

    /// A usable package that satisfies the term and is not in `without`.
    pub(crate) fn provider(&self, term: &Term, without: &BTreeSet<String>) -> Option<&Installed> {
        self.0.values().find(|package| {
            package.is_usable() && !without.contains(&package.control.package) && package.control.satisfies(term)
        })
    }
}

/// Path of one of a package's files in the info directory, such as `NAME.list`.
pub(crate) fn info_file(name: &str, kind: &str) -> Utf8PathBuf {
    Utf8Path::new(INFO).join(format!("{name}.{kind}"))
}

/// The paths in `info/NAME.list` or `info/NAME.dirs`.
pub(crate) fn read_paths(root: &Root, name: &str, kind: &str) -> Result<BTreeSet<Utf8PathBuf>> {
    let path = info_file(name, kind);
    let bytes = root.read(&path, MAX_BYTES)?.unwrap_or_default();
    let text = String::from_utf8(bytes)
        .map_err(|_not_utf8| Error::State { path: path.clone(), problem: "the list is not UTF-8".into() })?;
    let plain = |line: &str| line.starts_with('/') && !line.split('/').any(|part| part == "..");
    if let Some(line) = text.lines().find(|line| !plain(line)) {
        return Err(Error::State { path, problem: format!("{line:?} is not an absolute, plain path") });
    }
    Ok(text.lines().map(Utf8PathBuf::from).collect())
}

/// Writes `info/NAME.list` or `info/NAME.dirs`.
pub(crate) fn write_paths<Paths: Iterator<Item = Utf8PathBuf>>(
    root: &Root,
    name: &str,
    kind: &str,
    paths: impl Fn() -> Paths,
) -> Result<()> {
    let path = info_file(name, kind);
    root.make_parents(&path)?;
    root.write_text(&path, Access::root(0o644), false, &|text| paths().try_for_each(|path| writeln!(text, "{path}")))
}

/// Writes one of a package's files in the info directory.
pub(crate) fn write_info(root: &Root, name: &str, kind: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let path = info_file(name, kind);
    root.make_parents(&path)?;
    root.write(&path, Access::root(mode), false, &mut &bytes[..])
}

/// Removes a package's files from the info directory, except those of the kinds in `keep`.
pub(crate) fn remove_info(root: &Root, name: &str, keep: &[&str]) -> Result<()> {
    for file in root.names(Utf8Path::new(INFO))? {
        // Kinds have no dot; names of packages may.
        if let Some((package, kind)) = file.rsplit_once('.')
            && package == name
            && !keep.contains(&kind)
        {
            root.remove(&Utf8Path::new(INFO).join(&file))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(status: &str) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("usr/lib/opkg")).unwrap();
        std::fs::write(folder.path().join("usr/lib/opkg/status"), status).unwrap();
        let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        (folder, root)
    }

    #[test]
    fn what_opkg_wrote_is_read_and_written_back() {
        let digest = "a".repeat(64);
        let text = format!(
            "Package: base-files\nVersion: 1\nDepends: libc\nStatus: install user installed\nEssential: yes\n\
             Architecture: x86_64\nConffiles: \n /etc/hosts {digest}\nInstalled-Time: 1\n\n\
             Package: gone\nVersion: 1\nStatus: deinstall ok not-installed\nArchitecture: all\n\n\
             Package: torn\nVersion: 1\nStatus: install ok half-installed\nArchitecture: all\n\n"
        );
        let (folder, root) = scratch(&text);
        let status = Status::load(&root).unwrap();
        assert_eq!(status.0.keys().collect::<Vec<_>>(), ["base-files", "torn"]);
        assert!(status.usable("base-files").is_some() && status.usable("torn").is_none());
        let conffiles = &status.0["base-files"].conffiles;
        assert_eq!(conffiles[Utf8Path::new("/etc/hosts")].to_string(), digest);
        status.save(&root).unwrap();
        let again = Status::load(&root).unwrap();
        assert_eq!(again.0["base-files"].conffiles, *conffiles);
        let written = std::fs::read_to_string(folder.path().join("usr/lib/opkg/status")).unwrap();
        assert!(written.contains("Essential: yes\n") && written.contains("Status: install user installed\n"));
    }

    #[test]
    fn a_damaged_state_is_no_empty_state() {
        for text in [
            "Package: a\nVersion: 1\nArchitecture: all\n",
            "Package: a\nStatus: install ok installed\n",
            "Package: a\nVersion: 1\nArchitecture: all\nStatus: install ok installed\nConffiles:\n /etc/a xyz\n",
            "nonsense",
        ] {
            let (_folder, root) = scratch(text);
            let error = Status::load(&root).unwrap_err();
            assert!(error.id() == "INST024" && error.line().contains("/usr/lib/opkg/status"), "{}", error.line());
        }
        let (_folder, root) = scratch("");
        write_info(&root, "a", "list", 0o644, b"/ok\n/a/../b\n").unwrap();
        assert_eq!(read_paths(&root, "a", "list").unwrap_err().id(), "INST024");
    }

    #[test]
    fn the_info_of_a_package_is_not_that_of_a_longer_name() {
        let (_folder, root) = scratch("");
        for name in ["a", "a.b"] {
            write_info(&root, name, "list", 0o644, b"/x\n").unwrap();
            write_info(&root, name, "control", 0o644, b"").unwrap();
        }
        remove_info(&root, "a", &["list"]).unwrap();
        assert_eq!(root.names(INFO.into()).unwrap(), ["a.b.control", "a.b.list", "a.list"]);
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read(names in proptest::collection::btree_set("[a-z][a-z0-9+.-]{0,8}", 0..4), kept in "[!-~]{1,10}") {
            let (_folder, root) = scratch("");
            let mut status = Status::default();
            for name in names {
                let text = format!("Package: {name}\nVersion: 1\nArchitecture: all\n");
                let mut package = Installed::new(&Control::parse(text.as_bytes()).unwrap(), name.len() % 2 == 0);
                package.conffiles.insert(format!("/etc/{kept}").into(), Digest::of(&name));
                status.0.insert(name, package);
            }
            status.save(&root).unwrap();
            let read = Status::load(&root).unwrap();
            proptest::prop_assert_eq!(read.0.len(), status.0.len());
            for (name, package) in &status.0 {
                proptest::prop_assert_eq!(&read.0[name].conffiles, &package.conffiles);
                proptest::prop_assert_eq!(read.0[name].state, State::HalfInstalled);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            let (_folder, root) = scratch("");
            root.write(STATUS.into(), Access::root(0o644), false, &mut &bytes[..]).unwrap();
            let _refused = Status::load(&root);
        }
    }
}
