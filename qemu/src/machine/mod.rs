//! What QEMU is asked to be: a description in YAML, turned into a list of words.
//!
//! Nothing here starts a process. The words are a function of their inputs, so that they can be
//! read and tested without QEMU, and so that a saved state fits every later start.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Accel, Exit, Failure, Problem, Result, Target};
use serde::{Deserialize, Serialize};

/// The console that is part of the machine.
const BOARD: &str = "board";

/// A kind of router, read from `qemu/machines/NAME.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Machine {
    version: u32,
    /// The OpenWrt target that this machine runs.
    pub target: Target,
    /// The emulator.
    pub qemu: Emulator,
    /// `-machine`.
    pub machine: String,
    /// `-cpu`, by accelerator.
    pub cpu: Cpu,
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub cpus: u32,
    /// Kernel command line.
    pub append: Vec<String>,
    /// Device that carries the console's character device, or `board`: the machine's own serial port.
    pub console: String,
    /// The two network cards.
    pub nic: Nic,
    /// Which images of a release it boots, the best first.
    #[serde(default)]
    pub images: Vec<Kind>,
    /// How an image's disk is attached.
    pub disk: Option<DiskDevice>,
}

/// How an official image comes: which files it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A kernel, and a root file system that becomes a disk without partitions.
    KernelRootfs,
    /// A disk with partitions, boot loader, kernel and root file system.
    Combined,
    /// A kernel with its root file system inside.
    Initramfs,
}

/// How a disk is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskDevice {
    /// `-device` model.
    pub device: String,
    /// The name that the guest's kernel gives it, such as `/dev/vda`.
    pub root: String,
}

/// What a guest runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What QEMU itself loads: `vmlinux`, or what the architecture takes. `None` where the firmware boots the disk.
    pub kernel: Option<Utf8PathBuf>,
    /// Initial file system, where the kernel has none inside and needs one.
    pub initramfs: Option<Utf8PathBuf>,
    /// Disk; never written to, see [`crate::overlay`].
    pub disk: Option<Disk>,
    /// Words for the kernel's command line, after those of the machine.
    pub append: Vec<String>,
    /// What its console shows once a shell is there, or one press of Enter away.
    pub ready: String,
}

/// The file of a disk. What the guest writes goes to an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file, which must stay as it is while something runs above it.
    pub file: Utf8PathBuf,
    /// Its format.
    pub format: DiskFormat,
}

/// Format of a disk's file, always told: guessing it would let a guest choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bytes of the disk.
    Raw,
    /// What differs from another file, which it names.
    Qcow2,
}

impl DiskFormat {
    /// QEMU's word for it.
    pub fn word(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        }
    }
}

impl Image {
    /// An image whose file systems are all in memory.
    pub fn in_memory(kernel: Utf8PathBuf, initramfs: Utf8PathBuf, ready: &str) -> Image {
        Image { kernel: Some(kernel), initramfs: Some(initramfs), disk: None, append: Vec::new(), ready: ready.into() }
    }
}

/// Which QEMU, and what to install to get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// Program name or path.
    pub binary: String,
    /// Debian package that holds it.
    pub package: String,
    /// Lowest version that works, such as `7.2`.
    pub minimum: String,
}

/// CPU model by accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Under emulation.
    pub tcg: String,
    /// Where instructions are counted, if it is another one there.
    pub counted: Option<String>,
    /// Under KVM.
    pub kvm: String,
}

/// Model and addresses of the network cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nic {
    /// `-device` model.
    pub device: String,
    /// Further properties of the device.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Address of the LAN card, the first one.
    pub lan_mac: String,
    /// Address of the WAN card.
    pub wan_mac: String,
    /// Slots of the two cards on the PCI bus, where it matters which: they decide about interrupt lines.
    pub slots: Option<Slots>,
}

/// Slots of the two network cards on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// Slot of the LAN card, the lower one: the guest names its cards in this order.
    pub lan: u8,
    /// Slot of the WAN card.
    pub wan: u8,
}

/// Unix sockets that QEMU connects to as a client. All of them listen before QEMU starts.
#[derive(Debug, Clone, Copy)]
pub struct Sockets<'a> {
    /// Serial console.
    pub console: &'a Utf8Path,
    /// QMP, QEMU's control channel.
    pub control: &'a Utf8Path,
    /// Frames of the LAN and of the WAN card; without them the guest has no network card at all.
    pub links: Option<Links<'a>>,
}

/// The far ends of the two network cards: each frame goes with its length, 4 bytes big endian, in front.
#[derive(Debug, Clone, Copy)]
pub struct Links<'a> {
    /// Far end of the LAN card.
    pub lan: &'a Utf8Path,
    /// Far end of the WAN card.
    pub wan: &'a Utf8Path,
}

/// A file in which the guest has its memory.
#[derive(Debug, Clone, Copy)]
pub struct MemoryFile<'a> {
    /// The file, as large as the memory; QEMU makes it where there is none.
    pub path: &'a Utf8Path,
    /// Whether what the guest writes goes to the file. Otherwise it is kept aside, and the file stays as it is.
    pub shared: bool,
}

/// One start of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// What the guest runs.
    pub image: &'a Image,
    /// What lies above the image's disk, of the format qcow2, and is written to.
    pub overlay: Option<&'a Utf8Path>,
    /// Where the guest has its memory, if not in QEMU's own.
    pub memory: Option<MemoryFile<'a>>,
    /// How instructions are run.
    pub accel: Accel,
    /// Where QEMU connects to.
    pub sockets: Sockets<'a>,
    /// Wait for a saved state over QMP instead of booting.
    pub incoming: bool,
}

impl Machine {
    /// Reads a machine file.
    pub fn load(path: &Utf8Path) -> Result<Machine> {
        let machine: Machine = model::yaml::load(path)?;
        machine.check().map_err(|failure| failure.at(path))?;
        Ok(machine)
    }

    /// Reads the text of a machine file; `path` is for messages.
    pub fn parse(path: &Utf8Path, text: &str) -> Result<Machine> {
        let machine: Machine = model::yaml::parse(path, text)?;
        machine.check().map_err(|failure| failure.at(path))?;
        Ok(machine)
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: String, fix: &str| {
            Err(Failure::of(Problem {
                exit: Exit::Usage,
                id: "VM001",
                what,
                why: "QEMU would refuse to start or the guest would not answer",
                fix,
            }))
        };
        if !(64..=65_536).contains(&self.memory_mib) {
            return refuse(format!("memory-mib is {}", self.memory_mib), "give it between 64 and 65536 MiB");
        }
        if !(1..=64).contains(&self.cpus) {
            return refuse(format!("cpus is {}", self.cpus), "give it between 1 and 64 CPUs");
        }
        for mac in [&self.nic.lan_mac, &self.nic.wan_mac] {
            if !is_unicast_mac(mac) {
                return refuse(format!("`{mac}` is no unicast MAC address"), "write it as 52:54:00:00:01:01");
            }
        }
        if self.disk.is_none() && self.images.iter().any(|kind| *kind != Kind::Initramfs) {
            return refuse(
                "images have a disk, and the machine has none".into(),
                "describe it: disk: { device, root }",
            );
        }
        if self.nic.lan_mac.eq_ignore_ascii_case(&self.nic.wan_mac) {
            return refuse("lan-mac and wan-mac are the same".into(), "give each card its own address");
        }
        if let Some(Slots { lan, wan }) = self.nic.slots.filter(|slots| slots.lan >= slots.wan || slots.wan > 31) {
            let what = format!("the cards' slots are {lan} and {wan}");
            return refuse(
                what,
                "a bus has the slots 0 to 31, and the LAN card comes first: slots: { lan: 18, wan: 20 }",
            );
        }
        Ok(())
    }

    /// The words after the name of QEMU's binary.
    pub fn arguments(&self, start: &Start<'_>) -> Vec<String> {
        let cpu = match start.accel {
            Accel::Tcg => &self.cpu.tcg,
            Accel::Counted => self.cpu.counted.as_ref().unwrap_or(&self.cpu.tcg),
            Accel::Kvm => &self.cpu.kvm,
        };
        let mut words = Words::default();
        // Only what is named here exists: no default card, no user's configuration, no display, no
        // monitor; and the guest's reboot is QEMU's end.
        words.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
        words.pair("-display", "none");
        match start.memory {
            None => words.pair("-machine", &self.machine),
            Some(MemoryFile { path, shared }) => {
                words.pair("-machine", format!("{},memory-backend=memory", self.machine));
                let (path, size) = (option_value(path), self.memory_mib);
                let share = if shared { "on" } else { "off" };
                let file = format!("memory-backend-file,id=memory,size={size}M,mem-path={path},share={share}");
                words.pair("-object", file);
            }
        }
        words.pair("-accel", start.accel.word());
        words.pair("-cpu", cpu);
        if start.accel == Accel::Counted {
            // Nothing of the host's may reach the guest: neither its time nor its random numbers.
            words.pair("-icount", "shift=0,sleep=off");
            words.pair("-rtc", "base=2020-01-01T00:00:00,clock=vm");
            words.pair("-seed", "1");
        }
        words.pair("-m", format!("{}M", self.memory_mib));
        words.pair("-smp", self.cpus.to_string());
        let Image { kernel, initramfs, append, .. } = start.image;
        if let Some(kernel) = kernel {
            words.pair("-kernel", kernel);
            words.pair("-append", [&self.append[..], &append[..]].concat().join(" "));
        }
        if let Some(initramfs) = initramfs {
            words.pair("-initrd", initramfs);
        }
        words.pair("-chardev", format!("socket,id=console,path={},server=off", option_value(start.sockets.console)));
        match self.console.as_str() {
            BOARD => words.pair("-serial", "chardev:console"),
            device => words.pair("-device", format!("{device},chardev=console")),
        }
        words.pair("-chardev", format!("socket,id=control,path={},server=off", option_value(start.sockets.control)));
        words.pair("-mon", "chardev=control,mode=control");
        match start.sockets.links {
            None => words.pair("-nic", "none"),
            Some(Links { lan, wan }) => {
                let Nic { lan_mac, wan_mac, slots, .. } = &self.nic;
                let (lan_slot, wan_slot) = (slots.map(|slots| slots.lan), slots.map(|slots| slots.wan));
                for (id, mac, slot, path) in [("lan", lan_mac, lan_slot, lan), ("wan", wan_mac, wan_slot, wan)] {
                    let path = option_value(path);
                    words.pair("-netdev", format!("stream,id={id},server=off,addr.type=unix,addr.path={path}"));
                    words.pair("-device", self.nic.device_option(id, mac, slot));
                }
            }
        }
        // After the cards, whose places on the bus name them in the guest.
        if let (Some(overlay), Some(DiskDevice { device, .. })) = (start.overlay, &self.disk) {
            let file = option_value(overlay);
            // Nobody reads it after the guest's end, so nothing is gained by waiting for the host's disk.
            words.pair("-drive", format!("if=none,id=disk,file={file},format=qcow2,cache=unsafe"));
            words.pair("-device", format!("{device},drive=disk"));
        }
        if start.incoming {
            words.pair("-incoming", "defer");
        }
        words.0
    }
}

impl Nic {
    fn device_option(&self, netdev: &str, mac: &str, slot: Option<u8>) -> String {
        let mut text = format!("{},netdev={netdev},mac={mac}", self.device);
        if let Some(slot) = slot {
            text.push_str(&format!(",addr={slot:#x}"));
        }
        for (key, value) in &self.options {
            text.push_str(&format!(",{key}={}", option_value(value)));
        }
        text
    }
}

/// A list of words under construction.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(ToString::to_string));
    }

    fn pair(&mut self, option: &str, value: impl ToString) {
        self.0.extend([option.to_string(), value.to_string()]);
    }
}

/// In QEMU's option lists a comma ends a value and two commas are one.
fn option_value(value: impl ToString) -> String {
    value.to_string().replace(',', ",,")
}

fn is_unicast_mac(text: &str) -> bool {
    let octets: Vec<_> = text.split(':').collect();
    let hex = |octet: &&str| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit());
    octets.len() == 6 && octets.iter().all(hex) && u8::from_str_radix(octets[0], 16).is_ok_and(|first| first & 1 == 0)
}

#[cfg(test)]
mod tests;
