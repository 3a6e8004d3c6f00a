//! The measured work, done by this project.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use feeds::keys::{Keys, Pair};
use formats::apk::index::Index;
use formats::{Content, Entry, Format, Limits, Package, apk, ec, ipk, packages, usign};
use model::{Arch, Exit, Failure, Problem, Result, parallel};

use super::workload::{LARGE, Workload};
use crate::Ctx;

/// Writes every package, `-j` at a time; returns the bytes of the files.
pub(super) fn write(ctx: &Ctx, plans: &[Package], format: Format, out: &Utf8Path) -> Result<u64> {
    parallel(plans, ctx.jobs, |plan| {
        ctx.cancel.check()?;
        write_one(plan, format, out)
    })
    .map(|sizes| sizes.iter().sum())
}

fn write_one(plan: &Package, format: Format, out: &Utf8Path) -> Result<u64> {
    let path = out.join(plan.file_name(format));
    let failed = |error| Failure::io("write the package", &path, &error);
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    let scratch = tempfile::tempfile_in(out).map_err(failed)?;
    plan.write_with_scratch(format, &mut file, scratch).map_err(|error| wrong(&path, &error))?;
    file.flush().map_err(failed)?;
    length(&path)
}

/// Reads every package completely, with all checks; returns their size in bytes.
pub(super) fn read(ctx: &Ctx, files: &[Utf8PathBuf], format: Format) -> Result<u64> {
    parallel(files, ctx.jobs, |path| {
        ctx.cancel.check()?;
        let file = File::open(path).map_err(|error| Failure::io("read the package", path, &error))?;
        let limits = Limits::default();
        match format {
            Format::Ipk => ipk::inspect(file, &limits).map(drop),
            Format::Apk => apk::inspect(file, &limits, |_| Ok(())).map(drop),
        }
        .map_err(|error| wrong(path, &error))?;
        length(path)
    })
    .map(|sizes| sizes.iter().sum())
}

/// Makes a signed feed of the packages in an empty folder; returns the bytes of its index.
pub(super) fn index(files: &[Utf8PathBuf], format: Format, out: &Utf8Path) -> Result<u64> {
    feeds::assemble(files, &Arch("x86_64".into()), &kernel(), &keys()?, out)?;
    length(&index_file(out, format))
}

/// Checks the signature of the index and reads every entry; returns its bytes.
pub(super) fn read_index(format: Format, feed: &Utf8Path) -> Result<u64> {
    let path = index_file(feed, format);
    let get = |path: &Utf8Path| std::fs::read(path).map_err(|error| Failure::io("read the index", path, &error));
    let (bytes, keys, limits) = (get(&path)?, keys()?, Limits::default());
    let listed = match format {
        Format::Ipk => {
            let signature = get(&path.with_extension("sig"))?;
            usign::Signature::parse(&String::from_utf8_lossy(&signature))
                .and_then(|signature| keys.opkg.current.public().verify(&bytes, &signature))
                .and_then(|()| packages::read(&bytes, &limits))
                .map(|listed| listed.len())
        }
        Format::Apk => {
            Index::read(&bytes[..], &[keys.apk.current.public()], &limits).map(|(index, _)| index.packages.len())
        }
    };
    match listed.map_err(|error| wrong(&path, &error))? {
        0 => Err(wrong(&path, &formats::Error::IndexMissing { package: "every".into(), field: "Package" })),
        _ => Ok(bytes.len() as u64),
    }
}

fn index_file(feed: &Utf8Path, format: Format) -> Utf8PathBuf {
    feeds::folder(feed, format, &kernel()).join(match format {
        Format::Ipk => "Packages",
        Format::Apk => "packages.adb",
    })
}

/// The kernel in the address of the samples.
fn kernel() -> feeds::Kernel {
    feeds::Kernel::of_folder("6.12.94-1-0123")
}

/// Keys that sign only the samples.
fn keys() -> Result<Keys> {
    let ec = ec::SecretKey::from_random([7; 32]).map_err(|error| wrong("the sample key".into(), &error))?;
    let opkg = Pair { current: usign::SecretKey::from_random([7; 40]), next: None };
    Ok(Keys { opkg, apk: Pair { current: ec, next: None } })
}

/// A package with a single large file: the files of the others, repeated.
pub(super) fn large(workload: &Workload) -> Package {
    let paths: Arc<Vec<Utf8PathBuf>> = Arc::new(
        workload
            .plans
            .iter()
            .zip(&workload.trees)
            .flat_map(|(plan, tree)| plan.files.iter().map(|entry| tree.join(&entry.path)))
            .collect(),
    );
    let open = Arc::new(move || {
        let reader = Cycle { paths: paths.clone(), next: 0, current: Box::new(io::empty()) };
        Ok(Box::new(reader.take(LARGE)) as Box<dyn Read>)
    });
    Package {
        name: "sample-large".into(),
        files: vec![Entry::file("usr/share/large", 0o644, Content::Source { length: LARGE, open })],
        ..workload.plans.first().cloned().unwrap_or_default()
    }
}

/// Endlessly repeated files.
struct Cycle {
    paths: Arc<Vec<Utf8PathBuf>>,
    next: usize,
    current: Box<dyn Read>,
}

impl Read for Cycle {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(out)?;
            if count > 0 || out.is_empty() || self.paths.is_empty() {
                return Ok(count);
            }
            self.current = Box::new(File::open(&self.paths[self.next % self.paths.len()])?);
            self.next += 1;
        }
    }
}

fn length(path: &Utf8Path) -> Result<u64> {
    let meta = std::fs::metadata(path).map_err(|error| Failure::io("measure the file", path, &error))?;
    Ok(meta.len())
}

/// A failure to read what we wrote, which is a bug.
fn wrong(path: &Utf8Path, error: &formats::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: error.id(),
        what: error.to_string(),
        why: "it was made from generated files",
        fix: error.fix(),
    })
    .at(path)
}

#[cfg(test)]
mod tests {
    use model::{Cancel, Events};

    use super::*;
    use crate::ctx::tests::ctx;

    #[test]
    fn all_works_do_what_they_say_on_a_small_set() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let ctx = ctx(root, Events::discard());
        let workload = super::super::workload::generate(&root.join("trees"), 3, 60_000, &Cancel::default()).unwrap();
        for format in Format::ALL {
            let size = write(&ctx, &workload.plans, format, root).unwrap();
            assert!((10_000..50_000).contains(&size), "{size}");
            let files: Vec<_> = workload.plans.iter().map(|plan| root.join(plan.file_name(format))).collect();
            assert_eq!(read(&ctx, &files, format).unwrap(), size);
            let feed = root.join(format!("feed-{format}"));
            std::fs::create_dir(&feed).unwrap();
            let size = index(&files, format, &feed).unwrap();
            assert_eq!(read_index(format, &feed).unwrap(), size);
            std::fs::write(&files[0], "no package").unwrap();
            assert_eq!(read(&ctx, &files, format).unwrap_err().exit(), Exit::Bug);
        }
    }

    #[test]
    fn the_large_package_is_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let workload = super::super::workload::generate(&root.join("trees"), 2, 3_000_000, &Cancel::default()).unwrap();
        let package = large(&workload);
        let formats::Kind::File(content) = &package.files[0].kind else { panic!("it has one file") };
        let mut reader = content.open().unwrap();
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), LARGE);
        assert_eq!(content.length(), LARGE);
    }
}
