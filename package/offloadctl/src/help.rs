//! What `--help` prints: one page for all commands, and one for each.

/// Commands and their help, in the order of the overview.
const COMMANDS: [(&str, &str); 7] = [
    ("status", STATUS),
    ("flows", FLOWS),
    ("explain", EXPLAIN),
    ("doctor", DOCTOR),
    ("enable", ENABLE),
    ("disable", DISABLE),
    ("ruleset", RULESET),
];

/// The overview.
pub const OVERVIEW: &str = "\
offloadctl - what nftables flow offload does on this router

Usage: offloadctl COMMAND [OPTIONS]

  status     Is offload on, and if not, why not?
  flows      The connections and the path that each one takes.
  explain    Why one connection is offloaded, or is not.
  doctor     What does not go well with offload on this router.
  enable     Turn offload on, in the configuration and in the kernel.
  disable    Turn it off.
  ruleset    Print a flowtable and its chain, for your own nftables rules.

  offloadctl COMMAND --help tells more.
  --root DIR  look for files below DIR; the kernel that is asked stays the same
  --version

Paths   slow (slow)     each packet goes through the whole firewall
        software (sw)   the flowtable forwards, past the firewall's rules
        hardware (hw)   the packets do not reach the processor
        A mark in conntrack is what these words are taken from. It is needed for
        offload and no proof of it: count packets in a forward chain for that.

Exit    status: 0 on, 1 off, 2 configured but not working. explain: 0 offloaded,
        1 not offloaded. doctor: 0 nothing found, 1 something. Others: 0.
        All else: 3, with a message that says what, why and how to fix it.

Reading the rules needs root.
";

const STATUS: &str = "\
Usage: offloadctl status [--json]

Is offload on? Shows the kernel modules and the packages that bring them, the
flowtables with their devices, the rules that fill them, and how many flows take
which path. Remarks say what, why and how to fix it.

  --json   the same for programs; the first field names the schema and version

Exit: 0 on, 1 off, 2 configured but not working, 3 could not find out.
";

const FLOWS: &str = "\
Usage: offloadctl flows [--path hw|sw|slow] [--sort bytes|packets|age]
                        [--top NUMBER] [--watch | --json]

The connections that are offloaded, with addresses, packets and bytes.

  --path   only this path; slow flows are shown only when asked for
  --sort   largest first, both directions together; only the largest are kept.
           Age needs nf_conntrack_timestamp=1 from before the flow began.
  --top    how many of them to keep (1000)
  --watch  list the largest again every two seconds: q or Ctrl-C ends it, b p a
           choose the order. On a dumb terminal one list follows the other.
  --json   the same for programs; the first field names the schema and version
";

const EXPLAIN: &str = "\
Usage: offloadctl explain ADDRESS ADDRESS [PROTOCOL[/PORT]] [--json]

Why is the connection between two hosts offloaded, or why is it not? Looks at
what conntrack knows of it, follows its packets through the forward chains rule
by rule, and compares its devices with those of the flowtable.

  ADDRESS    as seen on either side of this router, IPv4 or IPv6
  PROTOCOL   tcp, udp, another name or a number; PORT at either end
  --json     the same for programs; the first field names the schema

Of several connections the one with the most bytes is explained. Without any,
the answer holds for one that would begin now. A rule with a condition that is
not understood here applies 'perhaps'.

Exit: 0 offloaded, 1 not offloaded, 3 could not find out.
";

const DOCTOR: &str = "\
Usage: offloadctl doctor [--json]

Looks for what is known not to go well with flow offload: shapers, logging and
accounting, routing by marks, other fast paths, IPsec, helpers, stacked devices
on old kernels, MTUs that differ, modules of another kernel. Prints the remarks
of 'offloadctl status' as well. Says what, why and how to fix it.

  --json   the same for programs; the first field names the schema and version

Exit: 0 nothing was found, 1 something was, 3 could not look.
";

const ENABLE: &str = "\
Usage: offloadctl enable [--hw] [--dry-run]

Turns flow offload on: sets flow_offloading in /etc/config/firewall, section
'defaults', as LuCI does, and reloads the firewall. Comments and everything else
in the file stay as they are. Shows the change as a diff.

The firewall's own check comes first, where it has one. When that fails, when
the firewall does not come up, or when the kernel does not follow, the old file
is put back and loaded again. Ctrl-C waits until that is decided.

  --hw       ask for hardware offload as well; without it, it is turned off
  --dry-run  show the change, and change nothing

Connections that exist are offloaded with their next packet.
With --root, the firewall below that directory is run, and the kernel not looked
at.
";

const DISABLE: &str = "\
Usage: offloadctl disable [--dry-run]

Turns flow offload off, in the same way as 'offloadctl enable' turns it on.

  --dry-run  show the change, and change nothing
";

const RULESET: &str = "\
Usage: offloadctl ruleset [--hw] [--devices NAME,NAME...] [--no-check]

Prints an nftables table with a flowtable and the chain that fills it, for those
who go beyond what /etc/config/firewall can say. Where nft is installed, it
checks the rules first (nft -c). Nothing is loaded.

  --hw        ask for hardware offload
  --devices   devices of the flowtable; without it, all wired ones
  --no-check  do not run nft
";

/// The help of one command; the overview where there is none.
pub fn of(command: Option<&str>) -> &'static str {
    COMMANDS.iter().find(|(name, _)| Some(*name) == command).map_or(OVERVIEW, |(_, text)| text)
}

/// The names of the commands.
pub fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_serial_console() {
        for text in commands().map(|command| of(Some(command))).chain([OVERVIEW]) {
            assert!(text.lines().all(|line| line.len() <= 80 && line.is_ascii()), "{text}");
            assert!(text.lines().count() < 40);
        }
    }

    #[test]
    fn each_command_is_in_the_overview_and_has_its_own_page() {
        for command in commands() {
            assert!(OVERVIEW.contains(&format!("\n  {command} ")), "{command}");
            let usage: Vec<_> = of(Some(command)).split_whitespace().take(3).collect();
            assert_eq!(usage, ["Usage:", "offloadctl", command]);
        }
    }
}
