//! The stand-in's implementation of [`Provider`]: its packages, and its image.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use host::aside;
use model::{Arch, Digest, Exit, Failure, Problem, Result};
use sdk::local::{self, Kernel};
use vm::guest::About;
use vm::image;
use vm::session::Image;

use super::super::at_once::both;
use super::super::bootable::Bootable;
use super::super::job::{Job, Origin, Provider};
use super::super::packages::{Packages, files};
use super::super::ports::Port;
use super::super::stages::{DEBIAN_IMAGE, DEBIAN_KERNEL, IMAGE, PACKAGES, PROGRAMS};
use super::super::{bench, modules, programs};
use super::{STAND_IN, StandIn};
use crate::doctor::{self, Need, Purpose};
use crate::stage::{Inputs, stage};
use crate::{Ctx, Outcome};

/// Modules for the router's network cards; some kernels have one of them built in.
const NETWORK_MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// Modules in the image that scenarios load: those that a router uses together with flow offload. None of netfilter's
/// is among them, because those come from the packages under test.
const SPARE_MODULES: [&str; 20] = [
    "8021q",
    "act_mirred",
    "authenc",
    "bonding",
    "br_netfilter",
    "bridge",
    "cls_matchall",
    "crypto_null",
    "esp4",
    "ifb",
    "ipip",
    "macvlan",
    "pppoe",
    "sch_cake",
    "sch_ingress",
    "sch_tbf",
    "sit",
    "veth",
    "wireguard",
    "xfrm_user",
];

/// Turns off hardening that Debian's kernels have by default and OpenWrt's do not: zeroing of allocated memory, checks
/// of copies to user space, security modules. It takes a tenth of an emulated router's time.
const PLAIN_KERNEL: [&str; 4] = ["init_on_alloc=0", "hardened_usercopy=off", "lsm=", "audit=0"];

impl StandIn {
    /// The programs of an image, unpacked.
    pub(in crate::pipeline) fn image_programs(&self, ctx: &Ctx, recipe: &image::Recipe) -> Result<Utf8PathBuf> {
        let suite = self.port.programs;
        let debs = self.debian(ctx, &DEBIAN_IMAGE, suite, &recipe.packages_of(suite))?;
        let inputs = Inputs::new("the image's programs, unpacked").stage("debian-image", &debs);
        stage(ctx, &PROGRAMS, &inputs, |out| {
            local::unpack(&files(&debs, ".deb")?, out, &ctx.cancel)?;
            Ok(String::new())
        })
    }

    /// The programs of the recipes.
    fn programs<'a>(&self, ctx: &Ctx, job: &'a Job) -> Result<Vec<programs::Program<'a>>> {
        programs::made_by(ctx, job.recipes(), &self.arch(), &*self.toolchain(ctx)?)
    }

    /// Builds every recipe into an empty directory, without the cache.
    pub(in crate::pipeline) fn build_into(
        &self,
        ctx: &Ctx,
        job: &Job,
        out: &Utf8Path,
    ) -> Result<Vec<sdk::BuiltPackage>> {
        let made = programs::of_others(ctx, job.recipes(), &self.arch(), self.mirror.as_deref(), None)?;
        let request = sdk::Request {
            recipes: job.recipes(),
            kernel: &self.kernel(ctx)?.kernel,
            compiled: &modules::compiled(ctx, self, job)?,
            made: &made,
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

    fn before(&self) -> Option<Arc<dyn Provider>> {
        let line = self.line.before().filter(|line| self.port.suites.iter().any(|(known, _)| known == line))?;
        Some(Arc::new(StandIn::new(self.port, line, self.mirror.clone())))
    }

    fn has_card(&self) -> bool {
        self.port.debian == "amd64"
    }

    fn needs(&self, job: &Job, purpose: Purpose) -> Result<Vec<Need>> {
        let emulator = if purpose >= Purpose::Test { job.emulator()? } else { None };
        Ok(doctor::stand_in_needs(purpose, &self.arch(), emulator))
    }

    fn arch(&self) -> Arch {
        StandIn::arch(self)
    }

    fn kernel_line(&self) -> String {
        self.line.word().to_owned()
    }

    fn image_packages(&self) -> Result<Option<BTreeSet<String>>> {
        Ok(Some(image::Recipe::embedded()?.stands_for.into_iter().collect()))
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
        let others = programs::of_others(ctx, job.recipes(), &self.arch(), self.mirror.as_deref(), None)?;
        let inputs = others.values().fold(inputs, |inputs, made| inputs.path("program", &made.file));
        let arch = self.arch();
        let inputs = job.recipes().sources(&arch).fold(inputs, |inputs, file| inputs.path("file", file));
        let inputs = compiled.values().fold(inputs, |inputs, folder| inputs.stage("modules", folder));
        let folder = stage(ctx, &PACKAGES, &inputs, |out| {
            let built = self.build_into(ctx, job, out)?;
            let words: Vec<&str> = job.formats.iter().map(|format| format.extension()).collect();
            Ok(format!("{} packages as {}", built.len() / job.formats.len().max(1), words.join(" and ")))
        })?;
        let kernel_version = standing.kernel.id().package_version();
        Ok(Packages {
            folder,
            kernel: standing.folder.clone(),
            kernel_version,
            arch: self.arch(),
            allowed: Vec::new(),
            brought: None,
        })
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
            .text("modules", [&NETWORK_MODULES[..], &SPARE_MODULES[..]].concat().join(" "))
            .text("append", PLAIN_KERNEL.join(" "));
        let folder = stage(ctx, &IMAGE, &inputs, |out| {
            build_image(&standing.kernel, self.port, &recipe, &programs, &opkg, out)
        })?;
        let id = standing.kernel.id();
        let mut image = Image::in_memory(standing.vmlinux(), folder.join("initramfs"), image::READY);
        image.append = PLAIN_KERNEL.map(str::to_owned).to_vec();
        Ok(Bootable {
            image,
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
    // The image's own recipe names the running kernel for opkg; apk's database is written by our client.
    let others: Vec<(&str, &str)> = recipe.others().collect();
    for (path, text) in client::apk::image_state_with(&kernel.id().package_version(), &others, &arch.0) {
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

fn nothing_published() -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "USE006",
        what: "a stand-in's packages cannot be compared with published ones",
        why: "nobody publishes them: its kernel is Debian's",
        fix: "choose a release of OpenWrt with --release",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_publishes_a_stand_in() {
        assert_eq!((nothing_published().id(), nothing_published().exit()), ("USE006", Exit::Usage));
    }
}
