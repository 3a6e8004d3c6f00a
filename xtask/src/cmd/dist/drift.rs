//! What OpenWrt released and a tree lacks: rows of the matrix, new kernels of releases, and point releases after the
//! newest in the matrix.

use feeds::Kernel;
use feeds::dist::Published;
use model::{Exit, Result};
use sdk::openwrt::{NOT_PUBLISHED, Resolved, Row};

use crate::cli::openwrt::{Rows, Source};
use crate::newer::{Newer, newer};
use crate::{Ctx, Outcome, upstream};

/// Prints a line for each missing thing.
pub(super) fn run(ctx: &Ctx, tree: &Published, rows: &Rows, source: &Source) -> Result<Outcome> {
    let mut selected = upstream::matrix(ctx)?.select(&rows.releases, &rows.targets)?;
    if rows.releases.is_empty() {
        selected.retain(|row| !row.release.is_snapshot());
    }
    let upstream = upstream::upstream(ctx, source)?;
    let mut missing = Vec::new();
    for row in &selected {
        ctx.cancel.check()?;
        let name = format!("{} for {}", row.release, row.published);
        match (kernel(tree, row), upstream.resolve_now(row)) {
            // Nobody can build what the mirror does not have.
            (_, Err(failure)) if NOT_PUBLISHED.contains(&failure.id()) => {}
            (_, Err(failure)) => return Err(failure),
            (None, Ok(_)) => missing.push(format!("{name} is released, and the feed has nothing for it")),
            (Some(there), Ok(resolved)) => missing.extend(
                other_kernel(there, &resolved)
                    .map(|new| format!("{name} has kernel {new} now, and the feed's is {there}")),
            ),
        }
    }
    missing.extend(
        newer(&upstream, &selected)?
            .into_iter()
            .map(|Newer { known, released }| format!("{released} is released, and feeds/matrix.yaml ends at {known}")),
    );
    let exit = if missing.is_empty() { Exit::Done } else { Exit::Failed };
    Ok(Outcome { exit, data: missing.join("\n") })
}

/// The tree's kernel for a row.
fn kernel<'a>(tree: &'a Published, row: &Row) -> Option<&'a Kernel> {
    let is_this = |record: &&feeds::dist::RowRecord| {
        record.row.line == row.line
            && record.row.target == row.published.to_string()
            && record.row.release == row.release.0
    };
    tree.feed.rows.iter().find(is_this).map(|record| &record.kernel)
}

fn other_kernel(there: &Kernel, resolved: &Resolved) -> Option<Kernel> {
    let now = Kernel::of_package(&resolved.kernel.as_ref()?.package_version());
    (now != *there).then_some(now)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use clap::Parser as _;
    use formats::depend::Dependency;
    use formats::{Format, Package};
    use model::{Digest, Event, Events};
    use sdk::openwrt::fixture::{Fault, KERNEL_HASH, MiniMirror};

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::ctx::tests::ctx;

    fn dist(ctx: &Ctx, words: &[&str]) -> Result<Outcome> {
        let line = ["cargo xtask", "dist"].iter().chain(words);
        let Verb::Dist(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("another verb") };
        super::super::run(ctx, &args)
    }

    /// Writes what `dist row` would make for 25.12.5 with a kernel.
    fn row(folder: &Utf8Path, kernel_version: &str) {
        let place = folder.join("25.12-x86-64-25.12.5");
        std::fs::create_dir_all(&place).unwrap();
        let plan = Package {
            name: "kmod-a".into(),
            version: "6.12.94-r1".into(),
            architecture: "x86_64".into(),
            depends: vec![Dependency::exactly("kernel", kernel_version)],
            ..Package::default()
        };
        let mut bytes = Vec::new();
        plan.write(Format::Apk, &mut bytes).unwrap();
        let name = plan.file_name(Format::Apk);
        std::fs::write(place.join(&name), &bytes).unwrap();
        let row = serde_json::json!({
            "row": { "line": "25.12", "target": "x86/64", "release": "25.12.5" },
            "inputs": kernel_version, "kernel_version": kernel_version, "architecture": "x86_64",
            "materials": [], "crates": [], "files": [[name, Digest::of(&bytes).to_string()]],
        });
        std::fs::write(place.join("row.json"), row.to_string()).unwrap();
    }

    #[test]
    fn a_mirror_that_fails_says_nothing_about_releases_and_one_that_is_not_signed_yet_does_not_count() {
        let (mirror, folder) = (MiniMirror::new(), tempfile::tempdir().unwrap());
        mirror.publish_standard("25.12.5", "x86/64");
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let (sender, told) = std::sync::mpsc::channel();
        let ctx = ctx(root, Events::to(sender));
        row(&root.join("rows"), &format!("6.12.94~{KERNEL_HASH}-r1"));
        let of_row = ["--release", "25.12", "--target", "x86/64"];
        let made = root.join("rows");
        let words = ["--made", made.as_str(), "--url", "https://example.org/feed", "--allow-missing"];
        dist(&ctx, &[&words[..], &of_row].concat()).unwrap();
        let (server, site, key) = (mirror.serve(), ctx.out.join("current"), mirror.key_file());
        let url = server.url();
        let drift = || {
            let place = ["drift", site.as_str(), "--mirror", &url, "--release-key", key.as_str()];
            dist(&ctx, &[&place[..], &of_row].concat())
        };
        assert_eq!(drift().unwrap().exit, Exit::Done);

        // A new release appears before its signature.
        mirror.publish_standard("25.12.6", "x86/64");
        std::fs::remove_file(mirror.folder("25.12.6", "x86/64").join("sha256sums.sig")).unwrap();
        let outcome = drift().unwrap();
        assert_eq!((outcome.exit, outcome.data), (Exit::Done, String::new()));
        let is_told = |event| format!("{event:?}").contains("25.12.6 is not complete yet");
        assert!(told.try_iter().any(|event: Event| is_told(event)));

        // A release that the mirror does not give is perhaps there, be it new or known.
        for release in ["25.12.6", "25.12.5"] {
            server.always(&format!("{release}/targets/x86/64/sha256sums"), Fault::Status(403));
            let failure = drift().unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("MIR004", Exit::Upstream), "{release}");
        }
    }

    #[test]
    fn what_was_released_and_is_not_published_is_told() {
        let (mirror, folder) = (MiniMirror::new(), tempfile::tempdir().unwrap());
        mirror.publish_standard("25.12.5", "x86/64");
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let ctx = ctx(root, Events::discard());
        let (site, key) = (ctx.out.join("current"), mirror.key_file());
        let drift = || {
            let place = ["drift", site.as_str(), "--mirror", mirror.root().as_str(), "--release-key", key.as_str()];
            let outcome = dist(&ctx, &[&place[..], &["--release", "25.12", "--target", "x86/64"]].concat()).unwrap();
            (outcome.exit, outcome.data)
        };
        let publish = || {
            let made = root.join("rows");
            let words = ["--made", made.as_str(), "--release", "25.12", "--target", "x86/64"];
            dist(&ctx, &[&words[..], &["--url", "https://example.org/feed", "--allow-missing"]].concat()).unwrap()
        };
        publish();
        let lacks = "25.12.5 for x86/64 is released, and the feed has nothing for it";
        assert_eq!(drift(), (Exit::Failed, lacks.to_owned()));

        row(&root.join("rows"), "6.12.87~0123456789abcdef0123456789abcdef-r1");
        publish();
        let (exit, said) = drift();
        assert_eq!(exit, Exit::Failed);
        assert!(said.contains(&format!("has kernel 6.12.94-1-{KERNEL_HASH} now")), "{said}");

        row(&root.join("rows"), &format!("6.12.94~{KERNEL_HASH}-r1"));
        publish();
        assert_eq!(drift(), (Exit::Done, String::new()));
        let kernels = ctx.out.join("current/25.12/x86/64/kmods").read_dir_utf8().unwrap().count();
        assert_eq!(kernels, 2, "the older kernel stays");

        // A number was skipped, and only the newest counts.
        for release in ["25.12.7", "25.12.8"] {
            mirror.publish_standard(release, "x86/64");
        }
        assert_eq!(drift(), (Exit::Failed, "25.12.8 is released, and feeds/matrix.yaml ends at 25.12.5".to_owned()));
    }
}
