//! A package file, opened: what is in it, in one view for both formats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};

use camino::{Utf8Path, Utf8PathBuf};
use formats::modinfo::ModuleInfo;
use formats::sha256::Digest;
use formats::version::Operator;
use formats::{Format, Kind, Limits, apk, ipk};
use model::{Exit, Failure, Result};

use crate::build::BuiltPackage;

/// What a package holds.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: Utf8PathBuf,
    pub(super) format: Format,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) arch: String,
    /// The one version of `kernel` that it asks for.
    pub(super) kernel: Option<String>,
    /// Where it says that it was made from.
    pub(super) source: String,
    pub(super) installed_size: u64,
    pub(super) sha256: Digest,
    /// Everything but folders, by path.
    pub(super) payload: BTreeMap<String, Item>,
}

/// A file or link of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// What is in it.
    pub(super) content: ItemContent,
    pub(super) mode: u32,
    /// The kernel release that a module says it was built for, if it says so.
    pub(super) built_for: Option<String>,
}

/// What is compared of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemContent {
    File(Digest),
    Link(String),
    Other,
}

/// A module's folder.
const MODULES: &str = "lib/modules/";

impl Opened {
    /// Reads a whole package; the format is not guessed from its name, which a cache may have changed.
    ///
    /// # Errors
    /// `SDK060` it is damaged, or no package.
    pub(super) fn read(file: &Utf8Path, format: Format) -> Result<Self> {
        let io = |error: std::io::Error| Failure::io("read the package", file, &error);
        let mut opened = File::open(file).map_err(io)?;
        let (sha256, _length) = Digest::of_reader(&mut opened).map_err(io)?;
        opened.rewind().map_err(io)?;
        let reader = BufReader::new(opened);
        match format {
            Format::Apk => read_apk(file, reader, sha256),
            Format::Ipk => read_ipk(file, reader, sha256),
        }
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                "SDK060",
                "a package that the SDK made cannot be read",
                format!("{error} ({})", error.id()),
                "remove the SDK's tree with `cargo xtask clean sdk` and build again; if it happens again, report it",
            )
            .at(file)
        })
    }

    /// Its kernel modules.
    pub(super) fn modules(&self) -> impl Iterator<Item = (&str, &Item)> {
        let modules = self.payload.iter().filter(|(path, _)| path.starts_with(MODULES) && path.ends_with(".ko"));
        modules.map(|(path, item)| (path.as_str(), item))
    }

    /// What the pipeline wants to know of it, in its new place.
    pub(super) fn built(&self, file: Utf8PathBuf, note: Option<String>) -> BuiltPackage {
        BuiltPackage {
            name: self.name.clone(),
            version: self.version.clone(),
            arch: self.arch.clone(),
            format: self.format,
            file,
            sha256: self.sha256.to_string(),
            installed_size: self.installed_size,
            note,
        }
    }
}

fn read_ipk(file: &Utf8Path, reader: impl Read, sha256: Digest) -> Result<Opened, formats::Error> {
    let mut payload = BTreeMap::new();
    let metadata = ipk::visit(reader, &Limits::default(), &mut |member, content| {
        let entry = &member.entry;
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let known = match &entry.kind {
            Kind::Dir => return Ok(()),
            Kind::File(_) => ItemContent::File(Digest::of(&bytes)),
            Kind::Symlink(target) | Kind::HardLink(target) => ItemContent::Link(target.clone()),
            Kind::Device(_) => ItemContent::Other,
        };
        payload.insert(
            entry.path.clone(),
            Item { content: known, mode: entry.mode, built_for: built_for(&entry.path, &bytes) },
        );
        Ok(())
    })?;
    let control = metadata.control;
    let kernel = control.depends.iter().find_map(|dependency| match &dependency.alternatives[..] {
        [term] if term.name == KERNEL => {
            let constraint = term.constraint.as_ref().filter(|constraint| constraint.operator == Operator::Equal)?;
            Some(constraint.version.clone())
        }
        _ => None,
    });
    Ok(Opened {
        file: file.to_owned(),
        format: Format::Ipk,
        kernel,
        source: control.stanza.get("Source").unwrap_or_default().to_owned(),
        installed_size: control.installed_size.unwrap_or_default(),
        name: control.package,
        version: control.version,
        arch: control.architecture,
        sha256,
        payload,
    })
}

fn read_apk(file: &Utf8Path, reader: impl Read, sha256: Digest) -> Result<Opened, formats::Error> {
    let mut releases = BTreeMap::new();
    // OpenWrt does not sign single packages: the index, which is ours, is what routers trust.
    let metadata = apk::visit(reader, &Limits::default(), |_| Ok(()), &mut |member, content| {
        let path = &member.entry.path;
        if path.starts_with(MODULES) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            releases.insert(path.clone(), built_for(path, &bytes));
        }
        Ok(())
    })?;
    let mut payload = BTreeMap::new();
    for member in metadata.members {
        let content = match member.entry.kind {
            Kind::Dir => continue,
            Kind::File(_) => member.sha256.map_or(ItemContent::Other, ItemContent::File),
            Kind::Symlink(target) | Kind::HardLink(target) => ItemContent::Link(target),
            Kind::Device(_) => ItemContent::Other,
        };
        let built_for = releases.remove(&member.entry.path).flatten();
        payload.insert(member.entry.path, Item { content, mode: member.entry.mode, built_for });
    }
    let info = metadata.info;
    let exact = |dependency: &apk::Dependency| dependency.relation == formats::version::apk::Match::EQUAL;
    let kernel = info.depends.iter().find(|dependency| dependency.name == KERNEL && exact(dependency));
    Ok(Opened {
        file: file.to_owned(),
        format: Format::Apk,
        kernel: kernel.and_then(|dependency| dependency.version.clone()),
        source: info.origin,
        installed_size: info.installed_size,
        name: info.name,
        version: info.version,
        // The two managers have different words for it.
        arch: if info.arch == "noarch" { "all".into() } else { info.arch },
        sha256,
        payload,
    })
}

/// The package that stands for a kernel.
const KERNEL: &str = formats::Package::KERNEL;

fn built_for(path: &str, bytes: &[u8]) -> Option<String> {
    let is_module = path.starts_with(MODULES) && path.ends_with(".ko");
    // OpenWrt's kernels may leave the vermagic out of modules: then the dependency is all there is.
    let info = is_module.then(|| ModuleInfo::read(bytes).ok()).flatten()?;
    Some(info.kernel_release().to_owned())
}
