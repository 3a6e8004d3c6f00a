//! What the router says about itself, read by field: pure functions over its texts.

use std::collections::BTreeMap;

use model::Format;

/// One line of `/proc/net/nf_conntrack`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conntrack {
    /// `tcp`, `udp`, …
    pub proto: String,
    /// Fields before the second `src=`: as the first packet was sent.
    pub original: BTreeMap<String, String>,
    /// Fields from the second `src=` on: as answers arrive.
    pub reply: BTreeMap<String, String>,
    /// Words in brackets, such as `OFFLOAD`, `HW_OFFLOAD`, `ASSURED`.
    pub marks: Vec<String>,
    /// `ESTABLISHED`, `TIME_WAIT` … of TCP; none while the flow is offloaded.
    pub state: Option<String>,
}

impl Conntrack {
    /// Reads one line. The offload mark replaces the state and timeout columns, so nothing is found by
    /// position but the protocol, the third word.
    pub fn parse(line: &str) -> Option<Conntrack> {
        let mut words = line.split_whitespace();
        let (_family, _number) = (words.next()?, words.next()?);
        let mut entry = Conntrack { proto: words.next()?.to_owned(), ..Conntrack::default() };
        for word in words {
            if let Some(mark) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                entry.marks.push(mark.to_owned());
            } else if word.starts_with(|first: char| first.is_ascii_uppercase()) && !word.contains('=') {
                entry.state = Some(word.to_owned());
            } else if let Some((key, value)) = word.split_once('=') {
                let again = entry.original.contains_key(key);
                let side = if again || !entry.reply.is_empty() { &mut entry.reply } else { &mut entry.original };
                side.insert(key.to_owned(), value.to_owned());
            }
        }
        entry.original.contains_key("src").then_some(entry)
    }

    /// Whether the entry carries an offload mark: necessary for offload, never sufficient.
    pub fn is_marked_offloaded(&self) -> bool {
        self.marks.iter().any(|mark| mark == "OFFLOAD" || mark == "HW_OFFLOAD")
    }

    /// Whether that mark is the one of hardware offload: one direction in hardware is enough for it.
    pub fn is_marked_hardware(&self) -> bool {
        self.marks.iter().any(|mark| mark == "HW_OFFLOAD")
    }

    /// Packets counted in both directions, when accounting is on.
    pub fn packets(&self) -> Option<(u64, u64)> {
        Some((self.original.get("packets")?.parse().ok()?, self.reply.get("packets")?.parse().ok()?))
    }

    /// Bytes counted in both directions, headers included, when accounting is on.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        Some((self.original.get("bytes")?.parse().ok()?, self.reply.get("bytes")?.parse().ok()?))
    }
}

/// In a few words: mark, state, counters.
impl std::fmt::Display for Conntrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match () {
            () if self.is_marked_hardware() => "marked for hardware",
            () if self.is_marked_offloaded() => "marked",
            () => "not marked",
        })?;
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        match self.bytes() {
            Some((there, back)) => write!(f, ", {there} and {back} bytes"),
            None => Ok(()),
        }
    }
}

/// The entry of a flow, by protocol and the ports as they were sent. ICMP echo has its identifier in place of the
/// source port, and none other; ICMPv6 is a protocol of its own.
pub fn find_flow(table: &str, proto: &str, source_port: u16, destination_port: u16) -> Option<Conntrack> {
    let (source, destination) = (source_port.to_string(), destination_port.to_string());
    table.lines().filter_map(Conntrack::parse).find(|entry| {
        let is = |key: &str, value: &String| entry.original.get(key) == Some(value);
        let by_ports = entry.proto == proto && is("sport", &source) && is("dport", &destination);
        by_ports || proto == "icmp" && entry.proto.starts_with(proto) && is("id", &source)
    })
}

/// Names in `/proc/modules`.
pub fn loaded_modules(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

/// Names in a manager's list of installed packages: `name - version` a line for opkg, and for apk
/// `name-version arch {origin} (licence) [installed]`, where a version begins with a digit after a dash.
pub fn installed_packages(manager: Format, text: &str) -> Vec<&str> {
    let name = |line: &'_ str| -> Option<usize> {
        match manager {
            Format::Ipk => line.find(" - "),
            Format::Apk => {
                let title = line.split_whitespace().next()?;
                // The release is `-rN`, where there is one: the dash in front of the version is the one before it.
                let is_release = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let release = title.rfind("-r").filter(|&at| is_release(&title[at + 2..])).unwrap_or(title.len());
                let dash = title[..release].rfind('-')?;
                title[dash + 1..].starts_with(|first: char| first.is_ascii_digit()).then_some(dash)
            }
        }
    };
    text.lines().filter_map(|line| name(line).map(|end| line[..end].trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shapes seen on Debian 6.12 kernels.
    const OFFLOADED: &str = "ipv4     2 udp      17 src=192.168.1.2 dst=203.0.113.2 sport=40000 dport=7 packets=2004 bytes=2060112 src=203.0.113.2 dst=203.0.113.1 sport=7 dport=40000 packets=2004 bytes=2060112 [OFFLOAD] mark=0 zone=0 use=3";
    const SLOW: &str = "ipv4     2 tcp      6 431999 ESTABLISHED src=192.168.1.2 dst=203.0.113.2 sport=40001 dport=7 packets=3 bytes=180 src=203.0.113.2 dst=203.0.113.1 sport=7 dport=40001 packets=2 bytes=120 [ASSURED] mark=0 zone=0 use=2";

    #[test]
    fn a_flow_is_found_by_its_source_port_and_read_by_field() {
        let table = format!("{SLOW}\n{OFFLOADED}\nrubbish\n");
        let udp = find_flow(&table, "udp", 40000, 7).unwrap();
        assert!(udp.is_marked_offloaded());
        assert_eq!(udp.to_string(), "marked, 2060112 and 2060112 bytes");
        assert_eq!((udp.packets(), udp.bytes()), (Some((2004, 2004)), Some((2060112, 2060112))));
        assert_eq!(udp.reply.get("dst").map(String::as_str), Some("203.0.113.1"));
        let tcp = find_flow(&table, "tcp", 40001, 7).unwrap();
        assert!(!tcp.is_marked_offloaded());
        assert_eq!(tcp.marks, ["ASSURED"]);
        assert_eq!((tcp.state.as_deref(), udp.state), (Some("ESTABLISHED"), None));
        assert_eq!(find_flow(&table, "udp", 40000, 8), None);
        let ping =
            "ipv4 2 icmp 1 29 src=a dst=b type=8 code=0 id=77 packets=1 bytes=84 src=b dst=a type=0 code=0 id=77";
        assert!(find_flow(ping, "icmp", 77, 0).is_some() && find_flow(ping, "icmp", 78, 0).is_none());
    }

    #[test]
    fn without_accounting_there_are_no_counters() {
        let line = "ipv4 2 udp 17 src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 [OFFLOAD] src=2.2.2.2 dst=1.1.1.1 sport=2 dport=1 mark=0";
        assert_eq!(Conntrack::parse(line).unwrap().packets(), None);
        assert_eq!(Conntrack::parse(""), None);
        assert_eq!(Conntrack::parse("ipv4 2 udp"), None);
    }

    #[test]
    fn lists_are_read_by_their_first_word() {
        assert_eq!(
            loaded_modules("nf_nat 65536 2 nft_masq,nft_nat, Live 0x0\nnfnetlink 20480 1 - Live\n"),
            ["nf_nat", "nfnetlink"]
        );
        let opkg = "kernel - 6.12\nkmod-nf-nat - 6.12-r1\nnoise\n";
        assert_eq!(installed_packages(Format::Ipk, opkg), ["kernel", "kmod-nf-nat"]);
        let apk = "kernel-6.12~aa-r1 x86_64 {} () [installed]\nkmod-nf-nat-6.12.107-r1 x86_64 {x} (GPL-2.0) [installed]\ntiny-0.1 noarch {tiny} () [installed]\nnoise-r\n\n";
        assert_eq!(installed_packages(Format::Apk, apk), ["kernel", "kmod-nf-nat", "tiny"]);
    }
}
