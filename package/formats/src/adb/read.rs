//! Reads the tree of values in an ADB block without trusting any offset.
//!
//! A small file can describe an enormous tree, because values may be shared; so each value that is read is charged to
//! the [`Tree`]'s budget.

use std::cell::Cell;

use super::value::{Tag, Value};
use crate::Error;

/// How many values may be read in one tree; a blob counts as one, plus one for every 16 bytes.
const BUDGET: u64 = 4 << 20;

/// A payload and the rest of its budget.
pub(crate) struct Tree<'a> {
    payload: &'a [u8],
    budget: Cell<u64>,
}

/// The slots of an object or list.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    tree: &'a Tree<'a>,
    /// The values after the count.
    slots: &'a [u8],
}

impl<'a> Tree<'a> {
    /// Checks the header; the payload must be that of an ADB block.
    pub(crate) fn new(payload: &'a [u8]) -> Result<Self, Error> {
        match payload {
            [0, _, 0, 0, _, _, _, _, ..] => Ok(Tree { payload, budget: Cell::new(BUDGET) }),
            [0, ..] => Err(Error::AdbValue { what: "the header of the metadata is malformed" }),
            _ => Err(Error::AdbVersion),
        }
    }

    /// The root object; an index without packages has none.
    pub(crate) fn root(&'a self) -> Result<Option<Object<'a>>, Error> {
        self.object(Value(u32::from_le_bytes(self.array(4)?)))
    }

    /// An object or list; `None` if it is absent. As in apk, either tag is accepted for both.
    pub(crate) fn object(&'a self, value: Value) -> Result<Option<Object<'a>>, Error> {
        match value.tag() {
            Some(Tag::Special) if value == Value::NULL => return Ok(None),
            Some(Tag::Array | Tag::Object) => {}
            _ => return Err(Error::AdbValue { what: "a value has another type than its field" }),
        }
        let at = aligned(value, 4)?;
        let count = u32::from_le_bytes(self.array(at)?) as usize;
        let length = count.checked_mul(4).filter(|length| *length >= 8);
        let length = length.ok_or(Error::AdbValue { what: "an object has an impossible number of fields" })?;
        self.spend(1)?;
        Ok(Some(Object { tree: self, slots: &self.bytes(at, length)?[4..] }))
    }

    /// A number; `None` if it is absent.
    pub(crate) fn int(&self, value: Value) -> Result<Option<u64>, Error> {
        self.spend(1)?;
        Ok(Some(match value.tag() {
            Some(Tag::Special) if value == Value::NULL => return Ok(None),
            Some(Tag::Int) => u64::from(value.content()),
            Some(Tag::Int32) => u64::from(u32::from_le_bytes(self.array(aligned(value, 4)?)?)),
            Some(Tag::Int64) => u64::from_le_bytes(self.array(aligned(value, 4)?)?),
            _ => return Err(Error::AdbValue { what: "a value has another type than its field" }),
        }))
    }

    /// A text or blob; empty if it is absent.
    pub(crate) fn blob(&self, value: Value) -> Result<&'a [u8], Error> {
        let (at, prefix, length) = match value.tag() {
            Some(Tag::Special) if value == Value::NULL => return Ok(&[]),
            Some(Tag::Blob8) => {
                let at = value.content() as usize;
                (at, 1, usize::from(u8::from_le_bytes(self.array(at)?)))
            }
            Some(Tag::Blob16) => {
                let at = aligned(value, 2)?;
                (at, 2, usize::from(u16::from_le_bytes(self.array(at)?)))
            }
            Some(Tag::Blob32) => {
                let at = aligned(value, 4)?;
                (at, 4, u32::from_le_bytes(self.array(at)?) as usize)
            }
            _ => return Err(Error::AdbValue { what: "a value has another type than its field" }),
        };
        let content = self.bytes(at + prefix, length)?;
        self.spend(1 + length as u64 / 16)?;
        Ok(content)
    }

    /// A text: UTF-8 without NUL, which would end the text for a program in C.
    pub(crate) fn text(&self, value: Value) -> Result<&'a str, Error> {
        match std::str::from_utf8(self.blob(value)?) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(Error::AdbValue { what: "a text is not UTF-8, or contains NUL" }),
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(at, N)?);
        Ok(array)
    }

    fn bytes(&self, at: usize, length: usize) -> Result<&'a [u8], Error> {
        // Here and below, an error that is not needed would be made and dropped for every value.
        match at.checked_add(length).and_then(|end| self.payload.get(at..end)) {
            Some(bytes) => Ok(bytes),
            None => Err(Error::AdbOffset),
        }
    }

    fn spend(&self, cost: u64) -> Result<(), Error> {
        let Some(left) = self.budget.get().checked_sub(cost) else { return Err(Error::AdbBudget) };
        self.budget.set(left);
        Ok(())
    }
}

/// The offset of a value, which must be a multiple of its alignment.
fn aligned(value: Value, alignment: usize) -> Result<usize, Error> {
    let at = value.content() as usize;
    if at.is_multiple_of(alignment) { Ok(at) } else { Err(Error::AdbOffset) }
}

impl<'a> Object<'a> {
    /// The value of a field, counted from 1; fields beyond the end count as absent.
    pub(crate) fn field(&self, number: usize) -> Value {
        let slot = number.checked_sub(1).and_then(|index| self.slots.chunks_exact(4).nth(index));
        slot.map_or(Value::NULL, |slot| Value(u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]])))
    }

    /// Number of fields, absent ones included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() / 4
    }

    /// All values in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> + use<'a> {
        self.slots.chunks_exact(4).map(|slot| Value(u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]])))
    }

    /// A field that is an object or list.
    pub(crate) fn object(&self, number: usize) -> Result<Option<Object<'a>>, Error> {
        self.tree.object(self.field(number))
    }

    /// A field that is a number.
    pub(crate) fn int(&self, number: usize) -> Result<Option<u64>, Error> {
        self.tree.int(self.field(number))
    }

    /// A field that is binary.
    pub(crate) fn blob(&self, number: usize) -> Result<&'a [u8], Error> {
        self.tree.blob(self.field(number))
    }

    /// A field that is text.
    pub(crate) fn text(&self, number: usize) -> Result<&'a str, Error> {
        self.tree.text(self.field(number))
    }

    /// The tree that it belongs to.
    pub(crate) fn tree(&self) -> &'a Tree<'a> {
        self.tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adb::Builder;

    #[test]
    fn values_survive_a_round_trip() {
        let mut builder = Builder::new();
        let numbers = [0, 1, (1 << 28) - 1, 1 << 28, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
        let stored: Vec<Value> = numbers.iter().map(|number| builder.int(*number).unwrap()).collect();
        let blobs = [0, 1, 255, 256, 65_535, 65_536].map(|length| vec![b'x'; length]);
        let texts: Vec<Value> = blobs.iter().map(|blob| builder.blob(blob).unwrap()).collect();
        let (numbers_list, texts_list) = (builder.list(&stored).unwrap(), builder.list(&texts).unwrap());
        let root = builder.object([numbers_list, Value::NULL, texts_list, Value::NULL]).unwrap();
        let payload = builder.finish(root);

        let tree = Tree::new(&payload).unwrap();
        let root = tree.root().unwrap().unwrap();
        let list = root.object(1).unwrap().unwrap();
        let read: Vec<u64> = list.values().map(|value| tree.int(value).unwrap().unwrap()).collect();
        assert_eq!(read, numbers);
        assert!(root.object(2).unwrap().is_none() && root.int(4).unwrap().is_none() && root.int(99).unwrap().is_none());
        let list = root.object(3).unwrap().unwrap();
        for (value, blob) in list.values().skip(1).zip(&blobs[1..]) {
            assert_eq!(tree.blob(value).unwrap(), blob);
        }
    }

    #[test]
    fn a_value_that_is_shared_over_and_over_runs_into_the_budget() {
        let mut builder = Builder::new();
        let blob = builder.blob(&[b'x'; 60_000]).unwrap();
        let root = builder.object([blob]).unwrap();
        let payload = builder.finish(root);
        let tree = Tree::new(&payload).unwrap();
        let error = (0..10_000).find_map(|_| tree.blob(blob).err()).unwrap();
        assert_eq!(error.id(), "ADB007");
    }

    #[test]
    fn identical_bytes_are_stored_once() {
        let mut builder = Builder::new();
        let (first, second) = (builder.blob(b"text").unwrap(), builder.blob(b"text").unwrap());
        assert_eq!(first, second);
        let reserved = builder.reserve(4).unwrap();
        assert_ne!(reserved, first);
        builder.fill(reserved, b"text");
        let payload = builder.finish(Value::NULL);
        assert_eq!(Tree::new(&payload).unwrap().blob(reserved).unwrap(), b"text");
    }
}
