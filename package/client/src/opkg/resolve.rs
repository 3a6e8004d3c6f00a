//! Which packages a transaction consists of, decided before anything is fetched or written.
//!
//! Dependencies are followed depth first, so the plan lists each package after what it needs; where
//! there is a choice, the first alternative whose own dependencies hold is taken. The package `kernel`
//! is special: it names the kernel that runs, so it satisfies dependencies but is never installed or
//! replaced to satisfy one. This is what keeps modules of another kernel out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use formats::control::Control;
use formats::depend::{Dependency, Term};
use formats::version::opkg::compare;

use super::status::{Installed, State, Status};
use super::switches::Switches;
use crate::error::{Error, Result};

/// The package that stands for the running kernel.
const KERNEL: &str = "kernel";

/// Packages looked at before a plan counts as impossible: alternatives can nest without end.
const MAX_STEPS: usize = 10_000;

/// What the user named.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// A package of the lists, or something that packages provide.
    Name(String),
    /// A candidate that came as a file.
    Candidate(usize),
}

/// What will be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Candidates to install, in this order.
    pub(crate) install: Vec<usize>,
    /// Those of them that the user named.
    pub(crate) named: BTreeSet<usize>,
    /// Installed packages that only lack their configuration.
    pub(crate) configure: Vec<String>,
    /// Installed packages that were asked for and stay as they are.
    pub(crate) up_to_date: Vec<String>,
    /// Candidates that were given as files and are older than what is installed.
    pub(crate) older: Vec<usize>,
}

/// Everything the decision depends on.
pub(crate) struct Resolver<'a> {
    candidates: &'a [Control],
    installed: &'a Status,
    arches: &'a BTreeMap<String, u32>,
    switches: Switches,
    /// Names that the user gave: opkg prefers packages of those names whoever asks.
    given: BTreeSet<&'a str>,
    /// What the user asked for, for messages.
    top: String,
    /// Every candidate of the plan, also those whose dependencies are still being followed.
    chosen: Vec<usize>,
    order: Vec<usize>,
    /// Installed packages that the plan relies on and that lack their configuration.
    unconfigured: BTreeSet<String>,
    steps: usize,
}

/// Plans the installation of `requests`.
pub(crate) fn resolve(
    candidates: &[Control],
    installed: &Status,
    arches: &BTreeMap<String, u32>,
    switches: Switches,
    requests: &[Request],
) -> Result<Plan> {
    let given = requests.iter().filter_map(|request| match request {
        Request::Name(name) => Some(name.as_str()),
        Request::Candidate(_) => None,
    });
    let mut resolver = Resolver { given: given.collect(), ..Resolver::new(candidates, installed, arches, switches) };
    let mut plan = Plan::default();
    for request in requests {
        let (name, choices) = match request {
            Request::Candidate(index) => (candidates[*index].package.clone(), vec![*index]),
            Request::Name(name) => (name.clone(), resolver.choices_of_user(name)),
        };
        resolver.top = name.clone();
        match request {
            Request::Candidate(index) if name != KERNEL && resolver.is_older(*index) => {
                match switches.force_downgrade {
                    true => resolver.first_that_works(&choices)?,
                    false => plan.older.push(*index),
                }
            }
            _ => resolver.request(&name, &choices, &mut plan)?,
        }
        plan.named.extend(choices.into_iter().find(|index| resolver.chosen.contains(index)));
    }
    if switches.nodeps {
        resolver.order.retain(|index| plan.named.contains(index));
    } else if !switches.force_depends {
        resolver.check_the_others()?;
    }
    let replaced = resolver.replaced();
    plan.configure = resolver.unconfigured.difference(&replaced).cloned().collect();
    plan.install = resolver.order;
    Ok(plan)
}

/// The candidate that a user means by a name, whatever is installed.
pub(crate) fn best(
    candidates: &[Control],
    installed: &Status,
    arches: &BTreeMap<String, u32>,
    name: &str,
) -> Result<usize> {
    let resolver = Resolver::new(candidates, installed, arches, Switches::default());
    resolver.choices_of_user(name).first().copied().ok_or_else(|| resolver.unknown(name))
}

/// Whether a package is to be taken in place of another one.
fn replaces(control: &Control, other: &Control) -> bool {
    let names = control.stanza.get("Replaces").unwrap_or_default();
    let replaced = names.split(',').any(|item| item.split_whitespace().next() == Some(&other.package));
    replaced && control.package != other.package && control.conflicts.iter().any(|term| other.satisfies(term))
}

fn any_version(name: &str) -> Term {
    Term { name: name.to_owned(), constraint: None }
}

impl<'a> Resolver<'a> {
    fn new(
        candidates: &'a [Control],
        installed: &'a Status,
        arches: &'a BTreeMap<String, u32>,
        switches: Switches,
    ) -> Resolver<'a> {
        Resolver {
            candidates,
            installed,
            arches,
            switches,
            given: BTreeSet::new(),
            top: String::new(),
            chosen: Vec::new(),
            order: Vec::new(),
            unconfigured: BTreeSet::new(),
            steps: 0,
        }
    }

    fn request(&mut self, name: &str, choices: &[usize], plan: &mut Plan) -> Result<()> {
        let present = self.installed.usable(name);
        let newest = choices.iter().map(|&index| &self.candidates[index]).find(|control| control.package == name);
        if let Some(installed) = present {
            let newer = newest.filter(|newest| compare(&newest.version, &installed.control.version).is_gt());
            if name == KERNEL && newest.is_some_and(|newest| newest.version != installed.control.version) {
                let wanted = newest.map(|newest| newest.version.clone()).unwrap_or_default();
                return Err(Error::KernelHeld { installed: installed.control.version.clone(), wanted });
            }
            if newer.is_none() {
                match installed.state {
                    State::Installed => plan.up_to_date.push(name.to_owned()),
                    _ => {
                        self.unconfigured.insert(name.to_owned());
                    }
                }
                return Ok(());
            }
        } else if newest.is_none() && self.is_satisfied(&any_version(name)) {
            plan.up_to_date.push(name.to_owned());
            return Ok(());
        }
        if choices.is_empty() {
            return Err(self.unknown(name));
        }
        self.first_that_works(choices)
    }

    /// Whether a file holds an older version than the one that is installed.
    fn is_older(&self, index: usize) -> bool {
        let control = &self.candidates[index];
        let installed = self.installed.usable(&control.package);
        installed.is_some_and(|installed| compare(&control.version, &installed.control.version).is_lt())
    }

    /// Whether a version may take the place of the one that is installed.
    fn may_follow(&self, control: &Control, installed: &Installed) -> bool {
        let order = compare(&control.version, &installed.control.version);
        order.is_gt() || order.is_lt() && self.switches.force_downgrade
    }

    /// Follows the first of the candidates whose dependencies hold; else tells why the first failed.
    fn first_that_works(&mut self, choices: &[usize]) -> Result<()> {
        let mut first_error = None;
        for &index in choices {
            let (chosen, order) = (self.chosen.len(), self.order.len());
            match self.add(index) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.chosen.truncate(chosen);
                    self.order.truncate(order);
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn add(&mut self, index: usize) -> Result<()> {
        if self.chosen.contains(&index) {
            return Ok(());
        }
        let control = &self.candidates[index];
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(self.unmet(
                control,
                &control.package,
                "there are too many alternatives to try them all".into(),
            ));
        }
        if !self.arches.contains_key(&control.architecture) {
            return Err(self.wrong_architecture(control));
        }
        if let Some(other) = self.planned().find(|planned| planned.package == control.package) {
            let other = format!("itself in version {}", other.version);
            return Err(Error::Conflict { package: control.package.clone(), other });
        }
        if !self.switches.force_depends {
            self.check_conflicts(control)?;
        }
        self.chosen.push(index);
        for dependency in &control.depends {
            self.require(control, dependency)?;
        }
        self.order.push(index);
        Ok(())
    }

    fn require(&mut self, control: &Control, dependency: &Dependency) -> Result<()> {
        // What is only planned counts where it is the best choice, as with opkg; a kernel only when the user asked for it.
        let replaced = self.replaced();
        let is_there = |term: &Term| {
            self.installed.provider(term, &replaced).is_some()
                || term.name == KERNEL && self.planned().any(|control| control.satisfies(term))
        };
        if dependency.alternatives.iter().any(is_there) {
            let here = |term| self.installed.provider(term, &BTreeSet::new());
            let unpacked = dependency.alternatives.iter().filter_map(here).filter(|here| here.state == State::Unpacked);
            self.unconfigured.extend(unpacked.map(|here| here.control.package.clone()));
            return Ok(());
        }
        let choices: Vec<usize> = dependency
            .alternatives
            .iter()
            .filter(|term| term.name != KERNEL)
            .flat_map(|term| self.choices(term))
            .filter(|&index| self.may_replace(&self.candidates[index]))
            .collect();
        if choices.is_empty() {
            let problems: Vec<_> = dependency.alternatives.iter().map(|term| self.explain(term)).collect();
            return Err(self.unmet(control, &dependency.to_string(), problems.join("; ")));
        }
        self.first_that_works(&choices)
    }

    /// Candidates that satisfy the term and suit this system, in the order in which opkg sorts them. What another provider
    /// replaces is left out.
    fn providers(&self, term: &Term) -> Vec<usize> {
        let suits = |control: &&Control| control.satisfies(term) && self.arches.contains_key(&control.architecture);
        let all: Vec<&Control> = self.candidates.iter().filter(suits).collect();
        let is_replaced = |control: &Control| all.iter().any(|other| replaces(other, control));
        let mut providers: Vec<usize> = (0..self.candidates.len())
            .filter(|&index| suits(&&self.candidates[index]) && !is_replaced(&self.candidates[index]))
            .collect();
        providers.sort_by(|&a, &b| {
            let (a, b) = (&self.candidates[a], &self.candidates[b]);
            let versions = compare(&a.version, &b.version);
            a.package.cmp(&b.package).then(versions).then_with(|| self.priority(a).cmp(&self.priority(b)))
        });
        providers
    }

    fn priority(&self, control: &Control) -> u32 {
        self.arches.get(&control.architecture).copied().unwrap_or(0)
    }

    /// What may satisfy a dependency, best first, as with opkg: a point for the name itself, one for a name that the user
    /// gave; of those with the same score the last one.
    fn choices(&self, term: &Term) -> Vec<usize> {
        let score = |index: &usize| {
            let name = self.candidates[*index].package.as_str();
            u8::from(name == term.name) + u8::from(self.given.contains(name))
        };
        let mut choices = self.providers(term);
        choices.reverse();
        choices.sort_by_key(|index| Reverse(score(index)));
        choices
    }

    /// What may be meant by a name that the user gave, best first: the package of that name, or else the first of those
    /// that provide it for the preferred architecture.
    fn choices_of_user(&self, name: &str) -> Vec<usize> {
        let mut choices = self.providers(&any_version(name));
        if choices.iter().any(|&index| self.candidates[index].package == name) {
            choices.retain(|&index| self.candidates[index].package == name);
            choices.reverse();
        } else {
            choices.sort_by_key(|&index| Reverse(self.priority(&self.candidates[index])));
        }
        choices
    }

    /// Whether a dependency may bring this package in: nothing is downgraded unless forced, or taken twice.
    fn may_replace(&self, control: &Control) -> bool {
        let installed = self.installed.usable(&control.package);
        let stays = |installed| control.package == KERNEL || !self.may_follow(control, installed);
        let older = installed.is_some_and(stays);
        let other_version = self.planned().any(|planned| planned.package == control.package && planned != control);
        !older && !other_version
    }

    fn planned(&self) -> impl Iterator<Item = &'a Control> {
        let candidates = self.candidates;
        self.chosen.clone().into_iter().map(move |index| &candidates[index])
    }

    /// Names of installed packages that the plan replaces.
    fn replaced(&self) -> BTreeSet<String> {
        self.planned().map(|control| control.package.clone()).collect()
    }

    fn is_satisfied(&self, term: &Term) -> bool {
        self.planned().any(|control| control.satisfies(term))
            || self.installed.provider(term, &self.replaced()).is_some()
    }

    fn check_conflicts(&self, control: &Control) -> Result<()> {
        let replaced = self.replaced();
        let staying = self.installed.0.values().filter(|installed| installed.is_usable());
        let staying = staying.map(|installed| &installed.control).filter(|other| !replaced.contains(&other.package));
        for other in staying.chain(self.planned()).filter(|other| other.package != control.package) {
            let clash = |stating: &Control, hit: &Control| {
                stating.conflicts.iter().any(|term| hit.satisfies(term)).then(|| Error::Conflict {
                    package: stating.package.clone(),
                    other: format!("{} ({})", hit.package, hit.version),
                })
            };
            if let Some(error) = clash(control, other).or_else(|| clash(other, control)) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A new version of one package must not leave an installed one without what it needs.
    fn check_the_others(&mut self) -> Result<()> {
        let replaced = self.replaced();
        let staying = |installed: &&Installed| installed.is_usable() && !replaced.contains(&installed.control.package);
        for installed in self.installed.0.values().filter(staying) {
            for dependency in &installed.control.depends {
                let met_before = |term: &Term| self.installed.provider(term, &BTreeSet::new()).is_some();
                if dependency.alternatives.iter().any(met_before)
                    && !dependency.alternatives.iter().any(|term| self.is_satisfied(term))
                {
                    self.top = installed.control.package.clone();
                    let problem = "it is installed, and what it needs would be replaced".into();
                    return Err(self.unmet(&installed.control, &dependency.to_string(), problem));
                }
            }
        }
        Ok(())
    }

    fn unmet(&self, control: &Control, dependency: &str, problem: String) -> Error {
        let chain =
            if control.package == self.top { String::new() } else { format!(" (needed by {})", control.package) };
        Error::Dependency { package: self.top.clone(), dependency: dependency.into(), problem: problem + &chain }
    }

    fn unknown(&self, name: &str) -> Error {
        match self.candidates.iter().find(|control| control.package == name) {
            Some(control) => self.wrong_architecture(control),
            None => Error::Unknown {
                name: name.into(),
                problem: match self.candidates.is_empty() {
                    true => "no list of packages is there".into(),
                    false => "no list has a package of that name".into(),
                },
            },
        }
    }

    fn wrong_architecture(&self, control: &Control) -> Error {
        let known: Vec<_> = self.arches.keys().map(String::as_str).collect();
        Error::Architecture {
            package: control.package.clone(),
            arch: control.architecture.clone(),
            known: known.join(", "),
        }
    }

    /// What there is instead of what was wanted.
    fn explain(&self, term: &Term) -> String {
        let name = &term.name;
        let installed = self.installed.usable(name).map(|installed| &installed.control.version);
        match (name.as_str(), installed, &term.constraint) {
            (KERNEL, Some(version), Some(wanted)) => {
                return format!("this system runs the kernel {version}, and the package was built for {wanted}");
            }
            (KERNEL, None, _) => return "no kernel package is installed here that says which kernel runs".into(),
            (_, Some(version), _) => return format!("{name} {version} is installed and the lists have nothing better"),
            (_, None, _) => {}
        }
        let there: Vec<_> = self.candidates.iter().filter(|control| control.package == *name).collect();
        match there.iter().find(|control| !self.arches.contains_key(&control.architecture)) {
            Some(control) if there.len() == 1 => {
                format!("{name} is only there for the architecture {}", control.architecture)
            }
            _ if there.is_empty() => format!("no list has a package of the name {name}"),
            _ => {
                let versions: Vec<_> = there.iter().map(|control| control.version.as_str()).collect();
                format!("the lists have {name} in other versions only: {}", versions.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(text: &str) -> Control {
        // name version [architecture] [Field: value]…, separated by `;`
        let mut parts = text.split(';').map(str::trim);
        let head: Vec<_> = parts.next().unwrap().split(' ').collect();
        let mut stanza =
            format!("Package: {}\nVersion: {}\nArchitecture: {}\n", head[0], head[1], head.get(2).unwrap_or(&"all"));
        for field in parts {
            stanza += &format!("{field}\n");
        }
        Control::parse(stanza.as_bytes()).unwrap()
    }

    fn plan(offered: &[&str], installed: &[&str], wanted: &[&str]) -> Result<Vec<String>> {
        plan_with(Switches::default(), offered, installed, wanted)
    }

    fn plan_with(switches: Switches, offered: &[&str], installed: &[&str], wanted: &[&str]) -> Result<Vec<String>> {
        let candidates: Vec<_> = offered.iter().map(|text| control(text)).collect();
        let mut status = Status::default();
        for text in installed {
            let mut package = Installed::new(&control(text), true);
            package.state = State::Installed;
            status.0.insert(package.control.package.clone(), package);
        }
        let arches = [("all".to_owned(), 1), ("x86_64".to_owned(), 10)].into();
        let requests: Vec<_> = wanted.iter().map(|name| Request::Name((*name).to_owned())).collect();
        let plan = resolve(&candidates, &status, &arches, switches, &requests)?;
        Ok(plan
            .install
            .iter()
            .map(|&index| format!("{} {}", candidates[index].package, candidates[index].version))
            .collect())
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let offered = ["a 1; Depends: b, c", "b 1; Depends: c", "c 1", "d 1; Depends: a"];
        assert_eq!(plan(&offered, &[], &["d", "c"]).unwrap(), ["c 1", "b 1", "a 1", "d 1"]);
        assert_eq!(plan(&offered, &["c 1"], &["a"]).unwrap(), ["b 1", "a 1"]);
        assert!(plan(&offered, &["c 1"], &["c"]).unwrap().is_empty());
        let circle = ["a 1; Depends: b", "b 1; Depends: a"];
        assert_eq!(plan(&circle, &[], &["a"]).unwrap(), ["b 1", "a 1"]);
    }

    #[test]
    fn the_newest_version_of_the_best_architecture_is_taken() {
        let offered = ["a 1.9", "a 1.10 all", "a 1.10 x86_64; Depends: x", "x 1", "a 2 mips"];
        assert_eq!(plan(&offered, &[], &["a"]).unwrap(), ["x 1", "a 1.10"]);
        assert_eq!(plan(&["a 2"], &["a 1"], &["a"]).unwrap(), ["a 2"]);
        assert!(plan(&["a 1"], &["a 2"], &["a"]).unwrap().is_empty(), "no downgrade");
    }

    #[test]
    fn alternatives_provides_and_a_way_back() {
        let offered = [
            "a 1; Depends: gone | b",
            "b 1",
            "c 1; Depends: mail",
            "p 1; Provides: mail; Depends: gone",
            "q 1; Provides: mail",
        ];
        assert_eq!(plan(&offered, &[], &["a"]).unwrap(), ["b 1", "a 1"]);
        assert_eq!(plan(&offered, &[], &["c"]).unwrap(), ["q 1", "c 1"], "p cannot be installed");
        assert_eq!(plan(&offered, &["r 1; Provides: mail"], &["c"]).unwrap(), ["c 1"]);
        assert_eq!(plan(&offered, &[], &["mail"]).unwrap(), ["q 1"]);
    }

    #[test]
    fn providers_are_ranked_as_opkg_ranks_them() {
        let any = ["a 9; Provides: v", "b 1; Provides: v", "n 1; Depends: v", "v 1; Provides: w"];
        assert_eq!(plan(&any[..3], &[], &["n"]).unwrap(), ["b 1", "n 1"], "the last name, not the newest version");
        assert_eq!(plan(&any, &[], &["n"]).unwrap(), ["v 1", "n 1"], "its own name");
        assert_eq!(plan(&any[..3], &[], &["v"]).unwrap(), ["a 9"], "the first, when the user asks");
        assert_eq!(plan(&any[..3], &[], &["a", "n"]).unwrap(), ["a 9", "n 1"]);
        let newer = ["old 1", "new 1; Provides: old; Conflicts: old; Replaces: old", "n 1; Depends: old"];
        assert_eq!(plan(&newer, &[], &["n"]).unwrap(), ["new 1", "n 1"]);
        assert_eq!(plan(&newer, &[], &["old"]).unwrap(), ["new 1"]);
        let versioned = ["x 1; Provides: v=1", "n 1; Depends: v"];
        assert_eq!(plan(&versioned, &[], &["n"]).unwrap_err().id(), "OPKG016", "nobody finds v");
    }

    #[test]
    fn a_dependency_may_upgrade_but_not_downgrade() {
        assert_eq!(plan(&["a 1; Depends: b (>= 2)", "b 2"], &["b 1"], &["a"]).unwrap(), ["b 2", "a 1"]);
        let error = plan(&["a 1; Depends: b (= 1)", "b 1"], &["b 2"], &["a"]).unwrap_err();
        assert!(error.id() == "OPKG016" && error.line().contains("b 2 is installed"), "{}", error.line());
        let error = plan(&["b 2"], &["b 1", "c 1; Depends: b (= 1)"], &["b"]).unwrap_err();
        assert!(error.id() == "OPKG016" && error.line().contains("dependency b (=1) for c"), "{}", error.line());
    }

    #[test]
    fn forced_is_what_opkg_forces_and_no_more() {
        let depends = Switches { force_depends: true, ..Switches::default() };
        assert_eq!(plan_with(depends, &["a 1; Conflicts: b"], &["b 1"], &["a"]).unwrap(), ["a 1"]);
        assert_eq!(plan_with(depends, &["b 2"], &["b 1", "c 1; Depends: b (= 1)"], &["b"]).unwrap(), ["b 2"]);
        let nodeps = Switches { nodeps: true, ..Switches::default() };
        assert_eq!(plan_with(nodeps, &["a 1; Depends: b", "b 1"], &[], &["a"]).unwrap(), ["a 1"]);
        let of_kernel = ["kmod 1; Depends: kernel (= 2)", "top 1; Depends: gone"];
        for switches in [depends, nodeps] {
            for wanted in ["kmod", "top"] {
                let error = plan_with(switches, &of_kernel, &["kernel 1"], &[wanted]).unwrap_err();
                assert_eq!(error.id(), "OPKG016", "{wanted}: what is needed must be there");
            }
        }
        // By name it is the installed version that counts as the newest; a dependency may go back.
        let downgrade = Switches { force_downgrade: true, ..Switches::default() };
        let offered = ["a 1; Depends: b (= 1)", "b 1"];
        assert_eq!(plan_with(downgrade, &offered, &["b 2"], &["a"]).unwrap(), ["b 1", "a 1"]);
        assert!(plan_with(downgrade, &offered, &["b 2"], &["b"]).unwrap().is_empty());
        let kernel = ["a 1; Depends: kernel (= 1)", "kernel 1"];
        assert_eq!(plan_with(downgrade, &kernel, &["kernel 2"], &["a"]).unwrap_err().id(), "OPKG016");
    }

    #[test]
    fn a_module_of_another_kernel_is_refused_and_both_are_named() {
        let offered =
            ["kernel 6.12.2~bb-r1", "top 1; Depends: kmod", "kmod 6.12.2-r1; Depends: kernel (=6.12.2~bb-r1)"];
        for (installed, word) in [(&["kernel 6.12.1~aa-r1"][..], "6.12.1~aa-r1"), (&[], "no kernel package")] {
            for wanted in ["kmod", "top"] {
                let line = plan(&offered, installed, &[wanted]).unwrap_err().line();
                let what = format!("cannot find dependency kernel (=6.12.2~bb-r1) for {wanted}");
                assert!(line.starts_with(&format!("[OPKG016] {what}")) && line.contains(word), "{line}");
            }
        }
        let error = plan(&offered, &["kernel 6.12.1~aa-r1"], &["kernel"]).unwrap_err();
        assert!(error.id() == "OPKG019" && error.line().contains("6.12.1~aa-r1"), "{}", error.line());
        assert_eq!(plan(&offered, &[], &["kernel", "top"]).unwrap().len(), 3, "unless it is asked for by name");
    }

    #[test]
    fn what_cannot_be_installed_says_why() {
        for (offered, installed, id, words) in [
            (&[][..], &[][..], "OPKG015", "Unknown package 'a': no list of packages"),
            (&["b 1"], &[], "OPKG015", "Unknown package 'a': no list has"),
            (&["a 1 mips"], &[], "OPKG017", "accepts all, x86_64"),
            (&["a 1; Depends: b", "b 1 mips"], &[], "OPKG016", "only there for the architecture mips"),
            (&["a 1; Depends: b (>= 3)", "b 1", "b 2"], &[], "OPKG016", "in other versions only: 1, 2"),
            (
                &["a 1; Depends: b", "b 1; Depends: c"],
                &[],
                "OPKG016",
                "dependency c for a: no list has a package of the name c (needed by b)",
            ),
            (&["a 1; Conflicts: b"], &["b 1"], "OPKG018", "a conflicts with b (1)"),
            (&["a 1"], &["b 1; Conflicts: a"], "OPKG018", "b conflicts with a (1)"),
        ] {
            let line = plan(offered, installed, &["a"]).unwrap_err().line();
            assert!(line.starts_with(&format!("[{id}]")) && line.contains(words), "{line}");
        }
    }

    #[test]
    fn alternatives_without_end_stop() {
        let mut offered = vec!["end 1; Depends: gone".to_owned()];
        for level in 0..40 {
            let below = if level == 0 { "end".to_owned() } else { format!("x{}", level - 1) };
            offered.push(format!("l{level} 1; Provides: x{level}; Depends: {below}"));
            offered.push(format!("r{level} 1; Provides: x{level}; Depends: {below}"));
        }
        let offered: Vec<_> = offered.iter().map(String::as_str).collect();
        assert_eq!(plan(&offered, &[], &["x39"]).unwrap_err().id(), "OPKG016");
    }
}
