//! Copies of a feed that scenarios serve besides the good one: spoiled ones that a client must refuse, and newer ones
//! to upgrade to.
//!
//! A copy is spoiled in the same way for both package managers.

use camino::{Utf8Path, Utf8PathBuf};
use formats::adb::Compression;
use formats::depend::{Dependency, Term};
use formats::{Content, Format, Kind, Limits, Package, Scripts, ipk};
use model::{Arch, Exit, Failure, Problem, Result};

use crate::entry::{place, write};
use crate::keys::Keys;
use crate::layout::{Place, folder, places};
use crate::merge::fill;
use crate::{apk, explain, opkg};

/// How the copy differs from the good feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Signed by keys that no router trusts.
    WrongKey,
    /// One byte of this package's files was changed after the index was signed.
    FlippedPackage(&'static str),
    /// One byte of the index was changed after it was signed.
    FlippedIndex,
    /// Properly signed, but every kmod depends on a kernel with another configuration hash.
    OtherKernel,
    /// Properly signed, and every package has a newer release: something to upgrade to.
    Newer,
    /// Both of these: what a router sees at an address that moved on to the next kernel.
    NewKernel,
}

/// Fills the empty directory `out` with a spoiled copy of `feed`, signed by `keys` unless the signature is what is
/// spoiled.
pub fn spoil(feed: &Utf8Path, spoil: Spoil, architecture: &Arch, keys: &Keys, out: &Utf8Path) -> Result<()> {
    match spoil {
        Spoil::OtherKernel => return again(feed, architecture, keys, out, Change { kernel: true, release: false }),
        Spoil::Newer => return again(feed, architecture, keys, out, Change { kernel: false, release: true }),
        Spoil::NewKernel => return again(feed, architecture, keys, out, Change { kernel: true, release: true }),
        _ => {}
    }
    let strangers = Keys::generate()?;
    for Place { format, kernel, folder: good } in places(feed)? {
        let copy = folder(out, format, &kernel);
        std::fs::create_dir_all(&copy).map_err(|error| Failure::io("make a folder of the copy", &copy, &error))?;
        for file in files(&good)? {
            place(&file, &copy.join(file.file_name().unwrap_or_default()))?;
        }
        match (spoil, format) {
            (Spoil::WrongKey, Format::Ipk) => {
                // The copy's files are hard links to the good feed's, so a file is removed before it is changed.
                remove(&copy.join(opkg::SIGNATURE))?;
                opkg::sign(&copy, &strangers.opkg.current)?;
            }
            (Spoil::WrongKey, Format::Apk) => {
                let (mut adb, _) = apk::open(&good.join(apk::INDEX))?;
                adb.signatures.clear();
                remove(&copy.join(apk::INDEX))?;
                apk::publish(adb, &[&strangers.apk.current], &copy)?;
            }
            (Spoil::FlippedIndex, Format::Ipk) => flip_opkg_index(&good, &copy)?,
            (Spoil::FlippedIndex, Format::Apk) => flip_apk_index(&good, &copy)?,
            (Spoil::FlippedPackage(name), _) => flip_package(name, format, &good, &copy)?,
            (Spoil::OtherKernel | Spoil::Newer | Spoil::NewKernel, _) => {}
        }
    }
    Ok(())
}

/// Changes the version of the first package, which only the signature can detect.
fn flip_opkg_index(good: &Utf8Path, copy: &Utf8Path) -> Result<()> {
    let path = good.join(opkg::INDEX);
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read the index", &path, &error))?;
    let changed = text.replacen("-r1\n", "-r2\n", 1);
    if changed == text {
        return Err(nothing_to_spoil(&path, "no version ends with -r1"));
    }
    remove(&copy.join(opkg::INDEX))?;
    remove(&copy.join("Packages.gz"))?;
    opkg::publish(&changed, copy)
}

/// Changes the release of the first package; the signatures stay in the index.
fn flip_apk_index(good: &Utf8Path, copy: &Utf8Path) -> Result<()> {
    let path = good.join(apk::INDEX);
    let (mut adb, _) = apk::open(&path)?;
    let at = adb.payload.windows(3).position(|bytes| bytes == b"-r1");
    let digit = at.and_then(|at| adb.payload.get_mut(at + 2));
    *digit.ok_or_else(|| nothing_to_spoil(&path, "no version has the release -r1"))? = b'2';
    remove(&copy.join(apk::INDEX))?;
    apk::store(&adb, copy)
}

fn flip_package(name: &str, format: Format, good: &Utf8Path, copy: &Utf8Path) -> Result<()> {
    let behind_name = match format {
        Format::Ipk => '_',
        Format::Apk => '-',
    };
    let is_wanted = |file: &Utf8PathBuf| {
        let file = file.file_name().unwrap_or_default();
        let rest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix(behind_name));
        Format::of_file_name(file) == Some(format)
            && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let path = files(good)?.into_iter().find(is_wanted).ok_or_else(|| nothing_to_spoil(good, name))?;
    let mut bytes = std::fs::read(&path).map_err(|error| Failure::io("read the package", &path, &error))?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x01;
    }
    let target = copy.join(path.file_name().unwrap_or_default());
    remove(&target)?;
    write(&target, &bytes)
}

/// How rebuilt packages differ from the originals.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Change {
    /// They are for a kernel with another configuration hash.
    kernel: bool,
    /// They have the next release number.
    release: bool,
}

/// Rebuilds all packages with one change.
fn again(feed: &Utf8Path, architecture: &Arch, keys: &Keys, out: &Utf8Path, change: Change) -> Result<()> {
    let aside = tempfile::tempdir().map_err(|error| Failure::io("make a temporary folder", "/tmp", &error))?;
    let aside = Utf8Path::from_path(aside.path()).unwrap_or(Utf8Path::new("/tmp"));
    for Place { format, kernel, folder: good } in places(feed)? {
        let mut changed = 0;
        let mut copies = Vec::new();
        for path in files(&good)? {
            let name = path.file_name().unwrap_or_default();
            if Format::of_file_name(name) != Some(format) {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|error| Failure::io("read the package", &path, &error))?;
            let copied = match format {
                Format::Ipk => ipk_again(&bytes, change, &mut changed),
                Format::Apk => apk_again(&bytes, change, &mut changed),
            };
            let target = aside.join(if change.release { name_of_next(name, format) } else { name.to_owned() });
            write(&target, &copied.map_err(|error| explain(Exit::Failed, &path, &error))?)?;
            copies.push(target);
        }
        if changed == 0 {
            return Err(nothing_to_spoil(&good, "no package depends on a kernel"));
        }
        // The feed's address names the original kernel, where the router looks.
        let copy = folder(out, format, &kernel);
        fill(format, &copies, architecture, None, keys, &copy)?;
    }
    Ok(())
}

fn ipk_again(bytes: &[u8], change: Change, changed: &mut usize) -> std::result::Result<Vec<u8>, formats::Error> {
    let read = ipk::read(bytes, &Limits::default())?;
    let metadata = &read.metadata;
    let control = &metadata.control;
    let text = |field: &str| control.stanza.get(field).unwrap_or_default().to_owned();
    let script = |name: &str| metadata.file(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut depends: Vec<Dependency> = control.depends.clone();
    let terms = depends.iter_mut().flat_map(|dependency| &mut dependency.alternatives);
    for Term { name, constraint } in terms.filter(|_| change.kernel) {
        if let Some(constraint) = constraint.as_mut().filter(|_| name == Package::KERNEL) {
            constraint.version = of_other_kernel(&constraint.version);
            *changed += 1;
        }
    }
    let mut version = control.version.clone();
    if change.release {
        version = next_release(&version);
        *changed += 1;
    }
    // The writer adds this name itself.
    let any = format!("{}-any", control.package);
    ipk::to_vec(&Package {
        name: control.package.clone(),
        version,
        architecture: control.architecture.clone(),
        depends,
        conflicts: control.conflicts.clone(),
        provides: control.provides.iter().filter(|provide| provide.name != any).cloned().collect(),
        alternatives: control.alternatives.clone(),
        require_user: text("Require-User"),
        conffiles: metadata.conffiles.clone(),
        scripts: Scripts {
            preinst: script("preinst"),
            postinst: script("postinst-pkg"),
            prerm: script("prerm-pkg"),
            postrm: script("postrm"),
        },
        description: text("Description"),
        license: text("License"),
        maintainer: text("Maintainer"),
        section: text("Section"),
        files: read.entries,
        ..Package::default()
    })
}

fn apk_again(bytes: &[u8], change: Change, changed: &mut usize) -> std::result::Result<Vec<u8>, formats::Error> {
    use formats::apk::{Plan, visit, write};

    let mut contents = Vec::new();
    let read = visit(bytes, &Limits::default(), |_| Ok(()), &mut |member, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        contents.push((member.entry.path.clone(), Content::from(bytes)));
        Ok(())
    })?;
    let mut plan = Plan {
        info: read.info,
        files: read.members.iter().map(|member| member.entry).filter(|entry| !entry.path.is_empty()).collect(),
        scripts: read.scripts,
        ..Plan::default()
    };
    for (path, content) in contents {
        if let Some(entry) = plan.files.iter_mut().find(|entry| entry.path == path) {
            entry.kind = Kind::File(content);
        }
    }
    if change.kernel {
        for dependency in plan.info.depends.iter_mut().filter(|dependency| dependency.name == Package::KERNEL) {
            dependency.version = dependency.version.as_deref().map(of_other_kernel);
            *changed += 1;
        }
    }
    if change.release {
        let old = std::mem::take(&mut plan.info.version);
        let new = next_release(&old);
        // Names without a version of their own are provided in the package's version.
        let provided = plan.info.provides.iter_mut().filter(|name| name.version.as_deref() == Some(old.as_str()));
        provided.for_each(|name| name.version = Some(new.clone()));
        plan.info.version = new;
        *changed += 1;
    }
    let mut copy = Vec::new();
    write(&plan, &[], Compression::Deflate, &mut copy)?;
    Ok(copy)
}

/// `1.0-r1` becomes `1.0-r2`, and `1.0` becomes `1.0-r1`.
fn next_release(version: &str) -> String {
    let split = version.rsplit_once("-r").and_then(|(before, release)| Some((before, release.parse::<u32>().ok()?)));
    match split {
        Some((before, release)) => format!("{before}-r{}", release.saturating_add(1)),
        None => format!("{version}-r1"),
    }
}

/// File name of a package's next release.
fn name_of_next(file: &str, format: Format) -> String {
    let stem = file.strip_suffix(&format!(".{format}")).unwrap_or(file);
    let next = match (format, stem.split('_').collect::<Vec<_>>().as_slice()) {
        (Format::Ipk, [name, version, arch @ ..]) => format!("{name}_{}_{}", next_release(version), arch.join("_")),
        _ => next_release(stem),
    };
    format!("{next}.{format}")
}

/// `6.12.1~abc-r1` becomes `6.12.1~bcd-r1`: each hex digit is increased by one.
pub(crate) fn of_other_kernel(version: &str) -> String {
    let Some((before, rest)) = version.split_once('~') else { return version.to_owned() };
    let (hash, release) = rest.split_once('-').unwrap_or((rest, ""));
    let next = |digit: char| digit.to_digit(16).and_then(|value| char::from_digit((value + 1) % 16, 16));
    let hash: String = hash.chars().map(|digit| next(digit).unwrap_or(digit)).collect();
    format!("{before}~{hash}-{release}")
}

/// The files in a folder, sorted.
fn files(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let io = |error: &std::io::Error| Failure::io("list the feed", folder, error);
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().map_err(|error| io(&error))? {
        files.push(entry.map_err(|error| io(&error))?.into_path());
    }
    files.sort();
    Ok(files)
}

fn remove(path: &Utf8Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|error| Failure::io("replace a file of the copy", path, &error))
}

fn nothing_to_spoil(place: &Utf8Path, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Bug,
        id: "FEED004",
        what: "the feed has nothing to spoil for a negative scenario",
        why,
        fix: "the scenario would prove nothing: adapt it to the packages of the feed",
    })
    .at(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, kernel, keys, snapshot};
    use formats::apk::index::Index;
    use formats::md5::Md5;
    use formats::packages;
    use formats::usign::Signature;
    use model::Digest;

    fn spoiled(kind: Spoil) -> (tempfile::TempDir, Utf8PathBuf, Result<()>) {
        let keys = keys(7);
        let (guard, good) = feed(&keys);
        let before = snapshot(&good);
        let out = good.with_file_name("spoiled");
        std::fs::create_dir(&out).unwrap();
        let result = spoil(&good, kind, &Arch("x86_64".into()), &keys, &out);
        assert_eq!(snapshot(&good), before, "the good feed must stay as it is");
        (guard, out, result)
    }

    /// Whether the signature is valid, and whether all files are those in the index.
    fn opkg_view(feed: &Utf8Path) -> (bool, bool) {
        let folder = folder(feed, Format::Ipk, &kernel());
        let text = std::fs::read_to_string(folder.join(opkg::SIGNATURE)).unwrap();
        let index = std::fs::read(folder.join(opkg::INDEX)).unwrap();
        let signed = keys(7).opkg.current.public().verify(&index, &Signature::parse(&text).unwrap()).is_ok();
        let all_match = packages::read(&index, &Limits::default()).unwrap().iter().all(|listed| {
            let bytes = std::fs::read(folder.join(&listed.filename)).unwrap();
            listed.check_file(bytes.len() as u64, Digest::of(&bytes), || Ok(Md5::of(&bytes))).is_ok()
        });
        (signed, all_match)
    }

    fn apk_index(feed: &Utf8Path) -> (bool, Index) {
        let (adb, _) = apk::open(&folder(feed, Format::Apk, &kernel()).join(apk::INDEX)).unwrap();
        let signed = adb.verify(&[keys(7).apk.current.public()]).is_ok();
        (signed, Index::from_adb(&adb, &Limits::default()).unwrap())
    }

    fn apk_view(feed: &Utf8Path) -> (bool, bool) {
        let (signed, index) = apk_index(feed);
        let folder = folder(feed, Format::Apk, &kernel());
        // By digest, not by name, because a changed index may name other files.
        let digests: Vec<Digest> = files(&folder)
            .unwrap()
            .iter()
            .filter(|path| path.extension() == Some("apk"))
            .filter_map(|path| {
                let bytes = std::fs::read(path).unwrap();
                let mut digest = None;
                let read = formats::apk::inspect(&bytes[..], &Limits::default(), |adb| {
                    digest = Some(adb.digest());
                    Ok(())
                });
                read.ok().and(digest)
            })
            .collect();
        (signed, index.packages.iter().all(|listed| digests.contains(&listed.sha256)))
    }

    #[test]
    fn each_copy_is_wrong_in_its_own_way_only() {
        for (kind, signed, files_match) in [
            (Spoil::WrongKey, false, true),
            (Spoil::FlippedIndex, false, true),
            (Spoil::FlippedPackage("kmod-nft-offload"), true, false),
            (Spoil::OtherKernel, true, true),
        ] {
            let (_guard, out, result) = spoiled(kind);
            result.unwrap();
            assert_eq!(opkg_view(&out), (signed, files_match), "{kind:?}");
            assert_eq!(apk_view(&out), (signed, files_match), "{kind:?}");
        }
    }

    #[test]
    fn a_newer_feed_has_everything_in_the_next_release() {
        assert_eq!(["1.0-r1", "1.0-r09", "1.0", "1-rc"].map(next_release), ["1.0-r2", "1.0-r10", "1.0-r1", "1-rc-r1"]);
        assert_eq!(name_of_next("a_1-r1_x86_64.ipk", Format::Ipk), "a_1-r2_x86_64.ipk");
        let (_guard, out, result) = spoiled(Spoil::Newer);
        result.unwrap();
        assert_eq!((opkg_view(&out), apk_view(&out)), ((true, true), (true, true)));
        let files = places(&out).unwrap().into_iter().flat_map(|place| files(&place.folder).unwrap());
        let names: Vec<String> = files.map(|path| path.file_name().unwrap().to_owned()).collect();
        for name in ["notes_6.12.1-r2_all.ipk", "notes-6.12.1-r2.apk"] {
            assert!(names.iter().any(|found| found == name), "{names:?}");
        }
    }

    /// What a feed whose address names no kernel would serve to routers with the old kernel.
    #[test]
    fn a_feed_that_went_on_is_newer_and_for_another_kernel() {
        let (_guard, out, result) = spoiled(Spoil::NewKernel);
        result.unwrap();
        let index = std::fs::read_to_string(folder(&out, Format::Ipk, &kernel()).join(opkg::INDEX)).unwrap();
        assert!(index.contains("-r2\n") && !index.contains("-r1\n"), "{index}");
        let (_guard, other, result) = spoiled(Spoil::OtherKernel);
        result.unwrap();
        let other = std::fs::read_to_string(folder(&other, Format::Ipk, &kernel()).join(opkg::INDEX)).unwrap();
        let depends = |index: &str| index.lines().find(|line| line.contains("kernel (=")).map(str::to_owned);
        assert!(depends(&index).is_some() && depends(&index) == depends(&other), "{index}");
    }

    #[test]
    fn another_kernel_differs_in_the_hash_only() {
        let (_guard, out, result) = spoiled(Spoil::OtherKernel);
        result.unwrap();
        let index = std::fs::read_to_string(folder(&out, Format::Ipk, &kernel()).join(opkg::INDEX)).unwrap();
        assert!(index.contains("kernel (= 6.12.1~bb-r1)") || index.contains("kernel (=6.12.1~bb-r1)"), "{index}");
        let (_, index) = apk_index(&out);
        let depends: Vec<String> = index.packages[0].info.depends.iter().map(ToString::to_string).collect();
        assert_eq!(depends, ["kernel=6.12.1~bb-r1"]);
    }

    #[test]
    fn a_feed_without_the_package_can_not_be_spoiled() {
        for kind in [Spoil::FlippedPackage("kmod-absent"), Spoil::FlippedPackage("kmod-nft")] {
            let (_guard, _out, result) = spoiled(kind);
            assert_eq!(result.unwrap_err().id(), "FEED004", "{kind:?}");
        }
    }
}
