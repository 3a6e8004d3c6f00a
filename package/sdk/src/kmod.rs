//! A kernel module package, planned from its recipe and a kernel, as OpenWrt 24.10 builds it.
//!
//! Unlike OpenWrt's own build, which warns about a missing kernel option and makes an empty package with
//! exit code 0, everything that would give an empty or unloadable package is an error here.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use formats::depend::Dependency;
use formats::{Content, Entry, Package};
use model::{Arch, Events, Exit, Failure, Problem, Result};

use crate::local::{Compiled, Kernel, Module, Setting, Use, compiled};
use crate::recipe::{KernelOption, Kmod, Line, ModuleRef, Recipes};
use host::files;

/// The stage's name in events.
pub(crate) const STAGE: &str = "packages";

/// Licence of kernel and modules.
pub(crate) const LICENSE: &str = "GPL-2.0";

/// Maintainer of our packages, to whom users report defects.
pub(crate) const MAINTAINER: &str = env!("CARGO_PKG_AUTHORS");

/// A package that is ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The package to write.
    pub(crate) package: Package,
    /// A remark for the user, such as why it has no module.
    pub(crate) note: Option<String>,
}

/// Plans every kmod for this kernel's line, and the virtual package `kernel`.
///
/// # Errors
/// `KMOD001` an option is not set, `KMOD002` a module is neither a file nor built in, `KMOD003` the package would be
/// empty, `KMOD004` a module was built for another kernel, `KMOD005` a module needs one that no recipe has, `KMOD006` a
/// kernel version without a line, `KMOD007` a compiled module that uses a symbol of a kmod which is not among its
/// dependencies.
pub(crate) fn plan(
    recipes: &Recipes,
    kernel: &Kernel,
    compiled: &CompiledKmods,
    arch: &Arch,
    epoch: u64,
    events: &Events,
) -> Result<Vec<Plan>> {
    let planner = Planner::new(recipes, kernel, compiled, arch, epoch)?;
    let mut plans = vec![planner.kernel_package()?];
    let contents: BTreeMap<&str, Contents> =
        planner.active.iter().map(|(name, kmod)| Ok((*name, planner.contents(kmod)?))).collect::<Result<_>>()?;
    let added = planner.missing_dependencies(&contents, events)?;
    for (name, kmod) in &planner.active {
        let Some(contents) = contents.get(name) else { continue };
        plans.push(planner.package(kmod, contents, added.get(name), events));
    }
    Ok(plans)
}

/// The folders with compiled modules, by the name of the kmod.
pub type CompiledKmods = BTreeMap<String, Utf8PathBuf>;

/// The id of the failure that a compiled module uses a symbol of a kmod that its recipe does not name.
pub const SYMBOL_OF_OTHERS: &str = "KMOD007";

/// Checks that the kernel has the options that a kmod needs.
///
/// # Errors
/// `KMOD001` when it does not.
pub fn check_options(kmod: &Kmod, kernel: &Kernel) -> Result<()> {
    kmod.kconfig.iter().try_for_each(|option| check_option(kmod, kernel, option))
}

/// What is the same for every package of a kernel.
struct Planner<'a> {
    kernel: &'a Kernel,
    compiled: &'a CompiledKmods,
    line: Line,
    arch: &'a Arch,
    epoch: u64,
    /// Recipes that apply to this kernel's line.
    active: BTreeMap<&'a str, &'a Kmod>,
    /// The kmod that has each module.
    owners: BTreeMap<String, &'a str>,
}

/// Dependencies that were added to kmods, by the name of the kmod.
type Added<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The modules of one kmod: those that are files, and those built into the kernel image.
#[derive(Default)]
struct Contents {
    modules: Vec<Module>,
    builtin: Vec<String>,
}

impl<'a> Planner<'a> {
    fn new(
        recipes: &'a Recipes,
        kernel: &'a Kernel,
        compiled: &'a CompiledKmods,
        arch: &'a Arch,
        epoch: u64,
    ) -> Result<Self> {
        let line: Line = kernel.id().version.parse().map_err(|why: String| {
            Failure::of(Problem {
                exit: Exit::Failed,
                id: "KMOD006",
                what: "the kernel's version is not understood",
                why,
                fix: "use another kernel, and report this one",
            })
        })?;
        let active: BTreeMap<_, _> = recipes
            .kmods
            .iter()
            .filter(|(_, kmod)| kmod.kernel.hold(line))
            .map(|(name, kmod)| (name.as_str(), kmod))
            .collect();
        let mut owners = BTreeMap::new();
        for (name, kmod) in &active {
            for module in kmod.modules.iter().filter(|module| module.applies_to(line)) {
                owners.insert(module.name.replace('-', "_"), *name);
            }
        }
        Ok(Planner { kernel, compiled, line, arch, epoch, active, owners })
    }

    /// Finds a kmod's modules and checks what the recipe expects from the kernel.
    fn contents(&self, kmod: &Kmod) -> Result<Contents> {
        check_options(kmod, self.kernel)?;
        if kmod.source.is_some() {
            return self.compiled_contents(kmod);
        }
        let mut contents = Contents::default();
        for wanted in kmod.modules.iter().filter(|module| module.applies_to(self.line)) {
            if self.is_builtin(wanted) {
                contents.builtin.push(wanted.name.clone());
            } else if self.kernel.has_module(&wanted.name) {
                let module = self.kernel.module(&wanted.name)?;
                self.check_vermagic(kmod, &module)?;
                contents.modules.push(module);
            } else {
                return Err(self.refuse(
                    kmod,
                    "KMOD002",
                    format!("module `{}` is missing", wanted.name),
                    "the kernel has it neither as a file nor built in",
                    "give the module's line in the recipe its `since` or `before`, or use a kernel that has it",
                ));
            }
        }
        contents.modules.sort_by(|a, b| a.file_name.cmp(&b.file_name));
        let nothing = contents.modules.is_empty() && contents.builtin.is_empty();
        if nothing && kmod.empty.is_none() {
            return Err(self.refuse(
                kmod,
                "KMOD003",
                "it would be empty".into(),
                "none of its modules applies to this kernel, and the recipe does not say that this is right",
                "limit the recipe to kernels that have its modules (`kernel:`), or say why it is empty (`empty:`)",
            ));
        }
        Ok(contents)
    }

    fn is_builtin(&self, module: &ModuleRef) -> bool {
        let set = |option: &KernelOption| self.kernel.setting(&option.symbol) == Some(Setting::BuiltIn);
        self.kernel.is_builtin(&module.name) || module.option.as_ref().is_some_and(set)
    }

    /// The compiled modules of a kmod.
    fn compiled_contents(&self, kmod: &Kmod) -> Result<Contents> {
        let Some(folder) = self.compiled.get(&kmod.package) else {
            return Err(self.refuse(
                kmod,
                "KMOD008",
                "it was not compiled".into(),
                "its modules are compiled from a source of its own",
                "report this together with the command",
            ));
        };
        let Compiled { modules, uses } = compiled(folder)?;
        modules.iter().try_for_each(|module| self.check_vermagic(kmod, module))?;
        let reachable = self.reachable(kmod, &BTreeMap::new());
        for Use { user, symbol, owner } in uses {
            let kmod_of_it = self.owners.get(owner.as_str()).copied();
            if kmod_of_it.is_some_and(|name| name == kmod.package || reachable.contains(name)) {
                continue;
            }
            let (why, fix) = match kmod_of_it {
                Some(name) => (
                    format!("that module is in {name}, which is not among its dependencies"),
                    format!("add {name} to `depends`"),
                ),
                None => (
                    "no recipe that applies to this kernel has that module, so it could never be loaded".into(),
                    format!("write a recipe for the kmod that holds {owner}, and name it in `depends`"),
                ),
            };
            return Err(self.refuse(
                kmod,
                SYMBOL_OF_OTHERS,
                format!("{user} uses `{symbol}` of module `{owner}`"),
                &why,
                &fix,
            ));
        }
        Ok(Contents { modules, builtin: Vec::new() })
    }

    fn check_vermagic(&self, kmod: &Kmod, module: &Module) -> Result<()> {
        if module.kernel_release() == self.kernel.release() {
            return Ok(());
        }
        Err(self.refuse(
            kmod,
            "KMOD004",
            format!("{} was built for kernel `{}`", module.file_name, module.kernel_release()),
            "the kernel would refuse to load it, or crash if that check is compiled out",
            "fetch image and modules of the same kernel again",
        ))
    }

    /// Dependencies that this kernel's build needs and the recipe lacks. OpenWrt's build stops in that case (`is
    /// missing dependencies for the following libraries`); with its kernel options the case does not arise.
    fn missing_dependencies(&self, contents: &BTreeMap<&str, Contents>, events: &Events) -> Result<Added<'a>> {
        let mut added: Added = BTreeMap::new();
        for (name, kmod) in self.dependencies_first() {
            let mut reachable = self.reachable(kmod, &added);
            for module in contents.get(name).iter().flat_map(|contents| &contents.modules) {
                for needed in module.depends.iter().filter(|needed| !self.kernel.is_builtin(needed)) {
                    let owner = *self.owners.get(needed.replace('-', "_").as_str()).ok_or_else(|| {
                        self.refuse(
                            kmod,
                            "KMOD005",
                            format!("{} needs module `{needed}`", module.file_name),
                            "no recipe that applies to this kernel has that module, so it could never be loaded",
                            "write a recipe for the kmod that has it",
                        )
                    })?;
                    if owner != name && reachable.insert(owner) {
                        added.entry(name).or_default().insert(owner);
                        let text = format!(
                            "{name}: added dependency {owner}, because this kernel's {} needs {needed}",
                            module.name
                        );
                        events.line(STAGE, text);
                    }
                }
            }
        }
        Ok(added)
    }

    /// The kmods, each after those it depends on, so that it also gets the dependencies added to those. There are no
    /// cycles, so a kmod reaches more kmods than any of its dependencies.
    fn dependencies_first(&self) -> Vec<(&'a str, &'a Kmod)> {
        let mut kmods: Vec<_> = self.active.iter().map(|(name, kmod)| (*name, *kmod)).collect();
        kmods.sort_by_key(|(_, kmod)| self.reachable(kmod, &BTreeMap::new()).len());
        kmods
    }

    /// Everything that a kmod depends on, among what applies to this kernel.
    fn reachable(&self, kmod: &'a Kmod, added: &Added<'a>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Kmod> = vec![kmod];
        while let Some(kmod) = open.pop() {
            let gained = added.get(kmod.package.as_str()).into_iter().flatten().copied();
            for name in self.depends(kmod).chain(gained) {
                if found.insert(name) {
                    open.extend(self.active.get(name));
                }
            }
        }
        found
    }

    /// A recipe's dependencies, without those that this kernel's line does not have.
    fn depends<'k>(&self, kmod: &'k Kmod) -> impl Iterator<Item = &'k str> {
        kmod.depends.iter().map(String::as_str).filter(|name| self.active.contains_key(name))
    }

    fn package(&self, kmod: &Kmod, contents: &Contents, added: Option<&BTreeSet<&str>>, events: &Events) -> Plan {
        let id = self.kernel.id();
        let mut depends = vec![Dependency::exactly("kernel", id.package_version())];
        depends.extend(self.depends(kmod).chain(added.into_iter().flatten().copied()).map(Dependency::on));
        let note = remark(kmod, contents);
        if let Some(note) = &note {
            events.line(STAGE, format!("{}: {note}", kmod.package));
        }
        let version = match &kmod.source {
            Some(source) => format!("{}.{}-r{}", id.version, source.version, source.release),
            None => id.kmod_version(),
        };
        let license = kmod.source.as_ref().map_or(LICENSE, |source| &source.license).to_owned();
        let package = Package {
            name: kmod.package.clone(),
            version,
            license,
            depends,
            description: description(kmod, contents, note.as_deref()),
            source: format!("package/recipes/{}.yaml", kmod.package),
            files: self.files(kmod, contents),
            ..self.base()
        };
        Plan { package, note }
    }

    /// The fields that the kernel and all kmods share.
    fn base(&self) -> Package {
        Package {
            architecture: self.arch.to_string(),
            license: LICENSE.into(),
            maintainer: MAINTAINER.into(),
            section: "kernel".into(),
            source_name: "linux".into(),
            source_date_epoch: self.epoch,
            ..Package::default()
        }
    }

    fn files(&self, kmod: &Kmod, contents: &Contents) -> Vec<Entry> {
        let text = |path: String, text: String| Entry::file(path, 0o644, Content::from(text));
        let folder = format!("lib/modules/{}", self.kernel.release());
        let mut entries: Vec<Entry> = contents
            .modules
            .iter()
            .map(|module| Entry::file(format!("{folder}/{}", module.file_name), 0o644, module.bytes.clone().into()))
            .collect();
        if !contents.modules.is_empty() {
            let name = match kmod.autoload.priority {
                Some(priority) => format!("{priority:02}-{}", kmod.short_name()),
                None => kmod.short_name().to_owned(),
            };
            let names =
                contents.modules.iter().map(|module| module.file_name.trim_end_matches(".ko").to_owned() + "\n");
            entries.push(text(format!("etc/modules.d/{name}"), names.collect()));
            if kmod.autoload.boot {
                entries.push(Entry::symlink(format!("etc/modules-boot.d/{name}"), format!("../modules.d/{name}")));
            }
        }
        entries.extend(kmod.files.iter().map(|file| text(file.path.clone(), file.text.clone())));
        entries
    }

    /// The package that every kmod depends on. Images have it installed; as in OpenWrt it is on hold, contains only the
    /// lists of built-in modules, and is not in the feed's index.
    fn kernel_package(&self) -> Result<Plan> {
        let folder = format!("lib/modules/{}", self.kernel.release());
        let mut entries = Vec::new();
        for list in self.kernel.builtin_lists() {
            let name = list.file_name().unwrap_or_default();
            entries.push(Entry::file(format!("{folder}/{name}"), 0o644, files::read(list)?.into()));
        }
        let package = Package {
            name: "kernel".into(),
            version: self.kernel.id().package_version(),
            description: "Virtual kernel package".into(),
            source: "package/recipes".into(),
            hold: true,
            files: entries,
            ..self.base()
        };
        Ok(Plan { package, note: Some("part of the image: not in the feed's index".into()) })
    }

    fn refuse(&self, kmod: &Kmod, id: &'static str, what: String, why: &str, fix: &str) -> Failure {
        refuse(kmod, self.kernel, id, what, why, fix)
    }
}

fn check_option(kmod: &Kmod, kernel: &Kernel, option: &KernelOption) -> Result<()> {
    let KernelOption { symbol, builtin } = option;
    let (what, why) = match kernel.setting(symbol) {
        Some(Setting::BuiltIn) => return Ok(()),
        Some(Setting::Module) if !builtin => return Ok(()),
        Some(Setting::Module) => (format!("CONFIG_{symbol} is `m`"), "the package needs it built in"),
        None => (format!("CONFIG_{symbol} is not set"), "OpenWrt's build would silently make an empty package"),
    };
    Err(refuse(kmod, kernel, "KMOD001", what, why, "use a kernel that has that option"))
}

fn refuse(kmod: &Kmod, kernel: &Kernel, id: &'static str, what: String, why: &str, fix: &str) -> Failure {
    let place = format!("{} on kernel {}", kmod.package, kernel.release());
    Failure::of(Problem { exit: Exit::Failed, id, what, why, fix }).at(place)
}

/// The title; for a package without modules also the reason, which users see, and by which the lint distinguishes a
/// package that is empty on purpose from one that lacks a kernel option.
fn description(kmod: &Kmod, contents: &Contents, note: Option<&str>) -> String {
    match note {
        Some(note) if contents.modules.is_empty() => format!("{}\nEmpty: {note}", kmod.title),
        _ => kmod.title.clone(),
    }
}

/// Why a package has no modules, or fewer than possible.
fn remark(kmod: &Kmod, contents: &Contents) -> Option<String> {
    let builtin = contents.builtin.join(", ");
    match (&kmod.empty, contents.modules.is_empty(), builtin.is_empty()) {
        (_, false, true) => None,
        (_, false, false) => Some(format!("built into this kernel: {builtin}")),
        (_, true, false) => Some(format!("no module files, all built into this kernel: {builtin}")),
        (reason, true, true) => reason.clone(),
    }
}

#[cfg(test)]
mod tests;
