//! A guest's memory in a file, of which pages of zeros take no room.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;

use camino::{Utf8Path, Utf8PathBuf};
use host::aside::Aside;
use model::{Cancel, Deadline, Failure, Result};

/// What one page of a file system holds; a run of zeros of that length is left out.
const PAGE: usize = 4096;
/// Bytes read at a time.
const CHUNK: usize = 256 * PAGE;

/// Where the memory that belongs to a saved state is kept.
pub(crate) fn beside(state: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{state}.memory"))
}

/// Copies a memory; the copy appears under its name when it is whole.
pub(crate) fn copy(from: &Utf8Path, to: &Utf8Path, cancel: &Cancel, deadline: Deadline) -> Result<()> {
    let read = |error: std::io::Error| Failure::io("read the guest's memory", from, &error);
    let written = |error: std::io::Error| Failure::io("save the guest's memory", to, &error);
    let mut source = File::open(from).map_err(read)?;
    let mut aside = Aside::begin(to).map_err(written)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        cancel.check()?;
        if deadline.passed() {
            return Err(written(ErrorKind::TimedOut.into()));
        }
        let count = source.read(&mut chunk).map_err(read)?;
        if count == 0 {
            break;
        }
        write_runs(aside.file(), &chunk[..count], at).map_err(written)?;
        at += count as u64;
    }
    aside.file().set_len(at).map_err(written)?;
    aside.keep().map_err(written)
}

/// Writes each run of pages that are not all zeros; `at` is the first one's place in the file.
fn write_runs(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    let is_used = |page: &[u8]| *page != [0; PAGE][..page.len()];
    let pages: Vec<&[u8]> = bytes.chunks(PAGE).collect();
    let mut begin = 0;
    for run in pages.chunk_by(|one, next| is_used(one) == is_used(next)) {
        let end = begin + run.iter().map(|page| page.len()).sum::<usize>();
        if run.iter().any(|page| is_used(page)) {
            file.write_all_at(&bytes[begin..end], at + begin as u64)?;
        }
        begin = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;

    /// Copies these bytes; what arrives, and how many bytes the file takes on the disk.
    fn copied(bytes: &[u8]) -> (Vec<u8>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| Utf8PathBuf::from_path_buf(folder.path().join(name)).unwrap();
        let (from, to) = (path("from"), path("to"));
        std::fs::write(&from, bytes).unwrap();
        copy(&from, &to, &Cancel::default(), Deadline::after(Duration::from_secs(60))).unwrap();
        (std::fs::read(&to).unwrap(), to.metadata().unwrap().blocks() * 512)
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_no_pages_of_zeros() {
        let mut memory = vec![0; 2 * CHUNK + 3 * PAGE + 5];
        let used = [0, CHUNK - 1, CHUNK + PAGE, 2 * CHUNK + 3 * PAGE + 4];
        used.iter().for_each(|&place| memory[place] = 7);
        let (bytes, room) = copied(&memory);
        assert!(bytes == memory, "the bytes differ");
        assert!(room <= (used.len() * PAGE) as u64, "{room}");
        assert!(copied(&[]).0.is_empty());
        let zeros = vec![0; 3 * PAGE];
        assert_eq!(copied(&zeros), (zeros, 0));
    }

    #[test]
    fn an_interrupted_copy_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| Utf8PathBuf::from_path_buf(folder.path().join(name)).unwrap();
        std::fs::write(path("from"), [1; PAGE]).unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let soon = Deadline::after(Duration::from_secs(60));
        assert!(copy(&path("from"), &path("to"), &cancel, soon).is_err());
        let late = copy(&path("from"), &path("to"), &Cancel::default(), Deadline::after(Duration::ZERO));
        assert_eq!(late.unwrap_err().id(), "IO001");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
