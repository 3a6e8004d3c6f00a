//! What the SDK of a release line needs on the host, from OpenWrt's `include/prereq-build.mk`.
//!
//! The SDK checks the same on first use, but says only what is missing, not how to get it.

use sdk::openwrt::{Distutils, HostNeeds};

use super::{Check, Need, Purpose, Remedy};

/// The needs of the tests' miniatures, which imitate releases of the lines 24.10 and 25.12.
const OF_TESTS: HostNeeds = HostNeeds { gcc: 8, python: 7, distutils: Distutils::BeforePython312, ipc_cmd: true };

/// What tests need to drive the miniatures.
pub(super) fn of_tests() -> Vec<Need> {
    needs(OF_TESTS).into_iter().map(|need| Need { purpose: Purpose::Ci, ..need }).collect()
}

/// Programs that every SDK needs: name, purpose, and the Debian package that has it.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("bash", "runs scripts of the SDK", &["bash"]),
    ("perl", "runs scripts of the SDK", &["perl"]),
    ("git", "lets the SDK note its first state", &["git"]),
    ("rsync", "copies trees of the SDK", &["rsync"]),
    ("tar", "packs and unpacks", &["tar"]),
    ("gzip", "packs and unpacks", &["gzip"]),
    ("bzip2", "packs and unpacks", &["bzip2"]),
    ("unzip", "unpacks", &["unzip"]),
    ("patch", "is checked for by the SDK", &["patch"]),
    ("diff", "is checked for by the SDK", &["diffutils"]),
    ("find", "is checked for by the SDK", &["findutils"]),
    ("gawk", "is checked for by the SDK", &["gawk"]),
    ("file", "is checked for by the SDK", &["file"]),
    ("wget", "is checked for by the SDK", &["wget"]),
    ("getopt", "is checked for by the SDK", &["util-linux"]),
    ("which", "is checked for by the SDK", &["debianutils"]),
];

/// Everything that an SDK with these needs requires.
pub fn needs(host: HostNeeds) -> Vec<Need> {
    let HostNeeds { gcc, python, distutils, ipc_cmd } = host;
    let need = |name, what_for, check, packages| Need {
        name,
        purpose: Purpose::Build,
        what_for,
        check,
        starts: &[],
        remedy: Remedy::Apt(packages),
    };
    let version = |program, least| Check::Version { program, least };
    let mut needs: Vec<Need> = PROGRAMS
        .iter()
        .map(|&(program, what_for, packages)| need(program, what_for, Check::Program(program), packages))
        .collect();
    needs.extend([
        need("make", "drives the SDK", version("make", (4, 1)), &["make"]),
        need("gcc", "builds the SDK's own helpers", version("gcc", (gcc, 0)), &["gcc", "libc6-dev"]),
        need("g++", "is checked for by the SDK", version("g++", (gcc, 0)), &["g++"]),
        need("python3", "runs scripts of the SDK", version("python3", (3, python)), &["python3"]),
        need("ncurses", "is checked for by the SDK", Check::Header("ncurses.h"), &["libncurses-dev"]),
        need("perl modules", "are used by scripts of the SDK", perl(ipc_cmd), &["perl"]),
        need("distutils", "is imported by scripts of the SDK", python_has(distutils), &["python3-setuptools"]),
    ]);
    needs
}

/// Checks for modules that Debian's `perl-base` alone lacks.
fn perl(ipc_cmd: bool) -> Check {
    let arguments: &[&str] = match ipc_cmd {
        true => {
            &["-MData::Dumper", "-MFindBin", "-MFile::Copy", "-MFile::Compare", "-MThread::Queue", "-MIPC::Cmd", "-e1"]
        }
        false => &["-MData::Dumper", "-MFindBin", "-MFile::Copy", "-MFile::Compare", "-MThread::Queue", "-e1"],
    };
    Check::Runs { program: "perl", arguments }
}

fn python_has(distutils: Distutils) -> Check {
    let arguments: &[&str] = match distutils {
        Distutils::Always => &["-c", "import distutils"],
        Distutils::BeforePython312 => &["-c", "import sys\nif sys.version_info < (3, 12): import distutils"],
    };
    Check::Runs { program: "python3", arguments }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use crate::doctor::{Host, examine, lacks};
    use model::{Events, Exit};

    fn line(name: &str) -> HostNeeds {
        crate::upstream::matrix(&ctx("/tmp".into(), Events::discard())).unwrap().row(name, "x86/64").unwrap().host
    }

    #[test]
    fn newer_lines_ask_for_newer_programs() {
        let asked = |name: &str, program: &str| {
            let is = |need: &&Need| matches!(need.check, Check::Version { program: of, .. } if of == program);
            let needs = needs(line(name));
            match needs.iter().find(is).unwrap().check {
                Check::Version { least, .. } => least,
                _ => (0, 0),
            }
        };
        assert_eq!((asked("23.05", "gcc"), asked("24.10", "gcc"), asked("main", "g++")), ((6, 0), (8, 0), (10, 0)));
        assert_eq!((asked("22.03", "python3"), asked("main", "python3")), ((3, 6), (3, 8)));
        let ipc_cmd = |name: &str| format!("{:?}", needs(line(name))).contains("IPC::Cmd");
        assert_eq!((ipc_cmd("23.05"), ipc_cmd("24.10")), (false, true));
    }

    #[test]
    fn the_tests_need_what_the_lines_of_their_miniatures_need() {
        assert_eq!([line("24.10"), line("25.12")], [OF_TESTS; 2]);
    }

    #[test]
    fn an_empty_host_lacks_all_of_it_and_gets_one_line_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = camino::Utf8Path::from_path(folder.path()).unwrap();
        let host = Host::at(root.to_owned());
        let checked = examine(&ctx(root, Events::discard()), &host, &needs(line("25.12"))).unwrap();
        assert!(checked.iter().all(|checked| checked.found.is_err()));
        std::os::unix::fs::symlink("/bin/true", root.join("apt-get")).unwrap();
        let failure = lacks(&host, &checked);
        assert_eq!(failure.exit(), Exit::Host);
        for package in ["libncurses-dev", "g++", "python3-setuptools", "gawk", "rsync"] {
            assert!(failure.finding().fix.contains(package), "{failure}");
        }
    }
}
