//! OpenWrt's firewall as a program to run, found where it is.

use crate::files::Files;
use crate::finding::Finding;
use crate::program::{self, PATIENCE};

/// Where it may be, and the words with which it checks its configuration, where it can.
const PROGRAMS: [(&str, Option<&str>); 2] = [("/sbin/fw4", Some("check")), ("/etc/init.d/firewall", None)];

/// Where firewall4 keeps what it found when it loaded its rules.
const STATE: &str = "/var/run/fw4.state";

/// The firewall of this system.
#[derive(Debug, Clone)]
pub struct Firewall<'a> {
    /// The program's name on the router.
    pub name: &'static str,
    files: &'a Files,
    check: Option<&'static str>,
}

impl Firewall<'_> {
    /// The first of the known programs that is there and may be run.
    ///
    /// # Errors
    /// There is none.
    pub fn find(files: &Files) -> Result<Firewall<'_>, Finding> {
        match PROGRAMS.into_iter().find(|(name, _)| program::exists(files, name)) {
            Some((name, check)) => Ok(Firewall { name, files, check }),
            None => Err(Finding::new(
                "OCTL018",
                "no firewall was found that could be reloaded",
                format!("neither {} nor {} can be run", PROGRAMS[0].0, PROGRAMS[1].0),
                "install firewall4; to see the change only, add --dry-run",
            )),
        }
    }

    /// Whether it has loaded its rules. OpenWrt's notes that in a file; of others it is not known, and taken for granted.
    pub fn is_loaded(&self) -> bool {
        self.name != PROGRAMS[0].0 || self.files.exists(STATE)
    }

    /// Has the configuration checked without loading it, where the firewall is able to.
    ///
    /// # Errors
    /// It does not pass.
    pub fn check(&self) -> Result<(), Finding> {
        self.check.map_or(Ok(()), |word| self.run(word))
    }

    /// Loads the configuration.
    ///
    /// # Errors
    /// The program says that it failed. Some versions fail without saying so: look at the kernel as well.
    pub fn reload(&self) -> Result<(), Finding> {
        self.run("reload")
    }

    fn run(&self, word: &str) -> Result<(), Finding> {
        program::run(self.files, self.name, &[word], "", PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_firewall_it_says_so() {
        assert_eq!(Firewall::find(&Files::below("/nonexistent")).unwrap_err().id, "OCTL018");
    }
}
