//! What apk's client refuses, each with its own id; each refusal leaves the root exactly as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use common::apk::{Feed, bytes, key};
use common::{KERNEL, Scratch, file, package, pair};
use formats::ec::SecretKey;
use formats::{Entry, Format, Package, Scripts, apk};

fn stranger() -> SecretKey {
    SecretKey::from_random([9; 32]).unwrap()
}

/// Asserts that the command is refused with this id and text, and changes nothing.
#[track_caller]
fn refused(root: &Scratch, words: &[&str], id: &str, text: &str) {
    root.refuses(Format::Apk, words, id, text);
}

/// Asserts that `update` is refused, and that nothing can be installed afterwards.
#[track_caller]
fn no_index(root: &Scratch) {
    root.apk(&["update"]).refused_by_apk("APKC002").says("packages.adb: UNTRUSTED signature\n");
    let text = "ERROR: unable to select packages:\n  top (no such package):\n    required by: world[top]\n";
    refused(root, &["add", "top"], "APKC005", text);
    assert!(root.apk_installed().is_empty());
}

#[test]
fn an_index_that_nobody_or_a_stranger_signed_or_that_was_changed() {
    let feed = Feed::new(&pair());
    for spoil in [
        &(|feed: &Feed| feed.publish(None)) as &dyn Fn(&Feed),
        &|feed| feed.publish(Some(&stranger())),
        // A package's signature is worth nothing for an index.
        &|feed| std::fs::write(feed.url(), bytes(&apk::from_plan(&pair()[0]).unwrap(), &[&stranger()])).unwrap(),
    ] {
        feed.publish(Some(&key()));
        let root = Scratch::with_index(&feed);
        spoil(&feed);
        no_index(&root);
    }
    // Signed, then changed.
    let mut adb = feed.index.to_adb().unwrap();
    adb.sign(&key()).unwrap();
    let place = adb.payload.windows(3).position(|bytes| bytes == b"top").unwrap();
    adb.payload[place] = b'p';
    let mut changed = Vec::new();
    adb.write(&mut changed, formats::adb::Compression::None).unwrap();
    std::fs::write(feed.url(), changed).unwrap();
    no_index(&Scratch::for_apk(&[&feed.url()]));
}

#[test]
fn without_a_key_nothing_is_trusted() {
    let feed = Feed::new(&pair());
    let root = Scratch::with_index(&feed);
    std::fs::remove_file(root.path("etc/apk/keys/any-name.pem")).unwrap();
    // The index was trusted when it was fetched, but is checked again.
    refused(&root, &["add", "top"], "APKC002", "UNTRUSTED signature");
    no_index(&root);
    root.write("etc/apk/keys/broken.pem", "no key");
    root.apk(&["update"]).refused_by_apk("APKC002").says("The key file /etc/apk/keys/broken.pem is not used");
}

#[test]
fn an_index_that_was_changed_on_the_router() {
    let feed = Feed::new(&pair());
    let root = Scratch::with_index(&feed);
    let cached = std::fs::read_dir(root.path("var/cache/apk")).unwrap().next().unwrap().unwrap().path();
    feed.publish(Some(&stranger()));
    std::fs::copy(feed.url(), cached).unwrap();
    refused(&root, &["add", "top"], "APKC002", "UNTRUSTED signature");
}

#[test]
fn one_bad_feed_does_not_hide_a_good_one() {
    let (good, bad) = (Feed::new(&pair()), Feed::new(&[package("other", "1", "")]));
    bad.publish(None);
    let root = Scratch::for_apk(&[&bad.url(), &good.url(), "/no/such/packages.adb"]);
    root.apk(&["update"]).refused_by_apk("APKC002").says("[INST005] Failed to download /no/such/packages.adb");
    root.apk(&["add", "top"]).done();
}

#[test]
fn a_package_with_one_byte_changed_or_another_one_in_its_place() {
    let feed = Feed::new(&pair());
    let root = Scratch::with_index(&feed);
    // Damage is found in the compression, the metadata and the content.
    let good = std::fs::read(feed.path().join("top-1.apk")).unwrap();
    for place in (0..good.len()).step_by(9) {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(feed.path().join("top-1.apk"), bad).unwrap();
        refused(&root, &["add", "top"], "APKC004", "ERROR: top-1: ADB integrity error\n");
    }
    std::fs::write(feed.path().join("top-1.apk"), "short").unwrap();
    refused(&root, &["add", "top"], "APKC004", "bytes, the file has 5");
    assert!(root.apk_installed().is_empty(), "not even what it needs");
    // Same name and version, well-formed, and even signed by a trusted key.
    let mut other = package("top", "1", "");
    other.files = vec![file("etc/evil", "evil")];
    std::fs::write(feed.path().join("top-1.apk"), bytes(&apk::from_plan(&other).unwrap(), &[&key()])).unwrap();
    refused(&root, &["add", "top"], "APKC004", "ERROR: top-1: ADB integrity error\n");
}

#[test]
fn content_that_is_not_what_the_metadata_says() {
    // Index and signature vouch for the metadata; only the content of a file differs.
    let mut plan = package("a", "1", "");
    plan.files = vec![file("usr/a", &"content ".repeat(100))];
    let plan = apk::from_plan(&plan).unwrap();
    let feed = Feed::of(std::slice::from_ref(&plan));
    let root = Scratch::with_index(&feed);
    let mut plain = Vec::new();
    apk::write(&plan, &[&key()], formats::adb::Compression::None, &mut plain).unwrap();
    let place = plain.windows(7).rposition(|bytes| bytes == b"content").unwrap();
    plain[place] ^= 1;
    std::fs::write(root.path("a.apk"), &plain).unwrap();
    refused(&root, &["add", root.path("a.apk").as_str()], "INST012", "Malformed package file a.apk");
}

#[test]
fn a_file_that_nobody_trusted_has_signed() {
    let root = Scratch::for_apk(&[]);
    let plan = apk::from_plan(&package("a", "1", "")).unwrap();
    for keys in [&[][..], &[&stranger()]] {
        std::fs::write(root.path("a.apk"), bytes(&plan, keys)).unwrap();
        refused(&root, &["add", root.path("a.apk").as_str()], "APKC003", "ERROR: a.apk: UNTRUSTED signature\n");
    }
}

#[test]
fn modules_of_another_kernel() {
    let other = "6.12.1~ffffffffffffffffffffffffffffffff-r1";
    let depends = format!("kernel (={other})");
    let kmod_a = package("kmod-a", "6.12.1-r1", &format!("{depends}, kmod-b"));
    let feed = Feed::new(&[kmod_a, package("kmod-b", "6.12.1-r1", &depends)]);
    let root = Scratch::with_index(&feed);
    // The package is not even fetched.
    std::fs::remove_file(feed.path().join("kmod-a-6.12.1-r1.apk")).unwrap();
    let shown = format!(
        "ERROR: unable to select packages:\n  kernel-{KERNEL}:\n    breaks: kmod-a-6.12.1-r1[kernel={other}]\n[APKC005] \
         this system runs the kernel {KERNEL}, and the package kmod-a-6.12.1-r1 was built for kernel={other}"
    );
    refused(&root, &["add", "kmod-a"], "APKC005", &shown);
}

#[test]
fn the_kernel_is_neither_replaced_nor_removed() {
    let feed = Feed::new(&[package("kernel", "9.0~00-r1", ""), package("a", "1", "")]);
    let root = Scratch::with_index(&feed);
    refused(&root, &["add", "kernel=9.0~00-r1"], "APKC005", "breaks: world[kernel=9.0~00-r1]");
    refused(&root, &["del", "kernel"], "INST023", "Package kernel is depended upon");
    root.apk(&["add", "kernel>1", "a"]).done();
    assert!(root.read("lib/apk/db/installed").contains(&format!("P:kernel\nV:{KERNEL}\n")));
}

#[test]
fn another_architecture() {
    let plan = Package { architecture: "mips_24kc".into(), ..package("a", "1", "") };
    let feed = Feed::new(std::slice::from_ref(&plan));
    let root = Scratch::with_index(&feed);
    refused(&root, &["add", "a"], "APKC005", "  a-1:\n    error: uninstallable\n    arch: mips_24kc\n");
    std::fs::write(root.path("a.apk"), bytes(&apk::from_plan(&plan).unwrap(), &[&key()])).unwrap();
    refused(&root, &["add", root.path("a.apk").as_str()], "APKC005", "arch: mips_24kc");
}

#[test]
fn a_link_that_goes_in_the_same_transaction_is_no_way() {
    let link = Package { files: vec![Entry::symlink("opt/link", "/etc")], ..package("link", "1", "") };
    let feed = Feed::new(&[link]);
    let root = Scratch::with_index(&feed);
    root.apk(&["add", "link"]).done();
    let other = Package {
        files: vec![file("opt/link/passwd", "")],
        conflicts: vec!["link".parse().unwrap()],
        ..package("other", "1", "")
    };
    let feed = Feed::new(&[other]);
    root.repositories(&[&feed.url()]);
    root.apk(&["update"]).done();
    root.write("etc/apk/world", "kernel\n");
    refused(&root, &["add", "other"], "INST013", "through /opt/link, a link");
}

#[test]
fn scripts_that_fail() {
    let script = |text: &str| Some(format!("#!/bin/sh\n{text}\n"));
    let scripted = |name: &str, scripts: Scripts| Package { scripts, ..package(name, "1", "") };
    let feed = Feed::new(&[
        scripted("pre", Scripts { preinst: script("exit 3"), ..Scripts::default() }),
        scripted("post", Scripts { postinst: script("[ -e $IPKG_INSTROOT/may-go ] || exit 4"), ..Scripts::default() }),
        scripted("prerm", Scripts { prerm: script("kill -9 $$"), ..Scripts::default() }),
        package("fine", "1", ""),
    ]);
    let root = Scratch::with_index(&feed);
    root.apk_live(&["add", "pre"]).refused_by_apk("INST021").says("The pre-install script of package pre failed");
    assert!(root.apk_installed().is_empty() && !root.has("usr/share/pre"));
    root.apk_live(&["del", "pre"]).done();
    // The files are in place, and the script runs again when the package is added again.
    root.apk_live(&["add", "post", "fine"]).refused_by_apk("INST021").says("exit code 4");
    assert!(root.has("usr/share/post/version") && root.has("usr/share/fine/version"));
    assert!(root.read("lib/apk/db/installed").contains("\nf:sS\n"));
    root.apk(&["add", "fine"]).done();
    assert!(root.read("lib/apk/db/installed").contains("\nf:sS\n"), "where no scripts run, it is still to be run");
    root.write("may-go", "");
    let answer = root.apk_live(&["add", "post"]).done().says("Executing post-1.post-install");
    assert!(!answer.out.contains("Installing"), "{}", answer.out);
    assert!(!root.read("lib/apk/db/installed").contains("\nf:sS\n"));
    root.apk_live(&["add", "prerm"]).done();
    root.apk_live(&["del", "prerm"]).refused_by_apk("INST021").says("The pre-deinstall script of package prerm failed");
    assert!(root.has("usr/share/prerm/version"));
}

#[test]
fn a_root_or_state_that_cannot_be_used() {
    let feed = Feed::new(&pair());
    let root = Scratch::with_index(&feed);
    let database = root.read("lib/apk/db/installed");
    root.write("lib/apk/db/installed", "nonsense");
    refused(&root, &["add", "top"], "INST024", "/lib/apk/db/installed");
    root.write("lib/apk/db/installed", &database);
    root.write("etc/apk/world", "top@edge\n");
    refused(&root, &["add", "top"], "INST024", "/etc/apk/world");
    root.write("etc/apk/repositories", "\nhttp://192.0.2.1/v2\n");
    refused(&root, &["update"], "APKC001", "/etc/apk/repositories:2");
    refused(&root, &["del", "x"], "APKC001", "ends in .adb");
    std::fs::remove_file(root.path("etc/apk/repositories")).unwrap();
    root.write("etc/apk/world", "kernel\n");
    refused(&root, &["del", "gone"], "APKC006", "No such package: gone");
    let nowhere = Scratch::for_apk(&[]).path("");
    root.apk(&["--root", nowhere.as_str(), "update"]).refused_by_apk("INST003").says(nowhere.as_str());
}
