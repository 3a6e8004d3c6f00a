//! `lock --feed`: locks the current revisions of the feeds that the user's own feed needs.

use std::time::Duration;

use camino::Utf8Path;
use host::{Job, aside};
use model::{Exit, Failure, Problem, Result};
use sdk::openwrt::{FeedFolder, Lockfile, OtherFeed};

use super::stale;
use crate::{Ctx, Outcome};

/// Deadline for a server to report a branch's commit.
const LIMIT: Duration = Duration::from_secs(120);

/// Locks each feed for which the folder's `feeds.conf` names a branch; with `check`, compares.
pub(super) fn run(ctx: &Ctx, folder: &Utf8Path, path: &Utf8Path, mut lock: Lockfile, check: bool) -> Result<Outcome> {
    let feed = FeedFolder::read(folder)?;
    let branches: Vec<&OtherFeed> = feed.others.iter().filter(|other| other.revision.is_none()).collect();
    let mut moved = Vec::new();
    for other in &branches {
        let now = newest(ctx, other)?;
        let known = lock.feed(&other.url, other.branch.as_deref()).unwrap_or("none").to_owned();
        if known != now {
            moved.push(format!("{}: locked is {known}, the branch is at {now}", other.name));
        }
        ctx.events.notice("lock", format!("{} at {now}", other.name));
        lock.put_feed((other.url.clone(), other.branch.clone()), now);
    }
    if check {
        return match moved.is_empty() {
            true => Ok(Outcome::done(format!("{} feeds are as they were locked", branches.len()))),
            false => Err(stale(&moved)),
        };
    }
    aside::write(path, lock.text()?.as_bytes())?;
    Ok(Outcome::done(format!("{path}: {} of {} feeds refreshed", moved.len(), branches.len())))
}

/// The current commit of a feed's branch or tag. An annotated tag is an object of its own; with `^{}` git tells the commit
/// that it stands for.
fn newest(ctx: &Ctx, other: &OtherFeed) -> Result<String> {
    let branch = other.branch.as_deref().unwrap_or("HEAD");
    let commit = format!("{branch}^{{}}");
    let output = Job::of_words(&["git", "ls-remote", "--", &other.url, branch, &commit], &ctx.root, LIMIT)
        .over_network()
        .output(&ctx.cancel)?;
    let told = || output.stdout.lines().filter_map(|line| line.split_once('\t'));
    let found = told().find(|(_, name)| {
        *name == branch || ["refs/heads/", "refs/tags/"].iter().any(|kind| name.strip_prefix(kind) == Some(branch))
    });
    match found {
        Some((revision, name)) if output.success => {
            let commit = told().find(|(_, other)| other.strip_suffix("^{}") == Some(name));
            Ok(commit.map_or(revision, |(commit, _)| commit).to_owned())
        }
        _ => Err(unanswered(other, branch, output.stderr.trim())),
    }
}

fn unanswered(other: &OtherFeed, branch: &str, said: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "LOCK006",
        what: format!("the revision of {branch} of the feed {} is not known", other.name),
        why: format!(
            "git asked {}: {}",
            other.url,
            if said.is_empty() { "it has no such branch or tag" } else { said }
        ),
        fix: "check that the address in feeds.conf answers and has that branch",
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    #[test]
    fn a_branch_is_locked_where_it_is_and_compared() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let mut ctx = ctx(root, Events::discard());
        ctx.root = root.to_owned();
        let git = |words: &[&str]| {
            let author = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
            let output =
                Command::new("git").arg("-C").arg(root.join("other")).args(author).args(words).output().unwrap();
            assert!(output.status.success(), "{words:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        std::fs::create_dir_all(root.join("other")).unwrap();
        std::fs::create_dir_all(root.join("mine/x")).unwrap();
        git(&["init", "-q", "-b", "main"]);
        git(&["commit", "-q", "--allow-empty", "-m", "one"]);
        std::fs::write(root.join("mine/x/Makefile"), "$(eval $(call BuildPackage,x))").unwrap();
        let conf = |branch: &str| {
            std::fs::write(root.join("mine/feeds.conf"), format!("src-git other file://{root}/other;{branch}\n"))
                .unwrap();
        };
        let path = root.join("openwrt.lock");
        let run = |check| run(&ctx, &root.join("mine"), &path, Lockfile::load(&path).unwrap(), check);
        conf("main");
        let locked =
            || Lockfile::load(&path).unwrap().feed(&format!("file://{root}/other"), Some("main")).map(str::to_owned);
        assert_eq!((run(true).unwrap_err().id(), locked()), ("LOCK003", None));
        run(false).unwrap();
        assert_eq!(locked(), Some(git(&["rev-parse", "HEAD"])));
        run(true).unwrap();
        git(&["commit", "-q", "--allow-empty", "-m", "two"]);
        assert!(run(true).unwrap_err().finding().why.contains("other: locked is"));
        // A tag with a message is an object besides its commit.
        git(&["tag", "-a", "-m", "first", "v1"]);
        git(&["commit", "-q", "--allow-empty", "-m", "three"]);
        conf("v1");
        run(false).unwrap();
        let lock = Lockfile::load(&path).unwrap();
        let tagged = lock.feed(&format!("file://{root}/other"), Some("v1"));
        assert_eq!(tagged, Some(git(&["rev-parse", "HEAD~1"]).as_str()));
        conf("gone");
        let failure = run(false).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("LOCK006", Exit::Upstream));
    }
}
