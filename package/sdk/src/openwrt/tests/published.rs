//! Packages that a release publishes: which indexes are trusted, and what comes of them.

use formats::depend::Dependency;
use formats::opened::Need;
use formats::{Content, Entry, Format, Package};
use model::Exit;

use super::*;
use crate::openwrt::fixture::{Fault, KERNEL_HASH, apk_key};
use crate::openwrt::kept::Kept;
use crate::openwrt::{Held, Lockfile, Published};

const OPKG: &str = "24.10.8";
const FEED: &str = "packages/x86_64/packages";
const KMODS: &str = "targets/x86/64/kmods/6.12.94-1-50daf8372d971124fb3519e8d87e02ae";

fn package(name: &str, depends: Vec<Dependency>) -> Package {
    Package {
        name: name.into(),
        version: "1.0-r1".into(),
        architecture: "x86_64".into(),
        description: name.into(),
        depends,
        files: vec![Entry::file(format!("usr/bin/{name}"), 0o755, Content::from("#!/bin/sh\n"))],
        ..Package::default()
    }
}

fn on(names: &[&str]) -> Vec<Dependency> {
    names.iter().map(|name| Dependency::on(*name)).collect()
}

/// A release with a program in a feed and a kmod that it needs, and one of another kernel.
fn bench(release: &str, format: Format) -> Bench {
    let bench = Bench::new();
    bench.mirror.publish_standard(release, TARGET);
    bench.mirror.publish_packages(
        release,
        FEED,
        format,
        &[
            package("tool", on(&["libc", "kmod-tool", "libtool"])),
            package("libtool", on(&["libc"])),
            package("lonely", on(&["nobody"])),
        ],
    );
    let kernel = |hash: &str| vec![Dependency::exactly("kernel", format!("6.12.94~{hash}-r1"))];
    bench.mirror.publish_packages(
        release,
        KMODS,
        format,
        &[package("kmod-tool", kernel(KERNEL_HASH)), package("kmod-other", kernel(&"a".repeat(32)))],
    );
    bench.mirror.sign(release, TARGET);
    bench
}

impl Bench {
    fn published(&self, upstream: &Upstream, release: &str, locked: Option<&Lockfile>) -> Result<Published, Failure> {
        let row = row(release, TARGET);
        upstream.published(&row, &upstream.resolve(&row)?, locked, &[apk_key()])
    }
}

fn held() -> Held {
    let mut held = Held::default();
    held.add("libc", "1", []);
    held.add("kernel", &format!("6.12.94~{KERNEL_HASH}-r1"), []);
    held
}

/// The names of what meets a need, or what is missing.
fn meeting(published: &Published, name: &str) -> String {
    let need = Need { names: vec![name.into()], exact: None };
    match published.meeting(&need, &held()) {
        Ok(offers) => {
            let mut names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
            names.sort_unstable();
            names.join(" ")
        }
        Err(lack) => format!("no {lack}"),
    }
}

#[test]
fn packages_come_with_what_they_need_for_both_managers() {
    for (release, format) in [(OPKG, Format::Ipk), (RELEASE, Format::Apk)] {
        let bench = bench(release, format);
        let server = bench.mirror.serve();
        let upstream = bench.at(&server);
        let published = bench.published(&upstream, release, None).unwrap();
        assert_eq!(meeting(&published, "tool"), "kmod-tool libtool tool");
        assert_eq!(meeting(&published, "lonely"), "no nobody, which lonely needs");
        assert_eq!(meeting(&published, "kmod-other"), "no kmod-other", "it is for another kernel");
        let told = published.told();
        assert!(told.starts_with("kmods/6.12.94-1-50daf8372d971124fb3519e8d87e02ae, packages (not read: "), "{told}");
        assert!(told.contains("base: the mirror does not have it"), "{told}");

        let need = Need { names: vec!["tool".into()], exact: None };
        let offers = published.meeting(&need, &held()).unwrap();
        let files = upstream.fetch_offers(&row(release, TARGET), &offers).unwrap();
        for (offer, file) in offers.iter().zip(files) {
            assert_eq!(
                std::fs::read(file).unwrap(),
                std::fs::read(bench.mirror.root().join(&offer.artifact.path)).unwrap()
            );
        }
    }
}

#[test]
fn offline_what_was_kept_is_used_and_verified_again() {
    let bench = bench(OPKG, Format::Ipk);
    let row = row(OPKG, TARGET);
    let near = bench.directory();
    let resolved = near.resolve(&row).unwrap();
    let published = near.published(&row, &resolved, None, &[]).unwrap();
    let need = Need { names: vec!["libtool".into()], exact: None };
    near.fetch_offers(&row, &published.meeting(&need, &held()).unwrap()).unwrap();

    // The same as fetched from an address that is not on this machine.
    let mut far = bench.upstream("http://mirror.invalid");
    far.offline = true;
    let keep = |folder: &str, names: &[&str]| {
        let below = Utf8PathBuf::from("releases").join(OPKG).join(folder);
        let files: Vec<_> =
            names.iter().map(|name| std::fs::read(bench.mirror.root().join(&below).join(name)).unwrap()).collect();
        let files: Vec<(&str, &[u8])> = names.iter().zip(&files).map(|(name, bytes)| (*name, &bytes[..])).collect();
        Kept::below(&far.cache, &far.mirror.address(&below.join(names[0]))).save(&files, &far.waiting()).unwrap();
    };
    let told = || {
        let read = far.published(&row, &resolved, None, &[]).unwrap();
        (meeting(&read, "libtool"), read.told())
    };
    let lists = Utf8PathBuf::from("releases").join(OPKG).join("targets").join(TARGET);
    let names = ["sha256sums", "sha256sums.sig", "profiles.json"];
    let files = names.map(|name| std::fs::read(bench.mirror.root().join(&lists).join(name)).unwrap());
    let files: Vec<(&str, &[u8])> = names.into_iter().zip(&files).map(|(name, bytes)| (name, &bytes[..])).collect();
    Kept::below(&far.cache, &far.mirror.address(&lists)).save(&files, &far.waiting()).unwrap();
    let (found, why) = told();
    assert_eq!(found, "no libtool");
    assert!(why.contains("packages: it is not in the cache, and --offline"), "{why}");
    keep(FEED, &["Packages.gz", "Packages.sig"]);
    assert_eq!(told().0, "libtool");
    let published = far.published(&row, &resolved, None, &[]).unwrap();
    far.fetch_offers(&row, &published.meeting(&need, &held()).unwrap()).unwrap();
    bench.mirror.publish_packages(OPKG, FEED, Format::Ipk, &[]);
    std::fs::write(bench.mirror.feed(OPKG, FEED).join("Packages.sig"), "damaged").unwrap();
    keep(FEED, &["Packages.gz", "Packages.sig"]);
    assert_eq!(id(far.published(&row, &resolved, None, &[])), ("PUB001", Exit::Mismatch));
}

#[test]
fn an_index_that_nobody_trusted_signed_is_refused() {
    for (release, format, index) in [(OPKG, Format::Ipk, "Packages.gz"), (RELEASE, Format::Apk, "packages.adb")] {
        let bench = bench(release, format);
        let folder = bench.mirror.feed(release, FEED);
        let good = std::fs::read(folder.join(index)).unwrap();
        // The index of other packages, under the old signature.
        bench.mirror.publish_packages(release, "packages/x86_64/luci", format, &[package("tool", Vec::new())]);
        let other = std::fs::read(bench.mirror.feed(release, "packages/x86_64/luci").join(index)).unwrap();
        if format == Format::Ipk {
            std::fs::write(folder.join(index), &other).unwrap();
            assert_eq!(id(bench.published(&bench.directory(), release, None)), ("PUB001", Exit::Mismatch));
            std::fs::write(folder.join(index), &good).unwrap();
            std::fs::remove_file(folder.join("Packages.sig")).unwrap();
        }
        let row = row(release, TARGET);
        let upstream = bench.directory();
        let resolved = upstream.resolve(&row).unwrap();
        let refused = upstream.published(&row, &resolved, None, &[]);
        assert_eq!(id(refused), ("PUB001", Exit::Mismatch), "{release}");
        std::fs::write(folder.join(index), "no index").unwrap();
        let (refused, _) = id(bench.published(&bench.directory(), release, None));
        assert!(["PUB001", "PUB002"].contains(&refused), "{refused}");
    }
}

#[test]
fn a_user_may_name_the_key_of_a_mirrors_apk_indexes() {
    let bench = bench(RELEASE, Format::Apk);
    let row = row(RELEASE, TARGET);
    let mut upstream = bench.directory();
    let pem = bench.cache().join("mirror.pem");
    std::fs::write(&pem, apk_key().to_pem().unwrap()).unwrap();
    upstream.keys = Keys::load(bench.cache(), &[bench.mirror.key_file(), pem]).unwrap();
    let resolved = upstream.resolve(&row).unwrap();
    assert_eq!(meeting(&upstream.published(&row, &resolved, None, &[]).unwrap(), "libtool"), "libtool");
}

#[test]
fn a_package_with_other_bytes_is_refused() {
    for (release, format) in [(OPKG, Format::Ipk), (RELEASE, Format::Apk)] {
        let bench = bench(release, format);
        let upstream = bench.directory();
        let published = bench.published(&upstream, release, None).unwrap();
        let need = Need { names: vec!["libtool".into()], exact: None };
        let offers = published.meeting(&need, &held()).unwrap();
        let file = bench.mirror.root().join(&offers[0].artifact.path);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(id(upstream.fetch_offers(&row(release, TARGET), &offers)), ("DIG001", Exit::Mismatch), "{release}");
    }
}

#[test]
fn a_locked_feed_is_the_locked_one_or_none() {
    for (release, format) in [(OPKG, Format::Ipk), (RELEASE, Format::Apk)] {
        let bench = bench(release, format);
        let row = row(release, TARGET);
        let upstream = bench.directory();
        let mut lock = Lockfile::default();
        lock.put(upstream.resolve(&row).unwrap());
        let published = bench.published(&upstream, release, Some(&lock)).unwrap();
        assert_eq!(meeting(&published, "libtool"), "no libtool", "its feed is not locked");
        assert!(published.told().contains("packages: openwrt.lock does not have it"), "{}", published.told());

        let (path, digest) = upstream.index_digest(&row, "packages").unwrap().unwrap();
        assert_eq!(upstream.index_digest(&row, "luci").unwrap(), None);
        lock.put_index(path, digest);
        let locked = || bench.published(&bench.directory(), release, Some(&lock));
        assert_eq!(meeting(&locked().unwrap(), "libtool"), "libtool");
        let text = lock.text().unwrap();
        let place = bench.cache().join("openwrt.lock");
        std::fs::write(&place, &text).unwrap();
        assert_eq!(Lockfile::load(&place).unwrap(), lock);
        std::fs::write(&place, text.replace(&format!("releases/{release}/packages/x86"), "../x86")).unwrap();
        assert_eq!(id(Lockfile::load(&place)), ("LOCK001", Exit::Usage));

        // The feed is rebuilt: what is in the cache is still the locked one, and another machine is told.
        bench.mirror.publish_packages(release, FEED, format, &[package("newer", Vec::new())]);
        assert_eq!(meeting(&locked().unwrap(), "libtool"), "libtool");
        std::fs::remove_dir_all(bench.cache().join("openwrt-files")).unwrap();
        assert_eq!(id(locked()), ("PUB003", Exit::Mismatch));
    }
}

#[test]
fn an_index_that_is_replaced_while_it_is_fetched_is_fetched_again() {
    let bench = bench(OPKG, Format::Ipk);
    let server = bench.mirror.serve();
    let old = std::fs::read(bench.mirror.feed(OPKG, FEED).join("Packages.sig")).unwrap();
    bench.mirror.publish_packages(OPKG, FEED, Format::Ipk, &[package("newer", Vec::new())]);
    server.next("packages/x86_64/packages/Packages.sig", [Fault::Other(old)]);
    let published = bench.published(&bench.at(&server), OPKG, None).unwrap();
    assert_eq!(meeting(&published, "newer"), "newer");
    assert_eq!(server.count("packages/x86_64/packages/Packages.sig"), 2);
}

#[test]
fn an_index_that_is_not_trusted_does_not_replace_the_kept_one() {
    for (release, format, index) in [(OPKG, Format::Ipk, "Packages.gz"), (RELEASE, Format::Apk, "packages.adb")] {
        let bench = bench(release, format);
        let server = bench.mirror.serve();
        let upstream = bench.at(&server);
        let path = Utf8PathBuf::from("releases").join(release).join(FEED).join(index);
        let good = std::fs::read(bench.mirror.root().join(&path)).unwrap();
        let kept = || Kept::below(&upstream.cache, &upstream.mirror.address(&path)).read([index]);
        bench.published(&upstream, release, None).unwrap();
        assert_eq!(kept(), [Some(good.clone())]);
        server.always(path.as_str(), Fault::Other(b"damaged".to_vec()));
        assert!(bench.published(&upstream, release, None).is_err());
        assert_eq!(kept(), [Some(good)], "{format}");
    }
}

#[test]
fn an_index_of_the_signed_list_that_the_mirror_lacks_is_not_read() {
    let bench = bench(OPKG, Format::Ipk);
    std::fs::remove_dir_all(bench.mirror.feed(OPKG, KMODS)).unwrap();
    let published = bench.published(&bench.directory(), OPKG, None).unwrap();
    assert_eq!(meeting(&published, "libtool"), "libtool");
    assert_eq!(meeting(&published, "tool"), "no kmod-tool, which tool needs");
    let told = published.told();
    assert!(told.contains("kmods/6.12.94-1-50daf8372d971124fb3519e8d87e02ae: the mirror does not have it"), "{told}");
}
