//! Small texts of the kernel and of `depmod`: lists of modules and devices.

/// Names in `/proc/modules`: the first word of each line, of modules that are ready to use.
pub fn loaded_modules(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?;
            // name, size, users, users' names, state, address
            (words.nth(3) != Some("Unloading")).then(|| plain_name(name))
        })
        .collect()
}

/// Names in `modules.builtin` (one path per line) or `modules.dep` (a path, a colon, what it depends on).
pub fn listed_modules(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let path = line.split_once(':').map_or(line, |(path, _)| path).trim();
            module_of_file(path.rsplit('/').next()?)
        })
        .collect()
}

/// The module in a file called `name.ko`, `name.ko.xz` and so on.
pub fn module_of_file(file: &str) -> Option<String> {
    let (name, ending) = file.split_once(".ko")?;
    (ending.is_empty() || ending.starts_with('.')).then(|| plain_name(name))
}

/// Files may be spelled with `-` where the kernel says `_`.
fn plain_name(name: &str) -> String {
    name.replace('-', "_")
}

/// Names in `/proc/net/dev`: what stands before the colon, after two lines of headings.
pub fn devices(text: &str) -> Vec<String> {
    text.lines().skip(2).filter_map(|line| Some(line.rsplit_once(':')?.0.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_kernel_prints() {
        let modules = "nft_masq 12288 0 - Live 0xffffffffc0590000\n\
                       nf_nat 65536 2 nft_masq,nft_chain_nat, Live 0xffffffffc0572000\n\
                       veth 40960 0 - Unloading 0xffffffffc059c000\n";
        assert_eq!(loaded_modules(modules), ["nft_masq", "nf_nat"]);
        let devices_text = "Inter-|   Receive  |  Transmit\n face |bytes    packets | bytes\n    \
                            lo:       0       0\n   wan: 12 1\nbr-lan:1:  5 5\n";
        assert_eq!(devices(devices_text), ["lo", "wan", "br-lan:1"]);
    }

    #[test]
    fn reads_what_depmod_writes() {
        assert_eq!(
            listed_modules("kernel/net/core/pktgen.ko\nkernel/crypto/crc32c-intel.ko\n"),
            ["pktgen", "crc32c_intel"]
        );
        assert_eq!(listed_modules("kernel/a/veth.ko.xz:\nkernel/a/nf_nat.ko.zst: kernel/a/x.ko\n"), ["veth", "nf_nat"]);
        assert_eq!(module_of_file("modules.dep"), None);
        assert_eq!(module_of_file("a.kobject"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}(\n\\PC{0,80}){0,4}") {
            let lines = text.lines().count();
            prop_assert!(loaded_modules(&text).len() <= lines);
            prop_assert!(listed_modules(&text).len() <= lines);
            prop_assert!(devices(&text).len() <= lines);
        }
    }
}
