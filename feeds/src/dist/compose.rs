//! Puts a tree together: what is published, with the rows of this run over it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Format, Package};
use host::files;
use model::{Exit, Failure, Problem, Result};

use super::folder::{self, Content, json};
use super::keys::KnownKeys;
use super::records::{Build, Feed, Missing, Row, RowRecord};
use super::sums::{self, Sums};
use super::tree::FEED;
use super::{Made, Outcome, Published, html, keyring, keys, subscribe};
use crate::explain;
use crate::keys::Keys;

/// What is the same for the whole tree.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Name of the feed.
    pub name: &'a str,
    /// Where routers find the tree.
    pub url: &'a str,
    /// Version of the program.
    pub tool: &'a str,
    /// The commit that it was built from, where that is known.
    pub commit: Option<&'a str>,
    /// The time that is written where one has to be, in seconds since 1970.
    pub epoch: u64,
    /// Folders that are left out from now on.
    pub pruned: &'a BTreeSet<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The description of the tree.
    pub feed: Feed,
    /// Folders in which a file is another one than is published.
    pub changed: Vec<String>,
    /// Whether routers are given other keys, or another script, than before.
    pub others_for_routers: bool,
    /// Rows of this run that are not in it as they should be.
    pub missing: Vec<Missing>,
}

type Folders = BTreeMap<String, Content>;

/// Fills the empty folder `out`.
///
/// # Errors
/// `DIST003` for an address that cannot be in a script; what is wrong with a package that is published.
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
                match folders.get(&place).map_or(Ok(()), |there| same_bytes(there, &made)) {
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

/// The folders that are published, but for those that are to go.
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

/// What was published once under a name and version is never published with other bytes: apk knows packages by their
/// digest, and opkg says that a checksum does not match.
fn same_bytes(there: &Content, made: &Made) -> Result<()> {
    for file in &made.files {
        let same_name = |old: &&Utf8PathBuf| old.file_name() == file.file_name();
        let Some(old) = there.files.iter().find(same_name) else { continue };
        if sums::digest(old)? != sums::digest(file)? {
            return Err(Failure::of(Problem {
                exit: Exit::Failed,
                id: "DIST005",
                what: format!("{} is published with other bytes", file.file_name().unwrap_or_default()),
                why: "routers that know the one refuse the other: name and version say that it is the same package",
                fix: "raise the release of the package in its recipe, or find out why the same build gives other bytes",
            })
            .at(file));
        }
    }
    Ok(())
}

/// Puts a row's packages in their folder.
fn put(request: &Request, made: Made, folders: &mut Folders) {
    let is_of_image = |file: &Utf8PathBuf| {
        let name = file.file_name().unwrap_or_default();
        name.strip_prefix(Package::KERNEL).is_some_and(|rest| rest.starts_with(['_', '-']))
    };
    let kernel = made.kernel();
    let place = super::place(&made.row.line, &made.row.target, &kernel);
    let mut files = made.files;
    files.retain(|file| !is_of_image(file));
    files.sort();
    let names = |files: &[Utf8PathBuf]| -> BTreeSet<String> {
        files.iter().filter_map(|file| file.file_name().map(str::to_owned)).collect()
    };
    // The same names have the same bytes here; who made them first is who is named.
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
        verdicts: made.verdicts,
    };
    folders.insert(place, Content { build, files });
}

/// The public keys that the published tree has.
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

/// A keyring that is published in its folder under the same name and version stays as it is.
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

/// The files at the top, and those of each target.
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

/// The list of everything, signed: the last file that is written.
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
        what: format!("`{url}` cannot be the address of a feed"),
        why: "routers read it in lines and in a script: a scheme, `://`, then letters, digits and / : . _ - ~ % [ ] only",
        fix: "give --url with the address under which routers will find the tree, such as https://example.org/feed",
    })
}
