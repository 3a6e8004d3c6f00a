//! Bytes depend only on inputs: builds everything again and compares.

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result};

use super::job::{Job, Provider};
use super::packages::package_files;
use super::stand_in::StandIn;
use crate::Ctx;

/// Builds the packages once more, without the cache, and fails unless every byte is the same.
///
/// Returns how many packages were compared. cargo links the router's programs again only if it finds a reason;
/// everything that this project does is repeated.
pub fn reproduce(ctx: &Ctx, job: &Job, stand_in: &StandIn) -> Result<usize> {
    let first = stand_in.packages(ctx, job)?;
    let io = |error: &std::io::Error| Failure::io("make a folder for the second build", &ctx.out, error);
    std::fs::create_dir_all(&ctx.out).map_err(|error| io(&error))?;
    let again = tempfile::tempdir_in(&ctx.out).map_err(|error| io(&error))?;
    let again = Utf8Path::from_path(again.path()).ok_or_else(|| io(&std::io::ErrorKind::InvalidFilename.into()))?;
    stand_in.build_into(ctx, job, again)?;
    let (before, after) = (first.files()?, package_files(again)?);
    compare(&before, &after)?;
    Ok(before.len())
}

fn compare(before: &[Utf8PathBuf], after: &[Utf8PathBuf]) -> Result<()> {
    let names = |files: &[Utf8PathBuf]| files.iter().filter_map(|file| file.file_name()).collect::<Vec<_>>().join(" ");
    if names(before) != names(after) {
        return Err(differs("the second build made other packages", format!("{}\n{}", names(before), names(after))));
    }
    for (one, two) in before.iter().zip(after) {
        let read = |path: &Utf8Path| std::fs::read(path).map_err(|error| Failure::io("read the package", path, &error));
        let (one_bytes, two_bytes) = (read(one)?, read(two)?);
        if let Some(at) = (0..one_bytes.len().max(two_bytes.len())).find(|&at| one_bytes.get(at) != two_bytes.get(at)) {
            return Err(differs(
                "two builds differ",
                format!("first at byte {at} of {}", one.file_name().unwrap_or_default()),
            ));
        }
    }
    Ok(())
}

fn differs(what: &str, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "REPRO001",
        what,
        why,
        fix: "something besides the inputs affects the packages: a time, an order, a path; unpack both and compare",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_a_longer_file_and_another_name_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let one = put("1/a.ipk", "same");
        assert_eq!(compare(std::slice::from_ref(&one), &[put("2/a.ipk", "same")]), Ok(()));
        for (path, text) in [("3/a.ipk", "sane"), ("4/a.ipk", "same!"), ("5/b.ipk", "same")] {
            let failure = compare(std::slice::from_ref(&one), &[put(path, text)]).unwrap_err();
            assert_eq!(failure.id(), "REPRO001", "{path}");
        }
    }
}
