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
    let mut packages: Vec<BuiltPackage> =
        results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
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
    let same =
        |a: &Entry, b: &Entry| a.path == b.path && a.mode == b.mode && a.kind == b.kind && a.owner.id == b.owner.id;
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

#[cfg(test)]
mod tests {
    use formats::Content;

    use super::*;
    use crate::local::fixture::{Fixture, RELEASE};
    use crate::recipe;

    fn sample(path: &str) -> Plan {
        let package = Package {
            name: "a".into(),
            version: "1-r1".into(),
            architecture: "x86_64".into(),
            description: "A".into(),
            files: vec![Entry::file(path, 0o644, Content::from("text"))],
            ..Package::default()
        };
        Plan { package, note: None }
    }

    fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
        (directory, path)
    }

    #[test]
    fn two_builds_of_the_same_inputs_are_the_same_bytes() {
        let fixture = Fixture::new(&[("top", "depends=nfnetlink"), ("nfnetlink", "depends=")]);
        let recipes = recipe::tests::load(&[
            ("kmod-nl.yaml", "package: kmod-nl\ntitle: Netlink\nmodules: [{name: nfnetlink}]\n"),
            ("kmod-top.yaml", "package: kmod-top\ntitle: Top\nmodules: [{name: top}]\ndepends: [kmod-nl]\n"),
        ])
        .unwrap();
        let (kernel, arch) = (fixture.open(), Arch("x86_64".into()));
        let request = |epoch| Request {
            recipes: &recipes,
            kernel: &kernel,
            arch: &arch,
            source_date_epoch: epoch,
            workspace: fixture.directory(),
            target_directory: fixture.directory(),
            offline: true,
        };
        let run = |epoch| {
            let (directory, out) = scratch();
            let built = build(&request(epoch), &out, &Events::discard(), &Cancel::default()).unwrap();
            (directory, built)
        };
        let ((_first, a), (_second, b), (_third, later)) = (run(Some(1)), run(Some(1)), run(Some(2)));
        let names: Vec<_> = a.iter().map(|package| package.file.file_name().unwrap()).collect();
        let hash = &kernel.id().config_hash;
        assert_eq!(
            names,
            [
                &format!("kernel_6.12.1~{hash}-r2_x86_64.ipk"),
                "kmod-nl_6.12.1-r2_x86_64.ipk",
                "kmod-top_6.12.1-r2_x86_64.ipk"
            ]
        );
        for ((a, b), later) in a.iter().zip(&b).zip(&later) {
            let bytes = std::fs::read(&a.file).unwrap();
            assert!(bytes == std::fs::read(&b.file).unwrap(), "{} differs", a.name);
            assert_eq!((a.sha256.clone(), &a.sha256), (Digest::of(&bytes).to_string(), &b.sha256));
            assert_ne!(a.sha256, later.sha256);
        }
        let read = ipk::read(&std::fs::read(&a[2].file).unwrap()[..], &Limits::default()).unwrap();
        assert!(read.entries.iter().any(|entry| entry.path == format!("lib/modules/{RELEASE}/top.ko")));
        assert_eq!(a[2].installed_size, read.metadata.control.installed_size.unwrap());
    }

    #[test]
    fn a_plan_that_cannot_be_written_is_named() {
        let (_directory, out) = scratch();
        let failure = write_all(&[sample("b"), sample("../b")], &out, &Events::discard(), &Cancel::default());
        let failure = failure.unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("PKG001", Exit::Failed));
    }

    #[test]
    fn an_interrupt_ends_the_writing() {
        let (_directory, out) = scratch();
        let cancel = Cancel::default();
        cancel.cancel();
        let failure = write_all(&[sample("b")], &out, &Events::discard(), &cancel).unwrap_err();
        assert_eq!(failure.id(), "RUN001");
        assert_eq!(out.read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_not_as_planned_is_found_out() {
        let (_directory, out) = scratch();
        let plan = sample("b");
        let built = write_one(&plan, &out).unwrap();
        assert_eq!(read_back(&plan.package, &built.file), Ok(built.installed_size));
        let changes: [fn(&mut Package); 4] = [
            |package| package.version = "2-r1".into(),
            |package| package.depends = vec![formats::depend::Dependency::on("b")],
            |package| package.files[0].mode = 0o755,
            |package| package.files.clear(),
        ];
        for change in changes {
            let mut other = plan.package.clone();
            change(&mut other);
            let failure = read_back(&other, &built.file).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("PKG002", Exit::Bug));
        }
        std::fs::write(&built.file, "no package").unwrap();
        assert_eq!(read_back(&plan.package, &built.file).unwrap_err().id(), "PKG002");
    }

    #[test]
    fn the_date_is_a_number_or_an_error() {
        assert_eq!(epoch_of_environment(None), Ok(None));
        assert_eq!(epoch_of_environment(Some("12".into())), Ok(Some(12)));
        for bad in ["", "-1", "yesterday", "1.5"] {
            let failure = epoch_of_environment(Some(bad.into())).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("PKG003", Exit::Usage), "{bad}");
        }
    }

    #[test]
    fn a_writer_that_dies_is_our_bug() {
        assert_eq!((writer_died().id(), writer_died().exit()), ("PKG004", Exit::Bug));
    }
}
