//! Placeholder, replaced below.

pub mod lab;
