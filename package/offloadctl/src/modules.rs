//! The kernel modules that flow offload needs, where each stands, and the package that brings it.

use crate::files::Files;
use crate::procfs;

/// What a module is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Without it nothing is offloaded.
    Offload,
    /// Without it no address is translated; a router that only routes does not need it.
    Nat,
    /// Without it flows are read from `/proc`, which is slower and not always there.
    Flows,
}

impl Purpose {
    /// The word for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Offload => "offload",
            Purpose::Nat => "nat",
            Purpose::Flows => "flows",
        }
    }
}

/// The modules, in the order in which they need each other, with OpenWrt's package names.
pub const NEEDED: [(&str, &str, Purpose); 10] = [
    ("nfnetlink", "kmod-nfnetlink", Purpose::Offload),
    ("nf_conntrack", "kmod-nf-conntrack", Purpose::Offload),
    ("nf_tables", "kmod-nft-core", Purpose::Offload),
    ("nf_flow_table", "kmod-nf-flow", Purpose::Offload),
    ("nf_flow_table_inet", "kmod-nft-offload", Purpose::Offload),
    ("nft_flow_offload", "kmod-nft-offload", Purpose::Offload),
    ("nft_chain_nat", "kmod-nft-nat", Purpose::Nat),
    ("nft_nat", "kmod-nft-nat", Purpose::Nat),
    ("nft_masq", "kmod-nft-nat", Purpose::Nat),
    ("nf_conntrack_netlink", "kmod-nf-conntrack-netlink", Purpose::Flows),
];

/// Where a module stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In the running kernel as a module.
    Loaded,
    /// Compiled into the kernel.
    Builtin,
    /// On disk, for this kernel, but not loaded.
    Loadable,
    /// Not found; where `/lib/modules` is incomplete it may still be compiled in.
    Missing,
}

impl State {
    /// The word for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            State::Loaded => "loaded",
            State::Builtin => "builtin",
            State::Loadable => "loadable",
            State::Missing => "missing",
        }
    }

    /// Whether the running kernel has it.
    pub fn is_ready(self) -> bool {
        matches!(self, State::Loaded | State::Builtin)
    }
}

/// One needed module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// The kernel's name for it.
    pub name: &'static str,
    /// OpenWrt's package.
    pub package: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it stands.
    pub state: State,
}

/// The running kernel's release, as `uname -r` prints it; `unknown` without `/proc`.
pub fn kernel_release(files: &Files) -> String {
    let release = files.read_or_empty("/proc/sys/kernel/osrelease");
    if release.trim().is_empty() { "unknown".into() } else { release.trim().into() }
}

/// What the files of the kernel and of `depmod` say about modules.
///
/// OpenWrt puts modules flat into `/lib/modules/RELEASE`; other systems list theirs in `modules.dep`. A builtin with
/// parameters shows in `/sys/module` even where `modules.builtin` is not shipped.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    files: &'a Files,
    loaded: Vec<String>,
    builtin: Vec<String>,
    on_disk: Vec<String>,
}

impl Known<'_> {
    /// Reads them.
    pub fn read(files: &Files) -> Known<'_> {
        let directory = format!("/lib/modules/{}", kernel_release(files));
        let loaded = procfs::loaded_modules(&files.read_or_empty("/proc/modules"));
        let builtin = procfs::listed_modules(&files.read_or_empty(&format!("{directory}/modules.builtin")));
        let mut on_disk = procfs::listed_modules(&files.read_or_empty(&format!("{directory}/modules.dep")));
        on_disk.extend(files.names(&directory).iter().filter_map(|file| procfs::module_of_file(file)));
        Known { files, loaded, builtin, on_disk }
    }

    /// Where the module called `name` stands.
    pub fn state(&self, name: &str) -> State {
        let lists = |list: &[String]| list.iter().any(|known| known == name);
        if lists(&self.loaded) {
            State::Loaded
        } else if lists(&self.builtin) || self.files.exists(&format!("/sys/module/{name}")) {
            State::Builtin
        } else if lists(&self.on_disk) {
            State::Loadable
        } else {
            State::Missing
        }
    }
}

/// Looks up all of [`NEEDED`].
pub fn survey(files: &Files) -> Vec<Module> {
    let known = Known::read(files);
    NEEDED.iter().map(|&(name, package, purpose)| Module { name, package, purpose, state: known.state(name) }).collect()
}

/// The state of the module called `name`; [`State::Missing`] for one that nobody asked about.
pub fn state_of(modules: &[Module], name: &str) -> State {
    modules.iter().find(|module| module.name == name).map_or(State::Missing, |module| module.state)
}
