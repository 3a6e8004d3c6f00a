//! Whether the kernel runs the modules of our packages, and not those that the image came with.
//!
//! Official images have the kmods under test already, in the same version. So two things are asked of each module:
//! that its file is the feed's, byte for byte, and that what the kernel runs came from that file. The kernel tells a
//! build id (`/sys/module/NAME/notes`) or a `srcversion`, where the module has one. OpenWrt takes both out
//! (`scripts/strip-kmod.sh`); there, a module is the file's if it was seen not to be loaded before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Cancel, Deadline, Digest, Finding, Result, Severity};
use vm::guest::Guest;

use crate::ask;

/// How long the router may take to answer.
const COMMAND: Duration = Duration::from_secs(60);
/// How long modules may be in use after the last rule is gone: flows go with a work item of the kernel.
const RELEASE: Duration = Duration::from_secs(60);
/// Between two tries to unload.
const POLL: Duration = Duration::from_millis(100);

/// Packages of which every router of a scenario that begins with packages runs the modules, from the feed.
pub const CORE: [&str; 6] =
    ["kmod-nft-offload", "kmod-nf-flow", "kmod-nft-nat", "kmod-nft-core", "kmod-nf-nat", "kmod-nf-conntrack"];

/// What the packages of a feed bring: modules by the name of their package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload(pub BTreeMap<String, Vec<Module>>);

/// A module of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// As the kernel has it, with underscores.
    pub name: String,
    /// Its file, with a leading slash.
    pub path: String,
    /// Digest of that file.
    pub sha256: Digest,
    /// The linker's id of its content, in hexadecimal digits.
    pub build_id: Option<String>,
    /// The digest of its sources.
    pub srcversion: Option<String>,
}

/// What a router says of a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    loaded: bool,
    /// `None` when the file is not there.
    sha256: Option<Digest>,
    build_id: Option<String>,
    srcversion: Option<String>,
}

/// Prints a line for each pair of a module and its file: name, whether it is loaded, digest, srcversion, note.
const LOOK: &str = r#"
while [ $# -gt 1 ]; do
	loaded=no
	grep -q "^$1 " /proc/modules && loaded=yes
	digest=$(sha256sum "$2" 2>/dev/null | cut -d ' ' -f 1)
	version=$(cat "/sys/module/$1/srcversion" 2>/dev/null)
	note=$(hexdump -v -e '1/1 "%02x"' "/sys/module/$1/notes/.note.gnu.build-id" 2>/dev/null)
	echo "$1 $loaded ${digest:--} ${version:--} ${note:--}"
	shift 2
done"#;

/// Rules and flows hold modules; they are a scenario's, and none has begun.
const RELEASE_ALL: &str = "nft flush ruleset 2>/dev/null; true";

impl Payload {
    /// The modules of these packages; `None` for one that the feed does not have, or that has none.
    fn of<'a>(&'a self, packages: &'a [&'a str]) -> impl Iterator<Item = (&'a str, Option<&'a [Module]>)> {
        let modules = |name: &str| self.0.get(name).map(Vec::as_slice).filter(|modules| !modules.is_empty());
        packages.iter().map(move |name| (*name, modules(name)))
    }

    /// The names of all modules.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.values().flatten().map(|module| module.name.clone()).collect()
    }

    /// The names of the modules of [`CORE`].
    pub(crate) fn core_names(&self) -> BTreeSet<String> {
        self.of(&CORE).flat_map(|(_, modules)| modules).flatten().map(|module| module.name.clone()).collect()
    }

    /// Of all modules, those that a router has loaded.
    pub fn loaded(&self, guest: &mut dyn Guest) -> Result<BTreeSet<String>> {
        let table = Loaded::read(guest)?;
        Ok(self.names().into_iter().filter(|name| table.0.contains_key(name)).collect())
    }

    /// Unloads every module that can be, and those that use them; rules go first. Waits for those of `packages`, which
    /// flows may still hold, and returns all that are loaded in the end.
    pub fn unload(&self, guest: &mut dyn Guest, packages: &[&str], cancel: &Cancel) -> Result<BTreeSet<String>> {
        self.unload_within(guest, packages, cancel, Deadline::after(RELEASE))
    }

    fn unload_within(
        &self,
        guest: &mut dyn Guest,
        packages: &[&str],
        cancel: &Cancel,
        deadline: Deadline,
    ) -> Result<BTreeSet<String>> {
        guest.script(RELEASE_ALL, Deadline::after(COMMAND))?;
        let names = self.names();
        let awaited: BTreeSet<&str> =
            self.of(packages).flat_map(|(_, modules)| modules).flatten().map(|module| module.name.as_str()).collect();
        let mut refused = Vec::new();
        loop {
            cancel.check()?;
            let table = Loaded::read(guest)?;
            let unused = table.unused(&names);
            let is_loaded = |name: &str| table.0.contains_key(name);
            // A module that is not in use and could not be unloaded is not waited for.
            let fresh = unused.iter().any(|name| !refused.contains(name));
            let over = !fresh && !awaited.iter().any(|name| is_loaded(name));
            if over || deadline.passed() {
                return Ok(names.iter().filter(|name| is_loaded(name)).cloned().collect());
            }
            if !unused.is_empty() {
                // One by one, as OpenWrt's rmmod takes one name; modules that are in use are tried again in the next round.
                let script = format!("for name in {}; do rmmod $name; done; true", unused.join(" "));
                guest.script(&script, Deadline::after(COMMAND))?;
            }
            if !fresh {
                std::thread::sleep(POLL);
            }
            refused = unused;
        }
    }

    /// Whether the router runs the modules of these packages from the feed's files; the first that it does not.
    /// `absent`: modules that were seen not to be loaded since the router booted.
    pub fn check(
        &self,
        guest: &mut dyn Guest,
        packages: &[&str],
        absent: &BTreeSet<String>,
    ) -> Result<Option<Finding>> {
        for (package, modules) in self.of(packages) {
            let Some(modules) = modules else { return Ok(Some(without(package))) };
            let words = modules.iter().flat_map(|module| [module.name.as_str(), module.path.as_str()]);
            let script = format!("set -- {}\n{LOOK}", words.collect::<Vec<_>>().join(" "));
            let said = guest.script(&script, Deadline::after(COMMAND))?.text();
            let seen: BTreeMap<&str, Seen> = said.lines().filter_map(Seen::parse).collect();
            for module in modules {
                let seen = seen.get(module.name.as_str()).cloned().unwrap_or_default();
                if let Some(why) = module.differs(&seen, absent.contains(&module.name)) {
                    return Ok(Some(foreign(package, &module.name, &why)));
                }
            }
        }
        Ok(None)
    }
}

impl Module {
    /// Why what runs is not this module; `None` when it is.
    fn differs(&self, seen: &Seen, was_absent: bool) -> Option<String> {
        if !seen.loaded {
            return Some("it is not loaded".into());
        }
        if seen.sha256 != Some(self.sha256) {
            let found = seen.sha256.map_or("-".into(), |digest| digest.to_string());
            return Some(format!("{} has the digest {found}, the feed's is {}", self.path, self.sha256));
        }
        let told = [("build id", &self.build_id, &seen.build_id), ("srcversion", &self.srcversion, &seen.srcversion)];
        let mut told =
            told.iter().filter_map(|(what, own, runs)| Some((what, own.as_ref()?, runs.as_ref()?))).peekable();
        if told.peek().is_none() && !was_absent {
            return Some("it tells no build id, and it was loaded all the time: it may be the image's".into());
        }
        let (what, own, runs) = told.find(|(_, own, runs)| own != runs)?;
        Some(format!("what is loaded has the {what} {runs}, the feed's is {own}"))
    }
}

impl Seen {
    fn parse(line: &str) -> Option<(&str, Seen)> {
        let [name, loaded, sha256, srcversion, note] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        let told = |text: &str| (text != "-").then(|| text.to_owned());
        // A note begins with two lengths, its type and the text `GNU`, four bytes each.
        let build_id = note.get(32..).filter(|id| !id.is_empty()).map(str::to_owned);
        Some((
            name,
            Seen { loaded: loaded == "yes", sha256: sha256.parse().ok(), build_id, srcversion: told(srcversion) },
        ))
    }
}

/// `/proc/modules`: how often each module is in use, and by which others.
struct Loaded(BTreeMap<String, (u64, Vec<String>)>);

impl Loaded {
    fn read(guest: &mut dyn Guest) -> Result<Loaded> {
        Ok(Loaded::parse(&ask::read(guest, &["cat", "/proc/modules"])?))
    }

    fn parse(text: &str) -> Loaded {
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let users =
                words.get(3)?.split(',').filter(|user| !user.is_empty() && *user != "-" && *user != "[permanent]");
            Some((words[0].to_owned(), (words[2].parse().ok()?, users.map(str::to_owned).collect())))
        };
        Loaded(text.lines().filter_map(line).collect())
    }

    /// Modules that nobody uses, of these and of those that use them.
    fn unused(&self, names: &BTreeSet<String>) -> Vec<String> {
        let mut wanted: BTreeSet<&String> = names.iter().collect();
        let mut count = 0;
        while count < wanted.len() {
            count = wanted.len();
            let users: Vec<&String> =
                wanted.iter().filter_map(|name| self.0.get(*name)).flat_map(|(_, by)| by).collect();
            wanted.extend(users);
        }
        let unused = |name: &&&String| self.0.get(**name).is_some_and(|(uses, _)| *uses == 0);
        wanted.iter().filter(unused).map(|name| (*name).clone()).collect()
    }
}

fn without(package: &str) -> Finding {
    Finding {
        id: "STEP008",
        severity: Severity::Error,
        place: None,
        what: format!("the feed's {package} has no modules"),
        why: "nothing that runs could come from it".into(),
        fix: "name a package of the feed that has modules".into(),
    }
}

fn foreign(package: &str, module: &str, why: &str) -> Finding {
    Finding {
        id: "STEP009",
        severity: Severity::Error,
        place: None,
        what: format!("the module {module} is not that of the feed's {package}"),
        why: why.into(),
        fix: "unload it, install the package from the feed, and load it again: whatever is proven with another module \
            is not about this package"
            .into(),
    }
}

#[cfg(test)]
mod tests;
