//! Collects what [`crate::doctor`] judges, and writes down what was found.

use std::io::{self, Write};

use crate::devices::Devices;
use crate::doctor::Facts;
use crate::files::Files;
use crate::finding::Finding;
use crate::inquiry;
use crate::json::Json;
use crate::modules;
use crate::nftables::Flowtable;
use crate::procfs;
use crate::queues;
use crate::report;
use crate::route;
use crate::status::Status;
use crate::uci::Config;
use crate::xfrm::{self, Policy};

/// Configurations that say something about the packets.
const CONFIGS: [&str; 6] = ["firewall", "sqm", "qos", "mwan3", "pbr", "nlbwmon"];
/// The module without which nothing is offloaded, as a file in OpenWrt's flat directories.
const MODULE: &str = "nft_flow_offload";
/// Schema of `doctor --json`. Fields may be added; a changed meaning gets a new number.
const SCHEMA: &str = "offloadctl-doctor/1";

/// Looks around. What cannot be read is left out: its conflicts are not seen then, and the remarks of the status say so.
pub fn look(files: &Files, status: &Status) -> Facts {
    let devices = Devices::read(files);
    let queues = queues::queues().unwrap_or_default();
    Facts {
        kernel: status.facts.kernel.clone(),
        kernels_with_module: kernels_with_module(files),
        modules: procfs::loaded_modules(&files.read_or_empty("/proc/modules")),
        flowtables: flowtables(status),
        ruleset: inquiry::ruleset(&modules::survey(files)).unwrap_or_default(),
        redirecting: queues::redirecting(&queues)
            .iter()
            .filter_map(|(device, _)| devices.name(*device).map(String::from))
            .collect(),
        queues: queues
            .iter()
            .filter_map(|(device, kind)| Some((devices.name(*device)?.to_owned(), kind.clone())))
            .collect(),
        devices,
        marked_rules: queues::marked_rules().unwrap_or_default(),
        ipsec_addresses: ipsec_addresses(files),
        configs: CONFIGS
            .into_iter()
            .filter_map(|name| Some((name, Config::parse(files.bytes(&format!("/etc/config/{name}")).ok()?).ok()?)))
            .collect(),
    }
}

/// The flowtables, as for software where no device can do what they ask for.
fn flowtables(status: &Status) -> Vec<Flowtable> {
    let offers = status.facts.offers_hardware() != Some(false);
    let flowtables = status.facts.flowtables.iter().cloned();
    flowtables.map(|flowtable| Flowtable { hardware: flowtable.hardware && offers, ..flowtable }).collect()
}

fn ipsec_addresses(files: &Files) -> Vec<String> {
    let policies = xfrm::policies(files).unwrap_or_default();
    let mut addresses: Vec<_> = policies.iter().filter_map(Policy::only_sender).collect();
    addresses.sort();
    addresses.dedup();
    addresses.retain(|address| route::towards(*address).is_ok_and(|route| route.is_local));
    addresses.iter().map(ToString::to_string).collect()
}

fn kernels_with_module(files: &Files) -> Vec<String> {
    let mut kernels = files.names("/lib/modules");
    kernels.sort();
    kernels.retain(|kernel| {
        let directory = format!("/lib/modules/{kernel}");
        let listed = ["modules.dep", "modules.builtin"].map(|list| files.read_or_empty(&format!("{directory}/{list}")));
        let flat = files.names(&directory);
        listed.iter().any(|list| procfs::listed_modules(list).iter().any(|name| name == MODULE))
            || flat.iter().any(|file| procfs::module_of_file(file).as_deref() == Some(MODULE))
    });
    kernels
}

/// Writes remarks and conflicts, and a last line with their number.
///
/// # Errors
/// Of the writer.
pub fn write(out: &mut dyn Write, remarks: &[Finding], conflicts: &[Finding]) -> io::Result<()> {
    for (kind, findings) in [("Remark", remarks), ("Conflict", conflicts)] {
        for finding in findings {
            report::finding(out, kind, finding)?;
            writeln!(out)?;
        }
    }
    writeln!(out, "{} remarks about the state, {} conflicts.", remarks.len(), conflicts.len())
}

/// The same for programs.
///
/// # Errors
/// Of the writer.
pub fn write_json(out: &mut dyn Write, remarks: &[Finding], conflicts: &[Finding]) -> io::Result<()> {
    let mut json = Json::new(out);
    json.object();
    json.name("schema").text(SCHEMA);
    report::findings_json(&mut json, "remarks", remarks)?;
    report::findings_json(&mut json, "conflicts", conflicts)?;
    json.end()
}
