//! A kernel's configuration: which options are set, and the hash that OpenWrt derives from it.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};
use model::Hex;

/// How a tristate option is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `=y`: in the kernel image.
    BuiltIn,
    /// `=m`: a module.
    Module,
}

/// A kernel's `.config`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    settings: BTreeMap<String, Setting>,
    pub(crate) hash: String,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Self {
        let settings = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            let setting = match value {
                "y" => Setting::BuiltIn,
                "m" => Setting::Module,
                _ => return None,
            };
            Some((name.to_owned(), setting))
        });
        Config { settings: settings.collect(), hash: hash(text) }
    }

    /// How `symbol` (without `CONFIG_`) is set; `None` when it is not.
    pub(crate) fn get(&self, symbol: &str) -> Option<Setting> {
        self.settings.get(symbol).copied()
    }
}

/// OpenWrt's `.vermagic` (include/kernel-defaults.mk): md5 over the lines that contain `=y` or `=m`, sorted by bytes.
/// The two characters may be anywhere in the line.
fn hash(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().filter(|line| line.contains("=y") || line.contains("=m")).collect();
    lines.sort_unstable();
    let mut md5 = Md5::new();
    for line in lines {
        md5.update(line);
        md5.update("\n");
    }
    Hex(&md5.finalize()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let config = Config::parse("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=\"y\"\nCONFIG_E=7\n");
        assert_eq!(config.get("A"), Some(Setting::BuiltIn));
        assert_eq!(config.get("B"), Some(Setting::Module));
        for unset in ["C", "D", "E", "F"] {
            assert_eq!(config.get(unset), None);
        }
    }

    #[test]
    fn the_hash_is_that_of_grep_sort_and_md5sum() {
        // printf 'CONFIG_A=y\nCONFIG_B=m\n' | md5sum
        let expected = "0822f44af1e3736c2dd63911ae7c6efb";
        assert_eq!(hash("CONFIG_B=m\n# x\nCONFIG_N=7\nCONFIG_A=y\n"), expected);
        assert_eq!(hash("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n"), expected);
        assert_ne!(hash("CONFIG_A=m\nCONFIG_B=m\n"), expected);
    }
}
