//! apk's versions: `N(.N)*[a-z]?(_suffix N?)*(~hash)?(-rN)?`, compared token by token.

use std::cmp::Ordering;
use std::fmt;

/// How a package's version must compare with that in a dependency: the bits of apk's own `match` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match(u8);

impl Match {
    /// Equal versions match.
    pub const EQUAL: Match = Match(1);
    /// Older versions match.
    pub const LESS: Match = Match(2);
    /// Newer versions match.
    pub const GREATER: Match = Match(4);
    /// A version that continues the named one counts as equal.
    pub const FUZZY: Match = Match(8);
    /// The package must not be installed.
    pub const CONFLICT: Match = Match(16);
    /// Any version.
    pub const ANY: Match = Match(7);

    /// Reads the number stored in a package; `None` for undefined bits.
    pub fn from_bits(bits: u64) -> Option<Self> {
        u8::try_from(bits).ok().filter(|bits| *bits < 32).map(Match)
    }

    /// The number stored in a package.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Match) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Match) -> Match {
        Match(self.0 | other.0)
    }

    /// Without the bits of `other`.
    #[must_use]
    pub fn without(self, other: Match) -> Match {
        Match(self.0 & !other.0)
    }

    /// Reads any mix of `<`, `>`, `=`, `~`, as in dependencies; `~` includes `=`.
    pub fn parse(text: &str) -> Option<Self> {
        let bits = text.chars().try_fold(Match(0), |bits, c| {
            Some(bits.with(match c {
                '<' => Match::LESS,
                '>' => Match::GREATER,
                '=' => Match::EQUAL,
                '~' => Match::FUZZY.with(Match::EQUAL),
                _ => return None,
            }))
        })?;
        (bits.0 != 0).then_some(bits)
    }

    /// Whether `version` relates to `wanted` in this way.
    pub fn accepts(self, version: &str, wanted: &str) -> bool {
        let relation = match compare_with(version, wanted, self.contains(Match::FUZZY)) {
            Ordering::Less => Match::LESS,
            Ordering::Equal => Match::EQUAL,
            Ordering::Greater => Match::GREATER,
        };
        self.contains(relation) != self.contains(Match::CONFLICT)
    }
}

/// Prints the operator between name and version, without the `!` of a conflict.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, sign) in [(Match::GREATER, '>'), (Match::LESS, '<'), (Match::FUZZY, '~')] {
            if self.contains(bit) {
                write!(f, "{sign}")?;
            }
        }
        if self.contains(Match::EQUAL) && !self.contains(Match::FUZZY) { f.write_str("=") } else { Ok(()) }
    }
}

/// Compares two versions as apk does; invalid ones are compared as far as they can be parsed.
pub fn compare(a: &str, b: &str) -> Ordering {
    compare_with(a, b, false)
}

/// Whether apk's grammar accepts the version. Readers do not check it, but package builders must.
pub fn is_valid(version: &str) -> bool {
    let mut tokens = Tokens::new(version);
    loop {
        match tokens.next().kind {
            Kind::End => return true,
            Kind::Invalid => return false,
            _ => {}
        }
    }
}

/// The kind of a token; when two versions differ in kind, the earlier kind is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    FirstNumber,
    Number,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
    End,
    Invalid,
}

/// Known suffixes in order; the first ones come before a version without suffix.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const PRE_RELEASES: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

impl Token<'_> {
    /// Place in [`SUFFIXES`].
    fn rank(&self) -> usize {
        SUFFIXES.iter().position(|suffix| *suffix == self.text).unwrap_or(SUFFIXES.len())
    }

    fn is_pre_release(&self) -> bool {
        self.kind == Kind::Suffix && self.rank() < PRE_RELEASES
    }

    /// 64 bits that wrap silently, as in apk.
    fn number(&self) -> u64 {
        self.text.bytes().fold(0, |value: u64, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    }

    /// The order of two tokens of the same kind.
    fn compare(&self, other: &Token<'_>) -> Ordering {
        match self.kind {
            // A leading zero makes it a decimal fraction of sorts: 1.09 < 1.1.
            Kind::Number if self.text.starts_with('0') || other.text.starts_with('0') => self.text.cmp(other.text),
            Kind::FirstNumber | Kind::Number | Kind::SuffixNumber | Kind::Revision => {
                self.number().cmp(&other.number())
            }
            Kind::Suffix => self.rank().cmp(&other.rank()),
            Kind::Letter | Kind::Hash => self.text.cmp(other.text),
            Kind::End | Kind::Invalid => Ordering::Equal,
        }
    }
}

fn compare_with(a: &str, b: &str, fuzzy: bool) -> Ordering {
    let (mut tokens_a, mut tokens_b) = (Tokens::new(a), Tokens::new(b));
    loop {
        let (token_a, token_b) = (tokens_a.next(), tokens_b.next());
        if fuzzy && token_b.kind == Kind::End {
            return Ordering::Equal;
        }
        if token_a.kind != token_b.kind {
            return match (token_a.is_pre_release(), token_b.is_pre_release()) {
                (true, _) => Ordering::Less,
                (_, true) => Ordering::Greater,
                _ => token_b.kind.cmp(&token_a.kind),
            };
        }
        let order = token_a.compare(&token_b);
        if order.is_ne() || token_a.kind >= Kind::End {
            return order;
        }
    }
}

/// Cuts a version into tokens; ends with `End` or `Invalid`, for ever.
struct Tokens<'a> {
    rest: &'a str,
    last: Option<Kind>,
}

impl<'a> Tokens<'a> {
    fn new(version: &'a str) -> Self {
        Tokens { rest: version, last: None }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.cut().unwrap_or(Token { kind: Kind::Invalid, text: "" });
        self.last = Some(token.kind);
        token
    }

    /// The next token, or `None` when the grammar has no place for what follows.
    fn cut(&mut self) -> Option<Token<'a>> {
        use Kind::{End, FirstNumber, Hash, Invalid, Letter, Number, Revision, Suffix, SuffixNumber};
        let Some(last) = self.last else { return self.take(FirstNumber, |c| c.is_ascii_digit()) };
        let Some(sign) = self.rest.chars().next() else {
            return (last != Invalid).then_some(Token { kind: End, text: "" });
        };
        match sign {
            '.' if last <= Number => {
                self.rest = &self.rest[1..];
                self.take(Number, |c| c.is_ascii_digit())
            }
            'a'..='z' if last <= Number => {
                let (text, rest) = self.rest.split_at(1);
                self.rest = rest;
                Some(Token { kind: Letter, text })
            }
            '0'..='9' if last == Suffix => self.take(SuffixNumber, |c| c.is_ascii_digit()),
            '_' if last <= SuffixNumber => {
                self.rest = &self.rest[1..];
                self.take(Suffix, |c| c.is_ascii_lowercase()).filter(|token| token.rank() < SUFFIXES.len())
            }
            '~' if last <= SuffixNumber => {
                self.rest = &self.rest[1..];
                self.take(Hash, |c| matches!(c, '0'..='9' | 'a'..='f'))
            }
            '-' if last <= Hash => {
                self.rest = self.rest.strip_prefix("-r")?;
                self.take(Revision, |c| c.is_ascii_digit())
            }
            _ => None,
        }
    }

    /// At least one character of a set.
    fn take(&mut self, kind: Kind, accept: impl Fn(char) -> bool) -> Option<Token<'a>> {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!text.is_empty()).then_some(Token { kind, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a golden table without its heading.
    fn rows(table: &'static str) -> Vec<Vec<&'static str>> {
        table.lines().skip(1).map(|line| line.split(',').collect()).collect()
    }

    fn order(sign: &str) -> Ordering {
        match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_comparison_of_the_table_made_by_apk() {
        let tables = [
            (include_str!("../../tests/golden/version/apk-compare.csv"), 687),
            (include_str!("../../tests/golden/version/apk-compare-invalid.csv"), 59),
        ];
        for (table, count) in tables {
            let rows = rows(table);
            assert_eq!(rows.len(), count);
            for row in rows {
                assert_eq!(compare(row[0], row[1]), order(row[2]), "{row:?}");
                assert_eq!(compare(row[1], row[0]), order(row[2]).reverse(), "{row:?} reversed");
            }
        }
    }

    #[test]
    fn every_version_of_the_table_is_valid_or_not() {
        let rows = rows(include_str!("../../tests/golden/version/apk-valid.csv"));
        assert_eq!(rows.len(), 99);
        for row in rows {
            assert_eq!(is_valid(row[0]), row[1] == "1", "{row:?}");
        }
    }

    #[test]
    fn every_constraint_of_the_table_matches_or_not() {
        let rows = rows(include_str!("../../tests/golden/version/apk-match.csv"));
        assert_eq!(rows.len(), 240);
        for row in rows {
            let (conflict, operator) = match row[1].strip_prefix('!') {
                Some(operator) => (Match::CONFLICT, operator),
                None => (Match(0), row[1]),
            };
            let operator = Match::parse(operator).unwrap().with(conflict);
            assert_eq!(operator.accepts(row[0], row[2]), row[3] == "1", "{row:?}");
        }
    }

    #[test]
    fn operators_print_as_they_are_read() {
        for text in ["=", "<", ">", "<=", ">=", "~", "<~", ">~", "><"] {
            assert_eq!(Match::parse(text).unwrap().to_string(), text);
        }
        assert_eq!((Match::parse(""), Match::parse("*"), Match::from_bits(32)), (None, None, None));
        assert_eq!(Match::parse("~").unwrap().bits(), 9);
    }

    proptest::proptest! {
        #[test]
        fn any_two_texts_have_one_order(a in "\\PC{0,12}", b in "[0-9a-z~._-]{0,12}") {
            proptest::prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
