//! Makes a folder that contains all programs which a purpose may start: those that the table of needs declares, those
//! that every Debian has, and the Rust toolchain. With that folder as PATH, a program that the table forgot is missing
//! here already, and not only on a new machine.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result};

use super::{Host, Need};
use crate::Ctx;

/// The programs of the Rust toolchain, wherever they were installed.
const RUST: [&str; 8] =
    ["cargo", "cargo-clippy", "cargo-fmt", "clippy-driver", "rustc", "rustdoc", "rustfmt", "rustup"];

/// Where Debian packages install programs.
const FOLDERS: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// The database of `update-alternatives`: a file for each name, with the link and its possible targets.
const ALTERNATIVES: &str = "/var/lib/dpkg/alternatives";

/// Fills `folder` with links to all of these programs that exist.
pub fn link(ctx: &Ctx, host: &Host, needs: &[Need], folder: &Utf8Path) -> Result<()> {
    let mut programs = any_debian(ctx, host)?;
    let declared = needs.iter().flat_map(|need| need.check.program().into_iter().chain(need.starts.iter().copied()));
    for name in declared.chain(RUST) {
        if let Some(path) = host.find(name) {
            programs.insert(name.into(), path);
        }
    }
    programs.iter().try_for_each(|(name, path)| {
        symlink(path, folder.join(name)).map_err(|error| Failure::io("link a program", folder.join(name), &error))
    })
}

/// Programs of the essential and required packages, by name.
fn any_debian(ctx: &Ctx, host: &Host) -> Result<BTreeMap<String, Utf8PathBuf>> {
    let ask = |words: &[&str]| -> Result<String> {
        let program = host.find("dpkg-query").ok_or_else(|| cannot_tell("there is no `dpkg-query` in PATH".into()))?;
        host.output(ctx, &program, words)?.map_err(cannot_tell)
    };
    let listed = ask(&["--show", "--showformat=${Essential} ${Priority} ${binary:Package}\n"])?;
    let packages: Vec<&str> = listed.lines().filter_map(is_everywhere).collect();
    let files = ask(&[&["--listfiles"], &packages[..]].concat())?;
    let mut programs: BTreeMap<String, Utf8PathBuf> =
        files.lines().filter_map(program).map(|path| (path.file_name().unwrap_or_default().into(), path)).collect();
    let names = Utf8Path::new(ALTERNATIVES).read_dir_utf8().into_iter().flatten().flatten();
    let alternatives: Vec<_> = names
        .filter_map(|name| std::fs::read_to_string(name.path()).ok())
        .filter_map(|known| alternative(&known, &programs))
        .collect();
    programs.extend(alternatives);
    Ok(programs)
}

/// The name of an alternative, such as `awk`, and which of these programs may be its target.
fn alternative(known: &str, programs: &BTreeMap<String, Utf8PathBuf>) -> Option<(String, Utf8PathBuf)> {
    let (head, candidates) = known.split_once("\n\n")?;
    let link = Utf8Path::new(head.lines().nth(1)?);
    let path = candidates.lines().find_map(|line| programs.values().find(|path| *path == line))?;
    Some((link.file_name()?.into(), path.clone()))
}

/// The package in a line `ESSENTIAL PRIORITY PACKAGE`, if every Debian has it.
fn is_everywhere(line: &str) -> Option<&str> {
    let [essential, priority, package] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    (essential == "yes" || priority == "required").then_some(package)
}

/// A file in a package, if it is a program and exists.
fn program(file: &str) -> Option<Utf8PathBuf> {
    let path = Utf8PathBuf::from(file);
    let folder = path.parent()?;
    (FOLDERS.iter().any(|known| folder == *known) && path.is_file()).then_some(path)
}

fn cannot_tell(why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "HOST005",
        what: "which programs any Debian has cannot be told",
        why,
        fix: "run this on Debian 12 or newer, or in a container of it, such as debian:13",
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;
    use crate::ctx::tests::ctx;
    use crate::doctor::{Check, NEEDS, Purpose, Remedy};
    use model::Events;

    /// A host with this one's programs and some more.
    fn host(root: &Utf8Path, more: &[&str]) -> Host {
        let programs = root.join("programs");
        std::fs::create_dir(&programs).unwrap();
        for name in more {
            std::fs::write(programs.join(name), "").unwrap();
            std::fs::set_permissions(programs.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(Host::this().find("dpkg-query").unwrap(), programs.join("dpkg-query")).unwrap();
        Host::at(programs)
    }

    #[test]
    fn what_is_not_declared_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let host = host(root, &["make", "ld", "gdb", "rustc"]);
        let make = Need {
            name: "make",
            purpose: Purpose::Ci,
            what_for: "drives",
            check: Check::Program("make"),
            starts: &["ld", "absent"],
            remedy: Remedy::Apt(&["make"]),
        };
        let links = root.join("links");
        std::fs::create_dir(&links).unwrap();
        link(&ctx(root, Events::discard()), &host, &[make], &links).unwrap();
        let found = |name: &str| {
            let script = format!("command -v {name}");
            Command::new("/bin/sh").args(["-c", &script]).env("PATH", &links).output().unwrap().status.success()
        };
        for name in ["make", "ld", "rustc", "sh", "sed", "perl", "mount", "awk"] {
            assert!(found(name), "{name}");
        }
        for name in ["gdb", "absent"] {
            assert!(!found(name), "{name}");
        }
    }

    #[test]
    fn a_host_that_is_no_debian_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let failure = link(&ctx(root, Events::discard()), &Host::at(root.into()), NEEDS, root).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("HOST005", Exit::Host));
    }

    #[test]
    fn essential_and_required_packages_are_everywhere() {
        let listed = ["yes required bash", "no required apt", "no important iproute2", " optional make", "odd"];
        assert_eq!(listed.map(is_everywhere), [Some("bash"), Some("apt"), None, None, None]);
    }

    #[test]
    fn an_alternative_is_one_of_the_programs_that_are_everywhere() {
        let programs = [("mawk".to_owned(), Utf8PathBuf::from("/usr/bin/mawk"))].into();
        let known = "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n/usr/bin/gawk\n10\n\n/usr/bin/mawk\n5\n\n";
        assert_eq!(alternative(known, &programs), Some(("awk".into(), "/usr/bin/mawk".into())));
        for other in ["", "auto\n/usr/bin/vi\n\n/usr/bin/vim\n5\n"] {
            assert_eq!(alternative(other, &programs), None);
        }
    }
}
