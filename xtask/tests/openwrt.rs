//! The program itself with a miniature of OpenWrt's download site: what it prints, writes and ends with.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use sdk::openwrt::fixture::{Fault, MiniMirror, Server};

const SDK: &str = "openwrt-sdk-25.12.5-x86-64_gcc-14.3.0_musl.Linux-x86_64.tar.zst";
const ROW: [&str; 4] = ["--release", "25.12", "--target", "x86/64"];

/// A workspace that holds what these verbs read, and a mirror.
struct Place {
    folder: tempfile::TempDir,
    mirror: MiniMirror,
}

impl Place {
    fn new() -> Self {
        let place = Place { folder: tempfile::tempdir().unwrap(), mirror: MiniMirror::new() };
        let source = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for file in ["xtask/model/Cargo.toml", "feeds/matrix.yaml", "feeds/openwrt-keys/README.md"] {
            let target = place.root().join(file);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(source.join(file), target).unwrap();
        }
        place.mirror.publish_standard("25.12.5", "x86/64");
        place
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    fn lock(&self) -> Utf8PathBuf {
        self.root().join("openwrt.lock")
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(words)
            .current_dir(self.root())
            .env("CARGO_MANIFEST_DIR", self.root())
            .env("XDG_CACHE_HOME", self.root().join("cache"))
            .env_remove("GITHUB_ACTIONS")
            .env_remove("OPENWRT_OFFLOAD_MIRROR")
            .env_remove("OPENWRT_OFFLOAD_RELEASE_KEY")
            .output()
            .unwrap()
    }

    /// `lock` with these words, from a server; the exit code and what was said.
    fn lock_from(&self, server: &Server, words: &[&str]) -> (Option<i32>, String) {
        let (url, key) = (server.url(), self.mirror.key_file());
        let output = self.run(&[&["lock", "--mirror", &url, "--release-key", key.as_str()], words].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_plan_in_json_is_all_that_stdout_holds() {
    let place = Place::new();
    let output = place.run(&["plan", "--message-format", "json", "--release", "all"]);
    assert_eq!(output.status.code(), Some(0));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(plan["include"].as_array().unwrap().len() > 10);
    let output = place.run(&["plan", "--message-format", "json", "--release", "17.01"]);
    let (stdout, stderr) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), stdout.as_slice()), (Some(2), &b""[..]));
    assert!(stderr.contains("MTX001") && stderr.contains("fix: "), "{stderr}");
}

#[test]
fn a_lock_is_written_checked_and_defended() {
    let place = Place::new();
    let server = place.mirror.serve();
    assert_eq!(place.lock_from(&server, &ROW).0, Some(0));
    let text = std::fs::read_to_string(place.lock()).unwrap();
    assert!(text.contains(SDK) && text.contains("signed-by") && !text.contains("127.0.0.1"), "{text}");
    assert_eq!(place.lock_from(&server, &["--check"]).0, Some(0));
    assert!(
        server.seen().iter().all(|seen| !seen.path.ends_with(SDK) || seen.method == "HEAD"),
        "nothing is downloaded"
    );

    let (code, said) = place.lock_from(&server, &["--check", "--release", "24.10", "--target", "x86/64"]);
    assert!(code == Some(1) && said.contains("LOCK003"), "{code:?} {said}");
    place.mirror.publish("25.12.5", "x86/64", &[(SDK, b"other bytes")]);
    let (code, said) = place.lock_from(&server, &["--check"]);
    assert!(code == Some(5) && said.contains("LOCK004") && said.contains("sdk is locked as"), "{code:?} {said}");
    server.always("sha256sums", Fault::Status(403));
    let (code, said) = place.lock_from(&server, &["--check"]);
    assert!(code == Some(4) && said.contains("MIR004"), "{code:?} {said}");
    assert_eq!(std::fs::read_to_string(place.lock()).unwrap(), text);
}

#[test]
fn a_mirror_whose_key_nobody_named_is_not_believed() {
    let place = Place::new();
    let output = place.run(&[&["lock", "--mirror", place.mirror.root().as_str()][..], &ROW].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && said.contains("REL004"), "{said}");
    assert!(!place.lock().exists());
    let output = place.run(&[&["lock", "--offline"][..], &ROW].concat());
    assert_eq!(output.status.code(), Some(4), "the default mirror is not asked");
}

/// A workflow that calls the program with a flag that it does not have fails only where nobody looks.
#[test]
fn the_workflow_for_other_repositories_uses_flags_that_there_are() {
    let place = Place::new();
    let workflow = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".github/workflows/package.yml");
    let text = std::fs::read_to_string(workflow).unwrap();
    let lines = || text.lines().filter(|line| line.contains("set -- "));
    let flags = |line: &str| -> Vec<String> {
        let words = line.split_whitespace().map(|word| word.trim_end_matches(';'));
        words.filter(|word| word.starts_with("--") && *word != "--").map(Into::into).collect()
    };
    let help = |verb: &[&str]| String::from_utf8(place.run(&[verb, &["--help"]].concat()).stdout).unwrap();
    for (verb, words) in [("build", &["build"][..]), ("verify", &["feed", "verify"]), ("test", &["test"])] {
        let own = lines().find(|line| line.trim_start().starts_with(&format!("{verb})"))).unwrap();
        assert!(own.contains(&format!("set -- {} ", words.join(" "))), "{own}");
        let help = help(words);
        let shared = lines().filter(|line| !line.contains(";;"));
        let flags: Vec<String> = shared.chain([own]).flat_map(flags).collect();
        for flag in ["--release", "--recipes", "--packages", "--feed", "--scenarios"] {
            assert!(flags.contains(&flag.into()), "{flag}: {flags:?}");
        }
        for flag in flags {
            assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")), "{verb} {flag}");
        }
    }
}
