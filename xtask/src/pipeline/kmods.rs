//! One table with the results for each of the user's kmods, on each kernel.
//!
//! | Column | Says |
//! |---|---|
//! | compiles | it has a source, from which the kernel's build system builds its modules |
//! | packs | the recipe fits the kernel, and the package contains what it must |
//! | loads | installed by a package manager, its modules are loaded, and are those of the package |
//! | works | the user's scenarios that install it pass |
//! | unloads | its modules can be unloaded and loaded again |
//! | clean | the kernel logged no problem, leaked no memory in a load, and is tainted only as by any out-of-tree module |
//!
//! A kmod that does not compile or pack is left out together with everything that needs it, so that the others are
//! still tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use model::kmod::{COLUMNS, Cell, KmodRow};
use model::{Event, Events, Exit, Failure, Format, Result, Verdict};
use scenarios::scenario::{Action, Deed, Lines, parse};
use scenarios::{Module, Payload, Scenario};
use sdk::openwrt::FeedFolder;

use super::job::Job;
use crate::Ctx;

type Row = [Cell; COLUMNS.len()];

const UNKNOWN: Row = [const { Cell::Unknown }; COLUMNS.len()];

/// For three columns, the step of [`scenario_of`] that begins their test.
const STEPS: [(usize, usize); 3] = [(2, 1), (4, 3), (5, 5)];

/// The table.
#[derive(Default)]
pub(super) struct Kmods {
    /// Rows by kmod and kernel line.
    rows: Mutex<BTreeMap<(String, String), Row>>,
}

/// A job without the kmods that could not be built.
pub(super) struct Tried {
    pub(super) job: Job,
    /// The user's kmods that could be built.
    pub(super) left: BTreeSet<String>,
    /// The user's kmods that could not.
    pub(super) gone: BTreeSet<String>,
    /// The exit code for what could not be built.
    pub(super) exit: Exit,
}

/// The kmods of the user's recipes that have modules.
fn of_user(ctx: &Ctx, job: &Job) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in ctx.recipes.iter().skip(1) {
        let files = host::files::with_extension(folder, &["yaml"])?;
        names.extend(files.iter().filter_map(|file| file.file_stem().map(str::to_owned)));
    }
    let recipes = &job.recipes().kmods;
    names.retain(|name| recipes.get(name).is_some_and(|kmod| !kmod.modules.is_empty()));
    names.extend(job.own_feed().into_iter().flat_map(FeedFolder::kmods).map(|(name, _)| name.to_owned()));
    Ok(names)
}

/// What is left out after a failed build: a kmod, or a folder of the user's feed with everything built from it.
struct Broken {
    /// Its name.
    name: String,
    /// The kmods that it consists of.
    kmods: BTreeSet<String>,
}

impl Broken {
    fn of(failure: &Failure, left: &BTreeSet<String>, feed: Option<&FeedFolder>) -> Option<Broken> {
        let sources = feed.into_iter().flat_map(|feed| &feed.sources);
        let source = sources
            .filter(|source| is_about(failure, source.name()))
            .map(|source| Broken { name: source.name().to_owned(), kmods: source.kmods.iter().cloned().collect() });
        let kmod = left.iter().filter(|name| is_about(failure, name));
        let kmod = kmod.map(|name| Broken { name: name.clone(), kmods: BTreeSet::from([name.clone()]) });
        kmod.chain(source).next()
    }
}

impl Kmods {
    /// The job without the user's kmods that do not compile or pack for its kernel; those are noted and reported.
    /// `build` builds the packages.
    pub(super) fn without_broken(
        &self,
        ctx: &Ctx,
        job: &Job,
        kernel: &str,
        build: impl Fn(&Job) -> Result<()>,
    ) -> Result<Tried> {
        let mut all_gone = BTreeSet::new();
        let mut left = of_user(ctx, job)?;
        let (mut job, mut exit) = (job.clone(), Exit::Done);
        while !left.is_empty() || job.own_feed().is_some_and(|feed| !feed.sources.is_empty()) {
            let failure = match build(&job) {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let Some(broken) = Broken::of(&failure, &left, job.own_feed()) else { return Err(failure) };
            let needs = |name: &String| {
                let kmod = job.recipes().kmods.get(name);
                kmod.is_some_and(|kmod| job.recipes().dependencies_of(kmod).contains(broken.name.as_str()))
            };
            let is_gone = |name: &&String| broken.kmods.contains(*name) || needs(name);
            let mut gone: BTreeSet<String> = left.iter().filter(is_gone).cloned().collect();
            for name in &gone {
                let row = if broken.kmods.contains(name) { broken_by(&failure) } else { without(&broken.name) };
                self.note(name, kernel, row);
            }
            exit = exit.worse(failure.exit());
            ctx.events.emit(Event::Finding(failure.finding().clone()));
            left.retain(|name| !gone.contains(name));
            gone.insert(broken.name);
            job = job.without(&gone);
            all_gone.extend(gone);
        }
        for name in &left {
            let mut row = UNKNOWN;
            row[0] = match job.recipes().kmods.get(name) {
                Some(kmod) if kmod.source.is_none() => Cell::Skipped("it is the kernel's own".into()),
                _ => Cell::Yes,
            };
            row[1] = Cell::Yes;
            self.note(name, kernel, row);
        }
        Ok(Tried { job, left, gone: all_gone, exit })
    }

    fn note(&self, kmod: &str, kernel: &str, row: Row) {
        let mut rows = self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        rows.insert((kmod.to_owned(), kernel.to_owned()), row);
    }

    /// A scenario for each kmod that has modules on a kernel; a kmod without modules is noted.
    pub(super) fn scenarios(
        &self,
        job: &Job,
        kernel: &str,
        kmods: &BTreeSet<String>,
        payload: &Payload,
    ) -> Result<Vec<Scenario>> {
        let mut scenarios = Vec::new();
        for kmod in kmods {
            match payload.0.get(kmod).filter(|modules| !modules.is_empty()) {
                Some(modules) => scenarios.push(scenario_of(kmod, modules)?),
                None if job.recipes().kmods.contains_key(kmod) => {
                    self.skip(kmod, kernel, "its modules are part of this kernel");
                }
                None => self.skip(kmod, kernel, "it is not for this target: a condition in its DEPENDS does not hold"),
            }
        }
        Ok(scenarios)
    }

    fn skip(&self, kmod: &str, kernel: &str, why: &str) {
        let mut row = UNKNOWN;
        row.fill(Cell::Skipped(why.to_owned()));
        self.note(kmod, kernel, row);
    }

    /// Runs `work`, forwards its events to `events`, and notes the results of its cases.
    pub(super) fn listen<T>(
        &self,
        events: &Events,
        kernel: &str,
        chosen: &[Scenario],
        work: impl FnOnce(&Events) -> T,
    ) -> T {
        let (sender, received) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for event in received {
                    if let Event::CaseEnd { verdict, record, .. } = &event {
                        self.hear(kernel, chosen, &record.scenario, verdict);
                    }
                    events.emit(event);
                }
            });
            work(&Events::to(sender))
        })
    }

    fn hear(&self, kernel: &str, chosen: &[Scenario], scenario: &str, verdict: &Verdict) {
        let mut rows = self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let rows = rows.iter_mut().filter(|((_, on), _)| on == kernel);
        for ((kmod, _), row) in rows {
            if scenario == name_of(kmod) {
                judge(row, verdict);
            } else if chosen.iter().any(|known| known.name == scenario && installs(known, kmod)) {
                row[3] = worse(&row[3], of_verdict(verdict));
            }
        }
    }

    /// Prints the table, and passes it to the reports.
    pub(super) fn tell(&self, ctx: &Ctx) {
        let rows = self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let row = |((kmod, kernel), cells): (&(String, String), &Row)| KmodRow {
            kmod: kmod.clone(),
            kernel: kernel.clone(),
            cells: cells.clone(),
        };
        let rows: Vec<KmodRow> = rows.iter().map(row).collect();
        if rows.is_empty() {
            return;
        }
        for line in lines(&rows) {
            ctx.events.notice("kmods", line);
        }
        rows.into_iter().for_each(|row| ctx.events.emit(Event::Kmod(row)));
    }
}

/// The table as text, followed by the reason in each row that has one.
fn lines(rows: &[KmodRow]) -> Vec<String> {
    let width = rows.iter().map(|row| row.kmod.len()).chain([4]).max().unwrap_or(4);
    let head = COLUMNS.map(|column| format!("{column:<8}")).join("  ");
    let mut lines = vec![format!("{:<width$}  {:<7}  {head}", "kmod", "kernel").trim_end().to_owned()];
    for row in rows {
        let cells = row.cells.each_ref().map(|cell| format!("{:<8}", cell.word())).join("  ");
        lines.push(format!("{:<width$}  {:<7}  {cells}", row.kmod, row.kernel).trim_end().to_owned());
        lines.extend(row.why().map(|why| format!("{:<width$}  {:<7}  {why}", "", "")));
    }
    lines
}

/// Whether a failed build is about this kmod: such failures name it in their place.
fn is_about(failure: &Failure, kmod: &str) -> bool {
    let place = failure.finding().place.as_deref();
    failure.exit() == Exit::Failed
        && place.is_some_and(|place| place == kmod || place.starts_with(&format!("{kmod} on kernel ")))
}

fn broken_by(failure: &Failure) -> Row {
    let mut row = UNKNOWN;
    let finding = failure.finding();
    // A compiler's error may be in either text; without one, `what` says more than `why`.
    let error = finding.why.lines().map(str::trim).find(|line| line.contains("error: "));
    let said = error.filter(|_| !finding.what.contains("error: ")).unwrap_or(&finding.what);
    let why = format!("{}: {}", finding.id, said.lines().next().unwrap_or_default());
    if finding.id.starts_with("BLD") {
        row[0] = Cell::No(why);
    } else {
        // Symbols are checked only after the modules were built.
        row[0] = if finding.id == sdk::SYMBOL_OF_OTHERS { Cell::Yes } else { Cell::Unknown };
        row[1] = Cell::No(why);
    }
    row
}

fn without(broken: &str) -> Row {
    let mut row = UNKNOWN;
    row[1] = Cell::Skipped(format!("it needs {broken}, which could not be built"));
    row
}

/// Fills a row from the verdict on [`scenario_of`].
fn judge(row: &mut Row, verdict: &Verdict) {
    let columns = [2, 4, 5];
    match verdict {
        Verdict::Pass => columns.into_iter().for_each(|column| row[column] = worse(&row[column], Cell::Yes)),
        Verdict::Fail { finding } => {
            let place = finding.place.as_deref().unwrap_or_default();
            let step =
                place.strip_prefix("step ").and_then(|rest| rest.split([',', '.']).next()?.parse::<usize>().ok());
            // A failure at the end is about the kernel's log.
            let broken = match step {
                None => 5,
                Some(step) => STEPS.iter().rev().find(|(_, from)| step >= *from).map_or(2, |(column, _)| *column),
            };
            for column in columns.into_iter().filter(|column| *column <= broken) {
                let cell = if column == broken { Cell::No(finding.what.clone()) } else { Cell::Yes };
                row[column] = worse(&row[column], cell);
            }
        }
        Verdict::Skip { reason } => columns.into_iter().for_each(|column| row[column] = Cell::Skipped(reason.clone())),
        Verdict::Blocked { .. } => {}
    }
}

fn of_verdict(verdict: &Verdict) -> Cell {
    match verdict {
        Verdict::Pass => Cell::Yes,
        Verdict::Fail { finding } => Cell::No(finding.what.clone()),
        Verdict::Skip { reason } => Cell::Skipped(reason.clone()),
        Verdict::Blocked { .. } => Cell::Unknown,
    }
}

/// The worse of two results.
fn worse(one: &Cell, other: Cell) -> Cell {
    match (one, other) {
        (Cell::No(_), _) => one.clone(),
        (Cell::Unknown, other) => other,
        (_, other @ Cell::No(_)) => other,
        (Cell::Yes, _) => Cell::Yes,
        (_, other) => other,
    }
}

fn name_of(kmod: &str) -> String {
    format!("module-of-{kmod}")
}

/// Whether a scenario installs a kmod.
pub(super) fn installs(scenario: &Scenario, kmod: &str) -> bool {
    scenario.steps.iter().any(|step| match &step.deed {
        Some(Deed::Manage(manage)) => {
            manage.action == Action::Install && manage.packages.iter().any(|name| name == kmod)
        }
        _ => false,
    })
}

/// The test for every module: installed and loaded, unloaded, loaded again, and then no problem in the kernel.
fn scenario_of(name: &str, modules: &[Module]) -> Result<Scenario> {
    let modules: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let (words, pattern, names) = (modules.join(" "), modules.join("|"), modules.join(", "));
    let text = format!(
        "version: 1
title: The modules of {name} load and unload, and leave the kernel clean
needs: {{ without: [\"{name}\"] }}
steps:
  - manager: update
  - manager: install
    packages: [\"{name}\"]
    loaded-from-feed: [\"{name}\"]
  # In whichever order they let go of each other.
  - run: [sh, -c, \"for round in 1 2 3 4; do for name in {words}; do rmmod $name; done; done 2>/dev/null; ! grep -E '^({pattern}) ' /proc/modules\"]
    within: 20s
  - run: [kmodloader]
    loaded-from-feed: [\"{name}\"]
    taint: [O, E]
  - no-leak: [{names}]
  - manager: remove
    packages: [\"{name}\"]
    not-installed: [\"{name}\"]
"
    );
    let mut scenario = parse(&camino::Utf8PathBuf::from(format!("{}.yaml", name_of(name))), &text)?;
    scenario.lines = Lines::default();
    // The result does not depend on the package manager.
    (scenario.managers, scenario.any_manager) = (vec![Format::Apk], true);
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Finding, Problem, Severity};

    fn failure(id: &'static str, place: &str, why: &str) -> Failure {
        Failure::of(Problem { exit: Exit::Failed, id, what: "it is wrong", why, fix: "" }).at(place)
    }

    fn fail(place: &str) -> Verdict {
        let finding = Finding {
            id: "STEP001",
            severity: Severity::Error,
            place: Some(place.into()),
            what: "it does not".into(),
            why: String::new(),
            fix: String::new(),
        };
        Verdict::Fail { finding }
    }

    fn shorts(row: &Row) -> [&str; 6] {
        row.each_ref().map(Cell::word)
    }

    #[test]
    fn what_does_not_compile_or_pack_is_told_with_the_first_error() {
        let broken = failure("BLD003", "kmod-a on kernel 6.1.0", "make: entering\na.c:3:1: error: no such thing\nmore");
        assert!(is_about(&broken, "kmod-a") && !is_about(&broken, "kmod-ab") && !is_about(&broken, "kmod"));
        let row = broken_by(&broken);
        assert_eq!(shorts(&row), ["NO", "?", "?", "?", "?", "?"]);
        assert_eq!(row[0].why(), Some("BLD003: a.c:3:1: error: no such thing"));
        let row = broken_by(&failure("KMOD001", "kmod-a on kernel 6.1.0", "why"));
        assert_eq!((shorts(&row)[1], row[1].why()), ("NO", Some("KMOD001: it is wrong")));
        // How failures of the kernel's build are reported today: the error is in `what`.
        let said = Failure::of(Problem {
            exit: Exit::Failed,
            id: "BLD003",
            what: "it does not compile on 6.12: a.c:1:2: error: gone",
            why: "that is the first error",
            fix: "",
        });
        assert_eq!(broken_by(&said)[0].why(), Some("BLD003: it does not compile on 6.12: a.c:1:2: error: gone"));
        assert_eq!(broken_by(&failure("KMOD007", "kmod-a", "why"))[0], Cell::Yes);
        assert_eq!(without("kmod-a")[1], Cell::Skipped("it needs kmod-a, which could not be built".into()));
    }

    #[test]
    fn each_step_stands_for_a_column() {
        let after = |verdict: &Verdict| {
            let mut row = UNKNOWN;
            judge(&mut row, verdict);
            let [.., loads, _, unloads, clean] = shorts(&row);
            [loads, unloads, clean].map(str::to_owned)
        };
        assert_eq!(after(&Verdict::Pass), ["yes"; 3]);
        assert_eq!(after(&fail("step 2")), ["NO", "?", "?"]);
        assert_eq!(after(&fail("step 3, x")), ["yes", "NO", "?"]);
        assert_eq!(after(&fail("step 5")), ["yes", "yes", "NO"]);
        assert_eq!(after(&fail("kernel log")), ["yes", "yes", "NO"]);
        assert_eq!(after(&Verdict::Skip { reason: "x".into() }), ["skip"; 3]);
    }

    #[test]
    fn of_several_scenarios_the_worst_counts_and_the_table_tells_why() {
        let kmods = Kmods::default();
        kmods.note("kmod-a", "6.12", UNKNOWN);
        let text = "version: 1\ntitle: x\nsteps: [{manager: install, packages: [kmod-a]}]";
        let chosen = [parse("one.yaml".into(), text).unwrap(), parse("two.yaml".into(), text).unwrap()];
        for (scenario, verdict) in
            [("one", fail("step 1")), ("two", Verdict::Pass), ("module-of-kmod-a", Verdict::Pass)]
        {
            kmods.hear("6.12", &chosen, scenario, &verdict);
            kmods.hear("6.1", &chosen, scenario, &verdict);
        }
        kmods.skip("kmod-b", "7.2", "its modules are part of this kernel");
        let rows = kmods.rows.lock().unwrap();
        let row = |((kmod, kernel), cells): (&(String, String), &Row)| KmodRow {
            kmod: kmod.clone(),
            kernel: kernel.clone(),
            cells: cells.clone(),
        };
        let told = lines(&rows.iter().map(row).collect::<Vec<_>>());
        assert_eq!(told[1], "kmod-a  6.12     ?         ?         yes       NO        yes       yes");
        assert_eq!(told[2].trim(), "it does not");
        assert!(told[3].starts_with("kmod-b  7.2      skip") && told[4].ends_with("part of this kernel"), "{told:?}");
    }
}
