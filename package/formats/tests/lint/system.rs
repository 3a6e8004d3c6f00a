//! Files that the router's own programs read: a breach of each rule, and correct files beside it.

use std::collections::BTreeSet;

use formats::depend::Provide;
use formats::{Content, Entry, Package, apk, ipk};

use crate::elf::Elf;
use crate::support::{File, apk_plain, hello, ids, in_both, ipk_file, kmod, module_path, program, with};

/// Asserts the findings for packages, which are the same as ipk and as apk.
#[track_caller]
fn found(packages: &[Package], expected: &[&str]) {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    assert_eq!(in_both(packages), [expected.clone(), expected], "{:?}", packages[0].files.last());
}

fn text(path: &str, mode: u32, content: &str) -> Entry {
    Entry::file(path, mode, Content::from(content))
}

#[test]
fn folders_of_the_system_have_the_usual_mode() {
    for (path, mode, id) in
        [("etc", 0o775, "LINT601"), ("usr", 0o700, "LINT601"), ("usr/lib", 0o750, "LINT601"), ("etc", 0o777, "LINT201")]
    {
        found(&[with(Entry::dir(path, mode))], &[id]);
    }
    for (path, mode) in [("etc", 0o755), ("etc/hello", 0o700), ("srv", 0o775), ("tmp", 0o1777)] {
        found(&[with(Entry::dir(path, mode))], &[]);
    }
}

#[test]
fn settings_are_conffiles() {
    let other = || text("etc/config/other", 0o644, "config x\n");
    found(&[with(other())], &["LINT602"]);
    let listed = Package { conffiles: vec!["/etc/config/hello".into(), "/etc/config/other".into()], ..with(other()) };
    found(&[listed], &[]);
    found(&[with(text("etc/hello/config", 0o644, ""))], &[]);
}

#[test]
fn settings_have_names_that_uci_takes() {
    for (name, id) in [("my.app", Some("LINT610")), ("a=b", Some("LINT610")), ("a b", Some("LINT610")), ("a-b_2", None)]
    {
        let path = format!("etc/config/{name}");
        let package = with(text(&path, 0o600, "config x\n"));
        let conffiles = vec!["/etc/config/hello".into(), format!("/{path}")];
        found(&[Package { conffiles, ..package }], id.as_slice());
    }
    // In that folder it is not a uci file.
    found(&[with(text("etc/hello/my.app", 0o644, ""))], &[]);
}

#[test]
fn users_have_names_and_numbers_of_their_own() {
    for (users, is_odd) in [
        ("svc=850:svc=850", false),
        ("svc:svc=850 other", false),
        ("root=0:root=0", false),
        ("svc=850:svc=850:dialout=20,net-dev", false),
        (":audit=900", false),
        (":x=1", true),
        ("svc=0:svc=850", true),
        ("svc=850:svc=850:video=29", true),
        ("svc=abc", true),
        ("=850:svc=850", true),
        ("s/vc=850", true),
    ] {
        let package = Package { require_user: users.into(), ..hello() };
        found(&[package], if is_odd { &["LINT611"] } else { &[] });
    }
}

#[test]
fn a_plus_belongs_to_names() {
    found(&[Package { name: "cpp-tool++".into(), ..hello() }], &[]);
}

#[test]
fn programs_can_be_executed() {
    let rc = "#!/bin/sh /etc/rc.common\nSTART=9\n";
    for path in ["usr/sbin/x", "usr/bin/x", "usr/libexec/rpcd/x", "www/cgi-bin/x"] {
        found(&[with(text(path, 0o644, "#!/bin/sh\n"))], &["LINT603"]);
        found(&[with(text(path, 0o755, "#!/bin/sh\n"))], &[]);
    }
    found(&[with(text("etc/init.d/x", 0o644, rc))], &["LINT603"]);
    found(&[with(text("etc/init.d/x", 0o755, rc))], &[]);
    // These are sourced by a shell, or read by other programs.
    for path in ["etc/hotplug.d/iface/10-x", "etc/uci-defaults/x", "usr/share/x", "usr/bin/x/data", "usr/sbin-x"] {
        found(&[with(text(path, 0o644, "true\n"))], &[]);
    }
}

#[test]
fn scripts_can_be_read() {
    for path in ["etc/init.d/x", "etc/uci-defaults/x", "etc/hotplug.d/iface/10-x", "usr/libexec/rpcd/x"] {
        found(&[with(text(path, 0o755, "#!/bin/sh /etc/rc.common\r\ntrue\r\n"))], &["LINT604"]);
        found(&[with(text(path, 0o755, "#!/bin/sh /etc/rc.common\nif true; then\n"))], &["LINT605"]);
        found(&[with(text(path, 0o755, "#!/bin/sh /etc/rc.common\nif true; then :; fi\n"))], &[]);
    }
    found(&[with(text("usr/libexec/rpcd/x", 0o755, "#!/usr/bin/lua\nif true then\n"))], &[]);
    for (script, id) in [("#!/bin/sh\r\ntrue\r\n", "LINT604"), ("#!/bin/sh\nif true; then\n\ttrue\n", "LINT605")] {
        let mut package = hello();
        package.scripts.postinst = Some(script.into());
        assert_eq!(ids(&[ipk_file(&package)]), BTreeSet::from([id]), "{script:?}");
    }
}

#[test]
fn init_scripts_go_through_rc_common() {
    for content in ["", "#!/bin/sh\ntrue\n"] {
        found(&[with(text("etc/init.d/x", 0o755, content))], &["LINT606"]);
    }
}

fn offering(name: &str, alternative: &str) -> Package {
    let program = Entry::file(format!("usr/libexec/{name}"), 0o755, program(&Elf::default()));
    Package {
        name: name.into(),
        alternatives: vec![alternative.into()],
        files: vec![program],
        conffiles: Vec::new(),
        ..hello()
    }
}

#[test]
fn alternatives_lead_somewhere_and_have_an_order() {
    let one = || offering("one", "300:/usr/bin/get:/usr/libexec/one");
    found(&[one(), offering("two", "300:/usr/bin/get:/usr/libexec/two")], &["LINT607"]);
    found(&[one(), offering("two", "200:/usr/bin/get:/usr/libexec/two")], &[]);
    for alternative in [
        "300:/usr/bin/get:/usr/libexec/absent",
        "300:/usr/libexec/one:/usr/libexec/one",
        "300:usr/bin/get:/usr/libexec/one",
        "usr/bin/get:/usr/libexec/one",
        "300:/usr/bin/get:",
    ] {
        assert_eq!(ids(&[ipk_file(&offering("one", alternative))]), BTreeSet::from(["LINT608"]), "{alternative}");
    }
}

#[test]
fn what_rpcd_and_luci_read_is_json() {
    for path in ["usr/share/rpcd/acl.d/x.json", "usr/share/luci/menu.d/x.json"] {
        found(&[with(text(path, 0o644, "{ \"x\": { } "))], &["LINT609"]);
        found(&[with(text(path, 0o644, "{ \"x\": { } }\n"))], &[]);
    }
    found(&[with(text("usr/share/x.json", 0o644, "no JSON"))], &[]);
}

#[test]
fn a_file_is_no_folder_of_another_package() {
    let other =
        |name: &str, entry: Entry| Package { name: name.into(), files: vec![entry], conffiles: Vec::new(), ..hello() };
    let file = || other("one", text("etc/thing", 0o644, "x"));
    found(&[file(), other("two", text("etc/thing/a.conf", 0o644, "y"))], &["LINT208"]);
    found(&[file(), other("two", Entry::dir("etc/thing", 0o755))], &["LINT208"]);
    let link = other("one", Entry::symlink("etc/thing", "../tmp/thing"));
    found(&[link, other("two", text("etc/thing/a.conf", 0o644, "y"))], &[]);
    found(&[file(), other("two", text("etc/things/a.conf", 0o644, "y"))], &[]);
}

#[test]
fn provided_names_are_of_use() {
    let with_provides = |item: &str| {
        let mut plan = apk::from_plan(&hello()).unwrap();
        plan.info.provides = vec![item.parse().unwrap()];
        let mut bytes = Vec::new();
        apk::write(&plan, &[], formats::adb::Compression::None, &mut bytes).unwrap();
        ids(&[("hello-1.0-r1.apk".to_owned(), bytes)])
    };
    assert_eq!(with_provides("hello"), BTreeSet::from(["LINT411"]));
    assert_eq!(with_provides("hello=1.0-r1"), BTreeSet::from(["LINT411"]));
    assert_eq!(with_provides("greeting=1.0"), BTreeSet::new());

    // Two packages that provide one name without a version can be installed together, and both have the file.
    let variant = |name: &str| Package {
        name: name.into(),
        provides: vec![Provide::name("tool")],
        files: vec![text("usr/share/x", 0o644, "")],
        conffiles: Vec::new(),
        ..hello()
    };
    let ipks: Vec<File> = ["one", "two"].map(|name| ipk_file(&variant(name))).into();
    assert_eq!(ids(&ipks), BTreeSet::from(["LINT208"]));
    let apks: Vec<File> = ["one", "two"].map(|name| apk_plain(&variant(name))).into();
    assert_eq!(ids(&apks), BTreeSet::new(), "the writer gives them the package's version");
}

#[test]
fn lists_of_modules_are_read_as_kmodloader_reads_them() {
    for (line, id) in [
        ("a\n", None),
        ("a debug=1\n", None),
        ("a.ko\n", None),
        ("/lib/modules/6.12.94/a.ko\n", None),
        ("a", None),
        ("# what it is\na\n", None),
        ("a\r\n", Some("LINT106")),
        (" a\n", Some("LINT106")),
        ("a\tdebug=1\n", Some("LINT106")),
    ] {
        let mut package = kmod("a", "");
        package.files[1] = text("etc/modules.d/a", 0o644, line);
        for found in in_both(&[package]) {
            let mut expected: BTreeSet<&str> = id.into_iter().collect();
            // No other load list names it.
            expected.extend(id.map(|_| "LINT105"));
            assert_eq!(found, expected, "{line:?}");
        }
    }
}

#[test]
fn modules_are_where_they_are_looked_for_and_bound_to_one_build() {
    let mut deep = kmod("a", "");
    deep.files[0].path = "lib/modules/6.12.94/kernel/net/a.ko".into();
    found(&[deep], &["LINT108"]);
    for (kernel, ids) in [
        ("6.12.94-r1", &["LINT104"][..]),
        ("6.12.94~0123456789abcdef0123456789abcdef-r1", &[]),
        ("6.12.94-1-0123456789abcdef0123456789abcdef", &[]),
    ] {
        let mut package = kmod("a", "");
        package.depends[0] = formats::depend::Dependency::exactly("kernel", kernel);
        assert_eq!(crate::support::ids(&[ipk_file(&package)]), ids.iter().copied().collect(), "{kernel}");
    }
    assert!(module_path("a").ends_with("/6.12.94/a.ko"));
}

/// Packages seen in the field; only findings of these rules are compared.
#[test]
fn packages_from_the_field_yield_what_is_wrong_with_them() {
    for (folder, expected) in [
        (
            "script-exit",
            &[
                ("s-awk", ""),
                ("s-awk2", ""),
                ("s-brace-var", ""),
                ("s-echo-done", ""),
                ("s-for-comment", ""),
                ("s-heredoc", ""),
                ("s-subshell", ""),
                ("s-usual", ""),
                ("s-semi", "LINT410"),
                ("s-real-dead", "LINT410"),
                ("s-real-dead-exec", "LINT410"),
                ("s-real-dead-return", "LINT410"),
            ][..],
        ),
        (
            "conffiles",
            &[
                ("cf1", "LINT408"),
                ("cf2", "LINT414"),
                ("cf3", "LINT414"),
                ("cf4", "LINT414"),
                ("cf5", "LINT408"),
                ("cf6", "LINT408"),
            ],
        ),
        ("uci-bad-name", &[("ucn", "LINT610")]),
        ("require-user", &[("gnv", "LINT611")]),
        ("names", &[("nm1", ""), ("nm2", ""), ("nm3", ""), ("nm5", ""), ("nm7", ""), ("nm8", "LINT003")]),
    ] {
        for (name, id) in expected {
            let path = format!("{}/tests/golden/field/{folder}/{name}_1.0-r1_all.ipk", env!("CARGO_MANIFEST_DIR"));
            let file = (format!("{name}.ipk"), std::fs::read(path).unwrap());
            let mut found = ids(&[file]);
            // They have no maintainer.
            for courtesy in ["LINT403", "LINT405", "LINT406"] {
                found.remove(courtesy);
            }
            let expected: BTreeSet<&str> = Some(*id).into_iter().filter(|id| !id.is_empty()).collect();
            assert_eq!(found, expected, "{folder}/{name}");
        }
    }
}

#[test]
fn what_was_right_in_its_time_is_no_fault() {
    // LuCI's versions up to 23.05, and the size that its scripts wrote at that time.
    let luci = Package { version: "1.0-r1".into(), ..hello() };
    let git = crate::breaches::with_control(&luci, "Version: 1.0-r1", "Version: git-21.295.67054-13df80d");
    assert_eq!(ids(&[git]), BTreeSet::from(["LINT413"]));
    let (path, bytes) = ipk_file(&hello());
    let stored = ipk::inspect(&bytes[..], &formats::Limits::default()).unwrap().data_length;
    let old = crate::breaches::with_control(&hello(), "Installed-Size: 10240", &format!("Installed-Size: {stored}"));
    assert_eq!((path, ids(std::slice::from_ref(&old))), (old.0, BTreeSet::new()));
}
