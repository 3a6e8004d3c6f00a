//! Alternatives: links such as `/usr/bin/vi` that several packages offer; the highest priority wins.
//!
//! The field `Alternatives` of a package is a list of `priority:link:target`. As in opkg, links are made when a package
//! is configured and again when one is removed; `busybox` gets a link that no package offers.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use formats::control::Control;
use formats::tar::path_problem;

use super::Progress;
use super::status::{State, Status, read_paths};
use crate::error::Result;
use crate::root::{Kind, Root};

/// The package busybox lists the links of its own programs.
const BUSYBOX: (&str, &str) = ("busybox", "/bin/busybox");

/// One entry of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    priority: i64,
    link: Utf8PathBuf,
    target: String,
}

impl Alternative {
    /// `None` for a malformed entry: as in opkg, the package is still accepted.
    fn parse(item: &str) -> Option<Alternative> {
        let mut parts = item.splitn(3, ':');
        let (priority, link, target) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = link.strip_prefix('/').is_some_and(|link| path_problem(link).is_none());
        let is_good = plain && !target.is_empty() && !target.contains(':');
        is_good.then_some(Alternative {
            priority: priority.trim().parse().ok()?,
            link: link.into(),
            target: target.into(),
        })
    }
}

fn of(control: &Control) -> impl Iterator<Item = Alternative> {
    control.alternatives.iter().filter_map(|item| Alternative::parse(item))
}

/// The links that a package offers.
pub(crate) fn links(control: &Control) -> BTreeSet<Utf8PathBuf> {
    of(control).map(|alternative| alternative.link).collect()
}

/// Points the links to what the installed packages now offer.
pub(crate) fn update(
    root: &Root,
    status: &Status,
    links: &BTreeSet<Utf8PathBuf>,
    on: &mut dyn FnMut(Progress),
) -> Result<()> {
    for link in links {
        match (target(root, status, link)?, root.kind(link)?) {
            (Some(_), Some(Kind::File | Kind::Folder | Kind::Other)) => {
                let text =
                    format!("{link} is an alternative of several packages, but there is something else than a link.");
                on(Progress::Note { text });
            }
            (Some(target), _) => {
                root.make_parents(link)?;
                root.link(link, &target)?;
            }
            (None, Some(Kind::Link)) => _ = root.remove(link)?,
            (None, _) => {}
        }
    }
    Ok(())
}

/// The target of a link: the first of those with the highest priority.
fn target(root: &Root, status: &Status, link: &Utf8Path) -> Result<Option<String>> {
    let installed = status.0.values().filter(|package| package.state == State::Installed);
    let offers = installed.flat_map(|package| of(&package.control)).filter(|offer| offer.link == *link);
    let best = offers.reduce(|best, offer| if offer.priority > best.priority { offer } else { best });
    if let Some(best) = best {
        return Ok(Some(best.target));
    }
    let (name, program) = BUSYBOX;
    let is_there = status.usable(name).is_some() && read_paths(root, name, "list")?.contains(link);
    Ok(is_there.then(|| program.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_priority_a_plain_path_and_a_target() {
        let good = Alternative { priority: 200, link: "/usr/bin/vi".into(), target: "/usr/bin/vim".into() };
        assert_eq!(Alternative::parse("200:/usr/bin/vi:/usr/bin/vim"), Some(good));
        assert_eq!(Alternative::parse(" -5:/a:b").map(|item| item.priority), Some(-5));
        for bad in ["", "1", "1:/a", "1:/a:", "x:/a:b", "1:a:b", "1:/../a:b", "1:/a/../b:c", "1:/a:b:c", "1:/:b"] {
            assert_eq!(Alternative::parse(bad), None, "{bad:?}");
        }
    }
}
