//! The cost of forwarding a packet, as `bench offload` measured it and as reports show it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The path that packets took through the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// Offload is off: no flowtable.
    Off,
    /// Through the kernel's software flowtable.
    Software,
    /// Through the network card alone (hardware offload).
    Hardware,
}

impl Path {
    /// All of them, in the order of reports.
    pub const ALL: [Path; 3] = [Path::Off, Path::Software, Path::Hardware];

    /// The word in reports, and in the lines that the guest prints.
    pub fn word(self) -> &'static str {
        match self {
            Path::Off => "off",
            Path::Software => "software",
            Path::Hardware => "hardware",
        }
    }
}

/// What the guest's clock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Instructions, one nanosecond each: the same in every run, whatever the host does meanwhile.
    Instructions,
    /// Time, of a real CPU that runs the guest.
    Time,
}

impl Clock {
    /// What one nanosecond of this clock is.
    pub fn unit(self) -> &'static str {
        match self {
            Clock::Instructions => "instructions",
            Clock::Time => "ns",
        }
    }
}

/// The figures of several rounds, in nanoseconds of the guest's clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// `None` without figures.
    pub fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Spread { least: *sorted.first()?, median, most: *sorted.last()? })
    }

    /// Half the range, in percent of the median.
    pub fn percent(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.most - self.least) / 2.0 / self.median * 100.0 }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} ±{:.2} %", self.median, self.percent())
    }
}

/// The cost of one kind of packet on one path through the router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `udp` or `tcp`.
    pub proto: String,
    /// Payload bytes of a UDP datagram or TCP segment.
    pub payload: u32,
    /// The path that was measured.
    pub path: Path,
    /// Packets per round.
    pub packets: u64,
    /// How many rounds.
    pub rounds: usize,
    /// Per packet, from entering the router to leaving it.
    pub forwarding: Spread,
    /// Per packet, with the cost of generating it; throughput follows from this.
    pub whole: Spread,
}

impl Cost {
    /// The kind of packet, for people.
    pub fn packet(&self) -> String {
        let family = if self.family == "ipv6" { "IPv6" } else { "IPv4" };
        format!("{family}, {}, {} bytes", self.proto.to_uppercase(), self.payload)
    }
}

/// Tells readers of a report what the figures for hardware mean: no guest has a real card.
pub const OF_HARDWARE: &str = "Hardware is the suite's own simulated card, which runs on the guest's processor: its \
    figure is the cost of that simulation. With a real card, offloaded packets cost the router's processor nothing.";

/// All figures measured on one guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Costs {
    /// Version of the guest's kernel; empty when not known.
    pub kernel: String,
    /// What its clock counted.
    pub clock: Clock,
    /// One entry for each kind of packet on each path.
    pub costs: Vec<Cost>,
    /// Why hardware was not measured, if it was not.
    pub no_hardware: Option<String>,
}

impl Costs {
    /// Whether hardware was measured.
    pub fn has_hardware(&self) -> bool {
        self.costs.iter().any(|cost| cost.path == Path::Hardware)
    }

    /// The cost of the same kind of packet with offload off.
    pub fn baseline(&self, cost: &Cost) -> Option<&Cost> {
        let same =
            |other: &&Cost| (&other.family, &other.proto, other.payload) == (&cost.family, &cost.proto, cost.payload);
        self.costs.iter().filter(same).find(|other| other.path == Path::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_named_by_its_middle_and_its_width() {
        let spread = Spread::of(&[100.0, 98.0, 104.0]).unwrap();
        assert_eq!((spread.least, spread.median, spread.most), (98.0, 100.0, 104.0));
        assert_eq!(spread.to_string(), "100 ±3.00 %");
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[0.0]).unwrap().percent(), 0.0);
    }
}
