//! A Debian kernel, opened for building packages and for booting.
//!
//! In Debian 12 and 13 it is one package with files in `/boot`; from 7.x on, image, configuration and modules are all
//! below `/usr/lib/modules/RELEASE`. Both layouts are read, after `dpkg-deb -x`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::{Job, cmd, files};
use model::{Cancel, Events, Exit, Failure, KernelId, Problem, Result};

use super::boot_image::BootImage;
use super::config::{Config, Setting};
use super::module::{self, Module};

/// The stage's name in events.
const STAGE: &str = "kernel";

/// Deadline for unpacking; 110 MB took 3 s when measured.
const UNPACK_LIMIT: Duration = Duration::from_secs(600);

/// The folder of modules in Debian 13 and later, and in Debian 12.
const MODULE_FOLDERS: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// A Debian kernel in a directory.
#[derive(Debug, Clone)]
pub struct Kernel {
    directory: Utf8PathBuf,
    release: String,
    id: KernelId,
    debian_version: String,
    built: u64,
    config: Config,
    builtin: BTreeSet<String>,
    modules: BTreeMap<String, Utf8PathBuf>,
    builtin_lists: Vec<Utf8PathBuf>,
}

impl Kernel {
    /// Unpacks kernel packages into the empty directory `out`, extracts what QEMU boots from the boot image, and opens
    /// the result.
    ///
    /// # Errors
    /// As [`unpack`] and [`Kernel::open`].
    pub fn prepare(debs: &[Utf8PathBuf], out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Self> {
        unpack(debs, &out.join("root"), cancel)?;
        let boot_image = locate(out)?.vmlinuz;
        let bytes = files::read(&boot_image)?;
        let booted = BootImage::read(&bytes).and_then(|image| image.kernel());
        files::write(&out.join("vmlinux"), &booted.map_err(|why| unreadable_image(why, &boot_image))?)?;
        let kernel = Kernel::open(out)?;
        events.line(STAGE, format!("kernel {} with {} modules", kernel.release, kernel.modules.len()));
        Ok(kernel)
    }

    /// Opens what [`Kernel::prepare`] made.
    ///
    /// # Errors
    /// `KRN001` no kernel, or several; `KRN002` a part is missing; `KRN003` its boot image is not understood; `IO…`
    /// when files cannot be read.
    pub fn open(directory: &Utf8Path) -> Result<Self> {
        let Located { release, folder, vmlinuz, config } = locate(directory)?;
        let image = files::read(&vmlinuz)?;
        let banner = BootImage::read(&image).and_then(|image| image.banner());
        let banner = banner.map_err(|why| unreadable_image(why, &vmlinuz))?;
        let (version, revision) = debian_version(&banner).ok_or_else(|| {
            unreadable_image(format!("its version text `{banner}` does not name a Debian version"), &vmlinuz)
        })?;
        let built =
            std::fs::metadata(&vmlinuz).map_err(|error| Failure::io("read the file", &vmlinuz, &error))?.mtime();
        let config = Config::parse(&files::read_text(&config)?);
        let list = folder.join("modules.builtin");
        let builtin = files::read_text(&list)?.lines().filter_map(module::name_of_path).collect();
        let mut modules = BTreeMap::new();
        module::index(&folder.join("kernel"), &mut modules)?;
        Ok(Kernel {
            directory: directory.to_owned(),
            debian_version: package_version(&banner).unwrap_or_default().to_owned(),
            id: KernelId { version, config_hash: config.hash.clone(), release: revision },
            built: u64::try_from(built).unwrap_or_default(),
            builtin_lists: [list, folder.join("modules.builtin.modinfo")]
                .into_iter()
                .filter(|file| file.is_file())
                .collect(),
            release,
            config,
            builtin,
            modules,
        })
    }

    /// The release that `uname -r` prints.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Version, configuration hash and Debian revision.
    pub fn id(&self) -> &KernelId {
        &self.id
    }

    /// The version of its Debian packages, such as `6.12.107-1`.
    pub fn debian_version(&self) -> &str {
        &self.debian_version
    }

    /// When Debian built it, in seconds since 1970: the time of the files in its package.
    pub fn built(&self) -> u64 {
        self.built
    }

    /// The file that QEMU boots: decompressed, if QEMU could not do that itself or only slowly.
    pub fn vmlinux(&self) -> Utf8PathBuf {
        self.directory.join("vmlinux")
    }

    /// How a configuration symbol, given without `CONFIG_`, is set; `None` when it is not.
    pub fn setting(&self, symbol: &str) -> Option<Setting> {
        self.config.get(symbol)
    }

    /// Whether a module is built into the kernel image; `-` and `_` count as the same.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&module::normal(name))
    }

    /// Whether a module exists as a file.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.contains_key(&module::normal(name))
    }

    /// `modules.builtin` and its companion, which are in the package `kernel`.
    pub(crate) fn builtin_lists(&self) -> &[Utf8PathBuf] {
        &self.builtin_lists
    }

    /// A module, decompressed but with its signature, so that the stock kernel loads it without a taint.
    ///
    /// # Errors
    /// `KRN004` no such module; `KRN005` its file is damaged.
    pub fn module(&self, name: &str) -> Result<Module> {
        let path = self.modules.get(&module::normal(name)).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Failed,
                id: "KRN004",
                what: format!("kernel {} has no module `{name}`", self.release),
                why: "it is neither a module file nor built in",
                fix: "check the spelling, or do not ask for it on this kernel",
            })
        })?;
        Module::read(path)
    }

    /// The named modules and all that they need, each after those it needs; built-in ones are left out.
    ///
    /// Debian ships no `modules.dep` (its postinst makes one), so this follows the modules' own fields: `depends`, and
    /// the `pre` part of `softdep` if it names a module file.
    ///
    /// # Errors
    /// As [`Kernel::module`].
    pub fn closure(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut closure = Closure { kernel: self, seen: BTreeSet::new(), modules: Vec::new() };
        for name in names {
            closure.add(name)?;
        }
        Ok(closure.modules)
    }

    /// Writes the closure of `names` into the flat folder `out`, with a `modules.dep`, and returns the file names in
    /// load order.
    ///
    /// # Errors
    /// As [`Kernel::closure`].
    pub fn take(&self, names: &[&str], out: &Utf8Path) -> Result<Vec<String>> {
        let modules = self.closure(names)?;
        files::create_folder(out)?;
        for module in &modules {
            files::write(&out.join(&module.file_name), &module.bytes)?;
        }
        files::write(&out.join("modules.dep"), module::dependency_list(&modules).as_bytes())?;
        Ok(modules.into_iter().map(|module| module.file_name).collect())
    }
}

/// A depth-first walk along module dependencies.
struct Closure<'a> {
    kernel: &'a Kernel,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Closure<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        let name = module::normal(name);
        if self.kernel.is_builtin(&name) || !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let module = self.kernel.module(&name)?;
        for needed in &module.depends {
            self.add(needed)?;
        }
        for wished in module.before.iter().filter(|wished| self.kernel.has_module(wished)) {
            self.add(wished)?;
        }
        self.modules.push(module);
        Ok(())
    }
}

/// tar's messages when the disk is full, a quota is used up, or a file is too large.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "File too large"];

/// Version of what [`unpack`] makes from the same packages; it depends only on dpkg-deb.
pub const UNPACKED: u32 = 1;

/// Unpacks Debian packages into one directory.
///
/// # Errors
/// `CMD001` without dpkg-deb, `KRN006` for a damaged package, `IO002` without space.
pub fn unpack(debs: &[Utf8PathBuf], out: &Utf8Path, cancel: &Cancel) -> Result<()> {
    files::create_folder(out)?;
    let shell = host::shell()?;
    for deb in debs {
        let command = cmd!(shell, "dpkg-deb --extract {deb} {out}");
        let output = Job::new(command, UNPACK_LIMIT).from_package("dpkg").output(cancel)?;
        if FULL.iter().any(|text| output.stderr.contains(text)) {
            return Err(Failure::io("unpack the package", deb, &std::io::ErrorKind::StorageFull.into()));
        }
        if !output.success {
            return Err(Failure::of(Problem {
                exit: Exit::Host,
                id: "KRN006",
                what: "a Debian package cannot be unpacked",
                why: output.last_words(),
                fix: "it was intact when apt fetched it: check the disk, then run `cargo xtask clean` and try again",
            })
            .at(deb));
        }
    }
    Ok(())
}

/// The parts of the only kernel in a directory.
struct Located {
    release: String,
    folder: Utf8PathBuf,
    vmlinuz: Utf8PathBuf,
    config: Utf8PathBuf,
}

fn locate(directory: &Utf8Path) -> Result<Located> {
    let root = directory.join("root");
    let mut folders = Vec::new();
    for parent in MODULE_FOLDERS.map(|folder| root.join(folder)) {
        let Ok(entries) = parent.read_dir_utf8() else { continue };
        folders
            .extend(entries.flatten().map(|entry| entry.path().to_owned()).filter(|path| path.join("kernel").is_dir()));
    }
    let [folder] = &folders[..] else {
        return Err(Failure::of(Problem {
            exit: Exit::Failed,
            id: "KRN001",
            what: format!("{} kernels where one is expected", folders.len()),
            why: "the Debian packages must hold exactly one set of kernel modules",
            fix: "name one kernel package of one suite",
        })
        .at(root));
    };
    let release = folder.file_name().unwrap_or_default().to_owned();
    let part = |name: &str| {
        let places = [root.join("boot").join(format!("{name}-{release}")), folder.join(name)];
        places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| missing_part(name, &release, &places[0]))
    };
    let (vmlinuz, config) = (part("vmlinuz")?, part("config")?);
    part("modules.builtin")?;
    Ok(Located { vmlinuz, config, folder: folder.clone(), release })
}

fn missing_part(name: &str, release: &str, place: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "KRN002",
        what: format!("kernel {release} lacks its `{name}`"),
        why: "the Debian packages do not have it where releases 12, 13 and sid do",
        fix: "fetch the whole kernel: linux-image-…, and on newer releases also linux-modules-… and linux-base-…",
    })
    .at(place)
}

fn unreadable_image(why: String, place: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "KRN003",
        what: "the kernel's boot image is not understood",
        why,
        fix: "use another kernel of Debian (--kernel), and report this one",
    })
    .at(place)
}

/// From `6.1.0-50-amd64 (…) #1 SMP … Debian 6.1.176-1 (2026-07-02)`: version `6.1.176` and revision 1. The release is
/// not enough: Debian 12's always says `6.1.0`.
fn debian_version(banner: &str) -> Option<(String, u32)> {
    let (version, revision) = package_version(banner)?.split_once('-')?;
    let digits = revision.split(|character: char| !character.is_ascii_digit()).next()?;
    let plain = version.starts_with(|first: char| first.is_ascii_digit())
        && version.chars().all(|character| character.is_ascii_alphanumeric() || "._~".contains(character));
    Some((plain.then(|| version.to_owned())?, digits.parse().ok()?))
}

/// The version of the kernel's Debian packages, `6.1.176-1`.
fn package_version(banner: &str) -> Option<&str> {
    banner.rsplit_once(" Debian ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, RELEASE, elf};
    use super::*;

    const MODULES: &[(&str, &str)] = &[
        ("nf_tables", "depends=nfnetlink,libcrc32c"),
        ("nfnetlink", "depends="),
        ("libcrc32c", "depends=crypto_hash\0softdep=pre: crc32c some-alias post: nft-late"),
        ("crc32c", "depends="),
        ("nft-late", "depends=nf-tables"),
    ];

    #[test]
    fn a_kernel_is_known_by_version_configuration_and_revision() {
        let fixture = Fixture::new(MODULES);
        let kernel = fixture.open();
        assert_eq!(kernel.release(), RELEASE);
        assert_eq!(kernel.debian_version(), "6.12.1-2");
        let hash = "a3f24b6ff5ef053c836afecc8114f6ee"; // printf 'CONFIG_NETFILTER=y\nCONFIG_NF_TABLES=m\n' | md5sum
        assert_eq!(kernel.id().package_version(), format!("6.12.1~{hash}-r2"));
        assert_eq!(kernel.setting("NF_TABLES"), Some(Setting::Module));
        assert_eq!(kernel.setting("NFT_QUEUE"), None);
        assert!(
            kernel.is_builtin("crypto_hash") && kernel.is_builtin("crypto-hash") && !kernel.is_builtin("nfnetlink")
        );
        assert!(kernel.has_module("nft_late") && kernel.has_module("nft-late") && !kernel.has_module("nft"));
        let image = fixture.directory().join(format!("root/boot/vmlinuz-{RELEASE}"));
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        std::fs::File::options().write(true).open(image).unwrap().set_modified(time).unwrap();
        assert_eq!(fixture.open().built(), 1_700_000_000);
    }

    #[test]
    fn the_layout_of_newer_and_older_packages_is_found() {
        let fixture = Fixture::new(MODULES);
        for part in ["vmlinuz", "config"] {
            let old = fixture.directory().join(format!("root/boot/{part}-{RELEASE}"));
            std::fs::rename(old, fixture.modules().join(part)).unwrap();
        }
        assert_eq!(fixture.open().release(), RELEASE);
        let root = fixture.directory().join("root");
        std::fs::rename(root.join("usr/lib"), root.join("lib")).unwrap();
        assert_eq!(fixture.open().release(), RELEASE);
    }

    #[test]
    fn the_closure_is_in_the_order_of_loading() {
        let fixture = Fixture::new(MODULES);
        let out = fixture.directory().join("out");
        let order = fixture.open().take(&["nft_late", "nfnetlink"], &out).unwrap();
        assert_eq!(order, ["nfnetlink.ko", "crc32c.ko", "libcrc32c.ko", "nf_tables.ko", "nft-late.ko"]);
        assert_eq!(
            files::read_text(&out.join("modules.dep")).unwrap(),
            "crc32c.ko:\nlibcrc32c.ko:\nnf_tables.ko: nfnetlink.ko libcrc32c.ko\nnfnetlink.ko:\n\
             nft-late.ko: nf_tables.ko nfnetlink.ko libcrc32c.ko\n"
        );
        assert_eq!(files::read(&out.join("crc32c.ko")).unwrap(), fixture.open().module("crc32c").unwrap().bytes);
    }

    #[test]
    fn a_circle_of_modules_ends() {
        let kernel = Fixture::new(&[("a", "depends=b"), ("b", "depends=a")]);
        assert_eq!(kernel.open().closure(&["a"]).unwrap().len(), 2);
        assert_eq!(kernel.open().take(&["a"], &kernel.directory().join("out")).unwrap(), ["b.ko", "a.ko"]);
    }

    #[test]
    fn compressed_modules_are_decompressed() {
        let fixture = Fixture::new(&[]);
        let bytes = elf(&format!("vermagic={RELEASE} SMP\0depends=\0"));
        fixture.put_module("packed.ko.gz", &super::super::unpack::tests::gzip(&bytes));
        let module = fixture.open().module("packed").unwrap();
        assert_eq!((module.bytes, module.file_name.as_str()), (bytes, "packed.ko"));
    }

    #[test]
    fn what_is_wrong_with_a_module_is_said() {
        let fixture = Fixture::new(&[("a", "depends=nowhere")]);
        fixture.put_module("cut.ko.xz", b"\xfd7zXZ\0cut");
        fixture.put_module("text.ko", b"no ELF file");
        let kernel = fixture.open();
        for (name, id) in [("a", "KRN004"), ("nowhere", "KRN004"), ("cut", "KRN005"), ("text", "KRN005")] {
            let failure = kernel.closure(&[name]).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), (id, Exit::Failed), "{name}");
        }
    }

    #[test]
    fn a_directory_that_holds_no_whole_kernel_is_refused() {
        let id = |fixture: &Fixture| Kernel::open(fixture.directory()).unwrap_err().id();
        let fixture = Fixture::new(MODULES);
        fixture.put("root/lib/modules/6.1.0-1-amd64/kernel/x.ko", b"");
        assert_eq!(id(&fixture), "KRN001");
        let fixture = Fixture::new(&[]);
        assert_eq!(id(&fixture), "KRN001", "no modules, no kernel");
        for part in [
            format!("boot/vmlinuz-{RELEASE}"),
            format!("boot/config-{RELEASE}"),
            format!("usr/lib/modules/{RELEASE}/modules.builtin"),
        ] {
            let fixture = Fixture::new(MODULES);
            std::fs::remove_file(fixture.directory().join("root").join(&part)).unwrap();
            assert_eq!(id(&fixture), "KRN002", "{part}");
        }
        for image in [b"MZ".to_vec(), super::super::boot_image::tests::image("no version in it")] {
            let fixture = Fixture::new(MODULES);
            fixture.put(&format!("root/boot/vmlinuz-{RELEASE}"), &image);
            assert_eq!(id(&fixture), "KRN003");
        }
    }

    #[test]
    fn the_debian_version_is_in_the_banner() {
        let version = |banner| debian_version(banner);
        assert_eq!(
            version("6.1.0-50-amd64 (x@debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)"),
            Some(("6.1.176".into(), 1))
        );
        assert_eq!(version("7.2 (x) #1 Debian 7.2~rc1-1~exp2 (2026-07-02)"), Some(("7.2~rc1".into(), 1)));
        for bad in ["", "6.1 (x) #1", "x Debian 6.1", "x Debian ../6-1 ", "x Debian 6.1-x "] {
            assert_eq!(version(bad), None, "{bad}");
        }
    }

    /// A Debian package with one file, made by dpkg-deb.
    fn deb(fixture: &Fixture) -> Option<Utf8PathBuf> {
        let tree = fixture.directory().join("tree");
        fixture.put(
            "tree/DEBIAN/control",
            b"Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n",
        );
        fixture.put("tree/usr/share/x", b"text");
        let file = fixture.directory().join("x.deb");
        let built = std::process::Command::new("dpkg-deb").args(["--build", tree.as_str(), file.as_str()]).output();
        if built.is_ok_and(|output| output.status.success()) {
            return Some(file);
        }
        println!("skipped: this host has no dpkg-deb");
        None
    }

    #[test]
    fn packages_are_unpacked_and_damaged_ones_refused() {
        let fixture = Fixture::new(&[]);
        let Some(deb) = deb(&fixture) else { return };
        let out = fixture.directory().join("unpacked");
        unpack(std::slice::from_ref(&deb), &out, &Cancel::default()).unwrap();
        assert_eq!(files::read_text(&out.join("usr/share/x")).unwrap(), "text");
        std::fs::write(&deb, "no package").unwrap();
        let failure = unpack(&[deb], &out, &Cancel::default()).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("KRN006", Exit::Host));
    }

    #[test]
    fn prepare_takes_the_kernel_out_of_the_boot_image() {
        let fixture = Fixture::new(MODULES);
        let control = b"Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n";
        fixture.put("root/DEBIAN/control", control);
        let (tree, deb) = (fixture.directory().join("root"), fixture.directory().join("kernel.deb"));
        let built = std::process::Command::new("dpkg-deb").args(["--build", tree.as_str(), deb.as_str()]).output();
        if !built.is_ok_and(|output| output.status.success()) {
            println!("skipped: this host has no dpkg-deb");
            return;
        }
        let out = fixture.directory().join("prepared");
        let kernel = Kernel::prepare(&[deb], &out, &Events::discard(), &Cancel::default()).unwrap();
        assert_eq!(files::read(&kernel.vmlinux()).unwrap(), b"\x7fELF and so on");
        assert_eq!(kernel.id(), fixture.open().id());
    }
}
