//! An upgrade of the system, as far as packages and their feeds notice it: the system is a fresh one, and has what was kept.

use std::time::Duration;

use model::{Deadline, Finding, Result};

use super::command;
use crate::ask::SCENARIO_COMMAND;
use crate::attempt::Attempt;
use crate::scenario::{Answer, Sysupgrade};

/// Where the files are packed.
const ARCHIVE: &str = "/tmp/kept.tar";
/// How long the fresh system may take to be there.
const BOOT: Duration = Duration::from_secs(120);

/// Packs what is kept. The tar of Debian's busybox reads no list of names, so a long list makes an archive for each part that
/// fits one command, and an empty one makes none.
const PACK: &str = "rm -rf /tmp/kept.d && mkdir /tmp/kept.d && sysupgrade -l >/tmp/kept || exit
tr '\\n' '\\0' </tmp/kept | xargs -0 -r sh -c 'tar -cf /tmp/kept.d/$$.tar \"$@\"' pack || exit
tar -cf /tmp/kept.tar -C /tmp kept.d";
/// What the first boot does: the files are put in their places, and what packages and owners left to be done once is done.
/// A script that fails stays for the next time.
const FIRST_BOOT: &str = "tar -xf /tmp/kept.tar -C /tmp || exit
for part in /tmp/kept.d/*; do
	[ ! -f \"$part\" ] || tar -xf \"$part\" -C / || exit
done
rm -r /tmp/kept.d
for script in /etc/uci-defaults/*; do
	[ ! -f \"$script\" ] || { (. \"$script\") && rm \"$script\"; }
done
true";

/// Upgrades it. `Ok(Some(_))`: something could not be kept.
pub(crate) fn upgrade(attempt: &mut Attempt<'_>, deed: Sysupgrade, at: &str) -> Result<Option<Finding>> {
    let Sysupgrade::KeepsFiles = deed;
    let packed = attempt.router.guest.script(PACK, Deadline::after(SCENARIO_COMMAND))?;
    let found = command::answered(attempt, &Answer::default(), at, "sysupgrade -l", &packed);
    if found.is_some() {
        return Ok(found);
    }
    let guest = &mut *attempt.router.guest;
    let kept = guest.get(ARCHIVE, Deadline::after(SCENARIO_COMMAND))?;
    let before = guest.about().label.clone();
    guest.renew(Deadline::after(BOOT))?;
    let now = &guest.about().label;
    if *now != before {
        attempt.told.note(format!("upgraded from {before} to {now}"));
    }
    guest.put(&[(ARCHIVE, &kept)], Deadline::after(SCENARIO_COMMAND))?;
    let booted = guest.script(FIRST_BOOT, Deadline::after(SCENARIO_COMMAND))?;
    // Modules are loaded anew, and the root is another one.
    (attempt.router.absent, attempt.router.before) = Default::default();
    Ok(command::answered(attempt, &Answer::default(), at, "the first boot", &booted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs these files of a router and unpacks them on another, with its own programs: the names that came back.
    fn kept(names: &[String]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for place in ["bin", "tmp", "here", "there"] {
            std::fs::create_dir(folder.path().join(place)).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap();
        let find = |name: &str| std::env::split_paths(&path).map(|bin| bin.join(name)).find(|file| file.exists());
        for name in ["mkdir", "rm", "sh", "tar", "tr", "xargs", "find"] {
            let program = find("busybox").or_else(|| find(name)).unwrap();
            std::os::unix::fs::symlink(program, folder.path().join("bin").join(name)).unwrap();
        }
        for name in names {
            std::fs::write(folder.path().join("here").join(name), "").unwrap();
        }
        let at = |script: &str| {
            let script = script.replace("/tmp", &format!("{root}/tmp")).replace("-C / ", &format!("-C {root}/there "));
            script.replace("/etc/uci-defaults", &format!("{root}/none"))
        };
        let list = "sysupgrade() { find . -type f; }";
        let script = format!("{list}\ncd {root}/here\n( {}\n) || exit\n{}", at(PACK), at(FIRST_BOOT));
        let mut shell = std::process::Command::new(folder.path().join("bin/sh"));
        let output = shell.args(["-c", &script]).env("PATH", folder.path().join("bin")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = std::fs::read_dir(folder.path().join("there")).unwrap();
        let mut found: Vec<String> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        found
    }

    #[test]
    fn all_that_is_listed_is_kept_be_it_nothing_or_much_or_with_blanks() {
        assert_eq!(kept(&[]), [""; 0]);
        // More than the arguments of one command.
        let mut names: Vec<String> = (0..3000).map(|number| format!("{number:0100}")).collect();
        names.push("it has blanks".into());
        names.sort();
        assert_eq!(kept(&names), names);
    }
}
