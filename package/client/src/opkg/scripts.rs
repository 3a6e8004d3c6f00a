//! Maintainer scripts: when they run, with what words and what environment.
//!
//! As opkg runs them, with `PKG_ROOT` and `PKG_UPGRADE`.

use camino::Utf8Path;

use super::config::Config;
use super::status::info_file;
use crate::error::Result;
use crate::root::Root;
use crate::script::{self, Script};

/// One call of one script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The package.
    pub(crate) package: &'a str,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub(crate) script: &'static str,
    /// What the script is told, such as `upgrade 1.0-r1`.
    pub(crate) words: &'a [&'a str],
    /// Whether an upgrade is going on.
    pub(crate) upgrade: bool,
}

/// Runs a script from the info directory; a package without that script is fine.
pub(crate) fn run(root: &Root, config: &Config, call: Call) -> Result<()> {
    let path = info_file(call.package, call.script);
    if !config.run_scripts || root.kind(&path)?.is_none() {
        return Ok(());
    }
    run_file(root, config, call, &root.outside(&path))
}

/// Runs a script that lies outside of the info directory, such as the one of a package to come.
pub(crate) fn run_file(root: &Root, config: &Config, call: Call, path: &Utf8Path) -> Result<()> {
    if !config.run_scripts {
        return Ok(());
    }
    let script = Script {
        package: call.package,
        name: call.script,
        path,
        words: call.words,
        environment: vec![
            ("PKG_ROOT", root.path().as_str()),
            // What OpenWrt's own scripts look at: empty on the system that they run on.
            ("IPKG_INSTROOT", script::outside(root)),
            ("PKG_UPGRADE", if call.upgrade { "1" } else { "0" }),
        ],
    };
    script.run()
}
