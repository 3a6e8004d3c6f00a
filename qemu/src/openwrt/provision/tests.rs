//! Provisioning of a guest that answers from a list. What the scripts do on a router is shown by `tests/e2e`.

use super::*;
use crate::fake::{Scripted, says};
use crate::guest::Output;

const LAN: &str = r#"{"up":true,"ipv4-address":[{"address":"192.168.1.1","mask":24}],"ipv6-address":[{"address":"2001:db8:1::1","mask":64}]}"#;
const WAN: &str = r#"{"up":true,"ipv4-address":[{"address":"203.0.113.1","mask":24}],"ipv6-address":[{"address":"2001:db8:2::1","mask":64}]}"#;

fn wiring() -> Wiring {
    Wiring {
        lan: ["192.168.1.1/24", "2001:db8:1::1/64"].map(Into::into).into(),
        wan: ["203.0.113.1/24", "2001:db8:2::1/64"].map(Into::into).into(),
    }
}

/// A guest on which all goes well, but for scripts with the text `but`: those answer with this code and text.
/// The scripts that it ran, and how it ended.
fn provisioned(but: &str, code: i32, text: &str) -> (Vec<String>, Result<()>) {
    let mut scripts = Vec::new();
    let mut guest = Scripted::new(|script| {
        scripts.push(script.to_owned());
        let said = match script {
            _ if !but.is_empty() && script.contains(but) => return Ok(Output { code, out: text.into() }),
            _ if script.contains("interface.lan status") => LAN,
            _ if script.contains("interface.wan status") => WAN,
            _ => "",
        };
        Ok(says(said))
    });
    let ended = provision(&mut guest, &wiring(), &Cancel::default(), Deadline::after(Duration::from_millis(150)));
    drop(guest);
    (scripts, ended)
}

#[test]
fn a_guest_is_set_up_in_an_order_that_leaves_nothing_running() {
    let (scripts, ended) = provisioned("", 0, "");
    ended.unwrap();
    let at = |text: &str| scripts.iter().position(|script| script.contains(text)).unwrap_or_else(|| panic!("{text}"));
    assert!(at("system board") < at("init complete"), "ubus is there before services are");
    assert!(at("20-firewall") < at("network reload"), "a change of the network must not load the firewall");
    assert!(at("interface.wan status") < at("set network.wan.proto=static"), "the lease is waited for first");
    assert!(at("masq6") < at("firewall reload") && at("otplug-call") < at("firewall reload"));
    assert!(scripts.last().unwrap().ends_with("firewall reload"));
    let network = &scripts[at("uci -q batch")];
    for line in
        ["set network.lan.ipaddr=192.168.1.1/24\n", "set network.wan.ip6addr=2001:db8:2::1/64\n", "commit network\n"]
    {
        assert!(network.contains(line), "{network}");
    }
}

#[test]
fn every_way_to_fail_has_a_name() {
    for (but, code, text, id, word) in [
        ("system board", 255, "Failed to connect to ubus", "VM070", "Failed to connect"),
        ("init complete", 1, "", "VM071", "every service"),
        ("interface.lan", 0, r#"{"up":false}"#, "VM072", "not up"),
        ("interface.wan", 4, "Command failed: Not found", "VM072", "203.0.113.1/24"),
        ("network reload", 1, "no such service", "VM073", "no such service"),
        ("masq6", 1, "uci: Entry not found", "VM073", "Entry not found"),
        ("otplug-call", 1, "", "VM074", "tried out"),
    ] {
        let failure = provisioned(but, code, text).1.unwrap_err();
        assert_eq!((failure.id(), failure.exit()), (id, Exit::Blocked), "{but}");
        assert!(failure.to_string().contains(word), "{failure}");
    }
}

/// What is told is what was waited for, not the question that was asked last.
#[test]
fn a_question_that_outlasts_the_deadline_is_not_what_is_told() {
    for (but, id) in [("system board", "VM070"), ("init complete", "VM071"), ("interface.lan", "VM072")] {
        let mut guest = Scripted::new(|script| {
            if script.contains(but) {
                let (exit, id) = (Exit::Blocked, OVERRAN);
                return Err(Failure::of(Problem { exit, id, what: "a command did not end", why: "", fix: "" }));
            }
            Ok(says(if script.contains("interface.wan status") { WAN } else { "" }))
        });
        let ended = provision(&mut guest, &wiring(), &Cancel::default(), Deadline::after(Duration::from_secs(60)));
        assert_eq!(ended.unwrap_err().id(), id, "{but}");
    }
}

/// `logread` waits for a log that is not up.
#[test]
fn the_log_is_asked_for_without_waiting_for_it() {
    let (scripts, ended) = provisioned("", 0, "");
    ended.unwrap();
    let asked = scripts.iter().find(|script| script.contains("init complete")).unwrap();
    assert!(asked.contains("ubus -t 5 call log read") && !asked.contains("logread"), "{asked}");
}

#[test]
fn an_image_with_a_fixed_wan_address_needs_no_lease() {
    let (scripts, ended) = provisioned("network.wan.proto)", 1, "");
    ended.unwrap();
    assert_eq!(scripts.iter().filter(|script| script.contains("interface.wan status")).count(), 1);
}

#[test]
fn an_interrupt_ends_the_wait() {
    let cancel = Cancel::default();
    cancel.cancel();
    let mut guest =
        Scripted::new(|script| Ok(Output { code: script.contains("system board").into(), out: Vec::new() }));
    let ended = provision(&mut guest, &wiring(), &cancel, Deadline::after(Duration::from_secs(60)));
    assert_eq!(ended.unwrap_err().exit(), Exit::Interrupted);
}
