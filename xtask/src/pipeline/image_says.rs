//! What a release's image has installed, and whose signatures its apk trusts: the booted router is asked once.

use std::time::Duration;

use formats::ec;
use model::{Deadline, Exit, Failure, Problem, Result};
use sdk::openwrt::Held;
use vm::guest::Guest;
use vm::lab::Plan;

use super::router::Router;
use super::stages::IMAGE_SAYS;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// Deadline of the question, on a machine that compiles meanwhile.
const COMMAND: Duration = Duration::from_secs(120);

/// The file with the answer, in the stage's folder.
const ANSWER: &str = "answer";

/// Between packages and keys.
const KEYS: &str = "-- keys";

/// Prints name, version and provided names of the installed packages of either manager, and apk's keys.
const ASK: &str = "grep -hs '^Package: \\|^Version: \\|^Provides: \\|^Status: \\|^$' /usr/lib/opkg/status
grep -hs '^[PVp]:\\|^$' /lib/apk/db/installed
echo '-- keys'
cat /etc/apk/keys/* 2>/dev/null
true";

/// An image's answer.
#[derive(Debug, Default)]
pub(super) struct ImageSays {
    /// The packages that are installed.
    pub(super) held: Held,
    /// Public keys of apk.
    pub(super) keys: Vec<ec::PublicKey>,
}

/// Asks the image.
pub(super) fn ask(ctx: &Ctx, router: &Router) -> Result<ImageSays> {
    let state = router.state.parent().unwrap_or(&router.state);
    let inputs = Inputs::new(format!("what {} has installed", router.guest.about.label)).stage("state", state);
    kept(ctx, &inputs, || {
        let lab = scenarios::listening(&Plan::masquerade(), None, &ctx.cancel)?;
        let mut session = router.start(ctx, &lab)?;
        let answer = session.script(ASK, Deadline::after(COMMAND))?.text();
        session.power_off(Deadline::after(COMMAND))?;
        Ok(answer)
    })
}

/// The answer, kept for the next run; without a package it is none, and is not kept.
fn kept(ctx: &Ctx, inputs: &Inputs, answer: impl FnOnce() -> Result<String>) -> Result<ImageSays> {
    let folder = stage(ctx, &IMAGE_SAYS, inputs, |out| {
        let answer = answer()?;
        if count(&answer) == 0 {
            return Err(silent(&answer));
        }
        let told = format!("{} packages and {} keys of apk", count(&answer), read(&answer).keys.len());
        host::files::write(&out.join(ANSWER), answer)?;
        Ok(told)
    })?;
    Ok(read(&host::files::read_text(&folder.join(ANSWER))?))
}

fn packages(answer: &str) -> impl Iterator<Item = &str> {
    let (packages, _keys) = answer.split_once(KEYS).unwrap_or((answer, ""));
    packages.split("\n\n").filter(|stanza| !stanza.trim().is_empty())
}

fn count(answer: &str) -> usize {
    packages(answer).count()
}

fn read(answer: &str) -> ImageSays {
    let mut says = ImageSays::default();
    for stanza in packages(answer) {
        let field = |names: [&str; 2]| {
            let value = |line: &'_ str| names.iter().find_map(|name| line.strip_prefix(name)).map(str::to_owned);
            stanza.lines().find_map(value).unwrap_or_default()
        };
        if stanza.lines().any(|line| line.starts_with("Status: ") && !line.ends_with(" installed")) {
            continue;
        }
        let provides = field(["Provides: ", "p:"]);
        let names = provides.split([',', ' ']).filter_map(|item| item.split(['=', '<', '>', '~']).next());
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        says.held.add(&field(["Package: ", "P:"]), &field(["Version: ", "V:"]), names);
    }
    let (_packages, keys) = answer.split_once(KEYS).unwrap_or_default();
    let blocks = keys.split("-----BEGIN").skip(1).map(|block| format!("-----BEGIN{block}"));
    says.keys = blocks.filter_map(|block| ec::PublicKey::parse(&block).ok()).collect();
    says
}

fn silent(answer: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Blocked,
        id: "IMG005",
        what: "the release's image does not say which packages it has",
        why: format!("neither opkg's status nor apk's database lists any: {}", answer.trim()),
        fix: "look for yourself with `cargo xtask boot`; the next run asks again",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use formats::opened::Need;
    use model::Events;

    fn has(says: &ImageSays, name: &str, exact: Option<&str>) -> bool {
        says.held.meets(&Need { names: vec![name.into()], exact: exact.map(str::to_owned) })
    }

    #[test]
    fn an_image_that_says_nothing_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = ctx(camino::Utf8Path::from_path(folder.path()).unwrap(), Events::discard());
        let inputs = Inputs::new("what x has installed");
        let answered = |text: &'static str| kept(&ctx, &inputs, || Ok(text.to_owned()));
        assert_eq!(answered("\n\n-- keys\n").unwrap_err().id(), "IMG005");
        assert!(has(&answered("P:tc\nV:1\n").unwrap(), "tc", None));
        assert!(has(&answered("-- keys\n").unwrap(), "tc", None), "once is enough");
    }

    #[test]
    fn the_databases_of_both_managers_and_apks_keys_are_read() {
        let opkg = "Package: libubox20240329\nVersion: 1-r2\nProvides: libubox, libubox-any=1\n\
            Status: install user installed\n\nPackage: gone\nVersion: 1\nStatus: deinstall user not-installed\n\n";
        let pem = feeds::keys::Keys::generate().unwrap().apk.current.public().to_pem().unwrap();
        let apk = "P:kernel\nV:6.12.94~aa-r1\n\nP:tc-tiny\nV:6.1-r1\np:tc cmd:tc=6.1-r1\n\n";
        let says = read(&format!("{opkg}{apk}{KEYS}\nno key\n{pem}\n{pem}"));
        for name in ["libubox20240329", "libubox", "libubox-any", "tc-tiny", "tc", "cmd:tc"] {
            assert!(has(&says, name, None), "{name}");
        }
        assert!(has(&says, "kernel", Some("6.12.94~aa-r1")) && !has(&says, "kernel", Some("6.12.94~bb-r1")));
        assert!(!has(&says, "gone", None) && !has(&says, "installed", None));
        assert_eq!(says.keys.len(), 2);
        assert_eq!((count(opkg), count("\n\n-- keys\n")), (2, 0));
        let failure = silent("what");
        assert_eq!((failure.id(), failure.exit()), ("IMG005", Exit::Blocked));
    }
}
