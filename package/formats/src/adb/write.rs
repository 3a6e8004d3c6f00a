//! Builds the payload of an ADB block, byte for byte as apk does.
//!
//! Values are appended as they are made, each aligned to its size. Bytes that were already written at a suitable offset
//! are reused, whatever they belong to.

use std::collections::HashMap;

use super::value::{LARGEST, Tag, Value};
use crate::Error;

/// Size of the header: compatible version, version, two zeros, root value.
const HEADER: usize = 8;

/// Appends values, and finds those that were already appended.
pub(crate) struct Builder {
    bytes: Vec<u8>,
    known: HashMap<Box<[u8]>, usize>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder { bytes: vec![0; HEADER], known: HashMap::new() }
    }

    /// A number, stored in the value itself if it fits.
    pub(crate) fn int(&mut self, number: u64) -> Result<Value, Error> {
        match u32::try_from(number) {
            Ok(small) if small <= LARGEST => Ok(Value::new(Tag::Int, small)),
            Ok(medium) => self.append(Tag::Int32, &medium.to_le_bytes(), 4),
            Err(_) => self.append(Tag::Int64, &number.to_le_bytes(), 4),
        }
    }

    /// A number copied from another tree: 64-bit numbers are aligned to 8 there.
    pub(crate) fn copied_int(&mut self, number: u64) -> Result<Value, Error> {
        if u32::try_from(number).is_ok() { self.int(number) } else { self.append(Tag::Int64, &number.to_le_bytes(), 8) }
    }

    /// A text or blob; an empty one becomes [`Value::NULL`].
    pub(crate) fn blob(&mut self, content: &[u8]) -> Result<Value, Error> {
        if content.is_empty() {
            return Ok(Value::NULL);
        }
        let (tag, prefix) = length_prefix(content)?;
        let alignment = prefix.len();
        self.append(tag, &[&prefix[..], content].concat(), alignment)
    }

    /// A blob that no other value shares, to be filled later.
    pub(crate) fn reserve(&mut self, length: u8) -> Result<Value, Error> {
        let at = self.bytes.len();
        self.bytes.push(length);
        self.bytes.resize(at + 1 + usize::from(length), 0);
        offset(Tag::Blob8, at)
    }

    /// Fills a reserved blob.
    pub(crate) fn fill(&mut self, reserved: Value, content: &[u8]) {
        let start = reserved.content() as usize + 1;
        if let Some(place) = self.bytes.get_mut(start..start + content.len()) {
            place.copy_from_slice(content);
        }
    }

    /// An object: values by field number, from 1.
    pub(crate) fn object<const N: usize>(&mut self, fields: [Value; N]) -> Result<Value, Error> {
        self.slots(Tag::Object, &fields)
    }

    /// A list; apk tags nearly all of them as objects.
    pub(crate) fn list(&mut self, items: &[Value]) -> Result<Value, Error> {
        self.slots(Tag::Object, items)
    }

    /// A list with the tag of lists, used for extended attributes only.
    pub(crate) fn tagged_list(&mut self, items: &[Value]) -> Result<Value, Error> {
        self.slots(Tag::Array, items)
    }

    /// Stores the root and returns the payload.
    pub(crate) fn finish(mut self, root: Value) -> Vec<u8> {
        self.bytes[4..HEADER].copy_from_slice(&root.0.to_le_bytes());
        self.bytes
    }

    /// The payload so far with this root, for hashing.
    pub(crate) fn set_root(&mut self, root: Value) -> &[u8] {
        self.bytes[4..HEADER].copy_from_slice(&root.0.to_le_bytes());
        &self.bytes
    }

    /// A count and the values after it; absent values at the end are not stored.
    fn slots(&mut self, tag: Tag, values: &[Value]) -> Result<Value, Error> {
        let used = values.iter().rposition(|value| *value != Value::NULL).map_or(0, |last| last + 1);
        if used == 0 {
            return Ok(Value::NULL);
        }
        let count = u32::try_from(used + 1).map_err(|_| Error::AdbTooLarge)?;
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(values[..used].iter().flat_map(|value| value.0.to_le_bytes()));
        self.append(tag, &bytes, 4)
    }

    fn append(&mut self, tag: Tag, content: &[u8], alignment: usize) -> Result<Value, Error> {
        if let Some(&known) = self.known.get(content)
            && known.is_multiple_of(alignment)
        {
            return offset(tag, known);
        }
        let at = self.bytes.len().next_multiple_of(alignment);
        self.bytes.resize(at, 0);
        self.bytes.extend(content);
        self.known.insert(content.into(), at);
        offset(tag, at)
    }
}

fn offset(tag: Tag, at: usize) -> Result<Value, Error> {
    let at = u32::try_from(at).ok().filter(|at| *at <= LARGEST).ok_or(Error::AdbTooLarge)?;
    Ok(Value::new(tag, at))
}

fn length_prefix(content: &[u8]) -> Result<(Tag, Vec<u8>), Error> {
    let length = content.len();
    Ok(if let Ok(length) = u8::try_from(length) {
        (Tag::Blob8, vec![length])
    } else if let Ok(length) = u16::try_from(length) {
        (Tag::Blob16, length.to_le_bytes().to_vec())
    } else {
        let length = u32::try_from(length).map_err(|_| Error::AdbTooLarge)?;
        (Tag::Blob32, length.to_le_bytes().to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_beyond_28_bits_cannot_be_stored() {
        assert_eq!(offset(Tag::Object, LARGEST as usize).unwrap(), Value(0xefff_ffff));
        assert_eq!(offset(Tag::Object, LARGEST as usize + 1).unwrap_err().id(), "ADB008");
    }
}
