//! Recipes: what to build, and what must be true of it. Strict YAML, one package a file.
//!
//! A file `kmod-NAME.yaml` describes a kernel module package the way OpenWrt 24.10 defines it; any other
//! name a program of this workspace. A kmod recipe is also an expectation: the same words are checked
//! against whatever kernel is at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result, yaml};
use serde::Deserialize;

/// A kernel module package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kmod {
    #[serde(rename = "version")]
    _version: u32,
    /// Such as `kmod-nft-offload`; also the file's name.
    pub package: String,
    /// What it is for, one line.
    pub title: String,
    /// Kernels that have it; on others it is not built, and nothing depends on it.
    #[serde(default)]
    pub kernel: Bounds,
    /// Options that the kernel must have been built with.
    #[serde(default)]
    pub kconfig: Vec<KernelOption>,
    /// Its modules.
    #[serde(default)]
    pub modules: Vec<ModuleRef>,
    /// Why it may have no module at all.
    pub empty: Option<String>,
    /// Other kmods that it needs.
    #[serde(default)]
    pub depends: Vec<String>,
    /// When its modules are loaded.
    #[serde(default)]
    pub autoload: Autoload,
    /// Further files.
    #[serde(default)]
    pub files: Vec<TextFile>,
}

impl Kmod {
    /// The name without `kmod-`: the file in `/etc/modules.d`.
    pub fn short_name(&self) -> &str {
        self.package.strip_prefix(KMOD).unwrap_or(&self.package)
    }
}

/// Names of kernel module packages begin with it.
const KMOD: &str = "kmod-";

/// A kernel option, `SYMBOL` (built in or a module) or `SYMBOL=y` (built in), without `CONFIG_`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KernelOption {
    /// Such as `NF_FLOW_TABLE`.
    pub symbol: String,
    /// Whether `m` is not enough.
    pub builtin: bool,
}

/// A module and the kernels that have it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleRef {
    /// File name without `.ko`.
    pub name: String,
    /// First kernel that has it as a module, such as `5.13`.
    pub since: Option<Line>,
    /// First kernel that no longer has it.
    pub before: Option<Line>,
    /// The option behind it, where that is or became a plain yes or no: when set, the module's code is part
    /// of the kernel, though `modules.builtin` names only what could have been a module.
    pub option: Option<KernelOption>,
}

/// Kernel lines from `since` on, up to but without `before`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// First line.
    pub since: Option<Line>,
    /// First line that is out again.
    pub before: Option<Line>,
}

impl Bounds {
    /// Whether a kernel lies within.
    pub fn hold(self, line: Line) -> bool {
        self.since.is_none_or(|since| line >= since) && self.before.is_none_or(|before| line < before)
    }
}

impl ModuleRef {
    /// Whether a kernel is meant to have it.
    pub fn applies_to(&self, line: Line) -> bool {
        Bounds { since: self.since, before: self.before }.hold(line)
    }
}

/// A kernel's line, the first two numbers of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Line {
    major: u32,
    minor: u32,
}

/// How OpenWrt's `kmodloader` treats the modules: with a priority in that order at boot, otherwise
/// probed with their dependencies after those (`AutoLoad` and `AutoProbe` of include/kernel.mk).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoload {
    /// 0 to 99; smaller is earlier.
    pub priority: Option<u8>,
    /// Also before the root file system is set up (`/etc/modules-boot.d`).
    #[serde(default)]
    pub boot: bool,
}

/// A small file that a package brings, mode 0644.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    /// Path without leading slash.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A program of this workspace, linked statically.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    #[serde(rename = "version")]
    _version: u32,
    /// Name of the package; also the file's name.
    pub package: String,
    /// What it is for, one line.
    pub title: String,
    /// More lines.
    #[serde(default)]
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Menu section.
    pub section: String,
    /// Raised when the packaging changes and the program's version does not.
    pub release: u32,
    /// Where the program comes from.
    pub cargo: CargoSource,
    /// Path on the router, without leading slash.
    pub install: String,
    /// Bytes that the installed files may have in all.
    pub max_installed_size: Budget,
    /// Packages that it needs.
    #[serde(default)]
    pub depends: Vec<String>,
}

/// Bytes that a static program may have, by the C library that is linked into it: glibc alone brings
/// some 900 kB, so what ships (musl) and what stands in for it cannot share one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// With Rust's musl target.
    pub musl: u64,
    /// On a host that has only the gnu target.
    pub glibc: u64,
}

/// A binary target of a cargo package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CargoSource {
    /// The cargo package.
    pub package: String,
    /// Its binary.
    pub binary: String,
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split(|character: char| !character.is_ascii_digit());
        let mut next = || numbers.next().and_then(|digits| digits.parse().ok());
        match (next(), next()) {
            (Some(major), Some(minor)) => Ok(Line { major, minor }),
            _ => Err(format!("`{text}` is no kernel version such as \"6.12\"")),
        }
    }
}

impl TryFrom<String> for Line {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl TryFrom<String> for KernelOption {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (symbol, builtin) = match text.split_once('=') {
            None => (text.as_str(), false),
            Some((symbol, "y")) => (symbol, true),
            Some(_) => return Err(format!("`{text}`: only `=y` can be asked of a kernel option")),
        };
        let plain = |character: char| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_';
        if symbol.is_empty() || symbol.starts_with("CONFIG_") || !symbol.chars().all(plain) {
            return Err(format!("`{text}` is no kernel option, written without CONFIG_"));
        }
        Ok(KernelOption { symbol: symbol.into(), builtin })
    }
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
    /// `RCP005` no recipe at all.
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
            let kmod: Kmod = yaml::load(path)?;
            let package = kmod.package.clone();
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
        }
        Ok(())
    }

    /// Everything that a kmod depends on, at any distance.
    pub(crate) fn dependencies_of<'a>(&'a self, kmod: &'a Kmod) -> BTreeSet<&'a str> {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Recipes from pairs of file name and text.
    pub(crate) fn load(files: &[(&str, &str)]) -> Result<Recipes> {
        let directory = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(directory.path()).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), format!("version: 1\n{text}")).unwrap();
        }
        Recipes::load(&[folder.to_owned()])
    }

    fn refused(files: &[(&str, &str)]) -> (&'static str, Exit) {
        let failure = load(files).unwrap_err();
        (failure.id(), failure.exit())
    }

    #[test]
    fn the_recipes_of_this_repository_fit_together() {
        let recipes = Recipes::load(&[concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes").into()]).unwrap();
        // The closure of kmod-nft-offload as OpenWrt 22.03 to 25.12 have it: 15 packages with itself.
        let closure = recipes.dependencies_of(&recipes.kmods["kmod-nft-offload"]);
        assert_eq!(closure.len(), 14);
        let nat = recipes.dependencies_of(&recipes.kmods["kmod-nft-nat"]);
        let only_offload: Vec<_> = closure.difference(&nat).copied().collect();
        assert_eq!(only_offload, ["kmod-nf-flow", "kmod-nft-nat"]);
        assert!(recipes.programs.contains_key("offloadctl"));
    }

    #[test]
    fn a_further_folder_adds_recipes_and_replaces_those_of_the_same_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let put = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), format!("version: 1\n{text}")).unwrap();
        };
        let module = |package: &str, title: &str, module: &str| {
            format!("package: {package}\ntitle: {title}\nmodules:\n  - name: {module}\n")
        };
        put("ours/kmod-a.yaml", &module("kmod-a", "ours", "a"));
        put("theirs/kmod-a.yaml", &module("kmod-a", "theirs", "a"));
        put("theirs/kmod-b.yaml", &(module("kmod-b", "b", "b") + "depends: [kmod-a]\n"));
        let folders = [root.join("ours"), root.join("theirs")];
        let recipes = Recipes::load(&folders).unwrap();
        assert_eq!(recipes.kmods.keys().collect::<Vec<_>>(), ["kmod-a", "kmod-b"]);
        assert_eq!(recipes.kmods["kmod-a"].title, "theirs");
        put("theirs/kmod-c.yaml", &module("kmod-c", "c", "a"));
        let failure = Recipes::load(&folders).unwrap_err();
        assert_eq!(
            (failure.id(), failure.finding().place.clone()),
            ("RCP004", Some(root.join("theirs/kmod-c.yaml").into()))
        );
        let failure = Recipes::load(&[root.join("none")]).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("IO004", Exit::Usage));
    }

    #[test]
    fn recipes_that_do_not_fit_together_are_refused() {
        let a = ("kmod-a.yaml", "package: kmod-a\ntitle: a\nmodules: [{name: x-y}]\ndepends: [kmod-b]\n");
        let b = |depends: &str| format!("package: kmod-b\ntitle: b\nmodules: [{{name: z}}]\ndepends: [{depends}]\n");
        assert!(load(&[a, ("kmod-b.yaml", &b(""))]).is_ok());
        assert_eq!(refused(&[("kmod-c.yaml", a.1)]), ("RCP001", Exit::Usage));
        assert_eq!(refused(&[a]), ("RCP002", Exit::Usage));
        assert_eq!(refused(&[a, ("kmod-b.yaml", &b("kmod-a"))]), ("RCP003", Exit::Usage));
        let twice = b("").replace('z', "x_y");
        assert_eq!(refused(&[a, ("kmod-b.yaml", &twice)]), ("RCP004", Exit::Usage));
        assert_eq!(refused(&[("notes.txt", "")]), ("RCP005", Exit::Usage));
    }

    #[test]
    fn what_a_recipe_does_not_have_is_refused_with_its_line() {
        for (line, word) in [
            ("colour: red", "colour"),
            ("kconfig: [CONFIG_X]", "CONFIG_X"),
            ("kconfig: [X=m]", "X=m"),
            ("kconfig: [\"\"]", "kernel option"),
            ("kernel: {before: six}", "six"),
            ("kernel: {until: \"6.1\"}", "until"),
            ("modules: [{name: x, before: \"6\"}]", "`6`"),
            ("autoload: {priority: 300}", "priority"),
        ] {
            let failure = load(&[("kmod-a.yaml", &format!("package: kmod-a\ntitle: a\n{line}\n"))]).unwrap_err();
            assert_eq!(failure.id(), "CONF001", "{line}");
            let text = failure.to_string();
            assert!(text.contains(word) && text.contains("kmod-a.yaml:4"), "{text}");
        }
    }

    #[test]
    fn bounds_compare_numbers() {
        let line = |text: &str| text.parse::<Line>().unwrap();
        let bounds = Bounds { since: Some(line("5.13")), before: Some(line("6.2")) };
        for (version, holds) in
            [("5.4.1", false), ("5.13", true), ("6.1.192", true), ("6.2-rc1", false), ("6.12", false), ("10.0", false)]
        {
            assert_eq!(bounds.hold(line(version)), holds, "{version}");
        }
        assert_eq!(line("6.12.94").to_string(), "6.12");
        assert!(Bounds::default().hold(line("0.1")));
    }
}
