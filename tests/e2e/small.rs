//! Small packages, made for one test.

use camino::Utf8PathBuf;
use formats::depend::Dependency;
use formats::{Content, Entry, Format, Package};

use crate::place::Place;

/// A program of that name, which says where it is from.
pub(crate) fn package(name: &str, needs: &[&str]) -> Package {
    let program = Content::from(format!("#!/bin/sh\necho from {name}\n"));
    Package {
        name: name.into(),
        version: "1.0-r1".into(),
        architecture: "all".into(),
        description: format!("What {name} is for"),
        license: "MIT".into(),
        maintainer: "Somebody".into(),
        depends: needs.iter().copied().map(Dependency::on).collect(),
        files: vec![Entry::file(format!("usr/bin/{name}"), 0o755, program)],
        ..Package::default()
    }
}

/// Writes packages to a folder of that name.
pub(crate) fn folder(place: &Place, name: &str, packages: &[Package], formats: &[Format]) -> Utf8PathBuf {
    let folder = place.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    for package in packages {
        for &format in formats {
            let mut bytes = Vec::new();
            package.write(format, &mut bytes).unwrap();
            std::fs::write(folder.join(package.file_name(format)), bytes).unwrap();
        }
    }
    folder
}
