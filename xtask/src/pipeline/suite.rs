//! Scenarios: which of them run, on which kernels, and what they need prepared.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use formats::Format;
use model::{Events, Exit, Failure, Problem, Result, Sabotage};
use scenarios::{Bench, FeedVariant, Feeds, Keep, Manner, Payload, Routers, Scenario, Start};
use vm::guest::Guest;
use vm::lab::Lab;

use super::at_once::both;
use super::feed::{Feed, signed};
use super::installed::Installed;
use super::job::Job;
use super::payload::payload as payload_of;
use super::proved::Proved;
use super::trees::trees;
use super::{console, router};
use crate::cli::{Break, TestArgs};
use crate::{Ctx, Outcome};

/// The package whose file the negative scenario spoils: one that images do not have by themselves.
const SPOILED_PACKAGE: &str = "kmod-nf-conntrack-netlink";

/// Runs the scenarios that were asked for on the packages of this source tree, on one kernel after the other.
pub fn test(ctx: &Ctx, jobs: &[Job], args: &TestArgs) -> Result<Outcome> {
    let chosen = chosen(ctx, args)?;
    crate::facts::host(ctx);
    let proved = Proved::default();
    let mut exit = Exit::Done;
    for job in jobs {
        exit = exit.worse(on_kernel(ctx, job, jobs.len(), args, chosen.clone(), &proved)?);
        if exit == Exit::Interrupted {
            return Err(Failure::interrupted());
        }
    }
    Ok(Outcome { exit, data: String::new() })
}

fn on_kernel(
    ctx: &Ctx,
    job: &Job,
    kernels: usize,
    args: &TestArgs,
    mut chosen: Vec<Scenario>,
    proved: &Proved,
) -> Result<Exit> {
    with_packages(&mut chosen, &job.formats);
    if args.keep {
        only_one(&chosen, kernels)?;
    }
    let (feed, router) = router::with_feed(ctx, job, &args.machine)?;
    let trust = router::trust(&feed)?;
    let payload = payload_of(&feed.packages.files()?)?;
    let (installed, served) = both(
        ctx,
        |ctx| Ok(Installed::prepare(ctx, &router, &feed, &trust, &payload, &chosen)),
        |ctx| Served::prepare(ctx, job, &feed, &payload, &chosen),
    )?;
    ctx.events.fact("QEMU", &router.qemu.version);
    ctx.events.fact("router", &router.guest.about.label);
    ctx.events.fact("routers at once", ctx.routers.to_string());
    job.provider.tell_costs(ctx, job)?;
    let keep = |guest: &mut dyn Guest| -> Result<()> {
        ctx.events.notice("keep", "the router is as the scenario left it, and goes when you leave it");
        console::run(ctx, guest).map(|_outcome| ())
    };
    let routers = Prepared { ctx, router: &router, installed: &installed };
    let run = |events: &Events, sabotage| {
        let bench = Bench {
            routers: &routers,
            feeds: Feeds { folders: &served.folders, trust: &trust, payload: &served.payload },
            manner: Manner {
                jobs: ctx.routers.get(),
                of_several: kernels > 1,
                sabotage,
                keep: args.keep.then_some(&keep as &Keep<'_>),
                captures: args.machine.pcap.as_deref(),
            },
            events,
            cancel: &ctx.cancel,
        };
        scenarios::run(&bench, &chosen)
    };
    let mut exit = Exit::Done;
    for sabotage in ways(&args.sabotage) {
        if ctx.cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        let label = &router.guest.about.label;
        exit = exit.worse(proved.listen(&ctx.events, label, |events| run(events, sabotage)));
    }
    Ok(exit)
}

/// The routers of a run, with their packages and without.
struct Prepared<'a> {
    ctx: &'a Ctx,
    router: &'a router::Router,
    installed: &'a Installed<'a>,
}

impl Routers for Prepared<'_> {
    fn kernel(&self) -> &str {
        &self.router.guest.about.kernel
    }

    fn boot(&self, lab: &Lab, start: Start, manager: Format) -> Result<Box<dyn Guest>> {
        let session = match start {
            Start::Booted => self.router.start(self.ctx, lab),
            Start::Installed => self.installed.start(self.ctx, lab, manager),
        }?;
        Ok(Box::new(session))
    }
}

/// Leaves the package managers that there are packages for: another could not find out anything. A scenario that
/// does not care which it is takes the one that there is.
fn with_packages(scenarios: &mut [Scenario], formats: &[Format]) {
    let has = |manager: &Format| formats.contains(manager);
    for scenario in scenarios {
        scenario.managers.retain(has);
        if scenario.managers.is_empty() && scenario.any_manager {
            scenario.managers = Format::ALL.into_iter().filter(has).take(1).collect();
        }
    }
}

/// The ways in which offload is broken, one run each; one run with nothing broken where none is asked for.
fn ways(wanted: &[Break]) -> Vec<Option<Sabotage>> {
    if wanted.is_empty() {
        return vec![None];
    }
    let is_wanted = |way: &Sabotage| wanted.contains(&Break::All) || wanted.contains(&Break::One(*way));
    Sabotage::ALL.into_iter().filter(is_wanted).map(Some).collect()
}

/// A router to be looked at is one, not several.
fn only_one(chosen: &[Scenario], kernels: usize) -> Result<()> {
    let cases: Vec<String> = chosen
        .iter()
        .flat_map(|scenario| {
            scenario.managers.iter().map(move |manager| format!("{}/{}", scenario.name, manager.manager()))
        })
        .collect();
    if cases.len() * kernels == 1 {
        return Ok(());
    }
    Err(Failure::of(Problem {
        exit: Exit::Usage,
        id: "TEST005",
        what: "--keep leaves one router to be looked at, and more than one would run",
        why: format!("on {kernels} kernels: {}", cases.join(", ")),
        fix: "name one scenario with --exact, one kernel with --kernel and one package manager with --format ipk or apk",
    }))
}

/// The names and titles of the scenarios that would run.
pub fn list(ctx: &Ctx, args: &TestArgs) -> Result<Outcome> {
    let lines: Vec<String> =
        chosen(ctx, args)?.iter().map(|scenario| format!("{:<24} {}", scenario.name, scenario.title)).collect();
    Ok(Outcome::done(lines.join("\n")))
}

/// Refuses files of scenarios that are asked for, and words that name none.
pub fn check(ctx: &Ctx, args: &TestArgs) -> Result<()> {
    chosen(ctx, args).map(drop)
}

/// Scenarios whose name contains, or with `--exact` is, one of the given words. Files that are refused count only when
/// they are among them.
fn chosen(ctx: &Ctx, args: &TestArgs) -> Result<Vec<Scenario>> {
    let folder = &ctx.scenarios;
    let all = scenarios::scenario::load_all(folder)?;
    let mut names: Vec<&str> = all.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    let matches = |name: &str, word: &str| if args.exact { name == word } else { name.contains(word) };
    if let Some(word) = args.names.iter().find(|word| !names.iter().any(|name| matches(name, word))) {
        return Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "TEST001",
            what: format!("no scenario is called `{word}`"),
            why: format!("there are: {}", names.join(", ")),
            fix: "choose from `cargo xtask test --list`",
        })
        .at(folder));
    }
    let wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|word| matches(name, word));
    let files = all.into_iter().filter(|file| wanted(&file.name));
    files.map(|file| Ok(in_tree(ctx, file.scenario?))).collect()
}

/// Annotations want the file as the source tree has it, not as this machine does.
fn in_tree(ctx: &Ctx, mut scenario: Scenario) -> Scenario {
    if let Ok(inside) = scenario.file.strip_prefix(&ctx.root) {
        scenario.file = inside.to_owned();
    }
    scenario
}

/// The feeds that the scenarios name, and what their packages bring.
struct Served {
    folders: BTreeMap<FeedVariant, Result<Utf8PathBuf>>,
    payload: Payload,
}

impl Served {
    /// Makes them. A package for tests that cannot be made fails the scenarios that need it, and no others.
    fn prepare(ctx: &Ctx, job: &Job, feed: &Feed, payload: &Payload, chosen: &[Scenario]) -> Result<Self> {
        let mut served = Served { folders: BTreeMap::new(), payload: payload.clone() };
        for variant in chosen.iter().map(|scenario| scenario.feed).collect::<BTreeSet<_>>() {
            let folder = match variant {
                FeedVariant::Published => Ok(feed.folder.clone()),
                FeedVariant::Tests => match signed(ctx, &job.with_test_packages()) {
                    Ok(feed) => {
                        // It holds the published packages, too.
                        served.payload = payload_of(&feed.packages.files()?)?;
                        Ok(feed.folder)
                    }
                    Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
                    Err(failure) => Err(failure),
                },
                FeedVariant::Trees => Ok(trees(ctx, job, feed, scenarios::FEED_URL)?),
                FeedVariant::WrongKey => Ok(feed.spoiled(ctx, feeds::Spoil::WrongKey)?),
                FeedVariant::FlippedPackage => Ok(feed.spoiled(ctx, feeds::Spoil::FlippedPackage(SPOILED_PACKAGE))?),
                FeedVariant::FlippedIndex => Ok(feed.spoiled(ctx, feeds::Spoil::FlippedIndex)?),
                FeedVariant::OtherKernel => Ok(feed.spoiled(ctx, feeds::Spoil::OtherKernel)?),
            };
            served.folders.insert(variant, folder);
        }
        Ok(served)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;
    use clap::Parser;
    use model::Events;

    fn names(words: &[&str]) -> Result<Vec<String>> {
        let line = ["xtask", "test"].iter().chain(words);
        let Verb::Test(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("not test") };
        let chosen = chosen(&ctx("/nowhere".into(), Events::discard()), &args)?;
        Ok(chosen.into_iter().map(|scenario| scenario.name).collect())
    }

    #[test]
    fn scenarios_are_chosen_by_part_of_their_name_or_exactly() {
        assert!(names(&[]).unwrap().len() >= 7);
        assert_eq!(names(&["flipped"]).unwrap(), ["refuse-flipped-index", "refuse-flipped-package"]);
        assert_eq!(names(&["remove-apk", "--exact"]).unwrap(), ["remove-apk"]);
        for words in [&["flipped", "--exact"][..], &["remove", "no-such"]] {
            let failure = names(words).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("TEST001", Exit::Usage));
            assert!(failure.finding().why.contains("offload-ipv4-nat"), "{failure}");
        }
    }

    #[test]
    fn a_file_that_is_refused_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut ctx = ctx("/nowhere".into(), Events::discard());
        ctx.scenarios = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let write = |name: &str, step: &str| {
            let text = format!("version: 1\ntitle: sample\nsteps:\n  - {step}\n");
            std::fs::write(ctx.scenarios.join(name), text).unwrap();
        };
        write("good.yaml", "loaded: [x]");
        write("good-too.yaml", "says: [x]");
        let chosen = |words: &[&str]| {
            let line = ["xtask", "test"].iter().chain(words);
            let Verb::Test(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("not test") };
            chosen(&ctx, &args)
        };
        assert_eq!(chosen(&["good", "--exact"]).unwrap()[0].name, "good");
        assert_eq!(chosen(&["nothing"]).unwrap_err().finding().why, "there are: good, good-too");
        for words in [&[][..], &["good"], &["good-too", "--exact"]] {
            let failure = chosen(words).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("CONF001", Exit::Usage), "{words:?}");
            assert!(failure.to_string().contains("good-too.yaml:4:5"), "{failure}");
        }
    }

    #[test]
    fn a_file_is_told_as_the_source_tree_has_it() {
        let ctx = ctx("/nowhere".into(), Events::discard());
        let Verb::Test(args) = Cli::try_parse_from(["xtask", "test", "remove-apk"]).unwrap().verb else {
            panic!("not test")
        };
        let scenario = chosen(&ctx, &args).unwrap().remove(0);
        assert_eq!(scenario.file, "tests/scenarios/remove-apk.yaml");
        let elsewhere = Scenario { file: "/elsewhere/a.yaml".into(), ..scenario };
        assert_eq!(in_tree(&ctx, elsewhere).file, "/elsewhere/a.yaml");
    }

    #[test]
    fn offload_is_broken_in_each_way_that_is_wanted_and_in_none_otherwise() {
        assert_eq!(ways(&[]), [None]);
        assert_eq!(
            ways(&[Break::One(Sabotage::AcceptFirst), Break::One(Sabotage::AcceptFirst)]),
            [Some(Sabotage::AcceptFirst)]
        );
        assert_eq!(ways(&[Break::One(Sabotage::OneDevice), Break::All]), Sabotage::ALL.map(Some));
        for way in Sabotage::ALL {
            let words = ["xtask", "test", "--sabotage", way.word()];
            let Verb::Test(args) = Cli::try_parse_from(words).unwrap().verb else { panic!("not test") };
            assert_eq!(ways(&args.sabotage), [Some(way)]);
        }
    }

    #[test]
    fn one_router_is_kept_and_not_several() {
        let scenario = |name: &str| {
            let line = ["xtask", "test", name, "--exact"];
            let Verb::Test(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("not test") };
            chosen(&ctx("/nowhere".into(), Events::discard()), &args).unwrap()
        };
        assert_eq!(only_one(&scenario("remove-apk"), 1), Ok(()));
        for (name, kernels) in [("install-and-load", 1), ("remove-apk", 2)] {
            let failure = only_one(&scenario(name), kernels).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("TEST005", Exit::Usage));
        }
    }
}
