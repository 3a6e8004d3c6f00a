//! Programs of this workspace for routers, static: those of the recipes, and the stand-in's package manager.

use camino::{Utf8Path, Utf8PathBuf};
use model::{Arch, Event, Failure, Finding, Result, Severity};
use sdk::program::{self, Extras, Sources};
use sdk::recipe;
use sdk::{CargoBuild, Profile, Recipes, RustTarget, StaticBinary, Toolchain};

use super::stages::{OPKG, ROUTER_PROGRAMS, RUST_SOURCES, ZIG};
use super::stand_in::offline;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// The file of a program's version, beside it.
const VERSION: &str = "version";

/// A program, compiled.
pub(super) struct Program<'a> {
    pub(super) recipe: &'a recipe::Program,
    /// The stage that it is of.
    pub(super) folder: Utf8PathBuf,
}

impl Program<'_> {
    pub(super) fn file(&self) -> Utf8PathBuf {
        self.folder.join(&self.recipe.package)
    }

    pub(super) fn version(&self) -> Result<String> {
        let path = self.folder.join(VERSION);
        std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))
    }
}

/// What makes programs for an architecture. What this host lacks for it is fetched once; `mirror` is one of Debian.
pub(super) fn toolchain(ctx: &Ctx, arch: &Arch, mirror: Option<&str>) -> Result<Toolchain> {
    let sources = |minors: &[u32]| {
        let wanted: Vec<String> = minors.iter().map(|minor| format!("1.{minor}")).collect();
        let about = format!("sources of the standard library of Rust {}", wanted.join(" or "));
        let inputs = Inputs::new(&about).text("for", wanted.join(" ")).text("mirror", mirror.unwrap_or("of the host"));
        let folder = stage(ctx, &RUST_SOURCES, &inputs, |out| {
            if ctx.offline {
                return Err(offline(&about));
            }
            let Sources { minor, .. } = program::fetch_sources(minors, mirror, out, &ctx.events, &ctx.cancel)?;
            Ok(format!("of Rust 1.{minor}, verified by apt"))
        })?;
        Sources::open(&folder)
    };
    let zig = || {
        let inputs = Inputs::new("zig, which links for any architecture").text("wanted", program::ZIG);
        stage(ctx, &ZIG, &inputs, |out| {
            if ctx.offline {
                return Err(offline("zig"));
            }
            program::fetch_zig(out, &ctx.events, &ctx.cancel)?;
            Ok("verified by pip".into())
        })
    };
    let kept = toolchains(ctx);
    Toolchain::find(arch, &Extras { sources: &sources, zig: &zig, kept: &kept }, &ctx.cancel)
}

/// Where toolchains are laid out, and what linkers keep; made again when it is gone.
pub fn toolchains(ctx: &Ctx) -> Utf8PathBuf {
    ctx.cache.join("toolchains")
}

/// The programs of the recipes. Where no Rust target is known to fit, there are none.
pub(super) fn of_recipes<'a>(ctx: &Ctx, recipes: &'a Recipes, arch: &Arch) -> Result<Vec<Program<'a>>> {
    if let Err(refusal) = RustTarget::of(arch) {
        let finding = Finding { severity: Severity::Warning, ..refusal.finding().clone() };
        ctx.events.emit(Event::Finding(finding));
        return Ok(Vec::new());
    }
    made_by(ctx, recipes, arch, &toolchain(ctx, arch, None)?)
}

/// The programs of the recipes, made by this toolchain.
pub(super) fn made_by<'a>(
    ctx: &Ctx,
    recipes: &'a Recipes,
    arch: &Arch,
    toolchain: &Toolchain,
) -> Result<Vec<Program<'a>>> {
    recipes.programs.values().map(|recipe| of_recipe(ctx, recipe, arch, toolchain)).collect()
}

fn of_recipe<'a>(ctx: &Ctx, recipe: &'a recipe::Program, arch: &Arch, toolchain: &Toolchain) -> Result<Program<'a>> {
    let name = &recipe.package;
    let inputs = Inputs::new(format!("{name} for {arch}"))
        .text("arch", arch)
        .text("toolchain", toolchain.identity())
        .text("recipe", format!("{recipe:?}"))
        .text("sources", ctx.workspace()?.package(&recipe.cargo.package)?);
    let folder = stage(ctx, &ROUTER_PROGRAMS, &inputs, |out| {
        let directory = target_directory(ctx);
        let build = cargo_build(ctx, &directory, &recipe.cargo.package, &recipe.cargo.binary, Profile::Router);
        let built = program::router_program(recipe, &build, toolchain, &ctx.events, &ctx.cancel)?;
        std::fs::write(out.join(VERSION), &built.version)
            .map_err(|error| Failure::io("keep the program", out, &error))?;
        keep(&built, toolchain, &out.join(name))
    })?;
    Ok(Program { recipe, folder })
}

/// Our package manager for the stand-in.
pub(super) fn package_manager(ctx: &Ctx, toolchain: &Toolchain) -> Result<Utf8PathBuf> {
    const PACKAGE: &str = "openwrt-offload-client";
    const BINARY: &str = "opkg";
    let sources = ctx.workspace()?.package(PACKAGE)?;
    let inputs =
        Inputs::new("opkg for the stand-in image").text("toolchain", toolchain.identity()).text("sources", sources);
    let folder = stage(ctx, &OPKG, &inputs, |out| {
        // Cargo lets one build at a time into a folder, and this one takes longest.
        let directory = ctx.root.join("target/router-opkg");
        let build = cargo_build(ctx, &directory, PACKAGE, BINARY, Profile::StandIn);
        keep(&program::cargo_static(&build, toolchain, &ctx.events, &ctx.cancel)?, toolchain, &out.join(BINARY))
    })?;
    Ok(folder.join(BINARY))
}

fn cargo_build<'a>(
    ctx: &'a Ctx,
    directory: &'a Utf8Path,
    package: &'a str,
    binary: &'a str,
    profile: Profile,
) -> CargoBuild<'a> {
    CargoBuild { workspace: &ctx.root, target_directory: directory, package, binary, profile, offline: ctx.offline }
}

fn keep(built: &StaticBinary, toolchain: &Toolchain, target: &Utf8Path) -> Result<String> {
    let size = std::fs::copy(&built.file, target).map_err(|error| Failure::io("keep the program", target, &error))?;
    Ok(format!("{} KiB, static, {}", size / 1024, toolchain.told()))
}

/// Apart from host builds, whose flags differ.
pub(super) fn target_directory(ctx: &Ctx) -> Utf8PathBuf {
    ctx.root.join("target/router")
}
