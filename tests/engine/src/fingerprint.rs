//! What the router's root file system looks like, so that nothing installs or removes anything unseen.

use std::collections::BTreeMap;

use model::{Deadline, Exit, Failure, Finding, Problem, Result};
use vm::guest::{Guest, Output};

use crate::ask::{self, SCENARIO_COMMAND};

/// Prints mode, owner and target of every file of the root; of small files, which programs may write again as they
/// were, a digest; and of large ones, which take an emulated router seconds to read, the size and the time of the last
/// change to the file, which nobody can set. Files of about 256 KiB are both. Left out: what the kernel makes up, and
/// what may change without anything being installed: feed lists, locks, temporary files, and what apk knows, as it writes
/// that and what it was asked for also after a failure (3.0.6); what is installed it is asked itself. In words that
/// OpenWrt's busybox knows: it has no `stat`, and its `find` no `-exec … +`. What opkg knows is compared line by line, as it
/// writes all of it anew, in an order of its own.
const FINGERPRINT: &str = r#"
cd /
skip='-path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp -o -path ./var'
skip="$skip -o -path ./lib/apk/db -o -path ./usr/lib/apk/db -o -path ./etc/apk/world"
find . -xdev \( $skip \) -prune -o -type f ! -path ./usr/lib/opkg/status -size -512 -print0 |
	xargs -0 sha256sum | sort
grep -v -e '^$' -e '^Installed-Time:' usr/lib/opkg/status 2>/dev/null | sort | sha256sum
find . -xdev \( $skip \) -prune -o -print0 | xargs -0 ls -lncd --full-time |
	awk '{ $2 = ""; if ($1 !~ /^-/ || $5 < 250000) $5 = $6 = $7 = $8 = ""; print }' | sort
"#;

/// What the root looked like; equal fingerprints mean that nothing was installed or removed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// Takes the fingerprint of the running router.
    pub(crate) fn take(guest: &mut dyn Guest) -> Result<Fingerprint> {
        Fingerprint::of(&guest.script(FINGERPRINT, Deadline::after(SCENARIO_COMMAND))?)
    }

    /// An empty listing, or one without /etc, is refused whatever the exit code: two empty ones would be equal.
    fn of(output: &Output) -> Result<Fingerprint> {
        let text = output.text();
        let listed = text.lines().any(|line| line.starts_with('d') && line.ends_with(" ./etc"));
        let digested = text.lines().any(|line| line.contains("  ./etc/"));
        if output.success() && listed && digested {
            return Ok(Fingerprint(text));
        }
        Err(Failure::of(Problem {
            exit: Exit::Blocked,
            id: "SCEN002",
            what: format!("the fingerprint of the root could not be taken (exit code {})", output.code),
            why: text,
            fix: "boot the router with `cargo xtask boot` and look at its root file system",
        }))
    }

    /// Lines of one that the other lacks, few enough to read.
    fn difference(&self, other: &Fingerprint) -> String {
        let mut count: BTreeMap<&str, i32> = BTreeMap::new();
        self.0.lines().for_each(|line| *count.entry(line).or_default() -= 1);
        other.0.lines().for_each(|line| *count.entry(line).or_default() += 1);
        let changed: Vec<String> = count
            .into_iter()
            .filter(|(_line, times)| *times != 0)
            .map(|(line, times)| format!("{}{line}", if times > 0 { '+' } else { '-' }))
            .collect();
        let shown = changed.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
        if changed.len() > 10 { format!("{shown}\n… and {} more", changed.len() - 10) } else { shown }
    }
}

pub(crate) fn unchanged(before: &Fingerprint, after: &Fingerprint) -> Option<Finding> {
    if before == after {
        return None;
    }
    ask::broken("STEP005", "the root file system changed".into(), before.difference(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_that_could_not_be_taken_is_blocked() {
        let output = |code, text: &str| Output { code, out: text.into() };
        let (digest, listing) = ("abcd  ./etc/passwd\n", "drwxr-xr-x 0 0 ./etc\n");
        let both = [digest, listing].concat();
        assert!(Fingerprint::of(&output(0, &both)).is_ok());
        for bad in [output(1, &both), output(0, ""), output(0, digest), output(0, listing)] {
            let failure = Fingerprint::of(&bad).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SCEN002", Exit::Blocked));
        }
    }

    /// On the host, whose programs understand the same words.
    #[test]
    fn what_is_written_to_the_root_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let script = FINGERPRINT.replace("cd /\n", &format!("cd '{}'\n", root.path().display()));
        let take = || {
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            Fingerprint::of(&Output { code: said.status.code().unwrap(), out: said.stdout }).unwrap()
        };
        std::fs::create_dir_all(path("etc/opkg")).unwrap();
        let mut large = vec![b'x'; 1 << 20];
        std::fs::write(path("large"), &large).unwrap();
        std::fs::write(path("etc/small"), "one\n").unwrap();
        std::os::unix::fs::symlink("small", path("etc/link")).unwrap();
        let modified = path("large").metadata().unwrap().modified().unwrap();
        let mut before = take();
        let mut changed = |what: &str, expected: bool| {
            let after = take();
            assert_eq!(before != after, expected, "{what}");
            before = after;
        };
        changed("nothing", false);
        std::fs::write(path("etc/small"), "one\n").unwrap();
        changed("a small file, written as it was", false);
        std::fs::write(path("etc/small"), "two\n").unwrap();
        changed("a small file of the same size", true);
        large[77] = b'y';
        std::fs::write(path("large"), &large).unwrap();
        std::fs::File::options().write(true).open(path("large")).unwrap().set_modified(modified).unwrap();
        changed("a large file of the same size and age", true);
        std::os::unix::fs::symlink("other", path("etc/new")).unwrap();
        std::fs::rename(path("etc/new"), path("etc/link")).unwrap();
        changed("where a link leads", true);
        std::fs::write(path("etc/opkg/new"), "").unwrap();
        changed("a new file", true);
        std::fs::remove_file(path("etc/opkg/new")).unwrap();
        changed("one file less", true);
        std::fs::set_permissions(path("etc/small"), std::os::unix::fs::PermissionsExt::from_mode(0o6755)).unwrap();
        changed("a mode", true);
        std::fs::create_dir_all(path("etc/apk")).unwrap();
        changed("a folder", true);
        std::fs::write(path("etc/apk/world"), "kmod-nft-offload\n").unwrap();
        changed("what apk was asked for", false);
    }

    #[test]
    fn one_changed_byte_changes_the_fingerprint() {
        let before = Fingerprint("./bin/a 755 0 0\naaaa  -\n".into());
        assert_eq!(unchanged(&before, &Fingerprint(before.0.clone())), None);
        let finding = unchanged(&before, &Fingerprint("./bin/a 755 0 0\naaab  -\n".into())).unwrap();
        assert_eq!(finding.id, "STEP005");
        assert!(finding.why.contains("-aaaa") && finding.why.contains("+aaab"), "{}", finding.why);
    }
}
