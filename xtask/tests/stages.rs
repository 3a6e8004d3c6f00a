//! Stages cannot lie: whoever changes a line of what does their work sees that they are done again.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser as _;
use model::{Cancel, Events};
use xtask::Ctx;
use xtask::code::{Code, Workspace};
use xtask::pipeline::stages;
use xtask::stage::By;

/// A copy of the source tree, to be changed.
struct Tree {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
    workspace: Workspace,
}

impl Tree {
    fn copy() -> Tree {
        let folder = tempfile::Builder::new().prefix("a place ").tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().canonicalize_utf8().unwrap();
        copy(Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), &root);
        let cli = xtask::cli::Cli::parse_from(["xtask", "build"]);
        let ctx = Ctx::new(&cli.global, Events::discard(), Cancel::default()).unwrap();
        Tree { workspace: Workspace::read(&ctx.cargo, &root, &ctx.cancel).unwrap(), _folder: folder, root }
    }

    fn code(&self) -> Code {
        let later = SystemTime::now() + Duration::from_secs(60);
        Code::of_sources(&self.workspace, Some(later)).unwrap()
    }

    /// The digest of whoever does the work, by stage.
    fn digests(&self) -> BTreeMap<&'static str, String> {
        let code = self.code();
        let digest = |by| match by {
            By::Crates(crates) => code.of(crates).to_string(),
            By::Version(version) => version.to_string(),
        };
        stages::ALL.into_iter().map(|stage| (stage.name, digest(stage.by))).collect()
    }

    /// The stages that are done again once a line was added to a file.
    fn redone(&self, file: &Utf8Path) -> Vec<&'static str> {
        let before = self.digests();
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, format!("{text}\n// a line\n")).unwrap();
        let after = self.digests();
        std::fs::write(file, text).unwrap();
        assert_eq!(self.digests(), before);
        before.into_iter().filter(|(stage, digest)| after[stage] != *digest).map(|(stage, _)| stage).collect()
    }
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(entry.path().read_link().unwrap(), target).unwrap();
        } else if kind.is_dir() {
            if ![".git", "target"].contains(&entry.file_name()) {
                std::fs::create_dir(&target).unwrap();
                copy(entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_line_of_any_crate_has_the_stages_done_again_that_run_through_it() {
    let tree = Tree::copy();
    let all: Vec<&str> = tree.digests().into_keys().collect();
    let by_crates = |wanted: &dyn Fn(&[&str]) -> bool| -> Vec<&'static str> {
        let of = |by| matches!(by, By::Crates(crates) if wanted(crates));
        let mut names: Vec<_> = stages::ALL.into_iter().filter(|stage| of(stage.by)).map(|stage| stage.name).collect();
        names.sort();
        names
    };
    let linked = tree.workspace.needed("xtask");
    assert!(linked.len() >= 8 && linked.contains("scenarios"), "{linked:?}");
    for name in linked.iter().filter(|name| **name != "xtask") {
        let folder = tree.workspace.folder(name).unwrap();
        let file = &folder.join("src/lib.rs");
        let beneath = ["host", "model"].iter().any(|used| tree.workspace.needed(used).contains(name));
        let runs_through = |used: &&str| tree.workspace.needed(used).contains(name);
        let through = by_crates(&|crates| beneath || crates.iter().any(runs_through));
        assert!(!through.is_empty() && through.len() < all.len(), "{name}: {through:?}");
        assert_eq!(tree.redone(file), through, "{name}");
        assert_eq!(tree.redone(&folder.join("Cargo.toml")), through, "the manifest of {name}");
    }
    // This crate puts all of them together.
    for file in ["xtask/src/pipeline/stages.rs", "xtask/src/stage.rs", "xtask/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        assert_eq!(tree.redone(&tree.root.join(file)), by_crates(&|_| true), "{file}");
    }
    // What is embedded: by a crate in its folder, and from elsewhere.
    let embedded = tree.redone(&tree.root.join("qemu/local/init"));
    assert!(
        embedded.contains(&"image") && embedded.contains(&"state") && !embedded.contains(&"kernel"),
        "{embedded:?}"
    );
    assert!(tree.redone(&tree.root.join("tests/bench/run")).contains(&"measured"));
    for file in [
        "README.md",
        "xtask/src/report/mod.rs",
        "xtask/src/cmd/build.rs",
        "xtask/src/stage/tests.rs",
        "tests/e2e/main.rs",
    ] {
        assert_eq!(tree.redone(&tree.root.join(file)), [""; 0], "{file}");
    }
}

#[test]
fn a_program_for_routers_is_its_crate_and_all_that_this_needs() {
    let tree = Tree::copy();
    let package = |name: &str| tree.workspace.package(name).unwrap();
    let changes = |package_: &str, file: &str| {
        let file = tree.root.join(file);
        let (before, text) = (package(package_), std::fs::read_to_string(&file).unwrap());
        std::fs::write(&file, format!("{text}\n# a line\n")).unwrap();
        let after = package(package_);
        std::fs::write(&file, text).unwrap();
        before != after
    };
    for (package, yes, no) in [
        ("openwrt-offload-client", "package/formats/src/lib.rs", "package/offloadctl/src/main.rs"),
        ("openwrt-offload-client", "package/client/Cargo.toml", "package/client/fuzz/Cargo.toml"),
        ("openwrt-offload-client", "Cargo.lock", "xtask/src/lib.rs"),
        ("offloadctl", "package/offloadctl/src/main.rs", "package/offloadctl/README.md"),
        ("offloadctl", "Cargo.toml", "package/formats/src/lib.rs"),
    ] {
        assert!(changes(package, yes), "{package} is made of {yes}");
        assert!(!changes(package, no), "{package} is not made of {no}");
    }
    assert_eq!(tree.workspace.package("no-such").unwrap_err().id(), "SRC002");
}

#[test]
fn a_source_that_was_changed_since_cargo_began_is_no_witness() {
    let tree = Tree::copy();
    let began = SystemTime::now() + Duration::from_secs(60);
    let code = |began| Code::of_sources(&tree.workspace, began);
    assert!(code(Some(began)).is_ok());
    let file = std::fs::File::options().append(true).open(tree.root.join("qemu/local/init")).unwrap();
    file.set_modified(began).unwrap();
    for began in [Some(began), None] {
        assert_eq!(code(began).unwrap_err().id(), "SRC001");
    }
}

/// What is called so is left out of a crate's code.
#[test]
fn a_module_called_tests_is_compiled_for_tests_only() {
    let tree = Tree::copy();
    let mut seen = 0;
    for folder in tree.workspace.crates().filter_map(|name| tree.workspace.folder(name)) {
        let mut folders = vec![folder.join("src")];
        while let Some(folder) = folders.pop() {
            for path in folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.ends_with("mod tests;")) {
                    assert_eq!(lines[at - 1], "#[cfg(test)]", "{path}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 10, "{seen}");
}
