//! How a dying kernel speaks.

use super::frame::kernel_lines;

/// A way in which a kernel stops being of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It gave up.
    Panic,
    /// It killed what it was doing, and goes on in an unknown state.
    Oops,
    /// A CPU or a task is stuck.
    Lockup,
}

/// Texts of Linux 5.10 and later (`kernel/panic.c`, `arch/*/mm/fault.c`, `kernel/watchdog.c`, `kernel/hung_task.c`, `kernel/rcu/tree_stall.h`).
const SIGNS: [(&str, Crash); 12] = [
    ("Kernel panic - not syncing", Crash::Panic),
    ("Attempted to kill init!", Crash::Panic),
    ("Oops: ", Crash::Oops),
    ("BUG: unable to handle", Crash::Oops),
    ("BUG: kernel NULL pointer", Crash::Oops),
    ("Unable to handle kernel", Crash::Oops),
    ("general protection fault", Crash::Oops),
    ("kernel BUG at", Crash::Oops),
    ("soft lockup", Crash::Lockup),
    ("hard LOCKUP", Crash::Lockup),
    ("blocked for more than", Crash::Lockup),
    ("detected stall", Crash::Lockup),
];

/// The worst crash that the kernel's own lines of a console text tell of, and the line that says so.
pub(super) fn recognise(console: &[u8]) -> Option<(Crash, String)> {
    let lines = kernel_lines(console);
    SIGNS.iter().find_map(|(sign, crash)| {
        let line = lines.iter().find(|line| line.contains(sign))?;
        Some((*crash, line.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_sign_wins() {
        let text = b"[    9.1] no stamp\r\n[    9.100000] BUG: kernel NULL pointer dereference\r\n\
            [    9.100001] Oops: 0002 [#1]\r\n[    9.200000] Kernel panic - not syncing: Fatal exception\r\n";
        let (crash, line) = recognise(text).unwrap();
        assert_eq!(crash, Crash::Panic);
        assert_eq!(line, "[    9.200000] Kernel panic - not syncing: Fatal exception");
    }

    #[test]
    fn each_sign_is_known() {
        for (text, crash) in [
            ("Oops: Oops: 0000 [#1] PREEMPT SMP", Crash::Oops),
            ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s!", Crash::Lockup),
            ("INFO: task nft:77 blocked for more than 120 seconds.", Crash::Lockup),
            ("rcu: INFO: rcu_preempt self-detected stall on CPU", Crash::Lockup),
            ("Kernel panic - not syncing: VFS: Unable to mount root fs", Crash::Panic),
        ] {
            assert_eq!(recognise(format!("[    1.000000] {text}\n").as_bytes()).unwrap().0, crash, "{text}");
        }
    }

    #[test]
    fn only_the_kernel_is_believed() {
        assert_eq!(recognise(b"echo Kernel panic - not syncing\r\n"), None);
        assert_eq!(recognise(b"[    1.000000] all is well\r\n"), None);
    }
}
