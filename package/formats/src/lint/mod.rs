//! What can be wrong with a package or feed that is readable.
//!
//! [`examine`] reads one file from anywhere; [`judge`] checks all of them together against the [`rules`]. A rule has a
//! stable id, a severity, a reason and a remedy; a [`Finding`] adds the place and the details. Both formats are checked
//! through one view, so each rule is written once. A file that cannot be read is a finding like any other: one bad
//! package does not hide what is wrong with the rest.
//!
//! | ids | about | file |
//! |---|---|---|
//! | `LINT001`… | reading | `read.rs` |
//! | `LINT1xx` | kernel modules | `kmod.rs` |
//! | `LINT2xx` | files, owners, modes, links | `files.rs` |
//! | `LINT3xx` | programs and libraries | `binaries.rs`, `processor.rs` |
//! | `LINT4xx` | names, versions, sizes, scripts | `metadata.rs` |
//! | `LINT5xx` | indexes and their signatures | `index.rs` |
//! | `LINT6xx` | what the router's own programs read | `system.rs` |
//!
//! Errors break a router or its updates. Warnings work, but surprise somebody. Notes are about good manners, or say
//! what could not be checked.
//!
//! ```
//! use formats::{Content, Entry, Package, ipk, lint};
//!
//! let package = Package {
//!     name: "hello".into(),
//!     version: "1.0-r1".into(),
//!     architecture: "all".into(),
//!     description: "Says hello".into(),
//!     license: "MIT".into(),
//!     maintainer: "Somebody".into(),
//!     files: vec![Entry::file("usr/bin/hello", 0o777, Content::from("#!/bin/sh\necho hello\n"))],
//!     ..Package::default()
//! };
//! let options = lint::Options::default();
//! let examined = lint::examine("hello_1.0-r1_all.ipk", &ipk::to_vec(&package)?[..], &options);
//! let findings = lint::judge(&[examined], &options);
//! assert!(findings[0].what.starts_with("writable by everybody"));
//! assert_eq!(findings[0].place.as_deref(), Some("hello_1.0-r1_all.ipk: /usr/bin/hello"));
//! # Ok::<(), formats::Error>(())
//! ```

mod binaries;
mod files;
mod index;
mod kmod;
mod listed;
mod metadata;
mod processor;
mod read;
mod set;
mod shell;
mod system;

use model::{Finding, Severity};

use crate::{Limits, ec, usign};

pub use kmod::{ABSENT as ABSENT_MODULE, EMPTY as EMPTY_KMOD};
pub use metadata::NO_MAINTAINER;
pub use read::{Examined, Kind, examine, unreadable};

/// A requirement for packages or feeds.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, `LINT` and three digits; the first digit is the group.
    pub id: &'static str,
    /// How serious a breach is.
    pub severity: Severity,
    /// The breach in a few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

/// Settings for reading and judging.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits for the readers. Device nodes and odd conffiles are allowed by default, because there are rules about
    /// them.
    pub limits: Limits,
    /// Keys that may have signed a `Packages`; without any, signatures are not checked.
    pub usign_keys: Vec<usign::PublicKey>,
    /// Keys that may have signed a `packages.adb`; likewise.
    pub ec_keys: Vec<ec::PublicKey>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limits: Limits { devices: true, odd_conffiles: true, ..Limits::default() },
            usign_keys: Vec::new(),
            ec_keys: Vec::new(),
        }
    }
}

/// Every rule, by id.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [read::RULES, kmod::RULES, files::RULES, binaries::RULES, metadata::RULES, index::RULES, system::RULES]
        .concat()
        .into_iter()
}

/// Checks everything that was examined against all rules; the findings are sorted by place.
///
/// Files that were examined together count as parts of one installation, as far as they are for the same machine: this
/// reveals missing dependencies and files that two packages share.
pub fn judge(examined: &[Examined], options: &Options) -> Vec<Finding> {
    let mut findings: Vec<Finding> = examined.iter().filter_map(Examined::unreadable).collect();
    let subjects: Vec<_> = examined.iter().filter_map(Examined::package).collect();
    let sets = set::Set::all(&subjects);
    for set in &sets {
        files::check_set(set, &mut findings);
        kmod::check_set(set, &mut findings);
        system::check_set(set, &mut findings);
        for subject in &set.subjects {
            kmod::check(subject, set, &mut findings);
            binaries::check(subject, set, &mut findings);
        }
    }
    for subject in &subjects {
        read::check(subject, &mut findings);
        files::check(subject, &mut findings);
        metadata::check(subject, &mut findings);
        system::check(subject, &mut findings);
    }
    index::check(examined, options, &mut findings);
    // A package for all machines is in several sets, so its findings come more than once.
    findings.sort_by(|a, b| (&a.place, a.id, &a.what).cmp(&(&b.place, b.id, &b.what)));
    findings.dedup();
    findings
}

impl Rule {
    /// A breach of this rule by an examined file as a whole.
    fn at(&self, path: &str, what: impl Into<String>) -> Finding {
        self.breach(path.to_owned(), &what.into())
    }

    /// A breach of this rule by a file in a package, named without its leading slash.
    fn within(&self, path: &str, file: &str, what: impl Into<String>) -> Finding {
        self.breach(format!("{path}: /{file}"), &what.into())
    }

    fn breach(&self, place: String, what: &str) -> Finding {
        Finding {
            id: self.id,
            severity: self.severity,
            place: Some(place),
            what: format!("{}: {what}", self.title),
            why: self.why.to_owned(),
            fix: self.fix.to_owned(),
        }
    }
}
