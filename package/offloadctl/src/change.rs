//! `enable` and `disable`: the change of `/etc/config/firewall`, and the way back when the firewall does not come up.
//!
//! The file is written aside and renamed, so it is whole at every moment: the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::diff;
use crate::files::Files;
use crate::finding::Finding;
use crate::firewall::Firewall;
use crate::setting::{self, FILE, HARDWARE, OFFLOAD, SECTION, UNCOMMITTED};

/// Held while the configuration is changed.
const LOCK: &str = "/var/lock/offloadctl.lock";

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Offload in software.
    Software,
    /// Offload in hardware.
    Hardware,
    /// No offload.
    Off,
}

impl Wish {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Wish::Software => "on, in software",
            Wish::Hardware => "on, in hardware where the device can",
            Wish::Off => "off",
        }
    }
}

/// The configuration as it is and as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is wanted.
    pub wish: Wish,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Plan {
    /// Reads the configuration and works out the change.
    ///
    /// # Errors
    /// There is no configuration, or none that can be changed safely.
    pub fn make(files: &Files, wish: Wish) -> Result<Plan, Finding> {
        let Some(config) = setting::read(files)? else {
            return Err(Finding::new(
                "OCTL013",
                format!("there is no {FILE}"),
                "only the configuration of OpenWrt's firewall can be changed",
                "on other systems use the rules that 'offloadctl ruleset' prints",
            ));
        };
        if !files.bytes(UNCOMMITTED).unwrap_or_default().is_empty() {
            return Err(Finding::new(
                "OCTL014",
                "the firewall's configuration has uncommitted changes",
                "somebody is in the middle of changing it, and would undo this change or be undone by it",
                "run 'uci changes firewall', then 'uci commit firewall' or 'uci revert firewall', and try again",
            ));
        }
        let before = config.as_bytes().to_vec();
        // Hardware offload is left alone where offload is off: it does nothing there.
        let hardware = setting::option(&config, HARDWARE).unwrap_or(false);
        let wanted = match wish {
            Wish::Software => [(OFFLOAD, true), (HARDWARE, false)],
            Wish::Hardware => [(OFFLOAD, true), (HARDWARE, true)],
            Wish::Off => [(OFFLOAD, false), (HARDWARE, hardware)],
        };
        let mut config = config;
        for (name, value) in wanted {
            // What the firewall does not understand is put right as well.
            if setting::option(&config, name) == Some(value) {
                continue;
            }
            if config.first_section(SECTION).is_none() {
                config = config.with_section(SECTION).map_err(setting::malformed)?;
            }
            if let Some(section) = config.first_section(SECTION) {
                let value = if value { "1" } else { "0" };
                config = config.with_option(section, name, value).map_err(setting::malformed)?;
            }
        }
        Ok(Plan { wish, before, after: config.as_bytes().to_vec() })
    }

    /// Whether the configuration is already as it shall be.
    pub fn is_empty(&self) -> bool {
        self.before == self.after
    }

    /// The change as a unified diff.
    ///
    /// # Errors
    /// Of the writer.
    pub fn diff(&self, out: &mut dyn Write) -> io::Result<()> {
        diff::write(out, FILE, &self.before, &self.after)
    }

    /// Writes the configuration, has the firewall load it, and asks `works` whether the kernel followed. Whatever fails,
    /// the old configuration is put back and loaded.
    ///
    /// # Errors
    /// What failed, and whether the way back succeeded.
    pub fn apply(
        &self,
        files: &Files,
        firewall: &Firewall<'_>,
        works: impl Fn() -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        let _lock = lock(files)?;
        if setting::read(files)?.is_none_or(|config| config.as_bytes() != self.before) {
            return Err(Finding::new(
                "OCTL017",
                format!("{FILE} was changed in the meantime"),
                "another program wrote it after it was read",
                "try again",
            ));
        }
        if !self.is_empty() {
            replace(files, &self.after).map_err(|error| unwritable(&error))?;
        }
        let loaded = firewall.check().map_err(|cause| (cause, false));
        let loaded = loaded.and_then(|()| firewall.reload().and_then(|()| works()).map_err(|cause| (cause, true)));
        match loaded {
            Ok(()) => Ok(()),
            Err((cause, _)) if self.is_empty() => Err(cause),
            Err((cause, was_loaded)) => Err(self.back(files, firewall, &cause, was_loaded)),
        }
    }

    /// Writes the configuration for a firewall that is not loaded. Offload is turned on only if the firewall's own check
    /// passes; off it is turned in any case, as it may be what the firewall fails with.
    ///
    /// # Errors
    /// What failed; the configuration is as before.
    pub fn write(&self, files: &Files, firewall: &Firewall<'_>) -> Result<(), Finding> {
        let _lock = lock(files)?;
        replace(files, &self.after).map_err(|error| unwritable(&error))?;
        if self.wish == Wish::Off {
            return Ok(());
        }
        firewall.check().map_err(|cause| self.back(files, firewall, &cause, false))
    }

    /// Puts the old configuration back, and tells how that went.
    fn back(&self, files: &Files, firewall: &Firewall<'_>, cause: &Finding, was_loaded: bool) -> Finding {
        let Finding { id, what, why, fix } = cause;
        let restored = replace(files, &self.before).map_err(|error| unwritable(&error));
        match restored.and_then(|()| if was_loaded { firewall.reload() } else { Ok(()) }) {
            Ok(()) => Finding::new(
                "OCTL020",
                "the firewall did not come up with the change, and everything is as before",
                format!("{id}: {what}: {why}"),
                fix,
            ),
            Err(second) => Finding::new(
                "OCTL021",
                "the firewall did not come up with the change, and going back failed as well",
                format!("{id}: {what}: {why}; then {}: {}: {}", second.id, second.what, second.why),
                format!("look at {FILE}, then run: service firewall restart"),
            ),
        }
    }
}

fn unwritable(error: &io::Error) -> Finding {
    Finding::new(
        "OCTL015",
        format!("cannot write {FILE}"),
        format!("the system answers: {error}"),
        "run as root, and make room in the overlay if it is full (df /overlay)",
    )
}

/// The lock lasts as long as the file stays open; it is left behind, as removing it would let two in.
fn lock(files: &Files) -> Result<File, Finding> {
    let path = files.path(LOCK);
    let opened = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path));
    let file = opened.map_err(|error| unwritable(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::Error(error)) => Err(unwritable(&error)),
        Err(fs::TryLockError::WouldBlock) => Err(Finding::new(
            "OCTL016",
            "another offloadctl is changing the configuration",
            format!("it holds {LOCK}"),
            "wait until it is done, and try again",
        )),
    }
}

/// Replaces the configuration as a whole, with the old one's owner and mode.
fn replace(files: &Files, content: &[u8]) -> io::Result<()> {
    // Where it is a link, the file behind it is replaced. A leading dot hides the new one from `uci` until it is complete.
    let target = fs::canonicalize(files.path(FILE))?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let aside = directory.join(".firewall.offloadctl");
    let written = write_aside(&aside, &target, content).and_then(|()| fs::rename(&aside, &target));
    match written {
        // The new name lasts through a power cut once the directory is written; not every file system can say so.
        Ok(()) => drop(File::open(directory).and_then(|directory| directory.sync_all())),
        Err(_) => drop(fs::remove_file(&aside)),
    }
    written
}

fn write_aside(aside: &Path, target: &Path, content: &[u8]) -> io::Result<()> {
    let old = fs::metadata(target)?;
    let mut file = File::create(aside)?;
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        chown(aside, Some(old.uid()), Some(old.gid()))?;
    }
    file.write_all(content)?;
    file.sync_all()
}
