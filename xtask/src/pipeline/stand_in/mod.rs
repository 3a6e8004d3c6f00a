//! The provider `stand-in`: kernel, packages and image from Debian's own packages.

mod provider;

use std::sync::Arc;

use camino::Utf8PathBuf;
use model::{Arch, Exit, Failure, Problem, Result};
use sdk::Toolchain;
use sdk::local::{self, BuildRoot, Kernel};

use super::at_once::Kept;
use super::offline::offline;
use super::packages::files;
use super::ports::{self, Port};
use super::programs;
use super::stages::{BUILD_ROOT, DEBIAN_BUILD, DEBIAN_KERNEL, KERNEL};
use crate::Ctx;
use crate::cli::Kernel as Line;
use crate::stage::{Inputs, Stage, stage};

/// The release line as which it is published.
pub const STAND_IN: &str = "stand-in";

/// The stand-in of a target, with one of its kernels.
pub struct StandIn {
    port: &'static Port,
    line: Line,
    /// The mirror for Debian's packages; `None` for that of the host's apt.
    mirror: Option<String>,
    kernel: Kept<Standing>,
    toolchain: Kept<Toolchain>,
}

/// A kernel and the folder of its stage.
pub(super) struct Standing {
    pub(super) folder: Utf8PathBuf,
    pub(super) kernel: Kernel,
}

impl Standing {
    /// The file that QEMU boots.
    pub(super) fn vmlinux(&self) -> Utf8PathBuf {
        self.folder.join("vmlinux")
    }
}

/// Targets that have a stand-in.
pub fn stand_ins() -> impl Iterator<Item = &'static str> {
    ports::ALL.iter().map(|port| port.target)
}

/// Whether the target's stand-in has a kernel of this line; a target without a stand-in has none.
pub fn has_kernel(target: &str, line: Line) -> bool {
    let port = ports::ALL.iter().find(|port| port.target == target);
    port.is_some_and(|port| port.suites.iter().any(|(known, _)| *known == line))
}

impl StandIn {
    pub(super) fn new(port: &'static Port, line: Line, mirror: Option<String>) -> Self {
        StandIn { port, line, mirror, kernel: Kept::default(), toolchain: Kept::default() }
    }

    /// OpenWrt's name for the architecture.
    pub(super) fn arch(&self) -> Arch {
        Arch(self.port.arch.into())
    }

    /// The kernel, unpacked once and opened once per run.
    pub(super) fn kernel(&self, ctx: &Ctx) -> Result<Arc<Standing>> {
        self.kernel.get_or_make(|| {
            let debs = self.debian(ctx, &DEBIAN_KERNEL, self.suite()?, &[self.port.kernel.into()])?;
            let inputs = Inputs::new("the kernel, unpacked").stage("debian-kernel", &debs);
            let folder = stage(ctx, &KERNEL, &inputs, |out| {
                let kernel = Kernel::prepare(&files(&debs, ".deb")?, out, &ctx.events, &ctx.cancel)?;
                Ok(format!("{}, a stand-in for OpenWrt's kernel", kernel.id()))
            })?;
            Ok(Standing { kernel: Kernel::open(&folder)?, folder })
        })
    }

    /// The toolchain for its programs, looked for once per run.
    fn toolchain(&self, ctx: &Ctx) -> Result<Arc<Toolchain>> {
        self.toolchain.get_or_make(|| programs::toolchain(ctx, &self.arch(), self.mirror.as_deref(), None))
    }

    /// The suite that the kernel comes from.
    fn suite(&self) -> Result<&'static str> {
        let suites = self.port.suites.iter();
        let suite = suites.copied().find(|(line, _)| *line == self.line).map(|(_, suite)| suite);
        suite.ok_or_else(|| no_such_kernel(self.port, self.line))
    }

    /// The build root in which modules are compiled for the kernel.
    pub(super) fn build_root(&self, ctx: &Ctx, standing: &Standing) -> Result<Utf8PathBuf> {
        if self.port.debian != "amd64" {
            return Err(no_compiler(self.port));
        }
        let (suite, mirror, kernel) = (self.suite()?, self.mirror.as_deref(), &standing.kernel);
        let about = format!("headers and compiler of Linux {}, of Debian {suite}", kernel.id().version);
        let inputs = Inputs::new(&about)
            .text("suite", suite)
            .text("packages", BuildRoot::packages(kernel).join(" "))
            .text("mirror", mirror.unwrap_or("of the host"));
        let debs = stage(ctx, &DEBIAN_BUILD, &inputs, |out| {
            if ctx.offline {
                return Err(offline(&about));
            }
            BuildRoot::may_enter(&ctx.cancel)?;
            let debs = BuildRoot::fetch(kernel, suite, mirror, out, &ctx.events, &ctx.cancel)?;
            Ok(format!("{} packages, verified by apt", debs.len()))
        })?;
        let inputs = Inputs::new(format!("{about}, unpacked")).stage("debian-build", &debs);
        stage(ctx, &BUILD_ROOT, &inputs, |out| {
            BuildRoot::prepare(&files(&debs, ".deb")?, kernel, out, &ctx.cancel)?;
            Ok(String::new())
        })
    }

    /// Fetches Debian packages of a suite, verified by apt.
    fn debian(&self, ctx: &Ctx, kind: &Stage, suite: &str, packages: &[String]) -> Result<Utf8PathBuf> {
        let (mirror, architecture) = (self.mirror.as_deref(), self.port.debian);
        let what = match packages {
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            [] => String::new(),
        };
        let inputs = Inputs::new(format!("{what} of Debian {suite} for {architecture}"))
            .text("suite", suite)
            .text("architecture", architecture)
            .text("packages", packages.join(" "))
            .text("mirror", mirror.unwrap_or("of the host"));
        stage(ctx, kind, &inputs, |out| {
            if ctx.offline {
                return Err(offline(&what));
            }
            let (extent, freshness) = (local::Extent::Exactly, local::Freshness::Required);
            let request = local::Request { suite, architecture, packages, extent, mirror, freshness };
            let debs = local::fetch(&request, out, &ctx.events, &ctx.cancel)?;
            Ok(match &debs[..] {
                [deb] => format!("{} {}", deb.name, deb.version),
                debs => format!("{} packages, verified by apt", debs.len()),
            })
        })
    }
}

fn no_such_kernel(port: &Port, line: Line) -> Failure {
    let lines: Vec<&str> = port.suites.iter().map(|(line, _)| line.word()).collect();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE005",
        what: format!("there is no stand-in for {} with kernel {}", port.target, line.word()),
        why: "Debian has no such kernel for its architecture",
        fix: format!("omit --kernel, or give one of these: {}", lines.join(", ")),
    })
}

fn no_compiler(port: &Port) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE009",
        what: format!("modules cannot be compiled from source for the stand-in of {}", port.target),
        why: "Debian's compiler and kernel headers contain programs for their own processor",
        fix: "leave out the recipe's `source`, use --target x86/64, or use the SDK of a release with --release",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use camino::Utf8Path;
    use model::Events;

    #[test]
    fn offline_with_an_empty_cache_says_what_is_missing_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::discard());
        ctx.offline = true;
        let failure = StandIn::new(&ports::ALL[0], Line::V6_12, None).kernel(&ctx).err().unwrap();
        assert_eq!((failure.id(), failure.exit()), ("NET001", Exit::Upstream));
        assert_eq!(files(&ctx.cache.join("debian-kernel"), ".deb").unwrap(), [""; 0]);
    }

    #[test]
    fn what_no_stand_in_has_is_refused() {
        static OLD: Port = Port { suites: &[(Line::V6_1, "bookworm")], ..ports::ALL[0] };
        let ctx = ctx("/nowhere".into(), Events::discard());
        let failure = StandIn::new(&OLD, Line::Newest, None).kernel(&ctx).err().unwrap();
        assert_eq!((failure.id(), failure.exit()), ("USE005", Exit::Usage));
        assert!(failure.finding().what.contains("x86/64 with kernel newest"), "{failure}");
        assert!(failure.finding().fix.ends_with(": 6.1"), "{failure}");
        let failure = no_compiler(&ports::ALL[1]);
        assert_eq!((failure.id(), failure.exit()), ("USE009", Exit::Usage));
        assert!(failure.finding().what.contains("armsr/armv8"), "{failure}");
    }
}
