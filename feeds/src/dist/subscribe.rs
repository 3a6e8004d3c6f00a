//! `subscribe.sh`, which a router runs to install the feed's keys and its line. The script is [beside this
//! file](subscribe.sh).

use super::keyring;
use super::keys::{KnownKeys, Status};

const TEMPLATE: &str = include_str!("subscribe.sh");

/// The script for the feed at this address.
pub(crate) fn script(feed: &str, url: &str, keys: &KnownKeys) -> String {
    let line = |known: &super::keys::Known| format!("{} {} {}", known.manager, known.sha256, known.file);
    let keys = keys.keys.iter().filter(|known| known.status != Status::Retired).map(line);
    let keys = keys.collect::<Vec<_>>().join("\n");
    TEMPLATE
        .replace("@NAME@", feed)
        .replace("@KEYRING@", &keyring::name(feed))
        .replace("@URL@", url)
        .replace("@KEYS@", &keys)
}

/// Whether a text is safe between single quotes in a shell script, and in a feed list.
pub(crate) fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-~%[]".contains(c);
    !text.is_empty() && text.chars().all(plain)
}
