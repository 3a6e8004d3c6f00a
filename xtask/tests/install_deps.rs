//! A host that lacks QEMU, and an apt that brings it: both made up, so that nothing is installed.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::path::Path;
use std::process::{Command, Output};

use xtask::doctor::{Purpose, needs};

/// What is missing.
const QEMU: &str = "qemu-system-x86_64";

/// Fills a folder that serves as PATH: real tools under their names, others that are made up, and an `apt-get` that
/// writes down how it was called and does with `install` what `on_install` says.
fn host(folder: &Path, on_install: &str) {
    const REAL: [&str; 3] = ["apt-get", "dpkg-deb", "setpriv"];
    let needed = needs(Purpose::Ci).into_iter().filter_map(|need| need.check.program());
    let made_up: Vec<&str> = needed.filter(|name| *name != QEMU && !REAL.contains(name)).collect();
    let script = format!(
        r#"
for tool in sh env ln setpriv dpkg-deb; do ln -s "$(command -v $tool)" $tool; done
for tool in {made_up}; do printf '#!/bin/sh\necho version 99.1\n' > $tool; chmod +x $tool; done
touch ncurses.h
mkdir -p rust/lib/rustlib/src/rust/library/std
touch rust/lib/rustlib/src/rust/library/std/Cargo.toml
cat > rustc <<END
#!/bin/sh
case "\$*" in
"--print sysroot") echo {folder}/rust ;;
"--version --verbose") echo "release: 1.99.0" ;;
*) exit 1 ;;
esac
END
chmod +x rustc
cat > apt-get <<END
#!/bin/sh
echo "\$DEBIAN_FRONTEND: \$*" >> {folder}/calls
[ "\$1" != install ] || {on_install}
END
cat > sudo <<END
#!/bin/sh
[ "\$1" = --validate ] || exec "\$@"
END
chmod +x apt-get sudo
"#,
        made_up = made_up.join(" "),
        folder = folder.display()
    );
    assert!(Command::new("sh").args(["-c", &script]).current_dir(folder).status().unwrap().success());
}

fn doctor(folder: &Path, words: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("doctor").args(words).env("PATH", folder).env("CPATH", folder).env("XDG_CACHE_HOME", folder);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    (output, told)
}

#[test]
fn without_the_flag_the_run_ends_with_3_and_the_exact_line() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path(), "true");
    let (output, told) = doctor(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("HOST001"), "{told}");
    assert!(told.contains("apt-get install --yes --no-install-recommends qemu-system-x86\n"), "{told}");
    assert!(!folder.path().join("calls").exists(), "nothing is installed without being asked");
}

#[test]
fn with_the_flag_apt_is_asked_once_and_the_host_is_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path(), &format!("ln -s /bin/env {}/{QEMU}", folder.path().display()));
    let (output, told) = doctor(folder.path(), &["--install-deps"]);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    assert!(calls[0].starts_with("noninteractive: update"), "{calls:?}");
    assert!(
        calls[1].starts_with("noninteractive: install --yes --no-install-recommends qemu-system-x86 "),
        "{calls:?}"
    );
    assert_eq!(calls.len(), 2);
}

#[test]
fn an_installation_that_changes_nothing_or_fails_is_told() {
    for (on_install, id) in [("true", "HOST003"), ("exit 100", "HOST004")] {
        let folder = tempfile::tempdir().unwrap();
        host(folder.path(), on_install);
        let (output, told) = doctor(folder.path(), &["--install-deps"]);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(id), "{told}");
    }
}

#[test]
fn a_host_without_rust_is_told_so_with_all_else() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path(), "true");
    std::fs::remove_file(folder.path().join("rustc")).unwrap();
    let (output, told) = doctor(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("HOST001") && told.contains("`rustc` is not installed"), "{told}");
}
