//! What OpenWrt released and a tree lacks: rows of the matrix, kernels that a release got, and point releases after the
//! newest that the matrix knows.

use feeds::Kernel;
use feeds::dist::Published;
use model::{Exit, Result};
use sdk::openwrt::{Release, Resolved, Row, Upstream};

use crate::cli::openwrt::{Rows, Source};
use crate::{Ctx, Outcome, upstream};

/// A line for each thing that is missing.
pub(super) fn run(ctx: &Ctx, tree: &Published, rows: &Rows, source: &Source) -> Result<Outcome> {
    let mut selected = upstream::matrix(ctx)?.select(&rows.releases, &rows.targets)?;
    if rows.releases.is_empty() {
        selected.retain(|row| !row.release.is_snapshot());
    }
    let upstream = upstream::upstream(ctx, source)?;
    let mut missing = Vec::new();
    for row in &selected {
        ctx.cancel.check()?;
        let name = format!("{} for {}", row.release, row.published);
        match (kernel(tree, row), upstream.resolve_now(row)) {
            // What the mirror does not have nobody can build.
            (_, Err(failure)) if failure.exit() != Exit::Upstream => return Err(failure),
            (_, Err(_)) => {}
            (None, Ok(_)) => missing.push(format!("{name} is released, and the feed has nothing for it")),
            (Some(there), Ok(resolved)) => missing.extend(
                other_kernel(there, &resolved)
                    .map(|new| format!("{name} has kernel {new} now, and the feed's is {there}")),
            ),
        }
    }
    for row in newest(&selected) {
        missing.extend(
            after(&upstream, row)?
                .map(|next| format!("{next} is released, and feeds/matrix.yaml ends at {}", row.release)),
        );
    }
    let exit = if missing.is_empty() { Exit::Done } else { Exit::Failed };
    Ok(Outcome { exit, data: missing.join("\n") })
}

/// The kernel that the tree has for a row.
fn kernel<'a>(tree: &'a Published, row: &Row) -> Option<&'a Kernel> {
    let is_this = |record: &&feeds::dist::RowRecord| {
        record.row.line == row.line
            && record.row.target == row.published.to_string()
            && record.row.release == row.release.0
    };
    tree.feed.rows.iter().find(is_this).map(|record| &record.kernel)
}

fn other_kernel(there: &Kernel, resolved: &Resolved) -> Option<Kernel> {
    let now = Kernel::of_package(&resolved.kernel.as_ref()?.package_version());
    (now != *there).then_some(now)
}

/// Of each line the newest point release, for one target.
fn newest(rows: &[Row]) -> Vec<&Row> {
    let mut newest: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| point(&row.release).is_some()) {
        match newest.iter_mut().find(|known| known.line == row.line) {
            Some(known) if point(&known.release) >= point(&row.release) => {}
            Some(known) => *known = row,
            None => newest.push(row),
        }
    }
    newest
}

/// The last number of a release that has one.
fn point(release: &Release) -> Option<u32> {
    release.0.rsplit_once('.').and_then(|(_, point)| point.parse().ok())
}

/// The release after this one, if the mirror has its signed list.
fn after(upstream: &Upstream, row: &Row) -> Result<Option<Release>> {
    let Some((line, point)) =
        row.release.0.rsplit_once('.').zip(point(&row.release)).map(|((line, _), point)| (line, point))
    else {
        return Ok(None);
    };
    let next = Release(format!("{line}.{}", point + 1));
    match upstream.resolve_now(&Row { release: next.clone(), ..row.clone() }) {
        Ok(_) => Ok(Some(next)),
        Err(failure) if failure.exit() == Exit::Upstream => Ok(None),
        Err(failure) => Err(failure),
    }
}
