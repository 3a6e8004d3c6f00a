//! Finds point releases that OpenWrt has and the matrix does not name yet.

use std::collections::VecDeque;

use model::Result;
use sdk::openwrt::{NOT_PUBLISHED, NOT_SIGNED, Release, Row, Upstream};

/// How many numbers after a release are tried: one may be skipped, as 23.05.1 was.
const AHEAD: u32 = 3;

/// A newer release of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newer {
    /// The newest release in the matrix.
    pub known: Release,
    /// The newest release whose signed list the mirror has.
    pub released: Release,
}

/// The newer releases for each line among the rows. One whose list is not signed yet is told, and does not count.
///
/// # Errors
/// Those of the mirror, except that it does not have a release: a mirror that fails does not say that there is none.
pub fn newer(upstream: &Upstream, rows: &[Row]) -> Result<Vec<Newer>> {
    let mut found = Vec::new();
    for row in newest(rows) {
        let mut last = None;
        let mut candidates = after(&row.release, AHEAD);
        while let Some(candidate) = candidates.pop_front() {
            upstream.cancel.check()?;
            match upstream.resolve_now(&Row { release: candidate.clone(), ..row.clone() }) {
                Ok(_) => {
                    candidates = after(&candidate, AHEAD);
                    last = Some(candidate);
                }
                Err(failure) if NOT_PUBLISHED.contains(&failure.id()) => {}
                Err(failure) if failure.id() == NOT_SIGNED => {
                    let text = format!("{candidate} is not complete yet: its list has no signature");
                    upstream.events.notice("newer", text);
                }
                Err(failure) => return Err(failure),
            }
        }
        found.extend(last.map(|released| Newer { known: row.release.clone(), released }));
    }
    Ok(found)
}

/// The newest point release of each line, for one target.
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

/// The line and last number of a point release.
fn point(release: &Release) -> Option<(&str, u32)> {
    let (line, point) = release.0.rsplit_once('.')?;
    Some((line, point.parse().ok()?))
}

/// The releases that may come after one.
fn after(release: &Release, ahead: u32) -> VecDeque<Release> {
    let Some((line, last)) = point(release) else { return VecDeque::new() };
    (1..=ahead).map(|more| Release(format!("{line}.{}", last + more))).collect()
}
