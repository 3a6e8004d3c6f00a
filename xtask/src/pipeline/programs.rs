//! Programs of this workspace for routers, static: those of the recipes, and the stand-in's package manager.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Arch, Event, Failure, Finding, Result, Severity};
use sdk::recipe;
use sdk::{CargoBuild, Made, Profile, Recipes, StaticBinary};

use super::stages::{OPKG, ROUTER_PROGRAMS};
use crate::Ctx;
use crate::code::Workspace;
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

/// The programs of the recipes. Where Rust cannot make any, there are none.
pub(super) fn of_recipes<'a>(ctx: &Ctx, recipes: &'a Recipes, arch: &Arch) -> Result<Vec<Program<'a>>> {
    if let Err(refusal) = sdk::rust_target(arch) {
        let finding = Finding { severity: Severity::Warning, ..refusal.finding().clone() };
        ctx.events.emit(Event::Finding(finding));
        return Ok(Vec::new());
    }
    recipes.programs.values().map(|recipe| of_recipe(ctx, recipe, arch)).collect()
}

fn of_recipe<'a>(ctx: &Ctx, recipe: &'a recipe::Program, arch: &Arch) -> Result<Program<'a>> {
    let name = &recipe.package;
    let inputs = Inputs::new(format!("{name} for {arch}"))
        .text("arch", arch)
        .text("target", sdk::static_target(&ctx.cancel)?)
        .text("recipe", format!("{recipe:?}"))
        .text("sources", ctx.workspace()?.package(&recipe.cargo.package)?);
    let folder = stage(ctx, &ROUTER_PROGRAMS, &inputs, |out| {
        let directory = target_directory(ctx);
        let build = cargo_build(ctx, &directory, &recipe.cargo.package, &recipe.cargo.binary, Profile::Router);
        let built = sdk::router_program(recipe, &build, arch, &ctx.events, &ctx.cancel)?;
        std::fs::write(out.join(VERSION), &built.version)
            .map_err(|error| Failure::io("keep the program", out, &error))?;
        keep(&built, &out.join(name))
    })?;
    Ok(Program { recipe, folder })
}

/// The programs of others that cargo makes, by the name of their package.
pub(super) fn of_others(ctx: &Ctx, recipes: &Recipes, arch: &Arch) -> Result<BTreeMap<String, Made>> {
    let made = recipes.others.values().filter_map(|recipe| Some((recipe, recipe.cargo.as_ref()?)));
    made.map(|(recipe, cargo)| Ok((recipe.package.clone(), of_other(ctx, &recipe.package, cargo, arch)?))).collect()
}

fn of_other(ctx: &Ctx, name: &str, cargo: &recipe::OtherCargo, arch: &Arch) -> Result<Made> {
    let root = cargo.manifest.parent().unwrap_or(&cargo.manifest);
    let inputs = Inputs::new(format!("{name} for {arch}"))
        .text("arch", arch)
        .text("target", sdk::static_target(&ctx.cancel)?)
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
        let built = sdk::cargo_for(&build, arch, &ctx.events, &ctx.cancel)?;
        std::fs::write(out.join(VERSION), &built.version)
            .map_err(|error| Failure::io("keep the program", out, &error))?;
        keep(&built, &out.join(name))
    })?;
    let path = folder.join(VERSION);
    let version = std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
    Ok(Made { file: folder.join(name), version })
}

/// Our package manager for the stand-in.
pub(super) fn package_manager(ctx: &Ctx) -> Result<Utf8PathBuf> {
    const PACKAGE: &str = "openwrt-offload-client";
    const BINARY: &str = "opkg";
    let sources = ctx.workspace()?.package(PACKAGE)?;
    let inputs = Inputs::new("opkg for the stand-in image")
        .text("target", sdk::static_target(&ctx.cancel)?)
        .text("sources", sources);
    let folder = stage(ctx, &OPKG, &inputs, |out| {
        // Cargo lets one build at a time into a folder, and this one takes longest.
        let directory = ctx.root.join("target/router-opkg");
        let build = cargo_build(ctx, &directory, PACKAGE, BINARY, Profile::StandIn);
        keep(&sdk::cargo_static(&build, &ctx.events, &ctx.cancel)?, &out.join(BINARY))
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

fn keep(built: &StaticBinary, target: &Utf8Path) -> Result<String> {
    let size = std::fs::copy(&built.file, target).map_err(|error| Failure::io("keep the program", target, &error))?;
    Ok(format!("{} KiB, static, {}", size / 1024, built.target))
}

/// Apart from host builds, whose flags differ.
pub(super) fn target_directory(ctx: &Ctx) -> Utf8PathBuf {
    ctx.root.join("target/router")
}
