//! Packages that an index offers, and which of them meet a need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::Utf8Path;
use formats::apk::index::Index;
use formats::opened::Need;
use formats::packages::Listed;
use formats::version::{Operator, apk, opkg};
use formats::{Error, Format, Package};
use model::KernelId;

use super::super::resolved::{Artifact, Role};

/// A package in an index.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its file, and the digest that the index names.
    pub artifact: Artifact,
    format: Format,
    provides: Vec<String>,
    needs: Vec<Wanted>,
}

/// A dependency: any of the names will do, in this version if it names one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    names: Vec<String>,
    exact: Option<String>,
}

/// What is there already: installed, or in a feed that a router knows.
#[derive(Debug, Clone, Default)]
pub struct Held {
    versions: BTreeMap<String, BTreeSet<String>>,
    provided: BTreeSet<String>,
}

/// What nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The name, or names, and the version if it must be a certain one.
    pub what: String,
    /// The package that needs it, if it was not asked for itself.
    pub needed_by: Option<String>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.needed_by {
            Some(package) => write!(f, "{}, which {package} needs", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Held {
    /// Adds a package, and what it provides.
    pub fn add(&mut self, name: &str, version: &str, provides: impl IntoIterator<Item = String>) {
        self.versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        self.provided.extend(provides);
    }

    /// Whether it meets a need.
    pub fn meets(&self, need: &Need) -> bool {
        self.meets_wanted(&Wanted::of(need))
    }

    fn meets_wanted(&self, wanted: &Wanted) -> bool {
        wanted.names.iter().any(|name| {
            let is_wanted =
                |versions: &BTreeSet<String>| wanted.exact.as_ref().is_none_or(|exact| versions.contains(exact));
            self.versions.get(name).is_some_and(is_wanted) || self.provided.contains(name)
        })
    }
}

impl Wanted {
    fn of(need: &Need) -> Wanted {
        Wanted { names: need.names.clone(), exact: need.exact.clone() }
    }

    fn told(&self) -> String {
        let names = self.names.join(" or ");
        self.exact.as_ref().map_or(names.clone(), |exact| format!("{names} {exact}"))
    }
}

impl Offer {
    /// The packages of opkg's index in a folder.
    pub(super) fn of_opkg(folder: &Utf8Path, listed: Vec<Listed>) -> Vec<Offer> {
        let offer = |Listed { control, filename, size, sha256 }: Listed| {
            let wanted = |dependency: &formats::depend::Dependency| {
                let [only] = &dependency.alternatives[..] else {
                    return Wanted {
                        names: dependency.alternatives.iter().map(|term| term.name.clone()).collect(),
                        exact: None,
                    };
                };
                let exact = only.constraint.as_ref().filter(|bound| bound.operator == Operator::Equal);
                Wanted { names: vec![only.name.clone()], exact: exact.map(|bound| bound.version.clone()) }
            };
            Offer {
                artifact: Artifact { role: Role::Package, path: folder.join(filename), sha256, size: Some(size) },
                format: Format::Ipk,
                needs: control.depends.iter().map(wanted).collect(),
                // opkg takes `x=1` for a whole name.
                provides: control
                    .provides
                    .iter()
                    .filter(|name| name.version.is_none())
                    .map(|name| name.name.clone())
                    .collect(),
                name: control.package,
                version: control.version,
            }
        };
        listed.into_iter().map(offer).collect()
    }

    /// The packages of apk's index in a folder.
    pub(super) fn of_apk(folder: &Utf8Path, index: &Index) -> Result<Vec<Offer>, Error> {
        let offer = |listed: &formats::apk::index::Listed| {
            let info = &listed.info;
            let wanted = |dependency: &formats::apk::Dependency| Wanted {
                names: vec![dependency.name.clone()],
                exact: dependency.version.clone().filter(|_| dependency.relation == apk::Match::EQUAL),
            };
            Ok(Offer {
                artifact: Artifact {
                    role: Role::ApkPackage,
                    path: folder.join(index.file_name(listed)?),
                    sha256: listed.sha256,
                    size: Some(listed.file_size),
                },
                format: Format::Apk,
                needs: info.depends.iter().filter(|needed| !needed.is_conflict()).map(wanted).collect(),
                provides: info.provides.iter().map(|provided| provided.name.clone()).collect(),
                name: info.name.clone(),
                version: info.version.clone(),
            })
        };
        index.packages.iter().map(offer).collect()
    }

    /// Whether it is for this kernel, if it is for one at all. Releases differ in how they write a kernel's version, but
    /// the hash is always in it.
    pub(super) fn fits(&self, kernel: Option<&KernelId>) -> bool {
        let is_kernel = |wanted: &&Wanted| wanted.names == [Package::KERNEL];
        let bound = self.needs.iter().find(is_kernel).and_then(|wanted| wanted.exact.as_deref());
        bound.zip(kernel).is_none_or(|(bound, kernel)| bound.contains(&kernel.config_hash))
    }

    fn meets(&self, wanted: &Wanted) -> bool {
        let is_wanted = |exact: &String| *exact == self.version;
        wanted.exact.as_ref().is_none_or(is_wanted)
            && wanted.names.iter().any(|name| self.name == *name || self.provides.contains(name))
    }

    /// Whether it is to be taken rather than another one: under its own name, in a newer version, by the alphabet.
    fn is_before(&self, other: &Offer, wanted: &Wanted) -> bool {
        let named = |offer: &Offer| wanted.names.contains(&offer.name);
        let newer = match self.format {
            _ if self.name != other.name => self.name < other.name,
            Format::Ipk => opkg::compare(&self.version, &other.version).is_gt(),
            Format::Apk => apk::compare(&self.version, &other.version).is_gt(),
        };
        if named(self) == named(other) { newer } else { named(self) }
    }
}

/// The offers that meet a need, with all that they need themselves and `held` lacks.
pub(super) fn meeting<'a>(offers: &'a [Offer], need: &Need, held: &Held) -> Result<Vec<&'a Offer>, Lack> {
    let mut open = vec![(Wanted::of(need), None::<&Offer>)];
    let mut chosen: Vec<&Offer> = Vec::new();
    while let Some((wanted, needed_by)) = open.pop() {
        if held.meets_wanted(&wanted) || chosen.iter().any(|offer| offer.meets(&wanted)) {
            continue;
        }
        let fitting = offers.iter().filter(|offer| offer.meets(&wanted));
        let best = fitting.reduce(|best, other| if other.is_before(best, &wanted) { other } else { best });
        let Some(best) = best else {
            return Err(Lack { what: wanted.told(), needed_by: needed_by.map(|offer| offer.name.clone()) });
        };
        chosen.push(best);
        open.extend(best.needs.iter().map(|wanted| (wanted.clone(), Some(best))));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Digest;

    fn offer(name: &str, version: &str, provides: &[&str], needs: &[&str]) -> Offer {
        let wanted = |text: &&str| {
            let (name, exact) = text.split_once('=').map_or((*text, None), |(name, exact)| (name, Some(exact)));
            Wanted { names: name.split('|').map(str::to_owned).collect(), exact: exact.map(str::to_owned) }
        };
        Offer {
            name: name.into(),
            version: version.into(),
            artifact: Artifact { role: Role::Package, path: name.into(), sha256: Digest::of(name), size: None },
            format: Format::Ipk,
            provides: provides.iter().map(|name| (*name).to_owned()).collect(),
            needs: needs.iter().map(wanted).collect(),
        }
    }

    fn need(name: &str) -> Need {
        Need { names: vec![name.into()], exact: None }
    }

    #[test]
    fn what_is_needed_comes_with_what_it_needs_and_nothing_that_is_there() {
        let offers = [
            offer("tc-tiny", "6.1-r1", &["tc"], &["libc", "libmnl0", "kmod-sched-core"]),
            offer("tc-full", "6.1-r1", &["tc"], &["libc"]),
            offer("libmnl0", "1.0-r1", &["libmnl"], &["libc"]),
            offer("kmod-sched-core", "6.6.1-r1", &[], &["kernel=6.6.1~aa-r1"]),
            offer("kmod-sched-core", "6.6.2-r1", &[], &["kernel=6.6.2~bb-r1"]),
            offer("one", "1", &[], &["other"]),
            offer("other", "1", &[], &["one|nothing"]),
            offer("broken", "1", &[], &["libmnl0", "absent=2"]),
        ];
        let mut held = Held::default();
        held.add("libc", "1", ["libgcc".into()]);
        held.add("kernel", "6.6.1~aa-r1", []);
        let kernel = KernelId { version: "6.6.1".into(), config_hash: "aa".into(), release: 1 };
        let fitting: Vec<Offer> = offers.iter().filter(|offer| offer.fits(Some(&kernel))).cloned().collect();
        let meeting = |name: &str, held: &Held| {
            let found = meeting(&fitting, &need(name), held)?;
            let mut names: Vec<String> =
                found.iter().map(|offer| format!("{}-{}", offer.name, offer.version)).collect();
            names.sort();
            Ok::<_, Lack>(names.join(" "))
        };
        let told = |name: &str, held: &Held| meeting(name, held).unwrap_or_else(|lack| format!("no {lack}"));
        assert_eq!(told("tc-tiny", &held), "kmod-sched-core-6.6.1-r1 libmnl0-1.0-r1 tc-tiny-6.1-r1");
        assert_eq!(told("tc", &held), "tc-full-6.1-r1");
        assert_eq!(told("libgcc", &held), "");
        assert_eq!(told("one", &held), "one-1 other-1", "a circle ends");
        assert_eq!(told("conntrack", &held), "no conntrack");
        assert_eq!(told("broken", &held), "no absent 2, which broken needs");
        assert_eq!(told("tc-tiny", &Held::default()), "no kernel 6.6.1~aa-r1, which kmod-sched-core needs");
        held.add("libmnl9", "9", ["libmnl0".into()]);
        assert_eq!(told("tc-tiny", &held), "kmod-sched-core-6.6.1-r1 tc-tiny-6.1-r1");
    }

    #[test]
    fn the_newest_version_is_taken() {
        let offers = [offer("a", "1.9", &[], &[]), offer("a", "1.10", &[], &[]), offer("a", "1.2", &[], &[])];
        let found = meeting(&offers, &need("a"), &Held::default()).unwrap();
        assert_eq!(found.iter().map(|offer| offer.version.as_str()).collect::<Vec<_>>(), ["1.10"]);
        let exact = Need { names: vec!["a".into()], exact: Some("1.2".into()) };
        assert_eq!(meeting(&offers, &exact, &Held::default()).unwrap()[0].version, "1.2");
    }
}
