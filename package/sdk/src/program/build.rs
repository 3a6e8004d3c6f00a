//! Builds this workspace's programs for the router: with cargo, linked statically, checked.
//!
//! Paths of this machine are mapped away, so the bytes depend only on sources and toolchain.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Content, Entry, Package};
use host::{Cmd, Job, cmd, files};
use model::{Arch, Cancel, Events, Exit, Failure, Problem, Result};
use object::Endianness;
use object::FileKind;
use object::elf::{DT_NEEDED, ET_DYN, ET_EXEC, FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use serde::Deserialize;

use super::toolchain::{GNU, Ready, Toolchain};
use crate::kmod::{Plan, STAGE};
use crate::recipe::Program;

/// Deadline for a build with full link-time optimisation on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// The cargo profile for programs that run on routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// For what is published: small, however long the build takes.
    Router,
    /// For the stand-in only: fast to build and to run.
    StandIn,
    /// For programs of other workspaces.
    Release,
    /// For the stand-in, where it has this host's architecture: with the crates that `cargo xtask` was compiled with.
    Dev,
}

impl Profile {
    /// The profile's name in `Cargo.toml`.
    fn name(self) -> &'static str {
        match self {
            Profile::Router => "router",
            Profile::StandIn => "stand-in",
            Profile::Release => "release",
            Profile::Dev => "dev",
        }
    }
}

/// The binary to build, and how.
#[derive(Debug, Clone, Copy)]
pub struct CargoBuild<'a> {
    /// Root of the cargo workspace.
    pub workspace: &'a Utf8Path,
    /// A separate target directory, because the flags differ from those of host builds.
    pub target_directory: &'a Utf8Path,
    /// The cargo package.
    pub package: &'a str,
    /// Its binary.
    pub binary: &'a str,
    /// The profile to build with.
    pub profile: Profile,
    /// Whether cargo must not fetch crates from the network.
    pub offline: bool,
}

/// A statically linked program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticBinary {
    /// Path of the program.
    pub file: Utf8PathBuf,
    /// The cargo package's version.
    pub version: String,
    /// The Rust target that it was built for.
    pub target: &'static str,
}

/// Builds a binary of the workspace for the router, linked statically.
///
/// # Errors
/// `CRG001` it does not compile, `CRG002` cargo made no such binary, `CRG003` the binary is not static, `CRG005` this
/// host cannot link it, `CRG006` a crate cannot be fetched.
pub fn cargo_static(
    build: &CargoBuild<'_>,
    toolchain: &Toolchain,
    events: &Events,
    cancel: &Cancel,
) -> Result<StaticBinary> {
    let CargoBuild { workspace, target_directory, package, binary, profile, offline } = *build;
    let (target, is_small) = (toolchain.triple, profile == Profile::Router);
    let Ready { cargo, library, environment, flags: own } = toolchain.ready(is_small)?;
    let shell = host::shell()?;
    shell.change_dir(workspace);
    // This variable overrides RUSTFLAGS and configuration files, so the host's settings have no effect.
    shell.set_var("CARGO_ENCODED_RUSTFLAGS", [flags(workspace), own].concat().join("\x1f"));
    environment.iter().for_each(|(name, value)| shell.set_var(name, value));
    let (profile, offline) = (profile.name(), offline.then_some("--offline"));
    let command = cmd!(
        shell,
        "{cargo} build --locked --profile {profile} --target {target} --package {package} --bin {binary}
            --target-dir {target_directory} --message-format=json-render-diagnostics {library...} {offline...}"
    );
    events.line(STAGE, format!("building {binary} for {target}"));
    built(command, build, target, cancel)
}

/// Links a binary of the package that this program is part of, statically and for this host. It must be asked for as
/// `cargo xtask` is, in the same target directory: then every crate below it is compiled already, and a new user does
/// not wait for them twice.
///
/// # Errors
/// As [`cargo_static`].
pub fn cargo_shared(
    workspace: &Utf8Path,
    package: &str,
    binary: &str,
    offline: bool,
    events: &Events,
    cancel: &Cancel,
) -> Result<StaticBinary> {
    let shell = host::shell()?;
    shell.change_dir(workspace);
    let (cargo, offline_flag) = (super::toolchain::cargo(), offline.then_some("--offline"));
    let command = cmd!(
        shell,
        "{cargo} rustc --locked --package {package} --bin {binary} --message-format=json-render-diagnostics
            {offline_flag...} -- -Ctarget-feature=+crt-static -Cstrip=symbols"
    );
    let command = set_by_cargo().into_iter().fold(command, |command, name| command.env_remove(name));
    events.line(STAGE, format!("linking {binary} for {GNU}"));
    let build = CargoBuild { workspace, target_directory: workspace, package, binary, profile: Profile::Dev, offline };
    built(command, &build, GNU, cancel)
}

/// The variables in which `cargo run` and `cargo test` describe the package of what they start. A cargo that we start
/// must not see them: build scripts that look at them would run once more, and all that depends on them be compiled anew.
pub fn set_by_cargo() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names
        .filter(|name| ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|start| name.starts_with(start)))
        .collect()
}

/// Runs cargo, and checks what it built.
fn built(command: Cmd<'_>, build: &CargoBuild<'_>, target: &'static str, cancel: &Cancel) -> Result<StaticBinary> {
    let output = Job::new(command, BUILD_LIMIT).from_package("rustup").over_network().family().output(cancel)?;
    if !output.success {
        return Err(why_cargo_failed(&output.stderr, &output.last_words(), build));
    }
    let artifact = Artifact::find(&output.stdout, build)?;
    let file = artifact.executable;
    check_static(&files::read(&file)?).map_err(|why| not_static(&why, &file))?;
    Ok(StaticBinary { file, version: artifact.version, target })
}

/// Messages of cargo and its libraries when crates cannot be fetched.
const NETWORK: [&str; 5] = [
    "failed to download",
    "download of",
    "spurious network error",
    "Could not resolve host",
    "--offline was specified",
];

/// Messages of rustc and ld when the host cannot link a static program.
const LINKER: [&str; 3] = ["linker `cc` not found", "cannot find -lc", "cannot find -lgcc_eh"];

/// Distinguishes an error in the sources from one of the network or the host.
fn why_cargo_failed(stderr: &str, last_words: &str, build: &CargoBuild<'_>) -> Failure {
    let CargoBuild { package, profile, .. } = build;
    let what = format!("`{package}` does not build for the router");
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&LINKER) {
        let why = format!("this host has no linker, or no static C library\n{last_words}");
        return Failure::of(Problem {
            exit: Exit::Host,
            id: "CRG005",
            what,
            why,
            fix: "apt-get install gcc libc6-dev",
        });
    }
    if says(&NETWORK) {
        let why = format!("cannot fetch a crate from the registry\n{last_words}");
        return Failure::of(Problem {
            exit: Exit::Upstream,
            id: "CRG006",
            what,
            why,
            fix: "check the network, or run once without --offline",
        });
    }
    let fix = format!("see all of the output: cargo build --profile {} -p {package}", profile.name());
    Failure::of(Problem { exit: Exit::Failed, id: "CRG001", what, why: last_words, fix })
}

/// Compiler flags: static, and without this machine's paths in panic messages.
fn flags(workspace: &Utf8Path) -> Vec<String> {
    let home = |name: &str| std::env::var(name).ok().filter(|path| !path.is_empty());
    let cargo_home = home("CARGO_HOME").or_else(|| Some(format!("{}/.cargo", home("HOME")?)));
    let mut flags = vec!["-Ctarget-feature=+crt-static".into(), format!("--remap-path-prefix={workspace}=/source")];
    flags.extend(cargo_home.map(|path| format!("--remap-path-prefix={path}=/cargo")));
    flags
}

/// cargo's message about a finished program.
#[derive(Debug)]
struct Artifact {
    executable: Utf8PathBuf,
    version: String,
}

impl Artifact {
    /// Finds the binary in cargo's messages.
    fn find(messages: &str, build: &CargoBuild<'_>) -> Result<Self> {
        messages.lines().find_map(|line| Artifact::from_line(line, build.binary)).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Failed,
                id: "CRG002",
                what: format!("cargo did not build the program `{}`", build.binary),
                why: format!("the package `{}` has no binary target of that name", build.package),
                fix: "compare `cargo:` in the recipe with the package's Cargo.toml",
            })
        })
    }

    /// Parses a line of `--message-format=json`; `None` when it is about something else.
    fn from_line(line: &str, binary: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Message {
            reason: String,
            package_id: Option<String>,
            target: Option<Target>,
            executable: Option<String>,
        }
        #[derive(Deserialize)]
        struct Target {
            name: String,
        }
        let message: Message = serde_json::from_str(line).ok()?;
        let named = message.target.is_some_and(|target| target.name == binary);
        // A package id ends in `#VERSION` or `#NAME@VERSION`.
        let version = message.package_id?.rsplit(['#', '@']).next()?.to_owned();
        let executable = message.executable?.into();
        (message.reason == "compiler-artifact" && named).then_some(Artifact { executable, version })
    }
}

/// Checks that an ELF file runs without a loader and libraries; the error says why not.
pub(crate) fn check_static(bytes: &[u8]) -> Result<(), String> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf64) => check_header::<FileHeader64<Endianness>>(bytes),
        Ok(FileKind::Elf32) => check_header::<FileHeader32<Endianness>>(bytes),
        _ => Err("it is not an ELF file".into()),
    }
}

fn check_header<Header: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<(), String> {
    let damaged = |error: object::Error| format!("it is a damaged ELF file: {error}");
    let header = Header::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err("it is not a program".into());
    }
    for segment in header.program_headers(endian, bytes).map_err(damaged)? {
        if segment.p_type(endian) == PT_INTERP {
            return Err("it needs a loader (PT_INTERP)".into());
        }
        let needed = segment.dynamic(endian, bytes).map_err(damaged)?.unwrap_or_default();
        if needed.iter().any(|entry| entry.d_tag(endian) == DT_NEEDED) {
            return Err("it needs shared libraries (DT_NEEDED)".into());
        }
    }
    Ok(())
}

fn not_static(why: &str, file: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "CRG003",
        what: "the program for the router is not static",
        why: format!("{why}; a router has none of this host's libraries"),
        fix: "remove the dependency that links a shared library, or install Rust's musl target",
    })
    .at(file)
}

/// Builds a recipe's program, which must not be larger than the recipe allows.
///
/// # Errors
/// As [`cargo_static`]; `CRG004` when it is larger.
pub fn router_program(
    program: &Program,
    build: &CargoBuild<'_>,
    toolchain: &Toolchain,
    events: &Events,
    cancel: &Cancel,
) -> Result<StaticBinary> {
    let built = cargo_static(build, toolchain, events, cancel)?;
    let size = std::fs::metadata(&built.file).map_err(|error| Failure::io("read the program", &built.file, &error))?;
    check_size(program, &built, size.len())?;
    Ok(built)
}

/// Plans the package of a program.
///
/// # Errors
/// As [`cargo_static`], and `CRG004` when it is larger than the recipe allows.
pub(crate) fn plan(
    program: &Program,
    build: &CargoBuild<'_>,
    toolchain: &Toolchain,
    arch: &Arch,
    epoch: u64,
    events: &Events,
    cancel: &Cancel,
) -> Result<Plan> {
    let built = router_program(program, build, toolchain, events, cancel)?;
    let bytes = files::read(&built.file)?;
    let description = format!("{}\n{}", program.title, program.description);
    let package = Package {
        name: program.package.clone(),
        version: format!("{}-r{}", built.version, program.release),
        architecture: arch.to_string(),
        depends: program.depends.iter().map(formats::depend::Dependency::on).collect(),
        description: description.trim_end().into(),
        license: program.license.clone(),
        maintainer: crate::kmod::MAINTAINER.into(),
        section: program.section.clone(),
        source: format!("package/recipes/{}.yaml", program.package),
        source_name: program.cargo.package.clone(),
        source_date_epoch: epoch,
        files: vec![Entry::file(program.install.clone(), 0o755, Content::from(bytes))],
        ..Package::default()
    };
    Ok(Plan { package, note: Some(format!("static, {}", built.target)) })
}

fn check_size(program: &Program, built: &StaticBinary, size: u64) -> Result<()> {
    let budget = program.max_installed_size;
    let allowed = if built.target.contains("musl") { budget.musl } else { budget.glibc };
    if size <= allowed {
        return Ok(());
    }
    Err(Failure::of(Problem {
        exit: Exit::Failed,
        id: "CRG004",
        what: format!("{} has {size} bytes, but its limit for {} is {allowed}", program.package, built.target),
        why: "flash on routers is small, and the limit is a promise to their owners",
        fix: "find what grew (`cargo bloat`), or raise `max-installed-size` in the recipe and say why",
    })
    .at(&built.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cargo workspace with one program.
    struct Project(tempfile::TempDir);

    impl Project {
        fn new(main: &str) -> Self {
            let project = Project(tempfile::tempdir().unwrap());
            project.put("Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"1.2.3\"\nedition = \"2024\"\n[profile.router]\ninherits = \"release\"\npanic = \"abort\"\nstrip = true\n");
            project.put("Cargo.lock", "version = 4\n\n[[package]]\nname = \"tiny\"\nversion = \"1.2.3\"\n");
            project.put("src/main.rs", main);
            project
        }

        fn root(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.root().join(path);
            files::create_folder(path.parent().unwrap()).unwrap();
            files::write(&path, text.as_bytes()).unwrap();
        }

        fn build(&self, target_directory: &str) -> Result<StaticBinary> {
            let target_directory = self.root().join(target_directory);
            let build = CargoBuild {
                workspace: self.root(),
                target_directory: &target_directory,
                package: "tiny",
                binary: "tiny",
                profile: Profile::Router,
                offline: true,
            };
            let cancel = Cancel::default();
            cargo_static(&build, &Toolchain::of_host(&cancel)?, &Events::discard(), &cancel)
        }
    }

    fn program(budget: u64) -> Program {
        model::yaml::parse(
            "x.yaml".into(),
            &format!(
                "version: 1\npackage: x\ntitle: Title\ndescription: More\nlicense: MIT\nsection: net\nrelease: 4\n\
                 cargo: {{package: tiny, binary: tiny}}\ninstall: usr/bin/x\nmax-installed-size: {{musl: {budget}, glibc: {budget}}}\n"
            ),
        )
        .unwrap()
    }

    #[test]
    fn a_program_is_static_and_the_same_from_two_target_directories() {
        let project = Project::new("fn main() { let n = std::env::args().count(); println!(\"{}\", [1, 2][n]) }");
        let (first, second) = (project.build("a").unwrap(), project.build("b").unwrap());
        assert_eq!(first.version, "1.2.3");
        let bytes = files::read(&first.file).unwrap();
        assert_eq!(check_static(&bytes), Ok(()));
        assert!(bytes == files::read(&second.file).unwrap(), "two builds differ");
        let path = project.root().as_str().as_bytes();
        assert!(!bytes.windows(path.len()).any(|window| window == path), "a path of this machine is in it");

        let build = CargoBuild {
            workspace: project.root(),
            target_directory: &project.root().join("a"),
            package: "tiny",
            binary: "tiny",
            profile: Profile::Router,
            offline: true,
        };
        let (arch, cancel) = (Arch("x86_64".into()), Cancel::default());
        let toolchain = Toolchain::of_host(&cancel).unwrap();
        let plan = |budget| plan(&program(budget), &build, &toolchain, &arch, 7, &Events::discard(), &cancel);
        let package = plan(u64::MAX).unwrap().package;
        assert_eq!((package.name.as_str(), package.version.as_str()), ("x", "1.2.3-r4"));
        assert_eq!(package.description, "Title\nMore");
        assert_eq!(package.files, [Entry::file("usr/bin/x", 0o755, Content::from(bytes))]);
        let failure = plan(1000).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CRG004", Exit::Failed));
    }

    #[test]
    fn a_program_that_does_not_compile_shows_why() {
        let failure = Project::new("fn main() { nothing }").build("a").unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CRG001", Exit::Failed));
        assert!(failure.to_string().contains("tiny"), "{failure}");
    }

    #[test]
    fn what_cargo_compiled_for_itself_is_linked_and_not_compiled_again() {
        let project = Project::new("fn main() {}");
        let script = "fn main() {\n    for name in [\"CARGO_PKG_NAME\", \"CARGO_MANIFEST_DIR\", \"OUT_DIR\"] {\n        \
                      println!(\"cargo:rerun-if-env-changed={name}\");\n    }\n    \
                      let runs = std::fs::read_to_string(\"runs\").unwrap_or_default();\n    \
                      std::fs::write(\"runs\", runs + \"x\").unwrap();\n}\n";
        project.put("build.rs", script);
        let runs = || std::fs::read_to_string(project.root().join("runs")).unwrap();
        let plain = std::process::Command::new("env")
            .args(["-u", "CARGO_PKG_NAME", "-u", "CARGO_MANIFEST_DIR", "-u", "OUT_DIR"])
            .args([super::super::toolchain::cargo().as_str(), "build", "--quiet", "--offline"])
            .current_dir(project.root())
            .status();
        assert!(plain.unwrap().success());
        assert_eq!(runs(), "x");
        let (events, cancel) = (Events::discard(), Cancel::default());
        let built = cargo_shared(project.root(), "tiny", "tiny", true, &events, &cancel).unwrap();
        assert_eq!((check_static(&files::read(&built.file).unwrap()), runs()), (Ok(()), "x".into()));
    }

    #[test]
    fn a_fault_of_host_or_network_is_not_blamed_on_the_sources() {
        let root = Utf8Path::new("/w");
        let profile = Profile::Router;
        let build =
            CargoBuild { workspace: root, target_directory: root, package: "p", binary: "b", profile, offline: true };
        for (stderr, id, exit) in [
            ("error: linker `cc` not found", "CRG005", Exit::Host),
            ("  /usr/bin/ld: cannot find -lc: No such file or directory", "CRG005", Exit::Host),
            ("error: failed to download from `https://x`", "CRG006", Exit::Upstream),
            ("error: failed to get `x`\n  but --offline was specified", "CRG006", Exit::Upstream),
            ("error[E0425]: cannot find value `x`", "CRG001", Exit::Failed),
        ] {
            let failure = why_cargo_failed(stderr, stderr, &build);
            assert_eq!((failure.id(), failure.exit()), (id, exit), "{stderr}");
        }
    }

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let root = Utf8Path::new("/w");
        let profile = Profile::Router;
        let build =
            CargoBuild { workspace: root, target_directory: root, package: "p", binary: "b", profile, offline: true };
        let line = |name: &str, id: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"name":"{name}"}},"executable":"/t/{name}"}}"#
            )
        };
        let messages = [
            "no json",
            r#"{"reason":"build-finished","success":true}"#,
            &line("a", "x#1"),
            &line("b", "path+file:///w/p#1.2.3"),
        ];
        let artifact = Artifact::find(&messages.join("\n"), &build).unwrap();
        assert_eq!((artifact.executable.as_str(), artifact.version.as_str()), ("/t/b", "1.2.3"));
        assert_eq!(Artifact::find(&line("b", "path+file:///w#p@0.1.0"), &build).unwrap().version, "0.1.0");
        let failure = Artifact::find(&line("a", "x#1"), &build).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CRG002", Exit::Failed));
    }

    #[test]
    fn a_program_that_needs_a_loader_or_is_none_is_refused() {
        // On every Debian, this test program itself is linked dynamically.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let why = check_static(&own).unwrap_err();
        assert!(why.contains("PT_INTERP") || why.contains("DT_NEEDED"), "{why}");
        let module = crate::local::fixture::elf("vermagic=x\0");
        assert!(check_static(&module).unwrap_err().contains("not a program"));
        assert!(check_static(b"#!/bin/sh\n").unwrap_err().contains("not an ELF"));
        let failure = not_static(&why, Utf8Path::new("x"));
        assert_eq!((failure.id(), failure.exit()), ("CRG003", Exit::Failed));
    }
}
