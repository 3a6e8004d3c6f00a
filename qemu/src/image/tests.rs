//! Images made of the test program itself, which is the one ELF file that every host has.

use super::*;

/// A folder with unpacked packages: the test program under the names of the image's programs, and the host's libraries for it.
struct Packages {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

fn packages() -> Packages {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    let own = std::env::current_exe().unwrap();
    for program in [
        "a/usr/bin/busybox",
        "a/bin/dash",
        "b/usr/sbin/nft",
        "b/bin/ip",
        "b/sbin/tc",
        "b/usr/sbin/bridge",
        "b/usr/bin/flock",
        "b/usr/sbin/conntrack",
        "b/usr/bin/wg",
        "b/usr/sbin/pppd",
        "b/usr/lib/pppd/2.5.2/pppoe.so",
        "b/usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so",
    ] {
        let path = root.join(program);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&own, path).unwrap();
    }
    let libraries = root.join("c/usr/lib/x86_64-linux-gnu");
    std::fs::create_dir_all(&libraries).unwrap();
    let mut wanted = vec![own.to_str().unwrap().to_owned()];
    while let Some(path) = wanted.pop() {
        let needs = elf::needs(&std::fs::read(&path).unwrap()).unwrap();
        let loader = needs.interpreter.iter().map(|path| Utf8Path::new(path).file_name().unwrap().to_owned());
        for name in needs.libraries.iter().cloned().chain(loader) {
            let host =
                ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
            let found =
                host.iter().map(|folder| format!("{folder}/{name}")).find(|path| std::fs::exists(path).unwrap());
            let found = found.unwrap();
            if std::os::unix::fs::symlink(&found, libraries.join(&name)).is_ok() {
                wanted.push(found);
            }
        }
    }
    std::fs::write(root.join("virtio_net.ko"), "module").unwrap();
    Packages { _dir: dir, root }
}

fn kernel() -> KernelId {
    KernelId { version: "6.12.107".into(), config_hash: "0123456789abcdef0123456789abcdef".into(), release: 1 }
}

/// Builds with these packages (folders below the root) and extra files.
fn image(packages: &Packages, folders: &[&str], extra: &[Extra]) -> Result<Vec<u8>> {
    let folders: Vec<_> = folders.iter().map(|folder| packages.root.join(folder)).collect();
    build(
        &Recipe::embedded().unwrap(),
        &Inputs {
            packages: &folders,
            kernel_release: "6.12.107+deb13-amd64",
            boot_modules: &[packages.root.join("virtio_net.ko")],
            spare_modules: &[],
            kernel: &kernel(),
            arch: &Arch("x86_64".into()),
            target: "x86/64",
            extra,
        },
    )
}

fn contains(image: &[u8], text: &str) -> bool {
    image.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_image_has_programs_libraries_and_what_packages_touch() {
    let packages = packages();
    let image = image(&packages, &["a", "b", "c"], &[]).unwrap();
    for text in [
        "\0bin/busybox\0",
        "usr/sbin/nft\0",
        "lib/libc.so.6\0",
        "sbin/kmodloader\0",
        "lib/functions.sh\0",
        "sbin/fw4\0",
        "etc/nftables.d\0",
        "Version: 6.12.107~0123456789abcdef0123456789abcdef-r1\nStatus: install hold,user installed\n",
        "arch x86_64 10\n",
        "DISTRIB_ID='stand-in'",
        "/lib/modules/6.12.107+deb13-amd64/virtio_net.ko\n",
        "eth0 192.168.1.1/24\n",
    ] {
        assert!(contains(&image, text), "{text:?}");
    }
    assert!(contains(&image, READY));
    let probe = probe(&Recipe::embedded().unwrap(), &[packages.root.join("a")]).unwrap();
    assert!(contains(&probe, PROBE_READY) && probe.len() < image.len());
}

#[test]
fn two_builds_are_the_same_bytes() {
    let packages = packages();
    let folders = ["a", "b", "c"];
    assert!(image(&packages, &folders, &[]).unwrap() == image(&packages, &folders, &[]).unwrap());
}

#[test]
fn what_is_missing_is_named() {
    let packages = packages();
    for (folders, id, name) in [(&["a", "c"][..], "VM032", "/usr/"), (&["a", "b"], "VM033", "ld")] {
        let failure = image(&packages, folders, &[]).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), (id, Exit::Host));
        assert!(failure.to_string().contains(name), "{failure}");
    }
    std::fs::create_dir_all(packages.root.join("d/usr/bin")).unwrap();
    std::fs::write(packages.root.join("d/usr/bin/busybox"), "#!/bin/sh\n").unwrap();
    assert_eq!(image(&packages, &["d", "b", "c"], &[]).unwrap_err().id(), "VM031");
}

#[test]
fn extra_files_go_to_absolute_paths() {
    let packages = packages();
    let extra = |path: &str| [Extra { path: path.into(), source: packages.root.join("virtio_net.ko"), mode: 0o755 }];
    let with = image(&packages, &["a", "b", "c"], &extra("/bin/opkg")).unwrap();
    assert!(contains(&with, "bin/opkg\0"));
    for path in ["bin/opkg", "/bin/../../opkg"] {
        let failure = image(&packages, &["a", "b", "c"], &extra(path)).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("VM030", Exit::Usage));
    }
    let missing = [Extra { path: "/bin/opkg".into(), source: "/no/opkg".into(), mode: 0o755 }];
    assert_eq!(image(&packages, &["a", "b", "c"], &missing).unwrap_err().id(), "IO004");
}

#[test]
fn the_readiness_line_is_the_one_that_init_prints() {
    assert!(INIT.contains(&format!("echo '{READY}'")));
}
