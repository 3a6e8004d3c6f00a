//! `lock`: records what the mirror has, or shows how that differs from the record.

mod feeds;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use host::aside;
use model::{Digest, Exit, Failure, Problem, Result};
use sdk::openwrt::{Lockfile, Matrix, Release, Resolved, Role, Row, Upstream, differences};

use crate::Outcome;
use crate::cli::openwrt::{LockArgs, Rows};
use crate::newer::{Newer, newer};
use crate::{Ctx, upstream};

/// Updates the lock, or checks it.
pub fn run(ctx: &Ctx, args: &LockArgs) -> Result<Outcome> {
    let LockArgs { rows, check, newest, accept_changed, source } = args;
    let mut matrix = upstream::matrix(ctx)?;
    let upstream = upstream::upstream(ctx, source)?;
    let path = upstream::lock_path(ctx);
    let lock = Lockfile::load(&path)?;
    if let Some(folder) = &ctx.feed {
        return feeds::run(ctx, folder, &path, lock, *check);
    }
    if *check {
        return checked(ctx, &matrix, rows, &lock, &upstream);
    }
    let renewed = if *newest { renewed(ctx, &matrix, &upstream)? } else { None };
    if let Some(text) = &renewed {
        matrix = Matrix::parse(&upstream::matrix_path(ctx), text)?;
    }
    let mut new = Lockfile::default();
    new.keep_feeds_of(&lock);
    // Entries that were not requested stay, unless the matrix no longer has them.
    lock.entries().filter(|entry| known(&matrix, entry)).for_each(|entry| new.put(entry.clone()));
    let rows = wanted(&matrix, rows)?;
    let mut changed = Vec::new();
    for row in &rows {
        let mut resolved = upstream.resolve_now(row)?;
        if lock.has(row) {
            changed.extend(changes(lock.get(row)?, &resolved));
        }
        upstream.measure(&mut resolved)?;
        told(ctx, &resolved);
        new.put(resolved);
    }
    if !changed.is_empty() && !accept_changed {
        return Err(mismatch(&changed));
    }
    new.keep_indexes_of(&lock);
    for (path, digest) in indexes(ctx, &rows, &upstream)? {
        new.put_index(path, digest);
    }
    if let Some(text) = renewed {
        aside::write(&upstream::matrix_path(ctx), text.as_bytes())?;
    }
    aside::write(&path, new.text()?.as_bytes())?;
    Ok(Outcome::done(format!("{path}: {} of {} entries refreshed", rows.len(), new.entries().count())))
}

/// The indexes of the feeds from which routers that are booted can install more, each once. `--check` does not look at
/// them: feeds are rebuilt after a release.
fn indexes(ctx: &Ctx, rows: &[Row], upstream: &Upstream) -> Result<BTreeMap<Utf8PathBuf, Digest>> {
    let booted = rows.iter().filter(|row| row.proven_on.is_none());
    let by_place: BTreeMap<(&Release, &str), &Row> =
        booted.map(|row| ((&row.release, row.arch.0.as_str()), row)).collect();
    let mut found = BTreeMap::new();
    for row in by_place.into_values() {
        let mut absent = Vec::new();
        for feed in &row.feeds {
            match upstream.index_digest(row, feed)? {
                Some((path, digest)) => drop(found.insert(path, digest)),
                None => absent.push(feed.as_str()),
            }
        }
        if !absent.is_empty() {
            let absent = absent.join(", ");
            ctx.events
                .notice("lock", format!("{} {}: the mirror does not have the feeds {absent}", row.release, row.arch));
        }
    }
    Ok(found)
}

/// The matrix with newer point releases, if there are any.
fn renewed(ctx: &Ctx, matrix: &Matrix, upstream: &Upstream) -> Result<Option<String>> {
    let path = upstream::matrix_path(ctx);
    let mut text = None;
    for Newer { known, released } in newer(upstream, &matrix.select(&[], &[])?)? {
        let before = text.map_or_else(|| model::yaml::read(&path), Ok)?;
        let after = Matrix::with_release(&before, &known, &released).ok_or_else(|| not_named(&known))?;
        ctx.events.notice("lock", format!("{released} is released, and takes the place of {known} in {path}"));
        text = Some(after);
    }
    Ok(text)
}

/// The requested rows; by default, every release that is no snapshot.
fn wanted(matrix: &Matrix, rows: &Rows) -> Result<Vec<Row>> {
    let mut found = matrix.select(&rows.releases, &rows.targets)?;
    if rows.releases.is_empty() {
        found.retain(|row| !row.release.is_snapshot());
    }
    Ok(found)
}

/// How the files of a release differ from those that were locked. If the signed list is the same, so are the files, and
/// only this program's choice among them changed.
fn changes(locked: &Resolved, now: &Resolved) -> Vec<String> {
    let list = |of: &Resolved| of.artifact(Role::List).map(|list| list.sha256);
    let differences = if list(locked) == list(now) { Vec::new() } else { differences(locked, now) };
    differences.into_iter().filter(|difference| difference.is_mismatch).map(|difference| difference.text).collect()
}

fn known(matrix: &Matrix, entry: &Resolved) -> bool {
    matrix.row(&entry.release.0, &entry.target.to_string()).is_ok()
}

fn told(ctx: &Ctx, resolved: &Resolved) {
    let kernel = resolved.kernel.as_ref().map_or("unknown".into(), ToString::to_string);
    ctx.events.notice("lock", format!("{} {}: kernel {kernel}", resolved.release, resolved.target));
}

fn checked(ctx: &Ctx, matrix: &Matrix, rows: &Rows, lock: &Lockfile, upstream: &Upstream) -> Result<Outcome> {
    let everything = rows.releases.is_empty() && rows.targets.is_empty();
    let rows = match everything {
        true => locked_rows(matrix, lock),
        false => wanted(matrix, rows)?,
    };
    let mut drifted: Vec<String> = Vec::new();
    let mut changed: Vec<String> = Vec::new();
    let gone = lock.entries().filter(|entry| everything && !known(matrix, entry));
    drifted.extend(gone.map(|entry| format!("{} {} is locked and not in the matrix", entry.release, entry.target)));
    for row in &rows {
        if !lock.has(row) {
            drifted.push(format!("{} {} is not locked", row.release, row.target));
            continue;
        }
        for difference in differences(lock.get(row)?, &upstream.resolve_now(row)?) {
            if difference.is_mismatch { &mut changed } else { &mut drifted }.push(difference.text);
        }
        ctx.events.line("lock", format!("{} {} compared", row.release, row.target));
    }
    if everything && lock.entries().next().is_none() {
        drifted.push("nothing is locked".into());
    }
    match (changed.is_empty(), drifted.is_empty()) {
        (true, true) => Ok(Outcome::done(format!("{} entries are as the mirror has them", rows.len()))),
        (true, false) => Err(stale(&drifted)),
        (false, _) => Err(mismatch(&[changed, drifted].concat())),
    }
}

fn locked_rows(matrix: &Matrix, lock: &Lockfile) -> Vec<Row> {
    lock.entries().filter_map(|entry| matrix.row(&entry.release.0, &entry.target.to_string()).ok()).collect()
}

fn not_named(release: &Release) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "LOCK005",
        what: format!("feeds/matrix.yaml does not name {release} in a form that can be replaced"),
        why: "a line's `releases:` must be in one line of text, with each release in double quotes",
        fix: "write the newer release there by hand, then run `cargo xtask lock` without --newest",
    })
}

fn stale(lines: &[String]) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "LOCK003",
        what: "openwrt.lock is out of date",
        why: lines.join("\n"),
        fix: "run `cargo xtask lock` with the same flags, without --check, and review the changes",
    })
}

fn mismatch(lines: &[String]) -> Failure {
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "LOCK004",
        what: "a release differs from what was locked",
        why: lines.join("\n"),
        fix: "what is published under a release's number never changes: find out who changed it before you lock it anew, \
         with --accept-changed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::openwrt::Source;
    use crate::ctx::tests::ctx;
    use camino::Utf8Path;
    use formats::{Format, Package};
    use model::Events;
    use sdk::openwrt::fixture::MiniMirror;

    /// A workspace with a matrix and without pinned keys, and a mirror.
    struct Bench {
        ctx: Ctx,
        mirror: MiniMirror,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(folder.path()).unwrap();
            let mut ctx = ctx(root, Events::discard());
            std::fs::create_dir_all(root.join("feeds/openwrt-keys")).unwrap();
            std::fs::copy(ctx.root.join("feeds/matrix.yaml"), root.join("feeds/matrix.yaml")).unwrap();
            ctx.root = root.to_owned();
            let mirror = MiniMirror::new();
            mirror.publish_standard("25.12.5", "x86/64");
            mirror.publish_standard("SNAPSHOT", "x86/64");
            Bench { ctx, mirror, _folder: folder }
        }

        fn run(&self, releases: &[&str], targets: &[&str], check: bool) -> Result<Outcome> {
            self.run_with(releases, targets, check, false)
        }

        fn run_with(&self, releases: &[&str], targets: &[&str], check: bool, accept_changed: bool) -> Result<Outcome> {
            let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
            let rows = Rows { releases: words(releases), targets: words(targets) };
            let source =
                Source { mirror: Some(self.mirror.root().to_string()), release_keys: vec![self.mirror.key_file()] };
            run(&self.ctx, &LockArgs { rows, check, newest: false, accept_changed, source })
        }

        fn newest(&self) -> Result<Outcome> {
            let rows = Rows { releases: vec!["25.12".into()], targets: vec!["x86/64".into()] };
            let source =
                Source { mirror: Some(self.mirror.root().to_string()), release_keys: vec![self.mirror.key_file()] };
            run(&self.ctx, &LockArgs { rows, check: false, newest: true, accept_changed: false, source })
        }

        fn text(&self) -> String {
            std::fs::read_to_string(upstream::lock_path(&self.ctx)).unwrap()
        }
    }

    fn id(outcome: Result<Outcome>) -> (&'static str, Exit, String) {
        let failure = outcome.unwrap_err();
        (failure.id(), failure.exit(), failure.finding().why.clone())
    }

    #[test]
    fn locking_is_repeatable_keeps_what_is_not_asked_for_and_passes_its_own_check() {
        let bench = Bench::new();
        bench.run(&["25.12"], &["x86/64"], false).unwrap();
        let first = bench.text();
        assert!(first.contains("release: 25.12.5") && first.contains("size: "), "{first}");
        assert!(!first.contains(bench.mirror.root().as_str()), "no path of a mirror");
        bench.run(&["main"], &["x86/64"], false).unwrap();
        assert!(bench.text().contains("release: SNAPSHOT") && bench.text().contains("release: 25.12.5"));
        bench.run(&["25.12"], &["x86/64"], false).unwrap();
        let both = bench.text();
        bench.run(&["25.12", "main"], &["x86/64"], false).unwrap();
        assert_eq!(bench.text(), both);
        assert!(bench.run(&[], &[], true).unwrap().data.contains("2 entries"));
        assert_eq!(bench.text(), both, "a check changes nothing");
    }

    #[test]
    fn the_feeds_of_routers_that_are_booted_are_locked_and_others_stay() {
        let bench = Bench::new();
        let path = "releases/25.12.5/packages/x86_64/base/packages.adb";
        bench.mirror.publish_packages("25.12.5", "packages/x86_64/base", Format::Apk, &[]);
        bench.run(&["25.12"], &["x86/64"], false).unwrap();
        let locked = |lock: &str| lock.lines().find(|line| line.contains(path)).unwrap().to_owned();
        let before = locked(&bench.text());
        bench.run(&["main"], &["x86/64"], false).unwrap();
        assert_eq!(locked(&bench.text()), before);
        // A feed is rebuilt after its release: that is no mismatch, and is locked when asked for.
        let package =
            Package { name: "new".into(), version: "1".into(), architecture: "all".into(), ..Package::default() };
        bench.mirror.publish_packages("25.12.5", "packages/x86_64/base", Format::Apk, &[package]);
        bench.run(&[], &[], true).unwrap();
        bench.run(&["25.12"], &["x86/64"], false).unwrap();
        assert_ne!(locked(&bench.text()), before);
    }

    #[test]
    fn newer_releases_come_into_matrix_and_lock() {
        let bench = Bench::new();
        let path = upstream::matrix_path(&bench.ctx);
        let matrix = || std::fs::read_to_string(&path).unwrap();
        let before = matrix();
        bench.newest().unwrap();
        assert_eq!(matrix(), before, "nothing newer is there");
        bench.mirror.publish_standard("25.12.6", "x86/64");
        bench.newest().unwrap();
        assert_eq!(matrix(), before.replace("\"25.12.5\"", "\"25.12.6\""));
        assert!(bench.text().contains("release: 25.12.6") && !bench.text().contains("25.12.5"), "{}", bench.text());
        bench.run(&[], &[], true).unwrap();

        // If it cannot be replaced there, both files stay unchanged.
        std::fs::write(&path, matrix().replace("releases: [\"25.12.6\"", "releases: ['25.12.6'")).unwrap();
        bench.mirror.publish_standard("25.12.7", "x86/64");
        let lock = bench.text();
        assert_eq!((id(bench.newest()).0, bench.text() == lock), ("LOCK005", true));
    }

    #[test]
    fn a_lock_that_lacks_rows_or_a_snapshot_that_moved_on_is_out_of_date() {
        let bench = Bench::new();
        let (id_, exit, why) = id(bench.run(&[], &[], true));
        assert_eq!((id_, exit, why.as_str()), ("LOCK003", Exit::Failed, "nothing is locked"));
        bench.run(&["main"], &["x86/64"], false).unwrap();
        bench.run(&[], &[], true).unwrap();
        let (_, exit, why) = id(bench.run(&["25.12"], &["x86/64"], true));
        assert_eq!((exit, why.as_str()), (Exit::Failed, "25.12.5 x86/64 is not locked"));
        bench.mirror.publish("SNAPSHOT", "x86/64", &[("openwrt-x86-64-generic-kernel.bin", b"new")]);
        let (id_, exit, why) = id(bench.run(&[], &[], true));
        assert_eq!((id_, exit), ("LOCK003", Exit::Failed));
        assert!(why.contains("SNAPSHOT x86/64: kernel is locked as snapshots/targets/x86/64/openwrt-x86"), "{why}");
    }

    #[test]
    fn a_release_that_changed_is_a_mismatch_and_an_entry_without_a_row_goes() {
        let bench = Bench::new();
        bench.run(&["25.12", "main"], &["x86/64"], false).unwrap();
        let sdk = "openwrt-sdk-25.12.5-x86-64_gcc-14.3.0_musl.Linux-x86_64.tar.zst";
        bench.mirror.publish("25.12.5", "x86/64", &[(sdk, b"not what it was")]);
        let (id_, exit, why) = id(bench.run(&[], &[], true));
        assert_eq!((id_, exit), ("LOCK004", Exit::Mismatch));
        assert!(why.contains("25.12.5 x86/64: sdk is locked as"), "{why}");

        // Locking it again is also refused, whatever else is requested, unless the flag allows it.
        let before = bench.text();
        let (id_, exit, why) = id(bench.run(&["25.12", "main"], &["x86/64"], false));
        assert_eq!((id_, exit), ("LOCK004", Exit::Mismatch));
        assert!(why.contains("25.12.5 x86/64: sdk is locked as"), "{why}");
        assert_eq!(bench.text(), before);
        bench.run_with(&["25.12"], &["x86/64"], false, true).unwrap();
        assert_ne!(bench.text(), before);
        bench.run(&["25.12"], &["x86/64"], false).unwrap();

        let path = bench.ctx.root.join("feeds/matrix.yaml");
        let matrix = std::fs::read_to_string(&path).unwrap().replace(r#"["SNAPSHOT"]"#, "[]");
        std::fs::write(&path, matrix).unwrap();
        let why = id(bench.run(&[], &[], true)).2;
        assert!(why.contains("SNAPSHOT x86/64 is locked and not in the matrix"), "{why}");
        bench.run(&["25.12"], &["x86/64"], false).unwrap();
        assert!(!bench.text().contains("SNAPSHOT"));
        bench.run(&[], &[], true).unwrap();
    }
}
