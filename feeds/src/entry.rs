//! Which packages belong into a feed, and how their files get there: the same for both managers.

use std::collections::HashMap;

use camino::Utf8Path;
use formats::Package;
use model::{Arch, Exit, Failure, Problem, Result, parallel, processors};

use crate::layout::Kernel;

/// An index entry of either manager.
pub(crate) trait Entry: Sized + Send {
    /// The architecture of packages that fit every router.
    const ANYWHERE: &str;
    /// Reads a package file.
    fn list(file: &Utf8Path) -> Result<Self>;
    fn name(&self) -> &str;
    fn architecture(&self) -> &str;
    /// Version of the package `kernel` that it is bound to, if it is.
    fn kernel(&self) -> Option<&str>;
    /// What lists of contents say of it.
    fn about(&self) -> About;
}

/// What is said of a package in lists of contents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct About {
    /// Name of the file.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression, or nothing.
    pub(crate) license: String,
}

/// What belongs into a feed.
pub(crate) struct Admitted<'a, T> {
    /// In the order of the files.
    pub(crate) entries: Vec<T>,
    files: Vec<&'a Utf8Path>,
}

/// Reads each file and says whether it belongs into the feed.
pub(crate) fn admit<'a, T: Entry>(files: &[&'a Utf8Path], architecture: &Arch) -> Result<Admitted<'a, T>> {
    // The order in which packages are given shows in the bytes of the index: the shell's, as in OpenWrt's build.
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
                why: format!("a feed of {architecture} with it would offer routers what they can't install"),
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
                what: format!("{name} is there twice: {twin} and {file}"),
                why: "which of them a router installs would be chance",
                fix: "keep one of the files",
            })
            .at(file));
        }
        admitted.entries.push(listed);
        admitted.files.push(file);
    }
    Ok(admitted)
}

impl<T: Entry> Admitted<'_, T> {
    /// Refuses what is bound to another kernel than the one that the folder is for; with `None` nothing.
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

    /// Places the files in the feed while `publish` makes the index of the entries: either takes about as long.
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

/// A hard link where the file system allows it, else a copy: packages are never changed in place.
pub(crate) fn place(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to).map(drop).map_err(|error| Failure::io("copy the package", to, &error))
}

pub(crate) fn write(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Failure::io("write the feed", path, &error))
}
