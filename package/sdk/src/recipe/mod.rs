//! Recipes: what to build, and what must be true of it. Strict YAML, one package per file.
//!
//! A file `kmod-NAME.yaml` describes a kernel module package as OpenWrt 24.10 defines it. Of the others, one with
//! `kind: files` is a package of files, one with `file:` or `cargo: { manifest: … }` a program from elsewhere, and any
//! other a program of this workspace. A kmod recipe is also an expectation: it is checked against each kernel.

mod files;
mod kernel;
mod kmod;
mod other;
mod program;
mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Arch, Exit, Failure, Problem, Result, yaml};
use serde::Deserialize;
use serde::de::IgnoredAny;

pub use files::{Files, FilesKind, Item, ScriptTexts};
pub use kernel::{Bounds, KernelOption, Line};
pub use kmod::{Autoload, Kmod, ModuleRef, TextFile};
pub use other::{OtherCargo, OtherProgram};
pub use program::{Budget, CargoSource, Program};
pub use source::Source;

/// Prefix of the names of kernel module packages.
const KMOD: &str = "kmod-";

/// Who gets a package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Everybody: it is published.
    #[default]
    Everybody,
    /// Only routers in tests; it is in no published feed.
    Tests,
}

/// All recipes.
#[derive(Debug, Clone, Default)]
pub struct Recipes {
    /// Kernel module packages, by name.
    pub kmods: BTreeMap<String, Kmod>,
    /// Programs of this workspace, by name.
    pub programs: BTreeMap<String, Program>,
    /// Packages of files, by name.
    pub files: BTreeMap<String, Files>,
    /// Programs from elsewhere, by name.
    pub others: BTreeMap<String, OtherProgram>,
}

/// The field that tells recipes apart whose file names do not.
#[derive(Deserialize)]
struct Head {
    kind: Option<FilesKind>,
    file: Option<IgnoredAny>,
    cargo: Option<CargoHead>,
}

#[derive(Deserialize)]
struct CargoHead {
    manifest: Option<IgnoredAny>,
}

impl Recipes {
    /// Reads every `*.yaml` in these folders and checks that they fit together. A recipe replaces one of the same name
    /// in an earlier folder.
    ///
    /// # Errors
    /// `CONF…` for a malformed file; `RCP001` a name that differs from the file's, `RCP002` a dependency without a
    /// recipe, `RCP003` a dependency cycle, `RCP004` a module in two packages, `RCP005` no recipe at all, `RCP007` a
    /// published package that needs one for tests, `RCP008` an unusable source, `RCP009` missing files or programs.
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
            self.add_other(path)?
        };
        if package == stem {
            return Ok(());
        }
        Err(refuse(
            "RCP001",
            format!("the recipe is for `{package}`"),
            "a recipe's file must have the package's name",
            path,
        ))
    }

    /// Adds a recipe whose kind its file name does not tell.
    fn add_other(&mut self, path: &Utf8Path) -> Result<String> {
        let (stem, folder) = (path.file_stem().unwrap_or_default(), path.parent().unwrap_or(path));
        let text = yaml::read(path)?;
        let head: Head = yaml::parse(path, &text)?;
        // It replaces one of another kind with the same name.
        self.files.remove(stem);
        self.others.remove(stem);
        self.programs.remove(stem);
        let unusable = |package: &str, why: Option<String>| match why {
            None => Ok(()),
            Some(why) => Err(refuse("RCP009", format!("{package} cannot be packed"), &why, path)),
        };
        let package = if head.kind.is_some() {
            let mut files: Files = yaml::parse(path, &text)?;
            files.found_from(folder);
            unusable(&files.package, files.wrong())?;
            let package = files.package.clone();
            self.files.insert(stem.into(), files);
            package
        } else if head.file.is_some() || head.cargo.is_some_and(|cargo| cargo.manifest.is_some()) {
            let mut program: OtherProgram = yaml::parse(path, &text)?;
            program.found_from(folder);
            unusable(&program.package, program.wrong())?;
            let package = program.package.clone();
            self.others.insert(stem.into(), program);
            package
        } else {
            let program: Program = yaml::parse(path, &text)?;
            let package = program.package.clone();
            self.programs.insert(stem.into(), program);
            package
        };
        Ok(package)
    }

    /// The files beside recipes that are needed for an architecture.
    pub fn sources<'a>(&'a self, arch: &'a Arch) -> impl Iterator<Item = &'a Utf8PathBuf> {
        let programs = self.others.values().filter_map(|program| program.file.get(&arch.0));
        self.files.values().flat_map(Files::sources).chain(programs)
    }

    /// Checks that all recipes fit together; `places` has their files by name.
    fn check(&self, places: &BTreeMap<String, Utf8PathBuf>) -> Result<()> {
        let mut owners = BTreeMap::new();
        for (name, kmod) in &self.kmods {
            let place = places.get(name).cloned().unwrap_or_default();
            for module in &kmod.modules {
                if let Some(other) = owners.insert(module.name.replace('-', "_"), name) {
                    let what = format!("module `{}` is in {other} and in {name}", module.name);
                    return Err(refuse("RCP004", what, "two packages cannot have the same file", &place));
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
                return Err(refuse("RCP003", what, "one of its dependencies depends on it", &place));
            }
            check_source(kmod, &place)?;
        }
        let kmods = self.kmods.values().map(|kmod| (&kmod.package, kmod.audience, &kmod.depends));
        let programs = self.programs.values().map(|program| (&program.package, program.audience, &program.depends));
        let files = self.files.values().map(|files| (&files.package, files.audience, &files.depends));
        let others = self.others.values().map(|program| (&program.package, program.audience, &program.depends));
        for (name, _, depends) in
            kmods.chain(programs).chain(files).chain(others).filter(|(_, audience, _)| *audience == Audience::Everybody)
        {
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
        let audience = audience.or_else(|| self.programs.get(name).map(|program| program.audience));
        let audience = audience.or_else(|| self.files.get(name).map(|files| files.audience));
        audience.or_else(|| self.others.get(name).map(|program| program.audience)) == Some(Audience::Tests)
    }

    /// The names of all recipes, sorted by kind.
    pub fn names(&self) -> Vec<&str> {
        let programs = self.programs.keys().chain(self.others.keys());
        self.kmods.keys().chain(programs).chain(self.files.keys()).map(String::as_str).collect()
    }

    /// Only the recipes of published packages.
    #[must_use]
    pub fn published(&self) -> Self {
        let mut published = self.clone();
        published.kmods.retain(|_, kmod| kmod.audience == Audience::Everybody);
        published.programs.retain(|_, program| program.audience == Audience::Everybody);
        published.files.retain(|_, files| files.audience == Audience::Everybody);
        published.others.retain(|_, program| program.audience == Audience::Everybody);
        published
    }

    /// The recipes without these kmods.
    #[must_use]
    pub fn without(&self, kmods: &BTreeSet<String>) -> Self {
        let mut others = self.clone();
        others.kmods.retain(|name, _| !kmods.contains(name));
        others
    }

    /// The kmods that are compiled from source for a kernel, each after those that it depends on.
    pub fn compiled(&self, line: Line) -> Vec<&Kmod> {
        let is_compiled = |kmod: &&Kmod| kmod.source.is_some() && kmod.kernel.hold(line);
        let mut compiled: Vec<&Kmod> = self.kmods.values().filter(is_compiled).collect();
        compiled.sort_by_key(|kmod| self.dependencies_of(kmod).len());
        compiled
    }

    /// Everything that a kmod depends on, directly or not.
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
        ([], _) | (_, Some(_)) => Some("a compiled kmod names its modules in `modules`, and cannot be `empty`".into()),
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
