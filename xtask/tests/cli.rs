//! The program as a user meets it: exit codes, and which stream carries what.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn xtask(cache: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(words).env("XDG_CACHE_HOME", cache).env("XDG_CONFIG_HOME", cache);
    for variable in ["NO_COLOR", "GITHUB_ACTIONS"] {
        command.env_remove(variable);
    }
    command
}

fn run(words: &[&str]) -> (Output, String, String) {
    let cache = tempfile::tempdir().unwrap();
    let output = xtask(cache.path(), words).output().unwrap();
    assert_eq!(cache.path().read_dir().unwrap().count(), 0, "{words:?} left something in the cache");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[test]
fn help_goes_to_stdout_and_refusals_to_stderr() {
    for words in [&[][..], &["--help"], &["test", "--help"]] {
        let (output, out, err) = run(words);
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{words:?}");
        assert!(out.contains("--install-deps"), "{out}");
    }
    for (words, id) in [(&["tset"][..], "USE001"), (&["build", "--target", "x86/46"], "USE002")] {
        let (output, out, err) = run(words);
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{words:?}");
        for part in [id, "why:", "fix:"] {
            assert!(err.contains(part), "{err}");
        }
    }
}

#[test]
fn json_is_all_that_stdout_carries_when_asked_for() {
    let (output, out, err) = run(&["build", "--target", "x86/46", "--message-format", "json"]);
    assert_eq!((output.status.code(), err.as_str()), (Some(2), ""));
    let records: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = records.iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["run-begin", "finding", "run-end"]);
    assert_eq!((&records[1]["id"], &records[2]["exit"]), (&"USE002".into(), &2.into()));
}

/// Flags of reports, and where they go.
const REPORTS: [(&str, &str); 4] =
    [("--html", "page"), ("--json", "report.json"), ("--markdown", "summary.md"), ("--junit", "junit.xml")];

#[test]
fn where_github_runs_us_a_failure_is_an_annotation_and_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    let run = |on: &str| {
        let output = xtask(folder.path(), &["test", "--target", "x86/46"])
            .env("GITHUB_ACTIONS", on)
            .env("GITHUB_STEP_SUMMARY", &summary)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!run("false").contains("::error") && !summary.exists());
    let told = run("true");
    assert!(told.starts_with("::error title=USE002::unknown target"), "{told}");
    assert!(std::fs::read_to_string(&summary).unwrap().contains("USE002"));
}

/// A run that waits for a `cargo` that never ends; the host looks complete.
struct Endless {
    folder: tempfile::TempDir,
    run: Child,
    records: Lines<BufReader<ChildStdout>>,
    /// Process id of the sleeping `cargo`.
    cargo: String,
}

impl Endless {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The shell writes the program, so that no file open for writing is inherited by a parallel test.
        let script = "printf '#!/bin/sh\necho pid $$\nexec sleep 600\n' > cargo && chmod +x cargo \
            && for name in qemu-system-x86_64 cargo-fmt cargo-clippy; do ln -s /bin/env $name; done";
        assert!(Command::new("sh").args(["-c", script]).current_dir(folder.path()).status().unwrap().success());
        let mut path = folder.path().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let reports = REPORTS.map(|(flag, file)| [flag.to_owned(), folder.path().join(file).display().to_string()]);
        let mut run = xtask(folder.path(), &["ci", "--message-format", "json"])
            .args(reports.concat())
            .env("PATH", path)
            .env("CARGO", folder.path().join("cargo"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut records = BufReader::new(run.stdout.take().unwrap()).lines();
        let cargo = records
            .by_ref()
            .find_map(|record| Some(record.unwrap().split_once("pid ")?.1.trim_end_matches(['"', '}']).to_owned()))
            .unwrap();
        Endless { folder, run, records, cargo }
    }

    /// Sends a signal; returns the exit code, what was told after it, and the reports.
    fn end(mut self, signal: Signal) -> (Option<i32>, String, Vec<String>) {
        assert!(is_alive(&self.cargo));
        kill_process(Pid::from_child(&self.run), signal).unwrap();
        let rest: Vec<String> = self.records.map(Result::unwrap).collect();
        let code = self.run.wait().unwrap().code();
        let give_up = Instant::now() + Duration::from_secs(10);
        while is_alive(&self.cargo) && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_alive(&self.cargo), "a child outlived the run");
        let written = |file: &str| std::fs::read_to_string(self.folder.path().join(file)).ok();
        let reports = REPORTS.into_iter().filter_map(|(flag, file)| match flag {
            "--html" => written(&format!("{file}/index.html")),
            _ => written(file),
        });
        (code, rest.join("\n"), reports.collect())
    }
}

/// Whether a process runs; one that is dead and waits to be collected does not.
fn is_alive(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn an_interrupt_ends_the_run_and_its_children_with_130() {
    for signal in [Signal::INT, Signal::TERM] {
        let (code, told, reports) = Endless::start().end(signal);
        assert_eq!(code, Some(130), "{signal:?}: {told}");
        assert!(told.contains("RUN001") && told.ends_with("}"), "{told}");
        assert!(told.lines().last().unwrap().contains("\"exit\":130"), "{told}");
        assert_eq!(reports.len(), REPORTS.len());
        assert!(
            reports.iter().all(|report| report.contains("RUN001") || report.contains("Interrupted")),
            "{reports:?}"
        );
    }
}

#[test]
fn a_killed_run_leaves_no_children() {
    let (code, _, reports) = Endless::start().end(Signal::KILL);
    assert_eq!((code, reports), (None, Vec::new()), "half a report is worse than none");
}
