//! What links a program, as a file that rustc starts.

use camino::{Utf8Path, Utf8PathBuf};

use super::target::RustTarget;

/// Who links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linker {
    /// Rust's own, with the C library that comes with the target.
    Rust,
    /// The host's C compiler.
    Host,
    /// zig, which is this program, and keeps what it compiles of a C library in that folder.
    Zig {
        program: Utf8PathBuf,
        kept: Utf8PathBuf,
        /// As pip names it, with its digests: the same elsewhere is the same.
        version: &'static str,
    },
}

impl Linker {
    /// Flags of rustc that choose it; `script` is where [`Linker::script`] was written.
    pub(super) fn flags(&self, script: &Utf8Path) -> Vec<String> {
        match self {
            // The host's linker knows its own architecture only; Rust's knows them all, and musl comes with the target.
            Linker::Rust => vec!["-Clinker=rust-lld".into(), "-Clink-self-contained=yes".into()],
            Linker::Host => Vec::new(),
            Linker::Zig { .. } => vec![format!("-Clinker={script}"), "-Clink-self-contained=no".into()],
        }
    }

    /// The program that rustc starts, where it is none of those that there are.
    pub(super) fn script(&self, target: &RustTarget) -> Option<String> {
        let Linker::Zig { program, kept, .. } = self else { return None };
        let [name, processor] = target.zig;
        // rustc names some targets to a linker that it takes for clang, in words that zig has not.
        Some(format!(
            "#!/bin/sh\nfor word in \"$@\"; do\n\tshift\n\tcase $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; esac\ndone\n\
             export ZIG_GLOBAL_CACHE_DIR={kept} ZIG_LOCAL_CACHE_DIR={kept}\n\
             exec {program} cc -target {name} -mcpu={processor} \"$@\"\n",
            kept = quoted(kept),
            program = quoted(program),
        ))
    }

    /// What it is, whatever folder it lies in.
    pub(super) fn identity(&self) -> &str {
        match self {
            Linker::Rust => "rust-lld",
            Linker::Host => "cc",
            Linker::Zig { version, .. } => version,
        }
    }
}

/// A path as one word of the shell.
fn quoted(path: &Utf8Path) -> String {
    format!("'{}'", path.as_str().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Arch;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    #[test]
    fn zig_is_told_the_target_in_its_own_words_and_rustcs_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().join("it's here");
        std::fs::create_dir(&root).unwrap();
        let (program, script) = (root.join("zig"), root.join("cc"));
        let linker = Linker::Zig { program: program.clone(), kept: root.join("kept"), version: "1" };
        let target = RustTarget::of(&Arch("mipsel_24kc".into())).unwrap();
        let put = |path: &Utf8Path, text: &str| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        put(&program, "#!/bin/sh\nprintf '%s|' \"$@\" \"$ZIG_LOCAL_CACHE_DIR\"\n");
        put(&script, &linker.script(&target).unwrap());
        let said = Command::new(&script).args(["a b", "--target=mipsel-unknown-linux-musl", "-lc"]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let kept = root.join("kept");
        assert_eq!(said, format!("cc|-target|mipsel-linux-musleabi|-mcpu=mips32r2+soft_float|a b|-lc|{kept}|"));
        assert_eq!(linker.flags(&script)[0], format!("-Clinker={script}"));
    }

    #[test]
    fn what_there_is_needs_no_script() {
        let target = RustTarget::of(&Arch("aarch64_generic".into())).unwrap();
        assert_eq!([Linker::Rust.script(&target), Linker::Host.script(&target)], [None, None]);
        assert!(Linker::Host.flags("x".into()).is_empty());
        assert_ne!(Linker::Host.identity(), Linker::Rust.identity());
    }
}
