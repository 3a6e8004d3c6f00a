//! Writes JSON as it goes: one line is kept at most, so a list of 100,000 flows costs no memory.
//!
//! Members of the outermost object and elements of lists directly in it stand on lines of their own; deeper ones do not.

use std::io::{self, Write};

use crate::text::decimal;

/// Depth up to which each item has its own line.
const LINE_DEPTH: usize = 2;

/// A JSON text under construction. Who opens an object or list closes it.
pub struct Json<'a> {
    out: &'a mut dyn Write,
    /// What is not yet handed to `out`: a call there costs more than the small pieces do.
    pending: Vec<u8>,
    /// For each open object or list: its closing bracket and whether something is in it.
    open: Vec<(u8, bool)>,
    /// A name was written, and its value comes next.
    named: bool,
}

impl<'a> Json<'a> {
    /// An empty text.
    pub fn new(out: &'a mut dyn Write) -> Json<'a> {
        Json { out, pending: Vec::new(), open: Vec::new(), named: false }
    }

    /// Begins an object.
    pub fn object(&mut self) {
        self.begin(b'{', b'}');
    }

    /// Begins a list.
    pub fn list(&mut self) {
        self.begin(b'[', b']');
    }

    /// Ends the innermost object or list, and hands over what has its own line.
    ///
    /// # Errors
    /// Of the writer.
    pub fn end(&mut self) -> io::Result<()> {
        let Some((bracket, filled)) = self.open.pop() else { return Ok(()) };
        if filled && self.open.len() < LINE_DEPTH {
            self.line(self.open.len());
        }
        self.pending.push(bracket);
        if self.open.is_empty() {
            self.pending.push(b'\n');
        }
        if self.open.len() <= LINE_DEPTH {
            self.out.write_all(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    /// The name of the next value: one of ours, so that nothing in it needs an escape.
    pub fn name(&mut self, name: &'static str) -> &mut Self {
        self.separate();
        self.pending.push(b'"');
        self.raw(name.as_bytes());
        self.pending.extend(*b"\": ");
        self.named = true;
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.separate();
        self.quoted(text);
    }

    /// A text in which nothing needs an escape, such as an address.
    pub fn plain(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        self.pending.push(b'"');
        write(&mut self.pending);
        self.pending.push(b'"');
    }

    /// A value that `write` appends as it is to stand. For lists of many flows: the steps between names and values are half of
    /// what such a line costs.
    pub fn ready(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        write(&mut self.pending);
    }

    /// A whole number, or null.
    pub fn number(&mut self, number: Option<u64>) {
        self.separate();
        match number {
            Some(number) => decimal(&mut self.pending, number),
            None => self.raw(b"null"),
        }
    }

    /// Nothing known.
    pub fn null(&mut self) {
        self.boolean(None);
    }

    /// A whole number below zero, perhaps.
    pub fn signed(&mut self, number: i32) {
        self.separate();
        if number < 0 {
            self.pending.push(b'-');
        }
        decimal(&mut self.pending, number.unsigned_abs().into());
    }

    /// True, false or null.
    pub fn boolean(&mut self, value: Option<bool>) {
        self.separate();
        self.raw(match value {
            Some(true) => b"true",
            Some(false) => b"false",
            None => b"null",
        });
    }

    fn begin(&mut self, opening: u8, closing: u8) {
        self.separate();
        self.open.push((closing, false));
        self.pending.push(opening);
    }

    /// The comma and space before an item, unless it is the value of a name.
    fn separate(&mut self) {
        if std::mem::take(&mut self.named) {
            return;
        }
        let depth = self.open.len();
        let Some((_, filled)) = self.open.last_mut() else { return };
        if std::mem::replace(filled, true) {
            self.pending.push(b',');
            if depth > LINE_DEPTH {
                self.pending.push(b' ');
            }
        }
        if depth <= LINE_DEPTH {
            self.line(depth);
        }
    }

    fn line(&mut self, depth: usize) {
        self.pending.push(b'\n');
        self.pending.resize(self.pending.len() + depth * 2, b' ');
    }

    fn quoted(&mut self, text: &str) {
        self.pending.push(b'"');
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.pending.extend([b'\\', byte]),
                0..b' ' => {
                    let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                    self.raw(b"\\u00");
                    self.pending.extend([hex(byte >> 4), hex(byte & 15)]);
                }
                plain => self.pending.push(plain),
            }
        }
        self.pending.push(b'"');
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
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
            json.object();
            json.name("a").number(Some(u64::MAX));
            json.name("b").list();
            json.list();
            json.signed(-1);
            json.signed(i32::MIN);
            json.boolean(Some(true));
            json.boolean(None);
            json.end()?;
            json.number(None);
            json.end()?;
            json.name("c").list();
            json.end()?;
            json.end()
        });
        assert_eq!(
            text,
            "{\n  \"a\": 18446744073709551615,\n  \"b\": [\n    [-1, -2147483648, true, null],\n    null\n  ],\n  \"c\": []\n}\n"
        );
    }

    #[test]
    fn escapes_what_json_does_not_allow() {
        let text = written(|json| {
            json.list();
            json.text("a\"\\\n\u{1b}é");
            json.end()
        });
        assert_eq!(text, "[\n  \"a\\\"\\\\\\u000a\\u001bé\"\n]\n");
    }
}
