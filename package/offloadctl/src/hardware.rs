//! The table of flows that a driver's hardware keeps, where debugfs shows it.
//!
//! `ppe0/bind` of mediatek's driver, `ppe/bind` of airoha's: a line for each direction of a flow, with
//! `orig=SENDER:PORT->RECEIVER:PORT`.

use std::net::IpAddr;

use crate::conntrack::{Direction, Flow};
use crate::ethtool::{self, Capability};
use crate::files::Files;

const DEBUG: &str = "/sys/kernel/debug";
const NET: &str = "/sys/class/net";

/// What drivers say, by device; `None` where the kernel does not tell.
pub fn capabilities(files: &Files) -> Option<Vec<(String, Capability)>> {
    ethtool::capabilities().ok().map(|told| through_conduits(files, told))
}

/// Every port of a switch says that it can, and hands flows on to its conduit: that one's word counts.
pub fn through_conduits(files: &Files, told: Vec<(String, Capability)>) -> Vec<(String, Capability)> {
    let read = |name: &str, file: &str| files.read_or_empty(&format!("{NET}/{name}/{file}"));
    let mut says = told.clone();
    for (name, own) in &mut says {
        if read(name, "uevent").contains("DEVTYPE=dsa") {
            let link = read(name, "iflink");
            let conduit = told.iter().find(|(known, _)| read(known, "ifindex") == link);
            if let Some((_, conduit)) = conduit {
                *own = (*own).max(*conduit);
            }
        }
    }
    says
}

/// What the hardware has bound; `None` without such hardware.
pub fn bound(files: &Files) -> Option<String> {
    let mut engines = files.names(DEBUG);
    engines.retain(|name| name.strip_prefix("ppe").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())));
    let texts: Vec<_> = engines.iter().filter_map(|name| files.read(&format!("{DEBUG}/{name}/bind")).ok()).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

/// Which directions of a flow are in the table: the one in which it began, and the other.
pub fn directions(bound: &str, flow: &Flow) -> [bool; 2] {
    let entries: Vec<_> = bound.lines().filter_map(entry).collect();
    let has = |direction: &Direction| {
        entries.iter().any(|(source, destination)| {
            (Some(source.0), source.1, Some(destination.0), destination.1)
                == (direction.source, direction.source_port, direction.destination, direction.destination_port)
        })
    };
    [has(&flow.original), has(&flow.reply)]
}

type End = (IpAddr, Option<u16>);

/// The ends of a line that is bound.
fn entry(line: &str) -> Option<(End, End)> {
    let mut words = line.split_ascii_whitespace();
    let is_bound = words.clone().nth(1) == Some("BND");
    let (from, to) = words.find_map(|word| word.strip_prefix("orig="))?.split_once("->")?;
    is_bound.then_some((end(from)?, end(to)?))
}

/// `192.0.2.1:80`, or all eight groups of an IPv6 address and the port; some kinds of entries have no ports.
fn end(text: &str) -> Option<End> {
    if let Ok(address) = text.parse() {
        return Some((address, None));
    }
    let (address, port) = text.rsplit_once(':')?;
    Some((address.parse().ok()?, Some(port.parse().ok()?)))
}

/// Whether any of these devices can do hardware offload; `None` where the kernel does not tell. One with a table can, whoever
/// it belongs to.
pub fn offers(
    capabilities: Option<&[(String, Capability)]>,
    has_table: bool,
    concerned: impl Fn(&str) -> bool,
) -> Option<bool> {
    if has_table {
        return Some(true);
    }
    let mut capabilities = capabilities?.iter();
    Some(capabilities.any(|(name, capability)| *capability == Capability::On && concerned(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: &str = "\
0369c BND IPv4 5T orig=192.168.1.2:40000->203.0.113.2:443 new=203.0.113.1:40000->203.0.113.2:443 eth=a packets=9 bytes=9
0369d UNB IPv4 5T orig=203.0.113.2:443->203.0.113.1:40000 new=203.0.113.2:443->192.168.1.2:40000 eth=a
00001 BND IPv6 5T orig=2001:0db8:0001:0000:0000:0000:0000:0002:5->2001:0db8:0002:0000:0000:0000:0000:0002:6 eth=a
nonsense orig=1
";

    fn direction(source: &str, source_port: u16, destination: &str, destination_port: u16) -> Direction {
        Direction {
            source: source.parse().ok(),
            destination: destination.parse().ok(),
            source_port: Some(source_port),
            destination_port: Some(destination_port),
            counters: None,
        }
    }

    #[test]
    fn directions_are_told_apart() {
        let mut flow = Flow {
            original: direction("192.168.1.2", 40000, "203.0.113.2", 443),
            reply: direction("203.0.113.2", 443, "203.0.113.1", 40000),
            ..Flow::default()
        };
        assert_eq!(directions(BOUND, &flow), [true, false]);
        assert_eq!(directions(&BOUND.replace("UNB", "BND"), &flow), [true, true]);
        flow.original.source_port = Some(1);
        assert_eq!(directions(BOUND, &flow), [false, false]);
        flow.reply = direction("2001:db8:1::2", 5, "2001:db8:2::2", 6);
        assert_eq!(directions(BOUND, &flow), [false, true]);
    }

    #[test]
    fn a_device_with_a_table_can() {
        let all = |_: &str| true;
        assert_eq!(offers(None, false, all), None);
        assert_eq!(offers(None, true, all), Some(true));
        let devices = [("a".to_owned(), Capability::On), ("b".to_owned(), Capability::No)];
        assert_eq!(offers(Some(&devices), false, all), Some(true));
        assert_eq!(offers(Some(&devices), false, |name| name == "b"), Some(false));
    }
}
