//! `--partition slice:K/N`, as nextest spells it.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Part `number` of `of`: the scenarios that would run are dealt out to the parts in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The part, from 1.
    pub number: NonZeroUsize,
    /// The number of parts.
    pub of: NonZeroUsize,
}

impl Partition {
    /// Whether the scenario at this position, from 0, belongs to this part.
    pub fn has(self, index: usize) -> bool {
        index % self.of == self.number.get() - 1
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write slice:K/N, such as slice:1/3: the first of three parts".to_owned();
        let (number, of) = text.strip_prefix("slice:").and_then(|part| part.split_once('/')).ok_or_else(wrong)?;
        let (number, of) = (number.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if number > of {
            return Err(format!("there is no part {number} of {of}"));
        }
        Ok(Partition { number, of })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slice:{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_belongs_to_one_part_and_parts_are_as_long_as_each_other() {
        let parts: Vec<Partition> = (1..=3).map(|number| format!("slice:{number}/3").parse().unwrap()).collect();
        for index in 0..10 {
            assert_eq!(parts.iter().filter(|part| part.has(index)).count(), 1);
        }
        let long = parts.iter().map(|part| (0..10).filter(|index| part.has(*index)).count()).collect::<Vec<_>>();
        assert_eq!((long, parts[1].to_string()), (vec![4, 3, 3], "slice:2/3".to_owned()));
        for bad in ["", "1/3", "hash:1/3", "slice:0/3", "slice:4/3", "slice:1", "slice:1/0", "slice:a/b"] {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }
}
