//! Every proof can fail alone, and every path passes as itself only.

use super::*;

const ROUTER: &str = "203.0.113.1";
const PACKETS: u64 = 2000;
const WIRE: u64 = 2_056_000;

fn way(source: &str, packets: u64) -> Way {
    Way {
        payload: 2_000_000,
        arrived: Count { packets: PACKETS, bytes: WIRE },
        forwarded: Count { packets, bytes: packets * 1028 },
        hop_limit: Some((63, 63)),
        card: None,
        source: Some(source.parse().unwrap()),
    }
}

fn entry(mark: &str, bytes: u64) -> Option<Conntrack> {
    let half = |from, to| format!("src={from} dst={to} sport=1 dport=2 packets=2000 bytes={bytes}");
    Conntrack::parse(&format!("ipv4 2 udp 17 {} {} {mark} use=1", half("a", "b"), half("b", "r")))
}

/// So many packets in the forward hook on each way.
fn seen(there: u64, back: u64) -> Observation {
    let ever = Ways { there: way(ROUTER, there), back: way("203.0.113.2", back) };
    Observation {
        proto: Proto::Udp,
        exchange: ever,
        ever,
        fragmented: false,
        sent_hop_limit: (HOP_LIMIT, HOP_LIMIT),
        hops: 1,
        refused: 0,
        damage: None,
        conntrack: entry("[OFFLOAD]", WIRE),
    }
}

/// The same with a card that sent on so many packets each way; the others came up from it.
fn carded(there: u64, back: u64, mark: &str) -> Observation {
    let mut seen = Observation { conntrack: entry(mark, WIRE), ..seen(1, 1) };
    for (ways, taken) in [(0, there), (1, back)] {
        let mut card = AtCard::default();
        let count = |packets| Count { packets, bytes: packets * 1028 };
        card.see(count(PACKETS - taken), (taken > 0).then(|| count(taken)));
        let way = |seen: &mut Ways| if ways == 0 { seen.there.card = Some(card) } else { seen.back.card = Some(card) };
        way(&mut seen.exchange);
        way(&mut seen.ever);
    }
    seen
}

fn id(seen: &Observation, path: Path, run: Option<Run>) -> Option<&'static str> {
    let wanted = Wanted { path: Some(path), run, seen_from: ROUTER.parse().ok(), ..Wanted::default() };
    judge(seen, wanted).map(|finding| finding.id)
}

#[test]
fn each_path_passes_as_itself_and_fails_as_every_other() {
    let mut nothing = seen(0, 0);
    nothing.exchange = Ways::default();
    nothing.damage = Some("silence".into());
    let mut local = seen(0, 0);
    local.ever.back.hop_limit = Some((64, 64));
    local.conntrack = entry("[ASSURED]", WIRE);
    let paths = [
        (Path::Local, local),
        (Path::Fast, seen(1, 1)),
        (Path::Slow, seen(PACKETS, PACKETS)),
        (Path::ThereOnly, seen(1, PACKETS)),
        (Path::BackOnly, seen(PACKETS, 3)),
        (Path::Hardware, carded(PACKETS - 3, PACKETS, "[HW_OFFLOAD]")),
        (Path::HardwareThere, carded(PACKETS, 0, "[HW_OFFLOAD]")),
        (Path::HardwareBack, carded(0, PACKETS, "[HW_OFFLOAD]")),
        (Path::None, nothing),
    ];
    for (is, seen) in &paths {
        assert_eq!(seen.path(0), is.word());
        for (wanted, _) in &paths {
            assert_eq!(id(seen, *wanted, None).is_none(), is == wanted, "{is:?} as {wanted:?}");
        }
    }
    // Neither: more than the first packets, and not all of them.
    assert_eq!(seen(4, 1).path(0), "mixed");
    assert_eq!(seen(PACKETS - 1, PACKETS).path(0), "mixed");
    assert_eq!(seen(4, 1).path(1), "fast", "one more was allowed");
}

#[test]
fn every_proof_can_fail_alone() {
    let wrong = |change: fn(&mut Observation), path: Path, run: Option<Run>| {
        let slow = path == Path::Slow;
        let mut seen = if slow { seen(PACKETS, PACKETS) } else { seen(1, 1) };
        if slow {
            seen.conntrack = entry("[ASSURED]", WIRE);
        }
        assert_eq!(id(&seen, path, run), None);
        change(&mut seen);
        id(&seen, path, run)
    };
    let (offload, control) = (Some(Run::Offload), Some(Run::Control));
    assert_eq!(wrong(|seen| seen.damage = Some("byte 7".into()), Path::Fast, None), Some("PROOF001"));
    assert_eq!(wrong(|seen| seen.ever.back.hop_limit = Some((63, 64)), Path::Fast, None), Some("PROOF002"));
    let inner = |seen: &mut Observation| seen.ever.there.source = "192.168.1.2".parse().ok();
    assert_eq!(wrong(inner, Path::Slow, None), Some("PROOF003"));
    assert_eq!(wrong(|seen| seen.exchange.there.forwarded.packets = 4, Path::Fast, None), Some("PROOF004"));
    assert_eq!(wrong(|seen| seen.exchange.back.forwarded.bytes = 20_561, Path::Fast, None), Some("PROOF004"));
    let unseen = |seen: &mut Observation| {
        seen.ever.there.forwarded = Count::default();
        seen.ever.back.forwarded = Count::default();
    };
    assert_eq!(wrong(unseen, Path::Fast, None), Some("PROOF005"));
    // Marked or not: slow flows were seen with the mark, so the counter is asked first.
    assert_eq!(wrong(|seen| seen.conntrack = None, Path::Fast, None), Some("PROOF006"));
    assert_eq!(wrong(|seen| seen.conntrack = entry("[ASSURED]", WIRE), Path::Fast, None), Some("PROOF006"));
    assert_eq!(wrong(|seen| seen.conntrack = entry("[OFFLOAD]", WIRE - 1), Path::Fast, offload), Some("PROOF007"));
    assert_eq!(wrong(|seen| seen.conntrack = entry("[OFFLOAD]", WIRE + 1), Path::Fast, offload), Some("PROOF007"));
    assert_eq!(wrong(|seen| seen.exchange.back.forwarded.packets -= 1, Path::Slow, None), Some("PROOF008"));
    assert_eq!(wrong(|seen| seen.conntrack = entry("[OFFLOAD]", WIRE), Path::Slow, control), Some("PROOF009"));
    assert_eq!(wrong(|seen| seen.conntrack = None, Path::Slow, control), Some("PROOF009"));
    assert_eq!(wrong(|seen| seen.ever.there.forwarded.bytes += 1, Path::Slow, None), Some("PROOF011"));
    let late = |seen: &mut Observation| seen.damage = Some("silence".into());
    let silent = |seen: &mut Observation| {
        seen.damage = Some("silence".into());
        seen.exchange.back = Way::default();
    };
    assert_eq!(wrong(late, Path::Slow, None), Some("PROOF001"));
    assert_eq!(wrong(silent, Path::Slow, None), Some("PROOF013"));
    assert_eq!(id(&seen(1, 1), Path::None, None), Some("PROOF012"));
}

#[test]
fn what_the_card_did_is_proved_by_its_table_its_counters_and_what_came_up() {
    let path = |seen: &Observation, path| id(seen, path, None);
    let hardware = || carded(PACKETS, PACKETS, "[HW_OFFLOAD]");
    assert_eq!(path(&hardware(), Path::Hardware), None);
    // One direction is enough for the mark.
    assert_eq!(path(&carded(PACKETS, 0, "[HW_OFFLOAD]"), Path::Hardware), Some("PROOF019"));
    assert_eq!(path(&carded(PACKETS, 9, "[HW_OFFLOAD]"), Path::Hardware), Some("PROOF020"));
    assert_eq!(path(&carded(PACKETS, PACKETS - 7, "[HW_OFFLOAD]"), Path::Hardware), Some("PROOF020"));
    assert_eq!(path(&carded(PACKETS, PACKETS, "[OFFLOAD]"), Path::Hardware), Some("PROOF021"));
    assert_eq!(path(&hardware(), Path::Fast), Some("PROOF022"));
    assert_eq!(path(&carded(0, 0, "[OFFLOAD]"), Path::Fast), None);
    // A router without a card shows nothing of it.
    assert_eq!(path(&seen(1, 1), Path::Hardware), Some("PROOF019"));
    assert!(hardware().figures().contains("the card sent on 2000 packets there, 2000 back, and 0 and 0 came up"));
    assert!(hardware().figures().contains("marked HW_OFFLOAD"));
}

#[test]
fn a_counter_that_begins_again_goes_on_counting() {
    let count = |packets| Count { packets, bytes: packets * 10 };
    let mut card = AtCard::default();
    card.see(count(3), Some(count(100)));
    let before = card;
    // The rule went, and another came.
    card.see(count(5), None);
    card.see(count(1), Some(count(40)));
    assert_eq!(card.packets(), (140, 6));
    assert_eq!(card.since(before).packets(), (40, 3));
}

#[test]
fn nothing_is_asked_of_packets_that_may_be_lost() {
    let lost = Observation { damage: Some("silence".into()), ..seen(1, 1) };
    assert!(judge(&lost, Wanted::default()).is_some());
    assert_eq!(judge(&lost, Wanted { lossy: true, ..Wanted::default() }), None);
}

#[test]
fn an_offloaded_flow_to_the_router_itself_is_noticed_and_so_are_missing_errors() {
    let mut marked = seen(0, 0);
    marked.ever.back.hop_limit = Some((64, 64));
    assert_eq!(id(&marked, Path::Local, None), Some("PROOF017"));
    // A proxy speaks to the far host itself.
    marked.conntrack = entry("[ASSURED]", WIRE);
    assert_eq!(id(&marked, Path::Local, None), None);
    marked.ever.there.source = "192.168.1.2".parse().ok();
    assert_eq!(id(&marked, Path::Local, None), Some("PROOF003"));
    let silent = Observation { exchange: Ways::default(), refused: 9, ..seen(0, 0) };
    let refused =
        |refused| judge(&silent, Wanted { path: Some(Path::None), refused: Some(refused), ..Wanted::default() });
    assert_eq!(refused(9), None);
    assert_eq!(refused(10).unwrap().id, "PROOF016");
}

#[test]
fn hop_limits_are_one_less_than_those_sent_and_fragments_are_counted_by_packet() {
    let mut low = seen(1, 1);
    low.sent_hop_limit = (2, 64);
    assert_eq!(id(&low, Path::Fast, None), Some("PROOF002"));
    (low.ever.there.hop_limit, low.ever.back.hop_limit) = (Some((1, 63)), Some((1, 63)));
    assert_eq!(id(&low, Path::Fast, None), None);
    // What is bridged keeps its hop limit.
    let mut bridged = Observation { hops: 0, ..seen(1, 1) };
    assert_eq!(id(&bridged, Path::Fast, None), Some("PROOF002"));
    (bridged.ever.there.hop_limit, bridged.ever.back.hop_limit) = (Some((64, 64)), Some((64, 64)));
    assert_eq!(id(&bridged, Path::Fast, None), None);
    let mut fragments = seen(PACKETS, PACKETS);
    fragments.exchange.there.forwarded.bytes *= 3;
    fragments.ever = fragments.exchange;
    assert_eq!(id(&fragments, Path::Slow, None), Some("PROOF008"));
    fragments.fragmented = true;
    assert_eq!(id(&fragments, Path::Slow, None), None);
}

#[test]
fn merged_segments_are_counted_between_payload_and_wire() {
    let tcp = |bytes| Observation { proto: Proto::Tcp, conntrack: entry("[OFFLOAD]", bytes), ..seen(1, 1) };
    let id = |seen: &Observation| id(seen, Path::Fast, Some(Run::Offload));
    assert_eq!(id(&tcp(2_000_000)), None);
    assert_eq!(id(&tcp(WIRE)), None);
    assert_eq!(id(&tcp(1_999_999)), Some("PROOF007"));
    assert_eq!(id(&tcp(WIRE + 1)), Some("PROOF007"));
    // All payload passed the forward hook in fewer, merged packets.
    let mut slow = tcp(WIRE);
    let merged = Count { packets: 40, bytes: 2_002_000 };
    slow.exchange.there.forwarded = merged;
    slow.exchange.back.forwarded = merged;
    assert_eq!(slow.path(0), "slow");
}

#[test]
fn counters_that_stand_still_are_told_from_those_that_go_on() {
    let counted = |bytes| Observation { conntrack: entry("[OFFLOAD]", bytes), ..seen(2, 2) };
    let id = |seen: &Observation, wanted| counts(seen, wanted).map(|finding| finding.id);
    assert_eq!(id(&counted(2056), Counts::SlowOnly), None);
    assert_eq!(id(&counted(WIRE), Counts::SlowOnly), Some("PROOF007"));
    assert_eq!(id(&counted(WIRE), Counts::All), None);
    assert_eq!(id(&counted(2056), Counts::All), Some("PROOF007"));
}
