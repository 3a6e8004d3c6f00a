//! Compiles modules from source in a [`BuildRoot`], with the kernel's own build system.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Cancel, Events, Exit, Failure, Problem, Result};

use super::build_root::BuildRoot;
use super::kernel::Kernel;
use super::module::{Module, name_of_path, normal};
use super::symbols::{Exports, Symbols};
use crate::kbuild::Said;
use crate::recipe::{Kmod, Line, Source};

/// The stage's name in events.
const STAGE: &str = "modules";

/// The symbols that a kmod exports, in a file beside its modules.
const SYMVERS: &str = "Module.symvers";

/// The symbols that its modules use of other modules, in lines `MODULE SYMBOL OWNER`.
const USES: &str = "uses";

/// What to compile.
#[derive(Debug, Clone, Copy)]
pub struct Compile<'a> {
    /// A kmod with a source.
    pub kmod: &'a Kmod,
    /// The kernel that will load its modules.
    pub kernel: &'a Kernel,
    /// The root in which they are compiled; the caller holds the lock of its stage.
    pub root: &'a BuildRoot,
    /// Results of the compiled kmods that it depends on.
    pub needs: &'a [&'a Utf8Path],
    /// Number of parallel jobs.
    pub jobs: NonZeroUsize,
}

/// The result of compiling a kmod.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// The modules as they will be packed.
    pub(crate) modules: Vec<Module>,
    /// The symbols that they use of other modules.
    pub(crate) uses: Vec<Use>,
}

/// A symbol that a module uses of another module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// File name of the module that uses it.
    pub(crate) user: String,
    /// Name of the symbol.
    pub(crate) symbol: String,
    /// Name of the module that exports it.
    pub(crate) owner: String,
}

/// Compiles a kmod's modules into the empty folder `out`; returns their file names.
///
/// # Errors
/// `BLD001` as in entering the root, `BLD003` it does not compile, `BLD004` a symbol that nothing exports, `BLD005` no
/// compiler, `BLD006` the build failed otherwise, `BLD007` a module that was not built, `BLD008` one that is empty.
pub fn compile(request: &Compile<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<String>> {
    let Compile { kmod, kernel, root, needs, jobs } = *request;
    let Some(source) = &kmod.source else { return Ok(Vec::new()) };
    let place = || format!("{} on kernel {}", kmod.package, kernel.release());
    let (folder, inside) = root.begin(&kmod.package)?;
    source.copy(&folder)?;
    let mut exports = root.exports()?;
    let extra = take_symbols(needs, &folder, &inside, &mut exports)?;

    let build = Build { kernel, root, events, cancel };
    let mut said = Said::new(&inside);
    let words = make_words(root, source, &inside, &extra, jobs);
    let ended = build.run(&words, |line| said.take(line))?;
    if !ended.success() {
        return Err(said.failure(&line_of(kernel)).at(place()));
    }

    let made = made(&folder)?;
    let mut names = Vec::new();
    let mut uses = String::new();
    for wanted in wanted(kmod, kernel) {
        let Some(path) = made.get(&normal(wanted)) else {
            return Err(not_made(wanted, &made).at(place()));
        };
        let below = path.strip_prefix(&folder).unwrap_or(path);
        let file = format!("{inside}/{below}");
        let mut said = Said::new(&inside);
        if !build.run(&["/usr/bin/strip", "--strip-debug", &file], |line| said.take(line))?.success() {
            return Err(said.failure(&line_of(kernel)).at(place()));
        }
        let name = format!("{wanted}.ko");
        let bytes = files::read(path)?;
        let symbols = Symbols::read(&bytes).filter(|symbols| symbols.does_something);
        let symbols = symbols.ok_or_else(|| empty(&name).at(place()))?;
        uses.extend(of_others(&symbols, &exports).map(|(symbol, owner)| format!("{name} {symbol} {owner}\n")));
        files::write(&out.join(&name), bytes)?;
        Module::read(&out.join(&name))?;
        names.push(name);
    }
    files::write(&out.join(USES), uses)?;
    let symvers = folder.join(SYMVERS);
    files::write(&out.join(SYMVERS), if symvers.exists() { files::read(&symvers)? } else { Vec::new() })?;
    for (name, path) in &made {
        if !names.iter().any(|wanted| name_of_path(wanted).as_ref() == Some(name)) {
            let file = path.file_name().unwrap_or_default();
            events.line(STAGE, format!("{}: {file} was built too, but its recipe does not name it", kmod.package));
        }
    }
    Ok(names)
}

/// Reads what [`compile`] made.
pub(crate) fn compiled(folder: &Utf8Path) -> Result<Compiled> {
    let paths = files::with_extension(folder, &["ko"])?;
    let modules = paths.iter().map(|path| Module::read(path)).collect::<Result<Vec<_>>>()?;
    let list = files::read_text(&folder.join(USES))?;
    let uses = list.lines().filter_map(|line| {
        let [user, symbol, owner] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        Some(Use { user: user.into(), symbol: symbol.into(), owner: owner.into() })
    });
    Ok(Compiled { modules, uses: uses.collect() })
}

/// The name of a kernel in messages.
fn line_of(kernel: &Kernel) -> String {
    kernel.id().version.parse::<Line>().map_or(kernel.release().to_owned(), |line| line.to_string())
}

/// The modules that a kmod has on a kernel.
fn wanted<'a>(kmod: &'a Kmod, kernel: &Kernel) -> impl Iterator<Item = &'a str> {
    let line: Option<Line> = kernel.id().version.parse().ok();
    let applies = kmod.modules.iter().filter(move |module| line.is_none_or(|line| module.applies_to(line)));
    applies.map(|module| module.name.as_str())
}

/// Passes the symbols that its dependencies export to the build: `KBUILD_EXTRA_SYMBOLS`.
fn take_symbols(needs: &[&Utf8Path], folder: &Utf8Path, inside: &str, exports: &mut Exports) -> Result<String> {
    let mut files_inside = Vec::new();
    for (number, needed) in needs.iter().enumerate() {
        let text = files::read_text(&needed.join(SYMVERS))?;
        let name = format!("needs-{number}.symvers");
        exports.add(&text);
        files::write(&folder.join(&name), text)?;
        files_inside.push(format!("{inside}/{name}"));
    }
    Ok(files_inside.join(" "))
}

fn make_words(root: &BuildRoot, source: &Source, inside: &str, extra: &str, jobs: NonZeroUsize) -> Vec<String> {
    let own = source.make.iter().map(|(name, value)| format!("{name}={value}"));
    let words = ["/usr/bin/make".into(), format!("-j{jobs}"), "-C".into(), root.headers(), format!("M={inside}")];
    let ours = [
        format!("KBUILD_EXTRA_SYMBOLS={extra}"),
        // Routers do not have BTF, and it needs a tool that only some suites have.
        "CONFIG_DEBUG_INFO_BTF_MODULES=".into(),
        "modules".into(),
    ];
    words.into_iter().chain(own).chain(ours).collect()
}

/// The common part of every program that is run for a build.
struct Build<'a> {
    kernel: &'a Kernel,
    root: &'a BuildRoot,
    events: &'a Events,
    cancel: &'a Cancel,
}

impl Build<'_> {
    /// Runs a program; the builder's name and the time are fixed.
    fn run<W: AsRef<str>>(&self, words: &[W], mut each: impl FnMut(&str)) -> Result<host::Ended> {
        let epoch = self.kernel.built().to_string();
        let variables = [
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/tmp"),
            ("LC_ALL", "C"),
            ("SOURCE_DATE_EPOCH", epoch.as_str()),
            ("KBUILD_BUILD_TIMESTAMP", "1970-01-01 00:00:00Z"),
            ("KBUILD_BUILD_USER", "builder"),
            ("KBUILD_BUILD_HOST", "localhost"),
        ];
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.root.run(&variables, &words, self.cancel, |line| {
            self.events.line(STAGE, line);
            each(line);
        })
    }
}

/// The module files below a folder, by name.
fn made(folder: &Utf8Path) -> Result<BTreeMap<String, Utf8PathBuf>> {
    let mut found = BTreeMap::new();
    super::module::index(folder, &mut found)?;
    Ok(found)
}

/// Symbols that neither the kernel itself nor a module of the same kmod exports.
fn of_others<'a>(symbols: &'a Symbols, exports: &'a Exports) -> impl Iterator<Item = (&'a str, &'a str)> {
    let owned = symbols.used.iter().filter_map(|symbol| Some((symbol.as_str(), exports.of(symbol)?)));
    owned.filter(|(_, owner)| *owner != "vmlinux")
}

fn not_made(wanted: &str, made: &BTreeMap<String, Utf8PathBuf>) -> Failure {
    let files: Vec<&str> = made.values().filter_map(|path| path.file_name()).collect();
    let there = if files.is_empty() { "no module at all".to_owned() } else { files.join(", ") };
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "BLD007",
        what: format!("its build did not make {wanted}.ko"),
        why: format!("it ended without an error and made {there}"),
        fix: "check that the Kbuild file has it in `obj-m`, with the options that the recipe passes to make",
    })
}

fn empty(name: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "BLD008",
        what: format!("{name} is empty"),
        why: "it neither does something when loaded nor exports anything",
        fix: "check that the Kbuild file names the objects of the module (`NAME-y := …`)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_made_or_has_nothing_in_it_is_told() {
        assert!(not_made("x", &BTreeMap::new()).to_string().contains("no module at all"));
        let failure = not_made("x", &BTreeMap::from([("y".into(), "/build/y.ko".into())]));
        assert_eq!(failure.id(), "BLD007");
        assert!(failure.to_string().contains("made y.ko"), "{failure}");
        assert_eq!(empty("x.ko").id(), "BLD008");
    }

    #[test]
    fn symbols_of_other_modules_are_told_with_their_owner() {
        let mut exports = Exports::default();
        exports.add("0x0\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x0\tflow\tnet/nf_flow_table\tEXPORT_SYMBOL_GPL\t\n");
        let used = ["flow", "module_layout", "printk"].map(str::to_owned).to_vec();
        let symbols = Symbols { used, does_something: true };
        assert_eq!(of_others(&symbols, &exports).collect::<Vec<_>>(), [("flow", "nf_flow_table")]);
    }
}
