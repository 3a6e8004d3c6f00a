//! A router that is spoken to, whatever it is: emulated, on a desk, or made up by a test.
//!
//! Everything that asks a router or sets it up talks to this, and to nothing that only one kind of guest has. What is
//! QEMU's own (its state can be saved and resumed) stays with its session.

use model::{Deadline, Digest, Exit, Failure, Problem, Result};

/// A running router with a root shell.
///
/// A deadline that passes is a failure, and so is a guest that is gone: *blocked*, as nothing was found out. An exit code
/// of a command is no failure.
pub trait Guest {
    /// What it is.
    fn about(&self) -> &About;

    /// Runs a command made of words; no shell looks at them.
    fn run(&mut self, words: &[&str], deadline: Deadline) -> Result<Output>;

    /// Runs a shell script, in a shell of its own.
    fn script(&mut self, script: &str, deadline: Deadline) -> Result<Output> {
        self.run(&["sh", "-c", script], deadline)
    }

    /// Writes files, each given by its path and content, and makes their folders.
    fn put(&mut self, files: &[(&str, &[u8])], deadline: Deadline) -> Result<()>;

    /// Reads a file.
    ///
    /// # Errors
    /// `VM080` when it cannot be read, or arrived with another digest than it has there.
    fn get(&mut self, path: &str, deadline: Deadline) -> Result<Vec<u8>> {
        let digest = self.run(&["sha256sum", path], deadline)?;
        if !digest.success() {
            return Err(not_read(path, digest.text().trim()));
        }
        let content = self.run(&["cat", path], deadline)?;
        if digest.text().starts_with(&Digest::of(&content.out).to_string()) {
            return Ok(content.out);
        }
        Err(not_read(path, "what arrived has another digest than the file"))
    }

    /// Starts the router's system again and waits for its shell.
    fn reboot(&mut self, deadline: Deadline) -> Result<()>;

    /// Starts a fresh system in the place of this one, as an upgrade does: by default the same image again.
    fn renew(&mut self, deadline: Deadline) -> Result<()> {
        self.reboot(deadline)
    }

    /// The kernel's log since it booted, or since whoever prepared the router emptied it; see [`crate::splat`] for what
    /// to look for in it.
    fn kernel_log(&mut self, deadline: Deadline) -> Result<String> {
        Ok(self.run(&["dmesg"], deadline)?.text())
    }

    /// The last lines that it said by itself, on its console or in its log, for reports.
    fn tail(&self) -> String;

    /// Leaves the router: an emulated one ends, and what it wrote goes with it.
    fn power_off(self: Box<Self>, deadline: Deadline) -> Result<()>;
}

/// What a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// In a few words, for reports: a stand-in is always called one.
    pub label: String,
    /// The line of its kernel, such as `6.12`.
    pub kernel: String,
    /// Where its image comes from, and so what may be expected of it.
    pub origin: Origin,
}

/// Where the image of a router comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Made here: it has whatever a scenario needs.
    StandIn,
    /// Published by OpenWrt: it has what it has.
    Release,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 and the signal's number for a command that a signal ended.
    pub code: i32,
    /// What it printed, to both of its outputs.
    pub out: Vec<u8>,
}

impl Output {
    /// What it printed, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Whether the exit code is zero.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

fn not_read(path: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM080",
        what: format!("{path} could not be read from the guest"),
        why,
        fix: "check that the file is there and that nothing writes to it meanwhile",
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fake::{Scripted, says};

    #[test]
    fn a_file_arrives_as_it_is_or_not_at_all() {
        let soon = || Deadline::after(Duration::from_secs(1));
        let read = |content: &'static str, code: i32| {
            let mut guest = Scripted::new(move |command| {
                let digest = format!("{}  /etc/banner\n", Digest::of(b"OpenWrt\r\n"));
                Ok(if command == "cat /etc/banner" { says(content) } else { Output { code, out: digest.into() } })
            });
            guest.get("/etc/banner", soon())
        };
        assert_eq!(read("OpenWrt\r\n", 0).unwrap(), b"OpenWrt\r\n");
        for (content, code) in [("OpenWrt\n", 0), ("OpenWrt\r\n", 1)] {
            let failure = read(content, code).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("VM080", Exit::Blocked));
        }
    }
}
