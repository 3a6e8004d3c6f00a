//! One value: four bits of type, 28 bits of number or offset.

/// The type in the upper four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Special,
    Int,
    Int32,
    Int64,
    Blob8,
    Blob16,
    Blob32,
    Array,
    Object,
}

/// Upper bits of each type.
const TAGS: [(u32, Tag); 9] = [
    (0x0, Tag::Special),
    (0x1, Tag::Int),
    (0x2, Tag::Int32),
    (0x3, Tag::Int64),
    (0x8, Tag::Blob8),
    (0x9, Tag::Blob16),
    (0xa, Tag::Blob32),
    (0xd, Tag::Array),
    (0xe, Tag::Object),
];

/// The largest number or offset that a value can hold.
pub(crate) const LARGEST: u32 = (1 << 28) - 1;

/// A value as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) u32);

impl Value {
    /// An absent field, an empty text, an empty list.
    pub(crate) const NULL: Value = Value(0);

    pub(crate) fn new(tag: Tag, content: u32) -> Self {
        let bits = TAGS.iter().find(|(_, known)| *known == tag).map_or(0, |(bits, _)| *bits);
        Value(bits << 28 | content & LARGEST)
    }

    /// The type; `None` if it is undefined.
    pub(crate) fn tag(self) -> Option<Tag> {
        TAGS.iter().find(|(bits, _)| *bits == self.0 >> 28).map(|(_, tag)| *tag)
    }

    /// The number or offset.
    pub(crate) fn content(self) -> u32 {
        self.0 & LARGEST
    }
}
