//! What a scenario needs of the router's image besides packages of the feed: images differ in what they have.
//!
//! The router itself is asked, when it has started. The stand-in has all that the scenarios here need, so what it
//! lacks is a defect; a release's image is as it is, and a scenario that it cannot run is skipped with the reason.

use serde::Deserialize;

/// Programs, files and modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Needs {
    /// Programs in PATH, or files by their full path.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Kernel modules of the image; those that are not in use yet are loaded.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Packages that the image must not have yet; a release's has the kmods that its firewall needs.
    #[serde(default)]
    pub without: Vec<String>,
    /// The LAN's card must have the LAN's address itself; a release's is a port of a bridge that has it.
    #[serde(default)]
    pub bare_lan: bool,
}

/// A shell script that prints what is amiss of its words: modules, `--`, packages that must not be there, `--`, programs.
const ASK: &str = r#"
release=$(uname -r)
has_module() {
	[ -d "/sys/module/$1" ] || grep -qs "/$1\.ko" "/lib/modules/$release/modules.builtin" || modprobe "$1" 2>/dev/null
}
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	has_module "$1" || echo "lacks the module $1"
	shift
done
shift
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	for list in "/usr/lib/opkg/info/$1.list" "/lib/apk/packages/$1.list"; do
		[ ! -e "$list" ] || echo "has the package $1 already"
	done
	shift
done
shift
for program; do
	case $program in
	/*) [ -e "$program" ] || echo "lacks $program" ;;
	*) command -v "$program" >/dev/null || echo "lacks the program $program" ;;
	esac
done
"#;

/// The same for the LAN's card.
const ASK_FOR_BARE_LAN: &str = "[ ! -e /sys/class/net/eth0/brport ] || echo 'has its LAN card in a bridge'\n";

impl Needs {
    /// The question for the router's shell, if there is anything to ask.
    pub fn script(&self) -> Option<String> {
        if self.programs.is_empty() && self.modules.is_empty() && self.without.is_empty() && !self.bare_lan {
            return None;
        }
        let lan = if self.bare_lan { ASK_FOR_BARE_LAN } else { "" };
        let lists = [&self.modules, &self.without, &self.programs].map(|list| list.join(" "));
        Some(format!("{lan}set -- {}\n{ASK}", lists.join(" -- ")))
    }

    /// The first name that a shell would read as something else than a word.
    pub(super) fn unfit(&self) -> Option<&str> {
        let plain = |name: &&String| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte))
        };
        self.programs.iter().chain(&self.modules).chain(&self.without).find(|name| !plain(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn needs(modules: &[&str], programs: &[&str]) -> Needs {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Needs { programs: owned(programs), modules: owned(modules), without: owned(&["kmod-none"]), bare_lan: false }
    }

    #[test]
    fn the_router_names_what_it_lacks() {
        let needs = needs(&["no_such_module"], &["sh", "/etc/passwd", "no-such-program", "/no/such/file"]);
        let output = Command::new("sh").args(["-c", &needs.script().unwrap()]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let expected = ["lacks the module no_such_module", "lacks the program no-such-program", "lacks /no/such/file"];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
        assert!(output.status.success());
    }

    #[test]
    fn a_lan_in_a_bridge_is_told_where_that_matters() {
        let needs = Needs { bare_lan: true, ..Needs::default() };
        let folder = tempfile::tempdir().unwrap();
        let script = needs.script().unwrap().replace("/sys/class/net", folder.path().to_str().unwrap());
        let said = || {
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(said(), "");
        std::fs::create_dir_all(folder.path().join("eth0/brport")).unwrap();
        assert_eq!(said(), "has its LAN card in a bridge\n");
    }

    #[test]
    fn nothing_is_asked_where_nothing_is_needed_and_nothing_but_words() {
        assert_eq!(Needs::default().script(), None);
        assert_eq!(needs(&["8021q"], &["/usr/lib/a_b.so", "tc"]).unfit(), None);
        for name in ["", "a b", "$(x)", "--", "a;b"] {
            assert_eq!(needs(&[name], &[]).unfit(), Some(name));
        }
    }
}
