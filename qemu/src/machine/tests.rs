//! Tests of machine descriptions and of the words that QEMU is given.

use std::sync::OnceLock;

use super::*;

const X86_64: &str = include_str!("../../machines/x86-64.yaml");

fn x86_64() -> Machine {
    Machine::parse("x86-64.yaml".into(), X86_64).unwrap()
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| Image::in_memory("/k/vmlinux".into(), "/i/initramfs".into(), "ready"))
}

fn start(links: Option<Links<'_>>) -> Start<'_> {
    Start {
        image: image(),
        overlay: None,
        memory: None,
        accel: Accel::Tcg,
        sockets: Sockets { console: "/s/console".into(), control: "/s/control".into(), links },
        incoming: false,
    }
}

fn links() -> Option<Links<'static>> {
    Some(Links { lan: "/s/lan".into(), wan: "/s/wan".into() })
}

/// Values of an option that may be given more than once.
fn values<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
    words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str()).collect()
}

#[test]
fn the_lan_card_comes_first_and_there_is_no_other() {
    let words = x86_64().arguments(&start(links()));
    assert_eq!(
        values(&words, "-netdev"),
        [
            "stream,id=lan,server=off,addr.type=unix,addr.path=/s/lan",
            "stream,id=wan,server=off,addr.type=unix,addr.path=/s/wan"
        ]
    );
    assert_eq!(
        values(&words, "-device"),
        [
            "isa-serial,chardev=console",
            "virtio-net-pci,netdev=lan,mac=52:54:00:00:01:01,romfile=",
            "virtio-net-pci,netdev=wan,mac=52:54:00:00:02:01,romfile="
        ]
    );
    assert!(words.contains(&"-nodefaults".into()) && !words.contains(&"-nic".into()));
    let words = x86_64().arguments(&start(None));
    assert_eq!((values(&words, "-nic"), values(&words, "-netdev").len()), (vec!["none"], 0));
}

/// On malta the interrupt lines of slots 18 and 19 are one, as are those of 20 and 21, and an interrupt may be lost on a
/// line that two cards share.
#[test]
fn cards_on_a_malta_board_share_no_interrupt_line() {
    for text in [include_str!("../../machines/malta-be.yaml"), include_str!("../../machines/ramips-mt7621.yaml")] {
        let machine = Machine::parse("malta.yaml".into(), text).unwrap();
        let words = machine.arguments(&start(links()));
        let addr = |card: &str| {
            let place = card.split_once(",addr=0x").expect("the card has a slot of its own").1;
            u8::from_str_radix(place.split(',').next().unwrap(), 16).unwrap()
        };
        let [lan, wan] = values(&words, "-device")[..] else { panic!("{words:?}") };
        assert_eq!((addr(lan), addr(wan)), (18, 20));
    }
    let slots = X86_64.replace("wan-mac:", "slots: { lan: 19, wan: 18 }, wan-mac:");
    assert_eq!(Machine::parse("x.yaml".into(), &slots).unwrap_err().id(), "VM001");
}

#[test]
fn a_broken_guest_ends_qemu_and_a_resumed_one_waits_for_its_state() {
    let machine = x86_64();
    let words = machine.arguments(&start(links()));
    let append = values(&words, "-append")[0];
    assert!(append.contains("panic=-1") && append.contains("oops=panic"), "{append}");
    assert!(words.contains(&"-no-reboot".into()) && values(&words, "-incoming").is_empty());
    let words = machine.arguments(&Start { incoming: true, ..start(links()) });
    assert_eq!(values(&words, "-incoming"), ["defer"]);
}

#[test]
fn memory_in_a_file_is_the_machines_memory() {
    let machine = x86_64();
    let words = machine.arguments(&start(None));
    assert_eq!((values(&words, "-machine"), values(&words, "-object").len()), (vec!["q35"], 0));
    for (shared, share) in [(true, "on"), (false, "off")] {
        let memory = Some(MemoryFile { path: "/s/a,b".into(), shared });
        let words = machine.arguments(&Start { memory, ..start(None) });
        let file = format!("memory-backend-file,id=memory,size=256M,mem-path=/s/a,,b,share={share}");
        assert_eq!(
            (values(&words, "-machine"), values(&words, "-object")),
            (vec!["q35,memory-backend=memory"], vec![file.as_str()])
        );
    }
}

#[test]
fn cpu_follows_the_accelerator() {
    let qemu64 = "qemu64,+rdrand";
    for (accel, expected) in
        [(Accel::Tcg, ("tcg", qemu64)), (Accel::Counted, ("tcg", "max")), (Accel::Kvm, ("kvm", "host"))]
    {
        let words = x86_64().arguments(&Start { accel, ..start(None) });
        assert_eq!((values(&words, "-accel")[0], values(&words, "-cpu")[0]), expected);
    }
    let mut one_for_both = x86_64();
    one_for_both.cpu.counted = None;
    let words = one_for_both.arguments(&Start { accel: Accel::Counted, ..start(None) });
    assert_eq!(values(&words, "-cpu"), [qemu64]);
}

#[test]
fn a_counted_guest_learns_nothing_of_the_host() {
    let counted = x86_64().arguments(&Start { accel: Accel::Counted, ..start(None) });
    for (option, value) in
        [("-icount", "shift=0,sleep=off"), ("-rtc", "base=2020-01-01T00:00:00,clock=vm"), ("-seed", "1")]
    {
        assert_eq!(values(&counted, option), [value]);
        assert!(values(&x86_64().arguments(&start(None)), option).is_empty(), "{option}");
    }
}

#[test]
fn a_comma_in_a_path_does_not_end_the_option() {
    let links = Links { lan: "/s/a,server=on".into(), wan: "/s/wan".into() };
    let words = x86_64().arguments(&start(Some(links)));
    assert!(values(&words, "-netdev")[0].ends_with("addr.path=/s/a,,server=on"));
}

#[test]
fn a_machine_that_cannot_work_is_refused() {
    for (from, to) in [
        ("memory-mib: 256", "memory-mib: 16"),
        ("cpus: 1", "cpus: 0"),
        ("52:54:00:00:02:01", "52:54:00:00:01:01"),
        ("52:54:00:00:02:01", "53:54:00:00:02:01"),
        ("52:54:00:00:02:01", "52:54:00:00:02"),
        ("disk:", "# disk:"),
    ] {
        assert!(X86_64.contains(from), "{from}");
        let failure = Machine::parse("m.yaml".into(), &X86_64.replace(from, to)).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM001", Exit::Usage), "{to}");
        assert!(failure.to_string().contains("m.yaml"));
    }
    let failure = Machine::parse("m.yaml".into(), &format!("{X86_64}bios: x\n")).unwrap_err();
    assert_eq!(failure.id(), "CONF001");
}

#[test]
fn a_disk_comes_after_the_cards_and_is_an_overlay() {
    let machine = x86_64();
    let disk = Some(Disk { file: "/b,ase".into(), format: DiskFormat::Raw });
    let image = Image { initramfs: None, disk, append: vec!["root=/dev/vda".into()], ..image().clone() };
    let start = Start { image: &image, overlay: Some("/s/a,b".into()), ..start(links()) };
    let words = machine.arguments(&start);
    assert_eq!(values(&words, "-drive"), ["if=none,id=disk,file=/s/a,,b,format=qcow2,cache=unsafe"]);
    assert_eq!(values(&words, "-device").last(), Some(&"virtio-blk-pci,drive=disk"));
    assert!(values(&words, "-append")[0].ends_with(" root=/dev/vda") && values(&words, "-initrd").is_empty());
    let combined = Image { kernel: None, ..image.clone() };
    let words = machine.arguments(&Start { image: &combined, ..start });
    assert!(values(&words, "-kernel").is_empty() && values(&words, "-append").is_empty());
}

#[test]
fn every_machine_of_the_repository_is_for_its_target_and_boots_something() {
    let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/machines"));
    let mut seen = 0;
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let machine = Machine::load(&path).unwrap();
        assert_eq!(path.file_stem(), Some(machine.target.slug().as_str()));
        // One that has no disk for an image is for a stand-in.
        assert_eq!(machine.images.is_empty(), machine.disk.is_none(), "{path}");
        let words = machine.arguments(&start(links()));
        let by_device = values(&words, "-device").iter().any(|device| device.ends_with(",chardev=console"));
        assert_ne!(by_device, values(&words, "-serial") == ["chardev:console"], "{path} has one console");
        assert_eq!(values(&words, "-append").len(), 1);
        seen += 1;
    }
    assert!(seen >= 4);
}
