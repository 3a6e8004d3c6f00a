//! Correct packages have no findings, in both formats, alone and together.

use std::collections::BTreeSet;

use formats::depend::Dependency;
use formats::{Content, Entry, Package};
use proptest::prelude::*;

use crate::elf::{Elf, mips};
use crate::support::{RELEASE, apk_plain, hello, ids, in_both, ipk_file, kmod, module_path, on_mips, program, with};

#[test]
fn packages_without_a_fault_yield_nothing() {
    let mut empty = Package { files: Vec::new(), ..kmod("nf-conntrack6", "") };
    empty.description = "Connection tracking for IPv6\nEmpty: part of nf_conntrack since 4.19".into();
    let long = "l".repeat(120);
    for packages in [
        vec![hello()],
        vec![Package { files: Vec::new(), conffiles: Vec::new(), architecture: "all".into(), ..hello() }],
        vec![kmod("a", "")],
        vec![kmod("nft-nat", ""), kmod("nft-offload", "nft_nat")],
        vec![empty],
        vec![with(Entry::file(format!("usr/share/{long}/{long}"), 0o644, Content::from("x")))],
        vec![with(Entry::symlink("usr/lib/x", "../bin/hello")), kmod("a", "")],
        vec![with(Entry::dir("srv/drop", 0o1777))],
    ] {
        assert_eq!(in_both(&packages), [BTreeSet::new(), BTreeSet::new()], "{}", packages[0].name);
    }
}

#[test]
fn a_library_may_come_from_the_package_its_dependencies_or_an_unknown_one() {
    let needs = |depends: &[&str]| {
        let elf = Elf { needed: vec!["libx.so.1"], run_path: Some("$ORIGIN/../lib"), ..Elf::default() };
        let mut user = with(Entry::file("usr/bin/x", 0o755, program(&elf)));
        user.depends.extend(depends.iter().map(|name| Dependency::on(*name)));
        user
    };
    let file = || Entry::file("usr/lib/libx.so.1", 0o755, program(&Elf::default()));
    let library = Package { name: "libx1".into(), files: vec![file()], conffiles: Vec::new(), ..hello() };
    let between = Package { name: "middle".into(), files: Vec::new(), conffiles: Vec::new(), ..hello() };
    let between = Package { depends: vec![Dependency::on("libx1")], ..between };
    let mut own = needs(&[]);
    own.files.push(file());
    for packages in [
        vec![own],
        vec![needs(&["libx1"])],
        vec![needs(&["libx1"]), library.clone()],
        vec![needs(&["middle"]), between, library],
    ] {
        assert_eq!(in_both(&packages), [BTreeSet::new(), BTreeSet::new()]);
    }
}

#[test]
fn modules_may_be_listed_elsewhere_built_in_or_loaded_with_another() {
    let builtin = Content::from("kernel/lib/libcrc32c.ko\nkernel/crypto/crypto-hash.ko\n");
    let list = Entry::file(format!("lib/modules/{RELEASE}/modules.builtin"), 0o644, builtin);
    let kernel = Package { name: "kernel".into(), files: vec![list], conffiles: Vec::new(), ..hello() };
    let mut user = kmod("a", "libcrc32c");
    user.depends.truncate(1);
    user.files.push(Entry::file("etc/modules.d/30-hash", 0o644, Content::from("crypto_hash\n")));
    assert_eq!(in_both(&[kernel, user]), [BTreeSet::new(), BTreeSet::new()]);

    // The content of `kmod-unknown` is not known: it may be the package of `b`.
    let mut user = kmod("a", "b");
    user.depends[1] = Dependency::on("kmod-unknown");
    assert_eq!(in_both(&[user, kmod("b", "")]), [BTreeSet::new(), BTreeSet::new()]);

    // `b` is not in a load list, but is loaded with `a`.
    let mut both = kmod("a", "b");
    both.depends.truncate(1);
    both.files.push(Entry::file(module_path("b"), 0o644, program(&Elf::module(RELEASE, ""))));
    assert_eq!(in_both(&[both]), [BTreeSet::new(), BTreeSet::new()]);
}

#[test]
fn kmods_of_an_older_kernel_may_stay_in_the_feed() {
    let old = |name: &str, depends: &'static str| {
        let mut package = kmod(name, depends);
        package.version = "6.12.93-r1".into();
        package.depends[0] = Dependency::exactly("kernel", "6.12.93~0f-r1");
        let path = format!("lib/modules/6.12.93/{name}.ko");
        package.files[0] = Entry::file(path, 0o644, program(&Elf::module("6.12.93", depends)));
        package
    };
    let packages = [kmod("a", ""), kmod("b", "a"), old("a", ""), old("b", "a")];
    assert_eq!(in_both(&packages), [BTreeSet::new(), BTreeSet::new()]);
}

#[test]
fn a_router_with_mips_takes_programs_without_a_floating_point_unit_in_its_byte_order() {
    for (architecture, program) in [
        ("mips_24kc", mips(false, 0x7000_1007, 3)),
        ("mipsel_24kc", mips(true, 0x7000_1005, 3)),
        ("mipsel_24kc", mips(true, 0x5000_1007, 0)),
        ("mipsel_24kc_24kf", mips(true, 0x7000_1007, 1)),
    ] {
        assert_eq!(in_both(&[on_mips(architecture, program)]), [BTreeSet::new(), BTreeSet::new()], "{architecture}");
    }
}

#[test]
fn firmware_for_another_processor_is_left_alone() {
    let elf = Elf { is_arm: true, has_symbols: true, needed: vec!["libx.so.1"], text: "/build/x/y", ..Elf::default() };
    let firmware = with(Entry::file("lib/firmware/x.elf", 0o644, program(&elf)));
    assert_eq!(in_both(&[firmware]), [BTreeSet::new(), BTreeSet::new()]);
}

#[test]
fn packages_made_by_the_real_tools_yield_what_is_in_them() {
    // This package has everything that the formats can express, so not all of it is good; the sizes are the tools' own.
    for (file, expected) in [
        ("ipk/hello_1.2.3-r4_all.ipk", &["LINT203"][..]),
        ("ipk/kernel_6.6.93~0123456789abcdef0123456789abcdef-r1_aarch64_cortex-a53.ipk", &["LINT403", "LINT405"]),
        ("ipk/kmod-dummy_6.6.93-r1_aarch64_cortex-a53.ipk", &["LINT101", "LINT403", "LINT405"]),
        ("ipk/libfoo3_1.0.0-r1_aarch64_cortex-a53.ipk", &["LINT405"]),
        ("ipk/tiny_0.1_all.ipk", &["LINT403", "LINT404", "LINT405"]),
        ("apk/bigscript-2.0_rc1.apk", &["LINT403", "LINT404", "LINT405"]),
        ("apk/edge.zstd-1.apk", &["LINT202", "LINT203", "LINT204", "LINT210", "LINT405"]),
        ("apk/hello-1.2.3-r4.apk", &["LINT203"]),
        ("apk/libfoo3-1.0.0-r1.apk", &["LINT405"]),
        ("apk/metaonly-1-r0.apk", &["LINT403", "LINT405"]),
        ("apk/tiny-0.1.apk", &["LINT403", "LINT404", "LINT405"]),
    ] {
        let bytes = std::fs::read(format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert_eq!(ids(&[(file.to_owned(), bytes)]), expected.iter().copied().collect(), "{file}");
    }
}

#[test]
fn a_real_program_is_looked_into() {
    // This very test program: not stripped, and built for the host.
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let package = Package { architecture: "all".into(), ..with(Entry::file("usr/bin/x", 0o755, bytes.into())) };
    let found = ids(&[ipk_file(&package)]);
    assert!(found.is_superset(&BTreeSet::from(["LINT301", "LINT305"])), "{found:?}");
}

proptest! {
    #[test]
    fn damage_is_found_or_harmless_and_never_a_panic(at in any::<prop::sample::Index>(), value in any::<u8>(), is_apk in any::<bool>()) {
        let package = kmod("a", "b");
        let (path, mut bytes) = if is_apk { apk_plain(&package) } else { ipk_file(&package) };
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = ids(&[(path.clone(), bytes.clone())]);
        bytes.truncate(at);
        prop_assert!(ids(&[(path, bytes)]).contains("LINT001"));
    }

    #[test]
    fn damaged_programs_are_never_a_panic(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let elf = Elf { needed: vec!["libx.so"], run_path: Some("/x"), has_symbols: true, ..Elf::module(RELEASE, "b") };
        let mut bytes = elf.bytes();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = ids(&[ipk_file(&with(Entry::file(module_path("a"), 0o644, bytes.into())))]);
    }
}
