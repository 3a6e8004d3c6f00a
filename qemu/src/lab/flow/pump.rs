//! Moves payload between the generators of a flow and the sockets of its ends.

use std::net::SocketAddr;
use std::time::Instant;

use smoltcp::socket::tcp::{self, State};
use smoltcp::socket::udp::UdpMetadata;

use super::super::host::Host;
use super::super::payload::DATAGRAM_HEADER;
use super::super::plan::Both;
use super::super::traffic::Transport;
use super::super::way::Way;
use super::{OpenFlow, check};

/// Datagrams of a new flow that go alone.
const ALONE: u64 = 2;

/// Bytes of the header of an ICMP echo message: as many as of UDP's.
const ECHO_HEADER: usize = 8;

impl OpenFlow {
    /// Takes what arrived, and sends what may be sent.
    pub(in super::super) fn advance(&mut self, hosts: &mut Both<Host>) {
        match self.flow.transport {
            Transport::Tcp => self.advance_tcp(hosts),
            Transport::Udp => {
                self.answer_udp(hosts);
                self.advance_udp(hosts);
            }
            Transport::Icmp => self.advance_icmp(hosts),
        }
    }

    fn advance_tcp(&mut self, hosts: &mut Both<Host>) {
        if let (Some(line), Some(far)) = (&mut self.line, self.far) {
            line.advance([(self.flow.from, self.near), (self.flow.far, far)], hosts);
            return;
        }
        if let Some(far) = self.far {
            let far = hosts.get_mut(self.flow.far).tcp(far);
            self.there.source = self.there.source.or_else(|| far.remote_endpoint().map(Into::into));
            receive(far, &mut self.there);
            send(far, &mut self.back, self.there.received.bytes);
            if far.state() == State::CloseWait && far.send_queue() == 0 {
                far.close();
            }
        }
        let near = hosts.get_mut(self.flow.from).tcp(self.near);
        self.back.source = self.back.source.or_else(|| near.remote_endpoint().map(Into::into));
        receive(near, &mut self.back);
        send(near, &mut self.there, self.goal);
    }

    /// The far end answers every datagram that is intact with one of the same length, as far as its own
    /// link allows: the router may have put together what does not fit there.
    fn answer_udp(&mut self, hosts: &mut Both<Host>) {
        let Some(far) = self.far else { return };
        let host = hosts.get_mut(self.flow.far);
        let most = check::room(&self.flow, &host.plan);
        let far = host.udp(far);
        while let Ok((data, from)) = far.recv() {
            let (length, source) = (data.len().min(most), SocketAddr::from(from.endpoint));
            let number = self.there.receive_datagram(data, source, self.there.sent.datagrams);
            let answer = UdpMetadata { local_address: from.local_address, ..from.endpoint.into() };
            if let Some(number) = number
                && let Ok(out) = far.send(length, answer)
            {
                self.back.send_datagram(number, out);
            }
        }
    }

    fn advance_udp(&mut self, hosts: &mut Both<Host>) {
        let near = hosts.get_mut(self.flow.from).udp(self.near);
        while let Ok((data, from)) = near.recv() {
            self.take_answer(data, from.endpoint.into());
        }
        while let Some((number, size)) = self.next_datagram() {
            let Ok(out) = near.send(size, self.flow.to) else { break };
            self.there.send_datagram(number, out);
        }
    }

    fn advance_icmp(&mut self, hosts: &mut Both<Host>) {
        let near = hosts.get_mut(self.flow.from).icmp(self.near);
        while let Ok((message, from)) = near.recv() {
            if let Some(data) = message.get(ECHO_HEADER..) {
                self.take_answer(data, SocketAddr::new(from.into(), 0));
            }
        }
        let to = self.flow.to.ip();
        while let Some((number, size)) = self.next_datagram() {
            let Ok(out) = near.send(ECHO_HEADER + size, to.into()) else { break };
            let Some((head, data)) = out.split_first_chunk_mut::<ECHO_HEADER>() else { break };
            // RFC 792 and RFC 4443 §4.1; the stack fills in the checksum.
            let [a, b] = self.source.port().to_be_bytes();
            let [.., c, d] = number.to_be_bytes();
            *head = [if to.is_ipv4() { 8 } else { 128 }, 0, 0, 0, a, b, c, d];
            self.there.send_datagram(number, data);
        }
    }

    /// A datagram came back to the near end.
    fn take_answer(&mut self, data: &[u8], source: SocketAddr) {
        self.progress = Instant::now();
        if let Some(number) = self.back.receive_datagram(data, source, self.there.sent.datagrams) {
            self.floor = self.floor.max(number + 1);
            self.returned += u64::from(number >= self.began.number);
        }
    }

    /// Number and size of the next datagram, when it may go already.
    fn next_datagram(&mut self) -> Option<(u64, usize)> {
        if self.is_quiet() {
            self.floor = self.there.sent.datagrams;
        }
        let number = self.there.sent.datagrams;
        if number >= self.goal || number - self.floor >= self.window() {
            return None;
        }
        if number == self.floor {
            self.progress = Instant::now();
        }
        Some((number, self.size(number)))
    }

    fn size(&self, number: u64) -> usize {
        let turn = number % self.sizes.len().max(1) as u64;
        usize::try_from(turn).ok().and_then(|turn| self.sizes.get(turn)).copied().unwrap_or(DATAGRAM_HEADER)
    }

    fn window(&self) -> u64 {
        if self.back.received.datagrams < ALONE { 1 } else { self.flow.window as u64 }
    }
}

/// Sends the TCP stream up to `goal`.
fn send(socket: &mut tcp::Socket<'_>, way: &mut Way, goal: u64) {
    while way.sent.bytes < goal && socket.can_send() {
        let left = usize::try_from(goal - way.sent.bytes).unwrap_or(usize::MAX);
        let sent = socket.send(|room| {
            let length = room.len().min(left);
            way.send_bytes(&mut room[..length]);
            (length, length)
        });
        if !matches!(sent, Ok(1..)) {
            break;
        }
    }
}

/// Takes what arrived of the TCP stream.
fn receive(socket: &mut tcp::Socket<'_>, way: &mut Way) {
    while socket.can_recv() {
        let received = socket.recv(|data| {
            way.receive_bytes(data);
            (data.len(), data.len())
        });
        if !matches!(received, Ok(1..)) {
            break;
        }
    }
}
