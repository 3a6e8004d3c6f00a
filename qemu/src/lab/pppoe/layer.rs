//! One layer of PPP as it is agreed upon: the option negotiation of RFC 1661 §4 for LCP (RFC 1661),
//! IPCP (RFC 1332) and IPV6CP (RFC 5072).
//!
//! Both ends ask for what they want (Configure-Request) until the other agrees. We only speak when
//! spoken to: whoever sends a request is there to hear ours, and nothing gets lost on the lab's links.
//! So no timer is needed, and a packet in is a few packets out.

use super::control::{
    CODE_REJECT, CONFIGURE_ACK, CONFIGURE_NAK, CONFIGURE_REJECT, CONFIGURE_REQUEST, Control, Setting, TERMINATE_ACK,
    TERMINATE_REQUEST, settings, write, write_settings,
};

/// What we think of an option that the other end asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opinion {
    Fine,
    /// This value instead.
    Rather(Vec<u8>),
    /// Nothing that we know.
    Unknown,
}

/// A layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// What we ask for.
    wanted: Vec<Setting>,
    /// Identifies our last request.
    id: u8,
    /// Whether the other end agreed to our request.
    accepted: bool,
    /// Whether we agreed to its.
    agreed: bool,
}

impl Layer {
    pub(super) fn new(wanted: Vec<Setting>) -> Self {
        Layer { wanted, id: 0, accepted: false, agreed: false }
    }

    /// Whether both ends agreed.
    pub(super) fn is_open(&self) -> bool {
        self.accepted && self.agreed
    }

    /// Both ends have to agree anew.
    pub(super) fn close(&mut self) {
        (self.accepted, self.agreed) = (false, false);
    }

    /// Takes a packet; what to send for it.
    pub(super) fn receive(&mut self, packet: Control<'_>, opinion: impl Fn(&Setting) -> Opinion) -> Vec<Vec<u8>> {
        let Control { code, id, data } = packet;
        match code {
            CONFIGURE_REQUEST => {
                // A malformed request is passed over, RFC 1661 §5.
                let Some(asked) = settings(data) else { return Vec::new() };
                if self.is_open() {
                    self.close();
                }
                let answer = self.answer(id, &asked, opinion);
                if self.accepted { vec![answer] } else { vec![self.request(), answer] }
            }
            CONFIGURE_ACK if id == self.id => {
                self.accepted = true;
                Vec::new()
            }
            CONFIGURE_REJECT | CONFIGURE_NAK if id == self.id && !self.accepted => {
                // Nothing of ours is vital: what the other end does not like is left out.
                let disliked = settings(data).unwrap_or_default();
                let before = self.wanted.len();
                self.wanted.retain(|own| disliked.iter().all(|other| other.kind != own.kind));
                if self.wanted.len() < before { vec![self.request()] } else { Vec::new() }
            }
            CONFIGURE_ACK | CONFIGURE_NAK | CONFIGURE_REJECT | TERMINATE_ACK | CODE_REJECT => Vec::new(),
            TERMINATE_REQUEST => {
                self.close();
                vec![write(TERMINATE_ACK, id, data)]
            }
            _ => vec![write(CODE_REJECT, id, &write(code, id, data))],
        }
    }

    fn request(&mut self) -> Vec<u8> {
        self.id = self.id.wrapping_add(1);
        write(CONFIGURE_REQUEST, self.id, &write_settings(&self.wanted))
    }

    /// Unknown options are rejected first, then better values named, and the rest agreed to.
    fn answer(&mut self, id: u8, asked: &[Setting], opinion: impl Fn(&Setting) -> Opinion) -> Vec<u8> {
        let opinions: Vec<(&Setting, Opinion)> = asked.iter().map(|setting| (setting, opinion(setting))).collect();
        let unknown: Vec<Setting> = opinions
            .iter()
            .filter(|(_, opinion)| *opinion == Opinion::Unknown)
            .map(|(setting, _)| (*setting).clone())
            .collect();
        let better: Vec<Setting> = opinions
            .into_iter()
            .filter_map(|(setting, opinion)| match opinion {
                Opinion::Rather(data) => Some(Setting { kind: setting.kind, data }),
                Opinion::Fine | Opinion::Unknown => None,
            })
            .collect();
        self.agreed = unknown.is_empty() && better.is_empty();
        if !unknown.is_empty() {
            write(CONFIGURE_REJECT, id, &write_settings(&unknown))
        } else if !better.is_empty() {
            write(CONFIGURE_NAK, id, &write_settings(&better))
        } else {
            write(CONFIGURE_ACK, id, &write_settings(asked))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::control::read;
    use super::*;

    /// Likes option 1 only, and with the value 9.
    fn opinion(setting: &Setting) -> Opinion {
        match (setting.kind, &setting.data[..]) {
            (1, [9]) => Opinion::Fine,
            (1, _) => Opinion::Rather(vec![9]),
            _ => Opinion::Unknown,
        }
    }

    fn layer() -> Layer {
        Layer::new(vec![Setting { kind: 1, data: vec![5] }, Setting { kind: 2, data: vec![] }])
    }

    fn receive(layer: &mut Layer, bytes: &[u8]) -> Vec<Vec<u8>> {
        layer.receive(read(bytes).unwrap(), opinion)
    }

    #[test]
    fn both_ends_agree_after_a_rejection_and_a_better_value() {
        let mut layer = layer();
        let ours = vec![1, 1, 0, 9, 1, 3, 5, 2, 2];
        let said = receive(&mut layer, &[1, 40, 0, 9, 1, 3, 8, 7, 2]);
        assert_eq!(said, [ours, vec![4, 40, 0, 6, 7, 2]], "option 7 is unknown");
        let said = receive(&mut layer, &[1, 41, 0, 7, 1, 3, 8]);
        assert_eq!(said[1], [3, 41, 0, 7, 1, 3, 9], "9 is better");
        let said = receive(&mut layer, &[1, 42, 0, 7, 1, 3, 9]);
        assert_eq!(said[1], [2, 42, 0, 7, 1, 3, 9]);
        assert!(!layer.is_open(), "ours was not answered yet");
        assert_eq!(receive(&mut layer, &[2, 2, 0, 4]), [[0; 0]; 0]);
        assert!(!layer.is_open(), "that was another request of ours");
        receive(&mut layer, &[2, 3, 0, 4]);
        assert!(layer.is_open());
        assert_eq!(receive(&mut layer, &[5, 43, 0, 4]), [[6, 43, 0, 4]]);
        assert!(!layer.is_open());
    }

    #[test]
    fn what_the_other_end_dislikes_is_left_out() {
        let mut layer = layer();
        receive(&mut layer, &[1, 1, 0, 4]);
        assert_eq!(receive(&mut layer, &[4, 1, 0, 7, 1, 3, 5]), [[1, 2, 0, 6, 2, 2]]);
        assert_eq!(receive(&mut layer, &[3, 2, 0, 6, 2, 2]), [[1, 3, 0, 4]]);
        assert_eq!(receive(&mut layer, &[3, 3, 0, 6, 2, 2]), [[0; 0]; 0], "nothing to leave out, no endless talk");
        receive(&mut layer, &[2, 3, 0, 4]);
        assert!(layer.is_open());
        assert_eq!(receive(&mut layer, &[1, 9, 0, 4]).len(), 2, "a new request means both again");
        assert!(!layer.is_open());
    }

    #[test]
    fn unknown_codes_are_rejected_and_malformed_requests_passed_over() {
        let mut layer = layer();
        assert_eq!(receive(&mut layer, &[77, 1, 0, 5, 9]), [[7, 1, 0, 9, 77, 1, 0, 5, 9]]);
        assert_eq!(receive(&mut layer, &[1, 1, 0, 6, 1, 9]), [[0; 0]; 0]);
    }
}
