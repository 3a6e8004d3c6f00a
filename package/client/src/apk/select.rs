//! Which packages satisfy all wishes, decided before anything is fetched or written.
//!
//! Requirements are taken one after the other, the wishes of the world first; where several packages
//! would do, the best one is tried, and the next best when that leads nowhere. As in apk, what is
//! installed is preferred to what is newer, but in an upgrade; of two packages that provide a name in a version only one
//! can be there; a name provided without a version and without a priority is never chosen by itself; and
//! a package with `install_if` comes along once all that it names is there. The package `kernel` is
//! special: it names the kernel that runs, so it satisfies requirements but is never brought in, replaced
//! or taken away. This is what keeps modules of another kernel out.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use formats::apk::{Dependency, Info};
use formats::version::apk::compare;

use super::KERNEL;
use super::explain::{Obstacle, Requirer, explain};
use super::world::Wish;
use crate::error::{Error, Result};

/// Decisions before a search counts as hopeless: alternatives can nest without end.
const MAX_STEPS: usize = 10_000;

/// A package that may be part of the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) info: &'a Info,
    pub(super) installed: bool,
}

impl Candidate<'_> {
    /// `NAME-VERSION`.
    pub(super) fn title(&self) -> String {
        format!("{}-{}", self.info.name, self.info.version)
    }

    /// Names that no other package may have or provide in a version.
    fn exclusive_names(&self) -> impl Iterator<Item = &str> {
        let provided = self.info.provides.iter().filter(|provide| provide.version.is_some());
        std::iter::once(self.info.name.as_str()).chain(provided.map(|provide| provide.name.as_str()))
    }

    /// Whether a requirement for the name may choose it without being told.
    fn is_automatic(&self, name: &str) -> bool {
        let versioned = |provide: &Dependency| provide.name == name && provide.version.is_some();
        self.info.name == name
            || self.info.provider_priority.is_some_and(|priority| priority > 0)
            || self.info.provides.iter().any(versioned)
    }
}

/// Everything the decision depends on.
pub(super) struct Problem<'a> {
    pub(super) candidates: &'a [Candidate<'a>],
    pub(super) wishes: &'a [Wish],
    /// Whether a newer version of a name is preferred to the one that is installed.
    pub(super) upgrades: &'a dyn Fn(&str) -> bool,
    /// Whether the system takes packages of an architecture.
    pub(super) accepts: &'a dyn Fn(&str) -> bool,
}

/// Something that must be there, and who says so.
#[derive(Debug, Clone)]
pub(super) struct Requirement {
    pub(super) wish: Wish,
    /// A candidate, or the world.
    by: Option<usize>,
    /// Whether it was put off until everything else was decided.
    late: bool,
}

/// The state to go back to, and what is left to try there.
struct Decision {
    queue: usize,
    at: usize,
    chosen: usize,
    declined: usize,
    /// The worst first.
    options: Vec<Choice>,
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Take(usize),
    /// Do without a package that would come along.
    Decline(usize),
}

/// Returns the chosen candidates, each after what it needs.
pub(super) fn select(problem: &Problem<'_>) -> Result<Vec<usize>> {
    let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in problem.candidates.iter().enumerate() {
        let provided = candidate.info.provides.iter().map(|provide| provide.name.as_str());
        for name in std::iter::once(candidate.info.name.as_str()).chain(provided) {
            names.entry(name).or_default().push(index);
        }
    }
    let is_ban = |wish: &&Wish| matches!(wish, Wish::Package(dependency) if dependency.is_conflict());
    let wished = problem.wishes.iter().filter(|wish| !is_ban(wish));
    let queue = wished.map(|wish| Requirement { wish: wish.clone(), by: None, late: false }).collect();
    let kernel = problem.candidates.iter().position(|candidate| candidate.installed && candidate.info.name == KERNEL);
    let mut search = Search {
        problem,
        names,
        queue,
        at: 0,
        chosen: kernel.into_iter().collect(),
        declined: Vec::new(),
        decisions: Vec::new(),
        steps: 0,
        obstacle: None,
    };
    search.run()?;
    let infos: Vec<&Info> = search.chosen.iter().map(|&index| problem.candidates[index].info).collect();
    Ok(dependencies_first(&infos).into_iter().map(|place| search.chosen[place]).collect())
}

/// The places of packages in an order in which each one comes after what it needs.
pub(super) fn dependencies_first(packages: &[&Info]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; packages.len()];
    for start in 0..packages.len() {
        // Whether all that it needs is in the order already.
        let mut stack = vec![(start, false)];
        while let Some((place, ready)) = stack.pop() {
            if ready {
                order.push(place);
            } else if !std::mem::replace(&mut seen[place], true) {
                stack.push((place, true));
                let depends = packages[place].depends.iter().filter(|dependency| !dependency.is_conflict());
                let needed = depends.filter_map(|need| packages.iter().position(|package| package.satisfies(need)));
                stack.extend(needed.map(|needed| (needed, false)));
            }
        }
    }
    order
}

/// Whether a dependency like `!foo` forbids the package.
fn forbids(dependency: &Dependency, info: &Info) -> bool {
    dependency.is_conflict()
        && (!dependency.accepts(&info.name, Some(&info.version))
            || info.provides.iter().any(|provide| !dependency.accepts(&provide.name, provide.version.as_deref())))
}

struct Search<'a> {
    problem: &'a Problem<'a>,
    /// Candidates by every name that they have or provide.
    names: BTreeMap<&'a str, Vec<usize>>,
    queue: Vec<Requirement>,
    /// The next one of the queue.
    at: usize,
    chosen: Vec<usize>,
    /// Packages with `install_if` that were left out because they do not fit.
    declined: Vec<usize>,
    decisions: Vec<Decision>,
    steps: usize,
    /// What stood in the way of the best choices; the way round it may have failed for worse reasons.
    obstacle: Option<Error>,
}

impl<'a> Search<'a> {
    fn run(&mut self) -> Result<()> {
        loop {
            if let Some(requirement) = self.queue.get(self.at).cloned() {
                self.at += 1;
                self.satisfy(requirement)?;
            } else if let Some(companion) = self.companion() {
                self.decide(vec![Choice::Decline(companion), Choice::Take(companion)])?;
            } else {
                return Ok(());
            }
        }
    }

    fn candidate(&self, index: usize) -> &'a Candidate<'a> {
        &self.problem.candidates[index]
    }

    fn satisfy(&mut self, requirement: Requirement) -> Result<()> {
        if self.chosen.iter().any(|&index| self.meets(index, &requirement.wish)) {
            return Ok(());
        }
        let name = requirement.wish.name();
        let meeting: Vec<usize> =
            self.named(name).iter().copied().filter(|&index| self.meets(index, &requirement.wish)).collect();
        let automatic = |&index: &usize| self.candidate(index).installed || self.candidate(index).is_automatic(name);
        let choosable: Vec<usize> = meeting.iter().copied().filter(automatic).collect();
        if choosable.is_empty() && !meeting.is_empty() && !requirement.late {
            // Something that is chosen for other reasons may provide it.
            self.queue.push(Requirement { late: true, ..requirement });
            return Ok(());
        }
        let mut fitting: Vec<usize> =
            choosable.iter().copied().filter(|&index| self.obstacle_to(index).is_none()).collect();
        if fitting.is_empty() && self.obstacle.is_none() {
            self.obstacle = Some(self.explain(&requirement, &meeting, &choosable));
        }
        fitting.sort_by(|&a, &b| self.worse(a, b, name));
        self.decide(fitting.into_iter().map(Choice::Take).collect())
    }

    /// The order of options, worst first.
    fn worse(&self, a: usize, b: usize, name: &str) -> std::cmp::Ordering {
        let (a_place, b_place) = (Reverse(a), Reverse(b));
        let (a, b) = (self.candidate(a), self.candidate(b));
        let rank = |candidate: &Candidate<'_>| {
            let priority = candidate.info.provider_priority.unwrap_or(0);
            let keeps = candidate.installed && !(self.problem.upgrades)(&candidate.info.name);
            (keeps, self.is_known(&candidate.info.name), candidate.info.name == name, priority)
        };
        rank(a)
            .cmp(&rank(b))
            .then_with(|| compare(&a.info.version, &b.info.version))
            .then(a.installed.cmp(&b.installed))
            .then(a_place.cmp(&b_place))
    }

    /// Takes the last of the options, and remembers the others.
    fn decide(&mut self, options: Vec<Choice>) -> Result<()> {
        let (queue, chosen) = (self.queue.len(), self.chosen.len());
        self.decisions.push(Decision { queue, at: self.at, chosen, declined: self.declined.len(), options });
        while let Some(decision) = self.decisions.last_mut() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                break;
            }
            self.queue.truncate(decision.queue);
            self.at = decision.at;
            self.chosen.truncate(decision.chosen);
            self.declined.truncate(decision.declined);
            match decision.options.pop() {
                Some(choice) => {
                    self.choose(choice);
                    return Ok(());
                }
                None => self.decisions.pop(),
            };
        }
        let hopeless = || Error::Selection {
            conflicts: String::new(),
            problem: "there are too many alternatives to try them all".into(),
        };
        Err(self.obstacle.take().unwrap_or_else(hopeless))
    }

    fn choose(&mut self, choice: Choice) {
        match choice {
            Choice::Decline(index) => self.declined.push(index),
            Choice::Take(index) => {
                self.chosen.push(index);
                let depends = self.candidate(index).info.depends.iter().filter(|depends| !depends.is_conflict());
                let requirement =
                    |need: &Dependency| Requirement { wish: Wish::Package(need.clone()), by: Some(index), late: false };
                self.queue.extend(depends.map(requirement));
            }
        }
    }

    /// A package that comes along with those that are chosen, and was not decided about.
    fn companion(&self) -> Option<usize> {
        let all_there = |info: &Info| {
            let there = |need: &Dependency| match need.is_conflict() {
                true => !self.chosen.iter().any(|&index| forbids(need, self.candidate(index).info)),
                false => self.chosen.iter().any(|&index| self.candidate(index).info.satisfies(need)),
            };
            !info.install_if.is_empty() && info.install_if.iter().all(there)
        };
        let open = |index: &usize| {
            let candidate = self.candidate(*index);
            all_there(candidate.info) && !self.declined.contains(index) && self.obstacle_to(*index).is_none()
        };
        let best = (0..self.problem.candidates.len()).filter(open);
        best.max_by(|&a, &b| self.worse(a, b, &self.candidate(a).info.name))
    }

    /// Whether a package of that name is installed, in whatever version.
    fn is_known(&self, name: &str) -> bool {
        let is_it = |&index: &usize| self.candidate(index).installed && self.candidate(index).info.name == name;
        self.named(name).iter().any(is_it)
    }

    fn named(&self, name: &str) -> &[usize] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    fn meets(&self, index: usize, wish: &Wish) -> bool {
        let candidate = self.candidate(index);
        match wish {
            Wish::Package(dependency) => candidate.info.satisfies(dependency),
            Wish::Pinned { name, identity } => {
                candidate.info.name == *name && candidate.info.unique_id == Some(*identity)
            }
        }
    }

    /// Why a candidate cannot join those that are chosen, if so.
    fn obstacle_to(&self, index: usize) -> Option<Obstacle<'a>> {
        let candidate = self.candidate(index);
        if !candidate.installed {
            if candidate.exclusive_names().any(|name| name == KERNEL) {
                return Some(Obstacle::Kernel);
            }
            if !(self.problem.accepts)(&candidate.info.arch) {
                return Some(Obstacle::Architecture);
            }
        }
        let banned = |wish: &&Wish| matches!(wish, Wish::Package(ban) if forbids(ban, candidate.info));
        if let Some(wish) = self.problem.wishes.iter().find(banned) {
            return Some(Obstacle::Banned(wish.to_string()));
        }
        let clashes = |other: &Candidate<'_>| {
            let forbidden = |one: &Info, other: &Info| one.depends.iter().any(|depends| forbids(depends, other));
            other.exclusive_names().any(|name| candidate.exclusive_names().any(|own| own == name))
                || forbidden(candidate.info, other.info)
                || forbidden(other.info, candidate.info)
        };
        let other = self.chosen.iter().map(|&chosen| self.candidate(chosen)).find(|other| clashes(other));
        other.map(Obstacle::Conflict)
    }

    fn explain(&self, requirement: &Requirement, meeting: &[usize], choosable: &[usize]) -> Error {
        let requirer = match requirement.by {
            None => Requirer::World,
            Some(index) => Requirer::Package(self.candidate(index)),
        };
        let named = self.named(requirement.wish.name()).iter().map(|&index| self.candidate(index)).collect::<Vec<_>>();
        let meeting: Vec<_> = meeting.iter().map(|&index| (self.candidate(index), self.obstacle_to(index))).collect();
        explain(&requirement.wish, requirer, &named, &meeting, !choosable.is_empty())
    }
}

#[cfg(test)]
mod tests;
