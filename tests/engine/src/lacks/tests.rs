//! A router that lacks something, and a feed that has it or not.

use std::collections::BTreeMap;

use model::{Cancel, Events, Record};
use vm::fake::{self, Scripted, says};
use vm::guest::{About, Output};
use vm::lab::Plan;

use super::*;
use crate::bench::{Borrowed, Trust};
use crate::modules::Payload;

/// What becomes of a scenario that needs `tc`, and the commands of the package manager meanwhile. The router says what it
/// lacks before and after an installation that ends with `code`.
fn tried(
    origin: Origin,
    borrowed: &Borrowed,
    says_first: &str,
    after: &str,
    code: i32,
) -> (Option<Verdict>, Vec<String>) {
    let needs = Needs { programs: vec!["tc".into()], packages: vec!["tc-tiny".into()], ..Needs::default() };
    let (mut asked, mut commands) = (0, Vec::new());
    let mut guest = Scripted::new(|script| {
        if script.starts_with("opkg") {
            commands.push(script.to_owned());
            let code = if script.contains("install") { code } else { 0 };
            return Ok(Output { code, out: b"opkg's words".to_vec() });
        }
        asked += 1;
        Ok(says(if asked == 1 { says_first } else { after }))
    });
    guest = guest.that_is(About { label: "a fake".into(), kernel: "6.12".into(), origin });
    let (near, _far) = fake::wires().unwrap();
    let lab = bench::lab(near, &Plan::masquerade(), None, &Cancel::default()).unwrap();
    let folders = BTreeMap::from([(FeedVariant::Published, Ok("/".into()))]);
    let (trust, payload) = (Trust { files: Vec::new() }, Payload::default());
    let feeds = Feeds { folders: &folders, trust: &trust, payload: &payload, borrowed };
    let mut told = Recorder::new("case", &Events::discard(), Record::default());
    let verdict = verdict(&mut guest, &needs, (&feeds, &lab), Format::Ipk, &mut told).unwrap();
    drop(guest);
    (verdict, commands)
}

fn has() -> Borrowed {
    Borrowed { has: ["tc-tiny".to_owned()].into(), lacks: BTreeMap::new() }
}

fn reason(verdict: Option<Verdict>) -> String {
    match verdict {
        Some(Verdict::Skip { reason }) => reason,
        verdict => panic!("{verdict:?}"),
    }
}

const LACKS: &str = "lacks the program tc\n";

#[test]
fn what_the_releases_own_feeds_have_is_installed() {
    let (verdict, commands) = tried(Origin::Release, &has(), LACKS, "", 0);
    assert_eq!((verdict, commands), (None, vec!["opkg update".to_owned(), "opkg install tc-tiny".to_owned()]));
    let (verdict, commands) = tried(Origin::Release, &has(), "", "", 0);
    assert_eq!((verdict, commands), (None, Vec::new()), "an image that has it is left alone");
}

#[test]
fn what_they_have_not_is_a_true_reason_to_skip() {
    let lacks = BTreeMap::from([("tc-tiny".to_owned(), "its feeds (base) have no tc-tiny".to_owned())]);
    let none = Borrowed { lacks, ..Borrowed::default() };
    let (verdict, commands) = tried(Origin::Release, &none, LACKS, "", 0);
    assert_eq!(reason(verdict), "the release's image lacks the program tc; its feeds (base) have no tc-tiny");
    assert_eq!(commands, [""; 0]);
    let (verdict, _) = tried(Origin::Release, &has(), LACKS, LACKS, 0);
    assert!(reason(verdict).ends_with("and with tc-tiny installed still lacks the program tc"));
    // No package makes a kernel newer, or is one too few.
    for amiss in ["has Linux 5.10.1, older than 5.13\n", "has the package x already\n"] {
        let (verdict, commands) = tried(Origin::Release, &has(), &format!("{LACKS}{amiss}"), "", 0);
        assert!(reason(verdict).ends_with(amiss.trim()));
        assert_eq!(commands, [""; 0]);
    }
}

#[test]
fn an_installation_that_fails_is_no_reason_to_skip() {
    let (verdict, _) = tried(Origin::Release, &has(), LACKS, "", 255);
    let Some(Verdict::Fail { finding }) = verdict else { panic!("{verdict:?}") };
    assert_eq!((finding.id, finding.why.as_str()), ("SCEN009", "opkg's words"));
}

#[test]
fn what_a_stand_in_lacks_is_a_defect() {
    let (verdict, commands) = tried(Origin::StandIn, &has(), LACKS, "", 0);
    assert!(matches!(verdict, Some(Verdict::Fail { finding }) if finding.id == "SCEN007"));
    assert_eq!(commands, [""; 0]);
}
