//! A host's network card, a link as smoltcp sees it: frames are noted and freed of what is around them on the way in (a VLAN
//! tag, PPPoE); on the way out they get it back, and are made special where a flow asks for it.

use std::collections::HashMap;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as StackInstant;

use super::craft::craft;
use super::frames::Outbox;
use super::link::{self, Link, Record};
use super::notes::Notes;
use super::packet::{self, ETHERNET_HEADER, Port};
use super::plan::HostPlan;
use super::pppoe::{self, Concentrator, Frame};
use super::tag;
use super::traffic::Special;
use super::tunnel;

/// What the stack needs to know of its device: over PPPoE it sends and takes bare IP packets.
fn capabilities(mtu: usize, framing: &Framing) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = if framing.concentrator.is_some() { Medium::Ip } else { Medium::Ethernet };
    capabilities.max_transmission_unit = mtu + framing.stack_header();
    capabilities
}

/// What is around the stack's frames or packets on a wire.
#[derive(Debug)]
pub(super) struct Framing {
    vlan: Option<u16>,
    pub(super) concentrator: Option<Concentrator>,
    tunnel: Option<tunnel::End>,
}

impl Framing {
    pub(super) fn new(plan: &HostPlan) -> Self {
        Framing { vlan: plan.vlan, concentrator: Concentrator::new(plan), tunnel: tunnel::End::new(plan) }
    }

    /// Bytes in front of the IP packet in what the stack writes and reads.
    fn stack_header(&self) -> usize {
        if self.concentrator.is_some() { 0 } else { ETHERNET_HEADER }
    }
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

/// A card with a link.
pub(super) struct Nic<'a> {
    pub(super) link: &'a mut Link,
    pub(super) record: &'a mut Record,
    pub(super) notes: &'a mut Notes,
    pub(super) specials: &'a mut Specials,
    pub(super) framing: &'a mut Framing,
    pub(super) mtu: usize,
}

/// What arrived for the stack. Empty, which it ignores, when the frame was for somebody else.
pub(super) struct Arrived<'a>(&'a [u8]);

/// Room for a frame.
pub(super) struct Room<'a> {
    pub(super) outbox: &'a mut Outbox,
    pub(super) record: &'a mut Record,
    pub(super) specials: &'a mut Specials,
    pub(super) framing: &'a mut Framing,
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let Room { outbox, record, specials, framing } = self;
        if specials.by_port.is_empty() && framing.concentrator.is_none() && framing.tunnel.is_none() {
            return push(outbox, record, framing.vlan, length, write);
        }
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        let (head, packet) = frame.split_at(framing.stack_header().min(length));
        let crafted = specials.craft(packet);
        for packet in crafted.iter().flatten().map(Vec::as_slice).chain(crafted.is_none().then_some(packet)) {
            let mut frame = [head, packet].concat();
            if let Some(concentrator) = &framing.concentrator {
                frame.splice(0..0, [0; pppoe::LENGTH]);
                if !concentrator.put_on(&mut frame) {
                    continue;
                }
            }
            if let Some(wrapped) = framing.tunnel.as_mut().and_then(|tunnel| tunnel.put_on(&frame)) {
                frame = wrapped;
            }
            push(outbox, record, framing.vlan, frame.len(), |room| room.copy_from_slice(&frame));
        }
        result
    }
}

/// Sends a frame, with a tag if there is a VLAN.
fn push<R>(
    outbox: &mut Outbox,
    record: &mut Record,
    vlan: Option<u16>,
    length: usize,
    write: impl FnOnce(&mut [u8]) -> R,
) -> R {
    let Some(vlan) = vlan else { return link::push(outbox, record, length, write) };
    link::push(outbox, record, length + tag::LENGTH, |frame| {
        let result = write(&mut frame[tag::LENGTH..]);
        tag::put_on(frame, vlan);
        result
    })
}

impl Device for Nic<'_> {
    type RxToken<'a>
        = Arrived<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        let Nic { link, record, notes, specials, framing, .. } = self;
        let (frame, outbox) = link.next_frame(record)?;
        let frame = match framing.vlan {
            Some(vlan) => tag::take_off(frame, vlan).unwrap_or_else(|| {
                record.counts.wrong_vlan += 1;
                &mut []
            }),
            None => frame,
        };
        let frame = match &mut framing.tunnel {
            Some(tunnel) => {
                let frame = tunnel.take_off(frame);
                for answer in tunnel.answers() {
                    push(outbox, record, framing.vlan, answer.len(), |room| room.copy_from_slice(&answer));
                }
                frame
            }
            None => frame,
        };
        let arrived = match &mut framing.concentrator {
            None => {
                notes.frame(frame);
                &*frame
            }
            Some(concentrator) => match concentrator.receive(frame) {
                Frame::Packet(packet) => {
                    notes.packet(packet);
                    packet
                }
                Frame::Answers(answers) => {
                    for answer in answers {
                        push(outbox, record, framing.vlan, answer.len(), |room| room.copy_from_slice(&answer));
                    }
                    &[]
                }
            },
        };
        Some((Arrived(arrived), Room { outbox, record, specials, framing }))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Room<'_>> {
        let Nic { link, record, specials, framing, .. } = self;
        Some(Room { outbox: link.outbox()?, record, specials, framing })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu, self.framing)
    }
}

/// A card without a link: an interface can only be made with a device at hand, and no link exists
/// before somebody connects.
pub(super) struct NoNic<'a> {
    pub(super) framing: &'a Framing,
    pub(super) mtu: usize,
}

impl Device for NoNic<'_> {
    type RxToken<'a>
        = Arrived<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Arrived<'_>, Room<'_>)> {
        None
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Room<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu, self.framing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use smoltcp::wire::Ipv4Packet;

    use super::*;
    use crate::lab::host::Host;
    use crate::lab::plan::{HostPlan, Plan};

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
            let mut link = Link::default();
            let (mut host, mut record) = (Host::new(HostPlan { vlan, ..Plan::masquerade().lan }, Instant::now()), Record::default());
            let socket = host.add_tcp(1000);
            host.tcp(socket).listen(80).unwrap();
            for mut frame in frames.clone() {
                if vlan.is_some() && frame.len().is_multiple_of(2) {
                    frame.splice(12..12, [0x81, 0, 0, 1]);
                }
                let added = link.inbox.add_frame(|room| {
                    room[..frame.len()].copy_from_slice(&frame);
                    Ok::<_, ()>(frame.len())
                });
                prop_assert_eq!(added, Some(Ok(frame.len())));
            }
            host.poll(&mut link, &mut record);
            prop_assert_eq!(record.counts.from_router.frames, frames.len() as u64);
        }
    }
}
