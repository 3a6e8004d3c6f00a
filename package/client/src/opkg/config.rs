//! `/etc/opkg.conf` and `/etc/opkg/*.conf`, read as opkg does.
//!
//! For a root other than the running system, `/etc/opkg.conf` is read only if it is named, as in opkg.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::switches::Switches;
use crate::error::{Error, Result};
use crate::root::Root;

/// The largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// How long a run waits for another run's lock by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// A feed: one `src` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, which is also the name of its list.
    pub name: String,
    /// The directory that holds `Packages`: `http://…`, `file:///…` or a path.
    pub url: String,
    /// Whether `Packages.gz` is fetched instead of `Packages`.
    pub gzip: bool,
}

/// The settings from files and command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The feeds, in the order of the files.
    pub sources: Vec<Source>,
    /// Accepted architectures with their priority: the highest wins between equal versions.
    pub arches: BTreeMap<String, u32>,
    /// Folder of the lists, seen from the root.
    pub lists: Utf8PathBuf,
    /// Folder of the trusted keys, named by fingerprint, seen from the root.
    pub keys: Utf8PathBuf,
    /// Whether lists must be signed. No file can turn it off; when it is off, each run warns.
    pub check_signature: bool,
    /// Whether maintainer scripts are run. Not in a root that is not the running system.
    pub run_scripts: bool,
    /// Checks that the user turned off, and other special wishes.
    pub switches: Switches,
    /// Folder to download packages to, instead of installing them.
    pub download_only: Option<Utf8PathBuf>,
    /// Only report the changes of packages, do not make them. As with opkg, `update` and `download` still write what they
    /// fetch.
    pub simulate: bool,
    /// How long to wait for another run that holds the root's lock.
    pub patience: Duration,
    /// Settings in the files that have no effect, one sentence each.
    pub notes: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let arches = [("all", 1), ("noarch", 1), (std::env::consts::ARCH, 10)];
        Config {
            sources: Vec::new(),
            arches: arches.map(|(name, priority)| (name.to_owned(), priority)).into(),
            lists: "/var/opkg-lists".into(),
            keys: "/etc/opkg/keys".into(),
            check_signature: true,
            run_scripts: true,
            switches: Switches::default(),
            download_only: None,
            simulate: false,
            patience: PATIENCE,
            notes: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the configuration of the running system, whose root is `root`.
    pub fn load(root: &Root) -> Result<Config> {
        let text = read(root, "/etc/opkg.conf".into())?;
        Config::default().with(text)?.with_folder(root)
    }

    /// Reads the configuration of a root other than the running system; scripts will not be run.
    pub fn load_offline(root: &Root) -> Result<Config> {
        Config { run_scripts: false, ..Config::default() }.with_folder(root)
    }

    /// Adds the text of one more file.
    pub fn with_text(self, file: &Utf8Path, text: &str) -> Result<Config> {
        self.with(Some((file.to_owned(), text.to_owned())))
    }

    /// Accepts another architecture. The first one replaces the built-in list.
    #[must_use]
    pub fn with_arch(mut self, name: &str, priority: u32) -> Config {
        if self.arches == Config::default().arches {
            self.arches.clear();
        }
        self.arches.insert(name.to_owned(), priority);
        self
    }

    /// Adds `/etc/opkg/*.conf` of the root, in the order of their names.
    pub fn with_folder(mut self, root: &Root) -> Result<Config> {
        let folder = Utf8Path::new("/etc/opkg");
        for name in root.names(folder)? {
            if name.ends_with(".conf") && !name.starts_with('.') {
                self = self.with(read(root, &folder.join(name))?)?;
            }
        }
        Ok(self)
    }

    fn with(mut self, file: Option<(Utf8PathBuf, String)>) -> Result<Config> {
        let Some((file, text)) = file else { return Ok(self) };
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem: String| Error::Config { file: file.clone(), line: index + 1, problem };
            let words = words(line).map_err(wrong)?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if let Some((word, rest)) = words.split_first() {
                self = self.apply(word, rest).map_err(wrong)?;
            }
        }
        Ok(self)
    }

    /// Applies one line of a file.
    fn apply(mut self, word: &str, rest: &[&str]) -> Result<Config, String> {
        match (word, rest) {
            ("src" | "src/gz", [name, url]) => {
                if !is_file_name(name) {
                    return Err(format!(
                        "`{name}` cannot be the name of a feed, because its list is a file of that name"
                    ));
                }
                if self.sources.iter().any(|source| source.name == *name) {
                    self.notes.push(format!("Duplicate src declaration ({name} {url}). Skipping."));
                } else {
                    let url = url.trim_end_matches('/').to_owned();
                    self.sources.push(Source { name: (*name).to_owned(), url, gzip: word == "src/gz" });
                }
            }
            ("arch", [name, priority]) => {
                let priority =
                    priority.parse().map_err(|_not_a_number| format!("the priority `{priority}` is not a number"))?;
                self = self.with_arch(name, priority);
            }
            ("lists_dir", [_kind, path]) if path.starts_with('/') => self.lists = path.into(),
            ("option", ["check_signature"]) => self.check_signature = true,
            // As with opkg, any value turns the check on; only leaving the line out leaves it off.
            ("option", ["check_signature", _value]) => self.check_signature = true,
            // The root alone decides on which file system a package lands.
            ("dest", [_name, path]) if path.starts_with('/') => {}
            ("option", ["overlay_root", _path]) => {}
            ("option", [key, value @ ..]) if value.len() < 2 && self.switches.named(key).is_some() => {
                if let Some(switch) = self.switches.named(key) {
                    *switch = *value != ["0"];
                }
            }
            ("option", [key] | [key, _]) => self.notes.push(format!("The option {key} has no effect here.")),
            _ => return Err(format!("`{word}` is not a directive, or has the wrong number of arguments")),
        }
        Ok(self)
    }
}

fn read(root: &Root, path: &Utf8Path) -> Result<Option<(Utf8PathBuf, String)>> {
    let Some(bytes) = root.read(path, MAX_BYTES)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|&byte| byte == b'\n').count();
        Error::Config { file: path.to_owned(), line, problem: "the line is not UTF-8".into() }
    })?;
    Ok(Some((path.to_owned(), text)))
}

/// Whether a name can be a file name: one component that is not hidden.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']) && name.len() < 200
}

/// Splits a line into words; a word may be in double quotes, `#` starts a comment.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut left = line.trim();
    while !left.is_empty() && !left.starts_with('#') {
        let (word, rest) = match left.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => left.split_once(char::is_whitespace).unwrap_or((left, "")),
        };
        words.push(word.to_owned());
        left = rest.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::default().with_text("/etc/opkg.conf".into(), text)
    }

    #[test]
    fn the_shipped_files_are_understood() {
        let config = parse(concat!(
            "dest root /\ndest ram /tmp\nlists_dir ext /var/lists\noption overlay_root /overlay\n",
            "option check_signature\n\n# a comment\nsrc/gz core \"http://192.0.2.1/core/\" # trailing\n",
            "src plain file:///feed\nsrc/gz core http://elsewhere\narch all 1\narch x86_64 10\noption http_proxy x\n",
        ))
        .unwrap();
        let source = |name: &str, url: &str, gzip| Source { name: name.into(), url: url.into(), gzip };
        let sources = [source("core", "http://192.0.2.1/core", true), source("plain", "file:///feed", false)];
        assert_eq!(config.sources, sources);
        assert_eq!(config.arches, [("all".to_owned(), 1), ("x86_64".to_owned(), 10)].into());
        assert_eq!((config.lists.as_str(), config.check_signature), ("/var/lists", true));
        assert_eq!(config.notes.len(), 2, "{:?}", config.notes);
        assert!(config.notes[0].contains("Duplicate") && config.notes[1].contains("http_proxy"));
    }

    #[test]
    fn signatures_are_checked_unless_a_file_says_otherwise() {
        assert!(parse("").unwrap().check_signature);
        assert!(parse("option check_signature 1").unwrap().check_signature);
        assert!(parse("option check_signature 0").unwrap().check_signature);
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        for line in [
            "src/gz name",
            "src/gz ../name http://x",
            "src/gz .name http://x",
            "arch x86_64 ten",
            "arch x86_64",
            "lists_dir ext relative",
            "wget x",
            "src \"open",
            "option",
        ] {
            let error = parse(&format!("# first\n{line}\n")).unwrap_err();
            assert_eq!(error.id(), "OPKG002", "{line}");
            assert!(error.line().contains("/etc/opkg.conf:2:"), "{}", error.line());
        }
    }

    #[test]
    fn an_offline_root_has_its_own_files_and_no_scripts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("etc/opkg")).unwrap();
        let write = |path: &str, text: &[u8]| std::fs::write(folder.path().join(path), text).unwrap();
        write("etc/opkg.conf", b"arch ignored 5\n");
        write("etc/opkg/b.conf", b"src/gz two /two\n");
        write("etc/opkg/a.conf", b"src/gz one /one\n");
        write("etc/opkg/other", b"nonsense\n");
        let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        let config = Config::load_offline(&root).unwrap();
        let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!((names, config.run_scripts), (vec!["one", "two"], false));
        assert!(config.arches.contains_key("noarch"));
        let config = Config::load(&root).unwrap();
        assert!(config.run_scripts && config.arches.contains_key("ignored"));
        write("etc/opkg/a.conf", b"# ok\n\xff\n");
        assert!(Config::load(&root).unwrap_err().line().contains("[OPKG002] /etc/opkg/a.conf:2:"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_or_stop_checking(text in "(src/gz|src|option|arch|dest|lists_dir|[ \"#/a-z0-9\n])*") {
            if let Ok(config) = parse(&text) {
                proptest::prop_assert!(config.check_signature);
                proptest::prop_assert!(config.sources.iter().all(|source| is_file_name(&source.name)));
            }
        }
    }
}
