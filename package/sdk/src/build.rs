//! All recipes to package files: planned, written, read back and compared.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use formats::sha256::Digest;
use formats::{Entry, Limits, Package, ipk};
use model::{Arch, Cancel, Events, Exit, Failure, Result};

use crate::kmod::{self, Plan, STAGE};
use crate::local::Kernel;
use crate::recipe::Recipes;
use crate::userspace::{self, CargoBuild};

/// Packages are written by this many threads: most machines that build have two processors to spare.
const WRITERS: usize = 2;

/// What to build.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// From [`Recipes::load`].
    pub recipes: &'a Recipes,
    /// The kernel whose modules are packed.
    pub kernel: &'a Kernel,
    /// OpenWrt package architecture.
    pub arch: &'a Arch,
    /// Time of every file, in seconds since 1970; `None`: SOURCE_DATE_EPOCH, or else when the kernel was built.
    pub source_date_epoch: Option<u64>,
    /// Root of the cargo workspace that holds the programs.
    pub workspace: &'a Utf8Path,
    /// Cargo's target directory for them.
    pub target_directory: &'a Utf8Path,
    /// Never ask the network for crates.
    pub offline: bool,
}

/// A package file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPackage {
    /// Such as `kmod-nft-offload`.
    pub name: String,
    /// Such as `6.12.107-r1`.
    pub version: String,
    /// OpenWrt package architecture.
    pub arch: String,
    /// Where it lies.
    pub file: Utf8PathBuf,
    /// Hex digest of the file.
    pub sha256: String,
    /// Bytes that it takes when installed, as its control file says.
    pub installed_size: u64,
    /// A remark for people.
    pub note: Option<String>,
}

/// Builds every recipe that applies to the kernel as ipk files in the empty directory `out`, by name.
///
/// # Errors
/// `KMOD…`, `CRG…` and `CMD…` as in planning; `PKG001` a package that cannot be written, `PKG002` one
/// that does not read back as planned, `PKG003` a SOURCE_DATE_EPOCH that is no number.
pub fn build(request: &Request<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
    let epoch = match request.source_date_epoch {
        Some(epoch) => epoch,
        None => epoch_of_environment(std::env::var("SOURCE_DATE_EPOCH").ok())?.unwrap_or(request.kernel.built()),
    };
    let mut plans = kmod::plan(request.recipes, request.kernel, request.arch, epoch, events)?;
    for program in request.recipes.programs.values() {
        let build = CargoBuild {
            workspace: request.workspace,
            target_directory: request.target_directory,
            package: &program.cargo.package,
            binary: &program.cargo.binary,
            offline: request.offline,
        };
        plans.push(userspace::plan(program, &build, request.arch, epoch, events, cancel)?);
    }
    write_all(&plans, out, events, cancel)
}

/// Writes packages in parallel; the first failure ends the work.
fn write_all(plans: &[Plan], out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
    let total = u64::try_from(plans.len()).ok();
    let next = Mutex::new((1..).zip(plans.iter()));
    let worker = || {
        let mut built = Vec::new();
        // The lock is held only while the next plan is taken.
        while let Some((number, plan)) = next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next() {
            cancel.check()?;
            built.push(write_one(plan, out)?);
            events.progress(STAGE, number, total);
        }
        Ok(built)
    };
    let results: Vec<Result<Vec<BuiltPackage>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(writer_died()))).collect()
    });
    let mut packages: Vec<BuiltPackage> = results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn write_one(plan: &Plan, out: &Utf8Path) -> Result<BuiltPackage> {
    let package = &plan.package;
    let file = out.join(ipk::file_name(package));
    let refused = |error: formats::Error| {
        let (what, fix) = (format!("package {} cannot be written", package.name), "correct its recipe");
        Failure::new(Exit::Failed, "PKG001", what, format!("{error} ({})", error.id()), fix).at(&file)
    };
    let failed = |error| Failure::io("write the package", &file, &error);
    let mut writer = BufWriter::new(File::create(&file).map_err(failed)?);
    ipk::write(package, &mut writer).map_err(|error| match error {
        formats::Error::Io(error) => failed(error),
        other => refused(other),
    })?;
    writer.flush().map_err(failed)?;
    let installed_size = read_back(package, &file)?;
    let mut reader = File::open(&file).map_err(failed)?;
    let (digest, _length) = Digest::of_reader(&mut reader).map_err(failed)?;
    Ok(BuiltPackage {
        name: package.full_name(),
        version: package.version.clone(),
        arch: package.architecture.clone(),
        sha256: digest.to_string(),
        file,
        installed_size,
        note: plan.note.clone(),
    })
}

/// Opens the file again and compares it with the plan: exit codes and file names prove nothing.
/// Returns the installed size.
fn read_back(package: &Package, file: &Utf8Path) -> Result<u64> {
    let bad = |why: String| {
        Failure::new(
            Exit::Bug,
            "PKG002",
            format!("package {} does not read back as it was planned", package.name),
            why,
            "run the same command again on a healthy disk; if it happens twice, report it",
        )
        .at(file)
    };
    let opened = File::open(file).map_err(|error| Failure::io("read the package", file, &error))?;
    let read = ipk::read(BufReader::new(opened), &Limits::default()).map_err(|error| bad(error.to_string()))?;
    let control = read.metadata.control;
    let identity = (control.package, control.version, control.architecture);
    if identity != (package.full_name(), package.version.clone(), package.architecture.clone()) {
        return Err(bad(format!("its control file names {identity:?}")));
    }
    if control.depends != package.depends {
        return Err(bad(format!("its dependencies became {:?}", control.depends)));
    }
    let planned = package.tree().map_err(|error| bad(error.to_string()))?;
    let same = |a: &Entry, b: &Entry| a.path == b.path && a.mode == b.mode && a.kind == b.kind && a.owner.id == b.owner.id;
    if planned.len() != read.entries.len() || !planned.iter().zip(&read.entries).all(|(a, b)| same(a, b)) {
        return Err(bad("its files are not the planned ones".into()));
    }
    control.installed_size.ok_or_else(|| bad("its control file has no Installed-Size".into()))
}

/// The value of SOURCE_DATE_EPOCH, as reproducible-builds.org specifies it.
fn epoch_of_environment(value: Option<String>) -> Result<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| {
        Failure::new(
            Exit::Usage,
            "PKG003",
            format!("SOURCE_DATE_EPOCH is `{value}`"),
            "it must be a number of seconds since 1970",
            "unset it, or set it to a number such as that of `git log -1 --format=%ct`",
        )
    })
}

fn writer_died() -> Failure {
    Failure::new(
        Exit::Bug,
        "PKG004",
        "a thread that writes packages ended unexpectedly",
        "its message stands above",
        "report it with that message",
    )
}
