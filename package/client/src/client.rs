//! What the clients of both managers are.

use crate::root::Root;

/// Installs into one root, as one configuration says.
#[derive(Debug, Clone)]
pub struct Client<Config> {
    pub(crate) root: Root,
    pub(crate) config: Config,
}

impl<Config> Client<Config> {
    /// A client for `root`. Nothing is read or locked before a command runs.
    pub fn new(root: Root, config: Config) -> Client<Config> {
        Client { root, config }
    }

    /// What it works on.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
