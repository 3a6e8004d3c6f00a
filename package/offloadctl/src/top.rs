//! The first few flows in some order, out of any number: only those that are shown are kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::conntrack::Flow;

/// What flows are ordered by, largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Bytes of both directions.
    Bytes,
    /// Packets of both directions.
    Packets,
    /// Seconds since the flow began.
    Age,
}

impl Sort {
    /// The word for it, on the command line and in every output.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Bytes => "bytes",
            Sort::Packets => "packets",
            Sort::Age => "age",
        }
    }

    /// The order with this name.
    pub fn named(name: &str) -> Option<Sort> {
        [Sort::Bytes, Sort::Packets, Sort::Age].into_iter().find(|sort| sort.name() == name)
    }

    /// The number that decides; 0 where the kernel does not tell, so that such flows come last.
    fn key(self, flow: &Flow) -> u64 {
        let counters = [flow.original.counters, flow.reply.counters].into_iter().flatten();
        match self {
            Sort::Bytes => counters.fold(0, |sum, counted| sum.saturating_add(counted.bytes)),
            Sort::Packets => counters.fold(0, |sum, counted| sum.saturating_add(counted.packets)),
            Sort::Age => flow.age.unwrap_or(0),
        }
    }
}

/// The largest flows seen so far.
#[derive(Debug)]
pub struct Top {
    sort: Sort,
    most: usize,
    seen: u64,
    /// The smallest of those kept is at the head, ready to be replaced.
    kept: BinaryHeap<Reverse<Ranked>>,
}

impl Top {
    /// Keeps at most `most` flows.
    pub fn new(sort: Sort, most: usize) -> Top {
        Top { sort, most, seen: 0, kept: BinaryHeap::new() }
    }

    /// Looks at one flow.
    pub fn add(&mut self, flow: &Flow) {
        self.seen += 1;
        let ranked = Ranked { key: self.sort.key(flow), turn: Reverse(self.seen), flow: *flow };
        if self.kept.len() < self.most {
            self.kept.push(Reverse(ranked));
        } else if let Some(mut smallest) = self.kept.peek_mut()
            && ranked > smallest.0
        {
            *smallest = Reverse(ranked);
        }
    }

    /// How many flows it looked at.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The largest flows, largest first; equal ones as the kernel told them.
    pub fn into_flows(self) -> impl Iterator<Item = Flow> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.flow)
    }
}

/// A flow with its place in the order: by its key, and among equals the one that came first.
#[derive(Debug)]
struct Ranked {
    key: u64,
    turn: Reverse<u64>,
    flow: Flow,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> std::cmp::Ordering {
        (self.key, self.turn).cmp(&(other.key, other.turn))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conntrack::Counters;

    fn flow(bytes: u64, packets: u64, age: Option<u64>) -> Flow {
        let mut flow = Flow { age, ..Flow::default() };
        flow.original.counters = Some(Counters { packets, bytes });
        flow
    }

    #[test]
    fn each_order_has_its_key() {
        let both = {
            let mut both = flow(10, 1, Some(7));
            both.reply.counters = Some(Counters { packets: 2, bytes: 5 });
            both
        };
        assert_eq!((Sort::Bytes.key(&both), Sort::Packets.key(&both), Sort::Age.key(&both)), (15, 3, 7));
        assert_eq!(Sort::Age.key(&flow(1, 1, None)), 0);
        assert_eq!(Sort::named("packets"), Some(Sort::Packets));
        assert_eq!(Sort::named("size"), None);
    }

    #[test]
    fn keeps_nothing_when_asked_for_nothing() {
        let mut top = Top::new(Sort::Bytes, 0);
        top.add(&flow(1, 1, None));
        assert_eq!((top.seen(), top.into_flows().count()), (1, 0));
    }

    proptest! {
        #[test]
        fn is_what_sorting_everything_gives(bytes in proptest::collection::vec(0..20_u64, 0..60), most in 0..30_usize) {
            let mut top = Top::new(Sort::Bytes, most);
            let mut all: Vec<Flow> = (0..).zip(&bytes).map(|(turn, bytes)| flow(*bytes, turn, None)).collect();
            all.iter().for_each(|flow| top.add(flow));
            prop_assert!(top.kept.len() <= most);
            prop_assert_eq!(top.seen(), bytes.len() as u64);
            // A stable sort leaves equal flows as they came.
            all.sort_by_key(|flow| Reverse(Sort::Bytes.key(flow)));
            all.truncate(most);
            prop_assert_eq!(top.into_flows().collect::<Vec<_>>(), all);
        }
    }
}
