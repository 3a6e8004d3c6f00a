//! `plan`: prints what can be built and tested, for the user and as the matrix of a CI job.

use model::Result;
use sdk::openwrt::{Lockfile, Row};
use serde_json::{Value, json};

use crate::Outcome;
use crate::cli::openwrt::PlanArgs;
use crate::{Ctx, upstream};

/// How many jobs GitHub allows in a matrix.
const MOST_JOBS: usize = 256;

/// Prints the rows of the matrix. Nothing is fetched.
pub fn run(ctx: &Ctx, args: &PlanArgs) -> Result<Outcome> {
    let rows = upstream::matrix(ctx)?.select(&args.rows.releases, &args.rows.targets)?;
    let lock = Lockfile::load(&upstream::lock_path(ctx))?;
    let data = match (ctx.json, args.parts) {
        (true, true) => parts(&rows, &lock).to_string(),
        (true, false) => matrix(&rows, &lock).to_string(),
        (false, _) => table(&rows, &lock),
    };
    Ok(Outcome::done(data))
}

/// The value of GitHub's `strategy.matrix`: a job for each row. `name` has only characters that names of artifacts may
/// have; `snapshot` says that the published files change, so that a job may be allowed to fail; without `own-images`
/// the target has no router here, and its packages are proven on those of `proven-on`.
fn matrix(rows: &[Row], lock: &Lockfile) -> Value {
    let job = |row: &Row| {
        json!({
            "name": format!("{}-{}", row.release, row.target.slug()),
            "release": row.release.0,
            "line": row.line,
            "target": row.target.to_string(),
            "arch": row.arch.0,
            "format": row.format.to_string(),
            "kernel-line": row.kernel_line,
            "proven-on": row.proven_on.as_ref().unwrap_or(&row.target).to_string(),
            "own-images": row.proven_on.is_none(),
            "rust-target": sdk::RustTarget::of(&row.arch).ok().map(|target| target.triple),
            "snapshot": row.release.is_snapshot(),
            "locked": lock.has(row),
        })
    };
    json!({ "include": rows.iter().map(job).collect::<Vec<Value>>() })
}

/// Matrices with at most as many jobs as GitHub allows, each as the `part` of a job that calls a workflow with it.
fn parts(rows: &[Row], lock: &Lockfile) -> Value {
    let parts = rows.chunks(MOST_JOBS).map(|rows| json!({ "part": matrix(rows, lock) }));
    json!({ "include": parts.collect::<Vec<Value>>() })
}

fn table(rows: &[Row], lock: &Lockfile) -> String {
    let line = |words: [&str; 7]| {
        let [release, target, arch, format, kernel, locked, proven] = words;
        format!("{release:15} {target:18} {arch:26} {format:6} {kernel:6} {locked:6} {proven}").trim_end().to_owned()
    };
    let head = line(["RELEASE", "TARGET", "ARCHITECTURE", "FORMAT", "KERNEL", "LOCKED", "PROVEN ON"]);
    let row = |row: &Row| {
        let locked = if lock.has(row) { "yes" } else { "no" };
        let (target, format) = (row.target.to_string(), row.format.to_string());
        let proven = row.proven_on.as_ref().map_or("its own image".to_owned(), |on| match *on == row.target {
            true => "a stand-in".to_owned(),
            false => format!("routers of {on}"),
        });
        line([&row.release.0, &target, &row.arch.0, &format, &row.kernel_line, locked, &proven])
    };
    std::iter::once(head).chain(rows.iter().map(row)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::openwrt::Rows;
    use crate::ctx::tests::ctx;
    use model::{Events, Exit};

    fn args(release: &str, target: &str) -> PlanArgs {
        let rows = Rows { releases: vec![release.into()], targets: vec![target.into()] };
        PlanArgs { rows, parts: false }
    }

    #[test]
    fn people_get_a_table_and_ci_its_matrix() {
        let mut ctx = ctx("/tmp/openwrt-offload-never-made".into(), Events::discard());
        let text = run(&ctx, &PlanArgs::default()).unwrap().data;
        assert!(text.starts_with("RELEASE") && text.contains("\n22.03.7 ") && text.contains("malta/be"), "{text}");
        for (target, proven) in [
            ("x86/64 ", "its own image"),
            ("ramips/mt7621 ", "a stand-in"),
            ("mediatek/filogic", "routers of armsr/armv8"),
        ] {
            let rows: Vec<&str> = text.lines().filter(|line| line.contains(target)).collect();
            assert!(!rows.is_empty() && rows.iter().all(|row| row.ends_with(proven)), "{target} in\n{text}");
        }
        ctx.json = true;
        let text = run(&ctx, &args("24.10", "armsr/armv8")).unwrap().data;
        let plan: Value = serde_json::from_str(&text).unwrap();
        let job = &plan["include"][0];
        assert_eq!(plan["include"].as_array().unwrap().len(), 1, "{text}");
        assert_eq!(job["name"], format!("{}-armsr-armv8", job["release"].as_str().unwrap()));
        assert_eq!(
            (&job["format"], &job["snapshot"], &job["arch"]),
            (&"ipk".into(), &false.into(), &"aarch64_generic".into())
        );
        assert_eq!(job["rust-target"], "aarch64-unknown-linux-musl");
        let parted = run(&ctx, &PlanArgs { parts: true, ..args("24.10", "armsr/armv8") }).unwrap().data;
        let parted: Value = serde_json::from_str(&parted).unwrap();
        assert_eq!(parted["include"][0]["part"], plan, "one part is enough");
        assert_eq!((&job["proven-on"], &job["own-images"]), (&"armsr/armv8".into(), &true.into()));
        let mips: Value = serde_json::from_str(&run(&ctx, &args("24.10", "ath79/generic")).unwrap().data).unwrap();
        let job = &mips["include"][0];
        assert_eq!((&job["proven-on"], &job["own-images"]), (&"malta/be".into(), &false.into()));
        assert_eq!(job["rust-target"], "mips-unknown-linux-musl");
        assert!(!ctx.cache.exists(), "looking changes nothing");
    }

    #[test]
    fn a_part_has_no_more_jobs_than_a_matrix_may_have() {
        let ctx = ctx("/tmp".into(), Events::discard());
        let row = upstream::matrix(&ctx).unwrap().select(&[], &[]).unwrap().remove(0);
        let parts = parts(&vec![row; 600], &Lockfile::default());
        let parts = parts["include"].as_array().unwrap();
        let sizes: Vec<_> = parts.iter().map(|part| part["part"]["include"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [256, 256, 88]);
    }

    #[test]
    fn what_is_not_in_the_matrix_ends_with_usage() {
        let ctx = ctx("/tmp".into(), Events::discard());
        for (release, target) in [("17.01", "x86/64"), ("24.10", "ath79/nand")] {
            assert_eq!(run(&ctx, &args(release, target)).unwrap_err().exit(), Exit::Usage);
        }
    }
}
