//! The command line. Few enough words that a parser library would be most of the program.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::change::Wish;
use crate::conntrack::Path;
use crate::explain::Question;
use crate::finding::Finding;
use crate::help;
use crate::include;
use crate::inquiry;
use crate::top::Sort;

/// How many flows a sorted list keeps unless told otherwise.
const TOP: usize = 1000;
/// As many as anybody would want. They take about 11 MB.
const MOST: usize = 50_000;

/// What to do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The directory that stands for `/`.
    pub root: PathBuf,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print this text.
    Help(&'static str),
    /// Print the version.
    Version,
    /// `offloadctl status`
    Status {
        /// For programs.
        json: bool,
    },
    /// `offloadctl flows`
    Flows {
        /// Which paths to show.
        paths: Vec<Path>,
        /// The order, where it is not the kernel's.
        sort: Option<Sort>,
        /// How many flows a sorted list keeps.
        top: usize,
        /// As what to show it.
        form: Form,
    },
    /// `offloadctl explain`
    Explain {
        /// Which connection.
        question: Question,
        /// For programs.
        json: bool,
    },
    /// `offloadctl doctor`
    Doctor {
        /// For programs.
        json: bool,
    },
    /// `offloadctl ruleset`
    Ruleset {
        /// Ask for hardware.
        hardware: bool,
        /// Devices, or those that are found.
        devices: Option<Vec<String>>,
        /// Have `nft` check the rules.
        check: bool,
    },
    /// `offloadctl enable` or `offloadctl disable`
    Change {
        /// What is wanted.
        wish: Wish,
        /// Show the change only.
        dry_run: bool,
    },
}

/// As what to show a list of flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For people who wait for something to happen.
    Watch,
}

/// Reads the words after the program's name.
///
/// # Errors
/// A word that is not known, with the ones that are.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, Finding> {
    let mut words = Words { rest: words.into_iter().collect::<Vec<_>>().into_iter(), value: None };
    let mut rest = Vec::new();
    let mut root = PathBuf::from("/");
    let mut help = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--root" => root = words.value("--root", "a directory")?.into(),
            "--help" | "-h" => help = true,
            _ => rest.push(words.whole(word)),
        }
    }
    let mut words = Words { rest: rest.into_iter(), value: None };
    let name = words.next();
    let command = match name.as_deref() {
        _ if help => Command::Help(help::of(name.as_deref())),
        None => Command::Help(help::OVERVIEW),
        Some("help") => Command::Help(help::of(words.next().as_deref())),
        Some("--version" | "-V") => Command::Version,
        Some("status") => Command::Status { json: json(&mut words, "status takes --json")? },
        Some("flows") => flows(&mut words)?,
        Some("explain") => explain(&mut words)?,
        Some("doctor") => Command::Doctor { json: json(&mut words, "doctor takes --json")? },
        Some("ruleset") => ruleset(&mut words)?,
        Some("enable") => change(&mut words, Wish::Software)?,
        Some("disable") => change(&mut words, Wish::Off)?,
        Some(other) => {
            let known: Vec<_> = help::commands().collect();
            return Err(unknown(other, &format!("the commands are {}", known.join(", "))));
        }
    };
    match words.next() {
        Some(word) if !help => Err(unknown(&word, "nothing more is expected")),
        _ => Ok(Request { root, command }),
    }
}

/// Whether the only option of a command is there.
fn json(words: &mut Words, why: &str) -> Result<bool, Finding> {
    let mut json = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            other => return Err(unknown(other, why)),
        }
    }
    Ok(json)
}

fn flows(words: &mut Words) -> Result<Command, Finding> {
    let (mut paths, mut sort, mut top, mut form) = (vec![Path::Hardware, Path::Software], None, None, Form::Text);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--path" => {
                paths = words.choose("--path", "hw, sw or slow", |name| match name {
                    "hw" | "hardware" => Some(vec![Path::Hardware]),
                    "sw" | "software" => Some(vec![Path::Software]),
                    "slow" => Some(vec![Path::Slow]),
                    _ => None,
                })?;
            }
            "--sort" => sort = Some(words.choose("--sort", "bytes, packets or age", Sort::named)?),
            "--top" => {
                let number = |text: &str| text.parse().ok().filter(|number| (1..=MOST).contains(number));
                top = Some(words.choose("--top", "a number from 1 to 50000", number)?);
            }
            "--watch" if form == Form::Text => form = Form::Watch,
            "--json" if form == Form::Text => form = Form::Json,
            other => return Err(unknown(other, "flows takes --path, --sort, --top, and one of --watch and --json")),
        }
    }
    // Whoever says how many wants the largest.
    let sort = sort.or(top.and(Some(Sort::Bytes)));
    Ok(Command::Flows { paths, sort, top: top.unwrap_or(TOP), form })
}

fn explain(words: &mut Words) -> Result<Command, Finding> {
    let source: IpAddr = words.choose("explain", "two addresses", |text| text.parse().ok())?;
    let same_family = |other: &IpAddr| other.is_ipv4() == source.is_ipv4();
    let second = |text: &str| text.parse().ok().filter(same_family);
    let destination = words.choose("the first address", "a second one of its family", second)?;
    let (mut protocol, mut port, mut json) = (None, None, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            service if protocol.is_none() => {
                let (number, at) = inquiry::service(service)
                    .ok_or_else(|| unknown(service, "a protocol looks like tcp, udp/53 or 47"))?;
                (protocol, port) = (Some(number), at);
            }
            other => return Err(unknown(other, "explain takes two addresses, a protocol and --json")),
        }
    }
    Ok(Command::Explain { question: Question { source, destination, protocol, port }, json })
}

fn ruleset(words: &mut Words) -> Result<Command, Finding> {
    let (mut hardware, mut devices, mut check) = (false, None, true);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--hw" => hardware = true,
            "--devices" => devices = Some(include::checked(&words.value("--devices", "names and commas")?)?),
            "--no-check" => check = false,
            other => return Err(unknown(other, "ruleset takes --hw, --devices and --no-check")),
        }
    }
    Ok(Command::Ruleset { hardware, devices, check })
}

fn change(words: &mut Words, wish: Wish) -> Result<Command, Finding> {
    let (mut wish, mut dry_run) = (wish, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--dry-run" => dry_run = true,
            "--hw" if wish != Wish::Off => wish = Wish::Hardware,
            other => return Err(unknown(other, "enable takes --hw and --dry-run, disable takes --dry-run")),
        }
    }
    Ok(Command::Change { wish, dry_run })
}

/// The words not yet read. `--name=value` is the same as `--name value`.
struct Words {
    rest: std::vec::IntoIter<OsString>,
    /// What stood after the `=` of the last word.
    value: Option<String>,
}

impl Words {
    fn next(&mut self) -> Option<String> {
        // A value that nobody took is a word of its own, and will be refused.
        if let Some(value) = self.value.take() {
            return Some(value);
        }
        let word = self.rest.next()?.to_string_lossy().into_owned();
        match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                self.value = Some(value.into());
                Some(name.into())
            }
            _ => Some(word),
        }
    }

    /// The word as it stood on the command line.
    fn whole(&mut self, word: String) -> OsString {
        match self.value.take() {
            Some(value) => format!("{word}={value}").into(),
            None => word.into(),
        }
    }

    fn value(&mut self, option: &str, expected: &str) -> Result<String, Finding> {
        self.choose(option, expected, |text| (!text.is_empty()).then(|| text.to_owned()))
    }

    /// The value of an option, if `known` knows it.
    fn choose<T>(&mut self, option: &str, expected: &str, known: impl Fn(&str) -> Option<T>) -> Result<T, Finding> {
        let value = self.next().unwrap_or_default();
        known(&value).ok_or_else(|| unknown(&value, &format!("{option} is followed by {expected}")))
    }
}

fn unknown(word: &str, why: &str) -> Finding {
    let what = if word.is_empty() { "a word is missing".into() } else { format!("'{word}' is not understood here") };
    Finding::new("OCTL001", what, why, "see offloadctl --help, or --help after the command")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, Finding> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn flows(paths: &[Path]) -> Command {
        Command::Flows { paths: paths.to_vec(), sort: None, top: 1000, form: Form::Text }
    }

    fn sorted(sort: Sort, top: usize, form: Form) -> Command {
        Command::Flows { paths: vec![Path::Hardware, Path::Software], sort: Some(sort), top, form }
    }

    fn question(protocol: Option<u8>, port: Option<u16>, json: bool) -> Command {
        let [source, destination] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        Command::Explain { question: Question { source, destination, protocol, port }, json }
    }

    #[test]
    fn knows_its_words() {
        let cases = [
            ("", Command::Help(help::OVERVIEW)),
            ("help", Command::Help(help::OVERVIEW)),
            ("help flows", Command::Help(help::of(Some("flows")))),
            ("flows --path --help", Command::Help(help::of(Some("flows")))),
            ("-V", Command::Version),
            ("status", Command::Status { json: false }),
            ("status --json", Command::Status { json: true }),
            ("flows", flows(&[Path::Hardware, Path::Software])),
            ("flows --path slow", flows(&[Path::Slow])),
            ("flows --path=hw", flows(&[Path::Hardware])),
            ("flows --sort bytes --json", sorted(Sort::Bytes, 1000, Form::Json)),
            ("flows --top=5", sorted(Sort::Bytes, 5, Form::Text)),
            ("explain 10.0.0.1 10.0.0.2", question(None, None, false)),
            ("explain 10.0.0.1 10.0.0.2 tcp/443", question(Some(6), Some(443), false)),
            ("explain 10.0.0.1 10.0.0.2 17/53", question(Some(17), Some(53), false)),
            ("explain 10.0.0.1 10.0.0.2 50", question(Some(50), None, false)),
            ("explain 10.0.0.1 10.0.0.2 udp --json", question(Some(17), None, true)),
            ("doctor", Command::Doctor { json: false }),
            ("doctor --json", Command::Doctor { json: true }),
            ("ruleset", Command::Ruleset { hardware: false, devices: None, check: true }),
            (
                "ruleset --devices br-lan,wan --hw --no-check",
                Command::Ruleset { hardware: true, devices: Some(vec!["br-lan".into(), "wan".into()]), check: false },
            ),
            ("enable", Command::Change { wish: Wish::Software, dry_run: false }),
            ("enable --hw --dry-run", Command::Change { wish: Wish::Hardware, dry_run: true }),
            ("disable", Command::Change { wish: Wish::Off, dry_run: false }),
            ("flows --watch --sort age", sorted(Sort::Age, 1000, Form::Watch)),
        ];
        for (line, command) in cases {
            assert_eq!(parsed(line), Ok(Request { root: "/".into(), command }), "{line}");
        }
    }

    #[test]
    fn the_root_may_stand_anywhere() {
        for line in ["--root /r status", "status --root=/r"] {
            let request = Request { root: "/r".into(), command: Command::Status { json: false } };
            assert_eq!(parsed(line), Ok(request), "{line}");
        }
    }

    #[test]
    fn names_that_could_be_more_than_names_are_refused() {
        for names in ["lan,,wan", "a\"b", "far-too-long-name", "*", "a/b"] {
            assert_eq!(
                parse(["ruleset", "--devices", names].map(OsString::from)).unwrap_err().id,
                "OCTL024",
                "{names}"
            );
        }
    }

    #[test]
    fn refuses_the_rest_and_names_the_word() {
        for (line, word) in [
            ("stauts", "stauts"),
            ("status --jsn", "--jsn"),
            ("status --json=yes", "yes"),
            ("status flows", "flows"),
            ("flows --path fast", "fast"),
            ("flows --path", "a word is missing"),
            ("flows --sort size", "size"),
            ("flows --top 0", "'0'"),
            ("flows --top 50001", "50001"),
            ("flows --watch --json", "--json"),
            ("status --root", "a word is missing"),
            ("disable --hw", "--hw"),
            ("doctor who", "who"),
            ("ruleset wan", "wan"),
            ("ruleset --devices", "a word is missing"),
            ("explain 10.0.0.1", "a word is missing"),
            ("explain 10.0.0.1 fd00::1", "fd00::1"),
            ("explain 10.0.0.1 wan", "wan"),
            ("explain 10.0.0.1 10.0.0.2 tcp/http", "tcp/http"),
            ("explain 10.0.0.1 10.0.0.2 tcp 80", "80"),
            ("--version 2", "2"),
        ] {
            let finding = parsed(line).unwrap_err();
            assert_eq!(finding.id, "OCTL001", "{line}");
            assert!(finding.what.contains(word), "{line}: {}", finding.what);
        }
    }
}
