//! What YAML types can't refuse: files that assert nothing, or something else than they seem to.

use super::step::{Deed, Flows, OnKernels, Step};
use super::{FeedVariant, Scenario, Start};

/// Kernel lines that a file may name: those that scenarios were measured on.
pub const KERNELS: [&str; 3] = ["6.1", "6.12", "newest"];

/// What is wrong with a file.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The step, such as `step 3.1`, if it is one.
    pub(super) step: Option<String>,
    pub(super) what: String,
}

impl From<String> for Wrong {
    fn from(what: String) -> Wrong {
        Wrong { step: None, what }
    }
}

/// The first thing that is wrong with a scenario.
pub(super) fn check(scenario: &Scenario) -> Result<(), Wrong> {
    if scenario.steps.is_empty() && scenario.offload.is_none() {
        return Err("the scenario has neither `steps` nor `offload`".to_owned().into());
    }
    let is_trusted = matches!(scenario.feed, FeedVariant::Published | FeedVariant::Tests);
    if scenario.router.has_packages() && !is_trusted {
        let what =
            "`router: installed` has the packages of the published feed, so `feed` must not be one to be refused";
        return Err(what.to_owned().into());
    }
    let upgrades = |step: &Step| matches!(step.deed, Some(Deed::Sysupgrade(_)));
    let is_upgraded = scenario.feed == FeedVariant::Trees && scenario.steps.iter().any(upgrades);
    if scenario.router == Start::OlderKernel && !is_upgraded {
        let what = "`router: older-kernel` is for upgrades of the system: it needs a step `sysupgrade`, and `feed: trees`, \
            the only one with the packages of both kernels";
        return Err(what.to_owned().into());
    }
    check_kernels(scenario.kernels.as_ref()).map_err(|what| format!("the scenario {what}"))?;
    if let Some(kernel) = scenario.needs.unfit_kernel() {
        return Err(format!("the scenario needs the kernel `{kernel}`, which is not written as \"5.13\"").into());
    }
    if let Some(name) = scenario.needs.unfit() {
        return Err(format!(
            "the scenario needs `{name}`, which is no name of a program, a file, a module or a package"
        )
        .into());
    }
    if !scenario.needs.packages.is_empty() {
        check_packages(scenario)?;
    }
    let mut flows = Flows::of(scenario.router);
    check_steps(&scenario.steps, "", &mut flows)?;
    if flows.lack_a_control() {
        let what = "traffic must take the fast path, and none must take the slow one: without a control run a \
            counter that never moves would look like offload";
        return Err(what.to_owned().into());
    }
    scenario.offload.as_ref().map_or(Ok(()), |proof| proof.check().map_err(Wrong::from))
}

/// What must be true where the image's lacks are made up for.
fn check_packages(scenario: &Scenario) -> Result<(), Wrong> {
    let what = match scenario {
        _ if scenario.needs.asks_nothing() => "names `packages`, and nothing that they bring",
        _ if scenario.feed == FeedVariant::Trees => {
            "begins on a router that knows no feed, so none can have its `packages`"
        }
        _ => return Ok(()),
    };
    Err(format!("the scenario {what}").into())
}

fn check_kernels(kernels: Option<&OnKernels>) -> Result<(), String> {
    let Some(OnKernels { only, because }) = kernels else { return Ok(()) };
    if let Some(unknown) = only.iter().find(|only| !KERNELS.contains(&only.as_str())) {
        return Err(format!("is for a kernel `{unknown}`, which is none of {}", KERNELS.join(", ")));
    }
    if only.is_empty() || because.trim().is_empty() {
        return Err("is for some kernels only, and does not say for which and why".into());
    }
    Ok(())
}

fn check_steps(steps: &[Step], above: &str, flows: &mut Flows) -> Result<(), Wrong> {
    for (number, step) in (1..).zip(steps) {
        let checked = check_kernels(step.kernels.as_ref());
        let checked = checked.and_then(|()| step.deed.as_ref().map_or(Ok(()), |deed| deed.check(flows)));
        checked.map_err(|what| {
            let name = format!("step {above}{number}");
            Wrong { what: format!("{name} {what}"), step: Some(name) }
        })?;
        check_steps(step.during(), &format!("{above}{number}."), flows)?;
    }
    Ok(())
}
