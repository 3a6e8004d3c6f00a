//! The Rust target for each OpenWrt package architecture.
//!
//! Programs are linked statically, so only the instruction set and the floating-point unit must fit; the router's C
//! library and calling convention do not matter.

use model::{Arch, Exit, Failure, Problem, Result};

/// A Rust target, and how C is compiled and linked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RustTarget {
    /// Rust's name for the target.
    pub triple: &'static str,
    /// Whether rustup offers its standard library; for others there are only sources (tier 3).
    pub ready: bool,
    /// zig's names for the target and the processor.
    pub(crate) zig: [&'static str; 2],
    /// Additional flags for rustc.
    pub(crate) flags: &'static [&'static str],
}

const fn ready(triple: &'static str, zig: &'static str, processor: &'static str) -> RustTarget {
    RustTarget { triple, ready: true, zig: [zig, processor], flags: &[] }
}

const fn sources(triple: &'static str, zig: &'static str, processor: &'static str) -> RustTarget {
    RustTarget { triple, ready: false, zig: [zig, processor], flags: &[] }
}

/// The same for processors of MIPS32's first release.
const fn of_first(target: RustTarget) -> RustTarget {
    RustTarget { zig: [target.zig[0], "mips32+soft_float"], flags: FIRST, ..target }
}

const ARMV7_HARD: RustTarget = ready("armv7-unknown-linux-musleabihf", "arm-linux-musleabihf", "generic+v7a+vfp3d16");
const ARMV5: RustTarget = ready("armv5te-unknown-linux-musleabi", "arm-linux-musleabi", "generic+v5te+soft_float");

/// OpenWrt's 24kc, 4kec and 74kc all have the second release of the instruction set, and no floating-point unit.
const MIPS: RustTarget = sources("mips-unknown-linux-musl", "mips-linux-musleabi", "mips32r2+soft_float");
const MIPSEL: RustTarget = sources("mipsel-unknown-linux-musl", "mipsel-linux-musleabi", "mips32r2+soft_float");

/// The first release of the instruction set. The feature is also named because Rust's targets name the second one.
const FIRST: &[&str] = &["-Ctarget-cpu=mips32", "-Ctarget-feature=-mips32r2"];

/// Embedded PowerPC without a floating-point unit, or with one of another kind; the barrier is `msync`, and not all have
/// `isel`.
const POWERPC: RustTarget = RustTarget {
    flags: &["-Ctarget-cpu=440", "-Ctarget-feature=-isel,-hard-float"],
    ..sources("powerpc-unknown-linux-musl", "powerpc-linux-musleabi", "440-isel-hard_float")
};

/// Prefixes of architecture names, longer ones first, with the target that fits all of them. OpenWrt appends the
/// floating-point unit to the processor's name; without it there is none.
const TARGETS: &[(&str, RustTarget)] = &[
    ("x86_64", ready("x86_64-unknown-linux-musl", "x86_64-linux-musl", "x86_64")),
    ("i386_pentium4", ready("i686-unknown-linux-musl", "x86-linux-musl", "pentium4")),
    ("i386_pentium-mmx", ready("i586-unknown-linux-musl", "x86-linux-musl", "pentium_mmx")),
    ("aarch64_", ready("aarch64-unknown-linux-musl", "aarch64-linux-musl", "generic")),
    ("arm_cortex-a15_", ARMV7_HARD),
    ("arm_cortex-a5_", ARMV7_HARD),
    ("arm_cortex-a7_", ARMV7_HARD),
    ("arm_cortex-a8_", ARMV7_HARD),
    ("arm_cortex-a9_", ARMV7_HARD),
    ("arm_cortex-a", ready("armv7-unknown-linux-musleabi", "arm-linux-musleabi", "generic+v7a+soft_float")),
    ("arm_arm1176jzf-s_vfp", ready("arm-unknown-linux-musleabihf", "arm-linux-musleabihf", "arm1176jzf_s")),
    ("arm_arm926ej-s", ARMV5),
    ("arm_xscale", ARMV5),
    ("mips_24kc", MIPS),
    ("mips_4kec", MIPS),
    ("mips_mips32", of_first(MIPS)),
    ("mipsel_24kc", MIPSEL),
    ("mipsel_74kc", MIPSEL),
    ("mipsel_mips32", of_first(MIPSEL)),
    ("powerpc_464fp", POWERPC),
    ("powerpc_8548", POWERPC),
    ("riscv64_", ready("riscv64gc-unknown-linux-musl", "riscv64-linux-musl", "generic_rv64+m+a+f+d+c")),
    ("loongarch64_", ready("loongarch64-unknown-linux-musl", "loongarch64-linux-musl", "generic_la64")),
];

impl RustTarget {
    /// The target for an architecture.
    ///
    /// # Errors
    /// `RST002` when none is known.
    pub fn of(arch: &Arch) -> Result<RustTarget> {
        let fits = |(beginning, _): &&(&str, RustTarget)| arch.0.starts_with(beginning);
        TARGETS.iter().find(fits).map(|(_, target)| *target).ok_or_else(|| unknown(arch))
    }

    /// Whether this machine runs programs for it natively.
    pub fn is_of_host(&self) -> bool {
        self.triple.starts_with("x86_64-")
    }

    /// The rustup command (without `rustup`) that installs what it needs.
    pub(crate) fn remedy(&self) -> String {
        if self.ready { format!("target add {}", self.triple) } else { "component add rust-src".into() }
    }
}

fn unknown(arch: &Arch) -> Failure {
    let family = arch.0.split('_').next().unwrap_or_default();
    Failure::of(Problem {
        exit: Exit::Host,
        id: "RST002",
        what: format!("programs cannot be built for {arch}"),
        why: "no Rust target that makes programs for this architecture is known here",
        fix: format!(
            "`rustc --print target-list | grep '^{family}.*linux-musl'` shows Rust's targets; name the one that fits in \
             package/sdk/src/program/target.rs"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arch: &str) -> Result<RustTarget> {
        RustTarget::of(&Arch(arch.into()))
    }

    #[test]
    fn the_floating_point_unit_decides_between_targets() {
        for (arch, triple) in [
            ("x86_64", "x86_64-unknown-linux-musl"),
            ("aarch64_generic", "aarch64-unknown-linux-musl"),
            ("aarch64_cortex-a53", "aarch64-unknown-linux-musl"),
            ("arm_cortex-a15_neon-vfpv4", "armv7-unknown-linux-musleabihf"),
            ("arm_cortex-a9_vfpv3-d16", "armv7-unknown-linux-musleabihf"),
            ("arm_cortex-a9", "armv7-unknown-linux-musleabi"),
            ("arm_arm926ej-s", "armv5te-unknown-linux-musleabi"),
            ("i386_pentium4", "i686-unknown-linux-musl"),
            ("riscv64_riscv64", "riscv64gc-unknown-linux-musl"),
            ("riscv64_generic", "riscv64gc-unknown-linux-musl"),
            ("mips_24kc", "mips-unknown-linux-musl"),
            ("mipsel_24kc", "mipsel-unknown-linux-musl"),
            ("mips_mips32", "mips-unknown-linux-musl"),
            ("powerpc_464fp", "powerpc-unknown-linux-musl"),
        ] {
            assert_eq!(of(arch).unwrap().triple, triple, "{arch}");
        }
    }

    #[test]
    fn only_mips_and_powerpc_have_no_library_ready_and_no_floating_point_unit() {
        for (arch, target) in TARGETS {
            let is_soft = arch.starts_with("mips") || arch.starts_with("powerpc");
            assert_eq!(target.ready, !is_soft, "{arch}");
            let names_none = ["+soft_float", "-hard_float"].iter().any(|word| target.zig[1].contains(word));
            assert!(!is_soft || names_none, "{arch}");
        }
    }

    #[test]
    fn the_first_release_of_mips32_is_compiled_and_linked_as_such() {
        for arch in ["mips_mips32", "mipsel_mips32"] {
            let target = of(arch).unwrap();
            assert_eq!(target.zig[1], "mips32+soft_float");
            assert!(target.flags.contains(&"-Ctarget-cpu=mips32"), "{arch}");
        }
        assert!(of("mips_24kc").unwrap().flags.is_empty());
    }

    #[test]
    fn what_nobody_has_tried_is_refused_with_what_to_do() {
        for (arch, family) in
            [("mips64_octeonplus", "mips64"), ("powerpc64_e5500", "powerpc64"), ("arm_fa526", "arm"), ("", "")]
        {
            let failure = of(arch).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("RST002", Exit::Host), "{arch}");
            let command = format!("`rustc --print target-list | grep '^{family}.*linux-musl'`");
            assert!(failure.finding().fix.contains(&command), "{failure}");
        }
    }
}
