//! Writes package files; each is then read back and compared with its plan.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use camino::Utf8Path;
use formats::{Entry, Format, Kind, Limits, Package, apk, ipk};
use model::sha256::{Digest, Hasher};
use model::{Cancel, Events, Exit, Failure, Problem, Result, parallel, processors};

use crate::built::BuiltPackage;
use crate::kmod::{Plan, STAGE};

/// Writes packages in parallel; the first failure ends the work.
pub(crate) fn write_all(
    plans: &[Plan],
    formats: &[Format],
    out: &Utf8Path,
    events: &Events,
    cancel: &Cancel,
) -> Result<Vec<BuiltPackage>> {
    let files: Vec<(&Plan, Format)> =
        plans.iter().flat_map(|plan| formats.iter().map(move |format| (plan, *format))).collect();
    let total = u64::try_from(files.len()).ok();
    let written = AtomicU64::new(0);
    let mut packages = parallel(&files, processors(), |(plan, format)| {
        cancel.check()?;
        let built = write_one(plan, *format, out)?;
        events.progress(STAGE, written.fetch_add(1, Ordering::Relaxed) + 1, total);
        Ok(built)
    })?;
    packages.sort_by(|a, b| (&a.name, a.format).cmp(&(&b.name, b.format)));
    Ok(packages)
}

/// Writes a package in one format into the directory `out`.
pub(crate) fn write_one(plan: &Plan, format: Format, out: &Utf8Path) -> Result<BuiltPackage> {
    let package = &plan.package;
    let file = out.join(package.file_name(format));
    let refused = |error: formats::Error| {
        let (what, fix) = (format!("package {} cannot be written as {format}", package.name), "correct its recipe");
        Failure::of(Problem { exit: Exit::Failed, id: "PKG001", what, why: format!("{error} ({})", error.id()), fix })
            .at(&file)
    };
    let failed = |error| Failure::io("write the package", &file, &error);
    let mut writer = Hasher::new(BufWriter::new(File::create(&file).map_err(failed)?));
    let scratch = tempfile::tempfile_in(out).map_err(failed)?;
    package.write_with_scratch(format, &mut writer, scratch).map_err(|error| match error {
        formats::Error::Io { source } => failed(source),
        other => refused(other),
    })?;
    let (mut writer, digest) = writer.finish();
    writer.flush().map_err(failed)?;
    let installed_size = read_back(package, format, &file)?;
    Ok(BuiltPackage {
        name: package.full_name(),
        version: package.version.clone(),
        arch: package.architecture.clone(),
        format,
        sha256: digest,
        file,
        installed_size,
        note: plan.note.clone(),
    })
}

/// Reads the file again and compares it with the plan: exit codes and file names prove nothing. Returns the installed
/// size.
fn read_back(package: &Package, format: Format, file: &Utf8Path) -> Result<u64> {
    let bad = |why: String| {
        Failure::of(Problem {
            exit: Exit::Bug,
            id: "PKG002",
            what: format!("package {} differs from its plan when read back", package.name),
            why,
            fix: "run the same command again on a healthy disk; if it happens again, report it",
        })
        .at(file)
    };
    let opened = File::open(file).map_err(|error| Failure::io("read the package", file, &error))?;
    let opened = BufReader::new(opened);
    match format {
        Format::Ipk => compare_ipk(package, opened),
        Format::Apk => compare_apk(package, opened),
    }
    .map_err(bad)
}

fn compare_ipk(package: &Package, file: BufReader<File>) -> std::result::Result<u64, String> {
    let planned = package.tree().map_err(|error| error.to_string())?;
    let (mut rest, mut differs) = (planned.iter(), false);
    let read = ipk::visit(file, &Limits::default(), &mut |found, content| {
        differs |= !match rest.next() {
            Some(planned) => same_entry(planned, &found.entry, content)?,
            None => false,
        };
        Ok(())
    });
    let control = read.map_err(|error| error.to_string())?.control;
    let identity = (control.package, control.version, control.architecture);
    if identity != (package.full_name(), package.version.clone(), package.architecture.clone()) {
        return Err(format!("its control file names {identity:?}"));
    }
    if control.depends != package.depends {
        return Err(format!("its dependencies became {:?}", control.depends));
    }
    if differs || rest.next().is_some() {
        return Err("its files are not the planned ones".into());
    }
    control.installed_size.ok_or_else(|| "its control file has no Installed-Size".into())
}

/// Compares contents by digest, so that neither needs to be in memory.
fn same_entry(planned: &Entry, found: &Entry, mut content: &mut dyn Read) -> std::io::Result<bool> {
    let same_kind = match (&planned.kind, &found.kind) {
        (Kind::File(planned), Kind::File(_)) => {
            Digest::of_reader(&mut *planned.open()?)? == Digest::of_reader(&mut content)?
        }
        (planned, found) => planned == found,
    };
    Ok(same_kind && planned.path == found.path && planned.mode == found.mode && planned.owner.id == found.owner.id)
}

fn compare_apk(package: &Package, file: BufReader<File>) -> std::result::Result<u64, String> {
    // The reader has checked each file's digest, so equal digests mean equal contents.
    let read = apk::inspect(file, &Limits::default(), |_| Ok(())).map_err(|error| error.to_string())?;
    let plan = apk::from_plan(package).map_err(|error| error.to_string())?;
    let (read_info, planned_info) = (&read.info, &plan.info);
    if read_info.file_name() != planned_info.file_name() || read_info.arch != planned_info.arch {
        return Err(format!("its metadata names {} for {}", read_info.file_name(), read_info.arch));
    }
    let sorted = |list: &[apk::Dependency]| {
        let mut texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    if sorted(&read_info.depends) != sorted(&planned_info.depends) {
        return Err(format!("its dependencies became {:?}", sorted(&read_info.depends)));
    }
    if read.scripts != plan.scripts {
        return Err("its scripts are not the planned ones".into());
    }
    // The metadata also lists directories and the root; both lists are compared sorted by path.
    let mut found: Vec<apk::Member> = read.members.iter().filter(|member| !member.entry.path.is_empty()).collect();
    found.sort_by(|a, b| a.entry.path.split('/').cmp(b.entry.path.split('/')));
    let planned = Package { files: plan.files, ..Package::default() }.tree().map_err(|error| error.to_string())?;
    if planned.len() != found.len() {
        return Err("its files are not the planned ones".into());
    }
    for (planned, found) in planned.iter().zip(&found) {
        if !same_member(planned, found).map_err(|error| error.to_string())? {
            return Err(format!("{} differs from its plan", found.entry.path));
        }
    }
    Ok(read.info.installed_size)
}

fn same_member(planned: &Entry, found: &apk::Member) -> std::io::Result<bool> {
    let entry = &found.entry;
    let same_kind = match (&planned.kind, &entry.kind) {
        (Kind::File(content), Kind::File(_)) => {
            let (digest, length) = Digest::of_reader(&mut *content.open()?)?;
            (Some(digest), length) == (found.sha256, found.length)
        }
        (planned, found) => planned == found,
    };
    Ok(same_kind
        && planned.path == entry.path
        && planned.mode == entry.mode
        && planned.owner.name == entry.owner.name
        && planned.group.name == entry.group.name)
}

#[cfg(test)]
pub(crate) mod tests {
    use camino::Utf8PathBuf;
    use formats::Content;

    use super::*;

    /// A package with one file at `path`.
    pub(crate) fn sample(path: &str) -> Plan {
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

    #[test]
    fn a_file_that_is_not_as_planned_is_found_out() {
        let directory = tempfile::tempdir().unwrap();
        let out = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        let plan = sample("b");
        let changes: [fn(&mut Package); 6] = [
            |package| package.version = "2-r1".into(),
            |package| package.depends = vec![formats::depend::Dependency::on("b")],
            |package| package.files[0].mode = 0o755,
            |package| package.files[0].kind = Kind::File(Content::from("tent")),
            |package| package.files[0].path = "c".into(),
            |package| package.files.clear(),
        ];
        for format in Format::ALL {
            let built = write_one(&plan, format, &out).unwrap();
            assert_eq!(read_back(&plan.package, format, &built.file), Ok(built.installed_size));
            for (number, change) in changes.iter().enumerate() {
                let mut other = plan.package.clone();
                change(&mut other);
                let failure = read_back(&other, format, &built.file).unwrap_err();
                assert_eq!((failure.id(), failure.exit()), ("PKG002", Exit::Bug), "{format}, change {number}");
            }
            std::fs::write(&built.file, "no package").unwrap();
            assert_eq!(read_back(&plan.package, format, &built.file).unwrap_err().id(), "PKG002");
        }
    }

    #[test]
    fn what_one_format_cannot_express_is_refused_for_that_one() {
        let directory = tempfile::tempdir().unwrap();
        let out = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        let mut plan = sample("b");
        plan.package.depends = formats::depend::list("c | d").unwrap();
        assert!(write_one(&plan, Format::Ipk, &out).is_ok());
        let failure = write_one(&plan, Format::Apk, &out).unwrap_err();
        assert_eq!(failure.id(), "PKG001");
        assert!(failure.finding().what.ends_with("as apk"), "{failure}");
    }
}
