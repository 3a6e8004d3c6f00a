//! Files into the guest: typed as words of the shell's own `printf`, each piece acknowledged.
//!
//! Nothing else can be relied on: OpenWrt's busybox has neither `base64` nor `uudecode`. What is text arrives
//! nearly as it is, every other byte as an octal escape.
//!
//! A terminal holds 4 KiB of typed text and the kernel some more behind it; what comes faster than
//! the shell reads is lost. So a piece is sent only after the one before has been answered.

use model::{Deadline, Digest};

use super::{Console, Trouble, quoted};

/// Bytes of a piece as it is typed, about.
const PIECE: usize = 16 << 10;
/// Bytes of a typed line, about: no line editor cuts it.
const LINE: usize = 400;

impl Console {
    /// Writes files in the guest, makes their folders, and checks their digests there: one question for all.
    pub fn put(&mut self, files: &[(&str, &[u8])], deadline: Deadline) -> Result<(), Trouble> {
        let mut script = String::from("mkdir -p");
        for (path, _bytes) in files {
            let folder = path.rsplit_once('/').map_or(".", |(folder, _name)| folder);
            script.push_str(&format!(" {}", quoted(if folder.is_empty() { "/" } else { folder })?));
        }
        let mut sums = String::from("sha256sum");
        for (path, bytes) in files {
            let target = quoted(path)?;
            script.push_str(&format!("\nprintf %b{} >{target}", as_operands(&words(bytes))));
            sums.push_str(&format!(" {target}"));
        }
        let said = self.run_line(&format!("{script}\n{sums}"), "writing files", deadline)?;
        let text = said.text();
        let mut digests = text.lines();
        let whole = |bytes: &[u8], line: &str| line.starts_with(&Digest::of(bytes).to_string());
        match files.iter().find(|(_path, bytes)| !digests.next().is_some_and(|line| whole(bytes, line))) {
            Some((path, _bytes)) => Err(not_stored(path, &said.out)),
            None => Ok(()),
        }
    }

    /// Writes a file in the guest, piece by piece.
    pub(super) fn store(&mut self, path: &str, bytes: &[u8], deadline: Deadline) -> Result<(), Trouble> {
        let target = quoted(path)?;
        let output = self.output_file();
        let words = words(bytes);
        // An empty file is one empty piece.
        let lines = PIECE / LINE;
        let pieces: Vec<&[String]> = if words.is_empty() { vec![&words] } else { words.chunks(lines).collect() };
        for (index, piece) in pieces.into_iter().enumerate() {
            let redirect = if index == 0 { ">" } else { ">>" };
            let lines: String = piece.iter().map(|word| format!("printf %b '{word}'\n")).collect();
            let text = format!("{{ {{ :\n{lines}}} {redirect}{target}; }} >{output} 2>&1");
            self.store_piece(path, &text, deadline)?;
        }
        Ok(())
    }

    fn store_piece(&mut self, path: &str, text: &str, deadline: Deadline) -> Result<(), Trouble> {
        let name = format!("writing {path}");
        let token = self.token();
        self.type_text(&format!("{text}; vm_answer {}\n", token.words()), &name, deadline)?;
        let Some(frame) = self.answer(&token, &name, deadline)? else { return Err(self.no_answer(&name, deadline)) };
        match (frame.code, frame.body) {
            (0, _) => Ok(()),
            (_, Ok(said)) => Err(not_stored(path, &said)),
            (code, Err(_)) => Err(not_stored(path, format!("exit code {code}").as_bytes())),
        }
    }
}

/// A command that the guest's shell takes from what is typed: a line that cannot be typed as it is, in several that
/// can. `None`: too long to be typed in one go.
pub(super) fn in_lines(line: &str) -> Option<String> {
    let words = words(line.as_bytes());
    (words.len() <= PIECE / LINE).then(|| format!("(eval \"$(printf %b{})\")", as_operands(&words)))
}

/// Words between single quotes, each on a line of its own.
fn as_operands(words: &[String]) -> String {
    // Without an operand `printf` would not know what to print.
    if words.is_empty() { " ''".into() } else { words.iter().map(|word| format!(" \\\n'{word}'")).collect() }
}

/// What `printf %b` makes these bytes of, when each stands between single quotes.
fn words(bytes: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for &byte in bytes {
        match byte {
            b' '..=b'~' if byte != b'\'' && byte != b'\\' => word.push(char::from(byte)),
            _ => word.push_str(&format!("\\0{byte:03o}")),
        }
        if word.len() >= LINE {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn not_stored(path: &str, said: &[u8]) -> Trouble {
    Trouble::NotStored { path: path.into(), said: String::from_utf8_lossy(said).into_owned() }
}
