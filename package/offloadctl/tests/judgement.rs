//! The answer of `status`, from facts alone: each remark, and each exit code with its opposite.

mod common;

use offloadctl::change::Wish;
use offloadctl::conntrack::{Flow, Path};
use offloadctl::devices::Devices;
use offloadctl::ethtool::Capability;
use offloadctl::finding::Finding;
use offloadctl::flows::Source;
use offloadctl::modules::{Module, NEEDED, State};
use offloadctl::setting::Setting;
use offloadctl::status::{Facts, Verdict, fulfils, is_offered, judge};
use offloadctl::totals::FlowTotals;

/// A router on which everything is as it should be.
fn working() -> Facts {
    let modules = NEEDED
        .iter()
        .map(|&(name, package, purpose)| Module { name, package, purpose, state: State::Loaded })
        .collect();
    Facts {
        kernel: "6.12".into(),
        modules,
        flowtables: common::recorded_flowtables(),
        rules: common::recorded_rules(),
        orphans: Vec::new(),
        refused: None,
        devices: ["lo", "lan", "wan"].map(String::from).into(),
        stacks: Devices::default(),
        flows: Ok(FlowTotals::new(Source::Netlink)),
        accounting: Some(true),
        setting: Ok(Some(Setting { offload: true, hardware: false })),
        refused_setting: None,
        is_uncommitted: false,
        hardware: Some(["lan", "wan"].map(|device| (device.into(), Capability::No)).into()),
        has_table: false,
    }
}

fn judged(change: impl FnOnce(&mut Facts)) -> (Verdict, Vec<&'static str>) {
    let mut facts = working();
    change(&mut facts);
    let (verdict, remarks) = judge(&facts);
    (verdict, remarks.iter().map(|remark| remark.id).collect())
}

#[test]
fn on_without_remarks() {
    assert_eq!(judged(|_| {}), (Verdict::OnSoftware, vec![]));
    let in_hardware = judged(|facts| {
        facts.flowtables[0].hardware = true;
        facts.hardware = Some(vec![("wan".into(), Capability::On)]);
        facts.setting = Ok(Some(Setting { offload: true, hardware: true }));
    });
    assert_eq!(in_hardware, (Verdict::OnHardware, vec![]));
    assert_eq!(judged(|facts| facts.setting = Ok(None)), (Verdict::OnSoftware, vec![]));
    assert_eq!(judged(|facts| facts.hardware = None), (Verdict::OnSoftware, vec![]));
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let codes = [Verdict::OnHardware, Verdict::OnSoftware, Verdict::Off, Verdict::NotWorking].map(Verdict::exit_code);
    assert_eq!(codes, [0, 0, 1, 2]);
}

#[test]
fn off_without_flowtable() {
    let empty = |facts: &mut Facts| {
        facts.flowtables.clear();
        facts.rules.clear();
        facts.setting = Ok(None);
    };
    assert_eq!(judged(empty), (Verdict::Off, vec![]));
    let missing = judged(|facts| {
        empty(facts);
        facts.modules[5].state = State::Missing;
    });
    assert_eq!(missing, (Verdict::Off, vec!["OCTL101"]));
    let not_loaded = judged(|facts| {
        empty(facts);
        facts.modules[5].state = State::Loadable;
    });
    assert_eq!(not_loaded, (Verdict::Off, vec!["OCTL102"]));
    let nat_only = judged(|facts| {
        empty(facts);
        facts.modules[7].state = State::Missing;
    });
    assert_eq!(nat_only, (Verdict::Off, vec![]));
}

#[test]
fn missing_modules_name_each_package_once() {
    let mut facts = working();
    facts.flowtables.clear();
    for module in &mut facts.modules[4..6] {
        module.state = State::Missing;
    }
    let (_, remarks) = judge(&facts);
    assert_eq!(remarks[0].fix.matches("kmod-nft-offload").count(), 1);
    assert!(remarks[0].what.contains("nf_flow_table_inet nft_flow_offload"));
}

#[test]
fn a_flowtable_that_cannot_work() {
    let no_devices = judged(|facts| facts.flowtables[0].devices.clear());
    assert_eq!(no_devices, (Verdict::NotWorking, vec!["OCTL103"]));
    let gone = judged(|facts| facts.devices.clear());
    assert_eq!(gone, (Verdict::NotWorking, vec!["OCTL104"]));
    let no_rule = judged(|facts| facts.rules.clear());
    assert_eq!(no_rule, (Verdict::NotWorking, vec!["OCTL106"]));
    let orphan = judged(|facts| facts.orphans = std::mem::take(&mut facts.rules));
    assert_eq!(orphan, (Verdict::NotWorking, vec!["OCTL106"]));
    let rule_elsewhere = judged(|facts| facts.rules[0].flowtable = "other".into());
    assert_eq!(rule_elsewhere, (Verdict::NotWorking, vec!["OCTL106"]));
}

#[test]
fn half_of_it() {
    let one_gone = judged(|facts| {
        facts.devices.remove("wan");
    });
    assert_eq!(one_gone, (Verdict::OnSoftware, vec!["OCTL104"]));
    let one_device = judged(|facts| facts.flowtables[0].devices.truncate(1));
    assert_eq!(one_device, (Verdict::OnSoftware, vec!["OCTL105"]));
    let wildcard = judged(|facts| facts.flowtables[0].devices = vec!["*".into()]);
    assert_eq!(wildcard, (Verdict::OnSoftware, vec![]));
    let wildcard_for_none = judged(|facts| facts.flowtables[0].devices = vec!["ppp*".into()]);
    assert_eq!(wildcard_for_none, (Verdict::NotWorking, vec!["OCTL104"]));
}

#[test]
fn counters_that_stand_still() {
    let flowtable = judged(|facts| facts.flowtables[0].counter = false);
    assert_eq!(flowtable, (Verdict::OnSoftware, vec!["OCTL107"]));
    let accounting = judged(|facts| facts.accounting = Some(false));
    assert_eq!(accounting, (Verdict::OnSoftware, vec!["OCTL109"]));
    assert_eq!(judged(|facts| facts.accounting = None), (Verdict::OnSoftware, vec![]));
}

#[test]
fn hardware_that_takes_nothing() {
    let mut totals = FlowTotals::new(Source::Netlink);
    totals.add(&Flow { path: Path::Software, ..Flow::default() });
    let refused = judged(|facts| {
        facts.flowtables[0].hardware = true;
        facts.has_table = true;
        facts.flows = Ok(totals);
    });
    assert_eq!(refused, (Verdict::OnHardware, vec!["OCTL108"]));
    let not_asked = judged(|facts| facts.flows = Ok(totals));
    assert_eq!(not_asked, (Verdict::OnSoftware, vec![]));
    totals.add(&Flow { path: Path::Hardware, ..Flow::default() });
    let some_taken = judged(|facts| {
        facts.flowtables[0].hardware = true;
        facts.has_table = true;
        facts.flows = Ok(totals);
    });
    assert_eq!(some_taken, (Verdict::OnHardware, vec![]));
}

#[test]
fn flows_that_cannot_be_counted_are_a_remark() {
    let denied = judged(|facts| facts.flows = Err(Finding::not_permitted("the tracked connections")));
    assert_eq!(denied, (Verdict::OnSoftware, vec!["OCTL003"]));
}

#[test]
fn rules_that_cannot_be_read_leave_the_answer_open() {
    let refused = judged(|facts| {
        facts.flowtables.clear();
        facts.rules.clear();
        facts.modules.iter_mut().for_each(|module| module.state = State::Missing);
        facts.refused = Some(Finding::not_permitted("the flowtables"));
        facts.flows = Err(Finding::not_permitted("the tracked connections"));
    });
    assert_eq!(refused, (Verdict::Unknown, vec!["OCTL003", "OCTL003"]));
    assert_eq!(Verdict::Unknown.exit_code(), 3);
}

#[test]
fn totals_by_path() {
    let mut totals = FlowTotals::new(Source::Netlink);
    common::recorded_connections().iter().for_each(|flow| totals.add(flow));
    let software = totals.on(Path::Software);
    assert_eq!((software.flows, software.uncounted, software.packets), (3, 0, 874));
    assert_eq!(totals.on(Path::Slow).flows, 1);
    assert_eq!(totals.on(Path::Hardware).flows, 0);
    totals.add(&Flow::default());
    assert_eq!((totals.on(Path::Slow).flows, totals.on(Path::Slow).uncounted), (2, 1));
}

#[test]
fn setting_and_kernel_that_disagree() {
    let set = |facts: &mut Facts, offload, hardware| facts.setting = Ok(Some(Setting { offload, hardware }));
    let nothing_runs = |facts: &mut Facts| {
        facts.flowtables.clear();
        facts.rules.clear();
    };
    assert_eq!(judged(nothing_runs), (Verdict::NotWorking, vec!["OCTL112"]));
    let off = judged(|facts| {
        nothing_runs(facts);
        set(facts, false, true);
    });
    assert_eq!(off, (Verdict::Off, vec![]));
    assert_eq!(judged(|facts| set(facts, false, false)), (Verdict::OnSoftware, vec!["OCTL114"]));
    assert_eq!(judged(|facts| set(facts, true, true)), (Verdict::OnSoftware, vec!["OCTL111"]));
    let unreadable = judged(|facts| facts.setting = Err(Finding::not_permitted("x")));
    assert_eq!(unreadable, (Verdict::OnSoftware, vec!["OCTL003"]));
}

#[test]
fn hardware_is_not_promised_where_no_device_offers_it() {
    let refusal = |wish, offers| is_offered(wish, offers).err().map(|finding| finding.id);
    assert_eq!(refusal(Wish::Hardware, Some(false)), Some("OCTL027"));
    for (wish, offers) in [(Wish::Hardware, Some(true)), (Wish::Hardware, None), (Wish::Software, Some(false))] {
        assert_eq!(refusal(wish, offers), None, "{wish:?} {offers:?}");
    }
}

#[test]
fn a_listed_device_that_sees_no_packets_is_a_remark() {
    let tree = common::Tree::new("useless");
    tree.kernel("6.12.107");
    for (device, parts) in [("lan", "device"), ("eth1", "device"), ("eth1.7", "lower_eth1 vlan"), ("pppoe-wan", "ppp")]
    {
        tree.device(device, parts);
    }
    tree.write("proc/net/pppoe", "Id       Address              Device\n00000001 52:54:00:12:34:56   eth1.7\n");
    let with = |listed: &str| {
        judged(|facts| {
            facts.devices = ["lo", "lan", "eth1", "eth1.7", "pppoe-wan"].map(String::from).into();
            facts.stacks = Devices::read(&tree.files());
            facts.flowtables[0].devices = vec!["lan".into(), listed.into()];
        })
    };
    // What firewall4 lists for PPPoE over a VLAN, and what the kernel sees.
    assert_eq!(with("eth1.7").1, ["OCTL115"]);
    assert_eq!(with("eth1").1, [""; 0]);
}

#[test]
fn hardware_that_no_device_offers() {
    let with = |capability: Option<Capability>| {
        judged(|facts| {
            facts.setting = Ok(Some(Setting { offload: true, hardware: true }));
            facts.hardware = capability.map(|capability| vec![("lan".into(), capability)]);
        })
    };
    assert_eq!(with(Some(Capability::No)), (Verdict::OnSoftware, vec!["OCTL111"]));
    assert_eq!(with(Some(Capability::Off)), (Verdict::OnSoftware, vec!["OCTL111"]));
    assert_eq!(with(Some(Capability::On)), (Verdict::OnSoftware, vec!["OCTL113"]));
    assert_eq!(with(None), (Verdict::OnSoftware, vec!["OCTL113"]));
    // A kernel that takes the flag on any device, as OpenWrt's do: by the firewall, and by rules that somebody wrote.
    for setting in [Some(Setting { offload: true, hardware: true }), None] {
        let accepted = |capability| {
            judged(|facts| {
                facts.setting = Ok(setting);
                facts.flowtables[0].hardware = true;
                facts.hardware = Some(vec![("lan".into(), capability)]);
            })
        };
        assert_eq!(accepted(Capability::No), (Verdict::OnSoftware, vec!["OCTL111"]));
        assert_eq!(accepted(Capability::On), (Verdict::OnHardware, vec![]));
    }
    let own_rules = judged(|facts| {
        facts.setting = Ok(Some(Setting { offload: false, hardware: false }));
        facts.flowtables[0].hardware = true;
        facts.hardware = Some(vec![("lan".into(), Capability::No)]);
    });
    assert_eq!(own_rules, (Verdict::OnSoftware, vec!["OCTL114", "OCTL111"]));
    let nothing_runs = judged(|facts| {
        facts.flowtables.clear();
        facts.setting = Ok(Some(Setting { offload: true, hardware: true }));
        facts.hardware = Some(vec![("lan".into(), Capability::No)]);
    });
    assert_eq!(nothing_runs, (Verdict::NotWorking, vec!["OCTL112"]));
}

#[test]
fn a_kernel_that_follows_and_one_that_does_not() {
    type Change = fn(&mut Facts);
    let ask = |wish, change: Change| {
        let mut facts = working();
        change(&mut facts);
        fulfils(wish, &facts.flowtables, &facts.rules, &facts.devices).map_err(|finding| finding.id)
    };
    let nothing = |facts: &mut Facts| facts.flowtables.clear();
    let hardware = |facts: &mut Facts| facts.flowtables[0].hardware = true;
    let no_rule = |facts: &mut Facts| facts.rules.clear();
    let elsewhere = |facts: &mut Facts| {
        facts.flowtables[0].table = "mine".into();
        facts.rules[0].table = "mine".into();
    };
    let cases: [(Wish, Change, bool); 9] = [
        (Wish::Software, |_| {}, true),
        (Wish::Software, hardware, false),
        (Wish::Software, no_rule, false),
        (Wish::Software, elsewhere, false),
        (Wish::Hardware, hardware, true),
        (Wish::Hardware, |_| {}, false),
        (Wish::Off, nothing, true),
        (Wish::Off, elsewhere, true),
        (Wish::Off, |_| {}, false),
    ];
    for (case, (wish, change, follows)) in cases.into_iter().enumerate() {
        assert_eq!(ask(wish, change), if follows { Ok(()) } else { Err("OCTL022") }, "case {case}");
    }
}
