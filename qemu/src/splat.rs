//! What in a kernel log is worth failing a scenario for.
//!
//! Lists of plain texts, no patterns: a line that contains a denied text and no allowed one counts.

/// Texts that no clean run prints.
pub const DENIED: [&str; 17] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "Call Trace",
    "Kernel panic",
    "general protection fault",
    "KASAN:",
    "UBSAN:",
    "kmemleak:",
    "refcount_t:",
    "possible circular locking",
    "suspicious RCU usage",
    "scheduling while atomic",
    "blocked for more than",
    "self-detected stall",
    "unregister_netdevice: waiting for",
    "Unknown symbol",
];

/// Texts that modules of ours or without a signature print on every load (`kernel/module/main.c`).
pub const ALLOWED: [&str; 2] =
    ["loading out-of-tree module taints kernel", "module verification failed: signature and/or required key missing"];

/// The lines of a kernel log that contain a denied text and no allowed one.
pub fn splats<'a>(log: &'a str, denied: &[&str], allowed: &[&str]) -> Vec<&'a str> {
    let contains = |line: &str, texts: &[&str]| texts.iter().any(|text| line.contains(text));
    log.lines().filter(|line| contains(line, denied) && !contains(line, allowed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_found_and_a_taint_is_not() {
        let log = "[    1.0] nf_flow_table: loading out-of-tree module taints kernel.\n\
            [    1.1] WARNING: CPU: 0 PID: 9 at net/netfilter/nf_flow_table_core.c:331\n\
            [    1.2] eth0: link up\n";
        let found = splats(log, &DENIED, &ALLOWED);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("nf_flow_table_core.c"));
    }

    #[test]
    fn both_lists_are_the_callers() {
        let log = "one two\ntwo three\n";
        assert_eq!(splats(log, &["two"], &["three"]), ["one two"]);
        assert_eq!(splats(log, &[], &[]), [""; 0]);
    }
}
