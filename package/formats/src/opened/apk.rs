//! Opens an apk package.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use model::{Digest, Format};

use super::facts::{Facts, facts};
use super::{File, FileIdentity, Need, Opened, Script, Tally, alternatives, words};
use crate::adb::Adb;
use crate::package::Kind;
use crate::version::apk::Match;
use crate::{Error, Limits, apk};

/// Reads an apk package.
pub(super) fn read(path: &str, input: impl Read, limits: &Limits) -> Result<Opened, Error> {
    let mut input = Tally::new(input, Format::Apk);
    let mut found = HashMap::new();
    let (mut digest, mut signatures) = (None, 0);
    let note_down = |adb: &Adb| {
        (digest, signatures) = (Some(adb.digest()), adb.signatures.len());
        Ok(())
    };
    let metadata = apk::visit(&mut input, limits, note_down, &mut |member, content| {
        found.insert(member.entry.path.clone(), facts(&member.entry.path, member.length, content)?);
        Ok(())
    })?;
    let file = input.finish(digest, signatures)?;
    Ok(opened(path, metadata, found, file))
}

/// `facts` has what was learnt about each path's content.
fn opened(path: &str, metadata: apk::Metadata, mut facts: HashMap<String, Facts>, file: FileIdentity) -> Opened {
    let fields = fields(&metadata);
    let info = metadata.info;
    let files: Vec<File> = metadata
        .members
        .iter()
        .filter(|member| !member.entry.path.is_empty())
        .map(|member| File {
            facts: facts.remove(&member.entry.path).unwrap_or_default(),
            length: member.length,
            sha256: member.sha256.or_else(|| matches!(member.entry.kind, Kind::File(_)).then(|| Digest::of(""))),
            xattrs: member.xattrs,
            entry: member.entry,
        })
        .collect();
    let names = |list: &[apk::Dependency]| list.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
    let (conflicts, depends): (Vec<_>, Vec<_>) = info.depends.into_iter().partition(apk::Dependency::is_conflict);
    let need = |dependency: apk::Dependency| Need {
        exact: dependency.version.filter(|_| dependency.relation == Match::EQUAL),
        names: vec![dependency.name],
    };
    let kept = metadata.scripts.iter().map(|(script, bytes)| (script.name().to_owned(), Digest::of(bytes))).collect();
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
    let users = words(list("rusers"));
    let versioned = info.provides.iter().filter(|item| item.version.is_some()).map(|item| item.name.clone());
    let exclusive = std::iter::once(info.name.clone()).chain(versioned).collect();
    // A listed path without a digest need not exist yet.
    let conffiles = list("conffiles_static").lines().map(|line| match line.rsplit_once(' ') {
        Some((path, digest)) => (path.to_owned(), digest.parse().ok()),
        None => (line.to_owned(), None),
    });
    Opened {
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
        users,
        odd_conffiles: Vec::new(),
        stored: None,
        replaces: names(&info.replaces),
        installed_size: Some(info.installed_size),
        conffiles: conffiles.collect(),
        scripts: scripts.collect(),
        files,
        file,
        fields,
        kept,
        name: info.name,
        version: info.version,
    }
}

/// The metadata fields that apk uses; empty ones are left out.
fn fields(metadata: &apk::Metadata) -> BTreeMap<String, String> {
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
