//! What is refused, each with its own id; each refusal leaves the root exactly as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use common::{AnyFeed, Feed, KERNEL, Scratch, file, key, package, pair};
use formats::md5::Md5;
use formats::usign::SecretKey;
use formats::{Entry, Format, Package, Scripts, depend, ipk};

/// Asserts that the command is refused with this id and text, and changes nothing.
#[track_caller]
fn refused(root: &Scratch, words: &[&str], id: &str, text: &str) {
    root.refuses(Format::Ipk, words, id, text);
}

/// Asserts that `update` is refused, and that nothing can be installed afterwards.
#[track_caller]
fn no_list(root: &Scratch, id: &str) {
    root.opkg(&["update"]).refused(id).says("Signature check failed");
    assert!(!root.has("var/opkg-lists/feed0"));
    refused(root, &["install", "top"], "OPKG015", "Unknown package 'top'");
    assert!(root.installed().is_empty());
}

#[test]
fn a_feed_that_nobody_signed() {
    let feed = Feed::new(&pair());
    let root = Scratch::updated(&feed);
    std::fs::remove_file(feed.path().join("Packages.sig")).unwrap();
    no_list(&root, "OPKG006");
}

#[test]
fn a_feed_signed_by_a_stranger() {
    let feed = Feed::new(&pair());
    let stranger = SecretKey::from_random([9; 40]);
    feed.publish_text(&feed.text(), &stranger);
    let root = Scratch::new(&[feed.path().as_str()]);
    no_list(&root, "OPKG007");
    root.opkg(&["update"]).refused("OPKG007").says(&stranger.fingerprint().to_string());
    // A key file with the right name but another key does not help.
    root.write(&format!("etc/opkg/keys/{}", stranger.fingerprint()), &key().public().to_text("x"));
    no_list(&root, "OPKG008");
}

#[test]
fn an_index_that_was_changed_or_has_the_signature_of_another_day() {
    let feed = Feed::new(&pair());
    let root = Scratch::updated(&feed);
    feed.write_index(&feed.text().replace("Version: 1", "Version: 2"));
    no_list(&root, "OPKG008");
    feed.publish();
    root.opkg(&["update"]).done();
    // Genuine signature and key, but for an older state of the feed.
    feed.write_index(&Feed::new(&[package("top", "0", "")]).text());
    no_list(&root, "OPKG008");
}

#[test]
fn a_list_that_was_changed_on_the_router() {
    let feed = Feed::new(&pair());
    let root = Scratch::updated(&feed);
    let list = root.read("var/opkg-lists/feed0");
    root.write("var/opkg-lists/feed0", &list.replace("top", "pot"));
    refused(&root, &["install", "pot"], "OPKG008", "Signature check failed");
    root.write("var/opkg-lists/feed0", &list);
    std::fs::remove_file(root.path("var/opkg-lists/feed0.sig")).unwrap();
    refused(&root, &["install", "top"], "OPKG006", "without a signature");
}

#[test]
fn no_file_turns_the_check_off() {
    let feed = Feed::new(&pair());
    std::fs::remove_file(feed.path().join("Packages.sig")).unwrap();
    let root = Scratch::new(&[feed.path().as_str()]);
    root.write("etc/opkg/unsafe.conf", "option check_signature 0\n");
    // opkg turns the check on for any value of the option.
    refused(&root, &["update"], "OPKG006", "is not signed");
}

#[test]
fn one_bad_feed_does_not_hide_a_good_one() {
    let (good, bad) = (Feed::new(&pair()), Feed::new(&[package("other", "1", "")]));
    std::fs::remove_file(bad.path().join("Packages.sig")).unwrap();
    let root = Scratch::new(&[bad.path().as_str(), good.path().as_str(), "/no/such/feed"]);
    root.opkg(&["update"]).refused("OPKG006").says("[INST005] Failed to download /no/such/feed/Packages.gz");
    root.opkg(&["install", "top"]).done();
}

#[test]
fn a_package_with_one_byte_changed() {
    let feed = Feed::new(&pair());
    let root = Scratch::updated(&feed);
    feed.flip("top_1_all.ipk");
    refused(&root, &["install", "top"], "OPKG004", "Checksum or size mismatch for package top");
    std::fs::write(feed.path().join("top_1_all.ipk"), "short").unwrap();
    refused(&root, &["install", "top"], "OPKG004", "Size");
    assert!(root.installed().is_empty(), "not even what it needs");
}

/// opkg compares each digest that it can read, and checks nothing with an MD5 that it cannot.
#[test]
fn an_index_with_a_second_digest() {
    let feed = Feed::new(&[package("one", "1", "")]);
    let right = Md5::of(std::fs::read(feed.path().join("one_1_all.ipk")).unwrap()).to_string();
    let (wrong, plain) = (right.replace(&right[..1], if right.starts_with('0') { "1" } else { "0" }), feed.text());
    for (lines, is_taken) in [
        (format!("MD5Sum: {right}"), true),
        (format!("MD5sum: {}", right.to_uppercase()), true),
        (format!("MD5Sum: {wrong}"), false),
        (format!("MD5sum: {}", wrong.to_uppercase()), false),
        // Fields of other names, and what is no digest.
        (format!("MD5SUM: {wrong}"), true),
        (format!("MD5Sum: {}", &wrong[1..]), true),
        (format!("MD5Sum: {wrong}00"), true),
        (format!("MD5Sum: {}g", &wrong[1..]), true),
        // Of both spellings, the last one.
        (format!("MD5Sum: {wrong}\nMD5sum: {right}"), true),
        (format!("MD5Sum: {right}\nMD5sum: {wrong}"), false),
        (format!("MD5Sum: {wrong}\nMD5sum: 00"), false),
    ] {
        feed.publish_text(&plain.replace("SHA256sum", &format!("{lines}\nSHA256sum")), &key());
        let root = Scratch::updated(&feed);
        match is_taken {
            true => _ = root.opkg(&["install", "one"]).done(),
            false => refused(&root, &["install", "one"], "OPKG004", "MD5Sum"),
        }
    }
}

#[test]
fn an_index_without_checksum_or_with_the_file_of_another() {
    let mut feed = Feed::new(&pair());
    let without: String =
        feed.text().lines().filter(|line| !line.starts_with("SHA256")).map(|line| format!("{line}\n")).collect();
    feed.publish_text(&without, &key());
    let root = Scratch::new(&[feed.path().as_str()]);
    root.opkg(&["update"]).done().says("Package top of the feed feed0 is skipped").says("SHA256sum");
    refused(&root, &["install", "top"], "OPKG010", "SHA256sum");

    // Size and digest are those of the other file; only its control data reveals it.
    let base = feed.listed[1].clone();
    let entry = &mut feed.listed[0];
    (entry.filename, entry.size, entry.sha256) = (base.filename, base.size, base.sha256);
    feed.publish();
    root.opkg(&["update"]).done();
    refused(&root, &["install", "top"], "INST011", "The file listed for package top holds another package");
}

#[test]
fn modules_of_another_kernel() {
    let other = "kernel (=6.12.1~ffffffffffffffffffffffffffffffff-r1)";
    let feed = Feed::new(&[
        package("kmod-a", "6.12.1-r1", &format!("{other}, kmod-b")),
        package("kmod-b", "6.12.1-r1", other),
    ]);
    let root = Scratch::updated(&feed);
    // The package is not even fetched.
    std::fs::remove_file(feed.path().join("kmod-a_6.12.1-r1_all.ipk")).unwrap();
    let text = format!("cannot find dependency {other} for kmod-a: this system runs the kernel {KERNEL}");
    refused(&root, &["install", "kmod-a"], "OPKG016", &text);
}

#[test]
fn another_architecture() {
    let plan = Package { architecture: "mips_24kc".into(), ..package("a", "1", "") };
    let feed = Feed::new(std::slice::from_ref(&plan));
    let root = Scratch::updated(&feed);
    refused(&root, &["install", "a"], "OPKG017", "incompatible with the architectures configured");
    refused(&root, &["install", feed.path().join("a_1_mips_24kc.ipk").as_str()], "OPKG017", "mips_24kc");
}

#[test]
fn a_file_that_somebody_has_already() {
    let mut plans = pair();
    plans[0].files = vec![file("usr/lib/owned", "top")];
    plans[1].files = vec![file("usr/lib/owned", "base")];
    plans.push(Package { files: vec![file("opt/lib/owned", "sly")], ..package("sly", "1", "") });
    plans.push(Package { files: vec![file("etc/init.d", "a file")], ..package("folder", "1", "") });
    plans.push(Package { files: vec![Entry::dir("etc/file", 0o755)], ..package("file", "1", "") });
    for manager in Format::ALL {
        let add = common::add(manager);
        let feed = AnyFeed::new(manager, &plans);
        let root = feed.root();
        root.write("etc/init.d/other", "");
        root.write("etc/file", "");
        root.refuses(manager, &[add, "top"], "INST020", "already provided by package base");
        root.refuses(manager, &[add, "folder"], "INST020", "there is a folder");
        root.refuses(manager, &[add, "file"], "INST020", "there is something else than a folder");
        root.run_live(manager, &[add, "base"]).done();
        let text = "/usr/lib/owned, but that file is already provided by package base";
        root.refuses(manager, &[add, "top"], "INST020", text);
        // The same file under another name, through a link in the root.
        std::fs::create_dir(root.path("opt")).unwrap();
        std::os::unix::fs::symlink("../usr/lib", root.path("opt/lib")).unwrap();
        root.refuses(manager, &[add, "sly"], "INST020", "already provided by package base");
    }
}

#[test]
fn a_link_of_one_package_is_no_way_for_another() {
    let link = Package { files: vec![Entry::symlink("opt/link", "/etc")], ..package("link", "1", "") };
    let through = Package { files: vec![file("opt/link/passwd", "root::0:0")], ..package("through", "1", "link") };
    for manager in Format::ALL {
        let feed = AnyFeed::new(manager, &[link.clone(), through.clone()]);
        let root = feed.root();
        let (add, run) = (common::add(manager), |words: &[&str]| root.run_live(manager, words).done());
        root.refuses(manager, &[add, "through"], "INST013", "through /opt/link, a link");
        // Installed in turn, the file lands in the root's own /etc, never in the host's.
        run(&[add, "link"]);
        run(&[add, "through"]);
        assert_eq!(root.read("etc/passwd"), "root::0:0");
        run(&[common::remove(manager), "through"]);
        assert!(!root.has("etc/passwd") && root.path("opt/link").is_symlink());
    }
}

#[test]
fn a_link_that_the_new_version_uses_as_a_folder_stays() {
    let link = Package { files: vec![Entry::symlink("opt/link", "/etc")], ..package("link", "1", "") };
    let newer = Package { files: vec![file("opt/link/passwd", "new")], ..package("link", "2", "") };
    let feed = Feed::new(&[link]);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "link"]).done();
    std::fs::write(root.path("newer.ipk"), ipk::to_vec(&newer).unwrap()).unwrap();
    root.opkg(&["install", root.path("newer.ipk").as_str()]).done();
    assert!(root.path("opt/link").is_symlink() && root.read("etc/passwd") == "new");
}

#[test]
fn something_else_than_a_folder_on_the_way() {
    let through = package("through", "1", "");
    let through = Package { files: vec![file("opt/link/passwd", "")], ..through };
    let feed = Feed::new(&[through]);
    let root = Scratch::updated(&feed);
    std::fs::create_dir(root.path("opt")).unwrap();
    std::os::unix::fs::symlink("/nowhere", root.path("opt/link")).unwrap();
    refused(&root, &["install", "through"], "INST013", "leads to no folder");
    std::fs::remove_file(root.path("opt/link")).unwrap();
    root.write("opt/link", "a file");
    refused(&root, &["install", "through"], "INST013", "is not a folder");
}

#[test]
fn scripts_that_fail() {
    let script = |text: &str| Some(format!("#!/bin/sh\n{text}\n"));
    let scripted = |name: &str, scripts: Scripts| Package { scripts, ..package(name, "1", "") };
    let feed = Feed::new(&[
        scripted("pre", Scripts { preinst: script("exit 3"), ..Scripts::default() }),
        scripted("post", Scripts { postinst: script("[ -e $PKG_ROOT/may-go ] || exit 4"), ..Scripts::default() }),
        scripted("prerm", Scripts { prerm: script("kill -9 $PPID; kill -9 $$"), ..Scripts::default() }),
        package("needs-pre", "1", "pre"),
        package("fine", "1", ""),
    ]);
    let root = Scratch::updated(&feed);
    root.live(&["install", "fine"]).done();
    refused(
        &root,
        &["install", "needs-pre"],
        "INST021",
        "The preinst script of package pre failed: it ended with exit code 3",
    );
    root.live(&["install", "post"]).refused("INST021").says("exit code 4");
    assert!(root.has("usr/share/post/version"));
    root.opkg(&["status", "post"]).done().says("Status: install user unpacked");
    root.write("may-go", "");
    let answer = root.live(&["install", "post"]).done().says("Configuring post.");
    assert!(!answer.out.contains("Installing"), "{}", answer.out);
    root.opkg(&["status", "post"]).done().says("Status: install user installed");
    root.live(&["install", "prerm"]).done();
    refused(&root, &["remove", "prerm"], "INST021", "The prerm script of package prerm failed");
}

#[test]
fn removing_what_is_needed_or_not_there() {
    let mut plans = pair();
    plans[1].essential = true;
    plans.push(Package { conflicts: vec!["base".parse().unwrap()], ..package("foe", "1", "") });
    plans.push(Package { depends: depend::list("base | stand-in").unwrap(), ..package("either", "1", "") });
    plans.push(package("stand-in", "1", ""));
    let feed = Feed::new(&plans);
    let root = Scratch::updated(&feed);
    root.opkg(&["install", "top"]).done();
    refused(&root, &["remove", "base"], "INST023", "depended upon by packages: top, the system itself");
    refused(&root, &["remove", "kernel"], "INST023", "top");
    root.opkg(&["remove", "gone"]).done().says("No packages removed.");
    refused(&root, &["install", "foe"], "OPKG018", "foe conflicts with base (1)");
    // As with opkg, another provider that stays is not enough, and what needs a package is named first.
    root.opkg(&["install", "either", "stand-in"]).done();
    refused(&root, &["remove", "stand-in"], "INST023", "packages: either");
    refused(&root, &["remove", "stand-in", "either"], "INST023", "packages: either");
    let answer = root.opkg(&["remove", "either", "stand-in", "top"]).done();
    assert_eq!(answer.out.lines().count(), 3, "{}", answer.out);
}

#[test]
fn a_root_or_state_that_cannot_be_used() {
    let feed = Feed::new(&pair());
    let root = Scratch::updated(&feed);
    root.write("usr/lib/opkg/status", "nonsense");
    refused(&root, &["install", "top"], "INST024", "/usr/lib/opkg/status");
    root.write("etc/opkg/broken.conf", "\nsrc/gz alone\n");
    refused(&root, &["update"], "OPKG002", "/etc/opkg/broken.conf:2");
    let nowhere = Scratch::new(&[]).path("");
    root.opkg(&["-o", nowhere.as_str(), "update"]).refused("INST003").says(nowhere.as_str());
    let bytes = ipk::to_vec(&package("a", "1", "")).unwrap();
    std::fs::write(root.path("cut.ipk"), &bytes[..bytes.len() - 9]).unwrap();
    std::fs::remove_file(root.path("etc/opkg/broken.conf")).unwrap();
    root.write("usr/lib/opkg/status", "");
    refused(&root, &["install", root.path("cut.ipk").as_str()], "INST012", "Malformed package file cut.ipk");
}
