//! What happens while a command runs, in apk's words.

use std::fmt;

/// What a command reports to its callback.
pub type Progress = crate::Progress<Step>;

/// Something that is done, or about to be. Displays as a line of apk's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// An index or package is being fetched.
    Fetching {
        /// Its address.
        url: String,
    },
    /// A change of a transaction is about to be made.
    Change {
        /// The number of the change, from 1.
        number: usize,
        /// The number of all changes.
        total: usize,
        /// Name of the package.
        name: String,
        /// The installed version before the change; `None` for a new package.
        from: Option<String>,
        /// The version after it; `None` for a removal.
        to: Option<String>,
    },
    /// A script is about to run.
    Executing {
        /// `NAME-VERSION`.
        package: String,
        /// Such as `post-install`.
        script: &'static str,
    },
    /// A package is no longer in world, but stays because others need it.
    Kept {
        /// Its name.
        name: String,
        /// The packages that need it.
        by: Vec<String>,
    },
    /// The command is done.
    Done {
        /// Bytes of all installed files.
        bytes: u64,
        /// Number of installed packages.
        packages: usize,
    },
    /// All indexes are up to date.
    Available {
        /// Number of packages in all indexes.
        packages: usize,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Fetching { url } => write!(f, "fetch {url}"),
            Step::Change { number, total, name, from, to } => {
                write!(f, "({number}/{total}) ")?;
                match (from, to) {
                    (None, Some(to)) => write!(f, "Installing {name} ({to})"),
                    (Some(from), Some(to)) if from == to => write!(f, "Reinstalling {name} ({to})"),
                    (Some(from), Some(to)) => {
                        let newer = formats::version::apk::compare(to, from).is_gt();
                        let word = if newer { "Upgrading" } else { "Downgrading" };
                        write!(f, "{word} {name} ({from} -> {to})")
                    }
                    (from, None) => write!(f, "Purging {name} ({})", from.as_deref().unwrap_or_default()),
                }
            }
            Step::Executing { package, script } => write!(f, "Executing {package}.{script}"),
            Step::Kept { name, by } => {
                write!(
                    f,
                    "World updated, but the following packages are not removed due to:\n  {name}: {}",
                    by.join(" ")
                )
            }
            Step::Done { bytes, packages } => write!(f, "OK: {} in {packages} packages", Size(*bytes)),
            Step::Available { packages } => write!(f, "OK: {packages} distinct packages available"),
        }
    }
}

/// A size in bytes, shown in the unit that gives the shortest number.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| self.0 >= 10 * unit) {
            Some((unit, word)) => write!(f, "{} {word}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}
