//! The `local` image: Debian's own programs around Debian's own kernel, as an initramfs.
//!
//! A stand-in for an OpenWrt image, and labelled so: what a package from our feed touches is where
//! OpenWrt has it (opkg's status and configuration, `/lib/functions.sh`, `kmodloader`), its firewall has a small
//! stand-in that nothing starts by itself, and nothing else pretends. Kernel modules of netfilter are left to the
//! packages under test.

mod cpio;
mod elf;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Arch, Exit, Failure, KernelId, Problem, Result};
use serde::Deserialize;

use cpio::{Entry, Tree};

/// The line that the image prints when a shell is about to read from the console.
pub const READY: &str = "vm: the router is ready";

/// The line that a probe image prints; see [`probe`].
pub const PROBE_READY: &str = "vm: the probe runs";

const RECIPE: &str = include_str!("../../local/image.yaml");
const INIT: &str = include_str!("../../local/init");
const KMODLOADER: &str = include_str!("../../local/kmodloader");
const FUNCTIONS: &str = include_str!("../../local/functions.sh");
const SYSUPGRADE: &str = include_str!("../../local/sysupgrade");
const OPKG_CONF: &str = include_str!("../../local/opkg.conf");
/// The stand-in for OpenWrt's firewall: path in the image, mode, content.
const FIREWALL: [(&str, u32, &str); 4] = [
    ("/sbin/fw4", 0o755, include_str!("../../local/firewall/fw4")),
    ("/etc/init.d/firewall", 0o755, include_str!("../../local/firewall/init")),
    ("/etc/config/firewall", 0o644, include_str!("../../local/firewall/config")),
    ("/etc/config/network", 0o644, include_str!("../../local/firewall/network")),
];

/// Where Debian packages keep libraries: of all architectures in a folder named by the multiarch triplet.
const LIBRARY_FOLDERS: [&str; 4] = ["usr/lib", "lib", "usr/lib64", "lib64"];

/// What goes into the image, read from `qemu/local/image.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    #[expect(dead_code, reason = "checked by model::yaml")]
    version: u32,
    /// Names of Debian packages that every suite has, for apt.
    packages: Vec<String>,
    /// Further ones, by suite.
    packages_of: BTreeMap<String, Vec<String>>,
    /// Path in the image, and the paths at which packages may have it; `*` stands for the folder of the architecture.
    pub programs: BTreeMap<String, Vec<String>>,
    /// Packages of OpenWrt whose job the image does, as its package managers have them installed.
    pub stands_for: Vec<String>,
    /// Addresses with prefix length, by network device.
    pub addresses: BTreeMap<String, Vec<String>>,
}

/// The version of what the image stands for: nothing is known of it but that it is there.
const STANDS_FOR: &str = "1-r1";

impl Recipe {
    /// Names and versions of [`Recipe::stands_for`].
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stands_for.iter().map(|name| (name.as_str(), STANDS_FOR))
    }

    /// The recipe that this program was built with.
    pub fn embedded() -> Result<Recipe> {
        model::yaml::parse("qemu/local/image.yaml".into(), RECIPE)
    }

    /// Names of the packages of a suite.
    pub fn packages_of(&self, suite: &str) -> Vec<String> {
        self.packages.iter().chain(self.packages_of.get(suite).into_iter().flatten()).cloned().collect()
    }
}

/// What an image is made from, besides its recipe.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Folders, each with the contents of one Debian package or of several.
    pub packages: &'a [Utf8PathBuf],
    /// What `uname -r` says: the name of the folder below `/lib/modules`.
    pub kernel_release: &'a str,
    /// Uncompressed modules of the network driver, in the order of loading.
    pub boot_modules: &'a [Utf8PathBuf],
    /// Uncompressed modules that lie beside them, for whoever loads them.
    pub spare_modules: &'a [Utf8PathBuf],
    /// The kernel that opkg believes to be installed.
    pub kernel: &'a KernelId,
    /// OpenWrt's name of the architecture.
    pub arch: &'a Arch,
    /// OpenWrt's target.
    pub target: &'a str,
    /// Further files, such as `/bin/opkg`.
    pub extra: &'a [Extra],
}

/// A file of the caller's.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Absolute path in the image.
    pub path: String,
    /// The file on the host.
    pub source: Utf8PathBuf,
    /// Permission bits.
    pub mode: u32,
}

/// Builds the initramfs; the bytes are a function of the inputs.
pub fn build(recipe: &Recipe, inputs: &Inputs<'_>) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    add_skeleton(&mut tree, recipe, inputs);
    add_programs(&mut tree, recipe, inputs.packages)?;
    add_boot_modules(&mut tree, inputs)?;
    for Extra { path, source, mode } in inputs.extra {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(Failure::of(Problem {
                exit: Exit::Usage,
                id: "VM030",
                what: format!("`{path}` is no path of an image"),
                why: "files go to absolute paths without `..`",
                fix: "correct the path in the list of extra files",
            }));
        }
        tree.file(path, *mode, read(source)?);
    }
    Ok(tree.archive())
}

/// Builds the smallest image that shows that a kernel runs programs: busybox, and one line on the console.
pub fn probe(recipe: &Recipe, packages: &[Utf8PathBuf]) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    add_console(&mut tree);
    let busybox = "/bin/busybox";
    let candidates = recipe.programs.get(busybox).map(Vec::as_slice).unwrap_or_default();
    tree.file(busybox, 0o755, find_program(busybox, candidates, packages)?);
    tree.file("/init", 0o755, format!("#!/bin/busybox sh\necho '{PROBE_READY}'\n/bin/busybox poweroff -f\n"));
    Ok(tree.archive())
}

fn add_console(tree: &mut Tree) {
    tree.add("/dev/console", Entry::Device { mode: 0o600, major: 5, minor: 1 });
}

fn add_skeleton(tree: &mut Tree, recipe: &Recipe, inputs: &Inputs<'_>) {
    let Inputs { kernel, arch, target, .. } = inputs;
    add_console(tree);
    let folders = "proc sys root sbin overlay usr/bin usr/sbin etc/modules.d etc/nftables.d etc/opkg/keys";
    for folder in folders.split(' ') {
        tree.add(folder, Entry::Directory { mode: 0o755 });
    }
    tree.add("/tmp", Entry::Directory { mode: 0o1777 });
    tree.add("/var", Entry::Link { target: "tmp".into() });

    tree.file("/init", 0o755, INIT);
    tree.file("/sbin/kmodloader", 0o755, KMODLOADER);
    tree.file("/sbin/sysupgrade", 0o755, SYSUPGRADE);
    tree.file("/lib/functions.sh", 0o644, FUNCTIONS);
    for (path, mode, text) in FIREWALL {
        tree.file(path, mode, text);
    }
    // One program is both package managers, and goes by the name that it is called by.
    tree.add("/usr/bin/apk", Entry::Link { target: "/bin/opkg".into() });
    tree.file("/etc/passwd", 0o644, "root::0:0:root:/root:/bin/sh\n");
    tree.file("/etc/group", 0o644, "root:x:0:\n");

    let lines = |(device, addresses): (&String, &Vec<String>)| -> String {
        addresses.iter().map(|address| format!("{device} {address}\n")).collect()
    };
    tree.file("/etc/addresses", 0o644, recipe.addresses.iter().map(lines).collect::<String>());

    tree.file(
        "/etc/openwrt_release",
        0o644,
        format!(
            "DISTRIB_ID='stand-in'\nDISTRIB_RELEASE='stand-in'\nDISTRIB_TARGET='{target}'\nDISTRIB_ARCH='{arch}'\n\
         DISTRIB_DESCRIPTION='A stand-in for OpenWrt: kernel and programs are of Debian'\n"
        ),
    );
    tree.file("/etc/opkg.conf", 0o644, format!("{OPKG_CONF}arch all 1\narch noarch 1\narch {arch} 10\n"));
    let kernel_version = kernel.package_version();
    let mut status = String::new();
    for (name, version) in std::iter::once(("kernel", kernel_version.as_str())).chain(recipe.others()) {
        let about = if name == "kernel" { "Virtual package of the running kernel" } else { "Part of the stand-in" };
        status.push_str(&format!(
            "Package: {name}\nVersion: {version}\nStatus: install hold,user installed\nArchitecture: {arch}\nInstalled-Time: 0\n\n"
        ));
        tree.file(
            &format!("/usr/lib/opkg/info/{name}.control"),
            0o644,
            format!("Package: {name}\nVersion: {version}\nArchitecture: {arch}\nDescription: {about}\n"),
        );
        tree.file(&format!("/usr/lib/opkg/info/{name}.list"), 0o644, "");
    }
    tree.file("/usr/lib/opkg/status", 0o644, status);
}

fn add_boot_modules(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<()> {
    let folder = format!("/lib/modules/{}", inputs.kernel_release);
    tree.add(&folder, Entry::Directory { mode: 0o755 });
    let place = |module: &Utf8PathBuf| format!("{folder}/{}", module.file_name().unwrap_or_default());
    let mut list = String::new();
    for module in inputs.boot_modules {
        tree.file(&place(module), 0o644, read(module)?);
        list.push_str(&format!("{}\n", place(module)));
    }
    for module in inputs.spare_modules {
        tree.file(&place(module), 0o644, read(module)?);
    }
    tree.file("/etc/boot-modules", 0o644, list);
    Ok(())
}

/// Adds the programs, and of the libraries those that something needs.
fn add_programs(tree: &mut Tree, recipe: &Recipe, packages: &[Utf8PathBuf]) -> Result<()> {
    let mut wanted = BTreeSet::new();
    let architecture = architecture_folder(packages);
    for (path, candidates) in &recipe.programs {
        let path = &path.replace('*', &architecture);
        let candidates: Vec<String> = candidates.iter().map(|place| place.replace('*', &architecture)).collect();
        let bytes = find_program(path, &candidates, packages)?;
        let needs = needs_of(path, &bytes)?;
        wanted.extend(needs.libraries);
        if let Some(loader) = needs.interpreter.filter(|loader| !tree.contains(loader)) {
            let name = Utf8Path::new(&loader).file_name().unwrap_or_default();
            tree.file(&loader, 0o755, find_library(name, path, packages)?);
        }
        tree.file(path, 0o755, bytes);
    }
    while let Some(name) = wanted.pop_first() {
        let path = format!("/lib/{name}");
        if tree.contains(&path) {
            continue;
        }
        let bytes = find_library(&name, "a program", packages)?;
        wanted.extend(needs_of(&name, &bytes)?.libraries);
        tree.file(&path, 0o755, bytes);
    }
    Ok(())
}

fn needs_of(path: &str, bytes: &[u8]) -> Result<elf::Needs> {
    elf::needs(bytes).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Host,
            id: "VM031",
            what: format!("{path} is no program"),
            why: format!("it cannot be read as ELF: {error}"),
            fix: "remove the folder of unpacked packages and run the same command again",
        })
    })
}

fn find_program(path: &str, candidates: &[String], packages: &[Utf8PathBuf]) -> Result<Vec<u8>> {
    let mut files = packages.iter().flat_map(|package| candidates.iter().map(move |place| package.join(place)));
    match files.find(|file| file.is_file()) {
        Some(file) => read(&file),
        None => Err(Failure::of(Problem {
            exit: Exit::Host,
            id: "VM032",
            what: format!("no package has {path}"),
            why: format!("looked for {} in {} unpacked packages", candidates.join(" and "), packages.len()),
            fix: "name the Debian package that has it in qemu/local/image.yaml, and the place where it has it",
        })),
    }
}

fn find_library(name: &str, needed_by: &str, packages: &[Utf8PathBuf]) -> Result<Vec<u8>> {
    for package in packages {
        for folder in LIBRARY_FOLDERS {
            let folder = package.join(folder);
            let mut places = vec![folder.clone()];
            places.extend(multiarch_folders(&folder));
            if let Some(file) = places.iter().map(|place| place.join(name)).find(|file| file.is_file()) {
                return read(&file);
            }
        }
    }
    Err(Failure::of(Problem {
        exit: Exit::Host,
        id: "VM033",
        what: format!("no package has the library {name}"),
        why: format!("{needed_by} does not start without it"),
        fix: "fetch the packages again together with what they depend on",
    }))
}

/// The name of the first such folder that packages have.
fn architecture_folder(packages: &[Utf8PathBuf]) -> String {
    let folders = packages.iter().flat_map(|package| LIBRARY_FOLDERS.map(|folder| package.join(folder)));
    let mut found = folders.flat_map(|folder| multiarch_folders(&folder));
    found.find_map(|folder| folder.file_name().map(str::to_owned)).unwrap_or_default()
}

/// Folders such as `x86_64-linux-gnu`, in order.
fn multiarch_folders(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> =
        entries.map(camino::Utf8DirEntry::into_path).filter(|path| path.as_str().contains("-linux-gnu")).collect();
    found.sort();
    found
}

fn read(path: &Utf8Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::io("read a file of the image", path, &error))
}

#[cfg(test)]
mod scripts;
#[cfg(test)]
mod tests;
