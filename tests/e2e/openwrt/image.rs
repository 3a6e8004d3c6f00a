//! A miniature of an official image, made of the stages of a finished run: Debian's kernel and programs, laid out and
//! named as a release's `generic-kernel.bin` and `generic-ext4-rootfs.img.gz`. See `qemu/tests/mini-openwrt`.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use formats::depend::Dependency;
use formats::{Format, Package};
use model::{Arch, KernelId};
use sdk::Recipes;
use sdk::local::Kernel;
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, apk_key};

use crate::place::{Place, sources};

/// What is built into OpenWrt's kernel, and a module of Debian's: for the initramfs, and for the image.
const FOR_THE_DISK: [&str; 3] = ["virtio_blk", "crc32c_generic", "ext4"];
const FOR_THE_NETWORK: [&str; 3] = ["virtio_pci", "virtio_net", "bridge"];

/// Kmods of the recipes that an image does not have by itself.
const NOT_IN_IMAGES: [&str; 2] = ["kmod-nf-conntrack-netlink", "kmod-nf-nathelper"];

/// OpenWrt's name of the architecture.
const ARCH: &str = "x86_64";

/// Feeds that no router of the lab reaches.
const DISTFEEDS: [(&str, &str); 2] = [
    (
        "etc/opkg/distfeeds.conf",
        "src/gz openwrt_core https://downloads.openwrt.org/releases/24.10.8/targets/x86/64/packages\n",
    ),
    (
        "etc/apk/repositories.d/distfeeds.list",
        "https://downloads.openwrt.org/releases/25.12.5/targets/x86/64/packages/packages.adb\n",
    ),
];

/// What keeps these in an image (`package/network/config/firewall4/Makefile`).
const FIREWALL_NEEDS: [&str; 3] = ["kmod-nft-core", "kmod-nft-nat", "kmod-nft-offload"];

/// Applets of busybox that OpenWrt has (`package/utils/busybox/Config-defaults.in`), and those that stand for its own
/// programs: what loads modules, and what fetches files. The harness has to do with these.
const APPLETS: &str = "[ ash awk basename cat chgrp chmod chown chroot clear cmp cp cut date dd df dirname dmesg du echo \
    egrep env expr false fgrep find free grep gunzip gzip head hexdump hwclock id ifconfig ip kill killall ln ls md5sum \
    mkdir mkfifo mknod mktemp mount mv nc netstat nice nslookup passwd pidof ping ping6 pivot_root printf ps pwd \
    readlink reset rm rmdir route sed seq sha256sum sleep sort start-stop-daemon sync sysctl tail tar tee test time top \
    touch tr traceroute true udhcpc umount uname uniq uptime vi wc which xargs yes zcat \
    depmod insmod lsmod modprobe rmmod setsid cttyhack wget";

/// The release that is stood for: each has one manager.
pub(crate) fn release_of(format: Format) -> &'static str {
    if format == Format::Ipk { "24.10.8" } else { "25.12.5" }
}

/// What images are made of.
pub(crate) struct Parts {
    pub(crate) kernel: Kernel,
    programs: Utf8PathBuf,
    client: Utf8PathBuf,
    /// A module that makes the kernel take `flags offload` on any device, as OpenWrt's do.
    any_device: Option<Utf8PathBuf>,
}

/// The driver that can do that; the image loads it before everything else.
const ANY_DEVICE: (&str, &str) = ("nft_test_card.ko", "etc/any-device.ko");

impl Parts {
    /// The finished stages of a place.
    pub(crate) fn of(place: &Place) -> Parts {
        let one = |stage: &str| place.results(stage).swap_remove(0);
        // Somebody else may have used the programs of another image meanwhile.
        let recipe = vm::image::Recipe::embedded().unwrap();
        let has_all = |programs: &Utf8PathBuf| {
            let mut places = recipe.programs.values().filter(|places| !places.iter().any(|place| place.contains('*')));
            places.all(|places| places.iter().any(|place| programs.join(place).exists()))
        };
        let mut kernels = place.results("kernel").into_iter().map(|kernel| Kernel::open(&kernel).unwrap());
        Parts {
            kernel: kernels.find(|kernel| kernel.release().starts_with("6.12.")).unwrap(),
            programs: place.results("programs").into_iter().find(has_all).unwrap(),
            client: one("opkg").join("opkg"),
            any_device: None,
        }
    }

    /// The same with a kernel that takes `flags offload` on any device, from a place in which the driver was compiled.
    pub(crate) fn of_openwrts_kind(place: &Place) -> Parts {
        let mut compiled = place.results("modules").into_iter().map(|folder| folder.join(ANY_DEVICE.0));
        let driver = compiled.find(|file| file.exists());
        assert!(driver.is_some(), "{} was not compiled", ANY_DEVICE.0);
        Parts { any_device: driver, ..Parts::of(place) }
    }

    /// The kernel's version, as the release has it.
    pub(crate) fn version(&self) -> &str {
        &self.kernel.id().version
    }

    /// Modules of the image's kernel for the SDK of a release; those of the release with apk tell as little about
    /// themselves as OpenWrt's.
    pub(crate) fn modules(&self, recipes: &Recipes, format: Format) -> BTreeMap<String, Vec<u8>> {
        let modules = modules_of(&self.kernel, recipes).into_iter();
        let tells = format == Format::Ipk;
        modules.map(|(name, bytes)| (name, if tells { bytes } else { silent(bytes) })).collect()
    }

    /// `generic-kernel.bin`: the kernel, and behind it what makes up for what it lacks.
    pub(crate) fn kernel_image(&self, scratch: &Utf8Path) -> Vec<u8> {
        let root = scratch.join("initramfs");
        let list = self.kernel.take(&FOR_THE_DISK, &root).unwrap();
        put(&root.join("modules"), list.join("\n").as_bytes(), 0o644);
        let busybox = std::fs::read(self.busybox()).unwrap();
        put(&root.join("bin/busybox"), &busybox, 0o755);
        put(&root.join("init"), &std::fs::read(mini().join("initramfs-init")).unwrap(), 0o755);
        for folder in ["dev", "root"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        let pack = format!("cd '{root}' && find . | '{}' cpio -o -H newc 2>/dev/null | gzip -1", self.busybox());
        let vmlinuz = sources_of(&self.kernel.vmlinux());
        with_initramfs(std::fs::read(vmlinuz).unwrap(), &sh(&pack))
    }

    /// `generic-ext4-rootfs.img.gz`: the image with these packages in it, and metadata behind the compressed bytes.
    pub(crate) fn rootfs(&self, scratch: &Utf8Path, stock: &[Package], format: Format) -> Vec<u8> {
        let root = scratch.join("rootfs");
        self.stand_in(scratch, &root);
        copy_over(&mini().join("root"), &root);
        for (name, target) in [("lib/modules", self.kernel.release()), ("etc/rc.d", "")] {
            std::fs::create_dir_all(root.join(name)).unwrap();
            if !target.is_empty() {
                symlink(self.version(), root.join(name).join(target)).unwrap();
            }
        }
        // pppd's plugins lie in a folder of its version.
        let plugins = root.join("usr/lib/pppd");
        std::fs::create_dir(plugins.join("2.5.1")).unwrap();
        std::fs::rename(plugins.join("pppoe.so"), plugins.join("2.5.1/pppoe.so")).unwrap();
        if let Some(driver) = &self.any_device {
            std::fs::copy(driver, root.join(ANY_DEVICE.1)).unwrap();
        }
        // As OpenWrt ships it: names alone.
        let builtin = self.kernel.vmlinux().with_file_name("root/usr/lib/modules").join(self.kernel.release());
        let builtin = std::fs::read_to_string(builtin.join("modules.builtin")).unwrap();
        let names: String = builtin.lines().map(|path| format!("{}\n", path.rsplit('/').next().unwrap())).collect();
        put(&root.join("lib/modules").join(self.version()).join("modules.builtin"), names.as_bytes(), 0o644);
        for (order, service) in [(19, "firewall"), (20, "network"), (21, "dnsmasq"), (35, "odhcpd"), (98, "sysntpd")] {
            let script = root.join("etc/init.d").join(service);
            if !script.exists() {
                std::fs::copy(root.join("etc/init.d/noise"), &script).unwrap();
            }
            symlink(format!("../init.d/{service}"), root.join(format!("etc/rc.d/S{order}{service}"))).unwrap();
        }
        for applet in APPLETS.split_whitespace() {
            let place = root.join("usr/bin").join(applet);
            if !["bin", "sbin", "usr/sbin"].iter().any(|folder| root.join(folder).join(applet).exists()) {
                symlink("/bin/busybox", place).unwrap();
            }
        }
        let release = release_of(format);
        let text = format!(
            "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='{release}'\nDISTRIB_TARGET='x86/64'\nDISTRIB_ARCH='x86_64'\n"
        );
        put(&root.join("etc/openwrt_release"), text.as_bytes(), 0o644);
        self.install(scratch, &root, stock, format);
        for (list, line) in DISTFEEDS {
            put(&root.join(list), line.as_bytes(), 0o644);
        }
        let image = scratch.join("rootfs.img");
        sh(&format!(
            "PATH=$PATH:/usr/sbin:/sbin; truncate -s 128M '{image}' && \
             mkfs.ext4 -q -F -O ^has_journal -d '{root}' '{image}'"
        ));
        let mut bytes = sh(&format!("gzip -1 -c '{image}'"));
        bytes.extend(b"{ \"metadata_version\": \"1.1\" }\0FWx0");
        bytes
    }

    /// The stand-in's files, as a folder.
    fn stand_in(&self, scratch: &Utf8Path, root: &Utf8Path) {
        let modules = scratch.join("boot-modules");
        let list = self.kernel.take(&FOR_THE_NETWORK, &modules).unwrap();
        let list: Vec<Utf8PathBuf> = list.iter().map(|file| modules.join(file)).collect();
        let kernel = KernelId { version: self.version().into(), config_hash: KERNEL_HASH.into(), release: 1 };
        let inputs = vm::image::Inputs {
            packages: std::slice::from_ref(&self.programs),
            kernel_release: self.version(),
            boot_modules: &list,
            spare_modules: &[],
            kernel: &kernel,
            arch: &Arch(ARCH.into()),
            target: "x86/64",
            extra: &[vm::image::Extra { path: "/bin/opkg".into(), source: self.client.clone(), mode: 0o755 }],
        };
        let archive = scratch.join("stand-in.cpio");
        let bytes = vm::image::build(&vm::image::Recipe::embedded().unwrap(), &inputs).unwrap();
        std::fs::write(&archive, bytes).unwrap();
        std::fs::create_dir(root).unwrap();
        // The one device among them is made by the kernel.
        sh(&format!("cd '{root}' && '{}' cpio -idm <'{archive}' 2>/dev/null; test -e sbin/fw4", self.busybox()));
        for file in ["init", "etc/addresses"] {
            std::fs::remove_file(root.join(file)).unwrap();
        }
    }

    /// Installs packages as the build of an image does, with one manager; the image has no other.
    fn install(&self, scratch: &Utf8Path, root: &Utf8Path, stock: &[Package], format: Format) {
        let (folder, feed) = (scratch.join("stock"), scratch.join("stock-feed"));
        let mut files = Vec::new();
        for package in stock {
            let mut bytes = Vec::new();
            package.write(format, &mut bytes).unwrap();
            files.push(folder.join(package.file_name(format)));
            put(files.last().unwrap(), &bytes, 0o644);
        }
        let manager = scratch.join(format.manager());
        symlink(&self.client, &manager).unwrap();
        if format == Format::Ipk {
            sh(&format!("'{manager}' -o '{root}' install '{folder}'/*.ipk && rm '{root}/usr/bin/apk'"));
            return;
        }
        let version = format!("{}~{KERNEL_HASH}-r1", self.version());
        for (path, text) in client::apk::image_state(&version, ARCH) {
            put(&root.join(path.trim_start_matches('/')), text.as_bytes(), 0o644);
        }
        let keys = feeds::keys::Keys::generate().unwrap();
        std::fs::create_dir(&feed).unwrap();
        let kernel = feeds::Kernel::of_package(&version);
        feeds::assemble(&files, &Arch(ARCH.into()), &kernel, &keys, &feed).unwrap();
        let index = feeds::folder(&feed, format, &kernel).join("packages.adb");
        let key = keys.public_files().unwrap().into_iter().find(|key| key.format == format).unwrap();
        let place = root.join(key.path().trim_start_matches('/'));
        put(&place, key.text.as_bytes(), 0o644);
        let apk = format!("'{manager}' -p '{root}' -X '{index}'");
        sh(&format!("{apk} update && {apk} add firewall4 libc && rm -r '{place}' '{root}/usr/lib/opkg'"));
        // Whose packages it trusts.
        put(&root.join("etc/apk/keys/openwrt-mini.pem"), apk_key().to_pem().unwrap().as_bytes(), 0o644);
    }

    fn busybox(&self) -> Utf8PathBuf {
        let places = ["usr/bin/busybox", "bin/busybox"].map(|place| self.programs.join(place));
        places.into_iter().find(|place| place.exists()).unwrap()
    }
}

/// The modules of all recipes, as built for a kernel that calls itself by its bare version.
pub(crate) fn modules_of(kernel: &Kernel, recipes: &Recipes) -> BTreeMap<String, Vec<u8>> {
    let names = recipes.kmods.values().flat_map(|kmod| &kmod.modules).map(|module| module.name.clone());
    let module = |name: String| Some((name.clone(), kernel.module(&name).ok()?.bytes));
    let modules = names.filter(|name| kernel.has_module(name)).filter_map(module);
    modules.map(|(name, bytes)| (name, relabelled(bytes, &kernel.id().version))).collect()
}

/// What an image has: the kmods that its firewall needs, from another build than ours, and that firewall.
pub(crate) fn stock(parts: &Parts, recipes: &Recipes, format: Format) -> Vec<Package> {
    let modules = parts.modules(recipes, format).into_iter().map(|(name, bytes)| (name, other_build(bytes))).collect();
    let sdk = MiniSdk { modules: Some(&modules), ..MiniSdk::new(recipes, parts.version(), KERNEL_HASH, Format::Ipk) };
    let mut packages = sdk.kmods();
    packages.retain(|package| !NOT_IN_IMAGES.contains(&package.name.as_str()));
    packages.extend([("firewall4", &FIREWALL_NEEDS[..]), ("libc", &[])].map(|(name, depends)| Package {
        name: name.into(),
        version: "1.2.5-r4".into(),
        architecture: ARCH.into(),
        depends: depends.iter().copied().map(Dependency::on).collect(),
        description: "Of the miniature image".into(),
        section: "base".into(),
        ..Package::default()
    }));
    packages
}

fn mini() -> Utf8PathBuf {
    sources().join("qemu/tests/mini-openwrt")
}

/// The boot image beside the kernel that was taken out of it.
fn sources_of(vmlinux: &Utf8Path) -> Utf8PathBuf {
    let boot = vmlinux.with_file_name("root/boot");
    let files = boot.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    files.into_iter().find(|file| file.file_name().unwrap().starts_with("vmlinuz-")).unwrap()
}

/// Puts an initramfs behind a kernel and into its setup header (Documentation/arch/x86/boot.rst): QEMU loads the whole
/// file at 1 MiB, and without an initramfs of its own it leaves the header as it is. The gap is where the kernel has
/// its stack while it unpacks itself, to 16 MiB and above.
fn with_initramfs(mut kernel: Vec<u8>, initramfs: &[u8]) -> Vec<u8> {
    const LOADED_AT: usize = 1 << 20;
    const GAP: usize = 1 << 20;
    let setup = (usize::from(kernel[0x1f1]) + 1) * 512;
    let padded = (kernel.len() - setup + GAP).next_multiple_of(4096);
    kernel.resize(setup + padded, 0);
    let mut field =
        |at: usize, value: usize| kernel[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    field(0x218, LOADED_AT + padded);
    field(0x21c, initramfs.len());
    kernel.extend(initramfs);
    assert!(kernel.len() - setup < 15 << 20, "it reaches to where the kernel unpacks itself");
    kernel
}

/// The module without its signature and for a kernel of this release.
pub(crate) fn relabelled(mut module: Vec<u8>, release: &str) -> Vec<u8> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    if let Some(end) = module.len().checked_sub(MARK.len()).filter(|&end| &module[end..] == MARK) {
        // In front of the mark: 12 bytes that end with the signature's length.
        let length = u32::from_be_bytes(module[end - 4..end].try_into().unwrap());
        module.truncate(end - 12 - length as usize);
    }
    let start = find(&module, b"vermagic=") + b"vermagic=".len();
    let end = start + module[start..].iter().position(|&byte| byte == 0).unwrap();
    let words = start + module[start..end].iter().position(|&byte| byte == b' ').unwrap();
    let mut text = [release.as_bytes(), &module[words..end]].concat();
    text.resize(end - start, 0);
    module[start..end].copy_from_slice(&text);
    module
}

/// How the note with a build id begins: two lengths, then its type and owner.
const LENGTHS: &[u8] = b"\x04\0\0\0\x14\0\0\0";
const OWNER: &[u8] = b"\x03\0\0\0GNU\0";
const SILENT_OWNER: &[u8] = b"\x7f\0\0\0GNU\0";

/// The module with another build id in its note.
fn other_build(mut module: Vec<u8>) -> Vec<u8> {
    let known = [OWNER, SILENT_OWNER].map(|owner| [LENGTHS, owner].concat());
    let at = known.iter().find_map(|note| module.windows(note.len()).position(|window| window == note)).unwrap();
    module[at + known[0].len()] ^= 0xff;
    module
}

/// The module with a note that nobody takes for a build id.
fn silent(mut module: Vec<u8>) -> Vec<u8> {
    let at = find(&module, &[LENGTHS, OWNER].concat()) + LENGTHS.len();
    module[at..at + OWNER.len()].copy_from_slice(SILENT_OWNER);
    module
}

fn find(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).unwrap()
}

/// Output of a line for the shell that must end well.
#[track_caller]
pub(crate) fn sh(line: &str) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn put(path: &Utf8Path, bytes: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn copy_over(from: &Utf8Path, to: &Utf8Path) {
    for entry in from.read_dir_utf8().unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&place).unwrap();
            copy_over(entry.path(), &place);
        } else {
            // Where the stand-in has a link of this name, what it leads to stays as it is.
            let _gone = std::fs::remove_file(&place);
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
