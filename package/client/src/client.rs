//! The common part of both managers' clients.

use crate::root::Root;

/// One manager's commands on one root, with one configuration.
#[derive(Debug, Clone)]
pub struct Client<Config> {
    pub(crate) root: Root,
    pub(crate) config: Config,
}

impl<Config> Client<Config> {
    /// A client for `root`. Reads and locks nothing until a command runs.
    pub fn new(root: Root, config: Config) -> Client<Config> {
        Client { root, config }
    }

    /// The root that commands work on.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
