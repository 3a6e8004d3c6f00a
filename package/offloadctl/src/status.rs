//! Is offload on? Collects what the kernel tells, and judges it.

use std::collections::BTreeSet;

use crate::change::Wish;
use crate::conntrack::Path;
use crate::devices::{Devices, Seen};
use crate::ethtool::Capability;
use crate::files::Files;
use crate::finding::Finding;
use crate::flows;
use crate::hardware;
use crate::inquiry;
use crate::modules::{self, Module, Purpose, State};
use crate::nftables::{self, FlowRule, Flowtable};
use crate::procfs;
use crate::ruleset::{Hook, Rule};
use crate::setting::{self, Setting};
use crate::socket::Trouble;
use crate::totals::{self, FlowTotals};

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A rule fills a flowtable that has devices; hardware is asked, too.
    OnHardware,
    /// A rule fills a flowtable that has devices.
    OnSoftware,
    /// There is no flowtable, and the configuration asks for none.
    Off,
    /// The configuration asks for offload, or there is a flowtable, but it cannot work.
    NotWorking,
    /// The flowtables and the rules cannot be read.
    Unknown,
}

impl Verdict {
    /// Exit code of `offloadctl status`.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::OnHardware | Verdict::OnSoftware => 0,
            Verdict::Off => 1,
            Verdict::NotWorking => 2,
            Verdict::Unknown => 3,
        }
    }
}

/// What the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Release of the running kernel.
    pub kernel: String,
    /// The needed modules.
    pub modules: Vec<Module>,
    /// The flowtables.
    pub flowtables: Vec<Flowtable>,
    /// The rules that fill flowtables.
    pub rules: Vec<FlowRule>,
    /// Rules with `flow add` in chains that nothing calls.
    pub orphans: Vec<FlowRule>,
    /// Why there are no flowtables and rules, where they could not be read.
    pub refused: Option<Finding>,
    /// Devices that exist, by name.
    pub devices: BTreeSet<String>,
    /// The same with what is below each.
    pub stacks: Devices,
    /// Flows by path, or why they cannot be counted.
    pub flows: Result<FlowTotals, Finding>,
    /// Whether connections are counted.
    pub accounting: Option<bool>,
    /// What the configuration asks for, where there is one that can be read.
    pub setting: Result<Option<Setting>, Finding>,
    /// What the firewall does not understand of it.
    pub refused_setting: Option<Finding>,
    /// It has changes that are not committed, and counted in.
    pub is_uncommitted: bool,
    /// What drivers say about hardware offload, by device; `None` where the kernel does not tell.
    pub hardware: Option<Vec<(String, Capability)>>,
    /// Hardware shows its table of flows.
    pub has_table: bool,
}

impl Facts {
    /// Whether a device of a flowtable exists; a trailing `*` stands for all that begin so.
    pub fn is_present(&self, device: &str) -> bool {
        is_present(device, &self.devices)
    }

    /// Whether any device can do hardware offload, where that is known. OpenWrt's kernels take the flag on any device, and work
    /// in software then.
    pub fn offers_hardware(&self) -> Option<bool> {
        hardware::offers(self.hardware.as_deref(), self.has_table, |_| true)
    }

    /// Whether the configuration asks for offload.
    fn asks_for_offload(&self) -> bool {
        matches!(self.setting, Ok(Some(Setting { offload: true, .. })))
    }
}

/// Facts, answer and remarks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The answer.
    pub verdict: Verdict,
    /// What it was drawn from.
    pub facts: Facts,
    /// What the reader should know besides.
    pub remarks: Vec<Finding>,
}

/// Asks the kernel and judges. What it does not tell, for lack of privilege, is among the remarks.
pub fn ask(files: &Files) -> Status {
    let mut modules = modules::survey(files);
    let (flowtables, (rules, orphans), refused) = match ruleset(&mut modules) {
        Ok((flowtables, rules)) => (flowtables, rules, None),
        Err(finding) => (Vec::new(), (Vec::new(), Vec::new()), Some(finding)),
    };
    let config = setting::read(files);
    let uncommitted = files.read_or_empty(setting::UNCOMMITTED);
    let facts = Facts {
        kernel: modules::kernel_release(files),
        flowtables,
        rules,
        orphans,
        refused,
        devices: devices(files),
        stacks: Devices::read(files),
        flows: totals::count(files, &modules),
        accounting: flows::accounting(files),
        setting: config
            .as_ref()
            .map_err(Clone::clone)
            .map(|config| config.as_ref().map(|config| Setting::of(config).with(config, &uncommitted))),
        refused_setting: config.ok().flatten().as_ref().and_then(setting::refused),
        is_uncommitted: !uncommitted.is_empty(),
        hardware: hardware::capabilities(files).map(sorted),
        has_table: hardware::bound(files).is_some(),
        modules,
    };
    let (verdict, remarks) = judge(&facts);
    Status { verdict, facts, remarks }
}

/// By name, without the loopback device, which has no driver.
fn sorted(mut devices: Vec<(String, Capability)>) -> Vec<(String, Capability)> {
    devices.retain(|(name, _)| name != "lo");
    devices.sort_by(|(one, _), (other, _)| one.cmp(other));
    devices
}

/// Rules with `flow add`: those that packets come to, and those that they do not.
type FlowRules = (Vec<FlowRule>, Vec<FlowRule>);

fn ruleset(modules: &mut [Module]) -> Result<(Vec<Flowtable>, FlowRules), Finding> {
    // On disk only: there is no ruleset, and to ask for it would load the module.
    if modules::state_of(modules, "nf_tables") == State::Loadable {
        return Ok((Vec::new(), FlowRules::default()));
    }
    let flowtables = match nftables::flowtables() {
        Ok(flowtables) => flowtables,
        Err(Trouble::NotThere) => return Ok((Vec::new(), FlowRules::default())),
        Err(trouble) => return Err(trouble.finding("the flowtables")),
    };
    let rules = nftables::flow_rules().map_err(|trouble| trouble.finding("the rules"))?;
    // What answers is there, even if no list of modules names it.
    let proven: [(&[&str], bool); 3] = [
        (&["nfnetlink", "nf_tables"], true),
        (&["nf_flow_table"], !flowtables.is_empty()),
        (&["nft_flow_offload"], !rules.is_empty()),
    ];
    for module in modules.iter_mut().filter(|module| module.state == State::Missing) {
        if proven.iter().any(|(names, proven)| *proven && names.contains(&module.name)) {
            module.state = State::Builtin;
        }
    }
    Ok((flowtables, sort(modules, rules)?))
}

/// Tells rules that packets come to from those in chains that nothing calls.
fn sort(modules: &[Module], rules: Vec<FlowRule>) -> Result<FlowRules, Finding> {
    if rules.is_empty() {
        return Ok(FlowRules::default());
    }
    let all = inquiry::ruleset(modules).map_err(|trouble| trouble.finding("the rules"))?;
    Ok(rules.into_iter().partition(|rule| {
        let is_it = |known: &&Rule| {
            (known.family, &known.table, &known.chain, known.handle)
                == (rule.family, &rule.table, &rule.chain, rule.handle)
        };
        all.rules.iter().find(is_it).is_none_or(|rule| all.is_reachable(rule, Hook::Forward))
    }))
}

/// Whether the kernel does what was wished for.
///
/// # Errors
/// It does not, or the rules cannot be read.
pub fn follows(files: &Files, wish: Wish) -> Result<(), Finding> {
    let (flowtables, (rules, _)) = ruleset(&mut modules::survey(files))?;
    fulfils(wish, &flowtables, &rules, &devices(files))?;
    let capabilities = hardware::capabilities(files);
    let has_table = hardware::bound(files).is_some();
    is_offered(wish, hardware::offers(capabilities.as_deref(), has_table, |_| true))
}

/// Whether devices can do what was wished for; `offers` is `None` where they do not say.
///
/// # Errors
/// Hardware was wished for, and no device offers to offload.
pub fn is_offered(wish: Wish, offers: Option<bool>) -> Result<(), Finding> {
    match offers {
        Some(false) if wish == Wish::Hardware => Err(Finding::new(
            "OCTL027",
            "no device of this router offers hardware offload",
            "the kernel takes the flag on any device, as OpenWrt's do, and would work in software",
            "run: offloadctl enable (without --hw)",
        )),
        _ => Ok(()),
    }
}

/// Judges the flowtables of the firewall; those of other tables are not its business.
///
/// # Errors
/// They are not what was wished for.
pub fn fulfils(
    wish: Wish,
    flowtables: &[Flowtable],
    rules: &[FlowRule],
    devices: &BTreeSet<String>,
) -> Result<(), Finding> {
    let mut working =
        flowtables.iter().filter(|flowtable| flowtable.table == "fw4" && can_work(flowtable, rules, devices));
    let fulfilled = match wish {
        Wish::Software => working.any(|flowtable| !flowtable.hardware),
        Wish::Hardware => working.any(|flowtable| flowtable.hardware),
        Wish::Off => working.next().is_none(),
    };
    if fulfilled {
        return Ok(());
    }
    Err(Finding::new(
        "OCTL022",
        format!("the kernel did not follow: flow offload is not {}", wish.name()),
        "the firewall was reloaded without an error, but its flowtable is not as it should be",
        "see what offloadctl status says, and what fw4 print has under 'flowtable'",
    ))
}

fn devices(files: &Files) -> BTreeSet<String> {
    procfs::devices(&files.read_or_empty("/proc/net/dev")).into_iter().collect()
}

/// Whether a device of a flowtable exists; a trailing `*` stands for all that begin so.
fn is_present(device: &str, devices: &BTreeSet<String>) -> bool {
    match device.strip_suffix('*') {
        Some(prefix) => devices.iter().any(|known| known.starts_with(prefix)),
        None => devices.contains(device),
    }
}

/// Whether a flowtable has a device that exists and a rule that fills it.
fn can_work(flowtable: &Flowtable, rules: &[FlowRule], devices: &BTreeSet<String>) -> bool {
    flowtable.devices.iter().any(|device| is_present(device, devices)) && rules.iter().any(|rule| rule.fills(flowtable))
}

/// The answer and the remarks, from the facts alone.
pub fn judge(facts: &Facts) -> (Verdict, Vec<Finding>) {
    let working: Vec<_> =
        facts.flowtables.iter().filter(|flowtable| can_work(flowtable, &facts.rules, &facts.devices)).collect();
    let verdict = if facts.refused.is_some() {
        Verdict::Unknown
    } else if facts.offers_hardware() != Some(false) && working.iter().any(|flowtable| flowtable.hardware) {
        Verdict::OnHardware
    } else if !working.is_empty() {
        Verdict::OnSoftware
    } else if facts.flowtables.is_empty() && !facts.asks_for_offload() {
        Verdict::Off
    } else {
        Verdict::NotWorking
    };
    let mut remarks: Vec<_> = facts.refused.iter().cloned().collect();
    if working.is_empty() {
        // Without a ruleset that proves it, a module that no list names may still be built in.
        let missing = facts.refused.is_none().then(|| modules_not_ready(&facts.modules, State::Missing));
        remarks.extend(missing.flatten());
        remarks.extend(modules_not_ready(&facts.modules, State::Loadable));
    }
    for flowtable in &facts.flowtables {
        remarks.extend(about_flowtable(facts, flowtable));
    }
    remarks.extend(facts.refused_setting.clone());
    remarks.extend(about_setting(facts, verdict));
    remarks.extend(about_flows(facts, verdict));
    (verdict, remarks)
}

fn modules_not_ready(modules: &[Module], state: State) -> Option<Finding> {
    let concerned = modules.iter().filter(|module| module.state == state && module.purpose == Purpose::Offload);
    let names: Vec<_> = concerned.clone().map(|module| module.name).collect();
    let mut packages: Vec<_> = concerned.map(|module| module.package).collect();
    packages.dedup();
    if names.is_empty() {
        return None;
    }
    Some(match state {
        State::Loadable => Finding::new(
            "OCTL102",
            format!("not loaded: {}", names.join(" ")),
            "the modules are installed, and nothing has asked for them yet",
            "run: offloadctl enable; or load each with modprobe",
        ),
        _ => Finding::new(
            "OCTL101",
            format!("no such modules for this kernel: {}", names.join(" ")),
            "flows cannot be offloaded without them, unless the kernel has them built in without saying so",
            format!("install {} (apk add, or opkg update and opkg install)", packages.join(" ")),
        ),
    })
}

fn about_flowtable(facts: &Facts, flowtable: &Flowtable) -> Vec<Finding> {
    let name = format!("flowtable {}", flowtable.place());
    let mut remarks = Vec::new();
    let (present, absent): (Vec<&str>, Vec<&str>) =
        flowtable.devices.iter().map(String::as_str).partition(|device| facts.is_present(device));
    match (&present[..], &absent[..]) {
        ([], []) => remarks.push(Finding::new(
            "OCTL103",
            format!("{name} has no devices"),
            "it looks at the packets of its own devices only; they may have disappeared since it was made",
            "name the LAN and the WAN device in it, or run: service firewall restart",
        )),
        (_, [_, ..]) => remarks.push(Finding::new(
            "OCTL104",
            format!("{name} names devices that do not exist: {}", absent.join(" ")),
            "packets of other devices take the slow path",
            "correct the names, or bring the devices up and run: service firewall restart",
        )),
        ([only], []) if !only.ends_with('*') && !is_trunk(facts, flowtable) => remarks.push(Finding::new(
            "OCTL105",
            format!("{name} has one device only: {only}"),
            "packets that come in through another device take the slow path, so half of each flow does; \
             kernels newer than 6.12 offload none of it",
            "add the device on the other side",
        )),
        _ => {}
    }
    remarks.extend(about_stacks(facts, flowtable, &name));
    if !facts.rules.iter().any(|rule| rule.fills(flowtable)) {
        let orphan = facts.orphans.iter().find(|rule| rule.fills(flowtable));
        remarks.push(Finding::new(
            "OCTL106",
            format!("no rule {}adds flows to {name}", if orphan.is_some() { "that packets come to " } else { "" }),
            orphan.map_or("a flowtable stays empty until a rule in a forward chain says so".to_owned(), |rule| {
                format!("nothing leads to chain {}, which has the rule with 'flow add'", rule.chain)
            }),
            orphan.map_or(
                format!("add 'flow add @{}' to the forward chain, before any rule that accepts", flowtable.name),
                |rule| format!("add 'jump {}' to the forward chain, before any rule that accepts", rule.chain),
            ),
        ));
    } else if !flowtable.counter {
        remarks.push(Finding::new(
            "OCTL107",
            format!("{name} does not count"),
            "packets and bytes of its flows stand still once they are offloaded",
            "add 'counter' to the flowtable and make it anew: it cannot be changed in place",
        ));
    }
    remarks
}

/// Whether the flowtable sees packets of two devices with routes on the one that it has, as on a router with one card.
fn is_trunk(facts: &Facts, flowtable: &Flowtable) -> bool {
    let sides = facts.stacks.tops().map(|top| facts.stacks.side(&top.name, None));
    sides.filter(|side| matches!(side.seen(&flowtable.devices), Seen::On(_))).count() > 1
}

/// Devices that were listed for an uplink whose packets the flowtable still does not see.
fn about_stacks(facts: &Facts, flowtable: &Flowtable, name: &str) -> Option<Finding> {
    let list = &flowtable.devices;
    facts.stacks.tops().find_map(|top| {
        let side = facts.stacks.side(&top.name, None);
        let why = side.useless(list).filter(|_| side.seen(list) == Seen::Not)?;
        let wanted = side.wanted();
        Some(Finding::new(
            "OCTL115",
            format!("{name} does not see the packets of {}", top.name),
            why,
            format!(
                "have it name {wanted}; until the next reload, and for new connections, run: {}",
                flowtable.adding(wanted)
            ),
        ))
    })
}

/// Where the configuration and the kernel do not agree.
fn about_setting(facts: &Facts, verdict: Verdict) -> Vec<Finding> {
    let no_hardware = facts.offers_hardware() == Some(false);
    let is_accepted = facts.flowtables.iter().any(|flowtable| flowtable.hardware);
    let setting = match &facts.setting {
        Ok(Some(setting)) => *setting,
        // Without a configuration nothing disagrees with it.
        Ok(None) => Setting { offload: matches!(verdict, Verdict::OnHardware | Verdict::OnSoftware), hardware: false },
        Err(finding) => return vec![finding.clone()],
    };
    let remark = match (setting, verdict) {
        (Setting { offload: true, .. }, Verdict::NotWorking) if facts.flowtables.is_empty() => Some(Finding::new(
            "OCTL112",
            "offload is configured and does not run",
            "the kernel has no flowtable: the firewall is not started, was not reloaded, failed, or found no device. It takes \
             those of the zones' networks; what a zone has as 'list device' is not among them",
            "run: fw4 check, then: service firewall restart; fw4 print shows whether it makes a flowtable",
        )),
        (Setting { offload: true, hardware: true }, Verdict::OnSoftware) if no_hardware => {
            (!is_accepted).then(|| about_no_hardware(false))
        }
        (Setting { offload: true, hardware: true }, Verdict::OnSoftware) => Some(Finding::new(
            "OCTL113",
            "hardware offload is configured, and the flowtable is one for software",
            "the firewall was not reloaded since, a device refused and it fell back, or another table has the flowtable",
            "run: service firewall restart",
        )),
        (Setting { offload: false, .. }, Verdict::OnHardware | Verdict::OnSoftware) => Some(Finding::new(
            "OCTL114",
            "offload runs and is not configured",
            "an include or another program made the flowtable, or the firewall was not reloaded since",
            "if that is not intended, run: service firewall restart",
        )),
        _ => None,
    };
    // Whoever asked for it: the configuration, or rules that somebody wrote.
    remark.into_iter().chain((is_accepted && no_hardware).then(|| about_no_hardware(true))).collect()
}

fn about_no_hardware(is_accepted: bool) -> Finding {
    Finding::new(
        "OCTL111",
        "hardware offload is asked for, and no device offers it",
        if is_accepted {
            "this kernel, as OpenWrt's do, takes 'flags offload' on any device; flows are offloaded in software all the same"
        } else {
            "the kernel refused it, and the firewall fell back to software offload, which works"
        },
        "run: offloadctl enable (without --hw), or take the flag out of your own rules; where a driver could (off, above), \
         switch it on: ethtool -K DEVICE hw-tc-offload on",
    )
}

fn about_flows(facts: &Facts, verdict: Verdict) -> Vec<Finding> {
    let mut remarks = Vec::new();
    match &facts.flows {
        Ok(flows) if verdict == Verdict::OnHardware => {
            let (software, hardware) = (flows.on(Path::Software).flows, flows.on(Path::Hardware).flows);
            if software > 0 && hardware == 0 {
                remarks.push(Finding::new(
                    "OCTL108",
                    format!("hardware is asked for, and all {software} offloaded flows are in software"),
                    match facts.offers_hardware() {
                        Some(_) => "the driver refused these flows: it may not know their encapsulation, or its table is full",
                        None => "this kernel does not tell whether a device can: OpenWrt's take 'flags offload' on any device",
                    },
                    "look at dmesg and at the driver's documentation; software offload goes on working",
                ));
            }
        }
        Ok(_) => {}
        Err(finding) => remarks.push(finding.clone()),
    }
    if facts.accounting == Some(false) {
        remarks.push(Finding::new(
            "OCTL109",
            "connections are not counted",
            "nf_conntrack_acct is 0, so new flows have no packet and byte counters",
            "run: sysctl -w net.netfilter.nf_conntrack_acct=1",
        ));
    }
    remarks
}
