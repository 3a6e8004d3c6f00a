//! The same for apk: a signed feed of apk packages, and a root that trusts its key.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use camino::Utf8Path;
use formats::adb::{Adb, Compression};
use formats::apk::index::{Index, Listed};
use formats::ec::SecretKey;
use formats::{Limits, Package, apk};
use tempfile::TempDir;

use super::{Answer, KERNEL, Scratch};

/// The key that every test root trusts.
pub fn key() -> SecretKey {
    SecretKey::from_random([7; 32]).unwrap()
}

/// A package file, signed by these keys.
pub fn bytes(plan: &apk::Plan, keys: &[&SecretKey]) -> Vec<u8> {
    let mut bytes = Vec::new();
    apk::write(plan, keys, Compression::Deflate, &mut bytes).unwrap();
    bytes
}

/// A directory with unsigned packages and a signed index.
pub struct Feed {
    folder: TempDir,
    pub index: Index,
}

impl Feed {
    pub fn new(plans: &[Package]) -> Feed {
        Feed::of(&plans.iter().map(|plan| apk::from_plan(plan).unwrap()).collect::<Vec<_>>())
    }

    /// A feed of packages described in apk's own terms.
    pub fn of(plans: &[apk::Plan]) -> Feed {
        let mut feed = Feed { folder: tempfile::tempdir().unwrap(), index: Index::default() };
        for plan in plans {
            let bytes = bytes(plan, &[]);
            let adb = Adb::read(&bytes[..], &Limits::default()).unwrap();
            feed.index.packages.push(Listed::of_package(&adb, bytes.len() as u64, &Limits::default()).unwrap());
            fs::write(feed.path().join(plan.info.file_name()), bytes).unwrap();
        }
        feed.publish(Some(&key()));
        feed
    }

    pub fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    /// The address of the index.
    pub fn url(&self) -> String {
        self.path().join("packages.adb").into_string()
    }

    /// Writes the current index.
    pub fn publish(&self, key: Option<&SecretKey>) {
        let mut adb = self.index.to_adb().unwrap();
        key.into_iter().for_each(|key| adb.sign(key).unwrap());
        let mut bytes = Vec::new();
        adb.write(&mut bytes, Compression::Deflate).unwrap();
        fs::write(self.url(), bytes).unwrap();
    }
}

impl Scratch {
    /// A root with an image's apk state and with these repositories.
    pub fn for_apk(repositories: &[&str]) -> Scratch {
        let scratch = Scratch { folder: tempfile::tempdir().unwrap() };
        for (path, text) in client::apk::image_state(KERNEL, "x86_64") {
            scratch.write(path.trim_start_matches('/'), &text);
        }
        scratch.write("etc/apk/keys/any-name.pem", &key().public().to_pem().unwrap());
        scratch.write(
            "lib/functions.sh",
            "add_group_and_user() { :; }\ndefault_postinst() { :; }\ndefault_prerm() { :; }\n",
        );
        scratch.repositories(repositories);
        scratch
    }

    pub fn repositories(&self, repositories: &[&str]) {
        let lines: String = repositories.iter().map(|url| format!("{url}\n")).collect();
        self.write("etc/apk/repositories.d/customfeeds.list", &lines);
    }

    /// A root that has the current index of `feed`.
    pub fn with_index(feed: &Feed) -> Scratch {
        let scratch = Scratch::for_apk(&[&feed.url()]);
        scratch.apk(&["update"]).done();
        scratch
    }

    pub fn apk_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opkg"));
        command.arg0("/usr/bin/apk").args(["--root", self.path("").as_str()]).args(words).stdin(Stdio::null());
        command
    }

    pub fn apk(&self, words: &[&str]) -> Answer {
        Answer::of(&mut self.apk_command(words))
    }

    /// Runs apk with maintainer scripts, as on a running system.
    pub fn apk_live(&self, words: &[&str]) -> Answer {
        self.apk(&[&["--force-scripts"], words].concat())
    }

    /// `NAME-VERSION` of all installed packages except the kernel.
    pub fn apk_installed(&self) -> Vec<String> {
        let list = self.apk(&["list", "-I"]).done().out;
        let titles = list.lines().map(|line| line.split(' ').next().unwrap().to_owned());
        titles.filter(|title| !title.starts_with("kernel-")).collect()
    }
}
