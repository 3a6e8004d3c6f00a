//! Raw deflate decoding that knows the difference between "ended" and "cut off".

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use crate::Error;

/// Decodes one raw deflate stream and leaves the input directly behind its end.
pub(crate) struct Inflate<R> {
    input: R,
    state: Decompress,
    finished: bool,
    truncated: fn() -> Error,
}

impl<R: BufRead> Inflate<R> {
    /// `truncated` makes the error for input that ends before the stream does.
    pub(crate) fn new(input: R, truncated: fn() -> Error) -> Self {
        Inflate { input, state: Decompress::new(false), finished: false, truncated }
    }

    /// What follows the stream, once [`Read::read`] has returned 0.
    pub(crate) fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while !self.finished {
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, out, FlushDecompress::None)
                .map_err(|_| io::Error::from(Error::GzipCorrupt))?;
            let consumed = usize::try_from(self.state.total_in() - before_in).unwrap_or(usize::MAX);
            let produced = usize::try_from(self.state.total_out() - before_out).unwrap_or(usize::MAX);
            self.input.consume(consumed);
            self.finished = status == Status::StreamEnd;
            if produced > 0 {
                return Ok(produced);
            }
            // No progress: more input is the only thing that could help.
            if !self.finished && consumed == 0 && ended {
                return Err((self.truncated)().into());
            }
        }
        Ok(0)
    }
}
