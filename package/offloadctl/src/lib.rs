//! What a router's owner asks about nftables flow offload: is it on, for which flows, and if not, why not.
//!
//! The modules fall in three layers. Readers of foreign bytes are pure functions ([`netlink`], [`nftables`],
//! [`ethtool`], [`conntrack`], [`procfs`], [`uci`]); asking the kernel is done in two places ([`socket`], [`files`]); and the two commands
//! ([`status`], [`flows`]) put both together. [`report`], [`list`] and [`watch`] know what the output looks like.
//!
//! Nothing here changes the router: no module is loaded, no rule and no setting is touched.

pub mod arguments;
pub mod conntrack;
pub mod ethtool;
pub mod files;
pub mod finding;
pub mod flows;
pub mod help;
pub mod json;
pub mod list;
pub mod modules;
pub mod netlink;
pub mod nftables;
pub mod procfs;
pub mod report;
pub mod setting;
pub mod socket;
pub mod status;
pub mod terminal;
pub mod top;
pub mod uci;
pub mod watch;
