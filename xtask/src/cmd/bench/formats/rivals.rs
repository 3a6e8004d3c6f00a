//! The real programs, timed on the same files when they are there.

use std::ffi::OsString;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Format, Package};
use model::{Exit, Failure, Problem, Result, parallel};

use super::workload::Workload;
use crate::{Ctx, process};

/// Deadline: the slowest needs a minute of processor time for thousands of packages.
const LIMIT: Duration = Duration::from_secs(1800);

/// A program of OpenWrt or Alpine that is compared with our code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// `apk mkpkg`.
    Mkpkg,
    /// `apk mkndx`.
    Mkndx,
    /// OpenWrt's `scripts/ipkg-build`.
    IpkgBuild,
    /// OpenWrt's `scripts/ipkg-make-index.sh`, with `mkhash`.
    IpkgMakeIndex,
}

impl Rival {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Rival::Mkpkg => "apk mkpkg",
            Rival::Mkndx => "apk mkndx",
            Rival::IpkgBuild => "ipkg-build",
            Rival::IpkgMakeIndex => "ipkg-make-index.sh",
        }
    }
}

/// Where the real programs are.
pub(super) struct Programs {
    folders: Vec<Utf8PathBuf>,
}

impl Programs {
    /// Looks in a folder, or without one in PATH.
    pub(super) fn of(folder: Option<&Utf8Path>) -> Self {
        let folders = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => std::env::var("PATH").unwrap_or_default().split(':').map(Into::into).collect(),
        };
        Programs { folders }
    }

    fn find(&self, name: &str) -> Option<OsString> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).map(Into::into)
    }

    /// The command that starts it; `None` when a part of it is missing.
    pub(super) fn words(&self, rival: Rival) -> Option<Vec<OsString>> {
        Some(match rival {
            Rival::Mkpkg => vec![self.find("apk")?, "mkpkg".into()],
            Rival::Mkndx => vec![self.find("apk")?, "mkndx".into(), "--allow-untrusted".into()],
            Rival::IpkgBuild => vec![self.find("ipkg-build")?],
            Rival::IpkgMakeIndex => {
                let mut hash = OsString::from("MKHASH=");
                hash.push(self.find("mkhash")?);
                vec!["env".into(), hash, self.find("ipkg-make-index.sh")?]
            }
        })
    }
}

/// Writes the layout that `ipkg-build` needs: the files of a package and a folder `CONTROL`.
pub(super) fn lay_out(workload: &Workload, below: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let lay_out = |(plan, tree): (&Package, &Utf8PathBuf)| {
        let root = below.join(&plan.name);
        let failed = |error: std::io::Error| Failure::io("lay out the sample", &root, &error);
        for entry in &plan.files {
            let path = root.join(&entry.path);
            std::fs::create_dir_all(path.parent().unwrap_or(&root)).map_err(failed)?;
            std::fs::hard_link(tree.join(&entry.path), path).map_err(failed)?;
        }
        std::fs::create_dir_all(root.join("CONTROL")).map_err(failed)?;
        let Package { name, version, architecture, license, section, description, .. } = plan;
        let control = format!(
            "Package: {name}\nVersion: {version}\nLicense: {license}\nSection: {section}\nArchitecture: {architecture}\n\
             Installed-Size: 0\nDescription:  {description}\n"
        );
        std::fs::write(root.join("CONTROL/control"), control).map_err(failed)?;
        Ok(root)
    };
    workload.plans.iter().zip(&workload.trees).map(lay_out).collect()
}

/// Writes every package with the real program, with as much parallelism as ours.
pub(super) fn write(
    ctx: &Ctx,
    words: &[OsString],
    format: Format,
    workload: &Workload,
    trees: &[Utf8PathBuf],
    out: &Utf8Path,
) -> Result<()> {
    let both: Vec<(&Package, &Utf8PathBuf)> = workload.plans.iter().zip(trees).collect();
    let write_one = |(plan, tree): &(&Package, &Utf8PathBuf)| {
        let mut line = words.to_vec();
        match format {
            Format::Ipk => line.extend([tree.as_str().into(), out.as_str().into()]),
            Format::Apk => {
                let Package { name, version, architecture, license, description, .. } = *plan;
                for (field, value) in [
                    ("name", name),
                    ("version", version),
                    ("arch", architecture),
                    ("license", license),
                    ("description", description),
                ] {
                    line.extend(["--info".into(), format!("{field}:{value}").into()]);
                }
                let file = out.join(plan.file_name(Format::Apk));
                line.extend(["--files".into(), tree.as_str().into(), "--output".into(), file.as_str().into()]);
            }
        }
        run(ctx, &line, out)
    };
    parallel(&both, ctx.jobs, write_one).map(drop)
}

/// Makes the index of a folder of packages with the real program.
pub(super) fn index(
    ctx: &Ctx,
    words: &[OsString],
    format: Format,
    files: &[Utf8PathBuf],
    out: &Utf8Path,
) -> Result<()> {
    let mut line = words.to_vec();
    let folder = files.first().and_then(|file| file.parent()).unwrap_or(out);
    match format {
        Format::Ipk => line.push(".".into()),
        Format::Apk => {
            line.extend(["--output".into(), out.join("packages.adb").as_str().into()]);
            line.extend(files.iter().map(|file| file.as_str().into()));
        }
    }
    run(ctx, &line, folder)
}

fn run(ctx: &Ctx, words: &[OsString], folder: &Utf8Path) -> Result<()> {
    let ended = process::run(ctx, "bench", words, folder, LIMIT, |_| {})?;
    if ended.success() {
        return Ok(());
    }
    let program: Vec<_> = words.iter().take(3).map(|word| word.to_string_lossy()).collect();
    Err(Failure::of(Problem {
        exit: Exit::Host,
        id: "BEN001",
        what: format!("`{}` failed", program.join(" ")),
        why: ended.output(),
        fix: "give a folder with programs that work to --against, or leave it out",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::{Cancel, Events};
    use std::num::NonZeroUsize;

    #[test]
    fn programs_are_found_where_they_are_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(root.join("ipkg-make-index.sh"), "").unwrap();
        let programs = Programs::of(Some(root));
        assert_eq!(programs.words(Rival::Mkpkg), None);
        assert_eq!(programs.words(Rival::IpkgMakeIndex), None, "mkhash is missing");
        std::fs::write(root.join("mkhash"), "").unwrap();
        assert_eq!(programs.words(Rival::IpkgMakeIndex).unwrap().len(), 3);
    }

    #[test]
    fn a_program_gets_the_files_of_the_package_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let ctx = Ctx { jobs: NonZeroUsize::MIN, ..ctx(root, Events::discard()) };
        let workload = super::super::workload::generate(&root.join("trees"), 1, 1000, &Cancel::default()).unwrap();
        let trees = lay_out(&workload, &root.join("ipk")).unwrap();
        let control = std::fs::read_to_string(trees[0].join("CONTROL/control")).unwrap();
        assert!(control.starts_with("Package: sample-00000\n"), "{control}");
        // `test -d TREE -a OUT` succeeds if both arguments arrive.
        let words: Vec<OsString> = ["test", "-d"].map(OsString::from).to_vec();
        let failure = write(&ctx, &words, Format::Ipk, &workload, &trees, root).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("BEN001", Exit::Host));
        write(&ctx, &["true".into()], Format::Apk, &workload, &workload.trees, root).unwrap();
        index(&ctx, &["ls".into()], Format::Ipk, &[root.join("x.ipk")], root).unwrap();
    }
}
