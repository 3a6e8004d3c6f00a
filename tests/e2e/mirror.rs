//! Mirrors that are not there, or that nobody we trust vouches for.

use std::net::TcpListener;

use crate::place::{Place, sources};

/// A directory laid out as a mirror; its index is signed by a key that is not Debian's.
const STRANGERS: &str = "package/sdk/tests/mirror";

/// Builds from a mirror into an empty cache. Nothing of the mirror may stay there; programs of ours are compiled
/// meanwhile, and may be finished.
fn refused(mirror: &str, code: i32, id: &str, words: &[&str]) {
    let place = Place::empty();
    place.run(&["build", "--debian-mirror", mirror]).refused(code, id, words);
    place.holds_only("router-programs");
    assert_eq!(place.processes(), []);
}

#[test]
fn an_unreachable_mirror_may_be_retried() {
    // A port that was free a moment ago and that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    refused(&format!("http://127.0.0.1:{port}/"), 4, "APT010", &["127.0.0.1", "--debian-mirror"]);
}

#[test]
fn what_is_no_mirror_is_wrong_usage() {
    refused("no-such-directory", 2, "APT001", &["no-such-directory"]);
}

#[test]
fn a_mirror_signed_by_a_stranger_is_never_retried() {
    refused(sources().join(STRANGERS).as_str(), 5, "APT003", &["trixie"]);
}

#[test]
fn an_unsigned_mirror_is_never_retried() {
    let place = Place::empty();
    let signed = std::fs::read_to_string(sources().join(STRANGERS).join("dists/trixie/InRelease")).unwrap();
    let release = signed.split_once("\n\n").unwrap().1.split_once("-----BEGIN").unwrap().0;
    let folder = place.path("mirror/dists/trixie");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("Release"), release).unwrap();
    refused(place.path("mirror").as_str(), 5, "APT005", &[]);
}

#[test]
fn without_network_and_cache_the_run_says_what_it_would_fetch() {
    let place = Place::empty();
    place.run(&["build", "--offline"]).refused(4, "NET001", &["linux-image-amd64", "without --offline"]);
    place.holds_only("router-programs");
}
