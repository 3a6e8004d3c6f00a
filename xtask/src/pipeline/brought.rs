//! Packages that were built elsewhere (`--packages`): opened, checked against the router, and added beside ours.
//!
//! Problems are reported before anything is booted: a router's package manager would report only the first one, minutes
//! later, and opkg can be forced to install a package for another kernel.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use formats::opened::{Need, Opened};
use formats::{Format, Package, lint};
use model::{Arch, Event, Exit, Failure, Finding, Problem, Result, Severity, parallel, processors};

use super::packages::{Copies, Packages, package_files};
use super::stages::BROUGHT;
use crate::Ctx;
use crate::stage::{Inputs, stage};

/// Packages of an image that OpenWrt's feeds leave out; the folder of a whole build has them.
pub(super) const OF_IMAGES: [&str; 2] = [Package::KERNEL, "libc"];

/// A package that the user brought, opened.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    /// Path of the file.
    pub(super) file: Utf8PathBuf,
    pub(super) package: Arc<Opened>,
}

impl Brought {
    fn read(file: &Utf8Path) -> Result<Brought> {
        let opened = File::open(file).map_err(|error| Failure::io("read the package", file, &error))?;
        let format = Format::of_file_name(file.as_str()).unwrap_or(Format::Ipk);
        let package = Opened::read(file.as_str(), format, BufReader::new(opened), &lint::Options::default().limits);
        let package = package.map_err(|error| unreadable(file, &error))?;
        Ok(Brought { file: file.to_owned(), package: Arc::new(package) })
    }

    /// The file name that feeds use, whatever the builder named it.
    fn file_name(&self) -> String {
        let Opened { name, version, architecture, format, .. } = &*self.package;
        match format {
            Format::Ipk => {
                let version = version.split_once(':').map_or(version.as_str(), |(_epoch, rest)| rest);
                format!("{name}_{version}_{architecture}.ipk")
            }
            Format::Apk => format!("{name}-{version}.apk"),
        }
    }

    /// Whether routers of an architecture accept it.
    fn fits(&self, arch: &Arch) -> bool {
        matches!(self.package.architecture.as_str(), "all" | "noarch") || self.package.architecture == arch.0
    }

    /// Dependencies that neither the image nor one of `others` satisfies.
    fn unmet(&self, image: &BTreeSet<&str>, others: &[&Opened]) -> Vec<String> {
        let has = |name: &String, exact: Option<&String>| {
            let is = |other: &&&Opened| other.name == *name && exact.is_none_or(|exact| *exact == other.version);
            image.contains(name.as_str()) || others.iter().any(|other| is(&other) || other.provides.contains(name))
        };
        let needs = self.package.needs.iter().filter(|need| need.names != [Package::KERNEL]);
        let unmet = needs.filter(|need| !need.names.iter().any(|name| has(name, need.exact.as_ref())));
        let told = |need: &Need| match &need.exact {
            Some(exact) => format!("{} {exact}", need.names.join(" or ")),
            None => need.names.join(" or "),
        };
        unmet.map(told).collect()
    }
}

/// Opens what the user brought: each package once, even if a folder has it for many architectures.
///
/// # Errors
/// `LNT001` when there is none, `OWN001` for a file that is not a package, `OWN002` for two packages of one name.
pub(super) fn open(ctx: &Ctx) -> Result<Vec<Brought>> {
    if ctx.packages.is_empty() {
        return Ok(Vec::new());
    }
    let is_package = |path: &Utf8PathBuf| Format::of_file_name(path.as_str()).is_some();
    let files: Vec<Utf8PathBuf> = crate::lint::collect(&ctx.packages)?.into_iter().filter(is_package).collect();
    let files: Vec<&Utf8Path> = files.iter().map(Utf8PathBuf::as_path).collect();
    let mut packages: Vec<Brought> = Vec::new();
    for brought in parallel(&files, processors(), |file| Brought::read(file))? {
        if OF_IMAGES.contains(&brought.package.name.as_str()) {
            continue;
        }
        match packages.iter().find(|other| same_name(&other.package, &brought.package)) {
            Some(twin) if twin.package.file.sha256 == brought.package.file.sha256 => {}
            Some(twin) => return Err(twice(&brought, &twin.file)),
            None => packages.push(brought),
        }
    }
    let key = |brought: &Brought| (brought.package.name.clone(), brought.package.format);
    packages.sort_by_key(key);
    Ok(packages)
}

/// Opens the packages that are built here from the wanted sources.
///
/// # Errors
/// `OWN001` for one that cannot be read.
pub(super) fn built_of(packages: &Packages, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Brought>> {
    let found = package_files(&packages.folder)?.iter().map(|file| Brought::read(file)).collect::<Result<Vec<_>>>()?;
    Ok(found.into_iter().filter(|package| is_wanted(&package.package.source)).collect())
}

/// Packages, opened.
///
/// # Errors
/// `OWN001` for one that cannot be read.
pub(super) fn opened(files: &[Utf8PathBuf]) -> Result<Vec<Brought>> {
    parallel(files, processors(), |file| Brought::read(file))
}

/// Whether both would have the same name in one feed.
fn same_name(one: &Opened, other: &Opened) -> bool {
    one.format == other.format && one.name == other.name
}

/// The packages in these formats, which must fit the architecture.
///
/// # Errors
/// `OWN003` for a package of another architecture, `OWN004` when none is left.
pub(super) fn fitting(brought: &[Brought], formats: &[Format], arch: &Arch) -> Result<Vec<Brought>> {
    let of_format = brought.iter().filter(|brought| formats.contains(&brought.package.format));
    let fitting: Vec<Brought> = of_format.cloned().collect();
    if let Some(foreign) = fitting.iter().find(|brought| !brought.fits(arch)) {
        return Err(other_arch(foreign, arch));
    }
    match brought.first() {
        Some(first) if fitting.is_empty() => Err(other_format(first, formats)),
        _ => Ok(fitting),
    }
}

/// Checks what was brought against the router and our own packages, and copies it, so that it no longer changes.
/// `image` has the names of the packages that every router has, as far as known.
///
/// # Errors
/// `OWN002` for the name of a package that is built here, `OWN005` for another kernel, `OWN006` for an unsatisfied
/// dependency.
pub(super) fn beside(
    ctx: &Ctx,
    brought: &[Brought],
    ours: &Packages,
    image: Option<&BTreeSet<String>>,
) -> Result<Option<Copies>> {
    if brought.is_empty() {
        return Ok(None);
    }
    let about = format!("{} from elsewhere", counted(brought.len()));
    let image_said = image.map(|image| image.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
    let inputs = Inputs::new(&about)
        .stage("packages", &ours.folder)
        .text("kernel", &ours.kernel_version)
        .text("image", image_said.unwrap_or_else(|| "unknown".into()));
    let inputs = brought.iter().fold(inputs, |inputs, brought| inputs.path("package", &brought.file));
    let folder = stage(ctx, &BROUGHT, &inputs, |out| {
        let built = package_files(&ours.folder)?;
        let built = parallel(&built, processors(), |file| Brought::read(file))?;
        check(ctx, brought, &built, &ours.kernel_version, image)?;
        for package in brought {
            let target = out.join(package.file_name());
            std::fs::copy(&package.file, &target).map_err(|error| Failure::io("copy the package", &target, &error))?;
        }
        Ok(format!("{about}, fit for kernel {}", ours.kernel_version))
    })?;
    let files = brought.iter().map(|brought| (folder.join(brought.file_name()), brought.file.clone())).collect();
    Ok(Some(Copies { folder, files }))
}

fn check(
    ctx: &Ctx,
    brought: &[Brought],
    built: &[Brought],
    kernel: &str,
    image: Option<&BTreeSet<String>>,
) -> Result<()> {
    let names: BTreeSet<&str> = image.into_iter().flatten().map(String::as_str).collect();
    let mut unknown = BTreeSet::new();
    for this in brought {
        let package = &this.package;
        if let Some(twin) = built.iter().find(|other| same_name(&other.package, package)) {
            return Err(twice(this, &twin.file));
        }
        if let Some(wanted) = package.kernel().filter(|wanted| *wanted != kernel) {
            return Err(other_kernel(this, wanted, kernel));
        }
        let others = brought.iter().chain(built).map(|other| &*other.package);
        let others: Vec<&Opened> = others.filter(|other| other.format == package.format).collect();
        let unmet = this.unmet(&names, &others);
        match image {
            Some(_) if !unmet.is_empty() => return Err(unmet_dependency(this, &unmet)),
            _ => unknown.extend(unmet),
        }
    }
    unknown.remove("libc");
    if !unknown.is_empty() {
        ctx.events.emit(Event::Finding(left_to_the_image(&unknown.into_iter().collect::<Vec<_>>().join(", "))));
    }
    Ok(())
}

fn counted(count: usize) -> String {
    if count == 1 { "1 package".into() } else { format!("{count} packages") }
}

fn unreadable(file: &Utf8Path, error: &formats::Error) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN001",
        what: "the file has a package's name, but cannot be read as one",
        why: format!("{error} ({})", error.id()),
        fix: "build or fetch it again; `cargo xtask lint` checks all files in a folder and reports each fault",
    })
    .at(file)
}

fn twice(brought: &Brought, twin: &Utf8Path) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN002",
        what: format!("two packages are called {}: {} and {twin}", brought.package.name, brought.file),
        why: "it would be chance which of them a router installs",
        fix: "leave one out; if a recipe makes the other, rename this one or leave out the recipe",
    })
    .at(&brought.file)
}

fn other_arch(brought: &Brought, arch: &Arch) -> Failure {
    let Opened { name, architecture, .. } = &*brought.package;
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN003",
        what: format!("{name} is for the architecture `{architecture}`, but the router's is `{arch}`"),
        why: "package managers refuse it, and its programs would not start",
        fix: "give the folder of the router's architecture, or another --target; scripts alone are `all` (PKGARCH:=all)",
    })
    .at(&brought.file)
}

fn other_format(brought: &Brought, formats: &[Format]) -> Failure {
    let takes: Vec<&str> = formats.iter().map(|format| format.manager()).collect();
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "OWN004",
        what: format!(
            "the given packages are {}, but the router takes {}",
            brought.package.format,
            takes.join(" and ")
        ),
        why: "a package manager reads only its own format: opkg (up to 24.10) ipk, apk (from 25.12 on) apk",
        fix: "give packages that were built for this release, or choose the other format with --format or --release",
    })
    .at(&brought.file)
}

fn other_kernel(brought: &Brought, wanted: &str, kernel: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN005",
        what: format!("{} is for kernel {wanted}, but the router's is {kernel}", brought.package.name),
        why: "modules fit the kernel that they were built with, version and configuration; OpenWrt's kernels would load \
              them unchecked and crash",
        fix: "build it for this kernel, or test on the release and target that it was built for (--release, --target)",
    })
    .at(&brought.file)
}

fn unmet_dependency(brought: &Brought, unmet: &[String]) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN006",
        what: format!("{} needs {}, which does not exist", brought.package.name, unmet.join(", ")),
        why: "it is neither in the router's image, nor among the packages that are built here or were given with \
              --packages",
        fix: "give that package too (--packages), or write a recipe for it; a release's own image has more packages \
              (--release)",
    })
    .at(&brought.file)
}

/// The failure where a release's feeds do not have it either; `told` says which were read.
pub(super) fn nowhere(brought: &Brought, what: &str, told: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Failed,
        id: "OWN008",
        what: format!("{} needs {what}, which does not exist", brought.package.name),
        why: format!(
            "it is neither in the release's image, nor among the packages that are built here or were given, nor in the \
             release's feeds: {told}"
        ),
        fix: "give that package too (--packages), or write a recipe for it; a mirror may lack feeds: name a complete one \
              with --mirror",
    })
    .at(&brought.file)
}

/// A release's image has a few dozen packages, and their names are not known before it runs.
fn left_to_the_image(names: &str) -> Finding {
    Finding {
        id: "OWN007",
        severity: Severity::Note,
        place: None,
        what: format!("the release must have dependencies that no given package provides: {names}"),
        why: "its image has them, or its own feeds, which is known once the image runs".into(),
        fix: "nothing needs to be done: `test` asks the image, takes the rest from the release's feeds, and says what is \
              nowhere"
            .into(),
    }
}

#[cfg(test)]
mod tests;
