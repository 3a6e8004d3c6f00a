//! A request is either carried out exactly, or refused.

use camino::Utf8Path;
use clap::Parser as _;
use model::{Event, Events, Severity};
use vm::guest::Origin;

use super::*;
use crate::cli::{Cli, Verb};
use crate::ctx::tests::ctx;

fn selection(words: &[&str]) -> Selection {
    let line = ["xtask", "build"].iter().chain(words);
    let Verb::Build(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("not build") };
    args.selection
}

fn here() -> Ctx {
    ctx("/nowhere".into(), Events::discard())
}

fn refused(words: &[&str]) -> (&'static str, Exit) {
    let failure = Job::new(&here(), &selection(words), Purpose::Build).err().unwrap();
    (failure.id(), failure.exit())
}

#[test]
fn an_unknown_target_names_the_nearest() {
    for text in ["x86/46", "x86", "x86/generic", "../.."] {
        let failure = target(&selection(&["--target", text])).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("USE002", Exit::Usage), "{text}");
        assert!(failure.finding().fix.contains("x86/64"), "{failure}");
    }
    assert!(target(&selection(&["--target", "ath79/generic"])).unwrap_err().finding().fix.contains("armsr/armv8"));
    assert_eq!(target(&selection(&[])).unwrap().slug(), "x86-64");
}

#[test]
fn a_release_has_its_own_targets_and_some_verbs_have_none() {
    let release = selection(&["--release", "25.12.5", "--target", "malta/be", "--locked"]);
    let job = Job::new(&here(), &release, Purpose::Build).unwrap();
    assert_eq!((job.target().to_string().as_str(), job.provider.origin()), ("malta/be", Origin::Release));
    assert_eq!(job.formats, [Format::Apk], "a release has one");
    let failure = Job::stand_in(&here(), &release, Purpose::Build).err().unwrap();
    assert_eq!((failure.id(), failure.exit()), ("USE003", Exit::Usage));
    let (job, _stand_in) = Job::stand_in(&here(), &selection(&[]), Purpose::Build).unwrap();
    assert_eq!((job.target().to_string().as_str(), job.provider.origin()), ("x86/64", Origin::StandIn));
    assert_eq!(refused(&["--release", "25.12.5", "--target", "no/such"]).1, Exit::Usage);
}

#[test]
fn a_target_without_a_machine_is_built_for_and_proven_elsewhere() {
    let release = selection(&["--release", "25.12.5", "--target", "mediatek/filogic"]);
    assert!(Job::new(&here(), &release, Purpose::Build).is_ok());
    let failure = Job::new(&here(), &release, Purpose::Test).err().unwrap();
    assert_eq!((failure.id(), failure.exit()), ("USE008", Exit::Usage));
    assert!(failure.finding().fix.contains("--target armsr/armv8"), "{failure}");
    for (release, target, on, origin) in [
        ("25.12.5", "mediatek/filogic", "armsr/armv8", Origin::Release),
        ("24.10.8", "ath79/generic", "malta/be", Origin::Release),
        ("24.10.8", "ramips/mt7620", "ramips/mt7621", Origin::StandIn),
        ("25.12.5", "ramips/mt7621", "ramips/mt7621", Origin::StandIn),
    ] {
        let selection = selection(&["--release", release, "--target", target]);
        let [job] = &Job::proofs(&here(), &selection).unwrap()[..] else { panic!("one") };
        assert_eq!((job.target().to_string().as_str(), job.provider.origin()), (on, origin), "{target}");
        let made = job.proves().unwrap();
        assert_eq!((made.row().target.as_str(), made.row().release.as_str()), (target, release));
        assert_eq!(made.formats, job.formats, "what the release makes is what is tried");
    }
    let own = Job::proofs(&here(), &selection(&["--release", "25.12.5", "--target", "armsr/armv8"])).unwrap();
    assert!(own[0].proves().is_none() && own[0].provider.origin() == Origin::Release);
}

#[test]
fn a_stand_in_has_a_kernel_of_its_own_by_default() {
    for target in ["x86/64", "armsr/armv8", "armsr/armv7", "ramips/mt7621"] {
        let jobs = Job::each(&here(), &selection(&["--target", target]), Purpose::Test).unwrap();
        assert_eq!(jobs.len(), 1, "{target}");
        assert_eq!(jobs[0].target().to_string(), target);
    }
    let kernels = |target| kernels(&selection(&[]), port(&target).unwrap());
    assert_eq!(kernels("x86/64".parse().unwrap()), [Kernel::V6_12]);
    assert_eq!(kernels("ramips/mt7621".parse().unwrap()), [Kernel::V6_1]);
}

#[test]
fn several_kernels_are_several_jobs_and_only_where_that_is_meant() {
    let two = ["--kernel", "6.1,6.12"];
    assert_eq!(Job::each(&here(), &selection(&two), Purpose::Test).unwrap().len(), 2);
    assert_eq!(refused(&two), ("USE004", Exit::Usage));
    let failure = Job::stand_in(&here(), &selection(&two), Purpose::Build).err().unwrap();
    assert_eq!(failure.id(), "USE004");
}

#[test]
fn a_release_has_its_own_kernel_and_format() {
    for kernel in ["6.1", "6.12"] {
        let line = ["xtask", "build", "--release", "24.10", "--kernel", kernel];
        assert!(Cli::try_parse_from(line).unwrap_err().to_string().contains("cannot be used with"), "{kernel}");
    }
    assert_eq!(refused(&["--release", "24.10", "--format", "apk"]), ("USE007", Exit::Usage));
    assert_eq!(refused(&["--release", "25.12", "--format", "ipk"]), ("USE007", Exit::Usage));
    for words in [&["--release", "24.10", "--format", "ipk"][..], &["--release", "25.12", "--format", "ipk,apk"]] {
        assert!(Job::new(&here(), &selection(words), Purpose::Build).is_ok(), "{words:?}");
    }
}

#[test]
fn makefiles_are_built_by_a_release_and_by_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    std::fs::create_dir_all(root.join("mine/tool")).unwrap();
    std::fs::write(root.join("mine/tool/Makefile"), "$(eval $(call BuildPackage,tool))").unwrap();
    let mut ctx = here();
    ctx.feed = Some(root.join("mine"));
    for refused in [
        Job::new(&ctx, &selection(&[]), Purpose::Build).err(),
        Job::stand_in(&ctx, &selection(&[]), Purpose::Build).err(),
    ] {
        let failure = refused.unwrap();
        assert_eq!((failure.id(), failure.exit()), ("OWN020", Exit::Usage));
        assert!(failure.finding().fix.contains("--release"), "{failure}");
    }
    let job = Job::new(&ctx, &selection(&["--release", "24.10"]), Purpose::Build).unwrap();
    assert_eq!(job.own_feed().unwrap().sources[0].path, "tool");
    assert!(job.without(&["tool".to_owned()].into()).own_feed().unwrap().sources.is_empty());
    std::fs::write(root.join("mine/feeds.conf"), "src-git other https://example.org/x.git;main\n").unwrap();
    let failure = Job::new(&ctx, &selection(&["--release", "24.10"]), Purpose::Build).err().unwrap();
    assert_eq!(failure.id(), "OWN023");
}

/// Other files in a folder of recipes are not built, and this is reported.
#[test]
fn a_makefile_among_the_recipes_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    std::fs::create_dir_all(root.join("mine")).unwrap();
    std::fs::create_dir_all(root.join("notes")).unwrap();
    std::fs::write(root.join("mine/Makefile"), "").unwrap();
    // A folder that a recipe compiles is not reported.
    std::fs::create_dir_all(root.join("source")).unwrap();
    std::fs::write(root.join("source/Makefile"), "obj-m := own.o\n").unwrap();
    let recipe = "version: 1\npackage: kmod-own\ntitle: O\nsource: {path: source}\nmodules: [{name: own}]\n";
    std::fs::write(root.join("kmod-own.yaml"), recipe).unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    let mut ctx = ctx("/nowhere".into(), Events::to(sender));
    ctx.recipes.push(root.to_owned());
    Job::new(&ctx, &selection(&[]), Purpose::Build).unwrap();
    let told = events.try_iter().filter_map(|event| match event {
        Event::Finding(finding) => Some((finding.id, finding.severity, finding.place)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [("RCP006", Severity::Warning, Some(root.join("mine/Makefile").into()))]);
}

#[test]
fn formats_are_a_set_and_both_unless_said_otherwise() {
    let asked = |words: &[&str]| Job::new(&here(), &selection(words), Purpose::Build).unwrap().formats;
    let [ipk, apk] = Format::ALL;
    assert_eq!(asked(&[]), [ipk, apk]);
    assert_eq!(asked(&["--format", "apk,ipk"]), [ipk, apk]);
    assert_eq!(asked(&["--format", "apk", "--format", "apk"]), [apk]);
    assert_eq!(asked(&["--format=ipk"]), [ipk]);
}

#[test]
fn a_slip_in_a_file_is_told_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    let mut ctx = here();
    ctx.scenarios = root.to_owned();
    std::fs::write(root.join("broken.yaml"), "title: [").unwrap();
    assert!(Job::new(&ctx, &selection(&[]), Purpose::Test).is_ok(), "nobody wants that scenario");
    assert_eq!(Job::new(&ctx, &selection(&[]), Purpose::Ci).err().unwrap().exit(), Exit::Usage);
}
