//! Reads what an ELF file says about itself, with or without sections: OpenWrt strips even the section headers.

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _, SectionHeader as _};
use object::read::{FileKind, Object as _};
use object::{Architecture, Endianness};

/// Folders that exist only on build machines, with the text that may precede them.
///
/// An absolute path starts a text or follows a character that paths do not have; the folders of OpenWrt's build system
/// are recognised in the middle of a path, too. Some are written in two parts, so that a search for such paths does not
/// find this source.
const ABSOLUTE: [&str; 6] =
    ["/home", concat!("/root", "/.cargo"), concat!("/root", "/.rustup"), "/build", "/builder", "/builds"];
/// Where all of Debian's build machines unpack sources, so that the path reveals nothing about the machine.
const AGREED: &str = "/build/reproducible-path/";
const ANYWHERE: [&str; 2] = ["/build_dir/target-", "/staging_dir/"];

/// The most paths that are reported for one file.
const MOST_PATHS: usize = 3;

/// The section in which a MIPS file says how it was compiled; if sections were stripped, a segment has the same.
const MIPS_ABI: &[u8] = b".MIPS.abiflags";

/// Offset of `fp_abi` in it (binutils, include/elf/mips.h).
const FP_ABI: usize = 7;

/// The parts of an ELF file that rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) machine: Machine,
    /// The header's flags for instruction set and calling convention; their meaning depends on the machine.
    pub(crate) flags: u32,
    /// `fp_abi` of a MIPS file: how functions pass floating-point numbers, if it says so.
    pub(crate) mips_float: Option<u8>,
    /// Whether it is not linked yet, like a kernel module.
    pub(crate) relocatable: bool,
    pub(crate) has_symbols: bool,
    pub(crate) has_debug: bool,
    /// Libraries that the loader must find (`DT_NEEDED`).
    pub(crate) needed: Vec<String>,
    /// Folders that the loader searches (`DT_RPATH`, `DT_RUNPATH`).
    pub(crate) run_paths: Vec<String>,
    /// Paths of the machine that built it.
    pub(crate) build_paths: Vec<String>,
}

/// The machine that it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) architecture: Architecture,
    pub(crate) little_endian: bool,
}

impl Elf {
    /// Reads an ELF file; `None` for anything else, or a damaged file.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut elf = match FileKind::parse(bytes).ok()? {
            FileKind::Elf32 => read::<FileHeader32<Endianness>>(bytes).ok()?,
            FileKind::Elf64 => read::<FileHeader64<Endianness>>(bytes).ok()?,
            _ => return None,
        };
        elf.machine.architecture = object::File::parse(bytes).map_or(Architecture::Unknown, |file| file.architecture());
        elf.build_paths = build_paths(bytes);
        Some(elf)
    }
}

fn read<Header: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> object::Result<Elf> {
    let header = Header::parse(bytes)?;
    let endian = header.endian()?;
    let mut found = Elf {
        machine: Machine { architecture: Architecture::Unknown, little_endian: endian == Endianness::Little },
        flags: header.e_flags(endian).0,
        mips_float: None,
        relocatable: header.e_type(endian) == elf::ET_REL,
        has_symbols: false,
        has_debug: false,
        needed: Vec::new(),
        run_paths: Vec::new(),
        build_paths: Vec::new(),
    };
    if let Ok(sections) = header.sections(endian, bytes) {
        for section in sections.iter() {
            found.has_symbols |= section.sh_type(endian) == elf::SHT_SYMTAB;
            let name = sections.section_name(endian, section).unwrap_or_default();
            found.has_debug |= name.starts_with(b".debug_") || name.starts_with(b".zdebug_");
            if name == MIPS_ABI {
                found.mips_float = section.data(endian, bytes)?.get(FP_ABI).copied();
            }
        }
    }
    for segment in header.program_headers(endian, bytes)? {
        if header.e_machine(endian) == elf::EM_MIPS && segment.p_type(endian) == elf::PT_MIPS_ABIFLAGS {
            found.mips_float = segment.data(endian, bytes).ok().and_then(|data| data.get(FP_ABI)).copied();
        }
    }
    dynamic::<Header>(header, endian, bytes, &mut found)?;
    Ok(found)
}

/// Reads the dynamic segment, whose addresses are memory addresses.
fn dynamic<Header: FileHeader<Endian = Endianness>>(
    header: &Header,
    endian: Endianness,
    bytes: &[u8],
    found: &mut Elf,
) -> object::Result<()> {
    let segments = header.program_headers(endian, bytes)?;
    let mut entries: Vec<(elf::DynamicTag, u64)> = Vec::new();
    for segment in segments {
        let table = segment.dynamic(endian, bytes)?.unwrap_or_default();
        let table = table.iter().map(|entry| (entry.d_tag(endian), entry.d_val(endian).into()));
        entries.extend(table.take_while(|(tag, _)| *tag != elf::DT_NULL));
    }
    let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { return Ok(()) };
    let loaded = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    let names = loaded.into_iter().find_map(|segment| segment.data_range(endian, bytes, address, size).ok()?);
    let text = |at: u64| {
        let rest = names?.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    for (tag, value) in &entries {
        match *tag {
            elf::DT_NEEDED => found.needed.extend(text(*value)),
            elf::DT_RPATH | elf::DT_RUNPATH => {
                let paths = text(*value).unwrap_or_default();
                found.run_paths.extend(paths.split(':').filter(|path| !path.is_empty()).map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Paths of build machines among the printable texts of a file.
fn build_paths(bytes: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in bytes.split(|byte| !(b' '..=b'~').contains(byte)).filter(|text| text.len() >= 8) {
        let text = String::from_utf8_lossy(text);
        if let Some(path) = build_path(&text)
            && !found.contains(&path)
        {
            found.push(path);
        }
        if found.len() == MOST_PATHS {
            break;
        }
    }
    found
}

/// The first path of a build machine in a text, up to the next blank or quote.
pub(crate) fn build_path(text: &str) -> Option<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-+~".contains(c);
    let absolute = ABSOLUTE.iter().find_map(|place| {
        let mut hits = text.match_indices(place).map(|(at, _)| at);
        // There must be something below the folder: a program may well mention the folder itself.
        let is_inside = |rest: &str| rest.strip_prefix('/').is_some_and(|rest| rest.starts_with(is_path));
        hits.find(|&at| {
            let (before, path) = text.split_at(at);
            !before.ends_with(is_path) && is_inside(&path[place.len()..]) && !path.starts_with(AGREED)
        })
    });
    let at = absolute.or_else(|| {
        let hit = ANYWHERE.iter().find_map(|place| text.find(place))?;
        Some(text[..hit].rfind(|c| !is_path(c)).map_or(0, |before| before + 1))
    })?;
    let path = &text[at..];
    let end = path.find(|c| !is_path(c)).unwrap_or(path.len()).min(100);
    Some(path[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_build_machines_are_told_from_those_of_routers() {
        for (text, path) in [
            ("at /build/x-1.0/main.c:12", Some("/build/x-1.0/main.c")),
            (concat!("/root", "/.cargo/registry/a.rs"), Some(concat!("/root", "/.cargo/registry/a.rs"))),
            ("-I/work/openwrt/staging_dir/target-x/usr", Some("-I/work/openwrt/staging_dir/target-x/usr")),
            ("see \"/builder/shared/sdk\"", Some("/builder/shared/sdk")),
            ("/root/.ssh/authorized_keys", None),
            ("net/build/x", None),
            ("/usr/share/build/x", None),
            (concat!("/home", "/me/x.c"), Some(concat!("/home", "/me/x.c"))),
            ("/build/reproducible-path/linux-6.12/net/x.c", None),
            ("/builds/", None),
            ("/builders/x", None),
            ("", None),
        ] {
            assert_eq!(build_path(text).as_deref(), path, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_behind_the_magic_number_never_panic(rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), class in 1u8..3) {
            let mut bytes = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0];
            bytes.extend(rest);
            let _ = Elf::read(&bytes);
        }
    }
}
