//! Texts of the kernel and of `depmod`. A line about a connection has the ports and counters that stand in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offloadctl::{conntrack, procfs};

fuzz_target!(|text: &str| {
    for line in text.lines() {
        let Some(flow) = conntrack::from_proc_line(line) else { continue };
        for (name, value) in [("sport", flow.original.source_port), ("dport", flow.reply.destination_port)] {
            if let Some(value) = value {
                // A number may be written with a sign or with zeros before it.
                let said = |word: &str| word.split_once('=').is_some_and(|(key, text)| key == name && text.parse() == Ok(value));
                assert!(line.split_ascii_whitespace().any(said), "{line}");
            }
        }
    }
    let lines = text.lines().count();
    assert!(procfs::loaded_modules(text).len() <= lines);
    assert!(procfs::listed_modules(text).len() <= lines && procfs::devices(text).len() <= lines);
});
