//! The key pair that signs the feed: one file outside any work tree, mode 0600, made on first use.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

use camino::Utf8Path;
use formats::usign::SecretKey;
use model::{Exit, Failure, Result};

use crate::explain;

/// Largest key file that is read; a real one has about 200 bytes.
const MAX_BYTES: u64 = 4096;

/// Reads the secret key, or makes it when the file does not exist.
///
/// Two first runs at once end with the same key: the file is written aside and linked into place,
/// which only one of them can do.
pub fn load_or_create(path: &Utf8Path) -> Result<SecretKey> {
    refuse_work_tree(path)?;
    if path.exists() { read(path) } else { create(path) }
}

/// A new key, in memory only.
pub fn generate() -> Result<SecretKey> {
    let mut random = [0; 40];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(|error| Failure::io("read random bytes", "/dev/urandom", &error))?;
    Ok(SecretKey::from_random(random))
}

fn read(path: &Utf8Path) -> Result<SecretKey> {
    let io = |error: &std::io::Error| Failure::io("read the signing key", path, error);
    let file = File::open(path).map_err(|error| io(&error))?;
    let metadata = file.metadata().map_err(|error| io(&error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Usage,
            "KEY001",
            format!("the signing key can be read by others (mode {mode:04o})"),
            "whoever reads it can publish packages that routers trust",
            format!("chmod 600 {path}, and replace the key if somebody else had access to it"),
        )
        .at(path));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| io(&error))?;
    SecretKey::parse(&text).map_err(|error| explain(Exit::Usage, path, &error))
}

fn create(path: &Utf8Path) -> Result<SecretKey> {
    let io = |error: &std::io::Error| Failure::io("write the signing key", path, error);
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io(&error))?;
    let key = generate()?;
    let aside = folder.join(format!(".{}.{}", path.file_name().unwrap_or("key"), std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(key.to_text(&format!("private key {}", key.fingerprint())).as_bytes())?;
        file.sync_all()?;
        std::fs::hard_link(&aside, path)
    })();
    let _leftover = std::fs::remove_file(&aside);
    match written {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.exists() => read(path),
        Err(error) => Err(io(&error)),
    }
}

/// A secret inside a work tree ends up in a commit sooner or later.
fn refuse_work_tree(path: &Utf8Path) -> Result<()> {
    match path.ancestors().skip(1).find(|folder| folder.join(".git").exists()) {
        None => Ok(()),
        Some(tree) => Err(Failure::new(
            Exit::Usage,
            "KEY002",
            "the signing key would be inside a git work tree",
            format!("{tree} is under version control, and a secret there ends up in a commit sooner or later"),
            "set XDG_CONFIG_HOME or OPENWRT_OFFLOAD_USIGN_KEY to a place outside",
        )
        .at(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        (folder, path)
    }

    #[test]
    fn a_key_is_made_once_and_private() {
        let (_guard, root) = folder();
        let path = root.join("keys/usign.sec");
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().fingerprint(), made.fingerprint());
        let mode = |path: &Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(root.join("keys")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn two_first_runs_agree_on_one_key() {
        let (_guard, root) = folder();
        let path = root.join("usign.sec");
        let first = load_or_create(&path).unwrap();
        // The loser of the race finds the file where it wanted to put its own.
        assert_eq!(create(&path).unwrap().fingerprint(), first.fingerprint());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_guard, root) = folder();
        let path = root.join("usign.sec");
        load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(load_or_create(&path).unwrap_err().id(), "KEY001");
    }

    #[test]
    fn a_key_in_a_work_tree_is_refused_and_not_made() {
        let (_guard, root) = folder();
        std::fs::create_dir_all(root.join("repo/.git")).unwrap();
        let path = root.join("repo/keys/usign.sec");
        assert_eq!(load_or_create(&path).unwrap_err().id(), "KEY002");
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let (_guard, root) = folder();
        let path = root.join("usign.sec");
        load_or_create(&path).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 9);
        std::fs::write(&path, &text).unwrap();
        let failure = load_or_create(&path).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
