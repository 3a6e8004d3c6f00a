//! `doctor`: what is known not to go well with flow offload, as data. Each entry has a probe over facts;
//! [`crate::examination`] collects them.
//!
//! What is said here was measured with real packets on kernels 6.1, 6.12 and 7.2, or follows from the kernel's conditions.

use crate::devices::{Devices, Kind};
use crate::finding::Finding;
use crate::nftables::Flowtable;
use crate::passed::{self, Redirected};
use crate::ruleset::{self, Expression, Rule, Verdict};
use crate::trace::Ruleset;
use crate::uci::{Config, Section};

/// What the probes look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Release of the running kernel.
    pub kernel: String,
    /// Kernels in `/lib/modules` that have the module for offload.
    pub kernels_with_module: Vec<String>,
    /// Modules in the running kernel.
    pub modules: Vec<String>,
    /// Flowtables.
    pub flowtables: Vec<Flowtable>,
    /// Chains and rules.
    pub ruleset: Ruleset,
    /// Devices.
    pub devices: Devices,
    /// Queueing disciplines by device.
    pub queues: Vec<(String, String)>,
    /// Devices that redirect packets as they come in, as for an ifb device that shapes them.
    pub redirecting: Vec<String>,
    /// Number of routing rules that go by a mark.
    pub marked_rules: usize,
    /// Addresses of this router for which IPsec encrypts packets that leave.
    pub ipsec_addresses: Vec<String>,
    /// Configurations that are there, by the name of their file.
    pub configs: Vec<(&'static str, Config)>,
}

impl Facts {
    fn config(&self, name: &str) -> Option<&Config> {
        self.configs.iter().find(|(known, _)| *known == name).map(|(_, config)| config)
    }

    /// Devices of any flowtable.
    fn offloaded(&self) -> impl Iterator<Item = &str> {
        self.flowtables.iter().flat_map(|flowtable| &flowtable.devices).map(String::as_str)
    }

    /// Rules that offloaded packets pass by.
    fn passed_by(&self, wanted: &dyn Fn(&Rule) -> bool) -> Option<String> {
        places(&passed::rules(&self.ruleset, &self.devices, &self.flowtables, wanted))
    }

    /// What becomes of packets that devices redirect as they come in.
    fn redirected(&self, wanted: Redirected) -> impl Iterator<Item = &String> {
        let becomes = move |device: &&String| passed::redirected(device, &self.devices, &self.flowtables) == wanted;
        self.redirecting.iter().filter(becomes)
    }

    fn is_queue_passed_by(&self, device: &str) -> bool {
        passed::is_queue_passed_by(device, &self.devices, &self.flowtables)
    }
}

/// Something that does not go well with flow offload.
pub struct Conflict {
    id: &'static str,
    what: &'static str,
    why: &'static str,
    fix: &'static str,
    /// Where it was seen.
    probe: fn(&Facts) -> Option<String>,
}

/// All that is known, the most disturbing first.
pub const CONFLICTS: [Conflict; 15] = [
    Conflict {
        id: "OCTL301",
        what: "modules for offload are there for another kernel only",
        why: "a module loads into the kernel it was built for; after an upgrade the old packages are of no use",
        fix: "install kmod-nft-offload anew, from the feed of this very release",
        probe: |facts| {
            let others = &facts.kernels_with_module;
            (!others.is_empty() && !others.contains(&facts.kernel)).then(|| others.join(" "))
        },
    },
    Conflict {
        id: "OCTL302",
        what: "another fast path is loaded",
        why: "two of them take packets from each other, and neither sees whole connections",
        fix: "remove it, or turn flow offload off",
        probe: |facts| seen(facts.modules.iter().filter(|name| OTHER_FAST_PATHS.contains(&name.as_str()))),
    },
    Conflict {
        id: "OCTL303",
        what: "incoming packets are shaped on offloaded devices",
        why: "redirecting them to an ifb device takes them away before the flowtable, so that nothing that comes in there \
              is offloaded; shaping what goes out does work together with software offload",
        fix: "choose: either shape the download (sqm, qos) or offload it; to shape the upload only, set download to 0",
        probe: |facts| seen(facts.redirected(Redirected::Before)),
    },
    Conflict {
        id: "OCTL304",
        what: "sqm or qos is configured",
        why: "hardware offload passes every shaper by. In software, shaping the download on the device that the flowtable looks \
              at keeps packets out of it, and on a device above it they pass the shaper by",
        fix: "with software offload, shape the upload only (download 0), on the lowest device of the line; or turn one of \
              them off",
        probe: |facts| {
            let queues = enabled(facts, "sqm", "queue").into_iter().filter(|queue| is_disturbed(facts, *queue));
            let interfaces = enabled(facts, "qos", "interface").into_iter().map(|_| "qos");
            let mut names: Vec<_> = queues.map(|_| "sqm").chain(interfaces).collect();
            names.dedup();
            seen(names.iter())
        },
    },
    Conflict {
        id: "OCTL313",
        what: "a shaper is passed by",
        why: "offloaded packets come and go by the device that the flowtable looks at, and do not meet what stands on the \
              devices above it; hardware offload passes every shaper by",
        fix: "put the shaper on the lowest device of the line, have the flowtable name the device that is shaped in place of \
              the one below, or turn flow offload off",
        probe: |facts| {
            let shapers = facts.queues.iter().filter(|(_, kind)| passed::is_shaper(kind));
            let leaving = shapers.filter(|(device, _)| facts.is_queue_passed_by(device));
            let coming = facts.redirected(Redirected::PassedBy).map(|device| format!("ifb behind {device}"));
            let mut texts: Vec<_> = leaving.map(|(device, kind)| format!("{kind} on {device}")).chain(coming).collect();
            texts.dedup();
            seen(texts.iter())
        },
    },
    Conflict {
        id: "OCTL314",
        what: "forwarded packets are handed to a program",
        why: "the program, for instance one against intruders, sees the first packets of an offloaded connection only",
        fix: "except what it has to see in whole from 'flow add'; one that looks at first packets needs no change",
        probe: |facts| {
            let is_queue = |expression: &Expression| *expression == Expression::Verdict(Verdict::Queue);
            facts.passed_by(&|rule| rule.expressions.iter().any(is_queue))
        },
    },
    Conflict {
        id: "OCTL315",
        what: "a tunnel of IPv6 in IPv4 is in the flowtable",
        why: "TCP through it stalls: the kernel merges segments that come in by the tunnel, and loses them where the flowtable \
              takes them from there; datagrams pass",
        fix: "have the flowtable do without the tunnel: what comes in by it takes the slow path then, and arrives",
        probe: |facts| {
            let is_one = |name: &&str| facts.devices.get(name).is_some_and(|device| device.kind == Kind::SixInFour);
            seen(facts.offloaded().filter(is_one))
        },
    },
    Conflict {
        id: "OCTL305",
        what: "routes are chosen by marks",
        why: "an offloaded connection keeps the route of its first packets, found without the mark perhaps, so that mwan3, \
              pbr and the like may see it leave through another device",
        fix: "try it with your rules; if connections take the wrong way, turn flow offload off",
        probe: |facts| match facts.marked_rules {
            0 => {
                let users = [("mwan3", "interface"), ("pbr", "pbr")];
                seen(users.iter().filter(|(name, kind)| !enabled(facts, name, kind).is_empty()).map(|(name, _)| name))
            }
            number => Some(format!("{number} routing rules")),
        },
    },
    Conflict {
        id: "OCTL306",
        what: "forwarded packets are logged",
        why: "an offloaded connection shows in the log with its first packets only: 2 lines instead of 56 in a test",
        fix: "read such logs as lists of connections, or except them from offload",
        probe: |facts| facts.passed_by(&|rule| passed::has(rule, "log")),
    },
    Conflict {
        id: "OCTL307",
        what: "the bytes of forwarded packets are changed, limited or counted by rules",
        why: "offloaded packets pass these rules by: in a test 1 of 204 packets had its DSCP rewritten",
        fix: "move what has to see every packet to a device's ingress or egress hook, or except it from offload",
        probe: |facts| {
            // Changed TCP options, which every OpenWrt has, concern the first packets only.
            let names = ["payload set", ruleset::ADDRESS_SET, "quota", "limit", ruleset::LIMIT_BYTES];
            facts.passed_by(&|rule| names.iter().any(|name| passed::has(rule, name)) && !passed::has(rule, "log"))
        },
    },
    Conflict {
        id: "OCTL308",
        what: "traffic is accounted for by connection",
        why: "counters of offloaded connections stand still unless the flowtable has 'counter', and lag behind in hardware",
        fix: "take care that the flowtable has 'counter' (offloadctl status says so), and read the sums late",
        probe: |facts| {
            let is_lagging = facts.flowtables.iter().any(|flowtable| flowtable.hardware || !flowtable.counter);
            seen(["nlbwmon"].iter().filter(|name| is_lagging && facts.config(name).is_some()))
        },
    },
    Conflict {
        id: "OCTL309",
        what: "stacked devices on an old kernel",
        why: "kernels before 5.13 do not look below bridges, VLANs and PPP sessions, and offload nothing there",
        fix: "update to OpenWrt 22.03 or newer",
        probe: |facts| {
            let devices: Vec<_> = facts.offloaded().collect();
            let is_stacked = |kind: Kind| matches!(kind, Kind::Vlan | Kind::Bridge | Kind::Ppp);
            let stacked = facts.devices.list.iter().filter(|device| facts.devices.is_old && is_stacked(device.kind));
            seen(stacked.map(|device| &device.name).filter(|name| devices.contains(&name.as_str())))
        },
    },
    Conflict {
        id: "OCTL310",
        what: "offloaded devices differ in their MTU",
        why: "packets above the smaller one take the slow path to be fragmented or refused",
        fix: "turn on MSS clamping: option mtu_fix '1' in the zone of that device",
        probe: |facts| {
            let devices: Vec<_> = facts.offloaded().collect();
            let members: Vec<_> =
                facts.devices.list.iter().filter(|device| devices.contains(&device.name.as_str())).collect();
            let differ =
                members.windows(2).any(|pair| pair.first().map(|one| one.mtu) != pair.last().map(|one| one.mtu));
            let texts: Vec<_> = members.iter().map(|device| format!("{} {}", device.name, device.mtu)).collect();
            seen(texts.iter().filter(|_| differ && !clamps(facts)))
        },
    },
    Conflict {
        id: "OCTL311",
        what: "IPsec policies are for addresses of this router",
        why: "offloaded packets whose sender is translated to such an address leave unencrypted: the flowtable asks for \
              policies before addresses are translated only, and in a test 198 of 200 left so",
        fix: "except what the policies cover from 'flow add', or encrypt before translation, by policies for the LAN's \
              addresses; what needs no translation is encrypted, offloaded or not",
        probe: |facts| {
            let is_concerned = !facts.flowtables.is_empty();
            seen(facts.ipsec_addresses.iter().filter(|_| is_concerned))
        },
    },
    Conflict {
        id: "OCTL312",
        what: "helpers of connection tracking are loaded",
        why: "a helper has to see each packet of the connections that it reads along, such as FTP's commands or SIP, so that \
              those stay on the slow path",
        fix: "nothing needs fixing: the connections that they announce are offloaded; to offload all of them, remove the \
              helper's package (kmod-nf-nathelper, kmod-nf-nathelper-extra)",
        probe: |facts| {
            let loaded = facts.modules.iter().filter_map(|name| name.strip_prefix("nf_conntrack_"));
            seen(loaded.filter(|name| HELPERS.contains(name)))
        },
    },
];

/// What the names of the helpers' modules have after `nf_conntrack_`.
const HELPERS: [&str; 10] = ["amanda", "ftp", "h323", "irc", "netbios_ns", "pptp", "sane", "sip", "snmp", "tftp"];

/// Modules of fast paths that are not nftables' own.
const OTHER_FAST_PATHS: [&str; 5] = ["shortcut_fe", "fast_classifier", "ecm", "mtkhnat", "xt_FLOWOFFLOAD"];

/// What of all that is known is seen here.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let finding = |conflict: &Conflict| {
        let Conflict { id, what, why, fix, probe } = conflict;
        Some(Finding::new(id, format!("{what}: {}", probe(facts)?), *why, *fix))
    };
    CONFLICTS.iter().filter_map(finding).collect()
}

/// The names, unless there are none.
fn seen<T: AsRef<str>>(names: impl Iterator<Item = T>) -> Option<String> {
    let names: Vec<_> = names.map(|name| name.as_ref().to_owned()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn places(rules: &[&Rule]) -> Option<String> {
    let first = rules.first()?;
    let more = match rules.len() - 1 {
        0 => String::new(),
        number => format!(" and {number} more"),
    };
    Some(format!("{} {} handle {}{more}", first.table, first.chain, first.handle))
}

/// Sections of a type that are switched on.
fn enabled(facts: &Facts, name: &str, kind: &str) -> Vec<Section> {
    let Some(config) = facts.config(name) else { return Vec::new() };
    let is_on = |section: &Section| config.option(*section, "enabled") == Some(b"1");
    config.sections(kind).into_iter().filter(is_on).collect()
}

/// Whether a queue of sqm does not shape what it is to shape, or keeps packets from being offloaded.
fn is_disturbed(facts: &Facts, queue: Section) -> bool {
    let Some(config) = facts.config("sqm") else { return false };
    let option = |name| config.option(queue, name).map(String::from_utf8_lossy);
    let is_off = |name| option(name).is_some_and(|rate| rate == "0");
    let passed = option("interface").is_none_or(|device| facts.is_queue_passed_by(&device));
    !is_off("download") || (!is_off("upload") && passed)
}

/// Whether some zone of the firewall clamps the size of TCP segments.
fn clamps(facts: &Facts) -> bool {
    let Some(config) = facts.config("firewall") else { return false };
    config.sections("zone").into_iter().any(|zone| config.option(zone, "mtu_fix") == Some(b"1"))
}
