//! `feeds/matrix.yaml`: the releases and targets that there are, and what each is like.
//!
//! Everything that differs between release lines and is known beforehand is data of that file; what a
//! release says of itself is read from the mirror.

use std::collections::BTreeMap;

use camino::Utf8Path;
use formats::Format;
use formats::usign::Fingerprint;
use model::{Arch, Exit, Failure, Problem, Result, Target};
use serde::Deserialize;

use super::keys;
use super::resolved::Release;

/// Selects every release or every target.
const ALL: &str = "all";

/// All releases and targets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    #[serde(rename = "version")]
    _version: u32,
    lines: Vec<Line>,
    targets: Vec<Listed>,
}

/// A line of releases, such as 24.10.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    releases: Vec<String>,
    kernel: String,
    format: Extension,
    keys: Vec<String>,
    host: HostNeeds,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Extension {
    Ipk,
    Apk,
}

/// What the SDK of a release line needs on the host (OpenWrt's `include/prereq-build.mk`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostNeeds {
    /// Least major version of gcc and g++.
    pub gcc: u32,
    /// Least minor version of Python 3.
    pub python: u32,
    /// When Python must have `distutils`.
    pub distutils: Distutils,
    /// Whether Perl must have `IPC::Cmd`.
    pub ipc_cmd: bool,
}

/// When Python's `distutils` is asked for; it left Python with 3.12, and setuptools brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distutils {
    /// By every Python.
    Always,
    /// Only by a Python that still has it.
    #[serde(rename = "before-python-3.12")]
    BeforePython312,
}

/// A target and its images.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Listed {
    name: Target,
    arch: Arch,
    since: Option<String>,
    #[serde(default)]
    formerly: BTreeMap<String, Former>,
    #[serde(default)]
    kernel: Vec<String>,
    #[serde(default)]
    initramfs: Vec<String>,
    #[serde(default)]
    rootfs: Vec<String>,
    #[serde(default)]
    combined: Vec<String>,
    proven_on: Option<Target>,
}

/// What a target was in an old line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Former {
    name: Target,
    arch: Arch,
}

/// Ends of the names of a target's images; the first that a release has is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Kernels.
    pub kernel: Vec<String>,
    /// Kernels with a root file system inside.
    pub initramfs: Vec<String>,
    /// Root file systems.
    pub rootfs: Vec<String>,
    /// Disks with a boot loader.
    pub combined: Vec<String>,
}

/// One release for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The release.
    pub release: Release,
    /// Its line, such as `24.10`.
    pub line: String,
    /// The target, in today's name.
    pub target: Target,
    /// The target as this line calls it.
    pub published: Target,
    /// Package architecture.
    pub arch: Arch,
    /// Package format.
    pub format: Format,
    /// Kernel line, such as `6.6`.
    pub kernel_line: String,
    /// Keys that may sign the list.
    pub keys: Vec<Fingerprint>,
    /// What the SDK needs on the host.
    pub host: HostNeeds,
    /// Names of images.
    pub images: Images,
    /// The target on whose routers its packages are proven, where no machine here runs its own images.
    pub proven_on: Option<Target>,
}

impl Matrix {
    /// Reads the description.
    ///
    /// # Errors
    /// `CONF…` for a file that is not one, `MTX003` for a malformed key number, `MTX006` for a target that is first in a
    /// line or proven on a target that is not in the file.
    pub fn load(path: &Utf8Path) -> Result<Self> {
        let matrix: Matrix = model::yaml::load(path)?;
        matrix.targets.iter().try_for_each(|listed| matrix.check(listed)).map_err(|failure| failure.at(path))?;
        matrix.rows().map(|_| matrix)
    }

    /// The rows for these releases and targets, in the order of the file. No release or no target stands for
    /// all of them, as does the word `all`; the name of a line stands for the release to prefer.
    ///
    /// # Errors
    /// `MTX001` and `MTX002` for a release or target that is not in the matrix.
    pub fn select(&self, releases: &[String], targets: &[String]) -> Result<Vec<Row>> {
        let releases: Vec<String> = releases.iter().map(|asked| self.release(asked)).collect::<Result<_>>()?;
        targets.iter().try_for_each(|asked| self.known_target(asked))?;
        let wanted =
            |asked: &[String], name: &str| asked.is_empty() || asked.iter().any(|asked| asked == ALL || asked == name);
        let mut rows = self.rows()?;
        rows.retain(|row| wanted(&releases, &row.release.0) && wanted(targets, &row.target.to_string()));
        Ok(rows)
    }

    /// The row of one release and target.
    ///
    /// # Errors
    /// As [`Matrix::select`]; `all` is no release here. `MTX005` for a release that does not have the target yet.
    pub fn row(&self, release: &str, target: &str) -> Result<Row> {
        let mut rows = self.select(&[release.to_owned()], &[target.to_owned()])?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            (None, _) if release != ALL => Err(too_old(release, target)),
            _ => Err(unknown_release(release, &self.releases())),
        }
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let of_line = |line: &Line| -> Result<Vec<Row>> {
            let keys = line.keys.iter().map(|number| key_number(number)).collect::<Result<Vec<_>>>()?;
            let there: Vec<&Listed> = self.targets.iter().filter(|listed| self.has(line, listed)).collect();
            let pairs = line.releases.iter().flat_map(|release| there.iter().map(move |listed| (release, *listed)));
            Ok(pairs.map(|(release, listed)| row(line, release, listed, &keys)).collect())
        };
        Ok(self.lines.iter().map(of_line).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Whether a line has a target: lines are listed with the oldest first.
    fn has(&self, line: &Line, listed: &Listed) -> bool {
        let place = |name: &str| self.lines.iter().position(|line| line.name == name);
        listed.since.as_ref().is_none_or(|since| place(&line.name) >= place(since))
    }

    /// What a target says of others must be there.
    fn check(&self, listed: &Listed) -> Result<()> {
        let Listed { name, since, proven_on, kernel, .. } = listed;
        let why = match (since, proven_on) {
            (Some(since), _) if self.lines.iter().all(|line| line.name != *since) => {
                format!("no line is called {since}")
            }
            (_, Some(other)) if self.targets.iter().all(|listed| listed.name != *other) => {
                format!("no target is called {other}")
            }
            (_, None) if kernel.is_empty() => "it has neither images nor `proven-on`".into(),
            _ => return Ok(()),
        };
        Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "MTX006",
            what: format!("the matrix's target {name} cannot be understood"),
            why,
            fix: "compare its `since`, `proven-on` and images with those of other targets",
        }))
    }

    /// The target on whose routers packages of this one are proven, where it has none of its own.
    pub fn proven_on(&self, target: &Target) -> Option<&Target> {
        self.targets.iter().find(|listed| listed.name == *target)?.proven_on.as_ref()
    }

    fn releases(&self) -> Vec<&str> {
        self.lines.iter().flat_map(|line| line.releases.iter().map(String::as_str)).collect()
    }

    /// The release that a word stands for.
    fn release(&self, asked: &str) -> Result<String> {
        let of_line = self.lines.iter().find(|line| line.name == asked).and_then(|line| line.releases.first());
        match of_line {
            Some(release) => Ok(release.clone()),
            None if asked == ALL || self.releases().contains(&asked) => Ok(asked.to_owned()),
            None => Err(unknown_release(asked, &self.releases())),
        }
    }

    fn known_target(&self, asked: &str) -> Result<()> {
        let name = |listed: &Listed| listed.name.to_string();
        if asked == ALL || self.targets.iter().any(|listed| name(listed) == asked) {
            return Ok(());
        }
        let names: Vec<String> = self.targets.iter().map(name).collect();
        let renamed =
            self.targets.iter().find(|listed| listed.formerly.values().any(|old| old.name.to_string() == asked));
        let nearest = match renamed {
            Some(listed) => vec![name(listed)],
            None => nearest(asked, &names),
        };
        Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "MTX002",
            what: format!("no target `{asked}` is in the matrix"),
            why: match renamed {
                Some(listed) => {
                    format!("it is called {} in every release here, also where OpenWrt did not", listed.name)
                }
                None => "feeds/matrix.yaml lists the targets with what is known of their images".into(),
            },
            fix: format!("the nearest: {}; there are: {}", nearest.join(", "), names.join(", ")),
        }))
    }
}

fn row(line: &Line, release: &str, listed: &Listed, keys: &[Fingerprint]) -> Row {
    let Listed { name, arch, since: _, formerly, kernel, initramfs, rootfs, combined, proven_on } = listed;
    let (published, arch) = formerly.get(&line.name).map_or((name, arch), |former| (&former.name, &former.arch));
    Row {
        release: Release(release.to_owned()),
        line: line.name.clone(),
        target: name.clone(),
        published: published.clone(),
        arch: arch.clone(),
        format: match line.format {
            Extension::Ipk => Format::Ipk,
            Extension::Apk => Format::Apk,
        },
        kernel_line: line.kernel.clone(),
        keys: keys.to_vec(),
        host: line.host,
        images: Images {
            kernel: kernel.clone(),
            initramfs: initramfs.clone(),
            rootfs: rootfs.clone(),
            combined: combined.clone(),
        },
        proven_on: proven_on.clone(),
    }
}

fn key_number(text: &str) -> Result<Fingerprint> {
    keys::number(text).ok_or_else(|| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "MTX003",
            what: format!("`{text}` is no key number"),
            why: "the keys of a release line are named by 16 lower-case hex digits",
            fix: "write it as the file in feeds/openwrt-keys is called",
        })
    })
}

fn too_old(release: &str, target: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "MTX005",
        what: format!("{release} has no target {target}"),
        why: "the target came with a later line: see `since` in feeds/matrix.yaml",
        fix: format!("take a later release; `cargo xtask plan --target {target}` shows them"),
    })
}

fn unknown_release(asked: &str, known: &[&str]) -> Failure {
    let known: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "MTX001",
        what: format!("no release `{asked}` is in the matrix"),
        why: "feeds/matrix.yaml lists the releases with what is known of their lines",
        fix: format!(
            "the nearest: {}; add another release of a known line to `releases` there",
            nearest(asked, &known).join(", ")
        ),
    })
}

/// The three names that are most like what was asked for.
fn nearest(asked: &str, names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    let likeness = |name: &str| strsim::jaro(&name.to_lowercase(), &asked.to_lowercase());
    names.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)));
    names.truncate(3);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Matrix {
        Matrix::load(&Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../feeds/matrix.yaml")).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn the_repositorys_matrix_is_every_release_for_every_target_that_it_has() {
        let matrix = matrix();
        let all = matrix.select(&[], &[]).unwrap();
        let of = |target: &str| all.iter().filter(|row| row.target.to_string() == target).count();
        let releases = matrix.releases().len();
        assert_eq!([of("x86/64"), of("ramips/mt7621"), of("mediatek/filogic")], [releases, releases, releases - 1]);
        assert!(all.len() <= 256, "more than a matrix of GitHub's takes");
        assert_eq!(matrix.select(&words(&["all"]), &words(&["all"])).unwrap(), all);
        for row in &all {
            assert!(!row.keys.is_empty());
            let has_images = !row.images.kernel.is_empty() && !row.images.rootfs.is_empty();
            assert_eq!(has_images, row.proven_on.is_none(), "{row:?}");
            let on = row.proven_on.as_ref().map(|on| matrix.row("25.12", &on.to_string()).unwrap().arch);
            // The instruction set is the first word; a processor of it runs what others of it run.
            let first = |arch: &Arch| arch.0.split('_').next().unwrap_or_default().to_owned();
            assert!(on.is_none_or(|arch| first(&arch) == first(&row.arch)), "{row:?}");
            assert!(crate::RustTarget::of(&row.arch).is_ok(), "{}", row.arch);
            let apk = ["25.12", "main"].contains(&row.line.as_str());
            assert_eq!(row.format == Format::Apk, apk, "{row:?}");
            let of_line = row.release.0.starts_with(&row.line) || row.line == "main" && row.release.0 == "SNAPSHOT";
            assert!(of_line, "{row:?}");
        }
    }

    #[test]
    fn a_line_stands_for_its_release_and_an_old_line_has_its_own_names() {
        let matrix = matrix();
        let row = matrix.row("22.03", "armsr/armv8").unwrap();
        assert_eq!((row.release.0.as_str(), row.published.to_string().as_str()), ("22.03.7", "armvirt/64"));
        assert_eq!(row.arch.0, "aarch64_cortex-a53");
        let row = matrix.row("25.12-SNAPSHOT", "armsr/armv8").unwrap();
        assert_eq!((row.published.to_string().as_str(), row.arch.0.as_str()), ("armsr/armv8", "aarch64_generic"));
        assert_eq!(matrix.row("main", "malta/be").unwrap().release.0, "SNAPSHOT");
        assert_eq!(matrix.row("23.05", "qualcommax/ipq807x").unwrap().published.to_string(), "ipq807x/generic");
        assert_eq!(matrix.row("23.05", "airoha/an7581").unwrap_err().id(), "MTX005");
        let host = |release: &str| matrix.row(release, "x86/64").map(|row| row.host);
        assert_eq!(host("24.10-SNAPSHOT").unwrap(), host("24.10").unwrap());
        assert_eq!(host("17.01").unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn what_is_not_in_the_matrix_is_refused_with_the_nearest_names() {
        let matrix = matrix();
        for (release, nearest) in [("25.12.55", "25.12.5"), ("snapshot", "24.10-SNAPSHOT"), ("all", "22.03")] {
            let failure = matrix.row(release, "x86/64").unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("MTX001", Exit::Usage), "{release}");
            assert!(failure.finding().fix.contains(nearest), "{failure}");
        }
        for (target, nearest) in [("x86/46", "nearest: x86/64"), ("armvirt/32", "nearest: armsr/armv7;"), ("", "malta")]
        {
            let failure = matrix.row("25.12", target).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("MTX002", Exit::Usage), "{target}");
            assert!(failure.finding().fix.contains(nearest), "{failure}");
        }
    }

    #[test]
    fn a_slip_in_the_file_is_refused() {
        let text = std::fs::read_to_string(Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../feeds/matrix.yaml"));
        let text = text.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("matrix.yaml");
        for (right, wrong, id) in [
            ("4d017e6f1ed5d616", "4d017e6f1ed5d61", "MTX003"),
            ("format: ipk", "format: deb", "CONF001"),
            ("x86/64", "x86-64", "CONF001"),
            ("rootfs:", "rotfs:", "CONF001"),
            ("since: \"23.05\"", "since: \"23.04\"", "MTX006"),
            ("proven-on: malta/be", "proven-on: malta/le", "MTX006"),
            ("    proven-on: malta/be\n", "", "MTX006"),
        ] {
            std::fs::write(&path, text.replace(right, wrong)).unwrap();
            assert_eq!(Matrix::load(&path).unwrap_err().id(), id, "{wrong}");
        }
    }
}
