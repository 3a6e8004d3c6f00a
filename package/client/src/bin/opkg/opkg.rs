//! `opkg`: the commands of OpenWrt's package manager on top of the library.
//!
//! Texts and exit codes are opkg's where a script would look at them: 0 when everything was done, 255
//! otherwise; errors go to stderr, each line starting with ` * `.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use client::opkg::{Client, Config, Installed, Progress, Root};
use client::{Error, Result};
use formats::control::Control;
use formats::version::{Operator, opkg as version};

use crate::say;

const HELP: &str = "\
usage: opkg [options] command [arguments]

  update                    fetch the lists of available packages and check their signatures
  install NAME|FILE...      install packages and everything they need
  upgrade NAME...           install newer versions of installed packages
  remove NAME...            remove packages
  list                      list available packages
  list-installed            list installed packages
  list-upgradable           list installed packages that have a newer version
  files NAME                list the files of an installed package
  info|status [NAME]        show what is known about packages
  compare-versions A OP B   exit 0 if the relation holds, else 1; OP is one of << <= = >= >>
  print-architecture        list the accepted architectures and their priorities

  -o, --offline-root DIR    work on the system in DIR; scripts are not run
  -f, --conf FILE           read FILE instead of /etc/opkg.conf
      --add-arch ARCH:PRIO  accept one more architecture
      --force-postinstall   run scripts even with an offline root
      --force-reinstall     install packages once more that are installed
      --force-downgrade     and older versions in place of newer ones
  -h, --help                show this text
";

/// What opkg exits with when something was refused or failed.
const FAILED: u8 = 255;

/// Does what the words of the command line say.
pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Collected errors:\n * {}", error.line());
            ExitCode::from(FAILED)
        }
    }
}

/// The options, and the words after them.
#[derive(Default)]
struct CommandLine {
    root: Option<Utf8PathBuf>,
    file: Option<Utf8PathBuf>,
    arches: Vec<(String, u32)>,
    force_scripts: bool,
    reinstall: bool,
    help: bool,
    words: Vec<String>,
}

fn parse(arguments: Vec<String>) -> Result<CommandLine> {
    let mut line = CommandLine::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (option, inline) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let missing = || usage(format!("{option} needs a value"));
        let mut value = || inline.clone().or_else(|| arguments.next()).ok_or_else(missing);
        match option {
            "-o" | "--offline-root" => line.root = Some(value()?.into()),
            "-f" | "--conf" => line.file = Some(value()?.into()),
            "--add-arch" => {
                let value = value()?;
                let arch = value.split_once(':').and_then(|(name, prio)| Some((name.to_owned(), prio.parse().ok()?)));
                line.arches.push(arch.ok_or_else(|| usage(format!("--add-arch {value} is not ARCH:PRIO")))?);
            }
            "--force-postinstall" => line.force_scripts = true,
            // What is put in place once more is what the lists have, in whatever version.
            "--force-reinstall" | "--force-downgrade" => line.reinstall = true,
            "-h" | "--help" => line.help = true,
            // Versions may look like anything.
            _ if line.words.first().is_some_and(|word| word == "compare-versions") => line.words.push(argument),
            _ if argument.starts_with('-') => return Err(usage(format!("unknown option {argument}"))),
            _ => line.words.push(argument),
        }
    }
    Ok(line)
}

fn usage(problem: String) -> Error {
    Error::Usage { program: "opkg", problem }
}

fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let line = parse(arguments)?;
    if line.help {
        say(HELP.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
    let mut on = |progress: Progress| match &progress {
        Progress::Note { text } => eprintln!("{text}"),
        Progress::Failed { line } => eprintln!(" * {line}"),
        _ => say(&progress.to_string()),
    };
    match words[..] {
        ["update"] => client(&line)?.update(&mut on)?,
        ["install", _, ..] if line.reinstall => client(&line)?.reinstall(&line.words[1..], &mut on)?,
        ["install", _, ..] => client(&line)?.install(&line.words[1..], &mut on)?,
        ["upgrade", _, ..] => client(&line)?.upgrade(&line.words[1..], &mut on)?,
        ["remove", _, ..] => client(&line)?.remove(&line.words[1..], &mut on)?,
        ["list"] => client(&line)?.available()?.iter().for_each(list_line),
        ["list-installed"] => list_installed(&client(&line)?)?,
        ["list-upgradable"] => {
            client(&line)?.upgradable()?.iter().for_each(|(name, old, new)| say(&format!("{name} - {old} - {new}")));
        }
        ["files", name] => files(&client(&line)?, name)?,
        ["info" | "status"] => info(&client(&line)?, None)?,
        ["info" | "status", name] => info(&client(&line)?, Some(name))?,
        ["compare-versions", a, operator, b] => return compare(a, operator, b),
        ["print-architecture"] => {
            client(&line)?.config().arches.iter().for_each(|(name, priority)| say(&format!("arch {name} {priority}")));
        }
        [] => return Err(usage("a command is missing".into())),
        ["update" | "install" | "upgrade" | "remove" | "list" | "list-installed" | "list-upgradable", ..]
        | ["files" | "info" | "status" | "compare-versions" | "print-architecture", ..] => {
            return Err(usage(format!("the command `{}` needs other arguments", words[0])));
        }
        [command, ..] => return Err(usage(format!("unknown command `{command}`"))),
    }
    Ok(ExitCode::SUCCESS)
}

fn client(line: &CommandLine) -> Result<Client> {
    let path = line.root.clone().unwrap_or_else(|| "/".into());
    let root = Root::open(&path)?;
    let mut config = match (&line.file, line.root.is_some()) {
        (None, false) => Config::load(&root)?,
        (None, true) => Config::load_offline(&root)?,
        (Some(file), offline) => {
            let unreadable = |source| Error::Io { doing: "read", path: file.clone(), source };
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            Config { run_scripts: !offline, ..Config::default() }.with_text(file, &text)?.with_folder(&root)?
        }
    };
    config.run_scripts |= line.force_scripts;
    for (name, priority) in &line.arches {
        config = config.with_arch(name, *priority);
    }
    Ok(Client::new(root, config))
}

fn compare(a: &str, operator: &str, b: &str) -> Result<ExitCode> {
    let relation = Operator::from_opkg(operator).ok_or_else(|| usage(format!("`{operator}` is no relation")))?;
    // Only in dependencies do `<<` and `>>` accept the same version.
    let holds = match relation {
        Operator::Less => version::compare(a, b).is_lt(),
        Operator::Greater => version::compare(a, b).is_gt(),
        _ => version::satisfies(a, relation, b),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn list_line(control: &Control) {
    let description = control.stanza.get("Description").unwrap_or_default();
    let first = description.lines().next().unwrap_or_default();
    say(&format!("{} - {} - {first}", control.package, control.version));
}

fn list_installed(client: &Client) -> Result<()> {
    for package in client.installed()?.iter().filter(|package| package.is_usable()) {
        say(&format!("{} - {}", package.control.package, package.control.version));
    }
    Ok(())
}

fn files(client: &Client, name: &str) -> Result<()> {
    let files = client.files(name)?;
    say(&format!("Package {name} is installed on root and has the following files:"));
    files.iter().for_each(|path| say(path.as_str()));
    Ok(())
}

/// Installed packages with their state, then what the lists offer beside them.
fn info(client: &Client, name: Option<&str>) -> Result<()> {
    let wanted = |control: &Control| name.is_none_or(|name| name == control.package);
    let installed: Vec<Installed> = client.installed()?.into_iter().filter(|known| wanted(&known.control)).collect();
    installed.iter().for_each(|package| say(&package.stanza().to_string()));
    let key = |control: &Control| (control.package.clone(), control.version.clone());
    let known = |control: &Control| installed.iter().any(|package| key(&package.control) == key(control));
    for control in client.available()?.iter().filter(|control| wanted(control) && !known(control)) {
        say(&control.stanza.to_string());
    }
    Ok(())
}
