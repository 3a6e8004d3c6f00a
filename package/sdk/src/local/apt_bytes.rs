//! Checks whether what apt fetched matches the index. This is done when apt fails, because not every version of apt
//! says that a digest was wrong.

use camino::{Utf8Path, Utf8PathBuf};
use model::Digest;

use super::apt_index::Wanted;

/// What is wrong with a package that apt left in `folder`. The file is removed, so that it is not mistaken for the
/// package. A short file is reported only if it is `whole`: otherwise the connection may have ended.
pub(super) fn wrong_package(folder: &Utf8Path, package: &Wanted, whole: bool) -> Option<String> {
    let names = [package.file_name.clone(), format!("{}.FAILED", package.file_name)];
    let files = names.map(|name| folder.join(name));
    let wrong = files.iter().find_map(|file| differs(file, package.sha256, (!whole).then_some(package.size)));
    for file in &files {
        let _absent = std::fs::remove_file(file);
    }
    wrong
}

/// What is wrong with an index file that apt refused, in its folder `lists`, according to the digests in the signed
/// `InRelease`.
pub(super) fn wrong_index(lists: &Utf8Path, suite: &str, whole: bool) -> Option<String> {
    let partial = files_of(&lists.join("partial"));
    let of_suite = format!("_dists_{suite}_");
    let is_release = |file: &&Utf8PathBuf| file.as_str().ends_with(&format!("{of_suite}InRelease"));
    let kept = files_of(lists);
    let release = partial.iter().chain(&kept).find(is_release)?;
    let named = std::fs::read_to_string(release).ok()?;
    partial.iter().find_map(|file| {
        let (_, name) = file.file_name()?.rsplit_once(&of_suite)?;
        let name = name.strip_suffix(".FAILED").unwrap_or(name);
        let (sha256, size) = named.lines().find_map(|line| digest_of(line, name))?;
        differs(file, sha256, (!whole).then_some(size))
    })
}

/// Parses a line such as ` SHA256 SIZE main/binary-amd64/Packages`, if it is about the file that apt names `name`.
fn digest_of(line: &str, name: &str) -> Option<(Digest, u64)> {
    let [sha256, size, path] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
    (path.replace('/', "_") == name).then_some((sha256.parse().ok()?, size.parse().ok()?))
}

fn differs(file: &Utf8Path, sha256: Digest, at_least: Option<u64>) -> Option<String> {
    let mut reader = std::fs::File::open(file).ok()?;
    let (found, size) = Digest::of_reader(&mut reader).ok()?;
    let is_told = found != sha256 && at_least.is_none_or(|least| size >= least);
    is_told.then(|| format!("{}: its sha256 is {found}, the index says {sha256}", file.file_name().unwrap_or_default()))
}

fn files_of(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).map(|entry| entry.into_path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of "has an epoch\n".
    const SHA256: &str = "317c8ec7ed90c98a48f554b7fa34db3c9c288af9c76b39f4a51ee1b7d24da146";

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn a_package_is_wrong_by_its_bytes_and_not_by_its_absence() {
        let (_folder, path) = folder();
        let package = Wanted {
            name: "a".into(),
            version: "1".into(),
            file_name: "a_1_amd64.deb".into(),
            size: 13,
            sha256: SHA256.parse().unwrap(),
        };
        for (name, bytes, whole, wrong) in [
            ("a_1_amd64.deb", "has an epoch\n", false, false),
            ("a_1_amd64.deb", "has an EPOCH\n", false, true),
            ("a_1_amd64.deb.FAILED", "has an epoch and more\n", false, true),
            ("a_1_amd64.deb", "has", false, false),
            ("a_1_amd64.deb", "has", true, true),
            ("b_1_amd64.deb", "other", true, false),
        ] {
            std::fs::write(path.join(name), bytes).unwrap();
            assert_eq!(wrong_package(&path, &package, whole).is_some(), wrong, "{name} {bytes}");
            assert!(!path.join(&package.file_name).exists(), "nobody takes it for the package");
        }
    }

    #[test]
    fn an_index_is_held_against_the_signed_list() {
        let (_folder, lists) = folder();
        std::fs::create_dir(lists.join("partial")).unwrap();
        let put = |name: &str, text: &str| std::fs::write(lists.join(name), text).unwrap();
        let index = "partial/m_dists_trixie_main_binary-amd64_Packages";
        put(index, "has an EPOCH\n");
        assert_eq!(wrong_index(&lists, "trixie", true), None, "nothing says what it should be");
        let release = format!("SHA256:\n {SHA256} 13 main/binary-amd64/Packages\n");
        for place in ["partial/m_dists_trixie_InRelease", "m_dists_trixie_InRelease"] {
            put(place, &release);
            assert!(wrong_index(&lists, "trixie", false).unwrap().contains("the index says 317c"));
            std::fs::remove_file(lists.join(place)).unwrap();
        }
        put("m_dists_trixie_InRelease", &release);
        put(index, "has");
        assert!(wrong_index(&lists, "trixie", false).is_none() && wrong_index(&lists, "trixie", true).is_some());
        put(index, "has an epoch\n");
        assert_eq!(wrong_index(&lists, "trixie", true), None);
    }
}
