//! Rebuilt kmods against those that the release published: payload by payload, whatever the dates are.

use std::collections::BTreeSet;
use std::fmt;

use camino::Utf8PathBuf;
use formats::Format;
use model::Result;

use super::opened::{Item, Opened};

/// A difference between a rebuilt package and the published one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The package.
    pub package: String,
    /// The file in it; `None` when it is about the package itself.
    pub path: Option<String>,
    /// What differs, for people.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: /{path}: {}", self.package, self.what),
            None => write!(f, "{}: {}", self.package, self.what),
        }
    }
}

/// Compares packages of the same names; a package that one side lacks is a difference too.
///
/// # Errors
/// `SDK060` a package that cannot be read.
pub fn compare(format: Format, built: &[Utf8PathBuf], published: &[Utf8PathBuf]) -> Result<Vec<Difference>> {
    let open = |files: &[Utf8PathBuf]| files.iter().map(|file| Opened::read(file, format)).collect::<Result<Vec<_>>>();
    let (built, published) = (open(built)?, open(published)?);
    let names: BTreeSet<&str> = built.iter().chain(&published).map(|package| package.name.as_str()).collect();
    let mut differences = Vec::new();
    for name in names {
        let of = |packages: &'_ [Opened]| packages.iter().position(|package| package.name == name);
        match (of(&built).map(|at| &built[at]), of(&published).map(|at| &published[at])) {
            (Some(ours), Some(theirs)) => differences.extend(package(ours, theirs)),
            (ours, _) => {
                let side = if ours.is_some() { "was not published" } else { "was not built" };
                differences.push(Difference { package: name.into(), path: None, what: side.into() });
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
    };
    let kernel = |package: &Opened| package.kernel.clone().unwrap_or_else(|| "none".into());
    let fields = [
        ("version", ours.version.clone(), theirs.version.clone()),
        ("architecture", ours.arch.clone(), theirs.arch.clone()),
        ("kernel", kernel(ours), kernel(theirs)),
    ];
    let mut differences: Vec<Difference> = fields
        .into_iter()
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(field, ours, theirs)| difference(None, format!("{field} is {ours}, published is {theirs}")))
        .collect();
    let paths: BTreeSet<&String> = ours.payload.keys().chain(theirs.payload.keys()).collect();
    for path in paths {
        let what = match (ours.payload.get(path), theirs.payload.get(path)) {
            (Some(_), None) => "only in the rebuilt one".to_owned(),
            (None, _) => "only in the published one".to_owned(),
            (Some(ours), Some(theirs)) => match changed(ours, theirs) {
                Some(what) => what,
                None => continue,
            },
        };
        differences.push(difference(Some(path), what));
    }
    differences
}

fn changed(ours: &Item, theirs: &Item) -> Option<String> {
    if ours.content != theirs.content {
        return Some("its content differs".into());
    }
    (ours.mode != theirs.mode).then(|| format!("its mode is {:o}, published is {:o}", ours.mode, theirs.mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;
    use formats::depend::Dependency;
    use formats::{Content, Entry, Package};

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
        let file = folder.join(format.file_name(&package));
        format.write(&package, std::fs::File::create(&file).unwrap()).unwrap();
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
            assert_eq!(
                differences,
                [
                    "kmod-x: kernel is 6.6.93~bb-r1, published is 6.6.93~aa-r1",
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
}
