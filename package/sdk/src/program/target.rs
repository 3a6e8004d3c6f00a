//! Which Rust target makes programs for which OpenWrt package architecture.
//!
//! Programs are linked statically, so only the instruction set and the floating-point unit must fit;
//! the C library and the calling convention of the router do not matter.

use model::{Arch, Exit, Failure, Problem, Result};

/// A Rust target, and how C is compiled and linked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RustTarget {
    /// Rust's name of it.
    pub triple: &'static str,
    /// Whether rustup has its standard library; of the others there are sources only (tier 3).
    pub ready: bool,
    /// zig's name of it, and of the processor.
    pub(crate) zig: [&'static str; 2],
    /// What rustc must be told besides.
    pub(crate) flags: &'static [&'static str],
}

const fn ready(triple: &'static str, zig: &'static str, processor: &'static str) -> RustTarget {
    RustTarget { triple, ready: true, zig: [zig, processor], flags: &[] }
}

const fn sources(triple: &'static str, zig: &'static str, processor: &'static str) -> RustTarget {
    RustTarget { triple, ready: false, zig: [zig, processor], flags: &[] }
}

const ARMV7_HARD: RustTarget = ready("armv7-unknown-linux-musleabihf", "arm-linux-musleabihf", "generic+v7a+vfp3d16");
const ARMV5: RustTarget = ready("armv5te-unknown-linux-musleabi", "arm-linux-musleabi", "generic+v5te+soft_float");

/// OpenWrt's 24kc, 4kec and 74kc are all of the instruction set's second release, without a floating-point unit.
const MIPS: RustTarget = sources("mips-unknown-linux-musl", "mips-linux-musleabi", "mips32r2+soft_float");
const MIPSEL: RustTarget = sources("mipsel-unknown-linux-musl", "mipsel-linux-musleabi", "mips32r2+soft_float");

/// Beginnings of architectures, the longer before the shorter, and the target that fits them all.
/// OpenWrt appends the floating-point unit to the processor's name: without one there is none.
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
    ("mipsel_24kc", MIPSEL),
    ("mipsel_74kc", MIPSEL),
    ("riscv64_", ready("riscv64gc-unknown-linux-musl", "riscv64-linux-musl", "generic_rv64+m+a+f+d+c")),
    ("loongarch64_", ready("loongarch64-unknown-linux-musl", "loongarch64-linux-musl", "generic_la64")),
];

impl RustTarget {
    /// The target for an architecture.
    ///
    /// # Errors
    /// `RST002` when none is known to fit.
    pub fn of(arch: &Arch) -> Result<RustTarget> {
        let fits = |(beginning, _): &&(&str, RustTarget)| arch.0.starts_with(beginning);
        TARGETS.iter().find(fits).map(|(_, target)| *target).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Host,
                id: "RST002",
                what: format!("programs cannot be built for {arch}"),
                why: "no Rust target is known here that makes programs for this architecture",
                fix: "leave the programs out for this target, or name the Rust target in package/sdk/src/program/target.rs",
            })
        })
    }

    /// Whether programs for it run on this machine as they are.
    pub fn is_of_host(&self) -> bool {
        self.triple.starts_with("x86_64-")
    }

    /// What rustup brings for it, as the end of `rustup`.
    pub(crate) fn remedy(&self) -> String {
        if self.ready { format!("target add {}", self.triple) } else { "component add rust-src".into() }
    }
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
        ] {
            assert_eq!(of(arch).unwrap().triple, triple, "{arch}");
        }
    }

    #[test]
    fn only_mips_has_no_library_ready_and_has_no_floating_point_unit() {
        for (_, target) in TARGETS {
            let is_mips = target.triple.starts_with("mips");
            assert_eq!(target.ready, !is_mips, "{}", target.triple);
            assert!(!is_mips || target.zig[1].contains("soft_float"), "{}", target.triple);
        }
    }

    #[test]
    fn what_nobody_has_tried_is_refused_with_what_to_do() {
        for arch in ["mips64_mips64r2", "powerpc_464fp", "arm_fa526", "mips_mips32", ""] {
            let failure = of(arch).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("RST002", Exit::Host), "{arch}");
        }
    }
}
