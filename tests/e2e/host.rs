//! Hosts that lack something: QEMU, a new enough one, or space.

use std::process::Command;

use xtask::doctor::Purpose;

use crate::place::Place;
use crate::run::{Run, SLOW};

/// Stages of which each starts programs of the host, or a router.
const STAGES: [&str; 8] = ["kernel", "programs", "packages", "lint", "feed", "opkg", "image", "state"];

#[test]
fn what_is_declared_for_a_purpose_is_enough_for_it() {
    for (purpose, words) in
        [(Purpose::Build, &["feed"][..]), (Purpose::Test, &["boot", "--accel", "tcg", "--", "true"])]
    {
        let mut place = Place::warm_without(&STAGES);
        place.only_declared(purpose);
        // All of it is made anew, and programs may be compiled.
        place.start(words).ends_within(10 * SLOW).fine();
    }
}

#[test]
fn a_host_without_qemu_is_told_the_line_that_installs_it() {
    let mut place = Place::empty();
    place.only_declared(Purpose::Build);
    let line = "apt-get install --yes --no-install-recommends qemu-system-x86\n";
    for verb in ["test", "boot"] {
        place.run(&[verb]).refused(
            3,
            "HOST001",
            &["lacks QEMU", "no `qemu-system-x86_64` in PATH", line, "--install-deps"],
        );
    }
    assert!(!place.cache().exists());
}

#[test]
fn a_qemu_that_is_too_old_is_told_with_what_is_needed() {
    let mut place = Place::empty();
    place.program("qemu-system-x86_64", "echo 'QEMU emulator version 5.2.0 (Debian 1:5.2+dfsg-11)'");
    place.run(&["test"]).refused(3, "HOST001", &["version 5.2 is older than 7.2", "-netdev stream", "qemu-system-x86"]);
    assert!(!place.cache().exists());
}

/// Runs its arguments with the cache on a disk that holds the finished stages and little else.
const SMALL_DISK: &str = r#"
    cache=$1; disk=$2; shift 2
    mkdir "$disk" && mount -t tmpfs -o size=128k none "$disk" && cp -a "$cache" "$disk" || exit 99
    list() { find "$disk" -mindepth 3 ! -name '*.lock' | sort; }
    before=$(list)
    XDG_CACHE_HOME=$disk "$@"
    code=$?
    [ "$(list)" = "$before" ] || { echo "left behind:"; list; exit 98; } >&2
    exit $code"#;

/// Runs its arguments so that no file grows beyond 16 KiB.
const SMALL_FILES: &str = r#"trap '' XFSZ; ulimit -f 32; exec "$@""#;

/// Boots with every stage finished but one, in words that make space scarce: nothing may be left of it.
fn without_space(stage: &str, scarce: impl Fn(&Place) -> Vec<String>) {
    // The state of a guest is larger than either limit, and the last stage of all.
    let place = Place::warm_without(&[stage, "state"]);
    let before = place.fingerprint();
    let words = scarce(&place);
    let words: Vec<&str> = words.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_xtask")]).collect();
    let run = Run::with(&place, &words, &["boot", "--accel", "tcg", "--", "true"]);
    run.ends_within(SLOW).refused(3, "IO002", &["XDG_CACHE_HOME", "nothing half-made was left"]);
    place.unchanged_since(&before);
    assert_eq!(place.processes(), []);
}

fn small_files(_place: &Place) -> Vec<String> {
    ["sh", "-c", SMALL_FILES, "sh"].map(str::to_owned).into()
}

#[test]
fn a_write_beyond_the_limit_leaves_nothing_half_made() {
    without_space("image", small_files);
}

#[test]
fn a_full_disk_leaves_nothing_half_made() {
    // Mounting is for root, here or in a namespace of one's own; a container may allow neither.
    let namespaces = [&["unshare", "--mount"][..], &["unshare", "--map-root-user", "--mount"]];
    let allowed = |words: &&[&str]| Command::new(words[0]).args(&words[1..]).arg("true").status().unwrap().success();
    // A limit for files does not do here: it is below the size of a guest's memory.
    let Some(namespace) = namespaces.into_iter().find(allowed) else { return };
    let small_disk = |place: &Place| {
        let script = ["sh", "-c", SMALL_DISK, "sh"].map(str::to_owned);
        let places = [place.cache().into_string(), place.path("disk").into_string()];
        namespace.iter().map(|word| (*word).to_owned()).chain(script).chain(places).collect()
    };
    without_space("image", small_disk);
    without_space("state", small_disk);
}
