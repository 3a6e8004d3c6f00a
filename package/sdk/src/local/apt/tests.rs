//! apt with a mirror in a folder, which is spoiled in every way that must be noticed.

use std::net::TcpListener;

use super::*;

/// The package files that the committed index lists, see `tests/mirror/README.md`.
const POOL: &[(&str, &str)] = &[
    ("linux-image-6.12.1+deb13-amd64_6.12.1-1_amd64.deb", "stands for a kernel image\n"),
    ("linux-modules-6.12.1+deb13-amd64_6.12.1-1_amd64.deb", "stands for modules\n"),
    ("linux-image-amd64_6.12.1-1_amd64.deb", "only points at others\n"),
    ("busybox-static_1.37.0-6_amd64.deb", "has an epoch\n"),
];

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mirror");

/// A mirror directory and an empty output directory.
struct Place {
    directory: tempfile::TempDir,
    keyring: String,
    freshness: Freshness,
}

impl Place {
    /// `None`, with a printed reason, on a host without apt.
    fn new() -> Option<Self> {
        if !Utf8Path::new("/usr/bin/apt-get").is_file() {
            println!("skipped: this host has no apt");
            return None;
        }
        let place = Place {
            directory: tempfile::tempdir().unwrap(),
            keyring: format!("{FIXTURE}/keyring.gpg"),
            freshness: Freshness::Required,
        };
        let index = std::fs::read(format!("{FIXTURE}/dists/trixie/main/binary-amd64/Packages")).unwrap();
        for suite in ["trixie", "past"] {
            let release = format!("dists/{suite}/InRelease");
            place.put(&release, &std::fs::read(format!("{FIXTURE}/{release}")).unwrap());
            place.put(&format!("dists/{suite}/main/binary-amd64/Packages"), &index);
        }
        for (name, text) in POOL {
            place.put(&format!("pool/{name}"), text.as_bytes());
        }
        files::create_folder(&place.out()).unwrap();
        Some(place)
    }

    fn mirror(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path()).unwrap().join("mirror")
    }

    fn out(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path()).unwrap().join("out")
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let path = self.mirror().join(file);
        files::create_folder(path.parent().unwrap()).unwrap();
        files::write(&path, bytes).unwrap();
    }

    fn apt(&self, mirror: &str, suite: &str) -> Result<Apt> {
        let (mirror, freshness) = (&Mirror::named(mirror)?, self.freshness);
        let apt = Apt::new(&Source { mirror, suite, keyring: &self.keyring, freshness }, "amd64", &self.out())?;
        // A host whose mirror is an old archive has the check switched off, and we follow that.
        let config = apt.root()?.join("apt.conf");
        let usual = "Acquire::Check-Date \"true\";\nAcquire::Check-Valid-Until \"true\";\n";
        let usual = files::read_text(&config)? + usual;
        files::write(&config, usual.as_bytes())?;
        Ok(apt)
    }

    fn fetch_from(&self, mirror: &str, suite: &str, packages: &[&str]) -> Result<Vec<Deb>> {
        let cancel = Cancel::default();
        let apt = self.apt(mirror, suite)?;
        apt.update(&cancel)?;
        let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
        let wanted = apt.resolve(&packages, &cancel)?;
        apt.download(&wanted, &self.out(), &Events::discard(), &cancel)
    }

    fn fetch(&self, packages: &[&str]) -> Result<Vec<Deb>> {
        self.fetch_from(self.mirror().as_str(), "trixie", packages)
    }

    fn refused(&self, packages: &[&str]) -> (&'static str, Exit) {
        let failure = self.fetch(packages).unwrap_err();
        assert_eq!(self.out_names(), Vec::<String>::new(), "{failure}");
        (failure.id(), failure.exit())
    }

    fn out_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.out()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_kernel_stands_for_its_packages_and_nothing_else_is_left_behind() {
    let Some(place) = Place::new() else { return };
    let debs = place.fetch(&["linux-image-amd64", "busybox-static=1:1.37.0-6"]).unwrap();
    let shown: Vec<_> = debs.iter().map(|deb| (deb.name.as_str(), deb.version.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("linux-image-6.12.1+deb13-amd64", "6.12.1-1"),
            ("linux-modules-6.12.1+deb13-amd64", "6.12.1-1"),
            ("busybox-static", "1:1.37.0-6"),
        ]
    );
    assert_eq!(
        place.out_names(),
        [
            "busybox-static_1%3a1.37.0-6_amd64.deb",
            "linux-image-6.12.1+deb13-amd64_6.12.1-1_amd64.deb",
            "linux-modules-6.12.1+deb13-amd64_6.12.1-1_amd64.deb",
        ]
    );
    assert_eq!(files::read_text(&debs[0].file).unwrap(), POOL[0].1);
}

#[test]
fn what_packages_depend_on_comes_with_them_but_for_what_is_taken_for_installed() {
    let Some(place) = Place::new() else { return };
    let (apt, cancel) = (place.apt(place.mirror().as_str(), "trixie").unwrap(), Cancel::default());
    apt.update(&cancel).unwrap();
    let wanted = ["linux-image-6.12.1+deb13-amd64=6.12.1-1".to_owned()];
    let installed =
        |names: &[&str]| -> Vec<(String, String)> { names.iter().map(|name| ((*name).into(), "99".into())).collect() };
    let closure = apt.closure(&wanted, &installed(&["kmod", "initramfs-tools"]), &cancel).unwrap();
    assert_eq!(closure, ["linux-modules-6.12.1+deb13-amd64=6.12.1-1", "linux-image-6.12.1+deb13-amd64=6.12.1-1"]);
    let failure = apt.closure(&wanted, &installed(&["kmod"]), &cancel).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT009", Exit::Upstream), "initramfs-tools is not on the mirror");
    let failure = apt.closure(&["linux-headers-1=1".into()], &[], &cancel).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT009", Exit::Upstream));
}

#[test]
fn an_unsigned_mirror_is_refused() {
    let Some(place) = Place::new() else { return };
    let signed = std::fs::read_to_string(place.mirror().join("dists/trixie/InRelease")).unwrap();
    let release = signed.split_once("\n\n").unwrap().1.split_once("-----BEGIN").unwrap().0;
    std::fs::remove_file(place.mirror().join("dists/trixie/InRelease")).unwrap();
    place.put("dists/trixie/Release", release.as_bytes());
    assert_eq!(place.refused(&["busybox-static"]), ("APT005", Exit::Mismatch));
}

#[test]
fn a_mirror_signed_by_a_stranger_is_refused() {
    let Some(mut place) = Place::new() else { return };
    place.keyring = format!("{FIXTURE}/stranger.gpg");
    assert_eq!(place.refused(&["busybox-static"]), ("APT003", Exit::Mismatch));
}

#[test]
fn an_index_whose_date_has_passed_is_taken_only_where_dates_do_not_matter() {
    let Some(mut place) = Place::new() else { return };
    place.keyring = format!("{FIXTURE}/past.gpg");
    let mirror = place.mirror();
    let failure = place.fetch_from(mirror.as_str(), "past", &["busybox-static"]).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT007", Exit::Upstream));
    place.freshness = Freshness::AnyDate;
    let debs = place.fetch_from(mirror.as_str(), "past", &["busybox-static"]).unwrap();
    assert_eq!(debs[0].version, "1:1.37.0-6");
    // Its signature and digests still count.
    place.keyring = format!("{FIXTURE}/stranger.gpg");
    let failure = place.fetch_from(mirror.as_str(), "past", &["busybox-static"]).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT003", Exit::Mismatch));
}

#[test]
fn a_changed_index_is_refused() {
    let Some(place) = Place::new() else { return };
    let signed = std::fs::read_to_string(place.mirror().join("dists/trixie/InRelease")).unwrap();
    place.put("dists/trixie/InRelease", signed.replace("Label: Debian", "Label: debian").as_bytes());
    assert_eq!(place.refused(&["busybox-static"]), ("APT004", Exit::Mismatch));
}

#[test]
fn a_changed_package_is_refused() {
    let Some(place) = Place::new() else { return };
    for bytes in ["has an EPOCH\n", "has an epoch and more\n", "has"] {
        place.put("pool/busybox-static_1.37.0-6_amd64.deb", bytes.as_bytes());
        assert_eq!(place.refused(&["busybox-static"]), ("APT006", Exit::Mismatch), "{bytes}");
    }
}

#[test]
fn an_index_with_other_bytes_than_signed_is_refused() {
    let Some(place) = Place::new() else { return };
    let index = "dists/trixie/main/binary-amd64/Packages";
    let text = std::fs::read_to_string(place.mirror().join(index)).unwrap();
    place.put(index, text.replace("busybox", "BUSYBOX").as_bytes());
    let failure = place.fetch(&["busybox-static"]).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT006", Exit::Mismatch));
    assert!(failure.finding().why.contains("the index says"), "{failure}");
}

#[test]
fn a_file_that_changed_after_apt_is_refused() {
    let Some(place) = Place::new() else { return };
    let (apt, cancel) = (place.apt(place.mirror().as_str(), "trixie").unwrap(), Cancel::default());
    apt.update(&cancel).unwrap();
    let mut wanted = apt.resolve(&["busybox-static".into()], &cancel).unwrap();
    wanted[0].sha256 = Digest([0; 32]);
    let failure = apt.download(&wanted, &place.out(), &Events::discard(), &cancel).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT013", Exit::Mismatch));
}

#[test]
fn what_the_mirror_lacks_is_named() {
    let Some(place) = Place::new() else { return };
    for missing in ["no-such-package", "linux-image-potato", "busybox-static=1:9"] {
        assert_eq!(place.refused(&[missing]), ("APT009", Exit::Upstream), "{missing}");
    }
    let failure = place.fetch_from(place.mirror().as_str(), "potato", &["busybox-static"]).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT008", Exit::Upstream));
}

#[test]
fn a_mirror_that_nobody_serves_is_unreachable() {
    let Some(place) = Place::new() else { return };
    // A port that was free a moment ago and that nothing listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let failure = place.fetch_from(&format!("http://127.0.0.1:{port}/"), "trixie", &["busybox-static"]);
    let failure = failure.unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT010", Exit::Upstream));
    assert!(failure.to_string().contains("--debian-mirror"), "{failure}");
}

#[test]
fn an_interrupt_ends_a_fetch() {
    let Some(place) = Place::new() else { return };
    let cancel = Cancel::default();
    cancel.cancel();
    let apt = place.apt(place.mirror().as_str(), "trixie").unwrap();
    assert_eq!(apt.update(&cancel).unwrap_err().id(), "RUN001");
}

#[test]
fn a_directory_that_apt_cannot_spell_is_refused() {
    for path in ["/tmp/a\"b", "/tmp/a\nb", "/tmp/a\\b"] {
        let failure = configuration(Utf8Path::new(path), "amd64").unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("APT014", Exit::Usage));
    }
}

#[test]
fn a_host_without_debians_keys_is_told_so() {
    let failure = require_keys(Utf8Path::new("/no/such/keyring.gpg")).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("APT012", Exit::Host));
}
