//! Explains why no selection of packages is possible, in apk's layout and in a sentence.

use super::KERNEL;
use super::candidate::Candidate;
use super::world::Wish;
use crate::error::Error;

/// Who requires something.
pub(super) enum Requirer<'a> {
    /// The user.
    World,
    /// A package that would be installed, or is.
    Package(&'a Candidate<'a>),
}

/// Why a matching package cannot be chosen.
pub(super) enum Obstacle<'a> {
    /// It is a kernel, and installing packages does not change the kernel.
    Kernel,
    /// It is for another architecture.
    Architecture,
    /// It belongs on a separate volume, which this system does not have.
    Layer,
    /// It has this name twice, so it excludes itself.
    Itself(&'a str),
    /// The user excluded it with these words.
    Banned(String),
    /// It conflicts with this package.
    Conflict(&'a Candidate<'a>),
}

/// The error for a wish that cannot be met. `named` are the packages with that name, own or provided; `meeting` those
/// that match, with the reason why each cannot be chosen; `choosable` is false when the user would have to name one of
/// them.
pub(super) fn explain(
    wish: &Wish,
    requirer: Requirer<'_>,
    named: &[&Candidate<'_>],
    meeting: &[(&Candidate<'_>, Option<Obstacle<'_>>)],
    choosable: bool,
) -> Error {
    let by = match &requirer {
        Requirer::World => format!("world[{wish}]"),
        Requirer::Package(candidate) => format!("{}[{wish}]", candidate.title()),
    };
    let name = wish.name();
    if let Some(running) = named.iter().find(|candidate| candidate.installed && candidate.info.name == KERNEL) {
        let title = running.title();
        let asks = match requirer {
            Requirer::World => format!("you asked for {wish}"),
            Requirer::Package(candidate) => format!("the package {} was built for {wish}", candidate.title()),
        };
        return Error::Selection {
            conflicts: format!("\n  {title}:\n    breaks: {by}"),
            problem: format!("this system runs the kernel {}, and {asks}", running.info.version),
        };
    }
    if named.is_empty() {
        let problem = match name {
            KERNEL => "no kernel package is installed here that says which kernel runs".into(),
            _ => format!("no index has a package of the name {name}"),
        };
        return Error::Selection {
            conflicts: format!("\n  {name} (no such package):\n    required by: {by}"),
            problem,
        };
    }
    if meeting.is_empty() {
        let titles: Vec<String> = named.iter().map(|candidate| candidate.title()).collect();
        let conflicts = titles.iter().map(|title| format!("\n  {title}:\n    breaks: {by}")).collect();
        let problem = format!("only other versions of {name} are available: {}", titles.join(", "));
        return Error::Selection { conflicts, problem };
    }
    if !choosable {
        let titles: Vec<String> = meeting.iter().map(|(candidate, _)| candidate.info.name.clone()).collect();
        let conflicts = format!(
            "\n  {name} (virtual):\n    note: please select one of the 'provided by'\n          packages explicitly\n    \
             provided by: {}\n    required by: {by}",
            titles.join(" ")
        );
        let problem = format!("{name} is provided by several packages, and none of them is the default");
        return Error::Selection { conflicts, problem };
    }
    let (mut conflicts, mut problems) = (String::new(), Vec::new());
    for (candidate, obstacle) in meeting {
        let (title, arch) = (candidate.title(), &candidate.info.arch);
        let (line, problem) = match obstacle {
            None => continue,
            Some(Obstacle::Kernel) => (
                "error: uninstallable".into(),
                format!("{title} is a kernel, which installing packages does not change"),
            ),
            Some(Obstacle::Architecture) => {
                (format!("error: uninstallable\n    arch: {arch}"), format!("{title} is for the architecture {arch}"))
            }
            Some(Obstacle::Layer) => (
                "error: masked in: layer".into(),
                format!("{title} belongs on a separate volume, which this system does not have"),
            ),
            Some(Obstacle::Itself(name)) => {
                let provide = candidate.info.provides.iter().find(|provide| provide.name == *name);
                let name = provide.map(ToString::to_string).unwrap_or_default();
                (
                    format!("conflicts: {title}[{name}]"),
                    format!("{title} provides its own name, and so excludes itself"),
                )
            }
            Some(Obstacle::Banned(ban)) => (format!("breaks: world[{ban}]"), format!("you asked for {ban}")),
            Some(Obstacle::Conflict(other)) => {
                let other = other.title();
                (format!("conflicts: {other}"), format!("{title} conflicts with {other}"))
            }
        };
        conflicts.push_str(&format!("\n  {title}:\n    {line}\n    satisfies: {by}"));
        problems.push(problem);
    }
    Error::Selection { conflicts, problem: problems.join("; ") }
}
