//! The command line. Few enough words that a parser library would be most of the program.

use std::ffi::OsString;

use crate::conntrack::Path;
use crate::finding::Finding;

/// What `--help` prints.
pub const HELP: &str = "\
offloadctl - what nftables flow offload does on this router

Usage: offloadctl status [--json]
       offloadctl flows [--path hw|sw|slow] [--json]
       offloadctl --help | --version

status  Is offload on? Shows the kernel modules and the packages that bring
        them, the flowtables with their devices, the rules that fill them, and
        how many flows take which path. Remarks say what, why and how to fix it.
flows   The connections that are offloaded, with addresses, packets and bytes.
        --path picks one path; slow ones are shown only when asked for.
--json  The same for programs; the first field names the schema and version.

Paths   slow (slow)     each packet goes through the whole firewall
        software (sw)   the flowtable forwards, past the firewall's rules
        hardware (hw)   the packets do not reach the processor
        A mark in conntrack is what these words are taken from. It is needed for
        offload and does not prove it: count packets in a forward chain for that.

Exit    status: 0 on, 1 off, 2 configured but not working. flows: 0.
        Everything else: 3, with a message that says what, why and how to fix it.

Turn it on in /etc/config/firewall, section 'defaults': option flow_offloading '1'
(and flow_offloading_hw '1' for hardware), then: service firewall restart
Reading the rules needs root. Nothing is ever changed by this program.
";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// `offloadctl status`
    Status {
        /// For programs.
        json: bool,
    },
    /// `offloadctl flows`
    Flows {
        /// For programs.
        json: bool,
        /// Which paths to show.
        paths: Vec<Path>,
    },
}

/// Reads the words after the program's name.
///
/// # Errors
/// A word that is not known, with the ones that are.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Finding> {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.iter().any(|&word| word == "--help" || word == "-h") {
        return Ok(Command::Help);
    }
    match words.split_first() {
        None | Some((&"help", [])) => Ok(Command::Help),
        Some((&("--version" | "-V"), [])) => Ok(Command::Version),
        Some((&"status", options)) => {
            let mut json = false;
            for &option in options {
                match option {
                    "--json" => json = true,
                    other => return Err(unknown(other, "status takes --json only")),
                }
            }
            Ok(Command::Status { json })
        }
        Some((&"flows", options)) => flows(options),
        Some((&other, _)) => Err(unknown(other, "the commands are status and flows")),
    }
}

fn flows(options: &[&str]) -> Result<Command, Finding> {
    let mut json = false;
    let mut paths = vec![Path::Hardware, Path::Software];
    let mut rest = options.iter();
    while let Some(&option) = rest.next() {
        let path = match option {
            "--json" => {
                json = true;
                continue;
            }
            "--path" => rest.next().copied().unwrap_or_default(),
            other => match other.strip_prefix("--path=") {
                Some(value) => value,
                None => return Err(unknown(other, "flows takes --path and --json")),
            },
        };
        paths = match path {
            "hw" | "hardware" => vec![Path::Hardware],
            "sw" | "software" => vec![Path::Software],
            "slow" => vec![Path::Slow],
            other => return Err(unknown(other, "--path is followed by hw, sw or slow")),
        };
    }
    Ok(Command::Flows { json, paths })
}

fn unknown(word: &str, why: &str) -> Finding {
    Finding::new("OCTL001", format!("'{word}' is not understood here"), why, "see offloadctl --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Finding> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn knows_its_words() {
        let offloaded = vec![Path::Hardware, Path::Software];
        let cases = [
            ("", Command::Help),
            ("help", Command::Help),
            ("flows --path --help", Command::Help),
            ("-V", Command::Version),
            ("status", Command::Status { json: false }),
            ("status --json", Command::Status { json: true }),
            ("flows", Command::Flows { json: false, paths: offloaded.clone() }),
            ("flows --json", Command::Flows { json: true, paths: offloaded }),
            ("flows --path slow --json", Command::Flows { json: true, paths: vec![Path::Slow] }),
            ("flows --path=hw", Command::Flows { json: false, paths: vec![Path::Hardware] }),
        ];
        for (line, command) in cases {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn refuses_the_rest_and_names_the_word() {
        for (line, word) in [
            ("stauts", "stauts"),
            ("status --jsn", "--jsn"),
            ("status flows", "flows"),
            ("flows --path fast", "fast"),
            ("flows --path", "''"),
            ("--version 2", "--version"),
        ] {
            let finding = parsed(line).unwrap_err();
            assert_eq!(finding.id, "OCTL001", "{line}");
            assert!(finding.what.contains(word), "{line}: {}", finding.what);
        }
    }

    #[test]
    fn help_fits_a_serial_console() {
        assert!(HELP.lines().all(|line| line.chars().count() <= 82 && line.is_ascii()));
        assert!(HELP.lines().count() < 40);
    }
}
