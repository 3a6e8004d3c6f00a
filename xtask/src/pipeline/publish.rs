//! Puts results where the user asked for them, and says how a router uses them.

use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};
use formats::usign::SecretKey;
use model::{Failure, Result, Target};

use crate::Ctx;
use crate::files::write_aside;
use crate::stage::Lock;

/// Name of the file that tells which stage a published folder is a copy of.
const ORIGIN: &str = ".stage";

/// Copies a stage's result to `OUT/TARGET/NAME` and lists it, one path a line.
///
/// A copy, so that nobody changes the cache by accident; none when it is there already.
pub(super) fn copy(ctx: &Ctx, target: &Target, name: &str, stage: &Utf8Path) -> Result<String> {
    let place = ctx.out.join(target.slug()).join(name);
    if !is_copy_of(&place, stage) {
        let parent = ctx.out.join(target.slug());
        std::fs::create_dir_all(&parent).map_err(|error| Failure::io("publish the results", &place, &error))?;
        // Another run may publish to the same place; the lock's file goes away with us.
        let file = parent.join(format!(".{name}.lock"));
        let _lock = Lock::take(ctx, name, &file)?;
        let replaced = if is_copy_of(&place, stage) { Ok(()) } else { replace(&parent, &place, stage) };
        let _locks_nothing = std::fs::remove_file(&file);
        replaced?;
    }
    let here = std::env::current_dir().unwrap_or_default();
    let shown = place.strip_prefix(here.to_string_lossy().as_ref()).unwrap_or(&place);
    Ok(entries(stage)?.iter().map(|file| shown.join(file).into_string()).collect::<Vec<_>>().join("\n"))
}

/// Whether what is published is this stage.
fn is_copy_of(place: &Utf8Path, stage: &Utf8Path) -> bool {
    std::fs::read_to_string(place.join(ORIGIN)).is_ok_and(|known| Some(known.as_str()) == stage.file_name())
}

/// Copies aside, then moves the old away and the new into its place.
fn replace(parent: &Utf8Path, place: &Utf8Path, stage: &Utf8Path) -> Result<()> {
    let io = |error: std::io::Error| Failure::io("publish the results", place, &error);
    let aside = tempfile::tempdir_in(parent).map_err(io)?;
    let new = Utf8PathBuf::from_path_buf(aside.path().join("new")).unwrap_or_else(|_| parent.join("new"));
    std::fs::create_dir(&new).map_err(io)?;
    for file in entries(stage)? {
        std::fs::copy(stage.join(&file), new.join(&file)).map_err(io)?;
    }
    std::fs::write(new.join(ORIGIN), stage.file_name().unwrap_or_default()).map_err(io)?;
    if place.exists() {
        std::fs::rename(place, aside.path().join("old")).map_err(io)?;
    }
    std::fs::rename(&new, place).map_err(io)
}

/// Writes the public key beside the feed, under the name that routers look it up by.
pub(super) fn write_key(ctx: &Ctx, target: &Target, key: &SecretKey) -> Result<()> {
    let text = key.public().to_text(&format!("public key {}", key.fingerprint()));
    write_aside(&ctx.out.join(target.slug()).join("keys").join(key.fingerprint().to_string()), text.as_bytes())
}

/// What an OpenWrt 24.10 router needs to install from the feed.
pub(super) fn router_configuration(name: &str, key: &SecretKey, address: SocketAddr) -> [String; 3] {
    [
        format!("listening on http://{address}/, until interrupted"),
        format!("on the router, in /etc/opkg/customfeeds.conf: src/gz {name} http://{address}"),
        format!("and the public key as /etc/opkg/keys/{}", key.fingerprint()),
    ]
}

/// Names of the files of a stage's result, sorted.
fn entries(folder: &Utf8Path) -> Result<Vec<String>> {
    let io = |error: std::io::Error| Failure::io("list the results", folder, &error);
    let mut names = Vec::new();
    for entry in folder.read_dir_utf8().map_err(io)? {
        names.push(entry.map_err(io)?.file_name().to_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::Events;

    #[test]
    fn results_are_replaced_as_a_whole_and_only_when_they_differ() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let ctx = ctx(root, Events::discard());
        let target: Target = "x86/64".parse().unwrap();
        let place = root.join("out/x86-64/packages");
        for (key, file) in [("aaaa", "one.ipk"), ("bbbb", "two.ipk")] {
            let stage = root.join(key);
            std::fs::create_dir(&stage).unwrap();
            std::fs::write(stage.join(file), key).unwrap();
            let shown = copy(&ctx, &target, "packages", &stage).unwrap();
            assert_eq!(shown, place.join(file).as_str());
            assert_eq!(entries(&place).unwrap(), [ORIGIN, file]);
            std::fs::write(place.join(file), "changed by hand").unwrap();
            copy(&ctx, &target, "packages", &stage).unwrap();
            assert_eq!(std::fs::read_to_string(place.join(file)).unwrap(), "changed by hand", "copied twice");
            assert_eq!(std::fs::read_to_string(stage.join(file)).unwrap(), key, "the cache was changed");
        }
        assert_eq!(entries(&root.join("out/x86-64")).unwrap(), ["packages"]);
    }

    #[test]
    fn runs_that_publish_to_one_place_do_not_stand_in_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let ctx = ctx(root, Events::discard());
        let target: Target = "x86/64".parse().unwrap();
        let stages = ["aaaa", "bbbb"].map(|key| root.join(key));
        for stage in &stages {
            std::fs::create_dir(stage).unwrap();
            std::fs::write(stage.join("one.ipk"), stage.as_str()).unwrap();
        }
        let publish = |stage: &Utf8PathBuf| drop(copy(&ctx, &target, "packages", stage).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| stages.iter().cycle().take(60).for_each(publish));
            }
        });
        let place = root.join("out/x86-64");
        assert_eq!(
            (entries(&place).unwrap(), entries(&place.join("packages")).unwrap().len()),
            (vec!["packages".into()], 2)
        );
    }
}
