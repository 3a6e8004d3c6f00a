//! Interprets the output of the kernel's own build.

use std::collections::VecDeque;

use model::{Exit, Failure, Problem};

/// How many lines of its output a message shows.
const TAIL: usize = 15;

/// The lines of a build's output that may tell why it failed.
pub(crate) struct Said {
    /// Removed from the paths in its output.
    folder: String,
    error: Option<String>,
    missing: Option<String>,
    compiler: Option<String>,
    tail: VecDeque<String>,
}

impl Said {
    /// For a build in this folder.
    pub(crate) fn new(inside: &str) -> Self {
        Said { folder: format!("{inside}/"), error: None, missing: None, compiler: None, tail: VecDeque::new() }
    }

    /// Takes the next line of output.
    pub(crate) fn take(&mut self, line: &str) {
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

    /// The compiler's first error.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The failure of a build for a kernel.
    pub(crate) fn failure(self, line: &str) -> Failure {
        self.cause(line).unwrap_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Failed,
                id: "BLD006",
                what: format!("its build failed on {line}"),
                why: format!("the end of its output:\n{}", Vec::from(self.tail).join("\n")),
                fix: "correct the source or its Kbuild file; -v shows the build's whole output",
            })
        })
    }

    /// As [`Said::failure`], if the cause is a known one.
    pub(crate) fn cause(&self, line: &str) -> Option<Failure> {
        let Said { compiler, error, missing, .. } = self;
        let (id, what, why, fix) = if let Some(said) = compiler {
            (
                "BLD005",
                format!("there is no compiler for kernel {line}"),
                format!("the kernel's build wants the compiler that built the kernel: {said}"),
                "make sure that `make` in the recipe does not set `CC` or `CROSS_COMPILE`; if it does not, run `cargo \
                 xtask clean` and try again",
            )
        } else if let Some(said) = error {
            (
                "BLD003",
                format!("it does not compile on {line}: {said}"),
                "that is the first error; the symbols that modules may use differ between kernel lines".into(),
                "correct the source, with `LINUX_VERSION_CODE` where lines differ, or limit the recipe to kernels that have \
                 what it needs (`kernel: {since: …, before: …}`)",
            )
        } else {
            let symbol = missing.as_ref()?;
            (
                "BLD004",
                format!("it uses `{symbol}`, which nothing exports on {line}"),
                "neither the kernel, nor one of its modules, nor a compiled kmod among its `depends` exports it".into(),
                "name the kmod whose source exports it in `depends`, or do not use it",
            )
        };
        Some(Failure::of(Problem { exit: Exit::Failed, id, what, why, fix }))
    }
}

/// Whether a line is an error: `FILE:LINE:COLUMN: error: TEXT` of a compiler, or a linker's undefined reference.
fn is_error(line: &str) -> bool {
    [": error: ", ": fatal error: ", ": undefined reference to "].iter().any(|text| line.contains(text))
}

/// The symbol in `ERROR: modpost: "SYMBOL" [FILE] undefined!`.
fn undefined(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("ERROR: modpost: \"")?;
    rest.strip_suffix("undefined!").and_then(|_| rest.split('"').next())
}

/// Whether a shell or `make` says that a program is missing.
fn is_compiler_missing(line: &str) -> bool {
    let gone = ["not found", "No such file or directory"].iter().any(|text| line.ends_with(text));
    gone && !is_error(line) && line.split([' ', ':', '/']).any(|word| word.contains("gcc") && !word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Failure {
        let mut said = Said::new("/build/kmod-x");
        lines.iter().for_each(|line| said.take(line));
        said.failure("6.12")
    }

    /// The messages of gcc 12 to 16, dash and the kernel's `modpost`.
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
}
