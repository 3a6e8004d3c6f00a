//! Static programs of this workspace for routers: those of the recipes, and the stand-in's package manager.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Arch, Event, Failure, Finding, Result, Severity};
use sdk::program::{self, Extras, SdkLinker, Sources};
use sdk::recipe;
use sdk::{CargoBuild, Made, Profile, Recipes, RustTarget, StaticBinary, Toolchain};

use super::offline::offline;
use super::stages::{OPKG, ROUTER_PROGRAMS, RUST_SOURCES, ZIG};

use crate::Ctx;
use crate::code::Workspace;
use crate::stage::{Inputs, stage};

/// Name of the file with a program's version, beside the program.
const VERSION: &str = "version";

/// A compiled program.
pub(super) struct Program<'a> {
    pub(super) recipe: &'a recipe::Program,
    /// The folder of its stage.
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

/// The toolchain for an architecture. What this host lacks is fetched once; `mirror` is a Debian mirror, and `sdk` the C compiler
/// of the release that the programs are for.
pub(super) fn toolchain(ctx: &Ctx, arch: &Arch, mirror: Option<&str>, sdk: Option<SdkLinker>) -> Result<Toolchain> {
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
    Toolchain::find(arch, &Extras { sources: &sources, sdk, zig: &zig, kept: &kept }, &ctx.cancel)
}

/// The folder in which toolchains are laid out and linkers keep their caches; it is recreated if missing.
pub fn toolchains(ctx: &Ctx) -> Utf8PathBuf {
    ctx.cache.join("toolchains")
}

/// The programs of the recipes; none if no Rust target is known for the architecture.
pub(super) fn of_recipes<'a>(
    ctx: &Ctx,
    recipes: &'a Recipes,
    arch: &Arch,
    sdk: Option<SdkLinker>,
) -> Result<Vec<Program<'a>>> {
    if let Err(refusal) = RustTarget::of(arch) {
        let finding = Finding { severity: Severity::Warning, ..refusal.finding().clone() };
        ctx.events.emit(Event::Finding(finding));
        return Ok(Vec::new());
    }
    made_by(ctx, recipes, arch, &toolchain(ctx, arch, None, sdk)?)
}

/// The programs of the recipes, built with this toolchain.
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

/// The programs of other cargo workspaces, by the name of their package.
pub(super) fn of_others(
    ctx: &Ctx,
    recipes: &Recipes,
    arch: &Arch,
    mirror: Option<&str>,
    sdk: Option<SdkLinker>,
) -> Result<BTreeMap<String, Made>> {
    let cargo = recipes.others.values().filter_map(|recipe| Some((&recipe.package, recipe.cargo.as_ref()?)));
    let cargo: Vec<_> = cargo.collect();
    if cargo.is_empty() {
        return Ok(BTreeMap::new());
    }
    let toolchain = toolchain(ctx, arch, mirror, sdk)?;
    cargo.into_iter().map(|(name, cargo)| Ok((name.clone(), of_other(ctx, name, cargo, arch, &toolchain)?))).collect()
}

fn of_other(ctx: &Ctx, name: &str, cargo: &recipe::OtherCargo, arch: &Arch, toolchain: &Toolchain) -> Result<Made> {
    let root = cargo.manifest.parent().unwrap_or(&cargo.manifest);
    let inputs = Inputs::new(format!("{name} for {arch}"))
        .text("arch", arch)
        .text("toolchain", toolchain.identity())
        .text("recipe", format!("{cargo:?}"))
        .text("sources", Workspace::read(&ctx.cargo, root, &ctx.cancel)?.package(&cargo.package)?);
    let folder = stage(ctx, &ROUTER_PROGRAMS, &inputs, |out| {
        let build = CargoBuild {
            workspace: root,
            target_directory: &ctx.root.join("target/router-others"),
            package: &cargo.package,
            binary: &cargo.binary,
            profile: Profile::Release,
            offline: ctx.offline,
        };
        let built = program::cargo_static(&build, toolchain, &ctx.events, &ctx.cancel)?;
        std::fs::write(out.join(VERSION), &built.version)
            .map_err(|error| Failure::io("keep the program", out, &error))?;
        keep(&built, toolchain, &out.join(name))
    })?;
    let path = folder.join(VERSION);
    let version = std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
    Ok(Made { file: folder.join(name), version })
}

/// The package manager's name as a binary of this package.
const SHARED: &str = "stand-in-opkg";

/// Our package manager for the stand-in.
pub(super) fn package_manager(ctx: &Ctx, toolchain: &Toolchain) -> Result<Utf8PathBuf> {
    const PACKAGE: &str = "openwrt-offload-client";
    const BINARY: &str = "opkg";
    let shared = toolchain.is_of_host();
    let sources = ctx.workspace()?.package(PACKAGE)?;
    let inputs = Inputs::new("opkg for the stand-in image")
        .text("toolchain", toolchain.identity())
        .text("sources", sources)
        .text("shared", shared);
    let folder = stage(ctx, &OPKG, &inputs, |out| {
        if shared {
            let built = program::cargo_shared(&ctx.root, "xtask", SHARED, ctx.offline, &ctx.events, &ctx.cancel)?;
            return keep(&built, toolchain, &out.join(BINARY));
        }
        // cargo allows one build at a time in a folder, and this one takes longest.
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

/// Separate from host builds, whose flags differ.
pub(super) fn target_directory(ctx: &Ctx) -> Utf8PathBuf {
    ctx.root.join("target/router")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    /// The SDK of a release takes the version from there, and the stand-in from cargo.
    #[test]
    fn makefiles_of_programs_have_the_version_of_the_workspace() {
        let ctx = ctx("/nowhere".into(), Events::discard());
        let recipes = Recipes::load(&[ctx.root.join("package/recipes")]).unwrap();
        assert!(!recipes.programs.is_empty());
        for name in recipes.programs.keys() {
            let text = std::fs::read_to_string(ctx.root.join("package/feed").join(name).join("Makefile")).unwrap();
            let version = text.lines().find_map(|line| line.strip_prefix("PKG_VERSION:="));
            assert_eq!(version, Some(env!("CARGO_PKG_VERSION")), "{name}");
        }
    }
}
