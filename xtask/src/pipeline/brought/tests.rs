//! Packages from elsewhere are taken once, or refused with the reason.

use formats::depend::{Dependency, Provide};
use formats::{Content, Entry};
use model::Events;

use super::*;
use crate::ctx::tests::ctx;

const KERNEL: &str = "6.12.1~aa-r1";

struct Place {
    folder: tempfile::TempDir,
    ctx: Ctx,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let mut ctx = ctx(root, Events::discard());
        ctx.packages = vec![root.join("theirs")];
        Place { folder, ctx }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    /// Writes a package in both formats, each to its own folder.
    fn put(&self, folder: &str, package: &Package) {
        Format::ALL.into_iter().for_each(|format| self.put_one(folder, package, format));
    }

    fn put_one(&self, folder: &str, package: &Package, format: Format) {
        let folder = self.path("theirs").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        package.write(format, File::create(folder.join(package.file_name(format))).unwrap()).unwrap();
    }

    fn open(&self) -> Result<Vec<Brought>> {
        open(&self.ctx)
    }

    /// Checks all of it for a router that has `libc`.
    fn check(&self) -> Result<()> {
        let image = ["libc".to_owned()].into();
        check(&self.ctx, &self.open()?, &[], KERNEL, Some(&image))
    }
}

fn package(name: &str) -> Package {
    Package {
        name: name.into(),
        version: "1.0-r1".into(),
        architecture: "all".into(),
        description: name.into(),
        depends: vec![Dependency::on("libc")],
        files: vec![Entry::file(format!("usr/share/{name}"), 0o644, Content::from(name))],
        ..Package::default()
    }
}

#[track_caller]
fn refused<T>(result: Result<T>, id: &str, exit: Exit, words: &[&str]) {
    let failure = result.err().unwrap();
    assert_eq!((failure.id(), failure.exit()), (id, exit), "{failure}");
    for word in words {
        assert!(failure.to_string().contains(word), "no `{word}` in {failure}");
    }
}

#[test]
fn a_package_that_lies_in_many_folders_is_taken_once_and_not_two_of_one_name() {
    let place = Place::new();
    for arch in ["x86_64", "mips_24kc", "aarch64_generic"] {
        place.put(arch, &package("notes"));
        place.put(arch, &Package { name: "libc".into(), ..package("c") });
    }
    let opened = place.open().unwrap();
    let names: Vec<_> = opened.iter().map(|opened| (opened.package.format, opened.package.name.as_str())).collect();
    assert_eq!(names, [(Format::Ipk, "notes"), (Format::Apk, "notes")]);
    assert_eq!(opened[0].file_name(), "notes_1.0-r1_all.ipk");
    place.put("newer", &Package { version: "1.0-r2".into(), ..package("notes") });
    refused(place.open(), "OWN002", Exit::Usage, &["two packages are called notes", "theirs/newer"]);
    assert_eq!(open(&Place::new().ctx).unwrap_err().id(), "LNT001", "an empty folder is a slip");
    std::fs::write(place.path("theirs/broken.apk"), "no package").unwrap();
    refused(place.open(), "OWN001", Exit::Failed, &["theirs/broken.apk", "ADB001"]);
}

#[test]
fn architecture_and_format_must_be_those_of_the_router() {
    let place = Place::new();
    place.put_one("", &package("notes"), Format::Ipk);
    let arch = Arch("x86_64".into());
    let opened = place.open().unwrap();
    assert_eq!(fitting(&opened, &Format::ALL, &arch).unwrap().len(), 1);
    refused(
        fitting(&opened, &[Format::Apk], &arch),
        "OWN004",
        Exit::Usage,
        &["packages are ipk", "the router takes apk"],
    );
    assert_eq!(fitting(&[], &[Format::Apk], &arch).unwrap().len(), 0, "nothing was brought");
    place.put_one("", &Package { architecture: "mips_24kc".into(), ..package("tool") }, Format::Apk);
    let opened = place.open().unwrap();
    assert_eq!(fitting(&opened, &[Format::Ipk], &arch).unwrap().len(), 1, "the other format does not matter");
    refused(fitting(&opened, &Format::ALL, &arch), "OWN003", Exit::Usage, &["`mips_24kc`", "`x86_64`", "--target"]);
}

#[test]
fn kernel_and_dependencies_must_be_there() {
    let bound = |kernel: &str| Package { depends: vec![Dependency::exactly("kernel", kernel)], ..package("kmod-x") };
    for format in Format::ALL {
        let place = Place::new();
        place.put_one("", &bound(KERNEL), format);
        place.check().unwrap();
        place.put_one("", &bound("6.12.1~bb-r1"), format);
        refused(place.check(), "OWN005", Exit::Failed, &["6.12.1~bb-r1", "the router's is 6.12.1~aa-r1"]);

        let place = Place::new();
        let needs = |name: &str| Package { depends: vec![Dependency::on(name)], ..package("tool") };
        place.put_one("", &needs("library"), format);
        refused(place.check(), "OWN006", Exit::Failed, &["tool needs library, which does not exist", "--packages"]);
        let provider = Package { provides: vec![Provide::name("library")], ..package("library-new") };
        place.put_one("", &provider, format);
        place.check().unwrap();
        let opened = place.open().unwrap();
        let known = check(&place.ctx, &opened, &opened[..1], KERNEL, Some(&["libc".to_owned()].into()));
        refused(known, "OWN002", Exit::Usage, &["two packages are called"]);
    }
}

#[test]
fn what_only_the_image_can_have_is_told_of() {
    let mut place = Place::new();
    let (sender, events) = std::sync::mpsc::channel();
    place.ctx.events = Events::to(sender);
    place.put("", &Package { depends: vec![Dependency::on("libc"), Dependency::on("jsonfilter")], ..package("tool") });
    check(&place.ctx, &place.open().unwrap(), &[], KERNEL, None).unwrap();
    let told: Vec<_> = events.try_iter().collect();
    let [Event::Finding(finding)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((finding.id, finding.severity), ("OWN007", Severity::Note));
    assert!(finding.what.ends_with("package provides: jsonfilter"), "{}", finding.what);
}
