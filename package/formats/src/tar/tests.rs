//! Hand-made archives, each of which must be refused.

use std::io::Write as _;

use proptest::prelude::*;

use super::header::{Header, LINK, LONG_LINK, MAJOR, MODE, NAME, PREFIX, SIZE, TIME};
use super::*;
use crate::{Content, Device, Entry, Error, Kind, Limits};

/// One member with a correct header.
fn member(kind: u8, name: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new(kind);
    header.put(NAME, name);
    header.put(LINK, link);
    header.put_number(MODE, 0o644).unwrap();
    header.put_number(TIME, 0).unwrap();
    header.put_number(SIZE, content.len() as u64).unwrap();
    header.seal();
    let mut bytes = [&header.0, content].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn file(name: &str) -> Vec<u8> {
    member(b'0', name.as_bytes(), b"", b"x")
}

/// Paths of an archive of these members, or the id of the error.
fn paths(members: &[Vec<u8>]) -> Result<Vec<String>, &'static str> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    read(&bytes).map_err(|error| error.id())
}

fn read(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let mut reader = Reader::new(bytes, &Limits::default());
    let mut paths = Vec::new();
    while let Some(member) = reader.next_member()? {
        paths.push(member.entry.path);
    }
    Ok(paths)
}

#[test]
fn spellings_of_the_same_path_are_one() {
    let dir = member(b'5', b"./a/", b"", b"");
    let root = member(b'5', b"./", b"", b"");
    assert_eq!(paths(&[root, dir.clone(), file("a/b"), dir, file("./c")]).unwrap(), ["a", "a/b", "a", "c"]);
    assert_eq!(paths(&[file("./c"), file("c")]), Err("TAR007"));
}

#[test]
fn paths_that_leave_the_root_are_refused() {
    for name in ["../a", "/a", "a/../b", "a//b", "a/./b", "./", "", "././a", "a/", "a\nb", ".."] {
        assert_eq!(paths(&[file(name)]), Err("TAR004"), "{name:?}");
    }
    assert_eq!(paths(&[member(b'0', b"\xff", b"", b"")]), Err("TAR004"));
    assert_eq!(path_problem(&"a/".repeat(LONGEST_NAME)), Some("it is too long"));
    assert_eq!(path_problem(&"a".repeat(256)), Some("a component is longer than 255 bytes"));
}

#[test]
fn nothing_is_written_through_a_link_or_file() {
    let link = member(b'2', b"a", b"/etc", b"");
    assert_eq!(paths(&[link.clone(), file("a/b")]), Err("TAR008"));
    assert_eq!(paths(&[file("a"), file("a/b")]), Err("TAR008"));
    assert_eq!(paths(&[file("a/b"), link.clone()]), Err("TAR007"));
    assert_eq!(paths(&[member(b'5', b"a", b"", b""), link]), Err("TAR007"));
}

#[test]
fn a_hard_link_needs_an_earlier_file() {
    let link = |target: &[u8]| member(b'1', b"h", target, b"");
    assert_eq!(paths(&[file("a"), link(b"./a")]).unwrap(), ["a", "h"]);
    for target in [&b"./b"[..], b"/a", b"../a", b"h", b""] {
        assert_eq!(paths(&[file("a"), link(target)]), Err("TAR009"));
    }
    assert_eq!(paths(&[member(b'2', b"a", b"/etc/shadow", b""), link(b"a")]), Err("TAR009"));
}

#[test]
fn long_names_are_read_and_bounded() {
    let long = "d/".repeat(100) + "f";
    let name = |text: &[u8]| member(b'L', LONG_LINK, b"", text);
    let terminated = [long.as_bytes(), b"\0"].concat();
    assert_eq!(paths(&[name(&terminated), file("short")]).unwrap(), [&long[..]]);
    assert_eq!(paths(&[name(long.as_bytes()), file("short")]).unwrap(), [&long[..]]);
    for bad in [&b""[..], b"\0", b"a\0b\0", &[b'a'; LONGEST_NAME + 1]] {
        assert_eq!(paths(&[name(bad), file("short")]), Err("TAR010"));
    }
    assert_eq!(paths(&[name(&terminated)]), Err("TAR010"));
    assert_eq!(paths(&[name(&terminated), name(&terminated), file("short")]), Err("TAR010"));
    assert_eq!(paths(&[member(b'L', b"other", b"", &terminated), file("short")]), Err("TAR010"));
}

#[test]
fn posix_headers_have_a_prefix() {
    let mut header = Header::new(b'0');
    header.0[257..265].copy_from_slice(b"ustar\x0000");
    header.put(NAME, b"file");
    header.put(PREFIX, b"usr/bin");
    header.seal();
    assert_eq!(paths(&[header.0.to_vec()]).unwrap(), ["usr/bin/file"]);
}

#[test]
fn members_that_make_no_sense_are_refused() {
    assert_eq!(paths(&[member(b'5', b"a", b"", b"x")]), Err("TAR012"));
    assert_eq!(paths(&[member(b'2', b"a", b"", b"")]), Err("TAR012"));
    assert_eq!(paths(&[member(b'2', b"a", b"\xff", b"")]), Err("TAR012"));
    for kind in [b'x', b'g', b'S', b'V', b'?'] {
        assert_eq!(paths(&[member(kind, b"a", b"", b"")]), Err("TAR005"));
    }
    for kind in [b'3', b'4', b'6'] {
        assert_eq!(paths(&[member(kind, b"a", b"", b"")]), Err("TAR006"));
    }
    let mut not_tar = Header::new(b'0');
    not_tar.put(NAME, b"a");
    not_tar.0[257..262].copy_from_slice(b"USTAR");
    not_tar.seal();
    assert_eq!(paths(&[not_tar.0.to_vec()]), Err("TAR002"));
}

#[test]
fn the_end_is_two_zero_blocks_and_nothing_else() {
    let archive = file("a");
    assert_eq!(read(&archive).unwrap_err().id(), "TAR001");
    let with_end = [archive.clone(), vec![0; 2 * BLOCK]].concat();
    for length in 1..with_end.len() {
        assert_eq!(read(&with_end[..length]).unwrap_err().id(), "TAR001", "cut at {length}");
    }
    assert_eq!(read(&[with_end.clone(), vec![0; 9000]].concat()).unwrap(), ["a"]);
    assert_eq!(read(&[with_end, b"x".to_vec()].concat()).unwrap_err().id(), "TAR013");
    assert_eq!(read(&[archive, vec![0; BLOCK], file("b"), vec![0; BLOCK]].concat()).unwrap_err().id(), "TAR013");
}

#[test]
fn many_long_paths_do_not_fill_the_memory() {
    let mut bytes = Vec::new();
    for number in 0..1000 {
        let path = format!("{number}/{}f\0", "d/".repeat(1900));
        bytes.extend(member(b'L', LONG_LINK, b"", path.as_bytes()));
        bytes.extend(file("short"));
    }
    assert_eq!(paths(&[bytes]), Err("TAR011"));
}

#[test]
fn what_cannot_be_stored_is_an_error() {
    let refused = |entry: Entry| Writer::new(Vec::new(), 0).entry(&entry).unwrap_err().id();
    assert_eq!(refused(Entry::file("../a", 0o644, Content::from(""))), "TAR014");
    assert_eq!(refused(Entry::file("a", 0o10000, Content::from(""))), "TAR014");
    assert_eq!(refused(Entry::symlink("a", "")), "TAR014");
    assert_eq!(refused(Entry::symlink("a", "x".repeat(LONGEST_NAME))), "TAR014");
    let device = Kind::Device(Device::Block { major: u32::MAX, minor: 0 });
    assert_eq!(refused(Entry { kind: device, ..Entry::dir("a", 0o644) }), "TAR014");
    let mut owned = Entry::dir("a", 0o755);
    owned.owner.id = u32::MAX;
    assert_eq!(refused(owned), "TAR014");
    assert_eq!(Writer::new(Vec::new(), u64::MAX).root().unwrap_err().id(), "TAR014");
}

#[test]
fn devices_survive_a_round_trip_when_allowed() {
    let mut writer = Writer::new(Vec::new(), 0);
    let devices = [Device::Character { major: 1, minor: 3 }, Device::Block { major: 8, minor: 0 }, Device::Fifo];
    for (number, device) in devices.into_iter().enumerate() {
        writer.entry(&Entry { kind: Kind::Device(device), ..Entry::dir(format!("d{number}"), 0o600) }).unwrap();
    }
    let (bytes, length) = writer.finish().unwrap();
    assert_eq!(bytes.len() as u64, length);
    let mut reader = Reader::new(&bytes[..], &Limits { devices: true, ..Limits::default() });
    for device in devices {
        assert_eq!(reader.next_member().unwrap().unwrap().entry.kind, Kind::Device(device));
    }
    let mut header = Header::new(b'3');
    header.put(NAME, b"a");
    header.put(MAJOR, b"x");
    header.seal();
    assert_eq!(paths(&[header.0.to_vec()]), Err("TAR003"));
}

#[test]
fn a_writer_that_fails_ends_the_archive_with_its_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::new(std::io::BufWriter::with_capacity(16, Full), 0);
    assert_eq!(writer.root().unwrap_err().id(), "FMT001");
    Full.flush().unwrap();
}

proptest! {
    #[test]
    fn no_member_leads_out_of_the_root(
        members in prop::collection::vec(("(\\.\\./|\\./|/|[abx]/?|\\.\\.){0,5}", prop::sample::select(b"0125".to_vec()), "(\\.\\./|/|[ab]/?){0,4}"), 1..6),
    ) {
        let mut bytes = Vec::new();
        for (name, kind, link) in &members {
            bytes.extend(member(*kind, name.as_bytes(), link.as_bytes(), if *kind == b'0' { b"x" } else { b"" }));
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        let mut reader = Reader::new(&bytes[..], &Limits::default());
        let mut links = Vec::new();
        while let Ok(Some(member)) = reader.next_member() {
            let path = member.entry.path;
            prop_assert!(path_problem(&path).is_none(), "{}", path);
            prop_assert!(!links.iter().any(|link: &String| path.starts_with(&format!("{link}/"))), "{} is below a link", path);
            match member.entry.kind {
                Kind::Symlink(_) => links.push(path),
                Kind::HardLink(target) => prop_assert!(path_problem(&target).is_none(), "{}", target),
                _ => {}
            }
        }
    }

    #[test]
    fn random_headers_never_panic(mut bytes in prop::collection::vec(any::<u8>(), BLOCK * 3), kind in prop::sample::select(b"0123456LKxg".to_vec())) {
        let mut header = Header(bytes[..BLOCK].try_into().unwrap());
        header.0[257..265].copy_from_slice(b"ustar  \0");
        header.0[header::TYPE] = kind;
        header.seal();
        bytes[..BLOCK].copy_from_slice(&header.0);
        let _ = read(&bytes);
    }
}
