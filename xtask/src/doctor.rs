//! What the host must have, as data, and how to get it.
//!
//! Each need says how to check for it and how to get it, so each message about something missing includes the command
//! that installs it.

mod check;
mod install;
mod openwrt;
mod path;

use model::{Arch, Exit, Failure, Problem, Result};
use sdk::RustTarget;

pub use check::{Check, Host};
pub use openwrt::needs as openwrt_needs;
pub use path::link;

use crate::Ctx;

/// What a run is going to do; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Make packages and the feed.
    Build,
    /// Also boot a router.
    Test,
    /// Also check the source.
    Ci,
}

impl Purpose {
    /// The verb with this purpose.
    pub fn verb(self) -> &'static str {
        match self {
            Purpose::Build => "build",
            Purpose::Test => "test",
            Purpose::Ci => "ci",
        }
    }
}

/// How to get what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Debian packages.
    Apt(&'static [&'static str]),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
    /// The standard library of another target, for the Rust toolchain.
    RustTarget(&'static str),
}

/// A thing that the host must have.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Its name, for people.
    pub name: &'static str,
    /// The first purpose that needs it.
    pub purpose: Purpose,
    /// What it is for.
    pub what_for: &'static str,
    /// How to check for it.
    pub check: Check,
    /// Programs that come with it and are started too, by us or by it.
    pub starts: &'static [&'static str],
    /// How to get it.
    pub remedy: Remedy,
}

/// The architecture for which tests build programs.
const FOREIGN: &str = "mips_24kc";

/// The emulators of the other architectures whose routers `ci` and its tests run scenarios on.
const FOREIGN_EMULATORS: [&str; 2] = ["qemu-system-aarch64", "qemu-system-mipsel"];

/// The emulator of a PC.
const QEMU: Need =
    qemu("QEMU", "runs the router; `-netdev stream` came with 7.2", "qemu-system-x86_64", &["qemu-system-x86"]);

/// The emulators of all machines in `qemu/machines/`.
const EMULATORS: [Need; 5] = [
    QEMU,
    qemu("QEMU for ARM", "runs the routers of armsr/armv8", "qemu-system-aarch64", &["qemu-system-arm"]),
    qemu("QEMU for ARM", "runs the routers of armsr/armv7", "qemu-system-arm", &["qemu-system-arm"]),
    qemu("QEMU for MIPS", "runs the routers of malta/be", "qemu-system-mips", &["qemu-system-mips"]),
    qemu("QEMU for MIPS", "runs those that stand for ramips/mt7621", "qemu-system-mipsel", &["qemu-system-mips"]),
];

const fn qemu(
    name: &'static str,
    what_for: &'static str,
    program: &'static str,
    packages: &'static [&'static str],
) -> Need {
    let check = Check::Version { program, least: (7, 2) };
    Need { name, purpose: Purpose::Test, what_for, check, starts: &[], remedy: Remedy::Apt(packages) }
}

/// The need for an emulator, by the name of its program.
pub fn emulator(binary: &str) -> Option<Need> {
    let is = |need: &Need| matches!(need.check, Check::Version { program, .. } if program == binary);
    EMULATORS.into_iter().find(is)
}

/// Everything that is needed besides a Rust toolchain.
pub const NEEDS: &[Need] = &[
    Need {
        name: "apt-get",
        purpose: Purpose::Build,
        what_for: "fetches the kernel of the stand-in SDK and verifies its signatures",
        check: Check::Program("apt-get"),
        starts: &["apt-cache", "gpgv"],
        remedy: Remedy::Apt(&["apt"]),
    },
    Need {
        name: "dpkg-deb",
        purpose: Purpose::Build,
        what_for: "unpacks Debian packages",
        check: Check::Program("dpkg-deb"),
        starts: &[],
        remedy: Remedy::Apt(&["dpkg"]),
    },
    Need {
        name: "setpriv",
        purpose: Purpose::Build,
        what_for: "ends child processes together with us",
        check: Check::Program("setpriv"),
        starts: &[],
        remedy: Remedy::Apt(&["util-linux"]),
    },
    Need {
        name: "C linker",
        purpose: Purpose::Build,
        what_for: "links the static tool for the router",
        check: Check::Program("cc"),
        starts: &["as", "gcc", "ld"],
        remedy: Remedy::Apt(&["gcc", "libc6-dev"]),
    },
    Need {
        name: "archive keys",
        purpose: Purpose::Build,
        what_for: "Debian 13's signing keys, for apt",
        check: Check::Keyring("debian-archive-trixie"),
        starts: &[],
        remedy: Remedy::Apt(&["debian-archive-keyring"]),
    },
    QEMU,
    Need {
        name: "rustfmt",
        purpose: Purpose::Ci,
        what_for: "checks the source's format",
        check: Check::Version { program: "cargo-fmt", least: (1, 0) },
        starts: &["rustfmt"],
        remedy: Remedy::Rustup("rustfmt"),
    },
    Need {
        name: "clippy",
        purpose: Purpose::Ci,
        what_for: "checks the source for likely mistakes",
        check: Check::Version { program: "cargo-clippy", least: (0, 1) },
        starts: &["clippy-driver"],
        remedy: Remedy::Rustup("clippy"),
    },
    Need {
        name: "mkfs.ext4",
        purpose: Purpose::Ci,
        what_for: "makes the disk image with which tests imitate a release's",
        check: Check::Program("mkfs.ext4"),
        starts: &[],
        remedy: Remedy::Apt(&["e2fsprogs"]),
    },
    Need {
        name: "QEMU for programs",
        purpose: Purpose::Ci,
        what_for: "runs programs for MIPS",
        check: Check::Program("qemu-mips"),
        starts: &["qemu-mipsel"],
        remedy: Remedy::Apt(&["qemu-user"]),
    },
    Need {
        name: "cpio",
        purpose: Purpose::Ci,
        what_for: "reads the archives that we write",
        check: Check::Program("cpio"),
        starts: &[],
        remedy: Remedy::Apt(&["cpio"]),
    },
    Need {
        name: "busybox",
        purpose: Purpose::Ci,
        what_for: "runs the feed's script for routers as a router would",
        check: Check::Program("busybox"),
        starts: &[],
        remedy: Remedy::Apt(&["busybox"]),
    },
];

/// A need and the result of its check.
#[derive(Debug)]
pub struct Checked {
    /// The need.
    pub need: Need,
    /// What was found, or what is wrong.
    pub found: Result<String, String>,
}

/// The needs of `purpose` with the stand-in SDK. The tests also drive an imitation of a release's SDK, and build
/// programs for a processor that needs an emulator.
pub fn needs(purpose: Purpose) -> Vec<Need> {
    let mut needs: Vec<Need> = NEEDS.iter().filter(|need| need.purpose <= purpose).copied().collect();
    if purpose == Purpose::Ci {
        let programs = router_programs(&Arch(FOREIGN.into())).into_iter();
        let programs = programs.chain(FOREIGN_EMULATORS.into_iter().filter_map(emulator));
        needs.extend(openwrt::of_tests().into_iter().chain(programs.map(|need| Need { purpose, ..need })));
    }
    needs
}

/// The needs of a stand-in for an architecture; if it is not the host's own, its emulator replaces that for x86, on which
/// the tests of `ci` boot routers all the same.
pub fn stand_in_needs(purpose: Purpose, arch: &Arch, emulator: Option<Need>) -> Vec<Need> {
    let mut needs = needs(purpose);
    if emulator.is_some() && purpose != Purpose::Ci {
        needs.retain(|need| need.check != QEMU.check);
    }
    for need in emulator.into_iter().chain(router_programs(arch)) {
        if needs.iter().all(|known| known.check != need.check) {
            needs.push(need);
        }
    }
    needs
}

/// The needs of building with OpenWrt's SDK: those of its programs, and those of ours that start them.
pub fn sdk_needs(host: sdk::openwrt::HostNeeds) -> Vec<Need> {
    let ours = NEEDS.iter().filter(|need| matches!(need.name, "setpriv" | "C linker")).copied();
    ours.chain(openwrt::needs(host)).collect()
}

/// What compiles and links programs for routers of this architecture, if that is possible; for the host's own nothing
/// more is needed.
pub fn router_programs(arch: &Arch) -> Vec<Need> {
    let Some(target) = RustTarget::of(arch).ok().filter(|target| !target.is_of_host()) else { return Vec::new() };
    let need =
        |name, what_for, check, remedy| Need { name, purpose: Purpose::Build, what_for, check, starts: &[], remedy };
    let brought = if target.ready { Remedy::RustTarget(target.triple) } else { Remedy::Rustup("rust-src") };
    vec![
        need("Rust target", "compiles programs for the router", Check::Compiles(target), brought),
        need("cross linker", "links them", Check::Links(target), Remedy::Apt(&["python3", "python3-pip"])),
    ]
}

/// The same where they are linked by a release's SDK, which brings a C compiler of its own.
pub fn sdk_router_programs(arch: &Arch) -> Vec<Need> {
    let by_sdk = |need: Need| match need.check {
        Check::Links(target) => Need { check: Check::LinksBySdk(target), ..need },
        _ => need,
    };
    router_programs(arch).into_iter().map(by_sdk).collect()
}

/// Checks each of these needs.
pub fn examine(ctx: &Ctx, host: &Host, needs: &[Need]) -> Result<Vec<Checked>> {
    needs.iter().map(|&need| Ok(Checked { need, found: host.check(ctx, need.check)? })).collect()
}

/// Checks that the host can do `purpose`; installs what is missing if the user asked for it.
pub fn require(ctx: &Ctx, purpose: Purpose) -> Result<()> {
    require_all(ctx, &needs(purpose))
}

/// Checks that the host meets these needs; installs what is missing if the user asked for it.
pub fn require_all(ctx: &Ctx, needs: &[Need]) -> Result<()> {
    let host = Host::this();
    let checked = examine(ctx, &host, needs)?;
    if checked.iter().all(|checked| checked.found.is_ok()) {
        return Ok(());
    }
    if !ctx.install_deps {
        return Err(lacks(&host, &checked));
    }
    install::install(ctx, &host, &checked)?;
    let again = examine(ctx, &host, needs)?;
    if again.iter().all(|checked| checked.found.is_ok()) { Ok(()) } else { Err(still_lacks(&again)) }
}

/// The failure that lists what is missing and the command that installs it.
pub fn lacks(host: &Host, checked: &[Checked]) -> Failure {
    if !host.has("apt-get") {
        return Failure::of(Problem {
            exit: Exit::Host,
            id: "HOST002",
            what: format!("this host lacks {} and has no apt to install it", names(checked)),
            why: "the stand-in SDK is assembled from Debian packages by apt itself",
            fix: "run this on Debian 12 or newer, or in a container of it, such as debian:13",
        });
    }
    let commands: Vec<String> =
        install::commands(checked, install::am_root()).iter().map(|words| words.join(" ")).collect();
    Failure::of(Problem {
        exit: Exit::Host,
        id: "HOST001",
        what: format!("this host lacks {}", names(checked)),
        why: reasons(checked),
        fix: format!("{}\nor run the same command with --install-deps", commands.join("\n")),
    })
}

fn still_lacks(checked: &[Checked]) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "HOST003",
        what: format!("this host still lacks {} after installing it", names(checked)),
        why: reasons(checked),
        fix: "use Debian 12 or newer with its updates: older releases carry older packages",
    })
}

fn missing(checked: &[Checked]) -> impl Iterator<Item = (Need, &str)> {
    checked.iter().filter_map(|checked| Some((checked.need, checked.found.as_ref().err()?.as_str())))
}

fn names(checked: &[Checked]) -> String {
    missing(checked).map(|(need, _)| need.name).collect::<Vec<_>>().join(", ")
}

fn reasons(checked: &[Checked]) -> String {
    let lines: Vec<String> =
        missing(checked).map(|(need, problem)| format!("{}: {problem}; it {}", need.name, need.what_for)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(broken: &[&str]) -> Vec<Checked> {
        NEEDS
            .iter()
            .map(|&need| {
                let found = if broken.contains(&need.name) { Err("not found".into()) } else { Ok("here".into()) };
                Checked { need, found }
            })
            .collect()
    }

    #[test]
    fn what_is_missing_comes_with_the_exact_line_that_installs_it() {
        let failure = lacks(&Host::this(), &checked(&["QEMU", "C linker", "clippy"]));
        assert_eq!((failure.id(), failure.exit()), ("HOST001", Exit::Host));
        let finding = failure.finding();
        assert!(finding.what.contains("C linker, QEMU, clippy"), "{failure}");
        assert!(finding.why.contains("`-netdev stream` came with 7.2"), "{failure}");
        assert!(
            finding.fix.contains("apt-get install --yes --no-install-recommends gcc libc6-dev qemu-system-x86\n")
                && finding.fix.contains("rustup component add clippy\n"),
            "{failure}"
        );
    }

    #[test]
    fn a_host_without_apt_is_told_where_to_go() {
        let failure = lacks(&Host::at("/nowhere".into()), &checked(&["apt-get", "QEMU"]));
        assert_eq!((failure.id(), failure.exit()), ("HOST002", Exit::Host));
        assert!(!failure.finding().fix.contains("apt-get install"));
    }

    #[test]
    fn what_an_installation_did_not_cure_is_told() {
        let failure = still_lacks(&checked(&["QEMU"]));
        assert_eq!((failure.id(), failure.exit()), ("HOST003", Exit::Host));
        assert!(failure.finding().what.contains("QEMU"));
    }

    #[test]
    fn every_machine_has_an_emulator_that_can_be_installed() {
        let folder = camino::Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../qemu/machines"));
        for entry in folder.read_dir_utf8().unwrap() {
            let machine = vm::machine::Machine::load(entry.unwrap().path()).unwrap();
            let need = emulator(&machine.qemu.binary).unwrap();
            assert!(matches!(need.remedy, Remedy::Apt([package]) if *package == machine.qemu.package), "{need:?}");
            let missing = Checked { need, found: Err("not found".into()) };
            let failure = lacks(&Host::this(), &[missing]);
            assert!(failure.finding().fix.contains(&machine.qemu.package), "{failure}");
        }
        assert!(emulator("qemu-system-vax").is_none());
    }

    #[test]
    fn another_architecture_needs_its_rust_target() {
        for (arch, command) in [
            ("aarch64_generic", "rustup target add aarch64-unknown-linux-musl\n"),
            ("mips_24kc", "rustup component add rust-src\n"),
        ] {
            let needs = router_programs(&Arch(arch.into()));
            let checked: Vec<_> = needs.into_iter().map(|need| Checked { need, found: Err("no".into()) }).collect();
            let failure = lacks(&Host::this(), &checked);
            let fix = &failure.finding().fix;
            assert!(fix.contains(command) && fix.contains("python3-pip"), "{failure}");
        }
        for without in ["x86_64", "powerpc64_e5500"] {
            assert_eq!(router_programs(&Arch(without.into())).len(), 0, "{without}");
        }
    }

    #[test]
    fn a_stand_in_needs_each_thing_once_and_its_own_emulator() {
        let programs = |purpose, arch: &str, program: &str| -> Vec<&str> {
            let needs = stand_in_needs(purpose, &Arch(arch.into()), emulator(program));
            let programs = needs.iter().filter_map(|need| need.check.program());
            programs.filter(|program| program.starts_with("qemu-system")).collect()
        };
        assert_eq!(programs(Purpose::Test, "x86_64", "qemu-system-x86_64"), ["qemu-system-x86_64"]);
        assert_eq!(programs(Purpose::Test, "aarch64_generic", "qemu-system-aarch64"), ["qemu-system-aarch64"]);
        // Its tests boot PCs, whatever else is asked for.
        let all = ["qemu-system-x86_64", "qemu-system-aarch64", "qemu-system-mipsel"];
        assert_eq!(programs(Purpose::Ci, "aarch64_generic", "qemu-system-aarch64"), all);
        assert_eq!(programs(Purpose::Ci, "x86_64", "qemu-system-x86_64"), all);
        let once = |needs: &[Need]| {
            let mut checks: Vec<String> = needs.iter().map(|need| format!("{:?}", need.check)).collect();
            checks.sort();
            checks.windows(2).all(|pair| pair[0] != pair[1])
        };
        assert!(once(&stand_in_needs(Purpose::Ci, &Arch(FOREIGN.into()), emulator("qemu-system-mips"))));
    }

    #[test]
    fn building_needs_no_qemu() {
        let first = |purpose| NEEDS.iter().filter(move |need| need.purpose <= purpose);
        assert!(first(Purpose::Build).all(|need| !need.name.contains("QEMU")));
        assert_eq!(first(Purpose::Ci).count(), NEEDS.len());
        assert!(needs(Purpose::Ci).iter().any(|need| need.name == "make"), "its tests drive the SDK of a release");
        assert!(needs(Purpose::Ci).iter().any(|need| need.name == "QEMU for ARM" && need.purpose == Purpose::Ci));
        assert!(needs(Purpose::Test).iter().all(|need| need.purpose <= Purpose::Test && need.name != "make"));
    }
}
