//! The ways from a device with a route down to what packets come in and go out through.

use super::{Devices, Kind, is_listed};

/// Devices on devices on devices: deeper than anybody stacks them.
const DEEPEST: usize = 8;
/// `NF_FLOW_TABLE_ENCAP_MAX`: tags and sessions that a flow can have.
const MOST_TAGS: usize = 2;
/// From this kernel on the topmost device does not count in place of the lowest: measured on 7.2, and not on 6.12.
const STRICT: (u32, u32) = (7, 2);
/// From this kernel on, packets leave through the lowest device; before, through the topmost as long as there is no bridge. The
/// search was written anew with it: whether the topmost counts on the kernels from this one to the strict ones is not known, and
/// neither is how far it looks below tunnels since.
const SENDS_BELOW: (u32, u32) = (6, 19);

/// How far down the kernel finds its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To the lowest device.
    Lowest,
    /// Not below the topmost.
    Topmost,
    /// That depends on a driver, or on what a bridge has learned.
    Unknown,
    /// Perhaps to what carries a tunnel, which is not known.
    Beyond,
}

/// One way down, from the topmost device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Names of its devices, the topmost first.
    pub devices: Vec<String>,
    /// How far down the kernel finds it.
    pub reach: Reach,
    /// Where in `devices` a VLAN or a session stands first, and whether a bridge is among them.
    pub(super) tag: Option<usize>,
    pub(super) is_bridged: bool,
    /// Whether the topmost device counts where the flowtable does not have the lowest; `None` where that is not known.
    pub(super) topmost_counts: Option<bool>,
    /// What is below its lowest device, where the kernel does not look: the card of a macvlan, the conduit of a switch.
    pub(super) hidden: Vec<String>,
}

/// The device with the route to one end of a connection, and the ways down from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Name of that device.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// One for each port that may lead there.
    pub ways: Vec<Way>,
}

/// Whether a flowtable sees the packets of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It does, on this device.
    On(&'a str),
    /// It does not.
    Not,
    /// That is not known.
    Perhaps,
}

impl Devices {
    /// The ways down from a device: one for each port of a bridge, unless the port is known.
    pub fn ways(&self, top: &str, port: Option<&str>) -> Vec<Way> {
        let mut ways = Vec::new();
        let way = Way {
            devices: Vec::new(),
            reach: Reach::Lowest,
            tag: None,
            is_bridged: false,
            topmost_counts: match self.kernel {
                (u32::MAX, _) => None,
                kernel if kernel < SENDS_BELOW => Some(true),
                kernel => (kernel >= STRICT).then_some(false),
            },
            hidden: Vec::new(),
        };
        self.descend(top, port, way, 0, &mut ways);
        ways
    }

    fn descend(&self, name: &str, port: Option<&str>, mut way: Way, tags: usize, ways: &mut Vec<Way>) {
        way.devices.push(name.to_owned());
        let depth = way.devices.len();
        let device = self.get(name);
        let below: Vec<&str> = match device {
            None => Vec::new(),
            Some(device) if device.kind == Kind::Ppp => self.carriers.iter().map(String::as_str).collect(),
            Some(device) => device.below.iter().map(String::as_str).collect(),
        };
        let kind = device.map_or(Kind::Plain, |device| device.kind);
        let tags = tags + usize::from(matches!(kind, Kind::Vlan | Kind::Ppp));
        match kind {
            // Nothing answers there, and the kernel gives up.
            _ if depth > DEEPEST || tags > MOST_TAGS => way.reach = Reach::Topmost,
            Kind::Radio if depth > 1 => way.reach = Reach::Unknown,
            Kind::Tunnel if self.kernel >= SENDS_BELOW => way.reach = Reach::Beyond,
            Kind::Plain | Kind::Radio | Kind::Tunnel | Kind::SixInFour => {
                way.hidden = below.iter().copied().map(String::from).collect()
            }
            _ if below.is_empty() => way.reach = Reach::Topmost,
            Kind::Vlan | Kind::Ppp => {
                // Of more sessions than there are of PPPoE, one is over something else.
                if kind == Kind::Ppp && self.has_other_sessions() {
                    ways.push(Way { reach: Reach::Topmost, ..way.clone() });
                }
                way.tag = way.tag.or(Some(depth - 1));
                below.iter().for_each(|lower| self.descend(lower, port, way.clone(), tags, ways));
                return;
            }
            Kind::Bridge => {
                way.is_bridged = true;
                let known = port.filter(|port| below.contains(port));
                let ports = below.iter().filter(|lower| known.is_none_or(|port| port == **lower));
                ports.for_each(|lower| self.descend(lower, port, way.clone(), tags, ways));
                return;
            }
        }
        if self.is_old {
            way.reach = Reach::Topmost;
        }
        ways.push(way);
    }

    /// Some PPP session is not one of PPPoE.
    fn has_other_sessions(&self) -> bool {
        self.list.iter().filter(|device| device.kind == Kind::Ppp).count() > self.sessions
    }

    /// The device through which offloaded packets leave: what stands above it in the stack does not see them. `None` where
    /// the flow is not offloaded that way.
    pub fn leaves_through<'a>(&self, way: &'a Way, list: &[String], hardware: bool) -> Option<&'a str> {
        let (top, lowest) = (way.devices.first()?, way.devices.last()?);
        match way.seen(list) {
            Seen::On(device) if device == lowest => {
                let tagged = way.tag.and_then(|tag| way.devices.get(tag));
                let device = match (self.kernel >= SENDS_BELOW, way.is_bridged || hardware) {
                    (true, _) => lowest,
                    (false, true) => tagged.unwrap_or(lowest),
                    (false, false) => top,
                };
                Some(device)
            }
            Seen::On(_) => Some(top),
            _ => None,
        }
    }
}

impl Side {
    /// The side as it is for a flow that IPsec encrypts: old kernels do not look below its topmost device then.
    #[must_use]
    pub fn encrypted(mut self) -> Side {
        for way in &mut self.ways {
            way.reach = match way.topmost_counts {
                Some(true) => Reach::Topmost,
                Some(false) => way.reach,
                None => Reach::Unknown,
            };
        }
        self
    }

    /// The side as it is where no port of a bridge is known to lead there: whether the bridge knew one when the flow was added
    /// decides how far down the kernel found its way.
    #[must_use]
    pub fn unlearned(mut self) -> Side {
        self.ways.iter_mut().filter(|way| way.is_bridged).for_each(|way| way.reach = Reach::Unknown);
        self
    }

    /// Whether a flowtable sees what comes in from there: `On` and `Not` hold for all ways.
    pub fn seen(&self, list: &[String]) -> Seen<'_> {
        let mut answers = self.ways.iter().map(|way| way.seen(list));
        let Some(first) = answers.next() else { return Seen::Perhaps };
        let agrees = |answer| matches!((first, answer), (Seen::On(_), Seen::On(_)) | (Seen::Not, Seen::Not));
        if answers.all(agrees) { first } else { Seen::Perhaps }
    }

    /// What a flowtable should have to see it: the port where it is known, else the device itself.
    pub fn wanted(&self) -> &str {
        let [way] = &self.ways[..] else { return &self.name };
        way.wanted().unwrap_or(&self.name)
    }

    /// A listed device that does not help, and why not.
    pub fn useless(&self, list: &[String]) -> Option<String> {
        let (way, device) = self.ways.iter().find_map(|way| Some((way, way.useless(list)?)))?;
        let wanted = way.wanted()?;
        Some(if way.devices.iter().any(|known| known == device) {
            format!(
                "{device} stands between {} and {wanted}: of a stack of VLANs, bridges and PPPoE the kernel looks for the \
                 lowest device, or else for the topmost, never for one in the middle",
                self.name
            )
        } else {
            format!("the kernel does not look below {wanted}, so that {device} does not count")
        })
    }
}

impl Way {
    /// Whether a flowtable with these devices sees what comes in by it.
    pub fn seen(&self, list: &[String]) -> Seen<'_> {
        let (Some(top), Some(lowest)) = (self.devices.first(), self.devices.last()) else { return Seen::Not };
        let (has_top, has_lowest) = (is_listed(list, top), is_listed(list, lowest));
        match self.reach {
            Reach::Beyond => Seen::Perhaps,
            Reach::Lowest if has_lowest => Seen::On(lowest),
            _ if has_top && self.topmost_counts == Some(true) => Seen::On(top),
            Reach::Unknown if has_top || has_lowest => Seen::Perhaps,
            _ if has_top && self.topmost_counts.is_none() => Seen::Perhaps,
            _ => Seen::Not,
        }
    }

    /// Where an offloaded flow is looked for: what a flowtable should have.
    pub fn wanted(&self) -> Option<&str> {
        match self.reach {
            Reach::Lowest => self.devices.last(),
            _ => self.devices.first(),
        }
        .map(String::as_str)
    }

    /// A listed device of the way that never counts: one in the middle, or one below what the kernel does not look through.
    pub fn useless(&self, list: &[String]) -> Option<&str> {
        let below = self.devices.iter().skip(1);
        let number = match self.reach {
            // The last one counts.
            Reach::Lowest => self.devices.len().saturating_sub(2),
            Reach::Topmost => self.devices.len(),
            Reach::Unknown | Reach::Beyond => return None,
        };
        below.take(number).chain(&self.hidden).find(|device| is_listed(list, device)).map(String::as_str)
    }
}
