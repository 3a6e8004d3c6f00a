//! Words that are written once in this program, such as the ids of findings, and are `&'static str`.

use serde::{Deserialize, Deserializer};

/// Such a word. One that was read from a saved report is leaked, so it lives until the program ends.
pub type Word = &'static str;

/// Reads a word.
pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    Ok(String::deserialize(from)?.leak())
}

/// Reads a word that may not be there.
pub fn read_option<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Word>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|word| &*word.leak()))
}
