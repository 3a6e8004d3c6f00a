//! What goes on below the forward hook on a router with a card that offloads: packets that still come up to the ingress
//! hook of its ports, ahead of the flowtable, and what the card's own table says of those that do not.

use std::collections::BTreeMap;

use model::Count;

use crate::counters::{Key, elements};
use crate::scenario::Proto;

/// Counts each direction of each flow as it comes up from the card, VLAN or not. A PPPoE line's packets it cannot tell.
pub(crate) const SET_UP: &str = "
nft -f - <<'RULES'
add table netdev probe
delete table netdev probe
table netdev probe {
	set ingress {
		type inet_proto . inet_service . inet_service
		size 65535
		flags dynamic
	}
	chain count {
		meta l4proto { tcp, udp } update @ingress { meta l4proto . th sport . th dport counter }
	}
	chain lan {
		type filter hook ingress device lan0 priority -500; policy accept;
		jump count
	}
	chain wan {
		type filter hook ingress device wan0 priority -500; policy accept;
		jump count
	}
}
RULES";

/// Prints both, the card's table last and a brace after it; what the driver took with it need not be there.
pub(crate) const LOOK: &str =
    "echo below:; { nft list table netdev probe; cat /sys/kernel/debug/ppe0/bind; } 2>/dev/null; echo '}'; ";

/// What it begins with.
pub(crate) const BEGINS: &str = "below:\n";

/// What was seen at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Below {
    /// What the ingress hook saw of each direction.
    ingress: BTreeMap<Key, Count>,
    /// What the card sent on by each of its rules.
    rules: BTreeMap<Key, Count>,
}

impl Below {
    /// Reads what [`LOOK`] printed.
    pub(crate) fn parse(text: &str) -> Below {
        Below { ingress: elements(text), rules: text.lines().filter_map(rule).collect() }
    }

    /// What the ingress hook saw of a direction, by the ports as they come in.
    pub(crate) fn ingress(&self, key: Key) -> Count {
        self.ingress.get(&key).copied().unwrap_or_default()
    }

    /// What the card sent on of it; `None` without a rule for it.
    pub(crate) fn rule(&self, key: Key) -> Option<Count> {
        self.rules.get(&key).copied()
    }
}

/// A line of the card's table: `0369c BND IPv4 5T orig=A:p->B:q new=… proto=udp … packets=N bytes=N`.
fn rule(line: &str) -> Option<(Key, Count)> {
    line.split_whitespace().nth(1).filter(|state| *state == "BND")?;
    let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let port = |end: &str| end.rsplit_once(':')?.1.parse().ok();
    let proto = match field("proto")? {
        "tcp" => Proto::Tcp,
        "udp" => Proto::Udp,
        _ => return None,
    };
    let (from, to) = field("orig")?.split_once("->")?;
    let count = Count { packets: field("packets")?.parse().ok()?, bytes: field("bytes")?.parse().ok()? };
    Some(((proto, port(from)?, port(to)?), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_by_its_fields_and_what_came_up_by_its_ports() {
        let text = "table netdev probe {\n\tset ingress {\n\t\telements = { udp . 7 . 50000 counter packets 2 bytes 56 }\n\t}\n}\n\
            002d4 BND IPv6 5T orig=2001:0db8:0001:0000:0000:0000:0000:0002:7->2001:0db8:0002:0000:0000:0000:0000:0001:50000 eth=a->b proto=udp packets=499 bytes=522952\n\
            00001 BND IPv4 5T orig=192.0.2.1:50001->192.0.2.2:7 new=192.0.2.9:50001->192.0.2.2:7 proto=tcp packets=0 bytes=0\n\
            00002 UNB IPv4 5T orig=192.0.2.1:9->192.0.2.2:9 proto=tcp packets=0 bytes=0\n\
            00003 BND IPv4 5T orig=nothing proto=tcp packets=0 bytes=0\n";
        let below = Below::parse(text);
        assert_eq!(below.ingress((Proto::Udp, 7, 50000)).packets, 2);
        assert_eq!(below.rule((Proto::Udp, 7, 50000)), Some(Count { packets: 499, bytes: 522_952 }));
        assert_eq!(below.rule((Proto::Tcp, 50001, 7)), Some(Count::default()));
        assert_eq!((below.rule((Proto::Tcp, 9, 9)), below.rules.len()), (None, 2));
    }
}
