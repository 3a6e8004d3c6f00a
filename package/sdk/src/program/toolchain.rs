//! Chooses a compiler, a standard library and a linker on this host for an architecture.
//!
//! A target whose standard library is installed needs nothing else. Otherwise the library is compiled along with the
//! program, from sources of exactly the compiler's version; cargo supports that only as an unstable feature, so it
//! takes a nightly, or a stable compiler in bootstrap mode (`RUSTC_BOOTSTRAP`).

use std::os::unix::fs::{PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use host::files;
use model::{Arch, Cancel, Digest, Exit, Failure, Problem, Result};

use super::compiler::{Compiler, is_installed};
use super::fetch::{Sources, ZIG, zig_in};
use super::linker::{Linker, SdkLinker};
use super::target::RustTarget;

/// The target that every toolchain on this architecture includes.
pub(super) const GNU: &str = "x86_64-unknown-linux-gnu";

/// How many digits of the digest name a folder.
const DIGITS: usize = 16;

/// How to get what the host lacks; each is called only when needed.
pub struct Extras<'a> {
    /// Gets sources of the standard library for a compiler whose version has one of these second numbers.
    pub sources: &'a dyn Fn(&[u32]) -> Result<Sources>,
    /// The C compiler of the release's SDK, which links in place of zig.
    pub sdk: Option<SdkLinker>,
    /// Gets the folder that zig was fetched into.
    pub zig: &'a dyn Fn() -> Result<Utf8PathBuf>,
    /// Where toolchains are laid out, and where zig caches the C libraries that it compiles. It must not be in a source
    /// tree, because cargo would name its files relative to that tree.
    pub kept: &'a Utf8Path,
}

/// Everything that makes programs for an architecture.
#[derive(Debug, Clone)]
pub struct Toolchain {
    target: RustTarget,
    /// The target's name, which differs if the host's glibc is linked in.
    pub(super) triple: &'static str,
    /// The compiler and library sources, if it is not simply the installed compiler in PATH.
    source: Option<FromSource>,
    linker: Linker,
    /// See [`Extras::kept`].
    kept: Utf8PathBuf,
}

/// A compiler, and the sources from which it builds the standard library.
#[derive(Debug, Clone)]
struct FromSource {
    compiler: Compiler,
    /// Sources that are not the compiler's own.
    others: Option<Sources>,
}

/// A toolchain that is ready to use.
#[derive(Debug)]
pub struct Ready {
    /// Path of cargo.
    pub cargo: String,
    /// cargo's arguments about the standard library: which parts are compiled, and how.
    pub library: Vec<&'static str>,
    /// cargo's environment variables.
    pub environment: Vec<(&'static str, String)>,
    /// rustc's flags.
    pub flags: Vec<String>,
}

/// The cargo that started us, or that of PATH.
pub(super) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

impl Toolchain {
    /// The toolchain for programs that this host could run: Rust's musl target if installed, otherwise the host's
    /// glibc, linked statically.
    ///
    /// # Errors
    /// `CMD…` when there is no rustc.
    pub fn of_host(cancel: &Cancel) -> Result<Self> {
        let target = RustTarget::of(&Arch("x86_64".into()))?;
        let triple = if is_installed(target.triple, cancel)? { target.triple } else { GNU };
        Ok(Toolchain { target, triple, source: None, linker: Linker::Host, kept: Utf8PathBuf::new() })
    }

    /// The toolchain for an architecture.
    ///
    /// # Errors
    /// `RST001` when this host has none, `RST002` when no Rust target is known; `CMD…` when there is no rustc; those of
    /// `extras`.
    pub fn find(arch: &Arch, extras: &Extras<'_>, cancel: &Cancel) -> Result<Self> {
        let target = RustTarget::of(arch)?;
        if target.is_of_host() {
            return Toolchain::of_host(cancel);
        }
        if is_installed(target.triple, cancel)? {
            let linker = Linker::Rust;
            return Ok(Toolchain { target, triple: target.triple, source: None, linker, kept: extras.kept.to_owned() });
        }
        let source = FromSource::find(&compilers(cancel)?, extras.sources).map_err(|failure| match failure.exit() {
            Exit::Host => cannot_build(&target, arch, &failure),
            _ => failure,
        })?;
        let kept = extras.kept.to_owned();
        let linker = match &extras.sdk {
            Some(sdk) => Linker::Sdk(sdk.clone()),
            None => Linker::Zig { program: zig_in(&(extras.zig)()?), kept: kept.join("zig"), version: ZIG },
        };
        Ok(Toolchain { target, triple: target.triple, source: Some(source), linker, kept })
    }

    /// Everything about it that affects its results, as text.
    pub fn identity(&self) -> String {
        let Toolchain { target, triple, source, linker, kept: _ } = self;
        let library = source.as_ref().map_or("installed".into(), |FromSource { compiler, others }| {
            let sources = others.as_ref().map_or("its own".into(), |sources| format!("1.{}", sources.minor));
            format!("{}of sources {sources}", compiler.says)
        });
        format!("{triple}, {:?}, {:?}\n{library}\n{}", target.zig, target.flags, linker.identity())
    }

    /// Whether its programs run on this host, and take nothing but the compiler in PATH.
    pub fn is_of_host(&self) -> bool {
        self.target.is_of_host() && self.source.is_none()
    }

    /// A description of where its standard library comes from.
    pub fn told(&self) -> String {
        match &self.source {
            None => self.triple.to_owned(),
            Some(source) => {
                format!("{}, with its library compiled by rustc {}", self.triple, source.compiler.version())
            }
        }
    }

    /// Lays out the scripts by which compiler and linker are called. `small` is for programs that must fit into a
    /// router's flash.
    ///
    /// # Errors
    /// `IO…` when they cannot be written.
    pub fn ready(&self, small: bool) -> Result<Ready> {
        let place = self.laid_out()?;
        let own = self.target.flags.iter().map(|flag| (*flag).to_owned());
        let mut flags: Vec<String> = self.linker.flags(&place.join("cc")).into_iter().chain(own).collect();
        let Some(FromSource { compiler, others }) = &self.source else {
            return Ok(Ready { cargo: cargo(), library: Vec::new(), environment: Vec::new(), flags });
        };
        let (rustc, sysroot) = match others {
            Some(_) => (place.join("rustc").into_string(), place.join("sysroot")),
            None => (compiler.rustc.clone(), compiler.sysroot.clone()),
        };
        flags.push(format!("--remap-path-prefix={sysroot}/lib/rustlib/src/rust=/rust"));
        let mut environment = vec![("RUSTC", rustc)];
        if !compiler.is_nightly {
            environment.push(("RUSTC_BOOTSTRAP", "1".into()));
        }
        let mut library = vec!["-Zbuild-std=std,panic_abort"];
        // The library's default features are for caught panics and backtraces.
        library.push(if small { "-Zbuild-std-features=optimize_for_size" } else { "-Zbuild-std-features=" });
        Ok(Ready { cargo: compiler.cargo.clone(), library, environment, flags })
    }

    /// The folder of this toolchain, made aside if it does not exist.
    fn laid_out(&self) -> Result<Utf8PathBuf> {
        let folder = &self.kept;
        let (script, others) =
            (self.linker.script(&self.target), self.source.as_ref().filter(|it| it.others.is_some()));
        if script.is_none() && others.is_none() {
            return Ok(folder.clone());
        }
        let sysroot = others.map(|source| (source.compiler.sysroot.as_str(), source.library().into_string()));
        let digest = Digest::of(format!("{}\n{script:?}\n{sysroot:?}", self.identity())).to_string();
        let place = folder.join(&digest[..DIGITS]);
        if place.is_dir() {
            return Ok(place);
        }
        files::create_folder(folder)?;
        let failed = |error: std::io::Error| Failure::io("lay out the toolchain", &place, &error);
        let aside = tempfile::Builder::new().prefix(".aside-").tempdir_in(folder).map_err(failed)?;
        let here =
            Utf8Path::from_path(aside.path()).ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
        if let Some(script) = script {
            program(&here.join("cc"), &script)?;
        }
        if let Some(source) = others {
            source.lay_out(here, self.triple).map_err(failed)?;
            let rustc = &source.compiler.rustc;
            program(&here.join("rustc"), &format!("#!/bin/sh\nexec '{rustc}' --sysroot '{place}/sysroot' \"$@\"\n"))?;
        }
        match std::fs::rename(here, &place) {
            Ok(()) => drop(aside.keep()),
            // Another run made the same folder first.
            Err(_) if place.is_dir() => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(place)
    }
}

impl FromSource {
    /// Prefers a compiler with its own sources, in the order given; otherwise one whose sources can be fetched.
    fn find(compilers: &[Compiler], get: &dyn Fn(&[u32]) -> Result<Sources>) -> Result<Self> {
        if let Some(compiler) = compilers.iter().find(|compiler| compiler.sources().is_some()) {
            return Ok(FromSource { compiler: compiler.clone(), others: None });
        }
        let minors: Vec<u32> = compilers.iter().map(|compiler| compiler.minor).collect();
        let sources = get(&minors)?;
        let fits = compilers.iter().find(|compiler| compiler.minor == sources.minor);
        let compiler = fits.ok_or_else(|| other_minor(sources.minor))?.clone();
        Ok(FromSource { compiler, others: Some(sources) })
    }

    fn library(&self) -> Utf8PathBuf {
        self.others.as_ref().map(|sources| sources.library.clone()).unwrap_or_default()
    }

    /// Makes a `sysroot` that links to the compiler's, except for the sources: cargo looks for them only there.
    fn lay_out(&self, here: &Utf8Path, triple: &str) -> std::io::Result<()> {
        let (theirs, ours) = (self.compiler.sysroot.join("lib"), here.join("sysroot/lib"));
        std::fs::create_dir_all(ours.join("rustlib/src/rust"))?;
        symlink(self.library(), ours.join("rustlib/src/rust/library"))?;
        for (from, to) in [(theirs.clone(), ours.clone()), (theirs.join("rustlib"), ours.join("rustlib"))] {
            for entry in from.read_dir_utf8()? {
                let entry = entry?;
                if !matches!(entry.file_name(), "rustlib" | "src") {
                    symlink(entry.path(), to.join(entry.file_name()))?;
                }
            }
        }
        // rustc passes this folder to the linker.
        std::fs::create_dir_all(ours.join("rustlib").join(triple).join("lib"))?;
        Ok(())
    }
}

/// The compilers of this host, the preferred one first.
fn compilers(cancel: &Cancel) -> Result<Vec<Compiler>> {
    let ours = Compiler::of_host(cancel)?;
    let nightly = if ours.is_nightly { None } else { Compiler::nightly(cancel)? };
    Ok(std::iter::once(ours).chain(nightly).collect())
}

/// Whether programs for an architecture need a linker that neither this host nor Rust has.
///
/// # Errors
/// As [`is_installed`]. An architecture that no target is known for needs none.
pub fn needs_linker(arch: &Arch, cancel: &Cancel) -> Result<bool> {
    match RustTarget::of(arch) {
        Ok(target) if !target.is_of_host() => Ok(!is_installed(target.triple, cancel)?),
        _ => Ok(false),
    }
}

/// How programs for a target could be compiled here, or why not; fetches nothing.
///
/// # Errors
/// `CMD…` for a host without `rustc`, `RUN001` when the user interrupted.
pub fn how_compiled(target: &RustTarget, cancel: &Cancel) -> Result<Result<String, String>> {
    if is_installed(target.triple, cancel)? {
        return Ok(Ok(format!("standard library of {}", target.triple)));
    }
    let compilers = compilers(cancel)?;
    Ok(how_from_sources(&compilers).ok_or_else(|| match target.ready {
        true => format!("the standard library of {} is not installed", target.triple),
        false => format!("Rust has only sources of the standard library of {}, which are not installed", target.triple),
    }))
}

fn how_from_sources(compilers: &[Compiler]) -> Option<String> {
    if let Some(compiler) = compilers.iter().find(|compiler| compiler.sources().is_some()) {
        return Some(format!("sources of the standard library of rustc {}", compiler.version()));
    }
    let nightly = compilers.iter().find(|compiler| compiler.is_nightly)?;
    Some(format!("rustc {}; Debian's sources of its library are used if they match", nightly.version()))
}

fn program(path: &Utf8Path, text: &str) -> Result<()> {
    files::write(path, text.as_bytes())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| Failure::io("make it a program", path, &error))
}

fn other_minor(minor: u32) -> Failure {
    Failure::of(Problem {
        exit: Exit::Host,
        id: "RST008",
        what: "the sources of the standard library match no compiler on this host",
        why: format!("they are of Rust 1.{minor}"),
        fix: "rustup component add rust-src",
    })
}

fn cannot_build(target: &RustTarget, arch: &Arch, failure: &Failure) -> Failure {
    let finding = failure.finding();
    Failure::of(Problem {
        exit: Exit::Host,
        id: "RST001",
        what: format!("the Rust toolchain cannot build programs for {arch}"),
        why: format!(
            "the standard library of {} is not installed, and cannot be built: {}: {}",
            target.triple, finding.what, finding.why
        ),
        fix: format!("rustup {}", target.remedy()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::compiler::tests::compiler;
    use super::*;

    fn root(folder: &tempfile::TempDir) -> &Utf8Path {
        Utf8Path::from_path(folder.path()).unwrap()
    }

    /// A compiler's sysroot, with or without the sources of its library.
    fn sysroot(root: &Utf8Path, with_sources: bool) -> Utf8PathBuf {
        std::fs::create_dir_all(root.join("lib/rustlib/x86_64-unknown-linux-gnu")).unwrap();
        std::fs::write(root.join("lib/librustc_driver.so"), "").unwrap();
        if with_sources {
            std::fs::create_dir_all(root.join("lib/rustlib/src/rust/library/std")).unwrap();
            std::fs::write(root.join("lib/rustlib/src/rust/library/std/Cargo.toml"), "").unwrap();
        }
        root.to_owned()
    }

    fn found(library: &Utf8Path, minor: u32) -> Result<Sources> {
        Ok(Sources { library: library.to_owned(), minor })
    }

    fn nothing(_minors: &[u32]) -> Result<Sources> {
        panic!("nobody is to be asked")
    }

    fn of_zig(source: FromSource, kept: &Utf8Path) -> Toolchain {
        let target = RustTarget::of(&Arch("mipsel_24kc".into())).unwrap();
        let linker = Linker::Zig { program: "/zig".into(), kept: "/kept".into(), version: ZIG };
        Toolchain { target, triple: target.triple, source: Some(source), linker, kept: kept.to_owned() }
    }

    #[test]
    fn a_compilers_own_sources_come_first_and_those_of_the_stable_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str, with| sysroot(&root(&folder).join(name), with);
        let (stable, nightly) = ("1.95.0", "1.97.0-nightly");
        let both = [compiler(stable, &place("a", true)), compiler(nightly, &place("b", true))];
        assert_eq!(FromSource::find(&both, &nothing).unwrap().compiler, both[0]);
        assert!(how_from_sources(&both).unwrap().contains("1.95.0"));
        let second = [compiler(stable, &place("c", false)), both[1].clone()];
        assert_eq!(FromSource::find(&second, &nothing).unwrap().compiler, both[1]);

        let neither = [second[0].clone(), compiler(nightly, &place("d", false))];
        let asked = |minors: &[u32]| {
            assert_eq!(minors, [95, 97]);
            found("/debian/library".into(), 97)
        };
        let source = FromSource::find(&neither, &asked).unwrap();
        assert_eq!(source.compiler, neither[1]);
        assert!(how_from_sources(&neither).unwrap().contains("Debian"));
        assert_eq!(how_from_sources(&neither[..1]), None, "a stable compiler is told what rustup has for it");
        let failure = FromSource::find(&neither, &|_| found("/x".into(), 96)).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("RST008", Exit::Host));
    }

    #[test]
    fn a_stable_compiler_is_told_to_be_its_own_bootstrap_and_called_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let stable = compiler("1.95.0", &sysroot(&root(&folder).join("stable"), true));
        let ready = of_zig(FromSource { compiler: stable, others: None }, root(&folder)).ready(true).unwrap();
        assert_eq!(ready.environment, [("RUSTC", "rustc".to_owned()), ("RUSTC_BOOTSTRAP", "1".to_owned())]);
        assert_eq!(ready.library, ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
        assert!(ready.flags.iter().any(|flag| flag.starts_with("-Clinker=/")), "{:?}", ready.flags);
    }

    #[test]
    fn sources_of_others_become_those_of_a_folder_that_is_the_compilers() {
        let folder = tempfile::tempdir().unwrap();
        let nightly = compiler("1.97.0-nightly", &sysroot(&root(&folder).join("nightly"), false));
        let library = root(&folder).join("library");
        std::fs::create_dir(&library).unwrap();
        let others = Some(found(&library, 97).unwrap());
        let made = root(&folder).join("made");
        let toolchain = of_zig(FromSource { compiler: nightly, others }, &made);
        let (first, again) = (toolchain.ready(false).unwrap(), toolchain.ready(false).unwrap());
        assert_eq!((first.environment.len(), &first.environment), (1, &again.environment));
        let rustc = Utf8PathBuf::from(&first.environment[0].1);
        let sysroot = rustc.with_file_name("sysroot");
        assert_eq!(sysroot.join("lib/rustlib/src/rust/library").read_link_utf8().unwrap(), library);
        assert!(sysroot.join("lib/librustc_driver.so").is_file());
        assert!(sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu").is_dir());
        assert!(sysroot.join("lib/rustlib/mipsel-unknown-linux-musl/lib").is_dir());
        assert!(std::fs::read_to_string(&rustc).unwrap().contains(sysroot.as_str()));
        assert_eq!(files::entries(&made).unwrap().len(), 1, "one folder, and nothing of what was written aside");
    }

    #[test]
    fn whatever_shows_in_a_program_is_part_of_its_toolchains_identity() {
        let source = |release| FromSource { compiler: compiler(release, "/r".into()), others: None };
        let of_zig = |source| of_zig(source, "/kept".into());
        let mut all = vec![of_zig(source("1.97.0-nightly")), of_zig(source("1.98.0-nightly"))];
        let others = Some(found("/x".into(), 97).unwrap());
        all.push(of_zig(FromSource { others, ..source("1.97.0-nightly") }));
        all.push(Toolchain { linker: Linker::Rust, ..all[0].clone() });
        for digest in ["one", "another"] {
            let sdk = SdkLinker { program: "/gcc".into(), staging: "/s".into(), digest: digest.into() };
            all.push(Toolchain { linker: Linker::Sdk(sdk), ..all[0].clone() });
        }
        all.push(Toolchain { target: RustTarget::of(&Arch("mips_24kc".into())).unwrap(), ..all[0].clone() });
        all.push(Toolchain { source: None, ..all[0].clone() });
        let identities: std::collections::BTreeSet<String> = all.iter().map(Toolchain::identity).collect();
        assert_eq!(identities.len(), all.len());
        assert!(all[0].told().contains("1.97.0-nightly") && all[7].told() == "mipsel-unknown-linux-musl");
    }

    #[test]
    fn a_host_that_cannot_is_told_what_rustup_has() {
        let failure = |arch: &str| {
            let arch = Arch(arch.into());
            cannot_build(&RustTarget::of(&arch).unwrap(), &arch, &other_minor(97))
        };
        let ready = failure("aarch64_generic");
        assert_eq!((ready.id(), ready.exit()), ("RST001", Exit::Host));
        assert_eq!(ready.finding().fix, "rustup target add aarch64-unknown-linux-musl");
        assert!(ready.finding().why.contains("they are of Rust 1.97"), "{ready}");
        assert_eq!(failure("mips_24kc").finding().fix, "rustup component add rust-src");
    }
}
