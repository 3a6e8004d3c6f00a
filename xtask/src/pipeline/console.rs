//! A console on the router: each line from stdin is run by the router's shell, and its output goes to stdout.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use model::{Deadline, Exit, Failure, Result};
use vm::guest::Guest;

use crate::{Ctx, Outcome};

/// Deadline of a command for which a user waits.
const COMMAND: Duration = Duration::from_secs(3600);

/// Runs lines until the end of input or `exit`; the exit code is that of the last command, 0 or 1.
pub(super) fn run(ctx: &Ctx, guest: &mut dyn Guest) -> Result<Outcome> {
    let input = std::io::stdin();
    if input.is_terminal() {
        ctx.events.notice(
            "boot",
            "a root shell on the router; each line runs in a shell of its own; end with `exit` or Ctrl-D",
        );
    }
    let prompt = if input.is_terminal() { "router# " } else { "" };
    let mut exit = Exit::Done;
    let mut line = String::new();
    loop {
        show(prompt)?;
        line.clear();
        let read = input.lock().read_line(&mut line).map_err(|error| Failure::io("read a command", "stdin", &error))?;
        ctx.cancel.check()?;
        match line.trim() {
            "exit" => break,
            "" if read == 0 => break,
            "" => continue,
            command => {
                let output = guest.script(command, Deadline::after(COMMAND))?;
                show(&output.text())?;
                exit = if output.success() { Exit::Done } else { Exit::Failed };
            }
        }
    }
    Ok(Outcome { exit, data: String::new() })
}

/// Prints to stdout and flushes, because a user is waiting.
fn show(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io("write the answer", "stdout", &error))
}
