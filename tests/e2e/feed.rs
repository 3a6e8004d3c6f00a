//! The feed as others get it: served, verified, and refused once somebody changed it.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use formats::usign::{PublicKey, Signature};
use rustix::process::Signal;

use crate::place::Place;
use crate::run::{Run, SLOW};

/// The body of a file that is served.
fn get(address: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.") && answer[..end].windows(4).any(|part| part == b" 200"), "{path}");
    answer.split_off(end + 4)
}

#[test]
fn the_feed_is_served_with_its_signature_until_interrupted() {
    let place = Place::warm();
    let mut run = place.start(&["feed", "--serve", "127.0.0.1:0", "--message-format", "json"]);
    run.says("/etc/opkg/keys/");
    let said = run.out();
    let address = said.split_once("listening on http://").unwrap().1.split_once('/').unwrap().0;
    let fingerprint = &said.split_once("/etc/opkg/keys/").unwrap().1[..16];
    let key = std::fs::read_to_string(place.path("results/x86-64/keys/opkg").join(fingerprint)).unwrap();

    // The printed line names the router's kernel, and so does every address.
    let kernel = said.split_once("/opkg/kmods/").unwrap().1.split(['"', '\\']).next().unwrap();
    let index = get(address, &format!("/opkg/kmods/{kernel}/Packages"));
    let signature = String::from_utf8(get(address, &format!("/opkg/kmods/{kernel}/Packages.sig"))).unwrap();
    PublicKey::parse(&key).unwrap().verify(&index, &Signature::parse(&signature).unwrap()).unwrap();
    let index = String::from_utf8(index).unwrap();
    let names: Vec<&str> = index.lines().filter_map(|line| line.strip_prefix("Filename: ")).collect();
    assert!(index.contains("Package: kmod-nft-offload\n") && !names.is_empty(), "{index}");
    for name in names {
        assert_eq!(get(address, &format!("/opkg/kmods/{kernel}/{name}"))[..2], [0x1f, 0x8b], "{name} is no ipk");
    }

    assert_eq!(&get(address, &format!("/apk/kmods/{kernel}/packages.adb"))[..3], b"ADB");

    run.signal(Signal::INT);
    assert_eq!(run.ends_within(Duration::from_secs(5)).code, 130);
}

#[test]
fn a_good_feed_verifies_and_one_that_somebody_changed_does_not() {
    let place = Place::warm();
    let verified = place.run(&["feed", "verify"]);
    verified.fine();
    assert!(verified.out.contains("kmod-nft-offload ") && verified.out.contains("offloadctl "), "{}", verified.out);

    let feed = place.own_copy("feed");
    let folder = |manager: &str| {
        let mut kernels = feed.join(manager).join("kmods").read_dir_utf8().unwrap();
        kernels.next().unwrap().unwrap().into_path()
    };
    let package = |manager: &str| {
        let mut files = folder(manager).read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
        files.find(|path| path.as_str().contains("kmod-nft-offload")).unwrap()
    };
    // Which of its checks notices a flipped byte in a compressed index depends on the byte; half of it is always unreadable.
    let (whole, half) = (1, 2);
    for (file, kept, id) in [
        (package("opkg"), whole, "OPKG004"),
        (folder("opkg").join("Packages.sig"), whole, "OPKG008"),
        (package("apk"), whole, "APKC004"),
        (folder("apk").join("packages.adb"), half, "INST009"),
    ] {
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        bad.truncate(good.len() / kept);
        std::fs::write(&file, bad).unwrap();
        place.run(&["feed", "verify"]).refused(5, id, &[]);
        std::fs::write(&file, good).unwrap();
    }
    place.run(&["feed", "verify"]).fine();
}

#[test]
fn a_key_that_is_none_or_in_the_wrong_place_signs_nothing() {
    let place = Place::warm_without(&["feed"]);
    let before = place.fingerprint();
    let (outside, inside) = (place.temporary().join("key"), place.path("key"));
    std::fs::create_dir(place.path(".git")).unwrap();
    for (key, mode, id) in [(&outside, 0o600, "SIG001"), (&outside, 0o644, "KEY001"), (&inside, 0o600, "KEY002")] {
        std::fs::write(key, "no key").unwrap();
        std::fs::set_permissions(key, Permissions::from_mode(mode)).unwrap();
        let variable = format!("OPENWRT_OFFLOAD_USIGN_KEY={key}");
        let run = Run::with(&place, &["env", &variable, env!("CARGO_BIN_EXE_xtask")], &["feed"]);
        run.ends_within(SLOW).refused(2, id, &[key.as_str()]);
        place.unchanged_since(&before);
    }
}
