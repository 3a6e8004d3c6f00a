//! The list of tracked connections, one at a time: from ctnetlink, or from `/proc` where that is missing.
//!
//! Netlink is preferred for more than its form: for `/proc` the kernel walks its table from the start for each page that
//! is read, so the time grows with the square of the number of connections.

use std::io::{self, BufRead, BufReader, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::conntrack::{self, Flow, Path};
use crate::files::Files;
use crate::finding::{Finding, Stop};
use crate::modules::{self, Module, State};
use crate::netlink::Malformed;
use crate::socket::{self, Subsystem, Trouble};

const PROC_LIST: &str = "/proc/net/nf_conntrack";
/// Not there in a kernel that cannot load modules.
const LOADED_MODULES: &str = "/proc/modules";
/// A line of the list has at most some 600 bytes; what is longer is not such a line.
const LONGEST_LINE: u64 = 4096;
const SUBJECT: &str = "the tracked connections";

/// Where flows are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// ctnetlink.
    Netlink,
    /// `/proc/net/nf_conntrack`.
    Proc,
}

impl Source {
    /// The word for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            Source::Netlink => "netlink",
            Source::Proc => "proc",
        }
    }
}

/// Chooses the source. A module that is on disk but not loaded is not asked for: the question would load it.
///
/// # Errors
/// Neither source is there.
pub fn source(files: &Files, modules: &[Module]) -> Result<Source, Finding> {
    let state = modules::state_of(modules, "nf_conntrack_netlink");
    choose(state, files.exists(LOADED_MODULES), files.exists(PROC_LIST))
}

fn choose(module: State, kernel_loads_modules: bool, has_list: bool) -> Result<Source, Finding> {
    match module {
        State::Loaded | State::Builtin => Ok(Source::Netlink),
        // Such a kernel has what is compiled in, listed or not.
        _ if !kernel_loads_modules => Ok(Source::Netlink),
        State::Loadable | State::Missing if has_list => Ok(Source::Proc),
        // Perhaps compiled in and listed nowhere; asking loads nothing, as there is nothing to load.
        State::Missing => Ok(Source::Netlink),
        State::Loadable => Err(Finding::new(
            "OCTL009",
            format!("cannot read {SUBJECT}"),
            format!("nf_conntrack_netlink is not loaded and {PROC_LIST} does not exist"),
            "run: modprobe nf_conntrack_netlink",
        )),
    }
}

/// Whether connections are counted (`nf_conntrack_acct`); `None` where the kernel does not say.
pub fn accounting(files: &Files) -> Option<bool> {
    switch(files, "nf_conntrack_acct")
}

/// Whether connections have a start time (`nf_conntrack_timestamp`); `None` where the kernel does not say.
pub fn timestamps(files: &Files) -> Option<bool> {
    switch(files, "nf_conntrack_timestamp")
}

fn switch(files: &Files, name: &str) -> Option<bool> {
    match files.read_or_empty(&format!("/proc/sys/net/netfilter/{name}")).trim() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// How many connections the kernel tracks now; `None` where it does not say.
pub fn tracked(files: &Files) -> Option<u64> {
    files.read_or_empty("/proc/sys/net/netfilter/nf_conntrack_count").trim().parse().ok()
}

/// What ended the list early.
enum Ended {
    Trouble(Trouble),
    Output(io::Error),
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Ended {
        Ended::Trouble(trouble)
    }
}

impl From<Malformed> for Ended {
    fn from(malformed: Malformed) -> Ended {
        Ended::Trouble(malformed.into())
    }
}

/// Hands each connection on these paths to `each`, without keeping any.
///
/// # Errors
/// The source cannot be read, or `each` could not write.
pub fn each(
    files: &Files,
    source: Source,
    paths: &[Path],
    mut each: impl FnMut(&Flow) -> io::Result<()>,
) -> Result<(), Stop> {
    let mut each = |flow: &Flow| if paths.contains(&flow.path) { each(flow) } else { Ok(()) };
    match source {
        Source::Proc => {
            let list = files.open(PROC_LIST).map_err(|error| Finding::unreadable(PROC_LIST, &error))?;
            from_lines(BufReader::new(list), each)
        }
        Source::Netlink => {
            // A clock before 1970 makes every flow young, which is all that it can spoil.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let outcome = socket::ask(Subsystem::Netfilter, conntrack::request(paths), |message| {
                each(&conntrack::from_netlink(message, now)?).map_err(Ended::Output)
            });
            match outcome {
                Ok(_) => Ok(()),
                Err(Ended::Trouble(trouble)) => Err(trouble.finding(SUBJECT).into()),
                Err(Ended::Output(error)) => Err(error.into()),
            }
        }
    }
}

/// Reads the lines of `/proc/net/nf_conntrack`. A line that is not understood is left out.
fn from_lines(mut list: impl BufRead, mut each: impl FnMut(&Flow) -> io::Result<()>) -> Result<(), Stop> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = list.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(|error| Finding::unreadable(PROC_LIST, &error))? == 0 {
            return Ok(());
        }
        if let Some(flow) = str::from_utf8(&line).ok().and_then(conntrack::from_proc_line) {
            each(&flow)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_netlink_and_loads_nothing() {
        let id = |module, loads, list| choose(module, loads, list).map_err(|finding| finding.id);
        for (module, loads, list, chosen) in [
            (State::Loaded, true, true, Ok(Source::Netlink)),
            (State::Missing, true, true, Ok(Source::Proc)),
            (State::Missing, true, false, Ok(Source::Netlink)),
            (State::Missing, false, true, Ok(Source::Netlink)),
            (State::Loadable, true, true, Ok(Source::Proc)),
            (State::Loadable, true, false, Err("OCTL009")),
        ] {
            assert_eq!(id(module, loads, list), chosen, "{module:?} {loads} {list}");
        }
        let nowhere = Files::below("/nonexistent");
        assert_eq!(source(&nowhere, &[]), Ok(Source::Netlink));
        assert_eq!(accounting(&nowhere), None);
    }

    #[test]
    fn an_overlong_or_foreign_line_is_left_out() {
        let good =
            "ipv4 2 udp 17 src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 [OFFLOAD]\n";
        let text = format!("{}\n{good}\u{0}\n\n{good}", "x".repeat(10_000));
        let mut paths = Vec::new();
        from_lines(text.as_bytes(), |flow| {
            paths.push(flow.path);
            Ok(())
        })
        .unwrap();
        assert_eq!(paths, [Path::Software; 2]);
    }
}
