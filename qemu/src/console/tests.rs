//! A console against two kinds of guests: a real shell without a kernel behind it, and a scripted peer.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;

use model::{Exit, Failure};

use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);

fn long() -> Deadline {
    Deadline::after(LONG)
}

fn short() -> Deadline {
    Deadline::after(SHORT)
}

/// The host's `sh` in place of a guest; killed on drop.
struct Shell {
    child: Child,
    console: Console,
    dir: tempfile::TempDir,
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn shell() -> Shell {
    shell_of(&["sh"])
}

/// The same on a terminal, which is what turns Ctrl-C into a signal and echoes what is typed.
fn shell_on_a_terminal() -> Shell {
    shell_of(&["script", "--quiet", "--command", "sh -i", "/dev/null"])
}

fn shell_of(words: &[&str]) -> Shell {
    let (near, far) = UnixStream::pair().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let end = |socket: &UnixStream| Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
    let mut command = Command::new(words[0]);
    // As a guest, it speaks no language but the one that programs are written in.
    command.args(&words[1..]).env("LC_ALL", "C");
    let child = command.stdin(end(&far)).stdout(end(&far)).stderr(end(&far)).spawn().unwrap();
    let mut console = Console::new(near, Cancel::default()).unwrap();
    console.scratch = dir.path().join("vm").to_str().unwrap().into();
    console.attach(long()).unwrap();
    Shell { child, console, dir }
}

/// A guest that sends `text` after each line it is sent, if `after` is in that line.
fn scripted(after: &'static str, text: &'static str) -> Console {
    let (near, far) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let mut out = far.try_clone().unwrap();
        for line in BufReader::new(far).lines().map_while(Result::ok) {
            if line.contains(after) && out.write_all(text.as_bytes()).is_err() {
                break;
            }
        }
    });
    Console::new(near, Cancel::default()).unwrap()
}

/// A guest that prints `text` and then is silent for as long as the socket is held.
fn printing(text: &str) -> (Console, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(text.as_bytes()).unwrap();
    (Console::new(near, Cancel::default()).unwrap(), far)
}

fn failure(console: &Console, trouble: Trouble) -> Failure {
    trouble.into_failure(&console.tail(), "QEMU ended with exit code 1")
}

#[test]
fn words_arrive_as_they_are() {
    let mut shell = shell();
    let words =
        ["printf", "%s|", "a b", "", "it's", "$HOME", "`id`", "*", "\\", "tab\there", "two\nlines", "grüße", "-n"];
    // Short and long, and longer than what is typed in one go; in bytes that shells use for marks of their own.
    for times in [1, 20, 2000] {
        let long_word = "āĂłĆĈ'\\n\n".repeat(times);
        let words = [&words[..], &[&long_word]].concat();
        let output = shell.console.run(&words, long()).unwrap();
        assert_eq!(output.text(), words[2..].iter().map(|word| format!("{word}|")).collect::<String>());
        assert_eq!(output.code, 0);
    }
}

#[test]
fn a_shell_that_begins_by_throwing_lines_away_is_asked_again() {
    let mut shell = shell_of(&["sh", "-c", "read a; read b; read c; exec sh"]);
    assert_eq!(shell.console.run(&["echo", "here"], long()).unwrap().text(), "here\n");
}

#[test]
fn exit_codes_and_both_outputs_come_back() {
    let mut shell = shell();
    for (script, code, out) in [
        ("exit 3", 3, ""),
        ("echo out; echo err >&2", 0, "out\nerr\n"),
        ("printf 'no line end'", 0, "no line end"),
        ("exec sh -c 'kill -9 $$'", 137, ""),
        ("cat", 0, ""),
    ] {
        let output = shell.console.script(script, long()).unwrap();
        assert_eq!((output.code, output.text().as_str()), (code, out), "{script}");
    }
    // A command that is not there has a code and a text too.
    let output = shell.console.run(&["no-such-program"], long()).unwrap();
    assert!(output.code == 127 && output.text().contains("not found"), "{output:?}");
    // A word that ends shells ends only the one of its command.
    assert_eq!(shell.console.run(&["exit", "4"], long()).unwrap().code, 4);
    assert!(shell.console.run(&["true"], long()).unwrap().success());
}

#[test]
fn long_scripts_and_large_outputs_work() {
    let mut shell = shell();
    let text = "x".repeat(3000);
    let script = format!("# {text}\nhead -c 3000000 /dev/zero | tr '\\0' '\\n'\n");
    let output = shell.console.script(&script, long()).unwrap();
    assert_eq!((output.code, output.out.len()), (0, 3_000_000));
    assert!(output.out.iter().all(|&byte| byte == b'\n'));
}

#[test]
fn a_file_arrives_byte_for_byte() {
    let mut shell = shell();
    for length in [0usize, 1, 57, 12 << 10, 100_000] {
        let bytes: Vec<u8> = (0..=u8::MAX).rev().cycle().take(length).collect();
        let path = shell.dir.path().join("it's a file");
        shell.console.put(&[(path.to_str().unwrap(), &bytes)], long()).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes, "{length}");
        assert_eq!(shell.console.run(&["cat", path.to_str().unwrap()], long()).unwrap().out, bytes);
    }
}

/// OpenWrt's busybox has no `base64`, `stty`, `stat` or `od`, to name a few.
#[test]
fn a_guest_needs_few_programs() {
    let programs = tempfile::tempdir().unwrap();
    for name in ["cat", "mkdir", "sha256sum", "sh", "wc"] {
        let found = ["/bin", "/usr/bin"].map(|folder| std::path::Path::new(folder).join(name));
        let found = found.iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, programs.path().join(name)).unwrap();
    }
    let mut shell = shell_of(&["env", "-i", &format!("PATH={}", programs.path().display()), "sh"]);
    let path = shell.dir.path().join("file");
    shell.console.put(&[(path.to_str().unwrap(), b"a\\b\n\0")], long()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"a\\b\n\0");
    let script = format!("#{}\necho done", "x".repeat(1000));
    assert_eq!(shell.console.script(&script, long()).unwrap().text(), "done\n");
}

#[test]
fn a_file_that_cannot_be_written_says_why() {
    let mut shell = shell();
    let trouble = shell.console.put(&[("/tmp/x", b"x"), ("/dev/null/file", b"x")], long()).unwrap_err();
    let failure = failure(&shell.console, trouble);
    assert_eq!((failure.id(), failure.exit()), ("VM018", Exit::Blocked));
    assert!(failure.finding().why.to_lowercase().contains("not a directory"), "{failure}");
    assert!(shell.console.run(&["true"], long()).unwrap().success());
}

#[test]
fn a_word_with_a_zero_byte_is_a_usage_error() {
    let mut shell = shell();
    let trouble = shell.console.run(&["echo", "a\0b"], long()).unwrap_err();
    assert_eq!((failure(&shell.console, trouble).id(), Exit::Usage as u8), ("VM019", 2));
}

#[test]
fn a_kernel_log_begins_anew_with_what_was_suspicious() {
    let mut shell = shell();
    let (log, kept) = (shell.dir.path().join("log"), shell.dir.path().join("kept"));
    std::fs::write(&log, "[ 0.1] eth0: link up\n[ 0.2] WARNING: CPU: 0 at net/x.c:1\n[ 0.3] it's \"up\"\n").unwrap();
    let (log, kept) = (log.display(), kept.display());
    let functions = format!("dmesg() {{ test $1 = -c && cat {log}; }}; sh() {{ echo \"$4\" >>{kept}; }}\n");
    shell.console.type_text(&functions, "", long()).unwrap();
    shell.console.begin_kernel_log(long()).unwrap();
    let kept = shell.console.run(&["cat", &kept.to_string()], long()).unwrap();
    assert_eq!(kept.text(), "[ 0.2] WARNING: CPU: 0 at net/x.c:1\n");
}

#[test]
fn readiness_is_waited_for_and_its_kernel_lines_kept() {
    let (mut console, _far) = printing("SeaBIOS\r\n[    0.500000] virtio_net: ok\r\nrouter rea");
    assert!(matches!(console.wait_for("router ready", short()), Err(Trouble::NotReady { .. })));
    let trouble = console.wait_for("router ready", short()).unwrap_err();
    let failure = failure(&console, trouble);
    assert_eq!((failure.id(), failure.exit()), ("VM014", Exit::Blocked));
    assert!(failure.finding().why.contains("SeaBIOS"), "{failure}");

    let (mut console, _far) = printing("[    0.500000] virtio_net: ok\r\nrouter ready\r\n");
    console.wait_for("router ready", long()).unwrap();
    assert_eq!(console.kernel_lines(), ["[    0.500000] virtio_net: ok"]);
}

#[test]
fn crashes_are_recognised_and_shown() {
    for (text, id) in [
        ("[    1.000000] Kernel panic - not syncing: VFS\r\n[    1.000001] end trace\r\n", "VM010"),
        ("[    1.000000] Oops: 0000 [#1]\r\n", "VM011"),
    ] {
        let (mut console, _far) = printing(text);
        let trouble = console.wait_for("router ready", long()).unwrap_err();
        assert_crash(&console, trouble, id, text);
    }
}

#[test]
fn a_lockup_is_told_at_the_deadline_only() {
    let text = "[    1.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!\r\n";
    let (mut console, _far) = printing(&format!("{text}on it goes\r\n"));
    // The kernel may recover, so that the lines are read on. From here on nothing has to arrive in a short time.
    console.wait_for("on it goes", long()).unwrap();
    let trouble = console.wait_for("router ready", short()).unwrap_err();
    assert_crash(&console, trouble, "VM012", text);
}

fn assert_crash(console: &Console, trouble: Trouble, id: &str, text: &str) {
    let failure = failure(console, trouble);
    assert_eq!((failure.id(), failure.exit()), (id, Exit::Blocked));
    assert!(failure.finding().why.contains(text.trim_end().replace('\r', "").as_str()), "{failure}");
}

#[test]
fn a_crash_during_a_command_does_not_wait_for_the_deadline() {
    let mut console = scripted("nft", "[    9.000000] Kernel panic - not syncing: Fatal exception\r\n");
    let begin = Instant::now();
    let trouble = console.run(&["nft"], long()).unwrap_err();
    assert_eq!(failure(&console, trouble).id(), "VM010");
    assert!(begin.elapsed() < LONG / 2);
}

/// Seen on procd: nobody answers there, however long one waits.
#[test]
fn the_end_of_the_shell_is_noticed_at_once() {
    let mut console = scripted("nft", "\r\nPlease press Enter to activate this console.\r\n");
    let begin = Instant::now();
    let trouble = console.run(&["nft"], long()).unwrap_err();
    let failure = failure(&console, trouble);
    assert_eq!((failure.id(), failure.exit()), ("VM021", Exit::Blocked));
    assert!(failure.finding().why.contains("`nft`"), "{failure}");
    assert!(begin.elapsed() < LONG / 2);
}

#[test]
fn the_end_of_qemu_is_noticed_at_once() {
    let (mut console, far) = printing("# ");
    drop(far);
    let trouble = console.run(&["true"], long()).unwrap_err();
    let failure = failure(&console, trouble);
    assert_eq!((failure.id(), failure.exit()), ("VM013", Exit::Blocked));
    assert!(failure.finding().why.contains("exit code 1"), "{failure}");
    // When the kernel panicked first, that is the reason.
    let (mut console, far) = printing("[    9.000000] Kernel panic - not syncing: Fatal exception\r\n");
    drop(far);
    let trouble = console.run(&["true"], long()).unwrap_err();
    assert_eq!(self::failure(&console, trouble).id(), "VM010");
}

#[test]
fn a_stuck_command_is_told_from_a_hung_guest() {
    let mut shell = shell_on_a_terminal();
    let trouble = shell.console.run(&["sleep", "600"], short()).unwrap_err();
    let stuck = failure(&shell.console, trouble);
    assert_eq!((stuck.id(), stuck.exit()), ("VM015", Exit::Blocked));
    assert!(stuck.finding().why.contains("sleep 600"), "{stuck}");
    assert_eq!(shell.console.run(&["echo", "well"], long()).unwrap().text(), "well\n");

    let (mut console, _far) = printing("# ");
    console.alive_wait = SHORT;
    let trouble = console.run(&["nft", "list", "ruleset"], short()).unwrap_err();
    let hung = failure(&console, trouble);
    assert_eq!((hung.id(), hung.exit()), ("VM016", Exit::Blocked));
    assert!(hung.finding().why.contains("nft list ruleset"), "{hung}");
}

#[test]
fn damaged_answers_are_asked_for_again() {
    let mut shell = shell();
    // A background process that writes to the console in the middle of an answer is the realistic
    // case; here the output file grows between being counted and being printed.
    let functions = "wc() { command wc -c; echo x >>\"$vm_file\"; }";
    let file = shell.console.output_file();
    shell.console.type_text(&format!("vm_file={file}; {functions}\n"), "", long()).unwrap();
    let trouble = shell.console.run(&["echo", "hello"], long()).unwrap_err();
    let failure = failure(&shell.console, trouble);
    assert_eq!((failure.id(), failure.exit()), ("VM017", Exit::Blocked));
    shell.console.type_text("unset -f wc\n", "", long()).unwrap();
    assert_eq!(shell.console.run(&["echo", "hello"], long()).unwrap().text(), "hello\n");
}

#[test]
fn an_interrupt_ends_every_wait() {
    let cancel = Cancel::default();
    let (near, _far) = UnixStream::pair().unwrap();
    let mut console = Console::new(near, cancel.clone()).unwrap();
    cancel.cancel();
    let trouble = console.run(&["true"], long()).unwrap_err();
    assert_eq!(failure(&console, trouble).exit(), Exit::Interrupted);
}

#[test]
fn only_the_last_lines_are_shown() {
    let text: String = (0..20_000).map(|i| format!("line {i}\r\n")).collect();
    let (near, mut far) = UnixStream::pair().unwrap();
    let writer = std::thread::spawn(move || far.write_all(text.as_bytes()).map(|()| far));
    let mut console = Console::new(near, Cancel::default()).unwrap();
    console.wait_for("line 19999", long()).unwrap();
    assert_eq!(console.tail().lines().count(), TAIL_LINES);
    assert!(console.tail().ends_with("line 19999"));
    drop(writer.join().unwrap().unwrap());
}

#[test]
fn a_guest_that_prints_without_an_end_is_not_waited_for() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // More often than any wait of the console ends without bytes.
    let printer = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(1)).is_err_and(|error| error == RecvTimeoutError::Timeout) {
            far.write_all(b"no news\n").unwrap();
        }
    });
    let mut console = Console::new(near, Cancel::default()).unwrap();
    console.alive_wait = SHORT;
    let troubles = [console.wait_for("ready", short()), console.run(&["true"], short()).map(|_| ())];
    let ids = troubles.map(|trouble| failure(&console, trouble.unwrap_err()).id());
    assert_eq!(ids, ["VM014", "VM016"]);
    drop(stop);
    printer.join().unwrap();
}
