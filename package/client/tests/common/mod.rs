//! Makes a signed feed and a root, and runs the programs on it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a failed test")]

pub mod apk;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use formats::packages::{self, Listed};
use formats::usign::SecretKey;
use formats::{Content, Entry, Format, Limits, Package, Scripts, depend, ipk};
use model::Digest;
use tempfile::TempDir;

pub const KERNEL: &str = "6.12.1~0123456789abcdef0123456789abcdef-r1";

/// The key that every test root trusts; it signs nothing else.
pub fn key() -> SecretKey {
    SecretKey::from_random([7; 40])
}

/// A package with one file that contains the version.
pub fn package(name: &str, version: &str, depends: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        architecture: "all".into(),
        depends: depend::list(depends).unwrap(),
        description: format!("The test package {name}"),
        files: vec![file(&format!("usr/share/{name}/version"), version)],
        ..Package::default()
    }
}

pub fn file(path: &str, content: &str) -> Entry {
    Entry::file(path, 0o644, Content::from(content))
}

/// Two packages, the first of which needs the second.
pub fn pair() -> Vec<Package> {
    vec![package("top", "1", &format!("kernel (={KERNEL}), base")), package("base", "1", "")]
}

/// A module, what it needs, and a tool.
pub fn modules_and_tool() -> Vec<Package> {
    let kernel = format!("kernel (={KERNEL})");
    let mut top = package("kmod-top", "6.12.1-r1", &format!("{kernel}, kmod-base"));
    top.files = vec![file("lib/modules/6.12.1/top.ko", "top"), file("etc/modules.d/top", "top\n")];
    let mut base = package("kmod-base", "6.12.1-r1", &kernel);
    base.files = vec![file("lib/modules/6.12.1/base.ko", "base")];
    let mut tool = package("tool", "1.0-r1", "");
    tool.files = vec![
        Entry::file("usr/sbin/tool", 0o755, Content::from("#!/bin/sh\n")),
        Entry::symlink("usr/bin/tool", "../sbin/tool"),
        Entry::dir("var/spool/tool", 0o700),
        file("etc/config/tool", "default\n"),
        file("usr/share/tool/empty", ""),
    ];
    tool.conffiles = vec!["/etc/config/tool".into()];
    vec![top, base, tool]
}

/// The command that installs packages.
pub fn add(manager: Format) -> &'static str {
    match manager {
        Format::Ipk => "install",
        Format::Apk => "add",
    }
}

/// The command that removes packages.
pub fn remove(manager: Format) -> &'static str {
    match manager {
        Format::Ipk => "remove",
        Format::Apk => "del",
    }
}

/// Exit code of a refusal.
pub fn refusal(manager: Format) -> i32 {
    match manager {
        Format::Ipk => 255,
        Format::Apk => 1,
    }
}

/// A feed for either manager.
pub enum AnyFeed {
    Ipk(Feed),
    Apk(apk::Feed),
}

impl AnyFeed {
    pub fn new(manager: Format, plans: &[Package]) -> AnyFeed {
        match manager {
            Format::Ipk => AnyFeed::Ipk(Feed::new(plans)),
            Format::Apk => AnyFeed::Apk(apk::Feed::new(plans)),
        }
    }

    /// A root that has the current lists of the feed.
    pub fn root(&self) -> Scratch {
        match self {
            AnyFeed::Ipk(feed) => Scratch::updated(feed),
            AnyFeed::Apk(feed) => Scratch::with_index(feed),
        }
    }
}

/// Scripts that append a line to `log` each time they are run.
pub fn logging(name: &str, version: &str, log: &Utf8Path) -> Scripts {
    let script = |kind: &str| {
        Some(format!("#!/bin/sh\necho {name} {version} {kind} \"$@\" upgrade=$PKG_UPGRADE root=$PKG_ROOT >> {log}\n"))
    };
    Scripts {
        preinst: script("preinst"),
        postinst: script("postinst"),
        prerm: script("prerm"),
        postrm: script("postrm"),
    }
}

/// A directory with packages, an index and its signature.
pub struct Feed {
    folder: TempDir,
    pub listed: Vec<Listed>,
}

impl Feed {
    pub fn new(plans: &[Package]) -> Feed {
        let mut feed = Feed { folder: tempfile::tempdir().unwrap(), listed: Vec::new() };
        for plan in plans {
            feed.add(&ipk::file_name(plan), &ipk::to_vec(plan).unwrap());
        }
        feed.publish();
        feed
    }

    /// Adds a package file to the feed and its list.
    pub fn add(&mut self, filename: &str, bytes: &[u8]) {
        fs::write(self.path().join(filename), bytes).unwrap();
        let control = ipk::inspect(bytes, &Limits::default()).unwrap().control;
        let (size, sha256) = (bytes.len() as u64, Digest::of(bytes));
        self.listed.push(Listed { control, filename: filename.into(), size, sha256 });
    }

    pub fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    /// Writes and signs the index.
    pub fn publish(&self) {
        self.publish_text(&packages::packages(&packages::manifest(&self.listed)), &key());
    }

    /// The text of the index, for tests that change it.
    pub fn text(&self) -> String {
        fs::read_to_string(self.path().join("Packages")).unwrap()
    }

    pub fn publish_text(&self, text: &str, key: &SecretKey) {
        self.write_index(text);
        fs::write(self.path().join("Packages.sig"), key.sign(text.as_bytes()).to_text()).unwrap();
    }

    /// Writes the index but keeps the old signature.
    pub fn write_index(&self, text: &str) {
        fs::write(self.path().join("Packages"), text).unwrap();
        fs::write(self.path().join("Packages.gz"), packages::compressed(text).unwrap()).unwrap();
    }

    /// Changes one byte in the middle of a file.
    pub fn flip(&self, filename: &str) {
        let path = self.path().join(filename);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

/// How a run of the program ended.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// Runs a program to its end.
    pub fn of(command: &mut Command) -> Answer {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts that everything was done.
    #[track_caller]
    pub fn done(self) -> Answer {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Asserts a refusal with opkg's exit code and this id.
    #[track_caller]
    pub fn refused(self, id: &str) -> Answer {
        assert_eq!(self.code, 255, "{}{}", self.out, self.err);
        assert!(self.err.contains(&format!(" * [{id}] ")), "{id}: {}", self.err);
        self
    }

    /// Asserts a refusal with apk's exit code and this id.
    #[track_caller]
    pub fn refused_by_apk(self, id: &str) -> Answer {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        assert!(self.err.contains("ERROR: ") && self.err.contains(&format!("\n[{id}] ")), "{id}: {}", self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Answer {
        assert!(self.out.contains(text) || self.err.contains(text), "{text:?}: {}{}", self.out, self.err);
        self
    }
}

/// A directory to install into, with a kernel, a trusted key and the feeds of its configuration.
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// With these, generated scripts run the package's own scripts, as OpenWrt's base-files do.
    const FUNCTIONS: &str = "own() { local script=\"${1%.*}.$2-pkg\"; shift 2; [ ! -f \"$script\" ] || sh \"$script\" \"$@\"; }\n\
        default_postinst() { local me=\"$1\"; shift; own \"$me\" postinst \"$@\"; }\n\
        default_prerm() { local me=\"$1\"; shift; own \"$me\" prerm \"$@\"; }\n";

    pub fn new(feeds: &[&str]) -> Scratch {
        let scratch = Scratch { folder: tempfile::tempdir().unwrap() };
        let status =
            format!("Package: kernel\nVersion: {KERNEL}\nStatus: install user installed\nArchitecture: x86_64\n\n");
        scratch.write("usr/lib/opkg/status", &status);
        let public = key().public();
        scratch.write(&format!("etc/opkg/keys/{}", public.fingerprint), &public.to_text("test key"));
        scratch.write("lib/functions.sh", Scratch::FUNCTIONS);
        scratch.write("etc/opkg/arch.conf", "arch all 1\narch x86_64 10\n");
        let sources = feeds.iter().enumerate().map(|(number, url)| format!("src/gz feed{number} {url}\n"));
        scratch.write("etc/opkg/feeds.conf", &sources.collect::<String>());
        scratch
    }

    /// A root that has the current list of `feed`.
    pub fn updated(feed: &Feed) -> Scratch {
        let scratch = Scratch::new(&[feed.path().as_str()]);
        scratch.opkg(&["update"]).done();
        scratch
    }

    pub fn path(&self, path: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        // Modes as in an image, whatever our umask is.
        let mode = |path: &Utf8Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let path = self.path(path);
        let folders: Vec<&Utf8Path> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        folders.into_iter().for_each(|folder| mode(folder, 0o755));
        fs::write(&path, text).unwrap();
        mode(&path, 0o644);
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opkg"));
        command.args(["--offline-root", self.path("").as_str()]).args(words).stdin(Stdio::null());
        command
    }

    pub fn opkg(&self, words: &[&str]) -> Answer {
        Answer::of(&mut self.command(words))
    }

    pub fn command_of(&self, manager: Format, words: &[&str]) -> Command {
        match manager {
            Format::Ipk => self.command(words),
            Format::Apk => self.apk_command(words),
        }
    }

    /// Runs a command with maintainer scripts, as on a running system.
    pub fn run_live(&self, manager: Format, words: &[&str]) -> Answer {
        match manager {
            Format::Ipk => self.live(words),
            Format::Apk => self.apk_live(words),
        }
    }

    /// Asserts that the command is refused with this id and text, and changes nothing.
    #[track_caller]
    pub fn refuses(&self, manager: Format, words: &[&str], id: &str, text: &str) {
        let before = self.tree();
        let answer = self.run_live(manager, words);
        match manager {
            Format::Ipk => answer.refused(id),
            Format::Apk => answer.refused_by_apk(id),
        }
        .says(text);
        assert_eq!(self.tree(), before, "{words:?} changed the root");
    }

    /// Runs opkg with maintainer scripts, as on a running system.
    pub fn live(&self, words: &[&str]) -> Answer {
        self.opkg(&[&["--force-postinstall"], words].concat())
    }

    pub fn installed(&self) -> Vec<String> {
        self.opkg(&["list-installed"])
            .done()
            .out
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.starts_with("kernel"))
            .collect()
    }

    /// Every path below the root, with mode and content.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        walk(self.folder.path(), self.folder.path(), &mut tree);
        tree
    }
}

fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        let content = match about.file_type() {
            kind if kind.is_dir() => "folder".to_owned(),
            kind if kind.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
            _ => Digest::of(fs::read(&path).unwrap()).to_string(),
        };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        tree.insert(name, format!("{:o} {content}", about.permissions().mode()));
        if about.is_dir() {
            walk(root, &path, tree);
        }
    }
}

/// Serves a folder over HTTP until the test ends; returns the address.
pub fn serve(folder: &Utf8Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/feed", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap().strip_prefix("/feed/").unwrap();
            let (head, body) = match fs::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_missing) => ("404 Not Found", Vec::new()),
            };
            write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    url
}
