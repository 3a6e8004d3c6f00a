//! Compares rebuilt kmods with those that the release published: everything that a router would notice, but not dates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use camino::Utf8PathBuf;
use formats::opened::{File, Opened};
use formats::{Format, Kind, Owner};
use model::Result;

use super::opened;

/// A difference between a rebuilt package and the published one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Name of the package.
    pub package: String,
    /// The file in the package; `None` for a difference in the package itself.
    pub path: Option<String>,
    /// What differs, for the user.
    pub what: String,
    /// Whether there is no published package to compare with.
    pub is_unpublished: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: /{path}: {}", self.package, self.what),
            None => write!(f, "{}: {}", self.package, self.what),
        }
    }
}

/// Compares packages with the same names; a package that one side lacks is a difference too.
///
/// # Errors
/// `SDK060` a package that cannot be read.
pub fn compare(format: Format, built: &[Utf8PathBuf], published: &[Utf8PathBuf]) -> Result<Vec<Difference>> {
    let open = |files: &[Utf8PathBuf]| files.iter().map(|file| opened::read(file, format)).collect::<Result<Vec<_>>>();
    let (built, published) = (open(built)?, open(published)?);
    let names: BTreeSet<&str> = built.iter().chain(&published).map(|package| package.name.as_str()).collect();
    let mut differences = Vec::new();
    for name in names {
        let of = |packages: &'_ [Opened]| packages.iter().position(|package| package.name == name);
        match (of(&built).map(|at| &built[at]), of(&published).map(|at| &published[at])) {
            (Some(ours), Some(theirs)) => differences.extend(package(ours, theirs)),
            (ours, _) => {
                let what = if ours.is_some() { "was not published" } else { "was not built" };
                let is_unpublished = ours.is_some();
                differences.push(Difference { package: name.into(), path: None, what: what.into(), is_unpublished });
            }
        }
    }
    Ok(differences)
}

fn package(ours: &Opened, theirs: &Opened) -> Vec<Difference> {
    let difference = |path: Option<&str>, what: String| Difference {
        package: ours.name.clone(),
        path: path.map(str::to_owned),
        what,
        is_unpublished: false,
    };
    let (our_fields, their_fields) = (told(ours), told(theirs));
    let fields = each(&our_fields, &their_fields).filter_map(|(name, ours, theirs)| {
        let shown = |value: Option<&&String>| value.map_or("none", |value| value.as_str()).to_owned();
        (ours != theirs).then(|| format!("{name} is {}, published is {}", shown(ours), shown(theirs)))
    });
    let scripts = each(&ours.kept, &theirs.kept).filter_map(|(name, ours, theirs)| match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours != theirs).then(|| format!("{name} differs")),
        (one, _) => Some(format!("{name} is {}", only_in(one.is_some()))),
    });
    let about_itself = fields.chain(scripts).map(|what| difference(None, what));
    let (our_files, their_files) = (payload(ours), payload(theirs));
    let files = each(&our_files, &their_files).filter_map(|(path, one, other)| {
        let what = match (one, other) {
            (Some(one), Some(other)) => changed(one, other)?,
            // The files in a folder are compared, so the other side need not list the folder.
            (Some(file), None) if is_filled(file, path, &our_files) => return None,
            (None, Some(file)) if is_filled(file, path, &their_files) => return None,
            (one, _) => only_in(one.is_some()).to_owned(),
        };
        Some(difference(Some(path), what))
    });
    about_itself.chain(files).collect()
}

/// Fields that depend on where and when a package was built, or that follow from others.
const NOT_COMPARED: [&str; 4] = ["package", "source", "sourcedateepoch", "installed-size"];

/// The package's metadata, without [`NOT_COMPARED`].
fn told(package: &Opened) -> BTreeMap<&str, &String> {
    let fields = package.fields.iter().filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()));
    fields.map(|(name, value)| (name.as_str(), value)).collect()
}

/// Files, folders and links by path.
fn payload(package: &Opened) -> BTreeMap<&str, &File> {
    package.files.iter().map(|file| (file.entry.path.as_str(), file)).collect()
}

/// Pairs the values of both sides, for each name that one of them has.
fn each<'a, K: AsRef<str> + Ord, T>(
    ours: &'a BTreeMap<K, T>,
    theirs: &'a BTreeMap<K, T>,
) -> impl Iterator<Item = (&'a str, Option<&'a T>, Option<&'a T>)> {
    let names: BTreeSet<&K> = ours.keys().chain(theirs.keys()).collect();
    names.into_iter().map(|name| (name.as_ref(), ours.get(name), theirs.get(name)))
}

fn only_in(rebuilt: bool) -> &'static str {
    if rebuilt { "only in the rebuilt one" } else { "only in the published one" }
}

fn is_filled(file: &File, path: &str, all: &BTreeMap<&str, &File>) -> bool {
    let below = |other: &&str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    file.entry.kind == Kind::Dir && all.keys().any(below)
}

fn changed(ours: &File, theirs: &File) -> Option<String> {
    let owner = |file: &File| format!("{}:{}", shown(&file.entry.owner), shown(&file.entry.group));
    let (our_owner, their_owner) = (owner(ours), owner(theirs));
    Some(match (&ours.entry.kind, &theirs.entry.kind) {
        (Kind::File(_), Kind::File(_)) if ours.sha256 != theirs.sha256 => "its content differs".into(),
        (Kind::Symlink(one), Kind::Symlink(other)) if one != other => {
            format!("it links to {one}, the published one to {other}")
        }
        (one, other) if one != other => "it is of another kind (file, folder or link)".into(),
        _ if ours.entry.mode != theirs.entry.mode => {
            format!("its mode is {:o}, published is {:o}", ours.entry.mode, theirs.entry.mode)
        }
        _ if our_owner != their_owner => format!("its owner is {our_owner}, published is {their_owner}"),
        _ if ours.xattrs != theirs.xattrs => "its extended attributes differ".into(),
        _ => return None,
    })
}

/// The owner's name, or the number if there is no name.
fn shown(owner: &Owner) -> String {
    if owner.name.is_empty() { owner.id.to_string() } else { owner.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;
    use formats::depend::{Dependency, Provide};
    use formats::{Content, Entry, Owner, Package};

    fn write(folder: &Utf8Path, format: Format, change: impl Fn(&mut Package)) -> Utf8PathBuf {
        let mut package = Package {
            name: "kmod-x".into(),
            version: "6.6.93-r1".into(),
            architecture: "x86_64".into(),
            description: "X".into(),
            depends: vec![Dependency::exactly("kernel", "6.6.93~aa-r1")],
            files: vec![
                Entry::file("lib/modules/6.6.93/x.ko", 0o644, Content::from("module")),
                Entry::file("etc/modules.d/x", 0o644, Content::from("x\n")),
            ],
            ..Package::default()
        };
        change(&mut package);
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join(package.file_name(format));
        package.write(format, std::fs::File::create(&file).unwrap()).unwrap();
        file
    }

    #[test]
    fn differences_are_listed_by_file_and_dates_are_none() {
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(folder.path()).unwrap();
            let published = write(&root.join("published"), format, |package| package.source_date_epoch = 17);
            let same = write(&root.join("same"), format, |_| {});
            assert_eq!(compare(format, std::slice::from_ref(&same), std::slice::from_ref(&published)).unwrap(), []);
            let other = write(&root.join("other"), format, |package| {
                package.depends = vec![Dependency::exactly("kernel", "6.6.93~bb-r1")];
                package.files = vec![
                    Entry::file("lib/modules/6.6.93/x.ko", 0o644, Content::from("other")),
                    Entry::file("lib/modules/6.6.93/y.ko", 0o644, Content::from("new")),
                ];
            });
            let told = |differences: Vec<Difference>| {
                let told = differences.iter().map(Difference::to_string);
                told.filter(|line| !line.contains("/lib/apk/")).collect::<Vec<_>>()
            };
            let differences = told(compare(format, &[other], std::slice::from_ref(&published)).unwrap());
            let kernel = match format {
                Format::Ipk => "kmod-x: depends is kernel (=6.6.93~bb-r1), published is kernel (=6.6.93~aa-r1)",
                Format::Apk => "kmod-x: depends is kernel=6.6.93~bb-r1, published is kernel=6.6.93~aa-r1",
            };
            assert_eq!(
                differences,
                [
                    kernel,
                    "kmod-x: /etc/modules.d/x: only in the published one",
                    "kmod-x: /lib/modules/6.6.93/x.ko: its content differs",
                    "kmod-x: /lib/modules/6.6.93/y.ko: only in the rebuilt one",
                ]
            );
            let mode = write(&root.join("mode"), format, |package| package.files[0].mode = 0o755);
            let differences = told(compare(format, &[mode], std::slice::from_ref(&published)).unwrap());
            assert_eq!(differences, ["kmod-x: /lib/modules/6.6.93/x.ko: its mode is 755, published is 644"]);
            assert_eq!(
                told(compare(format, &[], std::slice::from_ref(&published)).unwrap()),
                ["kmod-x: was not built"]
            );
            assert_eq!(told(compare(format, &[same], &[]).unwrap()), ["kmod-x: was not published"]);
        }
    }

    /// Each change that a router would notice, in both formats.
    #[test]
    fn whatever_a_router_would_see_is_compared() {
        type Change = fn(&mut Package);
        let changes: [(Change, &str); 9] = [
            (|package| package.depends.push(Dependency::on("kmod-y")), "depends"),
            (|package| package.provides.push(Provide { name: "x".into(), version: None }), "provides"),
            (|package| package.description = "Y".into(), "description"),
            (|package| package.license = "MIT".into(), "license"),
            (|package| package.alternatives.push("100:/sbin/a:/sbin/b".into()), "alternatives"),
            (|package| package.scripts.postinst = Some("#!/bin/sh\nreboot\n".into()), "post"),
            (|package| package.conffiles = vec!["/etc/modules.d/x".into()], "conffiles"),
            (|package| package.files.push(Entry::symlink("sbin/x", "y")), "/sbin/x: only in the rebuilt one"),
            (|package| package.files.push(Entry::dir("srv", 0o700)), "/srv: only in the rebuilt one"),
        ];
        for (format, (change, word)) in
            Format::ALL.into_iter().flat_map(|format| changes.map(|change| (format, change)))
        {
            let folder = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(folder.path()).unwrap();
            let published = write(&root.join("published"), format, |_| {});
            let changed = write(&root.join("changed"), format, change);
            let differences = compare(format, &[changed], &[published]).unwrap();
            let told: Vec<String> = differences.iter().map(Difference::to_string).collect();
            assert!(told.iter().any(|line| line.contains(word)), "{format}: {word}: {told:?}");
        }
    }

    #[test]
    fn links_owners_and_the_modes_of_folders_are_compared() {
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(folder.path()).unwrap();
            let published = write(&root.join("published"), format, |package| {
                package.files.extend([Entry::symlink("sbin/x", "y"), Entry::dir("srv", 0o755)]);
            });
            let changed = write(&root.join("changed"), format, |package| {
                package.files.extend([Entry::symlink("sbin/x", "z"), Entry::dir("srv", 0o700)]);
                package.files[0].owner = Owner { id: 17, name: "nobody".into() };
            });
            let told: Vec<String> =
                compare(format, &[changed], &[published]).unwrap().iter().map(Difference::to_string).collect();
            let (owner, root) = if format == Format::Ipk { ("17:0", "0:0") } else { ("nobody:root", "root:root") };
            assert_eq!(
                told,
                [
                    format!("kmod-x: /lib/modules/6.6.93/x.ko: its owner is {owner}, published is {root}"),
                    "kmod-x: /sbin/x: it links to z, the published one to y".into(),
                    "kmod-x: /srv: its mode is 700, published is 755".into(),
                ]
            );
        }
    }
}
