//! Programs that end, hang, talk, orphan others and stand still.

use std::time::Instant;

use super::*;
use crate::cmd;

const LONG: Duration = Duration::from_secs(60);

fn script(script: &str) -> Job<'static> {
    Job::of_words(&["sh", "-c", script], Utf8Path::new("/"), LONG)
}

fn lines(job: Job<'_>) -> Result<Ended> {
    job.lines(&Cancel::default(), |_| {})
}

/// Whether a process exists and is no zombie.
fn lives(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

fn dies(id: &str) -> bool {
    let deadline = Deadline::after(Duration::from_secs(20));
    while lives(id) && !deadline.passed() {
        std::thread::yield_now();
    }
    !lives(id)
}

#[test]
fn a_short_command_has_words_a_folder_and_a_locale_of_its_own() {
    let shell = shell().unwrap();
    shell.change_dir("/");
    shell.set_var("COLOUR", "dark red");
    let word = "a word; with $COLOUR";
    let script = "printf '%s|' \"$1\" \"$COLOUR\" \"$LC_ALL\" \"$PWD\"; printf 'no\\nend' >&2; exit 3";
    let output = Job::new(cmd!(shell, "sh -c {script} sh {word}"), LONG).output(&Cancel::default()).unwrap();
    assert!(!output.success);
    assert_eq!(output.stdout, "a word; with $COLOUR|dark red|C.UTF-8|/|");
    assert_eq!((output.stderr.as_str(), output.last_words().as_str()), ("no\nend", "no\nend"));
    assert!(std::env::var_os("COLOUR").is_none());
}

#[test]
fn both_outputs_and_the_code_arrive_line_by_line() {
    let mut seen = Vec::new();
    let job = script("echo out; echo err >&2; printf '\\033[M\\033[1;31mred\\033[0m'; exit 3");
    let ended = job.lines(&Cancel::default(), |line| seen.push(line.to_owned())).unwrap();
    assert_eq!((ended.code, ended.success()), (Some(3), false));
    assert_eq!((seen, ended.output()), (vec!["out".into(), "err".into(), "red".into()], "out\nerr\nred".into()));
}

#[test]
fn the_environment_can_be_given_whole() {
    let path = ("PATH".to_owned(), std::env::var("PATH").unwrap());
    let job = script("echo $COLOUR$HOME").only_with(vec![path, ("COLOUR".into(), "red".into())]);
    assert_eq!(lines(job.family()).unwrap().output(), "red");
    assert_eq!(lines(script("umask").family_with_umask("027")).unwrap().output(), "0027");
}

#[test]
fn a_program_that_is_missing_names_its_package() {
    for program in ["no-such-program", "/no/such/program"] {
        let job = Job::of_words(&[program], "/".into(), LONG).from_package("some-package");
        let failure = job.output(&Cancel::default()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CMD001", Exit::Host));
        assert!(failure.to_string().contains("apt-get install some-package"));
    }
    let ended = lines(Job::of_words(&["no-such-program"], "/".into(), LONG)).unwrap();
    assert!(!ended.success() && ended.output().contains("no-such-program"), "{ended:?}");
}

#[test]
fn a_program_that_hangs_is_ended_at_its_deadline() {
    let limit = Duration::from_millis(200);
    let start = Instant::now();
    let job = Job::of_words(&["sleep", "600"], "/".into(), limit);
    let failure = lines(job).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("CMD002", Exit::Blocked));
    let job = Job::of_words(&["sh", "-c", "exec >&- 2>&-; sleep 600"], "/".into(), limit).over_network();
    let failure = job.output(&Cancel::default()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("CMD002", Exit::Upstream));
    let job = Job::of_words(&["sh", "-c", "while :; do echo x; sleep 0.01; done"], "/".into(), limit).family();
    let failure = lines(job).unwrap_err();
    assert!(failure.finding().why.ends_with("its last line: x"), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_interrupt_ends_the_program_and_its_family() {
    let cancel = Cancel::default();
    let mut child = String::new();
    let failure = script("sleep 600 & echo $!; wait").family().lines(&cancel, |line| {
        child = line.into();
        cancel.cancel();
    });
    assert_eq!(failure.unwrap_err().id(), "RUN001");
    assert!(dies(&child));
    assert_eq!(script("true").output(&cancel).unwrap_err().exit(), Exit::Interrupted);
}

#[test]
fn a_family_that_stands_still_is_ended_with_all_that_it_started() {
    let mut child = String::new();
    let job = script("sleep 600 & echo $!; wait").family().standstill(Duration::from_millis(300), Vec::new());
    let failure = job.lines(&Cancel::default(), |line| child = line.into()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("CMD004", Exit::Blocked));
    assert!(dies(&child), "{child} goes on");
}

#[test]
fn a_silent_job_that_writes_files_does_not_stand_still() {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    std::fs::create_dir_all(path.join("a/b")).unwrap();
    let job = |watched| {
        let words = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.25; echo $i > a/b/$i; done"];
        Job::of_words(&words, path, LONG).standstill(Duration::from_millis(1200), watched)
    };
    assert_eq!(lines(job(vec![path.join("a")])).unwrap().code, Some(0));
    assert_eq!(lines(job(Vec::new())).unwrap_err().id(), "CMD004");
}

#[test]
fn an_orphan_that_holds_the_output_open_is_not_waited_for() {
    let mut child = String::new();
    let started = Instant::now();
    let job = script("sleep 600 & echo $!; exit 2");
    let ended = job.family().lines(&Cancel::default(), |line| child = line.into()).unwrap();
    assert_eq!(ended.code, Some(2));
    assert!(dies(&child));
    let ended = script("sleep 20 & exit 2").lines(&Cancel::default(), |_| {}).unwrap();
    assert_eq!(ended.code, Some(2));
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// What happens when we are killed: none of our code runs, but the kernel closes the pipe.
#[test]
fn a_family_ends_when_our_end_of_the_pipe_is_gone() {
    let (mut child, pieces) = script("sleep 600 & echo $!; wait").family().start(Streams::Together).unwrap();
    let (_, descendant) = pieces.recv_timeout(Duration::from_secs(20)).unwrap();
    child.family.as_mut().unwrap().held_open = None;
    assert!(dies(&plain(&descendant)));
}

#[test]
fn a_place_that_is_gone_is_no_bare_error() {
    let failure = lines(Job::of_words(&["true"], "/no/such/folder".into(), LONG)).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("CMD003", Exit::Host));
}

#[test]
fn a_child_dies_when_it_is_dropped() {
    let output = tempfile::tempfile().unwrap();
    let mut command = Command::new("sleep");
    command.arg("600");
    let child = Child::start(&command, None, output.into()).unwrap();
    let id = child.id().unwrap().to_string();
    assert!(lives(&id) && child.ended().is_none());
    drop(child);
    assert!(!lives(&id));
}
