//! The decision itself, made as apk makes it: by deduction, without backtracking.
//!
//! Every required name is decided once. Before that, whatever all its possible providers have in common is required
//! too, and candidates that can no longer be satisfied are struck out. The order is: names with one possible answer,
//! then those that the user gave, then names of real packages before those that are only provided, and later found
//! names before those that led to them. A choice that turns out wrong later is a failure, as with apk on a router, even
//! where another choice would have worked.

mod graph;
mod queues;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};

use formats::apk::{Dependency, Info};
use formats::version::apk::compare;

use super::super::world::Wish;
use super::{Asks, Candidate, Problem};

/// The solver's result.
pub(super) struct Decision {
    /// The candidate for each decided name; `None` for a name that no package may have.
    chosen: HashMap<String, Option<usize>>,
    /// Candidates that will be installed.
    pub(super) taken: Vec<usize>,
    /// Whether all requirements are met and no two candidates exclude each other.
    pub(super) is_good: bool,
}

impl Decision {
    /// The candidate chosen for a name.
    pub(super) fn provider(&self, name: &str) -> Option<usize> {
        self.chosen.get(name).copied().flatten()
    }
}

/// A requirement of world or of a package.
#[derive(Debug, Clone, Copy)]
enum Need<'a> {
    Dependency(&'a Dependency),
    Pinned(&'a [u8; 20]),
}

impl Need<'_> {
    fn is_conflict(self) -> bool {
        matches!(self, Need::Dependency(dependency) if dependency.is_conflict())
    }
}

/// A package under one of its names, with its version under that name.
#[derive(Debug, Clone, Copy)]
struct Provider<'a> {
    package: usize,
    version: Option<&'a str>,
}

/// Whether the user gave the name, whether a package has it as its own name, and how late it was found.
type Order = (bool, bool, u32);

#[derive(Debug, Default)]
struct Name<'a> {
    text: &'a str,
    providers: Vec<Provider<'a>>,
    /// Names with a provider that depends on this name.
    wanted_by: Vec<usize>,
    /// Names with a provider whose install-if has this name.
    companions: Vec<usize>,
    /// Decides which name is next: the highest.
    order: Order,
    requirers: u32,
    is_met: bool,
    is_given: bool,
    has_options: bool,
    has_automatic: bool,
    /// Whether no undecided name can still add requirements to it.
    is_settled: bool,
    has_companion: bool,
    has_no_companion: bool,
    companion_asks: bool,
    check_depends: bool,
    check_companions: bool,
    is_changed: bool,
    queue: Option<Queue>,
    decided: Option<Option<Provider<'a>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Now,
    Selectable,
    Rest,
}

#[derive(Debug, Default)]
struct Package {
    is_met: bool,
    selectable: bool,
    conflicts: u32,
    companion_comes: bool,
    companion_fails: bool,
    is_option: bool,
    was_option: bool,
    has_error: bool,
    asks: Asks,
    /// The preference among everything that it depends on.
    passed_on: Asks,
}

pub(super) fn decide(problem: &Problem<'_>, wishes: &[Wish]) -> Decision {
    let mut deduction = Deduction::new(problem);
    let mut world: Vec<(usize, Need<'_>)> = Vec::new();
    for wish in wishes {
        let name = deduction.intern(wish.name());
        let need = match wish {
            Wish::Package(dependency) => Need::Dependency(dependency),
            Wish::Pinned { identity, .. } => Need::Pinned(identity),
        };
        world.push((name, need));
    }
    let shown = |name: usize| deduction.names[name].text.to_ascii_lowercase();
    world.sort_by_cached_key(|(name, _)| shown(*name));
    for (name, _) in &world {
        deduction.meet(*name);
    }
    for (name, need) in &world {
        deduction.require(None, *name, *need);
    }
    deduction.run();
    deduction.result(&world)
}

struct Deduction<'a> {
    problem: &'a Problem<'a>,
    ids: HashMap<&'a str, usize>,
    names: Vec<Name<'a>>,
    packages: Vec<Package>,
    changed: VecDeque<usize>,
    now: VecDeque<usize>,
    selectable: BTreeSet<(Order, usize)>,
    rest: BTreeSet<(Order, usize)>,
    met: u32,
    has_errors: bool,
}

impl<'a> Deduction<'a> {
    fn info(&self, package: usize) -> &'a Info {
        self.candidate(package).info
    }

    fn candidate(&self, package: usize) -> &'a Candidate<'a> {
        &self.problem.candidates[package]
    }

    /// Whether `provider`, or having none, satisfies the need.
    fn meets(&self, by: Option<usize>, name: usize, need: Need<'_>, provider: Option<Provider<'_>>) -> bool {
        let Some(provider) = provider else { return need.is_conflict() };
        match need {
            // A package does not exclude itself.
            Need::Dependency(dependency) if dependency.is_conflict() && by == Some(provider.package) => true,
            Need::Dependency(dependency) => dependency.accepts(self.names[name].text, provider.version),
            Need::Pinned(identity) => self.info(provider.package).unique_id == Some(*identity),
        }
    }

    fn run(&mut self) {
        loop {
            while let Some(name) = self.changed.pop_front() {
                self.names[name].is_changed = false;
                self.reconsider(name);
            }
            let next = self.now.pop_front();
            let next = next.or_else(|| self.selectable.pop_last().map(|(_, name)| name));
            let Some(name) = next.or_else(|| self.rest.pop_last().map(|(_, name)| name)) else { return };
            self.names[name].queue = None;
            self.decide(name);
        }
    }

    fn wanted_by_changed(&mut self, name: usize) {
        for place in 0..self.names[name].wanted_by.len() {
            let other = self.names[name].wanted_by[place];
            if self.names[other].is_met {
                self.names[other].check_depends = true;
                self.change(other);
            }
        }
    }

    fn companions_changed(&mut self, name: usize) {
        for place in 0..self.names[name].companions.len() {
            let other = self.names[name].companions[place];
            if self.names[other].is_met && !self.names[other].has_no_companion {
                self.names[other].check_companions = true;
                self.change(other);
            }
        }
    }

    fn strike_out(&mut self, package: usize) {
        self.packages[package].selectable = false;
        let names = self.names_of(package);
        names.iter().for_each(|(name, _)| self.wanted_by_changed(*name));
        names.iter().for_each(|(name, _)| self.companions_changed(*name));
    }

    fn can_be_met(&self, by: usize, name: usize, need: Need<'_>) -> bool {
        let this = &self.names[name];
        if let Some(decided) = this.decided {
            return self.meets(Some(by), name, need, decided);
        }
        this.requirers == 0 && need.is_conflict()
            || this
                .providers
                .iter()
                .any(|&own| self.packages[own.package].selectable && self.meets(Some(by), name, need, Some(own)))
    }

    fn inherit(&mut self, package: usize, from: Option<usize>) {
        let given = match from {
            Some(from) => self.packages[from].passed_on,
            None => self.problem.everywhere,
        };
        self.packages[package].asks.join(given);
        self.packages[package].passed_on.join(given);
    }

    fn requirers_changed(&mut self, name: usize) {
        self.enqueue(name, false);
        self.companions_changed(name);
        self.change(name);
    }

    /// Adds a requirement of world, or of a package.
    fn require(&mut self, by: Option<usize>, name: usize, need: Need<'_>) {
        if !need.is_conflict() {
            self.names[name].requirers += 1;
            if self.names[name].requirers == 1 {
                self.requirers_changed(name);
            }
        }
        for place in 0..self.names[name].providers.len() {
            let own = self.names[name].providers[place];
            if self.meets(by, name, need, Some(own)) {
                self.inherit(own.package, by);
                continue;
            }
            self.packages[own.package].conflicts += 1;
            if self.packages[own.package].selectable {
                self.strike_out(own.package);
            }
        }
    }

    fn require_all(&mut self, package: usize) {
        for dependency in &self.info(package).depends {
            if let Some(name) = self.id(&dependency.name) {
                self.require(Some(package), name, Need::Dependency(dependency));
            }
        }
    }

    /// Looks at the providers of a name again: which are left, and what do they have in common?
    fn reconsider(&mut self, name: usize) {
        let check_depends = std::mem::take(&mut self.names[name].check_depends);
        let check_companions = std::mem::take(&mut self.names[name].check_companions);
        let (mut options, mut has_companion, mut has_no_companion, mut has_automatic) = (vec![], false, true, false);
        for place in 0..self.names[name].providers.len() {
            let own = self.names[name].providers[place];
            let package = own.package;
            self.packages[package].is_option = false;
            if check_depends && self.packages[package].selectable {
                let unmet = |item: &&Dependency| {
                    self.id(&item.name).is_some_and(|wanted| !self.can_be_met(package, wanted, Need::Dependency(item)))
                };
                if self.info(package).depends.iter().find(unmet).is_some() {
                    self.strike_out(package);
                }
            }
            if !self.packages[package].selectable {
                continue;
            }
            if check_companions {
                self.check_companion(package);
            }
            has_companion |= self.packages[package].companion_comes;
            has_no_companion &= self.packages[package].companion_fails;
            has_automatic |= self.packages[package].companion_comes;
            if self.names[name].requirers > 0 {
                self.packages[package].is_option = true;
                has_automatic |= self.is_automatic(own);
                options.push(own);
            }
        }
        let this = &mut self.names[name];
        this.has_options = options.len() > 1;
        (this.has_companion, this.has_no_companion) = (has_companion, has_no_companion);
        let again = std::mem::replace(&mut this.has_automatic, has_automatic) != has_automatic;
        if let Some(first) = options.first().copied() {
            for place in 0..self.names[name].providers.len() {
                let package = self.names[name].providers[place].package;
                self.packages[package].was_option = self.packages[package].is_option;
            }
            self.require_what_is_common(&options, first.package);
            self.strike_out_strangers(name, &options);
        }
        let wanted_by = &self.names[name].wanted_by;
        let is_open = |other: &usize| self.names[*other].is_met && self.names[*other].decided.is_none();
        self.names[name].is_settled = !wanted_by.iter().any(is_open);
        self.enqueue(name, again);
    }

    /// Requires a package if its install-if is satisfied by what is decided.
    fn check_companion(&mut self, package: usize) {
        let list = &self.info(package).install_if;
        if !self.packages[package].companion_comes && !self.packages[package].companion_fails {
            let (mut comes, mut fails) = (true, false);
            for item in list {
                let Some(name) = self.id(&item.name) else { continue };
                let Some(decided) = self.names[name].decided else {
                    if item.is_conflict() {
                        self.names[name].companion_asks = true;
                        self.enqueue(name, false);
                    }
                    comes = false;
                    break;
                };
                if !self.meets(Some(package), name, Need::Dependency(item), decided) {
                    (comes, fails) = (false, true);
                    break;
                }
            }
            (self.packages[package].companion_comes, self.packages[package].companion_fails) = (comes, fails);
        }
        if self.packages[package].companion_comes {
            for item in list {
                let decided = self.id(&item.name).and_then(|name| self.names[name].decided.flatten());
                if let Some(decided) = decided {
                    self.inherit(package, Some(decided.package));
                }
            }
        }
    }

    /// Requires what every option depends on, before one is chosen.
    fn require_what_is_common(&mut self, options: &[Provider<'a>], first: usize) {
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        for item in self.info(first).depends.iter().filter(|item| !item.is_conflict()) {
            let Some(name) = self.id(&item.name).filter(|name| seen.insert(*name)) else { continue };
            if options.len() == 1 {
                self.require(Some(first), name, Need::Dependency(item));
                continue;
            }
            let wants = |own: &Provider<'_>| {
                self.info(own.package).depends.iter().any(|other| !other.is_conflict() && other.name == item.name)
            };
            if self.names[name].requirers == 0 && options.iter().all(wants) {
                self.names[name].requirers += 1;
                self.requirers_changed(name);
                for place in 0..self.names[name].providers.len() {
                    let package = self.names[name].providers[place].package;
                    self.inherit(package, Some(first));
                }
            }
        }
    }

    /// If all options share another name, strikes out packages that have that name but not this one.
    fn strike_out_strangers(&mut self, name: usize, options: &[Provider<'a>]) {
        let mut common: Vec<usize> = Vec::new();
        for (other, _) in self.names_of(options[0].package) {
            if other != name && !common.contains(&other) {
                common.push(other);
            }
        }
        for other in common {
            let mut is_virtual = false;
            let shared = options.iter().all(|own| {
                let version = self.names_of(own.package).into_iter().find(|(known, _)| *known == other);
                // Under its own name a package has the version that it has under this one.
                let bears = self.info(own.package).name == self.names[other].text;
                is_virtual |= version.is_some_and(|(_, version)| if bears { own.version } else { version }.is_none());
                version.is_some()
            });
            if !shared {
                continue;
            }
            for place in 0..self.names[other].providers.len() {
                let own = self.names[other].providers[place];
                let is_ours =
                    |(known, version): &(usize, Option<&str>)| *known == name || is_virtual && version.is_none();
                let stays = !self.packages[own.package].selectable
                    || is_virtual && own.version.is_none()
                    || self.names_of(own.package).iter().any(is_ours);
                if !stays {
                    self.strike_out(own.package);
                }
            }
        }
    }

    /// A package that provides a name without a version is chosen for it only if it has a priority, or is required
    /// itself.
    fn is_automatic(&self, own: Provider<'_>) -> bool {
        let info = self.info(own.package);
        own.version.is_some()
            || info.provider_priority.is_some_and(|priority| priority > 0)
            || self.id(&info.name).is_some_and(|name| self.names[name].requirers > 0)
    }

    /// Which of two providers is preferred.
    fn compare(&self, a: Provider<'_>, b: Provider<'_>) -> Ordering {
        let (one, other) = (self.candidate(a.package), self.candidate(b.package));
        let (left, right) = (&self.packages[a.package], &self.packages[b.package]);
        let either = |of: fn(&Asks) -> bool| of(&left.asks) || of(&right.asks);
        let (upgrade, remove) = (either(|asks| asks.upgrade), either(|asks| asks.remove));
        let mut order = left.selectable.cmp(&right.selectable);
        order = order.then(left.was_option.cmp(&right.was_option)).then(right.conflicts.cmp(&left.conflicts));
        if either(|asks| asks.available) {
            order = order.then(one.available.cmp(&other.available));
        }
        let same_name = one.info.name == other.info.name;
        if !upgrade && !remove && (same_name || a.version.is_some() || b.version.is_some()) {
            order = order.then(one.installed.cmp(&other.installed));
        }
        order = order.then_with(|| match (a.version, b.version) {
            (Some(a), Some(b)) => compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        if same_name {
            order = order.then_with(|| compare(&one.info.version, &other.info.version));
        }
        order = order.then(one.info.provider_priority.unwrap_or(0).cmp(&other.info.provider_priority.unwrap_or(0)));
        if !remove {
            order = order.then(one.installed.cmp(&other.installed));
        }
        order.then(other.repository.cmp(&one.repository))
    }

    fn decide(&mut self, name: usize) {
        let mut best: Option<Provider<'a>> = None;
        let this = &self.names[name];
        if this.requirers > 0 || this.has_companion {
            for &own in &this.providers {
                let package = &self.packages[own.package];
                let uninvited = this.requirers == 0 && !(package.companion_comes && package.selectable);
                if !uninvited && self.is_automatic(own) && best.is_none_or(|best| self.compare(own, best).is_gt()) {
                    best = Some(own);
                }
            }
        }
        let Some(Provider { package, .. }) = best else {
            self.has_errors |= self.names[name].requirers > 0;
            self.assign(name, None);
            return;
        };
        if !self.packages[package].selectable {
            self.fail(package);
        }
        for (name, version) in self.names_of(package) {
            self.assign(name, Some(Provider { package, version }));
        }
        self.require_all(package);
    }

    fn fail(&mut self, package: usize) {
        self.packages[package].has_error = true;
        self.has_errors = true;
    }

    /// Decides that a package, or none, has this name.
    fn assign(&mut self, name: usize, provider: Option<Provider<'a>>) {
        if let Some(decided) = self.names[name].decided {
            // Several packages may have a name without a version.
            if provider.is_some_and(|own| own.version.is_some()) || decided.is_some_and(|own| own.version.is_some()) {
                provider.into_iter().chain(decided).for_each(|own| self.fail(own.package));
            }
            return;
        }
        self.dequeue(name);
        self.changed.retain(|other| *other != name);
        self.names[name].is_changed = false;
        self.names[name].decided = Some(provider);
        let comes_along =
            |own: Provider<'_>| self.names[name].requirers == 0 && self.packages[own.package].companion_comes;
        if let Some(own) = provider.filter(|own| comes_along(*own)) {
            for item in &self.info(own.package).install_if {
                if let Some(wanted) = self.id(&item.name).filter(|wanted| self.names[*wanted].decided.is_none()) {
                    self.require(Some(own.package), wanted, Need::Dependency(item));
                }
            }
        }
        let is_virtual = provider.is_none_or(|own| own.version.is_none());
        for place in 0..self.names[name].providers.len() {
            let other = self.names[name].providers[place];
            let same = provider.is_some_and(|own| own.package == other.package);
            if !(same || is_virtual && other.version.is_none()) {
                self.strike_out(other.package);
            }
        }
        self.wanted_by_changed(name);
        self.companions_changed(name);
        for (other, _) in provider.map(|own| self.names_of(own.package)).unwrap_or_default() {
            self.companions_changed(other);
        }
    }

    /// Collects what world reaches among the decided, and checks that it is consistent.
    fn result(mut self, world: &[(usize, Need<'_>)]) -> Decision {
        let mut is_good = !self.has_errors;
        let mut taken: Vec<usize> = Vec::new();
        let mut is_taken = vec![false; self.packages.len()];
        let mut open: Vec<(Option<usize>, usize, Need<'_>)> =
            world.iter().rev().map(|(name, need)| (None, *name, *need)).collect();
        loop {
            while let Some((by, name, need)) = open.pop() {
                let decided = self.names[name].decided.flatten();
                is_good &= self.meets(by, name, need, decided);
                if let Some(own) = decided.filter(|own| !std::mem::replace(&mut is_taken[own.package], true)) {
                    taken.push(own.package);
                    let depends = self.info(own.package).depends.iter();
                    let wanted = depends.filter_map(|item| Some((self.id(&item.name)?, Need::Dependency(item))));
                    open.extend(wanted.map(|(name, need)| (Some(own.package), name, need)));
                }
            }
            let comes = |own: &Provider<'_>| {
                let list = &self.info(own.package).install_if;
                let holds = |item: &Dependency| {
                    let Some(name) = self.id(&item.name) else { return item.is_conflict() };
                    let decided = self.names[name].decided.flatten().filter(|own| is_taken[own.package]);
                    self.meets(Some(own.package), name, Need::Dependency(item), decided)
                };
                !is_taken[own.package] && !list.is_empty() && list.iter().all(holds)
            };
            let companions: Vec<usize> = (0..self.names.len())
                .filter(|&name| self.names[name].decided.flatten().as_ref().is_some_and(comes))
                .collect();
            if companions.is_empty() {
                break;
            }
            for name in companions {
                if let Some(own) = self.names[name].decided.flatten()
                    && !std::mem::replace(&mut is_taken[own.package], true)
                {
                    taken.push(own.package);
                    let depends = self.info(own.package).depends.iter();
                    let wanted = depends.filter_map(|item| Some((self.id(&item.name)?, Need::Dependency(item))));
                    open.extend(wanted.map(|(name, need)| (Some(own.package), name, need)));
                }
            }
        }
        is_good &= !taken.iter().any(|&package| self.packages[package].has_error);
        let names = std::mem::take(&mut self.names);
        let chosen = names
            .into_iter()
            .filter_map(|name| Some((name.text.to_owned(), name.decided?.map(|own| own.package))))
            .collect();
        Decision { chosen, taken, is_good }
    }
}
