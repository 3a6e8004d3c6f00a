//! Configuration files of OpenWrt (`/etc/config/*`): read, and changed without touching anything else.
//!
//! The grammar is that of libuci: `package`, `config`, `option` and `list`, each also by its first letter; words bare, in
//! single quotes or in double quotes, also mixed within a word and over several lines; `#` begins a comment outside of
//! quotes. A file is kept as its bytes, and a change replaces a few of them, so comments, order and spelling survive.
//! What libuci reads in surprising ways (several statements in a line, surplus words) is refused instead.

use std::ops::Range;

/// Why a text is no configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Line in which the reader stopped, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// One configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    bytes: Vec<u8>,
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Package,
    Section,
    Option,
    List,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    kind: Kind,
    /// First byte of its first word.
    start: usize,
    /// The words after the one that says what it is: at least one, at most two.
    words: Vec<Word>,
    /// Where its line ends, comment and joined lines included: at a line feed, or at the end of the file.
    end: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    value: Vec<u8>,
    /// Where it stands, quotes included.
    span: Range<usize>,
}

/// What stands under a name in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    None,
    /// One value.
    One(&'a [u8]),
    /// A list.
    List,
}

/// A section of a [`Config`], good until that is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section(usize);

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that does not follow the grammar.
    pub fn parse(bytes: Vec<u8>) -> Result<Config, Malformed> {
        let mut reader = Reader { bytes: &bytes, at: 0 };
        let mut statements: Vec<Statement> = Vec::new();
        while let Some(statement) = reader.statement()? {
            let in_section = statements.iter().any(|earlier| earlier.kind == Kind::Section);
            if matches!(statement.kind, Kind::Option | Kind::List) && !in_section {
                return Err(reader.malformed("an option stands before the first section"));
            }
            statements.push(statement);
        }
        Ok(Config { bytes, statements })
    }

    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first section of a type.
    pub fn first_section(&self, kind: &str) -> Option<Section> {
        self.sections(kind).first().copied()
    }

    /// All sections of a type. What has the same name is one section, of the type that comes last.
    pub fn sections(&self, kind: &str) -> Vec<Section> {
        let is_kind = |section: &Section| {
            let last = self.blocks(*section).last().and_then(|block| self.statements.get(*block));
            last.and_then(|statement| statement.words.first()).is_some_and(|word| word.value == kind.as_bytes())
        };
        self.all_sections().filter(is_kind).collect()
    }

    /// The section that `uci` calls so: by its name, or by its number among all (`cfg02…`).
    pub fn section_called(&self, name: &str) -> Option<Section> {
        let named = |section: &Section| {
            self.statements.get(section.0).and_then(|statement| statement.words.get(1)).map(|word| &word.value[..])
                == Some(name.as_bytes())
        };
        let number = || usize::from_str_radix(name.strip_prefix("cfg")?.get(..2)?, 16).ok()?.checked_sub(1);
        self.all_sections().find(named).or_else(|| self.all_sections().nth(number()?))
    }

    fn all_sections(&self) -> impl Iterator<Item = Section> {
        let begins = |(index, statement): &(usize, &Statement)| {
            statement.kind == Kind::Section && self.blocks(Section(*index)).first() == Some(index)
        };
        self.statements.iter().enumerate().filter(begins).map(|(index, _)| Section(index))
    }

    /// Where a section is begun and gone on with: libuci goes on with the one that has the same name.
    fn blocks(&self, section: Section) -> Vec<usize> {
        let name = |statement: &Statement| statement.words.get(1).map(|word| word.value.clone());
        let Some(wanted) = self.statements.get(section.0).and_then(name).filter(|name| !name.is_empty()) else {
            return vec![section.0];
        };
        let all = self.statements.iter().enumerate();
        let same =
            all.filter(|(_, statement)| statement.kind == Kind::Section && name(statement).as_ref() == Some(&wanted));
        same.map(|(index, _)| index).collect()
    }

    /// The value of an option, of the last one when it is there more than once; none of a list.
    pub fn option(&self, section: Section, name: &str) -> Option<&[u8]> {
        match self.value(section, name) {
            Value::One(value) => Some(value),
            Value::None | Value::List => None,
        }
    }

    /// What libuci has under a name: an option replaces what came before it, and a list takes it in.
    pub fn value(&self, section: Section, name: &str) -> Value<'_> {
        match self.last_option(section, name) {
            None => Value::None,
            Some(Statement { kind: Kind::List, .. }) => Value::List,
            Some(statement) => Value::One(statement.words.get(1).map_or(&[][..], |word| &word.value)),
        }
    }

    /// The same file with an option set. Only the bytes of its value change, or a line is added to the section.
    ///
    /// # Errors
    /// Never for a value without a zero byte.
    pub fn with_option(&self, section: Section, name: &str, value: &str) -> Result<Config, Malformed> {
        let quoted = quoted(value);
        let last = self.last_option(section, name).filter(|statement| statement.kind == Kind::Option);
        match last.map(|statement| &statement.words[..]) {
            Some([_, value, ..]) => self.spliced(value.span.clone(), &quoted),
            Some([name]) => self.spliced(name.span.end..name.span.end, &format!(" {quoted}")),
            _ => {
                let (at, newline, indent) = self.end_of(section);
                let line = format!("{newline}{indent}option {name} {quoted}\n");
                self.spliced(at..at, &line)
            }
        }
    }

    /// The same file with an empty section at its end.
    ///
    /// # Errors
    /// Never for a type without a zero byte.
    pub fn with_section(&self, kind: &str) -> Result<Config, Malformed> {
        let end = self.bytes.len();
        let newline = if self.bytes.last().is_none_or(|byte| *byte == b'\n') { "" } else { "\n" };
        self.spliced(end..end, &format!("{newline}\nconfig {kind}\n"))
    }

    /// Options and lists that stand below the beginning of a section.
    fn options(&self, block: usize) -> &[Statement] {
        let rest = self.statements.get(block + 1..).unwrap_or_default();
        let length = rest.iter().position(|statement| matches!(statement.kind, Kind::Section | Kind::Package));
        rest.get(..length.unwrap_or(rest.len())).unwrap_or_default()
    }

    fn last_option(&self, section: Section, name: &str) -> Option<&Statement> {
        let named = |statement: &&Statement| statement.words.first().is_some_and(|word| word.value == name.as_bytes());
        self.blocks(section).into_iter().rev().find_map(|block| self.options(block).iter().rfind(named))
    }

    /// The beginning of the line after a section's last option, the line feed that is missing before it, and how options are
    /// indented.
    fn end_of(&self, section: Section) -> (usize, &'static str, String) {
        let block = self.blocks(section).last().copied().unwrap_or(section.0);
        let options = self.options(block);
        let last = options.last().or_else(|| self.statements.get(block));
        let end = last.map_or(self.bytes.len(), |last| last.end);
        let (at, newline) = if end < self.bytes.len() { (end + 1, "") } else { (end, "\n") };
        let indent = options.last().map(|option| {
            let before = self.bytes.get(..option.start).unwrap_or_default();
            let blanks = before.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            String::from_utf8_lossy(&before[before.len() - blanks..]).into_owned()
        });
        (at, newline, indent.unwrap_or_else(|| "\t".into()))
    }

    fn spliced(&self, at: Range<usize>, text: &str) -> Result<Config, Malformed> {
        let mut bytes = self.bytes.clone();
        bytes.splice(at, text.bytes());
        Config::parse(bytes)
    }
}

/// A value as `uci` itself writes it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn malformed(&self, why: &'static str) -> Malformed {
        let before = self.bytes.get(..self.at).unwrap_or(self.bytes);
        Malformed { line: before.iter().filter(|byte| **byte == b'\n').count() + 1, why }
    }

    /// The next statement; none at the end of the file.
    fn statement(&mut self) -> Result<Option<Statement>, Malformed> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(b'#') => self.skip_comment(),
                Some(byte) if is_space(byte) => self.at += 1,
                Some(_) => break,
            }
        }
        let start = self.at;
        while self.peek().is_some_and(|byte| !is_space(byte)) {
            self.at += 1;
        }
        let (kind, most) = match &self.bytes[start..self.at] {
            b"package" | b"p" => (Kind::Package, 1),
            b"config" | b"c" => (Kind::Section, 2),
            b"option" | b"o" => (Kind::Option, 2),
            b"list" | b"l" => (Kind::List, 2),
            _ => return Err(self.malformed("a line begins with none of package, config, option and list")),
        };
        let mut words = Vec::new();
        while let Some(word) = self.word()? {
            words.push(word);
        }
        match words.len() {
            0 => Err(self.malformed("a name is missing")),
            number if number > most => Err(self.malformed("there are too many words")),
            _ => Ok(Some(Statement { kind, start, words, end: self.at })),
        }
    }

    /// The next word of this line; none at its end, which stays unread.
    fn word(&mut self) -> Result<Option<Word>, Malformed> {
        loop {
            match self.peek() {
                None | Some(b'\n') => return Ok(None),
                Some(b'#') => self.skip_comment(),
                Some(byte) if is_space(byte) => self.at += 1,
                Some(b'\\') if self.skip_joined_line() => {}
                Some(_) => break,
            }
        }
        let start = self.at;
        let mut value = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'#') => break,
                Some(byte) if is_space(byte) => break,
                Some(0) => return Err(self.malformed("there is a zero byte")),
                Some(b';') => return Err(self.malformed("several statements stand in one line")),
                Some(quote @ (b'\'' | b'"')) => self.quotation(quote, &mut value)?,
                Some(b'\\') if self.skip_joined_line() => {}
                Some(b'\\') => {
                    self.at += 1;
                    value.push(self.escaped().ok_or_else(|| self.malformed("a backslash has nothing to stand for"))?);
                    self.at += 1;
                }
                Some(byte) => {
                    value.push(byte);
                    self.at += 1;
                }
            }
        }
        Ok(Some(Word { value, span: start..self.at }))
    }

    fn quotation(&mut self, quote: u8, value: &mut Vec<u8>) -> Result<(), Malformed> {
        let opening = self.malformed("a quotation has no end");
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(opening),
                Some(0) => return Err(self.malformed("there is a zero byte")),
                Some(byte) if byte == quote => break,
                Some(b'\\') if quote == b'"' => {
                    if !self.skip_joined_line() {
                        self.at += 1;
                        value.push(self.escaped().ok_or(opening)?);
                        self.at += 1;
                    }
                }
                Some(byte) => {
                    value.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    /// The byte after a backslash. A carriage return at the end of the file is none: what is added after it would join
    /// the two lines.
    fn escaped(&self) -> Option<u8> {
        match self.bytes.get(self.at..) {
            None | Some([] | [b'\r'] | [0, ..]) => None,
            Some([byte, ..]) => Some(*byte),
        }
    }

    /// Skips a backslash at the end of a line, together with that end.
    fn skip_joined_line(&mut self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = [&b"\\\n"[..], b"\\\r\n"].iter().find(|joint| rest.starts_with(joint)).map(|joint| joint.len());
        self.at += length.unwrap_or(0);
        length.is_some()
    }

    fn skip_comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }
}

/// What C's `isspace` takes for a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests;
