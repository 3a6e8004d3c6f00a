//! opkg's maintainer scripts: when they run, with which arguments and environment.
//!
//! As in opkg, with `PKG_ROOT` and `PKG_UPGRADE`.

use camino::Utf8Path;

use super::config::Config;
use super::status::info_file;
use crate::error::Result;
use crate::root::Root;
use crate::script::{self, Script};

/// One call of one script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Name of the package.
    pub(crate) package: &'a str,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub(crate) script: &'static str,
    /// Its arguments, such as `upgrade 1.0-r1`.
    pub(crate) words: &'a [&'a str],
    /// Whether this is part of an upgrade.
    pub(crate) upgrade: bool,
}

/// Runs a script in the info directory; does nothing if the package has no such script.
pub(crate) fn run(root: &Root, config: &Config, call: Call) -> Result<()> {
    let path = info_file(call.package, call.script);
    if !config.run_scripts || root.kind(&path)?.is_none() {
        return Ok(());
    }
    run_file(root, config, call, &root.outside(&path))
}

/// Runs a script outside the info directory, such as that of a package to be installed.
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
            // OpenWrt's scripts look at this variable: it is empty on the running system.
            ("IPKG_INSTROOT", script::outside(root)),
            ("PKG_UPGRADE", if call.upgrade { "1" } else { "0" }),
        ],
    };
    script.run()
}
