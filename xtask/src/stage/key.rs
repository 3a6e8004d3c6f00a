//! What goes into a stage, and the key that it hashes to.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Failure, Result};
use sha2::{Digest, Sha256};

/// Part of every key: raise it when the layout of stages changes.
const LAYOUT: &str = "stage/1";

/// Digits of a key: enough for a cache that nobody attacks, and paths stay readable.
const KEY_DIGITS: usize = 32;

/// The labelled inputs of a stage.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    about: String,
    parts: Vec<(&'static str, Part)>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Path(Utf8PathBuf),
}

impl Inputs {
    /// Inputs that people would call `about`, such as `linux 6.12 for x86/64`; not part of the key.
    pub fn new(about: impl Into<String>) -> Self {
        Inputs { about: about.into(), parts: Vec::new() }
    }

    /// What this is, for people.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// A setting or a version.
    #[must_use]
    pub fn text(mut self, label: &'static str, value: impl ToString) -> Self {
        self.parts.push((label, Part::Text(value.to_string())));
        self
    }

    /// A file's content, or everything in a folder: names, contents, links and executable bits.
    #[must_use]
    pub fn path(mut self, label: &'static str, path: impl Into<Utf8PathBuf>) -> Self {
        self.parts.push((label, Part::Path(path.into())));
        self
    }

    /// The result of an earlier stage: its key stands for its content.
    #[must_use]
    pub fn stage(self, label: &'static str, result: &Utf8Path) -> Self {
        let key = result.file_name().unwrap_or_default().to_owned();
        self.text(label, key)
    }

    /// The parts as lines, kept in the stamp so that two stamps can be compared by eye.
    pub(super) fn listing(&self) -> String {
        self.parts.iter().fold(format!("{}\n", self.about), |mut text, (label, part)| {
            let _infallible = match part {
                Part::Text(value) => writeln!(text, "{label} = {value}"),
                Part::Path(path) => writeln!(text, "{label} = content of {path}"),
            };
            text
        })
    }

    /// The key: sha256 over the parts, each with its label and length, so that no two lists of parts
    /// hash alike by running into each other.
    pub(super) fn key(&self, name: &str) -> Result<String> {
        let mut hash = Sha256::new();
        field(&mut hash, LAYOUT.as_bytes());
        field(&mut hash, name.as_bytes());
        for (label, part) in &self.parts {
            field(&mut hash, label.as_bytes());
            match part {
                Part::Text(value) => field(&mut hash, value.as_bytes()),
                Part::Path(path) => tree(&mut hash, path, "")
                    .map_err(|(place, error)| Failure::io("read an input of the stage", place, &error))?,
            }
        }
        let digits = hash.finalize().iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        });
        Ok(digits.chars().take(KEY_DIGITS).collect())
    }
}

fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Hashes what is at `path`; `name` is its path below the input, so that a moved tree keeps its key.
fn tree(hash: &mut Sha256, path: &Utf8Path, name: &str) -> Result<(), (Utf8PathBuf, std::io::Error)> {
    let located = |error| (path.to_owned(), error);
    let meta = path.symlink_metadata().map_err(located)?;
    field(hash, name.as_bytes());
    if meta.is_symlink() {
        field(hash, b"link");
        field(hash, path.read_link_utf8().map_err(located)?.as_str().as_bytes());
    } else if meta.is_dir() {
        field(hash, b"folder");
        let mut names = path
            .read_dir_utf8()
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name().to_owned())).collect::<Result<Vec<_>, _>>())
            .map_err(located)?;
        names.sort();
        for child in names {
            tree(hash, &path.join(&child), &format!("{name}/{child}"))?;
        }
    } else {
        let executable = meta.permissions().mode() & 0o111 != 0;
        field(hash, if executable { b"program" } else { b"file" });
        let mut content = Sha256::new();
        std::io::copy(&mut File::open(path).map_err(located)?, &mut Hashed(&mut content)).map_err(located)?;
        field(hash, &content.finalize());
    }
    Ok(())
}

/// Lets a file be copied into a hash.
struct Hashed<'a>(&'a mut Sha256);

impl std::io::Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inputs: &Inputs) -> String {
        inputs.key("packages").unwrap()
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let keys = [
            key(&Inputs::new("").text("a", "bc")),
            key(&Inputs::new("").text("ab", "c")),
            key(&Inputs::new("").text("a", "b").text("c", "")),
            key(&Inputs::new("").text("c", "").text("a", "b")),
            Inputs::new("").text("a", "bc").key("feed").unwrap(),
        ];
        let unique: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len());
        assert_eq!(keys[0].len(), KEY_DIGITS);
        assert_eq!(key(&Inputs::new("for people").text("a", "bc")), keys[0], "the description is not an input");
    }

    #[test]
    fn a_tree_is_its_names_contents_links_and_executable_bits() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("tree");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/a"), "1").unwrap();
        let inputs = |root: &Utf8Path| key(&Inputs::new("").path("tree", root));
        let mut keys = vec![inputs(&root)];
        let changes: [&dyn Fn(); 5] = [
            &|| std::fs::write(root.join("sub/a"), "2").unwrap(),
            &|| std::fs::rename(root.join("sub/a"), root.join("sub/b")).unwrap(),
            &|| std::fs::set_permissions(root.join("sub/b"), PermissionsExt::from_mode(0o755)).unwrap(),
            &|| std::os::unix::fs::symlink("b", root.join("sub/c")).unwrap(),
            &|| std::fs::create_dir(root.join("empty")).unwrap(),
        ];
        for change in changes {
            change();
            let now = inputs(&root);
            assert!(!keys.contains(&now));
            keys.push(now);
        }
        let moved = root.with_file_name("elsewhere");
        std::fs::rename(&root, &moved).unwrap();
        assert_eq!(Some(&inputs(&moved)), keys.last(), "the place of a tree is not an input");
    }

    #[test]
    fn a_missing_input_is_named() {
        let failure = Inputs::new("").path("tree", "/nowhere/at/all").key("packages").unwrap_err();
        assert_eq!(failure.finding().place.as_deref(), Some("/nowhere/at/all"));
    }
}
