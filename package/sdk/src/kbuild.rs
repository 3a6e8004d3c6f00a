//! What the kernel's own build says, and what it means.

use std::collections::VecDeque;

use model::{Exit, Failure, Problem};

/// Lines of its output kept for a message.
const TAIL: usize = 15;

/// What a build said, as far as it tells why it failed.
pub(crate) struct Said {
    /// Paths of the build are told without it.
    folder: String,
    error: Option<String>,
    missing: Option<String>,
    compiler: Option<String>,
    tail: VecDeque<String>,
}

impl Said {
    /// Of a build in this folder.
    pub(crate) fn new(inside: &str) -> Self {
        Said { folder: format!("{inside}/"), error: None, missing: None, compiler: None, tail: VecDeque::new() }
    }

    /// Takes the next line of it.
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

    /// Why it failed on a kernel.
    pub(crate) fn failure(self, line: &str) -> Failure {
        self.cause(line).unwrap_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Failed,
                id: "BLD006",
                what: format!("its build failed on {line}"),
                why: format!("the end of its output:\n{}", Vec::from(self.tail).join("\n")),
                fix: "correct the source or its Kbuild file; -v shows all that the build says",
            })
        })
    }

    /// The same, where it is a cause that is known.
    pub(crate) fn cause(&self, line: &str) -> Option<Failure> {
        let Said { compiler, error, missing, .. } = self;
        let (id, what, why, fix) = if let Some(said) = compiler {
            (
                "BLD005",
                format!("there is no compiler for kernel {line}"),
                format!("the kernel's build asks for the one that made it: {said}"),
                "see that `make` in the recipe sets no `CC` or `CROSS_COMPILE`; if it does not, `cargo xtask clean` and run \
                 again",
            )
        } else if let Some(said) = error {
            (
                "BLD003",
                format!("it does not compile on {line}: {said}"),
                "that is the first error; what modules may use of the kernel differs from line to line".into(),
                "correct the source, with `LINUX_VERSION_CODE` where lines differ, or limit the recipe to kernels that have \
                 what it needs (`kernel: {since: …, before: …}`)",
            )
        } else {
            let symbol = missing.as_ref()?;
            (
                "BLD004",
                format!("it uses `{symbol}`, which nobody has on {line}"),
                "neither the kernel, nor one of its modules, nor a compiled kmod among its `depends` exports it".into(),
                "name the kmod whose source has it in `depends`, or do without it",
            )
        };
        Some(Failure::of(Problem { exit: Exit::Failed, id, what, why, fix }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Failure {
        let mut said = Said::new("/build/kmod-x");
        lines.iter().for_each(|line| said.take(line));
        said.failure("6.12")
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
}
