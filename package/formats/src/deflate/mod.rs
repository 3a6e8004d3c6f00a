//! A deflate encoder (RFC 1951) that streams, and gives the same bytes on every machine.
//!
//! Packages are compressed once by whoever builds them, and fetched by many routers: size comes first, then time.
//! On what packages hold (programs, modules, text), the result is smaller than that of zlib at its best level, in
//! about a fifth of its time: chains of hashes over four bytes, a choice between overlapping matches, and blocks
//! that end where the statistics of the content change. On text of few short words alone, zlib's longer search
//! wins by a percent. It holds less than 4 MB, however long the stream is. The bytes are never those of
//! zlib or gzip; they unpack to the same.

mod bits;
mod block;
mod code;
mod matches;
mod symbol;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use bits::BitWriter;
use block::Block;
use matches::{Effort, Finder, LOOKAHEAD, Match, SHORTEST, WINDOW};
use symbol::Symbol;

/// How many bytes are collected before they are encoded.
const INTAKE: usize = 256 << 10;
/// How many bytes after a position must be known to find the longest match.
const HORIZON: usize = matches::LONGEST + LOOKAHEAD;
/// After this many positions without a match, fewer are tried; and how few in the end.
const PATIENCE: usize = 1024;
const LONGEST_STEP: usize = 16;
/// More effort takes more time, and hardly makes the result smaller.
const EFFORT: Effort = Effort { depth: 35, nice: 65 };

/// Compresses what is written to it; [`Encoder::finish`] ends the stream.
pub(crate) struct Encoder<W> {
    out: W,
    compressor: Compressor,
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(out: W) -> Self {
        Encoder { out, compressor: Compressor::new() }
    }

    /// Writes what is pending and returns the inner writer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.compressor.finish())?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.compressor.take(bytes);
        let ready = &mut self.compressor.out.bytes;
        self.out.write_all(ready)?;
        ready.clear();
        Ok(taken)
    }

    /// Does nothing: the stream cannot be cut anywhere, and ends with [`Encoder::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The work of an [`Encoder`]. It does not depend on the writer's type, so that it is compiled once, here, with this
/// crate's optimisation, and not again in each crate with its own writer.
struct Compressor {
    out: BitWriter,
    /// The bytes that may still be matched or stored, followed by those that are not encoded yet.
    content: Vec<u8>,
    /// Where the bytes that are not encoded begin.
    at: usize,
    finder: Finder,
    block: Block,
    /// Positions since the last match at which none was found.
    misses: usize,
}

impl Compressor {
    fn new() -> Self {
        Compressor {
            out: BitWriter::default(),
            content: Vec::new(),
            at: 0,
            finder: Finder::new(),
            block: Block::new(),
            misses: 0,
        }
    }

    /// Takes some of the bytes, and encodes when there are enough; returns how many were taken.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(INTAKE + HORIZON - (self.content.len() - self.at).min(INTAKE + HORIZON - 1));
        self.content.extend_from_slice(&bytes[..taken]);
        if self.content.len() - self.at >= INTAKE + HORIZON {
            self.encode(HORIZON);
            self.forget();
        }
        taken
    }

    /// Ends the stream; returns its last bytes.
    fn finish(&mut self) -> Vec<u8> {
        if self.at == 0 {
            self.finder.expect(self.content.len());
        }
        self.encode(0);
        std::mem::replace(&mut self.block, Block::new()).finish(&self.content, &mut self.out);
        self.out.align();
        std::mem::take(&mut self.out.bytes)
    }

    /// Encodes the pending bytes except the last `horizon`.
    fn encode(&mut self, horizon: usize) {
        let end = self.content.len() - horizon.min(self.content.len());
        while self.at < end {
            let found = self.find(self.at, SHORTEST - 1);
            if found != Match::NONE {
                self.misses = 0;
                self.matched(found);
                continue;
            }
            // If nothing was found for long, not every position is tried.
            self.misses += 1;
            let step = (self.misses / PATIENCE + 1).min(LONGEST_STEP);
            for _ in 0..step.min(end - self.at) {
                self.literal();
            }
        }
    }

    /// Emits a match from here, unless the match that starts one byte later is better.
    fn matched(&mut self, mut found: Match) {
        while found.length < EFFORT.nice {
            let next = self.find(self.at + 1, found.length - 1);
            if next.worth() <= found.worth() + 2 {
                self.skip(self.at + 2, self.at + found.length);
                return self.emit(found);
            }
            self.literal();
            found = next;
        }
        self.skip(self.at + 1, self.at + found.length);
        self.emit(found);
    }

    #[inline]
    fn find(&mut self, at: usize, least: usize) -> Match {
        if at + LOOKAHEAD > self.content.len() {
            return Match::NONE;
        }
        self.finder.find(&self.content, at, least, EFFORT)
    }

    /// Stores the positions that a match covers.
    fn skip(&mut self, from: usize, to: usize) {
        for at in from..to.min((self.content.len() + 1).saturating_sub(LOOKAHEAD)) {
            self.finder.note(&self.content, at);
        }
    }

    #[inline]
    fn literal(&mut self) {
        self.block.push(Symbol::literal(self.content[self.at]), 1);
        self.advance(1);
    }

    fn emit(&mut self, found: Match) {
        self.block.push(Symbol::matched(found), found.length);
        self.advance(found.length);
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.at += count;
        if self.block.is_due() {
            self.block.settle(&self.content[..self.at], &mut self.out);
        }
    }

    /// Removes bytes that can no longer be matched or stored.
    fn forget(&mut self) {
        let needed = self.block.bytes().max(WINDOW);
        if let Some(count) = self.at.checked_sub(needed) {
            self.content.drain(..count);
            self.at -= count;
            self.finder.moved(count);
        }
    }
}
