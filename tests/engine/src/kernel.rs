//! What the kernel says of its modules and of itself: how often a module is in use, and what taints it.

use std::collections::BTreeMap;

use model::{Finding, Result};
use vm::guest::Guest;

use crate::ask;

/// The letters of a tainted kernel, from bit 0 on (`Documentation/admin-guide/tainted-kernels.rst`).
const TAINTS: &str = "PFSRMBUDAWCIOELKXTNJ";

/// Whether the kernel is tainted by nothing but these.
pub(crate) fn tainted(guest: &mut dyn Guest, expected: &[char]) -> Result<Option<Finding>> {
    let text = ask::read(guest, &["cat", "/proc/sys/kernel/tainted"])?;
    Ok(beyond(&text, expected))
}

fn beyond(text: &str, expected: &[char]) -> Option<Finding> {
    let (what, why) = match text.trim().parse::<u64>() {
        Err(_) => ("the kernel does not say what taints it".into(), format!("it said `{text}`")),
        Ok(bits) => {
            let set = (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1);
            let letters = set.map(|bit| TAINTS.chars().nth(bit as usize).unwrap_or('?'));
            let others: String = letters.filter(|letter| !expected.contains(letter)).collect();
            if others.is_empty() {
                return None;
            }
            let expected = if expected.is_empty() { "nothing".to_owned() } else { expected.iter().collect() };
            (format!("the kernel is tainted by {others}, and only {expected} was expected"), LETTERS.into())
        }
    };
    ask::broken("STEP011", what, why)
}

/// What the letters mean that are seen most.
const LETTERS: &str = "O is a module from outside the kernel's tree, E one without signature, P one that is not free; W is a warning, D a crash";

/// Whether each module is in use so often.
pub(crate) fn used(modules: &str, expected: &BTreeMap<String, u64>) -> Option<Finding> {
    let wrong = |(name, wanted): (&String, &u64)| {
        let name = name.replace('-', "_");
        let line = modules.lines().find(|line| line.split_whitespace().next() == Some(name.as_str()));
        match line.and_then(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()) {
            Some(uses) if uses == *wanted => None,
            Some(uses) => Some(format!("the module {name} is in use {uses} times, and {wanted} were expected")),
            None => Some(format!("the module {name} is not loaded, and it was to be in use {wanted} times")),
        }
    };
    ask::broken("STEP012", expected.iter().find_map(wrong)?, format!("/proc/modules has\n{}", modules.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_that_nobody_expected_is_told_by_its_letter() {
        assert_eq!(beyond("0\n", &[]), None);
        assert_eq!(beyond("12288\n", &['O', 'E']), None);
        let finding = beyond("12800\n", &['O', 'E']).unwrap();
        assert_eq!(finding.id, "STEP011");
        assert!(finding.what.starts_with("the kernel is tainted by W, and only OE"), "{}", finding.what);
        assert!(beyond("4096", &[]).unwrap().what.contains("by O, and only nothing"));
        assert_eq!(beyond("", &[]).unwrap().id, "STEP011");
    }

    #[test]
    fn uses_are_counted_as_the_kernel_counts_them() {
        let modules = "nf_nat 65536 2 nft_masq,nft_nat, Live 0x0\ndummy 20480 0 - Live 0x0\n";
        let found = |name: &str, count| used(modules, &[(name.to_owned(), count)].into()).map(|finding| finding.id);
        assert_eq!((found("nf-nat", 2), found("dummy", 0)), (None, None));
        assert_eq!((found("dummy", 1), found("absent", 0)), (Some("STEP012"), Some("STEP012")));
    }
}
