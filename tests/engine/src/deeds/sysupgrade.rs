//! An upgrade of the system, as far as packages and their feeds notice it: the system is a fresh one, and has what was kept.

use std::time::Duration;

use model::{Deadline, Finding, Result};

use super::command;
use crate::ask::SCENARIO_COMMAND;
use crate::attempt::Attempt;
use crate::scenario::{Answer, Sysupgrade};

/// Where the files are packed.
const ARCHIVE: &str = "/tmp/kept.tar";
/// How long the fresh system may take to be there.
const BOOT: Duration = Duration::from_secs(120);

/// Packs what is kept.
const PACK: &str = "sysupgrade -l >/tmp/kept && xargs tar -cf /tmp/kept.tar </tmp/kept";
/// What the first boot does: the files are put in their places, and what packages and owners left to be done once is done.
/// A script that fails stays for the next time.
const FIRST_BOOT: &str = "tar -xf /tmp/kept.tar -C / || exit
for script in /etc/uci-defaults/*; do
	[ ! -f \"$script\" ] || { (. \"$script\") && rm \"$script\"; }
done
true";

/// Upgrades it. `Ok(Some(_))`: something could not be kept.
pub(crate) fn upgrade(attempt: &mut Attempt<'_>, deed: Sysupgrade, at: &str) -> Result<Option<Finding>> {
    let Sysupgrade::KeepsFiles = deed;
    let packed = attempt.router.guest.script(PACK, Deadline::after(SCENARIO_COMMAND))?;
    let found = command::answered(attempt, &Answer::default(), at, "sysupgrade -l", &packed);
    if found.is_some() {
        return Ok(found);
    }
    let guest = &mut *attempt.router.guest;
    let kept = guest.get(ARCHIVE, Deadline::after(SCENARIO_COMMAND))?;
    let before = guest.about().label.clone();
    guest.renew(Deadline::after(BOOT))?;
    let now = &guest.about().label;
    if *now != before {
        attempt.told.note(format!("upgraded from {before} to {now}"));
    }
    guest.put(&[(ARCHIVE, &kept)], Deadline::after(SCENARIO_COMMAND))?;
    let booted = guest.script(FIRST_BOOT, Deadline::after(SCENARIO_COMMAND))?;
    // Modules are loaded anew, and the root is another one.
    (attempt.router.absent, attempt.router.before) = Default::default();
    Ok(command::answered(attempt, &Answer::default(), at, "the first boot", &booted))
}
