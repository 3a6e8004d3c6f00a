//! The graph of names: who provides them, who depends on them, and in which order they are found.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::super::Problem;
use super::{Deduction, Name, Package, Provider};

impl<'a> Deduction<'a> {
    pub(super) fn new(problem: &'a Problem<'a>) -> Deduction<'a> {
        let packages = problem.candidates.iter().map(|_| Package::default()).collect();
        let mut deduction = Deduction {
            problem,
            ids: HashMap::new(),
            names: Vec::new(),
            packages,
            changed: VecDeque::new(),
            now: VecDeque::new(),
            selectable: BTreeSet::new(),
            rest: BTreeSet::new(),
            met: 0,
            has_errors: false,
        };
        for (package, candidate) in problem.candidates.iter().enumerate() {
            let info = candidate.info;
            let own = deduction.intern(&info.name);
            deduction.names[own].providers.push(Provider { package, version: Some(&info.version) });
            for provide in &info.provides {
                let name = deduction.intern(&provide.name);
                deduction.names[name].providers.push(Provider { package, version: provide.version.as_deref() });
            }
        }
        for name in 0..deduction.names.len() {
            let packages: Vec<usize> = deduction.names[name].providers.iter().map(|own| own.package).collect();
            for package in packages {
                let info = deduction.info(package);
                for (list, companions) in [(&info.depends, false), (&info.install_if, true)] {
                    for item in list {
                        let wanted = deduction.intern(&item.name);
                        let wanted = &mut deduction.names[wanted];
                        let list = if companions { &mut wanted.companions } else { &mut wanted.wanted_by };
                        // The names of one package are added one after another, so a repetition is always the last
                        // entry.
                        if list.last() != Some(&name) {
                            list.push(name);
                        }
                    }
                }
            }
        }
        for given in problem.given {
            if let Some(&name) = deduction.ids.get(given.as_str()) {
                deduction.names[name].is_given = true;
                for place in 0..deduction.names[name].providers.len() {
                    let package = deduction.names[name].providers[place].package;
                    deduction.packages[package].asks.join(problem.asks);
                    deduction.packages[package].passed_on.join(problem.passed_on);
                }
            }
        }
        deduction
    }

    pub(super) fn intern(&mut self, text: &'a str) -> usize {
        let (ids, names) = (&mut self.ids, &mut self.names);
        *ids.entry(text).or_insert_with(|| {
            names.push(Name { text, ..Name::default() });
            names.len() - 1
        })
    }

    pub(super) fn id(&self, text: &str) -> Option<usize> {
        self.ids.get(text).copied()
    }

    /// The names of a package, its own first.
    pub(super) fn names_of(&self, package: usize) -> Vec<(usize, Option<&'a str>)> {
        let info = self.info(package);
        let provided = info.provides.iter().map(|item| (item.name.as_str(), item.version.as_deref()));
        let all = std::iter::once((info.name.as_str(), Some(info.version.as_str()))).chain(provided);
        all.filter_map(|(name, version)| Some((self.id(name)?, version))).collect()
    }

    /// Visits a name and everything reachable from it, and numbers them in apk's order.
    pub(super) fn meet(&mut self, first: usize) {
        enum Task {
            Name(usize),
            Package(usize),
            Place(usize),
        }
        let mut tasks = vec![Task::Name(first)];
        while let Some(task) = tasks.pop() {
            let mut next: Vec<Task> = Vec::new();
            match task {
                Task::Name(name) if self.names[name].is_met => {}
                Task::Name(name) => {
                    self.names[name].is_met = true;
                    let packages: Vec<usize> = self.names[name].providers.iter().map(|own| own.package).collect();
                    next.extend(packages.iter().map(|&package| Task::Package(package)));
                    next.extend(self.names[name].companions.iter().map(|&name| Task::Name(name)));
                    for &package in &packages {
                        let info = self.info(package);
                        let own = self.id(&info.name).map(|own| &self.names[own].companions);
                        next.extend(own.into_iter().flatten().map(|&name| Task::Name(name)));
                        next.extend(info.provides.iter().filter_map(|item| self.id(&item.name)).map(Task::Name));
                    }
                    next.push(Task::Place(name));
                    let install_if = packages.iter().flat_map(|&package| &self.info(package).install_if);
                    next.extend(install_if.filter_map(|item| self.id(&item.name)).map(Task::Name));
                }
                Task::Package(package) if self.packages[package].is_met => {}
                Task::Package(package) => {
                    let info = self.info(package);
                    let selectable = self.problem.obstacle(self.candidate(package)).is_none();
                    let known = &mut self.packages[package];
                    known.is_met = true;
                    known.selectable = selectable;
                    known.companion_fails = info.install_if.is_empty();
                    next.extend(info.depends.iter().filter_map(|item| self.id(&item.name)).map(Task::Name));
                }
                Task::Place(name) => {
                    self.met += 1;
                    let packages = &self.packages;
                    let fails = |own: &Provider<'_>| packages[own.package].companion_fails;
                    let this = &self.names[name];
                    let bears = |own: &Provider<'_>| self.info(own.package).name == this.text;
                    let (has_no, borne) = (this.providers.iter().all(fails), this.providers.iter().any(bears));
                    let this = &mut self.names[name];
                    this.has_no_companion = has_no;
                    this.order = (this.is_given, borne, self.met);
                }
            }
            tasks.extend(next.into_iter().rev());
        }
    }
}
