//! One JSON object per line, for programs; the first record names the schema, [`model::SCHEMA`].

use std::io::Write;

use model::Event;

use super::Sink;

/// Writes events as JSON lines.
pub struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Json { out }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn take(&mut self, event: &Event) {
        // A closed pipe must not stop the work.
        if let Ok(line) = serde_json::to_string(event) {
            let _gone = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::human::tests::sample_run;

    #[test]
    fn every_event_is_one_line_and_one_object_with_its_name() {
        let mut bytes = Vec::new();
        let mut sink = Json::new(&mut bytes);
        let events = sample_run();
        events.iter().for_each(|event| sink.take(event));
        let lines: Vec<serde_json::Value> =
            String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), events.len());
        assert_eq!(lines[0]["schema"], model::SCHEMA);
        assert!(lines.iter().all(|line| line["event"].is_string()));
        let blocked = lines.iter().find(|line| line["case"] == "pppoe" && line["event"] == "case-end").unwrap();
        assert_eq!(blocked["verdict"]["verdict"], "blocked");
        assert_eq!(blocked["verdict"]["finding"]["id"], "VM999");
        assert_eq!(lines.last().unwrap()["exit"], 1);
    }
}
