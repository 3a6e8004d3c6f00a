//! The rules of this repository, as tests.
//!
//! A rule is a function from a tree of files to the problems in it. Each test holds its rule against
//! the repository, and against a bad sample that the rule must refuse: a rule that cannot fail is no
//! rule. This file is not held against them, as its samples break them all.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

/// This file.
const SELF: &str = "tests/tidy.rs";

/// Lines that a Rust file may have without saying in its head why it is longer.
const MAX_LINES: usize = 600;

/// The words with which a longer file says so, within its first lines.
const LONG_BECAUSE: &str = "Long because";

/// Literals of the form of an error id that are none.
const NO_IDS: &[&str] = &["SHA256", "SHA384", "SHA512"];

/// What the names of our packages begin with, so that a backtrace says whose code it is.
const PREFIX: &str = "openwrt-offload-";

/// Packages whose name is known by itself: that of a command.
const COMMANDS: &[&str] = &["offloadctl", "xtask"];

/// Packages whose library is called otherwise.
const LIBRARY_NAMES: &[(&str, &str)] = &[("md-5", "md5")];

/// Who may depend on whom within the workspace, without the prefix: arrows point one way.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("offloadctl", &[]),
    ("host", &["model"]),
    ("formats", &["model"]),
    ("client", &["formats", "model"]),
    ("sdk", &["formats", "host", "model"]),
    ("feeds", &["client", "formats", "host", "model"]),
    ("vm", &["host", "model"]),
    ("scenarios", &["model", "vm"]),
    ("xtask", &["client", "feeds", "formats", "host", "model", "scenarios", "sdk", "vm"]),
];

/// Texts that tie the repository to one machine or one mirror.
const HOSTS_AND_HOMES: &[&str] = &[
    "deb.debian.org",
    "ftp.debian.org",
    "security.debian.org",
    "snapshot.debian.org",
    "archive.ubuntu.com",
    "static.crates.io",
    "index.crates.io",
    "pypi.org",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "/home/",
];

/// The text files of a tree, by path.
type Tree = BTreeMap<Utf8PathBuf, String>;

/// Returns one line for each problem.
type Rule = fn(&Tree) -> Vec<String>;

/// Holds a rule against the repository, a good sample and bad ones.
fn hold(rule: Rule, good: &[(&str, &str)], bad: &[&[(&str, &str)]]) {
    let tree =
        |files: &[(&str, &str)]| -> Tree { files.iter().map(|&(path, text)| (path.into(), text.to_owned())).collect() };
    assert_eq!(rule(&tree(good)), [""; 0], "the rule refuses a good sample");
    for sample in bad {
        assert!(!rule(&tree(sample)).is_empty(), "the rule accepts {sample:?}");
    }
    let problems = rule(&repository());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The root of the workspace.
fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Every text file that we wrote.
fn repository() -> Tree {
    let mut files = Tree::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap().map(Result::unwrap) {
            let (name, path) = (entry.file_name(), entry.path().to_owned());
            let kind = entry.file_type().unwrap();
            if ["target", ".git"].contains(&name) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                let path = path.strip_prefix(root()).unwrap().to_owned();
                if path != SELF {
                    files.insert(path, text);
                }
            }
        }
    }
    assert!(files.len() > 20, "the repository was not found below {}", root());
    files
}

fn with_extension<'a>(tree: &'a Tree, extensions: &'a [&str]) -> impl Iterator<Item = (&'a Utf8PathBuf, &'a String)> {
    tree.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extensions.contains(&extension)))
}

fn rust(tree: &Tree) -> impl Iterator<Item = (&Utf8PathBuf, &String)> {
    with_extension(tree, &["rs"])
}

/// Splits a Rust file into what ships and what tests it. A file of tests is named `tests.rs` or lies in
/// a folder `tests` or `fuzz_targets`, but for the crate of the engine, `tests/engine`; an inline module of tests is the
/// end of its file.
fn split_tests<'a>(path: &Utf8Path, text: &'a str) -> (&'a str, &'a str) {
    let below = path.strip_prefix("tests/engine").unwrap_or(path);
    if path.file_name() == Some("tests.rs")
        || below.components().any(|part| matches!(part.as_str(), "tests" | "fuzz_targets"))
    {
        return ("", text);
    }
    let inline = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|&at| {
        let item = text[at..].lines().find(|line| !line.trim_start().starts_with("#["));
        item.is_some_and(|line| line.contains("mod ") && line.trim_end().ends_with('{'))
    });
    text.split_at(inline.unwrap_or(text.len()))
}

/// String literals that have the form of an error id.
fn ids(text: &str) -> Vec<&str> {
    let is_id = |word: &str| {
        let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
        (2..=5).contains(&letters)
            && word.len() == letters + 3
            && word.bytes().skip(letters).all(|byte| byte.is_ascii_digit())
            && !NO_IDS.contains(&word)
    };
    text.split('"').filter(|word| is_id(word)).collect()
}

fn module_docs(tree: &Tree) -> Vec<String> {
    let documented = |text: &str| text.trim_start().starts_with("//!");
    rust(tree)
        .filter(|(_, text)| !documented(text))
        .map(|(path, _)| format!("{path}: begin with `//!`: what the file is for, and why"))
        .collect()
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    hold(module_docs, &[("a.rs", "//! Why.\nfn f() {}")], &[&[("a.rs", "fn f() {}")], &[("a.rs", "")]]);
}

fn error_ids(tree: &Tree) -> Vec<String> {
    let mut shipped: BTreeMap<&str, Vec<&Utf8PathBuf>> = BTreeMap::new();
    let mut tested = String::new();
    for (path, text) in rust(tree) {
        let (ships, tests) = split_tests(path, text);
        ids(ships).into_iter().for_each(|id| shipped.entry(id).or_default().push(path));
        tested.push_str(tests);
    }
    let mut problems = Vec::new();
    for (id, places) in shipped {
        if places.len() > 1 {
            problems.push(format!("{id} is written in several places, so it does not tell where: {places:?}"));
        }
        if !tested.contains(id) {
            problems.push(format!("{id} of {} is asserted in no test", places[0]));
        }
    }
    problems
}

#[test]
fn every_error_id_has_one_place_and_a_test() {
    let test = "#[cfg(test)]\nmod tests {\n \"VM001\" }";
    hold(
        error_ids,
        &[
            ("a.rs", &format!("f(\"VM001\", \"SHA256\", \"v1\")\n{test}")),
            ("b.rs", "\"VM002\"\n#[cfg(test)]\nmod tests;"),
            ("b/tests.rs", "\"VM002\""),
            ("c.rs", "\"VM003\""),
            ("tests/e2e.rs", "\"VM003\""),
            ("package/x/tests/vectors/ipk.rs", "starts_with(\"Error VM003: \")"),
            ("package/x/fuzz/fuzz_targets/tar.rs", "\"VM002\""),
            ("tests/engine/src/runner.rs", "\"VM004\""),
            ("tests/engine/src/runner/tests/all.rs", "\"VM004\""),
        ],
        &[
            &[("a.rs", "f(\"VM001\")")],
            &[("tests/engine/src/runner.rs", "f(\"VM001\")")],
            &[("a.rs", &format!("f(\"VM001\")\n{test}")), ("b.rs", "f(\"VM001\")")],
            &[("a.rs", &format!("f(\"VM001\") g(\"VM001\")\n{test}"))],
            &[("a.rs", "#[cfg(test)]\nmod tests;\nf(\"VM001\")")],
        ],
    );
}

fn file_lengths(tree: &Tree) -> Vec<String> {
    rust(tree)
        .filter(|(_, text)| text.lines().count() > MAX_LINES)
        .filter(|(_, text)| !text.lines().take(20).any(|line| line.contains(LONG_BECAUSE)))
        .map(|(path, _)| format!("{path}: split it, or say `{LONG_BECAUSE} …` in its module doc"))
        .collect()
}

#[test]
fn long_files_have_a_reason() {
    let long = "\n".repeat(MAX_LINES + 1);
    hold(file_lengths, &[("a.rs", &format!("//! {LONG_BECAUSE} it is one table.{long}"))], &[&[("a.rs", &long)]]);
}

fn one_yaml_reader(tree: &Tree) -> Vec<String> {
    let in_code = rust(tree)
        .filter(|(path, text)| text.contains("serde_yaml::") && *path != "xtask/model/src/yaml.rs")
        .map(|(path, _)| format!("{path}: read YAML through model::yaml"));
    let in_manifests = manifests(tree)
        .filter(|(path, text)| {
            *path != "xtask/model/Cargo.toml" && dependencies(text).any(|(name, _)| name == "serde_yaml")
        })
        .map(|(path, _)| format!("{path}: only the crate model depends on serde_yaml"));
    in_code.chain(in_manifests).collect()
}

#[test]
fn yaml_is_read_in_one_place() {
    hold(
        one_yaml_reader,
        &[("xtask/model/src/yaml.rs", "serde_yaml::from_str")],
        &[
            &[("a.rs", "use serde_yaml::Value;")],
            &[("a/Cargo.toml", "[package]\n[dependencies]\nserde_yaml.workspace = true")],
        ],
    );
}

/// Manifests of the members, not of the workspace.
fn manifests(tree: &Tree) -> impl Iterator<Item = (&Utf8PathBuf, &String)> {
    tree.iter().filter(|(path, text)| path.file_name() == Some("Cargo.toml") && text.contains("[package]"))
}

/// The lines of the tables whose header satisfies `wanted`, as name and the rest.
fn entries(manifest: &str, wanted: fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with('[') {
            inside = wanted(line.trim_matches(['[', ']']));
            return None;
        }
        let (name, rest) = line.split_once('=')?;
        (inside && !line.starts_with('#')).then_some((name.trim().trim_end_matches(".workspace"), rest.trim()))
    })
}

fn dependencies(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    entries(manifest, |table| table == "dependencies" || table == "build-dependencies")
}

fn dependency_direction(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in manifests(tree) {
        let name = entries(text, |table| table == "package").find(|(key, _)| *key == "name");
        let full = name.map_or("", |(_, value)| value.trim_matches('"'));
        let name = full.strip_prefix(PREFIX).unwrap_or(full);
        if name == full && !COMMANDS.contains(&name) && !path.as_str().contains("fuzz/") {
            problems.push(format!("{path}: the name of the package `{name}` begins with {PREFIX}"));
        }
        let Some((_, allowed)) = MAY_DEPEND.iter().find(|(known, _)| *known == name) else {
            if !path.as_str().contains("fuzz/") {
                problems.push(format!("{path}: say in {SELF} what the crate `{name}` may depend on"));
            }
            continue;
        };
        let ours = |name: &str| MAY_DEPEND.iter().any(|(known, _)| *known == name);
        for (dependency, _) in dependencies(text) {
            if ours(dependency) && !allowed.contains(&dependency) {
                problems.push(format!("{path}: `{name}` must not depend on `{dependency}`"));
            }
        }
    }
    problems
}

#[test]
fn dependencies_point_one_way() {
    let manifest =
        |name: &str, on: &str| format!("[package]\nname = \"{name}\"\n[dependencies]\n{on}.workspace = true\n");
    let ours = |name: &str, on: &str| manifest(&format!("{PREFIX}{name}"), on);
    hold(
        dependency_direction,
        &[("a/Cargo.toml", &ours("vm", "model")), ("b/Cargo.toml", &manifest("offloadctl", "serde"))],
        &[
            &[("a/Cargo.toml", &ours("model", "vm"))],
            &[("a/Cargo.toml", &manifest("offloadctl", "model"))],
            &[("a/Cargo.toml", &ours("formats", "sdk"))],
            &[("a/Cargo.toml", &ours("unheard-of", "serde"))],
            &[("a/Cargo.toml", &manifest("vm", "model"))],
        ],
    );
}

/// A dependency is used by the code of the crate that declares it, and the workspace's table names nothing that no
/// crate takes.
fn unused_dependencies(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    let mut taken = BTreeSet::new();
    for (path, text) in manifests(tree) {
        let folder = path.parent().unwrap();
        // Tests of a crate may lie outside its folder, beside those of others.
        let elsewhere = entries(text, |table| table == "test").filter(|(key, _)| *key == "path");
        let elsewhere: Vec<Utf8PathBuf> = elsewhere.map(|(_, file)| place(folder, file.trim_matches('"'))).collect();
        let code: Vec<&String> = rust(tree)
            .filter(|(file, _)| {
                (file.starts_with(folder) && crate_folder(tree, file) == Some(folder))
                    || elsewhere.iter().any(|test| file.starts_with(test.parent().unwrap()))
            })
            .map(|(_, code)| code)
            .collect();
        for (name, _) in entries(text, |table| table.ends_with("dependencies")) {
            taken.insert(name);
            let word = LIBRARY_NAMES.iter().find(|(package, _)| *package == name);
            let word = word.map_or_else(|| name.replace('-', "_"), |(_, library)| (*library).to_owned());
            if !code.iter().any(|code| mentions(code, &word)) {
                problems.push(format!("{path}: `{name}` is declared and never used"));
            }
        }
    }
    for (path, text) in tree.iter().filter(|(path, _)| *path == "Cargo.toml") {
        for (name, _) in entries(text, |table| table == "workspace.dependencies") {
            if !taken.contains(name) {
                problems.push(format!("{path}: no crate takes `{name}` from the workspace's table"));
            }
        }
    }
    problems
}

/// The nearest folder above a file that holds a manifest of a package.
fn crate_folder<'a>(tree: &Tree, file: &'a Utf8Path) -> Option<&'a Utf8Path> {
    file.ancestors()
        .skip(1)
        .find(|folder| tree.get(&folder.join("Cargo.toml")).is_some_and(|text| text.contains("[package]")))
}

/// A path from a folder, with `..` taken away.
fn place(folder: &Utf8Path, path: &str) -> Utf8PathBuf {
    path.split('/').fold(folder.to_owned(), |place, part| match part {
        ".." => place.parent().map(Utf8Path::to_owned).unwrap_or_default(),
        part => place.join(part),
    })
}

/// Whether code names a crate: followed by `::`, or after `use` or an attribute's `(`.
fn mentions(code: &str, word: &str) -> bool {
    let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        !is_word(before.bytes().last())
            && !is_word(after.bytes().next())
            && (after.starts_with("::") || before.ends_with("use "))
    })
}

#[test]
fn every_dependency_is_used() {
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nserde-json.workspace = true\n";
    let workspace = "[workspace.dependencies]\nserde-json = \"1\"\n";
    let used = [("Cargo.toml", workspace), ("a/Cargo.toml", manifest), ("a/src/lib.rs", "use serde_json::Value;")];
    hold(
        unused_dependencies,
        &used,
        &[
            &[used[0], used[1], ("a/src/lib.rs", "use other_serde_json::Value; // serde_json is not used")],
            &[used[0], used[1], ("b/Cargo.toml", "[package]"), ("b/src/lib.rs", "use serde_json::Value;")],
            &[used[0]],
        ],
    );
}

fn one_dependency_table(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in manifests(tree).filter(|(path, _)| !path.as_str().contains("fuzz/")) {
        for (name, rest) in entries(text, |table| table.ends_with("dependencies")) {
            let inherited = rest == "true" || rest.replace(' ', "").contains("workspace=true");
            if !inherited {
                problems.push(format!("{path}: take `{name}` from the table of the workspace"));
            }
        }
        let lints = entries(text, |table| table == "lints").any(|entry| entry == ("workspace", "true"));
        if !lints {
            problems.push(format!("{path}: take the lints of the workspace"));
        }
    }
    for (path, text) in tree.iter().filter(|(path, _)| *path == "Cargo.toml") {
        for (name, rest) in entries(text, |table| table == "workspace.dependencies") {
            if !rest.contains("path =") && !rest.contains("default-features = false") {
                problems.push(format!("{path}: `{name}` needs default-features = false"));
            }
        }
    }
    problems
}

#[test]
fn dependencies_and_lints_come_from_the_workspace() {
    let lints = "[lints]\nworkspace = true";
    let member = |line: &str| format!("[package]\n[dev-dependencies]\n{line}\n{lints}");
    hold(
        one_dependency_table,
        &[
            ("a/Cargo.toml", &member("serde.workspace = true")),
            ("b/Cargo.toml", &member("serde = { workspace = true, features = [\"rc\"] }")),
            (
                "Cargo.toml",
                "[workspace.dependencies]\na = { path = \"a\" }\nb = { version = \"1\", default-features = false }",
            ),
        ],
        &[
            &[("a/Cargo.toml", &member("serde = \"1\""))],
            &[("a/Cargo.toml", "[package]\n")],
            &[("Cargo.toml", "[workspace.dependencies]\nserde = { version = \"1\" }")],
        ],
    );
}

fn no_hosts_or_homes(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.file_name() != Some("Cargo.lock")) {
        for (number, line) in text.lines().enumerate() {
            let here = root().as_str();
            for host in HOSTS_AND_HOMES.iter().chain([&here]).filter(|host| line.contains(**host)) {
                problems.push(format!("{path}:{}: `{host}` ties us to one machine or mirror", number + 1));
            }
        }
    }
    problems
}

#[test]
fn no_mirror_or_home_is_written_down() {
    hold(
        no_hosts_or_homes,
        &[("a.rs", "https://mirror.example/debian"), ("Cargo.lock", "index.crates.io")],
        &[
            &[("a.rs", concat!("https://deb.debian", ".org/debian"))],
            &[("b.md", "see /home/me/notes")],
            &[("b.md", concat!("from https://pypi", ".org/project/x"))],
            &[("c.md", root().as_str())],
        ],
    );
}

fn no_unsafe_no_ignored_tests(tree: &Tree) -> Vec<String> {
    const FORBIDDEN: &[&str] =
        &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code", "#[ignore"];
    let mut problems = Vec::new();
    for (path, text) in rust(tree) {
        for word in FORBIDDEN.iter().filter(|word| text.contains(*word)) {
            problems.push(format!("{path}: `{word}` has no place here"));
        }
    }
    problems
}

#[test]
fn nothing_is_unsafe_or_ignored() {
    hold(
        no_unsafe_no_ignored_tests,
        &[("a.rs", "#![forbid(unsafe_code)]\n#[test]\nfn f() {}")],
        &[&[("a.rs", "unsafe { f() }")], &[("a.rs", "#[test]\n#[ignore]\nfn f() {}")]],
    );
}

fn yaml_versions(tree: &Tree) -> Vec<String> {
    with_extension(tree, &["yaml", "yml"])
        .filter(|(path, _)| !path.starts_with(".github"))
        .filter(|(_, text)| {
            let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
            first.map(str::trim_end) != Some("version: 1")
        })
        .map(|(path, _)| format!("{path}: the first line must be `version: 1`"))
        .collect()
}

#[test]
fn our_yaml_files_tell_their_version_first() {
    hold(
        yaml_versions,
        &[("a.yaml", "# Why.\nversion: 1\nname: x\n"), (".github/workflows/ci.yml", "name: ci")],
        &[&[("a.yaml", "name: x\nversion: 1\n")], &[("a.yml", "version: 2\n")], &[("a.yaml", "")]],
    );
}

/// Targets of `[text](target)`, without anchors and without what is not a path.
fn links(markdown: &str) -> impl Iterator<Item = &str> {
    markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
}

/// A link's target as a path of the tree: `..` leads to the folder above.
fn resolved(folder: &Utf8Path, target: &str) -> Utf8PathBuf {
    let mut place = folder.to_owned();
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            place.pop();
        } else {
            place.push(part);
        }
    }
    place
}

/// A link may lead to a file of the tree or to a folder that holds one.
fn documentation_links(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in with_extension(tree, &["md"]) {
        for target in links(text) {
            let place = resolved(path.parent().unwrap_or(Utf8Path::new("")), target);
            let exists = tree.keys().any(|file| file.starts_with(&place)) || place == SELF;
            if !exists {
                problems.push(format!("{path}: nothing is at `{target}`"));
            }
        }
    }
    problems
}

#[test]
fn links_in_documents_lead_somewhere() {
    hold(
        documentation_links,
        &[
            ("doc/a.md", "[b](b.md#part) [c](sub/) [d](https://example.org) [e](#here)"),
            ("doc/b.md", ""),
            ("doc/sub/c", ""),
        ],
        &[&[("a.md", "[b](b.md)")], &[("doc/a.md", "[b](b.md)"), ("b.md", "")]],
    );
}

fn pinned_actions(tree: &Tree) -> Vec<String> {
    let pinned = |action: &str| {
        action.starts_with("./")
            || action
                .split_once('@')
                .is_some_and(|(_, commit)| commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut problems = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with(".github")) {
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("uses:") else { continue };
            let action = rest.split_whitespace().next().unwrap_or_default();
            if !pinned(action) {
                problems.push(format!("{path}: pin `{action}` by its full commit"));
            }
        }
        for image in text.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
            let digest = image.split_once("@sha256:").map(|(_, digest)| digest);
            if !digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                problems.push(format!("{path}: pin the image `{image}` by its digest"));
            }
        }
        if path.starts_with(".github/workflows") && !text.contains("\npermissions:") {
            problems.push(format!("{path}: say which permissions the workflow needs"));
        }
    }
    problems
}

#[test]
fn workflows_pin_their_actions_and_images_and_their_permissions() {
    let path = ".github/workflows/ci.yml";
    let workflow = |uses: &str| format!("on: push\npermissions:\n  contents: read\n    - uses: {uses}");
    hold(
        pinned_actions,
        &[(path, &workflow("actions/checkout@0123456789abcdef0123456789abcdef01234567 # v1")), (".github/x.yml", "")],
        &[
            &[(path, &workflow("actions/checkout@v4"))],
            &[(path, &workflow("actions/checkout"))],
            &[(path, "on: push\njobs:\n")],
            &[(path, "on: push\npermissions:\n  contents: read\n      image: debian:13\n")],
        ],
    );
}

#[test]
fn the_ci_script_can_be_started() {
    use std::os::unix::fs::PermissionsExt;
    let mode = root().join(".ci/run").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "chmod +x .ci/run");
}
