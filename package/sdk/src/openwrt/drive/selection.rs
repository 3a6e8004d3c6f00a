//! `.config`: which packages are built. The SDK silently drops what it does not know.

use std::collections::BTreeSet;

use host::{aside, files};
use model::{Exit, Failure, Problem, Result};

use super::make::Maker;

/// Selects programs and kmods; the kmods' entries are in `Config-build.in` already. `others` are selected too; returns
/// those of them that the SDK dropped.
///
/// # Errors
/// `SDK055` a package that the SDK dropped.
pub(super) fn select(
    maker: &Maker<'_>,
    programs: &[&str],
    kmods: &BTreeSet<String>,
    others: &[&str],
) -> Result<Vec<String>> {
    let file = maker.tree.path(".config");
    aside::write(&file, seed(&[programs, others].concat()).as_bytes())?;
    let called = maker.call(&["make", "defconfig"])?;
    if !called.success {
        return Err(called.failure("the SDK's `make defconfig` failed".into()));
    }
    let config = files::read_text(&file)?;
    let wanted = programs.iter().copied().chain(kmods.iter().map(String::as_str));
    match dropped(&config, wanted).as_slice() {
        [] => Ok(dropped(&config, others.iter().copied()).into_iter().map(str::to_owned).collect()),
        names => Err(not_selected(names)),
    }
}

/// The failure about packages that should be built but are not selected.
pub(super) fn not_selected(names: &[&str]) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "SDK055",
        what: format!("the SDK does not select {}", names.join(", ")),
        why: "`make defconfig` silently drops what it does not know, and what has an unmet condition",
        fix: "check DEPENDS of the package: an `@SYMBOL` there must hold in this release's configuration",
    })
}

/// Options that are on by default and not wanted: all packages, and signatures, which this program makes. Only main's
/// SDK signs each package; its key would be a new one in each tree.
const OFF: [&str; 5] = ["ALL", "ALL_KMODS", "ALL_NONSHARED", "SIGNED_PACKAGES", "SIGN_EACH_PACKAGE"];

/// A configuration that selects nothing but our programs.
fn seed(programs: &[&str]) -> String {
    let off = OFF.map(|name| format!("# CONFIG_{name} is not set\n"));
    let on = programs.iter().map(|name| format!("CONFIG_PACKAGE_{name}=m\n"));
    off.into_iter().chain(on).collect()
}

/// The wanted packages that are not selected.
fn dropped<'a>(config: &str, wanted: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let lines: BTreeSet<&str> = config.lines().collect();
    let selected =
        |name: &str| ["m", "y"].iter().any(|value| lines.contains(format!("CONFIG_PACKAGE_{name}={value}").as_str()));
    wanted.filter(|name| !selected(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_defconfig_dropped_is_named() {
        let config = "CONFIG_PACKAGE_a=m\nCONFIG_PACKAGE_b=y\n# CONFIG_PACKAGE_c is not set\nCONFIG_PACKAGE_dd=m\n";
        assert_eq!(dropped(config, ["a", "b", "c", "d"].into_iter()), ["c", "d"]);
        let seed = seed(&["offloadctl"]);
        assert!(seed.ends_with("# CONFIG_SIGN_EACH_PACKAGE is not set\nCONFIG_PACKAGE_offloadctl=m\n"), "{seed}");
    }
}
