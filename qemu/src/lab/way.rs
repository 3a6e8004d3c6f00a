//! One direction of a flow: what was sent, what arrived, and how the two differ.

use std::net::SocketAddr;

use model::Digest;
use sha2::{Digest as _, Sha256};

use super::payload::Payload;
use super::report::{Amount, Arrivals, Direction, Refusals};

/// What one end sent or received.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hash.update(data);
    }

    fn amount(&self) -> Amount {
        let sha256 = Digest(self.hash.clone().finalize().into());
        Amount { datagrams: self.datagrams, bytes: self.bytes, sha256 }
    }
}

/// One direction of a flow.
#[derive(Debug)]
pub(super) struct Way {
    payload: Payload,
    pub(super) sent: Tally,
    pub(super) received: Tally,
    damaged: u64,
    first_damage: Option<u64>,
    repeated: u64,
    reordered: u64,
    /// Where the first packet came from.
    pub(super) source: Option<SocketAddr>,
    /// Which datagrams arrived.
    seen: Vec<bool>,
}

impl Way {
    pub(super) fn new(seed: u64) -> Self {
        Way {
            payload: Payload::new(seed),
            sent: Tally::default(),
            received: Tally::default(),
            damaged: 0,
            first_damage: None,
            repeated: 0,
            reordered: 0,
            source: None,
            seen: Vec::new(),
        }
    }

    /// Fills in the next part of the TCP stream.
    pub(super) fn send_bytes(&mut self, out: &mut [u8]) {
        self.payload.fill(self.sent.bytes, out);
        self.sent.add(out);
    }

    /// Checks the next part of the TCP stream.
    pub(super) fn receive_bytes(&mut self, data: &[u8]) {
        if let Some(place) = self.payload.first_difference(self.received.bytes, data) {
            self.damage(place);
        }
        self.received.add(data);
    }

    /// Fills in datagram `number`.
    pub(super) fn send_datagram(&mut self, number: u64, out: &mut [u8]) {
        self.payload.fill_datagram(number, out);
        self.sent.datagrams += 1;
        self.sent.add(out);
    }

    /// Checks a datagram; its number when it is intact and arrived for the first time.
    pub(super) fn receive_datagram(&mut self, data: &[u8], source: SocketAddr, sent: u64) -> Option<u64> {
        let before = self.received.datagrams;
        self.received.datagrams += 1;
        self.received.add(data);
        self.source.get_or_insert(source);
        let number = self.payload.check_datagram(data).filter(|&number| number < sent);
        let Some((number, place)) = number.and_then(|number| Some((number, usize::try_from(number).ok()?))) else {
            self.damage(before);
            return None;
        };
        if place < self.seen.len() {
            if std::mem::replace(&mut self.seen[place], true) {
                self.repeated += 1;
                return None;
            }
            self.reordered += 1;
        } else {
            self.seen.resize(place, false);
            self.seen.push(true);
        }
        Some(number)
    }

    fn damage(&mut self, place: u64) {
        self.damaged += 1;
        self.first_damage.get_or_insert(place);
    }

    /// The way as a report shows it, with what was noted at the receiving and at the sending end.
    pub(super) fn direction(&self, wire: Arrivals, refusals: Refusals) -> Direction {
        Direction {
            sent: self.sent.amount(),
            received: self.received.amount(),
            damaged: self.damaged,
            first_damage: self.first_damage,
            repeated: self.repeated,
            reordered: self.reordered,
            source: self.source,
            wire,
            refusals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: ([u8; 4], u16) = ([192, 0, 2, 1], 9);

    fn datagrams(count: u64) -> (Way, Vec<Vec<u8>>) {
        let mut way = Way::new(5);
        let sent = (0..count)
            .map(|number| {
                let mut data = vec![0; 20];
                way.send_datagram(number, &mut data);
                data
            })
            .collect();
        (way, sent)
    }

    #[test]
    fn datagrams_in_order_are_intact() {
        let (mut way, sent) = datagrams(10);
        for (number, data) in sent.iter().enumerate() {
            assert_eq!(way.receive_datagram(data, SOURCE.into(), 10), Some(number as u64));
        }
        let direction = way.direction(Arrivals::default(), Refusals::default());
        assert!(direction.is_intact(), "{direction}");
        assert_eq!((direction.lost(), direction.source), (0, Some(SOURCE.into())));
        assert_eq!(direction.sent.sha256, direction.received.sha256);
    }

    #[test]
    fn lost_repeated_reordered_damaged_and_invented_datagrams_are_told_apart() {
        let (mut way, mut sent) = datagrams(6);
        sent[4][15] ^= 1;
        for number in [0, 2, 1, 1, 4] {
            way.receive_datagram(&sent[number], SOURCE.into(), 6);
        }
        let mut invented = vec![0; 20];
        Payload::new(5).fill_datagram(1_000_000_000_000, &mut invented);
        assert_eq!(way.receive_datagram(&invented, SOURCE.into(), 6), None, "a number that was never sent");

        let direction = way.direction(Arrivals::default(), Refusals::default());
        assert!(!direction.is_intact());
        assert_eq!((direction.repeated, direction.reordered), (1, 1));
        assert_eq!((direction.damaged, direction.first_damage), (2, Some(4)));
        assert_eq!(direction.lost(), 1);
        let text = direction.to_string();
        assert!(text.contains("1 datagrams lost") && text.contains("2 pieces damaged"), "{text}");
    }

    #[test]
    fn order_alone_does_no_damage() {
        let (mut way, sent) = datagrams(3);
        for number in [2, 0, 1] {
            way.receive_datagram(&sent[number], SOURCE.into(), 3);
        }
        let direction = way.direction(Arrivals::default(), Refusals::default());
        assert!(direction.is_intact() && direction.reordered == 2, "{direction}");
    }

    #[test]
    fn a_stream_shows_the_place_of_the_first_damage() {
        let mut way = Way::new(5);
        let mut data = vec![0; 100];
        way.send_bytes(&mut data);
        way.receive_bytes(&data[..30]);
        data[42] ^= 0x80;
        way.receive_bytes(&data[30..]);
        let direction = way.direction(Arrivals::default(), Refusals::default());
        assert_eq!((direction.damaged, direction.first_damage), (1, Some(42)));
        assert_ne!(direction.sent.sha256, direction.received.sha256);
    }
}
