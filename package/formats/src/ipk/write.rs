//! Writes an ipk from the neutral plan.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use super::{CONTROL, DATA, FORMAT, FORMAT_VERSION};
use crate::package::{Content, Entry, Kind, Package};
use crate::{Error, control, gzip, tar};

/// Generated `postinst`: base-files does what all packages need, then runs `postinst-pkg`.
const POSTINST: &str = r#"#!/bin/sh
# Generated. The work that all packages share is done by functions of base-files.
[ "$IPKG_NO_SCRIPT" != 1 ] || exit 0
[ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0
. "$IPKG_INSTROOT/lib/functions.sh"
default_postinst "$0" "$@"
"#;

/// Generated `prerm`: likewise, with `prerm-pkg`.
const PRERM: &str = r#"#!/bin/sh
# Generated. The work that all packages share is done by functions of base-files.
[ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0
. "$IPKG_INSTROOT/lib/functions.sh"
default_prerm "$0" "$@"
"#;

/// The name of the package file, `NAME_VERSION_ARCH.ipk`; an epoch of the version is left out.
pub fn file_name(package: &Package) -> String {
    let version = match package.version.split_once(':') {
        Some((epoch, rest)) if epoch.len() == 1 => rest,
        _ => &package.version,
    };
    format!("{}_{version}_{}.ipk", package.full_name(), package.architecture)
}

/// The package in memory.
pub fn to_vec(package: &Package) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    write(package, &mut bytes)?;
    Ok(bytes)
}

/// Writes the package; holds the compressed payload in memory.
pub fn write(package: &Package, out: impl Write) -> Result<(), Error> {
    write_with_scratch(package, out, Cursor::new(Vec::new()))
}

/// Writes the package; the compressed payload goes to `scratch`, such as a temporary file, because its length must be
/// known before it can be stored.
pub fn write_with_scratch(
    package: &Package,
    mut out: impl Write,
    mut scratch: impl Read + Write + Seek,
) -> Result<(), Error> {
    pack(package, &mut out, &mut scratch)
}

/// Where the compressed payload is kept until it is stored.
trait Scratch: Read + Write + Seek {}

impl<T: Read + Write + Seek> Scratch for T {}

/// The body of [`write_with_scratch`], compiled once, here, and not for each kind of output in crates that may be less
/// optimised.
fn pack(package: &Package, out: &mut dyn Write, mut scratch: &mut dyn Scratch) -> Result<(), Error> {
    let mut files = package.tree()?;
    let conffiles = split_conffiles(package, &mut files)?;
    let time = package.source_date_epoch;

    let start = scratch.stream_position()?;
    let installed_size = inner_archive(&mut scratch, time, &files)?;
    let data_length = scratch.stream_position()? - start;
    scratch.seek(SeekFrom::Start(start))?;

    let mut control_archive = Vec::new();
    inner_archive(&mut control_archive, time, &control_files(package, installed_size, &conffiles)?)?;

    let mut outer = tar::Writer::new(gzip::Writer::new(out, gzip::Level::Default)?, time);
    outer.stream(FORMAT, 0o644, FORMAT_VERSION.len() as u64, &mut &FORMAT_VERSION[..])?;
    outer.stream(DATA, 0o644, data_length, &mut scratch.take(data_length))?;
    outer.stream(CONTROL, 0o644, control_archive.len() as u64, &mut &control_archive[..])?;
    outer.finish()?.0.finish()?.flush()?;
    Ok(())
}

/// A gzipped archive that starts with `./`; returns its uncompressed length.
fn inner_archive(out: impl Write, time: u64, entries: &[Entry]) -> Result<u64, Error> {
    let mut archive = tar::Writer::new(gzip::Writer::new(out, gzip::Level::Default)?, time);
    archive.root()?;
    for entry in entries {
        archive.entry(entry)?;
    }
    let (compressed, length) = archive.finish()?;
    compressed.finish()?;
    Ok(length)
}

/// The members of `control.tar.gz`, sorted by name.
fn control_files(package: &Package, installed_size: u64, conffiles: &str) -> Result<Vec<Entry>, Error> {
    let scripts = &package.scripts;
    let mut files = BTreeMap::from([
        ("control", (0o644, control::of_package(package, installed_size)?.stanza.to_string())),
        ("postinst", (0o755, POSTINST.to_owned())),
        ("prerm", (0o755, PRERM.to_owned())),
    ]);
    if !conffiles.is_empty() {
        files.insert("conffiles", (0o644, conffiles.to_owned()));
    }
    for (name, script) in [
        ("preinst", &scripts.preinst),
        ("postinst-pkg", &scripts.postinst),
        ("prerm-pkg", &scripts.prerm),
        ("postrm", &scripts.postrm),
    ] {
        if let Some(script) = script {
            files.insert(name, (0o755, script.clone()));
        }
    }
    Ok(files.into_iter().map(|(name, (mode, text))| Entry::file(name, mode, Content::from(text))).collect())
}

/// The text of `conffiles`: regular files of the payload, with directories expanded, sorted by bytes.
///
/// Paths that are not in the payload are still kept over a system upgrade: a list of them below `lib/upgrade/keep.d` is
/// added to the payload.
fn split_conffiles(package: &Package, files: &mut Vec<Entry>) -> Result<String, Error> {
    let (shipped, missing) = package.conffiles_by_presence(files)?;
    if !missing.is_empty() {
        let path = format!("lib/upgrade/keep.d/{}", package.name);
        if !files.iter().any(|entry| entry.path == path) {
            let text: String = missing.iter().map(|path| format!("{path}\n")).collect();
            let list = Entry::file(path, 0o644, Content::from(text));
            let with_list =
                Package { files: std::mem::take(files).into_iter().chain([list]).collect(), ..Package::default() };
            *files = with_list.tree()?;
        }
    }
    Ok(shipped.iter().map(|path| format!("{path}\n")).collect())
}

impl Package {
    /// Absolute conffile paths in the payload, sorted; and those that are declared but not shipped.
    pub(crate) fn conffiles_by_presence(&self, tree: &[Entry]) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut shipped, mut missing) = (Vec::new(), Vec::new());
        for declared in &self.conffiles {
            let path = declared.strip_prefix('/').map(|path| path.strip_suffix('/').unwrap_or(path));
            let path = path.filter(|path| tar::path_problem(path).is_none()).ok_or_else(|| Error::Plan {
                what: format!("conffile {declared:?} is not an absolute path without '.', '..' or double slashes"),
            })?;
            let below = format!("{path}/");
            let found: Vec<_> =
                tree.iter().filter(|entry| entry.path == path || entry.path.starts_with(&below)).collect();
            if found.is_empty() {
                missing.push(declared.clone());
            }
            let regular = |entry: &&&Entry| matches!(entry.kind, Kind::File(_) | Kind::HardLink(_));
            shipped.extend(found.iter().filter(regular).map(|entry| format!("/{}", entry.path)));
        }
        shipped.sort();
        shipped.dedup();
        Ok((shipped, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn plan() -> Package {
        Package {
            name: "hello".into(),
            version: "1.0-r1".into(),
            architecture: "all".into(),
            files: vec![Entry::file("etc/config/hello", 0o600, Content::from("config\n"))],
            ..Package::default()
        }
    }

    #[test]
    fn the_file_name_has_no_epoch_and_the_abi_version() {
        assert_eq!(file_name(&plan()), "hello_1.0-r1_all.ipk");
        assert_eq!(file_name(&Package { version: "2:1.0".into(), ..plan() }), "hello_1.0_all.ipk");
        assert_eq!(file_name(&Package { abi_version: "3".into(), ..plan() }), "hello3_1.0-r1_all.ipk");
    }

    #[test]
    fn the_same_plan_gives_the_same_bytes() {
        let source = Content::Source {
            length: 7,
            open: std::sync::Arc::new(|| Ok(Box::new(Cursor::new(b"config\n".to_vec())))),
        };
        let streamed = Package { files: vec![Entry::file("etc/config/hello", 0o600, source)], ..plan() };
        assert_eq!(to_vec(&plan()).unwrap(), to_vec(&streamed).unwrap());
    }

    #[test]
    fn a_source_of_another_length_is_an_error() {
        for length in [6, 8] {
            let open = std::sync::Arc::new(|| Ok(Box::new(Cursor::new(b"config\n".to_vec())) as Box<dyn Read>));
            let files = vec![Entry::file("x", 0o644, Content::Source { length, open })];
            assert_eq!(to_vec(&Package { files, ..plan() }).unwrap_err().id(), "TAR014");
        }
    }

    #[test]
    fn conffiles_that_are_not_shipped_are_kept_over_an_upgrade() {
        let conffiles = ["/etc/config/", "/etc/missing", "/etc/config/hello"].map(str::to_owned).to_vec();
        let ipk =
            super::super::read(&to_vec(&Package { conffiles, ..plan() }).unwrap()[..], &Limits::default()).unwrap();
        assert_eq!(ipk.metadata.conffiles, ["/etc/config/hello"]);
        let keep = ipk.entries.iter().find(|entry| entry.path == "lib/upgrade/keep.d/hello").unwrap();
        assert_eq!(keep.kind, Kind::File(Content::from("/etc/missing\n")));

        let escape = Package { conffiles: vec!["/../x".into()], ..plan() };
        assert_eq!(to_vec(&escape).unwrap_err().id(), "FMT002");
    }
}
