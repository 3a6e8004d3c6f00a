//! Runs the host's programs as part of a stage, with their output as events.

use std::ffi::OsString;
use std::time::Duration;

use camino::Utf8Path;
use host::{Ended, Job};
use model::Result;

use crate::Ctx;

/// Runs `words` in `folder` until it ends, for at most `limit`; every line of output becomes an event of `stage` and is
/// passed to `each`. A program that fails is no error here: look at [`Ended`].
pub fn run(
    ctx: &Ctx,
    stage: &str,
    words: &[OsString],
    folder: &Utf8Path,
    limit: Duration,
    mut each: impl FnMut(&str),
) -> Result<Ended> {
    Job::of_words(words, folder, limit).lines(&ctx.cancel, |line| {
        each(line);
        ctx.events.line(stage, line);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use model::{Event, Events};

    #[test]
    fn each_line_is_an_event_of_the_stage() {
        let (sender, events) = std::sync::mpsc::channel();
        let ctx = ctx("/tmp".into(), Events::to(sender));
        let words = ["sh", "-c", "echo out; echo err >&2; exit 3"].map(OsString::from);
        let mut seen = Vec::new();
        let limit = Duration::from_secs(20);
        let ended = run(&ctx, "test", &words, "/".into(), limit, |line| seen.push(line.to_owned())).unwrap();
        assert_eq!((ended.code, seen), (Some(3), vec!["out".to_owned(), "err".to_owned()]));
        let told: Vec<Event> = events.try_iter().collect();
        let line = |text: &str| Event::Line { stage: "test".into(), text: text.into() };
        assert_eq!(told, [line("out"), line("err")]);
    }
}
