//! A miniature SDK for tests: `tests/mini-sdk` with a kernel that has what the recipes need.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fixture may panic")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use formats::adb::Compression;
use formats::depend::Dependency;
use formats::ec::SecretKey;
use formats::modinfo::ModuleInfo;
use formats::{Content, Entry, Format, Package, apk};

use super::Program;
use crate::recipe::{Kmod, Line, Recipes};

/// Files that are the same in every miniature.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mini-sdk");

/// The bytes of the program in each miniature's feed.
pub const PROGRAM: &[u8] = b"#!/bin/sh\necho offload\n";

/// The module that is built into each miniature's kernel.
const BUILTIN: &str = "part_of_the_kernel";

/// The properties of a miniature.
#[derive(Debug, Clone)]
pub struct MiniSdk<'a> {
    /// Its kmods are those of the recipes that apply, and one that no recipe needs.
    pub recipes: &'a Recipes,
    /// Version of its kernel.
    pub version: &'a str,
    /// The kernel's configuration hash.
    pub hash: &'a str,
    /// Target and subtarget.
    pub target: (&'a str, &'a str),
    /// Package architecture.
    pub arch: &'a str,
    /// Format of its packages.
    pub format: Format,
    /// How it misbehaves: a word that `tests/mini-sdk/scripts/mini.sh` knows.
    pub fault: &'a str,
    /// Modules for a kernel that is booted, by name; others are built into the kernel. Without this, module files only
    /// look like modules.
    pub modules: Option<&'a BTreeMap<String, Vec<u8>>>,
    /// The results of compiling the user's sources, by module name; those of the recipes are known.
    pub compiled: &'a [(&'a str, &'a [u8])],
    /// The program that it packs and its version, if they are fixed before a program is given.
    pub program: (&'a [u8], &'a str),
    /// A script in the place of its C compiler; a real SDK has one always.
    pub gcc: Option<&'a str>,
}

impl<'a> MiniSdk<'a> {
    /// A miniature without faults, for x86/64.
    pub fn new(recipes: &'a Recipes, version: &'a str, hash: &'a str, format: Format) -> Self {
        MiniSdk {
            recipes,
            version,
            hash,
            target: ("x86", "64"),
            arch: "x86_64",
            format,
            fault: "",
            modules: None,
            compiled: &[],
            program: (PROGRAM, "0.1.0"),
            gcc: None,
        }
    }

    /// The bytes of the archive `NAME.tar.zst` or `NAME.tar.xz`, with everything in the folder NAME.
    pub fn archive(&self, file_name: &str) -> Vec<u8> {
        let (name, compression) = file_name.split_once(".tar.").expect("the file name ends in .tar.*");
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        self.write(root);
        let mut tar = tar::Builder::new(Vec::new());
        tar.mode(tar::HeaderMode::Deterministic);
        tar.follow_symlinks(false);
        tar.append_dir_all(name, root).unwrap();
        compress(&tar.into_inner().unwrap(), compression)
    }

    /// Writes the tree into a folder.
    pub fn write(&self, root: &Utf8Path) {
        copy(Utf8Path::new(FILES), root);
        let (line, kmods) = self.selected();
        let (board, subtarget) = self.target;
        let linux = root.join(format!("build_dir/target-x_musl/linux-{board}_{subtarget}/linux-{}", self.version));
        let mut config = String::new();
        let mut table = String::from("kmod-unwanted|||\n");
        let mut builtin = format!("kernel/lib/{BUILTIN}.ko\n");
        for (name, kmod) in &kmods {
            let modules: Vec<&str> = modules(kmod, line).collect();
            if kmod.source.is_some() {
                // Nothing is compiled: these are the results.
                for module in &modules {
                    let bytes = self.module(module).unwrap_or_default();
                    put(&root.join(format!("compiled/{module}.ko")), &bytes, 0o644);
                }
                continue;
            }
            for module in &modules {
                match self.module(module) {
                    Some(bytes) => put(&linux.join(format!("net/{module}.ko")), &bytes, 0o644),
                    None => builtin += &format!("kernel/net/{module}.ko\n"),
                }
            }
            let mut symbols = Vec::new();
            for option in &kmod.kconfig {
                config += &format!("CONFIG_{}={}\n", option.symbol, if option.builtin { "y" } else { "m" });
                symbols.push(option.symbol.as_str());
            }
            let depends = self.depends(kmod, &kmods);
            table += &format!("{name}|{}|{}|{}\n", modules.join(" "), symbols.join(" "), depends.join(" "));
        }
        if self.format == Format::Apk || self.modules.is_some() {
            self.kmods().iter().for_each(|package| self.prebuild(root, package));
        }
        if self.format == Format::Apk {
            self.prebuild(root, &self.program());
        }
        for (name, bytes) in self.compiled {
            put(&root.join(format!("compiled/{name}.ko")), bytes, 0o644);
        }
        put(&linux.join(".config"), config.as_bytes(), 0o644);
        put(&linux.join("modules.builtin"), builtin.as_bytes(), 0o644);
        put(&root.join("package/kernel/linux/kmods"), table.as_bytes(), 0o644);
        put(&root.join("Config-build.in"), self.config_build(&table).as_bytes(), 0o644);
        let vermagic = format!("  LINUX_VERMAGIC:=$(if $(LINUX_VERMAGIC),$(LINUX_VERMAGIC),{})\n", self.hash);
        let kernel_mk = format!("{vermagic}VERSION:=$(LINUX_VERSION)-r$(LINUX_RELEASE)\n");
        put(&root.join("include/kernel.mk"), kernel_mk.as_bytes(), 0o644);
        if let Some(gcc) = self.gcc {
            let bin = root.join(format!("staging_dir/toolchain-{}_gcc-13.3.0_musl/bin", self.arch));
            let machine = self.arch.split('_').next().unwrap_or_default();
            for name in ["gcc", "gcc-ar", "gcc.bin"] {
                put(&bin.join(format!("{machine}-openwrt-linux-musl-{name}")), gcc.as_bytes(), 0o755);
            }
        }
        put(&root.join("fault"), self.fault.as_bytes(), 0o644);
    }

    /// The builder's configuration, as `convert-config.pl` writes it.
    fn config_build(&self, table: &str) -> String {
        let word = |name: &str, value: &str| format!("config {name}\n\tstring\n\tdefault \"{value}\"\n\n");
        let names = table.lines().filter_map(|line| line.split('|').next());
        let kmods = names.map(|name| format!("config PACKAGE_{name}\n\ttristate\n\tdefault m\n\n"));
        let apk = if self.format == Format::Apk { "config USE_APK\n\tbool\n\tdefault y\n\n" } else { "" };
        let (board, subtarget) = self.target;
        [word("TARGET_BOARD", board), word("TARGET_SUBTARGET", subtarget), word("TARGET_ARCH_PACKAGES", self.arch)]
            .into_iter()
            .chain([apk.to_owned()])
            .chain(kmods)
            .collect()
    }

    /// The recipes that apply, by the name of their package.
    fn selected(&self) -> (Line, BTreeMap<&'a str, &'a Kmod>) {
        let line: Line = self.version.parse().unwrap();
        let applies = |kmod: &&Kmod| kmod.kernel.hold(line);
        (line, self.recipes.kmods.values().filter(applies).map(|kmod| (kmod.package.as_str(), kmod)).collect())
    }

    /// The bytes of a module; `None` for a built-in one.
    fn module(&self, name: &str) -> Option<Vec<u8>> {
        if let Some(modules) = self.modules {
            return modules.get(name).cloned();
        }
        let release = if self.fault == "other-module" { "5.4.0" } else { self.version };
        let modinfo = format!("vermagic={release} SMP mod_unload \0license=GPL\0depends=\0");
        (name != BUILTIN).then(|| elf(&modinfo))
    }

    /// The dependencies of a kmod's recipe, and those of its modules: Debian's kernels differ from OpenWrt's in these.
    fn depends<'k>(&self, kmod: &'k Kmod, known: &BTreeMap<&'k str, &'k Kmod>) -> Vec<&'k str> {
        let named = kmod.depends.iter().map(String::as_str).filter(|name| known.contains_key(name));
        let own = kmod.modules.iter().filter_map(|module| self.modules?.get(&module.name));
        let needed: Vec<String> =
            own.filter_map(|bytes| ModuleInfo::read(bytes).ok()).flat_map(|info| info.depends).collect();
        let brings = |other: &&Kmod| {
            other.package != kmod.package
                && other.modules.iter().any(|module| needed.contains(&module.name.replace('-', "_")))
        };
        let needed = known.values().copied().filter(brings).map(|other| other.package.as_str());
        let mut depends: Vec<&str> = named.collect();
        depends.extend(needed.filter(|name| !kmod.depends.iter().any(|named| named == name)));
        depends
    }

    /// The kmods that it builds.
    pub fn kmods(&self) -> Vec<Package> {
        let (line, kmods) = self.selected();
        let kmod =
            |kmod: &&Kmod| self.kmod(kmod, &modules(kmod, line).collect::<Vec<_>>(), &self.depends(kmod, &kmods));
        kmods.values().map(kmod).collect()
    }

    /// A kmod package as the SDK would build it.
    fn kmod(&self, kmod: &Kmod, modules: &[&str], depends: &[&str]) -> Package {
        let kernel = Dependency::exactly("kernel", format!("{}~{}-r1", self.version, self.hash));
        let short = kmod.short_name();
        let modules: Vec<(&str, Vec<u8>)> =
            modules.iter().filter_map(|module| Some((*module, self.module(module)?))).collect();
        let list: String = modules.iter().map(|(module, _)| format!("{module}\n")).collect();
        let list =
            (!modules.is_empty()).then(|| Entry::file(format!("etc/modules.d/{short}"), 0o644, Content::from(list)));
        let texts = kmod.files.iter().filter(|_| self.modules.is_some());
        let texts = texts.map(|text| Entry::file(text.path.clone(), 0o644, Content::from(text.text.clone())));
        let modules = modules.into_iter().map(|(module, bytes)| {
            Entry::file(format!("lib/modules/{}/{module}.ko", self.version), 0o644, Content::from(bytes))
        });
        Package {
            name: kmod.package.clone(),
            version: match &kmod.source {
                Some(source) => format!("{}.{}-r{}", self.version, source.version, source.release),
                None => format!("{}-r1", self.version),
            },
            depends: [vec![kernel], depends.iter().copied().map(Dependency::on).collect()].concat(),
            files: modules.chain(list).chain(texts).collect(),
            source: "feeds/base/kernel/linux".into(),
            ..self.base()
        }
    }

    fn program(&self) -> Package {
        Package {
            name: "offloadctl".into(),
            version: format!("{}-r1", self.program.1),
            files: vec![Entry::file("usr/sbin/offloadctl", 0o755, Content::from(self.program.0.to_vec()))],
            source: "offload-feed/offloadctl".into(),
            ..self.base()
        }
    }

    fn base(&self) -> Package {
        Package {
            architecture: self.arch.into(),
            description: "Of the miniature SDK".into(),
            license: "GPL-2.0".into(),
            maintainer: "Nobody <nobody@example.com>".into(),
            section: "kernel".into(),
            source_date_epoch: 1_750_711_236,
            ..Package::default()
        }
    }

    /// Writes the result of `make`; for apk also the variant that the SDK signed with its own key.
    fn prebuild(&self, root: &Utf8Path, package: &Package) {
        let mut bytes = Vec::new();
        package.write(self.format, &mut bytes).unwrap();
        let place = root.join("prebuilt").join(package.file_name(self.format));
        put(&place, &bytes, 0o644);
        if self.format == Format::Apk {
            let (key, mut signed) = (SecretKey::from_random([7; 32]).unwrap(), Vec::new());
            apk::write(&apk::from_plan(package).unwrap(), &[&key], Compression::default(), &mut signed).unwrap();
            put(&Utf8PathBuf::from(format!("{place}.signed")), &signed, 0o644);
        }
    }
}

/// Writes a feed folder with one program; returns the program.
pub fn program(folder: &Utf8Path) -> Program {
    let makefile =
        "PKG_NAME:=offloadctl\nPKG_VERSION:=0.1.0\nPKG_RELEASE:=1\n$(eval $(call BuildPackage,offloadctl))\n";
    put(&folder.join("offloadctl/Makefile"), makefile.as_bytes(), 0o644);
    put(&folder.join("built"), PROGRAM, 0o755);
    Program {
        package: "offloadctl".into(),
        version: "0.1.0".into(),
        release: 1,
        recipe: folder.join("offloadctl"),
        binary: folder.join("built"),
        install: "usr/sbin/offloadctl".into(),
    }
}

fn modules(kmod: &Kmod, line: Line) -> impl Iterator<Item = &str> {
    kmod.modules.iter().filter(move |module| module.applies_to(line)).map(|module| module.name.as_str())
}

fn compress(tar: &[u8], compression: &str) -> Vec<u8> {
    match compression {
        "zst" => ruzstd::encoding::compress_to_vec(tar, ruzstd::encoding::CompressionLevel::Fastest),
        _ => {
            let options = lzma_rust2::XzOptions::with_preset(0);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(tar).unwrap();
            writer.finish().unwrap()
        }
    }
}

fn put(path: &Utf8Path, bytes: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let place: Utf8PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&place).unwrap();
            copy(entry.path(), &place);
        } else {
            std::fs::create_dir_all(to).unwrap();
            std::fs::copy(entry.path(), &place).unwrap();
        }
    }
}

/// A 64-bit relocatable ELF file that contains only a section `.modinfo`.
pub(crate) fn elf(modinfo: &str) -> Vec<u8> {
    const HEADER: usize = 64;
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let names_at = HEADER + modinfo.len();
    let table_at = (names_at + NAMES.len()).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Relocatable file for x86-64, ELF version 1, no entry, no segments.
    file.extend([1_u16, 62, 1, 0].map(u16::to_le_bytes).concat());
    file.extend([0, 0, table_at as u64].map(u64::to_le_bytes).concat());
    file.extend([0_u16, 0, 64, 0, 0, 64, 3, 2].map(u16::to_le_bytes).concat());
    file.extend(modinfo.as_bytes());
    file.extend(NAMES);
    file.resize(table_at, 0);
    for (name, kind, offset, size) in [(0, 0, 0, 0), (1, 1, HEADER, modinfo.len()), (10, 3, names_at, NAMES.len())] {
        file.extend([name, kind].map(u32::to_le_bytes).concat());
        file.extend([0, 0, offset as u64, size as u64, 0, 1, 0].map(u64::to_le_bytes).concat());
    }
    file
}
