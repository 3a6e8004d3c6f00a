//! The harness's own eyes on the router: a table of its own that counts each flow in the forward hook.
//!
//! Scenarios bring whatever ruleset they like; this table stands beside it, lets everything pass, and counts the
//! packets of every flow and direction before any other chain can drop them. Its elements are added by packets
//! (a dynamic set), so flows need not be known beforehand.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Count, Deadline, Exit, Failure, Problem, Result};
use vm::guest::Guest;

use crate::below::{self, Below};
use crate::counters::{Key, elements};
use crate::probes::{self, Conntrack};

/// How long the router may take to answer.
const COMMAND: Duration = Duration::from_secs(60);

/// The table's name: rulesets may not use it.
pub const TABLE: &str = "probe";

/// Makes the table. Without accounting conntrack has no counters to compare.
const SET_UP: &str = "
sysctl -w net.netfilter.nf_conntrack_acct=1 >/dev/null 2>&1
nft -f - <<'RULES'
add table inet probe
delete table inet probe
table inet probe {
	set forwarded {
		type inet_proto . inet_service . inet_service
		size 65535
		flags dynamic
	}
	set echoed4 {
		typeof icmp type . icmp id
		size 65535
		flags dynamic
	}
	set echoed6 {
		typeof icmpv6 type . icmpv6 id
		size 65535
		flags dynamic
	}
	chain forward {
		type filter hook forward priority -500; policy accept;
		meta l4proto { tcp, udp } update @forwarded { meta l4proto . th sport . th dport counter }
		icmp type { echo-request, echo-reply } update @echoed4 { icmp type . icmp id counter }
		icmpv6 type { echo-request, echo-reply } update @echoed6 { icmpv6 type . icmpv6 id counter }
	}
}
RULES";

/// Asks for everything at once: answers cost more time than their length.
const LOOK: [&str; 2] = ["nft list table inet probe && { ", "cat /proc/net/nf_conntrack 2>/dev/null; true; }"];

/// What the router says about all flows at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// What the forward hook saw.
    pub forwarded: BTreeMap<Key, Count>,
    /// What passed below it, on a router with a card that offloads.
    pub below: Option<Below>,
    /// The text of the connection table.
    pub table: String,
}

impl Look {
    /// Makes the table on a router whose nftables modules are loaded.
    pub fn set_up(guest: &mut dyn Guest) -> Result<()> {
        let output = guest.script(SET_UP, Deadline::after(COMMAND))?;
        if output.success() { Ok(()) } else { Err(blind("be set up", &output.text())) }
    }

    /// Looks now; below too if the router has a card that offloads.
    pub fn take(guest: &mut dyn Guest, card: bool) -> Result<Look> {
        let below = if card { below::LOOK } else { "" };
        let output = guest.script(&LOOK.join(below), Deadline::after(COMMAND))?;
        if output.success() { Look::parse(&output.text(), card) } else { Err(blind("be read", &output.text())) }
    }

    fn parse(text: &str, card: bool) -> Result<Look> {
        // The table's text comes first and ends with its last brace.
        let end = text.rfind('}').ok_or_else(|| blind("be read", text))?;
        let (set, table) = text.split_at(end);
        let (set, below) = set.split_at(set.find(below::BEGINS).unwrap_or(set.len()));
        let below = card.then(|| Below::parse(below));
        Ok(Look { forwarded: elements(set), below, table: table.trim_start_matches('}').to_owned() })
    }

    /// What the forward hook saw of one direction; nothing so far if it is not known.
    pub fn forwarded(&self, key: Key) -> Count {
        self.forwarded.get(&key).copied().unwrap_or_default()
    }

    /// The entry of a flow, by the ports as they were sent.
    pub fn conntrack(&self, (proto, source, destination): Key) -> Option<Conntrack> {
        probes::find_flow(&self.table, proto.word(), source, destination)
    }
}

fn blind(doing: &str, text: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "SCEN004",
        what: format!("the counters in the forward hook could not {doing}"),
        why: format!("the router answered: {}", text.trim()),
        fix: format!(
            "the router needs nftables before the first `open`, and table `inet {TABLE}` belongs to the harness"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Proto;

    // As nft 1.1.3 prints it.
    const SET: &str = "table inet probe {\n\tset forwarded {\n\t\ttype inet_proto . inet_service . inet_service\n\t\tsize 65535\n\t\tflags dynamic\n\t\tcounter\n\t\telements = { tcp . 49152 . 7007 counter packets 12 bytes 18000,\n\t\t\t     17 . 7008 . 49153 counter packets 1 bytes 1028 }\n\t}\n}\n";
    const FLOW: &str = "ipv4     2 udp      17 src=192.168.1.2 dst=203.0.113.2 sport=49153 dport=7008 packets=5 bytes=60 src=203.0.113.2 dst=203.0.113.1 sport=7008 dport=49153 packets=5 bytes=60 [OFFLOAD] mark=0 zone=0 use=3\n";

    #[test]
    fn each_direction_of_each_flow_has_its_counter() {
        let look = Look::parse(&format!("{SET}{FLOW}"), false).unwrap();
        assert_eq!(look.forwarded((Proto::Tcp, 49152, 7007)), Count { packets: 12, bytes: 18_000 });
        assert_eq!(look.forwarded((Proto::Udp, 7008, 49153)), Count { packets: 1, bytes: 1028 });
        assert_eq!(look.forwarded((Proto::Udp, 49153, 7008)), Count::default());
        let echoes =
            "elements = { echo-request . 7 counter packets 3 bytes 252, echo-reply . 7 counter packets 2 bytes 168 } }";
        let look_at_echo = Look::parse(echoes, false).unwrap();
        assert_eq!(look_at_echo.forwarded((Proto::Icmp, 7, 0)).packets, 3);
        assert_eq!(look_at_echo.forwarded((Proto::Icmp, 0, 7)).packets, 2);
        assert!(look.conntrack((Proto::Udp, 49153, 7008)).unwrap().is_marked_offloaded());
        assert_eq!(look.conntrack((Proto::Tcp, 49153, 7008)), None);
    }

    #[test]
    fn what_passed_below_is_told_from_what_was_forwarded() {
        let below = "below:\ntable netdev probe {\n\tset ingress {\n\t\telements = { tcp . 49152 . 7007 counter packets 3 bytes 200 }\n\t}\n}\n\
            00001 BND IPv4 5T orig=192.168.1.2:49153->203.0.113.2:7008 proto=udp packets=9 bytes=90\n}\n";
        let look = Look::parse(&format!("{SET}{below}{FLOW}"), true).unwrap();
        assert_eq!(look.forwarded((Proto::Tcp, 49152, 7007)).packets, 12);
        let seen = look.below.as_ref().unwrap();
        assert_eq!(seen.ingress((Proto::Tcp, 49152, 7007)).packets, 3);
        assert_eq!(seen.rule((Proto::Udp, 49153, 7008)), Some(Count { packets: 9, bytes: 90 }));
        assert!(look.conntrack((Proto::Udp, 49153, 7008)).is_some());
        // The driver is gone, and what it had with it.
        let gone = Look::parse(&format!("{SET}below:\n}}\n{FLOW}"), true).unwrap();
        assert_eq!(gone.below, Some(Below::default()));
        assert_eq!(gone.forwarded.len(), 2);
    }

    #[test]
    fn an_empty_set_is_no_count_and_no_set_is_blocked() {
        let empty = "table inet probe {\n\tset forwarded {\n\t\tflags dynamic\n\t}\n}\n";
        assert_eq!(Look::parse(empty, false).unwrap(), Look { table: "\n".into(), ..Look::default() });
        let failure = Look::parse("Error: No such file or directory", false).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SCEN004", Exit::Blocked));
    }
}
