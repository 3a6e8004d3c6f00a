//! A folder in the form of an OpenWrt feed: packages with their own Makefiles, and the other feeds that they need.
//!
//! Makefiles are found as `include/scan.mk` finds them; only OpenWrt's build can evaluate them. A `feeds.conf` in the
//! folder names other feeds, in the format of `scripts/feeds`. Builds must not depend on the day, so each line has a
//! revision (`URL^REVISION`), or `openwrt.lock` has one for its branch.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Digest, Exit, Failure, Problem, Result};

/// How many levels below a feed are searched for Makefiles.
const DEPTH: usize = 5;

/// Calls that make a Makefile that of a package.
const CALLS: [&str; 3] = ["call Build/DefaultTargets", "call BuildPackage", "call KernelPackage"];

/// Name of the file that lists other feeds.
const FEEDS_CONF: &str = "feeds.conf";

/// A folder of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFolder {
    /// Path of the folder.
    pub path: Utf8PathBuf,
    /// The feed's name in the SDK: Makefiles of large feeds include files by that name.
    pub name: String,
    /// Its packages, by folder.
    pub sources: Vec<SourceFolder>,
    /// The feeds that it needs.
    pub others: Vec<OtherFeed>,
}

/// A folder with a Makefile, from which one or more packages are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFolder {
    /// Path below the feed.
    pub path: Utf8PathBuf,
    /// The kmods that its Makefile defines.
    pub kmods: Vec<String>,
}

/// A feed that is fetched with git.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherFeed {
    /// `src-git`, or `src-git-full`.
    pub method: String,
    /// Name of the feed.
    pub name: String,
    /// Address of the repository.
    pub url: String,
    /// The branch to use.
    pub branch: Option<String>,
    /// The full commit id.
    pub revision: Option<String>,
}

impl SourceFolder {
    /// The folder's name in OpenWrt's build.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or(self.path.as_str())
    }
}

impl OtherFeed {
    /// The line of `feeds.conf` that fetches this revision.
    pub(super) fn line(&self) -> String {
        format!("{} {} {}^{}\n", self.method, self.name, self.url, self.revision.as_deref().unwrap_or_default())
    }
}

impl FeedFolder {
    /// Reads a folder.
    ///
    /// # Errors
    /// `OWN021` no package in it, or two of one name, `OWN022` a `feeds.conf` of another form.
    pub fn read(path: &Utf8Path) -> Result<FeedFolder> {
        let mut sources = Vec::new();
        search(path, path, DEPTH, &mut sources)?;
        sources.sort_by(|one: &SourceFolder, other| one.path.cmp(&other.path));
        let mut names = BTreeSet::new();
        if let Some(twin) = sources.iter().find(|source| !names.insert(source.name())) {
            return Err(unfit(path, format!("two folders of packages are called {}", twin.name())));
        }
        if sources.is_empty() {
            return Err(unfit(path, no_package(path)));
        }
        let conf = path.join(FEEDS_CONF);
        let others = if conf.is_file() { others(&conf, &files::read_text(&conf)?)? } else { Vec::new() };
        let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
        let own = path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
        let name: String = own.file_name().unwrap_or("own").chars().map(plain).collect();
        if name == super::drive::FEED || others.iter().any(|other| other.name == name) {
            return Err(unfit(path, format!("another feed of the SDK is called {name} already")));
        }
        Ok(FeedFolder { path: path.to_owned(), name, sources, others })
    }

    /// The same feed without these folders of packages.
    #[must_use]
    pub fn without(&self, names: &BTreeSet<String>) -> FeedFolder {
        let mut left = self.clone();
        left.sources.retain(|source| !names.contains(source.name()));
        left
    }

    /// The kmods, with the folder that each is built from.
    pub fn kmods(&self) -> impl Iterator<Item = (&str, &SourceFolder)> {
        self.sources.iter().flat_map(|source| source.kmods.iter().map(move |kmod| (kmod.as_str(), source)))
    }

    /// Whether a package with this `Source` was built from the feed.
    pub fn made(&self, source: &str) -> bool {
        let below = source.strip_prefix(super::drive::OWN_FEED).and_then(|rest| rest.strip_prefix('/'));
        below.is_some_and(|below| self.sources.iter().any(|source| source.path == below))
    }

    /// Sets the revision of feeds that name a branch to the one that `locked` has for it.
    ///
    /// # Errors
    /// `OWN023` for a feed that has none.
    pub fn pinned(mut self, locked: impl Fn(&OtherFeed) -> Option<String>) -> Result<FeedFolder> {
        for other in &mut self.others {
            if other.revision.is_none() {
                other.revision = Some(locked(other).ok_or_else(|| unpinned(&self.path, other))?);
            }
        }
        Ok(self)
    }

    /// Its files by path, with bytes and modes; files that git and editors hide are left out. Links are followed.
    ///
    /// # Errors
    /// `OWN030` a link that leads in a circle, `IO…` when a file cannot be read.
    pub(super) fn files(&self) -> Result<BTreeMap<Utf8PathBuf, (Vec<u8>, u32)>> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![(self.path.clone(), Vec::new())]);
        while let Some((folder, mut around)) = folders.pop() {
            let meta = std::fs::metadata(&folder).map_err(|error| Failure::io("read the feed", &folder, &error))?;
            let this = (meta.dev(), meta.ino());
            if around.contains(&this) {
                return Err(circle(&folder));
            }
            around.push(this);
            for path in files::entries(&folder)? {
                let hidden = path.file_name().is_some_and(|name| name.starts_with('.'));
                // Skips `.gitignore` and the like; below a package such files may be part of it.
                if hidden && (folder == self.path || path.file_name() == Some(".git")) || !path.exists() {
                    continue;
                }
                if path.is_dir() {
                    folders.push((path, around.clone()));
                } else if let Ok(below) = path.strip_prefix(&self.path) {
                    let meta = std::fs::metadata(&path).map_err(|error| Failure::io("read the feed", &path, &error))?;
                    let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                    found.insert(below.to_owned(), (files::read(&path)?, mode));
                }
            }
        }
        Ok(found)
    }

    /// A digest of everything that affects a build of it.
    ///
    /// # Errors
    /// `OWN030` a link that leads in a circle, `IO…` when a file cannot be read.
    pub fn digest(&self) -> Result<Digest> {
        let mut list = format!("{}\n", self.name);
        for (path, (bytes, mode)) in self.files()? {
            list.push_str(&format!("{} {mode:o} {path}\n", Digest::of(bytes)));
        }
        list.extend(self.sources.iter().map(|source| format!("{}\n", source.path)));
        list.extend(self.others.iter().map(OtherFeed::line));
        Ok(Digest::of(list))
    }
}

/// Collects the folders with a package's Makefile, at most `depth` levels below a folder.
fn search(root: &Utf8Path, folder: &Utf8Path, depth: usize, found: &mut Vec<SourceFolder>) -> Result<()> {
    for path in files::entries(folder)? {
        if path.is_dir() && !path.file_name().is_some_and(|name| name.starts_with('.')) && depth > 1 {
            search(root, &path, depth - 1, found)?;
        }
        if folder == root || path.file_name() != Some("Makefile") || !path.is_file() {
            continue;
        }
        let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
        if CALLS.iter().any(|call| text.contains(call)) {
            let below = folder.strip_prefix(root).unwrap_or(folder).to_owned();
            found.push(SourceFolder { path: below, kmods: kmods(&text) });
        }
    }
    Ok(())
}

/// The names in `define KernelPackage/NAME`, without those of sub-sections.
fn kmods(makefile: &str) -> Vec<String> {
    let names = makefile.lines().filter_map(|line| line.strip_prefix("define KernelPackage/"));
    let whole = names.map(str::trim).filter(|name| !name.contains('/') && !name.contains('$'));
    whole.map(|name| format!("kmod-{name}")).collect()
}

fn no_package(path: &Utf8Path) -> String {
    match path.join("Makefile").is_file() {
        true => "it has a Makefile itself, so it is one package and not a folder of packages".into(),
        false => format!("no Makefile in the folders below it, {DEPTH} deep, calls BuildPackage or KernelPackage"),
    }
}

/// The feeds of a `feeds.conf`.
fn others(file: &Utf8Path, text: &str) -> Result<Vec<OtherFeed>> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default()));
    let mut found: Vec<OtherFeed> = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let other = other(line).map_err(|why| odd_line(file, number, why))?;
        if found.iter().any(|known| known.name == other.name) {
            return Err(odd_line(file, number, "its name stands for another feed already"));
        }
        found.push(other);
    }
    Ok(found)
}

fn other(line: &str) -> Result<OtherFeed, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [method, name, place] = words[..] else { return Err("it is not `src-git NAME URL^REVISION`") };
    if !["src-git", "src-git-full"].contains(&method) {
        return Err("only src-git and src-git-full name a revision");
    }
    if !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
        return Err("a feed's name has letters, digits and underscores");
    }
    // `scripts/feeds` quotes it for the shell.
    if place.contains(['\'', '\\']) {
        return Err("its address has a quote in it");
    }
    let (url, branch, revision) = match (place.split_once('^'), place.split_once(';')) {
        (Some((url, revision)), _) => (url, None, Some(revision)),
        (None, Some((url, branch))) => (url, Some(branch), None),
        (None, None) => (place, None, None),
    };
    let is_whole = |text: &str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if revision.is_some_and(|revision| !is_whole(revision)) {
        return Err("its revision is not a full commit id of 40 digits");
    }
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(OtherFeed {
        method: method.into(),
        name: name.into(),
        url: url.into(),
        branch: owned(branch),
        // As git writes it.
        revision: revision.map(str::to_ascii_lowercase),
    })
}

fn unfit(path: &Utf8Path, why: String) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN021",
        what: "the folder is not a feed of OpenWrt packages",
        why,
        fix: "give the folder that contains the packages' folders, each with its Makefile: DIR/NAME/Makefile or \
              DIR/GROUP/NAME/Makefile",
    })
    .at(path)
}

fn circle(link: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN030",
        what: "the feed has a link that leads in a circle",
        why: "it leads to a folder in which it is itself, so that copying the feed would never end",
        fix: "remove the link, or let it lead to a folder beside it",
    })
    .at(link)
}

fn odd_line(file: &Utf8Path, number: usize, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN022",
        what: format!("line {number} does not name a feed that is the same tomorrow"),
        why,
        fix: "write `src-git NAME URL^REVISION`, or `src-git NAME URL;BRANCH` and lock it with `cargo xtask lock --feed DIR`",
    })
    .at(format!("{file}:{number}"))
}

fn unpinned(folder: &Utf8Path, other: &OtherFeed) -> Failure {
    let branch = other.branch.as_deref().unwrap_or("the default branch");
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN023",
        what: format!("no revision is known for the feed {}", other.name),
        why: format!(
            "feeds.conf names {branch} of {}, which may change, and openwrt.lock has no revision for it",
            other.url
        ),
        fix: format!("cargo xtask lock --feed {folder}, or write `^REVISION` after the address"),
    })
    .at(folder.join(FEEDS_CONF))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A feed with these files.
    fn feed(contents: &[(&str, &str)]) -> (tempfile::TempDir, Result<FeedFolder>) {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("my-feed");
        files::create_folder(&root).unwrap();
        for (path, text) in contents {
            let path = root.join(path);
            files::create_folder(path.parent().unwrap()).unwrap();
            files::write(&path, text).unwrap();
        }
        let read = FeedFolder::read(&root);
        (folder, read)
    }

    #[test]
    fn packages_are_found_where_openwrt_finds_them() {
        let kmods = "define KernelPackage/one\nendef\ndefine KernelPackage/one/description\nendef\n\
                     define KernelPackage/two\nendef\n$(eval $(call KernelPackage,one))\n";
        let (_folder, feed) = feed(&[
            ("net/tool/Makefile", "$(eval $(call BuildPackage,tool))"),
            ("modules/Makefile", kmods),
            ("modules/src/Makefile", "obj-m := one.o"),
            ("a/b/c/d/Makefile", "$(eval $(call BuildPackage,deep))"),
            ("a/b/c/d/e/Makefile", "$(eval $(call BuildPackage,deeper))"),
            ("tool.mk", "# call BuildPackage"),
            (".git/x/Makefile", "$(eval $(call BuildPackage,x))"),
        ]);
        let feed = feed.unwrap();
        let paths: Vec<&str> = feed.sources.iter().map(|source| source.path.as_str()).collect();
        assert_eq!((feed.name.as_str(), paths), ("my_feed", vec!["a/b/c/d", "modules", "net/tool"]));
        assert_eq!(feed.kmods().map(|(kmod, _)| kmod).collect::<Vec<_>>(), ["kmod-one", "kmod-two"]);
        assert!(feed.files().unwrap().keys().all(|path| !path.starts_with(".git")));
        let left = feed.without(&["modules".to_owned()].into());
        assert_eq!((left.sources.len(), left.kmods().count()), (2, 0));
        assert_ne!(left.digest().unwrap(), feed.digest().unwrap());
    }

    #[test]
    fn a_folder_that_is_no_feed_says_why() {
        let makefile = "$(eval $(call BuildPackage,x))";
        for (contents, why) in [
            (vec![("Makefile", makefile)], "one package and not a folder of packages"),
            (vec![("src/Makefile", "obj-m := x.o")], "calls BuildPackage"),
            (vec![("a/x/Makefile", makefile), ("b/x/Makefile", makefile)], "two folders of packages are called x"),
            (
                vec![("x/Makefile", makefile), ("feeds.conf", &format!("src-git my_feed u^{REVISION}"))],
                "called my_feed",
            ),
        ] {
            let failure = feed(&contents).1.unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("OWN021", Exit::Usage));
            assert!(failure.finding().why.contains(why), "{failure}");
        }
    }

    #[test]
    fn links_are_followed_and_one_that_leads_in_a_circle_is_refused() {
        let (_folder, feed) = feed(&[("x/Makefile", "$(eval $(call BuildPackage,x))"), ("common/a", "a")]);
        let feed = feed.unwrap();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, feed.path.join(at)).unwrap();
        // The same folder twice is no circle.
        link("../common", "x/one");
        link("../common", "x/two");
        let paths: Vec<Utf8PathBuf> = feed.files().unwrap().into_keys().collect();
        assert_eq!(paths, ["common/a", "x/Makefile", "x/one/a", "x/two/a"]);
        for name in ["self", "me"] {
            link(".", &format!("common/{name}"));
        }
        let failure = feed.digest().unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("OWN030", Exit::Usage));
        let place = failure.finding().place.clone().unwrap();
        assert!(["/self", "/me"].iter().any(|link| place.ends_with(link)), "{place}");
    }

    #[test]
    fn other_feeds_have_a_revision_or_are_refused() {
        let with = |conf: &str| feed(&[("x/Makefile", "$(eval $(call BuildPackage,x))"), ("feeds.conf", conf)]);
        let text = format!(
            "# ours\nsrc-git packages https://h/p.git^{} # why\n\nsrc-git-full luci https://h/l.git;main\n",
            REVISION.to_uppercase()
        );
        let (_folder, feed) = with(&text);
        let feed = feed.unwrap();
        let failure = feed.clone().pinned(|_| None).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("OWN023", Exit::Usage));
        assert!(failure.to_string().contains("main of https://h/l.git"), "{failure}");
        let pinned = feed.pinned(|other| (other.branch.as_deref() == Some("main")).then(|| "b".repeat(40))).unwrap();
        assert_eq!(pinned.others[0].line(), format!("src-git packages https://h/p.git^{REVISION}\n"));
        assert_eq!(pinned.others[1].line(), format!("src-git-full luci https://h/l.git^{}\n", "b".repeat(40)));
        for (line, why) in [
            ("src-link x /srv/me", "only src-git"),
            ("src-git x", "it is not"),
            ("src-git x-y u", "letters"),
            ("src-git x u^1234", "40 digits"),
            ("src-git x u';reboot'", "quote"),
            ("src-git a u\nsrc-git a v", "another feed already"),
        ] {
            let failure = with(line).1.unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("OWN022", Exit::Usage), "{line}");
            assert!(failure.finding().why.contains(why), "{failure}");
        }
    }
}
