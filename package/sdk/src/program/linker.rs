//! The linker for programs, as a file that rustc starts.

use camino::{Utf8Path, Utf8PathBuf};

use super::target::RustTarget;

/// The linker to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linker {
    /// Rust's own, with the C library that is part of the target.
    Rust,
    /// The host's C compiler.
    Host,
    /// The C compiler of a release's SDK, with its C library.
    Sdk(SdkLinker),
    /// zig at this path; it caches the C library that it compiles in that folder.
    Zig {
        program: Utf8PathBuf,
        kept: Utf8PathBuf,
        /// The pinned version and digests, as pip takes them; they identify it on every machine.
        version: &'static str,
    },
}

/// The C compiler of a release's SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkLinker {
    /// Path of the program, such as `…/mips-openwrt-linux-musl-gcc`.
    pub program: Utf8PathBuf,
    /// The folder `STAGING_DIR` of OpenWrt's build, which the program reads from its environment.
    pub staging: Utf8PathBuf,
    /// SHA-256 of the SDK's archive, which identifies the compiler on every machine.
    pub digest: String,
}

impl Linker {
    /// The flags with which rustc uses it; `script` is where [`Linker::script`] was written.
    pub(super) fn flags(&self, script: &Utf8Path) -> Vec<String> {
        match self {
            // The host's linker knows only its own architecture; Rust's knows all, and musl is part of the target.
            Linker::Rust => vec!["-Clinker=rust-lld".into(), "-Clink-self-contained=yes".into()],
            Linker::Host => Vec::new(),
            Linker::Sdk(_) | Linker::Zig { .. } => {
                vec![format!("-Clinker={script}"), "-Clink-self-contained=no".into()]
            }
        }
    }

    /// The text of the script that rustc starts, if the linker needs one.
    pub(super) fn script(&self, target: &RustTarget) -> Option<String> {
        let (others, start) = match self {
            Linker::Rust | Linker::Host => return None,
            // Rust's library asks for LLVM's unwinder; GCC brings its own.
            Linker::Sdk(SdkLinker { program, staging, .. }) => (
                "-lunwind) set -- \"$@\" -lgcc_eh ;; ",
                format!("export STAGING_DIR={}\nexec {}", quoted(staging), quoted(program)),
            ),
            Linker::Zig { program, kept, .. } => {
                let ([name, processor], kept, program) = (target.zig, quoted(kept), quoted(program));
                let caches = format!("export ZIG_GLOBAL_CACHE_DIR={kept} ZIG_LOCAL_CACHE_DIR={kept}");
                ("", format!("{caches}\nexec {program} cc -target {name} -mcpu={processor}"))
            }
        };
        // rustc assumes clang and passes a target name that neither knows, so the script removes it.
        Some(format!(
            "#!/bin/sh\nfor word in \"$@\"; do\n\tshift\n\t\
             case $word in --target=*) ;; {others}*) set -- \"$@\" \"$word\" ;; esac\ndone\n{start} \"$@\"\n"
        ))
    }

    /// Identifies it, independent of the folder it is in.
    pub(super) fn identity(&self) -> String {
        match self {
            Linker::Rust => "rust-lld".into(),
            Linker::Host => "cc".into(),
            Linker::Sdk(SdkLinker { digest, .. }) => format!("gcc of the SDK {digest}"),
            Linker::Zig { version, .. } => (*version).into(),
        }
    }
}

/// Quotes a path for the shell.
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
    fn the_sdks_compiler_is_told_where_it_is_and_has_an_unwinder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let (program, script) = (root.join("mips-openwrt-linux-musl-gcc"), root.join("cc"));
        let sdk = SdkLinker { program: program.clone(), staging: "/sdk/staging_dir".into(), digest: "ab".into() };
        let linker = Linker::Sdk(sdk);
        let target = RustTarget::of(&Arch("mips_24kc".into())).unwrap();
        let text = linker.script(&target).unwrap();
        for (path, text) in [(&program, "#!/bin/sh\nprintf '%s|' \"$@\" \"$STAGING_DIR\"\n"), (&script, &text)] {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let said = Command::new(&script).args(["a b", "-lunwind", "-lc"]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "a b|-lgcc_eh|-lc|/sdk/staging_dir|");
        assert_eq!(linker.flags(&script)[0], format!("-Clinker={script}"));
        assert!(linker.identity().contains("ab"));
    }

    #[test]
    fn what_there_is_needs_no_script() {
        let target = RustTarget::of(&Arch("aarch64_generic".into())).unwrap();
        assert_eq!([Linker::Rust.script(&target), Linker::Host.script(&target)], [None, None]);
        assert!(Linker::Host.flags("x".into()).is_empty());
        assert_ne!(Linker::Host.identity(), Linker::Rust.identity());
    }
}
