//! What was sent and what of it arrived, so that one exchange can be told from those before.

use vm::lab::{Direction, FlowReport};

/// Payload of both directions since the flow was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    there: Part,
    back: Part,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    sent: u64,
    received: u64,
    damaged: u64,
    repeated: u64,
}

impl Delivery {
    /// As of a report.
    pub(crate) fn of(report: &FlowReport) -> Delivery {
        let part = |way: &Direction| Part {
            sent: way.sent.bytes,
            received: way.received.bytes,
            damaged: way.damaged,
            repeated: way.repeated,
        };
        let (there, back) = (part(&report.there), part(&report.back));
        if !report.flow.echo {
            return Delivery { there, back };
        }
        // All that the far end sends is what it got; how much that was is known from what came back alone.
        let whole = Part { sent: there.sent, ..back };
        Delivery { there: whole, back: whole }
    }

    /// Whether all that was sent arrived, once.
    pub(crate) fn is_whole(&self) -> bool {
        self.damage(&Delivery::default()).is_none()
    }

    /// What went wrong since `before`.
    pub(crate) fn damage(&self, before: &Delivery) -> Option<String> {
        for (name, now, then) in [("there", self.there, before.there), ("back", self.back, before.back)] {
            let (sent, received) = (now.sent - then.sent, now.received.saturating_sub(then.received));
            let (damaged, repeated) = (now.damaged - then.damaged, now.repeated - then.repeated);
            if sent != received || damaged + repeated > 0 {
                return Some(format!(
                    "on the way {name} {received} of {sent} bytes arrived, {damaged} pieces damaged, {repeated} repeated"
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(sent: u64, received: u64, damaged: u64, repeated: u64) -> Delivery {
        let whole = Part { sent, received: sent, ..Part::default() };
        Delivery { there: whole, back: Part { sent, received, damaged, repeated } }
    }

    #[test]
    fn a_loss_counts_for_the_exchange_that_it_happened_in() {
        let whole = delivery(100, 100, 0, 0);
        assert!(whole.is_whole());
        let after = delivery(200, 150, 0, 0);
        assert!(!after.is_whole());
        assert!(after.damage(&whole).unwrap().contains("back 50 of 100"));
        assert_eq!(delivery(300, 250, 0, 0).damage(&after), None);
        for bad in [delivery(100, 100, 1, 0), delivery(100, 100, 0, 1), delivery(100, 101, 0, 0)] {
            assert!(!bad.is_whole(), "{bad:?}");
        }
    }
}
