//! Enough of the shell's grammar to tell whether a script is complete, and whether it exits early.
//!
//! It understands words, quotes, here-documents and the words that open and close blocks, as busybox's ash does; it
//! does not know what commands do.

use std::iter::Peekable;
use std::str::CharIndices;

/// What was found in a script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The line that exits the script although commands follow.
    pub(super) ends_early: Option<usize>,
    /// The line of a syntax error, and its description.
    pub(super) broken: Option<(usize, String)>,
}

/// Whether `#!` names a shell with this grammar; a script without `#!` is sourced by one.
pub(super) fn is_shell(text: &str) -> bool {
    let Some(line) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else { return true };
    let program = line.split_whitespace().next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    matches!(name, "sh" | "ash" | "dash")
        || name == "busybox" && line.contains(" sh")
        || line.contains("/etc/rc.common")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word, and whether no part of it is quoted.
    Word(String, bool),
    Operator(&'static str),
    /// `<`, `>` and the like; the word after it is not a command.
    Redirection,
}

/// An open block, with the line that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// `if`; whether `then` was seen.
    If(bool),
    /// `for`, `while` and `until`; whether `do` was seen.
    Loop(bool),
    /// `case` up to `in`, then its patterns, then the commands of a pattern.
    Case,
    Pattern,
    Arm,
    Brace,
    Paren,
}

impl Block {
    fn word(self) -> &'static str {
        match self {
            Block::If(_) => "if",
            Block::Loop(_) => "loop",
            Block::Case | Block::Pattern | Block::Arm => "case",
            Block::Brace => "{",
            Block::Paren => "(",
        }
    }
}

/// Scans a whole script.
pub(super) fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let tokens = match Lexer::new(text).tokens() {
        Ok(tokens) => tokens,
        Err(broken) => {
            scan.broken = Some(broken);
            return scan;
        }
    };
    let mut parser = Parser::default();
    for (at, (line, token)) in tokens.iter().enumerate() {
        let next = |more: usize| tokens.get(at + more).map(|(_, token)| token);
        if let Err(why) = parser.take(*line, token, next(1), next(2)) {
            scan.broken = Some((*line, why));
            return scan;
        }
    }
    parser.end_command(&Token::Operator("\n"));
    if let Some((block, line)) = parser.open.last() {
        scan.broken = Some((*line, format!("`{}` is not closed", block.word())));
    }
    scan.ends_early = parser.dead;
    scan
}

#[derive(Default)]
struct Parser {
    open: Vec<(Block, usize)>,
    /// Whether the next word is an argument, not the name of a command.
    in_command: bool,
    after_redirection: bool,
    after_assignment: bool,
    /// The number of next words that are a loop's variable or the subject of `case`.
    skip: usize,
    /// The words of the current command outside of all blocks, and its line.
    words: Vec<String>,
    line: usize,
    /// Whether the command runs only under a condition, such as after `&&`.
    is_conditional: bool,
    ended: Option<usize>,
    dead: Option<usize>,
}

impl Parser {
    fn take(&mut self, line: usize, token: &Token, next: Option<&Token>, after: Option<&Token>) -> Result<(), String> {
        let after_assignment = std::mem::take(&mut self.after_assignment);
        match token {
            Token::Redirection => self.after_redirection = true,
            Token::Word(..) if std::mem::take(&mut self.after_redirection) => {}
            Token::Word(..) if self.skip > 0 => self.skip -= 1,
            Token::Word(word, plain) => {
                let is_function = matches!((next, after), (Some(Token::Operator("(")), Some(Token::Operator(")"))));
                if self.top() == Some(Block::Case) && *plain && word == "in" {
                    self.change(Block::Pattern);
                } else if self.top() == Some(Block::Pattern) {
                    if *plain && word == "esac" {
                        self.close();
                    }
                } else if self.in_command || is_function {
                    self.argument(word, line);
                } else if !(*plain && self.keyword(word, line)?) {
                    self.argument(word, line);
                    // Assignments may precede the command.
                    self.in_command = !is_assignment(word);
                    self.after_assignment = !self.in_command;
                }
            }
            Token::Operator("(") if after_assignment => return Err("`(` after an assignment".to_owned()),
            Token::Operator(operator) => self.operator(operator, line, next)?,
        }
        Ok(())
    }

    fn top(&self) -> Option<Block> {
        self.open.last().map(|(block, _)| *block)
    }

    fn change(&mut self, block: Block) {
        if let Some((top, _)) = self.open.last_mut() {
            *top = block;
        }
        self.in_command = false;
    }

    fn close(&mut self) {
        self.open.pop();
        self.in_command = false;
    }

    /// Handles a word that opens or closes a block; false for any other word.
    fn keyword(&mut self, word: &str, line: usize) -> Result<bool, String> {
        let top = self.top();
        let opens = match word {
            "if" => Some(Block::If(false)),
            "while" | "until" | "for" => Some(Block::Loop(false)),
            "case" => Some(Block::Case),
            "{" => Some(Block::Brace),
            _ => None,
        };
        if let Some(block) = opens {
            self.begin(line);
            self.open.push((block, line));
            self.skip = usize::from(matches!(word, "for" | "case"));
            self.in_command = word == "for";
            return Ok(true);
        }
        match (word, top) {
            ("then", Some(Block::If(false))) => self.change(Block::If(true)),
            ("elif", Some(Block::If(true))) => self.change(Block::If(false)),
            ("else", Some(Block::If(true))) => self.in_command = false,
            ("do", Some(Block::Loop(false))) => self.change(Block::Loop(true)),
            ("fi", Some(Block::If(true)))
            | ("done", Some(Block::Loop(true)))
            | ("esac", Some(Block::Arm | Block::Pattern))
            | ("}", Some(Block::Brace)) => self.close(),
            ("!", _) => {}
            ("then" | "elif" | "else" | "do" | "fi" | "done" | "esac" | "}", top) => {
                let open = top.map_or("nothing".to_owned(), |block| format!("`{}`", block.word()));
                return Err(format!("`{word}` where {open} is open"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn operator(&mut self, operator: &'static str, line: usize, next: Option<&Token>) -> Result<(), String> {
        let top = self.top();
        match (operator, top) {
            // Newlines and bars between the patterns of `case` have no meaning.
            (")", Some(Block::Pattern)) => self.change(Block::Arm),
            (_, Some(Block::Pattern | Block::Case)) => {}
            (";;", Some(Block::Arm)) => self.change(Block::Pattern),
            (";;", _) => return Err("`;;` outside of `case`".to_owned()),
            ("(", _) if next == Some(&Token::Operator(")")) && self.in_command => {}
            ("(", _) if self.in_command => return Err("`(` after a command".to_owned()),
            ("(", _) => {
                self.begin(line);
                self.open.push((Block::Paren, line));
            }
            (")", Some(Block::Paren)) => self.close(),
            // The empty parentheses of a function definition.
            (")", _) if self.in_command => {
                self.words.clear();
                self.in_command = false;
            }
            (")", _) => return Err("`)` closes nothing".to_owned()),
            _ => {
                self.end_command(&Token::Operator(operator));
                self.in_command = false;
            }
        }
        Ok(())
    }

    /// Begins a command or block.
    fn begin(&mut self, line: usize) {
        if self.open.is_empty() && self.dead.is_none() {
            self.dead = self.ended;
        }
        self.line = line;
    }

    fn argument(&mut self, word: &str, line: usize) {
        if self.open.is_empty() {
            if self.words.is_empty() {
                self.begin(line);
            }
            self.words.push(word.to_owned());
        }
        self.in_command = true;
    }

    fn end_command(&mut self, by: &Token) {
        if self.open.is_empty() {
            let words: Vec<&str> =
                self.words.iter().map(String::as_str).skip_while(|word| is_assignment(word)).collect();
            let ends = match words[..] {
                ["exit" | "return", ..] => words.len() <= 2,
                // `exec` without a program only redirects.
                ["exec", _, ..] => true,
                _ => false,
            };
            let is_last = matches!(by, Token::Operator("\n" | ";"));
            if ends && is_last && !self.is_conditional && self.ended.is_none() {
                self.ended = Some(self.line);
            }
            // After an operator at the end of a line, the command continues on the next line.
            let goes_on = by == &Token::Operator("\n") && self.is_conditional && words.is_empty();
            self.is_conditional = matches!(by, Token::Operator("&&" | "||" | "|")) || goes_on;
            self.words.clear();
        }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    line: usize,
    /// Here-documents that begin on the next line: the delimiter, and whether tabs may precede it.
    documents: Vec<(String, bool)>,
}

type Broken = (usize, String);

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Lexer { text, chars: text.char_indices().peekable(), line: 1, documents: Vec::new() }
    }

    fn next(&mut self) -> Option<char> {
        let (_, c) = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn eat(&mut self, c: char) -> bool {
        self.chars.next_if(|(_, next)| *next == c).is_some()
    }

    fn tokens(mut self) -> Result<Vec<(usize, Token)>, Broken> {
        let mut tokens = Vec::new();
        while let Some(c) = self.peek() {
            let line = self.line;
            let token = match c {
                ' ' | '\t' | '\r' => {
                    self.next();
                    continue;
                }
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                    continue;
                }
                '\n' => {
                    self.next();
                    self.skip_documents();
                    Token::Operator("\n")
                }
                ';' | '&' | '|' | '(' | ')' | '<' | '>' => self.operator()?,
                _ => match self.word()? {
                    // The number of a file descriptor, as in `2>&1`.
                    Some(Token::Word(text, true))
                        if matches!(self.peek(), Some('<' | '>')) && text.chars().all(|c| c.is_ascii_digit()) =>
                    {
                        continue;
                    }
                    Some(word) => word,
                    None => continue,
                },
            };
            tokens.push((line, token));
        }
        Ok(tokens)
    }

    fn operator(&mut self) -> Result<Token, Broken> {
        let first = self.next().unwrap_or_default();
        Ok(Token::Operator(match first {
            ';' if self.eat(';') => ";;",
            ';' => ";",
            '&' if self.eat('&') => "&&",
            '&' => "&",
            '|' if self.eat('|') => "||",
            '|' => "|",
            '(' => "(",
            ')' => ")",
            _ => {
                let is_document = first == '<' && self.eat('<');
                if is_document {
                    let tabs = self.eat('-');
                    while matches!(self.peek(), Some(' ' | '\t')) {
                        self.next();
                    }
                    if let Some(Token::Word(end, _)) = self.word()? {
                        self.documents.push((end, tabs));
                    }
                    // The delimiter was read already, so an empty word stands for the redirection's target.
                    return Ok(Token::Word(String::new(), false));
                }
                while matches!(self.peek(), Some('>' | '<' | '&' | '|')) {
                    self.next();
                }
                return Ok(Token::Redirection);
            }
        }))
    }

    fn skip_documents(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.documents) {
            loop {
                let start = self.at();
                let rest = &self.text[start..];
                let line = rest.split('\n').next().unwrap_or_default();
                let stripped = if tabs { line.trim_start_matches('\t') } else { line };
                let is_end = stripped.trim_end_matches('\r') == end;
                for _ in line.chars() {
                    self.next();
                }
                // A document without its delimiter extends to the end of the script, with a warning.
                if self.next().is_none() || is_end {
                    break;
                }
            }
        }
    }

    /// `None` for a line that continues on the next one.
    fn word(&mut self) -> Result<Option<Token>, Broken> {
        let (mut text, mut plain, mut is_any) = (String::new(), true, false);
        while let Some(c) = self.peek() {
            if c.is_whitespace() || ";&|()<>".contains(c) {
                break;
            }
            self.next();
            match c {
                '\\' if self.eat('\n') => {
                    self.line += 1;
                    continue;
                }
                '\\' => {
                    plain = false;
                    text.extend(self.next());
                }
                '\'' => {
                    plain = false;
                    self.until('\'', &mut text)?;
                }
                '"' => {
                    plain = false;
                    self.quoted(&mut text)?;
                }
                '`' => {
                    plain = false;
                    self.until('`', &mut text)?;
                }
                '$' => {
                    text.push('$');
                    self.expansion(&mut text)?;
                }
                c => text.push(c),
            }
            is_any = true;
        }
        Ok(is_any.then_some(Token::Word(text, plain)))
    }

    fn unclosed(&self, line: usize, what: &str) -> Broken {
        (line, format!("`{what}` is not closed"))
    }

    fn until(&mut self, end: char, text: &mut String) -> Result<(), Broken> {
        let line = self.line;
        while let Some(c) = self.next() {
            match c {
                c if c == end => return Ok(()),
                '\\' if end == '`' => _ = self.next(),
                c => text.push(c),
            }
        }
        Err(self.unclosed(line, &end.to_string()))
    }

    fn quoted(&mut self, text: &mut String) -> Result<(), Broken> {
        let line = self.line;
        while let Some(c) = self.next() {
            match c {
                '"' => return Ok(()),
                '\\' => text.extend(self.next()),
                '`' => self.until('`', text)?,
                '$' => self.expansion(text)?,
                c => text.push(c),
            }
        }
        Err(self.unclosed(line, "\""))
    }

    /// What follows a `$`: `(…)`, `{…}`, or nothing special.
    fn expansion(&mut self, text: &mut String) -> Result<(), Broken> {
        let (open, close) = match self.peek() {
            Some('(') => ('(', ')'),
            Some('{') => ('{', '}'),
            _ => return Ok(()),
        };
        let line = self.line;
        let start = self.at();
        let mut depth = 0_usize;
        let mut before = ' ';
        while let Some(c) = self.next() {
            match c {
                c if c == open => depth += 1,
                // The parenthesis after a pattern of `case` closes nothing.
                ')' if open == '(' && self.is_in_case(start) => {}
                c if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                '\\' => _ = self.next(),
                '"' => self.quoted_inside()?,
                '\'' if open == '(' => self.until('\'', text)?,
                '#' if open == '(' && before.is_whitespace() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => {}
            }
            before = c;
        }
        Err(self.unclosed(line, &format!("${open}")))
    }

    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    /// Whether a `case` that began after `start` is still open.
    fn is_in_case(&mut self, start: usize) -> bool {
        let here = self.at();
        let words = || self.text[start..here].split(|c: char| c.is_whitespace() || "();".contains(c));
        words().filter(|word| *word == "case").count() > words().filter(|word| *word == "esac").count()
    }

    /// A quoted text within an expansion; expansions in it are skipped with it.
    fn quoted_inside(&mut self) -> Result<(), Broken> {
        let line = self.line;
        let mut depth = 0_usize;
        while let Some(c) = self.next() {
            match c {
                '"' if depth == 0 => return Ok(()),
                '\\' => _ = self.next(),
                '(' | '{' => depth += 1,
                ')' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            // A quote inside `"$(…)"` belongs to the inner command.
            if c == '"' && depth > 0 {
                let mut inside = String::new();
                self.until('"', &mut inside)?;
            }
        }
        Err(self.unclosed(line, "\""))
    }
}

#[cfg(test)]
mod tests;
