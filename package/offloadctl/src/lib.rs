//! What a router's owner asks about nftables flow offload: is it on, for which flows, and if not, why not.
//!
//! The modules fall in three layers. Readers of foreign bytes are pure functions ([`netlink`], [`nftables`],
//! [`ethtool`], [`conntrack`], [`procfs`], [`uci`]); asking the kernel is done in two places ([`socket`], [`files`]); and the two commands
//! ([`status`], [`flows`]) put both together. [`report`], [`answer`], [`list`] and [`watch`] know what the output looks like.
//!
//! Only [`change`] changes the router, through its configuration and its own firewall. Asking loads no module.

pub mod answer;
pub mod arguments;
pub mod change;
pub mod conntrack;
pub mod devices;
pub mod diff;
pub mod doctor;
pub mod ethtool;
pub mod examination;
pub mod explain;
pub mod files;
pub mod finding;
pub mod firewall;
pub mod flows;
pub mod hardware;
pub mod help;
pub mod include;
pub mod inquiry;
pub mod json;
pub mod list;
pub mod modules;
pub mod netlink;
pub mod nftables;
pub mod passed;
pub mod procfs;
pub mod program;
pub mod queues;
pub mod report;
pub mod route;
pub mod ruleset;
pub mod setting;
pub mod socket;
pub mod status;
pub mod terminal;
pub mod text;
pub mod top;
pub mod totals;
pub mod trace;
pub mod uci;
pub mod watch;
pub mod xfrm;
