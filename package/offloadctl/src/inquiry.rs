//! Collects what [`crate::explain`] judges. [`crate::answer`] writes it down.

use std::net::IpAddr;

use crate::conntrack::{self, Counters, Flow, Path};
use crate::devices::{self, Devices, Kind, Side};
use crate::explain::{Facts, Question};
use crate::files::Files;
use crate::finding::Stop;
use crate::flows;
use crate::hardware;
use crate::modules::{self, Module, State};
use crate::nftables;
use crate::queues;
use crate::route::{self, Asked, Route};
use crate::ruleset::{self, Expression, Hook};
use crate::socket::Trouble;
use crate::trace::{Named, Packet, Ruleset, STATE_ESTABLISHED, Until};
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
    let unreadable = |trouble: Trouble| trouble.finding("the rules");
    let ruleset = ruleset(&modules).map_err(unreadable)?;
    let devices = Devices::read(files);
    let routes = Routes::find(question, flow.as_ref(), &ruleset, &devices);
    let [near, far] = routes.ends.map(|(address, route)| side(files, &devices, route?, address));
    let protocol = flow.map(|flow| flow.protocol).or(question.protocol);
    let timeout =
        format!("/proc/sys/net/netfilter/nf_flowtable_{}_timeout", if protocol == Some(17) { "udp" } else { "tcp" });
    let is_known = modules::state_of(&modules, "nf_tables") != State::Loadable;
    let is_shown = |family: &str| {
        files.read_or_empty(&format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables")).trim() == "1"
    };
    let bridge =
        near.as_ref().zip(far.as_ref()).filter(|(near, far)| near.name == far.name).map(|(near, _)| &near.name);
    let may_be_bridged = bridge.and_then(|name| devices.get(name)).is_some_and(|device| device.kind == Kind::Bridge)
        && is_shown(if question.source.is_ipv4() { "ip" } else { "ip6" });
    Ok(Facts {
        question,
        flow,
        matching,
        may_be_bridged,
        devices: (near, far),
        is_local: routes.ends.iter().any(|(_, route)| route.is_some_and(|route| route.is_local)),
        marks: routes.marks,
        redirected: routes.redirected,
        timeout: files.read_or_empty(&timeout).trim().parse().ok(),
        ipsec: xfrm::policies(files).unwrap_or_default(),
        ruleset,
        flowtables: if is_known { nftables::flowtables().or_else(none_there).map_err(unreadable)? } else { Vec::new() },
        hardware: hardware::capabilities(files),
        redirecting: queues::redirecting(&queues::queues().unwrap_or_default())
            .into_iter()
            .filter_map(|(device, redirects)| Some((devices.name(device)?.to_owned(), redirects)))
            .collect(),
        bound: flow.as_ref().zip(hardware::bound(files)).map(|(flow, text)| hardware::directions(&text, flow)),
    })
}

/// The device of a route, and the way down from it, by the port of a bridge behind which the neighbour was seen.
fn side(files: &Files, devices: &Devices, route: Route, address: IpAddr) -> Option<Side> {
    let name = devices.name(route.device)?;
    let side = devices.side(name, None);
    let [first, ..] = &side.ways[..] else { return Some(side) };
    let is_bridge = |name: &&String| devices.get(name).is_some_and(|device| device.kind == Kind::Bridge);
    let bridge = first.devices.iter().find(is_bridge);
    let link = bridge.and_then(|_| devices::link_address(route.gateway.unwrap_or(address)));
    let Some((bridge, link)) = bridge.zip(link) else { return Some(side) };
    Some(match devices::port_behind(files, bridge, &link) {
        Some(port) => devices.side(name, Some(&port)),
        None => side.unlearned(),
    })
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
    let mut sets = ruleset::sets().or_else(none_there)?;
    sets.retain(|set| {
        let names =
            |expression: &Expression| matches!(expression, Expression::Lookup { set: name, .. } if *name == set.name);
        rules
            .iter()
            .any(|rule| (rule.family, &rule.table) == (set.family, &set.table) && rule.expressions.iter().any(names))
    });
    sets.iter_mut().for_each(ruleset::fill);
    Ok(Ruleset { chains, rules, sets })
}

/// Ports of sender and receiver, where they are known.
type Ports = (Option<u16>, Option<u16>);

/// The routes that packets take, with the marks that the rules give them before a route is chosen.
struct Routes {
    /// Both ends as the router knows them, behind translation, and the way there; `None` where that is not known.
    ends: [(IpAddr, Option<Route>); 2],
    marks: [Option<u32>; 2],
    redirected: Option<(Option<IpAddr>, Option<u16>)>,
}

impl Routes {
    fn find(question: Question, flow: Option<&Flow>, ruleset: &Ruleset, devices: &Devices) -> Routes {
        let near = flow.and_then(|flow| flow.original.source).unwrap_or(question.source);
        let has_marks = queues::marked_rules().is_ok_and(|number| number > 0);
        let protocol = flow.map(|flow| flow.protocol).or(question.protocol).unwrap_or(0);
        let ports = flow.map_or((None, question.port), |flow| (flow.original.source_port, flow.reply.source_port));
        let route = |to: IpAddr, from: IpAddr, ports: Ports, through: Option<Route>, mark: Option<u32>| {
            let mark = if has_marks { mark? } else { 0 };
            let through = through.filter(|route| !route.is_local);
            let service = (protocol, ports.0, ports.1);
            let asked = Asked { to, from: through.map(|route| (from, route.device)), mark, service };
            // As the kernel refuses senders that it would not answer by the same device, then without.
            route::ask(asked).or_else(|_| route::ask(Asked { from: None, ..asked })).ok()
        };
        // The device through which packets come in shows where answers would go.
        let first = route::towards(near).ok();
        let begins = ruleset.follow(
            &Packet {
                devices: (device(devices, first), None),
                ..flow.map_or_else(|| question.packet(), |flow| Packet::arriving(flow, false))
            },
            Hook::Prerouting,
            Until::End,
        );
        let redirected = if flow.is_none() { begins.redirected } else { None };
        let far = flow.and_then(|flow| flow.reply.source).or(redirected.and_then(|(address, _)| address));
        let far = far.unwrap_or(question.destination);
        let there = route(far, near, ports, first, begins.marks[0]);
        let answer = match flow {
            Some(flow) => Packet::arriving(flow, true),
            None => Packet {
                source: Some(far),
                destination: Some(near),
                ports: (question.port, None),
                state: STATE_ESTABLISHED,
                is_back: Some(true),
                connection_mark: begins.marks[1],
                ..question.packet()
            },
        };
        let answer = Packet { devices: (device(devices, there), None), ..answer };
        let mark = ruleset.follow(&answer, Hook::Prerouting, Until::End).marks[0];
        let back = route(near, far, (ports.1, ports.0), there, mark);
        Routes { ends: [(near, back), (far, there)], marks: [begins.marks[0], mark], redirected }
    }
}

fn device(devices: &Devices, route: Option<Route>) -> Option<Named> {
    let number = route?.device;
    Some((number, devices.name(number)?.to_owned()))
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
