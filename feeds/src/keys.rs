//! The keys that sign the feed, one for each package manager: files of mode 0600 outside any work tree.
//!
//! Keys are rotated without a day on which routers refuse the feed: first the next key is made ([`Files::create_next`])
//! and its public half published; it takes over only when routers know it ([`Files::rotate`]). In between, apk's index
//! carries both signatures; opkg's has room for one.
//!
//! ```text
//! usign.sec       signs            ec.pem       signs
//! usign.sec.next  is announced     ec.pem.next  signs too
//! usign.sec.old   signed before    ec.pem.old   signed before
//! ```

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Error, Format, ec, usign};
use host::aside::Aside;
use model::{Exit, Failure, Problem, Result};

use crate::explain;
use crate::trust::Trust;

/// The largest key file that is read; a real one has about 230 bytes.
const MAX_BYTES: u64 = 4096;

/// The paths of the secret keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// usign key (Ed25519) that signs opkg's index.
    pub opkg: Utf8PathBuf,
    /// PEM file with a P-256 key that signs apk's index.
    pub apk: Utf8PathBuf,
}

/// The secret keys of a feed.
#[derive(Debug, Clone)]
pub struct Keys {
    /// opkg's keys, usign.
    pub opkg: Pair<usign::SecretKey>,
    /// apk's keys, P-256.
    pub apk: Pair<ec::SecretKey>,
}

/// The current key and the next one.
#[derive(Debug, Clone)]
pub struct Pair<K> {
    /// Signs the feed now.
    pub current: K,
    /// Takes over at the next rotation; `None` if none was made.
    pub next: Option<K>,
}

/// A public key, as a file on a router that trusts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicFile {
    /// The format of the feeds that it signs.
    pub format: Format,
    /// opkg's key id (its "fingerprint") or apk's, in hex digits.
    pub id: String,
    /// Whether it is the next key, which opkg's index does not use yet.
    pub is_next: bool,
    /// File name: opkg finds keys by it, apk takes any name.
    pub name: String,
    /// Content of the file.
    pub text: String,
}

impl PublicFile {
    /// Path on a router at which the package manager looks for it.
    pub fn path(&self) -> String {
        format!("/etc/{}/keys/{}", self.format.manager(), self.name)
    }
}

impl Files {
    /// Reads the keys and makes missing ones; two runs at once end with the same keys.
    pub fn load_or_create(&self) -> Result<Keys> {
        load_or_create::<usign::SecretKey>(&self.opkg)?;
        load_or_create::<ec::SecretKey>(&self.apk)?;
        self.load()
    }

    /// Reads the keys; `KEY003` when one does not exist.
    pub fn load(&self) -> Result<Keys> {
        Ok(Keys { opkg: pair(&self.opkg)?, apk: pair(&self.apk)? })
    }

    /// Reads the keys; `None` when none exists.
    pub fn load_if_made(&self) -> Result<Option<Keys>> {
        if self.opkg.exists() || self.apk.exists() { self.load().map(Some) } else { Ok(None) }
    }

    /// Public halves of the keys that signed until the last rotation, if any.
    pub fn former(&self) -> Result<Trust> {
        let opkg: Option<usign::SecretKey> = read(&beside(&self.opkg, "old"))?;
        let apk: Option<ec::SecretKey> = read(&beside(&self.apk, "old"))?;
        Ok(Trust {
            usign: opkg.iter().map(usign::SecretKey::public).collect(),
            ec: apk.iter().map(ec::SecretKey::public).collect(),
        })
    }

    /// Makes the keys that take over at the next rotation, unless they exist.
    pub fn create_next(&self) -> Result<Keys> {
        self.load()?;
        load_or_create::<usign::SecretKey>(&beside(&self.opkg, "next"))?;
        load_or_create::<ec::SecretKey>(&beside(&self.apk, "next"))?;
        self.load()
    }

    /// Makes the next keys the current ones; the old ones are kept as `.old`. A rotation that was interrupted between
    /// the two kinds of keys is finished by calling it again. `KEY004` when there is no next key.
    pub fn rotate(&self) -> Result<Keys> {
        let keys = self.load()?;
        let prepared = [(&self.opkg, keys.opkg.next.is_some()), (&self.apk, keys.apk.next.is_some())];
        if prepared.iter().all(|(_, prepared)| !prepared) {
            return Err(Failure::of(Problem {
                exit: Exit::Usage,
                id: "KEY004",
                what: "there is no next key",
                why: "a key that routers do not know yet would lock them out of the feed",
                fix: "run `cargo xtask keys new --next`, publish the feed, give routers the new public keys, then rotate",
            })
            .at(beside(&self.opkg, "next")));
        }
        for (current, _) in prepared.into_iter().filter(|(_, prepared)| *prepared) {
            take_over(current)
                .map_err(|error| Failure::io("put the next signing key in its place", current, &error))?;
        }
        self.load()
    }
}

impl Keys {
    /// Makes new keys, in memory only.
    pub fn generate() -> Result<Self> {
        Ok(Keys {
            opkg: Pair { current: Secret::generate()?, next: None },
            apk: Pair { current: Secret::generate()?, next: None },
        })
    }

    /// The files that a router needs to trust the feed, now and after the next rotation.
    pub fn public_files(&self) -> Result<Vec<PublicFile>> {
        let Keys { opkg, apk } = self;
        let mut files = Vec::new();
        for (key, is_next) in opkg.all() {
            let id = key.fingerprint().to_string();
            let text = key.public().to_text(&format!("public key {id}"));
            files.push(PublicFile { format: Format::Ipk, name: id.clone(), id, is_next, text });
        }
        for (key, is_next) in apk.all() {
            let public = key.public();
            let id = public.id().to_string();
            let text = public.to_pem().map_err(|error| explain(Exit::Bug, "the public key", &error))?;
            files.push(PublicFile { format: Format::Apk, name: format!("{id}.pem"), id, is_next, text });
        }
        Ok(files)
    }
}

impl<K> Pair<K> {
    /// Both keys; `true` marks the next one.
    pub fn all(&self) -> impl Iterator<Item = (&K, bool)> {
        std::iter::once((&self.current, false)).chain(self.next.iter().map(|key| (key, true)))
    }
}

/// Reads the key in a file, and the next one beside it.
fn pair<K: Secret>(path: &Utf8Path) -> Result<Pair<K>> {
    let current = read(path)?.ok_or_else(|| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "KEY003",
            what: format!("there is no key to sign {} feeds", K::FORMAT.manager()),
            why: "the first run that signs a feed makes it, or you do",
            fix: "run `cargo xtask keys new`",
        })
        .at(path)
    })?;
    Ok(Pair { current, next: read(&beside(path, "next"))? })
}

/// What the two kinds of secret keys have in common.
trait Secret: Sized {
    /// The format of the feeds that it signs.
    const FORMAT: Format;
    fn generate() -> Result<Self>;
    /// Reads a secret key and checks that its public half verifies what it signs.
    fn parse(text: &str) -> std::result::Result<Self, Error>;
    fn to_text(&self) -> std::result::Result<String, Error>;
}

impl Secret for usign::SecretKey {
    const FORMAT: Format = Format::Ipk;

    fn generate() -> Result<Self> {
        Ok(usign::SecretKey::from_random(random()?))
    }

    fn parse(text: &str) -> std::result::Result<Self, Error> {
        let key = usign::SecretKey::parse(text)?;
        // The file has both halves, and nothing in it proves that they belong together.
        key.public().verify(b"test", &key.sign(b"test"))?;
        Ok(key)
    }

    fn to_text(&self) -> std::result::Result<String, Error> {
        Ok(self.to_text(&format!("private key {}", self.fingerprint())))
    }
}

impl Secret for ec::SecretKey {
    const FORMAT: Format = Format::Apk;

    fn generate() -> Result<Self> {
        loop {
            // Random bytes that are no valid key come up less than once in 2^32 tries.
            if let Ok(key) = ec::SecretKey::from_random(random()?) {
                return Ok(key);
            }
        }
    }

    fn parse(text: &str) -> std::result::Result<Self, Error> {
        ec::SecretKey::parse(text)
    }

    fn to_text(&self) -> std::result::Result<String, Error> {
        self.to_pem()
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut random = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(|error| Failure::io("read random bytes", "/dev/urandom", &error))?;
    Ok(random)
}

fn beside(path: &Utf8Path, ending: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.{ending}"))
}

/// Two first runs at once end with the same key: each writes its file aside, and only one can link it into place.
fn load_or_create<K: Secret>(path: &Utf8Path) -> Result<K> {
    refuse_work_tree(path)?;
    match read(path)? {
        Some(key) => Ok(key),
        None => create(path),
    }
}

/// The key in a file; `None` when the file does not exist.
fn read<K: Secret>(path: &Utf8Path) -> Result<Option<K>> {
    let io = |error: &std::io::Error| Failure::io("read the signing key", path, error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| io(&error))?,
    };
    refuse_work_tree(path)?;
    let metadata = file.metadata().map_err(|error| io(&error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "KEY001",
            what: format!("other users can read the signing key (mode {mode:04o})"),
            why: "whoever reads it can publish packages that routers trust",
            fix: format!("chmod 600 {path}, and replace the key if somebody else had access to it"),
        })
        .at(path));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| io(&error))?;
    K::parse(&text).map(Some).map_err(|error| explain(Exit::Usage, path, &error))
}

fn create<K: Secret>(path: &Utf8Path) -> Result<K> {
    let io = |error: &std::io::Error| Failure::io("write the signing key", path, error);
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io(&error))?;
    let key = K::generate()?;
    let text = key.to_text().map_err(|error| explain(Exit::Bug, path, &error))?;
    let written = || {
        let mut aside = Aside::begin(path)?;
        aside.file().write_all(text.as_bytes())?;
        aside.keep_first()
    };
    match written() {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path)?.ok_or_else(|| io(&error)),
        Err(error) => Err(io(&error)),
    }
}

/// The next key replaces the current one in one step, so there always is a current key.
fn take_over(current: &Utf8Path) -> std::io::Result<()> {
    let old = beside(current, "old");
    match std::fs::remove_file(&old) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::hard_link(current, &old)?;
    std::fs::rename(beside(current, "next"), current)
}

/// Refuses a path inside a git work tree, where the secret would end up in a commit sooner or later.
fn refuse_work_tree(path: &Utf8Path) -> Result<()> {
    match path.ancestors().skip(1).find(|folder| folder.join(".git").exists()) {
        None => Ok(()),
        Some(tree) => Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "KEY002",
            what: "the signing key would be inside a git work tree",
            why: format!("{tree} is under version control, and a secret there ends up in a commit sooner or later"),
            fix: "set XDG_CONFIG_HOME, OPENWRT_OFFLOAD_USIGN_KEY or OPENWRT_OFFLOAD_EC_KEY to a place outside",
        })
        .at(path)),
    }
}

impl Trust {
    /// Trusts the current and the next keys.
    pub fn of(keys: &Keys) -> Self {
        Trust {
            usign: keys.opkg.all().map(|(key, _)| key.public()).collect(),
            ec: keys.apk.all().map(|(key, _)| key.public()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Utf8Path::from_path(folder.path()).unwrap().join("keys");
        (folder, Files { opkg: keys.join("usign.sec"), apk: keys.join("ec.pem") })
    }

    fn ids(keys: &Keys) -> Vec<String> {
        keys.public_files().unwrap().into_iter().map(|file| file.id).collect()
    }

    fn mode(path: &Utf8Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_once_and_private() {
        let (_guard, files) = folder();
        assert_eq!(files.load().unwrap_err().id(), "KEY003");
        let made = files.load_or_create().unwrap();
        assert_eq!(ids(&files.load_or_create().unwrap()), ids(&made));
        assert_eq!(ids(&files.load().unwrap()), ids(&made));
        let folder = files.opkg.parent().unwrap();
        assert_eq!((mode(&files.opkg), mode(&files.apk), mode(folder)), (0o600, 0o600, 0o700));
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2, "nothing is left beside them");
    }

    #[test]
    fn two_first_runs_agree_on_one_key() {
        let (_guard, files) = folder();
        let first = files.load_or_create().unwrap();
        // Whoever loses the race finds the other's file in its place.
        let second: usign::SecretKey = create(&files.opkg).unwrap();
        assert_eq!(second.fingerprint(), first.opkg.current.fingerprint());
        let second: ec::SecretKey = create(&files.apk).unwrap();
        assert_eq!(second.public(), first.apk.current.public());
    }

    #[test]
    fn keys_that_others_can_read_are_refused() {
        let (_guard, files) = folder();
        files.load_or_create().unwrap();
        files.create_next().unwrap();
        for path in [&files.opkg, &files.apk, &beside(&files.apk, "next")] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(files.load().unwrap_err().id(), "KEY001", "{path}");
            assert_eq!(files.load_or_create().unwrap_err().id(), "KEY001", "{path}");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        files.load().unwrap();
    }

    #[test]
    fn keys_in_a_work_tree_are_refused_and_not_made() {
        let (guard, files) = folder();
        std::fs::create_dir(guard.path().join(".git")).unwrap();
        assert_eq!(files.load_or_create().unwrap_err().id(), "KEY002");
        assert!(!files.opkg.exists() && !files.apk.exists());
        std::fs::remove_dir(guard.path().join(".git")).unwrap();
        files.load_or_create().unwrap();
        std::fs::create_dir(guard.path().join(".git")).unwrap();
        assert_eq!(files.load().unwrap_err().id(), "KEY002");
    }

    #[test]
    fn damaged_keys_are_refused_and_kept() {
        for (pick, id) in
            [((|files| &files.opkg) as fn(&Files) -> &Utf8PathBuf, "SIG001"), (|files| &files.apk, "ECK001")]
        {
            let (_guard, files) = folder();
            files.load_or_create().unwrap();
            let path = pick(&files);
            let mut text = std::fs::read_to_string(path).unwrap();
            text.truncate(text.len() - 9);
            std::fs::write(path, &text).unwrap();
            let failure = files.load_or_create().unwrap_err();
            assert_eq!((failure.id(), failure.exit()), (id, Exit::Usage), "{path}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        }
    }

    #[test]
    fn the_next_keys_are_known_before_they_sign() {
        let (_guard, files) = folder();
        assert_eq!(files.create_next().unwrap_err().id(), "KEY003");
        let first = files.load_or_create().unwrap();
        assert_eq!(files.rotate().unwrap_err().id(), "KEY004");
        let [opkg, apk] = &ids(&first)[..] else { panic!("two keys") };
        let prepared = files.create_next().unwrap();
        let published = prepared.public_files().unwrap();
        let now: Vec<_> = published.iter().filter(|file| !file.is_next).map(|file| &file.id).collect();
        assert_eq!(now, [opkg, apk]);
        assert_eq!(published.len(), 4);
        assert_eq!(ids(&files.create_next().unwrap()), ids(&prepared), "prepared twice, made once");
        assert_eq!(mode(&beside(&files.opkg, "next")), 0o600);

        let rotated = files.rotate().unwrap();
        let next: Vec<_> = published.iter().filter(|file| file.is_next).map(|file| file.id.clone()).collect();
        assert_eq!(ids(&rotated), next);
        let old: usign::SecretKey = read(&beside(&files.opkg, "old")).unwrap().unwrap();
        assert_eq!(&old.fingerprint().to_string(), opkg);
        assert_eq!(mode(&beside(&files.apk, "old")), 0o600);
        assert_eq!(files.rotate().unwrap_err().id(), "KEY004");
    }

    #[test]
    fn an_interrupted_rotation_is_finished_by_another() {
        let (_guard, files) = folder();
        files.load_or_create().unwrap();
        let next = files.create_next().unwrap();
        take_over(&files.opkg).unwrap();
        let rotated = files.rotate().unwrap();
        assert_eq!(rotated.apk.current.public(), next.apk.next.unwrap().public());
        assert_eq!(rotated.opkg.current.fingerprint(), next.opkg.next.unwrap().fingerprint());
    }

    #[test]
    fn public_keys_are_files_that_the_managers_find() {
        let keys = Keys::generate().unwrap();
        let files = keys.public_files().unwrap();
        let fingerprint = keys.opkg.current.fingerprint();
        assert_eq!(files[0].path(), format!("/etc/opkg/keys/{fingerprint}"));
        assert_eq!(usign::PublicKey::parse(&files[0].text).unwrap().fingerprint, fingerprint);
        let public = keys.apk.current.public();
        assert_eq!(files[1].path(), format!("/etc/apk/keys/{}.pem", public.id()));
        assert_eq!(ec::PublicKey::parse(&files[1].text).unwrap(), public);
        for file in &files {
            assert!(!file.text.contains("PRIVATE") && !file.text.contains("private"), "{file:?}");
        }
    }
}
