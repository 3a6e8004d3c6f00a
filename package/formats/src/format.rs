//! Which of the two formats: for callers that write one package as both.

use std::fmt;
use std::io::{Cursor, Read, Seek, Write};

use crate::adb::Compression;
use crate::{Error, Package, apk, ipk};

/// A package format, and with it the package manager that reads it.
///
/// What the managers do differently is told, and done, in one place: [`apk::from_plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Read by opkg, OpenWrt 24.10 and older.
    Ipk,
    /// Apk v3, read by apk, OpenWrt 25.12 and later.
    Apk,
}

impl Format {
    /// Both.
    pub const ALL: [Format; 2] = [Format::Ipk, Format::Apk];

    /// How its file names end, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Ipk => "ipk",
            Format::Apk => "apk",
        }
    }

    /// The package manager that reads it.
    pub fn manager(self) -> &'static str {
        match self {
            Format::Ipk => "opkg",
            Format::Apk => "apk",
        }
    }

    /// The format that a file's name claims; the content may be another thing.
    pub fn of_file_name(name: &str) -> Option<Format> {
        let (_, extension) = name.rsplit_once('.')?;
        Format::ALL.into_iter().find(|format| format.extension() == extension)
    }

    /// The name of a package's file, as OpenWrt's feeds have it.
    pub fn file_name(self, package: &Package) -> String {
        match self {
            Format::Ipk => ipk::file_name(package),
            Format::Apk => format!("{}-{}.apk", package.full_name(), package.version),
        }
    }

    /// Writes the package as OpenWrt's build does; apk packages unsigned, as it is the index that is signed.
    /// The compressed payload of an ipk is held in memory meanwhile.
    pub fn write(self, package: &Package, out: impl Write) -> Result<(), Error> {
        self.write_with_scratch(package, out, Cursor::new(Vec::new()))
    }

    /// Like [`Format::write`]; what has to wait until its length is known goes to `scratch`, for instance a
    /// temporary file, so that memory is bounded.
    pub fn write_with_scratch(
        self,
        package: &Package,
        out: impl Write,
        scratch: impl Read + Write + Seek,
    ) -> Result<(), Error> {
        match self {
            Format::Ipk => ipk::write_with_scratch(package, out, scratch),
            Format::Apk => apk::write(&apk::from_plan(package)?, &[], Compression::Deflate, out),
        }
    }
}

/// Its extension.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn a_name_tells_its_format_and_the_content_is_of_it() {
        let package = Package {
            name: "libfoo".into(),
            abi_version: "3".into(),
            version: "1.0-r1".into(),
            architecture: "all".into(),
            description: "Foo".into(),
            ..Package::default()
        };
        let names = Format::ALL.map(|format| format.file_name(&package));
        assert_eq!(names, ["libfoo3_1.0-r1_all.ipk", "libfoo3-1.0-r1.apk"]);
        assert_eq!(names.map(|name| Format::of_file_name(&name)), Format::ALL.map(Some));
        assert_eq!(["Packages", "a.deb", "ipk", ""].map(Format::of_file_name), [None; 4]);
        let [ipk, apk] = Format::ALL.map(|format| {
            let mut bytes = Vec::new();
            format.write(&package, &mut bytes).unwrap();
            let mut with_scratch = Vec::new();
            format.write_with_scratch(&package, &mut with_scratch, Cursor::new(Vec::new())).unwrap();
            assert_eq!(bytes, with_scratch);
            bytes
        });
        assert_eq!(ipk::inspect(&ipk[..], &Limits::default()).unwrap().control.package, "libfoo3");
        let metadata = apk::inspect(&apk[..], &Limits::default(), |_| Ok(())).unwrap();
        assert_eq!(metadata.info.file_name(), Format::Apk.file_name(&package));
    }
}
