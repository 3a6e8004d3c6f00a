//! Modules whose loads must not cost the kernel memory.

use std::fmt;

use serde::Deserialize;

use super::module::is_name;

/// Modules that are loaded and unloaded again and again; they are loaded before it and after it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NoLeak(pub Vec<String>);

impl NoLeak {
    pub(super) fn check(&self) -> Result<(), String> {
        match self.0.iter().find(|name| !is_name(name)) {
            Some(bad) => Err(format!("looks for leaks of `{bad}`, which is no name of a module")),
            None if self.0.is_empty() => Err("looks for leaks of no module".into()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for NoLeak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}
