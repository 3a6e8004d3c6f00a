//! What works with apk: packages are installed from a signed feed, upgraded, and removed without a trace.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;
use common::apk::{Feed, bytes, key};
use common::{KERNEL, Scratch, file, modules_and_tool, package};
use formats::apk::{Plan, Script};
use formats::{Content, Entry, Package, Scripts, apk};

#[test]
fn packages_come_with_what_they_need_and_go_without_a_trace() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::for_apk(&[&feed.url()]);
    let before = root.tree();
    root.apk(&["update"]).done().says(&format!("fetch {}", feed.url())).says("OK: 3 distinct packages available");
    let updated = root.tree();
    let answer = root.apk(&["add", "kmod-top", "tool"]).done();
    let order =
        ["(1/3) Installing kmod-base (6.12.1-r1)", "(2/3) Installing kmod-top", "(3/3) Installing tool", "OK: "];
    let places: Vec<_> = order.iter().map(|text| answer.out.find(text).expect(text)).collect();
    assert!(places.is_sorted() && answer.out.contains("in 4 packages"), "{}", answer.out);
    assert_eq!(root.apk_installed(), ["kmod-base-6.12.1-r1", "kmod-top-6.12.1-r1", "tool-1.0-r1"]);
    assert_eq!(root.read("etc/apk/world"), "kernel\nkmod-top\ntool\n");
    assert_eq!(
        (root.read("lib/modules/6.12.1/base.ko"), root.read("usr/share/tool/empty")),
        ("base".into(), "".into())
    );
    assert_eq!(root.path("usr/bin/tool").read_link_utf8().unwrap(), "../sbin/tool");
    let mode = |path: &str| root.path(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("usr/sbin/tool"), mode("var/spool/tool"), mode("etc/config")), (0o755, 0o700, 0o755));
    let files = root.apk(&["info", "-L", "tool"]).done().says("tool-1.0-r1 contains:\n").out;
    assert!(files.contains("\netc/config/tool\n") && files.contains("\nlib/apk/packages/tool.list\n"), "{files}");
    assert!(root.read("lib/apk/packages/tool.list").starts_with("/etc/config/tool\n/usr/bin/tool\n"));
    let database = root.read("lib/apk/db/installed");
    assert!(
        database.contains("P:tool\nV:1.0-r1\nA:noarch\n") && database.contains("F:var/spool/tool\nM:0:0:700\n"),
        "{database}"
    );
    assert!(!database.contains("f:f"), "{database}");
    root.apk(&["add", "tool"]).done().says("OK: ");

    // A dependency stays as long as another package needs it; shared folders are removed with their last user.
    root.apk(&["add", "kmod-base"]).done();
    root.apk(&["del", "kmod-base"]).done().says("not removed due to:\n  kmod-base: kmod-top");
    root.apk(&["add", "kmod-base"]).done();
    root.apk(&["del", "kmod-top"]).done().says("(1/1) Purging kmod-top (6.12.1-r1)");
    assert!(!root.has("etc/modules.d") && root.has("lib/modules/6.12.1/base.ko"));
    root.apk(&["add", "kmod-top"]).done();
    let answer = root.apk(&["del", "tool", "kmod-base", "kmod-top"]).done();
    let place = |name: &str| answer.out.find(&format!("Purging {name} ")).unwrap();
    assert!(place("kmod-top") < place("kmod-base"), "{}", answer.out);
    let mut after = root.tree();
    after.retain(|path, _| !["lib/apk/db/scripts.tar.gz", "lib/apk/db/triggers"].contains(&path.as_str()));
    assert_eq!(after, updated);
    assert!(!before.contains_key("lib/apk/db/lock"), "the lock leaves nothing either");
}

#[test]
fn a_dependency_goes_with_the_last_one_that_needs_it() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "kmod-top"]).done();
    root.apk(&["del", "kmod-top"]).done().says("(1/2) Purging kmod-top").says("(2/2) Purging kmod-base");
    assert!(root.apk_installed().is_empty());
}

#[test]
fn a_feed_is_fetched_over_http() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::for_apk(&[&format!("{}/packages.adb", common::serve(feed.path()))]);
    root.apk(&["update"]).done();
    root.apk(&["add", "kmod-top"]).done().says("/feed/kmod-top-6.12.1-r1.apk");
    assert_eq!(root.apk_installed().len(), 2);
    std::fs::remove_file(feed.path().join("tool-1.0-r1.apk")).unwrap();
    let before = root.tree();
    root.apk(&["add", "tool"]).refused_by_apk("INST005").says("404");
    std::fs::remove_file(feed.url()).unwrap();
    root.apk(&["update"]).refused_by_apk("INST005").says("/feed/packages.adb");
    assert_eq!(root.tree(), before, "the verified index of before is still good");
}

/// A package whose scripts append a line to `log` each time they are run.
fn logging(version: &str, log: &Utf8Path) -> Plan {
    let mut plan = apk::from_plan(&package("a", version, "")).unwrap();
    plan.scripts = Script::ALL
        .into_iter()
        .map(|script| (script, format!("#!/bin/sh\necho {version} $APK_SCRIPT \"$@\" >> {log}\n").into_bytes()))
        .collect();
    plan.triggers = vec!["/usr/share/*".into()];
    plan
}

#[test]
fn scripts_are_told_what_happens() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = Utf8Path::from_path(log.path()).unwrap();
    let feed = Feed::of(&[logging("1.0-r1", path), apk::from_plan(&package("other", "1", "")).unwrap()]);
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "a"]).done();
    root.apk(&["del", "a"]).done();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "", "no script runs on a root that is not the running system");

    root.apk_live(&["add", "a"]).done().says("Executing a-1.0-r1.post-install");
    root.apk_live(&["add", "other"]).done().says("Executing a-1.0-r1.trigger");
    let newer = Feed::of(&[logging("1.0-r1", path), logging("1.1-r1", path), logging("1.2-r1", path)]);
    root.repositories(&[&newer.url()]);
    root.apk(&["update"]).done();
    root.apk_live(&["add", "a=1.1-r1"]).done().says("(1/1) Upgrading a (1.0-r1 -> 1.1-r1)");
    root.apk_live(&["add", "a<1.1"]).done().says("(1/1) Downgrading a (1.1-r1 -> 1.0-r1)");
    root.apk_live(&["del", "a"]).done();
    let said = std::fs::read_to_string(path).unwrap();
    let expected = [
        "1.0-r1 pre-install 1.0-r1",
        "1.0-r1 post-install 1.0-r1",
        "1.0-r1 trigger /usr/share/a",
        "1.0-r1 trigger /usr/share/other",
        "1.1-r1 pre-upgrade 1.1-r1 1.0-r1",
        "1.1-r1 post-upgrade 1.1-r1 1.0-r1",
        "1.1-r1 trigger /usr/share/a",
        "1.0-r1 pre-upgrade 1.0-r1 1.1-r1",
        "1.0-r1 post-upgrade 1.0-r1 1.1-r1",
        "1.0-r1 trigger /usr/share/a",
        "1.0-r1 pre-deinstall 1.0-r1",
        "1.0-r1 post-deinstall 1.0-r1",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_scripts_that_openwrt_generates_run() {
    let script = |text: &str| Some(format!("#!/bin/sh\necho \"$pkgname $PKG_UPGRADE {text}\" >> $IPKG_INSTROOT/log\n"));
    let scripts = Scripts { postinst: script("postinst"), prerm: script("prerm"), ..Scripts::default() };
    let version = |version: &str| Package { scripts: scripts.clone(), ..package("a", version, "") };
    let feed = Feed::new(&[version("1"), version("2")]);
    let root = Scratch::with_index(&feed);
    root.apk_live(&["add", "a=1"]).done();
    root.apk_live(&["add", "a=2"]).done();
    root.apk_live(&["del", "a"]).done();
    assert_eq!(root.read("log"), "a  postinst\na 1 postinst\na  prerm\n");
}

#[test]
fn an_upgrade_replaces_files_and_keeps_what_the_owner_changed() {
    let tool = |version: &str, files: &[(&str, &str)]| Package {
        files: files.iter().map(|(path, text)| file(path, text)).collect(),
        ..package("tool", version, "")
    };
    let old = tool(
        "1",
        &[("etc/changed", "1"), ("etc/same", "1"), ("etc/init.d/tool", "1"), ("usr/old/gone", "1"), ("usr/stays", "1")],
    );
    let new = tool(
        "2",
        &[("etc/changed", "2"), ("etc/same", "2"), ("etc/init.d/tool", "2"), ("usr/new", "2"), ("usr/stays", "2")],
    );
    let feed = Feed::new(&[old, new]);
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "tool=1"]).done();
    root.write("etc/changed", "mine");
    root.write("etc/init.d/tool", "mine");
    root.apk(&["add", "tool=2"]).done().says("Installing file to /etc/changed.apk-new");
    let paths = ["etc/changed", "etc/changed.apk-new", "etc/same", "etc/init.d/tool", "usr/new", "usr/stays"];
    assert_eq!(paths.map(|path| root.read(path)), ["mine", "2", "2", "2", "2", "2"]);
    assert!(!root.has("usr/old/gone") && !root.has("usr/old"));
    root.apk(&["del", "tool"]).done().says("Not deleting modified file /etc/changed");
    assert!(root.has("etc/changed") && !root.has("etc/same") && !root.has("usr/new"));
    assert!(!root.has("etc/changed.apk-new"), "nobody asks for it any more");
}

#[test]
fn a_file_of_the_owner_in_etc_gives_way_to_no_package() {
    let files = vec![file("etc/config/a", "theirs"), Entry::symlink("etc/config/b", "a"), file("etc/config/c", "mine")];
    let feed = Feed::new(&[Package { files, ..package("a", "1", "") }]);
    let root = Scratch::with_index(&feed);
    ["a", "b", "c"].iter().for_each(|name| root.write(&format!("etc/config/{name}"), "mine"));
    root.apk(&["add", "a"]).done().says("/etc/config/a.apk-new").says("/etc/config/b.apk-new");
    assert_eq!(
        ["a", "b", "c", "a.apk-new"].map(|name| root.read(&format!("etc/config/{name}"))),
        ["mine", "mine", "mine", "theirs"]
    );
    assert!(!root.has("etc/config/c.apk-new"));
}

#[test]
fn a_signed_package_can_be_given_as_a_file_and_is_kept_as_it_is() {
    let root = Scratch::for_apk(&[]);
    let plan = apk::from_plan(&package("local", "1", &format!("kernel (={KERNEL})"))).unwrap();
    let path = root.path("local.apk");
    std::fs::write(&path, bytes(&plan, &[&key()])).unwrap();
    root.apk(&["add", path.as_str()]).done();
    assert_eq!(root.apk_installed(), ["local-1"]);
    assert!(root.read("etc/apk/world").contains("\nlocal><Q1"));
    // A newer version in a feed does not replace it.
    let feed = Feed::new(&[package("local", "2", ""), package("other", "1", "local")]);
    root.repositories(&[&feed.url()]);
    root.apk(&["update"]).done();
    root.apk(&["add", "other"]).done();
    assert_eq!(root.apk_installed(), ["local-1", "other-1"]);
    root.apk(&["add", "local>1"]).done();
    assert_eq!(root.apk_installed(), ["local-2", "other-1"]);
}

#[test]
fn links_that_the_root_has_are_followed_inside_of_it() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&feed);
    std::fs::create_dir_all(root.path("usr/lib")).unwrap();
    std::fs::rename(root.path("lib"), root.path("usr/lib/real")).unwrap();
    std::os::unix::fs::symlink("/usr/lib/real", root.path("lib")).unwrap();
    root.apk(&["add", "kmod-base"]).done();
    assert_eq!(root.read("usr/lib/real/modules/6.12.1/base.ko"), "base");
    root.apk(&["del", "kmod-base"]).done();
    assert!(!root.has("usr/lib/real/modules") && root.has("lib"));
}

#[test]
fn hard_links_and_set_user_id_files_are_what_they_should_be() {
    let mut plan = apk::from_plan(&package("su", "1", "")).unwrap();
    let mut link = file("bin/zz", "");
    link.kind = formats::Kind::HardLink("bin/su".into());
    plan.files = vec![Entry::file("bin/su", 0o4755, Content::from("su")), link];
    let feed = Feed::of(&[plan]);
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "su"]).done().says("Package su installs /bin/su with the rights of its owner or group.");
    use std::os::unix::fs::MetadataExt;
    let about = |path: &str| root.path(path).metadata().unwrap();
    assert_eq!(about("bin/su").mode() & 0o7777, 0o4755);
    assert_eq!(about("bin/su").ino(), about("bin/zz").ino());
    root.apk(&["del", "su"]).done();
    assert!(!root.has("bin"));
}

#[test]
fn an_upgrade_changes_what_has_a_newer_version_and_nothing_else() {
    let old = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&old);
    root.apk(&["add", "tool", "kmod-top"]).done();
    root.apk(&["upgrade"]).done().says("OK: ");
    let mut newer = package("tool", "1.0-r2", "");
    newer.files = vec![file("usr/sbin/tool", "new")];
    let newer = Feed::new(&[newer, package("kmod-base", "6.12.1-r2", &format!("kernel (={KERNEL})"))]);
    root.repositories(&[&old.url(), &newer.url()]);
    root.apk(&["list"]).done().says("tool-1.0-r1 noarch {tool} () [installed]\n");
    root.apk(&["-U", "list"]).done().says("tool-1.0-r2 noarch {tool} () [upgradable from: tool-1.0-r1]\n");
    root.apk(&["add", "tool"]).done();
    assert!(root.apk_installed().contains(&"tool-1.0-r1".to_owned()), "adding is not upgrading");
    root.apk(&["upgrade", "kmod-base"]).done().says("(1/1) Upgrading kmod-base (6.12.1-r1 -> 6.12.1-r2)");
    root.apk(&["upgrade"]).done().says("(1/1) Upgrading tool (1.0-r1 -> 1.0-r2)");
    assert_eq!(root.read("usr/sbin/tool"), "new");
    assert_eq!(root.read("etc/apk/world"), "kernel\nkmod-top\ntool\n");
    root.apk(&["upgrade", "gone"]).refused_by_apk("APKC006");
}

#[test]
fn another_build_of_the_same_version_comes_when_it_is_asked_for() {
    let stock = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&stock);
    root.apk(&["add", "kmod-top", "tool"]).done();
    let mut ours = modules_and_tool();
    ours[1].files = vec![file("lib/modules/6.12.1/base.ko", "ours")];
    let ours = Feed::new(&ours[..2]);
    root.repositories(&[&ours.url()]);
    root.apk(&["update"]).done();
    for words in [&["add", "kmod-base"][..], &["upgrade", "kmod-base"]] {
        root.apk(words).done();
        assert_eq!(root.read("lib/modules/6.12.1/base.ko"), "base", "{words:?}");
    }
    let words = ["upgrade", "--available", "kmod-base", "kmod-top"];
    root.apk(&words).done().says("(1/1) ");
    assert_eq!((root.read("lib/modules/6.12.1/base.ko"), root.has("usr/sbin/tool")), ("ours".into(), true));
    let answer = root.apk(&words).done();
    assert!(!answer.out.contains("(1/"), "it is the one that is offered: {}", answer.out);
}

#[test]
fn a_fix_puts_the_files_back() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "tool"]).done();
    let whole = root.tree();
    root.write("usr/sbin/tool", "damaged");
    std::fs::remove_file(root.path("usr/bin/tool")).unwrap();
    root.apk(&["fix"]).done();
    assert_eq!(root.read("usr/sbin/tool"), "damaged", "nothing says that it is");
    root.apk(&["fix", "tool"]).done().says("(1/1) Reinstalling tool (1.0-r1)");
    assert_eq!(root.tree(), whole);

    // Another build of the same version is not the installed package.
    let mut other = package("tool", "1.0-r1", "");
    other.files = vec![file("usr/sbin/tool", "other")];
    root.repositories(&[&Feed::new(&[other]).url()]);
    let before = root.tree();
    root.apk(&["fix", "tool"]).refused_by_apk("APKC007").says("tool-1.0-r1 cannot be installed again");
    root.apk(&["fix", "gone"]).refused_by_apk("APKC006");
    assert_eq!(root.tree(), before);
}

#[test]
fn files_have_the_time_that_the_package_says() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "tool"]).done();
    let changed = |path: &str| root.path(path).metadata().unwrap().modified().unwrap();
    assert_eq!(changed("usr/sbin/tool"), std::time::UNIX_EPOCH);
    assert_eq!(changed("usr/share/tool/empty"), std::time::UNIX_EPOCH);
}

/// A package with `/usr/share/shared`, `/etc/shared` and one file of its own.
fn sharing(name: &str, replaces: &str, priority: Option<u64>) -> Plan {
    let mut package = package(name, "1-r1", "");
    package.files.extend([file("usr/share/shared", name), file("etc/shared", name)]);
    let mut plan = apk::from_plan(&package).unwrap();
    plan.info.replaces = replaces.split_whitespace().map(|item| item.parse().unwrap()).collect();
    plan.replaces_priority = priority;
    plan
}

/// The packages that own a file according to the database.
fn owners(root: &Scratch, file: &str) -> Vec<String> {
    let has = |name: &&str| root.apk(&["info", "-L", name]).out.lines().any(|line| line == file);
    ["old", "new"].into_iter().filter(has).map(str::to_owned).collect()
}

#[test]
fn a_package_takes_over_files_of_those_that_it_replaces() {
    let feed = Feed::of(&[sharing("old", "", None), sharing("new", "old<2", Some(3))]);
    let root = Scratch::with_index(&feed);
    for order in [&["old", "new"][..], &["new", "old"], &["old new"]] {
        for words in order {
            let words: Vec<&str> = ["add"].into_iter().chain(words.split(' ')).collect();
            root.apk(&words).done();
        }
        assert_eq!(root.read("usr/share/shared"), "new", "{order:?}");
        assert_eq!(root.read("etc/shared"), "new", "{order:?}");
        assert_eq!(owners(&root, "usr/share/shared"), ["new"]);
        assert!(!root.has("etc/shared.apk-new"), "nobody changed it");
        assert!(root.read("lib/apk/db/installed").contains("\nr:old<2\nq:3\n"));
        root.apk(&["fix", "old"]).done();
        assert_eq!(root.read("usr/share/shared"), "new");
        root.apk(&["del", "old"]).done();
        assert!(root.has("usr/share/shared") && root.has("etc/shared"));
        root.apk(&["add", "old"]).done();
        root.apk(&["del", "new"]).done();
        assert!(!root.has("usr/share/shared") && root.has("usr/share/old/version"), "they were its own by then");
        root.apk(&["del", "old"]).done();
    }
    // A file that the user changed is overwritten by neither.
    root.apk(&["add", "old"]).done();
    root.write("etc/shared", "mine");
    root.apk(&["add", "new"]).done();
    assert_eq!((root.read("etc/shared"), root.read("etc/shared.apk-new")), ("mine".into(), "new".into()));

    let feed = Feed::of(&[sharing("old", "", None), sharing("new", "old>2", None)]);
    let root = Scratch::with_index(&feed);
    let before = root.tree();
    root.apk(&["add", "old", "new"]).refused_by_apk("INST020").says("/etc/shared");
    assert_eq!(root.tree(), before);
}

#[test]
fn the_other_commands_answer() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::with_index(&feed);
    root.apk(&["list"]).done().says("kmod-top-6.12.1-r1 noarch {kmod-top} ()");
    root.apk(&["list", "-I"]).done().says(&format!("kernel-{KERNEL} x86_64 {{kernel}} () [installed]"));
    root.apk(&["info"]).done().says("kernel\n");
    root.apk(&["add", "tool"]).done();
    root.apk(&["info", "tool"]).done().says("tool-1.0-r1 description:\nThe test package tool\n").says("tool-any");
    root.apk(&["info", "gone"]).refused_by_apk("APKC006").says("No such package: gone");
    root.apk(&["info", "-L", "gone"]).refused_by_apk("APKC006");
    assert_eq!(root.apk(&["--print-arch"]).done().out, "x86_64\n");
    for (a, b, sign) in [("1.10-r1", "1.9-r1", ">\n"), ("1.0_rc1", "1.0", "<\n"), ("1.0-r01", "1.0-r1", "=\n")] {
        assert_eq!(root.apk(&["version", "-t", a, b]).done().out, sign);
    }
    root.apk(&["version", "-c", "1.0-r1", "2"]).done();
    let answer = root.apk(&["version", "-c", "1.0-r1", "1.0-1", "x"]);
    assert_eq!((answer.code, answer.out.as_str()), (1, "1.0-1\nx\n"));
    root.apk(&["--help"]).done().says("usage: apk");
    // Without a name it makes what world asks for.
    root.apk(&["add"]).done();
    for words in [
        &[][..],
        &["del"],
        &["add", "a=x"],
        &["list", "x"],
        &["--allow-untrusted", "add", "tool"],
        &["--root"],
        &["-X", "http://192.0.2.1/", "update"],
        &["version", "-t", "1", "1-1"],
        &["version", "-c"],
    ] {
        root.apk(words).refused_by_apk("INST001");
    }
    let other = Feed::new(&[package("other", "1", "")]);
    root.apk(&["-X", &other.url(), "update"]).done();
    root.apk(&["-X", &other.url(), "add", "other"]).done();
    Scratch::for_apk(&[]).apk(&["update"]).done().says("No repository is configured");
}

/// Index, packages and database were made by the real apk; only the packages that `hello` needs are ours.
#[test]
fn the_golden_packages_leave_the_database_that_apk_left() {
    let golden = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/golden/apk");
    let read = |name: &str| std::fs::read_to_string(golden.join(name)).unwrap();
    let database = read("installed-db.txt");
    let kernel = "6.6.93~0123456789abcdef0123456789abcdef-r1";
    let needed =
        [("jshn", "1.5-r1"), ("libc", "1.2.5-r4"), ("sh", "1-r1"), ("ubus", "2024.05-r1"), ("uci", "1.2.9-r1")];
    let needed = needed.into_iter().chain([("zlib", "1.3.1-r1")]).map(|(name, version)| package(name, version, ""));
    let feed = Feed::new(&needed.collect::<Vec<_>>());
    let root = Scratch::for_apk(&[golden.join("packages.signed-a.adb").as_str(), &feed.url()]);
    for (path, text) in client::apk::image_state(kernel, "aarch64_cortex-a53") {
        root.write(path.trim_start_matches('/'), &text);
    }
    root.write("etc/apk/keys/golden.pem", &read("test-only-a.pub.pem"));
    root.write("etc/passwd", "svc:x:850:850::/:/bin/false\n");
    root.write("etc/group", "svc:x:850:\n");
    root.apk(&["update"]).done();
    root.apk(&["add", "hello"]).done().says("Installing libfoo3 (1.0.0-r1)");
    let ours = root.read("lib/apk/db/installed");
    for name in ["hello", "libfoo3"] {
        let entry = database.split("\n\n").find(|entry| entry.contains(&format!("\nP:{name}\n"))).unwrap();
        assert!(ours.split("\n\n").any(|other| other == entry), "{entry}\n\nis not in\n\n{ours}");
    }
    assert_eq!(root.path("usr/bin/hi").read_link_utf8().unwrap(), "hello");
    assert_eq!(root.read("usr/share/hello/hard"), root.read("usr/share/hello/README.txt"));
}
