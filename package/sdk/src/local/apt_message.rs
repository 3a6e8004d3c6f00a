//! Interprets apt's messages: which failures may be retried, and which must never be.
//!
//! apt has one exit code (100) for everything, so its texts are parsed, with the locale fixed. Debian 12 verifies with
//! gpgv, Debian 13 with sqv; both wordings are known here, and `tests/apt-says` has the full texts. Wrong bytes must
//! never be retried, whatever apt says about them.

use model::{Exit, Failure, Problem};

/// The id of the failure that the archive lacks a package.
pub(super) const NO_PACKAGE: &str = "APT009";

/// The cause of a failure, in order of precedence: a bad signature outranks everything that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Space,
    UnknownKey,
    BadSignature,
    Unsigned,
    Digest,
    Expired,
    NoSuite,
    NoPackage,
    Unreachable,
}

/// Phrases of apt, gpgv and sqv, in their own upper and lower case.
const PHRASES: &[(Cause, &[&str])] = &[
    (Cause::Space, &["No space left on device", "You don't have enough free space", "Disk quota exceeded"]),
    (Cause::UnknownKey, &["NO_PUBKEY", "the public key is not available", "Missing key "]),
    (
        Cause::BadSignature,
        &[
            "BADSIG",
            "EXPKEYSIG",
            "REVKEYSIG",
            "EXPSIG",
            "signatures were invalid",
            "Clearsigned file isn't valid",
            "OpenPGP signature verification failed",
            "Verifying signature:",
            "is not bound:",
            "Sub-process /usr/bin/sqv returned an error code",
        ],
    ),
    (Cause::Unsigned, &["is not signed", "is no longer signed", "cannot be authenticated", "Weak security"]),
    // The last phrase is what `copy:` of apt 3.0 prints only for wrong bytes.
    (Cause::Digest, &["Hash Sum mismatch", "File has unexpected size", "Undetermined Error"]),
    (Cause::Expired, &["is expired (invalid since", "is not valid yet"]),
    (
        Cause::NoPackage,
        &[
            "Unable to locate package",
            "was not found",
            "No packages found",
            "Can't find a source to download",
            "404  Not Found",
            "Failed to stat",
            "have unmet dependencies",
        ],
    ),
    (
        Cause::Unreachable,
        &[
            "Could not connect",
            "Unable to connect",
            "Could not resolve",
            "Temporary failure resolving",
            "Connection failed",
            "Connection timed out",
            "connection timed out",
            "Connection refused",
            "Failed to fetch",
            "Certificate verification failed",
        ],
    ),
    (Cause::NoSuite, &["does not have a Release file"]),
];

fn cause(text: &str) -> Option<Cause> {
    // Without its Release file, a dead mirror and a wrong suite print the same error line; a line with 404 or a missing
    // file tells them apart.
    let absent = ["404", "File not found", "No such file or directory"];
    if text.contains("does not have a Release file") && absent.iter().any(|phrase| text.contains(phrase)) {
        return Some(Cause::NoSuite);
    }
    let found = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    PHRASES.iter().find(|(_, phrases)| found(phrases)).map(|(cause, _)| *cause)
}

/// Turns apt's output into a failure. `wrong` is a file whose bytes differ from the signed index; `mirror` and `suite`
/// are for the message.
pub(super) fn explain(text: &str, last_words: &str, wrong: Option<&str>, mirror: &str, suite: &str) -> Failure {
    let place = format!("{mirror} {suite}");
    let cause = match (cause(text), wrong) {
        (None | Some(Cause::Expired | Cause::NoPackage | Cause::Unreachable | Cause::NoSuite), Some(_)) => {
            Some(Cause::Digest)
        }
        (cause, _) => cause,
    };
    let failure = match cause {
        Some(Cause::Space) => {
            return Failure::io("store Debian packages", place, &std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        Some(Cause::UnknownKey) => Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "APT003",
            what: format!("the mirror's `{suite}` is signed by a key that this host does not trust"),
            why: format!(
                "Debian's archive keyring on this host is older than the suite, or the mirror is not Debian's\n{last_words}"
            ),
            fix: "apt-get update && apt-get install debian-archive-keyring",
        }),
        Some(Cause::BadSignature) => Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "APT004",
            what: format!("the signature of the mirror's `{suite}` is wrong"),
            why: format!("the index does not match its signature, or a proxy changed it in transit\n{last_words}"),
            fix: "use another mirror (--debian-mirror) or another network; nothing of this one was used",
        }),
        Some(Cause::Unsigned) => Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "APT005",
            what: format!("the mirror's `{suite}` is not signed"),
            why: format!("only archives signed by Debian are used\n{last_words}"),
            fix: "use a mirror that carries Debian's own `InRelease` (--debian-mirror)",
        }),
        Some(Cause::Digest) => Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "APT006",
            what: "a file of the mirror does not match the signed index",
            why: format!(
                "the mirror is being updated, is damaged, or the data was changed in transit\n{}",
                wrong.map_or(last_words.to_owned(), |wrong| format!("{wrong}\n{last_words}"))
            ),
            fix: "wait until the mirror has finished its update, or use another one (--debian-mirror)",
        }),
        Some(Cause::Expired) => Failure::of(Problem {
            exit: Exit::Upstream,
            id: "APT007",
            what: format!("the mirror's `{suite}` is out of date"),
            why: format!("its index is signed, but no longer valid at this machine's date\n{last_words}"),
            fix: "check this machine's clock, or use a mirror that is kept up to date (--debian-mirror)",
        }),
        Some(Cause::NoSuite) => Failure::of(Problem {
            exit: Exit::Upstream,
            id: "APT008",
            what: format!("the mirror has no suite `{suite}`"),
            why: format!("it answers, but does not have that suite's index\n{last_words}"),
            fix: "check the address (the part before `/dists`), or use another mirror (--debian-mirror)",
        }),
        Some(Cause::NoPackage) => Failure::of(Problem {
            exit: Exit::Upstream,
            id: NO_PACKAGE,
            what: format!("a Debian package is not in `{suite}`"),
            why: format!("the mirror does not have the package or that version of it, or no longer does\n{last_words}"),
            fix: "check its name and version; a superseded version needs a mirror that keeps it (--debian-mirror)",
        }),
        Some(Cause::Unreachable) => Failure::of(Problem {
            exit: Exit::Upstream,
            id: "APT010",
            what: "cannot reach the Debian mirror",
            why: format!("the address comes from this host's apt configuration, or from --debian-mirror\n{last_words}"),
            fix: "check the network and the proxy, or name another mirror: --debian-mirror URL or DIRECTORY",
        }),
        None => Failure::of(Problem {
            exit: Exit::Upstream,
            id: "APT011",
            what: "apt-get failed",
            why: last_words,
            fix: "read apt's message above; `apt-get update` on this host shows whether its own sources work",
        }),
    };
    failure.at(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// apt's output in each situation: recorded with a mirror in a folder and one behind a server, with the tests'
    /// index.
    const RECORDED: [(&str, &str); 2] = [
        ("apt 2.6, Debian 12", include_str!("../../tests/apt-says/2.6.txt")),
        ("apt 3.0, Debian 13", include_str!("../../tests/apt-says/3.0.txt")),
    ];

    /// Messages that were not recorded.
    const SAID: &[(&str, &str, Exit)] = &[
        ("E: Release file for x is expired (invalid since 3d). Updates will not be applied.", "APT007", Exit::Upstream),
        (
            "Err:1 x Release\n  404  Not Found\nE: The repository 'x potato Release' does not have a Release file.",
            "APT008",
            Exit::Upstream,
        ),
        ("E: Something that nobody has seen", "APT011", Exit::Upstream),
        ("E: Write error - write (28: No space left on device)\nE: Failed to fetch x", "IO002", Exit::Host),
    ];

    fn told(text: &str, wrong: Option<&str>) -> (&'static str, Exit) {
        let failure = explain(text, text, wrong, "copy:/m", "x");
        (failure.id(), failure.exit())
    }

    #[test]
    fn what_each_apt_said_has_its_meaning() {
        for (apt, recorded) in RECORDED {
            let mut count = 0;
            for said in recorded.split("== ").skip(1) {
                let (id, text) = said.split_once(' ').unwrap();
                let never = ["APT003", "APT004", "APT005", "APT006"].contains(&id);
                let exit = if never { Exit::Mismatch } else { Exit::Upstream };
                assert_eq!(told(text, None), (id_of(id), exit), "{apt}: {text}");
                count += 1;
            }
            assert_eq!(count, 24, "{apt}");
        }
    }

    /// The id as a constant of ours, so that a typo in the records is noticed.
    fn id_of(text: &str) -> &'static str {
        const KNOWN: [&str; 7] = ["APT003", "APT004", "APT005", "APT006", "APT008", "APT009", "APT010"];
        KNOWN.into_iter().find(|id| *id == text).unwrap()
    }

    #[test]
    fn each_message_has_its_meaning() {
        for (text, id, exit) in SAID {
            assert_eq!(told(text, None), (*id, *exit), "{text}");
        }
    }

    #[test]
    fn wrong_bytes_are_never_for_another_try_whatever_apt_says() {
        let wrong = Some("a.deb: its sha256 is 0, the index says 1");
        for text in ["E: Something that nobody has seen", "E: Failed to fetch x  Strange", "404  Not Found"] {
            assert_eq!(told(text, wrong), ("APT006", Exit::Mismatch), "{text}");
        }
        assert!(explain("", "", wrong, "copy:/m", "x").finding().why.contains("the index says 1"));
        // The worse cause, or the one that explains the other, counts.
        for (text, id) in [("BADSIG", "APT004"), ("No space left on device", "IO002")] {
            assert_eq!(told(text, wrong).0, id, "{text}");
        }
    }
}
