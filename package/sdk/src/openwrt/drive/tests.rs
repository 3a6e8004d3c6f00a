//! The driver against a miniature SDK, which misreports results as the real one does.

mod own;

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Cancel, Events, Exit, Failure, KernelId, Result};

use super::mini::{MiniSdk, PROGRAM, program};
use super::*;
use crate::recipe;

const VERSION: &str = "6.12.94";
const HASH: &str = "0123456789abcdef0123456789abcdef";

fn recipes() -> Recipes {
    recipe::tests::load(&[
        (
            "kmod-top.yaml",
            "package: kmod-top\ntitle: T\nkconfig: [TOP]\nmodules: [{name: top}, {name: top_more}]\ndepends: [kmod-base, kmod-name]\n",
        ),
        (
            "kmod-base.yaml",
            "package: kmod-base\ntitle: B\nkconfig: [BASE=y]\nmodules: [{name: base}]\ndepends: [kmod-part]\n",
        ),
        ("kmod-name.yaml", "package: kmod-name\ntitle: N\nempty: a name kept for what depends on it\n"),
        ("kmod-part.yaml", "package: kmod-part\ntitle: P\nmodules: [{name: part_of_the_kernel}]\n"),
        ("kmod-old.yaml", "package: kmod-old\ntitle: O\nkernel: {before: \"5.4\"}\nmodules: [{name: old}]\n"),
    ])
    .unwrap()
}

/// An unpacked miniature in a temporary folder.
struct Lab {
    folder: tempfile::TempDir,
    recipes: Recipes,
    format: Format,
    programs: Vec<Program>,
    own: Option<FeedFolder>,
    patience: Patience,
}

impl Lab {
    fn new(format: Format, fault: &str) -> Self {
        Lab::with(format, |sdk| sdk.fault = fault.to_owned().leak())
    }

    fn with(format: Format, change: impl FnOnce(&mut MiniSdk<'_>)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let programs = vec![program(&root.join("feed"))];
        let patience = Patience { standstill: Duration::from_secs(30), total: Duration::from_secs(120) };
        let lab = Lab { recipes: recipes(), format, programs, own: None, patience, folder };
        lab.pack(change);
        std::fs::create_dir(lab.path("cache")).unwrap();
        unpack(&lab.archive(), &lab.path("cache"), &Events::discard(), &Cancel::default()).unwrap();
        lab
    }

    fn archive(&self) -> Utf8PathBuf {
        self.path(if self.format == Format::Apk { "openwrt-sdk.tar.zst" } else { "openwrt-sdk.tar.xz" })
    }

    /// Writes the archive; the tree is not changed.
    fn pack(&self, change: impl FnOnce(&mut MiniSdk<'_>)) {
        let mut sdk = MiniSdk::new(&self.recipes, VERSION, HASH, self.format);
        change(&mut sdk);
        std::fs::write(self.archive(), sdk.archive(self.archive().file_name().unwrap())).unwrap();
    }

    fn path(&self, below: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(below)
    }

    fn tree(&self, below: &str) -> Utf8PathBuf {
        self.path("cache/sdk").join(below)
    }

    fn kernel(&self) -> KernelId {
        KernelId { version: VERSION.into(), config_hash: HASH.into(), release: 1 }
    }

    fn build(&self) -> Result<Vec<BuiltPackage>> {
        self.build_said().0
    }

    /// Builds; also returns the output of the SDK's programs.
    fn build_said(&self) -> (Result<Vec<BuiltPackage>>, String) {
        let (sender, events) = std::sync::mpsc::channel();
        let built = self.build_with(&Events::to(sender), &Cancel::default());
        (built, lines(&events).collect::<Vec<_>>().join("\n"))
    }

    /// Interrupts a build as soon as its output contains `word`; returns whether it did.
    fn interrupted_at(&self, word: &str) -> bool {
        let (sender, events) = std::sync::mpsc::channel();
        let (sender, cancel) = (Events::to(sender), Cancel::default());
        std::thread::scope(|scope| {
            let build = scope.spawn(|| {
                let built = self.build_with(&sender, &cancel);
                drop(sender);
                built
            });
            let said =
                events.iter().any(|event| matches!(event, model::Event::Line { text, .. } if text.contains(word)));
            cancel.cancel();
            said && build.join().unwrap().is_err_and(|failure| failure.exit() == Exit::Interrupted)
        })
    }

    fn build_with(&self, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
        let lock = Lock::try_take(&self.path("cache.lock")).unwrap().unwrap();
        let expected = Expected {
            kernel: Some(self.kernel()),
            target: "x86/64".parse().unwrap(),
            arch: Arch("x86_64".into()),
            format: self.format,
        };
        let out = self.path("out");
        let _first = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).unwrap();
        Tree::open(&self.path("cache")).and_then(|tree| {
            let request = Request {
                tree: &tree,
                archive: &self.archive(),
                lock: &lock,
                expected: &expected,
                recipes: &self.recipes,
                programs: &self.programs,
                own: self.own.as_ref(),
                source_date_epoch: None,
                jobs: NonZeroUsize::MIN,
                patience: self.patience,
            };
            build(&request, &out, events, cancel)
        })
    }

    fn refused(&self) -> Failure {
        self.build().unwrap_err()
    }
}

fn lines(events: &std::sync::mpsc::Receiver<model::Event>) -> impl Iterator<Item = String> {
    events.try_iter().filter_map(|event| match event {
        model::Event::Line { text, .. } => Some(text),
        _ => None,
    })
}

fn digests(built: &[BuiltPackage]) -> Vec<(String, model::Digest)> {
    built.iter().map(|package| (package.name.clone(), package.sha256)).collect()
}

/// The sorted names of the packages that the recipes give.
const NAMES: [&str; 5] = ["kmod-base", "kmod-name", "kmod-part", "kmod-top", "offloadctl"];

#[test]
fn packages_of_both_formats_come_out_and_break_no_rule() {
    for format in Format::ALL {
        let lab = Lab::new(format, "");
        let built = lab.build().unwrap();
        assert_eq!(built.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), NAMES);
        let top = &built[3];
        assert_eq!((top.version.as_str(), top.arch.as_str(), &top.note), ("6.12.94-r1", "x86_64", &None));
        assert_eq!(built[1].note.as_deref(), Some("a name kept for what depends on it"));
        assert_eq!(built[2].note.as_deref(), Some("its modules are part of the kernel"));
        assert_eq!(built[4].version, "0.1.0-r1");

        let options = formats::lint::Options::default();
        let examined: Vec<_> = built
            .iter()
            .map(|package| {
                formats::lint::examine(package.file.as_str(), std::fs::File::open(&package.file).unwrap(), &options)
            })
            .collect();
        let errors: Vec<_> = formats::lint::judge(&examined, &options)
            .into_iter()
            .filter(|finding| finding.severity == model::Severity::Error)
            .map(|finding| format!("{} {}", finding.id, finding.what))
            .collect();
        // OpenWrt's own empty kmods do not say so; the publisher allows them by name.
        assert_eq!(
            errors,
            ["name", "part"]
                .map(|kmod| { format!("LINT101 kmod without a module: kmod-{kmod} has no file below /lib/modules") })
        );
    }
}

/// Kills the run while OpenWrt's build writes a file in place: `make` would take the incomplete file for finished.
#[test]
fn a_run_that_was_killed_leaves_nothing_to_the_next_one() {
    for format in Format::ALL {
        let whole = digests(&Lab::new(format, "").build().unwrap());
        for (fault, cut) in
            [("cut-package", "packages/kmod-"), ("empty-package", "packages/kmod-"), ("cut-scan", "tmp/")]
        {
            let lab = Lab::new(format, fault);
            assert!(lab.interrupted_at(" is cut"), "{fault}");
            let left = std::fs::read_to_string(lab.tree("tmp/.packageinfo")).unwrap();
            assert_eq!(left.contains("offloadctl"), cut != "tmp/", "the scan was cut");
            lab.pack(|_| {});
            let (built, said) = lab.build_said();
            assert_eq!(digests(&built.unwrap()), whole, "{fault}");
            assert!(said.contains("unpacking the SDK again"), "{said}");
            let (built, said) = lab.build_said();
            assert_eq!(digests(&built.unwrap()), whole);
            assert!(
                !said.contains("unpacking the SDK again"),
                "a run that ended well leaves its tree to the next: {said}"
            );
            assert!(!lab.path("cache/fresh").exists() && !lab.path("cache/unfinished").exists());
        }
    }
}

/// When `make` fails, its second call must not take the first one's incomplete package for finished.
#[test]
fn half_a_package_of_a_failed_call_is_made_again() {
    let (built, said) = Lab::new(Format::Ipk, "full-once").build_said();
    assert_eq!(digests(&built.unwrap()), digests(&Lab::new(Format::Ipk, "").build().unwrap()));
    assert!(said.contains("V=s"), "{said}");
}

#[test]
fn a_package_is_not_signed_by_a_key_that_nobody_knows() {
    // Main's SDK signs unless it is told not to.
    let lab = Lab::new(Format::Apk, "");
    for package in lab.build().unwrap() {
        let signatures = &mut 0;
        let file = std::fs::File::open(&package.file).unwrap();
        let count = |adb: &formats::adb::Adb| {
            *signatures = adb.signatures.len();
            Ok(())
        };
        formats::apk::visit(file, &formats::Limits::default(), count, &mut |_, _| Ok(())).unwrap();
        assert_eq!(*signatures, 0, "{}", package.name);
    }
    let failure = Lab::new(Format::Apk, "signs").refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK071", Exit::Failed));
    assert!(failure.finding().fix.contains("CONFIG_SIGN_EACH_PACKAGE"), "{failure}");
}

#[test]
fn each_module_of_a_recipe_is_in_its_package_or_in_the_kernel() {
    let failure = Lab::new(Format::Ipk, "part").refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK069", Exit::Failed));
    assert_eq!(failure.finding().what, "kmod-top lacks top_more");
    // A built-in module need not be in the package.
    let mut lab = Lab::new(Format::Ipk, "part");
    let builtin = lab.tree(&format!("build_dir/target-x_musl/linux-x86_64/linux-{VERSION}/modules.builtin"));
    let list = std::fs::read_to_string(&builtin).unwrap();
    std::fs::write(&builtin, format!("{list}kernel/net/top_more.ko\n")).unwrap();
    lab.build().unwrap();
    // The same when an option says that its code is built in, or when this kernel has no such module.
    for module in ["{name: top_more, option: BASE}", "{name: top_more, before: \"6.0\"}"] {
        lab = Lab::new(Format::Ipk, "part");
        lab.recipes.kmods.get_mut("kmod-top").unwrap().modules.retain(|module| module.name == "top");
        let other = format!("package: kmod-other\ntitle: O\nmodules: [{module}]\n");
        let mut other = recipe::tests::load(&[("kmod-other.yaml", &other)]).unwrap();
        let further = other.kmods.remove("kmod-other").unwrap().modules;
        lab.recipes.kmods.get_mut("kmod-top").unwrap().modules.extend(further);
        lab.build().unwrap();
    }
}

#[test]
fn nothing_of_this_machine_or_day_is_in_a_package() {
    let bytes = || {
        let lab = Lab::new(Format::Ipk, "");
        let built = lab.build().unwrap();
        assert!(built.iter().all(|package| package.installed_size > 0 || package.note.is_some()));
        built.iter().map(|package| package.sha256).collect::<Vec<_>>()
    };
    assert_eq!(bytes(), bytes(), "two trees give different packages");
}

#[test]
fn only_the_closure_is_packed_and_the_original_configuration_is_kept() {
    let lab = Lab::new(Format::Ipk, "");
    let original = std::fs::read_to_string(lab.tree("Config-build.in")).unwrap();
    lab.build().unwrap();
    assert!(original.contains("kmod-unwanted") && original.contains("kmod-top"));
    let pruned = std::fs::read_to_string(lab.tree("Config-build.in")).unwrap();
    assert!(!pruned.contains("kmod-unwanted") && pruned.contains("kmod-top"));
    let packages: Vec<_> = lab.tree("bin/targets/x86/64/packages").read_dir_utf8().unwrap().collect();
    assert_eq!(packages.len(), 4);
    // With other recipes, removed entries come back from the original.
    let lab = Lab {
        recipes: recipe::tests::load(&[("kmod-unwanted.yaml", "package: kmod-unwanted\ntitle: U\nempty: yes\n")])
            .unwrap(),
        ..lab
    };
    assert_eq!(lab.build().unwrap().len(), 2);
    assert_eq!(std::fs::read_to_string(lab.path("cache/Config-build.in.original")).unwrap(), original);
}

#[test]
fn a_changed_program_is_packed_again_and_an_old_version_is_not_taken_for_it() {
    let mut lab = Lab::new(Format::Ipk, "");
    let first = lab.build().unwrap()[4].sha256;
    let changed = [PROGRAM, b"echo more\n"].concat();
    std::fs::write(&lab.programs[0].binary, &changed).unwrap();
    let second = lab.build().unwrap()[4].sha256;
    assert_ne!(first, second);
    lab.programs[0].version = "0.2.0".into();
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK062", Exit::Failed));
    assert!(failure.finding().what.contains("0.1.0-r1") && failure.finding().what.contains("0.2.0-r1"), "{failure}");
}

#[test]
fn kmods_alone_need_no_feed() {
    let mut lab = Lab::new(Format::Ipk, "unreachable");
    assert_eq!(lab.refused().id(), "SDK049");
    lab.programs.clear();
    assert_eq!(lab.build().unwrap().len(), 4);
    let feeds = std::fs::read_to_string(lab.tree("feeds.conf")).unwrap();
    assert!(!feeds.contains("src-"), "the SDK would ask the network: {feeds}");
}

/// Failures that the SDK reports in its own way, and the ids that we give them.
#[test]
fn each_failure_of_the_sdk_has_its_id_and_its_words() {
    for (fault, id, exit, says) in [
        ("prerequisite", "SDK042", Exit::Host, "rsync"),
        ("umask", "SDK041", Exit::Bug, "umask 022"),
        ("drops", "SDK055", Exit::Failed, "offloadctl"),
        ("fails", "SDK049", Exit::Failed, "net/x.c:1: error"),
        ("full", "SDK040", Exit::Host, "No space left"),
        ("glibc", "SDK043", Exit::Host, "GLIBC_2.99"),
        ("library", "SDK072", Exit::Failed, "kmod-x"),
        ("own-library", "SDK045", Exit::Failed, "libx.so"),
        ("nothing", "SDK061", Exit::Failed, "kmod-base"),
        ("no-link", "SDK051", Exit::Failed, "offloadctl"),
        ("other-arch", "SDK063", Exit::Failed, "mips_24kc"),
        ("other-kernel", "SDK064", Exit::Failed, "ffffffffffffffffffffffffffffffff"),
        ("other-module", "SDK067", Exit::Failed, "5.4.0"),
        ("host-path", "SDK066", Exit::Failed, "/"),
        ("stripped", "SDK068", Exit::Failed, "usr/sbin/offloadctl"),
        ("unreadable", "SDK060", Exit::Failed, "FMT"),
    ] {
        let failure = Lab::new(Format::Ipk, fault).refused();
        assert_eq!((failure.id(), failure.exit()), (id, exit), "{fault}: {failure}");
        assert!(says == "FMT" || failure.to_string().contains(says), "{fault}: {failure}");
    }
}

#[test]
fn a_kernel_without_the_option_gives_no_empty_package() {
    let lab = Lab::new(Format::Ipk, "");
    let config = lab.tree(&format!("build_dir/target-x_musl/linux-x86_64/linux-{VERSION}/.config"));
    std::fs::write(&config, "CONFIG_BASE=y\n").unwrap();
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK065", Exit::Failed));
    let finding = failure.finding();
    assert!(finding.what.contains("kmod-top") && finding.why.contains("CONFIG_TOP"), "{failure}");
}

#[test]
fn a_missing_module_is_named() {
    let lab = Lab::new(Format::Ipk, "");
    std::fs::remove_file(lab.tree(&format!("build_dir/target-x_musl/linux-x86_64/linux-{VERSION}/net/top.ko")))
        .unwrap();
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK044", Exit::Failed));
    assert!(failure.finding().why.contains("net/top.ko"), "{failure}");
}

#[test]
fn a_makefile_with_an_error_shows_what_the_scan_said() {
    let lab = Lab::new(Format::Ipk, "");
    std::fs::write(lab.programs[0].recipe.join("Makefile"), "broken\n").unwrap();
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK050", Exit::Failed));
    assert!(failure.finding().why.contains("missing separator"), "{failure}");
}

#[test]
fn a_build_that_fails_once_is_repeated_with_all_output() {
    let (built, said) = Lab::new(Format::Ipk, "fails-once").build_said();
    built.unwrap();
    assert!(said.contains("make package/kernel/linux/compile -j1 V=s"), "{said}");
    let (built, said) = Lab::new(Format::Ipk, "").build_said();
    built.unwrap();
    assert!(!said.contains("V=s"), "{said}");
}

#[test]
fn a_scan_that_spins_is_ended_and_an_orphan_is_not_waited_for() {
    let mut lab = Lab::new(Format::Ipk, "scan-hangs");
    lab.patience.standstill = Duration::from_millis(700);
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("CMD004", Exit::Blocked));
    let started = Instant::now();
    Lab::new(Format::Ipk, "orphan").build().unwrap();
    assert!(started.elapsed() < Duration::from_secs(300), "it waited for the orphan");
}

#[test]
fn an_sdk_of_another_kernel_is_refused_before_anything_runs() {
    let lab = Lab::with(Format::Ipk, |sdk| sdk.hash = "ffffffffffffffffffffffffffffffff");
    let (built, said) = lab.build_said();
    assert_eq!(built.unwrap_err().id(), "SDK021");
    assert_eq!(said, "");
}

#[test]
fn a_tree_that_is_no_sdk_is_refused() {
    let lab = Lab::new(Format::Ipk, "");
    std::fs::write(lab.tree("include/kernel.mk"), "LINUX_VERMAGIC:=unknown\n").unwrap();
    let failure = lab.refused();
    assert_eq!((failure.id(), failure.exit()), ("SDK020", Exit::Failed));
    std::fs::remove_file(lab.tree("include/toplevel.mk")).unwrap();
    assert_eq!(lab.refused().id(), "SDK020");
}

/// A miniature with a recipe whose module is compiled from source, with more text in the recipe.
fn with_source(format: Format, fault: &str, more: &str) -> Lab {
    let mut lab = Lab::new(format, "");
    let folder = lab.path("recipes");
    files::create_folder(&folder.join("own")).unwrap();
    let put = |path: &str, text: &str| files::write(&folder.join(path), text).unwrap();
    put("own/Kbuild", "obj-m := own.o\n");
    put("own/own.c", "");
    put(
        "kmod-own.yaml",
        &format!(
            "version: 1\npackage: kmod-own\ntitle: O\nsource: {{path: own, version: \"2.3\", release: 4{more}}}\n\
             modules: [{{name: own}}]\ndepends: [kmod-base]\nkconfig: [BASE]\n"
        ),
    );
    let base = "version: 1\npackage: kmod-base\ntitle: B\nkconfig: [BASE=y]\nmodules: [{name: base}]\n";
    put("kmod-base.yaml", base);
    lab.recipes = Recipes::load(&[folder]).unwrap();
    lab.pack(|sdk| sdk.fault = fault.to_owned().leak());
    std::fs::remove_dir_all(lab.path("cache")).unwrap();
    std::fs::create_dir(lab.path("cache")).unwrap();
    unpack(&lab.archive(), &lab.path("cache"), &Events::discard(), &Cancel::default()).unwrap();
    lab
}

#[test]
fn a_kmod_from_source_is_compiled_by_a_makefile_of_its_recipe() {
    for format in Format::ALL {
        let lab = with_source(format, "", "");
        let built = lab.build().unwrap();
        let names: Vec<_> = built.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
        assert_eq!(names, [("kmod-base", "6.12.94-r1"), ("kmod-own", "6.12.94.2.3-r4"), ("offloadctl", "0.1.0-r1")]);
        let makefile = std::fs::read_to_string(lab.tree("offload-feed/kmod-own/Makefile")).unwrap();
        assert!(makefile.contains("DEPENDS:=+kmod-base\n") && lab.tree("offload-feed/kmod-own/src/own.c").is_file());
        let (again, said) = lab.build_said();
        assert_eq!(digests(&again.unwrap()), digests(&built));
        assert!(said.contains("make package/feeds/offload/kmod-own/compile -j1 BUILD_LOG=1 NO_DEPS=1"), "{said}");
    }
}

#[test]
fn the_makefile_of_a_source_is_taken_in_place_of_a_written_one() {
    let lab = with_source(Format::Ipk, "", ", openwrt-makefile: own/Kbuild");
    let makefile = "# own\nPKG_VERSION:=2.3\nPKG_RELEASE:=4\n FILES:=own.ko\n$(eval $(call KernelPackage,own))\n";
    std::fs::write(lab.path("recipes/own/Kbuild"), makefile).unwrap();
    lab.build().unwrap();
    assert_eq!(std::fs::read_to_string(lab.tree("offload-feed/kmod-own/Makefile")).unwrap(), makefile);
}

/// The same ids as with the stand-in, for the same reasons.
#[test]
fn why_a_kmod_from_source_did_not_come_out_is_told() {
    for (fault, id, says) in [
        ("not-compiled", "BLD003", "it does not compile on 6.12: own.c:3:1: error: unknown type name 'gone'"),
        ("undefined", "BLD004", "`gone`"),
        ("not-made", "SDK044", "own.ko"),
        ("other-module", "SDK067", "5.4.0"),
    ] {
        let failure = with_source(Format::Ipk, fault, "").refused();
        assert_eq!((failure.id(), failure.exit()), (id, Exit::Failed), "{fault}: {failure}");
        assert!(failure.to_string().contains(says), "{fault}: {failure}");
    }
    let lab = with_source(Format::Ipk, "", "");
    let config = lab.tree(&format!("build_dir/target-x_musl/linux-x86_64/linux-{VERSION}/.config"));
    std::fs::write(&config, "CONFIG_OTHER=y\n").unwrap();
    let (built, said) = lab.build_said();
    let failure = built.unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("SDK053", Exit::Failed));
    assert!(failure.to_string().contains("CONFIG_BASE") && !said.contains("kmod-own/compile"), "{failure}");
}
