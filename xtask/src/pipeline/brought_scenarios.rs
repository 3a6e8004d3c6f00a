//! Tests for packages from elsewhere that have no scenario: each is installed, its modules are loaded, and it is
//! removed.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use formats::Format;
use model::Result;
use scenarios::Scenario;
use scenarios::scenario::{Action, Deed, Lines, Step, parse};

use super::brought::Brought;

/// A scenario for each package, with the managers for which it was given.
pub(super) fn of(brought: &[Brought]) -> Result<Vec<Scenario>> {
    let mut packages: BTreeMap<&str, Vec<&Brought>> = BTreeMap::new();
    for one in brought {
        packages.entry(one.package.name.as_str()).or_default().push(one);
    }
    packages.into_iter().map(|(name, files)| installs(name, &files)).collect()
}

fn installs(name: &str, files: &[&Brought]) -> Result<Scenario> {
    let managers: BTreeSet<&str> = files.iter().map(|file| file.package.format.manager()).collect();
    let loaded: BTreeSet<String> = files.iter().flat_map(|file| file.package.autoloaded()).collect();
    let text = format!(
        "version: 1
title: {name} installs, and is removed
managers: [{}]
needs: {{ without: [\"{name}\"] }}
steps:
  - manager: update
  - manager: install
    packages: [\"{name}\"]
    installed: [\"{name}\"]
    loaded: [{}]
  - manager: remove
    packages: [\"{name}\"]
    not-installed: [\"{name}\"]
",
        managers.into_iter().collect::<Vec<_>>().join(", "),
        loaded.into_iter().collect::<Vec<_>>().join(", ")
    );
    let file = files.first().map_or_else(Utf8PathBuf::new, |brought| brought.file.clone());
    let scenario = parse(&Utf8PathBuf::from(format!("installs-{name}.yaml")), &text)?;
    // The scenario has no file; failures are about the package.
    Ok(Scenario { file, lines: Lines::default(), ..scenario })
}

/// Whether a scenario can run with a manager: not if it installs a package that was given only for the other.
pub(super) fn can_run(scenario: &Scenario, manager: Format, brought: &[Brought]) -> bool {
    fn installs<'a>(steps: &'a [Step], names: &mut Vec<&'a str>) {
        for step in steps {
            match &step.deed {
                Some(Deed::Manage(manage)) if manage.action == Action::Install => {
                    names.extend(manage.packages.iter().map(String::as_str));
                }
                _ => {}
            }
            installs(step.during(), names);
        }
    }
    let mut names = Vec::new();
    installs(&scenario.steps, &mut names);
    let has =
        |name: &str, format: Format| brought.iter().any(|one| one.package.name == name && one.package.format == format);
    !names.into_iter().any(|name| !has(name, manager) && Format::ALL.into_iter().any(|format| has(name, format)))
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use formats::{Content, Entry, Package};
    use model::Events;

    use super::*;
    use crate::ctx::tests::ctx;
    use crate::pipeline::brought;

    #[test]
    fn each_package_is_installed_by_the_managers_that_it_was_brought_for() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let mut ctx = ctx(root, Events::discard());
        let put = |name: &str, format: Format| {
            let package = Package {
                name: name.into(),
                version: "1-r1".into(),
                architecture: "all".into(),
                description: "x".into(),
                files: vec![
                    Entry::file("etc/modules.d/x", 0o644, Content::from("x\n")),
                    Entry::file("lib/modules/6/x.ko", 0o644, Content::from("x")),
                ],
                ..Package::default()
            };
            let file = root.join(package.file_name(format));
            package.write(format, std::fs::File::create(file).unwrap()).unwrap();
        };
        put("both", Format::Ipk);
        put("both", Format::Apk);
        put("only+apk", Format::Apk);
        ctx.packages = vec![root.to_owned()];
        let opened = brought::open(&ctx).unwrap();
        let scenarios = of(&opened).unwrap();
        let told: Vec<_> = scenarios.iter().map(|scenario| (scenario.name.as_str(), scenario.managers.len())).collect();
        assert_eq!(told, [("installs-both", 2), ("installs-only+apk", 1)]);
        assert_eq!(scenarios[0].steps[1].facts.loaded, ["x"]);
        assert_eq!(scenarios[1].file, opened[2].file);

        let installs = |name: &str| {
            let text = format!(
                "version: 1\ntitle: x\nsteps: [{{manager: install, packages: [{name}]}}, {{manager: remove, packages: [only+apk]}}]"
            );
            let scenario = parse("x.yaml".into(), &text).unwrap();
            Format::ALL.map(|manager| can_run(&scenario, manager, &opened))
        };
        assert_eq!(installs("only+apk"), [false, true]);
        assert_eq!(installs("both"), [true; 2]);
        assert_eq!(installs("of-the-feed"), [true; 2]);
    }
}
