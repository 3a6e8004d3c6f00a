//! Checks the SDK's packages by their content: exit codes and file names prove nothing.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use formats::modinfo::ModuleInfo;
use formats::opened::Opened;
use host::files;
use model::{Digest, Exit, Failure, Problem, Result};

use super::feeds::Program;
use super::literals::Literals;
use super::opened;
use super::own_feed::Listed;
use super::tree::Tree;
use crate::local::{Config, Setting, module_of_path};
use crate::recipe::{KernelOption, Kmod, Line, ModuleRef, Recipes};

/// What is known about the SDK's kernel, for judging kmods without modules.
#[derive(Debug)]
pub(super) struct Kernel {
    config: Config,
    builtin: BTreeSet<String>,
    line: Option<Line>,
}

impl Kernel {
    /// Reads the kernel's configuration and its list of built-in modules.
    pub(super) fn read(tree: &Tree, version: &str) -> Result<Self> {
        let build = tree.kernel_build()?;
        let builtin = files::read_text(&build.join("modules.builtin"))?;
        Ok(Kernel {
            config: Config::parse(&files::read_text(&build.join(".config"))?),
            builtin: builtin.lines().filter_map(module_of_path).collect(),
            line: version.parse().ok(),
        })
    }

    /// The modules that a recipe has for this kernel.
    fn applying<'a>(&self, recipe: &'a Kmod) -> impl Iterator<Item = &'a ModuleRef> {
        let line = self.line;
        recipe.modules.iter().filter(move |module| line.is_none_or(|line| module.applies_to(line)))
    }

    /// Whether a module's code is built into the kernel; its option tells when `modules.builtin` never names it. A
    /// module that is compiled from source is never built in.
    fn has_inside(&self, recipe: &Kmod, module: &ModuleRef) -> bool {
        if recipe.source.is_some() {
            return false;
        }
        let set = |option: &KernelOption| self.config.get(&option.symbol) == Some(Setting::BuiltIn);
        self.builtin.contains(&module.name.replace('-', "_")) || module.option.as_ref().is_some_and(set)
    }

    /// Why a kmod may have no modules; `None` when it must have some.
    fn excuse(&self, recipe: &Kmod) -> Option<String> {
        if let Some(reason) = &recipe.empty {
            return Some(reason.clone());
        }
        let part_of_kernel = self.applying(recipe).all(|module| self.has_inside(recipe, module));
        (self.applying(recipe).next().is_some() && part_of_kernel).then(|| "its modules are part of the kernel".into())
    }

    /// The modules of a recipe that are neither in its package nor built into the kernel.
    fn lacking(&self, recipe: &Kmod, package: &Opened) -> Vec<String> {
        let there: BTreeSet<String> = package.modules().map(|(name, ..)| name).collect();
        let lacking = self.applying(recipe).filter(|module| !there.contains(&module.name.replace('-', "_")));
        lacking.filter(|module| !self.has_inside(recipe, module)).map(|module| module.name.clone()).collect()
    }

    /// The kmods that may have no modules.
    pub(super) fn empty(&self, recipes: &Recipes) -> Vec<String> {
        let empty = recipes.kmods.values().filter(|recipe| self.excuse(recipe).is_some());
        empty.map(|recipe| recipe.package.clone()).collect()
    }

    /// Checks that the kernel has the options that a compiled kmod needs.
    ///
    /// # Errors
    /// `SDK053` when it does not.
    pub(super) fn has_options_of(&self, recipe: &Kmod) -> Result<()> {
        let lacks = |option: &&KernelOption| match self.config.get(&option.symbol) {
            Some(Setting::BuiltIn) => false,
            Some(Setting::Module) => option.builtin,
            None => true,
        };
        let Some(KernelOption { symbol, builtin }) = recipe.kconfig.iter().find(lacks) else { return Ok(()) };
        Err(Failure::of(Problem {
            exit: Exit::Failed,
            id: "SDK053",
            what: format!("{} needs CONFIG_{symbol}, and this release's kernel does not have it", recipe.package),
            why: if *builtin {
                "it must be built in, not a module"
            } else {
                "it is not set; its modules would not load"
            },
            fix: "limit the recipe to kernels that have it (`kernel: {since: …, before: …}`); an option of a release's kernel \
                  cannot be changed here",
        }))
    }

    /// The options that a kmod's recipe needs and the kernel does not have.
    fn unset(&self, recipe: &Kmod) -> Vec<String> {
        let unset = recipe.kconfig.iter().filter(|option| self.config.get(&option.symbol).is_none());
        unset.map(|option| format!("CONFIG_{}", option.symbol)).collect()
    }
}

/// The newest version of each package in the SDK's output, by name.
pub(super) fn collect(tree: &Tree, format: Format, wanted: &BTreeSet<&str>) -> Result<BTreeMap<String, Vec<Opened>>> {
    let mut found: BTreeMap<String, Vec<Opened>> = BTreeMap::new();
    for folder in tree.package_folders() {
        for file in files_of(&folder, format)? {
            // Only likely files are opened; the name in the package counts.
            let name = file.file_name().unwrap_or_default();
            if wanted.iter().any(|wanted| name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(['_', '-']))) {
                let opened = opened::read(&file, format)?;
                found.entry(opened.name.clone()).or_default().push(opened);
            }
        }
    }
    Ok(found)
}

fn files_of(folder: &Utf8Path, format: Format) -> Result<Vec<Utf8PathBuf>> {
    let io = |error: std::io::Error| Failure::io("list the SDK's output", folder, &error);
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().map_err(io)? {
        let path = entry.map_err(io)?.into_path();
        if path.extension() == Some(format.extension()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A package that passed, and a remark about it.
pub(super) type Good = (Opened, Option<String>);

/// Checks a kmod, of the kernel's own tree or compiled from source.
///
/// # Errors
/// `SDK061` it was not built, `SDK062` its version, `SDK063` its architecture, `SDK064` its kernel, `SDK065` it has no
/// module, `SDK066` it has a path of this machine, `SDK067` a module of another kernel, `SDK069` a missing module,
/// `SDK071` it is signed.
pub(super) fn kmod(
    found: &mut BTreeMap<String, Vec<Opened>>,
    name: &str,
    literals: &Literals,
    kernel: &Kernel,
    recipes: &Recipes,
    tree: &Tree,
) -> Result<Good> {
    let source = recipes.kmods.get(name).and_then(|recipe| recipe.source.as_ref());
    let version = source.map_or_else(|| literals.kmod_version(), |source| literals.compiled_version(source));
    let package = take(found, name, &version)?;
    common(&package, literals, tree)?;
    of_kernel(package, literals, kernel, recipes)
}

/// Checks a package of the user's own feed.
///
/// # Errors
/// As [`kmod`].
pub(super) fn of_feed(
    found: &mut BTreeMap<String, Vec<Opened>>,
    listed: &Listed,
    literals: &Literals,
    kernel: &Kernel,
    tree: &Tree,
) -> Result<Good> {
    let package = take(found, &listed.name, &listed.version)?;
    if package.architecture != "all" {
        of_architecture(&package, literals)?;
    }
    as_published(&package, tree)?;
    if package.is_kmod() { of_kernel(package, literals, kernel, &Recipes::default()) } else { Ok((package, None)) }
}

/// Checks one of the kernel's own kmods that the user's feed needs; which modules it must have is up to the release.
///
/// # Errors
/// As [`kmod`].
pub(super) fn needed(
    found: &mut BTreeMap<String, Vec<Opened>>,
    name: &str,
    literals: &Literals,
    tree: &Tree,
) -> Result<Good> {
    let package = take(found, name, &literals.kmod_version())?;
    common(&package, literals, tree)?;
    let note = package.modules().next().is_none().then(|| "its modules are part of the kernel".to_owned());
    Ok((package, note))
}

/// Checks the kernel that a kmod package depends on, and its modules.
fn of_kernel(package: Opened, literals: &Literals, kernel: &Kernel, recipes: &Recipes) -> Result<Good> {
    let name = package.name.clone();
    let wanted = literals.kernel_package_version();
    if package.kernel() != Some(wanted.as_str()) {
        let has = package.kernel().unwrap_or("no single one");
        return Err(bad(
            &package,
            "SDK064",
            format!("{name} depends on kernel {has}, the SDK's is {wanted}"),
            "routers with this release's kernel would refuse it, or worse, other routers would load it",
            RELEASE,
        ));
    }
    for (_, file, module) in package.modules() {
        // OpenWrt's kernels may leave the vermagic out of modules: then only the dependency can be checked.
        let built_for = module.as_ref().ok().map(ModuleInfo::kernel_release);
        if let Some(release) = built_for.filter(|release| *release != literals.kernel.version) {
            let path = &file.entry.path;
            return Err(bad(
                &package,
                "SDK067",
                format!("{path} was built for kernel {release}, not for {}", literals.kernel.version),
                "OpenWrt's kernels load it without a check, and crash",
                RELEASE,
            ));
        }
    }
    if package.modules().next().is_none() {
        let note = no_module(&package, kernel, recipes)?;
        return Ok((package, Some(note)));
    }
    match recipes.kmods.get(&name).map(|recipe| kernel.lacking(recipe, &package)).unwrap_or_default().as_slice() {
        [] => Ok((package, None)),
        lacking => Err(bad(
            &package,
            "SDK069",
            format!("{name} lacks {}", lacking.join(", ")),
            "its recipe names them, and they are not built into this kernel either: modules that need them would not \
             load",
            "if this kernel has no such module, give it `since` or `before` in the recipe; else report the release",
        )),
    }
}

/// A missing kernel option gives an empty package, a warning and exit code 0.
fn no_module(package: &Opened, kernel: &Kernel, recipes: &Recipes) -> Result<String> {
    let recipe = recipes.kmods.get(&package.name);
    if let Some(reason) = recipe.and_then(|recipe| kernel.excuse(recipe)) {
        return Ok(reason);
    }
    let unset = recipe.map(|recipe| kernel.unset(recipe)).unwrap_or_default();
    let why = match &unset[..] {
        [] => {
            "OpenWrt's build makes an empty package, and reports no error, when the kernel lacks an option".to_owned()
        }
        options => {
            format!("the kernel was built without {}; OpenWrt's build then makes an empty package", options.join(", "))
        }
    };
    let fix = "if these kernels should not have it, add `kernel: {since: …, before: …}` to the recipe, or `empty: \
               REASON` if it should be empty; an option of a release's kernel cannot be changed here";
    Err(bad(package, "SDK065", format!("{} contains no module", package.name), &why, fix))
}

/// Checks the package of a program that was built outside the SDK.
///
/// # Errors
/// As [`kmod`], and `SDK068` when the program in it is not the one that was built.
pub(super) fn program(
    found: &mut BTreeMap<String, Vec<Opened>>,
    program: &Program,
    literals: &Literals,
    tree: &Tree,
) -> Result<Good> {
    let package = take(found, &program.package, &literals.with_release(&program.version, program.release))?;
    common(&package, literals, tree)?;
    let built = Some(Digest::of(files::read(&program.binary)?));
    match package.files.iter().find(|file| file.entry.path == program.install) {
        Some(file) if file.sha256 == built => Ok((package, None)),
        other => Err(bad(
            &package,
            "SDK068",
            format!("{} in {} is not the program that was built", program.install, program.package),
            if other.is_some() { "the SDK stripped or changed it" } else { "the package has no such file" },
            "check that the Makefile below package/feed sets RSTRIP and STRIP to `:` and installs to the recipe's path",
        )),
    }
}

/// The package with this name and version; other versions are left over from earlier builds.
fn take(found: &mut BTreeMap<String, Vec<Opened>>, name: &str, version: &str) -> Result<Opened> {
    let mut candidates = found.remove(name).unwrap_or_default();
    if let Some(index) = candidates.iter().position(|package| package.version == version) {
        return Ok(candidates.swap_remove(index));
    }
    match candidates.pop() {
        Some(other) => Err(bad(
            &other,
            "SDK062",
            format!("the SDK built version {} of {name}, expected was {version}", other.version),
            "the version in the package's Makefile differs from that of the kernel or program",
            "set PKG_VERSION and PKG_RELEASE in the Makefile below package/feed to those of Cargo.toml and the recipe",
        )),
        None => Err(Failure::of(Problem {
            exit: Exit::Failed,
            id: "SDK061",
            what: format!("the SDK did not build {name}"),
            why: "its build ended without an error, as it does for packages that are not selected",
            fix: "run the same command again with -v; it starts with a new tree of the SDK and shows the build's \
                  output",
        })),
    }
}

fn common(package: &Opened, literals: &Literals, tree: &Tree) -> Result<()> {
    of_architecture(package, literals)?;
    as_published(package, tree)
}

fn of_architecture(package: &Opened, literals: &Literals) -> Result<()> {
    if package.architecture != literals.arch.0 {
        return Err(bad(
            package,
            "SDK063",
            format!("{} is for {}, the SDK is for {}", package.name, package.architecture, literals.arch),
            "routers with this target would not install it",
            "remove PKGARCH from the Makefile below package/feed; if the package is not ours, report the release",
        ));
    }
    Ok(())
}

/// Checks what must be true of every package in a feed.
fn as_published(package: &Opened, tree: &Tree) -> Result<()> {
    if package.file.signatures > 0 {
        return Err(bad(
            package,
            "SDK071",
            format!("{} is signed", package.name),
            "the SDK signs with a key that it generated itself: no router trusts it, and no two builds are equal",
            "check that its `.config` has `# CONFIG_SIGN_EACH_PACKAGE is not set`; if it has, report the release",
        ));
    }
    if package.source.starts_with('/') || package.source.contains(tree.folder().as_str()) {
        return Err(bad(
            package,
            "SDK066",
            format!("{} says that its source is {}", package.name, package.source),
            "paths of the build machine differ between builds, and should not be published",
            "find out what sets SOURCE in the Makefile below package/feed; if nothing does, report it",
        ));
    }
    Ok(())
}

/// The fix for a faulty kernel package, which no recipe of ours can change.
const RELEASE: &str = "run the same command again, which starts with a new tree of the SDK; if it happens again, \
                       check that the SDK is the release's own (`cargo xtask lock --check`), and report the release";

fn bad(package: &Opened, id: &'static str, what: String, why: &str, fix: &str) -> Failure {
    Failure::of(Problem { exit: Exit::Failed, id, what, why, fix }).at(&package.path)
}
