//! A configuration is kept byte for byte, and a change of an option changes that option and nothing before the section.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offloadctl::setting::{HARDWARE, OFFLOAD, SECTION, Setting};
use offloadctl::uci::Config;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = Config::parse(bytes.to_vec()) else { return };
    assert_eq!(config.as_bytes(), bytes);
    let config = match config.first_section(SECTION) {
        Some(_) => config,
        None => config.with_section(SECTION).unwrap(),
    };
    let section = config.first_section(SECTION).unwrap();
    let hardware = config.option(section, HARDWARE).map(<[u8]>::to_vec);
    for (value, on) in [("1", true), ("0", false)] {
        let changed = config.with_option(section, OFFLOAD, value).unwrap();
        let section = changed.first_section(SECTION).unwrap();
        assert_eq!(changed.option(section, OFFLOAD), Some(value.as_bytes()));
        assert_eq!(changed.option(section, HARDWARE).map(<[u8]>::to_vec), hardware);
        assert_eq!(Setting::of(&changed).offload, on);
        // Reading what was written gives the same.
        assert_eq!(Config::parse(changed.as_bytes().to_vec()).unwrap(), changed);
    }
});
