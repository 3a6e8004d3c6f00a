//! `dist`: publishes the feeds of many releases and targets as one tree of static files; verifies a tree, or compares
//! it with OpenWrt's releases.

mod crates;
mod drift;
mod made;
mod place;
mod reports;
mod rows;
mod upload;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use feeds::Trust;
use feeds::dist::{self, Composed, Missing, Published, Request};
use feeds::live::is_address;
use model::{Event, Exit, Failure, Finding, Problem, Result, Severity};

use crate::cli::dist::{DistAction, DistArgs, Prune};
use crate::feed_config::FeedConfig;
use crate::stage::{lock, timed};
use crate::{Ctx, Outcome, pipeline, upstream};

use place::Place;

/// The stage's name in events.
const DIST: &str = "dist";

/// Publishes, verifies or compares.
pub fn run(ctx: &Ctx, args: &DistArgs) -> Result<Outcome> {
    match &args.action {
        Some(DistAction::Verify { tree, keys }) => {
            let copy = scratch()?;
            let published = open(ctx, tree, utf8(&copy), keys)?;
            let said = timed(ctx, "verify", tree, || {
                let said = dist::verify(&published, None, &ctx.cancel)?;
                let summary = format!("{} folders, {} files", said.len(), published.files_count());
                Ok((said, summary))
            })?;
            Ok(Outcome::done(said.join("\n")))
        }
        Some(DistAction::Drift { tree, keys, rows, source }) => {
            let copy = scratch()?;
            let published = open(ctx, tree, utf8(&copy), keys)?;
            drift::run(ctx, &published, rows, source)
        }
        Some(DistAction::Row { rows }) => made::save(ctx, rows),
        None => publish(ctx, args),
    }
}

fn publish(ctx: &Ctx, args: &DistArgs) -> Result<Outcome> {
    let jobs = rows::jobs(ctx, &args.rows)?;
    let verdicts = reports::read(&args.reports)?;
    let config = FeedConfig::load(ctx)?;
    let keys = config.key_files(ctx).load_or_create()?;
    let place = Place::at(&ctx.out)?;
    // One run at a time, because the second must start from what the first published.
    let _lock = lock(ctx, DIST, &place.lock())?;
    place.tidy()?;

    let copy = place.aside()?;
    let is_own = args.published.is_none() && !args.anew;
    let published = match (&args.published, place.current()) {
        _ if args.anew => None,
        (Some(published), _) => Some(open(ctx, published, &copy.place, &args.keys)?),
        (None, Some(current)) => Some(open(ctx, current.as_str(), &copy.place, &args.keys)?),
        (None, None) => None,
    };
    let url = args.url.as_deref().or(published.as_ref().map(|tree| tree.feed.url.as_str()));
    let url = url.ok_or_else(no_address)?.trim_end_matches('/');
    let (shown, pruned) = pruned(ctx, args, published.as_ref())?;
    let mut outcomes = Vec::new();
    for (row, job) in &jobs {
        outcomes.push(match &args.made {
            Some(folder) => made::load(ctx, folder, row, published.as_ref(), &copy.place.join("made"))?,
            None => rows::outcome(ctx, row, job, published.as_ref())?,
        });
    }

    let tree = place.aside()?;
    let request = Request {
        name: &config.name,
        url,
        tool: env!("CARGO_PKG_VERSION"),
        commit: args.commit.as_deref(),
        epoch: sdk::source_date_epoch()?.unwrap_or_default(),
        pruned: &pruned,
        verdicts: &verdicts,
    };
    let Composed { feed, changed, others_for_routers, missing } =
        dist::compose(&request, published.as_ref(), outcomes, &keys, &tree.place)?;
    missing.iter().for_each(|missing| ctx.events.emit(Event::Finding(told(missing))));
    let about = format!("{} rows, {} kernels, {} of them changed", feed.rows.len(), feed.folders.len(), changed.len());
    let current = timed(ctx, DIST, ctx.out.as_str(), || {
        let verified = |tree: &Utf8Path| {
            // Unchanged folders were verified when they were published, and now again by signature and digest.
            let only = (!others_for_routers).then_some(&changed[..]);
            dist::verify(&Published::open(tree, &Trust::of(&keys))?, only, &ctx.cancel).map(drop)
        };
        let (current, is_new) = place.publish(tree, is_own, verified)?;
        Ok((current, format!("{about}{}", if is_new { "" } else { "; nothing is different" })))
    })?;
    let mut lines = shown;
    lines.push(format!("{current} {about}"));
    if let Some(file) = &args.tar {
        dist::tar(&current, file)?;
        lines.push(file.to_string());
    }
    if let Some(command) = &args.upload {
        lines.extend(upload::run(ctx, &current, command)?);
    }
    let exit = if missing.is_empty() || args.allow_missing { Exit::Done } else { Exit::Failed };
    Ok(Outcome { exit, data: lines.join("\n") })
}

/// The folders that may be removed, as lines for the user; and those that will be.
fn pruned(ctx: &Ctx, args: &DistArgs, published: Option<&Published>) -> Result<(Vec<String>, BTreeSet<String>)> {
    let (Some(how), Some(published)) = (args.prune, published) else { return Ok(Default::default()) };
    let mut lines: BTreeSet<String> =
        upstream::matrix(ctx)?.select(&[], &[])?.into_iter().map(|row| row.line).collect();
    lines.insert(pipeline::STAND_IN.to_owned());
    let found = dist::prunable(&published.feed, |line| lines.contains(line), args.keep);
    let word = if how == Prune::Remove { "removed" } else { "may be removed" };
    let shown = found.iter().map(|found| format!("{} {word}: {}", found.place, found.why)).collect();
    let gone = found.into_iter().filter(|_| how == Prune::Remove).map(|found| found.place);
    Ok((shown, gone.collect()))
}

/// Opens a tree in its folder, or a copy of it in `into`.
fn open(ctx: &Ctx, tree: &str, into: &Utf8Path, keys: &[Utf8PathBuf]) -> Result<Published> {
    let mut trust = super::lint::public_keys(keys)?;
    let files = FeedConfig::load(ctx)?.key_files(ctx);
    // Verifying somebody else's tree needs no keys of our own.
    let own = if keys.is_empty() { Some(files.load()?) } else { files.load_if_made()? };
    if let Some(own) = own {
        let (own, former) = (Trust::of(&own), files.former()?);
        trust.usign.extend(own.usign.into_iter().chain(former.usign));
        trust.ec.extend(own.ec.into_iter().chain(former.ec));
    }
    if !is_address(tree) {
        return Published::open(Utf8Path::new(tree), &trust);
    }
    let progress = &|done, total| ctx.events.progress(DIST, done, Some(total));
    Published::fetch(tree, into, &trust, &ctx.cancel, progress)
}

fn scratch() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|error| Failure::io("make a folder for the tree in", "/tmp", &error))
}

fn utf8(folder: &tempfile::TempDir) -> &Utf8Path {
    Utf8Path::from_path(folder.path()).unwrap_or(Utf8Path::new("/nonexistent"))
}

fn told(missing: &Missing) -> Finding {
    Finding {
        id: "DIST006",
        severity: Severity::Error,
        place: Some(missing.row.to_string()),
        what: format!("{} is missing: {}", missing.row, missing.what),
        why: format!("it failed with {}; what is published of it stays as it was, and feed.json names it", missing.id),
        fix: "fix the problems above, and run again; --allow-missing exits with 0 anyway".into(),
    }
}

fn no_address() -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "DIST008",
        what: "the address at which routers will find the tree is not known",
        why: "the feed lines of routers and subscribe.sh contain it; a published tree has it already",
        fix: "give --url, such as `--url https://example.org/feed`",
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use feeds::keys::Keys;
    use model::Events;

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;

    fn dist(ctx: &Ctx, words: &[&str]) -> Result<Outcome> {
        let line = ["cargo xtask", "dist"].iter().chain(words);
        let Verb::Dist(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("another verb") };
        run(ctx, &args)
    }

    #[test]
    fn a_first_tree_needs_an_address_and_a_row_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = ctx(utf8(&folder), Events::discard());
        for (words, id) in [
            (&["--release", "17.01"][..], "MTX001"),
            (&["--release", "25.12", "--target", "no-such/target"], "MTX002"),
            (&["--target", "malta/be"], "USE002"),
            (&["verify", "/nowhere"], "KEY003"),
            (&[], "DIST008"),
        ] {
            assert_eq!(dist(&ctx, words).unwrap_err().id(), id, "{words:?}");
        }
        FeedConfig::load(&ctx).unwrap().key_files(&ctx).load_or_create().unwrap();
        assert_eq!(dist(&ctx, &["verify", "/nowhere"]).unwrap_err().id(), "DIST001");
        assert_eq!(dist(&ctx, &["verify", "http://127.0.0.1:9/"]).unwrap_err().id(), "WEB002");
        assert!(!ctx.out.join("current").exists());
    }

    #[test]
    fn rows_that_fail_are_told_and_named_in_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = utf8(&folder);
        let (sender, events) = std::sync::mpsc::channel();
        let mut ctx = ctx(root, Events::to(sender));
        // The cache is empty, and nothing may be fetched.
        (ctx.offline, ctx.cache) = (true, root.join("cache"));
        let first = ["--url", "https://example.org/feed"];
        assert_eq!(dist(&ctx, &first).unwrap().exit, Exit::Failed);
        let told = events.try_iter().filter_map(|event| match event {
            Event::Finding(finding) => Some(finding.id),
            _ => None,
        });
        assert_eq!(told.last(), Some("DIST006"));
        let text = std::fs::read_to_string(ctx.out.join("current/feed.json")).unwrap();
        assert!(text.contains("\"release\": \"6.12\"") && text.contains("\"missing\": [\n"), "{text}");
        // The address comes from the published tree, and nothing has changed.
        assert_eq!(dist(&ctx, &["--allow-missing"]).unwrap().exit, Exit::Done);
        assert_eq!(std::fs::read_dir(ctx.out.join("trees")).unwrap().count(), 2, "one tree, and the lock");
        let current = ctx.out.join("current");
        assert_eq!(dist(&ctx, &["verify", current.as_str()]).unwrap().exit, Exit::Done);
        // Somebody changed the tree, so nothing is published over it.
        std::fs::write(current.join("index.html"), "mine").unwrap();
        for words in [&["verify", current.as_str()][..], &[]] {
            assert_eq!(dist(&ctx, words).unwrap_err().id(), "DIST002");
        }
        assert_eq!(dist(&ctx, &["--anew", "--url", "https://example.org/feed"]).unwrap().exit, Exit::Failed);
        assert_eq!(dist(&ctx, &["verify", current.as_str()]).unwrap().exit, Exit::Done);
        // Signed with other keys.
        ctx.keys = root.join("others");
        let config = FeedConfig::load(&ctx).unwrap();
        let _: Keys = config.key_files(&ctx).load_or_create().unwrap();
        assert_eq!(dist(&ctx, &["verify", current.as_str()]).unwrap_err().id(), "FEED008");
        assert_eq!(dist(&ctx, &[]).unwrap_err().id(), "FEED008");
    }

    #[test]
    fn a_tree_is_uploaded_in_steps_and_written_as_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let root = utf8(&folder);
        let mut ctx = ctx(root, Events::discard());
        (ctx.offline, ctx.cache) = (true, root.join("cache"));
        let to = root.join("served");
        let (archive, served) = (root.join("pages.tar"), to.to_string());
        let copy = format!(
            "while read -r file; do mkdir -p \"$(dirname '{served}'/\"$file\")\" && cp \"$file\" '{served}'/\"$file\" || exit; done <\"$FILES\""
        );
        let words =
            ["--url", "https://example.org/feed", "--allow-missing", "--tar", archive.as_str(), "--upload", &copy];
        dist(&ctx, &words).unwrap();
        assert_eq!(dist(&ctx, &["verify", &served]).unwrap().exit, Exit::Done);
        assert!(archive.metadata().unwrap().len() > 10_000);
        let order = dist(&ctx, &["--allow-missing", "--upload"]).unwrap().data;
        assert!(order.ends_with("\nindex.html"), "{order}");
        assert_eq!(dist(&ctx, &["--allow-missing", "--upload", "exit 3"]).unwrap_err().id(), "DIST010");
    }
}
