//! Packages of files and of other people's programs: the same for every provider, since OpenWrt's build is not
//! involved.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use formats::depend::{Dependency, Provide, Term};
use formats::{Content, Entry, Format, Owner, Package, Scripts};
use host::files;
use model::{Arch, Cancel, Events, Exit, Failure, Problem, Result};

use crate::built::BuiltPackage;
use crate::kmod::{MAINTAINER, Plan};
use crate::program::check_static;
use crate::recipe::{Files, Item, OtherProgram, Recipes};
use crate::write::write_all;

/// A finished program of another workspace or build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Path of the program.
    pub file: Utf8PathBuf,
    /// Its version.
    pub version: String,
}

/// What to pack.
#[derive(Debug, Clone, Copy)]
pub struct PackRequest<'a> {
    /// From [`Recipes::load`].
    pub recipes: &'a Recipes,
    /// The programs that cargo built, by the name of their package.
    pub made: &'a BTreeMap<String, Made>,
    /// OpenWrt package architecture.
    pub arch: &'a Arch,
    /// Formats to write.
    pub formats: &'a [Format],
    /// Time of every file, in seconds since 1970.
    pub epoch: u64,
    /// Whether programs must not need any library of the router.
    pub only_static: bool,
}

/// Packs every recipe of files and of other programs into the directory `out`.
///
/// # Errors
/// `OWN010` for a recipe that cannot be packed, `OWN011` for a program that does not exist for the architecture or does
/// not run there; `PKG…` as [`crate::build`].
pub fn pack(request: &PackRequest<'_>, out: &Utf8Path, events: &Events, cancel: &Cancel) -> Result<Vec<BuiltPackage>> {
    write_all(&plans(request)?, request.formats, out, events, cancel)
}

pub(crate) fn plans(request: &PackRequest<'_>) -> Result<Vec<Plan>> {
    let files = request.recipes.files.values().map(|recipe| of_files(recipe, request.epoch));
    let programs = request.recipes.others.values().map(|recipe| of_program(recipe, request));
    let packages = files.chain(programs).collect::<Result<Vec<Package>>>()?;
    Ok(packages.into_iter().map(|package| Plan { package, note: None }).collect())
}

fn of_files(recipe: &Files, epoch: u64) -> Result<Package> {
    let mut entries = Vec::new();
    for item in &recipe.files {
        add(recipe, item, &mut entries)?;
    }
    let unpackable = |error: formats::Error| unpackable(&recipe.package, &error);
    Ok(Package {
        name: recipe.package.clone(),
        version: format!("{}-r{}", recipe.package_version, recipe.release),
        architecture: "all".into(),
        depends: recipe
            .depends
            .iter()
            .map(|text| text.parse::<Dependency>())
            .collect::<Result<_, _>>()
            .map_err(unpackable)?,
        conflicts: recipe
            .conflicts
            .iter()
            .map(|text| text.parse::<Term>())
            .collect::<Result<_, _>>()
            .map_err(unpackable)?,
        provides: recipe
            .provides
            .iter()
            .map(|text| text.parse::<Provide>())
            .collect::<Result<_, _>>()
            .map_err(unpackable)?,
        install_if: recipe
            .install_if
            .iter()
            .map(|text| text.parse::<Dependency>())
            .collect::<Result<_, _>>()
            .map_err(unpackable)?,
        description: format!("{}\n{}", recipe.title, recipe.description).trim_end().into(),
        license: recipe.license.clone(),
        section: recipe.section.clone(),
        url: recipe.url.clone(),
        maintainer: recipe.maintainer.clone().unwrap_or_else(|| MAINTAINER.into()),
        source: format!("recipes/{}.yaml", recipe.package),
        source_name: recipe.package.clone(),
        source_date_epoch: epoch,
        require_user: recipe.users.join(" "),
        alternatives: recipe.alternatives.clone(),
        conffiles: recipe.conffiles.clone(),
        scripts: Scripts {
            preinst: recipe.scripts.preinst.clone(),
            postinst: recipe.scripts.postinst.clone(),
            prerm: recipe.scripts.prerm.clone(),
            postrm: recipe.scripts.postrm.clone(),
        },
        files: entries,
        ..Package::default()
    })
}

/// Adds the entries of an item.
fn add(recipe: &Files, item: &Item, entries: &mut Vec<Entry>) -> Result<()> {
    let mode = item.mode.as_ref().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let mut put = |mut entry: Entry| {
        if let Some((user, group, group_name)) = item.owner.as_ref().and_then(|owner| recipe.owner(owner)) {
            entry.owner = Owner { id: user, name: item.owner.clone().unwrap_or_default() };
            entry.group = Owner { id: group, name: group_name.to_owned() };
        }
        entries.push(entry);
    };
    let file = |path: &str, bytes: Vec<u8>| -> Result<Entry> {
        if bytes.starts_with(b"\x7fELF") {
            return Err(program_among_files(&recipe.package, path));
        }
        let usual = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
        Ok(Entry::file(path, mode.unwrap_or(usual), Content::from(bytes)))
    };
    if let Some(text) = &item.text {
        put(file(&item.path, text.clone().into_bytes())?);
    } else if let Some(from) = &item.from {
        put(file(&item.path, files::read(from)?)?);
    } else if let Some(target) = &item.link {
        put(Entry::symlink(item.path.clone(), target.clone()));
    } else if item.directory {
        put(Entry::dir(item.path.clone(), mode.unwrap_or(0o755)));
    } else if let Some(folder) = &item.folder {
        for (below, path) in tree(folder)? {
            let path_on_router = format!("{}/{below}", item.path.trim_end_matches('/'));
            if path.is_symlink() {
                let target = path.read_link_utf8().map_err(|error| Failure::io("read the link", &path, &error))?;
                put(Entry::symlink(path_on_router, target.into_string()));
            } else {
                put(file(&path_on_router, files::read(&path)?)?);
            }
        }
    }
    Ok(())
}

/// The files below a folder with their relative paths, sorted; hidden ones are left out.
fn tree(folder: &Utf8Path) -> Result<Vec<(String, Utf8PathBuf)>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for path in files::entries(&next)? {
            if path.file_name().is_some_and(|name| name.starts_with('.')) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(below) = path.strip_prefix(folder) {
                found.push((below.to_string(), path.clone()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn of_program(recipe: &OtherProgram, request: &PackRequest<'_>) -> Result<Package> {
    let name = &recipe.package;
    let (file, version) = match request.made.get(name) {
        Some(made) => (made.file.clone(), made.version.clone()),
        None => {
            let file = recipe.file.get(&request.arch.0).filter(|file| file.is_file());
            let there = || recipe.file.keys().cloned().collect::<Vec<_>>().join(", ");
            let file = file.ok_or_else(|| {
                unfit(name, format!("there is no program for {}, only for {}", request.arch, there()))
            })?;
            (file.clone(), recipe.package_version.clone().unwrap_or_default())
        }
    };
    let bytes = files::read(&file)?;
    if request.only_static {
        check_static(&bytes)
            .map_err(|why| unfit(name, format!("{why}, and the stand-in has Debian's libraries")).at(&file))?;
    }
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if let Some(most) = recipe.max_installed_size.filter(|most| size > *most) {
        return Err(unfit(name, format!("it has {size} bytes, but its recipe allows {most}")).at(&file));
    }
    let depends = recipe.depends.iter().map(|text| text.parse::<Dependency>()).collect::<Result<_, _>>();
    Ok(Package {
        name: name.clone(),
        version: format!("{version}-r{}", recipe.release),
        architecture: request.arch.to_string(),
        depends: depends.map_err(|error| unpackable(name, &error))?,
        description: format!("{}\n{}", recipe.title, recipe.description).trim_end().into(),
        license: recipe.license.clone(),
        section: recipe.section.clone(),
        url: recipe.url.clone(),
        maintainer: recipe.maintainer.clone().unwrap_or_else(|| MAINTAINER.into()),
        source: format!("recipes/{name}.yaml"),
        source_name: name.clone(),
        source_date_epoch: request.epoch,
        files: vec![Entry::file(recipe.install.clone(), 0o755, Content::from(bytes))],
        ..Package::default()
    })
}

fn unpackable(package: &str, error: &formats::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN010",
        what: format!("{package} cannot be packed"),
        why: format!("{error} ({})", error.id()),
        fix: "correct its recipe",
    })
}

fn program_among_files(package: &str, path: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN012",
        what: format!("{path} of {package} is a program for one architecture"),
        why: "a package of files is offered to routers of every architecture",
        fix: "give the program a recipe of its own, with `file:` for each architecture or `cargo:`",
    })
}

fn unfit(package: &str, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN011",
        what: format!("the program of {package} does not run on the router"),
        why,
        fix: "correct `file:` or `cargo:` in its recipe, or build the program differently: static, and for the \
              target's architecture",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    const FILES: &str =
        "kind: files\npackage: svc\ntitle: A service\nlicense: MIT\npackage-version: \"1.2\"\nrelease: 3\n";

    /// Loads a recipe with a file beside it and passes it to `use_it`.
    fn with<T>(name: &str, text: &str, beside: &str, use_it: impl FnOnce(&Recipes) -> Result<T>) -> Result<T> {
        let directory = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(directory.path()).unwrap();
        std::fs::write(folder.join(format!("{name}.yaml")), format!("version: 1\n{text}")).unwrap();
        std::fs::write(folder.join("beside"), beside).unwrap();
        use_it(&Recipes::load(&[folder.to_owned()])?)
    }

    fn packed(text: &str, beside: &str) -> Result<Package> {
        with("svc", &format!("{FILES}{text}"), beside, |recipes| of_files(&recipes.files["svc"], 7))
    }

    #[test]
    fn a_package_of_files_has_modes_owners_and_what_each_manager_needs() {
        let package = packed(
            "depends: [libc, \"jshn (>= 1)\"]\nprovides: [service]\nconflicts: [old-svc]\ninstall-if: [luci]\n\
             users: [\"svc=850:daemons=851\"]\nalternatives: [\"100:/usr/bin/s:/usr/bin/svc\"]\nconffiles: [/etc/config/svc]\n\
             scripts: {postinst: \"#!/bin/sh\\ntrue\\n\"}\nfiles:\n\
             - {path: usr/bin/svc, text: \"#!/bin/sh\\necho x\\n\"}\n\
             - {path: etc/config/svc, text: \"config x\\n\", mode: \"0600\", owner: svc}\n\
             - {path: usr/bin/alias, link: svc}\n- {path: var/svc, directory: true}\n",
            "",
        )
        .unwrap();
        assert_eq!((package.version.as_str(), package.architecture.as_str()), ("1.2-r3", "all"));
        let modes: Vec<u32> = package.files.iter().map(|entry| entry.mode).collect();
        assert_eq!(modes, [0o755, 0o600, 0o777, 0o755]);
        assert_eq!((package.files[1].owner.id, package.files[1].group.name.as_str()), (850, "daemons"));
        assert_eq!(package.install_if, [Dependency::on("luci")]);
        for format in Format::ALL {
            package.write(format, std::io::sink()).unwrap();
        }
    }

    #[test]
    fn recipes_of_files_that_cannot_be_packed_are_refused() {
        for (text, id) in [
            ("files: []", "RCP009"),
            ("files: [{path: a}]", "RCP009"),
            ("files: [{path: a, text: x, link: b}]", "RCP009"),
            ("files: [{path: a, text: x, mode: \"0999\"}]", "RCP009"),
            ("files: [{path: a, text: x, owner: nobody}]", "RCP009"),
            ("files: [{path: a, from: missing}]", "RCP009"),
            ("scripts: {prerm: echo}\nfiles: [{path: a, text: x}]", "RCP009"),
            ("files: [{path: a, text: x}]\ndepends: [\"a b\"]", "OWN010"),
            ("files: [{path: a, from: beside}]", "OWN012"),
            ("files: [{path: a, text: x}]\ncolour: red", "CONF001"),
        ] {
            let failure = packed(&format!("{text}\n"), "\x7fELF").unwrap_err();
            assert_eq!((failure.id(), failure.exit()), (id, Exit::Usage), "{text}");
        }
    }

    #[test]
    fn a_program_of_another_build_is_taken_for_its_architecture_and_must_be_fit() {
        let packed = |more: &str, arch: &str, only_static| {
            let text = format!("package: tool\ntitle: Tool\nlicense: MIT\ninstall: usr/bin/tool\n{more}\n");
            with("tool", &text, "no program", |recipes| {
                let (arch, made) = (Arch(arch.into()), BTreeMap::new());
                let request = PackRequest { recipes, made: &made, arch: &arch, formats: &[], epoch: 0, only_static };
                Ok(plans(&request)?.remove(0).package)
            })
        };
        for more in ["file: {}", "file: {x86_64: beside}", "cargo: {manifest: no.toml, package: a, binary: a}"] {
            assert_eq!(packed(more, "x86_64", false).unwrap_err().id(), "RCP009", "{more}");
        }
        let known = "package-version: \"1.0\"\nfile: {x86_64: beside}";
        let package = packed(known, "x86_64", false).unwrap();
        assert_eq!((package.version.as_str(), package.architecture.as_str()), ("1.0-r1", "x86_64"));
        let small = format!("{known}\nmax-installed-size: 9");
        for (recipe, arch, only_static, word) in [
            (known, "mips_24kc", false, "only for x86_64"),
            (known, "x86_64", true, "not an ELF"),
            (&small, "x86_64", false, "it has 10 bytes"),
        ] {
            let failure = packed(recipe, arch, only_static).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("OWN011", Exit::Usage));
            assert!(failure.finding().why.contains(word), "{failure}");
        }
    }
}
