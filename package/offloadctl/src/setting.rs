//! What `/etc/config/firewall` asks for, read as OpenWrt's firewall reads it: the first section `defaults` counts.

use std::io;

use crate::files::Files;
use crate::finding::Finding;
use crate::uci::{Config, Malformed, Value};

/// Where the firewall's configuration is.
pub const FILE: &str = "/etc/config/firewall";
/// Changes that `uci set` made and `uci commit` has not yet written.
pub const UNCOMMITTED: &str = "/tmp/.uci/firewall";
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
    /// What a configuration asks for. What the firewall does not understand asks for nothing.
    pub fn of(config: &Config) -> Setting {
        let is_on = |name| option(config, name) == Some(true);
        Setting { offload: is_on(OFFLOAD), hardware: is_on(HARDWARE) }
    }

    /// The same with changes that are not committed, which the firewall follows: lines as `firewall.SECTION.OPTION='VALUE'`,
    /// or `-firewall.SECTION.OPTION` for one that is removed.
    pub fn with(self, config: &Config, uncommitted: &str) -> Setting {
        let defaults = config.first_section(SECTION);
        let mut setting = self;
        for line in uncommitted.lines() {
            let (path, value) = line.split_once('=').unwrap_or((line, "0"));
            let mut words = path.trim_start_matches('-').splitn(3, '.').skip(1);
            let (Some(section), Some(name)) = (words.next(), words.next()) else { continue };
            let concerned = match name {
                OFFLOAD => &mut setting.offload,
                HARDWARE => &mut setting.hardware,
                _ => continue,
            };
            let value = value.trim_matches(|quote| quote == '\'' || quote == '"');
            if defaults.is_some() && config.section_called(section) == defaults {
                *concerned = truth(value.as_bytes()) == Some(true);
            }
        }
        setting
    }
}

/// What an option says: `None` for what the firewall does not understand. One that is not there is off.
pub fn option(config: &Config, name: &str) -> Option<bool> {
    match config.first_section(SECTION).map_or(Value::None, |section| config.value(section, name)) {
        Value::None => Some(false),
        Value::One(value) => truth(value),
        Value::List => None,
    }
}

/// The words that the firewall knows for yes and no.
fn truth(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"on" | b"true" | b"yes" => Some(true),
        b"0" | b"off" | b"false" | b"no" => Some(false),
        _ => None,
    }
}

/// An option that the firewall refuses, and all of its section with it.
pub fn refused(config: &Config) -> Option<Finding> {
    let name = [OFFLOAD, HARDWARE].into_iter().find(|name| option(config, name).is_none())?;
    Some(Finding::new(
        "OCTL116",
        format!("option {name} in {FILE} is not understood by the firewall"),
        "it takes 1, on, true, yes and 0, off, false, no; with anything else, or a list, it ends with an error and loads no \
         rules at all",
        "run: offloadctl enable, or offloadctl disable",
    ))
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
    fn what_the_firewall_does_not_understand_is_told() {
        let refused = |text: &str| {
            let config = Config::parse(format!("config defaults\n{text}\n").into()).unwrap();
            refused(&config).map(|finding| (finding.id, finding.what))
        };
        assert_eq!(refused("option flow_offloading 1"), None);
        assert_eq!(refused("option flow_offloading no"), None);
        for text in ["option flow_offloading enabled", "list flow_offloading 1", "option flow_offloading ''"] {
            let (id, what) = refused(text).unwrap();
            assert!(id == "OCTL116" && what.contains("option flow_offloading in"), "{what}");
        }
        assert!(refused("option flow_offloading 1\noption flow_offloading_hw 2").unwrap().1.contains("_hw in"));
    }

    #[test]
    fn uncommitted_changes_count() {
        let text = "config zone\nconfig defaults\n\toption flow_offloading 1\n";
        let config = Config::parse(text.into()).unwrap();
        let with = |lines: &str| Setting::of(&config).with(&config, lines);
        let (on, off) = (Setting { offload: true, hardware: false }, Setting { offload: false, hardware: false });
        assert_eq!(with(""), on);
        assert_eq!(with("firewall.cfg02dc81.flow_offloading='0'\n"), off);
        assert_eq!(with("-firewall.cfg02dc81.flow_offloading\n"), off);
        assert_eq!(with("firewall.cfg01dc81.flow_offloading='0'\nfirewall.x.y=1\nnonsense\n"), on, "another section");
        assert_eq!(with("firewall.cfg02dc81.flow_offloading_hw='1'\n"), Setting { offload: true, hardware: true });
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
