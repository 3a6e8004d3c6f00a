//! Programs of this workspace for the router: built by cargo, linked statically, checked.
//!
//! With Rust's musl target installed that is used; otherwise the host's glibc, linked in by
//! `+crt-static`. Paths of this machine are mapped away, so that the bytes depend on sources and toolchain
//! only.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Content, Entry, Package};
use model::{Arch, Cancel, Events, Exit, Failure, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use serde::Deserialize;

use crate::command::{Command, run};
use crate::files;
use crate::kmod::{Plan, STAGE};
use crate::recipe::Program;

/// Link-time optimisation of everything, on a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// Rust's target for static programs, where its standard library is installed.
const MUSL: &str = "x86_64-unknown-linux-musl";

/// The target that comes with every toolchain on this architecture.
const GNU: &str = "x86_64-unknown-linux-gnu";

/// Which binary to build, and where.
#[derive(Debug, Clone, Copy)]
pub struct CargoBuild<'a> {
    /// Root of the cargo workspace.
    pub workspace: &'a Utf8Path,
    /// A target directory of its own: the flags differ from those of host builds.
    pub target_directory: &'a Utf8Path,
    /// The cargo package.
    pub package: &'a str,
    /// Its binary.
    pub binary: &'a str,
    /// Never ask the network for crates.
    pub offline: bool,
}

/// A static program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticBinary {
    /// Where cargo put it.
    pub file: Utf8PathBuf,
    /// The cargo package's version.
    pub version: String,
    /// The Rust target it was built for.
    pub target: &'static str,
}

/// Builds a binary of the workspace for the router with profile `router`, linked statically.
///
/// # Errors
/// `CRG001` cargo failed, `CRG002` it made no such binary, `CRG003` the binary is not static.
pub fn cargo_static(build: &CargoBuild<'_>, events: &Events, cancel: &Cancel) -> Result<StaticBinary> {
    let target = static_target(cancel)?;
    let CargoBuild { workspace, target_directory, package, binary, offline } = *build;
    let mut words = vec![cargo()];
    words.extend(["build", "--locked", "--profile", "router", "--target", target].map(str::to_owned));
    words.extend(["--package", package, "--bin", binary, "--target-dir", target_directory.as_str()].map(str::to_owned));
    words.push("--message-format=json-render-diagnostics".into());
    if offline {
        words.push("--offline".into());
    }
    let command = Command {
        words,
        package: "cargo",
        directory: Some(workspace),
        // This variable outranks RUSTFLAGS and configuration files: nothing of the host leaks in.
        variables: vec![("CARGO_ENCODED_RUSTFLAGS", flags(workspace).join("\x1f"))],
        limit: BUILD_LIMIT,
    };
    let output = run(&command, cancel)?;
    if !output.success {
        return Err(Failure::new(
            Exit::Failed,
            "CRG001",
            format!("`{package}` does not build for the router"),
            output.last_words(),
            format!("see the whole of it: cargo build --profile router -p {package}"),
        ));
    }
    let artifact = output.stdout.lines().find_map(|line| Artifact::from_line(line, binary));
    let artifact = artifact.ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "CRG002",
            format!("cargo made no program `{binary}`"),
            format!("the package `{package}` has no binary target of that name"),
            "compare `cargo:` in the recipe with the package's Cargo.toml",
        )
    })?;
    let file = artifact.executable;
    check_static(&files::read(&file)?).map_err(|why| not_static(&why, &file))?;
    events.line(STAGE, format!("{binary} {} for {target}", artifact.version));
    Ok(StaticBinary { file, version: artifact.version, target })
}

/// The Rust target that static programs are built for on this host: part of what their bytes depend on.
///
/// # Errors
/// `CMD…` when there is no rustc.
pub fn static_target(cancel: &Cancel) -> Result<&'static str> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let words = [&rustc, "--print", "target-libdir", "--target", MUSL].map(str::to_owned).into();
    let command = Command { words, package: "rustc", directory: None, variables: vec![], limit: Duration::from_secs(60) };
    let output = run(&command, cancel)?;
    let installed = output.success && Utf8Path::new(output.stdout.trim()).is_dir();
    Ok(if installed { MUSL } else { GNU })
}

/// The cargo that started us, or the one in PATH.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Compiler flags: static, and without this machine's paths in panic messages.
fn flags(workspace: &Utf8Path) -> Vec<String> {
    let home = |name: &str| std::env::var(name).ok().filter(|path| !path.is_empty());
    let cargo_home = home("CARGO_HOME").or_else(|| Some(format!("{}/.cargo", home("HOME")?)));
    let mut flags = vec!["-Ctarget-feature=+crt-static".into(), format!("--remap-path-prefix={workspace}=/source")];
    flags.extend(cargo_home.map(|path| format!("--remap-path-prefix={path}=/cargo")));
    flags
}

/// What cargo says about a finished program.
#[derive(Debug)]
struct Artifact {
    executable: Utf8PathBuf,
    version: String,
}

impl Artifact {
    /// Reads a line of `--message-format=json`; `None` when it is about something else.
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

/// Whether the ELF file runs without a loader and without libraries; the error says why not.
fn check_static(bytes: &[u8]) -> Result<(), String> {
    let damaged = |error: object::Error| format!("it is no ELF file of this architecture: {error}");
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err("it is no program".into());
    }
    for segment in header.program_headers(endian, bytes).map_err(damaged)? {
        if segment.p_type(endian) == PT_INTERP {
            return Err("it asks for a loader (PT_INTERP)".into());
        }
        let needed = segment.dynamic(endian, bytes).map_err(damaged)?.unwrap_or_default();
        if needed.iter().any(|entry| entry.d_tag(endian) == DT_NEEDED) {
            return Err("it needs shared libraries (DT_NEEDED)".into());
        }
    }
    Ok(())
}

fn not_static(why: &str, file: &Utf8Path) -> Failure {
    Failure::new(
        Exit::Failed,
        "CRG003",
        "the program for the router is not static",
        format!("{why}; a router has none of this host's libraries"),
        "remove the dependency that links a shared library, or install Rust's musl target",
    )
    .at(file)
}

/// Makes the package of a program.
///
/// # Errors
/// As [`cargo_static`], and `CRG004` when it is larger than its recipe allows.
pub(crate) fn plan(
    program: &Program,
    build: &CargoBuild<'_>,
    arch: &Arch,
    epoch: u64,
    events: &Events,
    cancel: &Cancel,
) -> Result<Plan> {
    let built = cargo_static(build, events, cancel)?;
    let bytes = files::read(&built.file)?;
    check_size(program, &built, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    let description = format!("{}\n{}", program.title, program.description);
    let package = Package {
        name: program.package.clone(),
        version: format!("{}-r{}", built.version, program.release),
        architecture: arch.to_string(),
        depends: program.depends.iter().map(formats::depend::Dependency::on).collect(),
        description: description.trim_end().into(),
        license: program.license.clone(),
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
    let allowed = if built.target == MUSL { budget.musl } else { budget.glibc };
    if size <= allowed {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "CRG004",
        format!("{} has {size} bytes, its budget for {} is {allowed}", program.package, built.target),
        "flash on routers is small, and the budget is a promise to their owners",
        "find what grew (`cargo bloat`), or raise `max-installed-size` in the recipe and say why",
    )
    .at(&built.file))
}
