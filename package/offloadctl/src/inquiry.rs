//! Collects what [`crate::explain`] judges. [`crate::answer`] writes it down.

use std::net::IpAddr;

use crate::conntrack::{self, Counters, Flow, Path};
use crate::devices::{self, Devices, Kind, Side};
use crate::ethtool;
use crate::explain::{Facts, Question};
use crate::files::Files;
use crate::finding::Stop;
use crate::flows;
use crate::modules::{self, Module, State};
use crate::nftables;
use crate::route::{self, Route};
use crate::ruleset::{self, Expression};
use crate::socket::Trouble;
use crate::trace::Ruleset;
use crate::xfrm;

/// Asks the kernel about one connection.
///
/// # Errors
/// Connections or rules cannot be read, so that nothing can be said.
pub fn ask(files: &Files, question: Question) -> Result<Facts, Stop> {
    let modules = modules::survey(files);
    let mut flow: Option<Flow> = None;
    let mut matching = 0;
    flows::each(files, flows::source(files, &modules)?, &Path::ALL, |found| {
        if question.fits(found) {
            matching += 1;
            if flow.is_none_or(|kept| bytes(found) > bytes(&kept)) {
                flow = Some(*found);
            }
        }
        Ok(())
    })?;
    // What the far end is called at this router: the address behind a translated one, too.
    let ends = [
        flow.and_then(|flow| flow.original.source).unwrap_or(question.source),
        flow.and_then(|flow| flow.reply.source).unwrap_or(question.destination),
    ];
    let [near, far] = ends.map(|address| route::towards(address).unwrap_or_default());
    let devices = Devices::read(files);
    let is_known = modules::state_of(&modules, "nf_tables") != State::Loadable;
    let unreadable = |trouble: Trouble| trouble.finding("the rules");
    Ok(Facts {
        question,
        flow,
        matching,
        devices: (side(files, &devices, near, ends[0]), side(files, &devices, far, ends[1])),
        is_local: near.is_local || far.is_local,
        ipsec: xfrm::policies(files).unwrap_or_default(),
        ruleset: ruleset(&modules).map_err(unreadable)?,
        flowtables: if is_known { nftables::flowtables().or_else(none_there).map_err(unreadable)? } else { Vec::new() },
        hardware: ethtool::capabilities().ok(),
    })
}

/// The device of a route, and the way down from it, by the port of a bridge behind which the neighbour was seen.
fn side(files: &Files, devices: &Devices, route: Route, address: IpAddr) -> Option<Side> {
    let name = devices.name(route.device)?;
    let side = devices.side(name, None);
    let [first, _, ..] = &side.ways[..] else { return Some(side) };
    let is_bridge = |name: &&String| devices.get(name).is_some_and(|device| device.kind == Kind::Bridge);
    let bridge = first.devices.iter().find(is_bridge);
    let link = bridge.and_then(|_| devices::link_address(route.gateway.unwrap_or(address)));
    let port = bridge.zip(link).and_then(|(bridge, link)| devices::port_behind(files, bridge, &link));
    Some(port.map(|port| devices.side(name, Some(&port))).unwrap_or(side))
}

fn bytes(flow: &Flow) -> u64 {
    let count = |counters: Option<Counters>| counters.map_or(0, |counted| counted.bytes);
    count(flow.original.counters).saturating_add(count(flow.reply.counters))
}

/// A kernel without nf_tables has no rules.
fn none_there<T>(trouble: Trouble) -> Result<Vec<T>, Trouble> {
    if trouble == Trouble::NotThere { Ok(Vec::new()) } else { Err(trouble) }
}

/// All rules; none where nf_tables is not loaded, as asking would load it.
///
/// # Errors
/// What the kernel refused.
pub fn ruleset(modules: &[Module]) -> Result<Ruleset, Trouble> {
    if modules::state_of(modules, "nf_tables") == State::Loadable {
        return Ok(Ruleset::default());
    }
    let chains = ruleset::chains().or_else(none_there)?;
    let rules = ruleset::rules().or_else(none_there)?;
    let mut sets: Vec<(nftables::Family, String, String, Vec<ruleset::Element>)> = Vec::new();
    for rule in &rules {
        for expression in &rule.expressions {
            let Expression::Lookup { set, .. } = expression else { continue };
            let is_read =
                sets.iter().any(|(family, table, name, _)| (*family, table, name) == (rule.family, &rule.table, set));
            // A set that cannot be read makes its rules apply perhaps, which is true.
            if let (false, Ok(elements)) = (is_read, ruleset::elements(rule.family, &rule.table, set)) {
                sets.push((rule.family, rule.table.clone(), set.clone(), elements));
            }
        }
    }
    Ok(Ruleset { chains, rules, sets })
}

/// Reads `tcp/443`, `udp` or a protocol's number.
pub fn service(text: &str) -> Option<(u8, Option<u16>)> {
    let (name, port) = match text.split_once('/') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let protocol =
        (0..=u8::MAX).find(|number| conntrack::protocol_name(*number) == Some(name)).or_else(|| name.parse().ok())?;
    Some((protocol, port))
}
