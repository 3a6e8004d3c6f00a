//! A digest over fields; each field's length is hashed, so that fields do not run into each other.

use std::io::{Sink, Write as _, sink};

use model::Result;
use model::sha256::{Digest, Hasher};

/// A digest over fields.
pub(crate) struct Fields(Hasher<Sink>);

impl Fields {
    /// Adds a field, with its length.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        let _infallible = self.0.write_all(&length).and_then(|()| self.0.write_all(bytes));
    }
}

/// The digest of the fields that `fill` adds.
pub(crate) fn digest(fill: impl FnOnce(&mut Fields) -> Result<()>) -> Result<Digest> {
    let mut fields = Fields(Hasher::new(sink()));
    fill(&mut fields)?;
    Ok(fields.0.finish().1)
}
