//! What packages need of an image, for a scratch root that stands for a router.

use std::collections::{BTreeMap, BTreeSet};

use formats::Package;
use formats::opened::{Need, Opened};
use model::Result;

use super::brought;
use super::packages::Packages;

/// The version of what an image has, where nobody asks for a certain one: high, since most ask for a least one.
const VERSION: &str = "99";

/// Names and versions of what the packages need and the feed lacks. `image`: what every router has, as far as that is known;
/// else everything but kmods, which a feed must have itself.
///
/// # Errors
/// `OWN001` for a package that cannot be read.
pub(super) fn needed(packages: &Packages, image: Option<&BTreeSet<String>>) -> Result<Vec<(String, String)>> {
    let opened = brought::opened(&packages.files()?)?;
    let opened: Vec<&Opened> = opened.iter().map(|brought| &*brought.package).collect();
    let has = |name: &String| image.map_or(!name.starts_with("kmod-"), |image| image.contains(name));
    let known = |need: &Need| {
        let name = need.names.iter().find(|name| has(name))?;
        Some((name.clone(), need.exact.clone().unwrap_or_else(|| VERSION.to_owned())))
    };
    let found: BTreeMap<String, String> = unmet(&opened).into_iter().filter_map(known).collect();
    Ok(found.into_iter().collect())
}

/// What no package of the list has or provides.
fn unmet<'a>(packages: &[&'a Opened]) -> Vec<&'a Need> {
    let names = packages.iter().flat_map(|package| std::iter::once(&package.name).chain(&package.provides));
    let mut there: BTreeSet<&str> = names.map(String::as_str).collect();
    // A scratch root has these.
    there.extend([Package::KERNEL, "libc"]);
    let needs = packages.iter().flat_map(|package| &package.needs);
    needs.filter(|need| !need.names.iter().any(|name| there.contains(name.as_str()))).collect()
}
