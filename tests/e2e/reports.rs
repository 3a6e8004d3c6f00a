//! What a run tells programs and reviewers: events, reports, captures.

use crate::place::Place;

/// A scenario with traffic, and one without.
const SCENARIOS: [&str; 2] = ["install-and-load", "offload-ipv4-nat"];

/// First bytes of a pcap file: the magic of microseconds or nanoseconds, little-endian.
const MAGIC: [[u8; 4]; 2] = [[0xd4, 0xc3, 0xb2, 0xa1], [0x4d, 0x3c, 0xb2, 0xa1]];
/// Bytes of the file's header, and of a packet's.
const HEADERS: usize = 24 + 16;

/// Each runs once with each package manager.
fn cases() -> Vec<String> {
    SCENARIOS.iter().flat_map(|name| ["opkg", "apk"].map(|manager| format!("{name}/{manager}"))).collect()
}

#[test]
fn events_report_and_captures_of_a_good_run() {
    let place = Place::warm_with_routers();
    let (report, captures) = (place.path("reports/junit.xml"), place.path("captures"));
    let (page, data) = (place.path("reports"), place.path("reports/report.json"));
    let flags = [
        ["--accel", "tcg"],
        ["--message-format", "json"],
        ["--junit", report.as_str()],
        ["--html", page.as_str()],
        ["--json", data.as_str()],
        ["--pcap", captures.as_str()],
    ]
    .concat();
    let ran = place.run(&[&["test", "--exact"], &SCENARIOS[..], &flags].concat());
    ran.fine();

    // Every line is JSON, or this ends here.
    let events = ran.events();
    assert_eq!((&events[0]["event"], &events[0]["verb"]), (&"run-begin".into(), &"test".into()));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"run-end".into(), &0.into()));
    for name in cases() {
        let ends = |event: &&serde_json::Value| event["event"] == "case-end" && event["case"] == name.as_str();
        let verdicts: Vec<&str> =
            events.iter().filter(ends).filter_map(|event| event["verdict"]["verdict"].as_str()).collect();
        assert_eq!(verdicts, ["pass"], "{name}\n{}", ran.out);
    }

    let report = std::fs::read_to_string(report).unwrap();
    for name in cases() {
        assert_eq!(report.matches(&format!("<testcase name=\"{name}\"")).count(), 1, "{report}");
    }
    let data: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(data).unwrap()).unwrap();
    let page = std::fs::read_to_string(page.join("index.html")).unwrap();
    for name in cases() {
        let case = data["cases"].as_array().unwrap().iter().find(|case| case["name"] == name.as_str()).unwrap();
        assert_eq!(case["verdict"], "pass");
        assert!(page.contains(&format!("aria-label=\"{name}: pass\"")), "{name}");
    }
    assert!(page.contains("<polyline"), "the counters of a proof are drawn");
    assert_eq!(place.path("reports").read_dir_utf8().unwrap().count(), 3, "something is left beside the reports");

    for side in ["lan", "wan"] {
        let bytes = std::fs::read(captures.join(SCENARIOS[1]).join("apk").join(format!("{side}.pcap"))).unwrap();
        assert!(MAGIC.contains(&bytes[..4].try_into().unwrap()), "{side}");
        assert!(bytes.len() > HEADERS, "{side}.pcap holds no frame");
    }
}
