//! What YAML types can't refuse: files that assert nothing, or something else than they seem to.

use std::collections::BTreeSet;

use super::flow::{Exchange, Family, FlowPlan, OffloadProof, Path, Proto};
use super::manager::Says;
use super::step::{Deed, ExpectedExit, OnKernels, Step};
use super::{Scenario, Start};

/// Kernel lines that a file may name: those that scenarios were measured on.
pub const KERNELS: [&str; 3] = ["6.1", "6.12", "newest"];

/// Less could not be told apart from the first packets, which take the slow path whatever follows.
const ENOUGH_BYTES: u64 = 100_000;
/// The same for datagrams.
const ENOUGH_PACKETS: u64 = 100;

/// The first thing that is wrong with a scenario.
pub(super) fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.steps.is_empty() && scenario.offload.is_none() {
        return Err("the scenario has neither `steps` nor `offload`".into());
    }
    if scenario.router == Start::Installed && scenario.feed != super::FeedVariant::Published {
        return Err(
            "`router: installed` has the packages of the published feed, so `feed` must not name another".into()
        );
    }
    check_kernels("the scenario", scenario.kernels.as_ref())?;
    if let Some(kernel) = scenario.needs.unfit_kernel() {
        return Err(format!("the scenario needs the kernel `{kernel}`, which is not written as \"5.13\""));
    }
    if let Some(name) = scenario.needs.unfit() {
        return Err(format!("the scenario needs `{name}`, which is no name of a program, a file or a module"));
    }
    let mut flows = Flows::default();
    check_steps(&scenario.steps, "", &mut flows)?;
    if flows.fast && !flows.slow {
        return Err("traffic must take the fast path, and none must take the slow one: without a control run a \
            counter that never moves would look like offload"
            .into());
    }
    scenario.offload.as_ref().map_or(Ok(()), check_proof)
}

/// What earlier steps did to flows.
#[derive(Default)]
struct Flows {
    /// Opened so far, with their protocol.
    known: Vec<(String, Proto)>,
    /// Open now.
    open: BTreeSet<String>,
    /// Whether some exchange was judged to take the fast, or the slow path.
    fast: bool,
    slow: bool,
}

impl Flows {
    fn open(&mut self, flow: &str, proto: Proto, step: &str) -> Result<(), String> {
        if self.known.iter().any(|(known, _)| known == flow) {
            return Err(format!("{step} opens `{flow}` again; give it another name"));
        }
        self.known.push((flow.to_owned(), proto));
        self.open.insert(flow.to_owned());
        Ok(())
    }
}

fn check_kernels(what: &str, kernels: Option<&OnKernels>) -> Result<(), String> {
    let Some(OnKernels { only, because }) = kernels else { return Ok(()) };
    if let Some(unknown) = only.iter().find(|only| !KERNELS.contains(&only.as_str())) {
        return Err(format!("{what} is for a kernel `{unknown}`, which is none of {}", KERNELS.join(", ")));
    }
    if only.is_empty() || because.trim().is_empty() {
        return Err(format!("{what} is for some kernels only, and does not say for which and why"));
    }
    Ok(())
}

fn check_steps(steps: &[Step], above: &str, flows: &mut Flows) -> Result<(), String> {
    for (number, step) in steps.iter().enumerate() {
        let name = format!("step {above}{}", number + 1);
        check_kernels(&name, step.kernels.as_ref())?;
        check_step(step, &name)?;
        match step.deeds().first() {
            Some(Deed::Open(plan)) => check_open(plan, &name, flows)?,
            Some(Deed::Ftp(plan)) => {
                for flow in [&plan.control, &plan.data] {
                    flows.open(flow, Proto::Tcp, &name)?;
                }
            }
            Some(Deed::Exchange(exchange)) => {
                check_exchange(exchange, &name, flows)?;
                check_steps(&exchange.during, &format!("{above}{}.", number + 1), flows)?;
            }
            Some(Deed::Close(flow) | Deed::Abort(flow)) if !flows.open.remove(*flow) => {
                return Err(format!("{name} ends `{flow}`, which is not open"));
            }
            Some(Deed::Conntrack(expected)) => {
                if !flows.known.iter().any(|(known, _)| *known == expected.flow) {
                    return Err(format!("{name} asks for `{}`, which was never opened", expected.flow));
                }
                let asked = expected.offload.is_some() || expected.state.is_some() || expected.counts.is_some();
                if asked == (expected.gone == Some(true)) {
                    return Err(format!("{name} asks nothing of conntrack, or of an entry that must be gone"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_step(step: &Step, name: &str) -> Result<(), String> {
    let deeds = step.deeds();
    if deeds.len() > 1 {
        return Err(format!("{name} does several things; each needs a step of its own"));
    }
    if step.manager.is_none() && !step.packages.is_empty() {
        return Err(format!("{name} has `packages` but no `manager`"));
    }
    if deeds.is_empty() && step.facts() == 0 {
        return Err(format!("{name} neither runs nor checks anything"));
    }
    let answers =
        matches!(deeds.first(), Some(Deed::Run(_) | Deed::Manage(_) | Deed::Ruleset(_) | Deed::RulesetAdd(_)));
    let expects = !step.says.is_empty()
        || !step.says_not.is_empty()
        || step.each_says != Says::default()
        || step.exit != ExpectedExit::default();
    if !answers && expects {
        return Err(format!("{name} expects an answer (`says`, `exit`) but runs nothing"));
    }
    if step.within.is_some() && !matches!(deeds.first(), Some(Deed::Run(_))) {
        return Err(format!("{name} has `within`, which only a `run` can be repeated for"));
    }
    Ok(())
}

fn check_open(plan: &FlowPlan, name: &str, flows: &mut Flows) -> Result<(), String> {
    if plan.flow.is_empty() || plan.bytes.is_some() {
        return Err(format!("{name} opens a flow that needs a name (`flow`), and no `bytes`: an `exchange` has them"));
    }
    flows.open(&plan.flow, plan.proto, name)?;
    check_flow(plan)
}

fn check_exchange(exchange: &Exchange, name: &str, flows: &mut Flows) -> Result<(), String> {
    if exchange.packets.is_some() == exchange.bytes.is_some() {
        return Err(format!("{name} needs either `packets` or `bytes`"));
    }
    for flow in &exchange.flows {
        if !flows.open.contains(flow) {
            return Err(format!("{name} sends over `{flow}`, which is not open"));
        }
        let is_tcp = flows.known.iter().any(|(known, proto)| known == flow && *proto == Proto::Tcp);
        if is_tcp && exchange.packets.is_some() {
            return Err(format!("{name} counts packets of `{flow}`, which is TCP: use `bytes`"));
        }
        if is_tcp && exchange.refused.is_some() {
            return Err(format!("{name} counts errors for `{flow}`, which is TCP: its segments are sent again"));
        }
    }
    if exchange.flows.is_empty() {
        return Err(format!("{name} names no flow"));
    }
    let enough = exchange.bytes.is_none_or(|bytes| bytes >= ENOUGH_BYTES)
        && exchange.packets.is_none_or(|packets| packets >= ENOUGH_PACKETS);
    if exchange.path.is_some_and(|path| path != Path::None) && !enough {
        return Err(format!(
            "{name} sends too little to tell a path: at least {ENOUGH_BYTES} bytes, or {ENOUGH_PACKETS} packets"
        ));
    }
    if exchange.lossy && exchange.path.is_some() {
        return Err(format!("{name} may lose packets, so no path of them can be told"));
    }
    if exchange.refused.is_some() && exchange.path != Some(Path::None) {
        return Err(format!("{name} expects its packets to be refused, so its `path` must be `none`"));
    }
    flows.fast |= exchange.path.is_some_and(|path| path.is_fast_there() || path.is_fast_back());
    flows.slow |= exchange.path.is_some_and(|path| path != Path::Fast && path != Path::None && path != Path::Local);
    Ok(())
}

fn check_proof(proof: &OffloadProof) -> Result<(), String> {
    if proof.traffic.is_empty() {
        return Err("`offload` has no `traffic`".into());
    }
    for plan in &proof.traffic {
        let bytes = plan.bytes.unwrap_or(0);
        if bytes < ENOUGH_BYTES {
            return Err(format!("{bytes} bytes are too few to prove anything; use at least {ENOUGH_BYTES}"));
        }
        let seen_from = plan.seen_from.or(proof.seen_from);
        check_flow(&FlowPlan { seen_from, ..plan.clone() })?;
    }
    Ok(())
}

fn check_flow(plan: &FlowPlan) -> Result<(), String> {
    if plan.seen_from.is_some_and(|seen_from| seen_from.is_ipv6() != (plan.family == Family::Ipv6)) {
        return Err(format!("{:?} traffic can't be seen from {:?}", plan.family, plan.seen_from));
    }
    // What an MTU of 1,500 leaves after the headers of either family.
    let (least, largest) = if plan.proto == Proto::Tcp { (1, 65536) } else { (8, 1452) };
    let size = plan.size();
    if size < least || size > largest {
        return Err(format!("size {size} is not between {least} and {largest}"));
    }
    Ok(())
}
