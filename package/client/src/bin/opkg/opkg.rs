//! `opkg`: the commands of OpenWrt's package manager, on top of the library.
//!
//! Output and exit codes are opkg's where scripts look at them: 0 when everything was done, 255 otherwise. Errors go to
//! stderr, each line starting with ` * `.

use std::process::ExitCode;

use client::opkg::{Client, Config, Installed, Progress, Root};
use client::{Error, Result};
use formats::control::Control;
use formats::version::{Operator, opkg as version};

use crate::front::{Front, say};
use crate::options::{self, Options};
use crate::query::{self, Relation, fits};

const HELP: &str = "\
usage: opkg [options] command [arguments]

  update                    fetch the lists of available packages and check their signatures
  install NAME|FILE...      install packages and everything they need
  upgrade NAME...           install newer versions of installed packages
  remove NAME|PATTERN...    remove packages; a `*` in a pattern stands for anything
  download NAME...          put package files into the current folder
  configure [NAME]          run what is left of an installation
  flag FLAG NAME...         mark packages: hold, user or ok; installed or unpacked
  list [PATTERN]            list available packages
  find PATTERN              the same, also by description
  list-installed [PATTERN]  list installed packages
  list-upgradable           list installed packages that have a newer version
  list-changed-conffiles    list conffiles that were changed since
  files NAME                list the files of an installed package
  search PATTERN            list the installed packages that have a file
  info|status [PATTERN]     show what is known about packages, or about installed ones
  depends [-A] PATTERN...   list what installed packages need, or any with -A
  whatdepends, whatdependsrec, whatconflicts, whatprovides [-A] PATTERN...
                            list who needs, excludes or provides them
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
      --force-maintainer    overwrite conffiles that were changed
      --noaction            show what would be done to packages, and do nothing; update and
                            download still fetch
      --size, --strip-abi   list sizes, too; names without their ABI version
  -i, --nocase              patterns fit in whatever case
  -l, --lists-dir DIR       keep lists in DIR
  -V, --verbosity[=LEVEL]   0 shows failures and notes only
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
        "configure",
        "flag",
        "download",
        "list",
        "find",
        "list-installed",
        "list-upgradable",
        "list-changed-conffiles",
        "files",
        "search",
        "info",
        "status",
        "depends",
        "whatdepends",
        "whatdependsrec",
        "whatconflicts",
        "whatprovides",
        "compare-versions",
        "print-architecture",
    ],
};

/// Commands of opkg that are not supported, and why.
const NOT_THERE: &[(&str, &str)] = &[
    ("whatrecommends", "OpenWrt's packages recommend nothing"),
    ("whatsuggests", "OpenWrt's packages suggest nothing"),
    ("whatreplaces", "OpenWrt's packages replace each other by what they provide"),
    ("print-installation-architecture", "opkg prints the same as for print-architecture"),
];

/// opkg's exit code when something was refused or failed.
const FAILED: u8 = 255;

/// The folder that packages are downloaded to.
const HERE: &str = ".";

/// Runs a command line.
pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Collected errors:\n * {}", error.line());
            ExitCode::from(FAILED)
        }
    }
}

fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let (options, line) = options::parse(&FRONT, arguments)?;
    if options.help {
        say(HELP.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    if options.version {
        say(concat!("opkg version ", env!("CARGO_PKG_VERSION")));
        return Ok(ExitCode::SUCCESS);
    }
    // Older scripts write underscores in commands, too.
    let command = line.first().map(|command| command.replace('_', "-"));
    let words: Vec<&str> = command.iter().chain(line.iter().skip(1)).map(String::as_str).collect();
    let quiet = options.quiet;
    let mut tell = FRONT.tell();
    let mut on = move |progress: Progress| {
        if !quiet || !matches!(progress, Progress::Step(_)) {
            tell(progress);
        }
    };
    let client = || client(&options);
    match words[..] {
        ["update"] => client()?.update(&mut on)?,
        ["install", _, ..] => client()?.install(&line[1..], &mut on)?,
        ["upgrade", _, ..] => client()?.upgrade(&line[1..], &mut on)?,
        ["remove", _, ..] => client()?.remove(&line[1..], &mut on)?,
        ["configure", ..] => client()?.configure(&line[1..], &mut on)?,
        ["flag", flag, _, ..] => client()?.flag(flag, &line[2..], &mut on)?,
        ["download", _, ..] => client()?.download(&line[1..], HERE.into(), &mut on)?,
        ["list"] => query::list(&client()?, &options, "*", false)?,
        ["list", pattern] => query::list(&client()?, &options, pattern, false)?,
        ["find", pattern] => query::list(&client()?, &options, pattern, true)?,
        ["list-installed"] => list_installed(&client()?, &options, "*")?,
        ["list-installed", pattern] => list_installed(&client()?, &options, pattern)?,
        ["list-upgradable"] => {
            client()?.upgradable()?.iter().for_each(|(name, old, new)| say(&format!("{name} - {old} - {new}")));
        }
        ["list-changed-conffiles"] => client()?.changed_conffiles()?.iter().for_each(|path| say(path.as_str())),
        ["files", name] => files(&client()?, name)?,
        ["search", pattern] => query::search(&client()?, &options, pattern)?,
        ["info" | "status"] => info(&client()?, &options, words[0], "*")?,
        ["info" | "status", pattern] => info(&client()?, &options, words[0], pattern)?,
        ["depends", _, ..] => query::depends(&client()?, &options, &words[1..])?,
        ["whatdepends", _, ..] => query::what(&client()?, &options, Relation::Depends, false, &words[1..])?,
        ["whatdependsrec", _, ..] => query::what(&client()?, &options, Relation::Depends, true, &words[1..])?,
        ["whatconflicts", _, ..] => query::what(&client()?, &options, Relation::Conflicts, false, &words[1..])?,
        ["whatprovides", _, ..] => query::what_provides(&client()?, &options, &words[1..])?,
        ["compare-versions", a, operator, b] => return compare(a, operator, b),
        ["print-architecture"] => {
            client()?.config().arches.iter().for_each(|(name, priority)| say(&format!("arch {name} {priority}")));
        }
        [command, ..] => match NOT_THERE.iter().find(|(name, _)| *name == command) {
            Some((name, why)) => return Err(FRONT.usage(format!("`{name}` is not supported: {why}"))),
            None => return Err(FRONT.misused(&words)),
        },
        [] => return Err(FRONT.misused(&words)),
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
    config.simulate = options.no_action;
    config.lists = options.lists.clone().unwrap_or(config.lists);
    options.apply(&mut config.switches);
    for (name, priority) in &options.arches {
        config = config.with_arch(name, *priority);
    }
    Ok(Client::new(root, config))
}

fn compare(a: &str, operator: &str, b: &str) -> Result<ExitCode> {
    let relation =
        Operator::from_opkg(operator).ok_or_else(|| FRONT.usage(format!("`{operator}` is not a relation")))?;
    // `<<` and `>>` accept an equal version only in dependencies.
    let holds = match relation {
        Operator::Less => version::compare(a, b).is_lt(),
        Operator::Greater => version::compare(a, b).is_gt(),
        _ => version::satisfies(a, relation, b),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn list_installed(client: &Client, options: &Options, pattern: &str) -> Result<()> {
    let wanted = |package: &&Installed| package.is_usable() && fits(options, pattern, &package.control.package);
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
    // opkg shows paths as the host sees them.
    let root = client.root().path().as_str().trim_end_matches('/');
    files.iter().for_each(|path| say(&format!("{root}{path}")));
    Ok(())
}

/// Installed packages with their state; for `info` also those that the lists offer.
fn info(client: &Client, options: &Options, command: &str, pattern: &str) -> Result<()> {
    let wanted = |control: &Control| fits(options, pattern, &control.package);
    let installed: Vec<Installed> = client.installed()?.into_iter().filter(|known| wanted(&known.control)).collect();
    installed.iter().for_each(|package| say(&package.stanza().to_string()));
    if command == "status" {
        return Ok(());
    }
    let key = |control: &Control| (control.package.clone(), control.version.clone());
    let known = |control: &Control| installed.iter().any(|package| key(&package.control) == key(control));
    for control in client.available()?.iter().filter(|control| wanted(control) && !known(control)) {
        say(&control.stanza.to_string());
    }
    Ok(())
}
