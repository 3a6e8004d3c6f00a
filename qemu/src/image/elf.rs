//! What a program needs to run: its interpreter and its shared libraries.

use object::elf::{DT_NEEDED, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

/// Names as the file gives them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Absolute path of the dynamic loader; none in a static program or a library.
    pub(super) interpreter: Option<String>,
    /// Names of shared libraries (`DT_NEEDED`).
    pub(super) libraries: Vec<String>,
}

/// Reads an ELF file of any width and byte order.
pub(super) fn needs(bytes: &[u8]) -> object::read::Result<Needs> {
    match FileKind::parse(bytes)? {
        FileKind::Elf32 => needs_of::<FileHeader32<Endianness>>(bytes),
        _ => needs_of::<FileHeader64<Endianness>>(bytes),
    }
}

fn needs_of<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> object::read::Result<Needs> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, bytes)? {
        if let Some(path) = segment.interpreter(endian, bytes)? {
            needs.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let dynamic = header.sections(endian, bytes)?.dynamic_table(endian, bytes)?;
    for entry in dynamic.iter().filter(|entry| entry.tag == DT_NEEDED) {
        needs.libraries.push(String::from_utf8_lossy(dynamic.string(entry)?).into_owned());
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The test program itself: dynamic, on any host that builds it with the default target.
    fn own_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_dynamic_program_names_its_loader_and_the_c_library() {
        let needs = needs(&own_program()).unwrap();
        assert!(needs.interpreter.is_some_and(|path| path.contains("ld")), "no interpreter");
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.")), "{:?}", needs.libraries);
    }

    #[test]
    fn what_is_no_elf_is_an_error() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &own_program()[..100]] {
            assert!(needs(bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn damaged_headers_never_panic(at in 0usize..64, value: u8) {
            let mut bytes = own_program();
            bytes[at] = value;
            let _any = needs(&bytes);
        }
    }
}
