//! Faultless packages, to be spoiled in one way each, and helpers to judge them.

use std::collections::BTreeSet;

use formats::adb::Compression;
use formats::depend::Dependency;
use formats::lint::{self, Options};
use formats::{Content, Entry, Package, Scripts, apk, ipk};
use model::Finding;

use crate::elf::Elf;

pub(crate) const RELEASE: &str = "6.12.94";
pub(crate) const KERNEL: &str = "6.12.94~0123456789abcdef0123456789abcdef-r1";

/// A package without any finding.
pub(crate) fn hello() -> Package {
    Package {
        name: "hello".into(),
        version: "1.0-r1".into(),
        architecture: "x86_64".into(),
        depends: vec![Dependency::on("libc")],
        description: "Says hello".into(),
        license: "MIT".into(),
        maintainer: "Somebody <somebody@example.org>".into(),
        source: "feeds/base/hello".into(),
        conffiles: vec!["/etc/config/hello".into()],
        scripts: Scripts { postinst: Some("#!/bin/sh\n[ -n \"$x\" ] && exit 0\ntrue\n".into()), ..Scripts::default() },
        files: vec![
            Entry::file("etc/config/hello", 0o644, Content::from("config hello\n")),
            Entry::file("usr/bin/hello", 0o755, program(&Elf { needed: vec!["libc.so"], ..Elf::default() })),
            Entry::symlink("usr/bin/hallo", "hello"),
            Entry::symlink("etc/hello.conf", "/tmp/hello.conf"),
        ],
        ..Package::default()
    }
}

/// A package with one kernel module that needs no other, or one.
pub(crate) fn kmod(name: &str, depends: &'static str) -> Package {
    let module = name.replace('-', "_");
    let mut package = Package {
        name: format!("kmod-{name}"),
        version: "6.12.94-r1".into(),
        depends: vec![Dependency::exactly("kernel", KERNEL)],
        conffiles: Vec::new(),
        scripts: Scripts::default(),
        files: vec![
            Entry::file(module_path(&module), 0o644, program(&Elf::module(RELEASE, depends))),
            Entry::file(format!("etc/modules.d/{name}"), 0o644, Content::from(format!("{module}\n"))),
        ],
        ..hello()
    };
    package
        .depends
        .extend((!depends.is_empty()).then(|| Dependency::on(format!("kmod-{}", depends.replace('_', "-")))));
    package
}

pub(crate) fn module_path(module: &str) -> String {
    format!("lib/modules/{RELEASE}/{module}.ko")
}

pub(crate) fn program(elf: &Elf) -> Content {
    elf.bytes().into()
}

/// `hello` for a MIPS architecture, with this program.
pub(crate) fn on_mips(architecture: &str, program: Vec<u8>) -> Package {
    let mut package = Package { architecture: architecture.into(), ..hello() };
    package.files[1] = Entry::file("usr/bin/hello", 0o755, Content::from(program));
    package
}

/// `hello` with another file.
pub(crate) fn with(entry: Entry) -> Package {
    let mut package = hello();
    package.files.push(entry);
    package
}

/// A file of a feed: its path and bytes.
pub(crate) type File = (String, Vec<u8>);

pub(crate) fn ipk_file(package: &Package) -> File {
    (format!("feed/{}", ipk::file_name(package)), ipk::to_vec(package).unwrap())
}

pub(crate) fn apk_file(package: &Package) -> File {
    apk_with(package, Compression::Deflate)
}

/// Not compressed, so that its bytes can be changed.
pub(crate) fn apk_plain(package: &Package) -> File {
    apk_with(package, Compression::None)
}

fn apk_with(package: &Package, compression: Compression) -> File {
    let plan = apk::from_plan(package).unwrap();
    let mut bytes = Vec::new();
    apk::write(&plan, &[], compression, &mut bytes).unwrap();
    (format!("feed/{}", plan.info.file_name()), bytes)
}

pub(crate) fn judge(files: &[File], options: &Options) -> Vec<Finding> {
    let examined: Vec<_> = files.iter().map(|(path, bytes)| lint::examine(path, &bytes[..], options)).collect();
    lint::judge(&examined, options)
}

/// The distinct ids of all findings.
pub(crate) fn ids(files: &[File]) -> BTreeSet<&'static str> {
    judge(files, &Options::default()).iter().map(|finding| finding.id).collect()
}

/// The findings for packages, as ipk and as apk.
pub(crate) fn in_both(packages: &[Package]) -> [BTreeSet<&'static str>; 2] {
    let all = |write: fn(&Package) -> File| ids(&packages.iter().map(write).collect::<Vec<_>>());
    [all(ipk_file), all(apk_file)]
}
