//! Whose signatures count.

use formats::{ec, usign};

/// Public keys of whoever may have signed a feed.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// For opkg's indexes.
    pub usign: Vec<usign::PublicKey>,
    /// For apk's indexes.
    pub ec: Vec<ec::PublicKey>,
}
