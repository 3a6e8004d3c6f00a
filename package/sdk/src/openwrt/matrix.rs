//! `feeds/matrix.yaml`: the supported releases and targets, and their properties.
//!
//! Everything that differs between release lines and is known beforehand is in that file; what a release says about
//! itself is read from the mirror.

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
    /// The feeds that each release publishes for an architecture.
    feeds: Vec<String>,
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
    /// The oldest major version of gcc and g++.
    pub gcc: u32,
    /// The oldest minor version of Python 3.
    pub python: u32,
    /// When Python must have `distutils`.
    pub distutils: Distutils,
    /// Whether Perl must have `IPC::Cmd`.
    pub ipc_cmd: bool,
}

/// When Python needs `distutils`; Python dropped it with 3.12, and setuptools brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distutils {
    /// Any Python.
    Always,
    /// Only a Python that still includes it.
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

/// A target under its name in an old line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Former {
    name: Target,
    arch: Arch,
}

/// Suffixes of a target's image file names; the first that a release has is used.
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
    /// Names of the feeds that are published for its architecture.
    pub feeds: Vec<String>,
    /// What the SDK needs on the host.
    pub host: HostNeeds,
    /// Names of images.
    pub images: Images,
    /// The target on whose routers its packages are proven, if its own images do not run here.
    pub proven_on: Option<Target>,
}

impl Matrix {
    /// Reads the file.
    ///
    /// # Errors
    /// `CONF…` for a malformed file, `MTX003` for a malformed key number, `MTX006` for a target whose first line, or
    /// the target it is proven on, is not in the file.
    pub fn load(path: &Utf8Path) -> Result<Self> {
        Self::parse(path, &model::yaml::read(path)?)
    }

    /// Parses the file's text; `path` is for messages.
    ///
    /// # Errors
    /// Those of [`Matrix::load`].
    pub fn parse(path: &Utf8Path, text: &str) -> Result<Self> {
        let matrix: Matrix = model::yaml::parse(path, text)?;
        matrix.targets.iter().try_for_each(|listed| matrix.check(listed)).map_err(|failure| failure.at(path))?;
        matrix.rows().map(|_| matrix)
    }

    /// The file's text with one release replaced by another; everything else, comments included, stays. `None` if the
    /// release does not occur exactly once.
    pub fn with_release(text: &str, before: &Release, after: &Release) -> Option<String> {
        let (quoted, mut lines) = (format!("\"{before}\""), text.split_inclusive('\n').collect::<Vec<_>>());
        let names = |line: &&str| line.trim_start().starts_with("releases:") && line.contains(&quoted);
        let mut named = (0..lines.len()).filter(|at| lines.get(*at).is_some_and(names));
        let (at, None) = (named.next()?, named.next()) else { return None };
        let line = lines.get_mut(at)?;
        let renewed = line.replacen(&quoted, &format!("\"{after}\""), 1);
        *line = &renewed;
        Some(lines.concat())
    }

    /// The rows for these releases and targets, in the order of the file. An empty list means all of them, as does the
    /// word `all`; a line's name means its preferred release.
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
    /// As [`Matrix::select`]; `all` is not accepted. `MTX005` for a release that does not have the target yet.
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
            Ok(pairs.map(|(release, listed)| self.row_of(line, release, listed, &keys)).collect())
        };
        Ok(self.lines.iter().map(of_line).collect::<Result<Vec<_>>>()?.concat())
    }

    fn row_of(&self, line: &Line, release: &str, listed: &Listed, keys: &[Fingerprint]) -> Row {
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
            feeds: self.feeds.clone(),
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

    /// Whether a line has a target: lines are listed with the oldest first.
    fn has(&self, line: &Line, listed: &Listed) -> bool {
        let place = |name: &str| self.lines.iter().position(|line| line.name == name);
        listed.since.as_ref().is_none_or(|since| place(&line.name) >= place(since))
    }

    /// Checks that the lines and targets to which a target refers exist.
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

    /// The target on whose routers this target's packages are proven, if it has none of its own.
    pub fn proven_on(&self, target: &Target) -> Option<&Target> {
        self.targets.iter().find(|listed| listed.name == *target)?.proven_on.as_ref()
    }

    fn releases(&self) -> Vec<&str> {
        self.lines.iter().flat_map(|line| line.releases.iter().map(String::as_str)).collect()
    }

    /// The release that an argument means.
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
            what: format!("the matrix has no target `{asked}`"),
            why: match renamed {
                Some(listed) => {
                    format!(
                        "it is named {} in all releases here, also in those where OpenWrt named it differently",
                        listed.name
                    )
                }
                None => "feeds/matrix.yaml lists the targets and their images".into(),
            },
            fix: format!("the nearest: {}; there are: {}", nearest.join(", "), names.join(", ")),
        }))
    }
}

fn key_number(text: &str) -> Result<Fingerprint> {
    keys::number(text).ok_or_else(|| {
        Failure::of(Problem {
            exit: Exit::Usage,
            id: "MTX003",
            what: format!("`{text}` is not a key number"),
            why: "the keys of a release line are named by 16 lower-case hex digits",
            fix: "write it like the name of the key's file in feeds/openwrt-keys",
        })
    })
}

fn too_old(release: &str, target: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "MTX005",
        what: format!("{release} has no target {target}"),
        why: "the target came with a later line: see `since` in feeds/matrix.yaml",
        fix: format!("use a later release; `cargo xtask plan --target {target}` shows them"),
    })
}

fn unknown_release(asked: &str, known: &[&str]) -> Failure {
    let known: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "MTX001",
        what: format!("the matrix has no release `{asked}`"),
        why: "feeds/matrix.yaml lists the releases and their lines",
        fix: format!(
            "the nearest: {}; add another release of a known line to `releases` there",
            nearest(asked, &known).join(", ")
        ),
    })
}

/// The three names that are most similar to the given one.
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
            // The first word is the instruction set; its processors run each other's programs.
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
    fn a_newer_release_takes_the_place_of_one_and_nothing_else_changes() {
        let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../feeds/matrix.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let release = |name: &str| Release(name.into());
        let (before, after) = (matrix().row("25.12", "x86/64").unwrap().release, release("25.12.77"));
        let renewed = Matrix::with_release(&text, &before, &after).unwrap();
        let changed = text.lines().zip(renewed.lines()).filter(|(one, other)| one != other).count();
        assert_eq!((changed, text.lines().count()), (1, renewed.lines().count()));
        assert_eq!(Matrix::parse(&path, &renewed).unwrap().row("25.12", "x86/64").unwrap().release, after);
        for absent in ["25.12", "2.1", "x86/64"] {
            assert_eq!(Matrix::with_release(&text, &release(absent), &after), None, "{absent}");
        }
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
