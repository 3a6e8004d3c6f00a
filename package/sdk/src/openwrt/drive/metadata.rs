//! `tmp/.packageinfo`, the result of the SDK's own scan of packages; used to find which kmods depend on which.
//!
//! A kmod's dependencies differ between releases and kernels, so the SDK's own data is used.

use std::collections::{BTreeMap, BTreeSet};

use model::{Exit, Failure, Problem, Result};

/// Dependencies of packages, by name.
#[derive(Debug)]
pub(super) struct Metadata<'a>(BTreeMap<&'a str, Vec<Need<'a>>>, BTreeSet<&'a str>);

/// The Makefile that defines the kernel's own kmods.
const KERNEL: &str = "package/kernel/linux/Makefile";

/// A dependency of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need<'a> {
    package: &'a str,
    /// Whether it holds only under some configuration.
    conditional: bool,
}

impl<'a> Metadata<'a> {
    /// Parses the file's stanzas: `Package:`, then `Depends:` with words such as `+kmod-a`, `@IPV6`,
    /// `+LINUX_6_12:kmod-b`.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut packages: BTreeMap<&str, Vec<Need<'_>>> = BTreeMap::new();
        let (mut package, mut source, mut in_tree) = ("", "", BTreeSet::new());
        for line in text.lines() {
            if let Some(makefile) = line.strip_prefix("Source-Makefile: ") {
                source = makefile.trim();
            } else if let Some(name) = line.strip_prefix("Package: ") {
                package = name.trim();
                packages.entry(package).or_default();
                if source == KERNEL {
                    in_tree.insert(package);
                }
            } else if let Some(provided) = line.strip_prefix("Provides: ") {
                for name in provided.split_whitespace().map(|name| name.trim_start_matches('@')) {
                    packages.entry(name).or_default().push(Need { package, conditional: true });
                }
            } else if let Some(depends) = line.strip_prefix("Depends: ") {
                packages.entry(package).or_default().extend(depends.split_whitespace().filter_map(need));
            }
        }
        Metadata(packages, in_tree)
    }

    fn is_in_tree(&self, package: &str) -> bool {
        self.1.contains(package)
    }

    /// All kmods that `roots` need, themselves included. `available` are those that the builder selected; a dependency
    /// whose condition does not hold is not among them.
    ///
    /// # Errors
    /// `SDK030` a kmod that this release does not have.
    pub(super) fn closure(&self, roots: &[&str], available: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut open: Vec<(&str, &str)> = roots.iter().map(|root| (*root, "the recipes")).collect();
        while let Some((name, by)) = open.pop() {
            if found.contains(name) {
                continue;
            }
            let needs = self.0.get(name).filter(|_| available.contains(name)).ok_or_else(|| unknown(name, by))?;
            found.insert(name.to_owned());
            let wanted = needs.iter().filter(|need| need.package.starts_with("kmod-"));
            let wanted = wanted.filter(|need| !need.conditional || available.contains(need.package));
            open.extend(wanted.map(|need| (need.package, name)));
        }
        Ok(found)
    }

    /// Everything that a package needs, itself included, as far as known; or the name of a kmod that does not exist.
    /// Unknown packages are left to the router. `available` are the kernel's own kmods that the builder selected.
    pub(super) fn reached_from(&self, package: &str, available: &BTreeSet<&str>) -> Result<BTreeSet<String>, String> {
        let mut found = BTreeSet::new();
        let mut open = vec![Need { package, conditional: false }];
        while let Some(Need { package, conditional }) = open.pop() {
            if found.contains(package) {
                continue;
            }
            match self.0.get(package) {
                Some(needs) if !self.is_in_tree(package) || available.contains(package) => {
                    found.insert(package.to_owned());
                    open.extend(needs.iter().copied());
                }
                _ if package.starts_with("kmod-") && !conditional => return Err(package.to_owned()),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn need(word: &str) -> Option<Need<'_>> {
    let word = word.trim_start_matches('+');
    if word.starts_with('@') {
        return None;
    }
    Some(match word.rsplit_once(':') {
        Some((_, package)) => Need { package, conditional: true },
        None => Need { package: word, conditional: false },
    })
}

fn unknown(name: &str, by: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK030",
        what: format!("this SDK has no {name}"),
        why: format!("{by} depend on it; it was renamed or dropped, or the builder's configuration left it out"),
        fix: "limit its recipe to the kernels that have it (`kernel: {since: …, before: …}`); a release's SDK packs \
         the modules of its own kernel and no others: leave such a recipe out of --recipes with --release",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Source-Makefile: package/kernel/linux/Makefile

Package: kmod-top
Version: 6.6.93-r1
Depends: +kernel +kmod-a @IPV6 +kmod-b +LINUX_6_12:kmod-old +IPV6:kmod-six
Title: x
@@
Package: kmod-a
Depends: +kmod-b
@@
Package: kmod-b
@@
Package: kmod-six
Depends: kmod-a
@@
Package: kmod-lost
Depends: +kmod-nowhere
@@
";

    #[test]
    fn the_closure_is_what_the_sdk_says() {
        let metadata = Metadata::parse(TEXT);
        let available = BTreeSet::from(["kmod-top", "kmod-a", "kmod-b", "kmod-six", "kmod-lost"]);
        let closure = metadata.closure(&["kmod-top"], &available).unwrap();
        assert_eq!(
            closure.iter().map(String::as_str).collect::<Vec<_>>(),
            ["kmod-a", "kmod-b", "kmod-six", "kmod-top"]
        );
        for (root, missing) in [("kmod-gone", "kmod-gone"), ("kmod-lost", "kmod-nowhere")] {
            let failure = metadata.closure(&[root], &available).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SDK030", Exit::Failed));
            assert!(failure.finding().what.contains(missing), "{failure}");
        }
        // A package of the user's feed may depend on it through other packages.
        let more = format!(
            "Source-Makefile: package/kernel/linux/Makefile\n{TEXT}Package: kmod-out\n@@\nSource-Makefile: feeds/own/x/Makefile\n\
             Package: tool\nDepends: +libc +lib +IPV6:kmod-out\n@@\nPackage: lib\nDepends: +kmod-own\n@@\nPackage: kmod-real\n\
             Provides: kmod-own\nDepends: +kmod-a\n@@\nPackage: bad\nDepends: +lib +kmod-out\n@@\nPackage: worse\nDepends: +kmod-gone\n@@\n"
        );
        let metadata = Metadata::parse(&more);
        let needs = |name| metadata.reached_from(name, &available);
        let reached: Vec<String> = needs("tool").unwrap().into_iter().collect();
        assert_eq!(reached, ["kmod-a", "kmod-b", "kmod-own", "kmod-real", "lib", "tool"]);
        assert_eq!((needs("bad"), needs("worse")), (Err("kmod-out".into()), Err("kmod-gone".into())));
        // The scan knows it, but the builder did not select it.
        assert_eq!(metadata.closure(&["kmod-b"], &BTreeSet::new()).unwrap_err().id(), "SDK030");
    }
}
