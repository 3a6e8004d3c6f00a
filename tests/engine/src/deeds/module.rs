//! Modules are loaded and unloaded in words that OpenWrt's programs and busybox understand alike: OpenWrt's `modprobe`
//! takes no parameters, its `insmod` loads nothing that the module needs, and its `rmmod` takes one name.

use std::time::Duration;

use model::{Deadline, Finding, Result};
use vm::guest::Output;

use super::command;
use crate::ask::SCENARIO_COMMAND;
use crate::attempt::Attempt;
use crate::scenario::{Answer, Handle, Handling};

/// Between two tries to unload a module that is in use.
const POLL: Duration = Duration::from_millis(100);

/// Finds a module's file by its name, in which `-` and `_` are the same, loads what it needs, then itself: `load NAME
/// PARAMETER…`. What is loaded already is refused: it would keep the parameters that it has.
const LOAD: &str = r#"
same() { echo "$1" | tr - _; }
load() {
	name=$(same "$1")
	shift
	! grep -q "^$name " /proc/modules || { echo "$name is loaded already"; return 17; }
	for file in /lib/modules/$(uname -r)/*.ko; do
		base=${file##*/}
		[ "$(same "${base%.ko}")" = "$name" ] && break
		file=
	done
	[ -n "$file" ] || { echo "no file of /lib/modules/$(uname -r) is the module $name"; return 2; }
	for need in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr , ' '); do
		grep -q "^$(same "$need") " /proc/modules || modprobe "$need" || { depmod && modprobe "$need"; } || return
	done
	insmod "$file" "$@" || return
	grep -q "^$name " /proc/modules
}
"#;

/// Does it. `Ok(Some(_))`: the kernel refused.
pub(crate) fn handle(attempt: &mut Attempt<'_>, handle: &Handle, at: &str) -> Result<Option<Finding>> {
    if handle.what != Handling::Load
        && let Some(finding) = unload(attempt, handle, at)?
    {
        return Ok(Some(finding));
    }
    if handle.what == Handling::Unload {
        return Ok(None);
    }
    let words = std::iter::once(&handle.module).chain(&handle.with).map(|word| format!(" '{word}'"));
    let script = format!("{LOAD}\nload{} 2>&1", words.collect::<String>());
    let output = attempt.router.guest.script(&script, Deadline::after(SCENARIO_COMMAND))?;
    Ok(answered(attempt, handle, at, "load", &output))
}

fn unload(attempt: &mut Attempt<'_>, handle: &Handle, at: &str) -> Result<Option<Finding>> {
    let name = handle.module.replace('-', "_");
    let script = format!("rmmod {name} 2>&1 && ! grep -q '^{name} ' /proc/modules");
    let deadline = handle.within.map(|within| Deadline::after(within.0));
    loop {
        let output = attempt.router.guest.script(&script, Deadline::after(SCENARIO_COMMAND))?;
        if output.success() || deadline.is_none_or(|deadline| deadline.passed()) {
            // Whoever loads it again has seen that it was not loaded.
            if output.success() {
                attempt.router.absent.insert(name);
            }
            return Ok(answered(attempt, handle, at, "unload", &output));
        }
        attempt.cancel.check()?;
        std::thread::sleep(POLL);
    }
}

fn answered(attempt: &mut Attempt<'_>, handle: &Handle, at: &str, verb: &str, output: &Output) -> Option<Finding> {
    let with: String = handle.with.iter().filter(|_| verb == "load").map(|parameter| format!(" {parameter}")).collect();
    let command = format!("{verb} {}{with}", handle.module);
    command::answered(attempt, &Answer::default(), at, &command, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `load` on a router whose modules are files of a folder, and whose programs write down what they are called with.
    fn load(loaded: &str, words: &str) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        std::fs::create_dir_all(format!("{root}/lib/modules/6.1")).unwrap();
        std::fs::write(format!("{root}/lib/modules/6.1/top-x.ko"), "ELF\0depends=below,other-y\0license=GPL\0")
            .unwrap();
        std::fs::write(format!("{root}/modules"), loaded).unwrap();
        let fakes = "uname() { echo 6.1; }\nmodprobe() { echo modprobe $*; echo \"$1 \" >>$MODULES; }\n\
            insmod() { echo insmod ${1##*/} $2; echo 'top_x ' >>$MODULES; }\n";
        let script = format!("{fakes}{LOAD}\nload {words}")
            .replace("/lib/modules", &format!("{root}/lib/modules"))
            .replace("/proc/modules", "$MODULES");
        let mut sh = std::process::Command::new("sh");
        let output = sh.args(["-c", &script]).env("MODULES", format!("{root}/modules")).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said.replace(&root, ""))
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_it_gets_its_parameters() {
        let (done, said) = load("other_y 1 0 - Live\n", "'top_x' 'a=1'");
        assert_eq!((done, said.as_str()), (true, "modprobe below\ninsmod top-x.ko a=1\n"));
        for (loaded, name, why) in [("top_x 1 0 - Live\n", "top-x", "loaded already"), ("", "none", "no file of")] {
            let (done, said) = load(loaded, name);
            assert!(!done && said.contains(why), "{said}");
        }
    }
}
