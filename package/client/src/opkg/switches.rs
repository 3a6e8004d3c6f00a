//! opkg's switches: what is only done when the user asks for it.

/// Options of opkg; all are off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// Installs a package despite a conflict, and removes one although others need it. Its own dependencies must still
    /// be satisfied, as with opkg, so a module of another kernel stays out.
    pub force_depends: bool,
    /// Lets a file, or a dependency, be older than the installed version.
    pub force_downgrade: bool,
    /// Overwrites conffiles, even if the user changed them.
    pub force_maintainer: bool,
    /// Overwrites files of other packages.
    pub force_overwrite: bool,
    /// Installs packages again that are already installed.
    pub force_reinstall: bool,
    /// Removes the packages that need a removed one.
    pub force_removal_of_dependent_packages: bool,
    /// Removes dependencies that nothing needs any more.
    pub autoremove: bool,
    /// Installs only the named packages. Their dependencies must still be available.
    pub nodeps: bool,
}

impl Switches {
    /// The switch with this name in the command line or in a configuration file.
    pub fn named(&mut self, option: &str) -> Option<&mut bool> {
        Some(match option.replace('-', "_").as_str() {
            "force_depends" => &mut self.force_depends,
            "force_downgrade" => &mut self.force_downgrade,
            "force_maintainer" => &mut self.force_maintainer,
            "force_overwrite" => &mut self.force_overwrite,
            "force_reinstall" => &mut self.force_reinstall,
            "force_removal_of_dependent_packages" | "recursive" => &mut self.force_removal_of_dependent_packages,
            "autoremove" => &mut self.autoremove,
            "nodeps" => &mut self.nodeps,
            _ => return None,
        })
    }
}
