//! A package as the rules see it, whatever its format.

use std::collections::HashMap;

use model::{Digest, Format};

use super::elf::Elf;
use crate::modinfo::ModuleInfo;
use crate::package::Entry;
use crate::{apk, depend, ipk};

/// A package, without the bytes of its files.
#[derive(Debug)]
pub(super) struct Subject {
    /// Where it was read from.
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) name: String,
    pub(super) version: String,
    /// In opkg's words: `all` for what fits any machine.
    pub(super) architecture: String,
    pub(super) license: String,
    pub(super) description: String,
    pub(super) maintainer: String,
    /// The recipe that it was built from.
    pub(super) source: String,
    pub(super) needs: Vec<Need>,
    pub(super) conflicts: Vec<String>,
    pub(super) provides: Vec<String>,
    /// Names of which only one package can be there: apk's own and those provided in a version.
    pub(super) exclusive: Vec<String>,
    /// `name=version` in opkg's world, where nobody finds the name.
    pub(super) versioned: Vec<String>,
    pub(super) alternatives: Vec<String>,
    pub(super) replaces: Vec<String>,
    /// What the package says about its size.
    pub(super) installed_size: Option<u64>,
    /// Settings that must be in the payload, with their digest where the package tells it.
    pub(super) conffiles: Vec<(String, Option<Digest>)>,
    /// Lines of the list that name no path, each with the reason.
    pub(super) odd_conffiles: Vec<(String, &'static str)>,
    /// Bytes of the payload as it is stored.
    pub(super) stored: Option<u64>,
    pub(super) scripts: Vec<Script>,
    pub(super) files: Vec<File>,
    /// The package file itself.
    pub(super) file: FileIdentity,
}

/// One dependency: any of the names will do.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) names: Vec<String>,
    /// The one version that is accepted, if it is one.
    pub(super) exact: Option<String>,
}

/// A maintainer script.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) text: String,
    /// Whether the package manager starts it as a program; OpenWrt's functions read the others into a shell.
    pub(super) is_program: bool,
}

/// One entry of the payload.
#[derive(Debug)]
pub(super) struct File {
    /// Its content is empty.
    pub(super) entry: Entry,
    pub(super) length: u64,
    /// Known for apk only.
    pub(super) sha256: Option<Digest>,
    pub(super) facts: Facts,
}

/// What was learnt from a file's bytes while they passed by.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) elf: Option<Elf>,
    /// A program that was too large to be looked into.
    pub(super) too_large: bool,
    /// What a kernel module says about itself, or why it cannot be loaded.
    pub(super) module: Option<Result<ModuleInfo, String>>,
    /// The text of lists that rules look into.
    pub(super) text: Option<String>,
}

/// What an index stores to recognise a package file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileIdentity {
    pub(super) size: u64,
    /// Of the whole file.
    pub(super) sha256: Digest,
    /// Of the metadata, for apk.
    pub(super) metadata: Option<Digest>,
}

impl Subject {
    /// From opkg's world.
    pub(super) fn of_ipk(path: &str, metadata: ipk::Metadata, files: Vec<File>, file: FileIdentity) -> Self {
        let control = metadata.control;
        let text = |field| control.stanza.get(field).unwrap_or_default().to_owned();
        let need = |dependency: &depend::Dependency| Need {
            names: dependency.alternatives.iter().map(|term| term.name.clone()).collect(),
            exact: match &dependency.alternatives[..] {
                [depend::Term { constraint: Some(constraint), .. }]
                    if constraint.operator == crate::version::Operator::Equal =>
                {
                    Some(constraint.version.clone())
                }
                _ => None,
            },
        };
        const SCRIPTS: [&str; 6] = ["preinst", "postinst", "postinst-pkg", "prerm", "prerm-pkg", "postrm"];
        let scripts = SCRIPTS.into_iter().filter_map(|name| {
            let text = String::from_utf8_lossy(metadata.files.get(name)?.bytes.as_slice()).into_owned();
            Some(Script { name: name.to_owned(), text, is_program: !name.ends_with("-pkg") })
        });
        Subject {
            path: path.to_owned(),
            format: Format::Ipk,
            license: text("License"),
            description: text("Description"),
            maintainer: text("Maintainer"),
            source: text("Source"),
            needs: control.depends.iter().map(need).collect(),
            conflicts: control.conflicts.iter().map(|term| term.name.clone()).collect(),
            provides: control
                .provides
                .iter()
                .filter(|provide| provide.version.is_none())
                .map(|provide| provide.name.clone())
                .collect(),
            exclusive: vec![control.package.clone()],
            versioned: control
                .provides
                .iter()
                .filter(|provide| provide.version.is_some())
                .map(ToString::to_string)
                .collect(),
            alternatives: alternatives(&text("Alternatives"), Format::Ipk),
            odd_conffiles: metadata.odd_conffiles,
            stored: Some(metadata.data_length),
            replaces: text("Replaces").split(',').map(|name| name.trim().to_owned()).collect(),
            installed_size: control.installed_size,
            conffiles: metadata.conffiles.into_iter().map(|path| (path, None)).collect(),
            scripts: scripts.collect(),
            files,
            file,
            name: control.package,
            version: control.version,
            architecture: control.architecture,
        }
    }

    /// From apk's world; `facts` are by path.
    pub(super) fn of_apk(
        path: &str,
        metadata: apk::Metadata,
        mut facts: HashMap<String, Facts>,
        file: FileIdentity,
    ) -> Self {
        let info = metadata.info;
        let files: Vec<File> = metadata
            .members
            .into_iter()
            .filter(|member| !member.entry.path.is_empty())
            .map(|member| File {
                facts: facts.remove(&member.entry.path).unwrap_or_default(),
                length: member.length,
                sha256: member.sha256,
                entry: member.entry,
            })
            .collect();
        let names = |list: &[apk::Dependency]| list.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
        let (conflicts, depends): (Vec<_>, Vec<_>) = info.depends.into_iter().partition(apk::Dependency::is_conflict);
        let need = |dependency: apk::Dependency| Need {
            exact: dependency.version.filter(|_| dependency.relation == crate::version::apk::Match::EQUAL),
            names: vec![dependency.name],
        };
        let scripts = metadata.scripts.into_iter().map(|(script, bytes)| Script {
            name: script.name().to_owned(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            is_program: true,
        });
        let list = |kind: &str| {
            let path = format!("lib/apk/packages/{}.{kind}", info.name);
            files
                .iter()
                .find(|file| file.entry.path == path)
                .and_then(|file| file.facts.text.as_deref())
                .unwrap_or_default()
        };
        let alternatives = alternatives(list("alternatives"), Format::Apk);
        let versioned = info.provides.iter().filter(|item| item.version.is_some()).map(|item| item.name.clone());
        let exclusive = std::iter::once(info.name.clone()).chain(versioned).collect();
        // What is in the list without digest need not exist yet.
        let conffiles = list("conffiles_static").lines().map(|line| match line.rsplit_once(' ') {
            Some((path, digest)) => (path.to_owned(), digest.parse().ok()),
            None => (line.to_owned(), None),
        });
        Subject {
            path: path.to_owned(),
            format: Format::Apk,
            architecture: if matches!(info.arch.as_str(), "noarch" | "") { "all".to_owned() } else { info.arch },
            license: info.license,
            description: info.description,
            maintainer: info.maintainer,
            source: info.origin,
            needs: depends.into_iter().map(need).collect(),
            conflicts: names(&conflicts),
            provides: names(&info.provides),
            exclusive,
            versioned: Vec::new(),
            alternatives,
            odd_conffiles: Vec::new(),
            stored: None,
            replaces: names(&info.replaces),
            installed_size: Some(info.installed_size),
            conffiles: conffiles.collect(),
            scripts: scripts.collect(),
            files,
            file,
            name: info.name,
            version: info.version,
        }
    }

    /// Whether it is, by name or content, a package of kernel modules.
    pub(super) fn is_kmod(&self) -> bool {
        self.name.starts_with("kmod-") || self.modules().next().is_some()
    }

    /// Kernel modules with their name, in which `-` and `_` are the same.
    pub(super) fn modules(&self) -> impl Iterator<Item = (String, &File, &Result<ModuleInfo, String>)> {
        self.files.iter().filter_map(|file| {
            let (_, base) = file.entry.path.rsplit_once('/')?;
            let (stem, _) = base.split_once(".ko")?;
            Some((module_name(stem), file, file.facts.module.as_ref()?))
        })
    }

    /// The version of the package `kernel` that it is bound to.
    pub(super) fn kernel(&self) -> Option<&str> {
        self.needs.iter().find(|need| need.names == ["kernel"]).and_then(|need| need.exact.as_deref())
    }

    /// Whether both can never be installed together: versions of one package, declared conflicts and replacements, and in
    /// apk's world a name that one of them provides in a version.
    pub(super) fn excludes(&self, other: &Subject) -> bool {
        let answers = |subject: &Subject, name: &String| subject.name == *name || subject.provides.contains(name);
        let gives_way = |a: &Subject, b: &Subject| a.conflicts.iter().chain(&a.replaces).any(|name| answers(b, name));
        let shares = |a: &Subject, b: &Subject| {
            a.exclusive.iter().any(|name| b.exclusive.contains(name) || a.format == Format::Apk && answers(b, name))
        };
        shares(self, other) || shares(other, self) || gives_way(self, other) || gives_way(other, self)
    }

    /// Whether a path is in the payload, as anything.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.entry.path == path)
    }
}

/// The spelling in which module names are compared.
pub(super) fn module_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The alternatives of a list of either manager: opkg's has commas, apk's a line or blank between them.
fn alternatives(list: &str, format: Format) -> Vec<String> {
    let is_end = |c: char| c == ',' || format == Format::Apk && c.is_whitespace();
    list.split(is_end).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
