//! Reads the metadata of a Linux kernel module: the `.modinfo` section of a `.ko` file.
//!
//! The section is a list of `key=value` texts, each ended by NUL (`include/linux/module.h`).

use object::read::{Object as _, ObjectSection as _};
use object::{Architecture, Endianness};

use model::Hex;

use crate::Error;

/// The fields that packaging needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The module's name, with underscores; empty in modules before Linux 4.13.
    pub name: String,
    /// Kernel release and options that the module was built for, such as `6.12.94 SMP preempt mod_unload `.
    pub vermagic: String,
    /// Names of the modules whose symbols it uses.
    pub depends: Vec<String>,
    /// Hints to load other modules too, such as `pre: libcrc32c`.
    pub softdep: Vec<String>,
    /// Licences; there can be several.
    pub license: Vec<String>,
    /// Whether it was built from the kernel's own tree.
    pub in_tree: bool,
    /// The machine that it is compiled for.
    pub machine: Machine,
    /// The linker's build id in hex digits; OpenWrt strips it from its modules.
    pub build_id: Option<String>,
    /// All fields in stored order.
    pub fields: Vec<(String, String)>,
}

/// The target of an ELF file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Such as `X86_64`, as the `object` crate names architectures.
    pub architecture: String,
    /// 64-bit or 32-bit.
    pub is_64_bit: bool,
    /// Byte order.
    pub little_endian: bool,
}

impl ModuleInfo {
    /// Reads the bytes of an uncompressed `.ko` file.
    pub fn read(elf: &[u8]) -> Result<Self, Error> {
        let file = object::File::parse(elf).map_err(|error| Error::ModuleElf { why: error.to_string() })?;
        let section = file.section_by_name(".modinfo").ok_or(Error::ModuleInfo)?;
        let data = section.data().map_err(|error| Error::ModuleElf { why: error.to_string() })?;
        let mut info = ModuleInfo {
            machine: Machine {
                architecture: match file.architecture() {
                    Architecture::Unknown => "unknown".to_owned(),
                    known => format!("{known:?}"),
                },
                is_64_bit: file.is_64(),
                little_endian: file.endianness() == Endianness::Little,
            },
            build_id: file.build_id().ok().flatten().map(|id| Hex(id).to_string()),
            ..ModuleInfo::default()
        };
        for text in data.split(|&byte| byte == 0).filter(|text| !text.is_empty()) {
            let text = String::from_utf8_lossy(text);
            // Padding and text without a key have no meaning.
            let Some((key, value)) = text.split_once('=') else { continue };
            info.take(key, value);
        }
        if info.vermagic.is_empty() {
            return Err(Error::ModuleInfo);
        }
        Ok(info)
    }

    /// The kernel release, the first word of [`ModuleInfo::vermagic`].
    pub fn kernel_release(&self) -> &str {
        self.vermagic.split(' ').next().unwrap_or_default()
    }

    fn take(&mut self, key: &str, value: &str) {
        match key {
            "name" => self.name = value.to_owned(),
            "vermagic" => self.vermagic = value.to_owned(),
            "depends" => self.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned)),
            "softdep" => self.softdep.push(value.to_owned()),
            "license" => self.license.push(value.to_owned()),
            "intree" => self.in_tree = value == "Y",
            _ => {}
        }
        self.fields.push((key.to_owned(), value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The smallest 64-bit little-endian x86 ELF object with one section of this name and content.
    fn elf(section: &str, data: &[u8]) -> Vec<u8> {
        const HEADER: u64 = 64;
        let names = format!("\0{section}\0.shstrtab\0");
        let names_at = HEADER + data.len() as u64;
        let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
        let mut file = Vec::new();
        file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        file.extend([1u16.to_le_bytes(), 62u16.to_le_bytes()].concat()); // relocatable, x86-64
        file.extend(1u32.to_le_bytes());
        file.extend([0u64, 0, sections_at].map(u64::to_le_bytes).concat());
        file.extend(0u32.to_le_bytes());
        file.extend([64u16, 0, 0, 64, 3, 2].map(u16::to_le_bytes).concat());
        file.extend(data);
        file.extend(names.as_bytes());
        file.resize(usize::try_from(sections_at).unwrap(), 0);
        let shstrtab = u32::try_from(section.len() + 2).unwrap();
        for (name, kind, offset, size) in
            [(0, 0, 0, 0), (1, 1, HEADER, data.len() as u64), (shstrtab, 3, names_at, names.len() as u64)]
        {
            file.extend([name, kind].map(u32::to_le_bytes).concat());
            file.extend([0, 0, offset, size].map(u64::to_le_bytes).concat());
            file.extend([0u32; 2].map(u32::to_le_bytes).concat());
            file.extend([1u64, 0].map(u64::to_le_bytes).concat());
        }
        file
    }

    const INFO: &[u8] = b"license=GPL\0softdep=pre: x\0depends=nf_tables,nf_flow_table\0\0intree=Y\0name=nft_flow_offload\0vermagic=6.12.94 SMP mod_unload \0";

    #[test]
    fn reads_what_packaging_needs() {
        let info = ModuleInfo::read(&elf(".modinfo", INFO)).unwrap();
        assert_eq!(info.name, "nft_flow_offload");
        assert_eq!(info.depends, ["nf_tables", "nf_flow_table"]);
        assert_eq!(info.vermagic, "6.12.94 SMP mod_unload ");
        assert_eq!(info.kernel_release(), "6.12.94");
        assert_eq!((info.softdep, info.license), (vec!["pre: x".to_owned()], vec!["GPL".to_owned()]));
        assert!(info.in_tree);
        let machine = Machine { architecture: "X86_64".into(), is_64_bit: true, little_endian: true };
        assert_eq!(info.machine, machine);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(ModuleInfo::read(b"").unwrap_err().id(), "MOD001");
        assert_eq!(ModuleInfo::read(b"#!/bin/sh\n").unwrap_err().id(), "MOD001");
        assert_eq!(ModuleInfo::read(&elf(".text", INFO)).unwrap_err().id(), "MOD002");
        assert_eq!(ModuleInfo::read(&elf(".modinfo", b"name=x\0")).unwrap_err().id(), "MOD002");
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>(), length in any::<prop::sample::Index>()) {
            let mut bytes = elf(".modinfo", INFO);
            let at = at.index(bytes.len());
            bytes[at] = value;
            let _ = ModuleInfo::read(&bytes);
            bytes.truncate(length.index(bytes.len()));
            let _ = ModuleInfo::read(&bytes);
        }
    }
}
