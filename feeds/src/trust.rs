//! The public keys whose signatures are trusted.

use formats::{ec, usign};

/// Public keys that may sign a feed.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// For opkg's indexes.
    pub usign: Vec<usign::PublicKey>,
    /// For apk's indexes.
    pub ec: Vec<ec::PublicKey>,
}
