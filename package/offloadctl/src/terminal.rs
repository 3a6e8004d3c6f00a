//! The user's terminal while `--watch` runs: single keys, its size, and whether it can move its cursor.
//!
//! Signals of the keyboard are switched off in favour of the plain key, so that Ctrl-C goes the same way as `q` and the
//! terminal is always put back. Only a signal sent from elsewhere leaves it as it is; `reset` or the shell repairs that.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Ctrl-C as a character.
const CTRL_C: u8 = 3;
/// Ctrl-D as a character.
const CTRL_D: u8 = 4;

/// How soon a key is seen. The kernel is not asked to wait: rustix 1.1 takes musl's time for one of 64 bits where the
/// crate libc has one of 32, on MIPS, where a wait would end at once and be begun again without end.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The same in any width.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `q`, Ctrl-C or Ctrl-D, or the terminal is gone.
    Quit,
    /// Some other key.
    Other(u8),
    /// None in time.
    None,
}

/// Keys from standard input, which is put back when this is dropped.
#[derive(Debug)]
pub struct Keys {
    saved: Option<Termios>,
    is_terminal: bool,
    is_open: bool,
}

impl Keys {
    /// Listens to standard input. A pipe is read as well: a `q` in it ends the program, too.
    pub fn listen() -> Keys {
        let is_terminal = io::stdin().is_terminal();
        let saved = is_terminal.then(|| without_lines().ok()).flatten();
        Keys { saved, is_terminal, is_open: true }
    }

    /// Waits for a key, or until `patience` is over.
    pub fn wait(&mut self, patience: Duration) -> Key {
        let deadline = Instant::now() + patience;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Key::None;
            }
            if let Some(key) = self.poll(rest) {
                return key;
            }
        }
    }

    /// One attempt; `None` when nothing worth telling came, perhaps before the time was over.
    fn poll(&mut self, patience: Duration) -> Option<Key> {
        let stdin = io::stdin();
        let mut descriptors = [PollFd::new(&stdin, PollFlags::IN)];
        let watched = if self.is_open { &mut descriptors[..] } else { &mut [] };
        if !matches!(poll(watched, Some(&AT_ONCE)), Ok(1..)) {
            std::thread::sleep(patience.min(LOOK_AGAIN));
            return None;
        }
        let mut bytes = [0; 32];
        match read(&stdin, &mut bytes) {
            Err(Errno::INTR | Errno::AGAIN) => None,
            Ok(length) if length > 0 => {
                let pressed = bytes.get(..length).unwrap_or_default();
                let quits = pressed.iter().any(|byte| matches!(byte, b'q' | b'Q' | &CTRL_C | &CTRL_D));
                Some(if quits { Key::Quit } else { Key::Other(bytes[0]) })
            }
            // The end of a terminal is the end of its user; the end of a file, as from a service, says nothing.
            _ => {
                self.is_open = false;
                self.is_terminal.then_some(Key::Quit)
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // There is nobody left to tell when this fails.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, saved);
        }
    }
}

/// Keys arrive one by one, unseen, and Ctrl-C is one of them. Returns what was set before.
fn without_lines() -> Result<Termios, Errno> {
    let saved = tcgetattr(io::stdin())?;
    let mut modes = saved.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
    Ok(saved)
}

/// Columns and lines of the terminal on standard output. A serial console says 0 and is taken for 80 by 24.
pub fn size() -> (usize, usize) {
    let told = tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_col.into(), size.ws_row.into()));
    match told {
        (0, _) | (_, 0) => (80, 24),
        told => told,
    }
}

/// Whether standard output is a terminal that moves its cursor as a VT100 does.
pub fn moves_its_cursor() -> bool {
    io::stdout().is_terminal() && is_capable(std::env::var("TERM").ok().as_deref())
}

fn is_capable(name: Option<&str>) -> bool {
    !matches!(name, None | Some("" | "dumb" | "unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumb_terminals_are_known() {
        for (name, capable) in [(None, false), (Some(""), false), (Some("dumb"), false), (Some("vt102"), true)] {
            assert_eq!(is_capable(name), capable, "{name:?}");
        }
    }

    /// Also on MIPS, where this test runs too: see [`LOOK_AGAIN`].
    #[test]
    fn an_attempt_to_read_a_key_lasts_as_long_as_it_is_asked_to() {
        let mut keys = Keys { saved: None, is_terminal: false, is_open: false };
        let (patience, begun) = (LOOK_AGAIN / 2, Instant::now());
        assert_eq!(keys.poll(patience), None);
        assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
    }
}
