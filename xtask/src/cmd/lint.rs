//! `lint`: checks packages and feeds against the numbered rules, ours or anybody's.

use std::time::Instant;

use camino::Utf8PathBuf;
use feeds::{Trust, live};
use formats::lint::Options;
use formats::{ec, usign};
use model::{Event, Exit, Failure, Problem, Result, Status};

use crate::cli::LintArgs;
use crate::doctor::Purpose;
use crate::lint::{self, Allowed, STAGE};
use crate::pipeline::{self, Job};
use crate::stage::millis;
use crate::{Ctx, Outcome};

/// Checks the named paths, or without any the packages of this source tree.
pub fn run(ctx: &Ctx, args: &LintArgs) -> Result<Outcome> {
    let LintArgs { paths, keys, allow, list, selection } = args;
    if *list {
        return Ok(Outcome::done(lint::list()));
    }
    let mut allowed: Vec<Allowed> = allow.iter().map(|text| Allowed::parse(text)).collect::<Result<_>>()?;
    let options = options(keys)?;
    if let Some(url) = paths.iter().find(|path| live::is_address(path.as_str())) {
        if paths.len() > 1 {
            return Err(Failure::of(Problem {
                exit: Exit::Usage,
                id: "LNT005",
                what: format!("{url} cannot be checked together with others"),
                why: "all files that are checked together count as one feed",
                fix: "give one address at a time",
            }));
        }
        return live_feed(ctx, url.as_str(), &options, &allowed, &|_rule| true);
    }
    let files = if paths.is_empty() {
        let job = Job::new(ctx, selection, Purpose::Build)?;
        job.require(ctx, Purpose::Build)?;
        let (files, known) = pipeline::packages_to_lint(ctx, &job)?;
        allowed.extend(known);
        files
    } else {
        lint::collect(paths)?
    };
    let started = Instant::now();
    ctx.events.emit(Event::StageBegin { stage: STAGE.into(), detail: format!("{} files", files.len()) });
    let counts = lint::check(ctx, &files, &options, &allowed);
    let (status, summary) = match &counts {
        Ok(counts) => {
            let status = if counts.exit() == Exit::Done { Status::Done } else { Status::Failed };
            (status, counts.to_string())
        }
        Err(failure) => (Status::Failed, failure.finding().what.clone()),
    };
    ctx.events.emit(Event::StageEnd { stage: STAGE.into(), status, millis: millis(started.elapsed()), summary });
    Ok(Outcome { exit: counts?.exit(), data: String::new() })
}

/// Checks a live feed. Its files are fetched into a temporary folder.
pub(super) fn live_feed(
    ctx: &Ctx,
    url: &str,
    options: &Options,
    allowed: &[Allowed],
    matters: &dyn Fn(&str) -> bool,
) -> Result<Outcome> {
    let started = Instant::now();
    ctx.events.emit(Event::StageBegin { stage: STAGE.into(), detail: url.to_owned() });
    let counts = copied(ctx, url, options, allowed, matters);
    let (status, summary) = match &counts {
        Ok(counts) if counts.exit() == Exit::Done => (Status::Done, counts.to_string()),
        Ok(counts) => (Status::Failed, counts.to_string()),
        Err(failure) => (Status::Failed, failure.finding().what.clone()),
    };
    ctx.events.emit(Event::StageEnd { stage: STAGE.into(), status, millis: millis(started.elapsed()), summary });
    Ok(Outcome { exit: counts?.exit(), data: String::new() })
}

fn copied(
    ctx: &Ctx,
    url: &str,
    options: &Options,
    allowed: &[Allowed],
    matters: &dyn Fn(&str) -> bool,
) -> Result<lint::Counts> {
    let folder = tempfile::tempdir().map_err(|error| Failure::io("make a folder for the feed in", "/tmp", &error))?;
    let unusable = || Failure::io("use the folder", "/tmp", &std::io::ErrorKind::InvalidFilename.into());
    let into = camino::Utf8Path::from_path(folder.path()).ok_or_else(unusable)?;
    let progress = &mut |done, total| ctx.events.progress(STAGE, done, Some(total));
    let items = live::copy(url, into, &ctx.cancel, progress)?;
    lint::check_items(ctx, &items, options, allowed, matters)
}

/// The options of the rules.
pub(super) fn options(keys: &[Utf8PathBuf]) -> Result<Options> {
    let Trust { usign, ec } = public_keys(keys)?;
    Ok(Options { usign_keys: usign, ec_keys: ec, ..Options::default() })
}

/// Public keys for opkg or apk, told apart by their first line.
pub(super) fn public_keys(keys: &[Utf8PathBuf]) -> Result<Trust> {
    let mut trust = Trust::default();
    for path in keys {
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::io_named("read the public key", path, &error))?;
        let read = if text.starts_with("-----BEGIN") {
            ec::PublicKey::parse(&text).map(|key| trust.ec.push(key))
        } else {
            usign::PublicKey::parse(&text).map(|key| trust.usign.push(key))
        };
        read.map_err(|error| {
            Failure::of(Problem {
                exit: Exit::Usage,
                id: error.id(),
                what: error.to_string(),
                why: "it was given with --key",
                fix: error.fix(),
            })
            .at(path)
        })?;
    }
    Ok(trust)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use clap::Parser as _;
    use model::Events;

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;

    fn lint(root: &Utf8Path, words: &[&str]) -> Result<Outcome> {
        let line = ["cargo xtask", "lint"].iter().chain(words);
        let Verb::Lint(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("another verb") };
        run(&ctx(root, Events::discard()), &args)
    }

    #[test]
    fn keys_of_both_worlds_are_told_apart_and_rubbish_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let put = |name: &str, text: &str| {
            std::fs::write(root.join(name), text).unwrap();
            root.join(name)
        };
        let usign = put("usign", &usign::SecretKey::from_random([1; 40]).public().to_text("a key"));
        let ec = put("ec.pem", &ec::SecretKey::from_random([1; 32]).unwrap().public().to_pem().unwrap());
        let read = options(&[usign, ec]).unwrap();
        assert_eq!((read.usign_keys.len(), read.ec_keys.len()), (1, 1));
        assert_eq!(options(&[put("bad", "rubbish")]).unwrap_err().id(), "SIG001");
        assert_eq!(options(&[put("bad.pem", "-----BEGIN RUBBISH")]).unwrap_err().id(), "ECK001");
        assert_eq!(options(&[root.join("absent")]).unwrap_err().id(), "IO004");
    }

    #[test]
    fn a_live_feed_is_fetched_and_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let (feed, keys) = (root.join("feed"), feeds::keys::Keys::generate().unwrap());
        std::fs::create_dir(&feed).unwrap();
        let plan = formats::Package {
            name: "hello".into(),
            version: "1.0-r1".into(),
            architecture: "all".into(),
            license: "MIT".into(),
            description: "Says hello".into(),
            maintainer: "Somebody".into(),
            ..formats::Package::default()
        };
        let put = |format: formats::Format| {
            let path = root.join(plan.file_name(format));
            plan.write(format, std::fs::File::create(&path).unwrap()).unwrap();
            path
        };
        let kernel = feeds::Kernel::of_folder("6.12.94-1-0123");
        let (files, arch) = (formats::Format::ALL.map(put), model::Arch("x86_64".into()));
        feeds::assemble(&files, &arch, &kernel, &keys, &feed).unwrap();
        std::fs::write(root.join("usign.pub"), keys.opkg.current.public().to_text("a key")).unwrap();
        let server = feeds::serve::Server::bind(&feed, "127.0.0.1:0".parse().unwrap()).unwrap();
        let (url, cancel) = (format!("http://{}/opkg/kmods/{kernel}", server.address()), model::Cancel::default());
        let verify = |words: &[&str]| {
            let line = ["cargo xtask", "feed", "verify"].iter().chain(words);
            let Verb::Feed(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("another verb") };
            crate::cmd::feed::run(&ctx(root, Events::discard()), &args)
        };
        std::thread::scope(|scope| {
            scope.spawn(|| server.run(&cancel, |_line| {}).unwrap());
            let key = root.join("usign.pub");
            let exits: Vec<Exit> =
                [lint(root, &[&url, "--key", key.as_str()]), verify(&[&url, "--key", key.as_str()]), {
                    let path = feed.join("opkg/kmods/6.12.94-1-0123/hello_1.0-r1_all.ipk");
                    let mut bytes = std::fs::read(&path).unwrap();
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                    verify(&[&url, "--key", key.as_str()])
                }]
                .into_iter()
                .map(|outcome| outcome.unwrap().exit)
                .collect();
            cancel.cancel();
            assert_eq!(exits, [Exit::Done, Exit::Done, Exit::Failed]);
            assert_eq!(lint(root, &[&url, &url]).unwrap_err().id(), "LNT005");
        });
    }

    #[test]
    fn the_exit_code_tells_whether_there_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let broken = root.join("broken.ipk");
        std::fs::write(&broken, "no package").unwrap();
        assert_eq!(lint(root, &[broken.as_str()]).unwrap().exit, Exit::Failed);
        assert_eq!(lint(root, &[broken.as_str(), "--allow", "LINT001"]).unwrap().exit, Exit::Done);
        assert_eq!(lint(root, &[broken.as_str(), "--allow", "LINT1"]).unwrap_err().exit(), Exit::Usage);
        assert_eq!(lint(root, &[root.join("absent").as_str()]).unwrap_err().exit(), Exit::Usage);
        assert!(lint(root, &["--list"]).unwrap().data.starts_with("LINT001"));
    }
}
