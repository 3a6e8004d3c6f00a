//! From the neutral plan to apk: everything that the two package managers do differently.
//!
//! | | ipk / opkg | apk |
//! |---|---|---|
//! | fits any machine | `all` | `noarch` |
//! | provides | names | names with this package's version; `NAME-any` is added |
//! | conflicts | a field | negative dependencies, `!name` |
//! | alternatives in depends | `a \| b` | none: refused |
//! | `<<`, `>>` | take equal versions too | `<`, `>` are strict |
//! | conffiles, alternatives, users, file list | control data | files in `lib/apk/packages` |
//! | the package's own postinst | before its services start | after it, appended to the generated script |
//! | change of version | prerm, postrm, preinst, postinst | `pre-upgrade`, `post-upgrade` |
//! | owners | numbers | names |
//! | description | one line or more | one line: a line break would make apk's database unreadable |
//! | time of files | that of the sources | 0, as OpenWrt builds them |
//! | installed by itself with others | not known: dropped | `install_if` |
//! | essential, hold | fields | none: dropped |
//!
//! OpenWrt's build differs in one thing: it drops conflicts on the way to apk. Here they are kept, since a
//! package that says it cannot live with another must not be installed beside it under either manager.

use std::collections::BTreeMap;

use model::Digest;

use super::info::{Dependency, Info};
use super::metadata::Script;
use super::write::Plan;
use crate::Error;
use crate::depend::{self, Provide, Term};
use crate::package::{Content, Entry, Kind, Package};
use crate::version::Operator;
use crate::version::apk::Match;

/// The folder in which OpenWrt's functions look for data that apk has no field for.
const SIDE_FILES: &str = "lib/apk/packages";

/// Time of every file: OpenWrt calls `apk mkpkg` with `SOURCE_DATE_EPOCH=0`.
const TIME: u64 = 0;

/// Translates the neutral plan. This is the one place that knows what the two managers do differently:
///
/// * Architecture `all` becomes `noarch`; owners are named, not numbered; every file has the time 0.
/// * Provided names carry the version, and `NAME-any` is added. Conflicts become negative dependencies, where
///   OpenWrt's build would drop them. Alternatives in dependencies (`a | b`) are refused.
/// * File list, conffiles, alternatives and users are files below `lib/apk/packages`.
/// * The package's own postinst and prerm run at the end of generated scripts, so after its services were
///   started or stopped (before that, under opkg); a change of version runs `pre-upgrade` and `post-upgrade`.
///
/// # Errors
/// `FMT002` for a plan that apk cannot express.
pub fn from_plan(package: &Package) -> Result<Plan, Error> {
    Ok(Plan { info: info(package)?, files: files(package)?, scripts: scripts(package), time: TIME, ..Plan::default() })
}

fn info(package: &Package) -> Result<Info, Error> {
    let depends = package.depends.iter().map(dependency);
    let conflicts = package.conflicts.iter().map(|conflict| {
        let term = term(conflict);
        Ok(Dependency { relation: term.relation.with(Match::CONFLICT), ..term })
    });
    let tags = [("abiversion", &package.abi_version), ("section", &package.section), ("cpe", &package.cpe_id)];
    // In one line: a line break would corrupt apk's line-based database.
    let description = package.description.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Info {
        name: package.full_name(),
        version: package.version.clone(),
        description,
        arch: if package.architecture == "all" { "noarch".to_owned() } else { package.architecture.clone() },
        license: package.license.clone(),
        origin: package.source.clone(),
        maintainer: package.maintainer.clone(),
        url: package.url.clone(),
        // Of a library that is available in two ABI versions, the bare name alone must not choose one.
        provider_priority: (!package.abi_version.is_empty()).then_some(10),
        depends: depends.chain(conflicts).collect::<Result<_, Error>>()?,
        provides: provides(package),
        install_if: package.install_if.iter().map(dependency).collect::<Result<_, Error>>()?,
        tags: tags
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| format!("openwrt:{key}={value}"))
            .collect(),
        ..Info::default()
    })
}

fn dependency(dependency: &depend::Dependency) -> Result<Dependency, Error> {
    match &dependency.alternatives[..] {
        [only] => Ok(term(only)),
        _ => Err(Error::Plan { what: format!("apk has no alternatives in dependencies, such as {dependency}") }),
    }
}

fn term(term: &Term) -> Dependency {
    let Some(constraint) = &term.constraint else { return Dependency::on(&term.name) };
    let relation = match constraint.operator {
        Operator::Less => Match::LESS,
        Operator::LessOrEqual => Match::LESS.with(Match::EQUAL),
        Operator::Equal => Match::EQUAL,
        Operator::GreaterOrEqual => Match::GREATER.with(Match::EQUAL),
        Operator::Greater => Match::GREATER,
    };
    Dependency { name: term.name.clone(), version: Some(constraint.version.clone()), relation }
}

/// Provided names carry the version, so that dependencies with a version accept them. A library's name without its ABI
/// version does not, because several ABI versions may be installed together.
fn provides(package: &Package) -> Vec<Dependency> {
    let versioned = |name: String, provide: &Provide| {
        Dependency::exactly(name, provide.version.as_deref().unwrap_or(&package.version))
    };
    let mut names = vec![Dependency::on(format!("{}-any", package.name))];
    if package.full_name() == package.name {
        names.extend(package.provides.iter().map(|provide| versioned(provide.name.clone(), provide)));
    } else {
        names.push(Dependency::on(&package.name));
        for provide in &package.provides {
            names.push(Dependency::on(&provide.name));
            names.push(versioned(package.with_abi(&provide.name), provide));
        }
    }
    names
}

/// The payload, and the files that replace opkg's control data.
fn files(package: &Package) -> Result<Vec<Entry>, Error> {
    let mut tree = package.tree()?;
    let name = package.full_name();
    let (shipped, _) = package.conffiles_by_presence(&tree)?;
    let digests =
        shipped.iter().map(|path| Ok(format!("{path} {}", digest(&tree, path)?))).collect::<Result<Vec<_>, Error>>()?;
    let users: Vec<_> = package.require_user.split_whitespace().collect();
    add_side_file(&mut tree, &name, "rusers", &users);
    add_side_file(&mut tree, &name, "alternatives", &package.alternatives);
    // Lists the files added so far, without the list itself and what follows.
    let mut paths: Vec<_> =
        tree.iter().filter(|entry| entry.kind != Kind::Dir).map(|entry| format!("/{}", entry.path)).collect();
    paths.sort();
    let list: String = paths.iter().map(|path| format!("{path}\n")).collect();
    tree.push(Entry::file(format!("{SIDE_FILES}/{name}.list"), 0o644, Content::from(list)));
    add_side_file(&mut tree, &name, "conffiles", &package.conffiles);
    add_side_file(&mut tree, &name, "conffiles_static", &digests);
    Ok(tree)
}

/// Adds a file with one line for each item, or no file when there are none.
fn add_side_file(tree: &mut Vec<Entry>, name: &str, suffix: &str, lines: &[impl std::fmt::Display]) {
    if !lines.is_empty() {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        tree.push(Entry::file(format!("{SIDE_FILES}/{name}.{suffix}"), 0o644, Content::from(text)));
    }
}

fn digest(tree: &[Entry], path: &str) -> Result<Digest, Error> {
    let find = |wanted: &str| tree.iter().find(|entry| entry.path == wanted).map(|entry| &entry.kind);
    let first = match find(path.trim_start_matches('/')) {
        Some(Kind::HardLink(first)) => find(first),
        other => other,
    };
    match first {
        Some(Kind::File(content)) => Ok(Digest::of_reader(&mut *content.open()?)?.0),
        _ => Err(Error::Plan { what: format!("conffile {path} is not a file of the payload") }),
    }
}

/// Generated scripts first call the shared functions, then run the package's own text.
fn scripts(package: &Package) -> BTreeMap<Script, Vec<u8>> {
    let name = package.full_name();
    let own = |script: &Option<String>| script.as_deref().map(without_first_line).unwrap_or_default().to_owned();
    let generated = |upgrade: &str, helpers: &str, body: &Option<String>| {
        format!(
            "#!/bin/sh\n\
             # Generated. The work that all packages share is done by functions of base-files.\n\
             {upgrade}[ \"$IPKG_NO_SCRIPT\" != 1 ] || exit 0\n\
             [ -s \"$IPKG_INSTROOT/lib/functions.sh\" ] || exit 0\n\
             . \"$IPKG_INSTROOT/lib/functions.sh\"\n\
             export root=\"$IPKG_INSTROOT\"\n\
             export pkgname=\"{name}\"\n\
             {helpers}{}",
            own(body)
        )
    };
    const UPGRADE: &str = "export PKG_UPGRADE=1\n";
    const INSTALL: &str = "add_group_and_user\ndefault_postinst\n";
    const REMOVE: &str = "default_prerm\n";
    let own_scripts = &package.scripts;
    let mut scripts = BTreeMap::from([
        (Script::PostInstall, generated("", INSTALL, &own_scripts.postinst)),
        (Script::PostUpgrade, generated(UPGRADE, INSTALL, &own_scripts.postinst)),
        (Script::PreDeinstall, generated("", REMOVE, &own_scripts.prerm)),
    ]);
    if let Some(preinst) = &own_scripts.preinst {
        scripts.insert(Script::PreInstall, preinst.clone());
        scripts.insert(Script::PreUpgrade, format!("#!/bin/sh\n{UPGRADE}{}", without_first_line(preinst)));
    }
    if let Some(postrm) = &own_scripts.postrm {
        scripts.insert(Script::PostDeinstall, postrm.clone());
    }
    scripts.into_iter().map(|(script, text)| (script, text.into_bytes())).collect()
}

/// The script without its `#!/bin/sh` line.
fn without_first_line(script: &str) -> &str {
    match script.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
        None => script,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_comes_with_others_says_so_to_apk() {
        let plan = Package {
            name: "i18n".into(),
            version: "1-r1".into(),
            architecture: "all".into(),
            install_if: vec![depend::Dependency::on("luci"), depend::Dependency::on("lang-de")],
            ..Package::default()
        };
        let names: Vec<String> = from_plan(&plan).unwrap().info.install_if.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["luci", "lang-de"]);
    }

    #[test]
    fn a_description_is_one_line() {
        let plan = Package {
            name: "kmod-x".into(),
            version: "1-r1".into(),
            architecture: "x86_64".into(),
            description: "Nothing\n Empty: it is built in\n".into(),
            ..Package::default()
        };
        assert_eq!(from_plan(&plan).unwrap().info.description, "Nothing Empty: it is built in");
    }
}
