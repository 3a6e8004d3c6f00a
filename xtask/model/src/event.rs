//! What happened during a run, told to the sinks of `xtask`: the engine never prints.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use serde::Serialize;

use crate::cost::Costs;
use crate::kmod::KmodRow;
use crate::{Finding, Record, Verdict};

/// Name and version of the event stream; fields may be added, never renamed.
pub const SCHEMA: &str = "openwrt-offload-events/1";

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The work was done.
    Done,
    /// It ended with a failure, reported as a [`Event::Finding`].
    Failed,
}

/// One thing that happened. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// First record of a run.
    RunBegin {
        /// Always [`SCHEMA`].
        schema: &'static str,
        /// The verb, such as `test`.
        verb: String,
    },
    /// A stage starts working.
    StageBegin {
        /// Name of the stage, such as `packages`.
        stage: String,
        /// What it works on, for the user.
        detail: String,
    },
    /// A stage had nothing to do.
    StageSkipped {
        /// Name of the stage.
        stage: String,
        /// The reason, for the user.
        why: String,
    },
    /// How far a stage is.
    Progress {
        /// Name of the stage.
        stage: String,
        /// Units finished.
        done: u64,
        /// Units in all, when known.
        total: Option<u64>,
    },
    /// A line worth showing to a curious user (`-v`).
    Line {
        /// Name of the stage or scenario.
        stage: String,
        /// The text.
        text: String,
    },
    /// Something that the user asked to know, such as an address; shown unless `-q`.
    Notice {
        /// Name of the stage or verb.
        stage: String,
        /// The text.
        text: String,
    },
    /// A note, warning or error.
    Finding(Finding),
    /// A stage ended.
    StageEnd {
        /// Name of the stage.
        stage: String,
        /// Whether it succeeded.
        status: Status,
        /// How long it took.
        millis: u64,
        /// What came out, for the user.
        summary: String,
    },
    /// A package that differs between two feeds.
    Change {
        /// Which index of the feed, such as `apk`.
        part: String,
        /// Name of the package.
        package: String,
        /// Its version in the old feed; `None` when the old feed lacks it.
        old: Option<String>,
        /// Its version in the new feed; the same as the old one when only the bytes differ.
        new: Option<String>,
    },
    /// A scenario starts.
    CaseBegin {
        /// Its name.
        case: String,
    },
    /// A scenario ended.
    CaseEnd {
        /// Its name.
        case: String,
        /// Its conclusion.
        verdict: Verdict,
        /// How long it took.
        millis: u64,
        /// Observations that are worth a line each, such as counters.
        notes: Vec<String>,
        /// Everything that was checked, for reports.
        record: Box<Record>,
    },
    /// A row of the kmod table.
    Kmod(KmodRow),
    /// What forwarding a packet costs.
    Costs(Costs),
    /// What the run depends on: the host, the accelerator, the router.
    Fact {
        /// Its name, such as `QEMU`.
        name: String,
        /// Its value, such as `7.2.22`.
        value: String,
    },
    /// A result of `bench`.
    Measured {
        /// The schema that says which values there are.
        schema: &'static str,
        /// What was measured, such as `write ipk`.
        work: String,
        /// Which program did it: `ours`, or another one.
        by: String,
        /// Numbers by name.
        values: BTreeMap<&'static str, f64>,
    },
    /// Last record of a run.
    RunEnd {
        /// Exit code.
        exit: u8,
        /// How long the run took.
        millis: u64,
    },
}

/// Sends events to the sinks. Cheap to clone; sending never fails and never blocks.
#[derive(Debug, Clone)]
pub struct Events(Option<Sender<Event>>);

impl Events {
    /// Events go to `sender`.
    pub fn to(sender: Sender<Event>) -> Self {
        Events(Some(sender))
    }

    /// Drops all events.
    pub fn discard() -> Self {
        Events(None)
    }

    /// Sends one event. If nobody listens any more, the work still goes on.
    pub fn emit(&self, event: Event) {
        if let Some(sender) = &self.0 {
            let _gone = sender.send(event);
        }
    }

    /// Sends a [`Event::Line`].
    pub fn line(&self, stage: &str, text: impl Into<String>) {
        self.emit(Event::Line { stage: stage.into(), text: text.into() });
    }

    /// Sends a [`Event::Notice`].
    pub fn notice(&self, stage: &str, text: impl Into<String>) {
        self.emit(Event::Notice { stage: stage.into(), text: text.into() });
    }

    /// Sends a [`Event::Fact`].
    pub fn fact(&self, name: &str, value: impl Into<String>) {
        self.emit(Event::Fact { name: name.into(), value: value.into() });
    }

    /// Sends a [`Event::Progress`].
    pub fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        self.emit(Event::Progress { stage: stage.into(), done, total });
    }
}
