//! `new`: writes a small working example of a recipe or a scenario, to be changed.
//!
//! It passes `cargo xtask test --recipes DIR/recipes --scenarios DIR/scenarios` unchanged. Existing files are never
//! overwritten; if there is one, nothing is written.

mod files;
mod kmod;
mod program;
mod scenario;

use camino::{Utf8Path, Utf8PathBuf};
use host::aside;
use model::{Exit, Failure, Problem, Result};

use crate::cli::{New, NewArgs};
use crate::{Ctx, Outcome};

/// A file of an example: its path below the folder, and its content.
type Sample = (String, String);

/// Writes the example and prints its files, one per line.
pub fn run(_ctx: &Ctx, args: &NewArgs) -> Result<Outcome> {
    let name = args.name.strip_prefix("kmod-").filter(|_| args.kind == New::Kmod).unwrap_or(&args.name);
    if !is_name(name) {
        return Err(unfit(&args.name));
    }
    let samples = match args.kind {
        New::Kmod => kmod::samples(name),
        New::Program => program::samples(name),
        New::Files => files::samples(name),
        New::Scenario => scenario::samples(name),
    };
    let written = write(&args.into, &samples)?;
    let recipes = if args.kind == New::Scenario { "" } else { " --recipes DIR/recipes" };
    let try_it =
        format!("try it: cargo xtask test{recipes} --scenarios DIR/scenarios").replace("DIR", args.into.as_str());
    Ok(Outcome::done(written.into_iter().map(Utf8PathBuf::into_string).chain([try_it]).collect::<Vec<_>>().join("\n")))
}

/// Whether a name is valid for packages, modules, cargo packages and files alike.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(plain) && !name.ends_with('-')
}

fn write(folder: &Utf8Path, samples: &[Sample]) -> Result<Vec<Utf8PathBuf>> {
    let paths: Vec<Utf8PathBuf> = samples.iter().map(|(path, _)| folder.join(path)).collect();
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(exists(there));
    }
    for (path, (_, text)) in paths.iter().zip(samples) {
        aside::write(path, text.as_bytes())?;
    }
    Ok(paths)
}

/// Replaces `@NAME@` by the name, and `@IDENT@` by its form in C and the kernel.
fn named(text: &str, name: &str) -> String {
    text.replace("@NAME@", name).replace("@IDENT@", &name.replace('-', "_"))
}

fn exists(path: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "NEW001",
        what: format!("{path} already exists, and nothing was written"),
        why: "an example never overwrites a file",
        fix: "give another name, or another folder with --into",
    })
    .at(path)
}

fn unfit(name: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "NEW002",
        what: format!("`{name}` cannot be the name of a package, a module and a file alike"),
        why: "small letters, digits and dashes are understood by all of them; the first is a letter",
        fix: "give a name such as `my-example`",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::scenario::load_all;
    use sdk::Recipes;

    fn all(name: &str) -> [Vec<Sample>; 4] {
        [kmod::samples(name), program::samples(name), files::samples(name), scenario::samples(name)]
    }

    #[test]
    fn examples_are_read_as_what_they_are() {
        for samples in all("my-x1") {
            let folder = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(folder.path()).unwrap();
            write(root, &samples).unwrap();
            if root.join("recipes").exists() {
                assert_eq!(Recipes::load(&[root.join("recipes")]).unwrap().names().len(), 1);
            }
            let files = load_all(&root.join("scenarios")).unwrap();
            assert!(!files.is_empty());
            files.into_iter().for_each(|file| drop(file.scenario.unwrap()));
            let left =
                |(path, text): &Sample| path.contains('@') || text.contains("@NAME@") || text.contains("@IDENT@");
            assert!(!samples.iter().any(left));
        }
    }

    #[test]
    fn what_is_there_is_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::create_dir(root.join("scenarios")).unwrap();
        std::fs::write(root.join("scenarios/x.yaml"), "mine").unwrap();
        for samples in all("x") {
            let failure = write(root, &samples);
            // A kmod's files have other names.
            if samples.iter().any(|(path, _)| path == "scenarios/x.yaml") {
                assert_eq!(failure.unwrap_err().id(), "NEW001");
            }
        }
        assert_eq!(std::fs::read_to_string(root.join("scenarios/x.yaml")).unwrap(), "mine");
        assert!(!root.join("recipes/x.yaml").exists());
    }

    #[test]
    fn names_are_those_that_everything_takes() {
        for name in ["x", "my-example", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "A", "a_b", "../a", "a-", "-a", "ä"] {
            assert!(!is_name(name), "{name}");
        }
        assert_eq!((unfit("A").id(), unfit("A").exit()), ("NEW002", Exit::Usage));
    }
}
