//! What steps do, one module for each kind of deed; `steps` calls them.

pub(crate) mod card;
pub(crate) mod command;
pub(crate) mod leak;
pub(crate) mod link;
pub(crate) mod module;
pub(crate) mod ruleset;
pub(crate) mod sysupgrade;
pub(crate) mod traffic;
