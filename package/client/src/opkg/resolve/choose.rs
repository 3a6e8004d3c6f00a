//! Chooses packages as opkg does: in one pass, without backtracking.
//!
//! A package is a candidate only if all its dependencies can be found. opkg checks this once for each name: of several
//! versions it checks the first in the lists, and packages already visited by that check are not checked again. It
//! takes the best candidate, and if that cannot be installed after all, the command fails, even where another one would
//! have worked. We must not report success where opkg on a router fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use formats::control::Control;
use formats::depend::Term;
use formats::version::opkg::compare;

use super::super::status::Status;
use super::KERNEL;

/// A package that is offered, installed, or both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) control: &'a Control,
    /// Its position among the candidates, if it is offered.
    pub(super) candidate: Option<usize>,
    /// Whether it is installed, or will be when the plan is done.
    pub(super) is_there: bool,
    /// Whether the user gave it as a file.
    pub(super) by_hand: bool,
}

#[derive(Debug, Default)]
struct Name<'a> {
    /// Packages that have it as their own name.
    bearers: Vec<usize>,
    /// Names of packages that satisfy it, its own bearer among them.
    providers: Vec<&'a str>,
    /// The first package that declares to replace those with this name.
    replacer: Option<&'a str>,
    looked_at: bool,
    followed: bool,
}

/// An unsatisfied dependency, by its position among those of a package.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unmet {
    pub(super) package: usize,
    pub(super) dependency: usize,
}

/// Which of the packages that satisfy a name are acceptable.
#[derive(Debug, Clone, Copy)]
enum Want<'t> {
    /// One that is installed.
    There(&'t Term),
    Any(&'t Term),
}

/// How opkg reads its lists for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All at once.
    Whole,
    /// In several passes: each reads the packages that those read so far refer to, starting with what the user named.
    AsNeeded,
}

/// What opkg gets to know of its lists.
#[derive(Default)]
struct Lists<'a> {
    /// The candidates in the order in which opkg reads them; those that nothing refers to are left out. The order
    /// decides which version of a package is checked.
    order: Vec<usize>,
    /// Names, each with a package that has or provides it, as opkg comes across them: what a package provides it notes
    /// even where it does not read the rest.
    providers: Vec<(&'a str, &'a str)>,
}

impl<'a> Lists<'a> {
    fn read(
        candidates: &'a [Control],
        arches: &BTreeMap<String, u32>,
        given: &BTreeSet<&'a str>,
        by_hand: &BTreeSet<usize>,
        reading: Reading,
    ) -> Lists<'a> {
        let mut lists = Lists::default();
        let mut needed: BTreeSet<&str> = given.clone();
        needed.extend(by_hand.iter().map(|&place| candidates[place].package.as_str()));
        let mut is_read = vec![false; candidates.len()];
        let files = by_hand.iter().copied();
        let listed = (0..candidates.len()).filter(|place| !by_hand.contains(place));
        let turns: Vec<usize> = files.chain(listed).collect();
        for pass in 0.. {
            let before = needed.len();
            for &place in &turns {
                let control = &candidates[place];
                let own = control.package.as_str();
                let is_needed = needed.contains(own) || reading == Reading::Whole;
                let provides: Vec<&str> = provided(control).collect();
                if pass == 0 && !provides.is_empty() {
                    lists.providers.extend([own].iter().chain(&provides).map(|name| (*name, own)));
                }
                // Its own name comes before what it provides: it is read in the next pass, but its later versions in
                // this one.
                if provides.iter().any(|name| needed.contains(name)) {
                    needed.insert(own);
                }
                if is_needed || !provides.is_empty() {
                    needed.extend(names_in(control));
                }
                if is_needed {
                    needed.extend(replaced(control));
                    if !std::mem::replace(&mut is_read[place], true) && arches.contains_key(&control.architecture) {
                        lists.order.push(place);
                        lists.providers.push((own, own));
                    }
                }
            }
            if needed.len() == before {
                break;
            }
        }
        lists
    }
}

/// The names that a package depends on or conflicts with. Of packages that provide something opkg follows them in any
/// case.
fn names_in(control: &Control) -> impl Iterator<Item = &str> {
    let terms = control.depends.iter().flat_map(|need| &need.alternatives).chain(&control.conflicts);
    terms.map(|term| term.name.as_str())
}

/// Everything that may be chosen, and what was checked.
pub(super) struct Chooser<'a> {
    pub(super) packages: Vec<Known<'a>>,
    names: HashMap<&'a str, Name<'a>>,
    /// Names that the user gave: their packages are preferred whoever needs them.
    given: BTreeSet<&'a str>,
    arches: &'a BTreeMap<String, u32>,
    /// The missing dependency of each checked package.
    missing: HashMap<usize, Unmet>,
}

impl<'a> Chooser<'a> {
    /// `by_hand` are the positions of candidates that the user gave as files.
    pub(super) fn new(
        candidates: &'a [Control],
        installed: &'a Status,
        arches: &'a BTreeMap<String, u32>,
        given: BTreeSet<&'a str>,
        by_hand: &BTreeSet<usize>,
        reading: Reading,
    ) -> Chooser<'a> {
        let mut chooser =
            Chooser { packages: Vec::new(), names: HashMap::new(), given, arches, missing: HashMap::new() };
        let lists = Lists::read(candidates, arches, &chooser.given, by_hand, reading);
        for (name, own) in lists.providers {
            chooser.provides(name, own);
        }
        for place in lists.order {
            let (control, by_hand) = (&candidates[place], by_hand.contains(&place));
            chooser.add(Known { control, candidate: Some(place), is_there: false, by_hand });
        }
        for package in installed.0.values().filter(|package| package.is_usable()) {
            let control = &package.control;
            let key = |control: &'a Control| (&control.package, &control.version, &control.architecture);
            match chooser.packages.iter_mut().rfind(|known| key(known.control) == key(control)) {
                Some(known) => known.is_there = true,
                None => chooser.add(Known { control, candidate: None, is_there: true, by_hand: false }),
            }
        }
        chooser
    }

    fn add(&mut self, known: Known<'a>) {
        let (control, place) = (known.control, self.packages.len());
        let own = control.package.as_str();
        self.packages.push(known);
        self.names.entry(own).or_default().bearers.push(place);
        for name in std::iter::once(own).chain(provided(control)) {
            self.provides(name, own);
        }
        for name in replaced(control) {
            self.names.entry(name).or_default().replacer.get_or_insert(own);
        }
    }

    fn provides(&mut self, name: &'a str, own: &'a str) {
        let providers = &mut self.names.entry(name).or_default().providers;
        if !providers.contains(&own) {
            providers.push(own);
        }
    }

    pub(super) fn control(&self, package: usize) -> &'a Control {
        self.packages[package].control
    }

    /// The package of a candidate that fits this system.
    pub(super) fn of_candidate(&self, candidate: usize) -> Option<usize> {
        self.packages.iter().position(|known| known.candidate == Some(candidate))
    }

    /// The installed package of this name.
    pub(super) fn there(&self, name: &str) -> Option<usize> {
        let bearers = self.names.get(name).map(|name| name.bearers.as_slice()).unwrap_or_default();
        bearers.iter().copied().find(|&package| self.packages[package].is_there)
    }

    /// The installed package that opkg takes for a name: of its bearers; if it has none, of the package that is listed
    /// as its first provider.
    pub(super) fn taken_for(&self, name: &str) -> Option<usize> {
        let known = self.names.get(name)?;
        match known.bearers.is_empty() {
            true => self.there(known.providers.first()?),
            false => self.there(name),
        }
    }

    /// Marks a package as installed, in place of any other version.
    pub(super) fn bring(&mut self, package: usize) {
        if let Some(old) = self.there(&self.control(package).package) {
            self.packages[old].is_there = false;
        }
        self.packages[package].is_there = true;
    }

    /// What was missing when the one package of this name was checked.
    pub(super) fn missing(&self, name: &str) -> Option<Unmet> {
        let bearers = &self.names.get(name)?.bearers;
        bearers.iter().rev().find_map(|package| self.missing.get(package)).copied()
    }

    /// The dependencies to install with a package, in order, and those that cannot be satisfied.
    pub(super) fn follow(&mut self, package: usize) -> (Vec<usize>, Vec<Unmet>) {
        let mut coming = Vec::new();
        let lost = self.walk(package, &mut coming, false);
        (coming, lost)
    }

    /// With `look` it only checks whether everything can be satisfied.
    fn walk(&mut self, package: usize, coming: &mut Vec<usize>, look: bool) -> Vec<Unmet> {
        let control = self.control(package);
        let name = self.names.entry(&control.package).or_default();
        if std::mem::replace(if look { &mut name.looked_at } else { &mut name.followed }, true) {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for (place, dependency) in control.depends.iter().enumerate() {
            let terms = &dependency.alternatives;
            if terms.iter().any(|term| self.best(&term.name, Want::There(term)).is_some()) {
                continue;
            }
            match terms.iter().find_map(|term| self.best(&term.name, Want::Any(term))) {
                None => lost.push(Unmet { package, dependency: place }),
                Some(found) if found != package && !coming.contains(&found) => {
                    let more = self.walk(found, coming, look);
                    coming.push(found);
                    lost.extend(more);
                }
                Some(_) => {}
            }
        }
        lost
    }

    /// Packages that satisfy a name and are not known to lack a dependency, in opkg's order.
    fn matching(&mut self, name: &str) -> Vec<usize> {
        let providers = self.names.get(name).map(|name| name.providers.clone()).unwrap_or_default();
        let mut matching: Vec<usize> = Vec::new();
        for own in &providers {
            let replacer = self.names.get(own).and_then(|name| name.replacer).filter(|replacer| replacer != own);
            if replacer.is_some_and(|replacer| providers.contains(&replacer)) {
                continue;
            }
            let bearers = self.names.get(replacer.unwrap_or(own)).map(|name| name.bearers.clone()).unwrap_or_default();
            for package in bearers {
                if !matching.contains(&package) && self.may_be_had(package) {
                    matching.push(package);
                }
            }
        }
        matching.sort_by(|&a, &b| {
            let (a, b) = (self.control(a), self.control(b));
            let names = a.package.cmp(&b.package);
            names.then(compare(&a.version, &b.version)).then_with(|| self.priority(a).cmp(&self.priority(b)))
        });
        matching
    }

    fn priority(&self, control: &Control) -> u32 {
        self.arches.get(&control.architecture).copied().unwrap_or(0)
    }

    fn may_be_had(&mut self, package: usize) -> bool {
        // It stands for the running kernel, so no dependency installs another one.
        let Known { control, is_there, .. } = self.packages[package];
        if control.package == KERNEL && !is_there && !self.given.contains(KERNEL) {
            return false;
        }
        let lost = self.walk(package, &mut Vec::new(), true);
        if let Some(first) = lost.first() {
            self.missing.insert(package, *first);
        }
        lost.is_empty()
    }

    /// The last one with the best score: one point for its own name, one for a name that the user gave.
    fn best(&mut self, name: &str, want: Want<'_>) -> Option<usize> {
        let fits = |known: &Known<'_>| match want {
            Want::There(term) => known.is_there && term.accepts(&term.name, &known.control.version),
            Want::Any(term) => term.accepts(&term.name, &known.control.version),
        };
        let mut best: Option<(u8, usize)> = None;
        for package in self.matching(name) {
            let known = &self.packages[package];
            let own = known.control.package.as_str();
            let score = u8::from(own == name) + u8::from(self.given.contains(own));
            if fits(known) && best.is_none_or(|(best, _)| score >= best) {
                best = Some((score, package));
                if known.by_hand {
                    break;
                }
            }
        }
        best.map(|(_, package)| package)
    }

    /// What a user means by a name: the newest package with that name; otherwise, of those that provide it, the newest
    /// version of an installed one, or the first one for the preferred architecture.
    pub(super) fn meant(&mut self, name: &str) -> Option<usize> {
        let matching = self.matching(name);
        let bears = |package: &&usize| self.control(**package).package == name;
        let by_hand = matching.iter().filter(bears).find(|package| self.packages[**package].by_hand);
        if let Some(own) = by_hand.or_else(|| matching.iter().rfind(bears)) {
            return Some(*own);
        }
        let is_there = |package: &&usize| self.there(&self.control(**package).package).is_some();
        if let Some(there) = matching.iter().rfind(is_there) {
            return Some(*there);
        }
        let priority = |package: usize| self.priority(self.control(package));
        // Takes the first of equals.
        matching.into_iter().rev().max_by_key(|&package| priority(package))
    }
}

/// Names that others can depend on: opkg treats `x=1` as a name.
fn provided(control: &Control) -> impl Iterator<Item = &str> {
    control.provides.iter().filter(|provide| provide.version.is_none()).map(|provide| provide.name.as_str())
}

/// Names of packages that this one declares to replace.
fn replaced(control: &Control) -> impl Iterator<Item = &str> {
    let names = control.stanza.get("Replaces").unwrap_or_default().split(',');
    let names = names.filter_map(|item| item.split_whitespace().next());
    names.filter(|name| *name != control.package && control.conflicts.iter().any(|term| term.name == *name))
}
