//! The command line: every verb and flag; what they do is in `cmd/<verb>.rs`.
//!
//! A flag is defined and explained once, in a group that verbs flatten, so it means the same everywhere. Each
//! environment variable is shown with its flag.

pub mod dist;
pub mod feed;
pub mod openwrt;
pub mod partition;

use camino::Utf8PathBuf;
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use feed::{FeedArgs, KeysArgs};
use model::{Format, Sabotage, WantedAccel};
use openwrt::OpenWrt;
use partition::Partition;

/// Builds OpenWrt flow-offload packages, publishes them as a signed feed, boots a router in QEMU,
/// installs them there and proves with real packets that flows are offloaded.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Flags that every verb has.
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
  cargo xtask test --partition slice:1/3 --json part-1.json
                                        a third of the scenarios; then on one machine
  cargo xtask report merge part-*.json --html reports
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
  OPENWRT_OFFLOAD_USIGN_KEY, OPENWRT_OFFLOAD_EC_KEY (secret keys), SSL_CERT_FILE (authorities for
  https), NO_COLOR, SOURCE_DATE_EPOCH,
  GITHUB_ACTIONS=true (groups, annotations; a summary in GITHUB_STEP_SUMMARY).";

/// What is built for unless said otherwise.
pub const DEFAULT_TARGET: &str = "x86/64";

/// The verbs; each is implemented in the file of its name.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build the packages.
    Build(BuildArgs),
    /// Build, publish, boot, install and prove offload.
    Test(TestArgs),
    /// Check packages and feeds against numbered rules.
    Lint(LintArgs),
    /// Build and sign the feed; serve it or verify it.
    Feed(FeedArgs),
    /// Publish the feeds of many releases and targets as one tree of static files; verify such a tree.
    Dist(dist::DistArgs),
    /// Make, show, check and rotate the keys that sign the feed.
    Keys(KeysArgs),
    /// Boot the router and open a console, or run one command in it.
    Boot(BootArgs),
    /// Write a small working example of a recipe or a scenario.
    New(NewArgs),
    /// Measure speed.
    Bench(BenchArgs),
    /// Show the supported releases of OpenWrt and targets; as JSON, the matrix of a CI job.
    Plan(openwrt::PlanArgs),
    /// Lock releases: record in openwrt.lock what a mirror has, or check the record.
    Lock(openwrt::LockArgs),
    /// Merge the reports of a suite's parts.
    Report(ReportArgs),
    /// Show what this machine has and lacks.
    Doctor(DoctorArgs),
    /// Run what CI runs: format, lints, all tests, reproducibility, scenarios.
    Ci(CiArgs),
    /// Remove finished stages from the cache.
    Clean(CleanArgs),
}

impl Verb {
    /// The verb as typed on the command line.
    pub fn word(&self) -> &'static str {
        match self {
            Verb::Build(_) => "build",
            Verb::Test(_) => "test",
            Verb::Lint(_) => "lint",
            Verb::Feed(_) => "feed",
            Verb::Dist(_) => "dist",
            Verb::Keys(_) => "keys",
            Verb::Boot(_) => "boot",
            Verb::New(_) => "new",
            Verb::Bench(_) => "bench",
            Verb::Plan(_) => "plan",
            Verb::Lock(_) => "lock",
            Verb::Report(_) => "report",
            Verb::Doctor(_) => "doctor",
            Verb::Ci(_) => "ci",
            Verb::Clean(_) => "clean",
        }
    }

    /// Whether `--message-format json` asks for an answer in JSON, in place of events.
    pub fn answers_in_json(&self) -> bool {
        matches!(self, Verb::Plan(_))
    }

    /// The selected target and kernel, for verbs that write reports.
    pub fn selection(&self) -> Option<&Selection> {
        match self {
            Verb::Test(args) => Some(&args.selection),
            Verb::Ci(args) => Some(&args.selection),
            _ => None,
        }
    }

    /// How the router is run (KVM or emulation).
    pub fn accel(&self) -> WantedAccel {
        match self {
            Verb::Test(args) => args.machine.accel,
            Verb::Ci(args) => args.machine.accel,
            _ => WantedAccel::Auto,
        }
    }

    /// The requested reports, for verbs that write any.
    pub fn reports(&self) -> Option<&Reports> {
        match self {
            Verb::Test(args) => Some(&args.reports),
            Verb::Ci(args) => Some(&args.reports),
            Verb::Bench(BenchArgs { action: BenchAction::Offload(args) }) => Some(&args.reports),
            _ => None,
        }
    }
}

/// Flags that every verb has.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Print more, including the output of the programs that are run.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Print only problems and the last line.
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
    /// Number of parallel jobs [default: one per core; for routers one more].
    #[arg(short, long, global = true, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Folder for results.
    #[arg(long, global = true, value_name = "DIR", default_value = "target/offload")]
    pub out: Utf8PathBuf,
    /// Folder with more recipes; a recipe replaces ours of the same name.
    #[arg(long, global = true, value_name = "DIR")]
    pub recipes: Option<Utf8PathBuf>,
    /// Packages built elsewhere (.ipk, .apk), or a folder with some: they are checked, published beside ours, and
    /// tested; may be given several times.
    #[arg(long, global = true, value_name = "DIR")]
    pub packages: Vec<Utf8PathBuf>,
    /// Folder of OpenWrt packages with their own Makefiles, in the form of a feed: the release's SDK builds them, and
    /// they are published beside ours, and tested.
    #[arg(long, global = true, value_name = "DIR")]
    pub feed: Option<Utf8PathBuf>,
    /// Folder with scenarios to run instead of ours.
    #[arg(long, global = true, value_name = "DIR")]
    pub scenarios: Option<Utf8PathBuf>,
    /// How long to wait for another run that holds the same part of the cache, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 600)]
    pub lock_timeout: u64,
}

/// Environment variable for `--debian-mirror`; `ci` passes the flag on in it.
pub const DEBIAN_MIRROR: &str = "OPENWRT_OFFLOAD_DEBIAN_MIRROR";

/// The target, kernel and formats to build for.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// OpenWrt target/subtarget.
    #[arg(long, value_name = "TARGET", default_value = DEFAULT_TARGET)]
    pub target: String,
    /// The release of OpenWrt, instead of the stand-in.
    #[command(flatten)]
    pub openwrt: OpenWrt,
    /// Kernel line of the stand-in SDK; `test` takes several, `6.1,6.12,newest` [default: 6.12, or the only one
    /// available].
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
    /// `auto` uses KVM where a guest really runs in it, otherwise emulation, and says why.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub accel: WantedAccel,
    /// Write the packets of each wire as pcap files.
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<Utf8PathBuf>,
    /// How long a router may take to boot, in seconds: it needs a few, and more on a loaded machine.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub boot_deadline: u64,
}

/// Reports, in addition to the output. Each is complete, also when the run fails or is interrupted.
#[derive(Debug, Clone, Default, Args)]
pub struct Reports {
    /// Write a page for a browser: DIR/index.html.
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
    /// Print the names of the scenarios that would run, then exit.
    #[arg(long)]
    pub list: bool,
    /// Keep the router of the only scenario that runs as it is at the end, and open a console on it until you leave it.
    #[arg(long, requires = "names")]
    pub keep: bool,
    /// Test the suite itself: break offload on purpose, after every ruleset, in one way after another. Runs only
    /// scenarios in which traffic must take the fast path; they pass when they notice.
    #[arg(long, value_name = "HOW", value_delimiter = ',', conflicts_with = "keep")]
    pub sabotage: Vec<Break>,
    /// Ask `offloadctl explain` about the flows of every scenario whose router has it, and fail where its answer is not true
    /// of their next packets.
    #[arg(long, conflicts_with = "sabotage")]
    pub ask_offloadctl: bool,
    /// Run part K of N of the scenarios: every Nth one, so that parts take about as long; the syntax is nextest's.
    /// `report merge` merges the reports of all parts.
    #[arg(long, value_name = "slice:K/N", conflicts_with_all = ["keep", "list"])]
    pub partition: Option<Partition>,
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
    /// Accept breaches of this rule, everywhere or where the place contains TEXT.
    #[arg(long, value_name = "ID[:TEXT]")]
    pub allow: Vec<String>,
    /// Print the rules, then exit.
    #[arg(long)]
    pub list: bool,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
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
    /// Run this command in the router, then exit with 0 if it succeeded, otherwise with 1; its own exit code is in the
    /// text.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `new`
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    /// The kind of example.
    pub kind: New,
    /// Name of the example.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where it goes: into `recipes`, `scenarios` and source folders below this folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub into: Utf8PathBuf,
}

/// What `new` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum New {
    /// A kernel module from source, with a scenario.
    Kmod,
    /// A program of a cargo workspace, with a scenario.
    Program,
    /// A package of files, with a scenario.
    Files,
    /// A scenario alone.
    Scenario,
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
    /// The cost of forwarding a packet, with offload off and on.
    Offload(Box<BenchOffloadArgs>),
}

/// `bench formats`
#[derive(Debug, Clone, Args)]
pub struct BenchFormatsArgs {
    /// Number of rounds.
    #[arg(long, value_name = "N", default_value = "3")]
    pub repeat: std::num::NonZeroUsize,
    /// Folder with the real programs to compare with: apk, ipkg-build, ipkg-make-index.sh and mkhash, or some of them
    /// [default: those in PATH].
    #[arg(long, value_name = "DIR")]
    pub against: Option<Utf8PathBuf>,
}

/// Packets per measurement in `bench offload`, by default.
pub const BENCH_PACKETS: u64 = 20_000;
/// Rounds of `bench offload`, by default.
pub const BENCH_ROUNDS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);

/// `bench offload`
#[derive(Debug, Clone, Args)]
pub struct BenchOffloadArgs {
    /// Number of rounds.
    #[arg(long, value_name = "N", default_value_t = BENCH_ROUNDS)]
    pub repeat: std::num::NonZeroUsize,
    /// Packets per measurement.
    #[arg(long, value_name = "N", default_value_t = BENCH_PACKETS, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub packets: u64,
    /// When to measure throughput too: `auto` does so where KVM works; under emulation it would mean nothing.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub accel: WantedAccel,
    /// How long the guest may run, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    pub deadline: u64,
    /// What to build for.
    #[command(flatten)]
    pub selection: Selection,
    /// Reports.
    #[command(flatten)]
    pub reports: Reports,
}

/// `report`
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// What to do with reports.
    #[command(subcommand)]
    pub action: ReportAction,
}

/// `report merge`
#[derive(Debug, Clone, Subcommand)]
pub enum ReportAction {
    /// Merge the reports of all parts of a suite, and exit like the worst of them. A missing part is reported, and is
    /// never green.
    Merge(MergeArgs),
}

/// `report merge`
#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// What `test --partition slice:K/N --json FILE` wrote, one file for each part.
    #[arg(value_name = "FILE", required = true)]
    pub parts: Vec<Utf8PathBuf>,
    /// What to write.
    #[command(flatten)]
    pub reports: Reports,
}

/// `doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Also check what the SDK and the routers of this release of OpenWrt need, such as 24.10.
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Target of the release, for the emulator of its routers.
    #[arg(long, value_name = "TARGET", default_value = DEFAULT_TARGET, requires = "release")]
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
    /// Keep stages that were used in the last DAYS days.
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

/// Who reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Text for people, on stderr.
    Human,
    /// One event per line, on stdout.
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
    /// The line before.
    pub fn before(self) -> Option<Kernel> {
        match self {
            Kernel::V6_1 => None,
            Kernel::V6_12 => Some(Kernel::V6_1),
            Kernel::Newest => Some(Kernel::V6_12),
        }
    }

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
            Break::One(Sabotage::NoHardware),
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
