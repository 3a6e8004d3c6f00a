//! Programs for routers whose processor this machine has not: made with what is declared for it, and run by QEMU.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Content, Entry, Format, Package};
use model::{Arch, Cancel};
use sdk::Toolchain;
use sdk::openwrt::drive::mini::MiniSdk;
use sdk::openwrt::fixture::{KERNEL_HASH, MiniMirror};
use sdk::program::{Extras, Sources};

use crate::place::{Place, sources, users_cache};
use crate::run::{Ran, SLOW};

/// A processor of MIPS32's second release, without a floating-point unit.
const PROCESSOR: [&str; 2] = ["-cpu", "24Kc"];

/// The flash that it may take on a router that has least of it.
const LIMIT: u64 = 700_000;

/// What the program says there.
fn says(emulator: &str, program: &Utf8Path, words: &[&str]) -> String {
    let ran = Command::new(emulator).args(PROCESSOR).arg(program).args(words).output().unwrap();
    assert!(ran.status.success(), "{emulator} {program}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn runs(emulator: &str, program: &Utf8Path) {
    assert!(says(emulator, program, &["--version"]).starts_with("offloadctl "));
    // Offload is off on this machine, as the code tells.
    let status = Command::new(emulator).args(PROCESSOR).arg(program).arg("status").output().unwrap();
    let told = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        matches!(status.status.code(), Some(0 | 1 | 3)) && told.contains("Kernel "),
        "{emulator} {program}: {status:?}"
    );
    let size = std::fs::metadata(program).unwrap().len();
    assert!(size < LIMIT, "{program} has {size} bytes");
}

/// A place with what programs for MIPS are made with. The tests of this file do not wait for each other's locks: compiling
/// may take longer than a run waits.
fn with_toolchain() -> Place {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Place::after(&["build", "--target", "ramips/mt7621"]);
    // What the linker compiled of a C library is compiled once for all places.
    let own = place.cache().join("toolchains");
    std::fs::create_dir_all(&own).unwrap();
    symlink(users_cache().join("toolchains/zig"), own.join("zig")).unwrap();
    place
}

#[test]
fn programs_for_mips_run_in_either_byte_order() {
    let place = with_toolchain();
    let programs = place.results("router-programs");
    runs("qemu-mipsel", &programs[0].join("offloadctl"));

    // Debian has no kernel of the other byte order; a release's SDK needs none.
    let release = "24.10.8";
    let recipes = sdk::Recipes::load(&[sources().join("package/recipes")]).unwrap();
    let plain = MiniSdk::new(&recipes, "6.12.94", KERNEL_HASH, Format::Ipk);
    // Its C compiler is zig under another name, and says that it was asked.
    let (zig, asked) = (place.results("zig")[0].join("ziglang/zig"), place.path("asked"));
    let gcc = format!(
        "#!/bin/sh\necho \"$STAGING_DIR\" >>'{asked}'\nexport ZIG_GLOBAL_CACHE_DIR='{asked}.zig'\n\
         exec '{zig}' cc -target mips-linux-musleabi -mcpu=mips32r2+soft_float \"$@\"\n"
    );
    let sdk = MiniSdk { target: ("malta", "be"), arch: "mips_24kc", gcc: Some(&gcc), ..plain };
    let mirror = MiniMirror::new();
    let archive = mirror.publish_standard(release, "malta/be");
    mirror.publish(release, "malta/be", &[(&archive, &sdk.archive(&archive))]);
    let (root, key) = (mirror.root().to_string(), mirror.key_file().into_string());
    let words = ["build", "--release", release, "--target", "malta/be", "--mirror", &root, "--release-key", &key];
    // Sources and linker are there: what is left needs no network but for crates, which are there as well.
    let built = place.start(&[&words[..], &["--offline"]].concat()).ends_within(10 * SLOW);
    // The miniature's modules are those of a PC, which is what the lint sees, and all that it sees.
    let only_modules = |ran: &Ran| {
        let mut errors = ran.err.lines().filter(|line| line.starts_with("error["));
        ran.code == 1 && errors.all(|line| line.starts_with("error[LINT304]") || line.starts_with("error[LNT004]"))
    };
    assert!(only_modules(&built), "{}", built.err);
    runs("qemu-mips", &made(&place));
    let staging = std::fs::read_to_string(&asked).expect("the SDK's C compiler links");
    assert!(staging.lines().all(|line| line.ends_with("/sdk/staging_dir")), "{staging}");
    let again = place.run(&[&words[..], &["--offline"]].concat());
    assert!(only_modules(&again), "{}", again.err);
    assert!(!again.err.contains("building offloadctl"), "{}", again.err);
}

/// The program that the place itself has made.
fn made(place: &Place) -> Utf8PathBuf {
    let entries = place.cache().join("router-programs").read_dir_utf8().unwrap();
    let mut folders =
        entries.map(|entry| entry.unwrap().into_path()).filter(|path| path.is_dir() && !path.is_symlink());
    folders.next().unwrap().join("offloadctl")
}

/// Answers of the kernel are in its byte order, so what reads them is tested where it is the other one; and where musl's
/// times are wider than the crate libc believes, what gives times to the kernel.
#[test]
fn programs_work_in_the_other_byte_order() {
    let place = with_toolchain();
    let first = |stage: &str| Ok(place.results(stage)[0].clone());
    // In the same folder each time: cargo compiles the library anew where its sources seem to have moved.
    let kept = users_cache().join("toolchains");
    let extras =
        Extras { sources: &|_| Sources::open(&first("rust-sources")?), sdk: None, zig: &|| first("zig"), kept: &kept };
    let toolchain = Toolchain::find(&Arch("mips_24kc".into()), &extras, &Cancel::default()).unwrap();
    let ready = toolchain.ready(false).unwrap();
    let flags = [vec!["-Ctarget-feature=+crt-static".to_owned()], ready.flags].concat().join("\x1f");
    let runner = format!("qemu-mips {}", PROCESSOR.join(" "));
    let cargo = |words: &[&str]| {
        let ran = Command::new(&ready.cargo)
            // Not offline: the features that the library has by default need crates that no program for routers does.
            .args([words[0], "--locked", "--target", "mips-unknown-linux-musl"])
            // The features of the library that tests need, which catch panics, are those that it has by default.
            .arg(ready.library[0])
            .args(["--target-dir", sources().join("target/router-tests").as_str()])
            .args(&words[1..])
            .envs(ready.environment.clone())
            .env("CARGO_ENCODED_RUSTFLAGS", &flags)
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_MIPS_UNKNOWN_LINUX_MUSL_RUNNER", &runner)
            .current_dir(sources())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
        said
    };
    // Those that start the program itself cannot: this machine's kernel does not start it.
    let of_files = ["--test", "readers", "--test", "rules", "--test", "measured"];
    let of_library = ["--lib", "--", "netlink", "an_attempt_to_read_a_key"];
    for tests in [&of_files[..], &of_library] {
        let said = cargo(&[&["test", "--package", "offloadctl"], tests].concat());
        assert!(said.contains("test result: ok"), "{said}");
    }
    cargo(&["build", "--package", "openwrt-offload-client", "--bin", "opkg"]);
    keeps_times(&sources().join("target/router-tests/mips-unknown-linux-musl/debug/opkg"), &place);
}

/// Files of a package have its time, whatever width the C library's times have.
fn keeps_times(opkg: &Utf8Path, place: &Place) {
    let time = 1_700_000_000;
    let (root, file) = (place.path("root"), place.path("tool.ipk"));
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let package = Package {
        name: "tool".into(),
        version: "1.0-r1".into(),
        architecture: "all".into(),
        source_date_epoch: time,
        files: vec![Entry::file("usr/bin/tool", 0o755, Content::from("#!/bin/sh\n"))],
        ..Package::default()
    };
    let mut bytes = Vec::new();
    package.write(Format::Ipk, &mut bytes).unwrap();
    std::fs::write(&file, bytes).unwrap();
    says("qemu-mips", opkg, &["-o", root.as_str(), "install", file.as_str()]);
    let modified = std::fs::metadata(root.join("usr/bin/tool")).unwrap().modified().unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(time));
}
