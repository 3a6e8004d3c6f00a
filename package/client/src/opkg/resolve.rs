//! Decides which packages a transaction installs, before anything is fetched or written.
//!
//! [`choose`] chooses as opkg does; the plan lists each package after those that it needs. The package `kernel` is
//! special: it stands for the running kernel, so it satisfies dependencies but is never installed or replaced to
//! satisfy one. This keeps out modules of another kernel.

mod choose;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use formats::control::Control;
use formats::depend::Term;
use formats::version::opkg::compare;

pub(crate) use self::choose::Reading;
use self::choose::{Chooser, Unmet};
use super::status::{Installed, State, Status};
use super::switches::Switches;
use crate::error::{Error, Result};

/// The package that stands for the running kernel.
const KERNEL: &str = "kernel";

/// What the user asked for.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// A package in the lists, or a name that packages provide.
    Name(String),
    /// A file, by its position among the candidates.
    Candidate(usize),
}

/// What a transaction will do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Candidates to install, in this order.
    pub(crate) install: Vec<usize>,
    /// Those of them that the user named.
    pub(crate) named: BTreeSet<usize>,
    /// Installed packages whose `postinst` still has to run.
    pub(crate) configure: Vec<String>,
    /// Names and versions of requested packages that do not change.
    pub(crate) up_to_date: Vec<(String, String)>,
    /// Files that are older than the installed version.
    pub(crate) older: Vec<usize>,
}

/// The state of a decision.
struct Resolver<'a> {
    candidates: &'a [Control],
    installed: &'a Status,
    arches: &'a BTreeMap<String, u32>,
    switches: Switches,
    chooser: Chooser<'a>,
    /// The package that the user asked for, for messages.
    top: String,
    /// Packages of the plan, by their positions in the chooser, each after those that it needs.
    order: Vec<usize>,
    /// Those packages, and others that will follow.
    wanted: BTreeSet<usize>,
}

/// Plans the installation of `requests`.
pub(crate) fn resolve(
    candidates: &[Control],
    installed: &Status,
    arches: &BTreeMap<String, u32>,
    switches: Switches,
    requests: &[Request],
    reading: Reading,
) -> Result<Plan> {
    let (mut given, mut by_hand) = (BTreeSet::new(), BTreeSet::new());
    for request in requests {
        match request {
            Request::Name(name) => given.insert(name.as_str()),
            Request::Candidate(index) => by_hand.insert(*index),
        };
    }
    let mut resolver = Resolver::new(candidates, installed, arches, switches, given, &by_hand, reading);
    let mut plan = Plan::default();
    for request in requests {
        let chosen = match request {
            Request::Name(name) => resolver.of_name(name, &mut plan)?,
            Request::Candidate(index) => resolver.of_file(*index, &mut plan)?,
        };
        if let Some(package) = chosen {
            resolver.install(package)?;
            plan.named.extend(resolver.chooser.packages[package].candidate);
        }
    }
    if !switches.force_depends && !switches.nodeps {
        resolver.check_the_others()?;
    }
    plan.configure.extend(resolver.unconfigured());
    plan.install = resolver.order.iter().filter_map(|&package| resolver.chooser.packages[package].candidate).collect();
    Ok(plan)
}

/// The candidate that a user means by a name, whatever is installed.
pub(crate) fn best<'a>(
    candidates: &'a [Control],
    installed: &'a Status,
    arches: &'a BTreeMap<String, u32>,
    name: &'a str,
) -> Result<usize> {
    let given = BTreeSet::from([name]);
    let (switches, none) = (Switches::default(), BTreeSet::new());
    let mut resolver = Resolver::new(candidates, installed, arches, switches, given, &none, Reading::Whole);
    let meant = resolver.chooser.meant(name).and_then(|package| resolver.chooser.packages[package].candidate);
    meant.ok_or_else(|| resolver.unknown(name))
}

impl<'a> Resolver<'a> {
    fn new(
        candidates: &'a [Control],
        installed: &'a Status,
        arches: &'a BTreeMap<String, u32>,
        switches: Switches,
        given: BTreeSet<&'a str>,
        by_hand: &BTreeSet<usize>,
        reading: Reading,
    ) -> Resolver<'a> {
        let chooser = Chooser::new(candidates, installed, arches, given, by_hand, reading);
        let (top, order, wanted) = (String::new(), Vec::new(), BTreeSet::new());
        Resolver { candidates, installed, arches, switches, chooser, top, order, wanted }
    }

    /// The package to install for a name; `None` when it is already installed.
    fn of_name(&mut self, name: &str, plan: &mut Plan) -> Result<Option<usize>> {
        self.top = name.to_owned();
        let meant = self.chooser.meant(name);
        let there = self.chooser.taken_for(name);
        let Some(package) = meant else {
            return match there {
                // The lists have nothing better, and a dependency that it lacks was missing before.
                Some(there) => Ok(self.leave(there, plan)),
                None => Err(self.unknown(name)),
            };
        };
        let control = self.chooser.control(package);
        if let Some(place) = there {
            let there = self.chooser.control(place);
            if name == KERNEL && control.version != there.version {
                return Err(Error::KernelHeld { installed: there.version.clone(), wanted: control.version.clone() });
            }
            if !compare(&control.version, &there.version).is_gt() {
                return Ok(self.leave(place, plan));
            }
        }
        if self.order.contains(&package) {
            return Err(Error::GivenTwice { name: name.to_owned(), package: control.package.clone() });
        }
        match self.chooser.packages[package].is_there {
            true => Ok(self.leave(package, plan)),
            false => Ok(Some(package)),
        }
    }

    /// Notes that the requested package is already installed, or will be.
    fn leave(&self, package: usize, plan: &mut Plan) -> Option<usize> {
        let control = self.chooser.control(package);
        match self.installed.usable(&control.package).map(|installed| installed.state) {
            Some(State::Unpacked) => plan.configure.push(control.package.clone()),
            _ => plan.up_to_date.push((control.package.clone(), control.version.clone())),
        }
        None
    }

    /// The package to install for a file; `None` when this version or a newer one is installed.
    fn of_file(&mut self, index: usize, plan: &mut Plan) -> Result<Option<usize>> {
        let control = &self.candidates[index];
        let name = &control.package;
        self.top = name.clone();
        let package = self.chooser.of_candidate(index).ok_or_else(|| self.wrong_architecture(control))?;
        let Some(place) = self.chooser.there(name) else { return Ok(Some(package)) };
        let there = self.chooser.control(place);
        if name == KERNEL && control.version != there.version {
            return Err(Error::KernelHeld { installed: there.version.clone(), wanted: control.version.clone() });
        }
        match compare(&control.version, &there.version) {
            Ordering::Equal => Ok(self.leave(place, plan)),
            Ordering::Less if name != KERNEL && !self.switches.force_downgrade => {
                plan.older.push(index);
                Ok(None)
            }
            _ => Ok(Some(package)),
        }
    }

    /// Adds a package to the plan, with everything that it needs.
    fn install(&mut self, package: usize) -> Result<()> {
        self.admit(package)?;
        let (coming, lost) = match self.switches.nodeps {
            true => (Vec::new(), Vec::new()),
            false => self.chooser.follow(package),
        };
        if let Some(unmet) = lost.first() {
            return Err(self.unmet(*unmet));
        }
        self.wanted.extend(&coming);
        // In a dependency cycle the package is among its own dependencies, and comes in its turn.
        for needed in coming {
            if !self.order.contains(&needed) {
                self.admit(needed)?;
                self.take(needed)?;
            }
        }
        if self.order.contains(&package) { Ok(()) } else { self.take(package) }
    }

    /// Checks, before the dependencies of a package are followed, that it may come in place of what is there.
    fn admit(&mut self, package: usize) -> Result<()> {
        let control = self.chooser.control(package);
        if let Some(there) = self.chooser.there(&control.package).map(|there| self.chooser.control(there))
            && compare(&control.version, &there.version).is_lt()
            && !self.switches.force_downgrade
        {
            let problem = format!("{} {} is installed and the lists have nothing better", there.package, there.version);
            let dependency = format!("{} (={})", control.package, control.version);
            return Err(Error::Dependency { package: self.top.clone(), dependency, problem });
        }
        self.wanted.insert(package);
        if self.switches.force_depends { Ok(()) } else { self.check_conflicts(control) }
    }

    fn take(&mut self, package: usize) -> Result<()> {
        let control = self.chooser.control(package);
        if let Some(other) = self.planned().find(|planned| planned.package == control.package) {
            let other = format!("itself in version {}", other.version);
            return Err(Error::Conflict { package: control.package.clone(), other });
        }
        self.chooser.bring(package);
        self.order.push(package);
        Ok(())
    }

    fn planned(&self) -> impl Iterator<Item = &'a Control> {
        self.order.iter().map(|&package| self.chooser.control(package))
    }

    /// Names of installed packages that the plan replaces.
    fn replaced(&self) -> BTreeSet<String> {
        self.planned().map(|control| control.package.clone()).collect()
    }

    /// Installed packages that the plan depends on and whose `postinst` still has to run.
    fn unconfigured(&self) -> Vec<String> {
        let replaced = self.replaced();
        let needed = self.planned().flat_map(|control| &control.depends).flat_map(|need| &need.alternatives);
        let needed: Vec<&Term> = needed.collect();
        let unpacked = self.installed.0.values().filter(|installed| installed.state == State::Unpacked);
        let unpacked = unpacked.map(|installed| &installed.control).filter(|here| !replaced.contains(&here.package));
        let is_needed = |here: &&Control| needed.iter().any(|term| here.satisfies(term));
        unpacked.filter(is_needed).map(|here| here.package.clone()).collect()
    }

    fn is_satisfied(&self, term: &Term) -> bool {
        self.planned().any(|control| control.satisfies(term))
            || self.installed.provider(term, &self.replaced()).is_some()
    }

    /// As opkg, it looks only at what the new package itself says, and only at packages that bear the name: those that
    /// are installed, its own older version among them, and those that come in the same transaction, itself included.
    fn check_conflicts(&self, control: &Control) -> Result<()> {
        let replaced = self.replaced();
        let installed = self.installed.0.values().filter(|installed| installed.is_usable());
        let staying = installed.map(|installed| &installed.control).filter(|other| !replaced.contains(&other.package));
        let coming = self.wanted.iter().map(|&package| self.chooser.control(package));
        for other in staying.chain(coming) {
            if control.conflicts.iter().any(|term| term.accepts(&other.package, &other.version)) {
                let other = format!("{} ({})", other.package, other.version);
                return Err(Error::Conflict { package: control.package.clone(), other });
            }
        }
        Ok(())
    }

    /// Checks that no new version breaks the dependencies of an installed package.
    fn check_the_others(&self) -> Result<()> {
        let replaced = self.replaced();
        let staying = |installed: &&Installed| installed.is_usable() && !replaced.contains(&installed.control.package);
        for installed in self.installed.0.values().filter(staying) {
            for dependency in &installed.control.depends {
                let met_before = |term: &Term| self.installed.provider(term, &BTreeSet::new()).is_some();
                if dependency.alternatives.iter().any(met_before)
                    && !dependency.alternatives.iter().any(|term| self.is_satisfied(term))
                {
                    let problem = "it is installed, and a package that it needs would be replaced".into();
                    let (package, dependency) = (installed.control.package.clone(), dependency.to_string());
                    return Err(Error::Dependency { package, dependency, problem });
                }
            }
        }
        Ok(())
    }

    fn unmet(&self, unmet: Unmet) -> Error {
        let control = self.chooser.control(unmet.package);
        let dependency = &control.depends[unmet.dependency];
        let problems: Vec<_> = dependency.alternatives.iter().map(|term| self.explain(term)).collect();
        let chain =
            if control.package == self.top { String::new() } else { format!(" (needed by {})", control.package) };
        let problem = problems.join("; ") + &chain;
        Error::Dependency { package: self.top.clone(), dependency: dependency.to_string(), problem }
    }

    fn unknown(&self, name: &str) -> Error {
        if let Some(unmet) = self.chooser.missing(name) {
            return self.unmet(unmet);
        }
        match self.candidates.iter().find(|control| control.package == name) {
            Some(control) => self.wrong_architecture(control),
            None => Error::Unknown {
                name: name.into(),
                problem: match self.candidates.is_empty() {
                    true => "there is no list of packages".into(),
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

    /// Describes what is available instead of what was wanted.
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
                format!("{name} is only available for the architecture {}", control.architecture)
            }
            _ if there.is_empty() => format!("no list has a package named {name}"),
            _ => {
                let versions: Vec<_> = there.iter().map(|control| control.version.as_str()).collect();
                format!("the lists have only other versions of {name}: {}", versions.join(", "))
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
        let plan = resolve(&candidates, &status, &arches, switches, &requests, Reading::AsNeeded)?;
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
        assert_eq!(plan(&circle, &[], &["a"]).unwrap(), ["a 1", "b 1"]);
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

    /// Each case was tried with real opkg.
    #[test]
    fn nobody_goes_back_to_an_older_version_or_another_provider() {
        let kernels = ["kmod 1; Depends: kernel (= 1)", "kmod 2; Depends: kernel (= 2)"];
        assert_eq!(plan(&kernels, &["kernel 1"], &["kmod"]).unwrap_err().id(), "OPKG016", "the newest one is meant");
        let swapped = [kernels[1], kernels[0]];
        assert_eq!(plan(&swapped, &["kernel 1"], &["kmod"]).unwrap(), ["kmod 1"], "the first one was looked at");
        assert_eq!(plan(&["e 1", "e 2; Depends: gone"], &[], &["e"]).unwrap_err().id(), "OPKG016");
        let deep = ["n 1; Depends: v", "a 1; Provides: v", "b 1; Provides: v", "b 2; Depends: gone; Provides: v"];
        assert_eq!(plan(&deep, &[], &["n"]).unwrap_err().id(), "OPKG016", "b is the last one that provides it");
        let lists = ["b 2; Depends: gone; Provides: v", "b 1; Provides: v"];
        for lists in [lists, [lists[1], lists[0]]] {
            assert_eq!(plan(&lists, &[], &["v"]).unwrap(), ["b 1"]);
        }
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
        // For a name, the installed version counts as the newest; a dependency may be downgraded.
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
            (&[][..], &[][..], "OPKG015", "Unknown package 'a': there is no list of packages"),
            (&["b 1"], &[], "OPKG015", "Unknown package 'a': no list has"),
            (&["a 1 mips"], &[], "OPKG017", "accepts all, x86_64"),
            (&["a 1; Depends: b", "b 1 mips"], &[], "OPKG016", "only available for the architecture mips"),
            (&["a 1; Depends: b (>= 3)", "b 1", "b 2"], &[], "OPKG016", "only other versions of b: 1, 2"),
            (
                &["a 1; Depends: b", "b 1; Depends: c"],
                &[],
                "OPKG016",
                "dependency c for a: no list has a package named c (needed by b)",
            ),
            (&["a 1; Conflicts: b"], &["b 1"], "OPKG018", "a conflicts with b (1)"),
            (&["a 1; Conflicts: a (<= 1)"], &[], "OPKG018", "a conflicts with a (1)"),
            (&["a 2; Conflicts: a (<< 2)"], &["a 1"], "OPKG018", "a conflicts with a (1)"),
            (&["a 1; Depends: b, c", "b 1; Conflicts: c", "c 1"], &[], "OPKG018", "b conflicts with c (1)"),
        ] {
            let line = plan(offered, installed, &["a"]).unwrap_err().line();
            assert!(line.starts_with(&format!("[{id}]")) && line.contains(words), "{line}");
        }
    }

    /// Each case was tried with real opkg.
    #[test]
    fn only_what_the_new_package_says_is_a_conflict() {
        assert_eq!(plan(&["a 1"], &["b 1; Conflicts: a"], &["a"]).unwrap(), ["a 1"]);
        assert_eq!(plan(&["a 1; Conflicts: v"], &["b 1; Provides: v"], &["a"]).unwrap(), ["a 1"], "b only provides it");
        let its_own = ["a 1; Depends: b; Conflicts: b", "b 1"];
        assert_eq!(plan(&its_own, &[], &["a"]).unwrap(), ["b 1", "a 1"], "b is not there when a is looked at");
        assert_eq!(plan(&its_own, &[], &["b", "a"]).unwrap_err().id(), "OPKG018");
    }

    /// Each case was tried with real opkg.
    #[test]
    fn a_second_name_of_what_has_just_come_is_a_failure() {
        let offered = ["d 1; Provides: g", "g 3; Depends: gone"];
        let error = plan(&offered, &[], &["d", "g"]).unwrap_err();
        assert!(error.id() == "OPKG020" && error.line().contains("d is already installed"), "{}", error.line());
        assert_eq!(plan(&offered, &["d 1; Provides: g"], &["d", "g"]).unwrap(), [""; 0], "it was there before");
        assert_eq!(plan(&offered[..1], &[], &["d", "g"]).unwrap(), ["d 1"], "the first one listed is asked for");
        let two = ["d 2; Provides: v", "e 3; Provides: v"];
        assert_eq!(
            plan(&two, &[], &["d", "e", "v"]).unwrap_err().id(),
            "OPKG020",
            "e is newer than what is listed first"
        );
        assert_eq!(plan(&two, &two, &["v"]).unwrap(), [""; 0]);
        assert_eq!(plan(&[two[1], two[0]], &[], &["d", "e", "v"]).unwrap().len(), 2);
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
