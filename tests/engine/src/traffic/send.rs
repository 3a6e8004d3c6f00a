//! Sends over several flows at once, while the steps of `during` are done.

use std::num::NonZeroU8;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{Deadline, Exit, Finding, Result};
use vm::lab::{FlowHandle, Special};

use crate::attempt::Attempt;
use crate::judge::HOP_LIMIT;
use crate::scenario::{Exchange, FlowPlan, Path, Proto};

/// How long one exchange may take: seconds under emulation, and only a lost packet comes near it.
const EXCHANGE: Duration = Duration::from_secs(60);
/// How long packets may try where some need not arrive.
const LOSSY: Duration = Duration::from_secs(3);
/// How long packets may try where none may arrive. The look at the router that follows is done by the same processor
/// after the packets that were there before: what did get through has arrived by then, and still counts.
const IN_VAIN: Duration = Duration::from_secs(1);
/// Traffic that goes on until something else is done is sent in so many parts of its least amount.
const PARTS: u64 = 4;

/// What goes alone at the beginning of an exchange, one datagram or byte after the other: a flow that has left the
/// fast path takes it again with the first packets, and what is sent together with these goes the slow way too.
const ALONE: u64 = 2;

/// How much is sent: datagrams of UDP, bytes of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount(u64);

impl Amount {
    /// From what a file says.
    pub(crate) fn of(plan: &FlowPlan, packets: Option<u64>, bytes: Option<u64>) -> Amount {
        let size = u64::try_from(plan.size().max(1)).unwrap_or(u64::MAX);
        match plan.proto {
            Proto::Udp | Proto::Icmp => Amount(packets.unwrap_or_else(|| bytes.unwrap_or(0).div_ceil(size))),
            Proto::Tcp => Amount(bytes.unwrap_or_else(|| packets.unwrap_or(0).saturating_mul(size))),
        }
    }
}

/// One flow while it is sent over.
struct Sent {
    name: String,
    handle: FlowHandle,
    outcome: Result<()>,
    took: Duration,
}

/// Sends over all named flows at once, each in a thread of its own, and does the steps of `during` meanwhile.
///
/// That packets did not come through is noted with the flow and judged later; an error means that nobody knows.
pub(crate) fn send(
    attempt: &mut Attempt<'_>,
    names: &[String],
    amount: impl Fn(&FlowPlan) -> Amount,
    step: Option<(&Exchange, &str)>,
) -> Result<Option<Finding>> {
    let in_vain = step.is_some_and(|(exchange, _)| exchange.path == Some(Path::None));
    let lossy = step.is_some_and(|(exchange, _)| exchange.lossy);
    let patience = if in_vain {
        IN_VAIN
    } else if lossy {
        LOSSY
    } else {
        EXCHANGE
    };
    let special = step.and_then(|(exchange, _)| exchange.special());
    let during = step.map_or(&[][..], |(exchange, _)| &exchange.during);
    let mut ready = Vec::new();
    for name in names {
        let flow = attempt.flows.get(name)?;
        let handle = flow.handle.take().ok_or_else(|| crate::steps::unknown_flow(name))?;
        // What cannot arrive has no hop limit there.
        let hop_limit = special.as_ref().and_then(|special| special.hop_limit).map_or(HOP_LIMIT, NonZeroU8::get);
        if !in_vain {
            let (least, largest) = flow.hop_limit.unwrap_or((hop_limit, hop_limit));
            flow.hop_limit = Some((least.min(hop_limit), largest.max(hop_limit)));
        }
        ready.push((name.clone(), handle, amount(&flow.plan)));
    }
    let done = &AtomicBool::new(during.is_empty());
    let (found, sent) = std::thread::scope(|scope| {
        let senders: Vec<_> = ready
            .into_iter()
            .map(|(name, handle, amount)| {
                let special = special.clone();
                scope.spawn(move || pump(name, handle, amount, special, patience, done))
            })
            .collect();
        let found = match step {
            Some((exchange, at)) => attempt.steps(&exchange.during, &format!("{}.", at.trim_start_matches("step "))),
            None => Ok(None),
        };
        done.store(true, Ordering::Relaxed);
        (found, senders.into_iter().map(|sender| sender.join()).collect::<Vec<_>>())
    });
    for sent in sent {
        // A sender that panicked has said so, and its flow is gone.
        let Ok(Sent { name, handle, outcome, took }) = sent else { continue };
        let flow = attempt.flows.get(&name)?;
        flow.handle = Some(handle);
        flow.took = took;
        match outcome {
            Ok(()) => {}
            Err(failure) if failure.exit() == Exit::Failed => {
                let finding = failure.finding();
                flow.trouble = Some(format!("{} ({})", finding.what, finding.why));
            }
            Err(failure) => return Err(failure),
        }
    }
    found
}

/// Sends all of it, in one go or, while something else is done, in parts until that is over.
fn pump(
    name: String,
    mut handle: FlowHandle,
    amount: Amount,
    special: Option<Special>,
    patience: Duration,
    done: &AtomicBool,
) -> Sent {
    let started = Instant::now();
    let part = if done.load(Ordering::Relaxed) { amount.0 } else { amount.0.div_ceil(PARTS) };
    let mut sent = 0;
    let outcome = loop {
        let part = if sent < ALONE { 1 } else { part.saturating_sub(ALONE).max(1) };
        let deadline = Deadline::after(patience);
        let exchanged = match &special {
            Some(special) => handle.exchange_special(special, part, deadline),
            None => handle.exchange(part, deadline),
        };
        match exchanged {
            Ok(_) => sent += part,
            Err(failure) => break Err(failure),
        }
        if sent >= amount.0 && done.load(Ordering::Relaxed) {
            break Ok(());
        }
    };
    Sent { name, handle, outcome, took: started.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Family, Target};

    #[test]
    fn an_amount_is_datagrams_of_udp_and_bytes_of_tcp() {
        let plan = |proto| FlowPlan {
            flow: "a".into(),
            proto,
            family: Family::Ipv4,
            from: crate::scenario::Side::Lan,
            to: Target::Host,
            port: None,
            listen: None,
            size: Some(100),
            seen_from: None,
            echo: false,
            bytes: None,
        };
        assert_eq!(Amount::of(&plan(Proto::Udp), Some(7), None), Amount(7));
        assert_eq!(Amount::of(&plan(Proto::Udp), None, Some(250)), Amount(3));
        assert_eq!(Amount::of(&plan(Proto::Tcp), None, Some(250)), Amount(250));
    }
}
