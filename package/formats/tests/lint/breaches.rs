//! One bad package for each rule about packages, in both formats if both can have it.

use std::collections::BTreeSet;

use formats::adb::Compression;
use formats::depend::{Dependency, Provide};
use formats::lint::{self, Options};
use formats::{Content, Device, Entry, Kind, Owner, Package, apk, ipk};
use model::Severity;

use crate::elf::{Elf, mips};
use crate::support::{
    File, RELEASE, apk_file, apk_plain, hello, ids, in_both, ipk_file, judge, kmod, module_path, on_mips, program, with,
};

/// The rule, and packages that break only this rule.
type Breach = (&'static str, fn() -> Vec<Package>);

/// Rules that packages of both formats can break.
const BREACHES: &[Breach] = &[
    ("LINT101", || vec![Package { files: Vec::new(), ..kmod("a", "") }]),
    ("LINT102", || {
        let elf = Elf::module("6.12.93", "");
        let other = Entry::file("lib/modules/6.12.93/a.ko", 0o644, program(&elf));
        vec![Package { files: vec![other, kmod("a", "").files.remove(1)], ..kmod("a", "") }]
    }),
    ("LINT103", || {
        let mut other = kmod("b", "");
        let vermagic = "6.12.94 PREEMPT";
        other.files[0] = Entry::file(module_path("b"), 0o644, program(&Elf::module(vermagic, "")));
        vec![kmod("a", ""), other]
    }),
    ("LINT104", || vec![Package { depends: vec![Dependency::on("kernel")], ..kmod("a", "") }]),
    ("LINT105", || vec![Package { files: vec![kmod("a", "").files.remove(0)], ..kmod("a", "") }]),
    ("LINT106", || {
        let list = Entry::file("etc/modules.d/a", 0o644, Content::from("a\nvanished debug=1\n"));
        vec![Package { files: vec![kmod("a", "").files.remove(0), list], ..kmod("a", "") }]
    }),
    ("LINT107", || {
        let kernel = kmod("a", "").depends.remove(0);
        vec![kmod("a", ""), Package { depends: vec![kernel], ..kmod("b", "a") }]
    }),
    ("LINT108", || {
        let misplaced = Entry::file("lib/modules/6.12.95/a.ko", 0o644, program(&Elf::module(RELEASE, "")));
        vec![Package { files: vec![misplaced, kmod("a", "").files.remove(1)], ..kmod("a", "") }]
    }),
    ("LINT109", || {
        let broken = Entry::file(module_path("a"), 0o644, Content::from("no module"));
        vec![Package { files: vec![broken, kmod("a", "").files.remove(1)], ..kmod("a", "") }]
    }),
    ("LINT109", || {
        let compressed = Entry::file(module_path("a") + ".xz", 0o644, Content::from("xz"));
        vec![Package { files: vec![compressed, kmod("a", "").files.remove(1)], ..kmod("a", "") }]
    }),
    ("LINT201", || vec![with(Entry::file("etc/open", 0o666, Content::from("")))]),
    ("LINT201", || vec![with(Entry::dir("etc/open", 0o777))]),
    ("LINT202", || vec![with(Entry::file("usr/bin/su", 0o4755, Content::from("")))]),
    ("LINT202", || vec![with(Entry::file("usr/bin/wall", 0o2755, Content::from("")))]),
    ("LINT203", || {
        let nobody = Owner { id: 65534, name: "nobody".into() };
        vec![with(Entry { owner: nobody, ..Entry::dir("srv", 0o755) })]
    }),
    ("LINT203", || {
        let nobody = Owner { id: 65534, name: "nobody".into() };
        vec![with(Entry { group: nobody, ..Entry::dir("srv", 0o755) })]
    }),
    ("LINT204", || {
        let kind = Kind::Device(Device::Block { major: 8, minor: 0 });
        vec![with(Entry { kind, ..Entry::file("srv/disk", 0o600, Content::from("")) })]
    }),
    ("LINT206", || vec![with(Entry::symlink("usr/lib/x", "../../../etc/shadow"))]),
    ("LINT206", || vec![with(Entry::symlink("usr/lib/x", "/../etc/shadow"))]),
    ("LINT207", || vec![with(Entry::symlink("usr/lib/x", "/usr/lib/absent"))]),
    ("LINT208", || {
        let file = || Entry::file("usr/share/x", 0o644, Content::from(""));
        let other = |name: &str| Package { name: name.into(), files: vec![file()], conffiles: Vec::new(), ..hello() };
        vec![other("one"), other("two")]
    }),
    ("LINT209", || vec![with(Entry::file("usr/lib/opkg/status", 0o644, Content::from("")))]),
    ("LINT209", || vec![with(Entry::file("etc/apk/world", 0o644, Content::from("")))]),
    ("LINT210", || vec![with(Entry::file("var/run/x", 0o644, Content::from("")))]),
    ("LINT210", || vec![with(Entry::file("tmp/x", 0o644, Content::from("")))]),
    ("LINT301", || vec![bin(Elf { has_symbols: true, ..Elf::default() })]),
    ("LINT301", || vec![bin(Elf { sections: vec![".debug_info"], ..Elf::default() })]),
    ("LINT302", || vec![bin(Elf { text: "/builds/openwrt/main.c", ..Elf::default() })]),
    ("LINT302", || vec![Package { source: "/srv/openwrt/package/hello".into(), ..hello() }]),
    ("LINT303", || vec![bin(Elf { needed: vec!["libc.so", "libubox.so.1"], ..Elf::default() })]),
    ("LINT303", || {
        // The library is among the given packages, but the program does not depend on it.
        let user = bin(Elf { needed: vec!["libx.so.1"], ..Elf::default() });
        vec![user, library()]
    }),
    ("LINT304", || vec![bin(Elf { is_arm: true, ..Elf::default() })]),
    ("LINT305", || vec![Package { architecture: "all".into(), ..hello() }]),
    ("LINT306", || vec![bin(Elf { run_path: Some("$ORIGIN/../lib:/opt/lib"), ..Elf::default() })]),
    ("LINT304", || vec![on_mips("mips_24kc", mips(true, 0x7000_1007, 3))]),
    ("LINT304", || vec![on_mips("mipsel_24kc", mips(false, 0x7000_1007, 3))]),
    ("LINT307", || vec![on_mips("mips_24kc", mips(false, 0x7000_1007, 1))]),
    ("LINT307", || vec![on_mips("mipsel_mips32", mips(true, 0x7000_1007, 3))]),
    ("LINT403", || vec![Package { license: String::new(), ..hello() }]),
    ("LINT404", || vec![Package { description: String::new(), ..hello() }]),
    ("LINT405", || vec![Package { maintainer: String::new(), ..hello() }]),
    ("LINT406", || vec![Package { architecture: "amd64".into(), ..hello() }]),
    ("LINT409", || {
        let mut package = hello();
        package.scripts.preinst = Some("true\n".into());
        vec![package]
    }),
    ("LINT410", || {
        let mut package = hello();
        package.scripts.postinst = Some("#!/bin/sh\ntrue\nexit 0\nimportant\n".into());
        vec![package]
    }),
];

fn bin(elf: Elf) -> Package {
    with(Entry::file("usr/bin/x", 0o755, program(&elf)))
}

/// A package with a library, under the name in the program's `DT_NEEDED`.
fn library() -> Package {
    let elf = Elf { needed: vec!["libc.so"], ..Elf::default() };
    let files = vec![
        Entry::file("usr/lib/libx.so.1.2", 0o755, program(&elf)),
        Entry::symlink("usr/lib/libx.so.1", "libx.so.1.2"),
    ];
    Package { name: "libx1".into(), files, conffiles: Vec::new(), scripts: Default::default(), ..hello() }
}

#[test]
fn a_breach_is_found_in_both_formats_and_is_the_only_one() {
    for (id, packages) in BREACHES {
        for found in in_both(&packages()) {
            assert_eq!(found, BTreeSet::from([*id]));
        }
    }
}

#[test]
fn a_breach_says_where_and_what() {
    let findings =
        judge(&[ipk_file(&kmod("a", "")), apk_file(&with(Entry::dir("etc/open", 0o777)))], &Options::default());
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(
        (finding.place.as_deref(), finding.what.as_str()),
        (Some("feed/hello-1.0-r1.apk: /etc/open"), "writable by everybody: its mode is 0777")
    );
    assert_eq!((finding.id, finding.severity), ("LINT201", Severity::Error));
}

/// Replaces bytes in the uncompressed control file by others of the same length.
pub(crate) fn with_control(package: &Package, old: &str, new: &str) -> File {
    use formats::{gzip, tar};
    let limits = Options::default().limits;
    let (path, bytes) = ipk_file(package);
    let mut outer = tar::Reader::new(gzip::Reader::new(&bytes[..], 1 << 20).unwrap(), &limits);
    let mut writer = tar::Writer::new(gzip::Writer::new(Vec::new(), gzip::Level::Default).unwrap(), 0);
    while let Some(member) = outer.next_member().unwrap() {
        let mut content = outer.bytes().unwrap();
        if member.entry.path == "control.tar.gz" {
            let read = ipk::read(&bytes[..], &limits).unwrap();
            let mut inner = tar::Writer::new(gzip::Writer::new(Vec::new(), gzip::Level::Default).unwrap(), 0);
            for (name, file) in &read.metadata.files {
                let text = String::from_utf8(file.bytes.clone()).unwrap();
                let text = if name == "control" || name == "conffiles" { text.replace(old, new) } else { text };
                inner.entry(&Entry::file(name, file.mode, Content::from(text))).unwrap();
            }
            content = inner.finish().unwrap().0.finish().unwrap();
        }
        writer.entry(&Entry::file(&member.entry.path, 0o644, content.into())).unwrap();
    }
    (path, writer.finish().unwrap().0.finish().unwrap())
}

#[test]
fn what_the_writers_would_never_write_is_found_in_foreign_packages() {
    for (old, new, id) in [
        ("Installed-Size: ", "Installed-Size: 9", "LINT407"),
        ("Installed-Size: 10240\n", "Installed-Size: 3\n", "LINT407"),
        ("Installed-Size: 10240\n", "", "LINT407"),
        ("/etc/config/hello\n", "/etc/config/hallo\n", "LINT408 LINT602"),
        ("/etc/config/hello\n", "/usr/bin/hallo\n", "LINT408 LINT602"),
        ("Depends: libc", "Provides: x=1.0\nDepends: libc", "LINT412"),
        ("Version: 1.0-r1", "Version: v1.0-r1", "LINT401"),
        ("Version: 1.0-r1", "Version: 1.0/r1", "LINT401"),
        ("Version: 1.0-r1", "Version: 1.0-1", "LINT402"),
        ("Version: 1.0-r1", "Version: 2:1.0-r1", "LINT402"),
        ("Version: 1.0-r1", "Vers", "LINT001"),
    ] {
        assert_eq!(ids(&[with_control(&hello(), old, new)]), id.split(' ').collect(), "{new:?}");
    }
    assert_eq!(ids(&[with_control(&hello(), "no such text", "")]), BTreeSet::new());
}

#[test]
fn settings_that_differ_from_apks_own_list_are_found() {
    let mut plan = apk::from_plan(&hello()).unwrap();
    for entry in &mut plan.files {
        if entry.path == "etc/config/hello" {
            entry.kind = Kind::File(Content::from("other\n"));
        }
    }
    let mut bytes = Vec::new();
    apk::write(&plan, &[], Compression::None, &mut bytes).unwrap();
    assert_eq!(ids(&[("hello-1.0-r1.apk".into(), bytes.clone())]), BTreeSet::from(["LINT408"]));
    // The reader checks the digests of file contents.
    let at = bytes.windows(6).rposition(|window| window == b"other\n").unwrap();
    bytes[at] ^= 1;
    assert_eq!(ids(&[("hello-1.0-r1.apk".into(), bytes)]), BTreeSet::from(["LINT001"]));
}

#[test]
fn an_apk_with_opkgs_version_is_found() {
    let (path, mut unpacked) = apk_plain(&hello());
    let at = unpacked.windows(6).position(|window| window == b"1.0-r1").unwrap();
    unpacked[at..at + 6].copy_from_slice(b"v1.0.1");
    assert_eq!(ids(&[(path, unpacked)]), BTreeSet::from(["LINT401"]));
}

#[test]
fn a_file_that_cannot_be_read_is_a_finding_and_hides_no_other() {
    let good = ipk_file(&with(Entry::dir("etc/open", 0o777)));
    let cut = ("feed/cut.ipk".to_owned(), good.1[..good.1.len() / 2].to_vec());
    let v2 = ("feed/v2.apk".to_owned(), b"\x1f\x8b\x08\0".to_vec());
    assert_eq!(ids(&[good, cut.clone(), v2]), BTreeSet::from(["LINT001", "LINT201"]));
    let finding = &judge(&[cut], &Options::default())[0];
    assert!(finding.what.ends_with("(GZ002)"), "{finding:?}");
}

/// A source that fails half-way, as a disk or connection may.
struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn an_input_that_breaks_off_is_a_finding() {
    let options = Options::default();
    for path in ["x.ipk", "x.apk", "Packages", "Packages.gz", "Packages.sig", "packages.adb", "unknown"] {
        let findings = lint::judge(&[lint::examine(path, Broken, &options)], &options);
        assert_eq!(findings[0].id, "LINT001", "{path}");
    }
}

#[test]
fn paths_that_lead_out_are_found_in_what_real_opkg_unpacks() {
    let golden = |name: &str| {
        let path = format!("{}/tests/golden/malformed/ipk/{name}.ipk", env!("CARGO_MANIFEST_DIR"));
        (format!("{name}.ipk"), std::fs::read(path).unwrap())
    };
    for name in ["dotdot", "abs", "symdir", "hardlink", "ctlscript"] {
        assert_eq!(ids(&[golden(name)]), BTreeSet::from(["LINT205"]), "{name}");
    }
    for name in ["trunc-data", "crc-data", "flip-data", "nodata", "pax", "empty", "ar", "dup", "trail"] {
        assert_eq!(ids(&[golden(name)]), BTreeSet::from(["LINT001"]), "{name}");
    }
    assert!(ids(&[golden("dev")]).contains("LINT204"));
    assert!(ids(&[golden("setuid")]).contains("LINT202"));
}

#[test]
fn a_program_too_large_to_be_looked_into_is_noted() {
    let mut bytes = Elf { has_symbols: true, ..Elf::default() }.bytes();
    bytes.resize((64 << 20) + 1, 0);
    assert_eq!(ids(&[ipk_file(&with(Entry::file("usr/bin/x", 0o755, bytes.into())))]), BTreeSet::from(["LINT002"]));
}

#[test]
fn packages_that_exclude_each_other_may_share_files() {
    let file = || Entry::file("usr/share/x", 0o644, Content::from(""));
    let other = |name: &str| Package { name: name.into(), files: vec![file()], conffiles: Vec::new(), ..hello() };
    let variant = |name: &str| Package { provides: vec![Provide::name("wpad")], ..other(name) };
    let conflicting = Package { conflicts: vec!["one".parse().unwrap()], ..other("two") };
    for packages in
        [vec![other("one"), Package { version: "2.0-r1".into(), ..other("one") }], vec![conflicting, other("one")]]
    {
        assert_eq!(in_both(&packages), [BTreeSet::new(), BTreeSet::new()]);
    }
    let variants = ["wpad-basic", "wpad-full"].map(|name| apk_file(&variant(name)));
    assert_eq!(ids(&variants), BTreeSet::new(), "apk's names have a version");
    let elsewhere = Package { architecture: "mips_24kc".into(), files: vec![file()], ..other("two") };
    assert_eq!(ids(&[ipk_file(&other("one")), ipk_file(&elsewhere)]), BTreeSet::new());
}

#[test]
fn every_rule_has_an_id_of_its_own_and_something_to_say() {
    let rules: Vec<_> = lint::rules().collect();
    assert!(rules.windows(2).all(|pair| pair[0].id < pair[1].id), "sorted, and none twice");
    for rule in &rules {
        assert!(
            [rule.title, rule.why, rule.fix].iter().all(|text| text.len() > 8 && !text.ends_with('.')),
            "{}",
            rule.id
        );
    }
    // Every rule's id must occur in the files of this folder: a rule without a breach here would be untested.
    let tests = [include_str!("breaches.rs"), include_str!("feeds.rs"), include_str!("system.rs")].concat();
    for rule in &rules {
        assert!(tests.contains(&format!("\"{}\"", rule.id)), "{} is never broken", rule.id);
    }
}
