//! Selects the packages that satisfy world, before anything is fetched or written.
//!
//! The choice is made as apk makes it, see [`deduce`]: a selection that apk would not make is useless for a router.
//! This module explains failures from what was decided. The package `kernel` is special: it stands for the running
//! kernel, so it satisfies dependencies but is never installed, replaced or removed. This keeps out modules of another
//! kernel.

mod deduce;

use std::collections::BTreeSet;

use formats::apk::{Dependency, Info};

use self::deduce::Decision;
use super::KERNEL;
use super::candidate::Candidate;
use super::explain::{Obstacle, Requirer, explain};
use super::world::Wish;
use crate::error::{Error, Result};

/// What the solver prefers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asks {
    /// The newest version over the installed one.
    pub(super) upgrade: bool,
    /// Anything over the installed package.
    pub(super) remove: bool,
    /// A package that a repository has over one that is only installed.
    pub(super) available: bool,
}

impl Asks {
    fn join(&mut self, other: Asks) {
        self.upgrade |= other.upgrade;
        self.remove |= other.remove;
        self.available |= other.available;
    }
}

/// The inputs of the decision.
pub(super) struct Problem<'a> {
    pub(super) candidates: &'a [Candidate<'a>],
    pub(super) wishes: &'a [Wish],
    /// Names that the command is about; they are decided first.
    pub(super) given: &'a BTreeSet<String>,
    /// The preference among packages with those names.
    pub(super) asks: Asks,
    /// The preference among all that they depend on.
    pub(super) passed_on: Asks,
    /// The preference among all that world leads to.
    pub(super) everywhere: Asks,
    /// Whether the system accepts packages of an architecture.
    pub(super) accepts: &'a dyn Fn(&str) -> bool,
}

impl<'a> Problem<'a> {
    /// Why a package can never be installed, whatever else is chosen.
    fn obstacle(&self, candidate: &'a Candidate<'a>) -> Option<Obstacle<'a>> {
        if candidate.installed {
            None
        } else if candidate.names().any(|(name, _)| name == KERNEL) {
            Some(Obstacle::Kernel)
        } else if !(self.accepts)(&candidate.info.arch) {
            Some(Obstacle::Architecture)
        } else if candidate.info.layer.is_some_and(|layer| layer != 0) {
            Some(Obstacle::Layer)
        } else {
            None
        }
    }
}

/// A requirement, and who states it.
#[derive(Debug, Clone)]
struct Requirement {
    wish: Wish,
    /// The candidate that requires it; `None` for world.
    by: Option<usize>,
}

/// Returns the chosen candidates, each after those that it needs.
pub(super) fn select(problem: &Problem<'_>) -> Result<Vec<usize>> {
    let mut wishes = problem.wishes.to_vec();
    let runs = problem.candidates.iter().any(|candidate| candidate.installed && candidate.info.name == KERNEL);
    if runs && !wishes.iter().any(|wish| wish.name() == KERNEL) {
        wishes.push(Wish::Package(Dependency::on(KERNEL)));
    }
    let decision = deduce::decide(problem, &wishes);
    if !decision.is_good {
        return Err(Search { problem, wishes: &wishes, decision: &decision, chosen: Vec::new() }.explain());
    }
    let infos: Vec<&Info> = decision.taken.iter().map(|&index| problem.candidates[index].info).collect();
    Ok(dependencies_first(&infos).into_iter().map(|place| decision.taken[place]).collect())
}

/// Positions of packages, ordered so that each comes after those that it needs.
pub(super) fn dependencies_first(packages: &[&Info]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; packages.len()];
    for start in 0..packages.len() {
        // `true` when everything that the package needs is already in the order.
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

/// Whether a conflict such as `!foo` excludes the package.
fn forbids(dependency: &Dependency, info: &Info) -> bool {
    dependency.is_conflict()
        && (!dependency.accepts(&info.name, Some(&info.version))
            || info.provides.iter().any(|provide| !dependency.accepts(&provide.name, provide.version.as_deref())))
}

/// Follows the decisions to the first one that fails.
struct Search<'a> {
    problem: &'a Problem<'a>,
    wishes: &'a [Wish],
    decision: &'a Decision,
    chosen: Vec<usize>,
}

impl<'a> Search<'a> {
    fn explain(mut self) -> Error {
        let is_ban = |wish: &&Wish| matches!(wish, Wish::Package(dependency) if dependency.is_conflict());
        let wished = self.wishes.iter().filter(|wish| !is_ban(wish));
        let mut queue: Vec<Requirement> = wished.map(|wish| Requirement { wish: wish.clone(), by: None }).collect();
        let mut late: Vec<Requirement> = Vec::new();
        let mut at = 0;
        loop {
            let Some(requirement) = queue.get(at).cloned() else {
                // A name that only another choice could provide comes last.
                match late.pop() {
                    Some(requirement) if !self.is_met(&requirement.wish) => return self.refusal(&requirement),
                    Some(_) => continue,
                    None => break,
                }
            };
            at += 1;
            if self.is_met(&requirement.wish) {
                continue;
            }
            let Some(index) = self.next(&requirement.wish) else {
                let choosable =
                    self.meeting(&requirement.wish).any(|index| self.is_choosable(index, &requirement.wish));
                match choosable || self.meeting(&requirement.wish).next().is_none() {
                    true => return self.refusal(&requirement),
                    false => late.push(requirement),
                }
                continue;
            };
            self.chosen.push(index);
            let depends = self.candidate(index).info.depends.iter().filter(|depends| !depends.is_conflict());
            queue.extend(depends.map(|need| Requirement { wish: Wish::Package(need.clone()), by: Some(index) }));
        }
        let problem = "the solver's first choice leads to a conflict, and like apk it does not try another: name the \
            packages that you want instead";
        Error::Selection { conflicts: String::new(), problem: problem.into() }
    }

    fn candidate(&self, index: usize) -> &'a Candidate<'a> {
        &self.problem.candidates[index]
    }

    fn is_met(&self, wish: &Wish) -> bool {
        self.chosen.iter().any(|&index| self.meets(index, wish))
    }

    fn is_choosable(&self, index: usize, wish: &Wish) -> bool {
        self.candidate(index).installed || self.candidate(index).is_automatic(wish.name())
    }

    fn meeting<'b>(&'b self, wish: &'b Wish) -> impl Iterator<Item = usize> + 'b {
        (0..self.problem.candidates.len()).filter(move |&index| self.meets(index, wish))
    }

    /// The chosen package, otherwise one that could have been chosen.
    fn next(&self, wish: &Wish) -> Option<usize> {
        let decided = self.decision.provider(wish.name()).filter(|&index| self.meets(index, wish));
        let others = self.meeting(wish).filter(|&index| self.is_choosable(index, wish));
        decided.into_iter().chain(others).find(|&index| self.obstacle_to(index).is_none())
    }

    fn refusal(&self, requirement: &Requirement) -> Error {
        let requirer = match requirement.by {
            None => Requirer::World,
            Some(index) => Requirer::Package(self.candidate(index)),
        };
        let wish = &requirement.wish;
        let has_name = |candidate: &&Candidate<'_>| candidate.names().any(|(name, _)| name == wish.name());
        let named: Vec<&Candidate<'_>> = self.problem.candidates.iter().filter(has_name).collect();
        let choosable = self.meeting(wish).any(|index| self.is_choosable(index, wish));
        let meeting: Vec<_> =
            self.meeting(wish).map(|index| (self.candidate(index), self.obstacle_to(index))).collect();
        explain(wish, requirer, &named, &meeting, choosable)
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

    /// Why a candidate conflicts with the chosen ones, if it does.
    fn obstacle_to(&self, index: usize) -> Option<Obstacle<'a>> {
        let candidate = self.candidate(index);
        if let Some(obstacle) = self.problem.obstacle(candidate) {
            return Some(obstacle);
        }
        if let Some(name) = candidate.excludes_itself() {
            return Some(Obstacle::Itself(name));
        }
        let banned = |wish: &&Wish| matches!(wish, Wish::Package(ban) if forbids(ban, candidate.info));
        if let Some(wish) = self.wishes.iter().find(banned) {
            return Some(Obstacle::Banned(wish.to_string()));
        }
        let clashes = |other: &Candidate<'_>| {
            let forbidden = |one: &Info, other: &Info| one.depends.iter().any(|depends| forbids(depends, other));
            other.excludes(candidate) || forbidden(candidate.info, other.info) || forbidden(other.info, candidate.info)
        };
        let other = self.chosen.iter().map(|&chosen| self.candidate(chosen)).find(|other| clashes(other));
        other.map(Obstacle::Conflict)
    }
}

#[cfg(test)]
mod tests;
