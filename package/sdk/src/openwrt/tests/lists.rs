//! Lists: which are trusted, and what a release offers according to them.

use model::Exit;

use super::*;
use crate::openwrt::fixture::{Fault, KERNEL_HASH};

#[test]
fn a_release_is_resolved_from_a_directory_and_from_a_server_alike() {
    let bench = Bench::new();
    let server = bench.mirror.serve();
    let from_directory = bench.directory().resolve(&standard()).unwrap();
    let resolved = bench.at(&server).resolve(&standard()).unwrap();
    assert_eq!(resolved, from_directory);
    assert_eq!(resolved.kernel.as_ref().unwrap().package_version(), format!("6.12.94~{KERNEL_HASH}-r1"));
    assert_eq!(resolved.signed_by, [bench.mirror.public_key().fingerprint]);
    let roles: Vec<Role> = resolved.artifacts.iter().map(|artifact| artifact.role).collect();
    assert_eq!(roles, [Role::List, Role::Sdk, Role::Kernel, Role::Rootfs]);
    let path = |role| resolved.require(role).unwrap().path.as_str();
    let folder = "releases/25.12.5/targets/x86/64";
    assert!(path(Role::Sdk).starts_with(&format!("{folder}/openwrt-sdk-25.12.5-x86-64_gcc-")));
    assert_eq!(path(Role::Rootfs), format!("{folder}/openwrt-25.12.5-x86-64-generic-ext4-rootfs.img.gz"));
    assert!(resolved.require(Role::Rootfs).unwrap().size.is_some(), "profiles.json tells it");
    assert_eq!(id(resolved.require(Role::Initramfs)), ("REL007", Exit::Upstream));
}

#[test]
fn an_old_release_without_profiles_is_resolved_by_names() {
    let bench = Bench::new();
    let p = "openwrt-22.03.7-armvirt-64";
    let names = [
        "openwrt-sdk-22.03.7-armvirt-64_gcc-11.2.0_musl.Linux-x86_64.tar.xz".to_owned(),
        format!("{p}-Image"),
        format!("{p}-Image-initramfs"),
        format!("{p}-rootfs-squashfs.img.gz"),
        format!("packages/kernel_5.10.221-1-{KERNEL_HASH}_aarch64_cortex-a53.ipk"),
    ];
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    bench.mirror.publish("22.03.7", "armvirt/64", &files);
    let resolved = bench.directory().resolve(&row("22.03", "armsr/armv8")).unwrap();
    let name = |role| resolved.require(role).unwrap().path.file_name().unwrap().to_owned();
    assert_eq!(
        [Role::Sdk, Role::Kernel, Role::Initramfs, Role::Rootfs].map(name).as_slice(),
        [&names[0], &names[1], &names[2], &names[3]].map(String::clone)
    );
    assert_eq!(resolved.kernel.unwrap().version, "5.10.221");
    assert_eq!(
        (resolved.target.to_string().as_str(), resolved.published.to_string().as_str()),
        ("armsr/armv8", "armvirt/64")
    );
}

#[test]
fn a_point_release_is_asked_for_once_and_a_snapshot_each_time() {
    let bench = Bench::new();
    bench.mirror.publish_standard("SNAPSHOT", TARGET);
    let server = bench.mirror.serve();
    let mut upstream = bench.at(&server);
    for (release, requests) in [(RELEASE, 1), ("SNAPSHOT", 3)] {
        let row = row(release, TARGET);
        let before = server.count("sha256sums");
        let first = upstream.resolve(&row).unwrap();
        assert_eq!((upstream.resolve(&row).unwrap(), upstream.list(&row).is_ok()), (first, true));
        assert_eq!(server.count("sha256sums") - before, requests, "{release}");
        upstream.resolve_now(&row).unwrap();
    }
    upstream.offline = true;
    let before = server.seen().len();
    upstream.resolve(&row("SNAPSHOT", TARGET)).unwrap();
    assert_eq!(server.seen().len(), before, "what is kept is used");
    let mut elsewhere = bench.upstream("http://mirror.invalid");
    elsewhere.offline = true;
    assert_eq!(id(elsewhere.resolve(&row("24.10", TARGET))), ("MIR002", Exit::Upstream));
    let mut directory = bench.directory();
    directory.offline = true;
    directory.resolve(&standard()).unwrap();
}

#[test]
fn a_kept_list_that_was_changed_is_fetched_again() {
    let bench = Bench::new();
    let server = bench.mirror.serve();
    let upstream = bench.at(&server);
    let resolved = upstream.resolve(&standard()).unwrap();
    for entry in bench.cache().join("openwrt-lists").read_dir_utf8().unwrap().map(Result::unwrap) {
        let list = entry.path().join("sha256sums");
        if list.exists() {
            std::fs::write(&list, read(&list).replace("generic-ext4", "generic-ext5")).unwrap();
        }
    }
    assert_eq!(upstream.resolve(&standard()).unwrap(), resolved);
    assert_eq!(server.count("sha256sums"), 2);
}

#[test]
fn a_list_that_is_missing_unsigned_or_signed_by_another_key_is_refused() {
    let bench = Bench::new();
    bench.mirror.publish_standard("24.10-SNAPSHOT", TARGET);
    let upstream = bench.directory();
    assert_eq!(id(upstream.resolve(&row("24.10", TARGET))), ("REL001", Exit::Upstream));
    assert_eq!(id(upstream.resolve(&row("SNAPSHOT", TARGET))), ("REL002", Exit::Upstream));

    let folder = bench.mirror.folder(RELEASE, TARGET);
    std::fs::remove_file(folder.join("sha256sums.sig")).unwrap();
    assert_eq!(id(upstream.resolve(&standard())), ("REL003", Exit::Mismatch));

    bench.mirror.sign(RELEASE, TARGET);
    let mut stranger = bench.directory();
    stranger.keys = Keys::default();
    let failure = stranger.resolve(&standard()).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("REL004", Exit::Mismatch));
    assert!(failure.finding().what.contains("5a5a5a5a5a5a5a5a") && failure.finding().fix.contains("--release-key"));

    let list = folder.join("sha256sums");
    std::fs::write(&list, format!("{}\n", read(&list))).unwrap();
    assert_eq!(id(upstream.resolve(&standard())), ("REL005", Exit::Mismatch));
    std::fs::write(folder.join("sha256sums.sig"), "<html>Sorry</html>").unwrap();
    assert_eq!(id(upstream.resolve(&standard())), ("REL005", Exit::Mismatch));
    assert_eq!(bench.store(), [""; 0], "nothing was fetched on the word of such a list");
}

#[test]
fn a_set_that_is_replaced_while_it_is_fetched_is_fetched_again() {
    let bench = Bench::new();
    let server = bench.mirror.serve();
    let folder = bench.mirror.folder(RELEASE, TARGET);
    let old = |name: &str| Fault::Other(std::fs::read(folder.join(name)).unwrap());
    let (list, profiles) = (old("sha256sums"), old("profiles.json"));
    bench.mirror.publish(RELEASE, TARGET, &[("openwrt-x", b"new"), ("profiles.json", br#"{"target":"new"}"#)]);
    server.next("sha256sums", [list]);
    server.next("profiles.json", [Fault::None, profiles.clone()]);
    let upstream = bench.at(&server);
    upstream.resolve_now(&standard()).unwrap();
    // The first set has an old list, the second an old profiles.json; the third fits.
    assert_eq!((server.count("sha256sums"), bench.lines().len()), (3, 2));

    server.always("profiles.json", profiles);
    let before = server.count("sha256sums");
    assert_eq!(id(upstream.resolve_now(&standard())), ("REL006", Exit::Mismatch));
    assert_eq!(server.count("sha256sums") - before, 2, "a set that stays as it is, is asked for once more");
}

#[test]
fn a_release_with_no_or_two_sdks_or_another_architecture_is_refused() {
    let bench = Bench::new();
    let sdk = bench.mirror.publish_standard("24.10.8", TARGET);
    let upstream = bench.directory();
    let row = row("24.10", TARGET);
    bench.mirror.publish("24.10.8", TARGET, &[(&sdk.replace("14.3.0", "14.4.0"), b"another")]);
    assert_eq!(id(upstream.resolve(&row)), ("SUM003", Exit::Upstream));
    bench.mirror.remove("24.10.8", TARGET, &sdk);
    bench.mirror.remove("24.10.8", TARGET, &sdk.replace("14.3.0", "14.4.0"));
    assert_eq!(id(upstream.resolve_now(&row)), ("SUM002", Exit::Upstream));

    bench.mirror.publish(RELEASE, TARGET, &[("profiles.json", br#"{"arch_packages":"i386_pentium4"}"#)]);
    assert_eq!(id(upstream.resolve(&standard())), ("MTX004", Exit::Usage));
    bench.mirror.publish(RELEASE, TARGET, &[("profiles.json", b"{")]);
    assert_eq!(id(upstream.resolve_now(&standard())), ("PROF001", Exit::Upstream));
}

#[test]
fn an_image_of_profiles_json_that_the_list_contradicts_is_not_taken() {
    let bench = Bench::new();
    let folder = bench.mirror.folder(RELEASE, TARGET);
    let text = read(&folder.join("profiles.json"));
    let kernel = "openwrt-25.12.5-x86-64-generic-kernel.bin";
    bench.mirror.publish(RELEASE, TARGET, &[("profiles.json", text.replace(kernel, "no-such-file").as_bytes())]);
    let resolved = bench.directory().resolve(&standard()).unwrap();
    assert_eq!(resolved.require(Role::Kernel).unwrap().path.file_name(), Some(kernel), "found by its name");
}

#[test]
fn sizes_that_the_release_does_not_tell_are_asked_for() {
    let bench = Bench::new();
    let server = bench.mirror.serve();
    for upstream in [bench.directory(), bench.at(&server)] {
        let mut resolved = upstream.resolve(&standard()).unwrap();
        assert_eq!(sdk(&resolved).size, None);
        upstream.measure(&mut resolved).unwrap();
        for artifact in &resolved.artifacts {
            let size = std::fs::metadata(bench.mirror.root().join(&artifact.path)).unwrap().len();
            assert_eq!(artifact.size, Some(size), "{}", artifact.path);
        }
    }
    assert!(server.seen().iter().filter(|seen| seen.path.contains("openwrt-")).all(|seen| seen.method == "HEAD"));
    server.always(".tar.zst", Fault::Status(403));
    let mut resolved = bench.at(&server).resolve(&standard()).unwrap();
    assert_eq!(id(bench.at(&server).measure(&mut resolved)), ("MIR004", Exit::Upstream));
}
