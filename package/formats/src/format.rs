//! Writes a package in either format. The differences between the managers are handled, and listed, in
//! [`apk::from_plan`].

use std::io::{Cursor, Read, Seek, Write};

use model::Format;

use crate::adb::Compression;
use crate::{Error, Package, apk, ipk};

impl Package {
    /// The package's file name, as in OpenWrt's feeds.
    pub fn file_name(&self, format: Format) -> String {
        match format {
            Format::Ipk => ipk::file_name(self),
            Format::Apk => format!("{}-{}.apk", self.full_name(), self.version),
        }
    }

    /// Writes the package as OpenWrt's build does; apk packages are not signed, as their index is. The compressed
    /// payload of an ipk is held in memory.
    pub fn write(&self, format: Format, out: impl Write) -> Result<(), Error> {
        self.write_with_scratch(format, out, Cursor::new(Vec::new()))
    }

    /// Like [`Package::write`], but with bounded memory: what must wait until its length is known goes to `scratch`,
    /// such as a temporary file.
    pub fn write_with_scratch(
        &self,
        format: Format,
        out: impl Write,
        scratch: impl Read + Write + Seek,
    ) -> Result<(), Error> {
        match format {
            Format::Ipk => ipk::write_with_scratch(self, out, scratch),
            Format::Apk => apk::write(&apk::from_plan(self)?, &[], Compression::Deflate, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn a_file_is_named_and_written_in_its_format() {
        let package = Package {
            name: "libfoo".into(),
            abi_version: "3".into(),
            version: "1.0-r1".into(),
            architecture: "all".into(),
            description: "Foo".into(),
            ..Package::default()
        };
        let names = Format::ALL.map(|format| package.file_name(format));
        assert_eq!(names, ["libfoo3_1.0-r1_all.ipk", "libfoo3-1.0-r1.apk"]);
        assert_eq!(names.map(|name| Format::of_file_name(&name)), Format::ALL.map(Some));
        let [ipk, apk] = Format::ALL.map(|format| {
            let mut bytes = Vec::new();
            package.write(format, &mut bytes).unwrap();
            let mut with_scratch = Vec::new();
            package.write_with_scratch(format, &mut with_scratch, Cursor::new(Vec::new())).unwrap();
            assert_eq!(bytes, with_scratch);
            bytes
        });
        assert_eq!(ipk::inspect(&ipk[..], &Limits::default()).unwrap().control.package, "libfoo3");
        let metadata = apk::inspect(&apk[..], &Limits::default(), |_| Ok(())).unwrap();
        assert_eq!(metadata.info.file_name(), package.file_name(Format::Apk));
    }
}
