//! Flows added up by the path that they take.

use crate::conntrack::{Flow, Path};
use crate::files::Files;
use crate::finding::Finding;
use crate::flows::{self, Source};
use crate::modules::Module;

/// Above this number of connections, reading `/proc` takes more than a few seconds on a slow machine: 99,000 took 87 s.
const MOST_BY_PROC: u64 = 20_000;

/// Number of flows on one path and what they carried, both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Number of flows.
    pub flows: u64,
    /// How many of them have no counters, because accounting was off when they began.
    pub uncounted: u64,
    /// Packets of the counted ones.
    pub packets: u64,
    /// Bytes of the counted ones.
    pub bytes: u64,
}

/// Totals of all tracked connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowTotals {
    /// Where they were read.
    pub source: Source,
    /// In the order of [`Path::ALL`].
    pub paths: [Totals; 3],
}

impl FlowTotals {
    /// No flows yet.
    pub fn new(source: Source) -> FlowTotals {
        FlowTotals { source, paths: [Totals::default(); 3] }
    }

    /// The totals of one path.
    pub fn on(&self, path: Path) -> Totals {
        Path::ALL.iter().zip(self.paths).find(|(known, _)| **known == path).map_or_else(Totals::default, |(_, t)| t)
    }

    /// Counts one flow.
    pub fn add(&mut self, flow: &Flow) {
        let Some((_, totals)) = Path::ALL.iter().zip(&mut self.paths).find(|(path, _)| **path == flow.path) else {
            return;
        };
        totals.flows += 1;
        let counters = [flow.original.counters, flow.reply.counters];
        if counters == [None, None] {
            totals.uncounted += 1;
        }
        for counted in counters.into_iter().flatten() {
            totals.packets = totals.packets.saturating_add(counted.packets);
            totals.bytes = totals.bytes.saturating_add(counted.bytes);
        }
    }
}

/// Counts the flows by path.
///
/// # Errors
/// They cannot be read, or not in reasonable time.
pub fn count(files: &Files, modules: &[Module]) -> Result<FlowTotals, Finding> {
    let source = flows::source(files, modules)?;
    let tracked = flows::tracked(files).unwrap_or(0);
    if source == Source::Proc && tracked > MOST_BY_PROC {
        return Err(Finding::new(
            "OCTL110",
            format!("the {tracked} tracked connections were not counted"),
            "without nf_conntrack_netlink the kernel takes minutes to list that many",
            "install kmod-nf-conntrack-netlink, or list them with patience: offloadctl flows",
        ));
    }
    let mut totals = FlowTotals::new(source);
    let outcome = flows::each(files, source, &Path::ALL, |flow| {
        totals.add(flow);
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(totals),
        Err(stop) => stop.finding().map_or(Ok(totals), Err),
    }
}
