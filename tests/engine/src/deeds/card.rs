//! The card that offloads: its driver is loaded, and it is put between the router and its wires.

use model::{Deadline, Finding, Result};

use super::command;
use crate::ask::SCENARIO_COMMAND;
use crate::attempt::Attempt;
use crate::below;
use crate::scenario::{Answer, Card};

/// Makes a port above each of the two cards, with its addresses. These are kept for when the ports are made again.
const PORTS: &str = r"
port() {
	[ ! -e /sys/class/net/$1 ] || echo link delete $1
	echo address flush dev $2
	echo link add $1 link $2 type nft-test-card
	echo link set $1 up
	while read -r _ device _ address _; do
		[ $device = $2 ] || continue
		case $address in *:*) flags=nodad ;; *) flags= ;; esac
		echo address add $address dev $1 $flags
	done </tmp/addresses
}
{ [ -s /tmp/addresses ] || ip -o address show scope global >/tmp/addresses; } && {
	port lan0 eth0
	port wan0 eth1
} >/tmp/ports && ip -batch /tmp/ports";

/// Puts it in.
pub(crate) fn put_in(attempt: &mut Attempt<'_>, card: &Card, at: &str) -> Result<Option<Finding>> {
    let set = |(name, value)| format!("echo {value} >/sys/module/nft_test_card/parameters/{name} || exit\n");
    let parameters: String = card.parameters().map(set).collect();
    let script = format!("modprobe nft_test_card || exit\n{parameters}{PORTS} || exit\n{}", below::SET_UP);
    let output = attempt.router.guest.script(&script, Deadline::after(SCENARIO_COMMAND))?;
    attempt.router.card = true;
    Ok(command::answered(attempt, &Answer::default(), at, &card.to_string(), &output))
}
