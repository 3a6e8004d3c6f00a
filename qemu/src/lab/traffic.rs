//! What a caller asks for: flows through the router, and how their packets look.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::time::Duration;

use super::plan::Side;

/// The transport protocol of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// ICMP echo: a flow of it is always an [`Flow::echo`], and its near end's port is the identifier.
    Icmp,
}

impl Transport {
    /// The word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Icmp => "icmp",
        }
    }
}

/// What to send. The host on side `from` is the *near* end and begins; the other one is the *far*
/// end and answers every datagram, or byte, with one of its own, unless the flow is an `echo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The protocol.
    pub transport: Transport,
    /// Where the near end is.
    pub from: Side,
    /// Where the far end is: on the other side, or on the same one where the router sends the flow back (hairpin).
    pub far: Side,
    /// What the near end sends to: an address of the far host, or of the router when it translates
    /// destinations.
    pub to: SocketAddr,
    /// The port that the far host listens on, when the router changes it on the way.
    pub listen: Option<u16>,
    /// Whether whatever is at `to` sends back what it is sent, such as a service of the router: then
    /// our far host takes no part, and what arrives at the far end is not known.
    pub echo: bool,
    /// Chooses the payload: equal seeds give equal bytes. The two directions carry different ones.
    pub seed: u64,
    /// Payload bytes of the datagrams, taken in turn; 8 to what the MTU allows. TCP ignores it.
    pub sizes: Vec<usize>,
    /// How much may be under way at once: datagrams for UDP, bytes in each buffer for TCP. The first
    /// two datagrams of a flow always go alone, so that they alone take the slow path.
    pub window: usize,
    /// A datagram is lost when nothing at all arrived for so long. Nothing is ever sent again.
    pub loss_after: Duration,
}

impl Flow {
    /// UDP with datagrams of 1,000 bytes, 64 at once.
    pub fn udp(from: Side, to: SocketAddr) -> Flow {
        Flow {
            transport: Transport::Udp,
            from,
            far: from.other(),
            to,
            listen: None,
            echo: false,
            seed: 1,
            sizes: vec![1000],
            window: 64,
            loss_after: Duration::from_secs(2),
        }
    }

    /// TCP with buffers of 256 KiB.
    pub fn tcp(from: Side, to: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, window: 256 << 10, ..Flow::udp(from, to) }
    }

    /// ICMP echo requests of 200 bytes, 16 at once. Whoever has the address answers.
    ///
    /// A Linux kernel answers all from one socket per processor, with room for two packets of 64 KiB and no more
    /// (`icmp_init` in `net/ipv4/icmp.c`), and a card's driver takes back what it sent only between two polls of up
    /// to 64 packets each (`NAPI_POLL_WEIGHT`). So 64 answers and what is under way have to fit: answers with
    /// 1,000 bytes, each in a buffer of 2 KiB, do not, and some were lost; 80 of these are half of the room.
    pub fn ping(from: Side, to: IpAddr) -> Flow {
        // Echo has no ports. The number only stands where an address needs one.
        let to = SocketAddr::new(to, 0);
        Flow { transport: Transport::Icmp, echo: true, sizes: vec![200], window: 16, ..Flow::udp(from, to) }
    }

    /// The port that the far host listens on.
    pub fn far_port(&self) -> u16 {
        self.listen.unwrap_or(self.to.port())
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport.word();
        if self.transport == Transport::Icmp {
            return write!(f, "{transport} from {} to {}", self.from.word(), self.to.ip());
        }
        write!(f, "{transport} from {} to {}", self.from.word(), self.to)
    }
}

/// One of the two ends of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one that began.
    Near,
    /// The other one.
    Far,
}

/// How the packets of one exchange differ from plain ones. The far end answers in kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Special {
    /// Payload bytes of the datagrams, taken in turn, in place of the flow's. TCP ignores it.
    pub sizes: Vec<usize>,
    /// TTL or hop limit: 1 has to expire at the router, 2 just arrives. 64 unless given.
    pub hop_limit: Option<NonZeroU8>,
    /// An option in the IPv4 header.
    pub option: Option<IpOption>,
    /// Sends every IPv4 packet as fragments with at most so many bytes behind the IP header, rounded
    /// down to a multiple of 8.
    pub fragment: Option<usize>,
    /// Allows routers to fragment IPv4 packets: clears the DF bit, which is set on all plain packets.
    pub may_fragment: bool,
}

impl Special {
    /// Whether packets have to be changed after the stack wrote them.
    pub(super) fn changes_packets(&self) -> bool {
        self.option.is_some() || self.fragment.is_some() || self.may_fragment
    }
}

/// An option of the IPv4 header, RFC 791 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpOption {
    /// Three no-operations and the end of the list.
    NoOperation,
    /// Record route, with room for one router.
    RecordRoute,
}

impl IpOption {
    /// Its bytes, padded to a multiple of four.
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            IpOption::NoOperation => &[1, 1, 1, 0],
            IpOption::RecordRoute => &[7, 7, 4, 0, 0, 0, 0, 0],
        }
    }
}
