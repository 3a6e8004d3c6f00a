//! Builds package files from all recipes: each is planned once, and written in every requested format.

use std::collections::BTreeMap;

use camino::Utf8Path;
use formats::Format;
use model::{Arch, Cancel, Events, Exit, Failure, Problem, Result};

use crate::built::BuiltPackage;
use crate::kmod::{self, CompiledKmods};
use crate::local::Kernel;
use crate::own::{self, Made, PackRequest};
use crate::program::{self, CargoBuild, Profile, Toolchain};
use crate::recipe::Recipes;
use crate::write::write_all;

/// What to build.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// From [`Recipes::load`].
    pub recipes: &'a Recipes,
    /// The kernel whose modules are packed.
    pub kernel: &'a Kernel,
    /// What was compiled for this kernel: a folder for each kmod that has a source.
    pub compiled: &'a CompiledKmods,
    /// Programs of other workspaces that cargo built, by package name.
    pub made: &'a BTreeMap<String, Made>,
    /// OpenWrt package architecture.
    pub arch: &'a Arch,
    /// What compiles and links the programs.
    pub toolchain: &'a Toolchain,
    /// Formats to write; each package is written in all of them.
    pub formats: &'a [Format],
    /// Time of every file, in seconds since 1970; `None` for SOURCE_DATE_EPOCH, or without it the time at which the
    /// kernel was built.
    pub source_date_epoch: Option<u64>,
    /// Root of the cargo workspace that holds the programs.
    pub workspace: &'a Utf8Path,
    /// Cargo's target directory for them.
    pub target_directory: &'a Utf8Path,
    /// Whether cargo must not fetch crates from the network.
    pub offline: bool,
}

/// Builds every recipe that applies to the kernel, into the empty directory `out`; returns the files by name and
/// format.
///
/// # Errors
/// `KMOD…`, `CRG…` and `CMD…` as in planning; `PKG001` a package that cannot be written, `PKG002` one that does not
/// read back as planned, `PKG003` a SOURCE_DATE_EPOCH that is not a number.
pub fn build(request: &Request<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
    let epoch = match request.source_date_epoch {
        Some(epoch) => epoch,
        None => source_date_epoch()?.unwrap_or(request.kernel.built()),
    };
    let mut plans = kmod::plan(request.recipes, request.kernel, request.compiled, request.arch, epoch, events)?;
    for program in request.recipes.programs.values() {
        let build = CargoBuild {
            workspace: request.workspace,
            target_directory: request.target_directory,
            package: &program.cargo.package,
            binary: &program.cargo.binary,
            profile: Profile::Router,
            offline: request.offline,
        };
        plans.push(program::plan(program, &build, request.toolchain, request.arch, epoch, events, cancel)?);
    }
    plans.extend(own::plans(&PackRequest {
        recipes: request.recipes,
        made: request.made,
        arch: request.arch,
        formats: request.formats,
        epoch,
        only_static: true,
    })?);
    write_all(&plans, request.formats, out, events, cancel)
}

/// The time that the environment sets for packages, if it does.
///
/// # Errors
/// `PKG003` when it is not a number.
pub fn source_date_epoch() -> Result<Option<u64>> {
    epoch_of_environment(std::env::var("SOURCE_DATE_EPOCH").ok())
}

/// The value of SOURCE_DATE_EPOCH, as reproducible-builds.org specifies it.
fn epoch_of_environment(value: Option<String>) -> Result<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "PKG003",
            what: format!("SOURCE_DATE_EPOCH is `{value}`"),
            why: "it must be a number of seconds since 1970",
            fix: "unset it, or set it to a number such as that of `git log -1 --format=%ct`",
        })
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use formats::{Limits, apk, ipk};
    use model::Digest;

    use super::*;
    use crate::local::fixture::{Fixture, RELEASE};
    use crate::recipe;
    use crate::write::tests::sample;

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
        let toolchain = Toolchain::of_host(&Cancel::default()).unwrap();
        let (kernel, compiled, arch) = (fixture.open(), CompiledKmods::new(), Arch("x86_64".into()));
        let made = BTreeMap::new();
        let request = |epoch| Request {
            toolchain: &toolchain,
            recipes: &recipes,
            kernel: &kernel,
            compiled: &compiled,
            made: &made,
            arch: &arch,
            formats: &Format::ALL,
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
                &format!("kernel-6.12.1~{hash}-r2.apk"),
                "kmod-nl_6.12.1-r2_x86_64.ipk",
                "kmod-nl-6.12.1-r2.apk",
                "kmod-top_6.12.1-r2_x86_64.ipk",
                "kmod-top-6.12.1-r2.apk"
            ]
        );
        for ((a, b), later) in a.iter().zip(&b).zip(&later) {
            let bytes = std::fs::read(&a.file).unwrap();
            assert!(bytes == std::fs::read(&b.file).unwrap(), "{} differs", a.name);
            assert_eq!((a.sha256, a.sha256), (Digest::of(&bytes), b.sha256));
            // An ipk contains the date of the sources; an apk does not.
            assert_eq!(a.sha256 == later.sha256, a.format == Format::Apk, "{}", a.name);
        }
        let module = format!("lib/modules/{RELEASE}/top.ko");
        let read = ipk::read(&std::fs::read(&a[4].file).unwrap()[..], &Limits::default()).unwrap();
        assert!(read.entries.iter().any(|entry| entry.path == module));
        assert_eq!(a[4].installed_size, read.metadata.control.installed_size.unwrap());
        let read = apk::inspect(&std::fs::read(&a[5].file).unwrap()[..], &Limits::default(), |_| Ok(())).unwrap();
        assert!(read.members.iter().any(|member| member.entry.path == module));
        assert_eq!(a[5].installed_size, read.info.installed_size);
        let depends: Vec<String> = read.info.depends.iter().map(ToString::to_string).collect();
        assert_eq!(depends, [format!("kernel=6.12.1~{hash}-r2"), "kmod-nl".into()]);
    }

    #[test]
    fn a_plan_that_cannot_be_written_is_named() {
        let (_directory, out) = scratch();
        // In another folder, since both are written at once.
        let mut bad = sample("../b");
        bad.package.name = "bad".into();
        let written = write_all(&[sample("b"), bad], &Format::ALL, &out, &Events::discard(), &Cancel::default());
        let failure = written.unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("PKG001", Exit::Failed));
    }

    #[test]
    fn an_interrupt_ends_the_writing() {
        let (_directory, out) = scratch();
        let cancel = Cancel::default();
        cancel.cancel();
        let failure = write_all(&[sample("b")], &Format::ALL, &out, &Events::discard(), &cancel).unwrap_err();
        assert_eq!(failure.id(), "RUN001");
        assert_eq!(out.read_dir_utf8().unwrap().count(), 0);
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
}
