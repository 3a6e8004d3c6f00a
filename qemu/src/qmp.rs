//! QMP, QEMU's control channel: one JSON object per line (`docs/interop/qmp-spec.rst` of QEMU).

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use model::{Cancel, Deadline, Exit, Failure, Problem, Result};
use serde_json::{Value, json};

/// How often a wait looks at [`Cancel`].
const SLICE: Duration = Duration::from_millis(100);

/// A connected control channel.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// The beginning of a line that has not arrived whole.
    line: Vec<u8>,
    cancel: Cancel,
}

impl Qmp {
    /// Reads the greeting and leaves the negotiation mode.
    pub fn connect(socket: UnixStream, cancel: Cancel, deadline: Deadline) -> Result<Qmp> {
        socket.set_read_timeout(Some(SLICE)).map_err(|error| gone("the greeting", &error.to_string()))?;
        let mut qmp = Qmp { reader: BufReader::new(socket), line: Vec::new(), cancel };
        let greeting = qmp.receive("the greeting", deadline)?;
        if greeting.get("QMP").is_none() {
            return Err(gone("the greeting", &format!("it said {greeting}")));
        }
        qmp.execute("qmp_capabilities", json!({}), deadline)?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returns. Events that come in between are not needed.
    pub fn execute(&mut self, command: &str, arguments: Value, deadline: Deadline) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes()).map_err(|error| gone(command, &error.to_string()))?;
        loop {
            let mut answer = self.receive(command, deadline)?;
            // Events count as nothing, however many there are.
            if answer.get("event").is_some() && deadline.passed() {
                return Err(gone(command, &format!("events and no answer within {:?}", deadline.after)));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let said = error.get("desc").and_then(Value::as_str).unwrap_or("no reason");
                return Err(Failure::of(Problem {
                    exit: Exit::Blocked,
                    id: "VM041",
                    what: format!("QEMU refused the control command `{command}`"),
                    why: said,
                    fix: "check that this QEMU is a released version, and report what it said",
                }));
            }
        }
    }

    fn receive(&mut self, waiting_for: &str, deadline: Deadline) -> Result<Value> {
        loop {
            self.cancel.check()?;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.line);
                    return serde_json::from_slice(&line).map_err(|error| gone(waiting_for, &error.to_string()));
                }
                Ok(_) => return Err(gone(waiting_for, "the channel was closed")),
                // What has arrived of the line is kept.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if deadline.passed() {
                        return Err(gone(waiting_for, &format!("no answer within {:?}", deadline.after)));
                    }
                }
                Err(error) => return Err(gone(waiting_for, &error.to_string())),
            }
        }
    }
}

fn gone(waiting_for: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM040",
        what: format!("QEMU's control channel did not answer `{waiting_for}`"),
        why,
        fix: "run it once more; on a busy or slow host give it a longer deadline",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = "{\"QMP\": {\"version\": {}}}\r\n{\"return\": {}}\r\n";

    /// A QEMU that says all this at once.
    fn saying(text: &str) -> (UnixStream, UnixStream) {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(text.as_bytes()).unwrap();
        (near, far)
    }

    fn connect(near: UnixStream) -> Result<Qmp> {
        Qmp::connect(near, Cancel::default(), Deadline::after(Duration::from_millis(300)))
    }

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_millis(300))
    }

    #[test]
    fn answers_are_told_from_events() {
        let (near, far) =
            saying(&format!("{GREETING}{{\"event\": \"STOP\"}}\r\n{{\"return\": {{\"status\": \"completed\"}}}}\r\n"));
        let mut qmp = connect(near).unwrap();
        let answer = qmp.execute("query-migrate", json!({}), deadline()).unwrap();
        assert_eq!(answer["status"], "completed");
        let mut sent = String::new();
        drop(qmp);
        std::io::Read::read_to_string(&mut &far, &mut sent).unwrap();
        assert!(sent.contains(r#""execute":"query-migrate""#), "{sent}");
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let (near, _far) = saying(&format!("{GREETING}{{\"error\": {{\"desc\": \"not allowed\"}}}}\r\n"));
        let failure = connect(near).unwrap().execute("stop", json!({}), deadline()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM041", Exit::Blocked));
        assert!(failure.to_string().contains("not allowed"));
    }

    #[test]
    fn silence_nonsense_and_the_end_are_failures() {
        for text in ["", "{\"QMP\": ", "hello\n", "{\"no\": 1}\n", "{\"QMP\": {}}\n"] {
            let (near, _far) = saying(text);
            let failure = connect(near).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("VM040", Exit::Blocked), "{text}");
        }
        let (near, far) = saying(GREETING);
        let mut qmp = connect(near).unwrap();
        drop(far);
        assert_eq!(qmp.execute("stop", json!({}), deadline()).unwrap_err().id(), "VM040");
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let (near, _far) = saying("");
        let cancel = Cancel::default();
        cancel.cancel();
        let failure = Qmp::connect(near, cancel, Deadline::after(Duration::from_secs(60))).unwrap_err();
        assert_eq!(failure.exit(), Exit::Interrupted);
    }
}
