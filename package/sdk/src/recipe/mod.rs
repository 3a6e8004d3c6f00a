//! Recipes: what to build, and what must be true of it. Strict YAML, one package a file.
//!
//! A file `kmod-NAME.yaml` describes a kernel module package the way OpenWrt 24.10 defines it; any other
//! name a program of this workspace. A kmod recipe is also an expectation: the same words are checked
//! against whatever kernel is at hand.

mod kernel;
mod kmod;
mod program;
mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result, yaml};
use serde::Deserialize;

pub use kernel::{Bounds, KernelOption, Line};
pub use kmod::{Autoload, Kmod, ModuleRef, TextFile};
pub use program::{Budget, CargoSource, Program};
pub use source::Source;

/// Names of kernel module packages begin with it.
const KMOD: &str = "kmod-";

/// Whom a package is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Everybody: it is published.
    #[default]
    Everybody,
    /// Routers of tests, and no feed that is published.
    Tests,
}

/// All recipes.
#[derive(Debug, Clone, Default)]
pub struct Recipes {
    /// By name.
    pub kmods: BTreeMap<String, Kmod>,
    /// By name.
    pub programs: BTreeMap<String, Program>,
}

impl Recipes {
    /// Reads every `*.yaml` of these folders and checks that they fit together. A recipe takes the place of the one
    /// of the same name in a folder before.
    ///
    /// # Errors
    /// `CONF…` for a file that is not as described; `RCP001` a name that is not the file's, `RCP002` a
    /// dependency that nobody provides, `RCP003` a circle, `RCP004` one module in two packages,
    /// `RCP005` no recipe at all, `RCP007` a published package that needs one for tests, `RCP008` a source that
    /// cannot be one.
    pub fn load(folders: &[Utf8PathBuf]) -> Result<Self> {
        let mut recipes = Recipes::default();
        let mut places = BTreeMap::new();
        for folder in folders {
            let failed = |error| Failure::io_named("list the recipes", folder, &error);
            for entry in folder.read_dir_utf8().map_err(failed)? {
                let path = entry.map_err(failed)?.into_path();
                if path.extension() == Some("yaml") {
                    recipes.add(&path)?;
                    places.insert(path.file_stem().unwrap_or_default().to_owned(), path);
                }
            }
        }
        if places.is_empty() {
            let folder = folders.last().map_or(Utf8Path::new(""), Utf8PathBuf::as_path);
            return Err(refuse("RCP005", "there is no recipe".into(), "nothing would be built", folder));
        }
        recipes.check(&places)?;
        Ok(recipes)
    }

    fn add(&mut self, path: &Utf8Path) -> Result<()> {
        let stem = path.file_stem().unwrap_or_default();
        let package = if stem.starts_with(KMOD) {
            let mut kmod: Kmod = yaml::load(path)?;
            let package = kmod.package.clone();
            if let Some(source) = &mut kmod.source {
                source.beside(path.parent().unwrap_or(path));
            }
            self.kmods.insert(stem.into(), kmod);
            package
        } else {
            let program: Program = yaml::load(path)?;
            let package = program.package.clone();
            self.programs.insert(stem.into(), program);
            package
        };
        if package == stem {
            return Ok(());
        }
        Err(refuse("RCP001", format!("the recipe is for `{package}`"), "a recipe is found by its file name", path))
    }

    /// `places` are the files by name.
    fn check(&self, places: &BTreeMap<String, Utf8PathBuf>) -> Result<()> {
        let mut owners = BTreeMap::new();
        for (name, kmod) in &self.kmods {
            let place = places.get(name).cloned().unwrap_or_default();
            for module in &kmod.modules {
                if let Some(other) = owners.insert(module.name.replace('-', "_"), name) {
                    let what = format!("module `{}` is in {other} and in {name}", module.name);
                    return Err(refuse("RCP004", what, "two packages cannot own one file", &place));
                }
            }
            for needed in &kmod.depends {
                if !self.kmods.contains_key(needed) {
                    let what = format!("{name} depends on {needed}");
                    return Err(refuse("RCP002", what, "there is no recipe of that name", &place));
                }
            }
            if self.dependencies_of(kmod).contains(name.as_str()) {
                let what = format!("{name} depends on itself");
                return Err(refuse("RCP003", what, "one of its dependencies leads back to it", &place));
            }
            check_source(kmod, &place)?;
        }
        let kmods = self.kmods.values().map(|kmod| (&kmod.package, kmod.audience, &kmod.depends));
        let programs = self.programs.values().map(|program| (&program.package, program.audience, &program.depends));
        for (name, _, depends) in kmods.chain(programs).filter(|(_, audience, _)| *audience == Audience::Everybody) {
            if let Some(needed) = depends.iter().find(|needed| self.is_for_tests(needed)) {
                let what = format!("{name} depends on {needed}, which is for tests only");
                let place = places.get(name).cloned().unwrap_or_default();
                return Err(refuse("RCP007", what, "nobody could install it from a published feed", &place));
            }
        }
        Ok(())
    }

    fn is_for_tests(&self, name: &str) -> bool {
        let audience = self.kmods.get(name).map(|kmod| kmod.audience);
        audience.or_else(|| self.programs.get(name).map(|program| program.audience)) == Some(Audience::Tests)
    }

    /// The names of all, sorted by kind.
    pub fn names(&self) -> Vec<&str> {
        self.kmods.keys().chain(self.programs.keys()).map(String::as_str).collect()
    }

    /// Those whose packages are published.
    #[must_use]
    pub fn published(&self) -> Self {
        let mut published = self.clone();
        published.kmods.retain(|_, kmod| kmod.audience == Audience::Everybody);
        published.programs.retain(|_, program| program.audience == Audience::Everybody);
        published
    }

    /// The kmods that are compiled from source for a kernel, each after those that it depends on.
    pub fn compiled(&self, line: Line) -> Vec<&Kmod> {
        let is_compiled = |kmod: &&Kmod| kmod.source.is_some() && kmod.kernel.hold(line);
        let mut compiled: Vec<&Kmod> = self.kmods.values().filter(is_compiled).collect();
        compiled.sort_by_key(|kmod| self.dependencies_of(kmod).len());
        compiled
    }

    /// Everything that a kmod depends on, at any distance.
    pub fn dependencies_of<'a>(&'a self, kmod: &'a Kmod) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = kmod.depends.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(self.kmods.get(name).iter().flat_map(|kmod| kmod.depends.iter().map(String::as_str)));
            }
        }
        found
    }
}

fn check_source(kmod: &Kmod, place: &Utf8Path) -> Result<()> {
    let Some(source) = &kmod.source else { return Ok(()) };
    let wrong = match (&kmod.modules[..], &kmod.empty) {
        ([], _) | (_, Some(_)) => Some("what is compiled is named in `modules`, and is not `empty`".into()),
        _ => source.wrong(),
    };
    match wrong {
        None => Ok(()),
        Some(why) => Err(refuse("RCP008", format!("the source of {} is not usable", kmod.package), &why, place)),
    }
}

fn refuse(id: &'static str, what: String, why: &str, place: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id,
        what,
        why,
        fix: "correct the recipe; the neighbouring files show how they fit together",
    })
    .at(place)
}
