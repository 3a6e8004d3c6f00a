//! What `/etc/config/firewall` asks for, read as OpenWrt's firewall reads it: the first section `defaults` counts.

use std::io;

use crate::files::Files;
use crate::finding::Finding;
use crate::uci::{Config, Malformed, Section};

/// Where the firewall's configuration is.
pub const FILE: &str = "/etc/config/firewall";
/// The type of the section.
pub const SECTION: &str = "defaults";
/// The option for software offload, without which the other one does nothing.
pub const OFFLOAD: &str = "flow_offloading";
/// The option for hardware offload.
pub const HARDWARE: &str = "flow_offloading_hw";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Flows shall be offloaded.
    pub offload: bool,
    /// The option for hardware is on; it counts only together with `offload`.
    pub hardware: bool,
}

impl Setting {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Setting {
        let is_on = |name| config.first_section(SECTION).is_some_and(|section| is_on(config, section, name));
        Setting { offload: is_on(OFFLOAD), hardware: is_on(HARDWARE) }
    }
}

/// The firewall takes these words for true, and all others for false.
fn is_on(config: &Config, section: Section, name: &str) -> bool {
    matches!(config.option(section, name), Some(b"1" | b"on" | b"true" | b"yes"))
}

/// Reads the configuration; `None` where there is none, as on systems other than OpenWrt.
///
/// # Errors
/// The file cannot be read, or is no configuration.
pub fn read(files: &Files) -> Result<Option<Config>, Finding> {
    let bytes = match files.bytes(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| Finding::unreadable(FILE, &error))?,
    };
    Config::parse(bytes).map(Some).map_err(malformed)
}

/// What to tell about a file that cannot be understood.
pub fn malformed(malformed: Malformed) -> Finding {
    let Malformed { line, why } = malformed;
    Finding::new(
        "OCTL012",
        format!("{FILE} cannot be understood"),
        format!("line {line}: {why}"),
        "correct that line; to see it as OpenWrt does, run: uci show firewall",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_on_are_those_of_the_firewall() {
        for (value, on) in [("1", true), ("yes", true), ("on", true), ("true", true), ("enabled", false), ("0", false)]
        {
            let config = Config::parse(format!("config defaults\noption flow_offloading {value}\n").into()).unwrap();
            assert_eq!(Setting::of(&config), Setting { offload: on, hardware: false }, "{value}");
        }
    }

    #[test]
    fn the_first_section_counts_and_others_do_not() {
        let text = "config zone\noption flow_offloading 1\nconfig defaults\noption flow_offloading_hw 1\n\
                    config defaults\noption flow_offloading 1\n";
        let config = Config::parse(text.into()).unwrap();
        assert_eq!(Setting::of(&config), Setting { offload: false, hardware: true });
        assert_eq!(Setting::of(&Config::parse(Vec::new()).unwrap()), Setting { offload: false, hardware: false });
    }

    #[test]
    fn a_file_that_is_absent_is_no_error_and_one_that_is_wrong_is() {
        assert_eq!(read(&Files::below("/nonexistent")), Ok(None));
        let finding = malformed(Malformed { line: 3, why: "x" });
        assert_eq!((finding.id, &finding.why[..]), ("OCTL012", "line 3: x"));
    }
}
