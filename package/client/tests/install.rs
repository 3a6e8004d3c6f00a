//! What works with opkg: packages are installed from a signed feed, upgraded, and removed without a trace.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Feed, KERNEL, Scratch, file, logging, modules_and_tool, package};
use formats::{Content, Entry, Package, ipk};

#[test]
fn packages_come_with_what_they_need_and_go_without_a_trace() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::new(&[feed.path().as_str()]);
    let before = root.tree();
    let answer = root.opkg(&["update"]).done();
    for text in
        ["Downloading ", "Updated list of available packages in /var/opkg-lists/feed0", "Signature check passed."]
    {
        assert!(answer.out.contains(text), "{}", answer.out);
    }
    let updated = root.tree();
    let answer = root.opkg(&["install", "kmod-top", "tool"]).done().says("Installing kmod-top (6.12.1-r1) to root...");
    let order = ["Installing kmod-base", "Installing kmod-top", "Configuring kmod-base.", "Configuring kmod-top."];
    let places: Vec<_> = order.iter().map(|text| answer.out.find(text).expect(text)).collect();
    assert!(places.is_sorted(), "{}", answer.out);
    assert_eq!(root.installed(), ["kmod-base - 6.12.1-r1", "kmod-top - 6.12.1-r1", "tool - 1.0-r1"]);
    assert_eq!(root.read("lib/modules/6.12.1/base.ko"), "base");
    assert_eq!(root.path("usr/bin/tool").read_link_utf8().unwrap(), "../sbin/tool");
    let mode = |path: &str| root.path(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("usr/sbin/tool"), mode("var/spool/tool"), mode("etc/config")), (0o755, 0o700, 0o755));
    let files = root.opkg(&["files", "tool"]).done().says("Package tool (1.0-r1) is installed on root").out;
    let place = root.path("").into_string();
    let files: Vec<_> = files.lines().filter_map(|line| line.strip_prefix(place.trim_end_matches('/'))).collect();
    assert_eq!(files, ["/etc/config/tool", "/usr/bin/tool", "/usr/sbin/tool", "/usr/share/tool/empty"]);
    let status = root.read("usr/lib/opkg/status");
    assert!(status.contains("Package: tool\nVersion: 1.0-r1\nArchitecture: all\n"), "{status}");
    assert!(status.contains("Status: install user installed") && status.contains("\n /etc/config/tool "), "{status}");
    assert!(root.read("usr/lib/opkg/info/tool.control").starts_with("Package: tool\n"));
    assert_eq!(root.read("usr/lib/opkg/info/kmod-top.list"), "/etc/modules.d/top\n/lib/modules/6.12.1/top.ko\n");
    root.opkg(&["install", "tool"]).done().says("Package tool (1.0-r1) installed in root is up to date.");

    // A dependency stays as long as another package needs it; shared folders are removed with their last user.
    root.opkg(&["remove", "kmod-base"]).refused("INST023").says("depended upon by packages: kmod-top");
    root.opkg(&["remove", "kmod-top"]).done().says("Removing package kmod-top from root...");
    assert!(!root.has("etc/modules.d") && root.has("lib/modules/6.12.1/base.ko"));
    root.opkg(&["install", "kmod-top"]).done();
    let answer = root.opkg(&["remove", "tool", "kmod-top", "kmod-base"]).done();
    let place = |name: &str| answer.out.find(&format!("Removing package {name} ")).unwrap();
    assert!(place("kmod-top") < place("kmod-base"), "{}", answer.out);
    assert!(root.installed().is_empty());
    let mut after = root.tree();
    after.retain(|path, _| !["usr/lib/opkg/info", "usr/lib/opkg/status"].contains(&path.as_str()));
    let mut expected = updated;
    expected.remove("usr/lib/opkg/status");
    assert_eq!(after, expected);
    assert!(!before.contains_key("var"), "the lock leaves nothing either");
}

#[test]
fn a_feed_is_fetched_over_http() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::new(&[&common::serve(feed.path())]);
    root.opkg(&["update"]).done().says("Signature check passed.");
    root.opkg(&["install", "kmod-top"]).done();
    assert_eq!(root.installed().len(), 2);
    std::fs::remove_file(feed.path().join(&feed.listed[2].filename)).unwrap();
    let before = root.tree();
    root.opkg(&["install", "tool"]).refused("INST005").says("404");
    std::fs::remove_file(feed.path().join("Packages.gz")).unwrap();
    root.opkg(&["update"]).refused("INST005").says("/feed/Packages.gz");
    assert_eq!(root.tree(), before, "the verified list of before is still good");
}

#[test]
fn scripts_are_told_what_happens() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = camino::Utf8Path::from_path(log.path()).unwrap();
    let version = |version: &str| Package { scripts: logging("a", version, path), ..package("a", version, "") };
    let feed = Feed::new(&[version("1.0-r1")]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "a"]).done();
    root.opkg(&["remove", "a"]).done();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "", "no script runs on a root that is not the running system");

    root.live(&["install", "a"]).done();
    let newer = Feed::new(&[version("1.0-r1"), version("1.1-r1")]);
    root.write("etc/opkg/feeds.conf", &format!("src/gz feed0 {}\n", newer.path()));
    root.opkg(&["update"]).done();
    root.live(&["install", "a"]).done().says("Upgrading a on root from 1.0-r1 to 1.1-r1...");
    root.live(&["remove", "a"]).done();
    let place = root.path("");
    let said = std::fs::read_to_string(path).unwrap().replace(&format!(" root={place}"), "");
    let expected = [
        "a 1.0-r1 preinst install upgrade=0",
        "a 1.0-r1 postinst configure upgrade=0",
        "a 1.0-r1 prerm upgrade 1.1-r1 upgrade=1",
        "a 1.1-r1 preinst upgrade 1.0-r1 upgrade=1",
        "a 1.0-r1 postrm upgrade 1.1-r1 upgrade=1",
        "a 1.1-r1 postinst configure upgrade=1",
        "a 1.1-r1 prerm remove upgrade=0",
        "a 1.1-r1 postrm remove upgrade=0",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_upgrade_replaces_files_and_keeps_what_the_owner_changed() {
    let tool = |version: &str, files: &[(&str, &str)]| Package {
        files: files.iter().map(|(path, text)| file(path, text)).collect(),
        conffiles: vec!["/etc/changed".into(), "/etc/same".into()],
        ..package("tool", version, "")
    };
    let old = tool("1", &[("etc/changed", "1"), ("etc/same", "1"), ("usr/old/gone", "1"), ("usr/stays", "1")]);
    let new = tool("2", &[("etc/changed", "2"), ("etc/same", "2"), ("usr/new", "2"), ("usr/stays", "2")]);
    let feed = Feed::new(&[old]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "tool"]).done();
    root.write("etc/changed", "mine");
    let feed = Feed::new(&[new]);
    root.write("etc/opkg/feeds.conf", &format!("src/gz feed0 {}\n", feed.path()));
    root.opkg(&["update"]).done();
    root.opkg(&["install", "tool"]).done().says("placed at /etc/changed-opkg");
    let texts = ["etc/changed", "etc/changed-opkg", "etc/same", "usr/new", "usr/stays"].map(|path| root.read(path));
    assert_eq!(texts, ["mine", "2", "2", "2", "2"]);
    assert!(!root.has("usr/old/gone"));
    assert_eq!(root.installed(), ["tool - 2"]);
    let changed = |path: &str| root.path(path).metadata().unwrap().modified().unwrap();
    assert_eq!(changed("usr/stays"), std::time::UNIX_EPOCH, "the time that the package says");
    root.opkg(&["remove", "tool"]).done().says("Not deleting modified conffile /etc/changed.");
    assert!(root.has("etc/changed") && !root.has("etc/same") && !root.has("usr/new") && !root.has("usr/old"));
}

/// As with opkg, a changed conffile is not lost where the new version has something else in its place.
#[test]
fn a_changed_conffile_that_is_none_any_more_is_kept_aside() {
    let link = || Entry::symlink("etc/one", "/usr/share/one");
    for (entry, conffiles) in [(file("etc/one", "2"), vec![]), (link(), vec![]), (link(), vec!["/etc/one".to_owned()])]
    {
        for is_changed in [true, false] {
            let old = Package {
                files: vec![file("etc/one", "1")],
                conffiles: vec!["/etc/one".into()],
                ..package("tool", "1", "")
            };
            let files = vec![entry.clone(), file("usr/share/one", "2")];
            let new = Package { files, conffiles: conffiles.clone(), ..package("tool", "2", "") };
            let feed = Feed::new(&[old]);
            let root = Scratch::updated(&feed);
            root.opkg(&["install", "tool"]).done();
            if is_changed {
                root.write("etc/one", "mine");
            }
            let feed = Feed::new(&[new]);
            root.write("etc/opkg/feeds.conf", &format!("src/gz feed0 {}\n", feed.path()));
            root.opkg(&["update"]).done();
            let answer = root.opkg(&["upgrade", "tool"]).done();
            assert_eq!(root.has("etc/one-opkg.backup"), is_changed);
            if is_changed {
                answer.says("kept as /etc/one-opkg.backup");
                assert_eq!(root.read("etc/one-opkg.backup"), "mine");
                // Once more, as after an interruption: what the new version brought is not taken for the user's.
                root.opkg(&["install", "tool", "--force-reinstall"]).done();
                assert_eq!(root.read("etc/one-opkg.backup"), "mine");
            }
            root.opkg(&["remove", "tool"]).done();
            assert_eq!(root.has("etc/one-opkg.backup"), is_changed, "it is the user's");
        }
    }
}

#[test]
fn a_package_can_be_given_as_a_file() {
    let plan = package("local", "1", &format!("kernel (={KERNEL})"));
    let root = Scratch::new(&[]);
    let path = root.path("tmp-local.ipk");
    std::fs::write(&path, ipk::to_vec(&plan).unwrap()).unwrap();
    root.opkg(&["install", path.as_str()]).done();
    assert_eq!(root.installed(), ["local - 1"]);
    root.opkg(&["update"]).done().says("No feed is configured");
}

#[test]
fn links_that_the_root_has_are_followed_inside_of_it() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::updated(&feed);
    std::fs::remove_dir_all(root.path("lib")).unwrap();
    std::os::unix::fs::symlink("/usr/lib", root.path("lib")).unwrap();
    root.opkg(&["install", "kmod-base"]).done();
    assert_eq!(root.read("usr/lib/modules/6.12.1/base.ko"), "base");
    root.opkg(&["remove", "kmod-base"]).done();
    assert!(!root.has("usr/lib/modules") && root.has("lib"));
}

#[test]
fn set_user_id_is_allowed_and_told_and_so_is_what_is_left_out() {
    let mut plan = package("su", "1", "");
    plan.alternatives = vec!["100:/bin/su:/bin/busybox".into()];
    plan.files = vec![Entry::file("bin/su", 0o4755, Content::from("su"))];
    let feed = Feed::new(&[plan]);
    let root = Scratch::updated(&feed);
    let text = "Package su installs /bin/su with the rights of its owner or group.";
    root.opkg(&["install", "su"]).done().says(text).says("/bin/su is an alternative");
    assert_eq!(root.path("bin/su").metadata().unwrap().permissions().mode() & 0o7777, 0o4755);
}

#[test]
fn an_upgrade_leaves_a_package_what_it_was() {
    let feed = Feed::new(&modules_and_tool());
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "kmod-top"]).done();
    let newer = package("kmod-base", "6.12.1-r2", &format!("kernel (={KERNEL})"));
    let other = Package { architecture: "mips".into(), ..package("kmod-top", "9", "") };
    let feed = Feed::new(&[newer, other, package("new", "1", "")]);
    root.write("etc/opkg/feeds.conf", &format!("src/gz feed0 {}\n", feed.path()));
    root.opkg(&["update"]).done();
    assert_eq!(root.opkg(&["list-upgradable"]).done().out, "kmod-base - 6.12.1-r1 - 6.12.1-r2\n");
    // As with opkg, what is not installed yet is installed.
    root.opkg(&["upgrade", "new"]).done().says("Installing new (1)");
    assert!(!root.opkg(&["status", "new"]).done().out.contains("Auto-Installed"));
    root.opkg(&["upgrade", "gone"]).refused("OPKG015");
    let hold =
        root.read("usr/lib/opkg/status").replace("Status: install ok installed", "Status: install hold installed");
    root.write("usr/lib/opkg/status", &hold);
    root.opkg(&["upgrade", "kmod-base"]).done().says("Not upgrading package kmod-base which is marked hold.");
    root.opkg(&["remove", "kmod-top"]).done();
    assert!(root.read("usr/lib/opkg/status").contains("\nStatus: install hold installed\n"), "it is still there");
    root.write("usr/lib/opkg/status", &hold.replace("install hold ", "install ok "));
    root.opkg(&["upgrade", "kmod-base"]).done().says("Upgrading kmod-base on root from 6.12.1-r1 to 6.12.1-r2");
    assert!(root.opkg(&["status", "kmod-base"]).done().out.contains("Auto-Installed: yes"));
    assert_eq!(root.opkg(&["list-upgradable"]).done().out, "");
    root.opkg(&["upgrade", "kmod-base"]).done().says("is up to date");
}

#[test]
fn a_folder_that_exists_keeps_its_mode_and_that_is_said() {
    let mut plan = package("open", "1", "");
    plan.files.extend([Entry::dir("etc", 0o775), Entry::dir("srv", 0o775)]);
    let feed = Feed::new(&[plan]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "open"])
        .done()
        .says("Package open has /etc with mode 775, which opkg sets; here it keeps 755.");
    let mode = |path: &str| root.path(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc"), mode("srv")), (0o755, 0o775));
}

/// A package that offers its program as an alternative, too.
fn editor(name: &str, version: &str, alternatives: &[&str]) -> Package {
    let files = vec![file(&format!("usr/bin/{name}"), name)];
    Package {
        files,
        alternatives: alternatives.iter().map(|item| (*item).into()).collect(),
        ..package(name, version, "")
    }
}

#[test]
fn a_link_leads_to_the_best_of_its_alternatives() {
    let mut busybox = editor("busybox", "1", &[]);
    busybox.files.push(Entry::symlink("usr/bin/vi", "/bin/busybox"));
    let plans = [
        busybox,
        editor("nano", "1", &["100:/usr/bin/edit:/usr/bin/nano"]),
        editor(
            "vim",
            "1",
            &["200:/usr/bin/vi:/usr/bin/vim", "300:/usr/bin/edit:/usr/bin/vim", "9:/../x:y", "nonsense"],
        ),
        editor("mg", "1", &["300:/usr/bin/edit:/usr/bin/mg"]),
    ];
    let feed = Feed::new(&plans);
    let root = Scratch::updated(&feed);
    let before = root.tree();
    let lead = |link: &str| root.path(link).read_link_utf8().unwrap().into_string();
    root.opkg(&["install", "busybox", "nano"]).done();
    assert_eq!((lead("usr/bin/edit"), lead("usr/bin/vi")), ("/usr/bin/nano".into(), "/bin/busybox".into()));
    root.opkg(&["install", "vim"]).done();
    assert_eq!((lead("usr/bin/edit"), lead("usr/bin/vi")), ("/usr/bin/vim".into(), "/usr/bin/vim".into()));
    root.opkg(&["install", "mg"]).done();
    assert_eq!(lead("usr/bin/edit"), "/usr/bin/mg", "of two with the same priority that of the first name");

    // A version that no longer offers the alternative makes room, and so does a removed package.
    let newer = Feed::new(&[editor("mg", "2", &[])]);
    root.write("etc/opkg/feeds.conf", &format!("src/gz feed0 {}\n", newer.path()));
    root.opkg(&["update"]).done();
    root.opkg(&["install", "mg"]).done();
    assert_eq!(lead("usr/bin/edit"), "/usr/bin/vim");
    root.opkg(&["remove", "vim"]).done();
    assert_eq!((lead("usr/bin/edit"), lead("usr/bin/vi")), ("/usr/bin/nano".into(), "/bin/busybox".into()));
    std::fs::remove_file(root.path("usr/bin/edit")).unwrap();
    root.write("usr/bin/edit", "mine");
    root.opkg(&["remove", "mg", "nano", "busybox"]).done();
    assert_eq!(root.read("usr/bin/edit"), "mine", "only links are managed");
    assert_eq!(
        root.tree().keys().filter(|path| !before.contains_key(*path)).collect::<Vec<_>>(),
        ["usr/bin", "usr/bin/edit", "usr/lib/opkg/info"]
    );
}

#[test]
fn the_other_commands_answer() {
    let root = Scratch::updated(&Feed::new(&modules_and_tool()));
    root.opkg(&["list"]).done().says("kmod-top - 6.12.1-r1 - The test package kmod-top");
    assert_eq!(root.opkg(&["list", "kmod-*"]).done().out.lines().count(), 2);
    assert_eq!(root.opkg(&["list_installed", "kern*"]).done().out, format!("kernel - {KERNEL}\n"));
    root.opkg(&["info", "tool"]).done().says("Package: tool\n");
    root.opkg(&["status", "kernel"]).done().says("Status: install user installed");
    assert_eq!(root.opkg(&["print-architecture"]).done().out, "arch all 1\narch x86_64 10\n");
    assert!(root.opkg(&["--add-arch", "mips:3", "print-architecture"]).done().out.contains("arch mips 3\n"));
    root.opkg(&["compare-versions", "1.10-r1", ">>", "1.9-r1"]).done();
    for (operator, code) in [("<<", 1), (">>", 1), ("<=", 0), (">=", 0), ("=", 0)] {
        assert_eq!(root.opkg(&["compare-versions", "1.0", operator, "1.0"]).code, code, "{operator}");
    }
    assert_eq!(root.opkg(&["compare-versions", "1.0~rc1", ">=", "1.0"]).code, 1);
    root.opkg(&["--help"]).done().says("usage: opkg");
    root.opkg(&["files", "tool"]).refused("OPKG015").says("it is not installed");
    for words in [
        &[][..],
        &["upgrade"],
        &["install"],
        &["list", "x", "y"],
        &["--no-such-option", "install", "tool"],
        &["--add-arch", "mips", "list"],
        &["update", "-f"],
        &["compare-versions", "1", "~", "2"],
    ] {
        root.opkg(words).refused("INST001");
    }
}

#[test]
fn another_build_of_the_same_version_comes_when_it_is_forced() {
    let stock = Feed::new(&modules_and_tool());
    let root = Scratch::new(&[stock.path().as_str()]);
    root.opkg(&["update"]).done();
    root.opkg(&["install", "kmod-top"]).done();
    let mut ours = modules_and_tool();
    ours[1].files = vec![file("lib/modules/6.12.1/base.ko", "ours")];
    let ours = Feed::new(&ours);
    root.write("etc/opkg/customfeeds.conf", &format!("src/gz feed0 {}\n", ours.path()));
    root.opkg(&["update"]).done();
    root.opkg(&["install", "kmod-base"]).done().says("up to date");
    assert_eq!(root.read("lib/modules/6.12.1/base.ko"), "base");
    // A package that is not installed yet is simply installed.
    root.opkg(&["install", "--force-reinstall", "kmod-base", "tool"]).done();
    root.write("usr/sbin/tool", "spoilt");
    let file = ours.path().join("tool_1.0-r1_all.ipk");
    root.opkg(&["install", file.as_str()]).done().says("up to date");
    root.opkg(&["install", "--force-reinstall", file.as_str()]).done();
    assert_eq!(root.read("usr/sbin/tool"), "#!/bin/sh\n");
    assert_eq!(root.read("lib/modules/6.12.1/base.ko"), "ours");
    assert_eq!(root.installed(), ["kmod-base - 6.12.1-r1", "kmod-top - 6.12.1-r1", "tool - 1.0-r1"]);
    assert!(root.read("usr/lib/opkg/info/kmod-base.list").contains("base.ko"));
}
