//! Placeholder
pub mod serve;
