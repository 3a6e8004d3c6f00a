//! What must be true of the router after a step.

use std::collections::BTreeMap;

/// Facts that must hold; a step may have any of them, whatever it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Modules that must be in `/proc/modules`.
    pub loaded: Vec<String>,
    /// Modules that must not be there.
    pub not_loaded: Vec<String>,
    /// Packages of the feed whose modules must be loaded, from the feed's own files: see [`crate::modules`].
    pub loaded_from_feed: Vec<String>,
    /// Packages that the package manager must list as installed.
    pub installed: Vec<String>,
    /// Packages that it must not list.
    pub not_installed: Vec<String>,
    /// Every file of the root must be as it was when the scenario began (feed lists excepted).
    pub root_unchanged: bool,
    /// How often modules must be in use, as `/proc/modules` counts it.
    pub uses: BTreeMap<String, u64>,
    /// What may taint the kernel, by the kernel's letters; nothing else may.
    pub taint: Option<Vec<char>>,
    /// Files that must be among those that `sysupgrade` keeps.
    pub kept_by_sysupgrade: Vec<String>,
}

impl Facts {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.loaded.len()
            + self.not_loaded.len()
            + self.loaded_from_feed.len()
            + self.installed.len()
            + self.not_installed.len()
            + usize::from(self.root_unchanged)
            + self.uses.len()
            + usize::from(self.taint.is_some())
            + self.kept_by_sysupgrade.len()
    }
}
