//! What must be true of the router after a step.

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
    }
}
