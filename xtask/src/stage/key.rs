//! The inputs of a stage, and the key that they hash to.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use model::sha256::Digest;
use model::{Failure, Result};

use super::{By, Stage};
use crate::code::Code;
use crate::code::fields::{Fields, digest};

/// Part of every key; raise it when the layout of stages changes.
const LAYOUT: &str = "stage/2";

/// Digits of a key: enough for a cache that nobody attacks, and short enough for readable paths.
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
    /// Inputs with a description, such as `linux 6.12 for x86/64`, which is not part of the key.
    pub fn new(about: impl Into<String>) -> Self {
        Inputs { about: about.into(), parts: Vec::new() }
    }

    /// The description.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Adds a setting or a version.
    #[must_use]
    pub fn text(mut self, label: &'static str, value: impl ToString) -> Self {
        self.parts.push((label, Part::Text(value.to_string())));
        self
    }

    /// Adds a file's content, or everything in a folder: names, contents, links and executable bits.
    #[must_use]
    pub fn path(mut self, label: &'static str, path: impl Into<Utf8PathBuf>) -> Self {
        self.parts.push((label, Part::Path(path.into())));
        self
    }

    /// Adds the result of an earlier stage, whose key stands for its content.
    #[must_use]
    pub fn stage(self, label: &'static str, result: &Utf8Path) -> Self {
        let key = result.file_name().unwrap_or_default().to_owned();
        self.text(label, key)
    }

    /// The inputs as lines, kept in the stamp so that two stamps can be compared by eye.
    pub(super) fn listing(&self, stage: &Stage, code: &Code) -> String {
        let by = match stage.by {
            By::Crates(crates) => format!("{}: {}", crates.join(", "), code.of(crates)),
            By::Version(version) => format!("version {version}"),
        };
        self.parts.iter().fold(format!("{}\nby = {by}\n", self.about), |mut text, (label, part)| {
            let _infallible = match part {
                Part::Text(value) => writeln!(text, "{label} = {value}"),
                Part::Path(path) => writeln!(text, "{label} = content of {path}"),
            };
            text
        })
    }

    /// The key: a digest of who does the work and of the inputs, each with its label and length, so that different
    /// lists of inputs never hash alike.
    pub(super) fn key(&self, stage: &Stage, code: &Code) -> Result<String> {
        let digest = digest(|hash| {
            hash.field(LAYOUT.as_bytes());
            hash.field(stage.name.as_bytes());
            hash.field(&match stage.by {
                By::Crates(crates) => code.of(crates).0.to_vec(),
                By::Version(version) => version.to_le_bytes().to_vec(),
            });
            self.parts.iter().try_for_each(|(label, part)| {
                hash.field(label.as_bytes());
                match part {
                    Part::Text(value) => hash.field(value.as_bytes()),
                    Part::Path(path) => tree(hash, path, "")
                        .map_err(|(place, error)| Failure::io("read an input of the stage", place, &error))?,
                }
                Ok(())
            })
        })?;
        Ok(digest.to_string().chars().take(KEY_DIGITS).collect())
    }
}

/// Hashes what is at `path`; `name` is its path relative to the input, so that a moved tree keeps its key.
fn tree(hash: &mut Fields, path: &Utf8Path, name: &str) -> Result<(), (Utf8PathBuf, std::io::Error)> {
    let located = |error| (path.to_owned(), error);
    let meta = path.symlink_metadata().map_err(located)?;
    hash.field(name.as_bytes());
    if meta.is_symlink() {
        hash.field(b"link");
        hash.field(path.read_link_utf8().map_err(located)?.as_str().as_bytes());
    } else if meta.is_dir() {
        hash.field(b"folder");
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
        hash.field(if executable { b"program" } else { b"file" });
        let (content, _length) = Digest::of_reader(&mut File::open(path).map_err(located)?).map_err(located)?;
        hash.field(&content.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: Stage = Stage { name: "packages", by: By::Crates(&[]) };

    fn key(inputs: &Inputs) -> String {
        inputs.key(&STAGE, &Code::fixed("")).unwrap()
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let keys = [
            key(&Inputs::new("").text("a", "bc")),
            key(&Inputs::new("").text("ab", "c")),
            key(&Inputs::new("").text("a", "b").text("c", "")),
            key(&Inputs::new("").text("c", "").text("a", "b")),
            Inputs::new("").text("a", "bc").key(&Stage { name: "feed", ..STAGE }, &Code::fixed("")).unwrap(),
            Inputs::new("").text("a", "bc").key(&Stage { by: By::Version(1), ..STAGE }, &Code::fixed("")).unwrap(),
            Inputs::new("").text("a", "bc").key(&Stage { by: By::Version(2), ..STAGE }, &Code::fixed("")).unwrap(),
            Inputs::new("").text("a", "bc").key(&STAGE, &Code::fixed("other code")).unwrap(),
        ];
        let other_code = Inputs::new("").key(&Stage { by: By::Version(1), ..STAGE }, &Code::fixed("other code"));
        let same = Inputs::new("").key(&Stage { by: By::Version(1), ..STAGE }, &Code::fixed(""));
        assert_eq!(other_code, same, "what has a version of its own does not depend on code");
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
        let failure = Inputs::new("").path("tree", "/nowhere/at/all").key(&STAGE, &Code::fixed("")).unwrap_err();
        assert_eq!(failure.finding().place.as_deref(), Some("/nowhere/at/all"));
    }
}
