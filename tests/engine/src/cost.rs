//! What forwarding a packet costs: what the guest is given to measure it, and what its figures mean.
//!
//! The guest plays client, router and server by itself (`tests/bench/run`), because packets that come from
//! outside bring the host's timing with them. Its figures count only if every packet took the way that it is
//! said to have taken: that is judged here.

use std::collections::BTreeMap;

use model::cost::{Clock, Cost, Costs, Path, Spread};
use model::{Exit, Failure, Problem, Result};

/// Modules that the guest loads: generator, wires, and what a router with offload and masquerade needs.
pub const MODULES: [&str; 9] = [
    "veth",
    "pktgen",
    "nf_conntrack",
    "nf_tables",
    "nft_ct",
    "nft_masq",
    "nft_chain_nat",
    "nf_flow_table_inet",
    "nft_flow_offload",
];

/// Modules that only some kernels have, the others having them built in: a checksum that is asked for by an alias,
/// which names no file, and counters with names.
pub const MODULES_WHERE_PRESENT: [&str; 2] = ["crc32c_generic", "nft_objref"];

/// The guest's first process, by its path in the image.
pub const FIRST_PROCESS: &str = "/bench/run";

/// Where the guest says what it measured, and what went wrong.
pub const RESULTS: &str = "/bench/results";
/// See [`RESULTS`].
pub const ERRORS: &str = "/bench/errors";

/// Files of the guest; [`plan`] makes one more.
pub const FILES: [(&str, &str); 7] = [
    (FIRST_PROCESS, include_str!("../../bench/run")),
    ("/bench/slow.nft", include_str!("../../bench/slow.nft")),
    ("/bench/fast.nft", include_str!("../../bench/fast.nft")),
    ("/bench/generator.nft", include_str!("../../bench/generator.nft")),
    ("/bench/segments.nft", include_str!("../../bench/segments.nft")),
    ("/bench/sink-client.nft", include_str!("../../bench/sink-client.nft")),
    ("/bench/sink-server.nft", include_str!("../../bench/sink-server.nft")),
];

/// The driver of the card that offloads, of a guest that has one.
pub const CARD: &str = "/bench/card.ko";

/// Where [`plan`] goes.
pub const PLAN: &str = "/bench/plan";

/// Family, protocol and payload bytes of the packets.
const PACKETS: [(&str, &str, u32); 8] = [
    ("ipv4", "udp", 1000),
    ("ipv4", "udp", 64),
    ("ipv4", "tcp", 1000),
    ("ipv4", "tcp", 64),
    ("ipv6", "udp", 1000),
    ("ipv6", "udp", 64),
    ("ipv6", "tcp", 1000),
    ("ipv6", "tcp", 64),
];

/// With offload, this part of the packets may pass the forward hook.
const FORWARDED_AT_MOST: f64 = 0.01;

/// Rounds that count instructions differ by less than this percentage, or something else ran meanwhile.
const UNSTEADY: f64 = 2.0;

/// What the guest is to measure: a line for each kind of packet.
pub fn plan(packets: u64, rounds: usize) -> String {
    PACKETS.iter().map(|(family, proto, payload)| format!("{family} {proto} {payload} {packets} {rounds}\n")).collect()
}

/// One line of the guest's.
#[derive(Debug, Clone, PartialEq)]
struct Line<'a> {
    path: &'a str,
    family: &'a str,
    proto: &'a str,
    payload: u32,
    micros: u64,
    sent: u64,
    arrived: u64,
    seen: u64,
    marked: bool,
    /// Sent on by the card.
    card: u64,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Option<Line<'a>> {
        let fields: BTreeMap<&str, &str> = text.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let number = |key: &str| fields.get(key)?.parse::<u64>().ok();
        Some(Line {
            path: fields.get("path")?,
            family: fields.get("family")?,
            proto: fields.get("proto")?,
            payload: fields.get("payload")?.parse().ok()?,
            micros: number("micros")?,
            sent: number("sent").filter(|sent| *sent > 0)?,
            arrived: number("arrived")?,
            seen: number("seen")?,
            marked: number("marked")? > 0,
            card: number("card")?,
        })
    }

    /// Nanoseconds of the guest's clock for each packet.
    #[allow(clippy::cast_precision_loss, reason = "counts of packets and microseconds are far below 2^52")]
    fn per_packet(&self) -> f64 {
        self.micros as f64 * 1000.0 / self.sent as f64
    }

    /// Whether its packets took the way that it is named by; `None`: they did.
    #[allow(clippy::cast_precision_loss, reason = "counts of packets are far below 2^52")]
    fn strayed(&self) -> Option<&'static str> {
        let few = self.sent as f64 * FORWARDED_AT_MOST;
        let fast = self.seen as f64 <= few && self.marked;
        match self.path {
            "generator" if self.seen != self.sent => Some("packets were lost before the router"),
            "generator" => None,
            _ if self.arrived != self.sent => Some("packets were lost, or arrived without being translated"),
            "off" if self.seen != self.sent => Some("packets went past the forward hook with offload off"),
            "off" if self.marked => Some("the flow is marked as offloaded with offload off"),
            "software" | "hardware" if !fast => Some("packets took the slow path with offload on"),
            "hardware" if self.sent.saturating_sub(self.card) as f64 > few => Some("packets came up from the card"),
            "off" | "software" if self.card > 0 => Some("packets went through the card without hardware offload"),
            _ => None,
        }
    }
}

/// Reads what the guest measured; `errors` is what went wrong by its own account.
pub fn read(results: &str, errors: &str, clock: Clock) -> Result<Costs> {
    let mut text = results.trim();
    text = text.strip_suffix("end").ok_or_else(|| unreadable("it did not come to its end", results, errors))?;
    let mut no_hardware = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("no-hardware ") {
            Some(why) => no_hardware = Some(why.to_owned()),
            None => lines.push(Line::parse(line).ok_or_else(|| unreadable("a line has no figures", line, errors))?),
        }
    }
    let asked = |line: &Line<'_>| PACKETS.contains(&(line.family, line.proto, line.payload));
    if !lines.iter().all(asked) {
        return Err(unreadable("a line is about a packet that nobody asked for", results, errors));
    }
    if let Some((line, why)) = lines.iter().find_map(|line| line.strayed().map(|why| (line, why))) {
        return Err(strayed(line, why));
    }
    let costs = summed_up(&lines);
    if let Some(cost) = costs.iter().find(|cost| clock == Clock::Instructions && cost.whole.percent() > UNSTEADY) {
        return Err(unsteady(cost));
    }
    if costs.is_empty() {
        Err(unreadable("it measured nothing", results, errors))
    } else {
        Ok(Costs { kernel: String::new(), clock, costs, no_hardware })
    }
}

/// Rounds of the same thing become one figure, less what generating the packets took.
fn summed_up(lines: &[Line<'_>]) -> Vec<Cost> {
    let mut costs = Vec::new();
    for (family, proto, payload) in PACKETS {
        let of = |path: &str| -> Vec<&Line<'_>> {
            let same =
                |line: &&Line<'_>| (line.family, line.proto, line.payload, line.path) == (family, proto, payload, path);
            lines.iter().filter(same).collect()
        };
        let per_packet = |lines: &[&Line<'_>]| lines.iter().map(|line| line.per_packet()).collect::<Vec<f64>>();
        let Some(generator) = Spread::of(&per_packet(&of("generator"))) else { continue };
        for path in Path::ALL {
            let rounds = of(path.word());
            let whole = per_packet(&rounds);
            let forwarding: Vec<f64> = whole.iter().map(|figure| figure - generator.median).collect();
            if let (Some(first), Some(whole), Some(forwarding)) =
                (rounds.first(), Spread::of(&whole), Spread::of(&forwarding))
            {
                let (family, proto) = (family.to_owned(), proto.to_owned());
                let (packets, rounds) = (first.sent, rounds.len());
                costs.push(Cost { family, proto, payload, path, packets, rounds, forwarding, whole });
            }
        }
    }
    costs
}

fn unreadable(what: &str, results: &str, errors: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "COST001",
        what: format!("the guest's measurement cannot be read: {what}"),
        why: format!("it wrote: {}\nand complained: {}", results.trim(), errors.trim()),
        fix: "run it once more; if it stays, the kernel lacks what tests/bench/run asks for",
    })
}

fn unsteady(cost: &Cost) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "COST003",
        what: format!("{}, {}: the rounds differ by ±{:.1} %", cost.packet(), cost.path.word(), cost.whole.percent()),
        why: "instructions of the same packets are nearly the same in every round, unless something else ran among them",
        fix: "run it once more with --repeat 5; if it stays, look at what tests/bench/run starts on this kernel",
    })
}

fn strayed(line: &Line<'_>, why: &str) -> Failure {
    let Line { path, family, proto, payload, sent, arrived, seen, marked, card, micros: _ } = line;
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "COST002",
        what: format!("{path}, {family}, {proto}, {payload} bytes: {why}"),
        why: format!(
            "{sent} packets were sent, {arrived} arrived translated, the counter on the way saw {seen}, the card sent on \
             {card}, marked: {marked}"
        ),
        fix: "a figure of packets that took another way means nothing; run the scenario offload-ipv4-nat, which tells more",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // As the guest wrote them, on Linux 6.12.
    const RESULTS: &str = "\
path=generator family=ipv4 proto=udp payload=1000 round=1 micros=56981 sent=20000 arrived=0 seen=20000 marked=0 card=0
path=off family=ipv4 proto=udp payload=1000 round=1 micros=204488 sent=20000 arrived=20000 seen=20000 marked=0 card=0
path=software family=ipv4 proto=udp payload=1000 round=1 micros=105982 sent=20000 arrived=20000 seen=0 marked=1 card=0
path=generator family=ipv4 proto=udp payload=1000 round=2 micros=56957 sent=20000 arrived=0 seen=20000 marked=0 card=0
path=off family=ipv4 proto=udp payload=1000 round=2 micros=204475 sent=20000 arrived=20000 seen=20000 marked=0 card=0
path=software family=ipv4 proto=udp payload=1000 round=2 micros=105973 sent=20000 arrived=20000 seen=0 marked=1 card=0
path=hardware family=ipv4 proto=udp payload=1000 round=1 micros=80000 sent=20000 arrived=20000 seen=0 marked=1 card=20000
path=hardware family=ipv4 proto=udp payload=1000 round=2 micros=80001 sent=20000 arrived=20000 seen=0 marked=1 card=19990
end
";

    fn costs(results: &str) -> Result<Costs> {
        read(results, "a complaint", Clock::Instructions)
    }

    #[test]
    fn rounds_are_summed_up_less_what_the_generator_takes() {
        let costs = costs(RESULTS).unwrap();
        let [off, software, hardware] = &costs.costs[..] else { panic!("{costs:?}") };
        assert_eq!((hardware.path, hardware.rounds), (Path::Hardware, 2));
        assert_eq!((off.path, software.path, off.rounds, off.packets), (Path::Off, Path::Software, 2, 20_000));
        // 204,488 µs for 20,000 packets are 10,224.4 ns each, of which 2,849.05 are the generator's.
        assert!((off.whole.most - 10_224.4).abs() < 0.01 && (off.forwarding.most - 7_375.35).abs() < 0.01, "{off:?}");
        assert!(software.forwarding.median < off.forwarding.median / 2.0);
        assert_eq!(costs.baseline(software), Some(off));
    }

    #[test]
    fn packets_that_took_another_way_measure_nothing() {
        for (from, to) in [
            ("seen=0 marked=1", "seen=201 marked=1"),
            ("seen=0 marked=1", "seen=0 marked=0"),
            ("arrived=20000 seen=0", "arrived=19999 seen=0"),
            ("arrived=20000 seen=20000 marked=0", "arrived=20000 seen=19999 marked=0"),
            ("arrived=20000 seen=20000 marked=0", "arrived=20000 seen=20000 marked=1"),
            ("arrived=0 seen=20000", "arrived=0 seen=19000"),
            ("card=20000", "card=19000"),
            ("arrived=20000 seen=20000 marked=0 card=0", "arrived=20000 seen=20000 marked=0 card=1"),
            ("marked=1 card=0", "marked=1 card=20000"),
        ] {
            assert!(RESULTS.contains(from), "{from}");
            let failure = costs(&RESULTS.replacen(from, to, 1)).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("COST002", Exit::Failed), "{to}");
        }
        assert!(costs(&RESULTS.replace("seen=0 marked=1", "seen=200 marked=1")).is_ok());
    }

    #[test]
    fn a_guest_without_a_card_says_why() {
        let lines = RESULTS.lines().filter(|line| !line.starts_with("path=hardware"));
        let without = lines.collect::<Vec<_>>().join("\n");
        let costs = costs(&format!("no-hardware Could not process rule: Operation not supported\n{without}")).unwrap();
        assert_eq!(costs.no_hardware.as_deref(), Some("Could not process rule: Operation not supported"));
        assert!(costs.costs.iter().all(|cost| cost.path != Path::Hardware));
    }

    #[test]
    fn rounds_that_differ_count_nothing_where_instructions_are_counted() {
        let one_is_short = RESULTS.replace("micros=204475", "micros=61954");
        let failure = costs(&one_is_short).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("COST003", Exit::Blocked));
        assert!(read(&one_is_short, "", Clock::Time).is_ok(), "time differs");
    }

    #[test]
    fn a_measurement_that_broke_off_is_blocked_and_told_with_its_complaint() {
        for text in [
            "",
            "end",
            "nonsense\nend",
            &RESULTS.replace("end\n", ""),
            &RESULTS.replace("sent=20000", "sent=0"),
            &RESULTS.replace("payload=1000", "payload=1012"),
        ] {
            let failure = costs(text).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("COST001", Exit::Blocked), "{text}");
            assert!(failure.finding().why.contains("a complaint"));
        }
    }

    #[test]
    fn the_plan_has_a_line_for_each_kind_of_packet() {
        assert_eq!(plan(20_000, 3).lines().next(), Some("ipv4 udp 1000 20000 3"));
        assert_eq!(plan(1, 1).lines().count(), PACKETS.len());
    }
}
