//! Each cause that `explain` can name, from facts alone, and its opposite; and the machine that follows packets.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of a function marked as one")]

mod answers;
mod causes;
#[path = "../common/mod.rs"]
mod common;
mod router;
mod rules;
