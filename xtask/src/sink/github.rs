//! Workflow commands of GitHub Actions: folding groups, and annotations at the lines that they are about.
//!
//! The format is that of "Workflow commands for GitHub Actions" in GitHub's documentation: `::command
//! name=value,name=value::text`, where `%`, CR and LF are escaped, and in values also `:` and `,`. So foreign text
//! never starts a command.

use std::io::Write;

use model::{Event, Finding, Severity, Verdict};

use super::Sink;

/// Writes workflow commands.
pub struct Github<W> {
    out: W,
    /// The number of running stages. Groups cannot nest, so parallel stages share the first one's group.
    running: usize,
}

impl<W: Write> Github<W> {
    /// Writes to `out`, which must be the stream whose text the groups fold.
    pub fn new(out: W) -> Self {
        Github { out, running: 0 }
    }

    fn command(&mut self, name: &str, properties: &[(&str, &str)], text: &str) {
        let properties: Vec<String> =
            properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
        let separator = if properties.is_empty() { "" } else { " " };
        // A closed pipe must not stop the work.
        let _gone = writeln!(self.out, "::{name}{separator}{}::{}", properties.join(","), message(text))
            .and_then(|()| self.out.flush());
    }

    /// Writes an annotation; `file` and `line` are used if the finding itself does not name a place in a file.
    fn annotate(&mut self, finding: &Finding, about: &str, file: &str, line: u32) {
        let name = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let title = if about.is_empty() { finding.id.to_owned() } else { format!("{about}: {}", finding.id) };
        let place = finding.place.as_deref().and_then(located);
        let line = line.to_string();
        let (file, line, column) = match &place {
            Some((file, line, column)) => (*file, line.as_str(), column.as_str()),
            None => (file, line.as_str(), ""),
        };
        let all = [("file", file), ("line", line), ("col", column), ("title", title.as_str())];
        let known: Vec<(&str, &str)> =
            all.into_iter().filter(|(key, value)| !value.is_empty() && (*key == "title" || !file.is_empty())).collect();
        let Finding { what, why, fix, .. } = finding;
        self.command(name, &known, &format!("{what}\nwhy: {why}\nfix: {fix}"));
    }
}

impl<W: Write + Send> Sink for Github<W> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::StageBegin { stage, detail } => {
                if self.running == 0 {
                    self.command("group", &[], &format!("{stage}: {detail}"));
                }
                self.running += 1;
            }
            Event::StageEnd { .. } => {
                self.running = self.running.saturating_sub(1);
                if self.running == 0 {
                    self.command("endgroup", &[], "");
                }
            }
            Event::Finding(finding) => self.annotate(finding, "", "", 1),
            Event::CaseEnd {
                case, verdict: Verdict::Fail { finding } | Verdict::Blocked { finding }, record, ..
            } => {
                self.annotate(finding, case, &record.file, record.line.unwrap_or(1));
            }
            _ => {}
        }
    }
}

/// File, line and column of a place such as `a/b.yaml:3:1` or `a/b.rs:7`.
fn located(place: &str) -> Option<(&str, String, String)> {
    let number = |text: &str| text.parse::<u32>().ok().map(|number| number.to_string());
    let (rest, last) = place.rsplit_once(':')?;
    let last = number(last)?;
    match rest.rsplit_once(':').and_then(|(file, line)| Some((file, number(line)?))) {
        Some((file, line)) => Some((file, line, last)),
        None => Some((rest, last, String::new())),
    }
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample::HOSTILE;
    use crate::sink::human::tests::{finding, sample_run};
    use model::Record;

    fn written(events: &[Event]) -> String {
        let mut bytes = Vec::new();
        let mut sink = Github::new(&mut bytes);
        events.iter().for_each(|event| sink.take(event));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn stages_fold_and_what_went_wrong_is_annotated() {
        let expected = "\
::group::packages: 18 packages
::endgroup::
::endgroup::
::error title=bridge%3A CASE999::the slow path was taken%0Awhy: a reason%0Afix: a remedy
::error title=pppoe%3A VM999::the guest never answered%0Awhy: a reason%0Afix: a remedy
";
        assert_eq!(written(&sample_run()), expected);
    }

    #[test]
    fn stages_that_run_at_once_fold_together() {
        let begin = |stage: &str| Event::StageBegin { stage: stage.into(), detail: String::new() };
        let end = |stage: &str| Event::StageEnd {
            stage: stage.into(),
            status: model::Status::Done,
            millis: 0,
            summary: String::new(),
        };
        let text = written(&[begin("a"), begin("b"), end("a"), begin("c"), end("c"), end("b"), begin("d"), end("d")]);
        assert_eq!(text, "::group::a: \n::endgroup::\n::group::d: \n::endgroup::\n");
    }

    #[test]
    fn an_annotation_goes_to_the_line_that_it_is_about() {
        let at = |place: Option<&str>| {
            let mut finding = finding("CONF999", "no");
            finding.place = place.map(str::to_owned);
            written(&[Event::Finding(finding)])
        };
        assert!(
            at(Some("feeds/feed.yaml:3:7")).starts_with("::error file=feeds/feed.yaml,line=3,col=7,title=CONF999::")
        );
        assert!(at(Some("src/a.rs:12")).starts_with("::error file=src/a.rs,line=12,title=CONF999::"));
        assert!(at(Some("a,b:%c.rs:12")).starts_with("::error file=a%2Cb%3A%25c.rs,line=12,"));
        for place in [None, Some("udp"), Some("step 3"), Some("x:y"), Some(":"), Some("a:99999999999")] {
            assert!(at(place).starts_with("::error title=CONF999::no"), "{place:?}");
        }
        for (line, shown) in [(None, 1), (Some(17), 17)] {
            let record = Record { file: "tests/scenarios/vlan.yaml".into(), line, ..Record::default() };
            let failed = Event::CaseEnd {
                case: "vlan/apk".into(),
                verdict: Verdict::Fail { finding: finding("CASE999", "no") },
                millis: 1,
                notes: Vec::new(),
                record: Box::new(record),
            };
            let begin = format!("::error file=tests/scenarios/vlan.yaml,line={shown},title=vlan/apk%3A CASE999::no");
            assert!(written(&[failed]).starts_with(&begin), "{begin}");
        }
    }

    #[test]
    fn nothing_that_others_wrote_begins_a_command_or_ends_a_property() {
        let mut hostile = finding("CASE999", HOSTILE);
        hostile.place = Some(format!("{HOSTILE}:3"));
        let events = [
            Event::Finding(hostile),
            Event::StageBegin { stage: HOSTILE.into(), detail: "100 %\n::endgroup::".into() },
        ];
        let text = written(&events);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("::error file=") && lines[1].starts_with("::group::"), "{text}");
        let properties = lines[0].trim_start_matches("::error ").split_once("::").unwrap().0;
        assert_eq!(properties.split(',').count(), 3, "{properties}");
        assert!(lines[1].ends_with("100 %25%0A::endgroup::"), "{text}");
    }

    #[test]
    fn severities_keep_their_words() {
        let with = |severity| Event::Finding(Finding { severity, ..finding("CASE999", "no") });
        assert!(written(&[with(Severity::Warning)]).starts_with("::warning "));
        assert!(written(&[with(Severity::Note)]).starts_with("::notice "));
    }
}
