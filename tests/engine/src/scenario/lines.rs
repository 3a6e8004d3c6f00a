//! Where in its file a step stands, so that what went wrong can be shown at its line.
//!
//! The YAML library tells places of errors only, not of what it read. So the lines that begin the items of a block
//! sequence are looked for, which is how scenarios are written: the items of one sequence have the same
//! indentation, and all that belongs to an item stands deeper. Steps in flow style are not found.

use std::collections::BTreeMap;

/// The first lines of steps and runs, by the words that findings name them with: `step 3`, `step 3.2`, `control run`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, u32>);

/// One line of the file.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// From 1.
    number: u32,
    /// Spaces before it.
    indent: usize,
    text: &'a str,
}

impl Lines {
    /// Of a scenario file that was read without an error.
    pub(super) fn of(text: &str) -> Lines {
        let all: Vec<Line<'_>> = (1..)
            .zip(text.lines())
            .map(|(number, line)| Line { number, indent: line.len() - line.trim_start().len(), text: line.trim() })
            .filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
            .collect();
        let mut lines = Lines::default();
        lines.add_steps(&all, "steps:", "step ");
        // Both runs of a proof load what stands there.
        if let Some(proof) = all.iter().find(|line| line.indent == 0 && line.text.starts_with("offload:")) {
            lines.0.extend(["control run", "offload run"].map(|run| (run.to_owned(), proof.number)));
        }
        lines
    }

    /// The line of the innermost step or run in a finding's place, such as `step 3, step 3.2, flow a`.
    pub fn find(&self, place: &str) -> Option<u32> {
        place.rsplit(", ").find_map(|part| self.0.get(part)).copied()
    }

    /// The items of the sequence behind a key, and of those that are done during them.
    fn add_steps(&mut self, lines: &[Line<'_>], key: &str, above: &str) {
        let Some(at) = lines.iter().position(|line| line.text.trim_start_matches("- ").starts_with(key)) else {
            return;
        };
        let rest = &lines[at + 1..];
        let Some(indent) = rest.first().filter(|line| line.text.starts_with("- ")).map(|line| line.indent) else {
            return;
        };
        let end = rest.iter().position(|line| ends(*line, indent)).unwrap_or(rest.len());
        let items = &rest[..end];
        let begins: Vec<usize> = (0..items.len()).filter(|&index| items[index].indent == indent).collect();
        for (number, &begin) in (1..).zip(&begins) {
            let next = begins.get(number).copied().unwrap_or(items.len());
            let name = format!("{above}{number}");
            self.0.insert(name.clone(), items[begin].number);
            self.add_steps(&items[begin..next], "during:", &format!("{name}."));
        }
    }
}

/// Whether a line no longer belongs to a sequence whose items have this indentation.
fn ends(line: Line<'_>, indent: usize) -> bool {
    line.indent < indent || (line.indent == indent && !line.text.starts_with("- "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_at_any_depth_whatever_stands_in_them() {
        let text = "\
version: 1
steps:
  # A comment,
  - ruleset: |
      table x {
      - nothing
      # nor this
      }

  - exchange:
      flow: a
      during:
        - run: [a]
        - ruleset: |
            - still text
    kernels: { only: [newest], because: x }
  - run:
      - sh
      - -c
  - open: { flow: b }
offload:
  ruleset: x
";
        let lines = Lines::of(text);
        let found = |place: &str| lines.find(place);
        assert_eq!([found("step 1"), found("step 2, flow a"), found("step 3")], [Some(4), Some(10), Some(17)]);
        assert_eq!([found("step 2, step 2.1"), found("step 2.2, x"), found("step 4")], [Some(13), Some(14), Some(20)]);
        assert_eq!([found("offload run, udp"), found("control run")], [Some(21), Some(21)]);
        for place in ["step 5", "step 2.3", "kernel log", "", "step 1.1"] {
            assert_eq!(found(place), None, "{place}");
        }
    }

    #[test]
    fn a_sequence_may_stand_as_far_left_as_its_key_and_in_flow_style_none_is_found() {
        let lines = Lines::of("steps:\n- run: [a]\n- run: [b]\ntitle: x\n");
        assert_eq!((lines.find("step 2"), lines.find("step 3")), (Some(3), None));
        assert_eq!(Lines::of("steps: [{run: [a]}]\n"), Lines::default());
    }
}
