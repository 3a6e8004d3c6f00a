//! The smallest ELF files that rules examine, made here, so that their content is explicit.

/// An x86-64 file.
#[derive(Default, Clone)]
pub(crate) struct Elf {
    /// A kernel module: relocatable, with this vermagic and these needed modules.
    pub(crate) module: Option<(&'static str, &'static str)>,
    /// Whether it is for AArch64 instead.
    pub(crate) is_arm: bool,
    /// Names of additional sections, such as `.debug_info`.
    pub(crate) sections: Vec<&'static str>,
    pub(crate) has_symbols: bool,
    pub(crate) needed: Vec<&'static str>,
    pub(crate) run_path: Option<&'static str>,
    /// A text in the program's data.
    pub(crate) text: &'static str,
}

const HEADER: u64 = 64;
const SEGMENT: u64 = 56;

impl Elf {
    /// A module built for `release`, which needs `depends`.
    pub(crate) fn module(release: &'static str, depends: &'static str) -> Self {
        Elf { module: Some((release, depends)), ..Elf::default() }
    }

    /// The bytes: header, two segments, text, module information, dynamic table and its names, sections.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0; usize::try_from(HEADER + 2 * SEGMENT).unwrap()];
        file.extend(self.text.as_bytes());
        file.push(0);
        let information = self.module.map_or(String::new(), |(release, depends)| {
            format!("license=GPL\0depends={depends}\0vermagic={release} SMP mod_unload \0")
        });
        let information_at = append(&mut file, information.as_bytes());
        let (names, dynamic) = self.dynamic();
        let names_at = append(&mut file, &names);
        // One segment maps the whole file to address 0, so addresses equal offsets.
        let dynamic = [dynamic, vec![(5, names_at), (10, names.len() as u64), (0, 0)]].concat();
        let dynamic: Vec<u8> = dynamic.iter().flat_map(|(tag, value)| words(&[*tag, *value])).collect();
        let dynamic_at = append(&mut file, &dynamic);

        let mut sections = vec![("", 0, 0, 0)];
        if self.module.is_some() {
            sections.push((".modinfo", 1, information_at, information.len() as u64));
        }
        sections.extend(self.sections.iter().map(|name| (*name, 1, 0, 0)));
        if self.has_symbols {
            sections.push((".symtab", 2, 0, 0));
        }
        sections.push((".shstrtab", 3, 0, 0));
        let mut section_names = Vec::new();
        let starts: Vec<usize> = sections
            .iter()
            .map(|(name, ..)| {
                let start = section_names.len();
                section_names.extend(name.as_bytes());
                section_names.push(0);
                start
            })
            .collect();
        let section_names_at = append(&mut file, &section_names);
        let sections_at = append(&mut file, &[]);
        for ((name, kind, offset, size), start) in sections.iter().zip(&starts) {
            let (offset, size) =
                if *name == ".shstrtab" { (section_names_at, section_names.len() as u64) } else { (*offset, *size) };
            file.extend(u32::try_from(*start).unwrap().to_le_bytes());
            file.extend(u32::to_le_bytes(*kind));
            file.extend(words(&[0, 0, offset, size, 0, 1, 0]));
        }

        let length = file.len() as u64;
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let (kind, machine) = (if self.module.is_some() { 1 } else { 3 }, if self.is_arm { 183 } else { 62 });
        head.extend([u16::to_le_bytes(kind), u16::to_le_bytes(machine)].concat());
        head.extend(1u32.to_le_bytes());
        head.extend(words(&[0, HEADER, sections_at]));
        head.extend(0u32.to_le_bytes());
        let count = u16::try_from(sections.len()).unwrap();
        head.extend([64u16, 56, 2, 64, count, count - 1].map(u16::to_le_bytes).concat());
        for (kind, offset, size) in [(1u32, 0, length), (2, dynamic_at, dynamic.len() as u64)] {
            head.extend([kind, 4].map(u32::to_le_bytes).concat());
            head.extend(words(&[offset, offset, offset, size, size, 8]));
        }
        file[..head.len()].copy_from_slice(&head);
        file
    }

    /// The names that the dynamic table refers to, and its entries so far.
    fn dynamic(&self) -> (Vec<u8>, Vec<(u64, u64)>) {
        let (mut names, mut entries) = (vec![0], Vec::new());
        let tagged = self.needed.iter().map(|name| (1, *name)).chain(self.run_path.map(|path| (29, path)));
        for (tag, name) in tagged {
            entries.push((tag, names.len() as u64));
            names.extend(name.as_bytes());
            names.push(0);
        }
        (names, entries)
    }
}

/// Appends at a multiple of eight; returns the offset.
fn append(file: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    file.resize(file.len().next_multiple_of(8), 0);
    let at = file.len() as u64;
    file.extend(bytes);
    at
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The smallest program for a MIPS router, with all sections stripped; takes the header's flags and `fp_abi`.
pub(crate) fn mips(is_little: bool, flags: u32, float: u8) -> Vec<u8> {
    let half = |value: u16| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
    let word = |value: u32| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut file = [0x7f, b'E', b'L', b'F', 1, if is_little { 1 } else { 2 }, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    file.extend([half(2), half(8)].concat());
    file.extend([word(1), word(0x40_0000), word(52), word(0), word(flags)].concat());
    file.extend([52, 32, 1, 40, 0, 0].map(half).concat());
    file.extend([0x7000_0003, 84, 0, 0, 24, 24, 4, 8].map(word).concat());
    file.extend([0, 0, 32, 2, 1, 0, 0, float]);
    file.extend([0; 16]);
    file
}
