//! opkg's command line: one table of all options of the real program, and how each is handled.
//!
//! Parsed as real opkg does: long options may be abbreviated if the result is unambiguous, with one dash or two, and
//! older scripts write underscores.

use camino::Utf8PathBuf;
use client::Result;
use client::opkg::Switches;

use crate::front::{Front, say};

/// The options that were given.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) root: Option<Utf8PathBuf>,
    pub(crate) file: Option<Utf8PathBuf>,
    pub(crate) lists: Option<Utf8PathBuf>,
    pub(crate) arches: Vec<(String, u32)>,
    pub(crate) force_scripts: bool,
    pub(crate) download_only: bool,
    pub(crate) no_action: bool,
    /// `-A`: query all packages, not only installed ones.
    pub(crate) all: bool,
    /// `-i`: match patterns in either case.
    pub(crate) any_case: bool,
    /// `--size`: list sizes too.
    pub(crate) sizes: bool,
    /// `--strip-abi`: list names without their ABI version.
    pub(crate) strip_abi: bool,
    pub(crate) quiet: bool,
    pub(crate) help: bool,
    pub(crate) version: bool,
    pub(crate) switches: Vec<&'static str>,
}

/// How an option is handled.
#[derive(Debug, Clone, Copy)]
enum Means {
    /// One of [`Switches`].
    Switch,
    Flag(fn(&mut Options) -> &mut bool),
    Value(fn(&mut Options, &str) -> Result<(), String>),
    /// An optional value, attached to the option.
    Level,
    /// It is not supported; whether it takes a value, and why not.
    Refused(bool, &'static str),
}

impl Means {
    fn takes_value(self) -> bool {
        matches!(self, Means::Value(_) | Means::Refused(true, _))
    }
}

/// Long name, letter, and handling.
const OPTIONS: &[(&str, Option<char>, Means)] = &[
    ("add-arch", None, Means::Value(add_arch)),
    ("add-dest", None, Means::Refused(true, "packages are only installed into the root")),
    ("autoremove", None, Means::Switch),
    ("cache", None, Means::Refused(true, "packages are not cached")),
    ("conf", Some('f'), Means::Value(|options, path| set(&mut options.file, path))),
    ("conf-file", None, Means::Value(|options, path| set(&mut options.file, path))),
    ("dest", Some('d'), Means::Value(dest)),
    ("download-only", None, Means::Flag(|options| &mut options.download_only)),
    ("force-checksum", None, Means::Refused(false, "packages that differ from the signed list are never installed")),
    ("force-depends", None, Means::Switch),
    ("force-downgrade", None, Means::Switch),
    ("force-maintainer", None, Means::Switch),
    ("force-overwrite", None, Means::Switch),
    ("force-postinstall", None, Means::Flag(|options| &mut options.force_scripts)),
    ("force-reinstall", None, Means::Switch),
    ("force-removal-of-dependent-packages", None, Means::Switch),
    ("force-removal-of-essential-packages", None, Means::Refused(false, "the system would not start without them")),
    ("force-remove", None, Means::Refused(false, "a package whose script fails stays installed")),
    ("force-signature", None, Means::Refused(false, "lists without a trusted signature are not used")),
    ("force-space", None, Means::Refused(false, "packages that do not fit are not unpacked")),
    ("help", Some('h'), Means::Flag(|options| &mut options.help)),
    ("lists-dir", Some('l'), Means::Value(|options, path| set(&mut options.lists, path))),
    ("no-check-certificate", None, Means::Refused(false, "signatures protect what is fetched, not certificates")),
    ("noaction", None, Means::Flag(|options| &mut options.no_action)),
    ("nocase", Some('i'), Means::Flag(|options| &mut options.any_case)),
    ("nodeps", None, Means::Switch),
    ("offline", None, Means::Value(|options, path| set(&mut options.root, path))),
    ("offline-root", Some('o'), Means::Value(|options, path| set(&mut options.root, path))),
    ("query-all", Some('A'), Means::Flag(|options| &mut options.all)),
    ("recursive", None, Means::Switch),
    ("size", None, Means::Flag(|options| &mut options.sizes)),
    ("strip-abi", None, Means::Flag(|options| &mut options.strip_abi)),
    ("test", None, Means::Flag(|options| &mut options.no_action)),
    ("tmp-dir", Some('t'), Means::Refused(true, "the folder for temporary files is set with TMPDIR")),
    ("verbosity", Some('V'), Means::Level),
    ("verify-program", None, Means::Refused(true, "signatures are verified by the program itself")),
    ("version", Some('v'), Means::Flag(|options| &mut options.version)),
];

fn set(place: &mut Option<Utf8PathBuf>, path: &str) -> Result<(), String> {
    *place = Some(path.into());
    Ok(())
}

fn add_arch(options: &mut Options, value: &str) -> Result<(), String> {
    let arch = value.split_once(':').and_then(|(name, prio)| Some((name.to_owned(), prio.parse().ok()?)));
    options.arches.push(arch.ok_or_else(|| format!("--add-arch {value} is not ARCH:PRIO"))?);
    Ok(())
}

fn dest(_options: &mut Options, name: &str) -> Result<(), String> {
    match name {
        "root" | "/" => Ok(()),
        _ => Err(format!("--dest {name} is not supported: packages are only installed into the root")),
    }
}

/// Parses a command line into options and words.
pub(crate) fn parse(front: &Front, arguments: Vec<String>) -> Result<(Options, Vec<String>)> {
    let (mut options, mut words) = (Options::default(), Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        // Versions may begin with a dash.
        let versions = words.first().is_some_and(|word| word == "compare-versions" || word == "compare_versions");
        if versions || !argument.starts_with('-') || argument == "-" {
            words.push(argument);
            continue;
        }
        if argument == "--" {
            words.extend(arguments);
            break;
        }
        let (name, means, attached) = find(&argument).map_err(|problem| front.usage(problem))?;
        let value = match (means.takes_value(), attached) {
            (true, Some(value)) => value,
            (true, None) => arguments.next().ok_or_else(|| front.usage(format!("{argument} needs a value")))?,
            (false, Some(value)) if matches!(means, Means::Level) => value,
            (false, Some(_)) => return Err(front.usage(format!("{argument} takes no value"))),
            (false, None) => String::new(),
        };
        match means {
            Means::Switch => options.switches.push(name),
            Means::Flag(flag) => *flag(&mut options) = true,
            Means::Value(value_of) => value_of(&mut options, &value).map_err(|problem| front.usage(problem))?,
            Means::Level => options.quiet = value == "0",
            Means::Refused(_, why) => return Err(front.usage(format!("--{name} is not supported: {why}"))),
        }
    }
    Ok((options, words))
}

/// The option that an argument names, and an attached value.
fn find(argument: &str) -> Result<(&'static str, Means, Option<String>), String> {
    let (long, text) = match argument.strip_prefix("--") {
        Some(text) => (true, text),
        None => (false, argument.trim_start_matches('-')),
    };
    let letter = |letter: char| OPTIONS.iter().find(|(_, own, _)| *own == Some(letter));
    let mut rest = text.chars();
    let first = rest.next().and_then(letter);
    if let (false, "", Some((name, _, means))) = (long, rest.as_str(), first) {
        return Ok((name, *means, None));
    }
    let (start, attached) = match text.split_once('=') {
        Some((start, value)) => (start.replace('_', "-"), Some(value.to_owned())),
        None => (text.replace('_', "-"), None),
    };
    let fitting: Vec<_> = OPTIONS.iter().filter(|(name, _, _)| name.starts_with(start.as_str())).collect();
    match (fitting.iter().find(|(name, _, _)| *name == start), &fitting[..]) {
        (Some((name, _, means)), _) | (None, [(name, _, means)]) => Ok((name, *means, attached)),
        // Two names of one option, such as `conf` and `conf-file`.
        (None, [(name, _, means), (other, _, _)]) if other.starts_with(name) => Ok((name, *means, attached)),
        (None, []) => match first {
            Some((name, _, means)) if !long && (means.takes_value() || matches!(means, Means::Level)) => {
                Ok((name, *means, Some(rest.as_str().to_owned())))
            }
            _ => Err(format!("unknown option {argument}")),
        },
        (None, several) => {
            let names: Vec<String> = several.iter().map(|(name, _, _)| format!("--{name}")).collect();
            Err(format!("{argument} could be any of {}", names.join(", ")))
        }
    }
}

impl Options {
    /// Turns on the given switches.
    pub(crate) fn apply(&self, switches: &mut Switches) {
        for name in &self.switches {
            if let Some(switch) = switches.named(name) {
                *switch = true;
            }
        }
    }

    /// Prints a line, unless `-V0` was given.
    pub(crate) fn tell(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_may_be_cut_short_as_long_as_it_is_clear() {
        let found = |argument: &str| find(argument).map(|(name, _, attached)| (name, attached));
        for (argument, name, attached) in [
            ("--force-overwrite", "force-overwrite", None),
            ("-force_overwrite", "force-overwrite", None),
            ("--force-ov", "force-overwrite", None),
            ("-auto", "autoremove", None),
            ("--noact", "noaction", None),
            ("--force-removal-of-d", "force-removal-of-dependent-packages", None),
            ("--force-remove", "force-remove", None),
            ("--offline", "offline", None),
            ("--con=/x", "conf", Some("/x")),
            ("-o", "offline-root", None),
            ("-o/x", "offline-root", Some("/x")),
            ("-V", "verbosity", None),
            ("-V2", "verbosity", Some("2")),
            ("-A", "query-all", None),
            ("-d", "dest", None),
        ] {
            assert_eq!(found(argument), Ok((name, attached.map(str::to_owned))), "{argument}");
        }
        for (argument, problem) in [
            ("--force-re", "any of --force-reinstall, --force-removal"),
            ("--no", "--no-check-certificate, --noaction, --nocase, --nodeps"),
            ("--wrong", "unknown option --wrong"),
            ("-x", "unknown option -x"),
        ] {
            assert!(found(argument).unwrap_err().contains(problem), "{argument}");
        }
    }

    #[test]
    fn every_switch_of_the_table_is_one() {
        for (name, _, means) in OPTIONS {
            assert_eq!(matches!(means, Means::Switch), Switches::default().named(name).is_some(), "{name}");
        }
    }
}
