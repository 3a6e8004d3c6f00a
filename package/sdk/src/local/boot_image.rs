//! The uncompressed kernel inside a `bzImage`.
//!
//! QEMU boots an ELF `vmlinux` through its PVH entry and so skips the decompressor, which is most of a
//! boot under emulation. Where the payload lies is told by the setup header of the x86 boot protocol,
//! version 2.08 or later (Documentation/arch/x86/boot.rst in the kernel's sources).

use super::unpack::decompress;

/// Offsets of the setup header, from the start of the file.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const VERSION_POINTER: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

const SECTOR: usize = 512;

/// A boot image whose setup header was understood.
#[derive(Debug, Clone, Copy)]
pub(super) struct BootImage<'a> {
    bytes: &'a [u8],
    /// Where the protected-mode part begins.
    start: usize,
}

impl<'a> BootImage<'a> {
    /// Reads the setup header. The error is the end of a sentence about the file.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
            return Err("it has no setup header of the x86 boot protocol".into());
        }
        let protocol = word(bytes, PROTOCOL)?;
        if protocol < 0x208 {
            return Err(format!("its boot protocol {}.{:02} is older than 2.08", protocol >> 8, protocol & 0xff));
        }
        let sectors = match bytes.get(SETUP_SECTORS).copied().unwrap_or_default() {
            0 => 4, // "for backwards compatibility", says the protocol
            count => usize::from(count),
        };
        Ok(BootImage { bytes, start: (sectors + 1) * SECTOR })
    }

    /// The line that the kernel prints as its version: release, builder, and the build's own words.
    pub(super) fn banner(&self) -> Result<String, String> {
        let at = SECTOR + usize::from(word(self.bytes, VERSION_POINTER)?);
        let text = self.bytes.get(at..self.start).and_then(|rest| rest.split(|&byte| byte == 0).next());
        text.map(|text| String::from_utf8_lossy(text).into_owned()).ok_or_else(|| "its version text is missing".into())
    }

    /// The ELF file inside.
    pub(super) fn vmlinux(&self) -> Result<Vec<u8>, String> {
        let offset = long(self.bytes, PAYLOAD_OFFSET)?;
        let length = long(self.bytes, PAYLOAD_LENGTH)?;
        let begin = self.start.checked_add(offset);
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(length)?));
        let payload = range.and_then(|range| self.bytes.get(range));
        let payload = payload.ok_or("its payload lies outside the file")?;
        let elf = match decompress(payload) {
            Some(unpacked) => unpacked?,
            None => return Err("its payload is compressed by something other than zstd, xz or gzip".into()),
        };
        // The build appends the uncompressed length, whatever the compression.
        let announced = long(payload, payload.len().saturating_sub(4))?;
        if announced != elf.len() {
            return Err(format!("its payload unpacks to {} bytes instead of {announced}", elf.len()));
        }
        if !elf.starts_with(b"\x7fELF") {
            return Err("its payload is no ELF file".into());
        }
        Ok(elf)
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, String> {
    let field = bytes.get(at..at + 2).and_then(|field| field.try_into().ok());
    field.map(u16::from_le_bytes).ok_or_else(|| "it is cut off".into())
}

fn long(bytes: &[u8], at: usize) -> Result<usize, String> {
    let field = bytes.get(at..at.saturating_add(4)).and_then(|field| field.try_into().ok()).map(u32::from_le_bytes);
    field.and_then(|value| usize::try_from(value).ok()).ok_or_else(|| "it is cut off".into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::local::unpack::tests::gzip;

    /// A boot image with the given banner around an ELF file that holds nothing.
    pub(in crate::local) fn image(banner: &str) -> Vec<u8> {
        let mut bytes = vec![0; 3 * SECTOR];
        bytes[SETUP_SECTORS] = 2;
        bytes[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        bytes[PROTOCOL..PROTOCOL + 2].copy_from_slice(&0x20f_u16.to_le_bytes());
        bytes[VERSION_POINTER..VERSION_POINTER + 2].copy_from_slice(&0x100_u16.to_le_bytes());
        bytes[SECTOR + 0x100..SECTOR + 0x100 + banner.len()].copy_from_slice(banner.as_bytes());
        let payload = gzip(b"\x7fELF and so on");
        bytes[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        bytes[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        bytes.extend([0x90; 16]);
        bytes.extend(payload);
        bytes
    }

    fn vmlinux(bytes: &[u8]) -> Result<Vec<u8>, String> {
        BootImage::read(bytes)?.vmlinux()
    }

    #[test]
    fn banner_and_kernel_are_found() {
        let bytes = image("6.12.1-amd64 (x) #1");
        assert_eq!(BootImage::read(&bytes).unwrap().banner().unwrap(), "6.12.1-amd64 (x) #1");
        assert_eq!(vmlinux(&bytes).unwrap(), b"\x7fELF and so on");
    }

    #[test]
    fn damage_is_named() {
        let damaged = |at: usize, value: u8| {
            let mut bytes = image("x");
            bytes[at] = value;
            vmlinux(&bytes).unwrap_err()
        };
        assert!(damaged(MAGIC, b'h').contains("no setup header"));
        assert!(damaged(PROTOCOL, 7).contains("2.07"));
        assert!(damaged(PAYLOAD_OFFSET, 15).contains("other than"));
        assert!(damaged(PAYLOAD_OFFSET + 3, 0xff).contains("outside"));
        let bytes = image("x");
        assert!(
            damaged(bytes.len() - 4, 99).contains("damaged") || damaged(bytes.len() - 4, 99).contains("instead of")
        );
        assert!(vmlinux(&bytes[..0x24a]).unwrap_err().contains("cut off"));
    }

    proptest::proptest! {
        #[test]
        fn any_change_is_an_error_or_harmless(at in 0_usize..1700, value: u8, end in 0_usize..1700) {
            let mut bytes = image("x");
            let last = bytes.len() - 1;
            bytes[at.min(last)] = value;
            bytes.truncate(end);
            if let Ok(image) = BootImage::read(&bytes) {
                let _any = (image.banner(), image.vmlinux());
            }
        }
    }
}
