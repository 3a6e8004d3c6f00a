//! The two formats of OpenWrt's packages, and their package managers.

use std::fmt;

use serde::Deserialize;

/// A package format, which also decides the package manager. Scenario files write the manager's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Format {
    /// The format of opkg.
    #[serde(rename = "opkg")]
    Ipk,
    /// The format of apk.
    #[serde(rename = "apk")]
    Apk,
}

impl Format {
    /// Both.
    pub const ALL: [Format; 2] = [Format::Ipk, Format::Apk];

    /// Its file extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Ipk => "ipk",
            Format::Apk => "apk",
        }
    }

    /// The program that installs it: opkg up to OpenWrt 24.10, apk (of version 3) from 25.12 on.
    pub fn manager(self) -> &'static str {
        match self {
            Format::Ipk => "opkg",
            Format::Apk => "apk",
        }
    }

    /// The format that a file's extension claims; the content may be something else.
    pub fn of_file_name(name: &str) -> Option<Format> {
        let (_, extension) = name.rsplit_once('.')?;
        Format::ALL.into_iter().find(|format| format.extension() == extension)
    }
}

/// Prints the file extension.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_format() {
        assert_eq!(["a_1_all.ipk", "a-1.apk"].map(Format::of_file_name), Format::ALL.map(Some));
        assert_eq!(["Packages", "a.deb", "ipk", ""].map(Format::of_file_name), [None; 4]);
    }
}
