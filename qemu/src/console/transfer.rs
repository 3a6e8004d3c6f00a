//! Files into the guest: base64 in here-documents, each piece acknowledged.
//!
//! A terminal holds 4 KiB of typed text and the kernel some more behind it; what comes faster than
//! the shell reads is lost. So a piece is sent only after the one before has been answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Deadline;

use super::{Console, Trouble, quoted};

/// Bytes of a piece before base64: 16 KiB after it.
const PIECE: usize = 12 << 10;
/// Bytes of one line before base64: 76 characters after it.
const LINE: usize = 57;
/// The line that ends a here-document; no base64 line looks like it.
const END: &str = "-";

impl Console {
    /// Writes a file in the guest and checks its digest there. The file appears whole or not at all.
    pub fn put(&mut self, path: &str, bytes: &[u8], deadline: Deadline) -> Result<(), Trouble> {
        let part = format!("{path}.part");
        self.store(&part, bytes, deadline)?;
        let digest = crate::digest::sha256(bytes);
        let said = self.run(&["sha256sum", &part], deadline)?;
        if !said.text().starts_with(&digest) {
            return Err(not_stored(path, &said.out));
        }
        let moved = self.run(&["mv", "-f", &part, path], deadline)?;
        if moved.success() { Ok(()) } else { Err(not_stored(path, &moved.out)) }
    }

    /// Writes a file in the guest, piece by piece.
    pub(super) fn store(&mut self, path: &str, bytes: &[u8], deadline: Deadline) -> Result<(), Trouble> {
        let target = quoted(path)?;
        let output = self.output_file();
        // An empty file is one empty piece.
        let pieces: Vec<&[u8]> = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(PIECE).collect() };
        for (index, piece) in pieces.into_iter().enumerate() {
            let redirect = if index == 0 { ">" } else { ">>" };
            let mut text = format!("(base64 -d {redirect}{target}) >{output} 2>&1 <<'{END}'\n");
            for line in piece.chunks(LINE) {
                STANDARD.encode_string(line, &mut text);
                text.push('\n');
            }
            text.push_str(END);
            self.store_piece(path, &text, deadline)?;
        }
        Ok(())
    }

    fn store_piece(&mut self, path: &str, document: &str, deadline: Deadline) -> Result<(), Trouble> {
        let name = format!("writing {path}");
        let token = self.token();
        // On a line of its own, as nothing may follow the document's end; `$?` is still the document's.
        self.type_text(&format!("{document}\nvm_answer {}\n", token.words()), &name, deadline)?;
        let Some(frame) = self.answer(&token, deadline)? else { return Err(self.no_answer(&name, deadline)) };
        match (frame.code, frame.body) {
            (0, _) => Ok(()),
            (_, Ok(said)) => Err(not_stored(path, &said)),
            (code, Err(_)) => Err(not_stored(path, format!("exit code {code}").as_bytes())),
        }
    }
}

fn not_stored(path: &str, said: &[u8]) -> Trouble {
    Trouble::NotStored { path: path.into(), said: String::from_utf8_lossy(said).into_owned() }
}
