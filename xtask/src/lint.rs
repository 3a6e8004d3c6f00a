//! Checks packages and feeds on disk against the rules of [`formats::lint`].
//!
//! The rules do not access files: this module finds them, reads them in parallel, and turns findings into events. A
//! file that cannot be read is reported like any other finding.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use feeds::live::Item;
use formats::lint::{self, Examined, Kind, Options};
use model::{Event, Exit, Failure, Finding, Problem, Result, Severity};

use crate::Ctx;

/// The stage's name in events.
pub const STAGE: &str = "lint";

/// A breach that the user accepts: a rule's id, and a text that the place must contain unless all are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    id: String,
    place: String,
}

/// The number of findings, by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that were checked.
    pub files: usize,
    /// Breaches that break something.
    pub errors: usize,
    /// Breaches that surprise somebody.
    pub warnings: usize,
    /// Remarks.
    pub notes: usize,
    /// Breaches that the user accepted.
    pub allowed: usize,
}

impl Allowed {
    /// Reads `ID` or `ID:PLACE`.
    pub fn parse(text: &str) -> Result<Self> {
        let (id, place) = text.split_once(':').unwrap_or((text, ""));
        if lint::rules().any(|rule| rule.id == id) {
            return Ok(Allowed { id: id.to_owned(), place: place.to_owned() });
        }
        Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "LNT002",
            what: format!("no rule has the id `{id}`"),
            why: "a breach is accepted by the id with which it was reported",
            fix: "choose from `cargo xtask lint --list`",
        }))
    }

    /// Accepts breaches of one rule at places that contain this text.
    pub fn at(rule: &lint::Rule, place: String) -> Self {
        Allowed { id: rule.id.to_owned(), place }
    }

    fn covers(&self, finding: &Finding) -> bool {
        finding.id == self.id && finding.place.as_ref().is_some_and(|place| place.contains(&self.place))
    }
}

/// Every rule: id, severity and title, one per line.
pub fn list() -> String {
    let line = |rule: &lint::Rule| format!("{}  {:<7}  {}", rule.id, rule.severity.word(), rule.title);
    lint::rules().map(line).collect::<Vec<_>>().join("\n")
}

/// The packages, indexes and signatures at some paths. Folders are searched recursively; an index stands for its feed,
/// so the files beside it are checked too; any other file is taken as it is.
///
/// # Errors
/// `LNT001` when there is nothing at a path.
pub fn collect(paths: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>> {
    let mut found = BTreeSet::new();
    for path in paths {
        let before = found.len();
        if path.is_dir() {
            search(path, true, &mut found)?;
        } else if path.exists() {
            found.insert(path.clone());
            let is_index = !matches!(Kind::of(path.as_str()), Some(Kind::Ipk | Kind::Apk) | None);
            if is_index {
                let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
                search(folder.unwrap_or(Utf8Path::new(".")), false, &mut found)?;
            }
        }
        if found.len() == before {
            return Err(Failure::of(Problem {
                exit: Exit::Usage,
                id: "LNT001",
                what: format!("there is no package or index at `{path}`"),
                why: "looked for files called *.ipk, *.apk, Packages, Packages.gz, Packages.sig and *.adb",
                fix: "give the path of a package, of an index, or of a folder with some of them",
            }));
        }
    }
    Ok(found.into_iter().collect())
}

/// Links to folders are not followed, because they could form loops.
fn search(folder: &Utf8Path, deep: bool, found: &mut BTreeSet<Utf8PathBuf>) -> Result<()> {
    let io = |error: std::io::Error| Failure::io("list the folder", folder, &error);
    for entry in folder.read_dir_utf8().map_err(io)? {
        let entry = entry.map_err(io)?;
        // Without `./`, as the user would write it.
        let path = entry.path().strip_prefix(".").unwrap_or(entry.path());
        if entry.file_type().map_err(io)?.is_dir() {
            if deep {
                search(path, deep, found)?;
            }
        } else if Kind::of(path.as_str()).is_some() {
            found.insert(path.to_owned());
        }
    }
    Ok(())
}

/// Checks files against the rules, and reports every breach that is not accepted.
pub fn check(ctx: &Ctx, files: &[Utf8PathBuf], options: &Options, allowed: &[Allowed]) -> Result<Counts> {
    let files: Vec<_> = files.iter().map(|path| (path.to_string(), path.clone())).collect();
    check_copies(ctx, &files, options, allowed)
}

/// The same for copies, reported under the names of the originals.
pub fn check_copies(
    ctx: &Ctx,
    files: &[(String, Utf8PathBuf)],
    options: &Options,
    allowed: &[Allowed],
) -> Result<Counts> {
    let item = |(name, copy): &(String, Utf8PathBuf)| Item { url: name.clone(), copy: Ok(copy.clone()) };
    check_items(ctx, &files.iter().map(item).collect::<Vec<_>>(), options, allowed, &|_rule| true)
}

/// The same for fetched files, reported under their addresses; `matters` selects rules by id.
pub fn check_items(
    ctx: &Ctx,
    items: &[Item],
    options: &Options,
    allowed: &[Allowed],
    matters: &dyn Fn(&str) -> bool,
) -> Result<Counts> {
    let examined = examine(ctx, items, options)?;
    let mut counts = Counts { files: items.len(), ..Counts::default() };
    for finding in lint::judge(&examined, options).into_iter().filter(|finding| matters(finding.id)) {
        if allowed.iter().any(|allowed| allowed.covers(&finding)) {
            counts.allowed += 1;
            continue;
        }
        match finding.severity {
            Severity::Error => counts.errors += 1,
            Severity::Warning => counts.warnings += 1,
            Severity::Note => counts.notes += 1,
        }
        ctx.events.emit(Event::Finding(finding));
    }
    Ok(counts)
}

/// Reads the files, several at once; the results are in the order of the files.
fn examine(ctx: &Ctx, files: &[Item], options: &Options) -> Result<Vec<Examined>> {
    let total = u64::try_from(files.len()).ok();
    let next = Mutex::new((0..).zip(files));
    let worker = || {
        let mut read = Vec::new();
        // The lock is held only while the next file is taken.
        while let Some((position, item)) = next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next() {
            ctx.cancel.check()?;
            read.push((position, examine_one(item, options)));
            ctx.events.progress(STAGE, position + 1, total);
        }
        Ok(read)
    };
    let threads = ctx.jobs.get().min(files.len().max(1));
    let results: Vec<Result<Vec<(u64, Examined)>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(reader_died()))).collect()
    });
    let mut read: Vec<_> = results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    read.sort_by_key(|(position, _)| *position);
    Ok(read.into_iter().map(|(_, examined)| examined).collect())
}

fn examine_one(Item { url, copy }: &Item, options: &Options) -> Examined {
    let opened = match copy {
        Ok(path) => File::open(path),
        Err(problem) => Err(std::io::Error::other(problem.clone())),
    };
    match opened {
        Ok(file) => lint::examine(url, BufReader::new(file), options),
        Err(error) => lint::unreadable(url, error),
    }
}

fn reader_died() -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "LNT003",
        what: "a thread that reads packages ended unexpectedly",
        why: "its message stands above",
        fix: "report it with that message, and with the files if they can be shared",
    })
}

impl Counts {
    /// The exit code of the verb.
    pub fn exit(&self) -> Exit {
        if self.errors > 0 { Exit::Failed } else { Exit::Done }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { files, errors, warnings, notes, allowed } = *self;
        let some = |count: usize, word| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let [files, errors] = [some(files, "file"), some(errors, "error")];
        write!(f, "{files}: {errors}, {}, {}", some(warnings, "warning"), some(notes, "note"))?;
        if allowed > 0 { write!(f, ", {allowed} allowed") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use formats::{Entry, Package, ipk};
    use model::Events;

    use super::*;
    use crate::ctx::tests::ctx;

    /// A folder with a good package, and one with a world-writable file.
    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        std::fs::create_dir(root.join("deep")).unwrap();
        for (path, mode) in [("good.ipk", 0o755), ("deep/bad.ipk", 0o777)] {
            let package = Package {
                name: path.trim_end_matches(".ipk").replace('/', "-"),
                version: "1.0-r1".into(),
                architecture: "all".into(),
                description: "Sample".into(),
                license: "MIT".into(),
                maintainer: "Somebody".into(),
                files: vec![Entry::dir("srv", mode)],
                ..Package::default()
            };
            std::fs::write(root.join(path), ipk::to_vec(&package).unwrap()).unwrap();
        }
        std::fs::write(root.join("notes.txt"), "").unwrap();
        (guard, root)
    }

    fn run(root: &Utf8Path, paths: &[&str], allowed: &[&str]) -> (Counts, Vec<Finding>) {
        let (sender, receiver) = channel();
        let ctx = ctx(root, Events::to(sender));
        let files = collect(&paths.iter().map(|path| root.join(path)).collect::<Vec<_>>()).unwrap();
        let allowed: Vec<_> = allowed.iter().map(|text| Allowed::parse(text).unwrap()).collect();
        let counts = check(&ctx, &files, &Options::default(), &allowed).unwrap();
        drop(ctx);
        let findings = receiver.into_iter().filter_map(|event| match event {
            Event::Finding(finding) => Some(finding),
            _ => None,
        });
        (counts, findings.collect())
    }

    #[test]
    fn a_folder_is_searched_and_errors_decide_the_exit_code() {
        let (_guard, root) = folder();
        let (counts, findings) = run(&root, &[""], &[]);
        assert_eq!(counts, Counts { files: 2, errors: 1, ..Counts::default() });
        assert_eq!(counts.exit(), Exit::Failed);
        assert_eq!(counts.to_string(), "2 files: 1 error, 0 warnings, 0 notes");
        assert_eq!((findings[0].id, findings[0].severity), ("LINT201", Severity::Error));
        assert_eq!(findings[0].what, "writable by everybody: its mode is 0777");
        assert_eq!(findings[0].place, Some(format!("{root}/deep/bad.ipk: /srv")));
        assert_eq!(run(&root, &["good.ipk"], &[]).0.exit(), Exit::Done);
    }

    #[test]
    fn a_breach_may_be_allowed_everywhere_or_in_one_place() {
        let (_guard, root) = folder();
        let (counts, findings) = run(&root, &[""], &["LINT201"]);
        assert_eq!((counts.errors, counts.allowed, findings), (0, 1, vec![]));
        assert!(counts.to_string().ends_with(", 1 allowed"));
        assert_eq!(run(&root, &[""], &["LINT201:bad.ipk"]).0.allowed, 1);
        assert_eq!(run(&root, &[""], &["LINT201:good.ipk", "LINT101"]).0.errors, 1);
        assert_eq!(Allowed::parse("LINT999").unwrap_err().id(), "LNT002");
    }

    #[test]
    fn an_index_stands_for_its_folder_and_any_other_file_for_itself() {
        let (_guard, root) = folder();
        std::fs::write(root.join("Packages"), "\n").unwrap();
        let (counts, findings) = run(&root, &["Packages"], &[]);
        let ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
        assert_eq!((counts.files, ids), (2, vec!["LINT505", "LINT504"]));
        let (_, findings) = run(&root, &["notes.txt"], &[]);
        assert_eq!(findings[0].id, "LINT001");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_a_finding() {
        let (_guard, root) = folder();
        std::os::unix::fs::symlink("nowhere", root.join("gone.ipk")).unwrap();
        let (counts, findings) = run(&root, &[""], &[]);
        let ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
        assert_eq!((counts.files, ids), (3, vec!["LINT201", "LINT001"]));
    }

    #[test]
    fn nothing_to_look_at_is_a_mistake_of_the_call() {
        let (_guard, root) = folder();
        std::fs::create_dir(root.join("empty")).unwrap();
        for path in ["empty", "missing.ipk"] {
            let failure = collect(&[root.join(path)]).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("LNT001", Exit::Usage), "{path}");
        }
        assert_eq!((reader_died().id(), reader_died().exit()), ("LNT003", Exit::Bug));
    }

    #[test]
    fn an_interrupt_ends_the_reading() {
        let (_guard, root) = folder();
        let ctx = ctx(&root, Events::discard());
        ctx.cancel.cancel();
        let failure = check(&ctx, &[root.join("good.ipk")], &Options::default(), &[]).unwrap_err();
        assert_eq!(failure.id(), "RUN001");
    }

    #[test]
    fn the_list_has_every_rule() {
        let list = list();
        assert!(list.contains("LINT101  error    kmod without a module"), "{list}");
        assert_eq!(list.lines().count(), lint::rules().count());
    }
}
