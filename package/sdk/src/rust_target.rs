//! Which Rust target makes programs for which OpenWrt package architecture.
//!
//! Programs are linked statically, so only the instruction set and the floating-point unit must fit;
//! the C library and the calling convention of the router do not matter.

use model::{Arch, Exit, Failure, Problem, Result};

/// Beginnings of architectures, the longer before the shorter, and the target that fits them all.
/// OpenWrt appends the floating-point unit to the processor's name: without one there is none.
const TARGETS: &[(&str, &str)] = &[
    ("x86_64", "x86_64-unknown-linux-musl"),
    ("i386_pentium4", "i686-unknown-linux-musl"),
    ("i386_pentium-mmx", "i586-unknown-linux-musl"),
    ("aarch64_", "aarch64-unknown-linux-musl"),
    ("arm_cortex-a15_", "armv7-unknown-linux-musleabihf"),
    ("arm_cortex-a5_", "armv7-unknown-linux-musleabihf"),
    ("arm_cortex-a7_", "armv7-unknown-linux-musleabihf"),
    ("arm_cortex-a8_", "armv7-unknown-linux-musleabihf"),
    ("arm_cortex-a9_", "armv7-unknown-linux-musleabihf"),
    ("arm_cortex-a", "armv7-unknown-linux-musleabi"),
    ("arm_arm1176jzf-s_vfp", "arm-unknown-linux-musleabihf"),
    ("arm_arm926ej-s", "armv5te-unknown-linux-musleabi"),
    ("arm_xscale", "armv5te-unknown-linux-musleabi"),
    ("riscv64_", "riscv64gc-unknown-linux-musl"),
    ("loongarch64_", "loongarch64-unknown-linux-musl"),
];

/// The target for an architecture.
///
/// # Errors
/// `RST002` when Rust has none with a standard library ready to use, as for MIPS.
pub fn of(arch: &Arch) -> Result<&'static str> {
    let fits = |(beginning, _): &&(&str, &str)| arch.0.starts_with(beginning);
    TARGETS.iter().find(fits).map(|(_, target)| *target).ok_or_else(|| {
        Failure::of(Problem {
            exit: Exit::Host,
            id: "RST002",
            what: format!("programs cannot be built for {arch}"),
            why: "Rust has no standard library ready to use for this architecture, only its sources (tier 3)",
            fix: "leave the programs out for this target, or build them elsewhere with `-Zbuild-std` of the nightly toolchain",
        })
    })
}

/// The target is known, and not installed.
pub(crate) fn not_installed(target: &str, arch: &Arch) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "RST001",
        what: format!("the Rust toolchain cannot build programs for {arch}"),
        why: format!("the standard library of {target} is not installed"),
        fix: format!("rustup target add {target}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floating_point_unit_decides_between_targets() {
        for (arch, target) in [
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
        ] {
            assert_eq!(of(&Arch(arch.into())).unwrap(), target, "{arch}");
        }
    }

    #[test]
    fn what_rust_cannot_do_is_refused_with_what_to_do() {
        for arch in ["mips_24kc", "mipsel_24kc", "mips64_mips64r2", "powerpc_464fp", "arm_fa526", ""] {
            let failure = of(&Arch(arch.into())).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("RST002", Exit::Host), "{arch}");
        }
        let failure = not_installed("aarch64-unknown-linux-musl", &Arch("aarch64_generic".into()));
        assert_eq!((failure.id(), failure.exit()), ("RST001", Exit::Host));
        assert_eq!(failure.finding().fix, "rustup target add aarch64-unknown-linux-musl");
    }
}
