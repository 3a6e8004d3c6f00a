//! The whole tree: built, trusted, changed by the next run, and refused once somebody changed it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use formats::depend::Dependency;
use formats::{Content, Entry, Format, Package};
use host::Output;
use model::{Arch, Cancel, Result};

use super::sandbox::{Sandbox, System, list};
use super::*;
use crate::assemble::tests::{keys, snapshot};
use crate::keys::Keys;
use crate::trust::Trust;
use crate::verify::Router;

const URL: &str = "https://example.org/feed";

struct Trees {
    guard: tempfile::TempDir,
}

impl Trees {
    fn new() -> Trees {
        Trees { guard: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.guard.path()).unwrap()
    }

    fn folder(&self, name: &str) -> Utf8PathBuf {
        let folder = self.root().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The packages of a row: a kmod for the kernel, and a tool whose bytes are `text`.
    fn made(&self, line: &str, release: &str, hash: &str, text: &str) -> Outcome {
        self.made_for(("x86/64", "x86_64"), line, release, hash, text)
    }

    /// The same for a target and its architecture.
    fn made_for(&self, target: (&str, &str), line: &str, release: &str, hash: &str, text: &str) -> Outcome {
        let (target, architecture) = target;
        let folder = self.folder(&format!("packages-{architecture}-{line}-{release}-{hash}-{text}"));
        let plan = |name: &str, depends| Package {
            name: name.into(),
            version: "6.12.1-r1".into(),
            architecture: architecture.into(),
            description: name.into(),
            license: "GPL-2.0-only".into(),
            depends,
            files: vec![Entry::file(format!("lib/{name}"), 0o644, Content::from(text))],
            ..Package::default()
        };
        let kernel_version = format!("6.12.1~{hash}-r1");
        let plans = [plan("kmod-a", vec![Dependency::exactly("kernel", &kernel_version)]), plan("tool", Vec::new())];
        let formats: &[Format] = if line == "24.10" { &[Format::Ipk] } else { &Format::ALL };
        let mut files = Vec::new();
        for (format, plan) in formats.iter().flat_map(|format| plans.iter().map(move |plan| (*format, plan))) {
            let path = folder.join(plan.file_name(format));
            plan.write(format, std::fs::File::create(&path).unwrap()).unwrap();
            files.push(path);
        }
        Outcome::Made(Box::new(Made {
            row: Row { line: line.into(), target: target.into(), release: release.into() },
            inputs: format!("{hash}{text}"),
            kernel_version,
            architecture: Arch(architecture.into()),
            files,
            materials: vec![Material { uri: "https://example.org/sdk".into(), sha256: "0".repeat(64) }],
            crates: vec![Crate { name: "libc".into(), version: "0.2.1".into(), sha256: Some("1".repeat(64)) }],
        }))
    }

    fn compose(
        &self,
        name: &str,
        published: Option<&Published>,
        outcomes: Vec<Outcome>,
        keys: &Keys,
    ) -> Result<(Utf8PathBuf, Composed)> {
        self.proven(name, published, outcomes, keys, &BTreeMap::new())
    }

    fn proven(
        &self,
        name: &str,
        published: Option<&Published>,
        outcomes: Vec<Outcome>,
        keys: &Keys,
        verdicts: &BTreeMap<String, Vec<Verdict>>,
    ) -> Result<(Utf8PathBuf, Composed)> {
        let pruned = BTreeSet::new();
        let request =
            Request { name: "our_feed", url: URL, tool: "0.1.0", commit: None, epoch: 0, pruned: &pruned, verdicts };
        let out = self.folder(name);
        let composed = compose(&request, published, outcomes, keys, &out)?;
        Ok((out, composed))
    }
}

fn row(line: &str, release: &str) -> Row {
    Row { line: line.into(), target: "x86/64".into(), release: release.into() }
}

fn open(tree: &Utf8Path, keys: &Keys) -> Published {
    Published::open(tree, &Trust::of(keys)).unwrap()
}

#[test]
fn a_tree_holds_what_routers_need_and_a_second_run_makes_the_same_bytes() {
    let (trees, keys) = (Trees::new(), keys(7));
    let rows = || vec![trees.made("stand-in", "6.12", "aa", "x"), trees.made("24.10", "24.10.8", "bb", "x")];
    let (one, composed) = trees.compose("one", None, rows(), &keys).unwrap();
    assert_eq!((composed.changed.len(), composed.missing.len()), (2, 0));
    let published = open(&one, &keys);
    let said = verify(&published, None, &Cancel::default()).unwrap();
    assert_eq!(
        said,
        [
            "24.10/x86/64/kmods/6.12.1-1-bb 3 packages, opkg",
            "stand-in/x86/64/kmods/6.12.1-1-aa 6 packages, opkg and apk"
        ]
    );
    for path in [
        "index.html",
        "subscribe.sh",
        "feed.json",
        "sha256sums.sig",
        ".nojekyll",
        "keys/keys.json",
        "24.10/x86/64/releases.json",
        "24.10/x86/64/index.html",
        "24.10/x86/64/kmods/6.12.1-1-bb/Packages.bom.cdx.json",
        "24.10/x86/64/kmods/6.12.1-1-bb/provenance.intoto.json",
        "24.10/x86/64/kmods/6.12.1-1-bb/our-feed-keyring_1-r1_all.ipk",
    ] {
        assert!(one.join(path).is_file(), "{path}");
    }
    let releases = std::fs::read_to_string(one.join("24.10/x86/64/releases.json")).unwrap();
    assert_eq!(releases, "{\n  \"24.10.8\": \"6.12.1-1-bb\"\n}\n");

    // Built twice, taken over, and built again over the published tree: the same bytes each time.
    let (again, _) = trees.compose("again", None, rows(), &keys).unwrap();
    assert!(snapshot(&again) == snapshot(&one));
    let unchanged = || vec![Outcome::Unchanged(row("stand-in", "6.12")), Outcome::Unchanged(row("24.10", "24.10.8"))];
    let (kept, composed) = trees.compose("kept", Some(&published), unchanged(), &keys).unwrap();
    assert!(snapshot(&kept) == snapshot(&one) && composed.changed.is_empty());
    let (over, composed) = trees.compose("over", Some(&published), rows(), &keys).unwrap();
    assert!(snapshot(&over) == snapshot(&one) && composed.changed.is_empty());
    let archives = ["one", "kept"].map(|name| {
        let archive = trees.root().join(format!("{name}.tar"));
        tar(&trees.root().join(name), &archive).unwrap();
        std::fs::read(archive).unwrap()
    });
    assert!(archives[0] == archives[1]);
}

#[test]
fn routers_of_each_target_and_kernel_find_theirs_in_one_tree() {
    let (trees, keys) = (Trees::new(), keys(7));
    let targets = [("x86/64", "x86_64"), ("armsr/armv8", "aarch64_generic"), ("ramips/mt7621", "mipsel_24kc")];
    let releases = [("stand-in", "6.1", "aa"), ("stand-in", "6.12", "bb"), ("24.10", "24.10.8", "cc")];
    let rows = targets.iter().flat_map(|target| {
        let trees = &trees;
        releases.iter().map(move |(line, release, hash)| trees.made_for(*target, line, release, hash, "x"))
    });
    let (tree, composed) = trees.compose("tree", None, rows.collect(), &keys).unwrap();
    assert_eq!((composed.missing.len(), composed.feed.rows.len(), composed.feed.folders.len()), (0, 9, 9));
    assert_eq!(verify(&open(&tree, &keys), None, &Cancel::default()).unwrap().len(), 9);
    for (target, architecture) in targets {
        for (line, _, hash) in releases {
            let release = if line == "24.10" { "24.10.8" } else { line };
            let version = format!("6.12.1~{hash}-r1");
            let router = sandbox(&tree, "opkg", |system| {
                (system.release, system.target, system.kernel_version) = (release, target, &version);
            });
            let output = run(&router, &tree);
            let place = format!("{line}/{target}/kmods/6.12.1-1-{hash}");
            assert!(output.success, "{place}: {}", output.stderr);
            assert_eq!(router.text(list("opkg")), format!("src/gz our_feed {URL}/{place}\n"));
            let index = std::fs::read_to_string(tree.join(&place).join("Packages")).unwrap();
            assert!(index.contains(&format!("Architecture: {architecture}\n")), "{place}");
        }
    }
}

#[test]
fn other_kernels_stay_and_what_failed_is_told_and_stays_as_it_was() {
    let (trees, keys) = (Trees::new(), keys(7));
    let (one, _) = trees.compose("one", None, vec![trees.made("stand-in", "6.12", "aa", "x")], &keys).unwrap();
    let first = open(&one, &keys);
    // The release moved to another kernel.
    let (two, _) = trees.compose("two", Some(&first), vec![trees.made("stand-in", "6.12", "bb", "x")], &keys).unwrap();
    let second = open(&two, &keys);
    let kernels: Vec<&str> = second.feed.folders.iter().map(|folder| folder.kernel.as_str()).collect();
    assert_eq!((kernels, second.feed.rows.len()), (vec!["6.12.1-1-aa", "6.12.1-1-bb"], 1));
    let old = |tree: &Utf8Path| {
        let files = snapshot(&tree.join("stand-in/x86/64/kmods/6.12.1-1-aa"));
        files.into_iter().collect::<Vec<_>>()
    };
    assert!(old(&one) == old(&two), "what an older router reads is as it was");

    let failed = Missing { row: row("stand-in", "6.12"), id: "X001".into(), what: "no compiler".into() };
    let outcomes = vec![Outcome::Missing(failed.clone()), trees.made("24.10", "24.10.8", "cc", "x")];
    let (three, composed) = trees.compose("three", Some(&second), outcomes, &keys).unwrap();
    assert_eq!(composed.missing, std::slice::from_ref(&failed));
    let third = open(&three, &keys);
    assert_eq!((&third.feed.missing[..], third.feed.rows.len(), third.feed.folders.len()), (&[failed][..], 2, 3));
    let page = std::fs::read_to_string(three.join("index.html")).unwrap();
    assert!(page.contains("no compiler (X001)") && !page.contains("src=\"http"), "{page}");
    verify(&third, None, &Cancel::default()).unwrap();
    // The row is no longer missing once it could be built.
    let (four, _) =
        trees.compose("four", Some(&third), vec![Outcome::Unchanged(row("stand-in", "6.12"))], &keys).unwrap();
    assert_eq!(open(&four, &keys).feed.missing, []);

    // Packages for another kernel than the row says, and no packages at all: the row is missing, but the tree is built.
    let Outcome::Made(wrong) = trees.made("24.10", "24.10.9", "dd", "x") else { panic!() };
    let foreign = Made { kernel_version: "6.12.1~ee-r1".into(), ..*wrong.clone() };
    let broken = trees.root().join("broken.ipk");
    std::fs::write(&broken, "no package").unwrap();
    for (made, id) in [(foreign, "FEED012"), (Made { files: vec![broken], ..*wrong }, "GZ001")] {
        let name = format!("wrong-{id}");
        let (_, composed) = trees.compose(&name, Some(&third), vec![Outcome::Made(Box::new(made))], &keys).unwrap();
        assert_eq!((composed.missing[0].id.as_str(), composed.feed.rows.len()), (id, 2));
    }

    // Other bytes under the same name and version.
    let other = vec![trees.made("24.10", "24.10.8", "cc", "other")];
    let (five, composed) = trees.compose("five", Some(&third), other, &keys).unwrap();
    assert_eq!((composed.missing[0].id.as_str(), &composed.changed[..]), ("DIST005", &[][..]));
    let place = "24.10/x86/64/kmods/6.12.1-1-cc/Packages";
    assert!(std::fs::read(five.join(place)).unwrap() == std::fs::read(three.join(place)).unwrap());
}

#[test]
fn what_scenarios_proved_stands_beside_the_very_files_that_they_ran_on() {
    let (trees, keys) = (Trees::new(), keys(7));
    let made = trees.made("24.10", "24.10.8", "aa", "x");
    let Outcome::Made(of_made) = &made else { panic!() };
    let verdict =
        |verdict: &str| Verdict { scenario: "install".into(), manager: "opkg".into(), verdict: verdict.into() };
    let verdicts = BTreeMap::from([
        (identity(&of_made.files).unwrap(), vec![verdict("pass"), verdict("fail")]),
        (identity(&of_made.files[1..]).unwrap(), vec![verdict("pass")]),
    ]);
    let (one, _) = trees.compose("one", None, vec![made], &keys).unwrap();
    let text = |tree: &Utf8Path| std::fs::read_to_string(tree.join("index.html")).unwrap();
    assert!(text(&one).contains("no scenario was run"));
    let (two, composed) = trees.proven("two", Some(&open(&one, &keys)), Vec::new(), &keys, &verdicts).unwrap();
    assert!(text(&two).contains("1 of 2 scenarios") && composed.changed.len() == 1);
    // It is kept until other verdicts are known.
    let (three, _) = trees.compose("three", Some(&open(&two, &keys)), Vec::new(), &keys).unwrap();
    assert!(snapshot(&three) == snapshot(&two));
}

#[test]
fn a_tree_that_somebody_changed_is_not_believed() {
    let (trees, keys) = (Trees::new(), keys(7));
    let (tree, _) = trees.compose("tree", None, vec![trees.made("24.10", "24.10.8", "aa", "x")], &keys).unwrap();
    let refused = |trust: &Trust| Published::open(&tree, trust).unwrap_err().id();
    let trust = Trust::of(&keys);
    assert_eq!(refused(&Trust::of(&crate::assemble::tests::keys(8))), "FEED008");
    for path in ["subscribe.sh", "feed.json", "24.10/x86/64/kmods/6.12.1-1-aa/Packages", "keys/keys.json"] {
        let good = std::fs::read(tree.join(path)).unwrap();
        std::fs::write(tree.join(path), [&good[..], b" "].concat()).unwrap();
        assert_eq!(refused(&trust), "DIST002", "{path}");
        std::fs::remove_file(tree.join(path)).unwrap();
        assert_eq!(refused(&trust), "DIST002", "{path}");
        std::fs::write(tree.join(path), good).unwrap();
    }
    std::fs::write(tree.join("more.ipk"), "nobody signed it").unwrap();
    let failure = verify(&open(&tree, &keys), None, &Cancel::default()).unwrap_err();
    assert_eq!((failure.id(), failure.finding().place.as_deref()), ("DIST004", Some(tree.join("more.ipk").as_str())));
    std::fs::remove_file(tree.join("more.ipk")).unwrap();
    // Properly signed, but made by another version of this program.
    std::fs::write(tree.join("feed.json"), "{}").unwrap();
    let text = sums::Sums::of(&tree).unwrap().text();
    std::fs::write(tree.join("sha256sums.sig"), keys.opkg.current.sign(text.as_bytes()).to_text()).unwrap();
    std::fs::write(tree.join("sha256sums"), text).unwrap();
    assert_eq!(refused(&trust), "DIST007");
    std::fs::remove_file(tree.join("sha256sums")).unwrap();
    assert_eq!(refused(&trust), "DIST001");
    let failure = trees.compose("bad", None, Vec::new(), &keys).map(drop);
    assert_eq!(failure, Ok(()), "nothing is a tree too");
    let request = Request {
        name: "a",
        url: "no address'",
        tool: "",
        commit: None,
        epoch: 0,
        pruned: &BTreeSet::new(),
        verdicts: &BTreeMap::new(),
    };
    let failure = compose(&request, None, Vec::new(), &keys, &trees.folder("worse")).unwrap_err();
    assert_eq!(failure.id(), "DIST003");
}

#[test]
fn keys_are_rotated_without_a_day_on_which_a_router_refuses_the_feed() {
    let (trees, old) = (Trees::new(), keys(7));
    let mut announced = keys(7);
    (announced.opkg.next, announced.apk.next) = (Some(keys(8).opkg.current), Some(keys(8).apk.current));
    let new = keys(8);
    let unchanged = || vec![Outcome::Unchanged(row("stand-in", "6.12"))];
    let (one, _) = trees.compose("one", None, vec![trees.made("stand-in", "6.12", "aa", "x")], &old).unwrap();
    let (two, _) = trees.compose("two", Some(&open(&one, &old)), unchanged(), &announced).unwrap();
    // The list is still signed by the old key.
    let second = open(&two, &old);
    let (three, _) = trees.compose("three", Some(&second), unchanged(), &new).unwrap();
    for (tree, keys) in [(&one, &old), (&two, &announced), (&three, &new)] {
        verify(&open(tree, keys), None, &Cancel::default()).unwrap();
    }
    let status = |tree: &Utf8Path| std::fs::read_to_string(tree.join("keys/keys.json")).unwrap();
    assert!(status(&two).contains("\"next\"") && status(&three).contains("\"retired\""));
    for format in Format::ALL {
        let place = |tree: &Utf8Path| format!("file://{tree}/stand-in/x86/64/kmods/6.12.1-1-aa");
        let router = |trust: &Trust| Router::new(format, &Arch("x86_64".into()), "6.12.1~aa-r1", &[], trust).unwrap();
        let keyring = ["our-feed-keyring".to_owned()];
        // A router that was on throughout learns the next key from the keyring, and reads what the next key alone has
        // signed.
        let awake = router(&Trust::of(&old));
        awake.reads(&place(&one)).unwrap();
        awake.update().unwrap();
        awake.install(&keyring).unwrap();
        awake.reads(&place(&two)).unwrap();
        awake.update().unwrap();
        awake.upgrade().unwrap();
        assert_eq!(awake.installed().unwrap(), [("our-feed-keyring".to_owned(), "2-r1".to_owned())], "{format}");
        awake.reads(&place(&three)).unwrap();
        awake.update().unwrap();
        // A router that was off until after the rotation must refuse the feed; it keeps what it has.
        let asleep = router(&Trust::of(&old));
        asleep.reads(&place(&one)).unwrap();
        asleep.update().unwrap();
        asleep.install(&keyring).unwrap();
        asleep.reads(&place(&three)).unwrap();
        assert!(asleep.update().is_err(), "{format}");
        assert_eq!(asleep.installed().unwrap()[0].1, "1-r1");
    }
}

/// A stand-in's router with this kernel, subscribed to `tree`.
fn sandbox<'a>(tree: &Utf8Path, manager: &'a str, change: impl Fn(&mut System<'a>)) -> Sandbox {
    let mut system =
        System { release: "24.10.8", target: "x86/64", manager, kernel_version: "6.12.1~aa-r1", running: "6.12.1" };
    change(&mut system);
    Sandbox::new(tree, URL, &system).unwrap()
}

fn run(sandbox: &Sandbox, tree: &Utf8Path) -> Output {
    sandbox.run(&tree.join("subscribe.sh"), &Cancel::default()).unwrap()
}

/// The files of the router that the script may change.
fn state(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    snapshot(&sandbox.root())
}

#[test]
fn a_router_is_subscribed_once_and_the_second_time_changes_nothing() {
    let (trees, keys) = (Trees::new(), keys(7));
    let rows = vec![trees.made("24.10", "24.10.8", "aa", "x"), trees.made("stand-in", "6.12", "aa", "x")];
    let (tree, _) = trees.compose("tree", None, rows, &keys).unwrap();
    for (manager, release, line) in [
        ("opkg", "24.10.8", "24.10"),
        ("opkg", "24.10-SNAPSHOT", "24.10"),
        ("opkg", "stand-in", "stand-in"),
        ("apk", "stand-in", "stand-in"),
    ] {
        let router = sandbox(&tree, manager, |system| system.release = release);
        router.put(list(manager), "# mine\n").unwrap();
        let output = run(&router, &tree);
        assert!(output.success, "{release}: {}", output.last_words());
        let place = format!("{URL}/{line}/x86/64/kmods/6.12.1-1-aa");
        let ours = match manager {
            "apk" => format!("# mine\n{place}/packages.adb\n"),
            _ => format!("# mine\nsrc/gz our_feed {place}\n"),
        };
        assert_eq!(router.text(list(manager)), ours);
        let kept = router.text("lib/upgrade/keep.d/our_feed");
        assert_eq!(kept.lines().count(), 4, "{kept}");
        for path in kept.lines() {
            assert!(router.root().join(path.trim_start_matches('/')).is_file(), "{path}");
        }
        let before = state(&router);
        let again = run(&router, &tree);
        assert!(again.success && !again.stdout.contains("wrote"), "{}", again.stdout);
        assert!(state(&router) == before);

        // After a system upgrade to another kernel, the kept uci-defaults file points the line to the new kernel,
        // without a network.
        router.put("lib/apk/db/installed", "P:kernel\nV:6.12.9~cc-r1\n\n").unwrap();
        router.put("usr/lib/opkg/status", "Package: kernel\nVersion: 6.12.9~cc-r1\n\n").unwrap();
        let defaults = router.root().join("etc/uci-defaults/zz-our_feed");
        let output = router.run(&defaults, &Cancel::default()).unwrap();
        assert!(!output.success, "it stays for the next time");
        assert_eq!(router.text(list(manager)), ours.replace("6.12.1-1-aa", "6.12.9-1-cc"), "{}", output.last_words());
        assert!(router.text(list(manager)).starts_with("# mine\n"));
    }
}

#[test]
fn a_router_that_nothing_fits_is_told_why_and_stays_as_it_is() {
    let (trees, keys) = (Trees::new(), keys(7));
    let (tree, _) = trees.compose("tree", None, vec![trees.made("24.10", "24.10.8", "aa", "x")], &keys).unwrap();
    type Change = fn(&mut System);
    let cases: [(Change, &[&str]); 6] = [
        (
            |system| (system.kernel_version, system.running) = ("6.12.2~bb-r1", "6.12.2"),
            &["no packages for kernel 6.12.2-1-bb", "24.10.8 with kernel 6.12.1-1-aa", "vendor's own kernel"],
        ),
        (|system| system.release = "23.05.6", &["nothing for 23.05 on x86/64"]),
        (|system| system.target = "ath79/generic", &["nothing for 24.10 on ath79/generic"]),
        // openwrt#24017: the image's package database names another kernel than the running one.
        (|system| system.running = "6.12.9", &["the kernel that runs is 6.12.9", "says that it has 6.12.1-1-aa"]),
        (|system| system.kernel_version = "", &["does not say which kernel"]),
        (|system| system.target = "", &["does not say which target"]),
    ];
    for manager in ["opkg", "apk"] {
        for (change, words) in cases {
            let router = sandbox(&tree, manager, change);
            let before = state(&router);
            let output = run(&router, &tree);
            assert!(!output.success && state(&router) == before, "{}", output.stdout);
            for word in words {
                assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
            }
        }
    }
    // Debian 12's kernel keeps a name that is older than it, and says its version beside it.
    for (built, fits) in
        [("#1 SMP Debian 6.12.1-2 (2026-07-02)", true), ("#1 SMP Debian 6.12.10-1 (2026-07-02)", false)]
    {
        let mut old = sandbox(&tree, "opkg", |system| system.running = "6.12.0-50-amd64");
        old.set("BUILT", built);
        let output = run(&old, &tree);
        assert_eq!(output.success, fits, "{built}: {}", output.stderr);
    }
    let mut down = sandbox(&tree, "opkg", |_| ());
    down.set("DOWN", "yes");
    let output = run(&down, &tree);
    assert!(!output.success && output.stderr.contains("cannot be reached"), "{}", output.stderr);
    let bare = sandbox(&tree, "opkg", |_| ());
    std::fs::remove_file(bare.root().join("etc/openwrt_release")).unwrap();
    assert!(run(&bare, &tree).stderr.contains("this is no OpenWrt"));
    // The kernel in the image's feed list counts more than the package database, because the image's maker wrote it.
    let listed = sandbox(&tree, "opkg", |system| system.kernel_version = "6.12.1~zz-r1");
    let feeds =
        "src/gz openwrt_kmods https://downloads.openwrt.org/releases/24.10.8/targets/x86/64/kmods/6.12.1-1-aa\n";
    listed.put("etc/opkg/distfeeds.conf", feeds).unwrap();
    assert!(run(&listed, &tree).success);
}

#[test]
fn a_key_or_an_index_that_somebody_changed_is_refused() {
    let (trees, keys) = (Trees::new(), keys(7));
    let (tree, _) = trees.compose("tree", None, vec![trees.made("stand-in", "6.12", "aa", "x")], &keys).unwrap();
    for manager in ["opkg", "apk"] {
        let router = || {
            let router = sandbox(&tree, manager, |system| system.release = "stand-in");
            router.put(list(manager), "# mine\n").unwrap();
            router
        };
        let folder = tree.join("keys").join(manager);
        let key = folder.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
        let good = std::fs::read(&key).unwrap();
        std::fs::write(&key, "another").unwrap();
        let changed = router();
        let before = state(&changed);
        let output = run(&changed, &tree);
        assert!(
            !output.success && output.stderr.contains("not the one that this script was made for"),
            "{}",
            output.stderr
        );
        assert!(state(&changed) == before);
        std::fs::remove_file(&key).unwrap();
        assert!(run(&router(), &tree).stderr.contains("cannot be fetched"));
        std::fs::write(&key, good).unwrap();

        // The manager refuses our index: the feed list is restored.
        let mut refused = router();
        refused.set("REFUSED", "yes");
        let output = run(&refused, &tree);
        assert!(!output.success && output.stderr.contains("does not take the index"), "{}", output.stderr);
        assert_eq!(refused.text(list(manager)), "# mine\n");
        // Another feed that fails does not matter.
        let mut other = router();
        other.set("OTHER", "https://example.org/other");
        other.put(list(manager), "").unwrap();
        let output = run(&other, &tree);
        assert!(output.success, "{}", output.stderr);
    }
}
