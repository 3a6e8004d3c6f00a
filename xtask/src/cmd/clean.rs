//! `clean`: removes finished stages, all or by age and name; never keys and results.

use std::time::{Duration, SystemTime};

use host::files;
use model::Result;

use crate::Outcome;
use crate::cli::CleanArgs;
use crate::{Ctx, pipeline, stage};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes the requested stages, except those that another run is working on.
pub fn run(ctx: &Ctx, args: &CleanArgs) -> Result<Outcome> {
    let CleanArgs { older_than, stages } = args;
    let now = SystemTime::now();
    let before = match older_than {
        Some(days) => now.checked_sub(DAY.saturating_mul(*days)).unwrap_or(SystemTime::UNIX_EPOCH),
        // Stages must be removable even if the clock was set back.
        None => now + DAY.saturating_mul(365 * 1000),
    };
    let removed = stage::clean(&ctx.cache, stages, before)?;
    if older_than.is_none() && stages.is_empty() {
        files::remove(&pipeline::toolchains(ctx))?;
    }
    Ok(Outcome::done(format!("removed {removed} stages from {}", ctx.cache)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use camino::Utf8Path;
    use model::Events;

    #[test]
    fn age_decides_and_nothing_but_the_cache_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = ctx(Utf8Path::from_path(folder.path()).unwrap(), Events::discard());
        let toolchains = pipeline::toolchains(&ctx);
        [&ctx.keys, &toolchains].into_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        let one = stage::Stage { name: "one", by: stage::By::Version(1) };
        stage::stage(&ctx, &one, &stage::Inputs::new("a test"), |_| Ok(String::new())).unwrap();
        let clean = |older_than| run(&ctx, &CleanArgs { older_than, stages: Vec::new() }).unwrap().data;
        assert!(clean(Some(1)).starts_with("removed 0 "));
        assert!(clean(Some(u32::MAX)).starts_with("removed 0 ") && toolchains.is_dir());
        assert!(clean(None).starts_with("removed 1 "));
        assert!(ctx.keys.is_dir() && !toolchains.exists());
    }
}
