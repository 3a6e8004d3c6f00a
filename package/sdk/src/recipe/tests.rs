//! Recipes that fit together, and recipes that do not.

use super::*;

/// Recipes from pairs of file name and text.
pub(crate) fn load(files: &[(&str, &str)]) -> Result<Recipes> {
    let directory = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(directory.path()).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), format!("version: 1\n{text}")).unwrap();
    }
    Recipes::load(&[folder.to_owned()])
}

fn refused(files: &[(&str, &str)]) -> (&'static str, Exit) {
    let failure = load(files).unwrap_err();
    (failure.id(), failure.exit())
}

#[test]
fn the_recipes_of_this_repository_fit_together() {
    let recipes = Recipes::load(&[concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes").into()]).unwrap();
    // The dependencies of kmod-nft-offload in OpenWrt 22.03 to 25.12: 15 packages including itself.
    let closure = recipes.dependencies_of(&recipes.kmods["kmod-nft-offload"]);
    assert_eq!(closure.len(), 14);
    let nat = recipes.dependencies_of(&recipes.kmods["kmod-nft-nat"]);
    let only_offload: Vec<_> = closure.difference(&nat).copied().collect();
    assert_eq!(only_offload, ["kmod-nf-flow", "kmod-nft-nat"]);
    assert!(recipes.programs.contains_key("offloadctl"));
}

#[test]
fn a_further_folder_adds_recipes_and_replaces_those_of_the_same_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).unwrap();
    let put = |path: &str, text: &str| {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), format!("version: 1\n{text}")).unwrap();
    };
    let module = |package: &str, title: &str, module: &str| {
        format!("package: {package}\ntitle: {title}\nmodules:\n  - name: {module}\n")
    };
    put("ours/kmod-a.yaml", &module("kmod-a", "ours", "a"));
    put("theirs/kmod-a.yaml", &module("kmod-a", "theirs", "a"));
    put("theirs/kmod-b.yaml", &(module("kmod-b", "b", "b") + "depends: [kmod-a]\n"));
    let folders = [root.join("ours"), root.join("theirs")];
    let recipes = Recipes::load(&folders).unwrap();
    assert_eq!(recipes.kmods.keys().collect::<Vec<_>>(), ["kmod-a", "kmod-b"]);
    assert_eq!(recipes.kmods["kmod-a"].title, "theirs");
    put("theirs/kmod-c.yaml", &module("kmod-c", "c", "a"));
    let failure = Recipes::load(&folders).unwrap_err();
    assert_eq!(
        (failure.id(), failure.finding().place.clone()),
        ("RCP004", Some(root.join("theirs/kmod-c.yaml").into()))
    );
    let failure = Recipes::load(&[root.join("none")]).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("IO004", Exit::Usage));
}

#[test]
fn recipes_that_do_not_fit_together_are_refused() {
    let a = ("kmod-a.yaml", "package: kmod-a\ntitle: a\nmodules: [{name: x-y}]\ndepends: [kmod-b]\n");
    let b = |depends: &str| format!("package: kmod-b\ntitle: b\nmodules: [{{name: z}}]\ndepends: [{depends}]\n");
    assert!(load(&[a, ("kmod-b.yaml", &b(""))]).is_ok());
    assert_eq!(refused(&[("kmod-c.yaml", a.1)]), ("RCP001", Exit::Usage));
    assert_eq!(refused(&[a]), ("RCP002", Exit::Usage));
    assert_eq!(refused(&[a, ("kmod-b.yaml", &b("kmod-a"))]), ("RCP003", Exit::Usage));
    let twice = b("").replace('z', "x_y");
    assert_eq!(refused(&[a, ("kmod-b.yaml", &twice)]), ("RCP004", Exit::Usage));
    assert_eq!(refused(&[("notes.txt", "")]), ("RCP005", Exit::Usage));
}

#[test]
fn what_is_for_tests_is_not_published_and_nothing_that_is_needs_it() {
    let tests = ("kmod-t.yaml", "package: kmod-t\ntitle: t\nfor: tests\nmodules: [{name: t}]\ndepends: [kmod-b]\n");
    let b = ("kmod-b.yaml", "package: kmod-b\ntitle: b\nmodules: [{name: b}]\n");
    let recipes = load(&[tests, b]).unwrap();
    assert_eq!(recipes.names(), ["kmod-b", "kmod-t"]);
    assert_eq!(recipes.published().names(), ["kmod-b"]);
    let a = ("kmod-a.yaml", "package: kmod-a\ntitle: a\nmodules: [{name: a}]\ndepends: [kmod-t]\n");
    assert_eq!(refused(&[a, tests, b]), ("RCP007", Exit::Usage));
    let failure = load(&[("kmod-a.yaml", "package: kmod-a\ntitle: a\nfor: nobody\n")]).unwrap_err();
    assert!(failure.to_string().contains("tests"), "{failure}");
}

#[test]
fn a_source_is_a_folder_beside_the_recipe() {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).unwrap();
    let put = |path: &str, text: &str| {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), text).unwrap();
    };
    let recipe = |rest: &str| put("recipes/kmod-x.yaml", &format!("version: 1\npackage: kmod-x\ntitle: x\n{rest}\n"));
    let load = || Recipes::load(&[root.join("recipes")]);
    let good = "source: {path: ../kmods/x, make: {CONFIG_X: m}}\nmodules: [{name: x}]";
    recipe(good);
    let failure = load().unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("RCP008", Exit::Usage));
    assert!(failure.to_string().contains("does not exist"), "{failure}");
    put("kmods/x/x.c", "");
    assert!(load().unwrap_err().to_string().contains("neither `Kbuild` nor `Makefile`"));
    put("kmods/x/Kbuild", "obj-m := x.o\n");
    let recipes = load().unwrap();
    let source = recipes.kmods["kmod-x"].source.as_ref().unwrap();
    assert_eq!(source.files().unwrap(), ["Kbuild", "x.c"]);
    assert_eq!((source.version.as_str(), source.release, source.license.as_str()), ("1", 1, "GPL-2.0"));
    for (bad, why) in [
        ("source: {path: ../kmods/x}", "names its modules in `modules`"),
        ("source: {path: ../kmods/x}\nmodules: [{name: x}]\nempty: no", "names its modules in `modules`"),
        ("source: {path: ../kmods/x, make: {\"A B\": m}}\nmodules: [{name: x}]", "not a variable of make"),
        ("source: {path: ../kmods/x, make: {A: \"m\\nB=1\"}}\nmodules: [{name: x}]", "not a variable of make"),
        ("source: {path: ../kmods/x, openwrt-makefile: ../kmods/x/none}\nmodules: [{name: x}]", "does not exist"),
        ("source: {path: ../kmods/x, version: 1-2}\nmodules: [{name: x}]", "not a version"),
    ] {
        recipe(bad);
        let failure = load().unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("RCP008", Exit::Usage), "{bad}");
        assert!(failure.to_string().contains(why), "{failure}");
    }
}

#[test]
fn what_is_compiled_comes_after_what_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).unwrap();
    std::fs::write(root.join("Kbuild"), "").unwrap();
    for (name, rest) in [("a", "depends: [kmod-b]"), ("b", "depends: [kmod-c]"), ("c", "kernel: {since: \"6.12\"}")] {
        let text = format!(
            "version: 1\npackage: kmod-{name}\ntitle: x\nsource: {{path: .}}\nmodules: [{{name: {name}}}]\n{rest}\n"
        );
        std::fs::write(root.join(format!("kmod-{name}.yaml")), text).unwrap();
    }
    let recipes = Recipes::load(&[root.to_owned()]).unwrap();
    let names = |line: &str| -> Vec<&str> {
        recipes.compiled(line.parse().unwrap()).into_iter().map(Kmod::short_name).collect()
    };
    assert_eq!(names("6.12"), ["c", "b", "a"]);
    assert_eq!(names("6.1"), ["b", "a"]);
}

#[test]
fn what_a_recipe_does_not_have_is_refused_with_its_line() {
    for (line, word) in [
        ("colour: red", "colour"),
        ("kconfig: [CONFIG_X]", "CONFIG_X"),
        ("kconfig: [X=m]", "X=m"),
        ("kconfig: [\"\"]", "kernel option"),
        ("kernel: {before: six}", "six"),
        ("kernel: {until: \"6.1\"}", "until"),
        ("modules: [{name: x, before: \"6\"}]", "`6`"),
        ("autoload: {priority: 300}", "priority"),
    ] {
        let failure = load(&[("kmod-a.yaml", &format!("package: kmod-a\ntitle: a\n{line}\n"))]).unwrap_err();
        assert_eq!(failure.id(), "CONF001", "{line}");
        let text = failure.to_string();
        assert!(text.contains(word) && text.contains("kmod-a.yaml:4"), "{text}");
    }
}

#[test]
fn bounds_compare_numbers() {
    let line = |text: &str| text.parse::<Line>().unwrap();
    let bounds = Bounds { since: Some(line("5.13")), before: Some(line("6.2")) };
    for (version, holds) in
        [("5.4.1", false), ("5.13", true), ("6.1.192", true), ("6.2-rc1", false), ("6.12", false), ("10.0", false)]
    {
        assert_eq!(bounds.hold(line(version)), holds, "{version}");
    }
    assert_eq!(line("6.12.94").to_string(), "6.12");
    assert!(Bounds::default().hold(line("0.1")));
}
