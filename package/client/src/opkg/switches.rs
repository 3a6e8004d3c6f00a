//! What is only done when the user says so, under the names that opkg has for it.

/// Options of opkg; all of them are off unless they are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// A package comes though it and another exclude each other, and goes though others need it. What it needs itself
    /// must still be there or come along, as with opkg: a module of another kernel stays out.
    pub force_depends: bool,
    /// A file, or what a package needs, may be older than what is installed.
    pub force_downgrade: bool,
    /// Files of other packages are taken over.
    pub force_overwrite: bool,
    /// What is installed is put in place once more.
    pub force_reinstall: bool,
    /// What needs a package goes with it.
    pub force_removal_of_dependent_packages: bool,
    /// What came along with a package, and nobody needs any more, goes with it.
    pub autoremove: bool,
    /// Only what is named comes. What it needs must still be had.
    pub nodeps: bool,
}

impl Switches {
    /// The switch that an option of the command line or a configuration file names.
    pub fn named(&mut self, option: &str) -> Option<&mut bool> {
        Some(match option.replace('-', "_").as_str() {
            "force_depends" => &mut self.force_depends,
            "force_downgrade" => &mut self.force_downgrade,
            "force_overwrite" => &mut self.force_overwrite,
            "force_reinstall" => &mut self.force_reinstall,
            "force_removal_of_dependent_packages" | "recursive" => &mut self.force_removal_of_dependent_packages,
            "autoremove" => &mut self.autoremove,
            "nodeps" => &mut self.nodeps,
            _ => return None,
        })
    }
}
