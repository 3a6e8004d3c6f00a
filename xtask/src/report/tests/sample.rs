//! A run with one of everything, for the tests of reports.

use model::cost::{Clock, Cost, Costs, Path, Spread};
use model::kmod::{Cell, KmodRow};
use model::{Check, CheckKind, Count, Event, Finding, Phase, Record, Sample, Severity, Status, Verdict};

use crate::report::Run;

/// A text that every report must escape.
pub(crate) const HOSTILE: &str = "</script><script>alert('x')</script>\"&|`%\r\n::error::y";

/// A run on two kernels: passed, failed, blocked and skipped cases, and figures of a bench.
pub(crate) fn sample() -> Run {
    let mut run = Run::new("cargo xtask test --accel tcg".into(), vec!["--accel".into(), "tcg".into()]);
    events().iter().for_each(|event| run.take(event));
    (run.exit, run.millis) = (1, 83_400);
    run
}

fn events() -> Vec<Event> {
    let stage = |stage: &str, millis, summary: &str| Event::StageEnd {
        stage: stage.into(),
        status: Status::Done,
        millis,
        summary: summary.into(),
    };
    let mut events = vec![
        Event::Fact { name: "accelerator".into(), value: "tcg: asked for".into() },
        Event::Fact { name: "QEMU".into(), value: "7.2.22".into() },
        Event::StageSkipped { stage: "kernel".into(), why: "same inputs as before".into() },
        stage("packages", 3_210, "18 packages"),
        stage("state", 7_900, HOSTILE),
        Event::Finding(finding("VM999", Severity::Note, "a fresh guest was booted")),
    ];
    for kernel in ["6.1", "6.12"] {
        events.extend([
            case("must-not-offload", "ip-options", "apk", kernel, Verdict::Pass),
            case("must-offload", "offload-ipv4-nat", "opkg", kernel, Verdict::Pass),
            case("must-offload", "offload-ipv4-nat", "apk", kernel, Verdict::Pass),
        ]);
    }
    let slow = finding("PROOF999", Severity::Error, "the forward hook saw 2004 packets; at most 20 may pass it");
    let mute = finding("VM998", Severity::Error, &format!("the guest said {HOSTILE}"));
    events.extend([
        case("must-offload", "vlan", "apk", "6.12", Verdict::Fail { finding: slow }),
        case("life", "reload", "apk", "6.12", Verdict::Blocked { finding: mute }),
        case("life", "removal", "apk", "6.12", Verdict::Skip { reason: "needs two-nics".into() }),
        Event::Kmod(KmodRow {
            kmod: "kmod-mine".into(),
            kernel: "6.12".into(),
            cells: [
                Cell::Yes,
                Cell::Yes,
                Cell::Yes,
                Cell::No(HOSTILE.into()),
                Cell::Skipped("nothing to do".into()),
                Cell::Unknown,
            ],
        }),
        Event::Costs(costs()),
    ]);
    events
}

fn finding(id: &'static str, severity: Severity, what: &str) -> Finding {
    let (what, why, fix) = (what.to_owned(), "packets took the slow path".to_owned(), "look at the rules".to_owned());
    Finding { id, severity, place: Some("udp".into()), what, why, fix }
}

fn case(group: &str, scenario: &str, manager: &str, kernel: &str, verdict: Verdict) -> Event {
    let wanted = if group == "must-not-offload" { "slow" } else { "fast" };
    let failed = matches!(verdict, Verdict::Fail { .. });
    let path = |at: &str, expected: &str, observed: &str| Check {
        at: at.into(),
        kind: CheckKind::Path,
        subject: "udp, 2000 datagrams".into(),
        expected: expected.into(),
        observed: observed.into(),
        detail: "the forward hook saw 2 of 4008 packets".into(),
        holds: expected == observed,
    };
    let record = Record {
        scenario: scenario.into(),
        title: format!("Traffic of {scenario} takes the {wanted} path"),
        group: group.into(),
        manager: manager.into(),
        kernel: kernel.into(),
        target: String::new(),
        file: format!("tests/scenarios/{scenario}.yaml"),
        line: failed.then_some(12),
        sabotage: None,
        phases: ["resume", "install", "traffic"].map(|name| Phase { name: name.into(), millis: 700 }).to_vec(),
        checks: vec![
            path("control run", "slow", "slow"),
            path("offload run", wanted, if failed { "slow" } else { wanted }),
        ],
        samples: ["control", "offload"].into_iter().flat_map(|run| samples(run, run == "control" || failed)).collect(),
    };
    let notes = vec!["stand-in router, ready after 0.30 s".into()];
    let name = format!("{scenario}/{manager}");
    Event::CaseEnd { case: name, verdict, millis: 2_345, notes, record: Box::new(record) }
}

fn samples(run: &str, slow: bool) -> Vec<Sample> {
    let count = |packets: u64| Count { packets, bytes: packets * 1028 };
    let moment = |(number, after): (u64, &str)| Sample {
        run: run.into(),
        flow: "udp".into(),
        millis: 1000 + number * 40,
        after: after.into(),
        arrived: count(number * 800),
        forwarded: count(if slow { number * 800 } else { number.min(1) * 2 }),
        conntrack: (number > 0).then(|| count(number * 800)),
        marked: (number > 0).then_some(!slow),
    };
    [(0, "opened"), (1, "exchange"), (2, "exchange"), (3, "exchange")].map(moment).to_vec()
}

fn costs() -> Costs {
    let cost = |family: &str, path, figure: f64| Cost {
        family: family.into(),
        proto: "udp".into(),
        payload: 1000,
        path,
        packets: 20_000,
        rounds: 3,
        forwarding: Spread { least: figure - 1.5, median: figure, most: figure + 1.5 },
        whole: Spread { least: figure + 2800.0, median: figure + 2801.5, most: figure + 2803.0 },
    };
    Costs {
        kernel: "6.12.107".into(),
        clock: Clock::Instructions,
        costs: vec![
            cost("ipv4", Path::Off, 7244.25),
            cost("ipv4", Path::Software, 2319.5),
            cost("ipv6", Path::Off, 8322.75),
            cost("ipv6", Path::Software, 2504.25),
        ],
        no_hardware: Some("Could not process rule: Operation not supported".into()),
    }
}
