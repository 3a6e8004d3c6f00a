//! The user's own feed in the SDK: a copy in the tree, the feeds that it needs, and the packages that the scan finds in
//! it.
//!
//! It is copied for the same reasons as ours ([`super::feeds`]). `scripts/feeds` fetches the other feeds, at the given
//! revision, and links every package from them that one of the user's needs.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use host::files;
use model::{Event, Exit, Failure, Finding, Problem, Result, Severity};

use super::linked::{Item, call, check_link, not_indexed, put, remove_dangling};
use super::make::Maker;
use super::metadata::Metadata;
use super::tree::Tree;
use crate::openwrt::feed_folder::{FeedFolder, OtherFeed, SourceFolder};

/// Path of the copy in the tree.
pub(in crate::openwrt) const FOLDER: &str = "own-feed";

/// A package that the SDK's scan found in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The folder that it is built from, as OpenWrt's build names it.
    pub(super) source: String,
    /// Name of the package, with ABI version.
    pub(super) name: String,
    /// The name of its configuration symbol.
    pub(super) symbol: String,
    /// Version of the package.
    pub(super) version: String,
    depends: String,
}

impl Listed {
    /// The make goal for a folder's packages.
    pub(super) fn goal(feed: &FeedFolder, source: &str) -> String {
        format!("package/feeds/{}/{source}/compile", feed.name)
    }
}

/// The lines of `feeds.conf` for the feed and the feeds that it needs.
pub(super) fn lines(tree: &Tree, feed: &FeedFolder) -> String {
    let own = format!("src-link {} {}\n", feed.name, tree.path(FOLDER));
    std::iter::once(own).chain(feed.others.iter().map(OtherFeed::line)).collect()
}

/// Copies the feed into the tree.
///
/// # Errors
/// `IO…` when a file cannot be read or written.
pub(super) fn copy(tree: &Tree, feed: &FeedFolder, epoch: u64) -> Result<()> {
    let files = feed.files()?.into_iter();
    let mut items: BTreeMap<Utf8PathBuf, Item> =
        files.map(|(path, (bytes, mode))| (path, Item { bytes, mode })).collect();
    for source in &feed.sources {
        let date = Item { bytes: format!("{epoch}\n").into_bytes(), mode: 0o644 };
        items.entry(source.path.join("version.date")).or_insert(date);
    }
    put(&tree.path(FOLDER), &items)
}

/// Has the SDK index the feed and what it needs, and links its packages. Returns them.
///
/// # Errors
/// `OWN024` another feed that was not fetched, `SDK050` a Makefile that the SDK does not understand, `SDK051` a package
/// that it did not link, `OWN025` no package at all, `SDK049` a program of the SDK that failed.
pub(super) fn install(maker: &Maker<'_>, feed: &FeedFolder) -> Result<Vec<Listed>> {
    let tree = maker.tree;
    for other in &feed.others {
        let updated = maker.call(&["./scripts/feeds", "update", &other.name])?;
        // Its exit code says little, so the result is checked.
        if !updated.success || !is_at(tree, other) {
            return Err(not_fetched(other, &updated.said()));
        }
    }
    remove_dangling(&tree.path("package/feeds").join(&feed.name))?;
    call(maker, &["./scripts/feeds", "update", &feed.name])?;
    let index = files::read_text(&tree.path("feeds").join(format!("{}.index", feed.name)))?;
    let mut listed = listed(&index);
    listed.retain(|package| feed.sources.iter().any(|source| source.name() == package.source));
    for source in &feed.sources {
        if !listed.iter().any(|package| package.source == source.name()) {
            if !dump(tree, feed, source).is_file() {
                maker.events.emit(Event::Finding(no_package(source)));
                continue;
            }
            let fix = format!(
                "correct {}/Makefile, and check that feeds.conf has the feeds whose files it includes",
                source.path
            );
            return Err(not_indexed(&dump(tree, feed, source), source.name(), fix).at(source.name()));
        }
    }
    let names: BTreeSet<&str> = listed.iter().map(|package| package.source.as_str()).collect();
    if names.is_empty() {
        return Err(nothing_left(feed));
    }
    let words = ["./scripts/feeds", "install", "-p", &feed.name];
    call(maker, &words.into_iter().chain(names.iter().copied()).collect::<Vec<_>>())?;
    names.iter().try_for_each(|name| check_link(tree, &feed.name, name).map_err(|failure| failure.at(*name)))?;
    Ok(listed)
}

/// What the feed's packages need, directly or through other feeds: the kernel's own kmods, and packages of other feeds.
///
/// # Errors
/// `OWN026` a kmod that does not exist.
pub(super) fn needs(
    tree: &Tree,
    feed: &FeedFolder,
    own: &[Listed],
    available: &BTreeSet<&str>,
) -> Result<(BTreeSet<String>, Vec<Listed>)> {
    let index = |name: &str| std::fs::read_to_string(tree.path("feeds").join(format!("{name}.index")));
    let others: Vec<String> = feed.others.iter().map(|other| index(&other.name).unwrap_or_default()).collect();
    let known = [files::read_text(&tree.path("tmp/.packageinfo"))?, index(&feed.name).unwrap_or_default()];
    let text = [known.join("\n"), others.join("\n")].join("\n");
    let metadata = Metadata::parse(&text);
    let mut reached = BTreeSet::new();
    for package in own {
        let needs = metadata.reached_from(&package.symbol, available);
        reached.extend(needs.map_err(|kmod| no_kmod(package, &kmod).at(&package.source))?);
    }
    let packages = of_others(&others, &reached, own);
    reached.retain(|name| available.contains(name.as_str()));
    Ok((reached, packages))
}

/// The packages of other feeds, by their indexes, that are reached and not our own. `scripts/feeds` takes a package from
/// the first feed that has it.
fn of_others(indexes: &[String], reached: &BTreeSet<String>, own: &[Listed]) -> Vec<Listed> {
    let mut known: BTreeSet<String> = own.iter().map(|package| package.symbol.clone()).collect();
    let mut packages: Vec<Listed> = indexes.iter().flat_map(|index| listed(index)).collect();
    packages.retain(|package| reached.contains(&package.symbol) && known.insert(package.symbol.clone()));
    packages
}

/// Leaves out packages that the SDK did not select because a condition of theirs does not hold.
///
/// # Errors
/// `SDK055` one without such a condition, `OWN025` when none is left.
pub(super) fn selected(
    maker: &Maker<'_>,
    feed: &FeedFolder,
    mut listed: Vec<Listed>,
    dropped: &[String],
) -> Result<Vec<Listed>> {
    for package in listed.iter().filter(|package| dropped.contains(&package.symbol)) {
        let conditions: Vec<&str> = package.depends.split_whitespace().filter(|word| !word.starts_with('+')).collect();
        if conditions.is_empty() {
            return Err(super::selection::not_selected(&[&package.symbol]).at(&package.source));
        }
        maker.events.emit(Event::Finding(left_out(&package.name, &conditions.join(" "))));
    }
    listed.retain(|package| !dropped.contains(&package.symbol));
    if listed.is_empty() { Err(nothing_left(feed)) } else { Ok(listed) }
}

/// Builds the packages, folder by folder, with whatever they need from other feeds.
///
/// # Errors
/// `BLD…` a module that does not compile, `OWN027` a program that does not; `SDK…` other failures.
pub(super) fn build(maker: &Maker<'_>, feed: &FeedFolder, listed: &[Listed], line: &str) -> Result<()> {
    let sources: BTreeSet<&str> = listed.iter().map(|package| package.source.as_str()).collect();
    for source in sources {
        let of_kernel = feed.kmods().any(|(_, folder)| folder.name() == source);
        maker.build_own(&Listed::goal(feed, source), source, of_kernel.then_some(line))?;
    }
    Ok(())
}

/// The packages in a feed's index.
fn listed(index: &str) -> Vec<Listed> {
    let mut found: Vec<Listed> = Vec::new();
    let (mut source, mut in_text, mut build_only) = (String::new(), false, BTreeSet::new());
    for line in index.lines() {
        let Some((key, value)) = line.split_once(':').map(|(key, value)| (key, value.trim())) else {
            in_text &= line != "@@";
            continue;
        };
        match key {
            _ if in_text => {}
            "Source-Makefile" => {
                source = value.trim_end_matches("/Makefile").rsplit('/').next().unwrap_or_default().to_owned();
            }
            "Package" => found.push(Listed {
                source: source.clone(),
                name: value.to_owned(),
                symbol: value.to_owned(),
                version: String::new(),
                depends: String::new(),
            }),
            "Description" | "Config" => in_text = true,
            _ => {
                let Some(package) = found.last_mut() else { continue };
                match key {
                    "Version" => package.version = value.to_owned(),
                    "Depends" => package.depends = value.to_owned(),
                    "ABI-Version" => package.name = with_abi(&package.symbol, value),
                    "Build-Only" => drop(build_only.insert(package.symbol.clone())),
                    _ => {}
                }
            }
        }
    }
    found.retain(|package| !build_only.contains(&package.symbol));
    found
}

/// A library's name with its ABI version, joined as in `include/package-pack.mk`.
fn with_abi(name: &str, abi: &str) -> String {
    let between = if name.ends_with(|last: char| last.is_ascii_digit()) { "-" } else { "" };
    format!("{name}{between}{abi}")
}

/// Whether a feed's clone is at the given revision; `scripts/feeds` names a branch after it.
fn is_at(tree: &Tree, other: &OtherFeed) -> bool {
    let git = tree.path("feeds").join(&other.name).join(".git");
    let head = std::fs::read_to_string(git.join("HEAD")).unwrap_or_default();
    let head = match head.trim().strip_prefix("ref: ") {
        Some(branch) => std::fs::read_to_string(git.join(branch)).unwrap_or_default(),
        None => head,
    };
    other.revision.as_deref() == Some(head.trim())
}

/// The scan's log about a Makefile that it did not understand.
fn dump(tree: &Tree, feed: &FeedFolder, source: &SourceFolder) -> Utf8PathBuf {
    tree.path("logs/feeds").join(&feed.name).join(&source.path).join("dump.txt")
}

fn not_fetched(other: &OtherFeed, said: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "OWN024",
        what: format!("the feed {} could not be fetched", other.name),
        why: format!("git was asked for {} of {}:\n{said}", other.revision.as_deref().unwrap_or_default(), other.url),
        fix: "check that the address answers and has that revision; `cargo xtask lock --feed DIR` resolves the newest \
              one",
    })
}

fn no_package(source: &SourceFolder) -> Finding {
    Finding {
        id: "OWN028",
        severity: Severity::Warning,
        place: Some(source.path.to_string()),
        what: format!("the Makefile of {} defines no package for this target", source.name()),
        why: "the SDK's scan found none in it, and no error".into(),
        fix: "if it should define one, check which condition in the Makefile does not hold".into(),
    }
}

fn left_out(package: &str, conditions: &str) -> Finding {
    Finding {
        id: "OWN029",
        severity: Severity::Warning,
        place: Some(package.to_owned()),
        what: format!("{package} is not built for this target"),
        why: format!("its DEPENDS have conditions that this release's configuration does not meet: {conditions}"),
        fix: "nothing, if it is not meant for this target; otherwise correct DEPENDS in its Makefile".into(),
    }
}

fn nothing_left(feed: &FeedFolder) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN025",
        what: format!("no package of {} is for this target", feed.path),
        why: "each package was left out for the reason given above, or did not build",
        fix: "choose another --target, or correct the conditions in the Makefiles",
    })
}

fn no_kmod(package: &Listed, kmod: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN026",
        what: format!("{} needs {kmod}, which does not exist", package.name),
        why: "neither this SDK, nor the feed, nor a feed in its feeds.conf has it",
        fix: "add the feed that has it to feeds.conf; a kmod that this release's kernel lacks cannot be added",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scans_words_are_understood() {
        let index = "Source-Makefile: feeds/own/net/tool/Makefile\nBuild-Depends: lua\n\nPackage: tool\nVersion: 1.2-r3\n\
                     Depends: +libc @IPV6 +kmod-a\nDescription: A tool\nPackage: of words\n@@\n\nPackage: libtool2\nVersion: 1.2-r3\n\
                     ABI-Version: 3\nDescription: x\n@@\nPackage: only\nVersion: 1\nBuild-Only: 1\nDescription: x\n@@\n\
                     Source-Makefile: feeds/own/k/Makefile\n\nPackage: kmod-k\nVersion: 6.6.1.1-r1\nDepends: @!TARGET_x\nDescription: x\n@@\n";
        let listed = listed(index);
        let told: Vec<_> =
            listed.iter().map(|found| (found.source.as_str(), found.name.as_str(), found.version.as_str())).collect();
        assert_eq!(told, [("tool", "tool", "1.2-r3"), ("tool", "libtool2-3", "1.2-r3"), ("k", "kmod-k", "6.6.1.1-r1")]);
        assert_eq!((listed[1].symbol.as_str(), listed[0].depends.as_str()), ("libtool2", "+libc @IPV6 +kmod-a"));
    }

    #[test]
    fn a_package_of_two_feeds_is_taken_from_the_first() {
        let index = |feed: &str, packages: &[&str]| -> String {
            let of = |name| {
                format!("Source-Makefile: feeds/{feed}/{feed}-{name}/Makefile\n\nPackage: {name}\nVersion: 1\n@@\n")
            };
            packages.iter().map(of).collect()
        };
        let feeds = [index("one", &["own", "a", "b"]), index("two", &["c", "a", "unused"])];
        let reached = ["own", "a", "b", "c"].map(str::to_owned).into();
        let packages = of_others(&feeds, &reached, &listed(&index("mine", &["own"])));
        let sources: Vec<&str> = packages.iter().map(|package| package.source.as_str()).collect();
        assert_eq!(sources, ["one-a", "one-b", "two-c"]);
    }

    #[test]
    fn what_is_not_for_a_target_is_told_of_its_place() {
        let source = SourceFolder { path: "net/tool".into(), kmods: Vec::new() };
        let told = |finding: Finding| (finding.id, finding.severity, finding.place.unwrap());
        assert_eq!(told(no_package(&source)), ("OWN028", Severity::Warning, "net/tool".into()));
        assert_eq!(told(left_out("kmod-k", "@TARGET_x")), ("OWN029", Severity::Warning, "kmod-k".into()));
        let feed = FeedFolder { path: "own".into(), name: "own".into(), sources: vec![source], others: Vec::new() };
        let failure = nothing_left(&feed);
        assert_eq!((failure.id(), failure.exit()), ("OWN025", Exit::Failed));
    }
}
