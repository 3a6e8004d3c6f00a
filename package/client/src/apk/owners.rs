//! Users and groups by name, with the numbers of the root's own `/etc/passwd` and `/etc/group`.
//!
//! Packages name owners; files have numbers. An unknown name becomes nobody, as in apk: never root by accident.

use std::collections::BTreeMap;

use formats::{Entry, Owner};

use crate::error::Result;
use crate::root::Root;

/// The number of nobody, used for unknown names.
const NOBODY: u32 = 65_534;
/// Largest file of users or groups.
const MAX_BYTES: u64 = 1 << 20;

/// Numbers of users and groups by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Owners {
    pub(super) fn load(root: &Root) -> Result<Owners> {
        let read = |path: &str| -> Result<String> {
            let bytes = root.read(path.into(), MAX_BYTES)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Owners::parse(&read("/etc/passwd")?, &read("/etc/group")?))
    }

    /// Parses the texts of both files; malformed lines are skipped, as the system does.
    pub(super) fn parse(users: &str, groups: &str) -> Owners {
        let numbers = |text: &str| -> BTreeMap<String, u32> {
            let line = |line: &str| {
                let mut fields = line.split(':');
                let (name, number) = (fields.next()?, fields.nth(1)?);
                Some((name.to_owned(), number.parse().ok()?))
            };
            text.lines().filter_map(line).collect()
        };
        Owners { users: numbers(users), groups: numbers(groups) }
    }

    /// User and group of an entry.
    pub(super) fn of(&self, entry: &Entry) -> (u32, u32) {
        let number = |known: &BTreeMap<String, u32>, owner: &Owner| match owner.name.as_str() {
            "root" => 0,
            name => known.get(name).copied().unwrap_or(NOBODY),
        };
        (number(&self.users, &entry.owner), number(&self.groups, &entry.group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_numbers_of_the_root() {
        let owners = Owners::parse("root:x:5:5::/:\nsvc:x:850:850::/:\nbroken\nhalf:x:many\n", "net:x:101:\n");
        let owner = |name: &str| Owner { id: 0, name: name.into() };
        for (user, group, numbers) in [
            ("svc", "net", (850, 101)),
            ("root", "root", (0, 0)),
            ("half", "svc", (NOBODY, NOBODY)),
            ("", "", (NOBODY, NOBODY)),
        ] {
            let entry = Entry { owner: owner(user), group: owner(group), ..Entry::dir("a", 0o755) };
            assert_eq!(owners.of(&entry), numbers, "{user} {group}");
        }
    }
}
