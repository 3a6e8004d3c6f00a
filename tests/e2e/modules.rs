//! Modules from source: compiled for the stand-in's kernel, or refused with the reason.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;

use crate::place::{Place, may_not_compile, sources};
use crate::run::{Ran, SLOW, until};

/// A module of a few lines.
const SOURCE: &str = "#include <linux/module.h>\n\
                      static int __init own_init(void)\n{\n\treturn 0;\n}\n\
                      static void __exit own_exit(void)\n{\n}\n\
                      module_init(own_init);\nmodule_exit(own_exit);\n\
                      MODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"own\");\n";

fn fixture(folder: &str) -> Utf8PathBuf {
    sources().join("tests/fixtures/from-source").join(folder)
}

/// A place with all that modules are compiled with.
fn place() -> Place {
    let own = Place::empty();
    own.put(&own.path("own"), SOURCE, "");
    let recipes = own.path("own/recipes");
    Place::warm_and(&["build", "--recipes", recipes.as_str()], &["debian-build", "build-root"])
}

impl Place {
    /// Writes a recipe of `kmod-own` and its source; `more` follows `source:` and `modules:`.
    fn put(&self, folder: &Utf8Path, source: &str, more: &str) {
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let more = if more.is_empty() { "source: {path: ../source}\nmodules: [{name: own}]\n" } else { more };
        write("recipes/kmod-own.yaml", &format!("version: 1\npackage: kmod-own\ntitle: Own\n{more}"));
        write("source/Kbuild", "obj-m := own.o\n");
        write("source/own.c", source);
    }

    /// Builds them.
    fn build(&self, folder: &Utf8Path) -> Ran {
        // All that it takes was fetched once.
        self.start(&["build", "--offline", "--recipes", folder.join("recipes").as_str()]).ends_within(3 * SLOW)
    }
}

#[test]
fn what_does_not_come_out_is_refused_with_the_reason() {
    if may_not_compile() {
        return;
    }
    let place = place();
    let folder = place.path("own");
    let with = |line: &str| SOURCE.replace("\treturn 0;", line);
    let usual = "source: {path: ../source}\nmodules: [{name: own}]\n";
    let nobodys = with("\treturn nobody_has_it();").replace("static int", "int nobody_has_it(void);\nstatic int");
    let helper =
        "struct nf_ct_helper_expectfn;\nvoid nf_ct_helper_expectfn_register(struct nf_ct_helper_expectfn *n);\n";
    let conntrack = with("\tnf_ct_helper_expectfn_register(NULL);\n\treturn 0;")
        .replace("static int", &format!("{helper}static int"));
    for (source, more, id, words) in [
        (with("\treturn gone;"), "", "BLD003", &["it does not compile on 6.12: own.c:4:", "gone"][..]),
        (format!("#include <net/gone.h>\n{SOURCE}"), "", "BLD003", &["own.c:1:10: fatal error: net/gone.h"]),
        (nobodys, "", "BLD004", &["it uses `nobody_has_it`, which nothing exports on 6.12"]),
        (
            SOURCE.into(),
            "source: {path: ../source, make: {CC: gcc-of-nobody}}\nmodules: [{name: own}]\n",
            "BLD005",
            &["gcc-of-nobody"],
        ),
        (SOURCE.replace("MODULE_LICENSE", "//"), "", "BLD006", &["MODULE_LICENSE"]),
        (
            SOURCE.into(),
            "source: {path: ../source}\nmodules: [{name: own}, {name: other}]\n",
            "BLD007",
            &["did not make other.ko", "made own.ko"],
        ),
        (
            "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"own\");\n".into(),
            "",
            "BLD008",
            &["own.ko is empty"],
        ),
        (
            SOURCE.into(),
            &format!("{usual}kconfig: [NO_SUCH_OPTION]\n"),
            "KMOD001",
            &["CONFIG_NO_SUCH_OPTION is not set"],
        ),
        (
            conntrack.clone(),
            "",
            "KMOD007",
            &[
                "own.ko uses `nf_ct_helper_expectfn_register` of module `nf_conntrack`",
                "add kmod-nf-conntrack to `depends`",
            ],
        ),
    ] {
        place.put(&folder, &source, more);
        place.build(&folder).refused(1, id, words);
    }
    place.put(&folder, SOURCE, "");
    std::fs::remove_dir_all(folder.join("source")).unwrap();
    place.build(&folder).refused(2, "RCP008", &["does not exist"]);
    // It is not that anything fails.
    place.put(&folder, &conntrack, &format!("{usual}depends: [kmod-nf-conntrack]\n"));
    place.build(&folder).fine();
    assert_eq!(place.processes(), []);
}

#[test]
fn what_modules_are_compiled_with_is_fetched_when_one_asks_for_it() {
    let place = Place::warm_without(&["debian-build", "build-root", "modules"]);
    let folder = place.path("own");
    place.put(&folder, SOURCE, "");
    place.build(&folder).refused(4, "NET001", &["headers and compiler of Linux 6.12"]);
    place.start(&["build", "--offline"]).ends_within(3 * SLOW).fine();
}

/// Whether a process with this command line lives: the root's programs see nothing of our environment.
fn lives(words: &str) -> bool {
    let processes = Utf8Path::new("/proc").read_dir_utf8().unwrap().flatten();
    let line = |path: &Utf8Path| std::fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ");
    processes.into_iter().any(|entry| line(entry.path()).contains(words))
}

#[test]
fn a_build_ends_with_its_run_and_the_next_one_begins_afresh() {
    if may_not_compile() {
        return;
    }
    let place = place();
    let folder = place.path("own");
    for (signal, code) in [(Signal::INT, 130), (Signal::KILL, 128 + 9)] {
        place.put(&folder, SOURCE, "");
        let words = format!("sleep 6{}", place.temporary().file_name().unwrap().bytes().map(u64::from).sum::<u64>());
        std::fs::write(folder.join("source/Kbuild"), format!("obj-m := own.o\n$(shell {words})\n")).unwrap();
        let recipes = folder.join("recipes");
        let run = place.start(&["build", "--offline", "--recipes", recipes.as_str()]);
        until("the build", 3 * SLOW, || run.err(), || lives(&words).then_some(()));
        run.signal(signal);
        assert_eq!(run.ends_within(Duration::from_secs(10)).code, code);
        until("the end of the build", Duration::from_secs(5), || words.clone(), || (!lives(&words)).then_some(()));
        place.put(&folder, SOURCE, "");
        place.build(&folder).fine();
    }
}

#[test]
fn two_builds_in_two_folders_are_the_same_bytes() {
    if may_not_compile() {
        return;
    }
    let (one, two) = (place(), place());
    let built = |place: &Place, folder: &str| {
        let folder = place.path(folder);
        place.put(&folder, SOURCE, "");
        // One that uses what the other exports.
        let export = "int own(void);\nint own(void)\n{\n\treturn 0;\n}\nEXPORT_SYMBOL_GPL(own);\n";
        let user = SOURCE.replace("\treturn 0;", "\treturn own();").replace("static int", "int own(void);\nstatic int");
        std::fs::write(folder.join("source/own.c"), SOURCE.replace("static int", &format!("{export}static int")))
            .unwrap();
        std::fs::create_dir_all(folder.join("user")).unwrap();
        std::fs::write(folder.join("user/Kbuild"), "obj-m := user.o\n").unwrap();
        std::fs::write(folder.join("user/user.c"), user).unwrap();
        let recipe = "version: 1\npackage: kmod-user\ntitle: User\nsource: {path: ../user}\nmodules: [{name: user}]\n\
                      depends: [kmod-own]\n";
        std::fs::write(folder.join("recipes/kmod-user.yaml"), recipe).unwrap();
        place.build(&folder).fine();
        let results = place.path("results/x86-64/packages").read_dir_utf8().unwrap();
        let ours = |path: &Utf8PathBuf| ["kmod-own", "kmod-user"].iter().any(|name| path.as_str().contains(name));
        let mut files: Vec<_> = results.map(|entry| entry.unwrap().into_path()).filter(ours).collect();
        files.sort();
        let read = |path: &Utf8PathBuf| (path.file_name().unwrap().to_owned(), std::fs::read(path).unwrap());
        files.iter().map(read).collect::<Vec<_>>()
    };
    let first = built(&one, "here");
    assert_eq!(first.len(), 4, "two packages in two formats");
    let second = built(&two, "another/place");
    for (one, two) in first.iter().zip(&second) {
        assert_eq!(one.0, two.0);
        assert!(one.1 == two.1, "{} differs", one.0);
    }
}

#[test]
fn what_is_for_tests_is_served_to_scenarios_and_in_no_feed() {
    if may_not_compile() {
        return;
    }
    let place = place();
    let recipes = fixture("recipes");
    let fed = place.start(&["feed", "--recipes", recipes.as_str()]).ends_within(3 * SLOW);
    fed.fine();
    assert!(!fed.err.contains("ct-tally"), "nothing needed it: {}", fed.err);
    let mut folders = vec![place.path("results")];
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()) {
            assert!(!path.as_str().contains("ct-tally"), "{path} is published");
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    let scenarios = fixture("scenarios");
    let words = ["test", "--accel", "tcg", "--recipes", recipes.as_str(), "--scenarios", scenarios.as_str()];
    let ran = place.start(&words).ends_within(5 * SLOW);
    ran.fine();
    assert!(ran.err.contains("2 passed"), "{}", ran.err);
}

#[test]
fn a_package_for_tests_that_cannot_be_made_fails_the_scenarios_that_need_it_alone() {
    if may_not_compile() {
        return;
    }
    let place = place();
    let folder = place.path("own");
    let recipe = "for: tests\nsource: {path: ../source}\nmodules: [{name: own}]\n";
    place.put(&folder, &SOURCE.replace("return 0", "return gone"), recipe);
    for (name, feed) in [("needs-it", "tests"), ("needs-none", "published")] {
        let text =
            format!("version: 1\ntitle: A router\nmanagers: [apk]\nfeed: {feed}\nsteps:\n  - run: [uname, -r]\n");
        std::fs::create_dir_all(folder.join("scenarios")).unwrap();
        std::fs::write(folder.join("scenarios").join(format!("{name}.yaml")), text).unwrap();
    }
    let (recipes, scenarios) = (folder.join("recipes"), folder.join("scenarios"));
    let words = ["test", "--accel", "tcg", "--recipes", recipes.as_str(), "--scenarios", scenarios.as_str()];
    let ran = place.start(&words).ends_within(4 * SLOW);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("1 passed, 1 failed") && ran.err.contains("error[BLD003]"), "{}", ran.err);
}
