//! apk's repositories, architectures and trusted keys: `/etc/apk/repositories`, `repositories.d/*.list`, `arch` and
//! `keys`.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use formats::ec::PublicKey;

use crate::error::{Error, Result};
use crate::root::Root;

/// The largest configuration or key file.
const MAX_BYTES: u64 = 1 << 20;
/// Folders of repository lists; of two files with the same name, the one in the first folder counts.
const LISTS: [&str; 2] = ["/etc/apk/repositories.d", "/lib/apk/repositories.d"];
/// Folders of trusted keys.
const KEYS: [&str; 2] = ["/etc/apk/keys", "/lib/apk/keys"];
/// The architectures of packages that fit any machine.
const ANY_MACHINE: [&str; 2] = ["noarch", ""];
/// How long a run waits for another run to release the lock.
const PATIENCE: Duration = Duration::from_secs(60);

/// The settings from files and command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Addresses of indexes, in the order of the files: `http://…`, `file:///…` or a path.
    pub repositories: Vec<String>,
    /// Accepted architectures, the system's own first; packages for any machine need no entry.
    pub arches: Vec<String>,
    /// Trusted keys. Packages and indexes signed by none of them are always refused.
    pub keys: Vec<PublicKey>,
    /// Whether maintainer scripts are run. Not in a root that is not the running system.
    pub run_scripts: bool,
    /// Only report the changes, do not make them.
    pub simulate: bool,
    /// Whether a package may overwrite files of other packages.
    pub force_overwrite: bool,
    /// How long to wait for another run that holds the root's lock.
    pub patience: Duration,
    /// Settings in the files that have no effect, one sentence each.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads the files of a root. Scripts are run if it is the root of the running system.
    pub fn load(root: &Root) -> Result<Config> {
        let mut config = Config {
            repositories: Vec::new(),
            arches: arches(root)?,
            keys: Vec::new(),
            run_scripts: root.path() == "/",
            simulate: false,
            force_overwrite: false,
            patience: PATIENCE,
            notes: Vec::new(),
        };
        for folder in KEYS {
            for name in root.names(folder.into())? {
                config.add_key(root, &Utf8Path::new(folder).join(name))?;
            }
        }
        let mut lists = BTreeMap::new();
        for folder in LISTS {
            let names = root.names(folder.into())?.into_iter();
            for name in names.filter(|name| name.ends_with(".list") && !name.starts_with('.')) {
                lists.entry(name.clone()).or_insert(Utf8Path::new(folder).join(name));
            }
        }
        for path in [Utf8PathBuf::from("/etc/apk/repositories")].iter().chain(lists.values()) {
            if let Some(text) = read(root, path)? {
                config.add_list(path, &text)?;
            }
        }
        Ok(config)
    }

    /// Adds the repositories of a list file.
    fn add_list(&mut self, file: &Utf8Path, text: &str) -> Result<()> {
        for (line, number) in text.lines().zip(1..) {
            let wrong = |problem| Error::Repositories { file: file.to_owned(), line: number, problem };
            self.add_repository(line).map_err(wrong)?;
        }
        Ok(())
    }

    /// Adds the repository of a line; empty lines and comments add none.
    pub fn add_repository(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let index = |url: &str| match url {
            _ if url.contains('$') => Err(format!("variables, as in `{url}`, are not known")),
            _ if url.ends_with(".adb") => Ok(url.to_owned()),
            _ => Err(format!("`{url}` is not the address of an index, which ends in .adb")),
        };
        match words[..] {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            [url] | ["ndx", url] => self.push(index(url)?),
            ["v3", url, ref components @ ..] => {
                let arch = self.arches.first().cloned().unwrap_or_default();
                let folder = |component: &str| format!("{}{component}/{arch}/Packages.adb", url.trim_end_matches('/'));
                if components.is_empty() {
                    self.push(index(&folder(""))?);
                }
                for component in components {
                    self.push(index(&folder(&format!("/{component}")))?);
                }
            }
            _ => return Err(format!("`{line}` has words that are not known")),
        }
        Ok(())
    }

    fn push(&mut self, url: String) {
        if !self.repositories.contains(&url) {
            self.repositories.push(url);
        }
    }

    /// Whether a package of this architecture fits.
    pub fn accepts(&self, arch: &str) -> bool {
        ANY_MACHINE.contains(&arch) || self.arches.iter().any(|accepted| accepted == arch)
    }

    /// Trusts the key in a file. A file without a usable key is skipped with a note; the other keys still count.
    fn add_key(&mut self, root: &Root, path: &Utf8Path) -> Result<()> {
        if path.file_name().is_none_or(|name| name.starts_with('.')) {
            return Ok(());
        }
        let bytes = root.read(path, MAX_BYTES)?.unwrap_or_default();
        match PublicKey::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(key) => self.keys.push(key),
            Err(error) => self.notes.push(format!("The key file {path} is not used: {error} ({}).", error.id())),
        }
        Ok(())
    }
}

fn arches(root: &Root) -> Result<Vec<String>> {
    let text = read(root, "/etc/apk/arch".into())?.unwrap_or_default();
    let arches: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    Ok(if arches.is_empty() { vec![std::env::consts::ARCH.to_owned()] } else { arches })
}

fn read(root: &Root, path: &Utf8Path) -> Result<Option<String>> {
    let Some(bytes) = root.read(path, MAX_BYTES)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| Error::State { path: path.to_owned(), problem: "it is not UTF-8".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic_or_leaves_an_index_of_another_kind(line in "(v3|ndx|[#@ $]|http://|[a-z]{1,3}|/|\\.adb){0,8}") {
            let (_folder, root) = scratch(&[]);
            let mut config = Config::load(&root).unwrap();
            let _refused = config.add_repository(&line);
            proptest::prop_assert!(config.repositories.iter().all(|url| url.ends_with(".adb") && !url.contains('$')));
        }
    }
    use formats::ec::SecretKey;

    fn scratch(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        (folder, root)
    }

    #[test]
    fn repositories_come_from_all_lists_in_their_order() {
        let (_folder, root) = scratch(&[
            ("etc/apk/repositories", "# first\n\nhttp://192.0.2.1/base/packages.adb\n"),
            ("etc/apk/repositories.d/distfeeds.list", "http://192.0.2.1/packages.adb\nv3 /feed/ one two\n"),
            ("etc/apk/repositories.d/customfeeds.list", "ndx file:///own/packages.adb\nv3 http://192.0.2.2\n"),
            ("etc/apk/repositories.d/.hidden.list", "nonsense\n"),
            ("lib/apk/repositories.d/distfeeds.list", "/other/packages.adb\n"),
            ("lib/apk/repositories.d/z.list", "/z/packages.adb\nhttp://192.0.2.1/packages.adb\n"),
            ("etc/apk/arch", "x86_64\nx86\n"),
        ]);
        let config = Config::load(&root).unwrap();
        let expected = [
            "http://192.0.2.1/base/packages.adb",
            "file:///own/packages.adb",
            "http://192.0.2.2/x86_64/Packages.adb",
            "http://192.0.2.1/packages.adb",
            "/feed/one/x86_64/Packages.adb",
            "/feed/two/x86_64/Packages.adb",
            "/z/packages.adb",
        ];
        assert_eq!(config.repositories, expected);
        assert!(["x86_64", "x86", "noarch", ""].iter().all(|arch| config.accepts(arch)));
        assert!(!config.accepts("all") && !config.accepts("mips_24kc") && !config.run_scripts);
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        for line in [
            "http://192.0.2.1/",
            "@tag /x/packages.adb",
            "set a=b",
            "/${x}/packages.adb",
            "v2 http://x",
            "/a.adb /b.adb",
        ] {
            let (_folder, root) = scratch(&[("etc/apk/repositories.d/a.list", &format!("\n{line}\n"))]);
            let error = Config::load(&root).unwrap_err();
            assert_eq!(error.id(), "APKC001", "{line}");
            assert!(error.line().contains("/etc/apk/repositories.d/a.list:2:"), "{}", error.line());
        }
    }

    #[test]
    fn any_file_name_will_do_for_a_key_and_a_file_without_one_is_told() {
        let key = SecretKey::from_random([3; 32]).unwrap().public();
        let pem = key.to_pem().unwrap();
        let rsa = include_str!("../../../formats/tests/golden/apk/test-only-rsa.pub.pem");
        let (_folder, root) = scratch(&[
            ("etc/apk/keys/any name", &pem),
            ("etc/apk/keys/.hidden.pem", &pem),
            ("lib/apk/keys/other.pem", &pem),
            ("etc/apk/keys/no-key.pem", "-----BEGIN PUBLIC KEY-----"),
            ("etc/apk/keys/rsa.pem", rsa),
        ]);
        let config = Config::load(&root).unwrap();
        assert_eq!(config.keys, [key.clone(), PublicKey::parse(rsa).unwrap(), key]);
        assert!(config.notes.len() == 1 && config.notes[0].contains("/etc/apk/keys/no-key.pem"), "{:?}", config.notes);
    }
}
