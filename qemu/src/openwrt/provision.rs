//! A booted official image becomes the router of the lab: once, before its state is saved.
//!
//! ```text
//! services are up ─> addresses ─> firewall ─> quiet
//! ```
//!
//! Everything goes the way that LuCI takes: `uci` for what is configured, the services for what follows from it,
//! `ubus` for what came of it. The image's default network is the lab's already: 192.168.1.1 on the first card,
//! DHCP on the second. What is added are IPv6 addresses, which the lab does not announce.

use std::time::Duration;

use model::{Cancel, Deadline, Exit, Failure, Problem, Result};

use super::status::Status;
use crate::console::OVERRAN;
use crate::guest::Guest;

/// Between two questions to a guest that is starting up.
const POLL: Duration = Duration::from_millis(100);

/// Services that would disturb a proof: one sets the clock, the others answer or announce on the LAN.
const DISTURBING: [&str; 3] = ["sysntpd", "odhcpd", "dnsmasq"];

/// Where procd says that every service was started: in the kernel's log or, after its own log is up, there.
/// Not `logread`: OpenWrt's waits eleven seconds for a log that is not up yet, again with each question.
const BOOTED: &str =
    "{ dmesg; ubus -t 5 call log read '{\"stream\":false}'; } 2>/dev/null | grep -q 'procd: - init complete -'";

/// Takes away what would load the firewall by itself: rules are a scenario's, whatever happens to a link.
const NO_HOTPLUG: &str = "rm -f /etc/hotplug.d/iface/20-firewall";

/// Lists of feeds that cannot be reached from the lab.
const NO_FEEDS: &str = "
for file in /etc/opkg/distfeeds.conf /etc/apk/repositories.d/distfeeds.list; do
	[ ! -f $file ] || : >$file
done";

/// Both networks are as they stay: no address is being tried out, and nothing follows from a change any more.
const SETTLED: &str =
    "awk '$5 ~ /^[4-7c-f]/ { exit 1 }' /proc/net/if_inet6 && ! grep -qs '[h]otplug-call' /proc/[0-9]*/cmdline";

/// Addresses of the router's two cards, as the lab's hosts expect them: with prefix length, IPv4 and IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// Of the first card, the LAN's.
    pub lan: Vec<String>,
    /// Of the second card, the WAN's.
    pub wan: Vec<String>,
}

/// Readies a guest whose console has a root shell: waits until its services are up, gives its cards the lab's
/// addresses, takes the feeds away that it cannot reach, and keeps services quiet that would disturb a proof.
///
/// The WAN host has to give the address by DHCP ([`Plan::leasing`](crate::lab::Plan::leasing)); the router keeps it
/// for good afterwards, with any other plan. The feed's address and keys are taught later, with each start: see
/// `scenarios::Trust`.
///
/// # Errors
/// `VM070` ubus does not answer in time, `VM071` the boot does not end, `VM072` an interface does not get its
/// addresses, `VM073` a setting is refused, and whatever a console can break by.
pub fn provision(guest: &mut dyn Guest, wiring: &Wiring, cancel: &Cancel, deadline: Deadline) -> Result<()> {
    Setup { guest, cancel, deadline }.provision(wiring)
}

/// A guest that is set up, and for how long it may take.
struct Setup<'a> {
    guest: &'a mut dyn Guest,
    cancel: &'a Cancel,
    deadline: Deadline,
}

impl Setup<'_> {
    fn provision(&mut self, wiring: &Wiring) -> Result<()> {
        // Messages of the kernel among the answers of commands would be read as answers.
        self.done("dmesg -n 1")?;
        self.until(|setup| setup.succeeds("ubus -S call system board"), |said| no_ubus(&said))?;
        self.until(|setup| setup.succeeds(BOOTED), |_| not_booted())?;
        self.done(NO_HOTPLUG)?;
        self.done(NO_FEEDS)?;
        for service in DISTURBING {
            let script = format!("/etc/init.d/{service}");
            self.done(&format!("[ ! -x {script} ] || {{ {script} disable; {script} stop; }} >/dev/null 2>&1; true"))?;
        }
        // A lease shows that the cards are where they should be; it is kept as a fixed address, as it would be lost
        // with the link, and hosts of other plans give none.
        if self.succeeds("[ \"$(uci -q get network.wan.proto)\" = dhcp ]")?.is_ok() {
            self.addressed("wan", wiring.wan.iter().filter(|address| !is_ipv6(address)))?;
        }
        self.done(&network(wiring))?;
        self.done("/etc/init.d/network reload")?;
        self.addressed("lan", wiring.lan.iter())?;
        self.addressed("wan", wiring.wan.iter())?;
        self.done(FIREWALL)?;
        self.until(|setup| setup.succeeds(SETTLED), |said| not_settled(&said))?;
        self.done("/etc/init.d/firewall reload")
    }

    /// Waits until netifd gave an interface these addresses.
    fn addressed<'a>(&mut self, name: &str, wanted: impl Iterator<Item = &'a String> + Clone) -> Result<()> {
        let ask = format!("ubus -S call network.interface.{name} status");
        self.until(
            |setup| {
                let said = setup.guest.script(&ask, setup.deadline)?.text();
                let status = Status::parse(&said);
                let there = status.as_ref().is_some_and(|status| status.has(wanted.clone()));
                Ok(if there { Ok(()) } else { Err(status.map_or(said, |status| status.to_string())) })
            },
            |said| no_address(name, &wanted.clone().cloned().collect::<Vec<_>>().join(" "), &said),
        )
    }

    /// Asks until it is so; the last answer tells why it never was.
    fn until(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<Result<(), String>>,
        late: impl Fn(String) -> Failure,
    ) -> Result<()> {
        loop {
            self.cancel.check()?;
            let answer = match ask(self) {
                // It is not the question's fault that time was up while it was asked.
                Err(failure) if failure.id() == OVERRAN => return Err(late(failure.to_string())),
                answer => answer?,
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(said) if self.deadline.left() < POLL => return Err(late(said)),
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Whether a script ends well; what it said if not.
    fn succeeds(&mut self, script: &str) -> Result<Result<(), String>> {
        let output = self.guest.script(script, self.deadline)?;
        Ok(if output.success() { Ok(()) } else { Err(output.text()) })
    }

    /// Runs a script that must end well.
    fn done(&mut self, script: &str) -> Result<()> {
        self.succeeds(script)?.map_err(|said| refused(script, &said))
    }
}

/// Gives both interfaces the addresses, in words of `uci`; its exit code does not tell, the interfaces will.
fn network(wiring: &Wiring) -> String {
    let of = |addresses: &[String], ipv6: bool| {
        addresses.iter().filter(|address| is_ipv6(address) == ipv6).cloned().collect::<Vec<_>>().join(" ")
    };
    let (lan, lan6, wan, wan6) =
        (of(&wiring.lan, false), of(&wiring.lan, true), of(&wiring.wan, false), of(&wiring.wan, true));
    format!(
        "uci -q batch <<'END'
delete network.lan.netmask
set network.lan.proto=static
set network.lan.ipaddr={lan}
set network.lan.ip6addr={lan6}
set network.wan=interface
set network.wan.device=eth1
set network.wan.proto=static
set network.wan.ipaddr={wan}
set network.wan.ip6addr={wan6}
delete network.wan6
commit network
END"
    )
}

/// The WAN host knows no way back to the LAN, so that IPv6 is translated like IPv4: an option of the zone `wan`.
const FIREWALL: &str = r#"
zone=$(uci -q show firewall | sed -n "s/^\(firewall\..*\)\.name='wan'$/\1/p" | while read -r section; do
	[ "$(uci -q get "$section")" != zone ] || echo "$section"
done)
uci set "$zone.masq6=1" && uci commit firewall"#;

fn is_ipv6(address: &str) -> bool {
    address.contains(':')
}

const LOOK: &str = "boot it with `cargo xtask boot` and a longer --boot-deadline, and look at `logread` and `dmesg`";

fn no_ubus(said: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM070",
        what: "the image's ubus did not answer in time",
        why: said,
        fix: LOOK,
    })
}

fn not_booted() -> Failure {
    let why = "procd says `- init complete -` when every service was started, and did not";
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM071",
        what: "the image did not start all its services in time",
        why,
        fix: LOOK,
    })
}

fn no_address(interface: &str, wanted: &str, said: &str) -> Failure {
    let what = format!("the image's interface `{interface}` did not get {wanted}");
    let why = format!("netifd says: {}", said.trim());
    let fix = "the first card must be its LAN and the second its WAN: compare `uci show network` on it";
    Failure::of(Problem { exit: Exit::Blocked, id: "VM072", what, why, fix })
}

fn refused(script: &str, said: &str) -> Failure {
    let line = script.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let what = format!("the image refuses to be set up: `{line}` failed");
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM073",
        what,
        why: said,
        fix: "run it by hand on `cargo xtask boot`; an image without fw4 has no offload",
    })
}

fn not_settled(said: &str) -> Failure {
    let why = format!("an address is still being tried out, or a hotplug script runs: {said}");
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "VM074",
        what: "the image's network does not settle",
        why,
        fix: LOOK,
    })
}

#[cfg(test)]
mod tests;
