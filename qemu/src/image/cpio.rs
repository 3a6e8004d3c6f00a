//! A file tree as a cpio archive of the kind that Linux unpacks at boot: `newc`, uncompressed.
//!
//! Format: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel. The bytes are a function of
//! the tree: sorted by path, owner root, no time, inode numbers in order.

use std::collections::BTreeMap;

/// What a path of the image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Directory { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
    Device { mode: u32, major: u32, minor: u32 },
}

/// Paths without the leading slash.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Entry>);

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

impl Tree {
    /// Adds an entry and the folders above it. A later one replaces an earlier one.
    pub(super) fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Entry::Directory { mode: 0o755 });
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.add(path, Entry::File { mode, bytes: bytes.into() });
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path.trim_matches('/'))
    }

    /// The archive.
    pub(super) fn archive(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (path, entry)) in (1..).zip(&self.0) {
            match entry {
                Entry::Directory { mode } => record(&mut out, inode, path, DIRECTORY | mode, (0, 0), &[]),
                Entry::File { mode, bytes } => record(&mut out, inode, path, REGULAR | mode, (0, 0), bytes),
                Entry::Link { target } => record(&mut out, inode, path, LINK | 0o777, (0, 0), target.as_bytes()),
                Entry::Device { mode, major, minor } => {
                    record(&mut out, inode, path, CHARACTER_DEVICE | mode, (*major, *minor), &[]);
                }
            }
        }
        record(&mut out, 0, "TRAILER!!!", 0, (0, 0), &[]);
        out
    }
}

fn record(out: &mut Vec<u8>, inode: usize, path: &str, mode: u32, (major, minor): (u32, u32), bytes: &[u8]) {
    let links = if mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
    let (size, name_size) = (bytes.len(), path.len() + 1);
    // magic, inode, mode, uid, gid, links, mtime, size, device of the file system, device, name, checksum
    let header = format!(
        "070701{inode:08X}{mode:08X}{:08X}{:08X}{links:08X}{:08X}{size:08X}{:08X}{:08X}{major:08X}{minor:08X}{name_size:08X}{:08X}",
        0, 0, 0, 0, 0, 0
    );
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(bytes);
    pad(out);
}

/// Names and contents begin at multiples of four.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.file("/usr/bin/tool", 0o755, "#!/bin/sh\n");
        tree.add("/dev/console", Entry::Device { mode: 0o600, major: 5, minor: 1 });
        tree.add("/var", Entry::Link { target: "tmp".into() });
        tree.add("/tmp", Entry::Directory { mode: 0o1777 });
        tree
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let paths: Vec<_> = tree().0.keys().cloned().collect();
        assert_eq!(paths, ["dev", "dev/console", "tmp", "usr", "usr/bin", "usr/bin/tool", "var"]);
        assert!(tree().contains("/usr/bin") && !tree().contains("/usr/sbin"));
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let mut other = Tree::default();
        for (path, entry) in tree().0.into_iter().rev() {
            other.add(&path, entry);
        }
        assert!(tree().archive() == other.archive());
    }

    /// By `cpio`, so that not only we think that it is a cpio archive.
    #[test]
    fn the_records_are_newc() {
        let archive = tree().archive();
        assert!(archive.starts_with(b"070701") && archive.len().is_multiple_of(4));
        let text = String::from_utf8_lossy(&archive);
        assert_eq!(text.matches("070701").count(), 8);
        // The file: mode 0100755, one link, ten bytes, a name of 14 bytes with its end.
        assert!(text.contains("000081ED000000000000000000000001000000000000000A"), "{text}");
        let mut cpio = Command::new("cpio");
        let mut child =
            cpio.args(["-it", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cpio");
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let listed = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 7);
    }
}
