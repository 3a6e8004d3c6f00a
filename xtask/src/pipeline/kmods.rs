//! What was found out about each kmod of the user's, on each kernel: one table.
//!
//! | Column | Says |
//! |---|---|
//! | compiles | it has a source, and the kernel's own build makes its modules of it |
//! | packs | the recipe fits the kernel, and the package holds what it must |
//! | loads | installed by a package manager, its modules are loaded, and are the package's |
//! | works | the user's scenarios that install it pass |
//! | unloads | its modules go, and can be loaded again |
//! | clean | the kernel complained of nothing, and is tainted only as by any module from outside |
//!
//! One that does not compile or pack is left out with all that needs it, so that the others are tried all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use model::{Event, Events, Exit, Failure, Format, Result, Verdict};
use scenarios::scenario::{Action, Deed, Lines, parse};
use scenarios::{Module, Payload, Scenario};

use super::job::Job;
use crate::Ctx;

/// What a cell says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Yes,
    No(String),
    /// Not for this kernel, or nothing to do, with the reason.
    Skipped(String),
    /// Nothing was found out.
    Unknown,
}

/// The columns, in the order in which they are found out.
const COLUMNS: [&str; 6] = ["compiles", "packs", "loads", "works", "unloads", "clean"];

type Row = [Cell; COLUMNS.len()];

const UNKNOWN: Row = [const { Cell::Unknown }; COLUMNS.len()];

/// The steps of [`scenario_of`] from which on a column is in question.
const STEPS: [(usize, usize); 3] = [(2, 1), (4, 3), (5, 5)];

/// The table.
#[derive(Default)]
pub(super) struct Kmods {
    /// By kmod and kernel line.
    rows: Mutex<BTreeMap<(String, String), Row>>,
}

/// A job of which what could not be built was left out.
pub(super) struct Tried {
    pub(super) job: Job,
    /// The kmods of the user's that could be built.
    pub(super) left: BTreeSet<String>,
    /// Those that could not.
    pub(super) gone: BTreeSet<String>,
    /// How bad that is.
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
    Ok(names)
}

impl Kmods {
    /// The job without the kmods of the user's that do not compile or pack for its kernel, which are noted and told.
    /// `build` makes the packages.
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
        while !left.is_empty() {
            let failure = match build(&job) {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let Some(broken) = left.iter().find(|name| is_about(&failure, name)).cloned() else { return Err(failure) };
            let needs = |name: &String| {
                let kmod = job.recipes().kmods.get(name);
                kmod.is_some_and(|kmod| job.recipes().dependencies_of(kmod).contains(broken.as_str()))
            };
            let gone: BTreeSet<String> = left.iter().filter(|name| **name == broken || needs(name)).cloned().collect();
            for name in &gone {
                let row = if *name == broken { broken_by(&failure) } else { without(&broken) };
                self.note(name, kernel, row);
            }
            exit = exit.worse(failure.exit());
            ctx.events.emit(Event::Finding(failure.finding().clone()));
            left.retain(|name| !gone.contains(name));
            job = job.without(&gone);
            all_gone.extend(gone);
        }
        for name in &left {
            let Some(kmod) = job.recipes().kmods.get(name) else { continue };
            let mut row = UNKNOWN;
            row[0] = match kmod.source {
                Some(_) => Cell::Yes,
                None => Cell::Skipped("it is the kernel's own".into()),
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

    /// A scenario for each kmod that has modules on a kernel; that others have none is noted.
    pub(super) fn scenarios(
        &self,
        job: &Job,
        kernel: &str,
        kmods: &BTreeSet<String>,
        payload: &Payload,
    ) -> Result<Vec<Scenario>> {
        let mut scenarios = Vec::new();
        for kmod in kmods.iter().filter_map(|name| job.recipes().kmods.get(name)) {
            match payload.0.get(&kmod.package).filter(|modules| !modules.is_empty()) {
                Some(modules) => scenarios.push(scenario_of(&kmod.package, modules)?),
                None => self.built_in(&kmod.package, kernel),
            }
        }
        Ok(scenarios)
    }

    fn built_in(&self, kmod: &str, kernel: &str) {
        let mut row = UNKNOWN;
        row.fill(Cell::Skipped("its modules are part of this kernel".into()));
        self.note(kmod, kernel, row);
    }

    /// Does work whose events go on to `events`, and notes what its cases came to.
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

    /// Prints the table, and tells it to the reports.
    pub(super) fn tell(&self, ctx: &Ctx) {
        let rows = self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if rows.is_empty() {
            return;
        }
        for line in lines(&rows) {
            ctx.events.notice("kmods", line);
        }
        for ((kmod, kernel), row) in rows.iter() {
            let told = COLUMNS.iter().zip(row).map(|(column, cell)| format!("{column}: {}", cell.long()));
            ctx.events.fact(&format!("{kmod} on kernel {kernel}"), told.collect::<Vec<_>>().join(", "));
        }
    }
}

impl Cell {
    fn short(&self) -> &'static str {
        match self {
            Cell::Yes => "yes",
            Cell::No(_) => "NO",
            Cell::Skipped(_) => "skip",
            Cell::Unknown => "?",
        }
    }

    fn long(&self) -> String {
        match self {
            Cell::No(why) => format!("no ({why})"),
            Cell::Skipped(why) => format!("skipped ({why})"),
            Cell::Yes | Cell::Unknown => self.short().to_owned(),
        }
    }
}

/// The table as text, with the first reason of each row that has one.
fn lines(rows: &BTreeMap<(String, String), Row>) -> Vec<String> {
    let width = rows.keys().map(|(kmod, _)| kmod.len()).chain([4]).max().unwrap_or(4);
    let head = COLUMNS.map(|column| format!("{column:<8}")).join("  ");
    let mut lines = vec![format!("{:<width$}  {:<7}  {head}", "kmod", "kernel")];
    for ((kmod, kernel), row) in rows {
        let cells = row.each_ref().map(|cell| format!("{:<8}", cell.short())).join("  ");
        lines.push(format!("{kmod:<width$}  {kernel:<7}  {cells}").trim_end().to_owned());
        let why = row.iter().find_map(|cell| match cell {
            Cell::No(why) => Some(why),
            _ => None,
        });
        let why = why.or_else(|| match &row[1] {
            Cell::Skipped(why) => Some(why),
            _ => None,
        });
        lines.extend(why.map(|why| format!("{:<width$}  {:<7}  {why}", "", "")));
    }
    lines
}

/// Whether a failure of building packages is about this kmod: they say so in their place.
fn is_about(failure: &Failure, kmod: &str) -> bool {
    let place = failure.finding().place.as_deref();
    failure.exit() == Exit::Failed
        && place.is_some_and(|place| place == kmod || place.starts_with(&format!("{kmod} on kernel ")))
}

fn broken_by(failure: &Failure) -> Row {
    let mut row = UNKNOWN;
    let finding = failure.finding();
    let compiles = !finding.id.starts_with("BLD");
    let why = format!("{}: {}", finding.id, first_line(if compiles { &finding.what } else { &finding.why }));
    row[0] = if compiles { Cell::Unknown } else { Cell::No(why.clone()) };
    if compiles {
        row[1] = Cell::No(why);
    }
    row
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| line.contains("error")).or_else(|| text.lines().next()).unwrap_or_default()
}

fn without(broken: &str) -> Row {
    let mut row = UNKNOWN;
    row[1] = Cell::Skipped(format!("it needs {broken}, which is not there"));
    row
}

/// What a verdict on [`scenario_of`] says.
fn judge(row: &mut Row, verdict: &Verdict) {
    let columns = [2, 4, 5];
    match verdict {
        Verdict::Pass => columns.into_iter().for_each(|column| row[column] = worse(&row[column], Cell::Yes)),
        Verdict::Fail { finding } => {
            let place = finding.place.as_deref().unwrap_or_default();
            let step =
                place.strip_prefix("step ").and_then(|rest| rest.split([',', '.']).next()?.parse::<usize>().ok());
            // What is found at the end is the kernel's log.
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

/// Of several scenarios the worst counts.
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

/// What every module has to stand: installed and loaded, unloaded, loaded again, and nothing wrong with the kernel then.
fn scenario_of(name: &str, modules: &[Module]) -> Result<Scenario> {
    let modules: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let (words, pattern) = (modules.join(" "), modules.join("|"));
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
  - manager: remove
    packages: [\"{name}\"]
    not-installed: [\"{name}\"]
"
    );
    let mut scenario = parse(&camino::Utf8PathBuf::from(format!("{}.yaml", name_of(name))), &text)?;
    scenario.lines = Lines::default();
    // It does not depend on who installed it.
    scenario.managers = vec![Format::Apk];
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
        row.each_ref().map(Cell::short)
    }

    #[test]
    fn what_does_not_compile_or_pack_is_told_with_the_first_error() {
        let broken = failure("BLD003", "kmod-a on kernel 6.1.0", "make: entering\na.c:3:1: error: no such thing\nmore");
        assert!(is_about(&broken, "kmod-a") && !is_about(&broken, "kmod-ab") && !is_about(&broken, "kmod"));
        let row = broken_by(&broken);
        assert_eq!(shorts(&row), ["NO", "?", "?", "?", "?", "?"]);
        assert_eq!(row[0].long(), "no (BLD003: a.c:3:1: error: no such thing)");
        let row = broken_by(&failure("KMOD001", "kmod-a on kernel 6.1.0", "why"));
        assert_eq!((shorts(&row)[1], row[1].long().as_str()), ("NO", "no (KMOD001: it is wrong)"));
        assert_eq!(without("kmod-a")[1].long(), "skipped (it needs kmod-a, which is not there)");
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
        kmods.built_in("kmod-b", "7.2");
        let rows = kmods.rows.lock().unwrap();
        let told = lines(&rows);
        assert_eq!(told[1], "kmod-a  6.12     ?         ?         yes       NO        yes       yes");
        assert_eq!(told[2].trim(), "it does not");
        assert!(told[3].starts_with("kmod-b  7.2      skip") && told[4].ends_with("part of this kernel"), "{told:?}");
    }
}
