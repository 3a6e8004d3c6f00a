//! Every verb and flag, and nothing else: what they do is in `cmd/<verb>.rs`.
//!
//! A flag is spelled and explained once, in a group that the verbs flatten, so that it means the
//! same everywhere. Each environment variable that is read is shown with its flag.

pub mod dist;
pub mod openwrt;

use camino::Utf8PathBuf;
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Format, Sabotage, WantedAccel};
use openwrt::OpenWrt;

/// Builds OpenWrt flow-offload packages, publishes them as a signed feed, boots a router in QEMU,
/// installs them there and proves with real packets that flows are offloaded.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask test --install-deps       everything, on a fresh Debian machine
  cargo xtask build                     packages only; needs neither QEMU nor root
  cargo xtask build --release 25.12     the same, made by the SDK of that release of OpenWrt
  cargo xtask test --release 25.12      scenarios on that release's own image
  cargo xtask test --list               names of the scenarios
  cargo xtask test NAME --exact --pcap captures
                                        one scenario, with its packets kept
  cargo xtask lint DIR --key FILE       what is wrong with anybody's packages or feed
  cargo xtask feed --serve              build, sign and serve the feed on loopback
  cargo xtask dist --url https://example.org/feed
                                        the tree of all feeds, for any web server
  cargo xtask doctor                    what this machine has and lacks

Exit codes:
  0 done        1 a check or test failed   2 usage or configuration   3 the host lacks something
  4 network, may be retried   5 digest, signature or lock mismatch, never retry
  6 blocked, retry once   70 our defect   130 interrupted

Environment: XDG_CACHE_HOME (cache), XDG_CONFIG_HOME (keys), OPENWRT_OFFLOAD_DEBIAN_MIRROR,
  OPENWRT_OFFLOAD_MIRROR, OPENWRT_OFFLOAD_RELEASE_KEY (OpenWrt's releases),
  OPENWRT_OFFLOAD_USIGN_KEY, OPENWRT_OFFLOAD_EC_KEY (secret keys), NO_COLOR, SOURCE_DATE_EPOCH,
  GITHUB_ACTIONS=true (groups, annotations; a summary in GITHUB_STEP_SUMMARY).";

/// The verbs; each is implemented in the file of its name.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build the packages.
    Build(BuildArgs),
    /// Build, publish, boot, install and prove offload.
    Test(TestArgs),
    /// Hold packages and feeds against numbered rules.
    Lint(LintArgs),
    /// Build and sign the feed; serve it or verify it.
    Feed(FeedArgs),
    /// Publish the feeds of many releases and targets as one tree of static files; verify one.
    Dist(dist::DistArgs),
    /// Make, show, check and replace the keys that sign the feed.
    Keys(KeysArgs),
    /// Boot the router and give a console, or run one command in it.
    Boot(BootArgs),
    /// Measure how fast things are.
    Bench(BenchArgs),
    /// Show the releases of OpenWrt and the targets that there are; as JSON, the matrix of a CI job.
    Plan(openwrt::PlanArgs),
    /// Write down in openwrt.lock what a mirror holds of them, or check it.
    Lock(openwrt::LockArgs),
    /// Show what this machine has and lacks.
    Doctor(DoctorArgs),
    /// Run what CI runs: format, lints, all tests, reproducibility, scenarios.
    Ci(CiArgs),
    /// Remove finished stages from the cache.
    Clean(CleanArgs),
}

impl Verb {
    /// The word on the command line.
    pub fn word(&self) -> &'static str {
        match self {
            Verb::Build(_) => "build",
            Verb::Test(_) => "test",
            Verb::Lint(_) => "lint",
            Verb::Feed(_) => "feed",
            Verb::Dist(_) => "dist",
            Verb::Keys(_) => "keys",
            Verb::Boot(_) => "boot",
            Verb::Bench(_) => "bench",
            Verb::Plan(_) => "plan",
            Verb::Lock(_) => "lock",
            Verb::Doctor(_) => "doctor",
            Verb::Ci(_) => "ci",
            Verb::Clean(_) => "clean",
        }
    }

    /// Whether `--message-format json` asks for an answer in JSON, in place of events.
    pub fn answers_in_json(&self) -> bool {
        matches!(self, Verb::Plan(_))
    }

    /// What is built for, by the verbs that have reports.
    pub fn selection(&self) -> Option<&Selection> {
        match self {
            Verb::Test(args) => Some(&args.selection),
            Verb::Ci(args) => Some(&args.selection),
            _ => None,
        }
    }

    /// How the router is run.
    pub fn accel(&self) -> WantedAccel {
        match self {
            Verb::Test(args) => args.machine.accel,
            Verb::Ci(args) => args.machine.accel,
            _ => WantedAccel::Auto,
        }
    }

    /// The reports that are wanted, of the verbs that have any.
    pub fn reports(&self) -> Option<&Reports> {
        match self {
            Verb::Test(args) => Some(&args.reports),
            Verb::Ci(args) => Some(&args.reports),
            Verb::Bench(BenchArgs { action: BenchAction::Offload(args) }) => Some(&args.reports),
            _ => None,
        }
    }
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Say more: also what the programs say that are run.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say only what went wrong, and the last line.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to colour; NO_COLOR turns `auto` off.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// `json` writes one event a line to stdout instead of text to stderr; `plan` writes its answer.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub message_format: MessageFormat,
    /// Open no sockets but loopback; work from the cache.
    #[arg(long, global = true, conflicts_with = "install_deps")]
    pub offline: bool,
    /// Install what the host lacks, with apt (through sudo when not root).
    #[arg(long, global = true)]
    pub install_deps: bool,
    /// How many jobs at once [default: one a core, and a router more than there are cores].
    #[arg(short, long, global = true, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Where results go.
    #[arg(long, global = true, value_name = "DIR", default_value = "target/offload")]
    pub out: Utf8PathBuf,
    /// Folder with further recipes of packages; one of the same name takes the place of ours.
    #[arg(long, global = true, value_name = "DIR")]
    pub recipes: Option<Utf8PathBuf>,
    /// Folder with scenarios to run in place of ours.
    #[arg(long, global = true, value_name = "DIR")]
    pub scenarios: Option<Utf8PathBuf>,
    /// How long to wait for another run that holds the same part of the cache, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 600)]
    pub lock_timeout: u64,
}

/// Environment variable in place of `--debian-mirror`; `ci` hands the flag on in it.
pub const DEBIAN_MIRROR: &str = "OPENWRT_OFFLOAD_DEBIAN_MIRROR";

/// What to build for.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// OpenWrt target/subtarget.
    #[arg(long, value_name = "TARGET", default_value = "x86/64")]
    pub target: String,
    /// A release of OpenWrt.
    #[command(flatten)]
    pub openwrt: OpenWrt,
    /// Kernel line of the stand-in SDK; `test` takes several, `6.1,6.12,newest` [default: 6.12, or the one there is].
    #[arg(long = "kernel", value_name = "LINE", value_delimiter = ',', conflicts_with = "release")]
    pub kernels: Vec<Kernel>,
    /// Package formats: ipk for opkg (24.10 and older), apk (25.12 and later).
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "ipk,apk")]
    pub formats: Vec<Format>,
    /// Debian mirror, a URL or a directory [default: the one of the host's apt].
    #[arg(long, value_name = "URL|DIR", env = DEBIAN_MIRROR)]
    pub debian_mirror: Option<String>,
}

/// How the router is run.
#[derive(Debug, Clone, Args)]
pub struct Machine {
    /// `auto` uses KVM where a guest really runs in it, else emulation, and says why.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub accel: WantedAccel,
    /// Write what crossed each wire as pcap files.
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<Utf8PathBuf>,
    /// How long a router may take to boot, in seconds: it needs a few, and more on a loaded machine.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub boot_deadline: u64,
}

/// Reports, besides what is printed. Each appears whole, also when the run fails or is interrupted.
#[derive(Debug, Clone, Default, Args)]
pub struct Reports {
    /// Write a page to look at with a browser: DIR/index.html.
    #[arg(long, value_name = "DIR")]
    pub html: Option<Utf8PathBuf>,
    /// Write a summary in Markdown.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<Utf8PathBuf>,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<Utf8PathBuf>,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<Utf8PathBuf>,
}

/// `build`
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Compare the kernel modules with those that the release published, file by file.
    #[arg(long, requires = "release")]
    pub compare: bool,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
}

/// `test`
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Run only the scenarios whose name contains this [default: all].
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// NAME is the whole name of a scenario.
    #[arg(long, requires = "names")]
    pub exact: bool,
    /// Print the names of the scenarios that would run, and end.
    #[arg(long)]
    pub list: bool,
    /// Leave the router of the one scenario that runs as it is at the end, with a console, until you leave it.
    #[arg(long, requires = "names")]
    pub keep: bool,
    /// The suite's test of itself: break offload on purpose, after every ruleset, in one way after the other. Only
    /// scenarios run in which traffic must take the fast path, and one passes when it notices.
    #[arg(long, value_name = "HOW", value_delimiter = ',', conflicts_with = "keep")]
    pub sabotage: Vec<Break>,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
    /// How the router is run.
    #[command(flatten)]
    pub machine: Machine,
    /// Reports.
    #[command(flatten)]
    pub reports: Reports,
}

/// `lint`
#[derive(Debug, Clone, Args)]
pub struct LintArgs {
    /// Packages (.ipk, .apk), indexes, or folders with some of them; or the address of a live feed [default: the packages
    /// built here].
    #[arg(value_name = "PATH")]
    pub paths: Vec<Utf8PathBuf>,
    /// Public key that may have signed an index; may be given several times.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<Utf8PathBuf>,
    /// Accept what this rule finds, everywhere or where the place contains TEXT.
    #[arg(long, value_name = "ID[:TEXT]")]
    pub allow: Vec<String>,
    /// Print the rules, and end.
    #[arg(long)]
    pub list: bool,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
}

/// `feed`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FeedArgs {
    /// What else to do with the feed.
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
        /// The older one.
        old: Utf8PathBuf,
        /// The newer one.
        new: Utf8PathBuf,
    },
    /// Put a new feed on top of a published one, keeping the folders of other kernels.
    Merge {
        /// The feed as it was published; nothing in it is changed.
        published: Utf8PathBuf,
        /// The feed that was made now.
        new: Utf8PathBuf,
        /// Where the merged feed goes; it must not exist.
        into: Utf8PathBuf,
        /// Public key that may have signed the published feed, beside those of today; may be given several times.
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<Utf8PathBuf>,
    },
    /// Install every package of the feed into a scratch root, through its signatures, with each manager; or check a live
    /// feed's index, signature and the digest of each file, and install nothing.
    Verify {
        /// Address of anybody's feed or index, `http://…` [default: the feed built here].
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
    /// What to do with them.
    #[command(subcommand)]
    pub action: KeysAction,
}

/// `keys new` and so on
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum KeysAction {
    /// Make the keys that do not exist yet.
    New {
        /// Make those that will sign after the next rotation; until then routers learn them.
        #[arg(long)]
        next: bool,
    },
    /// Print the public keys, and where they go on a router.
    Show,
    /// Check that the keys can be used, and by nobody else.
    Check,
    /// Let the next keys take over; those that signed so far are kept as .old files.
    Rotate,
}

/// `boot`
#[derive(Debug, Clone, Args)]
pub struct BootArgs {
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
    /// How the router is run.
    #[command(flatten)]
    pub machine: Machine,
    /// Run this in the router and end: 0 when it succeeded, else 1 with its own code in the text.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `bench`
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub action: BenchAction,
}

/// `bench formats` and so on
#[derive(Debug, Clone, Subcommand)]
pub enum BenchAction {
    /// Write and read packages and indexes of both formats, with generated content.
    Formats(BenchFormatsArgs),
    /// What forwarding a packet costs the router, with offload off and on.
    Offload(Box<BenchOffloadArgs>),
}

/// `bench formats`
#[derive(Debug, Clone, Args)]
pub struct BenchFormatsArgs {
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value = "3")]
    pub repeat: std::num::NonZeroUsize,
    /// Folder with the real programs to compare with: apk, ipkg-build, ipkg-make-index.sh and mkhash, or
    /// some of them [default: those in PATH].
    #[arg(long, value_name = "DIR")]
    pub against: Option<Utf8PathBuf>,
}

/// What `bench offload` measures unless it is told otherwise.
pub const BENCH_PACKETS: u64 = 20_000;
/// See [`BENCH_PACKETS`].
pub const BENCH_ROUNDS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);

/// `bench offload`
#[derive(Debug, Clone, Args)]
pub struct BenchOffloadArgs {
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value_t = BENCH_ROUNDS)]
    pub repeat: std::num::NonZeroUsize,
    /// Packets of one measurement.
    #[arg(long, value_name = "N", default_value_t = BENCH_PACKETS, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub packets: u64,
    /// Where throughput is measured too: `auto` does so where KVM works; under emulation it would mean nothing.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub accel: WantedAccel,
    /// How long the guest may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    pub deadline: u64,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
    /// Reports.
    #[command(flatten)]
    pub reports: Reports,
}

/// `doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Also look for what the SDK and the routers of this release of OpenWrt need, such as 24.10.
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Target of the release, for the emulator of its routers.
    #[arg(long, value_name = "TARGET", default_value = "x86/64", requires = "release")]
    pub target: String,
}

/// `ci`
#[derive(Debug, Clone, Args)]
pub struct CiArgs {
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
    /// How the router is run.
    #[command(flatten)]
    pub machine: Machine,
    /// Reports.
    #[command(flatten)]
    pub reports: Reports,
}

/// `clean`
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// Keep what was used in the last DAYS days.
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u32>,
    /// Only these stages [default: all].
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// For whom a run reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Text for people, on stderr.
    Human,
    /// One event a line, on stdout.
    Json,
}

/// Kernel lines of the stand-in SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    /// The long-term line of Debian 13 and OpenWrt 25.12.
    #[value(name = "6.12")]
    V6_12,
    /// The long-term line of Debian 12.
    #[value(name = "6.1")]
    V6_1,
    /// Debian's newest.
    #[value(name = "newest")]
    Newest,
}

impl Kernel {
    /// The word on the command line, in scenario files and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Kernel::V6_12 => "6.12",
            Kernel::V6_1 => "6.1",
            Kernel::Newest => "newest",
        }
    }
}

/// What `--sabotage` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// One way to break offload.
    One(Sabotage),
    /// Each of them.
    All,
}

impl ValueEnum for Break {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Break::One(Sabotage::NoFastPath),
            Break::One(Sabotage::OneDevice),
            Break::One(Sabotage::AcceptFirst),
            Break::All,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Break::One(way) => way.to_possible_value(),
            Break::All => Some(PossibleValue::new("all").help("Each of them")),
        }
    }
}
