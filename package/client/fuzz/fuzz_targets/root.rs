//! A root in a scratch folder, filled with the parts of one input; shared by all targets.
#![allow(dead_code, reason = "each target uses a part of it")]

use std::path::PathBuf;
use std::sync::OnceLock;

use camino::Utf8Path;

/// What stands between two parts of an input.
pub const BETWEEN: u8 = 0;

/// The parts of an input; as many as are wanted, the missing ones empty.
pub fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |byte| *byte == BETWEEN);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The folder of this process, the same for every input: nothing that a target does may pile up in it.
pub fn folder() -> &'static Utf8Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a scratch folder"));
    Utf8Path::from_path(folder.path()).expect("a plain path")
}

/// Writes a file of the root, past the library that is tested.
pub fn write(path: &str, bytes: &[u8]) {
    let path = PathBuf::from(folder().join(path));
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
    std::fs::write(path, bytes).expect("a file of the root");
}
