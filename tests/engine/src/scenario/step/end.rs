//! The end of a flow.

use std::fmt;

use super::Deed;
use super::flows::Flows;

/// A flow that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its name.
    pub flow: String,
    /// How a TCP connection ends; datagrams just stop.
    pub how: Ending,
}

/// How a TCP connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By FIN from both ends.
    Close,
    /// By RST.
    Abort,
}

impl End {
    pub(super) fn written(flow: String, how: Ending) -> Deed {
        Deed::End(End { flow, how })
    }

    pub(super) fn check(&self, flows: &mut Flows) -> Result<(), String> {
        if flows.end(&self.flow) { Ok(()) } else { Err(format!("ends `{}`, which is not open", self.flow)) }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.how {
            Ending::Close => "close",
            Ending::Abort => "abort",
        };
        write!(f, "{verb} {}", self.flow)
    }
}
