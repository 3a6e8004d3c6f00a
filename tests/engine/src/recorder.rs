//! What is told of a case: its record for reports, notes for its last line, and lines while it runs.

use std::time::{Duration, Instant};

use model::{Check, Count, Events, Phase, Record, Sample};

/// Takes down what a try of a case shows.
pub(crate) struct Recorder {
    name: String,
    events: Events,
    started: Instant,
    pub(crate) record: Record,
    pub(crate) notes: Vec<String>,
}

impl Recorder {
    /// For the case of this name; `record` says which scenario it is.
    pub(crate) fn new(name: &str, events: &Events, record: Record) -> Self {
        let (name, events) = (name.to_owned(), events.clone());
        Recorder { name, events, started: Instant::now(), record, notes: Vec::new() }
    }

    /// The router answers: times of samples begin now.
    pub(crate) fn begin(&mut self) {
        self.started = Instant::now();
    }

    /// Notes one question and its answer.
    pub(crate) fn check(&mut self, check: Check) {
        self.record.checks.push(check);
    }

    /// Notes counters of a flow.
    pub(crate) fn sample(&mut self, sample: Sample) {
        self.record.samples.push(sample);
    }

    /// Adds something to be told with the verdict.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Tells whoever wants to see each step.
    pub(crate) fn line(&self, text: String) {
        self.events.line(&self.name, text);
    }

    /// Since the router answered, in milliseconds.
    pub(crate) fn millis(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Adds to the time of a part of the case.
    pub(crate) fn phase(&mut self, name: &str, took: Duration) {
        match self.record.phases.iter_mut().find(|phase| phase.name == name) {
            Some(phase) => phase.millis += millis(took),
            None => self.record.phases.push(Phase { name: name.into(), millis: millis(took) }),
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Both directions of conntrack's counters, added.
pub(crate) fn both((one_packets, two_packets): (u64, u64), (one_bytes, two_bytes): (u64, u64)) -> Count {
    Count { packets: one_packets + two_packets, bytes: one_bytes + two_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_case_are_added_up_by_name() {
        let events = Events::discard();
        let mut told = Recorder::new("a", &events, Record::default());
        for (name, millis) in [("steps", 5), ("traffic", 7), ("steps", 6)] {
            told.phase(name, Duration::from_millis(millis));
        }
        let sums: Vec<(&str, u64)> =
            told.record.phases.iter().map(|phase| (phase.name.as_str(), phase.millis)).collect();
        assert_eq!(sums, [("steps", 11), ("traffic", 7)]);
    }
}
