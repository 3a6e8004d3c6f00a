//! Programs, libraries and modules: whether they run on the router, and what their build left in them.
//!
//! Firmware is left out: it runs on other processors, and is not ours to change. So are BPF objects, which run on every
//! machine.

use std::cell::LazyCell;

use model::{Finding, Severity};
use object::Architecture;

use super::set::Set;
use super::{Rule, processor};
use crate::elf::{Elf, Machine, build_path};
use crate::opened::{File, Opened};

static UNSTRIPPED: Rule = Rule {
    id: "LINT301",
    severity: Severity::Warning,
    title: "not stripped",
    why: "symbols and debug information fill the flash, and a router does not use them",
    fix: "let the build strip it (leave RSTRIP alone), or strip it in the recipe; modules lose --strip-debug only",
};

static BUILD_PATH: Rule = Rule {
    id: "LINT302",
    severity: Severity::Warning,
    title: "path of the build machine",
    why: "the bytes depend on where they were built, so others cannot reproduce them, and the path tells something \
          about its owner",
    fix: "build with -fmacro-prefix-map or --remap-path-prefix, and strip debug information",
};

static MISSING_LIBRARY: Rule = Rule {
    id: "LINT303",
    severity: Severity::Error,
    title: "library that no dependency has",
    why: "the program fails to start unless the library was installed for another reason",
    fix: "add the library's package to the dependencies of the recipe",
};

static OTHER_MACHINE: Rule = Rule {
    id: "LINT304",
    severity: Severity::Error,
    title: "made for another machine than the package",
    why: "the router cannot execute it; most often a program of the build host was packed",
    fix: "compile it with the target's toolchain (TARGET_CC, or cargo's --target)",
};

static NOT_FOR_ALL: Rule = Rule {
    id: "LINT305",
    severity: Severity::Error,
    title: "machine code in a package for all machines",
    why: "it is offered to every router, but runs only on one kind",
    fix: "remove PKGARCH:=all from the recipe, or take the machine code out",
};

static RUN_PATH: Rule = Rule {
    id: "LINT306",
    severity: Severity::Warning,
    title: "own search path for libraries",
    why: "the loader searches that folder first: it may be one of the build machine, or one that others can write to",
    fix: "link without -rpath (patchelf --remove-rpath), or use one that starts with $ORIGIN",
};

pub(super) const RULES: &[&Rule] =
    &[&UNSTRIPPED, &BUILD_PATH, &MISSING_LIBRARY, &OTHER_MACHINE, &NOT_FOR_ALL, &RUN_PATH, &processor::OTHER_PROCESSOR];

/// Libraries of the C library and the compiler, which are in every image.
const BASE_LIBRARIES: [&str; 11] = [
    "libc.",
    "libm.",
    "libpthread.",
    "libdl.",
    "librt.",
    "libcrypt.",
    "libresolv.",
    "libutil.",
    "libgcc_s.",
    "ld-musl-",
    "ld-linux",
];

/// Folders that the loader searches by default.
const LIBRARY_FOLDERS: [&str; 2] = ["/lib", "/usr/lib"];

/// The names of OpenWrt's architectures begin with one of these; longer ones first.
const MACHINES: [(&str, Architecture, bool); 17] = [
    ("aarch64_be", Architecture::Aarch64, false),
    ("aarch64", Architecture::Aarch64, true),
    ("armeb", Architecture::Arm, false),
    ("arm", Architecture::Arm, true),
    ("i386", Architecture::I386, true),
    ("i486", Architecture::I386, true),
    ("i686", Architecture::I386, true),
    ("x86_64", Architecture::X86_64, true),
    ("mips64el", Architecture::Mips64, true),
    ("mips64", Architecture::Mips64, false),
    ("mipsel", Architecture::Mips, true),
    ("mips", Architecture::Mips, false),
    ("powerpc64le", Architecture::PowerPc64, true),
    ("powerpc64", Architecture::PowerPc64, false),
    ("powerpc", Architecture::PowerPc, false),
    ("riscv64", Architecture::Riscv64, true),
    ("loongarch64", Architecture::LoongArch64, true),
];

/// The machine of an OpenWrt architecture such as `mipsel_24kc`.
pub(super) fn machine_of(architecture: &str) -> Option<Machine> {
    let fits =
        |name: &str| architecture.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    let found = MACHINES.iter().find(|(name, ..)| fits(name));
    found.map(|&(_, architecture, little_endian)| Machine { architecture, little_endian })
}

/// Checks one package, together with those that may be installed with it.
pub(super) fn check(subject: &Opened, set: &Set<'_>, findings: &mut Vec<Finding>) {
    if let Some(path) =
        build_path(&subject.source).or_else(|| Some(&subject.source).filter(|path| path.starts_with('/')).cloned())
    {
        findings.push(BUILD_PATH.at(&subject.path, format!("its field Source is `{path}`")));
    }
    // Most packages need only libraries of the base system.
    let reach = LazyCell::new(|| set.reach(subject));
    let brings =
        |library: &str| reach.packages(set).any(|other| other.files.iter().any(|file| is_library(file, library)));
    for file in &subject.files {
        let path = file.entry.path.as_str();
        let Some(elf) = file.facts.elf.as_ref().filter(|elf| is_for_router(path, elf)) else { continue };
        let mut report = |rule: &'static Rule, what: String| findings.push(rule.within(&subject.path, path, what));
        if elf.has_debug {
            report(&UNSTRIPPED, "it has debug information".to_owned());
        } else if elf.has_symbols && !elf.relocatable {
            report(&UNSTRIPPED, "it has a symbol table".to_owned());
        }
        if !elf.build_paths.is_empty() {
            report(&BUILD_PATH, format!("it contains {}", elf.build_paths.join(", ")));
        }
        for folder in elf.run_paths.iter().filter(|path| !is_harmless_run_path(path)) {
            report(&RUN_PATH, format!("it searches libraries in `{folder}`"));
        }
        if subject.architecture == "all" {
            report(&NOT_FOR_ALL, format!("it is machine code for {}", spelled(elf.machine)));
        } else if let Some(machine) = machine_of(&subject.architecture).filter(|machine| *machine != elf.machine) {
            let what = format!(
                "it is for {}, the package for {} ({})",
                spelled(elf.machine),
                subject.architecture,
                spelled(machine)
            );
            report(&OTHER_MACHINE, what);
        } else if let Some(what) = processor::misfit(&subject.architecture, elf) {
            report(&processor::OTHER_PROCESSOR, what);
        }
        let is_base = |library: &&String| BASE_LIBRARIES.iter().any(|base| library.starts_with(base));
        for library in elf.needed.iter().filter(|library| !is_base(library)) {
            // A dependency that is not among the given packages could have any library.
            if !reach.has_unknown_libraries && !brings(library) {
                report(
                    &MISSING_LIBRARY,
                    format!("it needs `{library}`, which neither the package nor its dependencies have"),
                );
            }
        }
    }
}

fn is_for_router(path: &str, elf: &Elf) -> bool {
    !path.starts_with("lib/firmware/") && !matches!(elf.machine.architecture, Architecture::Bpf | Architecture::Sbf)
}

/// Whether the file has the library's name, possibly as a link.
fn is_library(file: &File, library: &str) -> bool {
    file.entry.path.rsplit('/').next() == Some(library)
}

/// Relative to the program, or a folder that the loader searches anyway.
fn is_harmless_run_path(path: &str) -> bool {
    path.starts_with("$ORIGIN")
        || path.starts_with("${ORIGIN}")
        || LIBRARY_FOLDERS.contains(&path.trim_end_matches('/'))
}

fn spelled(machine: Machine) -> String {
    let order = if machine.little_endian { "little" } else { "big" };
    format!("{:?}, {order}-endian", machine.architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_name_their_machine() {
        for (name, architecture, little_endian) in [
            ("aarch64_cortex-a53", Architecture::Aarch64, true),
            ("arm_cortex-a7_neon-vfpv4", Architecture::Arm, true),
            ("mips_24kc", Architecture::Mips, false),
            ("mipsel_24kc", Architecture::Mips, true),
            ("mips64el_mips64r2", Architecture::Mips64, true),
            ("x86_64", Architecture::X86_64, true),
            ("i386_pentium4", Architecture::I386, true),
            ("riscv64_generic", Architecture::Riscv64, true),
        ] {
            assert_eq!(machine_of(name), Some(Machine { architecture, little_endian }), "{name}");
        }
        for name in ["all", "", "amd64", "x86", "armhf"] {
            assert_eq!(machine_of(name), None, "{name}");
        }
    }
}
