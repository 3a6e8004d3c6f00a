//! The mirror for Debian packages: that of the host's own apt, or one that the user names.
//!
//! This repository contains no mirror's address. apt itself reads the host's configuration (one-line and deb822
//! formats, any directory), so those formats need no second parser here.

use std::fmt;
use std::time::Duration;

use camino::Utf8Path;
use host::{Job, cmd};
use model::{Cancel, Exit, Failure, Problem, Result};

/// Deadline for apt to list its sources from its own files.
const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// Suite names under which a mirror may offer the host's release instead of its code name.
const ALIASES: [&str; 5] = ["stable", "testing", "unstable", "sid", "oldstable"];

/// URI schemes that serve any suite: not discs, and not mirror lists for this host only.
const SCHEMES: [&str; 8] =
    ["http://", "https://", "file:", "copy:", "ftp://", "mirror://", "mirror+http://", "mirror+https://"];

/// The root of a Debian mirror in apt's spelling, such as `https://mirror.example/debian/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(String);

impl Mirror {
    /// A mirror from the command line: a URL, or a directory with `dists/` and `pool/`.
    ///
    /// # Errors
    /// `APT001` when it is neither.
    pub fn named(text: &str) -> Result<Self> {
        let path = Utf8Path::new(text);
        if path.join("dists").is_dir() {
            let path = path.canonicalize_utf8().map_err(|error| Failure::io("open the mirror", path, &error))?;
            // `copy:` makes apt copy the files to where they are wanted; `file:` would only name them.
            return Ok(Mirror(format!("copy:{}", path.as_str().replace('%', "%25").replace(' ', "%20"))));
        }
        let scheme = SCHEMES.iter().any(|scheme| text.starts_with(scheme));
        if scheme && !text.contains(char::is_whitespace) {
            return Ok(Mirror(text.into()));
        }
        Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "APT001",
            what: format!("`{text}` is not a Debian mirror"),
            why: "it is neither a URL nor a directory that has `dists`",
            fix: "give the address up to `/dists`, or the path of a local mirror",
        }))
    }

    /// The mirror that the host's apt uses for the host's own release.
    ///
    /// # Errors
    /// `APT002` when the host is not Debian or apt has no such mirror; `CMD001` without apt.
    pub fn of_host(cancel: &Cancel) -> Result<Self> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let shell = host::shell()?;
        let (line, which) = ("$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages");
        let command = cmd!(shell, "apt-get indextargets --no-release-info --format {line} {which}");
        let output = Job::new(command, QUERY_LIMIT).from_package("apt").output(cancel)?;
        Mirror::from_targets(&output.stdout, &release)
    }

    fn from_targets(targets: &str, os_release: &str) -> Result<Self> {
        choose(targets, code_name(os_release)).map(|uri| Mirror(uri.to_owned())).ok_or_else(|| {
            Failure::of(Problem {
                exit: Exit::Host,
                id: "APT002",
                what: "this host's apt knows no Debian mirror",
                why: "none of its sources is the main archive of this host's Debian release",
                fix: "name one: --debian-mirror URL, or --debian-mirror DIRECTORY for a local copy",
            })
        })
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `VERSION_CODENAME` of os-release(5), if the host is Debian; sid has none.
fn code_name(os_release: &str) -> Option<&str> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(|value| value.trim_matches('"')))
    };
    (value("ID") == Some("debian")).then(|| value("VERSION_CODENAME").unwrap_or("sid"))
}

/// Chooses the archive of the host's own release from lines `URI SUITE COMPONENT`.
fn choose<'a>(targets: &'a str, code_name: Option<&str>) -> Option<&'a str> {
    let code_name = code_name?;
    let archives = || {
        targets.lines().filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [uri, suite, "main"] if SCHEMES.iter().any(|scheme| uri.starts_with(scheme)) => Some((uri, suite)),
            _ => None,
        })
    };
    let of = |wanted: &[&str]| archives().find(|(_, suite)| wanted.contains(suite)).map(|(uri, _)| uri);
    of(&[code_name]).or_else(|| of(&ALIASES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_of_the_hosts_release_is_chosen() {
        let targets = "\
https://updates.example/debian/ bookworm-updates main
https://security.example/debian-security/ bookworm-security main
cdrom://Debian/ bookworm main
https://other.example/debian/ bookworm contrib
https://mirror.example/debian/ bookworm main
https://second.example/debian/ bookworm main
";
        assert_eq!(choose(targets, Some("bookworm")), Some("https://mirror.example/debian/"));
        assert_eq!(choose(targets, Some("trixie")), None);
        assert_eq!(choose(targets, None), None);
        assert_eq!(choose("file:/srv/debian/ stable main\n", Some("trixie")), Some("file:/srv/debian/"));
        assert_eq!(choose("file:/srv/flat/ ./ $(COMPONENT)\n", Some("trixie")), None);
    }

    #[test]
    fn only_debian_has_a_debian_code_name() {
        assert_eq!(code_name("ID=debian\nVERSION_CODENAME=trixie\n"), Some("trixie"));
        assert_eq!(code_name("VERSION_CODENAME=\"bookworm\"\nID=\"debian\"\n"), Some("bookworm"));
        assert_eq!(code_name("ID=debian\n"), Some("sid"));
        assert_eq!(code_name("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(code_name(""), None);
    }

    #[test]
    fn a_host_without_a_debian_mirror_is_told_to_name_one() {
        for (targets, release) in [("", "ID=debian\n"), ("http://mirror.example/ubuntu/ noble main\n", "ID=ubuntu\n")] {
            let failure = Mirror::from_targets(targets, release).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("APT002", Exit::Host));
        }
    }

    #[test]
    fn a_named_mirror_is_a_url_or_a_directory() {
        assert_eq!(
            Mirror::named("https://mirror.example/debian").unwrap().to_string(),
            "https://mirror.example/debian"
        );
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap().canonicalize_utf8().unwrap().join("a mirror");
        std::fs::create_dir_all(root.join("dists")).unwrap();
        let spelled = Mirror::named(root.as_str()).unwrap().to_string();
        assert!(spelled.starts_with("copy:/") && spelled.ends_with("/a%20mirror"), "{spelled}");
        for bad in ["", "debian", "/no/such/place", "gopher://x", "http://x y/"] {
            let failure = Mirror::named(bad).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("APT001", Exit::Usage), "{bad}");
        }
    }
}
