//! Writes JSON as it goes: nothing is kept, so a list of 100,000 flows costs no memory.
//!
//! Members of the outermost object and elements of lists directly in it stand on lines of their own; deeper ones do not.

use std::io::{self, Write};

/// Depth up to which each item has its own line.
const LINE_DEPTH: usize = 2;

/// A JSON text under construction. Who opens an object or list closes it.
pub struct Json<'a> {
    out: &'a mut dyn Write,
    /// For each open object or list: its closing bracket and whether something is in it.
    open: Vec<(char, bool)>,
    /// A name was written, and its value comes next.
    named: bool,
}

impl<'a> Json<'a> {
    /// An empty text.
    pub fn new(out: &'a mut dyn Write) -> Json<'a> {
        Json { out, open: Vec::new(), named: false }
    }

    /// Begins an object.
    ///
    /// # Errors
    /// Of the writer; so for all methods.
    pub fn object(&mut self) -> io::Result<()> {
        self.begin('{', '}')
    }

    /// Begins a list.
    pub fn list(&mut self) -> io::Result<()> {
        self.begin('[', ']')
    }

    /// Ends the innermost object or list.
    pub fn end(&mut self) -> io::Result<()> {
        let Some((bracket, filled)) = self.open.pop() else { return Ok(()) };
        if filled && self.open.len() < LINE_DEPTH {
            self.line(self.open.len())?;
        }
        write!(self.out, "{bracket}")?;
        if self.open.is_empty() { writeln!(self.out) } else { Ok(()) }
    }

    /// The name of the next value.
    pub fn name(&mut self, name: &str) -> io::Result<&mut Self> {
        self.separate()?;
        self.quoted(name)?;
        write!(self.out, ": ")?;
        self.named = true;
        Ok(self)
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.separate()?;
        self.quoted(text)
    }

    /// A whole number, or null.
    pub fn number(&mut self, number: Option<u64>) -> io::Result<()> {
        self.separate()?;
        match number {
            Some(number) => write!(self.out, "{number}"),
            None => write!(self.out, "null"),
        }
    }

    /// A whole number below zero, perhaps.
    pub fn signed(&mut self, number: i32) -> io::Result<()> {
        self.separate()?;
        write!(self.out, "{number}")
    }

    /// True, false or null.
    pub fn boolean(&mut self, value: Option<bool>) -> io::Result<()> {
        self.separate()?;
        self.out.write_all(match value {
            Some(true) => b"true",
            Some(false) => b"false",
            None => b"null",
        })
    }

    fn begin(&mut self, opening: char, closing: char) -> io::Result<()> {
        self.separate()?;
        self.open.push((closing, false));
        write!(self.out, "{opening}")
    }

    /// The comma and space before an item, unless it is the value of a name.
    fn separate(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.named) {
            return Ok(());
        }
        let depth = self.open.len();
        let Some((_, filled)) = self.open.last_mut() else { return Ok(()) };
        if std::mem::replace(filled, true) {
            write!(self.out, "{}", if depth <= LINE_DEPTH { "," } else { ", " })?;
        }
        if depth <= LINE_DEPTH { self.line(depth) } else { Ok(()) }
    }

    fn line(&mut self, depth: usize) -> io::Result<()> {
        write!(self.out, "\n{:1$}", "", depth * 2)
    }

    fn quoted(&mut self, text: &str) -> io::Result<()> {
        write!(self.out, "\"")?;
        for character in text.chars() {
            match character {
                '"' | '\\' => write!(self.out, "\\{character}")?,
                control if control < ' ' => write!(self.out, "\\u{:04x}", u32::from(control))?,
                plain => write!(self.out, "{plain}")?,
            }
        }
        write!(self.out, "\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Json<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        fill(&mut Json::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nests_and_separates() {
        let text = written(|json| {
            json.object()?;
            json.name("a")?.number(Some(u64::MAX))?;
            json.name("b")?.list()?;
            json.list()?;
            json.signed(-1)?;
            json.boolean(Some(true))?;
            json.boolean(None)?;
            json.end()?;
            json.number(None)?;
            json.end()?;
            json.name("c")?.list()?;
            json.end()?;
            json.end()
        });
        assert_eq!(
            text,
            "{\n  \"a\": 18446744073709551615,\n  \"b\": [\n    [-1, true, null],\n    null\n  ],\n  \"c\": []\n}\n"
        );
    }

    #[test]
    fn escapes_what_json_does_not_allow() {
        assert_eq!(written(|json| json.text("a\"\\\n\u{1b}é")), r#""a\"\\\u000a\u001bé""#);
    }
}
