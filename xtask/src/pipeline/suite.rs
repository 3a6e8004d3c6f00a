//! Scenarios: which of them run, on which kernels, and what they need.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use model::{Events, Exit, Failure, Finding, Problem, Result, Sabotage, Target};
use scenarios::scenario::File;
use scenarios::{Bench, FeedVariant, Feeds, Keep, Manner, Routers, Scenario, Start};
use vm::guest::Guest;
use vm::lab::Lab;

use super::at_once::both;
use super::borrowed;
use super::brought::{self, Brought};
use super::brought_scenarios;
use super::feed::{Feed, signed};
use super::installed::{self, Installed};
use super::job::Job;
use super::kmods::{self, Kmods, Tried};
use super::payload::payload as payload_of;
use super::proved::Proved;
use super::successor::{self, Older, Successor};
use super::trees::trees;
use super::{console, router, verified};
use crate::cli::partition::Partition;
use crate::cli::{Break, TestArgs};
use crate::facts::{self, PACKAGES, PART, PROOF};
use crate::{Ctx, Outcome};

/// The package that the negative scenario spoils: one that images do not already have.
const SPOILED_PACKAGE: &str = "kmod-nf-conntrack-netlink";

/// Runs the requested scenarios with the packages of this source tree, on one kernel after another.
pub fn test(ctx: &Ctx, jobs: &[Job], args: &TestArgs) -> Result<Outcome> {
    in_turn(ctx, jobs, jobs.len(), args)
}

/// The same where routers of another kernel have a turn in the same run.
pub fn test_beside(ctx: &Ctx, job: Job, args: &TestArgs) -> Result<Outcome> {
    in_turn(ctx, &[job], 2, args)
}

/// Each job, where there are so many kernels in all.
fn in_turn(ctx: &Ctx, jobs: &[Job], kernels: usize, args: &TestArgs) -> Result<Outcome> {
    let chosen = chosen(ctx, args)?;
    facts::host(ctx);
    let (proved, kmods) = (Proved::default(), Kmods::default());
    let mut exit = Exit::Done;
    for job in jobs {
        exit = exit.worse(on_kernel(ctx, job, kernels, args, chosen.clone(), (&proved, &kmods))?);
        if exit == Exit::Interrupted {
            return Err(Failure::interrupted());
        }
    }
    kmods.tell(ctx);
    Ok(Outcome { exit, data: String::new() })
}

fn on_kernel(
    ctx: &Ctx,
    job: &Job,
    kernels: usize,
    args: &TestArgs,
    mut chosen: Vec<Scenario>,
    (proved, kmods): (&Proved, &Kmods),
) -> Result<Exit> {
    if let Some(made) = job.proves() {
        verified(ctx, made)?;
    }
    let kernel = job.provider.kernel_line();
    let Tried { job, left, gone, mut exit } =
        kmods.without_broken(ctx, job, &kernel, |job| signed(ctx, job).map(drop))?;
    let job = &job;
    chosen.retain(|scenario| !gone.iter().any(|kmod| kmods::installs(scenario, kmod)));
    with_packages(&mut chosen, &job.formats);
    with_brought(&mut chosen, job.brought());
    if args.keep {
        only_one(&chosen, kernels)?;
    }
    let (feed, router) = router::with_feed(ctx, job, &args.machine)?;
    let trust = router::trust(&feed)?;
    let payload = payload_of(&feed.packages.files()?)?;
    if args.names.is_empty() && !args.keep {
        let mut of_modules = kmods.scenarios(job, &kernel, &left, &payload)?;
        with_packages(&mut of_modules, &job.formats);
        chosen.extend(of_modules);
        if let Some(own) = job.own_feed().filter(|_| !ctx.own_scenarios) {
            chosen.extend(brought_scenarios::of(&brought::built_of(&feed.packages, |source| own.made(source))?)?);
        }
    }
    if let Some(part) = args.partition {
        ctx.events.fact(PART, part.to_string());
        only(part, &mut chosen);
    }
    let lent = borrowed::borrow(ctx, job, &router, &feed, &chosen, &gone)?;
    let served = feed.with(ctx, lent.copies.as_ref())?;
    let is_upgraded = chosen.iter().any(|scenario| scenario.router == Start::OlderKernel);
    let wanted: BTreeSet<FeedVariant> = chosen.iter().flat_map(Scenario::feeds).collect();
    let has_card = job.provider.has_card();
    let card = has_card && chosen.iter().any(|scenario| scenario.router == Start::Card);
    let has_tests = card || wanted.contains(&FeedVariant::Tests);
    let (older, for_tests) = both(
        ctx,
        |ctx| is_upgraded.then(|| successor::older(ctx, job, &args.machine)).transpose(),
        |ctx| has_tests.then(|| test_feed(ctx, job)).transpose(),
    )?;
    let older_made = older.as_ref().and_then(|made| made.as_ref().ok()?.as_ref());
    let made = for_tests.as_ref().and_then(|made| made.as_ref().ok());
    // This feed also has the published packages.
    let all = match made {
        Some(feed) => payload_of(&feed.packages.files()?)?,
        None => payload.clone(),
    };
    let (installed, feeds) = both(
        ctx,
        |ctx| {
            let prepare = |start, from| (start, Installed::prepare(ctx, start, &router, from, &trust, &chosen));
            let published = prepare(Start::Installed, (&feed, &payload));
            let with_card = made.filter(|_| card).map(|feed| prepare(Start::Card, (feed, &all)));
            Ok([published].into_iter().chain(with_card).collect::<BTreeMap<_, _>>())
        },
        |ctx| {
            let folder = |variant| match (variant, &for_tests) {
                (FeedVariant::Tests, Some(Ok(feed))) => feed.with(ctx, lent.copies.as_ref()).map(Ok),
                (FeedVariant::Tests, Some(Err(failure))) => Ok(Err(failure.clone())),
                (FeedVariant::Trees, _) => trees(ctx, job, &feed, older_made, scenarios::FEED_URL).map(Ok),
                _ => variant_of(ctx, (&feed, &served), variant).map(Ok),
            };
            wanted.into_iter().map(|variant| Ok((variant, folder(variant)?))).collect()
        },
    )?;
    let feeds: BTreeMap<FeedVariant, Result<Utf8PathBuf>> = feeds;
    ctx.events.fact("QEMU", &router.qemu.version);
    ctx.events.fact("router", &router.guest.about.label);
    if let Some(made) = job.proves() {
        ctx.events.fact(PROOF, proof(&made.row(), job.target(), &router.guest.about.label));
    }
    let identity = feeds::dist::identity(&feed.packages.files()?)?;
    ctx.events.fact(&format!("{PACKAGES}{}", router.guest.about.kernel), identity);
    ctx.events.fact("routers at once", ctx.routers.to_string());
    job.provider.tell_costs(ctx, job)?;
    let keep = |guest: &mut dyn Guest| -> Result<()> {
        ctx.events.notice("keep", "the router is as the scenario left it, and ends when you leave it");
        console::run(ctx, guest).map(|_outcome| ())
    };
    let routers = Prepared {
        ctx,
        router: &router,
        installed: &installed,
        has_card,
        no_tests: for_tests.as_ref().and_then(|made| made.as_ref().err().cloned()),
        older: older.as_ref(),
    };
    let run = |events: &Events, sabotage| {
        let bench = Bench {
            routers: &routers,
            feeds: Feeds { folders: &feeds, trust: &trust, payload: &all, borrowed: &lent.told },
            manner: Manner {
                jobs: ctx.routers.get(),
                of_several: kernels > 1,
                target: &args.selection.target,
                sabotage,
                asks_offloadctl: args.ask_offloadctl,
                keep: args.keep.then_some(&keep as &Keep<'_>),
                captures: args.machine.pcap.as_deref(),
            },
            events,
            cancel: &ctx.cancel,
        };
        scenarios::run(&bench, &chosen)
    };
    for sabotage in ways(&args.sabotage) {
        if ctx.cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        let label = &router.guest.about.label;
        exit = exit.worse(proved.listen(&ctx.events, label, |events| {
            kmods.listen(events, &kernel, &chosen, |events| run(events, sabotage))
        }));
    }
    Ok(exit)
}

/// Whose packages were made, and which routers ran those of the same recipes: kmods are for one kernel.
fn proof(made: &feeds::dist::Row, on: &Target, router: &str) -> String {
    let feeds::dist::Row { target, release, .. } = made;
    format!(
        "built by the SDK of {target}, OpenWrt {release}; proven on {on}: {router}, with the same recipes' packages for its kernel"
    )
}

/// The feed with the packages for tests; if it cannot be made, only the scenarios that need it fail.
fn test_feed(ctx: &Ctx, job: &Job) -> Result<Result<Feed>> {
    match signed(ctx, &job.with_test_packages()) {
        Err(failure) if failure.exit() == Exit::Interrupted => Err(failure),
        made => Ok(made),
    }
}

/// The routers of a run, with and without packages.
struct Prepared<'a> {
    ctx: &'a Ctx,
    router: &'a router::Router,
    /// By the state in which a scenario starts.
    installed: &'a BTreeMap<Start, Installed<'a>>,
    /// Whether there are routers with an offloading card.
    has_card: bool,
    /// Why there are no packages for tests, the card's driver among them.
    no_tests: Option<Failure>,
    /// Routers of an older kernel, or why there are none, where a scenario begins on one.
    older: Option<&'a Result<Option<Older>>>,
}

impl Routers for Prepared<'_> {
    fn kernel(&self) -> &str {
        &self.router.guest.about.kernel
    }

    fn lack(&self, scenario: &Scenario) -> Option<String> {
        let older = match scenario.router {
            Start::OlderKernel => successor::lack(self.older, self.kernel(), self.ctx.offline),
            Start::Card if !self.has_card => {
                Some("the offloading card is available only for the stand-in of x86/64".into())
            }
            _ => None,
        };
        older.or_else(|| not_compiled(scenario, self.no_tests.as_ref()?))
    }

    fn boot<'a>(&'a self, lab: &'a Lab, start: Start, manager: Format) -> Result<Box<dyn Guest + 'a>> {
        if start == Start::OlderKernel {
            let older = successor::made(self.older)?;
            return Ok(Box::new(Successor::start(self.ctx, lab, older, self.router)?));
        }
        let session = match start {
            Start::Booted | Start::OlderKernel => self.router.start(self.ctx, lab),
            Start::Installed | Start::Card => {
                let none = || self.no_tests.clone().unwrap_or_else(|| installed::unprepared(manager));
                self.installed.get(&start).ok_or_else(none)?.start(self.ctx, lab, manager)
            }
        }?;
        Ok(Box::new(session))
    }
}

/// Why a scenario that needs the packages for tests does not run on a host that cannot compile them.
fn not_compiled(scenario: &Scenario, failure: &Failure) -> Option<String> {
    let what = match scenario.router {
        Start::Card => "the driver of the offloading card",
        _ if scenario.feeds().contains(&FeedVariant::Tests) => "the packages for tests",
        _ => return None,
    };
    let Finding { id, what: why, .. } = failure.finding();
    (failure.exit() == Exit::Host).then(|| format!("this host cannot compile {what}: {id}, {why}"))
}

/// Keeps only package managers for which there are packages; without packages the others could not find out anything. A
/// scenario that works with any manager gets one that is available.
fn with_packages(scenarios: &mut [Scenario], formats: &[Format]) {
    let has = |manager: &Format| formats.contains(manager);
    for scenario in scenarios {
        scenario.managers.retain(has);
        if scenario.managers.is_empty() && scenario.any_manager {
            scenario.managers = Format::ALL.into_iter().filter(has).take(1).collect();
        }
    }
}

/// Keeps only package managers for which the scenario's packages from elsewhere were given.
fn with_brought(scenarios: &mut [Scenario], brought: &[Brought]) {
    for scenario in scenarios {
        let managers = std::mem::take(&mut scenario.managers);
        let can_run = |manager: &Format| brought_scenarios::can_run(scenario, *manager, brought);
        scenario.managers = managers.into_iter().filter(can_run).collect();
    }
}

/// Keeps only the cases of one part. A scenario that has no package manager to run with counts as one case: it is told
/// as skipped in one part.
fn only(part: Partition, scenarios: &mut Vec<Scenario>) {
    let mut cases = 0..;
    let mut is_here = || cases.next().is_some_and(|index| part.has(index));
    scenarios.retain_mut(|scenario| {
        if scenario.managers.is_empty() {
            return is_here();
        }
        scenario.managers.retain(|_| is_here());
        !scenario.managers.is_empty()
    });
}

/// The ways in which to break offload, one run each; without any, one run with nothing broken.
fn ways(wanted: &[Break]) -> Vec<Option<Sabotage>> {
    if wanted.is_empty() {
        return vec![None];
    }
    let is_wanted = |way: &Sabotage| wanted.contains(&Break::All) || wanted.contains(&Break::One(*way));
    Sabotage::ALL.into_iter().filter(is_wanted).map(Some).collect()
}

/// Checks that --keep leaves only one router.
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
        what: "--keep leaves one router to look at, but more than one would run",
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

/// Refuses invalid files among the requested scenarios, and words that match no scenario.
pub fn check(ctx: &Ctx, args: &TestArgs) -> Result<()> {
    chosen(ctx, args).map(drop)
}

/// Scenarios whose name contains, or with `--exact` is, one of the given words. Invalid files matter only if they are
/// among them. Packages from elsewhere have scenarios of their own, and without a word only those run, unless the user
/// gave others.
fn chosen(ctx: &Ctx, args: &TestArgs) -> Result<Vec<Scenario>> {
    let folder = &ctx.scenarios;
    let mut all = scenarios::scenario::load_all(folder)?;
    let of_brought = brought_scenarios::of(&brought::open(ctx)?)?;
    // Those of a feed are known only after it was built.
    let is_own = !of_brought.is_empty() || ctx.feed.is_some();
    if args.names.is_empty() && is_own && !ctx.own_scenarios {
        return Ok(of_brought);
    }
    if !ctx.own_scenarios {
        all.extend(of_brought.into_iter().map(|scenario| File { name: scenario.name.clone(), scenario: Ok(scenario) }));
    }
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

/// Makes the file's path relative to the source tree, as annotations need it.
fn in_tree(ctx: &Ctx, mut scenario: Scenario) -> Scenario {
    if let Ok(inside) = scenario.file.strip_prefix(&ctx.root) {
        scenario.file = inside.to_owned();
    }
    scenario
}

/// The folder that is served, or that of a spoiled copy.
fn variant_of(ctx: &Ctx, (feed, served): (&Feed, &Utf8Path), variant: FeedVariant) -> Result<Utf8PathBuf> {
    let spoil = match variant {
        FeedVariant::Published | FeedVariant::Tests | FeedVariant::Trees => return Ok(served.to_owned()),
        FeedVariant::WrongKey => feeds::Spoil::WrongKey,
        FeedVariant::FlippedPackage => feeds::Spoil::FlippedPackage(SPOILED_PACKAGE),
        FeedVariant::FlippedIndex => feeds::Spoil::FlippedIndex,
        FeedVariant::OtherKernel => feeds::Spoil::OtherKernel,
        FeedVariant::Newer => feeds::Spoil::Newer,
        FeedVariant::NewKernel => feeds::Spoil::NewKernel,
    };
    feed.spoiled(ctx, served, spoil)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;
    use crate::report::Run;
    use crate::report::merge::merge;
    use clap::Parser;
    use model::{Event, Events};

    fn args(words: &[&str]) -> TestArgs {
        let line = ["xtask", "test"].iter().chain(words);
        let Verb::Test(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("not test") };
        args
    }

    fn names(words: &[&str]) -> Result<Vec<String>> {
        let chosen = chosen(&ctx("/nowhere".into(), Events::discard()), &args(words))?;
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
    fn every_case_is_in_one_part() {
        let all = chosen(&ctx("/nowhere".into(), Events::discard()), &args(&[])).unwrap();
        let cases = |scenarios: &[Scenario]| -> Vec<String> {
            let of = |scenario: &Scenario| scenario.managers.iter().map(|m| format!("{}/{m}", scenario.name)).collect();
            scenarios.iter().flat_map(|scenario| -> Vec<String> { of(scenario) }).collect()
        };
        let parts: Vec<Vec<String>> = ["slice:1/2", "slice:2/2"]
            .map(|part| {
                let mut scenarios = all.clone();
                only(part.parse().unwrap(), &mut scenarios);
                cases(&scenarios)
            })
            .to_vec();
        assert!(parts[0].len().abs_diff(parts[1].len()) <= 1);
        let (mut both, mut wanted) = (parts.concat(), cases(&all));
        both.sort();
        wanted.sort();
        assert_eq!(both, wanted);
    }

    /// Routers that no scenario can begin on.
    struct NoRouters;

    impl Routers for NoRouters {
        fn kernel(&self) -> &str {
            "6.12"
        }

        fn lack(&self, _scenario: &Scenario) -> Option<String> {
            Some("it is a test".into())
        }

        fn boot<'a>(&'a self, _lab: &'a Lab, _start: Start, manager: Format) -> Result<Box<dyn Guest + 'a>> {
            Err(installed::unprepared(manager))
        }
    }

    #[test]
    fn a_host_that_cannot_compile_skips_what_needs_it() {
        let failure = |exit| Failure::of(Problem { exit, id: "BLD001", what: "no compiler", why: "x", fix: "x" });
        let why = |head: &str, steps: &str, exit| {
            let text = format!("version: 1\ntitle: x\n{head}\nsteps: [{{{steps}}}, {{loaded: [x]}}]");
            not_compiled(&scenarios::scenario::parse("x.yaml".into(), &text).unwrap(), &failure(exit))
        };
        let packages = "this host cannot compile the packages for tests: BLD001, no compiler";
        assert_eq!(why("feed: tests", "loaded: [x]", Exit::Host).as_deref(), Some(packages));
        assert_eq!(why("", "feed: tests", Exit::Host).as_deref(), Some(packages));
        assert_eq!(why("feed: tests", "loaded: [x]", Exit::Failed), None, "that is a verdict");
        assert_eq!(why("", "loaded: [x]", Exit::Host), None);
    }

    #[test]
    fn the_reports_of_the_parts_are_merged_as_the_runner_fills_them() {
        let mut all = chosen(&ctx("/nowhere".into(), Events::discard()), &args(&[])).unwrap();
        // As where there are no packages for a scenario.
        all[1].managers.clear();
        let report = |scenarios: &[Scenario], facts: &[Event]| {
            let (sender, received) = std::sync::mpsc::channel();
            let events = Events::to(sender);
            let trust = scenarios::Trust { files: Vec::new() };
            let (payload, borrowed, cancel) = Default::default();
            let feeds = Feeds { folders: &BTreeMap::new(), trust: &trust, payload: &payload, borrowed: &borrowed };
            let manner = Manner {
                jobs: 1,
                of_several: false,
                target: "",
                sabotage: None,
                asks_offloadctl: false,
                keep: None,
                captures: None,
            };
            let bench = Bench { routers: &NoRouters, feeds, manner, events: &events, cancel: &cancel };
            let mut run = Run::new(String::new(), Vec::new());
            run.exit = scenarios::run(&bench, scenarios).code();
            facts.iter().for_each(|fact| run.take(fact));
            received.try_iter().for_each(|event| run.take(&event));
            run
        };
        let part = |number: usize| {
            let part: Partition = format!("slice:{number}/3").parse().unwrap();
            let mut here = all.clone();
            only(part, &mut here);
            report(&here, &[Event::Fact { name: PART.into(), value: part.to_string() }])
        };
        let (whole, merged) = (report(&all, &[]), merge("x".into(), vec![part(1), part(2), part(3)]));
        assert_eq!(merged.findings, [], "no case is in two of them");
        assert_eq!((merged.exit, merged.counts()), (Exit::Done.code(), whole.counts()));
        let idle = merged.cases.iter().filter(|case| case.name == all[1].name);
        assert_eq!(idle.count(), 1);
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
    fn a_proof_tells_whose_packages_and_whose_routers() {
        let row = feeds::dist::Row { line: "24.10".into(), target: "ramips/mt7620".into(), release: "24.10.8".into() };
        let told = proof(&row, &"ramips/mt7621".parse().unwrap(), "mipsel stand-in router");
        assert!(
            told.starts_with("built by the SDK of ramips/mt7620, OpenWrt 24.10.8; proven on ramips/mt7621: mipsel")
        );
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
