//! A package file, opened: what is in it, in one view for both formats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};

use camino::{Utf8Path, Utf8PathBuf};
use formats::modinfo::ModuleInfo;
use formats::version::Operator;
use formats::{Device, Entry, Format, Kind, Limits, Owner, apk, ipk};
use model::{Digest, Exit, Failure, Problem, Result};

use crate::built::BuiltPackage;

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
    /// How many signatures are in the package itself.
    pub(super) signatures: usize,
    /// What else the package manager is told, by the name that it has there: dependencies, for one. What tells only
    /// where and when it was made is not among them.
    pub(super) fields: BTreeMap<String, String>,
    /// Scripts and lists that the package manager keeps, by name.
    pub(super) scripts: BTreeMap<String, Digest>,
    /// Files, folders and links, by path.
    pub(super) payload: BTreeMap<String, Item>,
}

/// A file, folder or link of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// What is in it.
    pub(super) content: ItemContent,
    pub(super) mode: u32,
    /// `USER:GROUP`, names or numbers, as the format has them.
    pub(super) owner: String,
    /// Extended attributes by name.
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
    /// The kernel release that a module says it was built for, if it says so.
    pub(super) built_for: Option<String>,
}

/// What is compared of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemContent {
    Folder,
    File(Digest),
    Link(String),
    HardLink(String),
    Device(Device),
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
            Failure::of(Problem {
                exit: Exit::Failed,
                id: "SDK060",
                what: "a package that the SDK made cannot be read",
                why: format!("{error} ({})", error.id()),
                fix: "run the same command again, it begins with a new tree of the SDK; if it happens again, report it",
            })
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
            sha256: self.sha256,
            installed_size: self.installed_size,
            note,
        }
    }
}

/// Fields of an ipk that tell where and when it was made, or that follow from the rest.
const NOT_COMPARED: [&str; 4] = ["Package", "Source", "SourceDateEpoch", "Installed-Size"];

fn read_ipk(file: &Utf8Path, reader: impl Read, sha256: Digest) -> Result<Opened, formats::Error> {
    let mut payload = BTreeMap::new();
    let metadata = ipk::visit(reader, &Limits::default(), &mut |member, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let built_for = built_for(&member.entry.path, &bytes);
        payload.insert(member.entry.path.clone(), item(&member.entry, Digest::of(&bytes), built_for));
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
    let fields = control.stanza.fields().filter(|(name, _)| !NOT_COMPARED.contains(name));
    let scripts = metadata.files.iter().filter(|(name, _)| *name != "control");
    Ok(Opened {
        file: file.to_owned(),
        format: Format::Ipk,
        kernel,
        source: control.stanza.get("Source").unwrap_or_default().to_owned(),
        installed_size: control.installed_size.unwrap_or_default(),
        fields: fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        scripts: scripts.map(|(name, script)| (name.clone(), Digest::of(&script.bytes))).collect(),
        name: control.package,
        version: control.version,
        arch: control.architecture,
        sha256,
        // The format has none.
        signatures: 0,
        payload,
    })
}

fn read_apk(file: &Utf8Path, reader: impl Read, sha256: Digest) -> Result<Opened, formats::Error> {
    let mut releases = BTreeMap::new();
    let mut signatures = 0;
    // OpenWrt does not sign single packages: the index, which is ours, is what routers trust.
    let count = |adb: &formats::adb::Adb| {
        signatures = adb.signatures.len();
        Ok(())
    };
    let metadata = apk::visit(reader, &Limits::default(), count, &mut |member, content| {
        let path = &member.entry.path;
        if path.starts_with(MODULES) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            releases.insert(path.clone(), built_for(path, &bytes));
        }
        Ok(())
    })?;
    let fields = apk_fields(&metadata);
    let scripts = metadata.scripts.iter().map(|(script, bytes)| (script.name().to_owned(), Digest::of(bytes)));
    let scripts = scripts.collect();
    let mut payload = BTreeMap::new();
    for member in metadata.members {
        let built_for = releases.remove(&member.entry.path).flatten();
        let digest = member.sha256.unwrap_or_else(|| Digest::of(""));
        let item = Item { xattrs: member.xattrs, ..item(&member.entry, digest, built_for) };
        payload.insert(member.entry.path, item);
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
        fields,
        scripts,
        name: info.name,
        version: info.version,
        // The two managers have different words for it.
        arch: if info.arch == "noarch" { "all".into() } else { info.arch },
        sha256,
        signatures,
        payload,
    })
}

/// What apk is told, but for the name and for where and when it was made; what is empty is left out.
fn apk_fields(metadata: &apk::Metadata) -> BTreeMap<String, String> {
    let apk::Metadata { info, triggers, replaces_priority, .. } = metadata;
    let list = |items: &[apk::Dependency]| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let number = |value: &Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let fields = [
        ("version", info.version.clone()),
        ("architecture", info.arch.clone()),
        ("description", info.description.clone()),
        ("license", info.license.clone()),
        ("maintainer", info.maintainer.clone()),
        ("url", info.url.clone()),
        ("depends", list(&info.depends)),
        ("provides", list(&info.provides)),
        ("replaces", list(&info.replaces)),
        ("install-if", list(&info.install_if)),
        ("recommends", list(&info.recommends)),
        ("tags", info.tags.join(" ")),
        ("layer", number(&info.layer)),
        ("provider-priority", number(&info.provider_priority)),
        ("replaces-priority", number(replaces_priority)),
        ("triggers", triggers.join(" ")),
    ];
    fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `digest` is that of a file's content.
fn item(entry: &Entry, digest: Digest, built_for: Option<String>) -> Item {
    let content = match &entry.kind {
        Kind::Dir => ItemContent::Folder,
        Kind::File(_) => ItemContent::File(digest),
        Kind::Symlink(target) => ItemContent::Link(target.clone()),
        Kind::HardLink(target) => ItemContent::HardLink(target.clone()),
        Kind::Device(device) => ItemContent::Device(*device),
    };
    let shown = |owner: &Owner| if owner.name.is_empty() { owner.id.to_string() } else { owner.name.clone() };
    let owner = format!("{}:{}", shown(&entry.owner), shown(&entry.group));
    Item { content, mode: entry.mode, owner, xattrs: Vec::new(), built_for }
}

/// The package that stands for a kernel.
const KERNEL: &str = formats::Package::KERNEL;

fn built_for(path: &str, bytes: &[u8]) -> Option<String> {
    let is_module = path.starts_with(MODULES) && path.ends_with(".ko");
    // OpenWrt's kernels may leave the vermagic out of modules: then the dependency is all there is.
    let info = is_module.then(|| ModuleInfo::read(bytes).ok()).flatten()?;
    Some(info.kernel_release().to_owned())
}
