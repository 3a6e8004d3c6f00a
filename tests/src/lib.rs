//! Placeholder
pub mod probes;
pub mod scenario;
