//! Our client makes the same choices as the real programs where a command names several packages, as recorded in
//! `golden/real/several-*.txt` from random feeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use camino::Utf8Path;
use common::{Feed, Scratch, apk, package};
use formats::{Package, depend};

/// A random case: feeds with a package a line, and commands with the answer of the real program.
struct Case {
    feeds: Vec<Vec<String>>,
    commands: Vec<(Vec<String>, String)>,
}

fn cases(file: &str) -> Vec<Case> {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/real").join(file);
    let case = |text: &str| {
        let mut case = Case { feeds: Vec::new(), commands: Vec::new() };
        for line in text.lines() {
            match line.split_once(' ').unwrap() {
                ("feed", _) => case.feeds.push(Vec::new()),
                ("$", words) => case.commands.push((words.split(' ').map(str::to_owned).collect(), String::new())),
                ("=", answer) => case.commands.last_mut().unwrap().1 = answer.into(),
                _ => case.feeds.last_mut().unwrap().push(line.into()),
            }
        }
        case
    };
    fs::read_to_string(path).unwrap().split("\n\n").map(case).collect()
}

/// `NAME VERSION ARCHITECTURE; FIELD: VALUE; …`: the words of the first part, and the fields.
fn parts(line: &str) -> (Vec<&str>, Vec<(&str, &str)>) {
    let mut parts = line.split("; ");
    let head = parts.next().unwrap().split(' ').collect();
    (head, parts.map(|field| field.split_once(": ").unwrap()).collect())
}

fn ipk(line: &str) -> Package {
    let (head, fields) = parts(line);
    let mut plan = package(head[0], head[1], "");
    plan.architecture = head[2].into();
    for (field, value) in fields {
        match field {
            "Depends" => plan.depends = depend::list(value).unwrap(),
            "Conflicts" => plan.conflicts = depend::list(value).unwrap(),
            _ => plan.provides = value.split(", ").map(|name| name.parse().unwrap()).collect(),
        }
    }
    plan
}

#[test]
fn opkg_does_what_real_opkg_did() {
    for case in cases("several-opkg.txt") {
        let feeds: Vec<Feed> =
            case.feeds.iter().map(|lines| Feed::new(&lines.iter().map(|line| ipk(line)).collect::<Vec<_>>())).collect();
        let folders: Vec<&str> = feeds.iter().map(|feed| feed.path().as_str()).collect();
        let root = Scratch::new(&folders);
        let open = client::opkg::Root::open(&root.path("")).unwrap();
        let config = client::opkg::Config::load_offline(&open).unwrap();
        client::opkg::Client::new(open.clone(), config.clone()).update(&mut |_| ()).unwrap();
        for (words, expected) in &case.commands {
            let mut config = config.clone();
            let (options, words): (Vec<String>, Vec<String>) =
                words.iter().cloned().partition(|word| word.starts_with("--"));
            options.iter().for_each(|option| *config.switches.named(&option[2..]).unwrap() = true);
            let client = client::opkg::Client::new(open.clone(), config);
            let done = match words[0].as_str() {
                "install" => client.install(&words[1..], &mut |_| ()),
                "upgrade" => client.upgrade(&words[1..], &mut |_| ()),
                _ => client.remove(&words[1..], &mut |_| ()),
            };
            let installed = client.installed().unwrap();
            let controls = installed.iter().map(|package| &package.control).filter(|own| own.package != "kernel");
            let titles: Vec<String> = controls.map(|own| format!("{} {}", own.package, own.version)).collect();
            let found = if done.is_ok() { format!("ok: {}", titles.join(", ")) } else { "fails".into() };
            assert_eq!(&found, expected, "{words:?} with {:#?}: {done:?}", case.feeds);
        }
    }
}

fn apk(line: &str) -> formats::apk::Plan {
    let (head, fields) = parts(line);
    let mut plan = formats::apk::from_plan(&package(head[0], head[1], "")).unwrap();
    plan.info.provides.clear();
    let list = |value: &str| {
        // As apk's own writer: sorted, and each once.
        let mut items: Vec<&str> = value.split(' ').collect();
        items.sort_by_key(|item| item.trim_start_matches('!'));
        items.dedup();
        items.into_iter().map(|item| item.parse().unwrap()).collect()
    };
    for (field, value) in fields {
        match field {
            "depends" => plan.info.depends = list(value),
            "provides" => plan.info.provides = list(value),
            "install-if" => plan.info.install_if = list(value),
            _ => plan.info.provider_priority = Some(value.parse().unwrap()),
        }
    }
    plan
}

#[test]
fn apk_does_what_real_apk_did() {
    for case in cases("several-apk.txt") {
        // apk's own index is sorted.
        let of = |lines: &Vec<String>| {
            let lines: BTreeSet<&String> = lines.iter().collect();
            apk::Feed::of(&lines.into_iter().map(|line| apk(line)).collect::<Vec<_>>())
        };
        let feeds: Vec<apk::Feed> = case.feeds.iter().map(of).collect();
        let root = Scratch::for_apk(&[&feeds[0].url()]);
        fs::remove_file(root.path("lib/apk/db/installed")).unwrap();
        fs::remove_file(root.path("etc/apk/world")).unwrap();
        let client = || {
            let open = client::apk::Root::open(&root.path("")).unwrap();
            let config = client::apk::Config::load(&open).unwrap();
            client::apk::Client::new(open, config)
        };
        client().update(&mut |_| ()).unwrap();
        for (words, expected) in &case.commands {
            if words[0] == "feed" {
                root.repositories(&[&feeds[1].url()]);
                client().update(&mut |_| ()).unwrap();
                continue;
            }
            let (client, on) = (client(), &mut |_: client::apk::Progress| ());
            let (option, names) = match words.get(1) {
                Some(option) if option.starts_with('-') => (option.as_str(), &words[2..]),
                _ => ("", &words[1..]),
            };
            let done = match (words[0].as_str(), option) {
                ("add", "") => client.add(names, on),
                ("add", _) => client.add_newest(names, on),
                ("del", "") => client.del(names, on),
                ("del", _) => client.del_with_dependents(names, on),
                (_, "") => client.upgrade(names, on),
                _ => client.upgrade_to_available(names, on),
            };
            let installed = client.installed().unwrap();
            let titles: Vec<String> =
                installed.iter().map(|own| format!("{}-{}", own.info.name, own.info.version)).collect();
            let mut world: Vec<String> = match root.has("etc/apk/world") {
                true => root.read("etc/apk/world").split_whitespace().map(str::to_owned).collect(),
                false => Vec::new(),
            };
            world.sort();
            let found = match done {
                Ok(()) => format!("ok: {} | {}", titles.join(" "), world.join(" ")),
                Err(_) => "fails".into(),
            };
            assert_eq!(found.trim_end(), expected.trim_end(), "{words:?} with {:#?}: {done:?}", case.feeds);
        }
    }
}
