//! What a scenario needs of the router's image besides packages of the feed: images differ in what they have.
//!
//! The router itself is asked, when it has started. The stand-in has all that the scenarios here need, so what it
//! lacks is a defect; a release's image is as it is, and a scenario that it cannot run is skipped with the reason.

use serde::Deserialize;

/// Programs, files and modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Programs in PATH, or files by their full path.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Kernel modules of the image; those that are not in use yet are loaded.
    #[serde(default)]
    pub modules: Vec<String>,
}

/// A shell script that prints what is missing of its words: the modules, `--`, the programs.
const ASK: &str = r#"
release=$(uname -r)
has_module() {
	[ -d "/sys/module/$1" ] || grep -qs "/$1\.ko" "/lib/modules/$release/modules.builtin" || modprobe "$1" 2>/dev/null
}
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	has_module "$1" || echo "the module $1"
	shift
done
shift
for program; do
	case $program in
	/*) [ -e "$program" ] || echo "$program" ;;
	*) command -v "$program" >/dev/null || echo "the program $program" ;;
	esac
done
"#;

impl Needs {
    /// The question for the router's shell, if there is anything to ask.
    pub fn script(&self) -> Option<String> {
        if self.programs.is_empty() && self.modules.is_empty() {
            return None;
        }
        let words: Vec<&str> = self
            .modules
            .iter()
            .map(String::as_str)
            .chain(["--"])
            .chain(self.programs.iter().map(String::as_str))
            .collect();
        Some(format!("set -- {}\n{ASK}", words.join(" ")))
    }

    /// The first name that a shell would read as something else than a word.
    pub(super) fn unfit(&self) -> Option<&str> {
        let plain = |name: &&String| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte))
        };
        self.programs.iter().chain(&self.modules).find(|name| !plain(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn needs(modules: &[&str], programs: &[&str]) -> Needs {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Needs { programs: owned(programs), modules: owned(modules) }
    }

    #[test]
    fn the_router_names_what_it_lacks() {
        let needs = needs(&["no_such_module"], &["sh", "/etc/passwd", "no-such-program", "/no/such/file"]);
        let output = Command::new("sh").args(["-c", &needs.script().unwrap()]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let expected = ["the module no_such_module", "the program no-such-program", "/no/such/file"];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
        assert!(output.status.success());
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
