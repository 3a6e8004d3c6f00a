//! A kernel for tests: the files of a Debian kernel package, each as small as can be read.

use camino::{Utf8Path, Utf8PathBuf};

use super::Kernel;
use super::boot_image::tests::image;

pub(crate) const RELEASE: &str = "6.12.1+deb13-amd64";

/// The files of a kernel in a temporary directory, to be changed before it is opened.
pub(crate) struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// A kernel with these modules, each a name and what its `.modinfo` says besides the vermagic.
    pub(crate) fn new(modules: &[(&str, &str)]) -> Self {
        let fixture = Fixture { directory: tempfile::tempdir().unwrap() };
        fixture.put_image(&format!("{RELEASE} (x) #1 SMP Debian 6.12.1-2 (2026-01-01)"));
        fixture.put(
            &format!("root/boot/config-{RELEASE}"),
            b"CONFIG_NETFILTER=y\nCONFIG_NF_TABLES=m\n# CONFIG_NFT_QUEUE is not set\n",
        );
        fixture.put_module_list("modules.builtin", "kernel/crypto/crypto-hash.ko\n");
        fixture.put_module_list("modules.builtin.modinfo", "crypto_hash.license=GPL\0");
        for (name, says) in modules {
            fixture.put_module(&format!("{name}.ko"), &elf(&format!("vermagic={RELEASE} SMP mod_unload \0{says}\0")));
        }
        fixture
    }

    pub(crate) fn directory(&self) -> &Utf8Path {
        Utf8Path::from_path(self.directory.path()).unwrap()
    }

    pub(crate) fn modules(&self) -> Utf8PathBuf {
        self.directory().join("root/usr/lib/modules").join(RELEASE)
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.directory().join(path);
        crate::files::create_directory(path.parent().unwrap()).unwrap();
        crate::files::write(&path, bytes).unwrap();
    }

    /// A boot image that calls itself so.
    pub(crate) fn put_image(&self, banner: &str) {
        self.put(&format!("root/boot/vmlinuz-{RELEASE}"), &image(banner));
    }

    pub(crate) fn put_module_list(&self, name: &str, text: &str) {
        self.put(&format!("root/usr/lib/modules/{RELEASE}/{name}"), text.as_bytes());
    }

    pub(crate) fn put_module(&self, file_name: &str, bytes: &[u8]) {
        self.put(&format!("root/usr/lib/modules/{RELEASE}/kernel/net/{file_name}"), bytes);
    }

    pub(crate) fn open(&self) -> Kernel {
        Kernel::open(self.directory()).unwrap()
    }
}

/// A 64-bit relocatable ELF file whose only content is a section `.modinfo`.
pub(crate) fn elf(modinfo: &str) -> Vec<u8> {
    const HEADER: usize = 64;
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let names_at = HEADER + modinfo.len();
    let table_at = (names_at + NAMES.len()).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Relocatable file for x86-64, ELF version 1, no entry, no segments.
    file.extend([1_u16, 62, 1, 0].map(u16::to_le_bytes).concat());
    file.extend([0, 0, table_at as u64].map(u64::to_le_bytes).concat());
    file.extend([0_u16, 0, 64, 0, 0, 64, 3, 2].map(u16::to_le_bytes).concat());
    file.extend(modinfo.as_bytes());
    file.extend(NAMES);
    file.resize(table_at, 0);
    for (name, kind, offset, size) in [(0, 0, 0, 0), (1, 1, HEADER, modinfo.len()), (10, 3, names_at, NAMES.len())] {
        file.extend([name, kind].map(u32::to_le_bytes).concat());
        file.extend([0, 0, offset as u64, size as u64, 0, 1, 0].map(u64::to_le_bytes).concat());
    }
    file
}
