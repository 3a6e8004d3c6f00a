//! The metadata of a package: its info, scripts and list of files.

use std::collections::BTreeMap;

use super::info::Info;
use super::members::{self, Member, Members};
use super::schema::{SCRIPTS, info, package};
use crate::adb::{Adb, Schema, Tree};
use crate::package::Kind;
use crate::{Error, Limits};

/// When a script runs, in the order of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Script {
    /// When another package touches a directory that this one watches.
    Trigger,
    /// Before the first installation.
    PreInstall,
    /// After the first installation.
    PostInstall,
    /// Before removal.
    PreDeinstall,
    /// After removal.
    PostDeinstall,
    /// Before the change to this version from another.
    PreUpgrade,
    /// After the change to this version from another.
    PostUpgrade,
}

impl Script {
    /// All scripts, in the order of the format.
    pub const ALL: [Script; 7] = [
        Script::Trigger,
        Script::PreInstall,
        Script::PostInstall,
        Script::PreDeinstall,
        Script::PostDeinstall,
        Script::PreUpgrade,
        Script::PostUpgrade,
    ];

    /// apk's name for it, such as `post-install`.
    pub fn name(self) -> &'static str {
        SCRIPTS[self as usize]
    }
}

/// Everything about a package except the content of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Name, version, dependencies.
    pub info: Info,
    /// Its files, and where they are installed.
    pub members: Members,
    /// Maintainer scripts.
    pub scripts: BTreeMap<Script, Vec<u8>>,
    /// Patterns of the directories that the trigger script watches.
    pub triggers: Vec<String>,
    /// Decides who wins when two packages replace each other's files: the higher priority.
    pub replaces_priority: Option<u64>,
}

impl Metadata {
    /// Reads the metadata of a package file; the caller has already decided whether to trust it.
    pub fn read(adb: Adb, limits: &Limits) -> Result<Self, Error> {
        let (metadata, count) = Self::without_members(&adb, limits)?;
        Ok(Metadata { members: Members::new(adb.payload, count), ..metadata })
    }

    /// Checks all of it and returns the package's info.
    pub(super) fn info(adb: &Adb, limits: &Limits) -> Result<Info, Error> {
        Self::without_members(adb, limits).map(|(metadata, _count)| metadata.info)
    }

    /// Everything except the members, and their number.
    fn without_members(adb: &Adb, limits: &Limits) -> Result<(Self, usize), Error> {
        if adb.schema != Schema::Package {
            return Err(Error::AdbMagic { found: "an index of packages" });
        }
        let tree = Tree::new(&adb.payload)?;
        let root = tree.root()?.ok_or(Error::ApkField { field: "info", why: "it is empty" })?;
        let info_object = root.object(package::INFO)?.ok_or(Error::ApkField { field: "info", why: "it is missing" })?;
        let mut info = Info::read(info_object)?;
        let id = info_object.blob(info::HASHES)?;
        info.unique_id = Some(
            id.try_into().map_err(|_| Error::ApkField { field: "hashes", why: "the package's own is not 20 bytes" })?,
        );

        let mut scripts = BTreeMap::new();
        if let Some(object) = root.object(package::SCRIPTS)? {
            for script in Script::ALL {
                let body = object.blob(script as usize + 1)?;
                if body.len() as u64 > limits.control {
                    return Err(Error::ApkField { field: script.name(), why: "the script is larger than the limit" });
                }
                if !body.is_empty() {
                    scripts.insert(script, body.to_vec());
                }
            }
        }
        let triggers = match root.object(package::TRIGGERS)? {
            None => Vec::new(),
            Some(list) => list.values().map(|value| tree.text(value).map(str::to_owned)).collect::<Result<_, _>>()?,
        };
        let replaces_priority = root.int(package::REPLACES_PRIORITY)?;
        let count = members::check(root, limits)?;
        Ok((Metadata { info, members: Members::default(), scripts, triggers, replaces_priority }, count))
    }

    /// Everything except directories, as in `apk info -L`.
    pub fn files(&self) -> impl Iterator<Item = Member> {
        self.members.iter().filter(|member| member.entry.kind != Kind::Dir)
    }
}
