//! A flow that is opened and stays open.

use std::fmt;

use super::flows::Flows;
use crate::scenario::flow::FlowPlan;

pub(super) fn check(plan: &FlowPlan, flows: &mut Flows) -> Result<(), String> {
    if plan.flow.is_empty() || plan.bytes.is_some() {
        return Err("opens a flow that needs a name (`flow`), and no `bytes`: an `exchange` has them".into());
    }
    flows.open(&plan.flow, plan.proto)?;
    plan.check()
}

impl fmt::Display for FlowPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open {} {}", self.proto.word(), self.flow)
    }
}
