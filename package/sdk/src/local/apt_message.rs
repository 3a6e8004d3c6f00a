//! What apt's messages mean: which failure may be retried, and which must never be.
//!
//! apt has one exit code (100) for everything, so its texts are read, with the locale fixed. Debian 12
//! verifies with gpgv, Debian 13 with sqv; both wordings are known here.

use model::{Exit, Failure};

/// What went wrong, in the order of precedence: a bad signature outranks everything that follows it.
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

/// Phrases of apt, gpgv and sqv, upper and lower case as they print them.
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
    (Cause::Digest, &["Hash Sum mismatch", "File has unexpected size"]),
    (Cause::Expired, &["is expired (invalid since", "is not valid yet"]),
    (
        Cause::NoPackage,
        &[
            "Unable to locate package",
            "was not found",
            "No packages found",
            "Can't find a source to download",
            "404  Not Found",
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
    // Without its Release file a dead mirror and a wrong suite print the same error line; a line that
    // says 404, or that a file is missing, tells them apart.
    if text.contains("does not have a Release file") && (text.contains("404") || text.contains("File not found")) {
        return Some(Cause::NoSuite);
    }
    let found = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    PHRASES.iter().find(|(_, phrases)| found(phrases)).map(|(cause, _)| *cause)
}

/// The failure behind what apt printed. `mirror` and `suite` are for the message.
pub(super) fn explain(text: &str, last_words: &str, mirror: &str, suite: &str) -> Failure {
    let place = format!("{mirror} {suite}");
    let failure = match cause(text) {
        Some(Cause::Space) => {
            return Failure::io("store Debian packages", place, &std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        Some(Cause::UnknownKey) => Failure::new(
            Exit::Mismatch,
            "APT003",
            format!("the mirror's `{suite}` is signed by a key that this host does not trust"),
            format!(
                "Debian's archive keyring on this host is older than the suite, or the mirror is not Debian's\n{last_words}"
            ),
            "apt-get update && apt-get install debian-archive-keyring",
        ),
        Some(Cause::BadSignature) => Failure::new(
            Exit::Mismatch,
            "APT004",
            format!("the signature of the mirror's `{suite}` is wrong"),
            format!("the index does not match its signature, or a proxy changed it on the way\n{last_words}"),
            "use another mirror (--debian-mirror) or another network; nothing of this one was used",
        ),
        Some(Cause::Unsigned) => Failure::new(
            Exit::Mismatch,
            "APT005",
            format!("the mirror's `{suite}` is not signed"),
            format!("only archives signed by Debian are used\n{last_words}"),
            "use a mirror that carries Debian's own `InRelease` (--debian-mirror)",
        ),
        Some(Cause::Digest) => Failure::new(
            Exit::Mismatch,
            "APT006",
            "a file of the mirror does not match the signed index",
            format!("the mirror is being updated, damaged, or changed on the way\n{last_words}"),
            "wait until the mirror has finished its update, or use another one (--debian-mirror)",
        ),
        Some(Cause::Expired) => Failure::new(
            Exit::Upstream,
            "APT007",
            format!("the mirror's `{suite}` is out of date"),
            format!("its index is signed, but no longer valid at this machine's date\n{last_words}"),
            "check this machine's clock, or use a mirror that is kept up to date (--debian-mirror)",
        ),
        Some(Cause::NoSuite) => Failure::new(
            Exit::Upstream,
            "APT008",
            format!("the mirror has no suite `{suite}`"),
            format!("it answers, but not with that suite's index\n{last_words}"),
            "check the address (the part before `/dists`), or use another mirror (--debian-mirror)",
        ),
        Some(Cause::NoPackage) => Failure::new(
            Exit::Upstream,
            "APT009",
            format!("a Debian package is not in `{suite}`"),
            format!("the package or that version of it is not, or no longer, on the mirror\n{last_words}"),
            "check its name and version; a superseded version needs a mirror that keeps it (--debian-mirror)",
        ),
        Some(Cause::Unreachable) => Failure::new(
            Exit::Upstream,
            "APT010",
            "the Debian mirror cannot be reached",
            format!("the address is the one of this host's apt, or of --debian-mirror\n{last_words}"),
            "check the network and the proxy, or name another mirror: --debian-mirror URL or DIRECTORY",
        ),
        None => Failure::new(
            Exit::Upstream,
            "APT011",
            "apt-get failed",
            last_words,
            "read its words above; `apt-get update` on this host shows whether its own sources work",
        ),
    };
    failure.at(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as Debian 12 (apt 2.6, gpgv) and Debian 13 (apt 3.0, sqv) print them.
    const SAID: &[(&str, &str, Exit)] = &[
        (
            "W: GPG error: copy:/m x InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 01\nE: The repository 'copy:/m x InRelease' is not signed.",
            "APT003",
            Exit::Mismatch,
        ),
        (
            "Err:1 x InRelease\n  Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key 01, which is needed to verify signature.\nE: The repository 'x' is not signed.",
            "APT003",
            Exit::Mismatch,
        ),
        (
            "E: GPG error: x InRelease: The following signatures were invalid: BADSIG 01 Somebody",
            "APT004",
            Exit::Mismatch,
        ),
        (
            "Err:1 x InRelease\n  Sub-process /usr/bin/sqv returned an error code (1), error message is: Error: Verifying signature: Message has been manipulated\nE: The repository 'x' is not signed.",
            "APT004",
            Exit::Mismatch,
        ),
        ("E: The repository 'copy:/m trixie Release' is not signed.", "APT005", Exit::Mismatch),
        ("E: Failed to fetch x.deb  Hash Sum mismatch", "APT006", Exit::Mismatch),
        ("E: Release file for x is expired (invalid since 3d). Updates will not be applied.", "APT007", Exit::Upstream),
        (
            "Err:1 x Release\n  404  Not Found\nE: The repository 'x potato Release' does not have a Release file.",
            "APT008",
            Exit::Upstream,
        ),
        ("E: Unable to locate package nosuch", "APT009", Exit::Upstream),
        ("E: Version '9' for 'nftables' was not found", "APT009", Exit::Upstream),
        (
            "E: Failed to fetch http://x/InRelease  Could not connect to x:80 (x). - connect (111: Connection refused)",
            "APT010",
            Exit::Upstream,
        ),
        ("E: Something that nobody has seen", "APT011", Exit::Upstream),
        ("E: Write error - write (28: No space left on device)\nE: Failed to fetch x", "IO002", Exit::Host),
    ];

    #[test]
    fn each_message_has_its_meaning() {
        for (text, id, exit) in SAID {
            let failure = explain(text, text, "copy:/m", "x");
            assert_eq!((failure.id(), failure.exit()), (*id, *exit), "{text}");
        }
    }
}
