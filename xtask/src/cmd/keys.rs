//! `keys`: manages the keys that sign the feed. Secret halves are never printed.

use feeds::keys::{Keys, PublicFile};
use formats::Format;
use model::Result;

use crate::Ctx;
use crate::Outcome;
use crate::cli::feed::{KeysAction, KeysArgs};
use crate::feed_config::FeedConfig;

/// Does what was requested, and shows the resulting keys.
pub fn run(ctx: &Ctx, args: &KeysArgs) -> Result<Outcome> {
    let KeysArgs { action } = args;
    let files = FeedConfig::load(ctx)?.key_files(ctx);
    let file_of = |format| match format {
        Format::Ipk => &files.opkg,
        Format::Apk => &files.apk,
    };
    let keys = match action {
        KeysAction::New { next: false } => files.load_or_create()?,
        KeysAction::New { next: true } => files.create_next()?,
        KeysAction::Rotate => files.rotate()?,
        KeysAction::Show | KeysAction::Check => files.load()?,
    };
    let data = match action {
        KeysAction::Show => show(&keys)?,
        KeysAction::Check => lines(&keys, |key| {
            let next = if key.is_next { ".next" } else { "" };
            format!("{} {} ok, private: {}{next}", key.format.manager(), key.id, file_of(key.format))
        })?,
        KeysAction::New { .. } | KeysAction::Rotate => lines(&keys, |key| {
            let role = if key.is_next { "next" } else { "signs" };
            format!("{} {} {role}, on routers: {}", key.format.manager(), key.id, key.path())
        })?,
    };
    Ok(Outcome::done(data))
}

/// Each public key with its path on a router, ready to be copied there.
fn show(keys: &Keys) -> Result<String> {
    lines(keys, |key| {
        let role = if key.is_next { "will sign after the next rotation" } else { "signs" };
        format!("# {}: {} {role}\n# {}\n{}", key.format.manager(), key.id, key.path(), key.text)
    })
}

fn lines(keys: &Keys, line: impl Fn(&PublicFile) -> String) -> Result<String> {
    Ok(keys.public_files()?.iter().map(line).collect::<Vec<_>>().join("\n").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use camino::Utf8Path;
    use model::Events;

    #[test]
    fn keys_are_made_shown_checked_and_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::discard());
        let keys = |action| run(&ctx, &KeysArgs { action }).map(|outcome| outcome.data);
        assert_eq!(keys(KeysAction::Show).unwrap_err().id(), "KEY003");
        assert_eq!(keys(KeysAction::Check).unwrap_err().id(), "KEY003");
        let made = keys(KeysAction::New { next: false }).unwrap();
        assert_eq!(made.lines().count(), 2, "{made}");
        assert_eq!(keys(KeysAction::New { next: false }).unwrap(), made, "what is there is kept");
        let checked = keys(KeysAction::Check).unwrap();
        assert!(checked.contains(&format!("ok, private: {}/ec.pem", ctx.keys)), "{checked}");

        let shown = keys(KeysAction::Show).unwrap();
        assert!(shown.contains("# /etc/opkg/keys/") && shown.contains("# /etc/apk/keys/"), "{shown}");
        assert!(shown.contains("-----BEGIN PUBLIC KEY-----"), "{shown}");
        for file in ["usign.sec", "ec.pem"] {
            let secret = std::fs::read_to_string(ctx.keys.join(file)).unwrap();
            let secret_line = secret.lines().nth(1).unwrap();
            for text in [&made, &checked, &shown] {
                assert!(!text.contains(secret_line) && !text.contains("PRIVATE"), "{file}: {text}");
            }
        }

        assert_eq!(keys(KeysAction::Rotate).unwrap_err().id(), "KEY004");
        let both = keys(KeysAction::New { next: true }).unwrap();
        assert_eq!(both.lines().filter(|line| line.contains(" next, ")).count(), 2, "{both}");
        assert!(keys(KeysAction::Check).unwrap().contains("ec.pem.next"));
        let rotated = keys(KeysAction::Rotate).unwrap();
        assert!(both.replace(" next, ", " signs, ").contains(&rotated.lines().next().unwrap().to_owned()));
        assert!(made.lines().all(|line| !rotated.contains(line)), "{rotated}");
    }
}
