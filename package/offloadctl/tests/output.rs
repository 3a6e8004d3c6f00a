//! The README shows what the program prints: both are compared here, and so is what the binary does with its exit code.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use offloadctl::conntrack::{Flow, Path};
use offloadctl::ethtool::Capability;
use offloadctl::files::Files;
use offloadctl::finding::Finding;
use offloadctl::flows::Source;
use offloadctl::help;
use offloadctl::list::{FlowList, Origin};
use offloadctl::modules::{self, State};
use offloadctl::report;

use offloadctl::setting::Setting;
use offloadctl::status::{Facts, Status, judge};
use offloadctl::top::Sort;
use offloadctl::totals::{self, FlowTotals};

const README: &str = include_str!("../README.md");

/// The router on which the answers were recorded; `nft_nat` was on disk and not loaded there.
fn recorded_status(change: impl FnOnce(&mut Facts)) -> Status {
    let mut flows = FlowTotals::new(Source::Netlink);
    common::recorded_connections().iter().for_each(|flow| flows.add(flow));
    let state = |name| if name == "nft_nat" { State::Loadable } else { State::Loaded };
    let mut facts = Facts {
        kernel: "6.12.107+deb13-amd64".into(),
        modules: modules::NEEDED
            .iter()
            .map(|&(name, package, purpose)| modules::Module { name, package, purpose, state: state(name) })
            .collect(),
        flowtables: common::recorded_flowtables(),
        rules: common::recorded_rules(),
        orphans: Vec::new(),
        refused: None,
        devices: ["lan", "wan"].map(String::from).into(),
        stacks: offloadctl::devices::Devices::default(),
        flows: Ok(flows),
        accounting: Some(true),
        setting: Ok(Some(Setting { offload: true, hardware: false })),
        refused_setting: None,
        is_uncommitted: false,
        hardware: Some(["lan", "wan"].map(|device| (device.into(), Capability::No)).into()),
        has_table: false,
    };
    change(&mut facts);
    let (verdict, remarks) = judge(&facts);
    Status { verdict, facts, remarks }
}

fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn flow_list(flows: &[Flow], json: bool, accounting: Option<bool>) -> String {
    text_of(|out| {
        let mut list =
            FlowList::new(out, json, Origin { source: Source::Netlink, accounting, timestamps: None, sort: None });
        flows.iter().for_each(|flow| list.flow(flow).unwrap());
        list.end(None).unwrap();
    })
}

fn offloaded() -> Vec<Flow> {
    common::recorded_connections().into_iter().filter(|flow| flow.path != Path::Slow).collect()
}

/// A directory of this run alone; cargo keeps them below the target directory.
fn scratch_root(name: &str) -> String {
    format!("{}/{name}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// The README holds `text` as a whole code block.
fn documented(language: &str, text: &str) {
    assert!(README.contains(&format!("```{language}\n{text}```\n")), "not in README.md:\n{text}");
}

#[test]
fn the_readme_shows_the_status() {
    let status = recorded_status(|_| {});
    documented("text", &text_of(|out| report::status_text(out, &status).unwrap()));
    documented("json", &text_of(|out| report::status_json(out, &status).unwrap()));
}

#[test]
fn without_devices_nothing_is_said_of_their_drivers() {
    let status = recorded_status(|facts| facts.hardware = Some(Vec::new()));
    assert!(!text_of(|out| report::status_text(out, &status).unwrap()).contains("Hardware"));
}

#[test]
fn the_readme_shows_a_remark() {
    let status = recorded_status(|facts| facts.rules.clear());
    documented("text", &text_of(|out| report::finding(out, "Remark", &status.remarks[0]).unwrap()));
}

#[test]
fn the_readme_shows_the_flows() {
    documented("text", &flow_list(&offloaded(), false, Some(true)));
    documented("json", &flow_list(&offloaded(), true, Some(true)));
}

#[test]
fn the_readme_names_every_id() {
    let (mut ids, mut open) = (0, vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = if path.ends_with("tests.rs") { String::new() } else { fs::read_to_string(path).unwrap() };
        let code = text.split("#[cfg(test)]").next().unwrap();
        for id in code.split('"').filter(|word| word.starts_with("OCTL") && word.len() == 7) {
            assert!(README.contains(&format!("`{id}`")), "{id} is not explained in README.md");
            ids += 1;
        }
    }
    assert_eq!(README.matches("| `OCTL").count(), ids);
}

#[test]
fn absent_counters_are_said_to_be_absent() {
    let mut flow = offloaded()[0];
    flow.original.counters = None;
    flow.reply.counters = None;
    let text = flow_list(&[flow], false, Some(false));
    assert!(text.contains(" -/- ") && text.contains("nf_conntrack_acct is 0"), "{text}");
    assert!(text.contains("\n1 flow, read from netlink\n"), "{text}");
    let json = flow_list(&[flow], true, Some(false));
    assert!(json.contains("\"packets\": null, \"bytes\": null") && json.contains("\"accounting\": false"), "{json}");

    let mut totals = FlowTotals::new(Source::Proc);
    totals.add(&flow);
    let status = recorded_status(|facts| facts.flows = Ok(totals));
    let text = text_of(|out| report::status_text(out, &status).unwrap());
    assert!(text.contains("software      1: not counted\n"), "{text}");
}

#[test]
fn names_cannot_move_the_cursor() {
    let status = recorded_status(|facts| {
        facts.flowtables[0].devices = vec!["\u{1b}[2J\u{9b}x".into()];
        facts.rules[0].chain = "a\rb".into();
    });
    let text = text_of(|out| report::status_text(out, &status).unwrap());
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    assert!(text.contains("?[2J?x (absent)"), "{text}");
}

#[test]
fn an_empty_list_is_still_a_list() {
    assert!(flow_list(&[], false, None).ends_with("0 flows, read from netlink\n"));
    assert!(flow_list(&[], true, None).contains("\"accounting\": null,\n  \"flows\": [],\n  \"count\": 0\n}"));
}

#[test]
fn modules_are_found_where_they_are() {
    let root = scratch_root("survey");
    let put = |path: &str, text: &str| {
        let path = format!("{root}/{path}");
        fs::create_dir_all(path.rsplit_once('/').unwrap().0).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/sys/kernel/osrelease", "6.6.1\n");
    put("proc/modules", "nf_tables 1 0 - Live 0x0\nnft_nat 1 0 - Unloading 0x0\n");
    put("sys/module/nf_conntrack/parameters/acct", "N\n");
    put("lib/modules/6.6.1/modules.builtin", "kernel/net/netfilter/nfnetlink.ko\n");
    put("lib/modules/6.6.1/modules.dep", "kernel/net/netfilter/nft_masq.ko.xz: x.ko\n");
    put("lib/modules/6.6.1/nf_flow_table.ko", "");
    put("lib/modules/5.15.0/nft_flow_offload.ko", "of another kernel");
    let files = Files::below(&root);
    assert_eq!(modules::kernel_release(&files), "6.6.1");
    let found = modules::survey(&files);
    for (name, state) in [
        ("nf_tables", State::Loaded),
        ("nfnetlink", State::Builtin),
        ("nf_conntrack", State::Builtin),
        ("nf_flow_table", State::Loadable),
        ("nft_masq", State::Loadable),
        ("nft_nat", State::Missing),
        ("nft_flow_offload", State::Missing),
    ] {
        assert_eq!(modules::state_of(&found, name), state, "{name}");
    }
    assert_eq!(modules::kernel_release(&Files::below("/nonexistent")), "unknown");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn flows_are_read_from_proc_and_too_many_are_not_added_up() {
    let root = scratch_root("proc-list");
    fs::create_dir_all(format!("{root}/proc/net")).unwrap();
    fs::create_dir_all(format!("{root}/proc/sys/net/netfilter")).unwrap();
    fs::write(format!("{root}/proc/net/nf_conntrack"), common::PROC_LIST).unwrap();
    // A kernel that loads modules, and has not loaded the one for netlink.
    fs::write(format!("{root}/proc/modules"), "").unwrap();
    let tracked =
        |number: &str| fs::write(format!("{root}/proc/sys/net/netfilter/nf_conntrack_count"), number).unwrap();
    let files = Files::below(&root);
    let modules = modules::survey(&files);

    tracked("20000\n");
    let mut expected = FlowTotals::new(Source::Proc);
    common::recorded_connections().iter().for_each(|flow| expected.add(flow));
    assert_eq!(totals::count(&files, &modules), Ok(expected));
    tracked("20001\n");
    let finding = totals::count(&files, &modules).unwrap_err();
    assert_eq!(finding.id, "OCTL110");
    assert!(finding.what.contains("20001"));
    fs::remove_dir_all(root).unwrap();
}

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offloadctl")).args(words).output().unwrap()
}

#[test]
fn the_program_teaches_and_refuses() {
    for words in [&[][..], &["--help"], &["help"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.starts_with(b"offloadctl - ") && output.stderr.is_empty());
    }
    documented("text", help::OVERVIEW);
    for command in help::commands() {
        let output = run(&[command, "--help"]);
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &[][..]));
        documented("text", &String::from_utf8(output.stdout).unwrap());
    }

    let output = run(&["flows", "--path", "fast"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("Error OCTL001: 'fast' ") && message.contains("\n  fix: "), "{message}");
}

#[test]
fn status_answers_on_any_machine_and_without_privilege() {
    let output = run(&["status", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("{\n  \"schema\": \"offloadctl-status/1\"") && text.ends_with("\n}\n"), "{text}");
    let state = |name: &str| text.contains(&format!("\"state\": \"{name}\",\n  \"hardware_requested\""));
    let expected = match output.status.code() {
        Some(0) => "on",
        Some(1) => "off",
        Some(2) => "not-working",
        Some(3) => "unknown",
        other => panic!("{other:?}"),
    };
    assert!(state(expected), "{text}");
}

#[test]
fn what_cannot_be_read_is_not_shown_as_absent() {
    let status = recorded_status(|facts| {
        facts.flowtables.clear();
        facts.rules.clear();
        facts.refused = Some(Finding::not_permitted("the flowtables"));
    });
    let text = text_of(|out| report::status_text(out, &status).unwrap());
    assert!(text.starts_with("Whether flow offload is on could not be found out.\n"), "{text}");
    assert!(
        text.contains("Modules    9 of 10 ready") && text.contains("Remark OCTL003: not allowed to read"),
        "{text}"
    );
    let json = text_of(|out| report::status_json(out, &status).unwrap());
    for line in ["\"state\": \"unknown\"", "\"hardware_requested\": null", "\"flowtables\": null", "\"rules\": null"] {
        assert!(json.contains(line), "{json}");
    }
}

#[test]
fn a_root_that_is_not_there_is_refused() {
    let output = run(&["--root", "/no/such/root", "status"]);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true));
    assert!(output.stderr.starts_with(b"Error OCTL026: there is no directory /no/such/root\n"));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_offloadctl")).arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.starts_with(b"Error OCTL011"));
}

/// Connections in `/proc` below a root of this run, and the answer to a command there.
fn run_with_connections(name: &str, words: &[&str], input: &[u8]) -> Output {
    let root = scratch_root(name);
    fs::create_dir_all(format!("{root}/proc/net")).unwrap();
    fs::write(format!("{root}/proc/net/nf_conntrack"), common::PROC_LIST).unwrap();
    // A kernel that loads modules, and has not loaded the one for netlink.
    fs::write(format!("{root}/proc/modules"), "").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_offloadctl"))
        .args(["--root", &root])
        .args(words)
        .env_remove("TERM")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that is done may have left already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    fs::remove_dir_all(root).unwrap();
    output
}

fn stdout_of(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_largest_come_first_and_the_cut_is_told() {
    let text = stdout_of(&run_with_connections("sorted", &["flows", "--sort", "bytes", "--top", "2"], b""));
    let protocols: Vec<_> = text.lines().skip(1).take(2).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(protocols, ["tcp", "udp"], "{text}");
    assert!(text.ends_with("2 flows, read from proc\n1 more with less bytes are not shown (--top NUMBER)\n"), "{text}");
    let json = stdout_of(&run_with_connections("sorted-json", &["flows", "--sort=packets", "--json"], b""));
    assert!(json.contains("\"sort\": \"packets\"") && json.ends_with("\"count\": 3,\n  \"total\": 3\n}\n"), "{json}");
}

#[test]
fn a_watch_without_terminal_lists_plainly_and_ends_on_q() {
    let text = stdout_of(&run_with_connections("watch", &["flows", "--watch", "--path=slow"], b"bq"));
    assert!(text.starts_with("Flows: 0 hardware, 3 software, 1 slow. By bytes "), "{text}");
    assert_eq!(text.matches("icmp").count(), 1, "{text}");
    assert!(!text.contains('\x1b') && text.ends_with("\n\n"), "{text:?}");
}

#[test]
fn the_age_has_a_column_where_it_decides() {
    let text = text_of(|out| {
        let origin =
            Origin { source: Source::Netlink, accounting: None, timestamps: Some(false), sort: Some(Sort::Age) };
        let mut list = FlowList::new(out, false, origin);
        list.flow(&Flow { age: Some(3700), ..Flow::default() }).unwrap();
        list.flow(&Flow::default()).unwrap();
        list.end(Some(2)).unwrap();
    });
    assert!(text.starts_with("     AGE PATH "), "{text}");
    assert!(text.contains("\n   1h01m slow ") && text.contains("\n       - slow "), "{text}");
    assert!(
        text.contains("\n2 flows, read from netlink\nNew flows have no age: nf_conntrack_timestamp is 0 "),
        "{text}"
    );
}
