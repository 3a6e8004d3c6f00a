//! Whether the devices of a connection are those of a flowtable, and what hardware did with it.

use crate::devices::{Seen, Side, Way};
use crate::ethtool::Capability;
use crate::finding::Finding;
use crate::nftables::Flowtable;
use crate::passed::{self, Redirected};
use crate::queues::Redirects;
use crate::trace::Trace;

use super::facts::Facts;

/// The ids that tell that a flowtable does not see the packets, whatever the mark says, or that this is not known.
pub(super) const NOT_SEEN: &str = "OCTL210";
pub(super) const IN_DOUBT: &str = "OCTL220";
pub(super) const REDIRECTED: &str = "OCTL221";

/// What keeps the packets of a connection from the flowtables that may have it.
pub(super) fn about_devices(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    let (sides, flowtables) = (facts.sides(), facts.may_be_in(trace));
    let (mut missing, mut sees, mut is_doubtful) = (None, false, facts.may_be_bridged);
    for flowtable in &flowtables {
        let mut is_missing = false;
        for side in &sides {
            match side.seen(&flowtable.devices) {
                Seen::Not => is_missing = true,
                Seen::Perhaps => is_doubtful = true,
                Seen::On(_) => {}
            }
        }
        if is_missing {
            missing = missing.or(Some(*flowtable));
        } else {
            sees = true;
        }
    }
    match missing {
        Some(flowtable) if !sees => Some(about_missing(flowtable, &sides)),
        None if !sees => None,
        None if !is_doubtful => about_redirection(facts, &flowtables, &sides),
        _ => Some(about_doubt(&flowtables)),
    }
}

fn about_doubt(flowtables: &[&Flowtable]) -> Finding {
    let names: Vec<_> = flowtables.iter().map(|flowtable| flowtable.place()).collect();
    Finding::new(
        IN_DOUBT,
        format!("whether a flowtable sees its packets is not known: {}", names.join(", ")),
        "that depends on a driver, on what a bridge has learned or forwards without a route, on what carries a session or a \
         tunnel, on which of several flowtables has it, or on which packets are redirected",
        "count its packets in a chain at the forward hook: there they stand still once it is offloaded",
    )
}

/// What is redirected as it comes in, to an ifb that shapes it, is taken away before the flowtable of the same device.
fn about_redirection(facts: &Facts, flowtables: &[&Flowtable], sides: &[Side]) -> Option<Finding> {
    let (side, device, redirects) = sides.iter().find_map(|side| {
        let is_before = |device: &str| {
            let taken = |way: &Way, list: &[String]| passed::redirected_on(way, device, list) == Redirected::Before;
            side.ways.iter().any(|way| flowtables.iter().any(|flowtable| taken(way, &flowtable.devices)))
        };
        facts
            .redirecting
            .iter()
            .find(|(device, _)| is_before(device))
            .map(|(device, redirects)| (side, device, redirects))
    })?;
    // Of several ports it is not known whether this one leads there.
    if *redirects == Redirects::Some || side.ways.len() > 1 {
        return Some(about_doubt(flowtables));
    }
    Some(Finding::new(
        REDIRECTED,
        format!("what comes in through {device} is redirected before the flowtable"),
        "a shaper of the download takes packets to an ifb device, and from there they take the slow path; the other direction \
         is fast, and the mark is set",
        "choose: either shape the download (sqm, qos) or offload it",
    ))
}

fn about_missing(flowtable: &Flowtable, sides: &[Side]) -> Finding {
    let list = &flowtable.devices;
    let missing: Vec<&Side> = sides.iter().filter(|side| side.seen(list) == Seen::Not).collect();
    let mut names: Vec<_> = missing.iter().map(|side| side.wanted()).collect();
    names.dedup();
    let useless = missing.iter().find_map(|side| side.useless(list));
    Finding::new(
        NOT_SEEN,
        format!("flowtable {} does not have its devices: {}", flowtable.place(), names.join(" ")),
        useless.unwrap_or_else(|| {
            "a flowtable sees the packets of its own devices only; packets that come in elsewhere take the slow path, \
             even where kernels up to 6.12 mark the connection as offloaded"
                .into()
        }),
        format!(
            "add {} to the flowtable, which has: {}; until the next reload, and for new connections, run: {}",
            names.join(" and "),
            list.join(" "),
            flowtable.adding(&names.join(", "))
        ),
    )
}

pub(super) fn about_hardware(facts: &Facts, trace: &Trace<'_>) -> Option<Finding> {
    if !facts.filled_by(trace)?.hardware {
        return None;
    }
    // Of a stack the lowest device has the hardware.
    let sides = [&facts.devices.0, &facts.devices.1].into_iter().flatten();
    let names: Vec<_> = sides.flat_map(|side| side.ways.iter().filter_map(|way| way.devices.last())).collect();
    let that_are = |wanted: Capability| -> Option<String> {
        let devices = facts.hardware.iter().flatten();
        let concerned = devices.filter(|(name, capability)| *capability == wanted && names.contains(&name));
        let list: Vec<_> = concerned.map(|(name, _)| name.as_str()).collect();
        (!list.is_empty()).then(|| list.join(" "))
    };
    let no = that_are(Capability::No).filter(|_| facts.bound.is_none());
    let (why, fix) = match (no, that_are(Capability::Off)) {
        (Some(devices), _) => (
            format!("the driver does not offer hw-tc-offload on {devices}"),
            "nothing needs fixing: this device has no hardware offload, and software works".to_owned(),
        ),
        (None, Some(devices)) => (
            format!("hw-tc-offload is switched off on {devices}"),
            format!("for each of them, run: ethtool -K DEVICE hw-tc-offload on ({devices})"),
        ),
        (None, None) => (
            "the driver refused it: its table is full, or it does not know this encapsulation".to_owned(),
            "look at the driver's documentation; a young connection may be taken within a second".to_owned(),
        ),
    };
    Some(Finding::new("OCTL214", "hardware did not take it, and software forwards it", why, fix))
}

/// The mark says hardware as soon as one direction was taken.
pub(super) fn about_half(facts: &Facts) -> Option<Finding> {
    let what = match facts.bound? {
        [true, true] => return None,
        [true, false] => "hardware took the way there, and not the way back",
        [false, true] => "hardware took the way back, and not the way there",
        [false, false] => "it is marked as being in hardware, and the hardware's table does not have it",
    };
    Some(Finding::new(
        "OCTL219",
        what,
        "the mark is set when one direction was taken; what is not in the table of the hardware (ppe, in debugfs) goes through \
         the processor",
        "look whether the flowtable has the devices of both sides; the driver may not know one side's encapsulation",
    ))
}
