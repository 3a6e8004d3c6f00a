//! What a scenario file says. The vocabulary is small on purpose: what it can't say is Rust.

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Result, yaml};
use serde::Deserialize;

/// One scenario: a fresh router, steps in order, and maybe a proof of offload after them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// File version, always 1.
    pub version: u32,
    /// One sentence: what is true when it passes.
    pub title: String,
    /// With which package managers it runs, once each: both, unless it says otherwise.
    #[serde(default = "Manager::all")]
    pub managers: Vec<Manager>,
    /// Which feed the WAN host serves.
    #[serde(default)]
    pub feed: FeedVariant,
    /// What is done on the router, in order; the first that does not hold ends the scenario.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Traffic through the router, once without and once with offload.
    pub offload: Option<OffloadProof>,
    /// Name of the file without `.yaml`; filled in by the loader.
    #[serde(skip)]
    pub name: String,
}

/// The feed as published, or one that a package manager must refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedVariant {
    /// As published.
    #[default]
    Published,
    /// The same packages, signed by a key that the router does not trust.
    WrongKey,
    /// One byte of `kmod-nft-offload` changed after the index was signed.
    FlippedPackage,
    /// One byte of the index changed after it was signed.
    FlippedIndex,
    /// Properly signed, but the kmods depend on another kernel.
    OtherKernel,
}

/// A package manager of OpenWrt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// Up to 24.10.
    Opkg,
    /// From 25.12 on.
    Apk,
}

impl Manager {
    fn all() -> Vec<Manager> {
        vec![Manager::Opkg, Manager::Apk]
    }

    /// The program's name.
    pub fn word(self) -> &'static str {
        match self {
            Manager::Opkg => "opkg",
            Manager::Apk => "apk",
        }
    }

    /// The format that it installs, by the ending of its files.
    pub fn format(self) -> &'static str {
        match self {
            Manager::Opkg => "ipk",
            Manager::Apk => "apk",
        }
    }

    /// The words by which this manager does what a scenario asks for.
    pub fn words(self, action: Action) -> &'static [&'static str] {
        match (self, action) {
            (Manager::Opkg, Action::Update) => &["opkg", "update"],
            (Manager::Opkg, Action::Install) => &["opkg", "install"],
            (Manager::Opkg, Action::Remove) => &["opkg", "remove"],
            (Manager::Opkg, Action::Files) => &["opkg", "files"],
            (Manager::Opkg, Action::List) => &["opkg", "list-installed"],
            (Manager::Apk, Action::Update) => &["apk", "update"],
            (Manager::Apk, Action::Install) => &["apk", "add"],
            (Manager::Apk, Action::Remove) => &["apk", "del"],
            (Manager::Apk, Action::Files) => &["apk", "info", "-L"],
            (Manager::Apk, Action::List) => &["apk", "list", "-I"],
        }
    }
}

/// What every package manager can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Fetch and verify the indexes.
    Update,
    /// Install packages by name.
    Install,
    /// Remove packages.
    Remove,
    /// List the files of a package.
    Files,
    /// List the installed packages.
    List,
}

/// Texts that an answer must contain, by package manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// What opkg must say.
    #[serde(default)]
    pub opkg: Vec<String>,
    /// What apk must say.
    #[serde(default)]
    pub apk: Vec<String>,
}

/// One command on the router with what it must answer, or facts that must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The command, as words; no shell looks at them.
    #[serde(default)]
    pub run: Vec<String>,
    /// Or what the package manager is to do; `packages` are its names.
    pub manager: Option<Action>,
    /// Names for `manager`.
    #[serde(default)]
    pub packages: Vec<String>,
    /// The exit code it must end with: `0`, another number, or `nonzero`.
    #[serde(default)]
    pub exit: ExpectedExit,
    /// Texts that its output must contain.
    #[serde(default)]
    pub says: Vec<String>,
    /// Texts that its output must contain, where the managers speak differently.
    #[serde(default)]
    pub each_says: Says,
    /// Modules that must be in `/proc/modules`.
    #[serde(default)]
    pub loaded: Vec<String>,
    /// Modules that must not be there.
    #[serde(default)]
    pub not_loaded: Vec<String>,
    /// Packages that the package manager must list as installed.
    #[serde(default)]
    pub installed: Vec<String>,
    /// Packages that it must not list.
    #[serde(default)]
    pub not_installed: Vec<String>,
    /// Every file of the root must be as it was when the scenario began (feed lists excepted).
    #[serde(default)]
    pub root_unchanged: bool,
}

/// The exit code a command must end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ExitText")]
pub enum ExpectedExit {
    /// Exactly this one.
    Code(u8),
    /// Any but 0.
    NonZero,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExitText {
    Code(u8),
    Word(String),
}

impl TryFrom<ExitText> for ExpectedExit {
    type Error = String;

    fn try_from(text: ExitText) -> Result<Self, String> {
        match text {
            ExitText::Code(code) => Ok(ExpectedExit::Code(code)),
            ExitText::Word(word) if word == "nonzero" => Ok(ExpectedExit::NonZero),
            ExitText::Word(word) => Err(format!("exit: `{word}` is neither a number nor `nonzero`")),
        }
    }
}

impl Default for ExpectedExit {
    fn default() -> Self {
        ExpectedExit::Code(0)
    }
}

impl ExpectedExit {
    /// Whether `code` is what was expected.
    pub fn accepts(self, code: i32) -> bool {
        match self {
            ExpectedExit::Code(wanted) => i32::from(wanted) == code,
            ExpectedExit::NonZero => code != 0,
        }
    }
}

/// Traffic that must take the fast path with `offload` loaded, and the slow path without.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OffloadProof {
    /// The nftables ruleset of both runs; it must count in the forward hook with `counter name c_forward`
    /// in table `inet lab`.
    pub ruleset: String,
    /// What is added to it for the run with offload, and left out of the control run.
    pub offload: String,
    /// The source address that the WAN host must see: the router's own under masquerade.
    pub seen_from: std::net::IpAddr,
    /// The flows, one after the other.
    pub traffic: Vec<Traffic>,
}

/// One flow from the LAN host to the WAN host, echoed back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Traffic {
    /// `tcp` or `udp`.
    pub proto: Proto,
    /// `ipv4`, or `ipv6`.
    #[serde(default)]
    pub family: Family,
    /// Payload bytes each way.
    pub bytes: u64,
    /// Payload bytes of one datagram or one write.
    pub size: usize,
}

/// Network protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Proto {
    /// The word in `/proc/net/nf_conntrack` and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
        }
    }
}

/// Reads every scenario of a folder, sorted by name, each checked before anything runs.
pub fn load_all(folder: &Utf8Path) -> Result<Vec<Scenario>> {
    let io = |error: &std::io::Error| Failure::io("list the scenarios", folder, error);
    let mut paths: Vec<Utf8PathBuf> = Vec::new();
    for entry in folder.read_dir_utf8().map_err(|error| io(&error))? {
        let path = entry.map_err(|error| io(&error))?.into_path();
        if path.extension() == Some("yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| load(path)).collect()
}

/// Reads one scenario and checks what YAML types can't say.
pub fn load(path: &Utf8Path) -> Result<Scenario> {
    let mut scenario: Scenario = yaml::load(path)?;
    scenario.name = path.file_stem().unwrap_or_default().to_owned();
    check(&scenario).map_err(|what| {
        Failure::new(
            Exit::Usage,
            "SCEN001",
            what,
            "a scenario that asserts nothing would always pass",
            "complete the named step; the other files of the folder show every key",
        )
        .at(path)
    })?;
    Ok(scenario)
}

fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.managers.is_empty() {
        return Err("`managers` names no package manager".into());
    }
    if scenario.steps.is_empty() && scenario.offload.is_none() {
        return Err("the scenario has neither `steps` nor `offload`".into());
    }
    for (number, step) in scenario.steps.iter().enumerate() {
        let facts = step.facts();
        let runs = !step.run.is_empty() || step.manager.is_some();
        if !step.run.is_empty() && step.manager.is_some() {
            return Err(format!("step {} has both `run` and `manager`", number + 1));
        }
        if step.manager.is_none() && !step.packages.is_empty() {
            return Err(format!("step {} has `packages` but no `manager`", number + 1));
        }
        if !runs && facts == 0 {
            return Err(format!("step {} neither runs nor checks anything", number + 1));
        }
        let answers =
            !step.says.is_empty() || step.each_says != Says::default() || step.exit != ExpectedExit::default();
        if !runs && answers {
            return Err(format!("step {} expects an answer (`says`, `exit`) but runs nothing", number + 1));
        }
    }
    if let Some(proof) = &scenario.offload {
        if proof.traffic.is_empty() {
            return Err("`offload` has no `traffic`".into());
        }
        if !proof.ruleset.contains("c_forward") {
            return Err("the ruleset of `offload` does not count with `counter name c_forward`".into());
        }
        for traffic in &proof.traffic {
            if (traffic.family == Family::Ipv6) != proof.seen_from.is_ipv6() {
                return Err(format!("{:?} traffic can't be seen from {}", traffic.family, proof.seen_from));
            }
            // What an MTU of 1,500 leaves after the headers of either family.
            let largest = if traffic.proto == Proto::Udp { 1452 } else { 65536 };
            if traffic.size == 0 || traffic.size > largest {
                return Err(format!("size {} is not between 1 and {largest}", traffic.size));
            }
            // Fewer packets could not be told apart from the first ones, which always take the slow path.
            if traffic.bytes < 100 * 1000 {
                return Err(format!("{} bytes are too few to prove anything; use at least 100000", traffic.bytes));
            }
        }
    }
    Ok(())
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.manager {
            Some(action) => write!(f, "{action:?} {}", self.packages.join(" ")),
            None if self.run.is_empty() => write!(f, "{} facts", self.facts()),
            None => f.write_str(&self.run.join(" ")),
        }
    }
}

impl Step {
    /// The words to run with this package manager; none for a step that only checks facts.
    pub fn words(&self, manager: Manager) -> Vec<&str> {
        match self.manager {
            Some(action) => {
                manager.words(action).iter().copied().chain(self.packages.iter().map(String::as_str)).collect()
            }
            None => self.run.iter().map(String::as_str).collect(),
        }
    }

    /// The texts that this package manager's answer must contain.
    pub fn texts(&self, manager: Manager) -> impl Iterator<Item = &str> {
        let own = match manager {
            Manager::Opkg => &self.each_says.opkg,
            Manager::Apk => &self.each_says.apk,
        };
        self.says.iter().chain(own).map(String::as_str)
    }

    fn facts(&self) -> usize {
        self.loaded.len()
            + self.not_loaded.len()
            + self.installed.len()
            + self.not_installed.len()
            + usize::from(self.root_unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scenario> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("sample.yaml");
        std::fs::write(&path, format!("version: 1\ntitle: sample\n{text}")).unwrap();
        load(&path)
    }

    #[test]
    fn a_scenario_that_asserts_nothing_is_refused() {
        for text in [
            "",
            "steps: [{}]\n",
            "steps: [{says: [x]}]\n",
            "steps: [{exit: nonzero, loaded: [x]}]\n",
            "managers: []\nsteps: [{loaded: [x]}]\n",
            "steps: [{run: [x], manager: update}]\n",
            "steps: [{packages: [x], loaded: [x]}]\n",
            "steps: [{each-says: {apk: [x]}, loaded: [x]}]\n",
            "offload: {ruleset: c_forward, offload: x, seen-from: 1.2.3.4, traffic: []}\n",
            "offload: {ruleset: x, offload: x, seen-from: 1.2.3.4, traffic: [{proto: udp, bytes: 200000, size: 1000}]}\n",
            "offload: {ruleset: c_forward, offload: x, seen-from: 1.2.3.4, traffic: [{proto: udp, bytes: 999, size: 9}]}\n",
            "offload: {ruleset: c_forward, offload: x, seen-from: 1.2.3.4, traffic: [{proto: udp, family: ipv6, bytes: 200000, size: 1000}]}\n",
            "offload: {ruleset: c_forward, offload: x, seen-from: 1.2.3.4, traffic: [{proto: udp, bytes: 200000, size: 9000}]}\n",
        ] {
            assert_eq!(parse(text).unwrap_err().id(), "SCEN001", "{text}");
        }
    }

    #[test]
    fn words_are_checked_by_the_reader() {
        let scenario = parse("feed: wrong-key\nsteps: [{run: [opkg, update], exit: nonzero, says: [key]}]\n").unwrap();
        assert_eq!((scenario.feed, scenario.name.as_str()), (FeedVariant::WrongKey, "sample"));
        assert!(scenario.steps[0].exit.accepts(255) && !scenario.steps[0].exit.accepts(0));
        for text in ["feed: nice\nsteps: [{loaded: [x]}]\n", "steps: [{run: [x], exit: maybe}]\n", "stesp: []\n"] {
            assert_eq!(parse(text).unwrap_err().id(), "CONF001", "{text}");
        }
    }

    #[test]
    fn each_manager_has_its_own_words() {
        let scenario =
            parse("steps: [{manager: install, packages: [a, b], says: [x], each-says: {apk: [y]}}]\n").unwrap();
        assert_eq!(scenario.managers, [Manager::Opkg, Manager::Apk]);
        let step = &scenario.steps[0];
        assert_eq!(step.words(Manager::Opkg), ["opkg", "install", "a", "b"]);
        assert_eq!(step.words(Manager::Apk), ["apk", "add", "a", "b"]);
        assert_eq!(step.texts(Manager::Opkg).collect::<Vec<_>>(), ["x"]);
        assert_eq!(step.texts(Manager::Apk).collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn every_scenario_of_the_project_is_valid() {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let scenarios = load_all(&folder).unwrap();
        assert!(scenarios.iter().any(|scenario| scenario.offload.is_some()));
        for variant in
            [FeedVariant::WrongKey, FeedVariant::FlippedPackage, FeedVariant::FlippedIndex, FeedVariant::OtherKernel]
        {
            let refused: Vec<_> = scenarios.iter().filter(|scenario| scenario.feed == variant).collect();
            assert!(!refused.is_empty(), "no scenario serves {variant:?}");
            for scenario in refused {
                assert!(scenario.steps.iter().any(|step| step.root_unchanged), "{} checks no root", scenario.name);
            }
        }
    }
}
