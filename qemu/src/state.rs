//! The state of a booted guest in a file: boot once, resume everywhere.
//!
//! QEMU sends the state of the devices over a unix socket (`migrate`), and we write the file, which appears under its
//! name when it is whole, and never before. QEMU reads it from its standard input (`migrate-incoming`). Every version
//! does both, without a shell and without its changing file options.
//!
//! The guest's memory is a file beside it. Whoever resumes maps that file privately, so that a page is read when the
//! guest first needs it, and shared by all until one of them writes to it: QEMU's `docs/system/vm-templating.rst`. What
//! a guest wrote to its disk lies there, too. Both come first.
//!
//! A state fits only the same QEMU, machine, kernel and image, and its file is never written to again.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use host::aside::Aside;
use model::{Cancel, Deadline, Event, Events, Exit, Failure, Finding, Problem, Result, Severity};
use serde_json::json;

use crate::guest::Guest as _;
use crate::machine::{Disk, DiskFormat, Image};
use crate::qmp::Qmp;
use crate::session::{self, Launch, Session};
use crate::{memory, overlay, sockets};

/// Between two questions whether QEMU is done.
const POLL: Duration = Duration::from_millis(5);
/// How long the socket may block before the deadline is looked at.
const SLICE: Duration = Duration::from_millis(100);
/// QEMU's default limit is for networks, 128 MiB/s.
const BYTES_PER_SECOND: u64 = 64 << 30;
/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// Fills memory that nobody uses with zeros: pages of zeros take no room in a state and no time to resume, and what the
/// boot left behind is half of all. Whether that works nobody needs to know.
const FORGET: &str = "mkdir -p /tmp/.free && mount -t tmpfs -o size=60% free /tmp/.free && {
	dd if=/dev/zero of=/tmp/.free/zeros bs=65536
	umount /tmp/.free
	rmdir /tmp/.free
} >/dev/null 2>&1; true";

/// The files of a saved state, to resume from.
pub(crate) struct Saved {
    /// What QEMU reads.
    pub(crate) devices: File,
    /// The guest's memory.
    pub(crate) memory: Utf8PathBuf,
}

/// Saves the guest's state to a file, and lets the guest go on. The guest must have been launched as one that will be
/// saved.
pub fn save(session: &mut Session, path: &Utf8Path, deadline: Deadline) -> Result<()> {
    session.script(FORGET, deadline)?;
    let socket = session.socket_path("outgoing")?;
    let listener = sockets::listen(&socket)?;
    let memory = session.memory.clone().ok_or_else(|| not_moved("the guest has its memory in no file"))?;
    session.qmp.execute("stop", json!({}), deadline)?;
    leave_memory_out(&mut session.qmp, deadline)?;
    session.qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": BYTES_PER_SECOND }), deadline)?;
    session.qmp.execute("migrate", json!({ "uri": format!("unix:{socket}") }), deadline)?;
    let cancel = session.cancel.clone();
    let from = sockets::accept(&listener, "the outgoing state", || session.ended(), &cancel, deadline)?;
    let disk = session.overlay.clone();
    write_aside(from, path, &cancel, deadline, || {
        // Once the state is out, QEMU has written all of the disk to its file and lets go of it.
        migrated(&mut session.qmp, &cancel, deadline)?;
        memory::copy(&memory, &memory::beside(path), &cancel, deadline)?;
        disk.map_or(Ok(()), |disk| copy_aside(&disk, &overlay::beside(path)))
    })?;
    session.qmp.execute("cont", json!({}), deadline)?;
    // An old file of this name is useless, and would be in the way of a second save.
    let _gone = std::fs::remove_file(&socket);
    Ok(())
}

/// Copies the state beside its place, asks whether QEMU is content, and only then gives it its name.
fn write_aside(
    from: UnixStream,
    path: &Utf8Path,
    cancel: &Cancel,
    deadline: Deadline,
    complete: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let failed = |error: &std::io::Error| Failure::io("save the guest's state", path, error);
    let mut aside = Aside::begin(path).map_err(|error| failed(&error))?;
    from.set_read_timeout(Some(SLICE)).map_err(|error| failed(&error))?;
    copy(&mut &from, aside.file(), cancel, deadline, |error| failed(&error))?;
    complete()?;
    aside.keep().map_err(|error| failed(&error))
}

/// Keeps the guest's disk.
fn copy_aside(overlay: &Utf8Path, path: &Utf8Path) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("save the guest's disk", path, &error);
    let aside = Aside::begin(path).map_err(failed)?;
    std::fs::copy(overlay, aside.place()).map_err(failed)?;
    aside.keep().map_err(failed)
}

/// Resumes a guest from a saved state. A state that QEMU does not take is `VM043`.
pub fn resume(launch: &Launch<'_>, path: &Utf8Path, deadline: Deadline) -> Result<Session> {
    let saved = Saved { devices: open(path)?, memory: whole_memory(path, launch.machine.memory_mib)? };
    let image = Image { disk: launch.image.disk.as_ref().map(|_| saved_disk(path)), ..launch.image.clone() };
    let mut started = session::start(&Launch { image: &image, ..*launch }, Some(saved), deadline)?;
    leave_memory_out(&mut started.qmp, deadline)?;
    let refused = |why: String| refused(path, &why);
    started.qmp.execute("migrate-incoming", json!({ "uri": "fd:0" }), deadline)?;
    if let Err(failure) = migrated(&mut started.qmp, launch.cancel, deadline) {
        // QEMU ends when it cannot take a state, and says why on its way out.
        let said = match started.process.wait(Deadline::after(Duration::from_secs(1))) {
            Some(_) => started.process.last_words(),
            None => failure.finding().why.clone(),
        };
        return if failure.exit() == Exit::Interrupted { Err(failure) } else { Err(refused(said)) };
    }
    started.qmp.execute("cont", json!({}), deadline)?;
    let answered = started.console.synchronise(&set_clock(), deadline);
    answered.map_err(|trouble| started.explain(trouble))?;
    Ok(started.into_session(launch))
}

fn open(path: &Utf8Path) -> Result<File> {
    File::open(path).map_err(|error| Failure::io("read the guest's state", path, &error))
}

/// The file with a state's memory. QEMU makes one that is not there and lengthens one that is too short, and the guest
/// would find zeros in it.
fn whole_memory(state: &Utf8Path, mib: u32) -> Result<Utf8PathBuf> {
    let path = memory::beside(state);
    let size = open(&path)?.metadata().map_err(|error| Failure::io("read the guest's state", &path, &error))?.len();
    if size != u64::from(mib) << 20 {
        return Err(refused(state, &format!("its memory has {size} bytes, and the machine's has {mib} MiB")));
    }
    Ok(path)
}

/// Tells QEMU that memory in a file is not part of what is sent.
fn leave_memory_out(qmp: &mut Qmp, deadline: Deadline) -> Result<()> {
    let words = json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] });
    qmp.execute("migrate-set-capabilities", words, deadline).map(drop)
}

/// Sets the guest's clock to the host's: a saved guest believes that no time has passed.
fn set_clock() -> String {
    format!("date -u -s @{}", SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs())
}

fn saved_disk(state: &Utf8Path) -> Disk {
    Disk { file: overlay::beside(state), format: DiskFormat::Qcow2 }
}

/// Resumes the state in the file, or boots afresh when QEMU does not take it; the file stays as it is.
///
/// Each of the two starts has `within` for itself. The note on a refused state goes to `events`.
pub fn resume_or_boot(launch: &Launch<'_>, path: &Utf8Path, within: Duration, events: &Events) -> Result<Session> {
    match resume(launch, path, Deadline::after(within)) {
        Err(failure) if failure.exit() != Exit::Interrupted && !launch.cancel.is_cancelled() => {
            events.emit(Event::Finding(fresh_boot(path, &failure)));
            session::boot(launch, Deadline::after(within))
        }
        resumed => resumed,
    }
}

fn fresh_boot(path: &Utf8Path, failure: &Failure) -> Finding {
    Finding {
        id: "VM044",
        severity: Severity::Note,
        place: Some(path.to_string()),
        what: "the saved guest could not be resumed; a fresh one is booted in its place".into(),
        why: failure.finding().why.clone(),
        fix: "nothing needs to be done; `cargo xtask clean state` removes the state if it happens on every run".into(),
    }
}

fn refused(path: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM043",
        what: "QEMU did not take the saved state of the guest",
        why,
        fix: "remove the state with `cargo xtask clean state`; the next run boots a guest and saves it again",
    })
    .at(path)
}

/// Waits until QEMU says that a state has gone or come whole.
fn migrated(qmp: &mut Qmp, cancel: &Cancel, deadline: Deadline) -> Result<()> {
    loop {
        cancel.check()?;
        let answer = qmp.execute("query-migrate", json!({}), deadline)?;
        let status = answer["status"].as_str().unwrap_or("none");
        match status {
            "completed" => return Ok(()),
            "failed" | "cancelled" => {
                let why = answer["error-desc"].as_str().unwrap_or("it gave no reason");
                return Err(not_moved(&format!("QEMU says `{status}`: {why}")));
            }
            _ if deadline.passed() => return Err(not_moved(&format!("it was `{status}` after {:?}", deadline.after))),
            _ => std::thread::sleep(POLL),
        }
    }
}

fn not_moved(why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM042",
        what: "the guest's state could not be saved or resumed",
        why,
        fix: "run it once more; on a busy or slow host give it a longer deadline",
    })
}

/// Copies until the end, looking at the deadline whenever a side blocks or a chunk is done.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    cancel: &Cancel,
    deadline: Deadline,
    failed: impl Fn(std::io::Error) -> Failure,
) -> Result<()> {
    let check = || {
        cancel.check()?;
        if deadline.passed() { Err(failed(ErrorKind::TimedOut.into())) } else { Ok(()) }
    };
    let waits = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        check()?;
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if waits(&error) => continue,
            Err(error) => return Err(failed(error)),
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(0) => return Err(failed(ErrorKind::WriteZero.into())),
                Ok(written) => rest = &rest[written..],
                Err(error) if waits(&error) => check()?,
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    /// A QEMU that gives these answers, one per question.
    fn qmp(answers: &[&str]) -> (Qmp, UnixStream) {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"{\"QMP\": {}}\n{\"return\": {}}\n").unwrap();
        for answer in answers {
            writeln!(far, "{{\"return\": {answer}}}").unwrap();
        }
        (Qmp::connect(near, Cancel::default(), Deadline::after(SHORT)).unwrap(), far)
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn a_state_is_whole_when_qemu_says_so() {
        let (mut control, _far) = qmp(&[r#"{"status": "active"}"#, r#"{"status": "completed"}"#]);
        migrated(&mut control, &Cancel::default(), Deadline::after(SHORT)).unwrap();
        let (mut control, _far) = qmp(&[r#"{"status": "failed", "error-desc": "no space"}"#]);
        let failure = migrated(&mut control, &Cancel::default(), Deadline::after(SHORT)).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM042", Exit::Blocked));
        assert!(failure.finding().why.contains("no space"));
    }

    /// Saves these bytes while QEMU says `complete`; what is in the folder afterwards.
    fn saved(bytes: &[u8], complete: Result<()>, cancel: &Cancel) -> (Result<()>, Vec<(String, Vec<u8>)>) {
        let (_dir, folder) = folder();
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(bytes).unwrap();
        drop(far);
        let result = write_aside(near, &folder.join("state"), cancel, Deadline::after(SHORT), || complete);
        let entries = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap());
        let files = entries.map(|entry| (entry.file_name().into(), std::fs::read(entry.path()).unwrap())).collect();
        (result, files)
    }

    #[test]
    fn a_state_appears_whole_or_not_at_all() {
        let running = Cancel::default();
        let (result, files) = saved(b"memory", Ok(()), &running);
        assert_eq!((result, files), (Ok(()), vec![("state".to_owned(), b"memory".to_vec())]));
        let (result, files) = saved(b"half of the mem", Err(not_moved("killed")), &running);
        assert_eq!((result.unwrap_err().id(), files), ("VM042", vec![]));
        let interrupted = Cancel::default();
        interrupted.cancel();
        let (result, files) = saved(b"memory", Ok(()), &interrupted);
        assert_eq!((result.unwrap_err().exit(), files), (Exit::Interrupted, vec![]));
    }

    #[test]
    fn a_sender_that_stalls_does_not_stall_us() {
        let (_dir, folder) = folder();
        let (near, _far) = UnixStream::pair().unwrap();
        let result = write_aside(near, &folder.join("state"), &Cancel::default(), Deadline::after(SHORT), || Ok(()));
        assert_eq!(result.unwrap_err().id(), "IO001");
    }

    #[test]
    fn memory_that_is_not_the_machines_is_refused() {
        let (_dir, folder) = folder();
        let state = folder.join("key.state");
        assert_eq!(whole_memory(&state, 1).unwrap_err().id(), "IO004");
        let memory = memory::beside(&state);
        for (size, outcome) in [((1 << 20) - 1, Err("VM043")), ((1 << 20) + 1, Err("VM043")), (1 << 20, Ok(&memory))] {
            File::create(&memory).unwrap().set_len(size).unwrap();
            let found = whole_memory(&state, 1);
            assert_eq!(found.as_ref().map_err(Failure::id), outcome, "{size}");
            assert!(memory.exists(), "{size}");
        }
    }

    #[test]
    fn a_refused_state_is_a_note_when_a_fresh_boot_follows() {
        let failure = refused("/c/key.state".into(), "qemu: Length mismatch: 0000:00:03.0/virtio-net-pci.rom");
        assert_eq!((failure.id(), failure.exit()), ("VM043", Exit::Blocked));
        let note = fresh_boot("/c/key.state".into(), &failure);
        assert_eq!((note.id, note.severity), ("VM044", Severity::Note));
        assert!(note.to_string().contains("Length mismatch") && note.to_string().contains("/c/key.state"));
    }
}
