//! Our client makes the same choices as the real programs, apk-tools and opkg-lede, on the same feeds, as recorded in
//! `golden/real`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

mod common;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use common::Scratch;

/// Feeds of which opkg installs a package that we refuse, with the reason; more are in the table of oddities.
const REFUSED: &[(&str, &str)] = &[
    ("idx-filename-up", "the file lies outside the feed"),
    ("idx-greedy", "what a greedy dependency brings is not said"),
    ("idx-no-size", "nothing bounds what is fetched"),
    ("idx-version-slash", "no dependency can name the version"),
];

/// Feeds that real opkg reads differently, with the reason.
const OTHERWISE: &[(&str, &str)] = &[
    ("opkg-solver/o15", "opkg takes a field Version2 for Version"),
    ("opkg-solver/r4", "it has Recommends, Suggests and Pre-Depends, which OpenWrt's build never writes"),
];

/// The case and step in which the router's feed changes to its newer state.
const NEWER_FROM: &[(&str, usize)] = &[
    ("upgrade all", 2),
    ("upgrade one lib user", 2),
    ("add new luci component on old", 2),
    ("libubox by name", 2),
    ("old version pinned", 2),
    ("old fuzzy", 2),
    ("upgrade -a", 1),
];

fn golden(path: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/real").join(path)
}

/// The rows of a table without its header.
fn rows(path: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(golden(path)).unwrap();
    let fields = |line: &str| {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    };
    text.lines().skip(1).map(fields).collect()
}

fn apk(root: &Scratch) -> client::apk::Client {
    let root = client::apk::Root::open(&root.path("")).unwrap();
    let config = client::apk::Config { run_scripts: false, ..client::apk::Config::load(&root).unwrap() };
    client::apk::Client::new(root, config)
}

fn apk_root(key: &str, feed: &str) -> Scratch {
    let root = Scratch::for_apk(&[golden(feed).join("packages.adb").as_str()]);
    fs::copy(golden(key), root.path("etc/apk/keys/golden.pem")).unwrap();
    root
}

fn apk_installed(client: &client::apk::Client) -> String {
    let packages = client.installed().unwrap();
    let titles = packages.iter().filter(|package| package.info.name != "kernel");
    titles.map(|package| format!("{}-{}", package.info.name, package.info.version)).collect::<Vec<_>>().join(" ")
}

#[test]
fn apk_chooses_what_real_apk_chose() {
    for row in rows("real-apk.csv") {
        let [case, command, exit, installed, _said] = &row[..] else { panic!("{row:?}") };
        let root = apk_root("test-only-ec.pub.pem", case);
        let client = apk(&root);
        client.update(&mut |_| ()).unwrap();
        let names: Vec<String> = command.split(' ').skip(2).map(str::to_owned).collect();
        let done = client.add(&names, &mut |_| ());
        let found = (if done.is_ok() { "0" } else { "1" }, apk_installed(&client));
        assert_eq!(found, (exit.as_str(), installed.clone()), "{case}: {command}: {done:?}");
    }
}

#[test]
fn a_router_with_apk_goes_the_way_it_went_with_real_apk() {
    let mut last: Option<(String, Scratch)> = None;
    for row in rows("router-solver/real.csv") {
        let [case, step, command, exit, installed, world] = &row[..] else { panic!("{row:?}") };
        let step: usize = step.parse().unwrap();
        let newer =
            NEWER_FROM.iter().any(|(name, from)| name == case && step >= *from) && !(case == "upgrade -a" && step == 2);
        let feed = if newer { "router-solver/r2" } else { "router-solver/r1" };
        let root = match last.take() {
            Some((name, root)) if name == *case => root,
            _ => apk_root("test-only-real-ec.pub.pem", feed),
        };
        root.repositories(&[golden(feed).join("packages.adb").as_str()]);
        let client = apk(&root);
        client.update(&mut |_| ()).unwrap();
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let verb = words.remove(0);
        let available = words.first().is_some_and(|word| word == "--available");
        let on = &mut |_| ();
        let done = match verb.as_str() {
            "add" => client.add(&words, on),
            "del" => client.del(&words, on),
            _ if available => client.upgrade_to_available(&words[1..], on),
            _ => client.upgrade(&words, on),
        };
        assert_eq!(if done.is_ok() { "ok" } else { "fails" }, exit, "{case}: {command}: {done:?}");
        assert_eq!(apk_installed(&client), *installed, "{case}: {command}");
        let wishes = root.read("etc/apk/world").replace("kernel\n", "").trim_end().replace('\n', " ");
        assert_eq!(wishes, *world, "{case}: {command}");
        last = Some((case.clone(), root));
    }
}

#[test]
fn an_upgrade_moves_to_the_package_with_the_new_name() {
    let root = apk_root("test-only-real-ec.pub.pem", "provides-upgrade/1");
    for (folder, expected) in [("provides-upgrade/1", "libubox2024-1"), ("provides-upgrade/2", "libubox2025-2")] {
        root.repositories(&[golden(folder).join("packages.adb").as_str()]);
        let client = apk(&root);
        client.update(&mut |_| ()).unwrap();
        match folder.ends_with('1') {
            true => client.add(&["libubox".to_owned()], &mut |_| ()).unwrap(),
            false => client.upgrade(&[], &mut |_| ()).unwrap(),
        }
        assert_eq!(apk_installed(&client), expected);
    }
}

#[test]
fn names_with_slashes_and_brackets_are_names() {
    let root = apk_root("test-only-real-ec.pub.pem", "slash-provides");
    let client = apk(&root);
    client.update(&mut |_| ()).unwrap();
    client.add(&["/bin/sh".to_owned(), "dash-binsh".to_owned()], &mut |_| ()).unwrap();
    assert_eq!(apk_installed(&client), "dash-binsh-0.5-r1");
}

#[test]
fn opkg_chooses_what_real_opkg_chose() {
    for row in rows("real-opkg.csv") {
        let [case, command, exit, installed] = &row[..] else { panic!("{row:?}") };
        if OTHERWISE.iter().any(|(name, _)| name == case) {
            continue;
        }
        let root = Scratch::new(&[golden(case).as_str()]);
        let libc = "Package: libc\nVersion: 1\nStatus: install user installed\nArchitecture: all\n\n";
        root.write("usr/lib/opkg/status", &(root.read("usr/lib/opkg/status") + libc));
        let root = client::opkg::Root::open(&root.path("")).map(|open| (root, open)).unwrap();
        // Real opkg did not check signatures either, because some of the feeds have none.
        let config =
            client::opkg::Config { check_signature: false, ..client::opkg::Config::load_offline(&root.1).unwrap() };
        let client = client::opkg::Client::new(root.1.clone(), config);
        client.update(&mut |_| ()).unwrap();
        let names: Vec<String> = command.split(' ').skip(2).map(str::to_owned).collect();
        let done = client.install(&names, &mut |_| ());
        if REFUSED.iter().any(|(name, _)| name == case) {
            assert_eq!(done.as_ref().map_err(client::Error::id), Err("OPKG010"), "{case}");
            continue;
        }
        let packages = client.installed().unwrap();
        let packages = packages.iter().map(|package| &package.control);
        let own = packages.filter(|control| !["kernel", "libc"].contains(&control.package.as_str()));
        let titles: Vec<String> = own.map(|control| format!("{} {}", control.package, control.version)).collect();
        let found = (if done.is_ok() { "0" } else { "255" }, titles.join(", "));
        assert_eq!(found, (exit.as_str(), installed.clone()), "{case}: {command}: {done:?}");
    }
}
