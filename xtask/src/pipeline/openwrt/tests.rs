//! A miniature release, from its mirror to the verified feed.

use std::sync::mpsc::{Receiver, channel};

use formats::Format;
use model::{Arch, Events};
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};

use super::*;
use crate::cli::Selection;
use crate::cli::openwrt::{OpenWrt, Source};
use crate::ctx::tests::ctx;
use crate::doctor::Purpose;
use crate::pipeline::Job;

/// A branch's snapshot may change, so the mirror is asked again each time.
const RELEASE: &str = "25.12-SNAPSHOT";

/// Two kmods, one of them empty on purpose, and no program, because that would take minutes to link.
const RECIPES: [(&str, &str); 2] = [
    ("kmod-top", "title: T\nkconfig: [TOP]\nmodules: [{name: top}]\ndepends: [kmod-name]\n"),
    ("kmod-name", "title: N\nempty: a name kept for what depends on it\n"),
];

struct Lab {
    folder: tempfile::TempDir,
    mirror: MiniMirror,
    ctx: Ctx,
    events: Receiver<Event>,
}

impl Lab {
    /// A mirror with one release, and a machine without a cache.
    fn new(change: impl FnOnce(&mut MiniSdk<'_>)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let recipes = root.join("recipes");
        std::fs::create_dir(&recipes).unwrap();
        for (name, text) in RECIPES {
            let text = format!("version: 1\npackage: {name}\n{text}");
            std::fs::write(recipes.join(format!("{name}.yaml")), text).unwrap();
        }
        let loaded = Recipes::load(std::slice::from_ref(&recipes)).unwrap();
        let mirror = MiniMirror::new();
        let archive = mirror.publish_standard(RELEASE, "x86/64");
        let mut sdk = MiniSdk::new(&loaded, "6.12.94", KERNEL_HASH, Format::Apk);
        change(&mut sdk);
        mirror.publish(RELEASE, "x86/64", &[(&archive, &sdk.archive(&archive))]);
        let (sender, events) = channel();
        let mut ctx = ctx(root, Events::to(sender));
        ctx.recipes = vec![recipes];
        Lab { folder, mirror, ctx, events }
    }

    fn job(&self) -> Job {
        let source =
            Source { mirror: Some(self.mirror.root().to_string()), release_keys: vec![self.mirror.key_file()] };
        let selection = Selection {
            target: "x86/64".into(),
            openwrt: OpenWrt { release: Some(RELEASE.into()), locked: false, source },
            kernels: vec![crate::cli::Kernel::V6_12],
            formats: Vec::new(),
            debian_mirror: None,
        };
        Job::new(&self.ctx, &selection, Purpose::Build).unwrap()
    }

    fn packages(&self) -> Result<Packages> {
        self.job().provider.packages(&self.ctx, &self.job())
    }

    fn compare(&self) -> Outcome {
        crate::pipeline::compare(&self.ctx, &self.job()).unwrap()
    }

    /// Ids of the findings since the last call.
    fn findings(&self) -> Vec<&'static str> {
        let found = |event| if let Event::Finding(finding) = event { Some(finding.id) } else { None };
        self.events.try_iter().filter_map(found).collect()
    }

    /// Stages that did work since the last call.
    fn worked(&self) -> Vec<String> {
        let began = |event| if let Event::StageBegin { stage, .. } = event { Some(stage) } else { None };
        self.events.try_iter().filter_map(began).collect()
    }
}

#[test]
fn a_release_is_built_once_linted_published_and_verified() {
    let lab = Lab::new(|_| {});
    let packages = lab.packages().unwrap();
    assert!(lab.worked().ends_with(&["sdk".into(), "packages".into()]));
    let names: Vec<_> =
        packages.files().unwrap().iter().filter_map(|file| file.file_name().map(str::to_owned)).collect();
    assert_eq!(names, ["kmod-name-6.12.94-r1.apk", "kmod-top-6.12.94-r1.apk"]);
    assert_eq!(packages.allowed, allowed(&["kmod-name".into()]));
    assert_eq!(packages.kernel_version, format!("6.12.94~{KERNEL_HASH}-r1"));

    // Nothing of the SDK runs a second time, even while another run works in its tree.
    let _busy = lock(&lab.ctx, "sdk", &packages.kernel.with_extension("lock")).unwrap();
    lab.packages().unwrap();
    assert_eq!(lab.worked(), [""; 0]);

    let verified = crate::pipeline::verify_feed(&lab.ctx, &lab.job()).unwrap();
    assert_eq!(verified.data, "kmod-name 6.12.94-r1 apk\nkmod-top 6.12.94-r1 apk");
    assert!(lab.folder.path().join("keys").is_dir());
}

/// OpenWrt's kmods have no maintainer and no reason for being empty; `lint` accepts that as `build` does.
#[test]
fn what_nobody_here_can_change_is_no_breach() {
    let lab = Lab::new(|_| {});
    let (files, known) = super::super::packages_to_lint(&lab.ctx, &lab.job()).unwrap();
    let options = lint::Options::default();
    let counts = crate::lint::check(&lab.ctx, &files, &options, &[]).unwrap();
    assert_eq!((counts.exit(), counts.allowed), (Exit::Failed, 0));
    let counts = crate::lint::check(&lab.ctx, &files, &options, &known).unwrap();
    assert_eq!((counts.exit(), counts.errors), (Exit::Done, 0));
    assert!(counts.allowed > 0);
}

#[test]
fn a_program_that_a_release_cannot_pack_is_wrong_usage() {
    let lab = Lab::new(|_| {});
    let own = lab.ctx.root.join("package/recipes/offloadctl.yaml");
    let text = std::fs::read_to_string(own).unwrap();
    let place = lab.ctx.recipes[0].join("mine.yaml");
    std::fs::write(&place, text.replace("package: offloadctl\n", "package: mine\n")).unwrap();
    let Err(failure) = lab.packages() else { panic!("packed without a Makefile") };
    assert_eq!((failure.id(), failure.exit()), ("SDK052", Exit::Usage));
    assert!(failure.finding().fix.contains("package/feed/mine/Makefile"), "{failure}");
    let workspace = lab.ctx.workspace().unwrap();
    let failure = workspace.package("no-such-package").unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("SRC002", Exit::Usage));
}

#[test]
fn a_module_from_source_is_compiled_by_the_sdk_unless_it_is_for_tests() {
    let lab = Lab::new(|_| {});
    let recipes = &lab.ctx.recipes[0];
    std::fs::write(recipes.join("Kbuild"), "obj-m := own.o\n").unwrap();
    let text = "version: 1\npackage: kmod-own\ntitle: O\nsource: {path: .}\nmodules: [{name: own}]\n";
    let recipe = recipes.join("kmod-own.yaml");
    std::fs::write(&recipe, text).unwrap();
    // This miniature has no such module to take as the compiler's result.
    let Err(failure) = lab.packages() else { panic!("it built") };
    assert_eq!((failure.id(), failure.exit()), ("SDK044", Exit::Failed));
    assert!(failure.to_string().contains("own.ko"), "{failure}");
    std::fs::write(&recipe, format!("{text}for: tests\n")).unwrap();
    let names: Vec<_> =
        lab.packages().unwrap().files().unwrap().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| !name.contains("own")), "{names:?}");
}

#[test]
fn another_work_tree_uses_the_same_unpacked_sdk() {
    let lab = Lab::new(|_| {});
    let first = lab.packages().unwrap();
    lab.worked();
    // Another recipe, as on another branch.
    let recipe = lab.ctx.recipes[0].join("kmod-name.yaml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("title: N", "title: Name")).unwrap();
    let second = lab.packages().unwrap();
    assert_eq!(lab.worked(), ["packages"]);
    assert_eq!(first.kernel, second.kernel);
    assert_ne!(first.folder, second.folder);
}

#[test]
fn an_sdk_that_fails_leaves_no_packages_and_its_words() {
    let lab = Lab::new(|sdk| sdk.fault = "nothing");
    let Err(failure) = lab.packages() else { panic!("it built") };
    assert_eq!(failure.id(), "SDK061");
    let Err(again) = lab.packages() else { panic!("a failure was taken for a result") };
    assert_eq!(again.id(), "SDK061");
    let lab = Lab::new(|sdk| sdk.hash = "ffffffffffffffffffffffffffffffff");
    let Err(failure) = lab.packages() else { panic!("the SDK of another kernel was used") };
    assert_eq!((failure.id(), failure.exit()), ("SDK021", Exit::Mismatch));
}

#[test]
fn rebuilt_kmods_are_compared_with_the_published_ones() {
    let lab = Lab::new(|_| {});
    let files = lab.packages().unwrap().files().unwrap();
    let published = |name: &str| format!("kmods/6.12.94-1-{KERNEL_HASH}/{name}");
    for file in &files {
        let name = published(file.file_name().unwrap());
        lab.mirror.publish(RELEASE, "x86/64", &[(&name, &std::fs::read(file).unwrap())]);
    }
    let outcome = lab.compare();
    assert_eq!(
        (outcome.exit, outcome.data.as_str()),
        (Exit::Done, "2 kmods compared with those of the release, 0 differences")
    );

    let top = published(files[1].file_name().unwrap());
    lab.mirror.publish(RELEASE, "x86/64", &[(&top, &std::fs::read(&files[0]).unwrap())]);
    let outcome = lab.compare();
    assert_eq!(outcome.exit, Exit::Failed);
    assert!(outcome.data.contains("kmod-top: was not published"), "{}", outcome.data);
    lab.mirror.remove(RELEASE, "x86/64", &top);
    lab.worked();
    let outcome = lab.compare();
    assert_eq!((outcome.exit, lab.findings()), (Exit::Failed, vec!["CMP002"]));
    assert!(outcome.data.ends_with("2 kmods compared with those of the release, 1 difference"), "{}", outcome.data);
    lab.mirror.remove(RELEASE, "x86/64", &published(files[0].file_name().unwrap()));
    let Err(failure) = crate::pipeline::compare(&lab.ctx, &lab.job()) else { panic!("compared with nothing") };
    assert_eq!((failure.id(), failure.exit()), ("CMP003", Exit::Upstream));
    let difference = drive::Difference {
        package: "kmod-top".into(),
        path: Some("lib/x.ko".into()),
        what: "w".into(),
        is_unpublished: false,
    };
    let finding = differs(&difference);
    assert_eq!((finding.id, finding.place.as_deref()), ("CMP001", Some("kmod-top: /lib/x.ko")));
}

/// For some architectures no Rust target is known: this is reported, and the kmods are built.
#[test]
fn a_target_without_rust_gets_its_kmods_and_a_warning() {
    let lab = Lab::new(|_| {});
    let recipes = Recipes::load(&[lab.ctx.root.join("package/recipes")]).unwrap();
    assert!(!recipes.programs.is_empty());
    assert!(programs::of_recipes(&lab.ctx, &recipes, &Arch("powerpc64_e5500".into()), None).unwrap().is_empty());
    let warned = lab.events.try_iter().any(|event| {
        matches!(event, Event::Finding(finding) if finding.id == "RST002" && finding.severity == Severity::Warning)
    });
    assert!(warned);
}

#[test]
fn published_kmods_are_those_of_the_same_file_name_and_kernel() {
    let built = ["/out/kmod-a_6.6.1-r1_x86_64.ipk".into(), "/out/kmod-b-6.6.1-r1.apk".into()];
    for (path, published) in [
        ("packages/kmod-a_6.6.1-r1_x86_64.ipk", true),
        ("kmods/6.6.1-1-aa/kmod-a_6.6.1-r1_x86_64.ipk", true),
        ("kmods/6.6.1-1-aa/kmod-b-6.6.1-r1.apk", true),
        ("kmods/6.6.1-1-bb/kmod-a_6.6.1-r1_x86_64.ipk", false),
        ("kmods/6.6.1-1-aa/kmod-a_6.6.2-r1_x86_64.ipk", false),
        ("packages/a_6.6.1-r1_x86_64.ipk", false),
    ] {
        assert_eq!(is_published(path, &built, "aa"), published, "{path}");
    }
}
