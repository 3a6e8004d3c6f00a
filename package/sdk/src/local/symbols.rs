//! Symbols between modules: which a module uses, and which module exports them.

use std::collections::BTreeMap;

use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::module;

/// Exported symbols with the module that exports each; `vmlinux` is the kernel itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exports(BTreeMap<String, String>);

impl Exports {
    /// Adds the content of a `Module.symvers`: lines `CRC SYMBOL MODULE TYPE [NAMESPACE]`, separated by tabs.
    pub(crate) fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut fields = line.split('\t').skip(1);
            if let (Some(symbol), Some(path)) = (fields.next(), fields.next()) {
                let name = path.rsplit('/').next().unwrap_or(path);
                self.0.insert(symbol.into(), module::normal(name));
            }
        }
    }

    /// The module that exports a symbol.
    pub(crate) fn of(&self, symbol: &str) -> Option<&str> {
        self.0.get(symbol).map(String::as_str)
    }
}

/// The symbols in a module's ELF file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Symbols {
    /// Symbols that it uses of others, sorted.
    pub(crate) used: Vec<String>,
    /// Whether it does something when loaded, or exports symbols.
    pub(crate) does_something: bool,
}

/// The function that runs when a module is loaded, and the sections of exports.
const INIT: &str = "init_module";
const EXPORTS: [&str; 2] = ["__ksymtab", "__ksymtab_gpl"];

impl Symbols {
    /// Reads a module; `None` when it is not an ELF file with symbols.
    pub(crate) fn read(elf: &[u8]) -> Option<Self> {
        let file = object::File::parse(elf).ok()?;
        let mut used: Vec<String> = file
            .symbols()
            .filter(|symbol| symbol.is_undefined())
            .filter_map(|symbol| symbol.name().ok())
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        used.sort();
        let starts = file.symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok(INIT));
        let exports = file.sections().any(|section| section.name().is_ok_and(|name| EXPORTS.contains(&name)));
        Some(Symbols { used, does_something: starts || exports })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_known_by_their_module() {
        let mut exports = Exports::default();
        exports.add(
            "0x12345678\tnf_flow_table_init\tnet/netfilter/nf_flow_table\tEXPORT_SYMBOL_GPL\t\n\
             0x00000000\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n\
             0x00000000\tours\t/build/kmod-x/x-y\tEXPORT_SYMBOL\n\
             a line that is none\n",
        );
        assert_eq!(exports.of("nf_flow_table_init"), Some("nf_flow_table"));
        assert_eq!((exports.of("printk"), exports.of("ours")), (Some("vmlinux"), Some("x_y")));
        assert_eq!(exports.of("a"), None);
    }

    #[test]
    fn what_is_no_module_has_no_symbols() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n"] {
            assert_eq!(Symbols::read(bytes), None);
        }
        let plain = Symbols::read(&super::super::fixture::elf("vermagic=1 \0")).unwrap();
        assert_eq!(plain, Symbols::default());
    }
}
