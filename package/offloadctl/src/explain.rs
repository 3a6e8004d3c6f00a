//! `explain`: why one connection is offloaded, or is not. Pure judgement over facts; [`crate::inquiry`] collects them.
//!
//! The conditions are those under which the kernel's `flow_offload` expression gives up, and those under which a flowtable
//! does not see the packets.

mod devices;
mod facts;
mod rules;

use crate::conntrack::{Path, STATUS_NAT, STATUS_SEQUENCE_ADJUSTED, TCP_ESTABLISHED, protocol_text};
use crate::finding::Finding;
use crate::trace::Trace;
use crate::xfrm;

use devices::{IN_DOUBT, NOT_SEEN, REDIRECTED, about_devices, about_half, about_hardware};
pub use facts::{Facts, Question};
use rules::{about_beginning, about_rules};

const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The path that conntrack claims; `None` without connection.
    pub path: Option<Path>,
    /// What stands in the way, the most telling first. None when the connection is offloaded as it should be.
    pub causes: Vec<Finding>,
}

impl Explanation {
    /// Whether the connection is offloaded, in software at least; `None` where that is not known.
    pub fn is_offloaded(&self) -> Option<bool> {
        let has = |id: &str| self.causes.iter().any(|cause| cause.id == id);
        match self.path {
            Some(Path::Hardware | Path::Software) if has(NOT_SEEN) || has(REDIRECTED) => Some(false),
            Some(Path::Hardware | Path::Software) => (!has(IN_DOUBT)).then_some(true),
            _ => Some(false),
        }
    }

    /// 0 where the connection is offloaded, 1 where it is not, 3 where that is not known.
    pub fn exit_code(&self) -> u8 {
        match self.is_offloaded() {
            Some(true) => 0,
            Some(false) => 1,
            None => 3,
        }
    }
}

/// Judges the facts.
pub fn explain(facts: &Facts) -> Explanation {
    let (_, trace) = facts.trace();
    let path = facts.flow.map(|flow| flow.path);
    let mut causes: Vec<Finding> = about_ends(facts).into_iter().collect();
    if facts.is_local {
        return Explanation { path, causes };
    }
    let protocol = about_protocol(facts);
    // A protocol that is never offloaded is usually left out by the rules, too; that is no second cause.
    if protocol.is_none() {
        causes.extend(about_beginning(facts).or_else(|| about_rules(facts, &trace)));
    }
    causes.extend(protocol);
    causes.extend(about_ipsec(facts, &trace));
    causes.extend(about_connection(facts));
    // A doubt heads no answer: of what is slow for another reason it is none.
    causes.extend(about_devices(facts, &trace).filter(|cause| cause.id == NOT_SEEN || path != Some(Path::Slow)));
    match path {
        // What is offloaded has passed rules and conditions; only what the mark does not prove is left to say.
        Some(path @ (Path::Hardware | Path::Software)) => {
            causes.retain(|cause| [NOT_SEEN, IN_DOUBT, REDIRECTED].contains(&cause.id));
            causes.extend(about_translation(facts));
            causes.extend(if path == Path::Software { about_hardware(facts, &trace) } else { about_half(facts) });
        }
        Some(Path::Slow) if causes.is_empty() => causes.push(about_idleness(facts, &trace)),
        _ => {}
    }
    Explanation { path, causes }
}

fn about_ends(facts: &Facts) -> Option<Finding> {
    if facts.is_local {
        return Some(Finding::new(
            "OCTL216",
            "one end of it is this router",
            "only what is forwarded can be offloaded; these packets end or begin here",
            "ask about a connection that passes through",
        ));
    }
    facts.flow.is_none().then(|| {
        Finding::new(
            "OCTL201",
            "no such connection is tracked",
            "it has ended or not begun, does not come this way, or a 'notrack' rule keeps it from being tracked",
            "ask while data flows; what is said here holds for a connection that would begin now",
        )
    })
}

fn about_protocol(facts: &Facts) -> Option<Finding> {
    let protocol = facts.flow.map(|flow| flow.protocol).or(facts.question.protocol)?;
    let is_translated = facts.flow.is_some_and(|flow| flow.details.status & STATUS_NAT != 0);
    match protocol {
        TCP | UDP => None,
        GRE if !is_translated => None,
        _ => Some(Finding::new(
            "OCTL202",
            format!("{} is not offloaded", protocol_text(protocol)),
            "the kernel offloads TCP and UDP, and GRE as long as its addresses are not translated",
            "nothing needs fixing: such packets take the slow path",
        )),
    }
}

/// Packets that are to be encrypted add a flow, and then both directions are fast; packets that were decrypted add none.
fn about_ipsec(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    // What comes in from a tunnel is what would be sent into it.
    let is_decrypted = |back: bool| xfrm::transforms(&facts.ipsec, &facts.packet(!back));
    let adds = |back: bool| facts.ruleset.trace(&facts.packet(back)).adds.is_some();
    let is_ignored = trace.adds.is_some() && [false, true].into_iter().all(|back| is_decrypted(back) || !adds(back));
    is_ignored.then(|| {
        Finding::new(
            "OCTL212",
            "only packets that IPsec decrypted reach 'flow add'",
            "the kernel adds no flow for a packet that was decrypted; one that is yet to be encrypted adds it, for both \
             directions",
            "let 'flow add' see the packets of the other direction, too; from one tunnel into another nothing can be \
             offloaded",
        )
    })
}

/// A flow takes the route that its packets have at the forward hook, before addresses are translated, and keeps it.
fn about_translation(facts: &Facts) -> Option<Finding> {
    let is_missed = |back: bool| {
        let (before, after) = (facts.packet(back), facts.packet_after(back)?);
        let is_encrypted = |packet| xfrm::transforms(&facts.ipsec, packet);
        if is_encrypted(&after) && !is_encrypted(&before) { after.source } else { None }
    };
    let source = is_missed(false).or_else(|| is_missed(true))?;
    Some(Finding::new(
        "OCTL213",
        "an IPsec policy covers it, and its packets leave unencrypted",
        format!(
            "the policy is for packets from {source}, which they have after translation only; the flowtable asks IPsec \
             before, and does not ask again"
        ),
        "except it from 'flow add', or encrypt before translation, by a policy for the addresses of the LAN",
    ))
}

fn about_connection(facts: &Facts) -> Vec<Finding> {
    let mut causes = Vec::new();
    let Some(flow) = facts.flow else { return causes };
    if let Some(helper) = flow.details.helper_name() {
        causes.push(Finding::new(
            "OCTL209",
            format!("the helper {helper} reads along"),
            "a helper has to see each packet of its control connection, so that one is never offloaded",
            "nothing needs fixing: the data connections that it announces are offloaded; to do without the helper, \
             remove it from the zone",
        ));
    }
    if flow.protocol == TCP && flow.details.tcp_state.is_some_and(|state| state != TCP_ESTABLISHED) {
        causes.push(Finding::new(
            "OCTL208",
            format!("it is not established: {}", flow.details.tcp_state_name().unwrap_or("in an unknown state")),
            "TCP is offloaded between the end of its handshake and the first FIN or RST",
            "if it stays so, look for packets that do not come back this way",
        ));
    }
    if flow.details.status & STATUS_SEQUENCE_ADJUSTED != 0 {
        causes.push(Finding::new(
            "OCTL211",
            "its sequence numbers are rewritten",
            "a helper or SYN proxy changed the length of its data, and each further packet has to be corrected",
            "nothing needs fixing: such a connection stays on the slow path",
        ));
    }
    causes
}

fn about_idleness(facts: &Facts, trace: &Trace<'_>) -> Finding {
    let after = facts.timeout.map_or_else(|| "some time".to_owned(), |seconds| format!("{seconds} seconds"));
    Finding::new(
        "OCTL215",
        match trace.doubt {
            None => "nothing stands in its way".to_owned(),
            Some(rule) => format!("nothing stands in its way, unless it is {}", rule.place()),
        },
        format!(
            "it is idle or has just begun: a flow leaves the flowtable after {after} without packets, and enters it with \
             its next one"
        ),
        "look again while data flows; should it stay slow, look for conditions marked 'perhaps' above",
    )
}
