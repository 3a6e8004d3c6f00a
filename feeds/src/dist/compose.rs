//! Puts a tree together from the published one and the rows of this run.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use formats::Format;
use host::files;
use model::{Exit, Failure, Problem, Result};

use super::folder::{self, Content, json};
use super::identity::{identity, is_of_image};
use super::keys::KnownKeys;
use super::records::{Build, Feed, Missing, Row, RowRecord, Verdict};
use super::sums::{self, Sums};
use super::tree::FEED;
use super::{Made, Outcome, Published, html, keyring, keys, subscribe};
use crate::keys::Keys;
use crate::{explain, merge};

/// What is the same for every row of the tree.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Name of the feed.
    pub name: &'a str,
    /// The address at which routers find the tree.
    pub url: &'a str,
    /// Version of this program.
    pub tool: &'a str,
    /// The commit that it was built from, if known.
    pub commit: Option<&'a str>,
    /// The timestamp to write wherever a format requires one, in seconds since 1970.
    pub epoch: u64,
    /// Folders to leave out.
    pub pruned: &'a BTreeSet<String>,
    /// What scenarios proved, by the [`identity`] of the packages that they ran with.
    pub verdicts: &'a BTreeMap<String, Vec<Verdict>>,
}

/// The result of [`compose`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The tree's `feed.json`.
    pub feed: Feed,
    /// Folders in which at least one file differs from the published one.
    pub changed: Vec<String>,
    /// Whether keys or `subscribe.sh` differ from the published ones.
    pub others_for_routers: bool,
    /// Rows of this run that could not be published.
    pub missing: Vec<Missing>,
}

type Folders = BTreeMap<String, Content>;

/// Fills the empty folder `out`.
///
/// # Errors
/// `DIST003` for an address that a shell script cannot hold; errors about a package that is published.
pub fn compose(
    request: &Request,
    published: Option<&Published>,
    outcomes: Vec<Outcome>,
    keys: &Keys,
    out: &Utf8Path,
) -> Result<Composed> {
    if !subscribe::is_plain(request.url) || !request.url.contains("://") {
        return Err(bad_address(request.url));
    }
    let mut folders = Folders::new();
    let mut rows: BTreeMap<Row, RowRecord> = BTreeMap::new();
    let mut missing: BTreeMap<Row, Missing> = BTreeMap::new();
    if let Some(published) = published {
        take_over(request, published, &mut folders)?;
        let stays = |row: &&RowRecord| folders.contains_key(&super::place(&row.row.line, &row.row.target, &row.kernel));
        rows.extend(published.feed.rows.iter().filter(stays).map(|row| (row.row.clone(), row.clone())));
        missing.extend(published.feed.missing.iter().map(|missing| (missing.row.clone(), missing.clone())));
    }
    let mut failed = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Unchanged(row) => drop(missing.remove(&row)),
            Outcome::Missing(row) => failed.push(row),
            Outcome::Made(made) => {
                let place = super::place(&made.row.line, &made.row.target, &made.kernel());
                match acceptable(folders.get(&place), &made) {
                    Err(failure) => failed.push(Missing {
                        row: made.row.clone(),
                        id: failure.id().to_owned(),
                        what: failure.finding().what.clone(),
                    }),
                    Ok(()) => {
                        missing.remove(&made.row);
                        let record =
                            RowRecord { row: made.row.clone(), kernel: made.kernel(), inputs: made.inputs.clone() };
                        rows.insert(made.row.clone(), record);
                        put(request, *made, &mut folders);
                    }
                }
            }
        }
    }
    for content in folders.values_mut().filter(|_| !request.verdicts.is_empty()) {
        if let Some(verdicts) = request.verdicts.get(&identity(&content.files)?) {
            content.build.verdicts.clone_from(verdicts);
        }
    }
    missing.extend(failed.iter().map(|missing| (missing.row.clone(), missing.clone())));

    let known = published.map(|published| published.keys.clone()).unwrap_or_default();
    let (known, texts) = known.with(request.name, keys, key_texts(published)?)?;
    write_keys(&known, &texts, out)?;
    let aside = tempfile::tempdir().map_err(|error| Failure::io("make a temporary folder", "/tmp", &error))?;
    let aside = Utf8Path::from_path(aside.path()).unwrap_or(Utf8Path::new("/tmp"));
    let mut keyrings = BTreeMap::new();
    for format in Format::ALL {
        keyrings.insert(format, keyring::write(request.name, &known, &texts, format, aside)?);
    }
    for content in folders.values() {
        let ours = published_keyrings(published, content, request.name, &keyrings);
        folder::write(out, content, &ours, keys, request.epoch, (request.name, request.url))?;
    }
    let feed = Feed {
        version: 1,
        name: request.name.to_owned(),
        url: request.url.to_owned(),
        rows: rows.into_values().collect(),
        folders: folders.values().map(Content::record).collect(),
        missing: missing.into_values().collect(),
    };
    let builds: Vec<&Build> = folders.values().map(|content| &content.build).collect();
    describe(&feed, &builds, &known, out)?;
    let sums = sign(keys, out)?;
    let before = published.map(|published| &published.sums);
    let places = feed.folders.iter().map(super::FolderRecord::place);
    let changed = places.filter(|place| before.is_none_or(|before| before.below(place) != sums.below(place))).collect();
    let others = |place: &str| before.and_then(|before| before.0.get(place)) != sums.0.get(place);
    let others_for_routers = others("subscribe.sh") || others(keys::LIST);
    Ok(Composed { feed, changed, others_for_routers, missing: failed })
}

/// Takes over the published folders, without the pruned ones.
fn take_over(request: &Request, published: &Published, folders: &mut Folders) -> Result<()> {
    let keyring = keyring::name(request.name);
    for record in published.feed.folders.iter().filter(|record| !request.pruned.contains(&record.place())) {
        let is_package = |path: &&str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_keyring = name.strip_prefix(&keyring).is_some_and(|rest| rest.starts_with(['_', '-']));
            Format::of_file_name(name).is_some() && !is_keyring
        };
        let files = published.files(record).filter(is_package).map(|path| published.root.join(path)).collect();
        folders.insert(record.place(), Content { build: published.build(record)?, files });
    }
    Ok(())
}

/// Whether a row's packages can be published. A row that cannot be published must not stop the others.
fn acceptable(there: Option<&Content>, made: &Made) -> Result<()> {
    for format in Content::formats(&made.files) {
        let of_format = |file: &&Utf8Path| Format::of_file_name(file.as_str()) == Some(format);
        let files: Vec<&Utf8Path> = made.files.iter().map(Utf8PathBuf::as_path).filter(of_format).collect();
        merge::fits(format, &files, &made.architecture, &made.kernel())?;
    }
    there.map_or(Ok(()), |there| same_bytes(there, made))
}

/// Bytes that were published under a name and version are never replaced by others: apk identifies packages by their
/// digest, and opkg reports a checksum mismatch.
fn same_bytes(there: &Content, made: &Made) -> Result<()> {
    for file in &made.files {
        let same_name = |old: &&Utf8PathBuf| old.file_name() == file.file_name();
        let Some(old) = there.files.iter().find(same_name) else { continue };
        if sums::digest(old)? != sums::digest(file)? {
            return Err(Failure::of(Problem {
                exit: Exit::Failed,
                id: "DIST005",
                what: format!("{} is already published with other bytes", file.file_name().unwrap_or_default()),
                why: "routers that know the published package refuse the new one, because name and version say that \
                      they are the same",
                fix: "raise the package's release in its recipe, or find out why the same build gives other bytes",
            })
            .at(file));
        }
    }
    Ok(())
}

/// Puts a row's packages in their folder.
fn put(request: &Request, made: Made, folders: &mut Folders) {
    let kernel = made.kernel();
    let place = super::place(&made.row.line, &made.row.target, &kernel);
    let mut files = made.files;
    files.retain(|file| !is_of_image(file));
    files.sort();
    let names = |files: &[Utf8PathBuf]| -> BTreeSet<String> {
        files.iter().filter_map(|file| file.file_name().map(str::to_owned)).collect()
    };
    // The same names have the same bytes here, so the record of the first build stays.
    if folders.get(&place).is_some_and(|there| names(&there.files) == names(&files)) {
        return;
    }
    let managers = Content::formats(&files).into_iter().map(|format| format.manager().to_owned()).collect();
    let build = Build {
        version: 1,
        row: made.row,
        kernel,
        kernel_version: made.kernel_version,
        architecture: made.architecture.0,
        managers,
        tool: request.tool.to_owned(),
        commit: request.commit.map(str::to_owned),
        materials: made.materials,
        crates: made.crates,
        verdicts: Vec::new(),
    };
    folders.insert(place, Content { build, files });
}

/// The public keys in the published tree.
fn key_texts(published: Option<&Published>) -> Result<BTreeMap<String, String>> {
    let Some(published) = published else { return Ok(BTreeMap::new()) };
    let text = |known: &keys::Known| Ok((known.place(), files::read_text(&published.root.join(known.place()))?));
    published.keys.keys.iter().map(text).collect()
}

fn write_keys(known: &KnownKeys, texts: &BTreeMap<String, String>, out: &Utf8Path) -> Result<()> {
    for (place, text) in texts {
        files::create_folder(out.join(place).parent().unwrap_or(out))?;
        files::write(&out.join(place), text)?;
    }
    files::write(&out.join(keys::LIST), json(known))
}

/// A keyring package that is already published under this name and version stays as it is.
fn published_keyrings(
    published: Option<&Published>,
    content: &Content,
    feed: &str,
    new: &BTreeMap<Format, Utf8PathBuf>,
) -> BTreeMap<Format, Utf8PathBuf> {
    let folder = content.record().place();
    let there = |file: &Utf8PathBuf| {
        let name = file.file_name().filter(|name| name.starts_with(&keyring::name(feed)))?;
        let (published, path) = (published?, format!("{folder}/{name}"));
        published.sums.0.contains_key(&path).then(|| published.root.join(path))
    };
    new.iter().map(|(format, file)| (*format, there(file).unwrap_or_else(|| file.clone()))).collect()
}

/// Writes the files at the top of the tree and those of each target.
fn describe(feed: &Feed, builds: &[&Build], known: &KnownKeys, out: &Utf8Path) -> Result<()> {
    let mut targets: BTreeMap<(&str, &str), BTreeMap<&str, &str>> = BTreeMap::new();
    for folder in &feed.folders {
        targets.entry((&folder.line, &folder.target)).or_default();
    }
    for record in &feed.rows {
        let releases = targets.entry((&record.row.line, &record.row.target)).or_default();
        releases.insert(&record.row.release, record.kernel.as_str());
    }
    for ((line, target), releases) in &targets {
        let place = out.join(line).join(target);
        files::write(&place.join("releases.json"), json(releases))?;
        files::write(&place.join("index.html"), html::target(feed, line, target, builds))?;
    }
    let script = subscribe::script(&feed.name, &feed.url, known);
    files::write(&out.join("index.html"), html::page(feed, builds, known, &script))?;
    files::write(&out.join("subscribe.sh"), script)?;
    files::write(&out.join(FEED), json(feed))?;
    files::write(&out.join(".nojekyll"), "")
}

/// Writes and signs the list of all files; this must come last.
fn sign(keys: &Keys, out: &Utf8Path) -> Result<Sums> {
    let sums = Sums::of(out)?;
    let text = sums.text();
    let signature = keys.opkg.current.sign(text.as_bytes());
    let public = keys.opkg.current.public();
    public.verify(text.as_bytes(), &signature).map_err(|error| explain(Exit::Bug, out, &error))?;
    files::write(&out.join(sums::NAME), text)?;
    files::write(&out.join(sums::SIGNATURE), signature.to_text())?;
    Ok(sums)
}

fn bad_address(url: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "DIST003",
        what: format!("`{url}` cannot be a feed's address"),
        why: "routers read it in a feed list and in a shell script: it needs a scheme and `://`, followed by letters, \
              digits and / : . _ - ~ % [ ] only",
        fix: "give --url with the address under which routers will find the tree, such as https://example.org/feed",
    })
}
