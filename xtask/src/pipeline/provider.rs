//! The provider `local`: kernel and packages from Debian's own packages.

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Arch, Exit, Failure, Result, Target};
use sdk::local::{self, Kernel};

use super::stages::{DEBIAN_IMAGE, DEBIAN_KERNEL, KERNEL, OPKG, PACKAGES, PROGRAMS};
use crate::cli::{Kernel as Line, Selection};
use crate::stage::{Inputs, Stage, Workspace, stage};
use crate::{Ctx, usage};

/// The architecture of the one target that the stand-in serves.
pub(super) const ARCH: &str = "x86_64";

/// Which Debian suite holds which kernel line; the package is the same meta package in all of them.
fn suite(line: Line) -> &'static str {
    match line {
        Line::V6_12 => "trixie",
        Line::V6_1 => "bookworm",
        Line::Newest => "sid",
    }
}

/// The suite that programs of the image come from, whatever its kernel is.
const IMAGE_SUITE: &str = "trixie";

/// Checked packages.
pub(super) struct Packages {
    /// The stage's directory.
    pub(super) folder: Utf8PathBuf,
    /// The stage that they were made from: the stand-in's kernel, or OpenWrt's SDK.
    pub(super) kernel: Utf8PathBuf,
    /// The version of the package `kernel` that they depend on.
    pub(super) kernel_version: String,
    /// What they are for.
    pub(super) arch: Arch,
    /// Those without a module, rightly so, that cannot say it themselves: OpenWrt made them.
    pub(super) empty: Vec<String>,
}

impl Packages {
    /// The package files of every format.
    pub(super) fn files(&self) -> Result<Vec<Utf8PathBuf>> {
        package_files(&self.folder)
    }
}

/// Debian packages of a suite, verified by apt.
fn debian(ctx: &Ctx, kind: &Stage, suite: &str, packages: &[String], selection: &Selection) -> Result<Utf8PathBuf> {
    let mirror = selection.debian_mirror.as_deref();
    let what = match packages {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    };
    let inputs = Inputs::new(format!("{what} of Debian {suite}"))
        .text("suite", suite)
        .text("packages", packages.join(" "))
        .text("mirror", mirror.unwrap_or("of the host"));
    stage(ctx, kind, &inputs, |out| {
        if ctx.offline {
            return Err(offline(&what));
        }
        let debs = local::fetch(&local::Request { suite, packages, mirror }, out, &ctx.events, &ctx.cancel)?;
        Ok(match &debs[..] {
            [deb] => format!("{} {}", deb.name, deb.version),
            debs => format!("{} packages, verified by apt", debs.len()),
        })
    })
}

fn offline(what: &str) -> Failure {
    Failure::new(
        Exit::Upstream,
        "NET001",
        format!("{what} must be fetched, and --offline forbids it"),
        "the cache holds no earlier download of them",
        "run once without --offline",
    )
}

/// The kernel of the selected line; open the directory with [`Kernel::open`].
pub(super) fn kernel(ctx: &Ctx, selection: &Selection) -> Result<Utf8PathBuf> {
    let debs = debian(ctx, &DEBIAN_KERNEL, suite(selection.kernel()?), &["linux-image-amd64".into()], selection)?;
    let inputs = Inputs::new("the kernel, unpacked").stage("debian-kernel", &debs);
    stage(ctx, &KERNEL, &inputs, |out| {
        let kernel = Kernel::prepare(&files(&debs, ".deb")?, out, &ctx.events, &ctx.cancel)?;
        Ok(format!("{}, a stand-in for OpenWrt's kernel", kernel.id()))
    })
}

/// The programs of the image, unpacked.
pub(super) fn image_programs(ctx: &Ctx, packages: &[String], selection: &Selection) -> Result<Utf8PathBuf> {
    let debs = debian(ctx, &DEBIAN_IMAGE, IMAGE_SUITE, packages, selection)?;
    let inputs = Inputs::new("the image's programs, unpacked").stage("debian-image", &debs);
    stage(ctx, &PROGRAMS, &inputs, |out| {
        local::unpack(&files(&debs, ".deb")?, out, &ctx.cancel)?;
        Ok(String::new())
    })
}

/// Every recipe as a checked package.
pub(super) fn packages(ctx: &Ctx, target: &Target, selection: &Selection) -> Result<Packages> {
    let kernel = kernel(ctx, selection)?;
    let arch = Arch(ARCH.into());
    let formats = usage::formats(selection);
    let recipes = sdk::Recipes::load(&ctx.recipes)?;
    let inputs = Inputs::new(format!("packages for {target}"))
        .stage("kernel", &kernel)
        .text("target", target)
        .text("formats", formats.iter().map(Format::to_string).collect::<Vec<_>>().join(" "))
        .text("epoch", std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default());
    let inputs = ctx.recipes.iter().fold(inputs, |inputs, folder| inputs.path("recipes", folder));
    let workspace = Workspace::read(ctx, &ctx.root)?;
    let inputs = recipes
        .programs
        .values()
        .try_fold(inputs, |inputs, program| Ok(inputs.text("program", workspace.package(&program.cargo.package)?)))?;
    let folder = stage(ctx, &PACKAGES, &inputs, |out| {
        let built = build_into(ctx, &Kernel::open(&kernel)?, &arch, &formats, out)?;
        let words: Vec<&str> = formats.iter().map(|format| format.extension()).collect();
        Ok(format!("{} packages as {}", built.len() / formats.len().max(1), words.join(" and ")))
    })?;
    let kernel_version = Kernel::open(&kernel)?.id().package_version();
    Ok(Packages { folder, kernel, kernel_version, arch, empty: Vec::new() })
}

/// Builds every recipe into an empty directory, whatever the cache holds.
pub(super) fn build_into(
    ctx: &Ctx,
    kernel: &Kernel,
    arch: &Arch,
    formats: &[Format],
    out: &Utf8Path,
) -> Result<Vec<sdk::BuiltPackage>> {
    let recipes = sdk::Recipes::load(&ctx.recipes)?;
    let request = sdk::Request {
        recipes: &recipes,
        kernel,
        arch,
        formats,
        source_date_epoch: None,
        workspace: &ctx.root,
        target_directory: &target_directory(ctx),
        offline: ctx.offline,
    };
    sdk::build(&request, out, &ctx.events, &ctx.cancel)
}

/// Our package manager for the guest, static.
pub(super) fn guest_client(ctx: &Ctx) -> Result<Utf8PathBuf> {
    const PACKAGE: &str = "openwrt-offload-client";
    let sources = Workspace::read(ctx, &ctx.root)?.package(PACKAGE)?;
    let inputs = Inputs::new("opkg for the stand-in image").text("sources", sources);
    let folder = stage(ctx, &OPKG, &inputs, |out| {
        let build = sdk::CargoBuild {
            workspace: &ctx.root,
            target_directory: &target_directory(ctx),
            package: PACKAGE,
            binary: "opkg",
            profile: sdk::Profile::StandIn,
            offline: ctx.offline,
        };
        let binary = sdk::cargo_static(&build, &ctx.events, &ctx.cancel)?;
        let target = out.join("opkg");
        let size = std::fs::copy(&binary.file, &target).map_err(|error| Failure::io("copy", &target, &error))?;
        Ok(format!("{} KiB, static, {}", size / 1024, binary.target))
    })?;
    Ok(folder.join("opkg"))
}

/// Apart from host builds, whose flags differ.
pub(super) fn target_directory(ctx: &Ctx) -> Utf8PathBuf {
    ctx.root.join("target/router")
}

/// The package files of a folder, of any format: sorted within each.
pub(super) fn package_files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let files = Format::ALL.map(|format| files(folder, &format!(".{format}")));
    Ok(files.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Files of a folder with an ending, sorted.
pub(super) fn files(folder: &Utf8Path, ending: &str) -> Result<Vec<Utf8PathBuf>> {
    let io = |error: std::io::Error| Failure::io("list the folder", folder, &error);
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().map_err(io)? {
        let path = entry.map_err(io)?.into_path();
        if path.as_str().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    #[test]
    fn offline_with_an_empty_cache_says_what_is_missing_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::discard());
        ctx.offline = true;
        let selection = Selection {
            target: "x86/64".into(),
            kernels: vec![Line::V6_12],
            formats: Vec::new(),
            debian_mirror: None,
            openwrt: Default::default(),
        };
        let failure = kernel(&ctx, &selection).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("NET001", Exit::Upstream));
        assert_eq!(files(&ctx.cache.join("debian-kernel"), ".deb").unwrap(), [""; 0]);
    }
}
