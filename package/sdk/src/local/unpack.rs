//! Bounded decompression, chosen by magic number: the compression of kernel images and modules differs between Debian
//! releases.

use std::io::Read;

/// The largest result: an uncompressed `vmlinux` has about 60 MB.
const LIMIT: u64 = 512 << 20;

/// Memory for the xz dictionary, in KiB; the kernel's own build uses at most 128 MiB.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// Why bytes could not be decompressed, as the end of a sentence.
pub(super) type Reason = String;

/// Decompresses zstd, xz or gzip; `None` for another magic number. Bytes after the end of the stream are ignored: in a
/// kernel image the length follows.
pub(super) fn decompress(bytes: &[u8]) -> Option<Result<Vec<u8>, Reason>> {
    let reader: Result<Box<dyn Read + '_>, Reason> = match bytes {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ruzstd::decoding::StreamingDecoder::new(bytes)
            .map(|reader| Box::new(reader) as Box<dyn Read>)
            .map_err(|error| format!("its zstd header is damaged: {error}")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(bytes, false, XZ_MEMORY_KIB)))
        }
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::read::GzDecoder::new(bytes))),
        _ => return None,
    };
    Some(reader.and_then(read_bounded))
}

fn read_bounded(reader: Box<dyn Read + '_>) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut out).map_err(|error| format!("its compressed data is damaged: {error}"))?;
    if out.len() as u64 > LIMIT {
        return Err(format!("it unpacks to more than {LIMIT} bytes"));
    }
    Ok(out)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &[u8] = b"kernel module\n";

    /// [`TEXT`] by `zstd -19`.
    const ZSTD: &[u8] =
        b"\x28\xb5\x2f\xfd\x24\x0e\x71\x00\x00\x6b\x65\x72\x6e\x65\x6c\x20\x6d\x6f\x64\x75\x6c\x65\x0a\x32\x7b\x95\xf6";

    /// [`TEXT`] by `xz --check=crc32`, as kernel modules are packed.
    const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x0d\x6b\x65\x72\x6e\x65\x6c\x20\x6d\x6f\x64\x75\x6c\x65\x0a\x00\x00\x00\xf8\x8c\xbc\x25\x00\x01\x22\x0e\x0c\xde\x8c\x60\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";

    pub(in crate::local) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_compression_is_known_by_its_magic() {
        for packed in [ZSTD.to_vec(), XZ.to_vec(), gzip(TEXT)] {
            assert_eq!(decompress(&packed).unwrap().unwrap(), TEXT);
            // The length that a kernel image appends is ignored.
            let followed = [&packed[..], &[14, 0, 0, 0]].concat();
            assert_eq!(decompress(&followed).unwrap().unwrap(), TEXT);
        }
        assert!(decompress(b"\x7fELF").is_none());
        assert!(decompress(b"").is_none());
    }

    #[test]
    fn a_cut_stream_is_refused() {
        for packed in [ZSTD.to_vec(), XZ.to_vec(), gzip(TEXT)] {
            for end in 6..packed.len() - 1 {
                assert!(decompress(&packed[..end]).unwrap().is_err(), "{end} of {packed:?}");
            }
        }
    }
}
