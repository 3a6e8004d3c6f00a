//! A kernel for tests: the files of a Debian kernel package, as small as possible.

use camino::{Utf8Path, Utf8PathBuf};

use super::Kernel;
use super::boot_image::tests::image;
pub(crate) use crate::openwrt::drive::mini::elf;

pub(crate) const RELEASE: &str = "6.12.1+deb13-amd64";

/// The files of a kernel in a temporary directory; tests change them before they open it.
pub(crate) struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// A kernel with these modules; each has a name, and the text of its `.modinfo` without the vermagic.
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
        host::files::create_folder(path.parent().unwrap()).unwrap();
        host::files::write(&path, bytes).unwrap();
    }

    /// Writes a boot image with this banner.
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
