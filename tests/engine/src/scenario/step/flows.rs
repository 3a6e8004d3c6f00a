//! What the steps of a file did to flows so far, so that later ones can be held against it.

use std::collections::BTreeSet;

use crate::scenario::Start;
use crate::scenario::flow::{Lane, Path, Proto};

/// What earlier steps did to flows.
#[derive(Debug, Default)]
pub(in crate::scenario) struct Flows {
    /// Opened so far, with their protocol.
    known: Vec<(String, Proto)>,
    /// Open now.
    open: BTreeSet<String>,
    /// Whether some exchange was judged to take the fast, or the slow path.
    fast: bool,
    slow: bool,
    /// Whether the router has the driver of a card that offloads, and whether a step put the card in.
    driver: bool,
    card: bool,
}

impl Flows {
    /// None so far, on a router that begins so.
    pub(in crate::scenario) fn of(router: Start) -> Flows {
        Flows { driver: router == Start::Card, ..Flows::default() }
    }

    pub(super) fn open(&mut self, flow: &str, proto: Proto) -> Result<(), String> {
        if self.is_known(flow) {
            return Err(format!("opens `{flow}` again; give it another name"));
        }
        self.known.push((flow.to_owned(), proto));
        self.open.insert(flow.to_owned());
        Ok(())
    }

    /// Whether it was open.
    pub(super) fn end(&mut self, flow: &str) -> bool {
        self.open.remove(flow)
    }

    pub(super) fn is_open(&self, flow: &str) -> bool {
        self.open.contains(flow)
    }

    /// Whether it was ever opened.
    pub(super) fn is_known(&self, flow: &str) -> bool {
        self.known.iter().any(|(known, _)| known == flow)
    }

    pub(super) fn is_tcp(&self, flow: &str) -> bool {
        self.known.iter().any(|(known, proto)| known == flow && *proto == Proto::Tcp)
    }

    /// Packets were judged to take this path.
    pub(super) fn judged(&mut self, path: Path) {
        self.fast |= path.has(Lane::Software) || path.has(Lane::Hardware);
        self.slow |= path.has(Lane::Slow);
    }

    /// From here on the router has a card that offloads; whether that can be.
    pub(super) fn put_in_card(&mut self) -> bool {
        self.card = self.driver;
        self.driver
    }

    /// Whether it takes a card that no step brought.
    pub(super) fn lack_a_card(&self, path: Path) -> bool {
        path.has(Lane::Hardware) && !self.card
    }

    /// Whether packets had to take the fast path and none the slow one.
    pub(in crate::scenario) fn lack_a_control(&self) -> bool {
        self.fast && !self.slow
    }
}
