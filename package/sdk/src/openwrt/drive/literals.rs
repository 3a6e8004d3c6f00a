//! What an SDK says about itself: the facts that its build wrote into its files.
//!
//! They tell the exact `kernel` dependency of its kmods before anything is built, and are compared with what the
//! release says elsewhere. Source: OpenWrt's `target/sdk/Makefile`.

use formats::Format;
use host::files;
use model::{Arch, Exit, Failure, KernelId, Problem, Result, Target};

use super::build_config;
use super::tree::{Tree, unexpected};
use crate::recipe::Source;

/// The target and kernel that an SDK is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literals {
    /// The kernel that its modules belong to.
    pub kernel: KernelId,
    /// The target, such as `x86/64`.
    pub target: Target,
    /// Package architecture.
    pub arch: Arch,
    /// Format of its packages.
    pub format: Format,
    /// When its sources last changed, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Whether versions end in `-rN`, as since 24.10, and not in `-N`.
    pub release_has_r: bool,
}

/// What the release says about its SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The kernel, if the release's metadata names it.
    pub kernel: Option<KernelId>,
    /// The target, as the release names it.
    pub target: Target,
    /// Package architecture.
    pub arch: Arch,
    /// Package format.
    pub format: Format,
}

impl Literals {
    /// Reads the facts in an SDK's files.
    ///
    /// # Errors
    /// `SDK020` one of them is missing.
    pub fn read(tree: &Tree) -> Result<Self> {
        let text = |path: &str| files::read_text(&tree.path(path));
        let missing = |what: &str| unexpected(tree.root(), &format!("it does not say {what}"));
        let config = build_config::pristine(tree)?;
        let word = |name: &str| build_config::default_of(&config, name).map(|value| value.trim_matches('"').to_owned());
        let kernel_mk = text("include/kernel.mk")?;
        let build = tree.kernel_build()?;
        let version = build.file_name().and_then(|name| name.strip_prefix("linux-")).unwrap_or_default().to_owned();
        let target = match (word("TARGET_BOARD"), word("TARGET_SUBTARGET")) {
            (Some(board), Some(subtarget)) => format!("{board}/{subtarget}").parse().ok(),
            _ => None,
        };
        Ok(Literals {
            kernel: KernelId {
                version,
                config_hash: vermagic(&kernel_mk).ok_or_else(|| missing("its kernel's vermagic"))?,
                release: assigned(&text("include/kernel-version.mk")?, "LINUX_RELEASE").unwrap_or(1),
            },
            target: target.ok_or_else(|| missing("its target"))?,
            arch: word("TARGET_ARCH_PACKAGES").map(Arch).ok_or_else(|| missing("its package architecture"))?,
            format: if word("USE_APK").as_deref() == Some("y") { Format::Apk } else { Format::Ipk },
            source_date_epoch: assigned(&text("include/version.mk")?, "SOURCE_DATE_EPOCH")
                .ok_or_else(|| missing("when its sources were changed"))?,
            release_has_r: kernel_mk.contains("-r$(LINUX_RELEASE)"),
        })
    }

    /// The version of the package `kernel` that its kmods depend on.
    pub fn kernel_package_version(&self) -> String {
        let KernelId { version, config_hash, release } = &self.kernel;
        if self.release_has_r { self.kernel.package_version() } else { format!("{version}-{release}-{config_hash}") }
    }

    /// The version of kmods from the kernel's own tree.
    pub(super) fn kmod_version(&self) -> String {
        self.with_release(&self.kernel.version, self.kernel.release)
    }

    /// The version of a kmod that is compiled from source: the kernel's version, then the source's.
    pub(super) fn compiled_version(&self, source: &Source) -> String {
        let between = if self.release_has_r { '.' } else { '+' };
        self.with_release(&format!("{}{between}{}", self.kernel.version, source.version), source.release)
    }

    /// A version with the package's release number appended.
    pub(super) fn with_release(&self, version: &str, release: u32) -> String {
        let r = if self.release_has_r { "r" } else { "" };
        format!("{version}-{r}{release}")
    }

    /// Compares the SDK with what its release says.
    ///
    /// # Errors
    /// `SDK021` another kernel, `SDK022` another target, architecture or format.
    pub fn check(&self, expected: &Expected) -> Result<()> {
        let Expected { kernel, target, arch, format } = expected;
        for (what, own, wanted) in [
            ("target", self.target.to_string(), target.to_string()),
            ("architecture", self.arch.to_string(), arch.to_string()),
            ("format", self.format.to_string(), format.to_string()),
        ] {
            if own != wanted {
                return Err(Failure::of(Problem {
                    exit: Exit::Mismatch,
                    id: "SDK022",
                    what: format!("the SDK is for {what} {own}, the release says {wanted}"),
                    why: "archive and metadata do not belong together, or the matrix is wrong about this release",
                    fix: "run `cargo xtask lock` to resolve the release again, and compare feeds/matrix.yaml",
                }));
            }
        }
        match kernel {
            Some(kernel) if *kernel != self.kernel => Err(Failure::of(Problem {
                exit: Exit::Mismatch,
                id: "SDK021",
                what: format!("the SDK builds for kernel {}, the release's images have {kernel}", self.kernel),
                why: "every router with that release would refuse its kmods: the hash is the only guard there is",
                fix: "run `cargo xtask lock` to resolve SDK and images again as one set",
            })),
            _ => Ok(()),
        }
    }
}

/// The md5 that replaces `unknown` in `LINUX_VERMAGIC:=`.
fn vermagic(kernel_mk: &str) -> Option<String> {
    let lines = kernel_mk.lines().filter(|line| line.trim_start().starts_with("LINUX_VERMAGIC:="));
    lines
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()))
        .find(|word| word.len() == 32 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .map(str::to_owned)
}

/// The number assigned to a variable in a Makefile, with `:=` or `?=`.
fn assigned<T: std::str::FromStr>(makefile: &str, name: &str) -> Option<T> {
    makefile.lines().find_map(|line| {
        let rest = line.trim_start().strip_prefix(name)?;
        rest.strip_prefix(":=").or_else(|| rest.strip_prefix("?="))?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals() -> Literals {
        Literals {
            kernel: KernelId { version: "6.6.93".into(), config_hash: "a".repeat(32), release: 1 },
            target: "x86/64".parse().unwrap(),
            arch: Arch("x86_64".into()),
            format: Format::Ipk,
            source_date_epoch: 1,
            release_has_r: true,
        }
    }

    #[test]
    fn the_vermagic_is_found_where_unknown_stood() {
        let line = |word: &str| {
            format!(
                "  LINUX_VERMAGIC?=<LINUX_VERMAGIC>\n  LINUX_VERMAGIC:=$(strip $(shell cat $(LINUX_DIR)/.vermagic))\n  LINUX_VERMAGIC:=$(if $(LINUX_VERMAGIC),$(LINUX_VERMAGIC),{word})\n"
            )
        };
        let md5 = "0123456789abcdef0123456789abcdef";
        assert_eq!(vermagic(&line(md5)).as_deref(), Some(md5));
        assert_eq!(vermagic(&line("unknown")), None);
        assert_eq!(vermagic(&format!("X:={md5}")), None);
    }

    #[test]
    fn versions_are_spelled_as_the_release_spells_them() {
        let new = literals();
        assert_eq!(new.kernel_package_version(), format!("6.6.93~{}-r1", "a".repeat(32)));
        assert_eq!((new.kmod_version(), new.with_release("0.1.0", 2)), ("6.6.93-r1".into(), "0.1.0-r2".into()));
        let old = Literals { release_has_r: false, ..literals() };
        assert_eq!(old.kernel_package_version(), format!("6.6.93-1-{}", "a".repeat(32)));
        assert_eq!(old.kmod_version(), "6.6.93-1");
        assert_eq!(assigned::<u32>("LINUX_RELEASE?=3\n", "LINUX_RELEASE"), Some(3));
        assert_eq!(assigned::<u64>("# SOURCE_DATE_EPOCH:=x\nSOURCE_DATE_EPOCH:=17\n", "SOURCE_DATE_EPOCH"), Some(17));
    }

    #[test]
    fn an_sdk_of_another_kernel_or_target_is_refused_with_both_named() {
        let own = literals();
        let expected = |change: fn(&mut Expected)| {
            let mut expected = Expected {
                kernel: Some(own.kernel.clone()),
                target: own.target.clone(),
                arch: own.arch.clone(),
                format: own.format,
            };
            change(&mut expected);
            own.check(&expected)
        };
        expected(|_| {}).unwrap();
        expected(|expected| expected.kernel = None).unwrap();
        let other = |expected: &mut Expected| {
            expected.kernel.as_mut().unwrap().config_hash = "b".repeat(32);
        };
        let failure = expected(other).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SDK021", Exit::Mismatch));
        assert!(failure.finding().what.contains(&"a".repeat(32)) && failure.finding().what.contains(&"b".repeat(32)));
        for change in [
            (|expected: &mut Expected| expected.target = "x86/generic".parse().unwrap()) as fn(&mut Expected),
            |expected| expected.arch = Arch("i386_pentium4".into()),
            |expected| expected.format = Format::Apk,
        ] {
            let failure = expected(change).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SDK022", Exit::Mismatch));
        }
    }
}
