//! Sets and maps, and what they have for a value.

use super::Verdict;
use crate::nftables::Family;

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Set {
    /// Family of its table.
    pub family: Family,
    /// Name of its table.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// Its elements are ends of intervals.
    pub is_interval: bool,
    /// Its elements; `None` where they could not be read or are too many.
    pub elements: Option<Vec<Element>>,
}

/// One element of a set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Its value, or the lower end of an interval.
    pub key: Vec<u8>,
    /// The upper end, included, in sets of several fields.
    pub to: Option<Vec<u8>>,
    /// What a verdict map says about it.
    pub verdict: Option<Verdict>,
    /// The interval before it ends here.
    pub is_end: bool,
    /// It stands for everything that is not in the set.
    pub is_default: bool,
    /// It has a statement of its own, such as a limit.
    pub is_conditional: bool,
}

/// What a set has for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// This.
    Element(&'a Element),
    /// Nothing.
    Nothing,
    /// That cannot be said.
    Unknown,
}

impl Set {
    /// The largest one that is kept: a list of blocked addresses may have a hundred thousand elements, and is not worth
    /// their memory.
    pub const MOST: usize = 1000;

    /// Bytes of its values; none where it is empty or not known.
    pub fn length(&self) -> usize {
        self.elements.iter().flatten().map(|element| element.key.len()).max().unwrap_or(0)
    }

    /// Looks a value up.
    pub fn find(&self, value: Option<&[u8]>) -> Found<'_> {
        let Some(elements) = &self.elements else { return Found::Unknown };
        if elements.is_empty() {
            return Found::Nothing;
        }
        let Some(value) = value else { return Found::Unknown };
        let mut plain = elements.iter().filter(|element| !element.is_default);
        let found = if elements.iter().any(|element| element.to.is_some()) {
            plain.find(|element| element.spans(value))
        } else if self.is_interval {
            // The nearest end below; where one interval follows on another, it is the beginning that counts.
            let below = plain.filter(|element| &element.key[..] <= value);
            let nearest = below.max_by(|one, other| (&one.key, !one.is_end).cmp(&(&other.key, !other.is_end)));
            nearest.filter(|element| !element.is_end)
        } else {
            plain.find(|element| element.key == value)
        };
        match found.or_else(|| elements.iter().find(|element| element.is_default)) {
            Some(element) if element.is_conditional => Found::Unknown,
            Some(element) => Found::Element(element),
            None => Found::Nothing,
        }
    }
}

impl Element {
    /// Whether each field is between its two ends. Fields begin at multiples of four bytes.
    fn spans(&self, value: &[u8]) -> bool {
        let to = self.to.as_ref().unwrap_or(&self.key);
        let parts = self.key.chunks(4).zip(value.chunks(4)).zip(to.chunks(4));
        self.key.len() == value.len() && parts.into_iter().all(|((from, part), to)| from <= part && part <= to)
    }
}
