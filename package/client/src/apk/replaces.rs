//! Decides which package gets a file that two packages have.
//!
//! A package takes over files of those that it `replaces`; if two replace each other, the higher priority wins and the
//! other is installed without the file. Packages from one recipe may always take over from each other. All as in apk;
//! without such a declaration it is a clash.

use std::collections::{BTreeSet, HashMap, HashSet};

use camino::Utf8PathBuf;
use formats::Kind;
use formats::apk::{Info, Member};

use super::installed::Installed;
use super::prepare::Prepared;
use crate::place::path_of;

/// A package that has or wants a file.
#[derive(Debug, Clone, Copy)]
struct Claim<'a> {
    info: &'a Info,
    priority: u64,
    /// Its position among the new packages; `None` for one that stays installed.
    coming: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The newer package gets the file.
    Takes,
    /// The current owner keeps it.
    Leaves,
    /// Neither package declares anything.
    Clash,
}

impl Claim<'_> {
    /// The priority with which this package declares that it replaces the other; `None` if it does not.
    fn over(&self, other: &Claim<'_>) -> Option<u64> {
        let names = self.info.replaces.iter().any(|replaced| {
            !replaced.is_conflict()
                && replaced.name == other.info.name
                && replaced.accepts(&other.info.name, Some(&other.info.version))
        });
        names.then_some(self.priority)
    }

    /// Who gets a file that `holder` has.
    fn against(&self, holder: &Claim<'_>) -> Verdict {
        let (own, held) = (self.over(holder), holder.over(self));
        match (own, held) {
            _ if held > own => Verdict::Leaves,
            (Some(_), _) => Verdict::Takes,
            _ if !self.info.origin.is_empty() && self.info.origin == holder.info.origin => Verdict::Takes,
            _ => Verdict::Clash,
        }
    }
}

/// Decides about the files of new packages, in their order, against those of packages that stay. Notes in each package
/// what it leaves to others; returns the files that change owners.
pub(super) fn settle<'a>(stay: impl Iterator<Item = &'a Installed>, coming: &mut [Prepared]) -> BTreeSet<Utf8PathBuf> {
    let stay: Vec<&Installed> = stay.collect();
    if !can_take_over(&stay, coming) {
        return BTreeSet::new();
    }
    let mut claims: HashMap<Utf8PathBuf, Claim<'_>> = HashMap::new();
    for package in stay {
        let claim = Claim { info: &package.info, priority: package.replaces_priority, coming: None };
        claims.extend(package.files().map(|(path, _)| (path, claim)));
    }
    let mut left: Vec<BTreeSet<Utf8PathBuf>> = vec![BTreeSet::new(); coming.len()];
    let mut taken = BTreeSet::new();
    let tied: Vec<BTreeSet<Utf8PathBuf>> = coming.iter().map(tied).collect();
    for (place, package) in coming.iter().enumerate() {
        let metadata = &package.metadata;
        let priority = metadata.replaces_priority.unwrap_or(0);
        let claim = Claim { info: &metadata.info, priority, coming: Some(place) };
        for path in package.files() {
            let Some(holder) = claims.get(&path).copied() else {
                claims.insert(path, claim);
                continue;
            };
            let loser = match claim.against(&holder) {
                Verdict::Takes => holder.coming,
                Verdict::Leaves => Some(place),
                Verdict::Clash => continue,
            };
            match loser {
                // Hard links of the package would lead to the other package's file: a clash.
                Some(loser) if tied[loser].contains(&path) => continue,
                Some(loser) => _ = left[loser].insert(path.clone()),
                None => _ = taken.insert(path.clone()),
            }
            if loser != Some(place) {
                claims.insert(path, claim);
            }
        }
    }
    for (package, left) in coming.iter_mut().zip(left) {
        package.left = left;
    }
    taken
}

/// Whether any package could take over a file; most declare nothing of the kind.
fn can_take_over(stay: &[&Installed], coming: &[Prepared]) -> bool {
    let infos = stay.iter().map(|package| &package.info).chain(coming.iter().map(|package| &package.metadata.info));
    let mut origins = HashSet::new();
    let mut shares = |info: &'_ str| !info.is_empty() && !origins.insert(info.to_owned());
    infos.into_iter().any(|info| !info.replaces.is_empty() || shares(&info.origin))
}

/// Files that are targets of hard links in the same package.
fn tied(package: &Prepared) -> BTreeSet<Utf8PathBuf> {
    let ends = |member: Member| match &member.entry.kind {
        Kind::HardLink(target) => vec![path_of(&member.entry), Utf8PathBuf::from("/").join(target)],
        _ => Vec::new(),
    };
    package.metadata.members.iter().flat_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_priority_wins_and_nothing_is_taken_without_a_word() {
        use Verdict::{Clash, Leaves, Takes};
        // Replaces, origin and priority of the holder, then of the one that comes.
        for (holder, coming, expected) in [
            (("", "", 0), ("", "", 0), Clash),
            (("", "", 0), ("holder", "", 0), Takes),
            (("", "", 0), ("holder<1", "", 0), Clash),
            (("", "", 0), ("!holder", "", 0), Clash),
            (("coming", "", 0), ("", "", 0), Leaves),
            (("coming", "", 0), ("holder", "", 0), Takes),
            (("coming", "", 1), ("holder", "", 0), Leaves),
            (("coming", "", 1), ("holder", "", 2), Takes),
            (("", "", 9), ("holder", "", 0), Takes),
            (("", "one", 0), ("", "one", 0), Takes),
            (("coming", "one", 0), ("", "one", 0), Leaves),
            (("", "one", 0), ("", "other", 0), Clash),
        ] {
            let info = |name: &str, (replaces, origin, _): (&str, &str, u64)| Info {
                name: name.into(),
                version: "1".into(),
                origin: origin.into(),
                replaces: replaces.split_whitespace().map(|item| item.parse().unwrap()).collect(),
                ..Info::default()
            };
            let infos = [info("holder", holder), info("coming", coming)];
            let claim = |info, priority| Claim { info, priority, coming: None };
            let verdict = claim(&infos[1], coming.2).against(&claim(&infos[0], holder.2));
            assert_eq!(verdict, expected, "{holder:?} {coming:?}");
        }
    }
}
