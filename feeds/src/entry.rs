//! Which packages belong in a feed, and how their files get there, for both managers.

use std::collections::HashMap;

use camino::Utf8Path;
use formats::Package;
use model::{Arch, Exit, Failure, Problem, Result, parallel, processors};

use crate::layout::Kernel;

/// An index entry, for opkg or apk.
pub(crate) trait Entry: Sized + Send {
    /// The architecture that fits every router: `all` or `noarch`.
    const ANYWHERE: &str;
    /// Reads a package file into an entry.
    fn list(file: &Utf8Path) -> Result<Self>;
    fn name(&self) -> &str;
    fn architecture(&self) -> &str;
    /// The version of the package `kernel` that it depends on, if any.
    fn kernel(&self) -> Option<&str>;
    /// Its row in lists of contents.
    fn about(&self) -> About;
}

/// A package's row in lists of contents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct About {
    /// Name of the package file.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression; empty when unknown.
    pub(crate) license: String,
}

/// Packages that were checked and belong in the feed.
pub(crate) struct Admitted<'a, T> {
    /// Sorted by file name.
    pub(crate) entries: Vec<T>,
    files: Vec<&'a Utf8Path>,
}

/// Reads each file and checks that it belongs in the feed.
pub(crate) fn admit<'a, T: Entry>(files: &[&'a Utf8Path], architecture: &Arch) -> Result<Admitted<'a, T>> {
    // The order of packages affects the bytes of the index: it is the shell's order, as in OpenWrt's build.
    let mut files = files.to_vec();
    files.sort_by_key(|file| file.file_name());
    let entries = parallel(&files, processors(), |file| T::list(file))?;
    let mut admitted = Admitted { entries: Vec::with_capacity(entries.len()), files: Vec::with_capacity(files.len()) };
    let mut known: HashMap<String, &Utf8Path> = HashMap::new();
    for (file, listed) in files.into_iter().zip(entries) {
        let (name, own) = (listed.name(), listed.architecture());
        if own != architecture.0 && own != T::ANYWHERE {
            return Err(Failure::of(Problem {
                exit: Exit::Failed,
                id: "FEED002",
                what: format!("{name} is for {own}"),
                why: format!(
                    "a feed for {architecture} that lists it would offer routers a package that they cannot \
                    install"
                ),
                fix: "build the package for this target, or leave it out",
            })
            .at(file));
        }
        if name == Package::KERNEL {
            continue;
        }
        if let Some(twin) = known.insert(name.to_owned(), file) {
            return Err(Failure::of(Problem {
                exit: Exit::Failed,
                id: "FEED003",
                what: format!("the feed has two files of {name}: {twin} and {file}"),
                why: "it would be chance which of them a router installs",
                fix: "remove one of the files",
            })
            .at(file));
        }
        admitted.entries.push(listed);
        admitted.files.push(file);
    }
    Ok(admitted)
}

impl<T: Entry> Admitted<'_, T> {
    /// Refuses packages that depend on another kernel than the folder's; `None` refuses nothing.
    pub(crate) fn only_for(self, kernel: Option<&Kernel>) -> Result<Self> {
        let Some(kernel) = kernel else { return Ok(self) };
        let foreign = |entry: &T| entry.kernel().map(Kernel::of_package).filter(|bound| bound != kernel);
        match self.entries.iter().zip(&self.files).find_map(|(entry, file)| Some((entry, file, foreign(entry)?))) {
            None => Ok(self),
            Some((entry, file, bound)) => Err(Failure::of(Problem {
                exit: Exit::Failed,
                id: "FEED012",
                what: format!("{} is for kernel {bound}", entry.name()),
                why: format!("in the folder of {kernel} it would keep routers from installing and upgrading anything"),
                fix: "give the packages of one kernel at a time; `cargo xtask feed merge` keeps those of several",
            })
            .at(file)),
        }
    }

    /// Copies the files into the feed while `publish` makes the index from the entries; both take about as long.
    pub(crate) fn place<R>(self, out: &Utf8Path, publish: impl FnOnce(Vec<T>) -> Result<R>) -> Result<R> {
        let place_all =
            || self.files.iter().try_for_each(|file| place(file, &out.join(file.file_name().unwrap_or_default())));
        std::thread::scope(|scope| {
            let placing = scope.spawn(place_all);
            let published = publish(self.entries);
            let placed = placing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            placed.and(published)
        })
    }
}

/// Makes a hard link where the file system allows it, otherwise a copy: packages are never changed in place.
pub(crate) fn place(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to).map(drop).map_err(|error| Failure::io("copy the package", to, &error))
}

pub(crate) fn write(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Failure::io("write the feed", path, &error))
}
