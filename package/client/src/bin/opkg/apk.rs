//! `apk`: the commands of OpenWrt's newer package manager, on top of the library.
//!
//! Output and exit codes are apk's where scripts look at them: 0 when everything was done, 1 otherwise. Errors go to
//! stderr: `ERROR: ` and what happened, then id, why and fix.

use std::cmp::Ordering;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use client::Result;
use client::apk::{Client, Config, Installed, Root};
use formats::apk::Info;
use formats::version::apk as version;

use crate::front::{Front, say};

const HELP: &str = "\
usage: apk [options] command [arguments]

  update                  fetch the indexes of all repositories and check their signatures
  add NAME[OP VERSION]|FILE...
                          install packages and everything they need; OP is one of = < <= > >= ~
  add                     install what world still asks for
  add --upgrade NAME...   and replace what is named, with all it needs, by the newest version
  del [--rdepends] NAME|PATTERN...
                          remove packages, and what nothing needs any more; with all that needs them
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
      --force-overwrite   take over files of other packages
      --no-scripts        do not run scripts
      --force-scripts     run scripts even with --root
  -h, --help              show this text
";

const FRONT: Front = Front {
    program: "apk",
    help: HELP,
    mark: "ERROR: ",
    commands: &["update", "add", "del", "upgrade", "fix", "info", "list", "version", "--print-arch"],
};

/// apk's exit code when something was refused or failed.
const FAILED: u8 = 1;

/// Runs a command line.
pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ERROR: {error}\n[{}] {} — {}", error.id(), error.why().unwrap_or_default(), error.fix());
            ExitCode::from(FAILED)
        }
    }
}

/// The global options.
#[derive(Default)]
struct Options {
    root: Option<Utf8PathBuf>,
    repositories: Vec<String>,
    scripts: Option<bool>,
    simulate: bool,
    update: bool,
    force_overwrite: bool,
    /// `-u`, `-r` and `-a`; each belongs to one command.
    upgrade: bool,
    dependents: bool,
    available: bool,
}

fn parse(arguments: Vec<String>) -> Result<Option<(Options, Vec<String>)>> {
    /// Options of single commands, which are parsed with their words.
    const OF_COMMANDS: [&str; 5] = ["-L", "-I", "-t", "-c", "--print-arch"];
    let mut options = Options::default();
    let words = FRONT.words(
        arguments,
        |_, option| OF_COMMANDS.contains(&option),
        |option, value| {
            match option {
                "-p" | "--root" => options.root = Some(value()?.into()),
                "-X" | "--repository" => options.repositories.push(value()?),
                "--no-scripts" => options.scripts = Some(false),
                "--force-scripts" => options.scripts = Some(true),
                "-s" | "--simulate" => options.simulate = true,
                "-U" | "--update-cache" => options.update = true,
                // These make no difference here.
                "-q" | "--quiet" | "-v" | "-vv" | "--verbose" | "--no-progress" | "--no-interactive" | "--no-cache" => {
                }
                "-u" | "--upgrade" => options.upgrade = true,
                "-r" | "--rdepends" => options.dependents = true,
                "-a" | "--available" => options.available = true,
                "--force-overwrite" => options.force_overwrite = true,
                "--allow-untrusted" => {
                    let problem = "--allow-untrusted is not supported: add the key to /etc/apk/keys instead";
                    return Err(FRONT.usage(problem.into()));
                }
                _ => return Ok(false),
            }
            Ok(true)
        },
    )?;
    Ok(words.map(|words| (options, words)))
}

fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let Some((options, line)) = parse(arguments)? else { return Ok(ExitCode::SUCCESS) };
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let of_one = [
        ("--upgrade", options.upgrade, "add"),
        ("--rdepends", options.dependents, "del"),
        ("--available", options.available, "upgrade"),
    ];
    if let Some((option, _, command)) = of_one.iter().find(|(_, set, own)| *set && words.first() != Some(own)) {
        return Err(FRONT.usage(format!("{option} is an option of `{command}`")));
    }
    let (client, mut on) = (|| client(&options), FRONT.tell());
    if options.update {
        client()?.update(&mut on)?;
    }
    match words[..] {
        ["update"] => client()?.update(&mut on)?,
        ["add", ..] if options.upgrade => client()?.add_newest(&line[1..], &mut on)?,
        ["add", ..] => client()?.add(&line[1..], &mut on)?,
        ["del", _, ..] if options.dependents => client()?.del_with_dependents(&line[1..], &mut on)?,
        ["del", _, ..] => client()?.del(&line[1..], &mut on)?,
        ["upgrade", ..] if options.available => client()?.upgrade_to_available(&line[1..], &mut on)?,
        ["upgrade", ..] => client()?.upgrade(&line[1..], &mut on)?,
        ["fix", ..] => client()?.fix(&line[1..], &mut on)?,
        ["info"] => client()?.installed()?.iter().for_each(|package| say(&package.info.name)),
        ["info", "-L", name] => files(&client()?, name)?,
        ["info", name] if !name.starts_with('-') => info(&client()?.package(name)?),
        ["list"] => list(&client()?)?,
        ["list", "-I"] => list_installed(&client()?)?,
        ["version", "-t", a, b] => return compare(a, b),
        ["version", "-c", ref versions @ ..] if !versions.is_empty() => return Ok(check(versions)),
        ["--print-arch"] => client()?.config().arches.iter().take(1).for_each(|arch| say(arch)),
        _ => return Err(FRONT.misused(&words)),
    }
    Ok(ExitCode::SUCCESS)
}

fn client(options: &Options) -> Result<Client> {
    let root = Root::open(&options.root.clone().unwrap_or_else(|| "/".into()))?;
    let mut config = Config::load(&root)?;
    config.simulate = options.simulate;
    config.force_overwrite = options.force_overwrite;
    if let Some(run_scripts) = options.scripts {
        config.run_scripts = run_scripts;
    }
    for repository in &options.repositories {
        config.add_repository(repository).map_err(|problem| FRONT.usage(problem))?;
    }
    Ok(Client::new(root, config))
}

fn compare(a: &str, b: &str) -> Result<ExitCode> {
    if let Some(invalid) = [a, b].into_iter().find(|version| !version::is_valid(version)) {
        return Err(FRONT.usage(format!("`{invalid}` is not a valid version")));
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

/// The start of a line of `list`. A package without an origin counts as its own.
fn summary(info: &Info) -> String {
    let origin = if info.origin.is_empty() { &info.name } else { &info.origin };
    format!("{}-{} {} {{{origin}}} ({})", info.name, info.version, info.arch, info.license)
}
