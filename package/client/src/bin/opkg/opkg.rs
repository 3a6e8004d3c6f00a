//! `opkg`: the commands of OpenWrt's package manager on top of the library.
//!
//! Texts and exit codes are opkg's where a script would look at them: 0 when everything was done, 255
//! otherwise; errors go to stderr, each line starting with ` * `.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use client::opkg::{Client, Config, Installed, Root, Switches};
use client::{Error, Result, matches};
use formats::control::Control;
use formats::version::{Operator, opkg as version};

use crate::front::{Front, say};

const HELP: &str = "\
usage: opkg [options] command [arguments]

  update                    fetch the lists of available packages and check their signatures
  install NAME|FILE...      install packages and everything they need
  upgrade NAME...           install newer versions of installed packages
  remove NAME|PATTERN...    remove packages; a `*` in a pattern stands for anything
  download NAME...          put package files into the current folder
  list [PATTERN]            list available packages
  list-installed [PATTERN]  list installed packages
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
      --force-downgrade     let a file, or a dependency, be older than what is installed
      --force-overwrite     take over files of other packages
      --force-depends       install in spite of conflicts, remove in spite of dependents
      --force-removal-of-dependent-packages
                            remove with a package all that needs it
      --autoremove          remove with a package what came along and nobody needs any more
      --nodeps              install only what is named; all that it needs must still be known
      --download-only       put package files into the current folder and install nothing
  -h, --help                show this text
";

const FRONT: Front = Front {
    program: "opkg",
    help: HELP,
    mark: " * ",
    commands: &[
        "update",
        "install",
        "upgrade",
        "remove",
        "download",
        "list",
        "list-installed",
        "list-upgradable",
        "files",
        "info",
        "status",
        "compare-versions",
        "print-architecture",
    ],
};

/// What opkg exits with when something was refused or failed.
const FAILED: u8 = 255;

/// Where packages are downloaded to.
const HERE: &str = ".";

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

/// What the options say.
#[derive(Default)]
struct Options {
    root: Option<Utf8PathBuf>,
    file: Option<Utf8PathBuf>,
    arches: Vec<(String, u32)>,
    force_scripts: bool,
    download_only: bool,
    switches: Vec<String>,
}

fn parse(arguments: Vec<String>) -> Result<Option<(Options, Vec<String>)>> {
    let mut options = Options::default();
    let words = FRONT.words(
        arguments,
        // Versions may look like anything.
        |words, _| words.first().is_some_and(|word| word == "compare-versions"),
        |option, value| {
            // Older scripts write long options with one dash, or with underscores.
            let name = option.trim_start_matches('-').replace('_', "-");
            if option.starts_with('-') && Switches::default().named(&name).is_some() {
                options.switches.push(name);
                return Ok(true);
            }
            match if name.len() > 1 { format!("--{name}") } else { option.to_owned() }.as_str() {
                "-o" | "--offline-root" => options.root = Some(value()?.into()),
                "-f" | "--conf" => options.file = Some(value()?.into()),
                "--add-arch" => {
                    let value = value()?;
                    let arch =
                        value.split_once(':').and_then(|(name, prio)| Some((name.to_owned(), prio.parse().ok()?)));
                    let wrong = || FRONT.usage(format!("--add-arch {value} is not ARCH:PRIO"));
                    options.arches.push(arch.ok_or_else(wrong)?);
                }
                "--force-postinstall" => options.force_scripts = true,
                "--download-only" => options.download_only = true,
                _ => return Ok(false),
            }
            Ok(true)
        },
    )?;
    Ok(words.map(|words| (options, words)))
}

fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let Some((options, line)) = parse(arguments)? else { return Ok(ExitCode::SUCCESS) };
    // Older scripts write underscores in commands, too.
    let command = line.first().map(|command| command.replace('_', "-"));
    let words: Vec<&str> = command.iter().chain(line.iter().skip(1)).map(String::as_str).collect();
    let (client, mut on) = (|| client(&options), FRONT.tell());
    match words[..] {
        ["update"] => client()?.update(&mut on)?,
        ["install", _, ..] => client()?.install(&line[1..], &mut on)?,
        ["upgrade", _, ..] => client()?.upgrade(&line[1..], &mut on)?,
        ["remove", _, ..] => client()?.remove(&line[1..], &mut on)?,
        ["download", _, ..] => client()?.download(&line[1..], HERE.into(), &mut on)?,
        ["list"] => list(&client()?, "*")?,
        ["list", pattern] => list(&client()?, pattern)?,
        ["list-installed"] => list_installed(&client()?, "*")?,
        ["list-installed", pattern] => list_installed(&client()?, pattern)?,
        ["list-upgradable"] => {
            client()?.upgradable()?.iter().for_each(|(name, old, new)| say(&format!("{name} - {old} - {new}")));
        }
        ["files", name] => files(&client()?, name)?,
        ["info" | "status"] => info(&client()?, None)?,
        ["info" | "status", name] => info(&client()?, Some(name))?,
        ["compare-versions", a, operator, b] => return compare(a, operator, b),
        ["print-architecture"] => {
            client()?.config().arches.iter().for_each(|(name, priority)| say(&format!("arch {name} {priority}")));
        }
        _ => return Err(FRONT.misused(&words)),
    }
    Ok(ExitCode::SUCCESS)
}

fn client(options: &Options) -> Result<Client> {
    let path = options.root.clone().unwrap_or_else(|| "/".into());
    let root = Root::open(&path)?;
    let mut config = match (&options.file, options.root.is_some()) {
        (None, false) => Config::load(&root)?,
        (None, true) => Config::load_offline(&root)?,
        (Some(file), offline) => {
            let unreadable = |source| Error::Io { doing: "read", path: file.clone(), source };
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            Config { run_scripts: !offline, ..Config::default() }.with_text(file, &text)?.with_folder(&root)?
        }
    };
    config.run_scripts |= options.force_scripts;
    config.download_only = options.download_only.then(|| HERE.into());
    for name in &options.switches {
        if let Some(switch) = config.switches.named(name) {
            *switch = true;
        }
    }
    for (name, priority) in &options.arches {
        config = config.with_arch(name, *priority);
    }
    Ok(Client::new(root, config))
}

fn compare(a: &str, operator: &str, b: &str) -> Result<ExitCode> {
    let relation = Operator::from_opkg(operator).ok_or_else(|| FRONT.usage(format!("`{operator}` is no relation")))?;
    // Only in dependencies do `<<` and `>>` accept the same version.
    let holds = match relation {
        Operator::Less => version::compare(a, b).is_lt(),
        Operator::Greater => version::compare(a, b).is_gt(),
        _ => version::satisfies(a, relation, b),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn list(client: &Client, pattern: &str) -> Result<()> {
    for control in client.available()?.iter().filter(|control| matches(pattern, &control.package)) {
        let description = control.stanza.get("Description").unwrap_or_default();
        let first = description.lines().next().unwrap_or_default();
        say(&format!("{} - {} - {first}", control.package, control.version));
    }
    Ok(())
}

fn list_installed(client: &Client, pattern: &str) -> Result<()> {
    let wanted = |package: &&Installed| package.is_usable() && matches(pattern, &package.control.package);
    for package in client.installed()?.iter().filter(wanted) {
        say(&format!("{} - {}", package.control.package, package.control.version));
    }
    Ok(())
}

fn files(client: &Client, name: &str) -> Result<()> {
    let (files, installed) = (client.files(name)?, client.installed()?);
    let version = installed.iter().find(|package| package.control.package == name).map(|found| &found.control.version);
    let version = version.map(String::as_str).unwrap_or_default();
    say(&format!("Package {name} ({version}) is installed on root and has the following files:"));
    // As opkg shows them: as this system sees them.
    let root = client.root().path().as_str().trim_end_matches('/');
    files.iter().for_each(|path| say(&format!("{root}{path}")));
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
