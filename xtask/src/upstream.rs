//! OpenWrt's releases, according to the command line and the repository.

use camino::Utf8PathBuf;
use model::Result;
use sdk::openwrt::{DEFAULT_MIRROR, Keys, Lockfile, Matrix, Mirror, Patience, Resolved, Role, Row, Upstream};

use crate::Ctx;
use crate::cli::openwrt::{OpenWrt, Source};

/// Reads the supported releases and targets.
pub fn matrix(ctx: &Ctx) -> Result<Matrix> {
    Matrix::load(&matrix_path(ctx))
}

/// Path of the matrix.
pub fn matrix_path(ctx: &Ctx) -> Utf8PathBuf {
    ctx.root.join("feeds/matrix.yaml")
}

/// Path of the lock.
pub fn lock_path(ctx: &Ctx) -> Utf8PathBuf {
    ctx.root.join("openwrt.lock")
}

/// The mirror and trusted keys according to the flags.
pub fn upstream(ctx: &Ctx, source: &Source) -> Result<Upstream> {
    let patience = Patience::default();
    Ok(Upstream {
        mirror: Mirror::named(source.mirror.as_deref().unwrap_or(DEFAULT_MIRROR), &patience)?,
        keys: Keys::load(&ctx.root.join("feeds/openwrt-keys"), &source.release_keys)?,
        cache: ctx.cache.clone(),
        offline: ctx.offline,
        lock_timeout: ctx.lock_timeout,
        patience,
        events: ctx.events.clone(),
        cancel: ctx.cancel.clone(),
    })
}

/// What a row offers, and its files for these roles in the cache: as locked, or as on the mirror.
pub fn obtain(ctx: &Ctx, wanted: &OpenWrt, row: &Row, roles: &[Role]) -> Result<(Resolved, Vec<Utf8PathBuf>)> {
    let upstream = upstream(ctx, &wanted.source)?;
    if !wanted.locked {
        return upstream.obtain(row, roles);
    }
    let locked = Lockfile::load(&lock_path(ctx))?.get(row)?.clone();
    let files = upstream.fetch_roles(&locked, roles)?;
    Ok((locked, files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::tests::ctx;
    use camino::Utf8Path;
    use model::{Events, Exit};
    use sdk::openwrt::fixture::MiniMirror;

    #[test]
    fn locked_takes_what_is_locked_though_the_mirror_moved_on() {
        let (mirror, folder) = (MiniMirror::new(), tempfile::tempdir().unwrap());
        let sdk = mirror.publish_standard("SNAPSHOT", "x86/64");
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let mut ctx = ctx(root, Events::discard());
        let row = matrix(&ctx).unwrap().row("main", "x86/64").unwrap();
        let source = Source { mirror: Some(mirror.root().to_string()), release_keys: vec![mirror.key_file()] };
        let mut wanted = OpenWrt { release: Some("main".into()), locked: false, source };
        // Its keys and matrix are those of the workspace; only the lock is elsewhere.
        let (resolved, files) = obtain(&ctx, &wanted, &row, &[Role::Sdk]).unwrap();
        std::fs::create_dir_all(root.join("feeds/openwrt-keys")).unwrap();
        ctx.root = root.to_owned();
        wanted.locked = true;
        let failure = obtain(&ctx, &wanted, &row, &[Role::Sdk]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Mismatch);
        assert!(failure.finding().fix.contains("cargo xtask lock --release SNAPSHOT"), "{failure}");

        let mut lock = Lockfile::default();
        lock.put(resolved.clone());
        std::fs::write(lock_path(&ctx), lock.text().unwrap()).unwrap();
        mirror.publish("SNAPSHOT", "x86/64", &[(&sdk, b"the next build")]);
        assert_eq!(obtain(&ctx, &wanted, &row, &[Role::Sdk]).unwrap(), (resolved, files));
        wanted.locked = false;
        let (_, moved) = obtain(&ctx, &wanted, &row, &[Role::Sdk]).unwrap();
        assert_eq!(std::fs::read_to_string(&moved[0]).unwrap(), "the next build");
        let removed = crate::stage::clean(&ctx.cache, &[], std::time::SystemTime::now()).unwrap();
        assert!(removed >= 2 && !moved[0].exists(), "clean knows the layout of the downloads");
    }
}
