//! Finds in a Debian kernel what QEMU boots, and the line with the kernel's version.
//!
//! | Magic number | File | What QEMU gets |
//! |---|---|---|
//! | `HdrS` at 0x202 | x86's `bzImage` | the ELF file inside: entered by its PVH note, it skips the decompressor, which is most of an emulated boot |
//! | `MZ`, `zimg` at 4 | a compressed kernel in an EFI program | the kernel inside, which QEMU before 8 does not find itself |
//! | `ARM\x64` at 56 | arm64's `Image` | the file, decompressed if it is compressed |
//! | 0x016f2818 at 0x24 | arm's `zImage` | the file |
//! | `\x7fELF` | MIPS's kernel, or its decompressor | the file |
//!
//! The position of a `bzImage`'s payload is in the setup header of the x86 boot protocol, version 2.08 or later
//! (Documentation/arch/x86/boot.rst in the kernel's sources); arm's header is in arch/arm/boot/compressed/head.S,
//! arm64's in Documentation/arch/arm64/booting.rst, that of EFI in drivers/firmware/efi/libstub/zboot-header.S.

use super::unpack::decompress;

/// Offsets of the setup header, from the start of the file.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const VERSION_POINTER: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

const SECTOR: usize = 512;

/// Magic numbers with their offsets; the first match counts.
const ZBOOT: (usize, &[u8]) = (4, b"zimg");
const ARM64: (usize, &[u8]) = (56, b"ARM\x64");
const ARM: (usize, &[u8]) = (0x24, &[0x18, 0x28, 0x6f, 0x01]);
const ELF: (usize, &[u8]) = (0, b"\x7fELF");

/// Fields of the EFI header.
const ZBOOT_OFFSET: usize = 8;
const ZBOOT_LENGTH: usize = 12;

/// The text before the version in every kernel.
const VERSION: &[u8] = b"Linux version ";

/// The longest version; they have about 150 characters.
const VERSION_LIMIT: usize = 500;

/// Magic numbers of the compression formats that kernel builds use.
const COMPRESSED: [&[u8]; 3] = [&[0x1f, 0x8b, 8], &[0xfd, b'7', b'z', b'X', b'Z', 0], &[0x28, 0xb5, 0x2f, 0xfd]];

/// A recognised boot image.
#[derive(Debug, Clone, Copy)]
pub(super) enum BootImage<'a> {
    /// x86's `bzImage`.
    X86(Bzimage<'a>),
    /// Compressed, in an EFI program.
    Efi(&'a [u8]),
    /// Compressed as a whole.
    Packed(&'a [u8]),
    /// Booted as it is: the kernel, or its decompressor.
    Whole(&'a [u8]),
}

impl<'a> BootImage<'a> {
    /// Recognises a boot image. The error is the end of a sentence about the file.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let is = |(at, magic): (usize, &[u8])| bytes.get(at..at + magic.len()) == Some(magic);
        Ok(match () {
            () if is((MAGIC, b"HdrS")) => BootImage::X86(Bzimage::read(bytes)?),
            () if is((0, b"MZ")) && is(ZBOOT) => BootImage::Efi(bytes),
            () if is((0, COMPRESSED[0])) => BootImage::Packed(bytes),
            () if is(ARM) || is(ARM64) || is(ELF) => BootImage::Whole(bytes),
            () => return Err("it is not a boot image for x86, arm64, arm or MIPS".into()),
        })
    }

    /// The line that the kernel prints as its version: release, builder, and details of the build.
    pub(super) fn banner(&self) -> Result<String, String> {
        match self {
            BootImage::X86(image) => image.banner(),
            BootImage::Efi(_) | BootImage::Packed(_) => version(&self.kernel()?).ok_or_else(no_version),
            BootImage::Whole(bytes) => {
                let inside = || packed(bytes).find_map(|kernel| version(&kernel));
                version(bytes).or_else(inside).ok_or_else(no_version)
            }
        }
    }

    /// What QEMU boots.
    pub(super) fn kernel(&self) -> Result<Vec<u8>, String> {
        match self {
            BootImage::X86(image) => image.vmlinux(),
            BootImage::Whole(bytes) => Ok(bytes.to_vec()),
            BootImage::Packed(bytes) => unpacked(bytes),
            BootImage::Efi(bytes) => {
                let (offset, length) = (long(bytes, ZBOOT_OFFSET)?, long(bytes, ZBOOT_LENGTH)?);
                let payload = offset.checked_add(length).and_then(|end| bytes.get(offset..end));
                unpacked(payload.ok_or("its payload lies outside the file")?)
            }
        }
    }
}

fn no_version() -> String {
    "its version text is missing".into()
}

fn unpacked(payload: &[u8]) -> Result<Vec<u8>, String> {
    decompress(payload).ok_or("its payload is compressed by something other than zstd, xz or gzip")?
}

/// The version in an uncompressed kernel, without the words before it.
fn version(kernel: &[u8]) -> Option<String> {
    // The first match may be a format string.
    let mut rest = kernel;
    while let Some(at) = rest.windows(VERSION.len()).position(|window| window == VERSION) {
        rest = &rest[at + VERSION.len()..];
        let line = rest.get(..rest.len().min(VERSION_LIMIT))?.split(|&byte| byte == b'\n' || byte == 0).next()?;
        if line.first().is_some_and(u8::is_ascii_digit) {
            return Some(String::from_utf8_lossy(line).into_owned());
        }
    }
    None
}

/// Compressed data in a file whose header does not say where it is.
fn packed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let begins = |at: &usize| COMPRESSED.iter().any(|magic| bytes[*at..].starts_with(magic));
    (0..bytes.len()).filter(begins).filter_map(|at| decompress(&bytes[at..])?.ok())
}

/// x86's boot image with a valid setup header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bzimage<'a> {
    bytes: &'a [u8],
    /// Where the protected-mode part begins.
    start: usize,
}

impl<'a> Bzimage<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let protocol = word(bytes, PROTOCOL)?;
        if protocol < 0x208 {
            return Err(format!("its boot protocol {}.{:02} is older than 2.08", protocol >> 8, protocol & 0xff));
        }
        let sectors = match bytes.get(SETUP_SECTORS).copied().unwrap_or_default() {
            0 => 4, // "for backwards compatibility", says the protocol
            count => usize::from(count),
        };
        Ok(Bzimage { bytes, start: (sectors + 1) * SECTOR })
    }

    fn banner(&self) -> Result<String, String> {
        let at = SECTOR + usize::from(word(self.bytes, VERSION_POINTER)?);
        let text = self.bytes.get(at..self.start).and_then(|rest| rest.split(|&byte| byte == 0).next());
        text.map(|text| String::from_utf8_lossy(text).into_owned()).ok_or_else(no_version)
    }

    /// The ELF file inside.
    fn vmlinux(&self) -> Result<Vec<u8>, String> {
        let offset = long(self.bytes, PAYLOAD_OFFSET)?;
        let length = long(self.bytes, PAYLOAD_LENGTH)?;
        let begin = self.start.checked_add(offset);
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(length)?));
        let payload = range.and_then(|range| self.bytes.get(range)).ok_or("its payload lies outside the file")?;
        let elf = unpacked(payload)?;
        // The build appends the uncompressed length, whatever the compression is.
        let announced = long(payload, payload.len().saturating_sub(4))?;
        if announced != elf.len() {
            return Err(format!("its payload unpacks to {} bytes instead of {announced}", elf.len()));
        }
        if !elf.starts_with(b"\x7fELF") {
            return Err("its payload is not an ELF file".into());
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

    /// A boot image with this banner around an empty ELF file.
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
        BootImage::read(bytes)?.kernel()
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
        assert!(damaged(MAGIC, b'h').contains("not a boot image"));
        assert!(damaged(PROTOCOL, 7).contains("2.07"));
        assert!(damaged(PAYLOAD_OFFSET, 15).contains("other than"));
        assert!(damaged(PAYLOAD_OFFSET + 3, 0xff).contains("outside"));
        let bytes = image("x");
        assert!(
            damaged(bytes.len() - 4, 99).contains("damaged") || damaged(bytes.len() - 4, 99).contains("instead of")
        );
        assert!(vmlinux(&bytes[..0x24a]).unwrap_err().contains("cut off"));
    }

    /// A kernel with this header, and with a version after a format string for one.
    fn kernel(magic: (usize, &[u8])) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[magic.0..magic.0 + magic.1.len()].copy_from_slice(magic.1);
        bytes.extend(b"Linux version %s (%s)\0Linux version 6.12.1-arm64 (x) #1\nmore");
        bytes
    }

    #[test]
    fn kernels_of_other_architectures_are_known_by_their_magic_numbers() {
        let version = "6.12.1-arm64 (x) #1";
        let plain = kernel(ARM64);
        let mut efi = b"MZ\0\0zimg".to_vec();
        let payload = gzip(&plain);
        efi.extend([24, u32::try_from(payload.len()).unwrap()].map(u32::to_le_bytes).concat());
        efi.extend([0; 8]);
        efi.extend(&payload);
        for bytes in [&plain, &efi, &payload] {
            let image = BootImage::read(bytes).unwrap();
            assert_eq!(image.banner().unwrap(), version);
            assert_eq!(image.kernel().unwrap(), plain, "what QEMU boots is not compressed");
        }
        assert!(vmlinux(&efi[..efi.len() - 1]).unwrap_err().contains("outside"));
        let elf = kernel(ELF);
        assert_eq!(BootImage::read(&elf).unwrap().banner().unwrap(), version);
        // A zImage is booted as it is; the version is in its compressed part.
        let mut zimage = vec![0; 64];
        zimage[ARM.0..ARM.0 + 4].copy_from_slice(ARM.1);
        assert!(BootImage::read(&zimage).unwrap().banner().unwrap_err().contains("missing"));
        zimage.extend(COMPRESSED[0]);
        zimage.extend(gzip(&plain));
        let image = BootImage::read(&zimage).unwrap();
        assert_eq!((image.banner().unwrap().as_str(), image.kernel().unwrap()), (version, zimage.clone()));
    }

    proptest::proptest! {
        #[test]
        fn any_header_of_other_architectures_is_an_error_or_harmless(
            which in 0_usize..5, at in 0_usize..80, value: u8, end in 0_usize..200,
        ) {
            let magic = [ARM64, ARM, ELF, (0, b"MZ\0\0zimg".as_slice()), (0, COMPRESSED[0])][which];
            let mut bytes = kernel(magic);
            bytes[at] = value;
            bytes.truncate(end);
            if let Ok(image) = BootImage::read(&bytes) {
                let _any = (image.banner(), image.kernel());
            }
        }

        #[test]
        fn any_change_is_an_error_or_harmless(at in 0_usize..1700, value: u8, end in 0_usize..1700) {
            let mut bytes = image("x");
            let last = bytes.len() - 1;
            bytes[at.min(last)] = value;
            bytes.truncate(end);
            if let Ok(image) = BootImage::read(&bytes) {
                let _any = (image.banner(), image.kernel());
            }
        }
    }
}
