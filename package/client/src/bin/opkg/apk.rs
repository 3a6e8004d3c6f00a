//! `apk`: the commands of OpenWrt's newer package manager on top of the library.
//!
//! Texts and exit codes are apk's where a script would look at them: 0 when everything was done, 1
//! otherwise; errors go to stderr, as `ERROR: ` and what happened, then id, reason and advice.

use std::cmp::Ordering;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use client::apk::{Client, Config, Installed, Progress, Root};
use client::{Error, Result};
use formats::apk::Info;
use formats::version::apk as version;

use crate::say;

const HELP: &str = "\
usage: apk [options] command [arguments]

  update                  fetch the indexes of all repositories and check their signatures
  add NAME[OP VERSION]|FILE...
                          install packages and everything they need; OP is one of = < <= > >= ~
  del NAME...             remove packages, and what nothing needs any more
  upgrade [NAME...]       install newer versions of these packages, or of all
  upgrade --available [NAME...]
                          and what the indexes offer in place of another build of the same version
  fix [NAME...]           complete what was interrupted; install these packages once more
  info                    list the names of installed packages
  info [-L] NAME          show an installed package, or list its files
  list [-I]               list available packages, or installed ones
  version -t A B          print how two versions relate: < = or >
  version -c VERSION...   exit 0 if all of them are valid versions, else print those that are not
  --print-arch            print the architecture that packages are for

  -p, --root DIR          work on the system in DIR; scripts are not run
  -X, --repository URL    take packages from this index, too
  -U, --update-cache      update first
  -s, --simulate          show what would be done, and do nothing
      --no-scripts        do not run scripts
      --force-scripts     run scripts even with --root
  -h, --help              show this text
";

/// What apk exits with when something was refused or failed.
const FAILED: u8 = 1;

/// Does what the words of the command line say.
pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ERROR: {error}\n[{}] {} — {}", error.id(), error.why().unwrap_or_default(), error.fix());
            ExitCode::from(FAILED)
        }
    }
}

/// The options, and the words after them.
#[derive(Default)]
struct CommandLine {
    root: Option<Utf8PathBuf>,
    repositories: Vec<String>,
    scripts: Option<bool>,
    simulate: bool,
    update: bool,
    help: bool,
    words: Vec<String>,
}

fn parse(arguments: Vec<String>) -> Result<CommandLine> {
    /// Options that belong to one command, and stay among its words.
    const OF_COMMANDS: [&str; 5] = ["-L", "-I", "-t", "-c", "--available"];
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
            "-p" | "--root" => line.root = Some(value()?.into()),
            "-X" | "--repository" => line.repositories.push(value()?),
            "--no-scripts" => line.scripts = Some(false),
            "--force-scripts" => line.scripts = Some(true),
            "-s" | "--simulate" => line.simulate = true,
            "-U" | "--update-cache" => line.update = true,
            "-h" | "--help" => line.help = true,
            "--print-arch" => line.words.push(argument),
            "--allow-untrusted" => {
                return Err(usage(
                    "--allow-untrusted does not exist here: add the key to /etc/apk/keys instead".into(),
                ));
            }
            _ if argument.starts_with('-') && !OF_COMMANDS.contains(&option) => {
                return Err(usage(format!("unknown option {argument}")));
            }
            _ => line.words.push(argument),
        }
    }
    Ok(line)
}

fn usage(problem: String) -> Error {
    Error::Usage { program: "apk", problem }
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
        Progress::Failed { line } => eprintln!("ERROR: {line}"),
        _ => say(&progress.to_string()),
    };
    if line.update {
        client(&line)?.update(&mut on)?;
    }
    match words[..] {
        ["update"] => client(&line)?.update(&mut on)?,
        ["add", _, ..] => client(&line)?.add(&line.words[1..], &mut on)?,
        ["del", _, ..] => client(&line)?.del(&line.words[1..], &mut on)?,
        ["upgrade", "--available", ..] => client(&line)?.upgrade_to_available(&line.words[2..], &mut on)?,
        ["upgrade", ..] => client(&line)?.upgrade(&line.words[1..], &mut on)?,
        ["fix", ..] => client(&line)?.fix(&line.words[1..], &mut on)?,
        ["info"] => client(&line)?.installed()?.iter().for_each(|package| say(&package.info.name)),
        ["info", "-L", name] => files(&client(&line)?, name)?,
        ["info", name] if !name.starts_with('-') => info(&client(&line)?.package(name)?),
        ["list"] => list(&client(&line)?)?,
        ["list", "-I"] => list_installed(&client(&line)?)?,
        ["version", "-t", a, b] => return compare(a, b),
        ["version", "-c", ref versions @ ..] if !versions.is_empty() => return Ok(check(versions)),
        ["--print-arch"] => client(&line)?.config().arches.iter().take(1).for_each(|arch| say(arch)),
        [] => return Err(usage("a command is missing".into())),
        ["update" | "add" | "del" | "info" | "list" | "version" | "--print-arch", ..] => {
            return Err(usage(format!("the command `{}` needs other arguments", words[0])));
        }
        [command, ..] => return Err(usage(format!("unknown command `{command}`"))),
    }
    Ok(ExitCode::SUCCESS)
}

fn client(line: &CommandLine) -> Result<Client> {
    let root = Root::open(&line.root.clone().unwrap_or_else(|| "/".into()))?;
    let mut config = Config::load(&root)?;
    config.simulate = line.simulate;
    if let Some(run_scripts) = line.scripts {
        config.run_scripts = run_scripts;
    }
    for repository in &line.repositories {
        config.add_repository(repository).map_err(usage)?;
    }
    Ok(Client::new(root, config))
}

fn compare(a: &str, b: &str) -> Result<ExitCode> {
    if let Some(invalid) = [a, b].into_iter().find(|version| !version::is_valid(version)) {
        return Err(usage(format!("`{invalid}` is no valid version")));
    }
    say(match version::compare(a, b) {
        Ordering::Less => "<",
        Ordering::Equal => "=",
        Ordering::Greater => ">",
    });
    Ok(ExitCode::SUCCESS)
}

fn check(versions: &[&str]) -> ExitCode {
    let invalid: Vec<&&str> = versions.iter().filter(|version| !version::is_valid(version)).collect();
    invalid.iter().for_each(|version| say(version));
    if invalid.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn title(package: &Installed) -> String {
    format!("{}-{}", package.info.name, package.info.version)
}

fn info(package: &Installed) {
    let (title, info) = (title(package), &package.info);
    say(&format!("{title} description:\n{}\n", info.description));
    say(&format!("{title} webpage:\n{}\n", info.url));
    say(&format!("{title} installed size:\n{} B\n", info.installed_size));
    for (name, list) in [("depends on", &info.depends), ("provides", &info.provides)] {
        if !list.is_empty() {
            say(&format!("{title} {name}:"));
            list.iter().for_each(|item| say(&item.to_string()));
            say("");
        }
    }
}

fn files(client: &Client, name: &str) -> Result<()> {
    let files = client.files(name)?;
    say(&format!("{} contains:", title(&client.package(name)?)));
    files.iter().for_each(|path| say(path.as_str().trim_start_matches('/')));
    say("");
    Ok(())
}

fn list(client: &Client) -> Result<()> {
    let installed = client.installed()?;
    for info in client.available()? {
        let there = installed.iter().map(|package| &package.info).find(|there| there.name == info.name);
        let mark = match there.map(|there| (there, version::compare(&info.version, &there.version))) {
            Some((_, Ordering::Equal)) => " [installed]".to_owned(),
            Some((there, Ordering::Greater)) => format!(" [upgradable from: {}-{}]", there.name, there.version),
            _ => String::new(),
        };
        say(&format!("{}{mark}", summary(&info)));
    }
    Ok(())
}

fn list_installed(client: &Client) -> Result<()> {
    for package in client.installed()?.iter().filter(|package| package.is_complete()) {
        say(&format!("{} [installed]", summary(&package.info)));
    }
    Ok(())
}

/// The start of a line of `list`. A package without an origin is its own.
fn summary(info: &Info) -> String {
    let origin = if info.origin.is_empty() { &info.name } else { &info.origin };
    format!("{}-{} {} {{{origin}}} ({})", info.name, info.version, info.arch, info.license)
}
