//! Opens an ipk package.

use std::io::{self, Read};

use model::Format;
use model::sha256::{Digest, HashingReader};

use super::facts::facts;
use super::{File, FileIdentity, Need, Opened, Script, Tally, alternatives, words};
use crate::depend::{Dependency, Term};
use crate::package::Kind;
use crate::version::Operator;
use crate::{Error, Limits, ipk};

/// Reads an ipk package.
pub(super) fn read(path: &str, input: impl Read, limits: &Limits) -> Result<Opened, Error> {
    let mut input = Tally::new(input, Format::Ipk);
    let mut files = Vec::new();
    let metadata = ipk::visit(&mut input, limits, &mut |member, content| {
        let mut content = HashingReader::new(content);
        let facts = facts(&member.entry.path, member.length, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        let is_file = matches!(member.entry.kind, Kind::File(_));
        files.push(File {
            facts,
            sha256: is_file.then(|| content.finish().1),
            xattrs: Vec::new(),
            entry: member.entry.clone(),
            length: member.length,
        });
        Ok(())
    })?;
    Ok(opened(path, metadata, files, input.finish(None, 0)?))
}

fn opened(path: &str, metadata: ipk::Metadata, files: Vec<File>, file: FileIdentity) -> Opened {
    let control = metadata.control;
    let text = |field| control.stanza.get(field).unwrap_or_default().to_owned();
    let need = |dependency: &Dependency| Need {
        names: dependency.alternatives.iter().map(|term| term.name.clone()).collect(),
        exact: match &dependency.alternatives[..] {
            [Term { constraint: Some(constraint), .. }] if constraint.operator == Operator::Equal => {
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
    let kept = metadata.files.iter().filter(|(name, _)| *name != "control");
    Opened {
        path: path.to_owned(),
        format: Format::Ipk,
        license: text("License"),
        description: text("Description"),
        maintainer: text("Maintainer"),
        source: text("Source"),
        fields: control.stanza.fields().map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        kept: kept.map(|(name, file)| (name.clone(), Digest::of(&file.bytes))).collect(),
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
        users: words(&text("Require-User")),
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
