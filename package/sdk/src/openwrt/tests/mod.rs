//! Tests with a miniature mirror, as a directory and served by a server that misbehaves.

mod downloads;
mod lists;
mod published;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Event, Events, Failure};

use super::fixture::{MiniMirror, Server};
use super::{Artifact, Keys, Matrix, Mirror, Patience, Resolved, Role, Row, Upstream};

/// A release and target that most tests use.
const RELEASE: &str = "25.12.5";
const TARGET: &str = "x86/64";

/// How long a server may be silent where that is not tested: far more than a loaded machine needs.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

fn matrix() -> Matrix {
    Matrix::load(&Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../feeds/matrix.yaml")).unwrap()
}

fn row(release: &str, target: &str) -> Row {
    matrix().row(release, target).unwrap()
}

/// A mirror, a cache and the reported events.
struct Bench {
    mirror: MiniMirror,
    cache: tempfile::TempDir,
    events: std::sync::mpsc::Receiver<Event>,
    sender: Events,
    patience: Patience,
}

impl Bench {
    /// A bench with the standard release.
    fn new() -> Self {
        let mirror = MiniMirror::new();
        mirror.publish_standard(RELEASE, TARGET);
        let (sender, events) = std::sync::mpsc::channel();
        let pause = Duration::from_millis(1);
        Bench {
            mirror,
            cache: tempfile::tempdir().unwrap(),
            events,
            sender: Events::to(sender),
            patience: Patience { connect: LONG, silence: LONG, least: 1, attempts: 3, pause },
        }
    }

    fn cache(&self) -> &Utf8Path {
        Utf8Path::from_path(self.cache.path()).unwrap()
    }

    fn upstream(&self, mirror: &str) -> Upstream {
        Upstream {
            mirror: Mirror::named(mirror, &self.patience).unwrap(),
            keys: Keys::load(self.cache(), &[self.mirror.key_file()]).unwrap(),
            cache: self.cache().to_owned(),
            offline: false,
            lock_timeout: LONG,
            patience: self.patience.clone(),
            events: self.sender.clone(),
            cancel: Cancel::default(),
        }
    }

    fn at(&self, server: &Server) -> Upstream {
        self.upstream(&server.url())
    }

    fn directory(&self) -> Upstream {
        self.upstream(self.mirror.root().as_str())
    }

    /// Names of the files in the store, without the digests.
    fn store(&self) -> Vec<String> {
        let Ok(entries) = self.cache().join("openwrt-files").read_dir_utf8() else { return Vec::new() };
        let mut endings: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().split_once('.').map_or("file".into(), |(_, end)| end.to_owned()))
            .collect();
        endings.sort();
        endings
    }

    fn lines(&self) -> Vec<String> {
        let text = |event| match event {
            Event::Line { text, .. } => Some(text),
            _ => None,
        };
        self.events.try_iter().filter_map(text).collect()
    }
}

fn standard() -> Row {
    row(RELEASE, TARGET)
}

fn sdk(resolved: &Resolved) -> Artifact {
    resolved.require(Role::Sdk).unwrap().clone()
}

fn read(path: &Utf8PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn id(outcome: Result<impl std::fmt::Debug, Failure>) -> (&'static str, model::Exit) {
    let failure = outcome.unwrap_err();
    let finding = failure.finding();
    assert!(!finding.what.is_empty() && !finding.why.is_empty() && !finding.fix.is_empty(), "{failure}");
    (failure.id(), failure.exit())
}
