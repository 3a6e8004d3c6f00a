//! Compiles modules from source in a [`BuildRoot`], by the kernel's own build.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Cancel, Events, Exit, Failure, Problem, Result};

use super::build_root::BuildRoot;
use super::kernel::Kernel;
use super::module::{Module, name_of_path, normal};
use super::symbols::{Exports, Symbols};
use crate::recipe::{Kmod, Line, Source};

/// The stage's name in events.
const STAGE: &str = "modules";

/// What a kmod exports, beside its modules.
const SYMVERS: &str = "Module.symvers";

/// What its modules use of other modules: lines `MODULE SYMBOL OWNER`.
const USES: &str = "uses";

/// Lines of the build's output kept for a message.
const TAIL: usize = 15;

/// What to compile.
#[derive(Debug, Clone, Copy)]
pub struct Compile<'a> {
    /// A kmod with a source.
    pub kmod: &'a Kmod,
    /// The kernel that is to load its modules.
    pub kernel: &'a Kernel,
    /// Where they are compiled; the caller holds the lock of its stage.
    pub root: &'a BuildRoot,
    /// The results of the compiled kmods that it depends on.
    pub needs: &'a [&'a Utf8Path],
    /// Jobs at once.
    pub jobs: NonZeroUsize,
}

/// Modules that were compiled.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// As they are to be packed.
    pub(crate) modules: Vec<Module>,
    /// What they use of other modules.
    pub(crate) uses: Vec<Use>,
}

/// A symbol that a module uses of another one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The file that uses it.
    pub(crate) user: String,
    /// Its name.
    pub(crate) symbol: String,
    /// The module that has it.
    pub(crate) owner: String,
}

/// Compiles a kmod's modules into the empty folder `out`; returns their file names.
///
/// # Errors
/// `BLD001` as in entering the root, `BLD003` it does not compile, `BLD004` a symbol that nobody has, `BLD005` no
/// compiler, `BLD006` the build failed in another way, `BLD007` a module that was not made, `BLD008` one with nothing
/// in it.
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
        return Err(said.failure(kernel).at(place()));
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
            return Err(said.failure(kernel).at(place()));
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
            events.line(STAGE, format!("{}: {file} was made too, and its recipe does not name it", kmod.package));
        }
    }
    Ok(names)
}

/// Opens what [`compile`] made.
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

/// The modules that a kmod has on a kernel.
fn wanted<'a>(kmod: &'a Kmod, kernel: &Kernel) -> impl Iterator<Item = &'a str> {
    let line: Option<Line> = kernel.id().version.parse().ok();
    let applies = kmod.modules.iter().filter(move |module| line.is_none_or(|line| module.applies_to(line)));
    applies.map(|module| module.name.as_str())
}

/// Gives the build what its dependencies export: `KBUILD_EXTRA_SYMBOLS`.
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
        // Routers have none, and it depends on a tool that some suites have.
        "CONFIG_DEBUG_INFO_BTF_MODULES=".into(),
        "modules".into(),
    ];
    words.into_iter().chain(own).chain(ours).collect()
}

/// What is the same for every program that is run for a build.
struct Build<'a> {
    kernel: &'a Kernel,
    root: &'a BuildRoot,
    events: &'a Events,
    cancel: &'a Cancel,
}

impl Build<'_> {
    /// Runs a program; who built what and when is always the same.
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

/// The module files in a folder and those below it, by name.
fn made(folder: &Utf8Path) -> Result<BTreeMap<String, Utf8PathBuf>> {
    let mut found = BTreeMap::new();
    super::module::index(folder, &mut found)?;
    Ok(found)
}

/// Symbols that neither the kernel itself nor a module of the same kmod has.
fn of_others<'a>(symbols: &'a Symbols, exports: &'a Exports) -> impl Iterator<Item = (&'a str, &'a str)> {
    let owned = symbols.used.iter().filter_map(|symbol| Some((symbol.as_str(), exports.of(symbol)?)));
    owned.filter(|(_, owner)| *owner != "vmlinux")
}

/// What a build said, as far as it tells why it failed.
struct Said {
    /// Paths of the build are told without it.
    folder: String,
    error: Option<String>,
    missing: Option<String>,
    compiler: Option<String>,
    tail: VecDeque<String>,
}

impl Said {
    fn new(inside: &str) -> Self {
        Said { folder: format!("{inside}/"), error: None, missing: None, compiler: None, tail: VecDeque::new() }
    }

    fn take(&mut self, line: &str) {
        let line = line.replace(&self.folder, "");
        if is_error(&line) {
            self.error.get_or_insert_with(|| line.clone());
        }
        if let Some(symbol) = undefined(&line) {
            self.missing.get_or_insert_with(|| symbol.to_owned());
        }
        if is_compiler_missing(&line) {
            self.compiler.get_or_insert_with(|| line.clone());
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn failure(self, kernel: &Kernel) -> Failure {
        let line = kernel.id().version.parse::<Line>().map_or(kernel.release().to_owned(), |line| line.to_string());
        if let Some(said) = self.compiler {
            return Failure::of(Problem {
                exit: Exit::Failed,
                id: "BLD005",
                what: format!("there is no compiler for kernel {line}"),
                why: format!("the kernel's build asks for the one that made it: {said}"),
                fix: "see that `make` in the recipe sets no `CC` or `CROSS_COMPILE`; if it does not, `cargo xtask clean \
                      build-root` and run again",
            });
        }
        if let Some(said) = self.error {
            return Failure::of(Problem {
                exit: Exit::Failed,
                id: "BLD003",
                what: format!("it does not compile on {line}: {said}"),
                why: "that is the first error; what modules may use of the kernel differs from line to line",
                fix: "correct the source, with `LINUX_VERSION_CODE` where lines differ, or limit the recipe to kernels that \
                      have what it needs (`kernel: {since: …, before: …}`)",
            });
        }
        if let Some(symbol) = self.missing {
            return Failure::of(Problem {
                exit: Exit::Failed,
                id: "BLD004",
                what: format!("it uses `{symbol}`, which nobody has on {line}"),
                why: "neither the kernel, nor one of its modules, nor a compiled kmod among its `depends` exports it",
                fix: "name the kmod whose source has it in `depends`, or do without it",
            });
        }
        Failure::of(Problem {
            exit: Exit::Failed,
            id: "BLD006",
            what: format!("its build failed on {line}"),
            why: format!("the end of its output:\n{}", Vec::from(self.tail).join("\n")),
            fix: "correct the source or its Kbuild file; -v shows all that the build says",
        })
    }
}

/// `FILE:LINE:COLUMN: error: TEXT`, as compilers write it.
fn is_error(line: &str) -> bool {
    [": error: ", ": fatal error: "].iter().any(|text| line.contains(text))
}

/// From `ERROR: modpost: "SYMBOL" [FILE] undefined!`.
fn undefined(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("ERROR: modpost: \"")?;
    rest.strip_suffix("undefined!").and_then(|_| rest.split('"').next())
}

/// What shells and `make` say of a program that is not there.
fn is_compiler_missing(line: &str) -> bool {
    let gone = ["not found", "No such file or directory"].iter().any(|text| line.ends_with(text));
    gone && !is_error(line) && line.split([' ', ':', '/']).any(|word| word.contains("gcc") && !word.contains('.'))
}

fn not_made(wanted: &str, made: &BTreeMap<String, Utf8PathBuf>) -> Failure {
    let files: Vec<&str> = made.values().filter_map(|path| path.file_name()).collect();
    let there = if files.is_empty() { "no module at all".to_owned() } else { files.join(", ") };
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "BLD007",
        what: format!("its build made no {wanted}.ko"),
        why: format!("it ended without an error and made {there}"),
        fix: "see that the Kbuild file has it in `obj-m`, with the options that the recipe gives to make",
    })
}

fn empty(name: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "BLD008",
        what: format!("{name} has nothing in it"),
        why: "it neither does something when it is loaded nor exports anything",
        fix: "see that the Kbuild file names the objects that it is made of (`NAME-y := …`)",
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    fn told(lines: &[&str]) -> Failure {
        let mut said = Said::new("/build/kmod-x");
        lines.iter().for_each(|line| said.take(line));
        said.failure(&Fixture::new(&[("a", "depends=")]).open())
    }

    /// What gcc 12 to 16, dash and the kernel's `modpost` print.
    #[test]
    fn why_a_build_failed_is_told() {
        for (lines, id, text) in [
            (
                &[
                    "/build/kmod-x/x.c: In function 'start':",
                    "/build/kmod-x/x.c:7:9: error: implicit declaration of function 'gone'",
                    "/build/kmod-x/x.c:9:9: error: too few arguments to function 'moved'",
                    "make[1]: *** [/usr/src/Makefile:1: /build/kmod-x] Error 2",
                ][..],
                "BLD003",
                "it does not compile on 6.12: x.c:7:9: error: implicit declaration",
            ),
            (
                &["/build/kmod-x/x.c:3:10: fatal error: net/gone.h: No such file or directory"],
                "BLD003",
                "x.c:3:10: fatal error: net/gone.h",
            ),
            (
                &["ERROR: modpost: \"nobody_has_it\" [/build/kmod-x/x.ko] undefined!", "make: *** Error 2"],
                "BLD004",
                "`nobody_has_it`",
            ),
            (&["/bin/sh: 1: x86_64-linux-gnu-gcc-14: not found"], "BLD005", "gcc-14: not found"),
            (&["make[2]: gcc-12: No such file or directory"], "BLD005", "gcc-12: No such file"),
            (&["ERROR: modpost: missing MODULE_LICENSE() in /build/kmod-x/x.o"], "BLD006", "in x.o"),
            (&["make[2]: *** No rule to make target 'y.o', needed by 'x.o'.  Stop."], "BLD006", "No rule"),
        ] {
            let failure = told(lines);
            assert_eq!((failure.id(), failure.exit()), (id, Exit::Failed), "{lines:?}");
            assert!(failure.to_string().contains(text), "{failure}");
        }
    }

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
