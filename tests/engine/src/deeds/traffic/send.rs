//! Sends over several flows at once, while something else is done.

use std::any::Any;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use model::{Deadline, Exit, Failure, Finding, Problem, Result};
use vm::lab::{FlowHandle, Special};

use crate::attempt::Attempt;
use crate::flows;
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
    /// As much as goes alone.
    pub(crate) const FIRST: Amount = Amount(ALONE);

    /// From what a file says.
    pub(crate) fn of(plan: &FlowPlan, packets: Option<u64>, bytes: Option<u64>) -> Amount {
        let size = u64::try_from(plan.size().max(1)).unwrap_or(u64::MAX);
        match plan.proto {
            Proto::Udp | Proto::Icmp => Amount(packets.unwrap_or_else(|| bytes.unwrap_or(0).div_ceil(size))),
            Proto::Tcp => Amount(bytes.unwrap_or_else(|| packets.unwrap_or(0).saturating_mul(size))),
        }
    }
}

/// What is done while traffic goes on.
pub(crate) type During<'a> = dyn FnMut(&mut Attempt<'_>) -> Result<Option<Finding>> + 'a;

/// One flow that was sent over.
struct Sent {
    name: String,
    handle: FlowHandle,
    outcome: Result<()>,
    took: Duration,
}

/// Sends over all named flows at once, each in a thread of its own, and does something else meanwhile.
///
/// That packets did not come through is noted with the flow and judged later; an error means that nobody knows.
pub(crate) fn send(
    attempt: &mut Attempt<'_>,
    names: &[String],
    amount: impl Fn(&FlowPlan) -> Amount,
    step: Option<(&Exchange, &mut During<'_>)>,
) -> Result<Option<Finding>> {
    let exchange = step.as_ref().map(|(exchange, _)| *exchange);
    let manner = Manner::of(exchange);
    let mut ready = Vec::new();
    for name in names {
        let flow = attempt.net.flows.get(name)?;
        let handle = flow.take_handle().ok_or_else(|| flows::unknown(name))?;
        // What cannot arrive has no hop limit there.
        if !manner.in_vain {
            flow.sends_with(manner.hop_limit());
        }
        ready.push((name.clone(), handle, amount(flow.plan())));
    }
    let done = &AtomicBool::new(exchange.is_none_or(|exchange| exchange.during.is_empty()));
    let manner = &manner;
    let senders = ready.into_iter().map(|(name, handle, amount)| {
        let sender = name.clone();
        (name, move || pump(sender, handle, amount, manner, done))
    });
    let (found, sent) = at_once(senders.collect(), || {
        let found = step.map_or(Ok(None), |(_, during)| during(attempt));
        done.store(true, Ordering::Relaxed);
        found
    });
    for sent in sent {
        let Sent { name, handle, outcome, took } = sent?;
        let trouble = match outcome {
            Ok(()) => None,
            Err(failure) if failure.exit() == Exit::Failed => {
                let finding = failure.finding();
                Some(format!("{} ({})", finding.what, finding.why))
            }
            Err(failure) => return Err(failure),
        };
        attempt.net.flows.get(&name)?.sent(handle, took, trouble);
    }
    found
}

/// Runs senders, named by their flows, in a thread each, and something else meanwhile; what all of it came to.
fn at_once<T: Send, R>(
    senders: Vec<(String, impl FnOnce() -> T + Send)>,
    meanwhile: impl FnOnce() -> R,
) -> (R, Vec<Result<T>>) {
    std::thread::scope(|scope| {
        let senders: Vec<_> = senders.into_iter().map(|(name, sender)| (name, scope.spawn(sender))).collect();
        let found = meanwhile();
        let join =
            |(name, sender): (String, ScopedJoinHandle<'_, T>)| sender.join().map_err(|panic| broke(&name, &*panic));
        (found, senders.into_iter().map(join).collect())
    })
}

/// How packets are sent.
struct Manner {
    /// None may arrive.
    in_vain: bool,
    patience: Duration,
    special: Option<Special>,
}

impl Manner {
    fn of(exchange: Option<&Exchange>) -> Manner {
        let in_vain = exchange.is_some_and(|exchange| exchange.path == Some(Path::None));
        let lossy = exchange.is_some_and(|exchange| exchange.lossy);
        let patience = match (in_vain, lossy) {
            (true, _) => IN_VAIN,
            (false, true) => LOSSY,
            (false, false) => EXCHANGE,
        };
        Manner { in_vain, patience, special: exchange.and_then(Exchange::special) }
    }

    fn hop_limit(&self) -> u8 {
        self.special.as_ref().and_then(|special| special.hop_limit).map_or(HOP_LIMIT, NonZeroU8::get)
    }
}

/// A sender that panicked: its flow is gone, and what was sent over it nobody knows.
fn broke(flow: &str, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "SCEN008",
        what: format!("the sender of the flow `{flow}` broke"),
        why: format!("it panicked: {}", text.unwrap_or("without a text")),
        fix: "run it once more; if it happens again, it is a defect of this program: report it together with the scenario",
    })
}

/// Sends all of it, in one go or, while something else is done, in parts until that is over.
fn pump(name: String, mut handle: FlowHandle, amount: Amount, manner: &Manner, done: &AtomicBool) -> Sent {
    let started = Instant::now();
    let part = if done.load(Ordering::Relaxed) { amount.0 } else { amount.0.div_ceil(PARTS) };
    let mut sent = 0;
    let outcome = loop {
        let part = if sent < ALONE { 1 } else { part.saturating_sub(ALONE).max(1) };
        let deadline = Deadline::after(manner.patience);
        let exchanged = match &manner.special {
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
            hops: 1,
            echo: false,
            bytes: None,
        };
        assert_eq!(Amount::of(&plan(Proto::Udp), Some(7), None), Amount(7));
        assert_eq!(Amount::of(&plan(Proto::Udp), None, Some(250)), Amount(3));
        assert_eq!(Amount::of(&plan(Proto::Tcp), None, Some(250)), Amount(250));
    }

    #[test]
    fn a_sender_that_panics_blocks_and_is_waited_for() {
        let senders: Vec<(String, Box<dyn FnOnce() -> u8 + Send>)> = vec![
            ("a".into(), Box::new(|| 7)),
            ("b".into(), Box::new(|| std::panic::resume_unwind(Box::new("no more".to_owned())))),
            ("c".into(), Box::new(|| std::panic::resume_unwind(Box::new("nor this")))),
            ("d".into(), Box::new(|| std::panic::resume_unwind(Box::new(5)))),
        ];
        let (done, sent) = at_once(senders, || "done");
        assert_eq!((done, &sent[0]), ("done", &Ok(7)));
        for (sent, words) in sent[1..].iter().zip([["`b`", "no more"], ["`c`", "nor this"], ["`d`", "without a text"]])
        {
            let failure = sent.as_ref().unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SCEN008", Exit::Blocked));
            assert!(words.iter().all(|word| failure.to_string().contains(word)), "{failure}");
        }
    }
}
