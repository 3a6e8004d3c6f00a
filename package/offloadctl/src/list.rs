//! The list of flows, as text and as JSON; `README.md` documents both.

use std::io::{self, Write};
use std::net::IpAddr;

use crate::conntrack::{self, Counters, Direction, Flow, Path};
use crate::flows::Source;
use crate::json::Json;
use crate::text::{self, left, right};
use crate::top::Sort;

/// Schema of `flows --json`. Fields may be added; a changed meaning gets a new number.
pub const FLOWS_SCHEMA: &str = "offloadctl-flows/1";

/// What holds for the whole list.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Where the flows were read.
    pub source: Source,
    /// Whether new flows are counted.
    pub accounting: Option<bool>,
    /// Whether new flows have a start time.
    pub timestamps: Option<bool>,
    /// The order, where it is not the kernel's.
    pub sort: Option<Sort>,
}

/// The list of flows as it arrives, as text or JSON. Nothing is written before the first flow or the end, so that a
/// source that cannot be read leaves no half of an output.
pub struct FlowList<'a> {
    form: Form<'a>,
    origin: Origin,
    begun: bool,
    count: u64,
}

enum Form<'a> {
    Text {
        out: &'a mut dyn Write,
        /// The line of one flow, used again for the next.
        line: Vec<u8>,
    },
    Json(Json<'a>),
}

impl<'a> FlowList<'a> {
    /// An empty list.
    pub fn new(out: &'a mut dyn Write, json: bool, origin: Origin) -> FlowList<'a> {
        let form = if json { Form::Json(Json::new(out)) } else { Form::Text { out, line: Vec::new() } };
        FlowList { form, origin, begun: false, count: 0 }
    }

    /// Adds one flow.
    ///
    /// # Errors
    /// Of the writer; so for all functions here.
    pub fn flow(&mut self, flow: &Flow) -> io::Result<()> {
        self.begin()?;
        self.count += 1;
        match &mut self.form {
            Form::Text { out, line } => {
                line.clear();
                write_line(line, flow, self.origin.sort);
                line.push(b'\n');
                out.write_all(line)
            }
            Form::Json(json) => flow_json(json, flow),
        }
    }

    /// Ends the list; `total` is the number of flows of which the largest were picked.
    pub fn end(mut self, total: Option<u64>) -> io::Result<()> {
        self.begin()?;
        let Origin { source, accounting, timestamps, sort } = self.origin;
        match &mut self.form {
            Form::Text { out, .. } => {
                let flows = if self.count == 1 { "flow" } else { "flows" };
                writeln!(out, "{} {flows}, read from {}", self.count, source.name())?;
                if let (Some(sort), Some(total)) = (sort, total.filter(|total| *total > self.count)) {
                    let cut = total - self.count;
                    writeln!(out, "{cut} more with less {} are not shown (--top NUMBER)", sort.name())?;
                }
                if accounting == Some(false) {
                    note(*out, "counters", "nf_conntrack_acct")?;
                }
                if timestamps == Some(false) && sort == Some(Sort::Age) {
                    note(*out, "age", "nf_conntrack_timestamp")?;
                }
                Ok(())
            }
            Form::Json(json) => {
                json.end()?;
                json.name("count").number(Some(self.count));
                if let Some(total) = total {
                    json.name("total").number(Some(total));
                }
                json.end()
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let Origin { source, accounting, timestamps: _, sort } = self.origin;
        match &mut self.form {
            Form::Text { out, .. } => writeln!(out, "{}", heading(sort)),
            Form::Json(json) => {
                json.object();
                json.name("schema").text(FLOWS_SCHEMA);
                json.name("source").text(source.name());
                json.name("accounting").boolean(accounting);
                if let Some(sort) = sort {
                    json.name("sort").text(sort.name());
                }
                json.name("flows").list();
                Ok(())
            }
        }
    }
}

fn note(out: &mut dyn Write, what: &str, switch: &str) -> io::Result<()> {
    writeln!(out, "New flows have no {what}: {switch} is 0 (sysctl -w net.netfilter.{switch}=1)")
}

/// The names of the columns. The age has a column only where it decides the order.
pub fn heading(sort: Option<Sort>) -> String {
    let age = if sort == Some(Sort::Age) { "     AGE " } else { "" };
    format!(
        "{age}{:<8} {:<5} {:<21} {:<21} {:>13} {:>21}",
        "PATH", "PROTO", "SOURCE", "DESTINATION", "PACKETS", "BYTES THERE/BACK"
    )
}

/// Appends one flow below [`heading`], without the end of its line.
pub fn write_line(out: &mut Vec<u8>, flow: &Flow, sort: Option<Sort>) {
    let Flow { path, protocol, age, details: _, original, reply } = flow;
    if sort == Some(Sort::Age) {
        right(out, 8, |out| out.extend_from_slice(age_text(*age).as_bytes()));
        out.push(b' ');
    }
    left(out, 8, |out| out.extend_from_slice(path.name().as_bytes()));
    left(out, 5, |out| write_protocol(out, *protocol));
    left(out, 21, |out| text::endpoint(out, original.source, original.source_port));
    left(out, 21, |out| text::endpoint(out, original.destination, original.destination_port));
    right(out, 13, |out| write_there_and_back(out, flow, |counters| counters.packets));
    out.push(b' ');
    right(out, 21, |out| write_there_and_back(out, flow, |counters| counters.bytes));
    if is_translated(flow) {
        out.extend_from_slice(b"  reply ");
        text::endpoint(out, reply.source, reply.source_port);
        out.extend_from_slice(b" > ");
        text::endpoint(out, reply.destination, reply.destination_port);
    }
}

/// The same as a text of its own.
pub fn long_line(flow: &Flow, sort: Option<Sort>) -> String {
    text::string(|out| write_line(out, flow, sort))
}

/// The names of the columns of [`short_line`].
pub fn short_heading() -> String {
    format!(
        "{:<4} {:<5} {:<21} {:<21} {:>8} {:>7} {:>6}",
        "PATH", "PROTO", "SOURCE", "DESTINATION", "PACKETS", "BYTES", "AGE"
    )
}

/// One flow for a screen of 80 columns: both directions together, in rounded numbers.
pub fn short_line(flow: &Flow) -> String {
    let Flow { path, protocol, age, details: _, original, reply } = flow;
    let path = match path {
        Path::Hardware => "hw",
        Path::Software => "sw",
        Path::Slow => "slow",
    };
    let counters: Vec<_> = [original.counters, reply.counters].into_iter().flatten().collect();
    let sum = |pick: fn(&Counters) -> u64| match counters[..] {
        [] => "-".into(),
        _ => rounded(counters.iter().map(pick).fold(0, u64::saturating_add)),
    };
    format!(
        "{path:<4} {:<5} {:<21} {:<21} {:>8} {:>7} {:>6}",
        conntrack::protocol_text(*protocol),
        endpoint(original.source, original.source_port),
        endpoint(original.destination, original.destination_port),
        sum(|counters| counters.packets),
        sum(|counters| counters.bytes),
        age_text(*age)
    )
}

/// A number with at most four digits, and a letter for thousands of thousands.
fn rounded(number: u64) -> String {
    let (mut number, mut letter) = (number, "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        if number < 10_000 {
            break;
        }
        (number, letter) = (number / 1000, next);
    }
    format!("{number}{letter}")
}

/// Seconds as `59s`, `5m07s`, `3h05m` or `12d04h`.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

fn age_text(age: Option<u64>) -> String {
    age.map_or_else(|| "-".into(), duration)
}

fn write_there_and_back(out: &mut Vec<u8>, flow: &Flow, pick: impl Fn(Counters) -> u64) {
    let number = |out: &mut Vec<u8>, direction: &Direction| match direction.counters {
        Some(known) => text::decimal(out, pick(known)),
        None => out.push(b'-'),
    };
    number(out, &flow.original);
    out.push(b'/');
    number(out, &flow.reply);
}

fn write_protocol(out: &mut Vec<u8>, protocol: u8) {
    match conntrack::protocol_name(protocol) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => text::decimal(out, protocol.into()),
    }
}

/// Address and port as they are written in a URL.
pub fn endpoint(address: Option<IpAddr>, port: Option<u16>) -> String {
    text::string(|out| text::endpoint(out, address, port))
}

/// Whether the reply is not the mirror of the original: addresses or ports are translated on the way.
fn is_translated(flow: &Flow) -> bool {
    let Flow { path: _, protocol: _, age: _, details: _, original, reply } = flow;
    (original.source, original.source_port, original.destination, original.destination_port)
        != (reply.destination, reply.destination_port, reply.source, reply.source_port)
}

fn flow_json(json: &mut Json<'_>, flow: &Flow) -> io::Result<()> {
    json.object();
    flow_members(json, flow)?;
    json.end()
}

/// What tells one flow from another, as members of an object that is open.
pub fn flow_members(json: &mut Json<'_>, flow: &Flow) -> io::Result<()> {
    json.name("path").plain(|out| out.extend_from_slice(flow.path.name().as_bytes()));
    json.name("protocol").plain(|out| write_protocol(out, flow.protocol));
    json.name("age").number(flow.age);
    for (name, direction) in [("original", &flow.original), ("reply", &flow.reply)] {
        json.name(name).ready(|out| write_direction(out, direction));
    }
    Ok(())
}

/// One direction as a JSON object: nothing in it needs an escape.
fn write_direction(out: &mut Vec<u8>, direction: &Direction) {
    let Direction { source, destination, source_port, destination_port, counters } = direction;
    let port = |port: &Option<u16>| port.map(u64::from);
    let ends = [
        (r#"{"src": ""#, source, r#"", "sport": "#, port(source_port)),
        (r#", "dst": ""#, destination, r#"", "dport": "#, port(destination_port)),
    ];
    for (before, host, between, port) in ends {
        out.extend_from_slice(before.as_bytes());
        text::endpoint(out, *host, None);
        out.extend_from_slice(between.as_bytes());
        write_number(out, port);
    }
    out.extend_from_slice(br#", "packets": "#);
    write_number(out, counters.map(|known| known.packets));
    out.extend_from_slice(br#", "bytes": "#);
    write_number(out, counters.map(|known| known.bytes));
    out.push(b'}');
}

fn write_number(out: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => text::decimal(out, number),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        for (number, text) in [(0, "0"), (9999, "9999"), (10_000, "10k"), (9_999_999, "9999k"), (10_000_000, "10M")] {
            assert_eq!(rounded(number), text);
        }
        assert_eq!(rounded(u64::MAX), "18E");
    }

    #[test]
    fn a_short_line_fits_80_columns() {
        let counters = Some(Counters { packets: u64::MAX, bytes: 1_234_567 });
        let direction = Direction {
            source: Some(IpAddr::from([192, 168, 100, 200])),
            destination: Some(IpAddr::from([203, 100, 113, 200])),
            source_port: Some(40_000),
            destination_port: Some(50_000),
            counters,
        };
        let flow = Flow { protocol: 17, age: Some(86_399), original: direction, reply: direction, ..Flow::default() };
        let line = short_line(&flow);
        assert_eq!(line, "slow udp   192.168.100.200:40000 203.100.113.200:50000      18E   2469k 23h59m");
        assert!(line.len() <= 80 && short_heading().len() == line.len());
        assert!(short_line(&Flow::default()).ends_with("        -       -      -"));
    }

    #[test]
    fn durations_stay_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3661, "1h01m"), (86_400, "1d00h")]
        {
            assert_eq!(duration(seconds), text);
        }
        assert!(duration(u64::MAX).ends_with("h"));
    }
}
