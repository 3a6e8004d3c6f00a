//! Runs `subscribe.sh` against an imitation of a router: a folder as its root, and stand-ins for its programs. Nothing
//! outside of the folder is changed.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use host::{Job, Output, find_program};
use model::{Cancel, Failure, Result};

/// Programs of busybox that the script may use.
const APPLETS: [&str; 13] =
    ["awk", "cat", "cp", "grep", "head", "mkdir", "mktemp", "mv", "rm", "sed", "sha256sum", "sh", "tail"];
/// The router's programs that are replaced by stand-ins.
const PROGRAMS: [&str; 4] = ["apk", "opkg", "uname", "wget"];
/// The deadline; the script takes far less.
const LIMIT: Duration = Duration::from_secs(30);

/// An imitated router.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    /// The words before the name of an applet.
    shell: Vec<String>,
}

/// What the router says about itself.
#[derive(Debug, Clone)]
pub(crate) struct System<'a> {
    pub(crate) release: &'a str,
    pub(crate) target: &'a str,
    pub(crate) manager: &'a str,
    /// Version of its package `kernel`.
    pub(crate) kernel_version: &'a str,
    /// What `uname -r` prints.
    pub(crate) running: &'a str,
}

impl Sandbox {
    /// A router that finds `tree` at the address `base`.
    pub(crate) fn new(tree: &Utf8Path, base: &str, system: &System) -> Result<Sandbox> {
        let folder = tempfile::tempdir().map_err(|error| Failure::io("make a sandbox", "/tmp", &error))?;
        let mut sandbox = Sandbox { folder, variables: Vec::new(), shell: Vec::new() };
        let bin = sandbox.path("bin");
        files::create_folder(&bin)?;
        let mut path = bin.to_string();
        // With busybox the script has what it has on a router, and nothing else.
        match find_program("busybox") {
            Some(busybox) => {
                sandbox.shell = vec![busybox.to_string()];
                for applet in APPLETS {
                    let link = bin.join(applet);
                    std::os::unix::fs::symlink(&busybox, &link)
                        .map_err(|error| Failure::io("make a sandbox", &link, &error))?;
                }
            }
            None => path.push_str(":/usr/bin:/bin"),
        }
        for program in PROGRAMS {
            let place = bin.join(program);
            files::write(&place, include_str!("sandbox.sh"))?;
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755))
                .map_err(|error| Failure::io("make a sandbox", &place, &error))?;
        }
        let System { release, target, manager, kernel_version, running } = system;
        sandbox.put("etc/openwrt_release", &format!("DISTRIB_RELEASE='{release}'\nDISTRIB_TARGET='{target}'\n"))?;
        match *manager {
            "apk" => {
                sandbox.put("lib/apk/db/installed", &format!("P:busybox\nV:1\n\nP:kernel\nV:{kernel_version}\n\n"))?
            }
            _ => sandbox.put(
                "usr/lib/opkg/status",
                &format!("Package: busybox\nVersion: 1\n\nPackage: kernel\nVersion: {kernel_version}\n\n"),
            )?,
        }
        for (name, value) in [
            ("PATH", path.as_str()),
            ("SUBSCRIBE_ROOT", sandbox.root().as_str()),
            ("TMPDIR", sandbox.path("").as_str()),
            ("MANAGER", manager),
            ("TREE", tree.as_str()),
            ("BASE", base),
            ("RUNNING", running),
        ] {
            sandbox.set(name, value);
        }
        Ok(sandbox)
    }

    /// Sets an environment variable that the stand-ins read.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a script on the router.
    pub(crate) fn run(&self, script: &Utf8Path, cancel: &Cancel) -> Result<Output> {
        // Children are started by programs that are not in the router's PATH.
        let mut words = self.shell.clone();
        words.extend(["env".into(), "-i".into()]);
        words.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        words.extend(self.shell.clone());
        words.extend(["sh".into(), script.to_string()]);
        Job::of_words(&words, &self.path(""), LIMIT).family().output(cancel)
    }

    /// The folder that is the router's root.
    pub(crate) fn root(&self) -> Utf8PathBuf {
        self.path("root")
    }

    /// Writes a file on the router.
    pub(crate) fn put(&self, path: &str, text: &str) -> Result<()> {
        let path = self.root().join(path);
        files::create_folder(path.parent().unwrap_or(&path))?;
        files::write(&path, text)
    }

    /// Reads a file of the router; empty when it does not exist.
    pub(crate) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap_or(Utf8Path::new("/nonexistent")).join(name)
    }
}

/// Path of the feed list on a router with this manager.
pub(crate) fn list(manager: &str) -> &'static str {
    match manager {
        "apk" => "etc/apk/repositories.d/customfeeds.list",
        _ => "etc/opkg/customfeeds.conf",
    }
}
