//! `feed`: makes a signed feed of the packages; serves it on loopback, verifies it by installing from it, compares
//! feeds, or merges it into the published one.

use camino::{Utf8Path, Utf8PathBuf};
use feeds::{Part, Trust};
use host::aside::AsideFolder;
use model::{Event, Exit, Failure, Problem, Result};

use crate::cli::feed::{FeedAction, FeedArgs};
use crate::doctor::Purpose;
use crate::feed_config::FeedConfig;
use crate::pipeline::{self, Job};
use crate::{Ctx, Outcome};

/// Assembles the feed and does what was requested with it.
pub fn run(ctx: &Ctx, args: &FeedArgs) -> Result<Outcome> {
    let FeedArgs { action, serve, selection } = args;
    let selection = match action {
        Some(FeedAction::Diff { old, new }) => return diff(ctx, old, new),
        Some(FeedAction::Merge { published, new, into, keys }) => return merge(ctx, published, new, into, keys),
        Some(FeedAction::Verify { url: Some(url), keys, .. }) => {
            // Packages are checked by `lint`; here only indexes count.
            let of_index = |id: &str| id.starts_with("LINT5") || id.starts_with("LINT0");
            return super::lint::live_feed(ctx, url, &super::lint::options(keys)?, &[], &of_index);
        }
        Some(FeedAction::Verify { selection, .. }) => selection,
        None => selection,
    };
    let job = Job::new(ctx, selection, Purpose::Build)?;
    job.require(ctx, Purpose::Build)?;
    match action {
        Some(FeedAction::Verify { .. }) => pipeline::verify_feed(ctx, &job),
        _ => pipeline::feed(ctx, &job, *serve),
    }
}

/// Prints the changes, and sends an event for each.
fn diff(ctx: &Ctx, old: &Utf8Path, new: &Utf8Path) -> Result<Outcome> {
    let parts = feeds::diff(old, new)?;
    for Part { name, changes } in &parts {
        let emit = |package: &String, old: Option<&String>, new: Option<&String>| {
            let (old, new) = (old.cloned(), new.cloned());
            ctx.events.emit(Event::Change { part: name.clone(), package: package.clone(), old, new });
        };
        changes.added.iter().for_each(|(package, version)| emit(package, None, Some(version)));
        changes.removed.iter().for_each(|(package, version)| emit(package, Some(version), None));
        changes.changed.iter().for_each(|(package, (old, new))| emit(package, Some(old), Some(new)));
        changes.rebuilt.iter().for_each(|(package, version)| emit(package, Some(version), Some(version)));
    }
    Ok(Outcome::done(parts.iter().map(Part::to_string).collect::<Vec<_>>().join("\n")))
}

/// Makes the merged feed aside and renames it.
fn merge(ctx: &Ctx, published: &Utf8Path, new: &Utf8Path, into: &Utf8Path, keys: &[Utf8PathBuf]) -> Result<Outcome> {
    if into.symlink_metadata().is_ok() {
        return Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "FEED010",
            what: format!("{into} is there already"),
            why: "a feed that routers read is never changed in place",
            fix: "name a folder that does not exist, and publish it when it is complete",
        })
        .at(into));
    }
    let own = FeedConfig::load(ctx)?.key_files(ctx).load()?;
    let mut trust = Trust::of(&own);
    let Trust { usign, ec } = super::lint::public_keys(keys)?;
    trust.usign.extend(usign);
    trust.ec.extend(ec);
    let feed = AsideFolder::begin(into)?;
    let merged = feeds::merge(published, new, &trust, &own, &feed.place)?;
    feed.keep_first()?;
    let line = |kmods: &feeds::Kmods| {
        let state = if kmods.kept { "kept" } else { "new" };
        format!("{} {} packages, {state}", feeds::folder(into, kmods.format, &kmods.kernel), kmods.packages)
    };
    Ok(Outcome::done(merged.iter().map(line).collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use feeds::keys::Keys;
    use formats::depend::Dependency;
    use formats::{Format, Package};
    use model::{Arch, Events};

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;

    fn feed(ctx: &Ctx, words: &[&str]) -> Result<Outcome> {
        let line = ["cargo xtask", "feed"].iter().chain(words);
        let Verb::Feed(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("another verb") };
        run(ctx, &args)
    }

    /// A feed with one kmod for a kernel, in both formats.
    fn publish(root: &Utf8Path, hash: &str, keys: &Keys) -> Utf8PathBuf {
        let plan = Package {
            name: "kmod-a".into(),
            version: format!("6.12.1-r{}", hash.len()),
            architecture: "x86_64".into(),
            depends: vec![Dependency::exactly("kernel", format!("6.12.1~{hash}-r1"))],
            ..Package::default()
        };
        let place = root.join(hash);
        std::fs::create_dir_all(place.join("feed")).unwrap();
        let put = |format: Format| {
            let path = place.join(plan.file_name(format));
            plan.write(format, std::fs::File::create(&path).unwrap()).unwrap();
            path
        };
        let kernel = feeds::Kernel::of_package(&format!("6.12.1~{hash}-r1"));
        let (files, arch) = (Format::ALL.map(put), Arch("x86_64".into()));
        feeds::assemble(&files, &arch, &kernel, keys, &place.join("feed")).unwrap();
        place.join("feed")
    }

    #[test]
    fn feeds_are_compared_and_merged() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let (sender, events) = std::sync::mpsc::channel();
        let mut ctx = ctx(root, Events::to(sender));
        ctx.keys = root.join("keys");
        std::fs::create_dir_all(root.join("feeds")).unwrap();
        let config = "version: 1\nname: a\nkeys:\n  opkg: usign.sec\n  apk: ec.pem\n";
        std::fs::write(root.join("feeds/feed.yaml"), config).unwrap();
        let keys = FeedConfig::load(&ctx).unwrap().key_files(&ctx).load_or_create().unwrap();
        let (old, new) = (publish(root, "a", &keys), publish(root, "bb", &keys));

        let shown = feed(&ctx, &["diff", old.as_str(), new.as_str()]).unwrap().data;
        let part = "0 added, 0 removed, 1 with another version, 0 with other bytes\n> kmod-a 6.12.1-r1 -> 6.12.1-r2";
        assert_eq!(shown, format!("apk/kmods/6.12.1-1-bb: {part}\nopkg/kmods/6.12.1-1-bb: {part}"));
        let change =
            |event: &Event| matches!(event, Event::Change { package, old: Some(_), .. } if package == "kmod-a");
        assert_eq!(events.try_iter().filter(change).count(), 2);

        let into = root.join("merged");
        let words = ["merge", old.as_str(), new.as_str(), into.as_str()];
        let shown = feed(&ctx, &words).unwrap().data;
        assert!(shown.contains(&format!("{into}/opkg/kmods/6.12.1-1-a 1 packages, kept")), "{shown}");
        assert!(shown.contains(&format!("{into}/apk/kmods/6.12.1-1-bb 1 packages, new")), "{shown}");
        assert_eq!(feed(&ctx, &words).unwrap_err().id(), "FEED010");
        let left = root.read_dir_utf8().unwrap().filter(|entry| entry.as_ref().unwrap().file_name().starts_with('.'));
        assert_eq!(left.count(), 0);
        // Somebody else's feed needs his key.
        let theirs = publish(root, "ccc", &Keys::generate().unwrap());
        let third = root.join("third");
        assert_eq!(feed(&ctx, &["merge", theirs.as_str(), new.as_str(), third.as_str()]).unwrap_err().id(), "FEED008");
        assert!(!third.exists());
    }
}
