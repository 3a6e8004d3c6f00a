//! Raw deflate decoding that knows the difference between "ended" and "cut off".

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use crate::Error;

thread_local! {
    /// The state of the last stream that this thread read: setting it up costs more than reading a tiny stream.
    static SPARE: Cell<Option<Decompress>> = const { Cell::new(None) };
}

/// Decodes one raw deflate stream and leaves the input directly behind its end.
pub(crate) struct Inflate<R> {
    input: R,
    /// Nothing once the stream has ended.
    state: Option<Decompress>,
    truncated: fn() -> Error,
}

impl<R> Inflate<R> {
    /// `truncated` makes the error for input that ends before the stream does.
    pub(crate) fn new(input: R, truncated: fn() -> Error) -> Self {
        let used = SPARE.take().map(|mut state| {
            state.reset(false);
            state
        });
        Inflate { input, state: Some(used.unwrap_or_else(|| Decompress::new(false))), truncated }
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
        while let Some(state) = &mut self.state {
            let input = self.input.fill_buf()?;
            let ended = input.is_empty();
            let (before_in, before_out) = (state.total_in(), state.total_out());
            let status =
                state.decompress(input, out, FlushDecompress::None).map_err(|_| io::Error::from(Error::GzipCorrupt))?;
            let consumed = usize::try_from(state.total_in() - before_in).unwrap_or(usize::MAX);
            let produced = usize::try_from(state.total_out() - before_out).unwrap_or(usize::MAX);
            self.input.consume(consumed);
            if status == Status::StreamEnd {
                SPARE.set(self.state.take());
            }
            if produced > 0 {
                return Ok(produced);
            }
            // No progress: more input is the only thing that could help.
            if self.state.is_some() && consumed == 0 && ended {
                return Err((self.truncated)().into());
            }
        }
        Ok(0)
    }
}
