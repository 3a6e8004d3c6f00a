//! What a scenario needs of the router's image besides packages of the feed: images differ in what they have.
//!
//! The router itself is asked, when it has started. The stand-in has all that the scenarios here need, so what it
//! lacks is a defect; a release's image is as it is: what it lacks is installed from the release's own feeds, and a scenario
//! that it cannot run even so is skipped with the reason.

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
    /// Packages that the image must not have yet; a release's has the kmods that its firewall needs.
    #[serde(default)]
    pub without: Vec<String>,
    /// Major and minor of the oldest kernel that can do it, such as `5.13`.
    #[serde(default)]
    pub kernel: Option<String>,
    /// A command of the image's shell that must succeed, where a program's name does not tell what it can do.
    #[serde(default)]
    pub command: Option<String>,
    /// Packages of a release's own feeds that bring this: they are installed where its image lacks some of it.
    #[serde(default)]
    pub packages: Vec<String>,
}

/// Prints that the kernel is older than the two words, major and minor.
const OLD: &str = r#"
release=$(uname -r)
rest=${release#*.}
[ $((${release%%.*} * 10000 + ${rest%%[!0-9]*})) -ge $(($1 * 10000 + $2)) ] ||
	echo "has Linux $release, older than $1.$2"
"#;

/// A shell script that prints what is amiss of its words: modules, `--`, packages that must not be there, `--`, programs.
const ASK: &str = r#"
release=$(uname -r)
has_module() {
	[ -d "/sys/module/$1" ] || grep -qs "^\(.*/\)\{0,1\}$1\.ko" "/lib/modules/$release/modules.builtin" || modprobe "$1" 2>/dev/null
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

impl Needs {
    /// The question for the router's shell, if there is anything to ask.
    pub fn script(&self) -> Option<String> {
        if self.asks_nothing() {
            return None;
        }
        let lists = [&self.modules, &self.without, &self.programs].map(|list| list.join(" "));
        let command = self.command.as_ref().map(|command| {
            let named = command.replace('\'', r"'\''");
            format!("({command}\n) </dev/null >/dev/null 2>&1 || echo 'fails at `{named}`'")
        });
        let old = self.kernel.as_ref().map(|kernel| format!("set -- {}\n{OLD}", kernel.replace('.', " ")));
        let (command, old) = (command.unwrap_or_default(), old.unwrap_or_default());
        Some(format!("{command}\n{old}\nset -- {}\n{ASK}", lists.join(" -- ")))
    }

    /// Whether any image will do.
    pub(super) fn asks_nothing(&self) -> bool {
        let Needs { programs, modules, without, kernel, command, packages: _ } = self;
        programs.is_empty() && modules.is_empty() && without.is_empty() && kernel.is_none() && command.is_none()
    }

    /// Whether packages may bring what an answer says is amiss: not a newer kernel, and they take nothing away.
    pub(crate) fn may_be_brought(lacks: &str) -> bool {
        lacks.starts_with("lacks ") || lacks.starts_with("fails ")
    }

    /// Whether the oldest kernel is not written as `5.13`.
    pub(super) fn unfit_kernel(&self) -> Option<&str> {
        let is_number = |part: &str| part.parse::<u16>().is_ok() && part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = |kernel: &str| kernel.split_once('.').is_some_and(|(one, two)| is_number(one) && is_number(two));
        self.kernel.as_deref().filter(|kernel| !fits(kernel))
    }

    /// The first name that a shell would read as something else than a word.
    pub(super) fn unfit(&self) -> Option<&str> {
        let plain = |name: &&String| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte))
        };
        let names = [&self.programs, &self.modules, &self.without, &self.packages];
        names.into_iter().flatten().find(|name| !plain(name)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn needs(modules: &[&str], programs: &[&str]) -> Needs {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let without = owned(&["kmod-none"]);
        Needs { programs: owned(programs), modules: owned(modules), without, ..Needs::default() }
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

    /// OpenWrt ships bare names, others the paths in the kernel's tree.
    #[test]
    fn what_is_built_in_is_found_by_its_path_or_bare_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lib/modules/6.6.1");
        std::fs::create_dir_all(&place).unwrap();
        let says = |list: &str| {
            std::fs::write(place.join("modules.builtin"), list).unwrap();
            let script = needs(&["no_such_module"], &[]).script().unwrap();
            let script = script.replace("/lib/modules", &format!("{}/lib/modules", folder.path().display()));
            let script = format!("uname() {{ echo 6.6.1; }}\n{script}");
            String::from_utf8(Command::new("sh").args(["-c", &script]).output().unwrap().stdout).unwrap()
        };
        assert_eq!(says("kernel/net/no_such_module.ko\n"), "");
        assert_eq!(says("other.ko\nno_such_module.ko\n"), "");
        assert_eq!(
            says("kernel/net/really_no_such_module.ko\nx_no_such_module.ko\n"),
            "lacks the module no_such_module\n"
        );
    }

    #[test]
    fn an_older_kernel_is_told() {
        let says = |release: &str, kernel: &str| {
            let needs = Needs { kernel: Some(kernel.to_owned()), ..Needs::default() };
            let script = format!("uname() {{ echo {release}; }}\n{}", needs.script().unwrap());
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(says("5.10.0-32-amd64", "5.13"), "has Linux 5.10.0-32-amd64, older than 5.13\n");
        assert_eq!(says("4.19.7", "4.20"), "has Linux 4.19.7, older than 4.20\n");
        assert_eq!(says("4.19.7", "5.1"), "has Linux 4.19.7, older than 5.1\n");
        for release in ["5.13.1", "5.13-rc1", "5.100.0", "6.1.0"] {
            assert_eq!(says(release, "5.13"), "", "{release}");
        }
        for (kernel, fits) in [("5.13", true), ("5", false), ("5.13.1", false), ("5.+1", false), ("five.one", false)] {
            let needs = Needs { kernel: Some(kernel.to_owned()), ..Needs::default() };
            assert_eq!(needs.unfit_kernel(), (!fits).then_some(kernel));
        }
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let says = |command: &str| {
            let needs = Needs { command: Some(command.to_owned()), ..Needs::default() };
            let output = Command::new("sh").args(["-c", &needs.script().unwrap()]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(says("echo it; exit 0"), "");
        assert_eq!(says("test 'a b' = b # not"), "fails at `test 'a b' = b # not`\n");
    }

    #[test]
    fn nothing_is_asked_where_nothing_is_needed_and_nothing_but_words() {
        assert_eq!(Needs::default().script(), None);
        assert_eq!(Needs { packages: vec!["tc-tiny".into()], ..Needs::default() }.script(), None);
        assert_eq!(needs(&["8021q"], &["/usr/lib/a_b.so", "tc"]).unfit(), None);
        for name in ["", "a b", "$(x)", "--", "a;b"] {
            assert_eq!(needs(&[name], &[]).unfit(), Some(name));
        }
    }
}
