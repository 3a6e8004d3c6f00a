//! Flags of `dist`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};
use model::Format;

use super::Kernel;
use super::openwrt::{Rows, Source};

/// `dist`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DistArgs {
    /// Another action on a published tree.
    #[command(subcommand)]
    pub action: Option<DistAction>,
    /// The published tree, a folder or an address: unchanged rows and other kernels are taken from it [default:
    /// OUT/current, if it exists].
    #[arg(long, value_name = "DIR|URL")]
    pub published: Option<String>,
    /// Start a new tree, even if OUT/current exists.
    #[arg(long, conflicts_with = "published")]
    pub anew: bool,
    /// Where routers will find the tree [default: the address of the published one].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Public key that may have signed the published tree, besides today's keys; may be given several times.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<Utf8PathBuf>,
    /// The rows, and where they come from.
    #[command(flatten)]
    pub rows: RowFlags,
    /// Folder with rows that `dist row` made, on another machine or earlier: nothing is built here.
    #[arg(long, value_name = "DIR")]
    pub made: Option<Utf8PathBuf>,
    /// Report of `test --json` on packages that are published: its results are shown beside them; may be given several
    /// times. Reports on other packages are ignored.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<Utf8PathBuf>,
    /// End with 0 though rows are missing; they are told all the same.
    #[arg(long)]
    pub allow_missing: bool,
    /// Folders that may go: `show` lists them, `remove` leaves them out. Those of lines that are not in the matrix any
    /// more, and with --keep older kernels.
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "show")]
    pub prune: Option<Prune>,
    /// How many kernels of each line and target stay when pruning; one that a release has always does [default: all].
    #[arg(long, value_name = "N", requires = "prune")]
    pub keep: Option<usize>,
    /// The commit that is published, for build.json and provenance.
    #[arg(long, value_name = "COMMIT", env = "GITHUB_SHA")]
    pub commit: Option<String>,
    /// Write the tree as an archive too, as page hosts take it.
    #[arg(long, value_name = "FILE")]
    pub tar: Option<Utf8PathBuf>,
    /// Upload the tree with a command of yours: it is run in the tree by `sh`, once for packages, once for indexes and so
    /// on, and finds in $FILES the name of a list of paths. Without a command the order is printed.
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, default_missing_value = "")]
    pub upload: Option<String>,
}

/// Rows of a tree.
#[derive(Debug, Clone, Args)]
pub struct RowFlags {
    /// Rows: releases of OpenWrt, lines, `all`, or `stand-in` [default: stand-in].
    #[command(flatten)]
    pub rows: Rows,
    /// Kernel lines of the stand-in, a row each; of several targets each has those that there are for it [default: 6.12,
    /// or what there is].
    #[arg(long = "kernel", value_name = "LINE", value_delimiter = ',')]
    pub kernels: Vec<Kernel>,
    /// Package formats of the stand-in.
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "ipk,apk")]
    pub formats: Vec<Format>,
    /// Debian mirror for the stand-in, a URL or a directory [default: the one of the host's apt].
    #[arg(long, value_name = "URL|DIR", env = super::DEBIAN_MIRROR)]
    pub debian_mirror: Option<String>,
    /// Use the files that openwrt.lock names, and no others.
    #[arg(long)]
    pub locked: bool,
    /// Where releases come from.
    #[command(flatten)]
    pub source: Source,
}

/// What to do with folders that may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Prune {
    /// List them.
    Show,
    /// Leave them out.
    Remove,
}

/// `dist verify` and so on
#[derive(Debug, Clone, Subcommand)]
pub enum DistAction {
    /// Build the packages of rows into OUT, in one folder each, for a later `dist --made OUT`. Reads no key.
    Row {
        /// The rows, and where they come from.
        #[command(flatten)]
        rows: Box<RowFlags>,
    },
    /// Verify a tree as the routers of every row would: keys, indexes, the digest of every file, subscribe.sh in a
    /// sandbox.
    Verify {
        /// The tree, a folder or an address.
        #[arg(value_name = "DIR|URL")]
        tree: String,
        /// Public key that may have signed it; may be given several times [default: those of this user].
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<Utf8PathBuf>,
    },
    /// Show what OpenWrt released and the tree lacks; exits with 1 if there is anything.
    Drift {
        /// The tree, a folder or an address.
        #[arg(value_name = "DIR|URL")]
        tree: String,
        /// Public key that may have signed it; may be given several times [default: those of this user].
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<Utf8PathBuf>,
        /// Rows to look at [default: every release that is no snapshot].
        #[command(flatten)]
        rows: Rows,
        /// Where releases come from.
        #[command(flatten)]
        source: Source,
    },
}
