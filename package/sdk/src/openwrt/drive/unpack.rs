//! Unpacks an SDK's archive into a tree, once, at its final place.
//!
//! The archive is a tar of one folder, in xz (23.05 and older) or zstd. Nothing is written outside the target, not even
//! through a link; owners, set-user-id bits and extended attributes are dropped.

use std::fs::File;
use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Events, Exit, Failure, Problem, Result};

/// The stage's name in events.
pub const STAGE: &str = "sdk";

/// Version of what [`unpack`] makes from the same archive. The tree's content is OpenWrt's; unpacking takes minutes,
/// and it may contain the results of hours of builds.
pub const UNPACKED: u32 = 1;

/// The tree's folder in the stage's folder.
pub(super) const TREE: &str = "sdk";

/// Memory for the xz dictionary, in KiB: `xz -9e` has 64 MiB.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// The free space needed, as a multiple of the archive's size: an unpacked SDK takes about five times the archive, and
/// its first use half of that again.
const SPACE: u64 = 8;

/// Only the owner may change files, whatever the umask is.
const MASK: u32 = 0o022;

/// Unpacks an archive into the empty folder `out`, as `out/sdk`.
///
/// The tree may be moved until its first use, but never later, because OpenWrt's build leaves absolute links in it.
///
/// # Errors
/// `SDK010` a place where OpenWrt's build does not work, `SDK011` too little space, `SDK012` a damaged or hostile
/// archive, `SDK013` no SDK in it, `RUN001` the user interrupted.
pub fn unpack(archive: &Utf8Path, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<()> {
    check_place(out)?;
    let file = File::open(archive).map_err(|error| Failure::io("open the archive", archive, &error))?;
    let size = file.metadata().map_err(|error| Failure::io("open the archive", archive, &error))?.len();
    check_space(out, size)?;
    let watched = Watched { file, done: 0, told: 0, size, events, cancel };
    let extracted = decompress(BufReader::with_capacity(1 << 20, watched)).and_then(|reader| extract(reader, out));
    cancel.check()?;
    extracted.map_err(|error| {
        let of_the_system = causes(&error).find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
        match of_the_system {
            Some(code) => Failure::io("unpack the archive", out, &io::Error::from_raw_os_error(code)),
            None => damaged(archive, &error),
        }
    })?;
    let top = the_one_folder(out, archive)?;
    let tree = out.join(TREE);
    std::fs::rename(&top, &tree).map_err(|error| Failure::io("move the tree into place", &tree, &error))
}

/// Checks the path: OpenWrt's Makefiles split paths at blanks, and two of their goals reset the git repository around
/// them.
fn check_place(out: &Utf8Path) -> Result<()> {
    let refuse = |what: &str, why: &str| {
        let fix = "point XDG_CACHE_HOME at a folder outside every git repository, without blanks and `#` in its path";
        Err(Failure::of(Problem { exit: Exit::Usage, id: "SDK010", what, why, fix }).at(out))
    };
    if out.as_str().contains(|c: char| c.is_whitespace() || "#:'\"$".contains(c)) {
        return refuse(
            "the cache's path has a blank or a special character",
            "an OpenWrt SDK does not work in such a place, and fails with misleading messages",
        );
    }
    if out.ancestors().any(|folder| folder.join(".git").exists()) {
        return refuse(
            "the cache lies inside a git repository",
            "OpenWrt's build runs git in its tree, and would act on the repository around it",
        );
    }
    Ok(())
}

fn check_space(out: &Utf8Path, archive: u64) -> Result<()> {
    // If the free space is not known, writing will fail in time.
    let Ok(system) = rustix::fs::statvfs(out.as_std_path()) else { return Ok(()) };
    let (free, needed) = (system.f_bavail.saturating_mul(system.f_frsize), archive.saturating_mul(SPACE));
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(Failure::of(Problem {
        exit: Exit::Host,
        id: "SDK011",
        what: format!("{} MiB are free, an SDK of this size needs some {} MiB", mib(free), mib(needed)),
        why: "an SDK is unpacked whole, and OpenWrt's build makes a git repository of it",
        fix: "free some space with `cargo xtask clean`, or point XDG_CACHE_HOME at a larger disk",
    })
    .at(out))
}

/// The archive's file; reports progress, and fails when the user interrupts.
struct Watched<'a> {
    file: File,
    done: u64,
    told: u64,
    size: u64,
    events: &'a Events,
    cancel: &'a Cancel,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.file.read(buffer)?;
        self.done += count as u64;
        // A hundred steps are enough for a progress bar.
        if self.done - self.told > self.size / 100 {
            self.told = self.done;
            self.events.progress(STAGE, self.done >> 20, Some(self.size >> 20));
        }
        Ok(count)
    }
}

/// Chooses the decompressor by magic number, because names may be wrong.
fn decompress<'a>(mut reader: BufReader<Watched<'a>>) -> io::Result<Box<dyn Read + 'a>> {
    let start = io::BufRead::fill_buf(&mut reader)?;
    match start {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(reader).map_err(io::Error::other)?;
            Ok(Box::new(decoder))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY_KIB)))
        }
        _ => Err(io::Error::other("it is neither xz nor zstd")),
    }
}

fn extract(reader: Box<dyn Read + '_>, out: &Utf8Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, reader));
    archive.set_mask(MASK);
    archive.set_preserve_mtime(true);
    // Folders get their modes last, so that their contents can be written.
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => folders.push(entry),
            tar::EntryType::Regular | tar::EntryType::Symlink | tar::EntryType::Link | tar::EntryType::GNUSparse => {
                unpack_entry(&mut entry, out)?;
            }
            tar::EntryType::XGlobalHeader => {}
            other => return Err(io::Error::other(format!("it holds a {other:?}, which an SDK never does"))),
        }
    }
    folders.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    folders.iter_mut().try_for_each(|entry| unpack_entry(entry, out))
}

fn unpack_entry(entry: &mut tar::Entry<'_, impl Read>, out: &Utf8Path) -> io::Result<()> {
    if entry.unpack_in(out)? {
        return Ok(());
    }
    Err(io::Error::other(format!("`{}` leads out of it", String::from_utf8_lossy(&entry.path_bytes()))))
}

/// An error and its causes: the archive reader's own errors say only what it was doing.
fn causes(error: &io::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source())
}

fn damaged(archive: &Utf8Path, error: &io::Error) -> Failure {
    let mut said: Vec<String> = causes(error).map(ToString::to_string).collect();
    said.dedup();
    Failure::of(Problem {
        exit: Exit::Mismatch,
        id: "SDK012",
        what: "the SDK's archive cannot be unpacked",
        why: format!("{}; its digest was right when it was fetched", said.join(": ")),
        fix: "remove the file, so that it is fetched again; if that does not help, report it to the mirror",
    })
    .at(archive)
}

/// The archive must contain one folder with the archive's name.
fn the_one_folder(out: &Utf8Path, archive: &Utf8Path) -> Result<Utf8PathBuf> {
    let io = |error: io::Error| Failure::io("list the folder", out, &error);
    let mut entries = out.read_dir_utf8().map_err(io)?.collect::<io::Result<Vec<_>>>().map_err(io)?;
    let found = entries.len();
    match entries.pop() {
        Some(top) if found == 1 && top.path().join("include/toplevel.mk").is_file() => Ok(top.into_path()),
        _ => Err(Failure::of(Problem {
            exit: Exit::Mismatch,
            id: "SDK013",
            what: "the archive is not an OpenWrt SDK",
            why: format!(
                "an SDK is one folder that contains `include/toplevel.mk`; this archive has {found} at its \
                top"
            ),
            fix: "check what the mirror offers as SDK for this target, and report it there",
        })
        .at(archive)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Place(tempfile::tempdir().unwrap());
            std::fs::create_dir(place.path("out")).unwrap();
            place
        }

        fn path(&self, below: &str) -> Utf8PathBuf {
            Utf8Path::from_path(self.0.path()).unwrap().join(below)
        }

        /// Unpacks an archive that `fill` makes.
        fn unpack(&self, fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Result<()> {
            let mut tar = tar::Builder::new(Vec::new());
            fill(&mut tar);
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            self.unpack_bytes(&ruzstd::encoding::compress_to_vec(&tar.into_inner().unwrap()[..], level))
        }

        fn unpack_bytes(&self, bytes: &[u8]) -> Result<()> {
            std::fs::write(self.path("a.tar.zst"), bytes).unwrap();
            unpack(&self.path("a.tar.zst"), &self.path("out"), &Events::discard(), &Cancel::default())
        }
    }

    fn put(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &str, mode: u32, link: &str) {
        let mut header = tar::Header::new_gnu();
        // The tests use paths that the library would refuse to write.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(4711);
        header.set_gid(4711);
        header.set_mtime(1_750_711_236);
        header.set_size(if kind.is_file() { 4 } else { 0 });
        header.set_cksum();
        tar.append(&header, &b"text"[..if kind.is_file() { 4 } else { 0 }]).unwrap();
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn owners_and_special_bits_are_dropped_and_times_and_links_kept() {
        use std::os::unix::fs::MetadataExt as _;
        let place = Place::new();
        place
            .unpack(|tar| {
                put(tar, tar::EntryType::Directory, "top/", 0o777, "");
                put(tar, tar::EntryType::Directory, "top/closed", 0o555, "");
                put(tar, FILE, "top/closed/file", 0o6777, "");
                put(tar, FILE, "top/include/toplevel.mk", 0o644, "");
                put(tar, tar::EntryType::Symlink, "top/dangling", 0o777, "/no/such/place");
                put(tar, tar::EntryType::Link, "top/hard", 0o644, "top/closed/file");
            })
            .unwrap();
        let own = std::fs::metadata(place.path("out")).unwrap();
        let meta = |path: &str| std::fs::symlink_metadata(place.path("out/sdk").join(path)).unwrap();
        assert_eq!(meta("closed/file").mode() & 0o7777, 0o755);
        assert_eq!((meta("closed/file").mtime(), meta("closed/file").uid()), (1_750_711_236, own.uid()));
        assert_eq!(meta("").mode() & 0o777, 0o755);
        assert_eq!(meta("closed").mode() & 0o777, 0o555);
        assert_eq!(std::fs::read_link(place.path("out/sdk/dangling")).unwrap().to_str(), Some("/no/such/place"));
        assert_eq!(meta("hard").ino(), meta("closed/file").ino());
    }

    #[test]
    fn nothing_is_written_outside_through_no_link_either() {
        for (name, link) in [("top/../../escaped", ""), ("top/link/escaped", ".."), ("top/link/escaped", "../..")] {
            let place = Place::new();
            let failure = place.unpack(|tar| {
                put(tar, FILE, "top/include/toplevel.mk", 0o644, "");
                if !link.is_empty() {
                    put(tar, tar::EntryType::Symlink, "top/link", 0o777, &format!("../{link}"));
                }
                put(tar, FILE, name, 0o644, "");
            });
            let failure = failure.unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SDK012", Exit::Mismatch), "{name} {link}: {failure}");
            assert!(!place.path("escaped").exists() && !place.path("out/escaped").exists());
        }
        let place = Place::new();
        let failure = place.unpack(|tar| put(tar, tar::EntryType::Char, "top/null", 0o666, "")).unwrap_err();
        assert_eq!(failure.id(), "SDK012");
    }

    #[test]
    fn an_archive_that_is_cut_or_of_another_kind_is_refused() {
        let place = Place::new();
        let tar = b"top/include/toplevel.mk".repeat(200);
        let zst = ruzstd::encoding::compress_to_vec(&tar[..], ruzstd::encoding::CompressionLevel::Fastest);
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
        xz.write_all(&tar).unwrap();
        let xz = xz.finish().unwrap();
        for bytes in [&b""[..], b"PK\x03\x04", &zst[..zst.len() / 2], &xz[..xz.len() - 9], &zst, &xz] {
            assert_eq!(place.unpack_bytes(bytes).unwrap_err().id(), "SDK012");
        }
    }

    /// A file where the archive has a folder: the system refuses it, which is not the archive's fault.
    #[test]
    fn what_the_system_refused_is_told_as_such_and_what_is_wrong_with_the_archive_with_its_cause() {
        let place = Place::new();
        std::fs::write(place.path("out/top"), "in the way").unwrap();
        let failure = place.unpack(|tar| put(tar, FILE, "top/include/toplevel.mk", 0o644, "")).unwrap_err();
        assert!(failure.id().starts_with("IO") && failure.exit() == Exit::Host, "{failure}");
        assert!(failure.finding().why.contains("os error"), "{failure}");
        let place = Place::new();
        let failure = place.unpack(|tar| {
            put(tar, tar::EntryType::Link, "top/hard", 0o644, "../../outside");
        });
        let failure = failure.unwrap_err();
        assert!(failure.finding().why.contains(": "), "{failure}");
    }

    #[test]
    fn an_archive_without_an_sdk_is_refused() {
        for names in [&["top/include/other.mk"][..], &["top/include/toplevel.mk", "second/file"], &[]] {
            let failure = Place::new().unpack(|tar| names.iter().for_each(|name| put(tar, FILE, name, 0o644, "")));
            let failure = failure.unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SDK013", Exit::Mismatch), "{names:?}");
        }
    }

    #[test]
    fn places_where_the_build_would_fail_or_do_harm_are_refused() {
        let place = Place::new();
        std::fs::create_dir_all(place.path("work/.git")).unwrap();
        for bad in ["with blank", "ha#sh", "work/cache"] {
            let failure = check_place(&place.path(bad)).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SDK010", Exit::Usage), "{bad}");
        }
        check_place(&place.path("out")).unwrap();
        check_space(&place.path("out"), 1).unwrap();
        let failure = check_space(&place.path("out"), u64::MAX / 16).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SDK011", Exit::Host));
    }

    #[test]
    fn an_interrupt_ends_the_work() {
        let place = Place::new();
        std::fs::write(place.path("a.tar.zst"), "x").unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let failure = unpack(&place.path("a.tar.zst"), &place.path("out"), &Events::discard(), &cancel).unwrap_err();
        assert_eq!(failure.exit(), Exit::Interrupted);
    }
}
