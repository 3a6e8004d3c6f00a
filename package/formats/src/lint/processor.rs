//! Whether a program fits the processor that an architecture is named after: its instruction set, its floating-point
//! unit, and its calling convention.
//!
//! Only what the architecture's name says is checked; an unknown name accepts everything for its machine.

use model::Severity;
use object::Architecture;
use object::elf;

use super::Rule;
use crate::elf::Elf;

pub(super) static OTHER_PROCESSOR: Rule = Rule {
    id: "LINT307",
    severity: Severity::Error,
    title: "made for another processor than the package",
    why: "the router's processor lacks something that it needs, or the router's libraries have another calling \
          convention",
    fix: "compile it with the target's flags: TARGET_CFLAGS, or the Rust target for that floating-point unit",
};

/// MIPS processors without a floating-point unit, and whether they implement the second release of MIPS32.
const MIPS: [(&str, bool); 4] = [("24kc", true), ("4kec", true), ("74kc", true), ("mips32", false)];

/// `fp_abi` of MIPS for programs without a floating-point unit.
const MIPS_SOFT: u8 = 3;

/// `fp_abi` of MIPS for programs that do not use floating-point numbers.
const MIPS_ANY: u8 = 0;

/// Why a file for the right machine does not fit the architecture, as the end of a sentence.
pub(super) fn misfit(architecture: &str, elf: &Elf) -> Option<String> {
    match elf.machine.architecture {
        Architecture::Mips => mips(architecture.split_once('_')?.1, elf),
        Architecture::Arm => arm(architecture, elf),
        Architecture::Riscv64 => riscv(elf),
        _ => None,
    }
}

/// Programs must have the o32 calling convention and the processor's instruction set, and must not need the missing
/// floating-point unit.
fn mips(processor: &str, elf: &Elf) -> Option<String> {
    let (_, is_second) = MIPS.iter().find(|(name, _)| *name == processor)?;
    let flags = elf::FileFlags(elf.flags);
    // The first compilers wrote zero for o32.
    if ![elf::FileFlags(0), elf::EF_MIPS_ABI_O32].contains(&flags.mips_abi()) {
        return Some("it has another calling convention than o32".into());
    }
    let older = [elf::EF_MIPS_ARCH_1, elf::EF_MIPS_ARCH_2, elf::EF_MIPS_ARCH_32];
    let set = flags.mips_arch();
    let fits = older.contains(&set) || (*is_second && set == elf::EF_MIPS_ARCH_32R2);
    if !fits {
        return Some(format!("its instruction set ({}) is not that of {processor}", instruction_set(set)));
    }
    if elf.mips_float.is_some_and(|float| !matches!(float, MIPS_ANY | MIPS_SOFT)) {
        return Some(format!("it needs a floating-point unit, which {processor} does not have"));
    }
    flags.contains(elf::EF_MIPS_NAN2008).then(|| format!("it uses another encoding of NaN than {processor}"))
}

fn instruction_set(set: elf::FileFlags) -> &'static str {
    match set {
        elf::EF_MIPS_ARCH_3 | elf::EF_MIPS_ARCH_4 | elf::EF_MIPS_ARCH_5 => "MIPS III to V",
        elf::EF_MIPS_ARCH_64 | elf::EF_MIPS_ARCH_64R2 | elf::EF_MIPS_ARCH_64R6 => "MIPS64",
        elf::EF_MIPS_ARCH_32R2 => "MIPS32, second release",
        elf::EF_MIPS_ARCH_32R6 => "MIPS32, sixth release",
        _ => "an unknown one",
    }
}

/// OpenWrt appends the floating-point unit to the processor's name. Only linked files say how they were compiled.
fn arm(architecture: &str, elf: &Elf) -> Option<String> {
    if elf.relocatable {
        return None;
    }
    let flags = elf::FileFlags(elf.flags);
    if flags.arm_eabi() != elf::EF_ARM_EABI_VER5 {
        return Some("it has another calling convention than version 5 of ARM's EABI".into());
    }
    let has_unit = architecture.contains("_vfp") || architecture.contains("_neon");
    let (is_hard, is_soft) = (elf.flags & elf::EF_ARM_ABI_FLOAT_HARD != 0, elf.flags & elf::EF_ARM_ABI_FLOAT_SOFT != 0);
    match has_unit {
        false if is_hard => Some(format!("it needs a floating-point unit, which {architecture} does not have")),
        // A static program calls no other libraries.
        true if is_soft && !elf.needed.is_empty() => {
            Some(format!("it passes floating-point numbers to libraries in another way than {architecture}"))
        }
        _ => None,
    }
}

/// Programs use lp64d; the kernel, which has no floating-point numbers, uses lp64.
fn riscv(elf: &Elf) -> Option<String> {
    let float = elf::FileFlags(elf.flags).riscv_float_abi();
    let is_other = !elf.relocatable && !elf.needed.is_empty() && float != elf::EF_RISCV_FLOAT_ABI_DOUBLE;
    is_other.then(|| "it has another calling convention than lp64d".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Machine;

    fn elf(architecture: Architecture, flags: u32) -> Elf {
        Elf {
            machine: Machine { architecture, little_endian: true },
            flags,
            mips_float: None,
            relocatable: false,
            has_symbols: false,
            has_debug: false,
            needed: vec!["libc.so".into()],
            run_paths: Vec::new(),
            build_paths: Vec::new(),
        }
    }

    #[test]
    fn a_mips_router_without_a_floating_point_unit_takes_only_what_needs_none() {
        let of = |flags, float| Elf { mips_float: float, ..elf(Architecture::Mips, flags) };
        // What OpenWrt's and Rust's compilers write for 24kc; kernel modules; the first release.
        for (flags, float) in
            [(0x7000_1007, Some(3)), (0x7000_1005, Some(3)), (0x7000_1001, None), (0x5000_1007, Some(0))]
        {
            assert_eq!(misfit("mipsel_24kc", &of(flags, float)), None, "{flags:x}");
        }
        for (architecture, flags, float, word) in [
            ("mips_24kc", 0x7000_1007, Some(1), "floating-point"),
            ("mipsel_74kc", 0x7000_1007, Some(5), "floating-point"),
            ("mipsel_mips32", 0x7000_1007, Some(3), "MIPS32, second release"),
            ("mips_24kc", 0x9000_1407, Some(3), "sixth"),
            ("mips_24kc", 0x8000_1007, Some(3), "MIPS64"),
            ("mips_24kc", 0x2000_1007, Some(3), "MIPS III"),
            ("mips_24kc", 0xf000_1007, Some(3), "unknown"),
            ("mips_24kc", 0x7000_2007, Some(3), "o32"),
            ("mips_24kc", 0x7000_1407, Some(3), "NaN"),
        ] {
            let said = misfit(architecture, &of(flags, float)).unwrap_or_default();
            assert!(said.contains(word), "{architecture} {flags:x}: {said}");
        }
        for unknown in ["mipsel_24kc_24kf", "mips_other", "mips"] {
            assert_eq!(misfit(unknown, &of(0x7000_1007, Some(1))), None, "{unknown}");
        }
    }

    #[test]
    fn an_arm_router_takes_what_fits_its_floating_point_unit() {
        let (hard, soft, neither) = (0x0500_0400, 0x0500_0200, 0x0500_0000);
        let of = |flags| elf(Architecture::Arm, flags);
        let with = ["arm_cortex-a15_neon-vfpv4", "arm_cortex-a9_vfpv3-d16", "arm_arm1176jzf-s_vfp"];
        for architecture in with {
            assert_eq!([misfit(architecture, &of(hard)), misfit(architecture, &of(neither))], [None, None]);
            assert!(misfit(architecture, &of(soft)).unwrap().contains("passes floating-point numbers"));
            assert_eq!(misfit(architecture, &Elf { needed: Vec::new(), ..of(soft) }), None, "static");
        }
        for architecture in ["arm_cortex-a9", "arm_xscale", "arm_arm926ej-s"] {
            assert_eq!([misfit(architecture, &of(soft)), misfit(architecture, &of(neither))], [None, None]);
            assert!(misfit(architecture, &of(hard)).unwrap().contains("does not have"));
        }
        assert!(misfit("arm_xscale", &of(0x0200)).unwrap().contains("EABI"));
        assert_eq!(misfit("arm_xscale", &Elf { relocatable: true, ..of(0) }), None, "a kernel module says nothing");
    }

    #[test]
    fn others_are_told_by_their_machine_alone_but_for_risc_v() {
        assert_eq!(misfit("x86_64", &elf(Architecture::X86_64, 0)), None);
        assert_eq!(misfit("aarch64_generic", &elf(Architecture::Aarch64, 0)), None);
        let of = |flags| elf(Architecture::Riscv64, flags);
        assert_eq!(misfit("riscv64_generic", &of(5)), None);
        assert!(misfit("riscv64_generic", &of(1)).unwrap().contains("lp64d"));
        assert_eq!(misfit("riscv64_generic", &Elf { relocatable: true, ..of(1) }), None);
    }
}
