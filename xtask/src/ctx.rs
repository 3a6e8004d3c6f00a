//! What every verb works with: paths, limits, and the ways to report and to be interrupted.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Events, Exit, Failure, Problem, Result};

use crate::cli::{Global, MessageFormat};
use crate::code::{Code, Workspace};

/// Name of our folder in the user's cache and configuration folders.
const FOLDER: &str = "openwrt-offload";

/// Settings of one run. There is no other global state, and only relative paths from the user depend on the current
/// folder.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The workspace: the folder that contains `xtask/`.
    pub root: Utf8PathBuf,
    /// Folders of recipes: ours, then the user's.
    pub recipes: Vec<Utf8PathBuf>,
    /// Packages that were built elsewhere, or folders with some.
    pub packages: Vec<Utf8PathBuf>,
    /// Folder of OpenWrt packages with their own Makefiles.
    pub feed: Option<Utf8PathBuf>,
    /// The folder of scenarios.
    pub scenarios: Utf8PathBuf,
    /// Whether the user named that folder.
    pub own_scenarios: bool,
    /// Finished stages, safe to delete: `$XDG_CACHE_HOME/openwrt-offload`.
    pub cache: Utf8PathBuf,
    /// Signing keys, never inside a work tree: `$XDG_CONFIG_HOME/openwrt-offload/keys`.
    pub keys: Utf8PathBuf,
    /// Results for the user.
    pub out: Utf8PathBuf,
    /// Number of parallel jobs.
    pub jobs: NonZeroUsize,
    /// Number of parallel routers: scenarios spend a third of their time waiting, so one more than there are cores is
    /// fine.
    pub routers: NonZeroUsize,
    /// Use no sockets but loopback.
    pub offline: bool,
    /// Whether programs, not people, read a verb's output.
    pub json: bool,
    /// Install what the host lacks.
    pub install_deps: bool,
    /// How long to wait for another run's lock.
    pub lock_timeout: Duration,
    /// The cargo that started us.
    pub cargo: OsString,
    /// Where events go.
    pub events: Events,
    /// Set when the user interrupts.
    pub cancel: Cancel,
    /// Stages that this run has already reported, so that each is reported once.
    pub(crate) told: Arc<Mutex<BTreeSet<Utf8PathBuf>>>,
    /// See [`Ctx::code`].
    pub(crate) code: Arc<OnceLock<Code>>,
}

impl Ctx {
    /// Determines paths from the flags and the environment; creates nothing.
    pub fn new(global: &Global, events: Events, cancel: Cancel) -> Result<Self> {
        Ctx::with_environment(global, events, cancel, |name| std::env::var_os(name))
    }

    fn with_environment(
        global: &Global,
        events: Events,
        cancel: Cancel,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::io("find the current folder", ".", &error))
            .and_then(|path| utf8(path.into_os_string(), "the current folder"))?;
        let root = match environment("CARGO_MANIFEST_DIR") {
            Some(manifest) => utf8(manifest, "CARGO_MANIFEST_DIR")?,
            None => here.clone(),
        };
        let root = workspace_above(&root)?;
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Ctx {
            recipes: std::iter::once(root.join("package/recipes"))
                .chain(global.recipes.as_ref().map(|folder| here.join(folder)))
                .collect(),
            packages: global.packages.iter().map(|path| here.join(path)).collect(),
            feed: global.feed.as_ref().map(|path| here.join(path)),
            own_scenarios: global.scenarios.is_some(),
            scenarios: global.scenarios.as_ref().map_or(root.join("tests/scenarios"), |folder| here.join(folder)),
            root,
            cache: below_home(&environment, "XDG_CACHE_HOME", ".cache")?,
            keys: below_home(&environment, "XDG_CONFIG_HOME", ".config")?.join("keys"),
            out: here.join(&global.out),
            jobs: global.jobs.unwrap_or(cores),
            routers: global.jobs.unwrap_or(cores.saturating_add(1)),
            offline: global.offline,
            json: global.message_format == MessageFormat::Json,
            install_deps: global.install_deps,
            lock_timeout: Duration::from_secs(global.lock_timeout),
            cargo: environment("CARGO").unwrap_or_else(|| "cargo".into()),
            events,
            cancel,
            told: Arc::default(),
            code: Arc::default(),
        })
    }

    /// The code of this program, read on first use.
    ///
    /// # Errors
    /// When the user interrupts, or the program cannot be read.
    pub fn code(&self) -> Result<&Code> {
        match self.code.get() {
            Some(code) => Ok(code),
            None => Code::of_this_program(&self.cargo, &self.cancel).map(|code| self.code.get_or_init(|| code)),
        }
    }

    /// The workspace that programs for routers are built from.
    ///
    /// # Errors
    /// `SRC001` when cargo fails.
    pub fn workspace(&self) -> Result<Workspace> {
        Workspace::read(&self.cargo, &self.root, &self.cancel)
    }
}

/// The nearest folder, from `start` upwards, that contains this workspace.
fn workspace_above(start: &Utf8Path) -> Result<Utf8PathBuf> {
    start.ancestors().find(|folder| folder.join("xtask/model/Cargo.toml").is_file()).map(Utf8Path::to_owned).ok_or_else(
        || {
            Failure::of(Problem {
                exit: Exit::Usage,
                id: "ENV001",
                what: format!("the workspace was not found from {start} upwards"),
                why: "scenarios, recipes and machines are read from the source tree",
                fix: "run `cargo xtask` inside a checkout",
            })
        },
    )
}

/// `$VARIABLE/openwrt-offload`, otherwise `$HOME/FALLBACK/openwrt-offload` (XDG base directories: a value that is not
/// absolute is ignored).
fn below_home(environment: &impl Fn(&str) -> Option<OsString>, variable: &str, fallback: &str) -> Result<Utf8PathBuf> {
    let absolute = |name: &str| -> Result<Option<Utf8PathBuf>> {
        let path = environment(name).map(|value| utf8(value, name)).transpose()?;
        Ok(path.filter(|path| path.is_absolute()))
    };
    if let Some(base) = absolute(variable)? {
        return Ok(base.join(FOLDER));
    }
    if let Some(home) = absolute("HOME")? {
        return Ok(home.join(fallback).join(FOLDER));
    }
    Err(Failure::of(Problem {
        exit: Exit::Usage,
        id: "ENV002",
        what: format!("neither {variable} nor HOME names a folder"),
        why: "finished stages and keys are kept outside the source tree",
        fix: format!("set {variable} to an absolute path"),
    }))
}

fn utf8(path: OsString, what: &str) -> Result<Utf8PathBuf> {
    let lossy = path.to_string_lossy().into_owned();
    Utf8PathBuf::from_path_buf(path.into()).map_err(|_| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "ENV003",
            what: format!("{what} is not UTF-8: {lossy}"),
            why: "paths end up in reports and in package metadata",
            fix: "use a folder whose name is UTF-8",
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::Color;
    use std::os::unix::ffi::OsStringExt;

    pub(crate) fn global() -> Global {
        Global {
            verbose: 0,
            quiet: false,
            color: Color::Never,
            message_format: MessageFormat::Human,
            offline: false,
            install_deps: false,
            jobs: None,
            out: "target/offload".into(),
            recipes: None,
            packages: Vec::new(),
            feed: None,
            scenarios: None,
            lock_timeout: 600,
        }
    }

    /// A context whose cache, keys and results are below `folder`.
    pub(crate) fn ctx(folder: &Utf8Path, events: Events) -> Ctx {
        let mut ctx = Ctx::new(&global(), events, Cancel::default()).unwrap();
        ctx.cache = folder.join("cache");
        ctx.keys = folder.join("keys");
        ctx.out = folder.join("out");
        ctx.code = Arc::new(Code::fixed("a test").into());
        ctx
    }

    fn with(variables: &[(&'static str, &[u8])]) -> Result<Ctx> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, OsString::from_vec(value.to_vec()))).collect();
        Ctx::with_environment(&global(), Events::discard(), Cancel::default(), |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn there_is_a_router_more_than_jobs_unless_the_user_says_how_many() {
        let ctx = |jobs| Ctx::new(&Global { jobs, ..global() }, Events::discard(), Cancel::default()).unwrap();
        let default = ctx(None);
        assert_eq!(default.routers.get(), default.jobs.get() + 1);
        let three = ctx(NonZeroUsize::new(3));
        assert_eq!((three.jobs.get(), three.routers.get()), (3, 3));
    }

    #[test]
    fn places_follow_the_xdg_variables_and_fall_back_to_home() {
        let ctx = with(&[("HOME", b"/h")]).unwrap();
        assert_eq!(ctx.cache, "/h/.cache/openwrt-offload");
        assert_eq!(ctx.keys, "/h/.config/openwrt-offload/keys");
        assert!(ctx.root.join("xtask/src/ctx.rs").is_file(), "{}", ctx.root);
        assert!(ctx.out.is_absolute());
        let ctx = with(&[("HOME", b"/h"), ("XDG_CACHE_HOME", b"/c"), ("XDG_CONFIG_HOME", b"not/absolute")]).unwrap();
        assert_eq!(ctx.cache, "/c/openwrt-offload");
        assert_eq!(ctx.keys, "/h/.config/openwrt-offload/keys");
    }

    #[test]
    fn further_recipes_come_after_ours_and_other_scenarios_in_their_place() {
        let ctx = with(&[("HOME", b"/h")]).unwrap();
        assert_eq!(ctx.recipes, [ctx.root.join("package/recipes")]);
        assert!(ctx.scenarios.join("install-and-load.yaml").is_file(), "{}", ctx.scenarios);
        let global = Global { recipes: Some("/r".into()), scenarios: Some("mine".into()), ..global() };
        let theirs = Ctx::new(&global, Events::discard(), Cancel::default()).unwrap();
        assert_eq!(theirs.recipes, [ctx.recipes[0].clone(), "/r".into()]);
        assert!(theirs.scenarios.is_absolute() && theirs.scenarios.ends_with("mine"));
    }

    #[test]
    fn an_unusable_environment_is_refused_with_its_id() {
        for (variables, id) in [
            (&[("HOME", &b"/h"[..]), ("CARGO_MANIFEST_DIR", b"/nowhere")][..], "ENV001"),
            (&[], "ENV002"),
            (&[("HOME", b"relative")], "ENV002"),
            (&[("HOME", b"/h\xff")], "ENV003"),
        ] {
            let failure = with(variables).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), (id, Exit::Usage));
        }
    }
}
