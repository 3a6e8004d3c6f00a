//! A root shell on the guest's serial console, used as a channel with exit codes and lengths.
//!
//! Needs nothing in the guest but a shell and the usual small tools, so it works on any image. What
//! a command prints goes to a file first and comes back in a frame; a frame that the kernel wrote
//! into is asked for again. Every wait has a deadline, looks for a crash, and notices QEMU's end.

mod crash;
mod frame;
mod line;
mod transfer;
mod trouble;

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime};

use model::{Cancel, Deadline};

pub use crash::Crash;
use frame::{Frame, Search, Token};
use line::{Line, Received};
pub(crate) use trouble::OVERRAN;
pub use trouble::Trouble;

use crate::guest::Output;
use crate::splat;

/// Lines of the console that a failure shows.
const TAIL_LINES: usize = 60;
/// Bytes of the console that are kept for them.
const TAIL_BYTES: usize = 64 << 10;
/// Kernel lines that are kept.
const KERNEL_LINES: usize = 2000;
/// Suspicious lines that a kernel log keeps at most; one is enough to fail.
const SUSPICIOUS: usize = 20;
/// How often a wait looks at [`Cancel`].
const SLICE: Duration = Duration::from_millis(100);
/// See `Console::alive_wait`.
const ALIVE_WAIT: Duration = Duration::from_secs(10);
/// How long after a deadline bytes that arrive are still looked at.
const LATE: Duration = Duration::from_secs(1);
/// The last words of a guest are worth waiting for through this much silence, ten times as long at most.
const TRACE_WAIT: Duration = Duration::from_millis(200);
/// How long a shell may take to answer before Enter is pressed again.
const KNOCK: Duration = Duration::from_millis(500);
/// What a shell makes of the question, which itself is echoed by many a terminal.
const AWAKE: (&str, &str) = ("echo vm''-awake", "vm-awake");
/// How often a damaged answer is asked for.
const ATTEMPTS: usize = 3;
/// What procd's `askfirst` says once the shell before it has ended (`utils/askfirst.c`).
const SHELL_ENDED: &str = "Please press Enter to activate this console";
/// Longest line that is typed: the line editors of busybox stop at 512 (OpenWrt) or 1024 bytes.
const LINE_BYTES: usize = 480;

/// A shell on a serial console.
pub struct Console {
    line: Line,
    cancel: Cancel,
    tail: VecDeque<u8>,
    kernel: Vec<String>,
    session: u32,
    command: u32,
    /// What the names of our own files in the guest begin with.
    scratch: String,
    /// How long a guest may take to show that it is alive after a command was interrupted.
    alive_wait: Duration,
}

impl Console {
    /// A console over a connected socket.
    pub fn new(socket: UnixStream, cancel: Cancel) -> io::Result<Console> {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        // Differs between the processes that use one saved state, which is all it is for.
        let session = since.subsec_nanos() ^ std::process::id().rotate_left(16);
        Ok(Console {
            line: Line::new(socket)?,
            cancel,
            tail: VecDeque::new(),
            kernel: Vec::new(),
            session,
            command: 0,
            scratch: "/tmp/.vm".into(),
            alive_wait: ALIVE_WAIT,
        })
    }

    /// Waits for a text on the console of a booting guest.
    pub fn wait_for(&mut self, text: &str, deadline: Deadline) -> Result<(), Trouble> {
        let mut fresh = Vec::new();
        loop {
            match self.receive(deadline)? {
                Some(bytes) => fresh.extend(bytes),
                None => {
                    let late = Trouble::NotReady { line: text.into(), after: deadline.after };
                    return Err(crashed(self.tail.make_contiguous()).unwrap_or(late));
                }
            }
            if String::from_utf8_lossy(&fresh).contains(text) {
                self.keep_kernel_lines(frame::kernel_lines(&fresh));
                return Ok(());
            }
            self.look_for_crash(&fresh)?;
            // Whole lines have been looked at.
            let begun = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            self.keep_kernel_lines(frame::kernel_lines(&fresh[..begun]));
            fresh.drain(..begun);
        }
    }

    /// Takes the shell over: quiet, without echo where the guest can, and with our functions.
    pub fn attach(&mut self, deadline: Deadline) -> Result<(), Trouble> {
        self.wake(deadline)?;
        let mut lines = vec!["PS1= PS2=; stty -echo 2>/dev/null; dmesg -n 1 2>/dev/null".into()];
        lines.extend(frame::functions(&self.output_file()));
        for line in lines {
            self.type_text(&format!("{line}\n"), "the first lines", deadline)?;
        }
        self.synchronise("true", deadline)
    }

    /// Presses Enter until a shell answers. One press is not enough: procd starts `login` then, which throws away
    /// whatever was typed before it was ready (`tcflush` in `loginutils/login.c` of busybox).
    fn wake(&mut self, deadline: Deadline) -> Result<(), Trouble> {
        let mut heard = Vec::new();
        while !deadline.passed() {
            self.type_text(&format!("\n{}\n", AWAKE.0), "the first lines", deadline)?;
            let turn = Deadline::after(KNOCK.min(deadline.left()));
            while let Some(bytes) = self.receive(turn)? {
                heard.extend(bytes);
                if String::from_utf8_lossy(&heard).contains(AWAKE.1) {
                    self.keep_kernel_lines(frame::kernel_lines(&heard));
                    return Ok(());
                }
                self.look_for_crash(&heard)?;
            }
        }
        Err(self.hung("the first lines", deadline))
    }

    /// Asks for an answer to the first command, after a boot or a resume; its output is ignored.
    pub fn synchronise(&mut self, line: &str, deadline: Deadline) -> Result<(), Trouble> {
        match self.exchange(&format!("{line} >/dev/null 2>&1"), line, deadline)? {
            Some(_) => Ok(()),
            None => Err(self.hung("the first command", deadline)),
        }
    }

    /// Runs a command made of words; none of them is read by the guest's shell.
    pub fn run(&mut self, words: &[&str], deadline: Deadline) -> Result<Output, Trouble> {
        let mut line = String::new();
        for word in words {
            line.push_str(&quoted(word)?);
            line.push(' ');
        }
        self.run_line(line.trim_end(), &words.join(" "), deadline)
    }

    /// Runs a shell script in a copy of the console's shell, which is cheaper than starting another; `$$` is the one of
    /// the console.
    pub fn script(&mut self, script: &str, deadline: Deadline) -> Result<Output, Trouble> {
        let name = script.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        self.run_line(&format!("eval {}", quoted(script)?), name, deadline)
    }

    /// Empties the kernel log, but for what is suspicious in it.
    pub fn begin_kernel_log(&mut self, deadline: Deadline) -> Result<(), Trouble> {
        let log = self.run(&["dmesg", "-c"], deadline)?.text();
        for line in splat::splats(&log, &splat::DENIED, &splat::ALLOWED).into_iter().take(SUSPICIOUS) {
            self.run(&["sh", "-c", "echo \"$1\" >/dev/kmsg", "sh", line], deadline)?;
        }
        Ok(())
    }

    /// The last lines of the console.
    pub fn tail(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().filter(|&byte| byte != b'\r').collect();
        let text = String::from_utf8_lossy(&bytes);
        // Our own frames and the empty lines around them tell nobody anything.
        let frame = Token::session_word(self.session);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty() && !line.contains(&frame)).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Lines that the kernel wrote to the console, oldest first: its boot, and what came since.
    pub fn kernel_lines(&self) -> &[String] {
        &self.kernel
    }

    /// Runs one line; `name` is what messages call it. A line that cannot be typed is put together by the guest's
    /// shell, and one that is too long for that is sent as a file.
    fn run_line(&mut self, line: &str, name: &str, deadline: Deadline) -> Result<Output, Trouble> {
        let typed = if can_be_typed(line) { Some(format!("({line})")) } else { transfer::in_lines(line) };
        if let Some(typed) = typed {
            return self.run_typed(&typed, name, deadline);
        }
        let file = format!("{}-script", self.scratch);
        self.store(&file, line.as_bytes(), deadline)?;
        self.run_typed(&format!("(. {file})"), name, deadline)
    }

    fn run_typed(&mut self, line: &str, name: &str, deadline: Deadline) -> Result<Output, Trouble> {
        let line = format!("{line} >{} 2>&1 </dev/null", self.output_file());
        let Some(mut frame) = self.exchange(&line, name, deadline)? else {
            return Err(self.no_answer(name, deadline));
        };
        for _ in 1..ATTEMPTS {
            if frame.body.is_ok() {
                break;
            }
            let token = self.token();
            self.type_text(&format!("vm_show {}\n", token.words()), name, deadline)?;
            frame = match self.answer(&token, name, deadline)? {
                Some(frame) => frame,
                None => return Err(self.no_answer(name, deadline)),
            };
        }
        match frame.body {
            Ok(out) => Ok(Output { code: frame.code, out }),
            Err(frame::Garbled { expected, got }) => Err(Trouble::Garbled { expected, got }),
        }
    }

    /// Types one command and waits for its frame; `None` when the deadline passed.
    fn exchange(&mut self, line: &str, name: &str, deadline: Deadline) -> Result<Option<Frame>, Trouble> {
        let token = self.token();
        self.type_text(&format!("{line}; vm_answer {}\n", token.words()), name, deadline)?;
        self.answer(&token, name, deadline)
    }

    fn answer(&mut self, token: &Token, name: &str, deadline: Deadline) -> Result<Option<Frame>, Trouble> {
        let mut search = Search::new(token);
        loop {
            let Some(bytes) = self.receive(deadline)? else { return Ok(None) };
            if let Some(mut frame) = search.push(&bytes) {
                self.keep_kernel_lines(std::mem::take(&mut frame.noise));
                return Ok(Some(frame));
            }
            self.look_for_crash(search.outside())?;
            if String::from_utf8_lossy(search.outside()).contains(SHELL_ENDED) {
                return Err(Trouble::ShellEnded { command: name.into() });
            }
        }
    }

    /// After a deadline: is it the command, or the guest?
    fn no_answer(&mut self, name: &str, deadline: Deadline) -> Trouble {
        if self.line.interrupt().is_err() {
            return self.hung(name, deadline);
        }
        match self.exchange("true", name, Deadline::after(self.alive_wait)) {
            Ok(Some(_)) => Trouble::Stuck { command: name.into(), after: deadline.after },
            Ok(None) => self.hung(name, deadline),
            Err(trouble) => trouble,
        }
    }

    fn hung(&mut self, command: &str, deadline: Deadline) -> Trouble {
        let hung = Trouble::Hung { command: command.into(), after: deadline.after };
        crashed(self.tail.make_contiguous()).unwrap_or(hung)
    }

    fn output_file(&self) -> String {
        format!("{}-output", self.scratch)
    }

    fn token(&mut self) -> Token {
        self.command = self.command.wrapping_add(1);
        Token::new(self.session, self.command)
    }

    fn type_text(&mut self, text: &str, name: &str, deadline: Deadline) -> Result<(), Trouble> {
        match self.line.send(text) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(self.hung(name, deadline))
            }
            Err(_) => Err(self.closed()),
        }
    }

    /// Bytes from the guest; `None` once the deadline passed.
    fn receive(&mut self, deadline: Deadline) -> Result<Option<Vec<u8>>, Trouble> {
        loop {
            self.cancel.check().map_err(Trouble::Ended)?;
            // An answer that is there already is worth having; a guest that prints without an end is not waited for.
            if deadline.at + LATE < Instant::now() {
                return Ok(None);
            }
            match self.line.receive(deadline.left().min(SLICE)) {
                Received::Bytes(bytes) => {
                    self.keep(&bytes);
                    return Ok(Some(bytes));
                }
                Received::Closed => return Err(self.closed()),
                Received::Nothing if deadline.passed() => return Ok(None),
                Received::Nothing => {}
            }
        }
    }

    fn closed(&mut self) -> Trouble {
        // A write fails before the last words have been read.
        self.read_trace();
        crashed(self.tail.make_contiguous()).unwrap_or(Trouble::Closed)
    }

    /// A crash in what the guest printed outside of answers; a lockup is left to the deadline, as the
    /// kernel may recover from it on a busy host.
    fn look_for_crash(&mut self, outside: &[u8]) -> Result<(), Trouble> {
        match crash::recognise(outside) {
            None | Some((Crash::Lockup, _)) => Ok(()),
            Some((crash, line)) => {
                self.read_trace();
                Err(crashed(self.tail.make_contiguous()).unwrap_or(Trouble::Crashed { crash, line }))
            }
        }
    }

    /// Takes in the rest of what a dying guest says: until silence, the end, or long enough.
    fn read_trace(&mut self) {
        let enough = Instant::now() + TRACE_WAIT * 10;
        while Instant::now() < enough {
            match self.line.receive(TRACE_WAIT) {
                Received::Bytes(bytes) => self.keep(&bytes),
                Received::Nothing | Received::Closed => return,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }

    fn keep_kernel_lines(&mut self, lines: Vec<String>) {
        self.kernel.extend(lines);
        let surplus = self.kernel.len().saturating_sub(KERNEL_LINES);
        self.kernel.drain(..surplus);
    }
}

fn crashed(console: &[u8]) -> Option<Trouble> {
    crash::recognise(console).map(|(crash, line)| Trouble::Crashed { crash, line })
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> Result<String, Trouble> {
    if word.contains('\0') {
        return Err(Trouble::Unspeakable { word: word.into() });
    }
    Ok(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Whether a line survives a terminal and a line editor: short, and without control characters.
fn can_be_typed(line: &str) -> bool {
    // What is typed around it: redirections and the token.
    const FRAME_BYTES: usize = 80;
    line.len() + FRAME_BYTES <= LINE_BYTES && line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests;
