//! The provider `stand-in`: kernel, packages and image from Debian's own packages.

use std::fs::File;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use host::aside;
use model::{Arch, Digest, Exit, Failure, Problem, Result};
use sdk::Toolchain;
use sdk::local::{self, BuildRoot, Kernel};
use vm::guest::About;
use vm::image;
use vm::session::Image;

use super::at_once::{Kept, both};
use super::job::Job;
use super::ports::Port;
use super::provider::{Origin, Packages, Provider, files};
use super::router::Bootable;
use super::stages::{BUILD_ROOT, DEBIAN_BUILD, DEBIAN_IMAGE, DEBIAN_KERNEL, IMAGE, KERNEL, PACKAGES, PROGRAMS};
use super::{bench, modules, programs};
use crate::cli::Kernel as Line;
use crate::doctor::{self, Need, Purpose};
use crate::stage::{Inputs, Stage, stage};
use crate::{Ctx, Outcome};

/// The line of releases that it is published as.
pub const STAND_IN: &str = "stand-in";

/// What the router's network cards need; kernels that have one of them built in are fine.
const NETWORK_MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// Modules that lie in the image for scenarios to load: what surrounds flow offload on a router. None of netfilter's
/// is among them: those come from the packages under test.
const SPARE_MODULES: [&str; 14] = [
    "8021q",
    "act_mirred",
    "authenc",
    "bridge",
    "cls_matchall",
    "crypto_null",
    "esp4",
    "ifb",
    "pppoe",
    "sch_cake",
    "sch_ingress",
    "sch_tbf",
    "veth",
    "xfrm_user",
];

/// The stand-in of a target, with one of its kernels.
pub struct StandIn {
    port: &'static Port,
    line: Line,
    /// Where Debian's packages come from, if not from the mirror of the host's apt.
    mirror: Option<String>,
    kernel: Kept<Standing>,
    toolchain: Kept<Toolchain>,
}

/// A kernel and the stage that it is of.
pub(super) struct Standing {
    pub(super) folder: Utf8PathBuf,
    pub(super) kernel: Kernel,
}

impl Standing {
    /// The kernel that QEMU loads.
    pub(super) fn vmlinux(&self) -> Utf8PathBuf {
        self.folder.join("vmlinux")
    }
}

impl StandIn {
    pub(super) fn new(port: &'static Port, line: Line, mirror: Option<String>) -> Self {
        StandIn { port, line, mirror, kernel: Kept::default(), toolchain: Kept::default() }
    }

    /// OpenWrt's name of the architecture.
    pub(super) fn arch(&self) -> Arch {
        Arch(self.port.arch.into())
    }

    /// The kernel, unpacked once and opened once a run.
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

    /// What makes programs for it, found once a run.
    fn toolchain(&self, ctx: &Ctx) -> Result<Arc<Toolchain>> {
        self.toolchain.get_or_make(|| programs::toolchain(ctx, &self.arch(), self.mirror.as_deref()))
    }

    /// The suite that the kernel is of.
    fn suite(&self) -> Result<&'static str> {
        let suites = self.port.suites.iter();
        let suite = suites.copied().find(|(line, _)| *line == self.line).map(|(_, suite)| suite);
        suite.ok_or_else(|| no_such_kernel(self.port, self.line))
    }

    /// The root in which modules are compiled for the kernel.
    pub(super) fn build_root(&self, ctx: &Ctx, standing: &Standing) -> Result<Utf8PathBuf> {
        if self.port.debian != "amd64" {
            return Err(no_compiler(self.port));
        }
        if self.port.debian != local::BUILD_ARCHITECTURE {
            return Err(not_compiled(self.port.target));
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

    /// The programs of an image, unpacked.
    pub(super) fn image_programs(&self, ctx: &Ctx, recipe: &image::Recipe) -> Result<Utf8PathBuf> {
        let suite = self.port.programs;
        let debs = self.debian(ctx, &DEBIAN_IMAGE, suite, &recipe.packages_of(suite))?;
        let inputs = Inputs::new("the image's programs, unpacked").stage("debian-image", &debs);
        stage(ctx, &PROGRAMS, &inputs, |out| {
            local::unpack(&files(&debs, ".deb")?, out, &ctx.cancel)?;
            Ok(String::new())
        })
    }

    /// Debian packages of a suite, verified by apt.
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
            let request = local::Request { suite, architecture, packages, extent: local::Extent::Exactly, mirror };
            let debs = local::fetch(&request, out, &ctx.events, &ctx.cancel)?;
            Ok(match &debs[..] {
                [deb] => format!("{} {}", deb.name, deb.version),
                debs => format!("{} packages, verified by apt", debs.len()),
            })
        })
    }

    /// The programs of the recipes.
    fn programs<'a>(&self, ctx: &Ctx, job: &'a Job) -> Result<Vec<programs::Program<'a>>> {
        programs::made_by(ctx, job.recipes(), &self.arch(), &*self.toolchain(ctx)?)
    }

    /// Builds every recipe into an empty directory, whatever the cache holds.
    pub(super) fn build_into(&self, ctx: &Ctx, job: &Job, out: &Utf8Path) -> Result<Vec<sdk::BuiltPackage>> {
        let request = sdk::Request {
            recipes: job.recipes(),
            kernel: &self.kernel(ctx)?.kernel,
            compiled: &modules::compiled(ctx, self, job)?,
            arch: &self.arch(),
            toolchain: &*self.toolchain(ctx)?,
            formats: &job.formats,
            source_date_epoch: None,
            workspace: &ctx.root,
            target_directory: &programs::target_directory(ctx),
            offline: ctx.offline,
        };
        sdk::build(&request, out, &ctx.events, &ctx.cancel)
    }
}

impl Provider for StandIn {
    fn origin(&self) -> Origin {
        Origin::StandIn
    }

    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>> {
        let emulator = if purpose >= Purpose::Test { job.emulator()? } else { None };
        Ok(doctor::stand_in_needs(purpose, &self.arch(), emulator))
    }

    fn packages(&self, ctx: &Ctx, job: &Job) -> Result<Packages> {
        let (standing, programs) = both(ctx, |ctx| self.kernel(ctx), |ctx| self.programs(ctx, job))?;
        let compiled = modules::compiled(ctx, self, job)?;
        let inputs = Inputs::new(format!("packages for {}", job.target()))
            .stage("kernel", &standing.folder)
            .text("target", job.target())
            .text("recipes", job.recipes().names().join(" "))
            .text("formats", job.formats.iter().map(Format::to_string).collect::<Vec<_>>().join(" "))
            .text("epoch", std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default());
        let inputs = ctx.recipes.iter().fold(inputs, |inputs, folder| inputs.path("recipes", folder));
        let inputs = programs.iter().fold(inputs, |inputs, program| inputs.stage("program", &program.folder));
        let inputs = compiled.values().fold(inputs, |inputs, folder| inputs.stage("modules", folder));
        let folder = stage(ctx, &PACKAGES, &inputs, |out| {
            let built = self.build_into(ctx, job, out)?;
            let words: Vec<&str> = job.formats.iter().map(|format| format.extension()).collect();
            Ok(format!("{} packages as {}", built.len() / job.formats.len().max(1), words.join(" and ")))
        })?;
        let kernel_version = standing.kernel.id().package_version();
        Ok(Packages { folder, kernel: standing.folder.clone(), kernel_version, arch: self.arch(), allowed: Vec::new() })
    }

    fn goes_in(&self, _ctx: &Ctx, inputs: Inputs) -> Result<Inputs> {
        Ok(inputs
            .text("arch", self.arch())
            .text("kernel", self.port.kernel)
            .text("line", self.line.word())
            .text("mirror", self.mirror.as_deref().unwrap_or("of the host")))
    }

    fn row(&self, job: &Job) -> [String; 3] {
        [STAND_IN.into(), job.target().to_string(), self.line.word().into()]
    }

    fn materials(&self, ctx: &Ctx) -> Result<Vec<(String, Digest)>> {
        let suite = self.suite()?;
        let debs = self.debian(ctx, &DEBIAN_KERNEL, suite, &[self.port.kernel.into()])?;
        let material = |file: Utf8PathBuf| {
            let failed = |error: std::io::Error| Failure::io("read the package", &file, &error);
            let (digest, _size) = Digest::of_reader(&mut File::open(&file).map_err(failed)?).map_err(failed)?;
            Ok((format!("debian:{suite}/{}", file.file_name().unwrap_or_default()), digest))
        };
        files(&debs, ".deb")?.into_iter().map(material).collect()
    }

    fn image(&self, ctx: &Ctx, job: &Job) -> Result<Bootable> {
        let recipe = image::Recipe::embedded()?;
        let (standing, (programs, opkg)) = both(
            ctx,
            |ctx| self.kernel(ctx),
            |ctx| {
                let manager = |ctx: &Ctx| programs::package_manager(ctx, &*self.toolchain(ctx)?);
                both(ctx, |ctx| self.image_programs(ctx, &recipe), manager)
            },
        )?;
        let inputs = Inputs::new(format!("stand-in image for {}", job.target()))
            .stage("kernel", &standing.folder)
            .stage("programs", &programs)
            .path("opkg", &opkg)
            .text("arch", self.arch())
            .text("target", self.port.target)
            .text("modules", [&NETWORK_MODULES[..], &SPARE_MODULES[..]].concat().join(" "));
        let folder = stage(ctx, &IMAGE, &inputs, |out| {
            build_image(&standing.kernel, self.port, &recipe, &programs, &opkg, out)
        })?;
        let id = standing.kernel.id();
        Ok(Bootable {
            image: Image::in_memory(standing.vmlinux(), folder.join("initramfs"), image::READY),
            probe: Image::in_memory(standing.vmlinux(), folder.join("probe"), image::PROBE_READY),
            kernel: standing.folder.clone(),
            folder,
            about: About {
                label: format!("{}, Linux {}", self.port.label, id.version),
                kernel: self.line.word().to_owned(),
                origin: self.origin(),
            },
            kernel_version: Some(id.package_version()),
            wiring: None,
        })
    }

    fn compare(&self, _ctx: &Ctx, _packages: &Packages) -> Result<Outcome> {
        Err(nothing_published())
    }

    fn tell_costs(&self, ctx: &Ctx, job: &Job) -> Result<()> {
        bench::tell_known(ctx, job, self)
    }
}

fn build_image(
    kernel: &Kernel,
    port: &Port,
    recipe: &image::Recipe,
    programs: &Utf8Path,
    opkg: &Utf8Path,
    out: &Utf8Path,
) -> Result<String> {
    let arch = &Arch(port.arch.into());
    let take = |names: &[&str], folder: &str| -> Result<Vec<Utf8PathBuf>> {
        let folder = out.join(folder);
        Ok(kernel.take(names, &folder)?.iter().map(|file| folder.join(file)).collect())
    };
    let (boot_modules, spare_modules) = (take(&NETWORK_MODULES, "modules")?, take(&SPARE_MODULES, "spare-modules")?);
    let packages = [programs.to_owned()];
    let mut extra = vec![image::Extra { path: "/bin/opkg".into(), source: opkg.to_owned(), mode: 0o755 }];
    // opkg's view of the running kernel is the image's own; apk's database is its client's to write.
    for (path, text) in client::apk::image_state(&kernel.id().package_version(), &arch.0) {
        let source = out.join(path.replace('/', "_"));
        aside::write(&source, text.as_bytes())?;
        extra.push(image::Extra { path: path.into(), source, mode: 0o644 });
    }
    let inputs = image::Inputs {
        packages: &packages,
        kernel_release: kernel.release(),
        boot_modules: &boot_modules,
        spare_modules: &spare_modules,
        kernel: kernel.id(),
        arch,
        target: port.target,
        extra: &extra,
    };
    let bytes = image::build(recipe, &inputs)?;
    aside::write(&out.join("initramfs"), &bytes)?;
    aside::write(&out.join("probe"), image::probe(recipe, &packages)?)?;
    Ok(format!("{} MiB initramfs, a stand-in for an OpenWrt image", bytes.len() >> 20))
}

pub(super) fn offline(what: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "NET001",
        what: format!("{what} must be fetched, and --offline forbids it"),
        why: "the cache holds no earlier download of them",
        fix: "run once without --offline",
    })
}

fn no_such_kernel(port: &Port, line: Line) -> Failure {
    let lines: Vec<&str> = port.suites.iter().map(|(line, _)| line.word()).collect();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE005",
        what: format!("there is no stand-in for {} with kernel {}", port.target, line.word()),
        why: "Debian has no such kernel for its architecture",
        fix: format!("leave --kernel away, or give one that there is: {}", lines.join(", ")),
    })
}

fn no_compiler(port: &Port) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE009",
        what: format!("modules cannot be compiled from source for the stand-in of {}", port.target),
        why: "Debian's compiler and headers of its kernel are programs for its own processor",
        fix: "leave the recipe's `source` away, take --target x86/64, or the SDK of a release with --release",
    })
}

/// The tools of a kernel's build are programs of its own architecture.
fn not_compiled(target: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE010",
        what: format!("modules from source are not compiled for the stand-in of {target}"),
        why: "Debian's compiler and headers of that kernel would have to run in an emulator",
        fix: "leave such a recipe out of --recipes, use the stand-in of x86/64, or a release's SDK with --release",
    })
}

fn nothing_published() -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE006",
        what: "a stand-in's packages cannot be compared with published ones",
        why: "nobody publishes any: its kernel is Debian's",
        fix: "choose a release of OpenWrt with --release",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use crate::pipeline::ports;
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
        assert_eq!((not_compiled("armsr/armv8").id(), not_compiled("armsr/armv8").exit()), ("USE010", Exit::Usage));
        assert!(failure.finding().what.contains("armsr/armv8"), "{failure}");
        assert_eq!((nothing_published().id(), nothing_published().exit()), ("USE006", Exit::Usage));
    }
}
