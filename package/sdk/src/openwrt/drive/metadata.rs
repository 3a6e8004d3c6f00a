//! `tmp/.packageinfo`: what the SDK's own scan found out about packages; here, which kmods need which.
//!
//! The closure of a kmod differs between releases and between kernels, so it is asked from the SDK.

use std::collections::{BTreeMap, BTreeSet};

use model::{Exit, Failure, Problem, Result};

/// Dependencies of packages, by name.
#[derive(Debug)]
pub(super) struct Metadata<'a>(BTreeMap<&'a str, Vec<Need<'a>>>);

/// One dependency.
#[derive(Debug, PartialEq, Eq)]
struct Need<'a> {
    package: &'a str,
    /// Whether it holds only under some configuration.
    conditional: bool,
}

impl<'a> Metadata<'a> {
    /// Reads the file's stanzas: `Package:`, then `Depends:` of words such as `+kmod-a`, `@IPV6`,
    /// `+LINUX_6_12:kmod-b`.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut packages: BTreeMap<&str, Vec<Need<'_>>> = BTreeMap::new();
        let mut package = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("Package: ") {
                package = name.trim();
                packages.entry(package).or_default();
            } else if let Some(depends) = line.strip_prefix("Depends: ") {
                packages.entry(package).or_default().extend(depends.split_whitespace().filter_map(need));
            }
        }
        Metadata(packages)
    }

    /// Everything that `roots` need among kmods, themselves included. `available` are those that the
    /// builder selected: what is needed under a condition that did not hold is not among them.
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
        why: format!("{by} ask for it; it was renamed or dropped, or the builder's configuration left it out"),
        fix: "give its recipe the kernels that have it (`kernel: {since: …, before: …}`); a release's SDK packs the modules of its \
         own kernel, and no kmod of yours: leave such a recipe out of --recipes with --release",
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
        // Known to the scan, but not selected by the builder.
        assert_eq!(metadata.closure(&["kmod-b"], &BTreeSet::new()).unwrap_err().id(), "SDK030");
    }
}
