//! Copies results to where the user wants them, and says how a router uses them.

use std::net::SocketAddr;

use camino::Utf8Path;
use feeds::Kernel;
use feeds::keys::Keys;
use formats::Format;
use host::aside::{self, AsideFolder};
use host::files;
use model::{Failure, Result, Target};

use crate::Ctx;
use crate::stage::lock;

/// The file in a published folder that names the stage it was copied from.
const ORIGIN: &str = ".stage";

/// Copies a stage's result to `OUT/TARGET/NAME` and lists its files, one path per line.
///
/// It is a copy, so that nobody changes the cache by accident; nothing is copied if it is already there.
pub(super) fn copy(ctx: &Ctx, target: &Target, name: &str, stage: &Utf8Path) -> Result<String> {
    let place = ctx.out.join(target.slug()).join(name);
    if !is_copy_of(&place, stage) {
        let parent = ctx.out.join(target.slug());
        std::fs::create_dir_all(&parent).map_err(|error| Failure::io("publish the results", &place, &error))?;
        // Another run may publish to the same folder; the lock's file is removed afterwards.
        let file = parent.join(format!(".{name}.lock"));
        let _lock = lock(ctx, name, &file)?;
        let replaced = if is_copy_of(&place, stage) { Ok(()) } else { replace(&place, stage) };
        let _locks_nothing = std::fs::remove_file(&file);
        replaced?;
    }
    let here = std::env::current_dir().unwrap_or_default();
    let shown = place.strip_prefix(here.to_string_lossy().as_ref()).unwrap_or(&place);
    Ok(entries(stage)?.iter().map(|file| shown.join(file).into_string()).collect::<Vec<_>>().join("\n"))
}

/// Whether the published folder is a copy of this stage.
fn is_copy_of(place: &Utf8Path, stage: &Utf8Path) -> bool {
    std::fs::read_to_string(place.join(ORIGIN)).is_ok_and(|known| Some(known.as_str()) == stage.file_name())
}

/// Copies aside, then replaces the old folder.
fn replace(place: &Utf8Path, stage: &Utf8Path) -> Result<()> {
    let io = |error: std::io::Error| Failure::io("publish the results", place, &error);
    let new = AsideFolder::begin(place)?;
    for file in entries(stage)? {
        let target = new.place.join(&file);
        std::fs::create_dir_all(target.parent().unwrap_or(&new.place)).map_err(io)?;
        std::fs::copy(stage.join(&file), target).map_err(io)?;
    }
    std::fs::write(new.place.join(ORIGIN), stage.file_name().unwrap_or_default()).map_err(io)?;
    new.keep()
}

/// Writes the public keys beside the feed, including those that sign only after the next rotation: a folder for each
/// package manager, with the names that routers use.
pub(super) fn write_keys(ctx: &Ctx, target: &Target, keys: &Keys) -> Result<()> {
    let folder = ctx.out.join(target.slug()).join("keys");
    let public = keys.public_files()?;
    for key in &public {
        aside::write(&folder.join(key.format.manager()).join(&key.name), key.text.as_bytes())?;
    }
    // Keys that no longer sign are removed. Hidden files are another run's temporary ones.
    for file in entries(&folder)? {
        let place = folder.join(file);
        let known = public.iter().any(|key| place == folder.join(key.format.manager()).join(&key.name));
        if known || place.file_name().is_some_and(|name| name.starts_with('.')) {
            continue;
        }
        files::remove(&place)?;
    }
    Ok(())
}

/// The lines with which the package managers of a router with this kernel find the feed at `url`: format, file, line.
pub(super) fn sources(name: &str, url: &str, kernel: &Kernel) -> [(Format, &'static str, String); 2] {
    let folder = |format| feeds::folder(url.into(), format, kernel);
    [
        (Format::Ipk, "/etc/opkg/customfeeds.conf", format!("src/gz {name} {}", folder(Format::Ipk))),
        (Format::Apk, "/etc/apk/repositories.d/customfeeds.list", format!("{}/packages.adb", folder(Format::Apk))),
    ]
}

/// What a router with this kernel needs to install from the feed, for either package manager.
pub(super) fn router_configuration(
    name: &str,
    keys: &Keys,
    address: SocketAddr,
    kernel: &Kernel,
) -> Result<Vec<String>> {
    let mut lines = vec![format!("listening on http://{address}/, until interrupted")];
    let public = keys.public_files()?;
    for (format, file, line) in sources(name, &format!("http://{address}"), kernel) {
        lines.push(format!("on a router with {} and kernel {kernel}, in {file}: {line}", format.manager()));
        let paths = public.iter().filter(|key| key.format == format).map(|key| key.path());
        lines.push(format!("and the public key as {}", paths.collect::<Vec<_>>().join(", ")));
    }
    Ok(lines)
}

/// Relative paths of the files in a stage's result, sorted.
fn entries(folder: &Utf8Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let io = |error: std::io::Error| Failure::io("list the results", &next, &error);
        for entry in next.read_dir_utf8().map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_type().map_err(io)?.is_dir() {
                folders.push(entry.into_path());
            } else if let Ok(path) = entry.path().strip_prefix(folder) {
                paths.push(path.to_string());
            }
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

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
        for (key, file) in [("aaaa", "one.ipk"), ("bbbb", "apk/two.apk")] {
            let stage = root.join(key);
            std::fs::create_dir_all(stage.join("apk")).unwrap();
            std::fs::write(stage.join(file), key).unwrap();
            let shown = copy(&ctx, &target, "packages", &stage).unwrap();
            assert_eq!(shown, place.join(file).as_str());
            assert_eq!(entries(&place).unwrap(), [ORIGIN, file]);
            std::fs::write(place.join(file), "changed by hand").unwrap();
            copy(&ctx, &target, "packages", &stage).unwrap();
            assert_eq!(std::fs::read_to_string(place.join(file)).unwrap(), "changed by hand", "copied twice");
            assert_eq!(std::fs::read_to_string(stage.join(file)).unwrap(), key, "the cache was changed");
        }
        assert_eq!(entries(&root.join("out/x86-64")).unwrap(), ["packages/.stage", "packages/apk/two.apk"]);
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
        // Leftovers of a run, such as a lock or an unfinished copy, would be listed too.
        assert_eq!(entries(&root.join("out/x86-64")).unwrap(), ["packages/.stage", "packages/one.ipk"]);
    }

    #[test]
    fn routers_are_told_where_feed_and_keys_go() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::discard());
        let keys = Keys::generate().unwrap();
        for keys in [&Keys::generate().unwrap(), &keys] {
            write_keys(&ctx, &"x86/64".parse().unwrap(), keys).unwrap();
            assert_eq!(entries(&ctx.out.join("x86-64/keys")).unwrap().len(), 2, "replaced keys go away");
        }
        let kernel = Kernel::of_package("6.12.94~0123-r1");
        let lines = router_configuration("name", &keys, "192.0.2.1:80".parse().unwrap(), &kernel).unwrap().join("\n");
        for text in [
            "src/gz name http://192.0.2.1:80/opkg/kmods/6.12.94-1-0123",
            "http://192.0.2.1:80/apk/kmods/6.12.94-1-0123/packages.adb",
        ] {
            assert!(lines.contains(text), "{lines}");
        }
        for key in keys.public_files().unwrap() {
            assert!(lines.contains(&key.path()), "{lines}");
            let place = ctx.out.join("x86-64/keys").join(key.format.manager()).join(&key.name);
            assert_eq!(std::fs::read_to_string(place).unwrap(), key.text);
        }
    }
}
