//! Kernel modules: loaded with their parameters, unloaded, loaded once more.

use std::fmt;

use super::Deed;
use super::beside::Beside;
use crate::scenario::topology::Seconds;

/// What is done with a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// It is loaded, with what it depends on; it must not be yet.
    Load,
    /// It is unloaded; what it depends on stays.
    Unload,
    /// It is unloaded, and loaded again.
    Reload,
}

/// A module that is loaded or unloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// What is done.
    pub what: Handling,
    /// Its name.
    pub module: String,
    /// Parameters, `name=value`.
    pub with: Vec<String>,
    /// How long the module may still be in use before it is unloaded.
    pub within: Option<Seconds>,
}

impl Handle {
    pub(super) fn written(module: String, what: Handling, beside: &mut Beside) -> Deed {
        let with = beside.with.take().unwrap_or_default();
        Deed::Module(Handle { what, module, with, within: beside.within.take() })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if !is_name(&self.module) {
            return Err(format!("has to do with `{}`, which is no name of a module", self.module));
        }
        if self.what == Handling::Unload && !self.with.is_empty() {
            return Err("unloads a module with parameters".into());
        }
        if self.what == Handling::Load && self.within.is_some() {
            return Err("loads a module `within` a time, which is for unloading".into());
        }
        match self.with.iter().find(|parameter| !is_parameter(parameter)) {
            Some(bad) => Err(format!("gives a module `{bad}`, which is not written as name=value without blanks")),
            None => Ok(()),
        }
    }
}

/// Whether a module may be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn is_parameter(text: &str) -> bool {
    let (name, value) = text.split_once('=').unwrap_or((text, "y"));
    is_name(name)
        && !value.is_empty()
        && value.chars().all(|c| c.is_ascii_graphic() && !"'\"\\$`;&|<>(){}*?".contains(c))
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.what {
            Handling::Load => "load",
            Handling::Unload => "unload",
            Handling::Reload => "reload",
        };
        write!(f, "{verb} {}", self.module)?;
        self.with.iter().try_for_each(|parameter| write!(f, " {parameter}"))
    }
}
