//! What a router says of modules, and what is made of it.

use vm::fake::{Scripted, says};

use super::*;

const OURS: Digest = Digest([0xaa; 32]);

fn ours() -> Module {
    Module {
        name: "nf_flow_table".into(),
        path: "/lib/modules/6.12.94/nf_flow_table.ko".into(),
        sha256: OURS,
        build_id: Some("0102".into()),
        srcversion: None,
    }
}

fn seen(line: &str) -> Seen {
    Seen::parse(line).unwrap().1
}

/// The line of a router that runs `id`, as the kernel has it in a note; the file is ours.
fn running(id: &str) -> Seen {
    seen(&format!("nf_flow_table yes {OURS} - 040000000200000003000000474e5500{id}"))
}

#[test]
fn what_runs_is_ours_when_its_file_and_its_build_id_are() {
    assert_eq!(ours().differs(&running("0102"), false), None);
    for (seen, word) in [
        (running("0203"), "build id 0203"),
        (Seen { sha256: Some(Digest([0xbb; 32])), ..running("0102") }, "the feed's is aa"),
        (Seen { loaded: false, ..running("0102") }, "not loaded"),
        (Seen::default(), "not loaded"),
    ] {
        let why = ours().differs(&seen, true).unwrap();
        assert!(why.contains(word), "{why}");
    }
    let by_source = Module { srcversion: Some("77".into()), ..ours() };
    let other = Seen { srcversion: Some("78".into()), build_id: None, ..running("0102") };
    assert!(by_source.differs(&other, true).unwrap().contains("srcversion 78"));
}

/// OpenWrt's modules tell nothing: then all depends on whether the image's was seen to be gone.
#[test]
fn a_module_that_tells_nothing_must_have_been_gone() {
    let bare = Module { build_id: None, ..ours() };
    let silent = seen(&format!("nf_flow_table yes {OURS} - -"));
    assert_eq!(bare.differs(&silent, true), None);
    assert!(bare.differs(&silent, false).unwrap().contains("loaded all the time"));
    assert!(ours().differs(&silent, false).is_some(), "the kernel may keep what the file has to itself");
    assert_eq!(Seen::parse("cat: no such file"), None);
    assert_eq!(Seen::parse("a b"), None);
}

const TABLE: &str = "nft_flow_offload 20480 0 - Live 0x0
nf_flow_table_inet 12288 0 - Live 0x0
nf_flow_table 65536 2 nft_flow_offload,nf_flow_table_inet, Live 0x0
nft_fib 16384 0 - Live 0x0
nf_tables 389120 2 nft_flow_offload,nft_fib, Live 0x0
crc32c_generic 12288 3 - Live 0x0
ext4 1130496 1 - Live 0x0
";

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn modules_are_unloaded_users_first() {
    let table = Loaded::parse(TABLE);
    let ours = names(&["nft_flow_offload", "nf_flow_table", "nf_flow_table_inet", "nf_tables", "crc32c_generic"]);
    assert_eq!(table.unused(&ours), ["nf_flow_table_inet", "nft_fib", "nft_flow_offload"], "the image's own too");
    assert_eq!(table.unused(&names(&["ext4", "nf_nat"])), [""; 0]);
}

#[test]
fn findings_say_which_module_of_which_package() {
    let finding = foreign("kmod-nf-flow", "nf_flow_table", "it is not loaded");
    assert_eq!((finding.id, without("kmod-x").id), ("STEP009", "STEP008"));
    assert!(finding.what.contains("kmod-nf-flow"));
}

/// The script as the host's shell runs it, on files of its own.
#[test]
fn a_router_is_asked_for_all_that_there_is_to_know() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    std::fs::create_dir_all(folder.path().join("sys/nf_flow_table/notes")).unwrap();
    let note = [&[4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0", &[1, 2]].concat();
    std::fs::write(folder.path().join("sys/nf_flow_table/notes/.note.gnu.build-id"), note).unwrap();
    std::fs::write(folder.path().join("modules"), TABLE).unwrap();
    std::fs::write(folder.path().join("x.ko"), "x").unwrap();
    let look = LOOK.replace("/proc/modules", &format!("{root}/modules")).replace("/sys/module", &format!("{root}/sys"));
    // Not every host has one; the image's does the same with these words.
    let hexdump = "hexdump() { od -An -v -tx1 \"$4\" | tr -d ' \\n'; }";
    let script = format!("{hexdump}\nset -- nf_flow_table {root}/x.ko nf_nat {root}/y.ko\n{look}");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let note = "040000000200000003000000474e55000102";
    assert_eq!(said, format!("nf_flow_table yes {digest} - {note}\nnf_nat no - - -\n"));
}

/// Unloads the modules of a feed with nf_flow_table and nf_nat from a router that runs these lines of `/proc/modules`, and
/// lets go of `goes` alone; how many times it was asked, and what is left.
fn unloaded(modules: &[&str], goes: &str, awaited: &[&str]) -> (usize, Vec<String>) {
    let module = |name: &str| Module { name: name.into(), ..ours() };
    let package = |name: &str, module_name: &str| (name.to_owned(), vec![module(module_name)]);
    let payload = Payload([package("kmod-nf-flow", "nf_flow_table"), package("kmod-nf-nat", "nf_nat")].into());
    let mut loaded: Vec<&str> = modules.to_vec();
    let mut asked = 0;
    let mut router = Scripted::new(|script| {
        asked += usize::from(script.contains("rmmod"));
        if script.contains("rmmod") {
            loaded.retain(|line| !line.starts_with(goes));
        }
        Ok(says(&loaded.iter().map(|line| format!("{line}\n")).collect::<String>()))
    });
    let within = Deadline::after(Duration::from_millis(300));
    let left = payload.unload_within(&mut router, awaited, &Cancel::default(), within).unwrap();
    drop(router);
    (asked, left.into_iter().collect())
}

#[test]
fn a_module_that_is_not_let_go_of_is_not_waited_for_without_an_end() {
    let (flow, nat) = ("nf_flow_table 1 0 - Live 0x0", "nf_nat 1 0 - Live 0x0");
    assert_eq!(unloaded(&[flow, nat], "nf_", &["kmod-nf-flow"]), (1, vec![]));
    // Refused, and nobody waits for it.
    assert_eq!(unloaded(&[flow, nat], "nf_flow_table", &["kmod-nf-flow"]), (1, vec!["nf_nat".to_owned()]));
    // Refused, and waited for until the deadline.
    let (asked, left) = unloaded(&[flow, nat], "nf_flow_table", &["kmod-nf-nat"]);
    assert!(asked > 2 && left == ["nf_nat"], "{asked} {left:?}");
    // In use all the time.
    assert_eq!(unloaded(&["nf_nat 1 2 - Live 0x0"], "nothing", &["kmod-nf-nat"]), (0, vec!["nf_nat".to_owned()]));
}
