//! Reads scenario files, each checked before anything runs.

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Format, Problem, Result, yaml};

use super::check::{Wrong, check};
use super::{Lines, Scenario, Start};

/// A file of a folder, and what reading it came to.
#[derive(Debug)]
pub struct File {
    /// The scenario's name: that of the file without `.yaml`.
    pub name: String,
    /// The scenario, or why the file is refused.
    pub scenario: Result<Scenario>,
}

/// Reads every scenario of a folder, sorted by name, each checked before anything runs. One that is refused does not
/// hide the others.
pub fn load_all(folder: &Utf8Path) -> Result<Vec<File>> {
    let io = |error: &std::io::Error| Failure::io("list the scenarios", folder, error);
    let mut paths: Vec<Utf8PathBuf> = Vec::new();
    for entry in folder.read_dir_utf8().map_err(|error| io(&error))? {
        let path = entry.map_err(|error| io(&error))?.into_path();
        if path.extension() == Some("yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.iter().map(|path| File { name: name(path), scenario: load(path) }).collect())
}

fn name(path: &Utf8Path) -> String {
    path.file_stem().unwrap_or_default().to_owned()
}

/// Reads one scenario and checks what YAML types can't say.
pub fn load(path: &Utf8Path) -> Result<Scenario> {
    parse(path, &yaml::read(path)?)
}

/// The same for the text of a file.
pub fn parse(path: &Utf8Path, text: &str) -> Result<Scenario> {
    let mut scenario: Scenario = yaml::parse(path, text)?;
    scenario.name = name(path);
    scenario.file = path.to_owned();
    scenario.lines = Lines::of(text);
    scenario.any_manager = scenario.managers.is_empty();
    if scenario.any_manager {
        scenario.managers = match scenario.router {
            Start::Booted | Start::OlderKernel => vec![Format::Ipk, Format::Apk],
            Start::Installed | Start::Card => vec![Format::Apk],
        };
    }
    check(&scenario).map_err(|Wrong { step, what }| {
        let line = step.and_then(|step| scenario.lines.find(&step));
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "SCEN001",
            what,
            why: "a scenario that asserts nothing, or something else than it seems to, would always pass",
            fix: "complete the named step; the other files of the folder show every key",
        })
        .at(line.map_or_else(|| path.to_string(), |line| format!("{path}:{line}")))
    })?;
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Deed, FeedVariant, Group, OffloadFlag, Step};

    fn parse(text: &str) -> Result<Scenario> {
        super::parse("sample.yaml".into(), &format!("version: 1\ntitle: sample\n{text}"))
    }

    /// All of a folder of this repository, which must all be valid.
    fn all(folder: &str) -> Vec<Scenario> {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        load_all(&folder).unwrap().into_iter().map(|file| file.scenario.unwrap()).collect()
    }

    #[test]
    fn a_scenario_that_asserts_nothing_is_refused() {
        for text in [
            "",
            "steps: [{run: []}]\n",
            "router: installed\nfeed: wrong-key\nsteps: [{loaded: [x]}]\n",
            "kernels: {only: [\"5.4\"], because: x}\nsteps: [{loaded: [x]}]\n",
            "needs: {kernel: \"5\"}\nsteps: [{loaded: [x]}]\n",
            "kernels: {only: [\"6.1\"], because: \"\"}\nsteps: [{loaded: [x]}]\n",
            "steps: [{loaded: [x], kernels: {only: [], because: x}}]\n",
            "needs: {programs: [\"a b\"]}\nsteps: [{loaded: [x]}]\n",
            "needs: {packages: [tc-tiny]}\nsteps: [{loaded: [x]}]\n",
            "needs: {programs: [tc], packages: [\"a b\"]}\nsteps: [{loaded: [x]}]\n",
            "feed: trees\nneeds: {programs: [tc], packages: [tc-tiny]}\nsteps: [{loaded: [x]}]\n",
            "router: older-kernel\nsteps: [{sysupgrade: keeps-files}]\n",
            "router: older-kernel\nfeed: trees\nsteps: [{loaded: [x]}]\n",
            "steps: [{load: \"a b\"}]\n",
            "steps: [{load: x, within: 5s}]\n",
            "steps: [{unload: x, with: [a=1]}]\n",
            "steps: [{reload: x, with: [\"a=$(b)\"]}]\n",
            "steps: [{link: {name: a/b, type: dummy}}]\n",
            "offload: {offload: x, traffic: []}\n",
            "offload: {offload: x, slow-packets: 99, traffic: [{proto: udp, bytes: 200000}]}\n",
            "offload: {offload: x, traffic: [{proto: udp, bytes: 999, size: 9}]}\n",
            "offload: {offload: x, seen-from: 1.2.3.4, traffic: [{proto: udp, family: ipv6, bytes: 200000}]}\n",
            "offload: {offload: x, traffic: [{proto: udp, bytes: 200000, size: 9000}]}\n",
        ] {
            assert_eq!(parse(text).unwrap_err().id(), "SCEN001", "{text}");
        }
    }

    #[test]
    fn what_is_no_step_is_told_with_its_place_and_what_belongs_there() {
        for (step, said) in [
            ("{}", "neither does nor checks anything"),
            ("{kernels: {only: [\"6.1\"], because: x}}", "neither does nor checks anything"),
            ("{says: [x]}", "`says` belongs to `run`, `manager`, `ruleset` or `ruleset-add`"),
            ("{exit: nonzero, loaded: [x]}", "`exit` belongs to `run`"),
            ("{says-not: [x], loaded: [x]}", "`says-not` belongs to `run`"),
            ("{each-says: {apk: [x]}, open: {flow: a, proto: udp}}", "`each-says` belongs to `run`"),
            ("{packages: [x], loaded: [x]}", "`packages` belongs to `manager`"),
            ("{ruleset: x, within: 5s}", "`within` belongs to `run`"),
            ("{run: [x], manager: update}", "several things, `run` and `manager`"),
            ("{ruleset: x, ruleset-add: y}", "`ruleset` and `ruleset-add`"),
            ("{close: a, abort: a}", "`close` and `abort`"),
            ("{ruleset-add: x, ruleset-add: x}", "duplicate field `ruleset-add`"),
            ("{rum: [x]}", "unknown field `rum`, expected one of `kernels`, `offload-flag`, `run`"),
            ("[run]", "expected a step"),
            ("{run: {x: y}}", "invalid type: map, expected a sequence"),
        ] {
            for (above, at) in
                [("", "sample.yaml:4:"), ("  - exchange:\n      flow: a\n      during:\n", "sample.yaml:7:")]
            {
                let failure = parse(&format!("steps:\n{above}        - {step}\n")).unwrap_err();
                assert_eq!((failure.id(), failure.exit()), ("CONF001", Exit::Usage), "{step}");
                let told = failure.to_string();
                assert!(told.contains(said) && told.contains(at) && told.contains("steps[0]"), "{told}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_the_line_of_its_step() {
        let failure = parse("steps:\n  - loaded: [x]\n  - close: a\n").unwrap_err();
        assert_eq!(failure.finding().what, "step 2 ends `a`, which is not open");
        assert!(failure.finding().place.as_ref().unwrap().ends_with("sample.yaml:5"), "{failure}");
    }

    #[test]
    fn steps_over_flows_must_fit_together() {
        let open = "{open: {flow: a, proto: udp}}";
        let slow = "{exchange: {flow: a, packets: 100, path: slow}}";
        let fast = "{exchange: {flow: a, packets: 100, path: fast}}";
        let steps = |list: &[&str]| parse(&format!("steps: [{}]\n", list.join(", ")));
        let scenario = steps(&[open, slow, fast]).unwrap();
        assert!(scenario.needs_fast_path("6.1"));
        assert!(!steps(&[open, slow]).unwrap().needs_fast_path("6.1"));
        let new = "{exchange: {flow: a, packets: 100, path: fast}, kernels: {only: [newest], because: x}}";
        let differs = steps(&[open, slow, new]).unwrap();
        assert!(differs.needs_fast_path("newest") && !differs.needs_fast_path("6.1"));
        let closed = "{conntrack: {flow: a, state: CLOSE}}";
        steps(&[open, "{close: a}", closed]).unwrap();
        let tcp = "{open: {flow: a, proto: tcp}}";
        for list in [
            &["{open: {proto: udp}}"][..],
            &["{open: {flow: a, proto: udp, bytes: 100000}}"],
            &[open, open],
            &[slow],
            &[open, "{close: a}", slow],
            &["{close: a}"],
            &["{abort: a}"],
            &[closed],
            &[open, "{conntrack: {flow: a}}"],
            &[open, "{conntrack: {flow: a, gone: true, offload: true}}"],
            &[open, "{exchange: {flow: a, path: slow}}"],
            &[open, "{exchange: {flow: [], packets: 100}}"],
            &[open, "{exchange: {flow: a, packets: 100, bytes: 100000}}"],
            &[open, "{exchange: {flow: a, packets: 99, path: slow}}"],
            &[tcp, "{exchange: {flow: a, packets: 100}}"],
            &[open, "{exchange: {flow: a, packets: 100, during: [{close: b}]}}"],
            &[open, "{exchange: {flow: a, packets: 100, lossy: true, path: slow}}"],
            &[open, "{exchange: {flow: a, packets: 100, refused: expired}}"],
            &["{ftp: {control: c, data: c, mode: active}}"],
            // No control: a counter that never moves would look like offload.
            &[open, fast],
        ] {
            assert_eq!(steps(list).unwrap_err().id(), "SCEN001", "{list:?}");
        }
    }

    #[test]
    fn a_path_in_hardware_needs_a_card_and_a_card_its_driver() {
        let steps = |router: &str, first: &str| {
            let open = "{open: {flow: a, proto: udp}}, {exchange: {flow: a, packets: 100, path: slow}}";
            let fast = "{exchange: {flow: a, packets: 100, path: hardware-there}}";
            parse(&format!("router: {router}\nsteps: [{first}{open}, {fast}]\n"))
        };
        let scenario = steps("card", "{card: {refuse: \"ipv6,from:wan0\", table_size: 4}}, ").unwrap();
        assert!(scenario.needs_hardware("6.12") && scenario.needs_fast_path("6.12"));
        let Some(Deed::Card(card)) = &scenario.steps[0].deed else { panic!("{:?}", scenario.steps) };
        assert_eq!(card.to_string(), "a card that offloads, refuse ipv6,from:wan0, table_size 4");
        for (router, first) in [("card", ""), ("installed", "{card: {}}, "), ("card", "{card: {refuse: \"a b\"}}, ")] {
            assert_eq!(steps(router, first).unwrap_err().id(), "SCEN001", "{router} {first}");
        }
        assert_eq!(steps("card", "{card: {refuse: [a]}}, ").unwrap_err().id(), "CONF001");
    }

    #[test]
    fn a_step_for_a_kind_of_kernel_proves_nothing_on_the_others() {
        let scenario = |flag: &str| {
            parse(&format!(
                "steps: [{{open: {{flow: a, proto: udp}}}}, {{exchange: {{flow: a, packets: 100, path: slow}}}}, \
                 {{exchange: {{flow: a, packets: 100, path: fast}}{flag}}}]\n"
            ))
        };
        assert!(scenario("").unwrap().needs_fast_path("6.12"));
        let taken = scenario(", offload-flag: taken").unwrap();
        assert_eq!(taken.steps[2].flag, Some(OffloadFlag::Taken));
        assert!(!taken.needs_fast_path("6.12"));
        assert_eq!(scenario(", offload-flag: maybe").unwrap_err().id(), "CONF001");
    }

    #[test]
    fn words_are_checked_by_the_reader() {
        let scenario = parse("feed: wrong-key\nsteps: [{run: [opkg, update], exit: nonzero, says: [key]}]\n").unwrap();
        assert_eq!((scenario.feed, scenario.name.as_str()), (FeedVariant::WrongKey, "sample"));
        assert_eq!(scenario.group, Group::Own);
        let Some(Deed::Run(run)) = &scenario.steps[0].deed else { panic!("{:?}", scenario.steps) };
        assert!(run.answer.exit.accepts(255) && !run.answer.exit.accepts(0));
        for text in [
            "feed: nice\nsteps: [{loaded: [x]}]\n",
            "steps: [{run: [x], exit: maybe}]\n",
            "steps: [{run: [x], within: soon}]\n",
            "group: best\nsteps: [{loaded: [x]}]\n",
            "stesp: []\n",
        ] {
            assert_eq!(parse(text).unwrap_err().id(), "CONF001", "{text}");
        }
    }

    #[test]
    fn each_manager_has_its_own_words() {
        let scenario =
            parse("steps: [{manager: install, packages: [a, b], says: [x], each-says: {apk: [y]}}]\n").unwrap();
        assert_eq!(scenario.managers, [Format::Ipk, Format::Apk]);
        let Some(Deed::Manage(manage)) = &scenario.steps[0].deed else { panic!("{:?}", scenario.steps) };
        assert_eq!(manage.words(Format::Ipk), ["opkg", "install", "a", "b"]);
        assert_eq!(manage.words(Format::Apk), ["apk", "add", "a", "b"]);
        assert_eq!(manage.answer.texts(Format::Ipk).collect::<Vec<_>>(), ["x"]);
        assert_eq!(manage.answer.texts(Format::Apk).collect::<Vec<_>>(), ["x", "y"]);
        let installed = parse("router: installed\nsteps: [{loaded: [x]}]\n").unwrap();
        assert_eq!(installed.managers, [Format::Apk], "one is enough where nothing is installed");
    }

    #[test]
    fn programs_that_a_release_does_not_have_by_itself_are_named_as_needs() {
        const EXTRA: [&str; 4] = ["conntrack", "pppd", "tc", "unshare"];
        fn programs(steps: &[Step]) -> Vec<String> {
            let program = |step: &'_ Step| match &step.deed {
                Some(Deed::Run(run)) => run.words.first().cloned(),
                _ => None,
            };
            steps.iter().flat_map(|step| program(step).into_iter().chain(programs(step.during()))).collect()
        }
        for scenario in all("scenarios") {
            for program in programs(&scenario.steps).into_iter().filter(|program| EXTRA.contains(&program.as_str())) {
                let named = scenario.needs.programs.iter().any(|need| need.contains(&program));
                assert!(named, "{}: {program}", scenario.name);
                // No release's image has a card.
                let brought = scenario.router == Start::Card || !scenario.needs.packages.is_empty();
                assert!(brought, "{}: which package brings {program}?", scenario.name);
            }
        }
    }

    #[test]
    fn the_scenarios_that_fail_on_purpose_are_valid() {
        for (folder, count) in [("fails-on-purpose/scenarios", 1), ("red-on-purpose", 3)] {
            let scenarios = all(&format!("fixtures/{folder}"));
            assert_eq!(scenarios.len(), count, "{folder}");
            assert!(scenarios.iter().all(|scenario| scenario.needs_fast_path("6.12")), "{folder}");
        }
    }

    #[test]
    fn every_scenario_of_the_project_is_valid() {
        let scenarios = all("scenarios");
        assert!(scenarios.iter().any(|scenario| scenario.offload.is_some()));
        for variant in
            [FeedVariant::WrongKey, FeedVariant::FlippedPackage, FeedVariant::FlippedIndex, FeedVariant::OtherKernel]
        {
            let refused: Vec<_> = scenarios.iter().filter(|scenario| scenario.feed == variant).collect();
            assert!(!refused.is_empty(), "no scenario serves {variant:?}");
            for scenario in refused {
                assert!(
                    scenario.steps.iter().any(|step| step.facts.root_unchanged),
                    "{} checks no root",
                    scenario.name
                );
            }
        }
        for scenario in &scenarios {
            let must = scenario.group == Group::MustOffload;
            assert!(!must || scenario.needs_fast_path("6.12"), "{} sends nothing over the fast path", scenario.name);
            let found = (1..=scenario.steps.len() + 1).map(|step| scenario.lines.find(&format!("step {step}")));
            assert_eq!(found.flatten().count(), scenario.steps.len(), "{}: lines of steps", scenario.name);
        }
    }
}
