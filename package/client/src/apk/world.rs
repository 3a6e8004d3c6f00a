//! `/etc/apk/world`: the packages that the user asked for. All others are installed because these need them, and are
//! removed when they no longer do.

use std::fmt;
use std::str::FromStr;

use formats::apk::Dependency;

use super::installed::{SHORT, identity_text, parse_identity};
use crate::error::{Error, Result};
use crate::root::{Access, Root};

const WORLD: &str = "/etc/apk/world";
const MAX_BYTES: u64 = 1 << 20;

/// One entry of world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// A name, possibly with a version constraint.
    Package(Dependency),
    /// Exactly the package that was given as a file, by its identity: `name><Q1…`.
    Pinned { name: String, identity: [u8; SHORT] },
}

impl Wish {
    /// The name that it asks for.
    pub(super) fn name(&self) -> &str {
        match self {
            Wish::Package(dependency) => &dependency.name,
            Wish::Pinned { name, .. } => name,
        }
    }
}

impl FromStr for Wish {
    type Err = formats::Error;

    fn from_str(text: &str) -> Result<Wish, formats::Error> {
        if let Some((name, identity)) = text.split_once("><")
            && let Some(identity) = parse_identity(identity)
        {
            let name = name.parse::<Dependency>()?.name;
            return Ok(Wish::Pinned { name, identity });
        }
        Ok(Wish::Package(text.parse()?))
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wish::Package(dependency) => dependency.fmt(f),
            Wish::Pinned { name, identity } => write!(f, "{name}><{}", identity_text(identity)),
        }
    }
}

/// All entries, sorted by name; one for each name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct World(pub(super) Vec<Wish>);

impl World {
    pub(super) fn load(root: &Root) -> Result<World> {
        let bytes = root.read(WORLD.into(), MAX_BYTES)?.unwrap_or_default();
        let mut world = World::default();
        for word in String::from_utf8_lossy(&bytes).split_whitespace() {
            let wish = word
                .parse()
                .map_err(|error: formats::Error| Error::State { path: WORLD.into(), problem: error.to_string() })?;
            world.set(wish);
        }
        Ok(world)
    }

    /// Replaces the file in one step.
    pub(super) fn save(&self, root: &Root) -> Result<()> {
        root.make_parents(WORLD.into())?;
        root.write(WORLD.into(), Access::root(0o644), true, &mut self.text().as_bytes())
    }

    /// The content of the file.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|wish| format!("{wish}\n")).collect()
    }

    /// Adds an entry, or replaces the one for that name.
    pub(super) fn set(&mut self, wish: Wish) {
        self.remove(wish.name());
        let place = self.0.partition_point(|other| other.name() < wish.name());
        self.0.insert(place, wish);
    }

    /// Turns entries for one build of a package into entries for the package.
    pub(super) fn release(&mut self) {
        for wish in &mut self.0 {
            if let Wish::Pinned { name, .. } = wish {
                *wish = Wish::Package(Dependency::on(name.as_str()));
            }
        }
    }

    /// Removes an entry; false when there was none for that name.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|wish| wish.name() != name);
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    #[test]
    fn wishes_are_kept_sorted_and_one_for_each_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        assert_eq!(World::load(&root).unwrap(), World::default());
        let mut world = World::default();
        for wish in ["tool", "base<2", "!foe", "local><Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "tool~1.2"] {
            world.set(wish.parse().unwrap());
        }
        world.save(&root).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("etc/apk/world")).unwrap(),
            "base<2\n!foe\nlocal><Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\ntool~1.2\n"
        );
        assert_eq!(World::load(&root).unwrap(), world);
        assert!(world.remove("tool") && !world.remove("tool"));
        root.write("/etc/apk/world".into(), Access::root(0o644), false, &mut &b"tool@tag\n"[..]).unwrap();
        let error = World::load(&root).unwrap_err();
        assert!(error.id() == "INST024" && error.line().contains("tool@tag"), "{}", error.line());
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_back(text in "([!a-z0-9@]{0,3}(><Q1|<|>=|~|=)?[ -~]{0,4}[ \n]){0,6}") {
            let wishes: Result<Vec<Wish>, _> = text.split_whitespace().map(str::parse).collect();
            if let Ok(wishes) = wishes {
                let mut world = World::default();
                wishes.into_iter().for_each(|wish| world.set(wish));
                let again: Vec<Wish> = world.text().lines().map(|line| line.parse().unwrap()).collect();
                proptest::prop_assert_eq!(World(again), world);
            }
        }
    }
}
