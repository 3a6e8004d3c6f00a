//! Messages in the output of a failed build, and what they mean.
//!
//! The last lines of OpenWrt's output rarely contain the reason; these messages do, wherever they are. The more telling
//! ones come first.

use model::{Exit, Failure, Problem};

/// A message and its meaning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symptom {
    /// Parts that a line must contain, in this order; `^` anchors a part at the line's start, because with V=s make
    /// also shows the commands that would print such messages.
    parts: &'static [&'static str],
    id: &'static str,
    exit: Exit,
    what: &'static str,
    why: &'static str,
    fix: &'static str,
}

/// The known symptoms.
static SYMPTOMS: &[Symptom] = &[
    Symptom {
        parts: &["No space left on device"],
        id: "SDK040",
        exit: Exit::Host,
        what: "the disk is full",
        why: "an unpacked SDK and what it builds take several GB",
        fix: "free some space with `cargo xtask clean`, or point XDG_CACHE_HOME at a larger disk",
    },
    Symptom {
        parts: &["Please build with umask"],
        id: "SDK041",
        exit: Exit::Bug,
        what: "OpenWrt's build refuses the umask",
        why: "it is set to 022 for the SDK's programs, and something changed it",
        fix: "look for `umask` in what `sh` reads at its start (ENV), and report it",
    },
    Symptom {
        parts: &["^Checking '", "failed."],
        id: "SDK042",
        exit: Exit::Host,
        what: "this host lacks something that OpenWrt's build needs",
        why: "its prerequisite check failed",
        fix: "apt-get install build-essential libncurses-dev git rsync perl python3 python3-setuptools gawk unzip bzip2 wget file patch diffutils",
    },
    Symptom {
        parts: &["GLIBC_", "not found"],
        id: "SDK043",
        exit: Exit::Host,
        what: "a program of the SDK does not run on this host",
        why: "the SDK's own libraries are older than those that a program was linked with on this host",
        fix: "run the same command again, which starts with a new tree of the SDK; if it happens again, use a host of \
              the release's age, such as Debian 11 or 12",
    },
    Symptom {
        parts: &["^ERROR: module '", "is missing"],
        id: "SDK044",
        exit: Exit::Failed,
        what: "the SDK lacks a kernel module that it should pack",
        why: "the module is neither among the prebuilt ones nor built into the kernel",
        fix: "run the same command again, which starts with a new tree of the SDK; if it happens again, the release \
              is broken: report it there",
    },
    Symptom {
        parts: &["^Package kmod-", "is missing dependencies for the following libraries"],
        id: "SDK072",
        exit: Exit::Failed,
        what: "a kernel module package needs modules that it does not depend on",
        why: "OpenWrt's build compares what a module needs with what DEPENDS provides",
        fix: "if it is compiled from a recipe, add the kmods that have those modules to its `depends`; otherwise both \
              are the release's own: run the same command again, which starts with a new tree of the SDK, and if it \
              happens again, report the release",
    },
    Symptom {
        parts: &["^Package ", "is missing dependencies for the following libraries"],
        id: "SDK045",
        exit: Exit::Failed,
        what: "a package needs libraries or modules that it does not depend on",
        why: "OpenWrt's build compares what is linked with what DEPENDS provides",
        fix: "add the packages that have them to DEPENDS in the package's Makefile",
    },
    Symptom {
        parts: &["Cannot open file", "key-build"],
        id: "SDK046",
        exit: Exit::Failed,
        what: "the SDK was asked for a signed index and has no key",
        why: "indexes are made and signed by this program, not by the SDK",
        fix: "do not run `make package/index` in the SDK's tree, and run the same command again: it starts with a new \
              tree",
    },
    Symptom {
        parts: &["HASH", "does not match"],
        id: "SDK047",
        exit: Exit::Mismatch,
        what: "a source archive differs from the one in the package's Makefile",
        why: "its digest differs from PKG_HASH",
        fix: "compare PKG_HASH with what upstream publishes",
    },
    Symptom {
        parts: &["No rule to make target", "package/"],
        id: "SDK048",
        exit: Exit::Failed,
        what: "the SDK does not know the package",
        why: "its folder was not linked into the tree, or its Makefile is not understood",
        fix: "correct the Makefile below package/feed, and run the same command again: it starts with a new tree of \
              the SDK",
    },
];

impl Symptom {
    /// The symptom that a line of output matches.
    pub(super) fn of(line: &str) -> Option<&'static Symptom> {
        SYMPTOMS.iter().find(|symptom| {
            let mut rest = Some(line.trim_start());
            for part in symptom.parts {
                rest = match part.strip_prefix('^') {
                    Some(start) => rest.and_then(|rest| rest.strip_prefix(start)),
                    None => rest.and_then(|rest| Some(rest.split_once(part)?.1)),
                };
            }
            rest.is_some()
        })
    }

    /// The failure for the user; `said` is the matching line and what came after it.
    pub(super) fn failure(&self, said: &str) -> Failure {
        Failure::of(Problem {
            exit: self.exit,
            id: self.id,
            what: self.what,
            why: format!("{}; the SDK says:\n{}", self.why, said.trim()),
            fix: self.fix,
        })
    }

    /// Whether this symptom is more telling than another.
    pub(super) fn outranks(&self, other: &Symptom) -> bool {
        let rank = |symptom: &Symptom| SYMPTOMS.iter().position(|known| known == symptom);
        rank(self) < rank(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_known_by_its_line() {
        for (line, id, exit) in [
            ("cp: error writing 'x': No space left on device", "SDK040", Exit::Host),
            ("Please build with umask 022 - other values produce broken packages", "SDK041", Exit::Bug),
            ("Checking 'rsync'... failed.", "SDK042", Exit::Host),
            ("/lib/libc.so.6: version `GLIBC_2.33' not found (required by x)", "SDK043", Exit::Host),
            ("ERROR: module '/s/net/nft_nat.ko' is missing.", "SDK044", Exit::Failed),
            ("Package x is missing dependencies for the following libraries:", "SDK045", Exit::Failed),
            ("Package kmod-x is missing dependencies for the following libraries:", "SDK072", Exit::Failed),
            ("Cannot open file '/s/key-build' for reading", "SDK046", Exit::Failed),
            ("ERROR: PKG_HASH of x does not match", "SDK047", Exit::Mismatch),
            ("make[1]: *** No rule to make target 'package/x/compile'.  Stop.", "SDK048", Exit::Failed),
        ] {
            let symptom = Symptom::of(line).unwrap_or_else(|| panic!("{line}"));
            let failure = symptom.failure(line);
            assert_eq!((failure.id(), failure.exit()), (id, exit), "{line}");
            assert!(failure.finding().why.ends_with(line), "{failure}");
        }
        assert_eq!(SYMPTOMS.len(), 10);
    }

    #[test]
    fn other_lines_tell_nothing() {
        // `make V=s` shows the commands of include/kernel.mk and include/package-pack.mk.
        let shown = [
            "for mod in /s/x.ko; do if [ -e $mod ]; then cp $mod d; else echo \"ERROR: module '$mod' is missing.\" >&2; exit 1; fi; done;",
            "( if [ -f m ]; then echo \"Package x is missing dependencies for the following libraries:\" >&2; false; fi; )",
        ];
        for line in shown {
            assert_eq!(Symptom::of(line), None, "{line}");
        }
        for line in ["", "Checking 'rsync'... ok.", "failed. Checking 'x'", "make[2] -C x compile", "GLIBC_2.33"] {
            assert_eq!(Symptom::of(line), None, "{line}");
        }
    }

    #[test]
    fn the_more_telling_cause_wins() {
        let [full, unknown] =
            ["No space left on device", "No rule to make target 'package/x'"].map(|line| Symptom::of(line).unwrap());
        assert!(full.outranks(unknown) && !unknown.outranks(full) && !full.outranks(full));
    }
}
