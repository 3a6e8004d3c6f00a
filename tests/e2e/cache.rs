//! Several runs on one cache.

use std::time::Duration;

use rustix::process::Signal;

use crate::guest::{fake_qemu, host_version};
use crate::place::Place;
use crate::run::{SLOW, until};

const BOOT: [&str; 7] = ["boot", "--accel", "tcg", "--message-format", "json", "--", "true"];

#[test]
fn a_busy_stage_names_who_works_on_it_and_a_killed_run_frees_it() {
    let mut place = Place::warm_without(&["state"]);
    place.program("qemu-system-x86_64", &fake_qemu(&host_version(), "exec sleep 600"));
    let holder = place.start(&["boot", "--accel", "tcg", "--boot-deadline", "600", "--", "true"]);
    until(
        "a guest that boots",
        SLOW,
        || holder.err(),
        || place.processes().iter().any(|(_, line)| line.starts_with("sleep")).then_some(()),
    );
    let waiting = place.run(&["boot", "--accel", "tcg", "--lock-timeout", "1", "--", "true"]);
    waiting.refused(6, "CACHE001", &["`state` is busy", &format!("process {}", holder.id()), "--lock-timeout"]);

    holder.signal(Signal::KILL);
    until(
        "the end of what it started",
        Duration::from_secs(2),
        || format!("{:?}", place.processes()),
        || place.processes().is_empty().then_some(()),
    );
    place.programs = None;
    place.run(&BOOT).fine();
}

#[test]
fn two_runs_at_once_do_the_work_once() {
    const STAGES: [&str; 3] = ["feed", "image", "state"];
    let place = Place::warm_without(&STAGES);
    let runs = [place.start(&BOOT), place.start(&BOOT)];
    let events = runs.map(|run| {
        let ran = run.ends_within(SLOW);
        ran.fine();
        ran.events()
    });
    for stage in STAGES {
        let count = |name: &str| {
            let named = |event: &&serde_json::Value| event["event"] == name && event["stage"] == stage;
            events.iter().flatten().filter(named).count()
        };
        assert_eq!((count("stage-begin"), count("stage-skipped")), (1, 1), "{stage}: {events:#?}");
    }
}

#[test]
fn runs_at_once_publish_to_one_folder() {
    let place = Place::warm_without(&["feed"]);
    let runs = [(); 4].map(|()| place.start(&["feed"]));
    for run in runs {
        run.ends_within(SLOW).fine();
    }
    let names: Vec<String> = place
        .path("results/x86-64")
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .filter(|name| !["feed", "keys"].contains(&name.as_str()))
        .collect();
    assert_eq!(names, [""; 0], "something is left beside the results");
}
