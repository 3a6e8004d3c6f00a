//! What the feed's kmods contain; this distinguishes their modules from others on a router.

use std::fs::File;
use std::io::{BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use formats::modinfo::ModuleInfo;
use formats::{Format, Limits, apk, ipk};
use model::{Digest, Exit, Failure, Problem, Result};
use scenarios::{Module, Payload};

/// Reads packages; if one exists in both formats, either is used.
pub(super) fn payload(files: &[Utf8PathBuf]) -> Result<Payload> {
    let mut payload = Payload::default();
    for file in files.iter().filter(|file| file.file_name().is_some_and(|name| name.starts_with("kmod-"))) {
        let (package, modules) = read(file)?;
        payload.0.insert(package, modules);
    }
    Ok(payload)
}

fn read(file: &Utf8Path) -> Result<(String, Vec<Module>)> {
    let opened = File::open(file).map_err(|error| Failure::io("read the package", file, &error))?;
    let (reader, limits) = (BufReader::new(opened), Limits::default());
    let mut modules = Vec::new();
    let mut take = |path: &str, content: &mut dyn Read| -> std::io::Result<()> {
        if let Some(name) = path.strip_suffix(".ko").and_then(|path| path.rsplit('/').next()) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            modules.push(module(name, path, &bytes));
        }
        Ok(())
    };
    let package = match Format::of_file_name(file.as_str()) {
        Some(Format::Apk) => {
            apk::visit(reader, &limits, |_| Ok(()), &mut |member, content| take(&member.entry.path, content))
                .map(|metadata| metadata.info.name)
        }
        _ => ipk::visit(reader, &limits, &mut |member, content| take(&member.entry.path, content))
            .map(|metadata| metadata.control.package),
    };
    Ok((package.map_err(|error| unreadable(file, &error))?, modules))
}

fn module(name: &str, path: &str, bytes: &[u8]) -> Module {
    // OpenWrt may strip a module's metadata.
    let info = ModuleInfo::read(bytes).unwrap_or_default();
    let srcversion = info.fields.into_iter().find(|(key, _)| key == "srcversion").map(|(_, value)| value);
    Module {
        name: name.replace('-', "_"),
        path: format!("/{}", path.trim_start_matches('/')),
        sha256: Digest::of(bytes),
        build_id: info.build_id,
        srcversion,
    }
}

fn unreadable(file: &Utf8Path, error: &formats::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "TEST007",
        what: "a package of the feed cannot be read",
        why: format!("{error} ({})", error.id()),
        fix: "remove the packages with `cargo xtask clean packages` and try again",
    })
    .at(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::{Content, Entry, Package};

    #[test]
    fn modules_are_found_in_packages_of_both_formats() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Utf8Path::from_path(folder.path()).unwrap().join(name);
        let package = Package {
            name: "kmod-nf-flow".into(),
            version: "6.12.94-r1".into(),
            architecture: "x86_64".into(),
            files: vec![
                Entry::file("lib/modules/6.12.94/nf-flow.ko", 0o644, Content::from("x")),
                Entry::file("etc/modules.d/nf-flow", 0o644, Content::from("nf-flow\n")),
            ],
            ..Package::default()
        };
        for format in Format::ALL {
            let file = path(&package.file_name(format));
            let mut bytes = Vec::new();
            package.write(format, &mut bytes).unwrap();
            std::fs::write(&file, bytes).unwrap();
            let payload = payload(&[file, path("offloadctl_1_x86_64.ipk")]).unwrap();
            let module = &payload.0["kmod-nf-flow"][0];
            assert_eq!(payload.0.values().flatten().count(), 1, "{format}");
            assert_eq!((module.name.as_str(), module.path.as_str()), ("nf_flow", "/lib/modules/6.12.94/nf-flow.ko"));
            assert_eq!(module.sha256, Digest::of("x"));
            assert_eq!(payload.names().len(), 1);
        }
        std::fs::write(path("kmod-x_1_all.ipk"), "no package").unwrap();
        assert_eq!(payload(&[path("kmod-x_1_all.ipk")]).unwrap_err().id(), "TEST007");
    }
}
