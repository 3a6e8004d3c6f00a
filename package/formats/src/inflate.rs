//! Raw deflate decoding that distinguishes "ended" from "cut off".

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use crate::Error;

thread_local! {
    /// The decoder of this thread's last stream, for reuse: setting one up costs more than reading a tiny stream.
    static SPARE: Cell<Option<Decompress>> = const { Cell::new(None) };
}

/// Decodes one raw deflate stream and leaves the input right after its end.
pub(crate) struct Inflate<R> {
    input: R,
    /// `None` once the stream has ended.
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

    /// The input after the stream, once [`Read::read`] has returned 0.
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
            // No progress at the end of the input: the stream is cut off.
            if self.state.is_some() && consumed == 0 && ended {
                return Err((self.truncated)().into());
            }
        }
        Ok(0)
    }
}
