//! Packages that may be installed together on one machine, and their dependencies on each other.

use std::collections::{BTreeSet, HashMap, HashSet};

use model::Format;

use crate::opened::{Opened, module_name};

/// Packages of one format for one architecture, with those for all architectures.
pub(super) struct Set<'a> {
    pub(super) subjects: Vec<&'a Opened>,
    /// Positions of the packages that have or provide a name.
    names: HashMap<&'a str, Vec<usize>>,
    /// Modules that are built into the kernel, if its package is given and lists them.
    builtin: HashSet<String>,
    /// Modules in the set, and modules that others in the set need.
    modules: HashSet<String>,
    needed: HashSet<String>,
}

/// Everything that a package pulls in.
pub(super) struct Reach {
    /// Positions of packages in the set, the package itself included.
    packages: HashSet<usize>,
    /// Whether unknown packages are pulled in too, which could have any library.
    pub(super) has_unknown_libraries: bool,
    /// Whether unknown packages are pulled in that could have any kernel module.
    pub(super) has_unknown_modules: bool,
}

/// Packages of every image; they have no modules, and no libraries except the C library's own.
const BASE: [&str; 3] = ["kernel", "libc", "base-files"];

impl<'a> Set<'a> {
    /// One set for each format and architecture.
    pub(super) fn all(subjects: &[&'a Opened]) -> Vec<Self> {
        let mut sets = Vec::new();
        for format in Format::ALL {
            let here: Vec<_> = subjects.iter().copied().filter(|subject| subject.format == format).collect();
            let special = here.iter().map(|subject| subject.architecture.as_str()).filter(|name| *name != "all");
            let mut architectures: BTreeSet<&str> = special.collect();
            if architectures.is_empty() {
                architectures.insert("all");
            }
            for name in architectures {
                let fits = |subject: &&&Opened| subject.architecture == name || subject.architecture == "all";
                sets.push(Set::new(here.iter().filter(fits).copied().collect()));
            }
        }
        sets
    }

    fn new(subjects: Vec<&'a Opened>) -> Self {
        let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
        let (mut builtin, mut modules, mut needed) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (position, subject) in subjects.iter().enumerate() {
            let own = std::iter::once(&subject.name).chain(&subject.provides);
            for name in own.collect::<BTreeSet<_>>() {
                names.entry(name.as_str()).or_default().push(position);
            }
            for (name, _, info) in subject.modules() {
                modules.insert(name);
                let depends = info.iter().flat_map(|info| &info.depends);
                needed.extend(depends.map(|name| module_name(name)));
            }
            let lists = subject.files.iter().filter(|file| file.entry.path.ends_with("/modules.builtin"));
            for line in lists.filter_map(|file| file.facts.text.as_deref()).flat_map(str::lines) {
                let name = line.rsplit('/').next().unwrap_or(line);
                builtin.insert(module_name(name.strip_suffix(".ko").unwrap_or(name)));
            }
        }
        Set { subjects, names, builtin, modules, needed }
    }

    /// Whether a module is built into the kernel.
    pub(super) fn is_builtin(&self, module: &str) -> bool {
        self.builtin.contains(module)
    }

    /// Whether a package of the set has the module.
    pub(super) fn has_module(&self, module: &str) -> bool {
        self.modules.contains(module)
    }

    /// Whether another module needs this one, and so loads it.
    pub(super) fn is_needed(&self, module: &str) -> bool {
        self.needed.contains(module)
    }

    /// Follows dependencies through the set; of several packages with one name, all count.
    pub(super) fn reach(&self, subject: &Opened) -> Reach {
        let mut reach = Reach { packages: HashSet::new(), has_unknown_libraries: false, has_unknown_modules: false };
        let mut open: Vec<usize> = self
            .subjects
            .iter()
            .enumerate()
            .filter(|(_, other)| std::ptr::eq(**other, subject))
            .map(|(at, _)| at)
            .collect();
        while let Some(position) = open.pop() {
            if !reach.packages.insert(position) {
                continue;
            }
            for name in self.subjects[position].needs.iter().flat_map(|need| &need.names) {
                match self.names.get(name.as_str()) {
                    Some(positions) => open.extend(positions),
                    None if BASE.contains(&name.as_str()) => {}
                    None => {
                        reach.has_unknown_modules = true;
                        reach.has_unknown_libraries |= !name.starts_with("kmod-");
                    }
                }
            }
        }
        reach
    }
}

impl Reach {
    /// The packages of the set that are pulled in.
    pub(super) fn packages<'s, 'a>(&'s self, set: &'s Set<'a>) -> impl Iterator<Item = &'a Opened> + 's {
        self.packages.iter().filter_map(|&position| set.subjects.get(position).copied())
    }
}
