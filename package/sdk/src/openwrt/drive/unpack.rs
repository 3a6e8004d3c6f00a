//! An SDK's archive to a tree, once, in the place where it stays.
//!
//! The archive is a tar of one folder, in xz (23.05 and older) or zstd. Nothing is written outside the
//! target, through no link either; owners, set-user-id bits and extended attributes are dropped.

use std::fs::File;
use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Events, Exit, Failure, Result};

use crate::files;

/// The stage's name in events.
pub const STAGE: &str = "sdk";

/// The unpacked archive, in the stage's folder.
pub(super) const TREE: &str = "sdk";

/// Memory for the xz dictionary, in KiB: `xz -9e` has 64 MiB.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// An unpacked SDK takes some five times its archive, and its first use half of that again.
const SPACE: u64 = 8;

/// Files may be changed by their owner only, whatever the umask is.
const MASK: u32 = 0o022;

/// Unpacks an archive into the empty folder `out`, as `out/sdk`.
///
/// Its tree may be moved until it is used for the first time, and never after that: OpenWrt's build
/// leaves absolute links in it.
///
/// # Errors
/// `SDK010` a place where OpenWrt's build does not work, `SDK011` too little space, `SDK012` a damaged or
/// hostile archive, `SDK013` no SDK in it, `RUN001` the user interrupted.
pub fn unpack(archive: &Utf8Path, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<()> {
    check_place(out)?;
    let file = File::open(archive).map_err(|error| Failure::io("open the archive", archive, &error))?;
    let size = file.metadata().map_err(|error| Failure::io("open the archive", archive, &error))?.len();
    check_space(out, size)?;
    let watched = Watched { file, done: 0, told: 0, size, events, cancel };
    let extracted = decompress(BufReader::with_capacity(1 << 20, watched)).and_then(|reader| extract(reader, out));
    cancel.check()?;
    extracted.map_err(|error| match error.raw_os_error() {
        Some(_) => Failure::io("unpack the archive", out, &error),
        None => damaged(archive, &error),
    })?;
    let top = the_one_folder(out, archive)?;
    let tree = out.join(TREE);
    std::fs::rename(&top, &tree).map_err(|error| Failure::io("move the tree into place", &tree, &error))
}

/// OpenWrt's Makefiles split paths at blanks, and two of their goals reset the git repository around them.
fn check_place(out: &Utf8Path) -> Result<()> {
    let refuse = |what: &str, why: &str| {
        let fix = "point XDG_CACHE_HOME at a folder outside every git repository, without blanks and `#` in its path";
        Err(Failure::new(Exit::Usage, "SDK010", what, why, fix).at(out))
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
    // Where this cannot be asked, the write itself will tell.
    let Ok(system) = rustix::fs::statvfs(out.as_std_path()) else { return Ok(()) };
    let (free, needed) = (system.f_bavail.saturating_mul(system.f_frsize), archive.saturating_mul(SPACE));
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(Failure::new(
        Exit::Host,
        "SDK011",
        format!("{} MiB are free, an SDK of this size needs some {} MiB", mib(free), mib(needed)),
        "an SDK is unpacked whole, and OpenWrt's build makes a git repository of it",
        "free some space with `cargo xtask clean`, or point XDG_CACHE_HOME at a larger disk",
    )
    .at(out))
}

/// The archive's file: tells how far it was read, and fails when the user interrupts.
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
        // A hundred steps are enough for a bar.
        if self.done - self.told > self.size / 100 {
            self.told = self.done;
            self.events.progress(STAGE, self.done >> 20, Some(self.size >> 20));
        }
        Ok(count)
    }
}

/// Chooses by the magic number: names may lie.
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
    // Folders get their times and modes last, so that what is in them can be written.
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

fn damaged(archive: &Utf8Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Mismatch,
        "SDK012",
        "the SDK's archive cannot be unpacked",
        format!("{error}; its digest was right when it was fetched"),
        "remove the file, so that it is fetched again; if that does not help, report it to the mirror",
    )
    .at(archive)
}

/// The archive holds one folder, of the archive's name.
fn the_one_folder(out: &Utf8Path, archive: &Utf8Path) -> Result<Utf8PathBuf> {
    let io = |error: io::Error| Failure::io("list the folder", out, &error);
    let mut entries = out.read_dir_utf8().map_err(io)?.collect::<io::Result<Vec<_>>>().map_err(io)?;
    let found = entries.len();
    match entries.pop() {
        Some(top) if found == 1 && top.path().join("include/toplevel.mk").is_file() => Ok(top.into_path()),
        _ => Err(Failure::new(
            Exit::Mismatch,
            "SDK013",
            "the archive is no OpenWrt SDK",
            format!("an SDK is one folder with `include/toplevel.mk` in it; this has {found} at its top"),
            "look at what the mirror offers as SDK for this target, and report it there",
        )
        .at(archive)),
    }
}

/// Makes the folder that takes the place of the user's home: OpenWrt's build copies settings from there.
pub(super) fn private_home(folder: &Utf8Path) -> Result<Utf8PathBuf> {
    let home = folder.join("home");
    files::create_directory(&home)?;
    Ok(home)
}
