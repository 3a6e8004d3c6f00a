//! Unix sockets that QEMU connects to: we listen first, so there is no race to lose.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use camino::Utf8Path;
use model::{Cancel, Deadline, Exit, Failure, Problem, Result};

/// Between two looks at a listener and at the process that should connect.
const POLL: Duration = Duration::from_millis(2);

/// Listens on a new unix socket.
pub(crate) fn listen(path: &Utf8Path) -> Result<UnixListener> {
    let listening = UnixListener::bind(path).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listening.map_err(|error| match error.kind() {
        // sun_path of unix(7) has 108 bytes.
        ErrorKind::InvalidInput => Failure::of(Problem {
            exit: Exit::Host,
            id: "VM050",
            what: "the path of a socket is too long",
            why: format!("it has {} bytes, and unix sockets end at 107", path.as_str().len()),
            fix: "set TMPDIR to a folder with a shorter name",
        })
        .at(path),
        _ => Failure::io("listen on a socket", path, &error),
    })
}

/// Waits for QEMU to connect. `ended` says what QEMU said when it is gone.
pub(crate) fn accept(
    listener: &UnixListener,
    what: &str,
    ended: impl Fn() -> Option<String>,
    cancel: &Cancel,
    deadline: Deadline,
) -> Result<UnixStream> {
    let failed = |why: String| not_opened(what, &why);
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).map_err(|error| failed(error.to_string()))?;
                return Ok(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        cancel.check()?;
        if let Some(words) = ended() {
            return Err(failed(words));
        }
        if deadline.passed() {
            return Err(failed(format!("nothing happened within {:?}", deadline.after)));
        }
        std::thread::sleep(POLL);
    }
}

/// QEMU ended, or took too long, before it could be spoken to.
pub(crate) fn not_opened(what: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM051",
        what: format!("QEMU did not open {what}"),
        why,
        fix: "see what QEMU printed; on a busy or slow host give it a longer deadline",
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn a_path_that_no_socket_can_have_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let failure = listen(&folder.join("x".repeat(120))).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM050", Exit::Host));
        assert_eq!(listen("/no/such/dir/socket".into()).unwrap_err().id(), "IO004");
    }

    #[test]
    fn a_connection_is_waited_for_until_qemu_or_the_patience_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("socket")).unwrap();
        let listener = listen(&path).unwrap();
        let wait = |ended: Option<&str>, cancel: &Cancel| {
            let deadline = Deadline::after(Duration::from_millis(50));
            accept(&listener, "its console", || ended.map(Into::into), cancel, deadline)
        };
        let (running, interrupted) = (Cancel::default(), Cancel::default());
        interrupted.cancel();
        for (ended, why) in [(None, "within"), (Some("no such machine"), "no such machine")] {
            let failure = wait(ended, &running).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("VM051", Exit::Blocked));
            assert!(failure.finding().why.contains(why), "{failure}");
        }
        assert_eq!(wait(None, &interrupted).unwrap_err().exit(), Exit::Interrupted);
        let _near = UnixStream::connect(&path).unwrap();
        wait(None, &running).unwrap();
    }
}
