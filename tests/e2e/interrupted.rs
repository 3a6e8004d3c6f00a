//! Ctrl-C and `kill -9`: nothing that a run started outlives it, and the next run works.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;

use crate::place::Place;
use crate::run::{Run, SLOW, until};

/// Within this time after `kill -9` everything is gone.
const SOON: Duration = Duration::from_secs(2);

/// Waits until a process whose command line holds this text runs in the place.
fn runs(place: &Place, run: &Run, program: &str) {
    until(
        program,
        SLOW,
        || run.err(),
        || place.processes().iter().any(|(id, line)| *id != run.id() && line.contains(program)).then_some(()),
    );
}

/// Kills the run, and only it, and waits until nothing of it is left.
fn kill(place: &Place, run: Run) {
    run.signal(Signal::KILL);
    assert_eq!(run.ends_within(SOON).code, 128 + 9);
    until(
        "the end of all children",
        SOON,
        || format!("{:?}", place.processes()),
        || place.processes().is_empty().then_some(()),
    );
}

/// Starts scenarios, more than run at once, and waits for the first router. None of them begins with packages: those would be
/// installed first.
fn test_in(place: &Place) -> Run {
    let scenarios = ["install-and-load", "modules-from-feed", "refuse-wrong-key"];
    let words = [&["test", "--exact"][..], &scenarios, &["--accel", "tcg", "--message-format", "json"]].concat();
    let mut run = place.start(&words);
    run.says(r#""event":"case-begin""#);
    runs(place, &run, "qemu-system");
    run
}

fn leftovers(place: &Place) -> usize {
    place.temporary().read_dir_utf8().unwrap().count()
}

fn works(place: &Place) {
    place.run(&["boot", "--accel", "tcg", "--", "true"]).fine();
    assert_eq!((place.processes(), leftovers(place)), (vec![], 0));
}

#[test]
fn ctrl_c_in_a_test_ends_everything_and_the_next_run_works() {
    let place = Place::warm();
    let before = place.fingerprint();
    let run = test_in(&place);
    run.signal(Signal::INT);
    let ran = run.ends_within(Duration::from_secs(10));
    assert_eq!((ran.code, place.processes(), leftovers(&place)), (130, vec![], 0), "{}", ran.out);
    let events = ran.events();
    assert!(events.iter().any(|event| event["id"] == "RUN001"), "{}", ran.out);
    assert_eq!(events.last().unwrap()["exit"], 130);
    // The run finished the feeds that routers have to refuse; all else is as it was.
    let after = place.fingerprint();
    assert!(before.iter().all(|(path, print)| after.get(path) == Some(print)));
    assert!(!after.keys().any(|path| path.extension() == Some("tmp")));
    works(&place);
}

#[test]
fn a_killed_test_leaves_no_qemu_and_the_next_run_removes_its_sockets() {
    let place = Place::warm();
    kill(&place, test_in(&place));
    assert_ne!(leftovers(&place), 0, "a killed run cannot tidy up");
    works(&place);
}

#[test]
fn a_killed_build_leaves_no_cargo() {
    let mut place = Place::warm_without(&["opkg"]);
    place.program("cargo", "exec sleep 600");
    let cargo = place.path("programs/cargo");
    let path = std::env::var("PATH").unwrap();
    let run = Run::with(
        &place,
        &["env", &format!("CARGO={cargo}"), &format!("PATH={path}"), env!("CARGO_BIN_EXE_xtask")],
        &["boot", "--accel", "tcg", "--", "true"],
    );
    runs(&place, &run, "sleep");
    kill(&place, run);
}

#[test]
fn a_killed_fetch_leaves_no_apt() {
    let place = Place::empty();
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("http://{}/", silent.local_addr().unwrap());
    let build = ["build", "--debian-mirror", &mirror];
    let run = place.start(&build);
    runs(&place, &run, "methods/http");
    kill(&place, run);

    let run = place.start(&build);
    runs(&place, &run, "methods/http");
    run.signal(Signal::INT);
    run.ends_within(SOON).refused(130, "RUN001", &[]);
    place.holds_only("router-programs");
    until("the end of apt", SOON, || format!("{:?}", place.processes()), || place.processes().is_empty().then_some(()));
}
