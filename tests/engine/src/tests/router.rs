//! A router that is made up: it passes IPv4 packets on between two wires, counts them as the kernel would, and answers
//! what the engine asks of a real one.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Count, Exit, Failure, Format, Problem, Result};
use vm::fake::{self, Scripted, says};
use vm::guest::{Guest, Output};
use vm::lab::{Lab, Plan, Wires};

use crate::bench::Routers;
use crate::scenario::Start;

/// What is wrong with a router.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Flaw {
    #[default]
    None,
    /// Every packet takes the slow path, whatever the rules say.
    Slow,
    /// Packets take the fast path, whatever the rules say.
    Fast,
    /// Flows are marked and take the slow path.
    OnlyMarked,
    /// One byte of the hundredth datagram is another one.
    Damages,
    /// It does not answer once rules are loaded.
    Hangs,
    /// Its kernel complains.
    Complains,
    /// Rules cannot be broken on purpose.
    Stubborn,
    /// Its card has rules, and sends nothing on.
    IdleCard,
    /// Its `offloadctl` says of every flow that it is offloaded.
    Boasts,
    /// Its `offloadctl` says of no flow that it is offloaded.
    Doubts,
    /// Its `offloadctl` is broken.
    Mumbles,
}

/// Gives one such router after the other.
#[derive(Default)]
pub(super) struct Fakes {
    pub(super) flaw: Flaw,
    next: Mutex<Option<Shared>>,
}

impl Fakes {
    pub(super) fn with(flaw: Flaw) -> Fakes {
        Fakes { flaw, next: Mutex::default() }
    }
}

impl Routers for Fakes {
    fn kernel(&self) -> &str {
        "6.12"
    }

    fn wires(&self) -> Result<Wires> {
        let (near, far) = fake::wires().unwrap();
        let router = Shared(Arc::new(Mutex::new(Router { flaw: self.flaw, ..Router::default() })));
        let ends = Arc::new([far.lan, far.wan]);
        for side in 0..2 {
            let (router, ends) = (router.clone(), ends.clone());
            std::thread::spawn(move || router.pass_on(side, &ends));
        }
        *self.next.lock().unwrap() = Some(router);
        Ok(near)
    }

    fn boot<'a>(&'a self, _: &'a Lab, _: Start, _: Format) -> Result<Box<dyn Guest + 'a>> {
        let router = self.next.lock().unwrap().take().unwrap();
        Ok(Box::new(Scripted::new(move |script| router.lock().answer(script))))
    }
}

/// Protocol, source and destination port.
type Ports = (u8, u16, u16);

#[derive(Default)]
struct Router {
    flaw: Flaw,
    /// What the forward hook saw.
    forwarded: BTreeMap<Ports, Count>,
    /// What conntrack counted, by the ports of the first packet.
    flows: BTreeMap<Ports, [Count; 2]>,
    has_rules: bool,
    /// Whether the rules offload.
    offloads: bool,
    /// Whether they ask the card, and whether that hands everything up.
    asks_card: bool,
    bypass: bool,
    /// What came up from the card, and what it sent on.
    ingress: BTreeMap<Ports, Count>,
    taken: BTreeMap<Ports, Count>,
    files: String,
}

/// A router and those who use it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Router>>);

/// The router's own addresses towards the two hosts.
const OWN: [([u8; 6], [u8; 4]); 2] = [([2, 0, 0, 0, 9, 1], [192, 168, 1, 1]), ([2, 0, 0, 0, 9, 2], [203, 0, 113, 1])];

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Router> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the lab goes.
    fn pass_on(&self, side: usize, ends: &[OwnedFd; 2]) {
        while let Ok(Some(frame)) = fake::take(&ends[side]) {
            // What was counted is on the wire before anybody can ask for the counters.
            let mut router = self.lock();
            if let Some((to, frame)) = router.pass(side, frame)
                && fake::give(&ends[to], &frame).is_err()
            {
                return;
            }
        }
    }
}

impl Router {
    /// What becomes of a frame, and on which side.
    fn pass(&mut self, side: usize, mut frame: Vec<u8>) -> Option<(usize, Vec<u8>)> {
        match frame.get(12..14)? {
            [8, 6] => answer_arp(side, &mut frame).map(|()| (side, frame)),
            [8, 0] if frame.len() > 42 => {
                self.forward(&mut frame);
                let to = 1 - side;
                let Plan { lan, wan } = Plan::routed();
                frame[..6].copy_from_slice(&[lan, wan][to].mac);
                frame[6..12].copy_from_slice(&OWN[to].0);
                Some((to, frame))
            }
            _ => None,
        }
    }

    fn forward(&mut self, frame: &mut [u8]) {
        // Time to live and, with it, the checksum of the header (RFC 1624).
        frame[22] -= 1;
        let sum = u32::from(number(frame, 24)) + 0x100;
        frame[24..26].copy_from_slice(&u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap().to_be_bytes());
        let (ports, bytes) = ((frame[23], number(frame, 34), number(frame, 36)), u64::from(number(frame, 16)));
        let back = (ports.0, ports.2, ports.1);
        let (flow, way) = if self.flows.contains_key(&back) { (back, 1) } else { (ports, 0) };
        let fast = self.is_fast() && self.flaw != Flaw::OnlyMarked;
        let counted = &mut self.flows.entry(flow).or_default()[way];
        *counted = *counted + Count { packets: 1, bytes };
        if self.flaw == Flaw::Damages && counted.packets == 100 {
            // A change of which the checksum of UDP knows nothing, as there is none then.
            frame[40..42].fill(0);
            frame[499] ^= 1;
        }
        let is_first = counted.packets <= 2;
        let takes = fast && self.asks_card && !is_first && !self.bypass && self.flaw != Flaw::IdleCard;
        let card = if takes { &mut self.taken } else { &mut self.ingress };
        let passed = card.entry(ports).or_default();
        *passed = *passed + Count { packets: 1, bytes };
        if !fast || is_first {
            let seen = self.forwarded.entry(ports).or_default();
            *seen = *seen + Count { packets: 1, bytes };
        }
    }

    fn is_fast(&self) -> bool {
        match self.flaw {
            Flaw::Slow => false,
            Flaw::Fast => true,
            _ => self.offloads,
        }
    }

    fn answer(&mut self, script: &str) -> Result<Output> {
        if self.flaw == Flaw::Hangs && self.has_rules {
            return Err(Failure::of(Problem {
                exit: Exit::Blocked,
                id: "VM000",
                what: "the fake hangs",
                why: "it is a test",
                fix: "none",
            }));
        }
        Ok(says(&match script {
            "dmesg" if self.flaw == Flaw::Complains => "[ 1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1\n".into(),
            "touch /etc/new" => {
                self.files = "abcd  ./etc/new\n".into();
                String::new()
            }
            "false" => return Ok(Output { code: 1, out: b"no\n".to_vec() }),
            "cat /proc/modules" => "nf_flow_table 1 0 - Live 0x0\n".into(),
            "nft -a list ruleset" if self.offloads => LISTING.into(),
            _ if script.starts_with("offloadctl explain") => match self.flaw {
                Flaw::Boasts => r#"{"offloaded": true}"#.into(),
                Flaw::Doubts => r#"{"offloaded": false}"#.into(),
                Flaw::Mumbles => "no".into(),
                _ => format!(r#"{{"offloaded": {}}}"#, self.is_fast()),
            },
            _ if script.starts_with("nft delete flowtable") => {
                self.offloads &= self.flaw == Flaw::Stubborn;
                String::new()
            }
            _ if script.contains("find . -xdev") => format!("drwxr-xr-x 0 0 ./etc\nabcd  ./etc/old\n{}", self.files),
            _ if script.contains("/parameters/bypass") => {
                self.bypass = true;
                String::new()
            }
            _ if script.starts_with("nft list table inet probe") => self.look(script.contains("below:")),
            _ if script.ends_with("nft -f -") => {
                self.has_rules = true;
                self.offloads = script.contains("flow add");
                self.asks_card = script.contains("flags offload");
                String::new()
            }
            _ => String::new(),
        }))
    }

    /// The harness's table, and that of conntrack; between them what is asked of the card.
    fn look(&self, card: bool) -> String {
        let element = |((proto, from, to), count): (&Ports, &Count)| {
            format!("{proto} . {from} . {to} counter packets {} bytes {}", count.packets, count.bytes)
        };
        let elements = |counts: &BTreeMap<Ports, Count>| counts.iter().map(element).collect::<Vec<_>>().join(", ");
        let mark = match self.is_fast() {
            true if self.asks_card => "[HW_OFFLOAD]",
            true => "[OFFLOAD]",
            false => "[ASSURED]",
        };
        let rule = |(proto, from, to): &Ports| {
            let word = if *proto == 17 { "udp" } else { "tcp" };
            let Count { packets, bytes } = self.taken.get(&(*proto, *from, *to)).copied().unwrap_or_default();
            format!(
                "00000 BND IPv4 5T orig=192.0.2.1:{from}->192.0.2.2:{to} proto={word} packets={packets} bytes={bytes}\n"
            )
        };
        let rules: String = self.forwarded.keys().filter(|_| self.asks_card).map(rule).collect();
        let below =
            format!("below:\ntable netdev probe {{ elements = {{ {} }} }}\n{rules}}}\n", elements(&self.ingress));
        let below = if card { below } else { String::new() };
        let entry = |((proto, from, to), [there, back]): (&Ports, &[Count; 2])| {
            let way = |from: u16, to: u16, count: &Count| {
                format!("src=a dst=b sport={from} dport={to} packets={} bytes={}", count.packets, count.bytes)
            };
            let word = if *proto == 17 { "udp" } else { "tcp" };
            format!("ipv4 2 {word} {proto} {} {} {mark} mark=0\n", way(*from, *to, there), way(*to, *from, back))
        };
        let table: String = self.flows.iter().map(entry).collect();
        format!(
            "table inet probe {{ set forwarded {{ elements = {{ {} }} }} }}\n{below}{table}",
            elements(&self.forwarded)
        )
    }
}

/// As `nft -a list ruleset` shows rules that offload.
const LISTING: &str = "table inet lab { # handle 1
\tflowtable ft { # handle 2
\t\tdevices = { eth0, eth1 }
\t}
}
";

fn number(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// Makes the answer of a question for the router's own address (RFC 826).
fn answer_arp(side: usize, frame: &mut [u8]) -> Option<()> {
    let (mac, address) = OWN[side];
    if number(frame.get(..42)?, 20) != 1 || frame[38..42] != address {
        return None;
    }
    frame.copy_within(22..32, 32);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address);
    frame[21] = 2;
    frame.copy_within(32..38, 0);
    frame[6..12].copy_from_slice(&mac);
    Some(())
}
