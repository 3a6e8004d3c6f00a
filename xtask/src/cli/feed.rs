//! Flags of `feed` and `keys`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::Selection;

/// `feed`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FeedArgs {
    /// Another action on the feed.
    #[command(subcommand)]
    pub action: Option<FeedAction>,
    /// Serve the feed over HTTP until interrupted [default address: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    pub serve: Option<std::net::SocketAddr>,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
}

/// `feed verify` and so on
#[derive(Debug, Clone, Subcommand)]
pub enum FeedAction {
    /// Show what changed between two feeds, ours or anybody's: folders, or index files of any format.
    Diff {
        /// The older feed.
        old: Utf8PathBuf,
        /// The newer feed.
        new: Utf8PathBuf,
    },
    /// Merge a new feed into a published one, keeping the folders of other kernels.
    Merge {
        /// The published feed; nothing in it is changed.
        published: Utf8PathBuf,
        /// The new feed.
        new: Utf8PathBuf,
        /// Folder for the merged feed; it must not exist.
        into: Utf8PathBuf,
        /// Public key that may have signed the published feed, besides today's keys; may be given several times.
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<Utf8PathBuf>,
    },
    /// Install every package of the feed into a scratch root, through its signatures, with each manager; or check a live
    /// feed's index, signature and the digest of each file, and install nothing.
    Verify {
        /// Address of anybody's feed or index, `https://…` or `http://…` [default: the feed built here].
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// Public key that may have signed it; may be given several times.
        #[arg(long = "key", value_name = "FILE", requires = "url")]
        keys: Vec<Utf8PathBuf>,
        /// What to build for.
        #[command(flatten)]
        selection: Selection,
    },
}

/// `keys`
#[derive(Debug, Clone, Args)]
pub struct KeysArgs {
    /// What to do with the keys.
    #[command(subcommand)]
    pub action: KeysAction,
}

/// `keys new` and so on
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum KeysAction {
    /// Make the keys that do not exist yet.
    New {
        /// Make the keys that will sign after the next rotation; until then routers learn them.
        #[arg(long)]
        next: bool,
    },
    /// Print the public keys, and their paths on a router.
    Show,
    /// Check that the keys are usable, and that nobody else can read them.
    Check,
    /// Make the next keys the current ones; the old ones are kept as .old files.
    Rotate,
}
