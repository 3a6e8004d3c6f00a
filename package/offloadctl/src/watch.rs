//! `flows --watch`: the largest flows, again and again, until `q` or Ctrl-C.
//!
//! On a terminal that moves its cursor the list is drawn over itself. Elsewhere, as on a dumb terminal or in a file, one
//! list follows the other, each ended by an empty line.

use std::io::{self, Write};
use std::time::Duration;

use crate::conntrack::Path;
use crate::files::Files;
use crate::finding::Stop;
use crate::flows::{self, Source};
use crate::list;
use crate::report::printable;
use crate::terminal::{self, Key, Keys};
use crate::top::{Sort, Top};
use crate::totals::FlowTotals;

/// Time between two lists. Reading 100,000 flows on a slow router takes about as long.
const PERIOD: Duration = Duration::from_secs(2);
/// Lines above the flows: totals and heading.
const LINES_ABOVE: usize = 3;

/// Where the cursor goes home, where a line is cleared to its end, and where the rest of the screen is.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Shows the flows on `paths`, at most `most` and as many as fit the screen, until the user has seen enough.
///
/// # Errors
/// The flows cannot be read, or nobody takes the output any more.
pub fn run(
    files: &Files,
    source: Source,
    paths: &[Path],
    sort: Sort,
    most: usize,
    out: &mut dyn Write,
) -> Result<(), Stop> {
    let mut keys = Keys::listen();
    let draws = terminal::moves_its_cursor();
    let mut sort = sort;
    if draws {
        write!(out, "{HOME}{CLEAR_BELOW}")?;
    }
    loop {
        let (columns, lines) = terminal::size();
        let (totals, top) = look(files, source, paths, sort, most.min(lines.saturating_sub(LINES_ABOVE + 1)))?;
        let screen = screen(&totals, top, sort, if draws { columns } else { usize::MAX });
        if draws {
            draw(out, &screen, columns)?;
        } else {
            screen.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            writeln!(out)?;
        }
        out.flush()?;
        match keys.wait(PERIOD) {
            Key::Quit => return Ok(()),
            Key::Other(b'b') => sort = Sort::Bytes,
            Key::Other(b'p') => sort = Sort::Packets,
            Key::Other(b'a') => sort = Sort::Age,
            Key::Other(_) | Key::None => {}
        }
    }
}

fn look(files: &Files, source: Source, paths: &[Path], sort: Sort, most: usize) -> Result<(FlowTotals, Top), Stop> {
    let mut totals = FlowTotals::new(source);
    let mut top = Top::new(sort, most);
    flows::each(files, source, &Path::ALL, |flow| {
        totals.add(flow);
        if paths.contains(&flow.path) {
            top.add(flow);
        }
        Ok(())
    })?;
    Ok((totals, top))
}

/// The lines of one list, in the short form where the long one does not fit.
pub fn screen(totals: &FlowTotals, top: Top, sort: Sort, columns: usize) -> Vec<String> {
    let counts: Vec<_> = Path::ALL.iter().map(|path| format!("{} {}", totals.on(*path).flows, path.name())).collect();
    let is_narrow = columns < list::heading(Some(sort)).len();
    let mut lines = vec![
        format!("Flows: {}. By {} (b p a, q quits)", counts.join(", "), sort.name()),
        String::new(),
        if is_narrow { list::short_heading() } else { list::heading(Some(sort)) },
    ];
    let line = |flow| if is_narrow { list::short_line(&flow) } else { list::long_line(&flow, Some(sort)) };
    lines.extend(top.into_flows().map(line));
    lines
}

/// Writes over the last list; a line that is too long for the screen is cut.
fn draw(out: &mut dyn Write, lines: &[String], columns: usize) -> io::Result<()> {
    write!(out, "{HOME}")?;
    for line in lines {
        let visible: String = printable(line).chars().take(columns).collect();
        write!(out, "{visible}{CLEAR_LINE}\r\n")?;
    }
    write!(out, "{CLEAR_BELOW}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrack::Flow;

    #[test]
    fn a_list_has_totals_and_fits_its_screen() {
        let mut totals = FlowTotals::new(Source::Netlink);
        let mut top = Top::new(Sort::Bytes, 2);
        for _ in 0..5 {
            totals.add(&Flow::default());
            top.add(&Flow::default());
        }
        let narrow = screen(&totals, top, Sort::Bytes, 80);
        assert!(narrow.iter().all(|line| line.len() <= 80), "{narrow:?}");
        let mut top = Top::new(Sort::Bytes, 2);
        (0..5).for_each(|_| top.add(&Flow::default()));
        let lines = screen(&totals, top, Sort::Bytes, 100);
        assert_eq!(lines.len(), narrow.len());
        assert_eq!(lines.len(), LINES_ABOVE + 2);
        assert!(lines[0].starts_with("Flows: 0 hardware, 0 software, 5 slow. By bytes "), "{}", lines[0]);
        let mut out = Vec::new();
        draw(&mut out, &lines, 20).unwrap();
        let drawn = String::from_utf8(out).unwrap();
        assert!(drawn.starts_with("\x1b[HFlows: 0 hardware, 0\x1b[K\r\n") && drawn.ends_with("\x1b[J"), "{drawn:?}");
    }
}
