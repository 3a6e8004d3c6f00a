//! Each cause beside its opposite.

use offloadctl::conntrack::Path;
use offloadctl::devices::Side;
use offloadctl::ethtool::Capability;
use offloadctl::explain::{Facts, explain};
use offloadctl::nftables::{Family, Flowtable};
use offloadctl::queues::Redirects;
use offloadctl::ruleset::{Expression, Verdict};
use offloadctl::xfrm::Policy;

use crate::router::*;

#[test]
fn each_cause_is_named() {
    type Change = fn(&mut Facts);
    let cases: [(&str, Change, &[&str]); 28] = [
        ("idle", |_| {}, &["OCTL215"]),
        (
            "gone",
            |facts| {
                facts.flow = None;
                facts.ruleset = forward(vec![adds(), accepts_new()]);
            },
            &["OCTL201"],
        ),
        ("would be dropped", |facts| facts.flow = None, &["OCTL201", "OCTL206"]),
        ("to the router", |facts| facts.is_local = true, &["OCTL216"]),
        ("icmp", |facts| flow(facts).protocol = 1, &["OCTL202"]),
        ("gre", |facts| flow(facts).protocol = 47, &["OCTL207"]),
        (
            "translated gre",
            |facts| {
                flow(facts).protocol = 47;
                flow(facts).details.status |= 1 << 4;
            },
            &["OCTL202"],
        ),
        ("no flowtable", |facts| facts.flowtables.clear(), &["OCTL203"]),
        ("no rule", |facts| facts.ruleset = forward(vec![accepts_established()]), &["OCTL204"]),
        ("other family", |facts| facts.ruleset.rules[0].family = Family(10), &["OCTL204"]),
        (
            "leaves the chain before",
            |facts| {
                facts.ruleset = forward(vec![vec![Expression::Verdict(Verdict::Return)], adds()]);
                facts.ruleset.chains[0].drops = false;
            },
            &["OCTL217"],
        ),
        (
            "in a chain that nothing calls",
            |facts| {
                facts.ruleset.rules = rules("forward_lan", 1, vec![adds()]);
                facts.ruleset.chains[0].drops = false;
            },
            &["OCTL218"],
        ),
        ("accepted before", |facts| facts.ruleset = forward(vec![accepts_established(), adds()]), &["OCTL205"]),
        (
            "dropped before",
            |facts| facts.ruleset = forward(vec![vec![Expression::Verdict(Verdict::Drop)], adds()]),
            &["OCTL206"],
        ),
        (
            "dropped on the way there, and answers would be added",
            |facts| facts.ruleset = forward(vec![from_device("br-lan", Verdict::Drop), adds()]),
            &["OCTL206"],
        ),
        (
            "dropped perhaps, and answers would be added",
            |facts| {
                let mut perhaps = from_device("br-lan", Verdict::Accept);
                perhaps.insert(0, Expression::Other("limit".into()));
                facts.ruleset = forward(vec![perhaps, from_device("br-lan", Verdict::Drop), adds()]);
            },
            &["OCTL215"],
        ),
        (
            "conditions do not hold",
            |facts| {
                facts.ruleset.sets[0].elements.as_mut().unwrap().remove(0);
                facts.ruleset.chains[0].drops = false;
                facts.ruleset.rules.truncate(1);
            },
            &["OCTL207"],
        ),
        ("half open", |facts| flow(facts).details.tcp_state = Some(2), &["OCTL208"]),
        ("closing", |facts| flow(facts).details.tcp_state = Some(7), &["OCTL208"]),
        ("helper", |facts| flow(facts).details.helper = Some(*b"ftp\0\0\0\0\0\0\0\0\0\0\0\0\0"), &["OCTL209"]),
        ("device", |facts| facts.flowtables[0].devices = vec!["br-lan".into()], &["OCTL210"]),
        ("sequence", |facts| flow(facts).details.status |= 1 << 6, &["OCTL211"]),
        (
            "answers are dropped",
            |facts| {
                let flow = flow(facts);
                (flow.protocol, flow.details.status, flow.details.tcp_state) = (17, 0, None);
                facts.ruleset = forward(vec![from_device("wan", Verdict::Drop), adds()]);
            },
            &["OCTL206"],
        ),
        (
            "from one tunnel into another",
            |facts| facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2"), policy("0.0.0.0", "192.168.1.10")],
            &["OCTL212"],
        ),
        (
            "only decrypted packets are added",
            |facts| {
                facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2")];
                facts.ruleset = forward(vec![from_device("br-lan", Verdict::Accept), adds()]);
            },
            &["OCTL212"],
        ),
        (
            "translated to what a policy is for",
            |facts| {
                flow(facts).path = Path::Software;
                facts.ipsec = vec![policy("10.0.0.1", "10.0.0.2")];
            },
            &["OCTL213"],
        ),
        (
            "marked without its device",
            |facts| {
                flow(facts).path = Path::Software;
                facts.flowtables[0].devices = vec!["wan".into()];
            },
            &["OCTL210"],
        ),
        (
            "hardware refused",
            |facts| {
                flow(facts).path = Path::Software;
                facts.flowtables[0].hardware = true;
            },
            &["OCTL214"],
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(causes(change), expected, "{name}");
    }
}

/// A marked flow whose packets may take the slow path is not said to be offloaded, and neither is it said that it is not.
#[test]
fn what_is_marked_is_offloaded_not_or_perhaps() {
    type Change = fn(&mut Facts);
    let unlearned: Change = |facts| {
        facts.devices.0 = side("br-lan", &["lan1"]).map(Side::unlearned);
        facts.flowtables[0].devices = vec!["lan1".into(), "wan".into()];
    };
    let encrypted: Change = |facts| facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2")];
    let ports: Change = |facts| facts.flowtables[0].devices = vec!["lan1".into(), "lan2".into(), "wan".into()];
    let other: Change = |facts| {
        facts.flowtables.push(Flowtable {
            name: "other".into(),
            devices: vec!["lo".into()],
            ..facts.flowtables[0].clone()
        });
        facts.ruleset.rules.push(rules("forward", 9, vec![vec![Expression::FlowAdd("other".into())]]).remove(0));
    };
    let no_longer: Change = |facts| {
        let first = &mut facts.ruleset.rules[0].expressions;
        first.insert(0, Expression::Compare { from: 9, operator: 0, value: vec![1] });
        first.insert(0, Expression::Immediate { to: 9, value: vec![2] });
    };
    let redirected = |device: &str, redirects| vec![(device.to_owned(), redirects)];
    for (name, changes, expected) in [
        ("ports", &[ports][..], Ok(0)),
        ("an encrypted one is looked for on the topmost device", &[encrypted], Ok(0)),
        ("and on no other", &[encrypted, ports], Err("OCTL210")),
        ("a bridge that has learned nothing", &[unlearned], Err("OCTL220")),
        ("perhaps it is bridged", &[|facts| facts.may_be_bridged = true], Err("OCTL220")),
        ("but the topmost", &[unlearned, |facts| facts.flowtables[0].devices.push("br-lan".into())], Ok(0)),
        ("another flowtable, which the rules do not lead to", &[other], Ok(0)),
        ("another flowtable, and the rules do not tell", &[other, no_longer], Err("OCTL220")),
        ("a rule that applies no longer", &[no_longer], Ok(0)),
        (
            "a rule that applies no longer, for other devices",
            &[no_longer, |facts| facts.flowtables[0].devices = vec!["lo".into()]],
            Err("OCTL210"),
        ),
    ] {
        let mut facts = facts();
        flow(&mut facts).path = Path::Software;
        changes.iter().for_each(|change| change(&mut facts));
        let explanation = explain(&facts);
        let said: Vec<_> = explanation.causes.iter().map(|cause| cause.id).collect();
        assert_eq!(said, expected.err().into_iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(
            explanation.exit_code(),
            match said.first() {
                None => 0,
                Some(&"OCTL220") => 3,
                Some(_) => 1,
            },
            "{name}"
        );
    }
    for (device, redirects, expected) in [
        ("wan", Redirects::All, Some("OCTL221")),
        ("wan", Redirects::Some, Some("OCTL220")),
        // Of a bridge with two ports it is not known which one leads there.
        ("lan1", Redirects::All, Some("OCTL220")),
        // Packets that come in through the port are taken before they come to the bridge.
        ("br-lan", Redirects::All, None),
        ("ifb0", Redirects::All, None),
    ] {
        let mut facts = facts();
        ports(&mut facts);
        flow(&mut facts).path = Path::Software;
        facts.redirecting = redirected(device, redirects);
        let causes = explain(&facts).causes;
        assert_eq!(causes.first().map(|cause| cause.id), expected, "{device} {redirects:?}");
    }
}

#[test]
fn what_is_offloaded_has_no_cause() {
    assert_eq!(causes(|facts| flow(facts).path = Path::Software), [""; 0]);
    // Its state at the end does not matter for one that hardware has.
    let hardware = causes(|facts| {
        flow(facts).path = Path::Hardware;
        flow(facts).details.tcp_state = Some(7);
        facts.flowtables[0].hardware = true;
    });
    assert_eq!(hardware, [""; 0]);
}

#[test]
fn a_tunnel_on_one_side_is_no_cause() {
    type Change = fn(&mut Facts);
    let cases: [Change; 3] = [
        |facts| facts.ipsec = vec![policy("0.0.0.0", "10.0.0.2")],
        |facts| facts.ipsec = vec![policy("0.0.0.0", "192.168.1.10")],
        // A policy that lets packets pass as they are, as daemons have them for the LAN.
        |facts| {
            let tunnel = policy("10.0.0.1", "10.0.0.2");
            facts.ipsec = vec![tunnel, Policy { transforms: false, priority: 1, ..tunnel }];
        },
    ];
    for (case, change) in cases.into_iter().enumerate() {
        assert_eq!(causes(change), ["OCTL215"], "case {case}");
        let offloaded = causes(|facts| {
            change(facts);
            flow(facts).path = Path::Software;
        });
        assert_eq!(offloaded, [""; 0], "case {case}");
    }
}

#[test]
fn a_port_or_a_wildcard_will_do() {
    type Change = fn(&mut Facts);
    let cases: [Change; 2] = [
        |facts| facts.flowtables[0].devices = vec!["lan2".into(), "wan".into()],
        |facts| facts.flowtables[0].devices = vec!["br*".into(), "w*".into()],
    ];
    for (case, change) in cases.into_iter().enumerate() {
        assert_eq!(causes(change), ["OCTL215"], "case {case}");
    }
}

#[test]
fn hardware_that_refused_says_why() {
    let why = |capability| {
        let mut facts = facts();
        flow(&mut facts).path = Path::Software;
        facts.flowtables[0].hardware = true;
        facts.hardware = Some(vec![("lan1".into(), capability)]);
        explain(&facts).causes[0].why.clone()
    };
    assert!(why(Capability::No).contains("does not offer hw-tc-offload on lan1"));
    assert!(why(Capability::Off).contains("hw-tc-offload is switched off on lan1"));
    assert!(why(Capability::On).contains("the driver refused it"));
}

#[test]
fn hardware_with_one_direction_says_which() {
    let with = |bound| {
        let mut facts = facts();
        flow(&mut facts).path = Path::Hardware;
        facts.flowtables[0].hardware = true;
        facts.bound = Some(bound);
        let explanation = explain(&facts);
        (explanation.exit_code(), explanation.causes.first().map(|cause| (cause.id, cause.what.clone())))
    };
    assert_eq!(with([true, true]), (0, None));
    let (code, cause) = with([true, false]);
    assert_eq!((code, cause), (0, Some(("OCTL219", "hardware took the way there, and not the way back".into()))));
    assert_eq!(with([false, true]).1.unwrap().0, "OCTL219");
    assert!(with([false, false]).1.unwrap().1.contains("does not have it"));
}
