//! `flows --watch` on a terminal: it takes single keys, draws over itself, and leaves the terminal as it found it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both ends of a pseudo terminal.
fn terminal() -> (File, File) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap();
    let far = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    tcsetwinsize(&far, Winsize { ws_row: 10, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (near.into(), far)
}

fn is_readable(file: &File) -> bool {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&patience)).unwrap() > 0
}

fn ended(child: &mut Child) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    false
}

#[test]
fn a_key_ends_it_and_the_terminal_is_as_before() {
    let root = format!("{}/terminal-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::create_dir_all(format!("{root}/proc/net")).unwrap();
    fs::write(format!("{root}/proc/net/nf_conntrack"), include_str!("recorded/nf_conntrack.txt")).unwrap();
    // A kernel that loads modules, and has not loaded the one for netlink.
    fs::write(format!("{root}/proc/modules"), "").unwrap();
    for (name, key) in [("vt102", b"q"), ("vt102", &[3]), ("dumb", b"q")] {
        let (mut near, far) = terminal();
        let before = tcgetattr(&far).unwrap().local_modes;
        assert!(before.contains(LocalModes::ICANON | LocalModes::ISIG));
        let mut child = Command::new(env!("CARGO_BIN_EXE_offloadctl"))
            .args(["--root", &root, "flows", "--watch"])
            .env("TERM", name)
            .stdin(Stdio::from(far.try_clone().unwrap()))
            .stdout(Stdio::from(far.try_clone().unwrap()))
            .spawn()
            .unwrap();

        // Once there is a list, single keys are taken.
        let mut shown = Vec::new();
        let mut bytes = [0; 4096];
        while !shown.windows(8).any(|window| window == b"10.0.0.2") {
            assert!(is_readable(&near), "{:?}", String::from_utf8_lossy(&shown));
            let length = near.read(&mut bytes).unwrap();
            shown.extend_from_slice(&bytes[..length]);
        }
        assert!(
            !tcgetattr(&far).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO)
        );
        assert_eq!(shown.starts_with(b"\x1b[H"), name == "vt102", "{:?}", String::from_utf8_lossy(&shown));
        near.write_all(key).unwrap();
        assert!(ended(&mut child), "{name} {key:?}");
        assert_eq!(tcgetattr(&far).unwrap().local_modes, before);
    }
    fs::remove_dir_all(root).unwrap();
}
