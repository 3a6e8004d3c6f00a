//! A link as smoltcp sees it: frames are noted and freed of their tag on the way in; on the way out
//! they are tagged, and made special where a flow asks for it.

use std::collections::HashMap;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as StackInstant;

use super::craft::craft;
use super::link::{Link, Outbox, Record};
use super::notes::Notes;
use super::packet::{self, Port};
use super::tag;
use super::traffic::Special;

/// Bytes of an Ethernet header.
pub(super) const ETHERNET_HEADER: usize = 14;

/// What the stack needs to know of an Ethernet device.
fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = mtu + ETHERNET_HEADER;
    capabilities
}

/// What the next packets of some ports have to look like.
#[derive(Debug, Default)]
pub(super) struct Specials {
    by_port: HashMap<Port, Special>,
    /// Identifies the packets made so far, for whoever puts fragments together.
    ident: u16,
}

impl Specials {
    /// From now on, what `port` sends looks like this; `None`: plain.
    pub(super) fn set(&mut self, port: Port, special: Option<&Special>) {
        match special.filter(|special| special.changes_packets()) {
            Some(special) => self.by_port.insert(port, special.clone()),
            None => self.by_port.remove(&port),
        };
    }

    /// What to send in place of an IP packet; `None` when it is plain.
    fn craft(&mut self, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (port, _) = packet::read(bytes)?.ports()?;
        let special = self.by_port.get(&port)?;
        self.ident = self.ident.wrapping_add(1);
        Some(craft(bytes, special, self.ident))
    }
}

/// A link, as smoltcp sees it.
pub(super) struct Wire<'a> {
    pub(super) link: &'a mut Link,
    pub(super) record: &'a mut Record,
    pub(super) notes: &'a mut Notes,
    pub(super) specials: &'a mut Specials,
    pub(super) vlan: Option<u16>,
    pub(super) mtu: usize,
}

/// A frame that arrived, without its tag; empty, which the stack ignores, when it has the wrong one.
pub(super) struct Arrived<'a>(&'a [u8]);

/// Room for a frame.
pub(super) struct Room<'a> {
    pub(super) outbox: &'a mut Outbox,
    pub(super) record: &'a mut Record,
    pub(super) specials: &'a mut Specials,
    pub(super) vlan: Option<u16>,
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, length: usize, write: F) -> R {
        if self.specials.by_port.is_empty() {
            return self.push(length, write);
        }
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        let crafted = frame.split_at_checked(ETHERNET_HEADER).and_then(|(head, packet)| {
            let packets = self.specials.craft(packet)?;
            Some(packets.into_iter().map(|packet| [head, &packet].concat()).collect())
        });
        for frame in crafted.unwrap_or_else(|| vec![frame]) {
            self.push(frame.len(), |room| room.copy_from_slice(&frame));
        }
        result
    }
}

impl Room<'_> {
    fn push<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let Some(vlan) = self.vlan else { return self.outbox.push(self.record, length, write) };
        self.outbox.push(self.record, length + tag::LENGTH, |frame| {
            let result = write(&mut frame[tag::LENGTH..]);
            tag::put_on(frame, vlan);
            result
        })
    }
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Arrived<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        let Wire { link, record, notes, specials, vlan, .. } = self;
        let (frame, outbox) = link.next_frame(record)?;
        let frame = match *vlan {
            Some(vlan) => tag::take_off(frame, vlan).unwrap_or_else(|| {
                record.counts.wrong_vlan += 1;
                &mut []
            }),
            None => frame,
        };
        notes.frame(frame);
        Some((Arrived(frame), Room { outbox, record, specials, vlan: *vlan }))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Room<'_>> {
        let Wire { link, record, specials, vlan, .. } = self;
        Some(Room { outbox: link.outbox()?, record, specials, vlan: *vlan })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

/// A device without a wire: an interface can only be made with a device at hand, and no link exists
/// before QEMU connects.
pub(super) struct NoWire {
    pub(super) mtu: usize,
}

impl Device for NoWire {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        None
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Room<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use proptest::prelude::*;

    use smoltcp::wire::Ipv4Packet;

    use super::*;
    use crate::lab::host::Host;
    use crate::lab::plan::{HostPlan, Plan, Side};

    /// Frames that look like something up to a point.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop::sample::select(vec![[8_u8, 0, 0x45], [8, 6, 0], [0x86, 0xdd, 0x60], [0x88, 0xcc, 0]]);
        let protocol = prop::sample::select(vec![1_u8, 2, 6, 17, 58, 0, 44]);
        (kind, protocol, prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(kind, protocol, mut bytes)| {
            let mut frame = vec![0xff; 12];
            frame.extend(&kind[..2]);
            if let Some(first) = bytes.first_mut() {
                *first = kind[2];
            }
            let length = bytes.len().to_be_bytes();
            let behind_ipv6 = bytes.len().saturating_sub(40).to_be_bytes();
            match kind[0] {
                8 if bytes.len() > 20 => {
                    bytes[2..4].copy_from_slice(&length[6..]);
                    bytes[9] = protocol;
                    bytes[16..20].copy_from_slice(&[192, 168, 1, 2]);
                    Ipv4Packet::new_unchecked(&mut bytes).fill_checksum();
                }
                0x86 if bytes.len() > 40 => {
                    bytes[4..6].copy_from_slice(&behind_ipv6[6..]);
                    bytes[6] = protocol;
                }
                _ => {}
            }
            frame.extend(bytes);
            frame
        })
    }

    proptest! {
        #[test]
        fn no_frame_breaks_the_notes_or_the_stack(frames in prop::collection::vec(frames(), 1..20), vlan in prop::option::of(1..3_u16)) {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut link = Link::new(Side::Lan, ours).unwrap();
            let (mut host, mut record) = (Host::new(HostPlan { vlan, ..Plan::masquerade().lan }, Instant::now()), Record::default());
            let socket = host.add_tcp(1000);
            host.tcp(socket).listen(80).unwrap();
            for mut frame in frames.clone() {
                if vlan.is_some() && frame.len().is_multiple_of(2) {
                    frame.splice(12..12, [0x81, 0, 0, 1]);
                }
                theirs.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
                theirs.write_all(&frame).unwrap();
            }
            link.fill().unwrap();
            host.poll(&mut link, &mut record);
            prop_assert_eq!(record.counts.from_router.frames, frames.len() as u64);
        }
    }
}
