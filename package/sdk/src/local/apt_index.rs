//! Parses what apt's programs print about packages in the index.

use model::Digest;

/// A package file in the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) file_name: String,
    pub(super) size: u64,
    pub(super) sha256: Digest,
}

impl Wanted {
    /// Parses a line of `apt-get --print-uris`: `'URI' NAME_VERSION_ARCH.deb SIZE SHA256:HEX`.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let [file_name, size, digest] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
        let (name, rest) = file_name.strip_suffix(".deb")?.split_once('_')?;
        let (version, _architecture) = rest.rsplit_once('_')?;
        if file_name.contains('/') {
            return None;
        }
        Some(Wanted {
            name: name.into(),
            // An epoch's colon is the only character that file names escape.
            version: version.replace("%3a", ":"),
            file_name: file_name.into(),
            size: size.parse().ok()?,
            sha256: digest.strip_prefix("SHA256:")?.parse().ok()?,
        })
    }
}

/// Parses a line of `apt-get --simulate install`, `Inst NAME (VERSION SUITE [ARCH])`, into `NAME=VERSION`.
pub(super) fn to_install(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    let version = rest.split(' ').next()?;
    Some(format!("{name}={version}"))
}

/// The `linux-…` packages that a control stanza depends on in an exact version.
pub(super) fn exact_kernel_dependencies(stanza: &str) -> Vec<String> {
    let depends = stanza.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    let exact = |item: &str| {
        let (name, constraint) = item.trim().split_once(' ')?;
        let version = constraint.strip_prefix("(= ")?.strip_suffix(')')?;
        name.starts_with("linux-").then(|| format!("{name}={version}"))
    };
    depends.split(',').filter_map(exact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn lines_of_print_uris_are_read() {
        let wanted =
            Wanted::from_line(&format!("'https://x/a_1.2.deb' a_1%3a1.2_amd64.deb 12 SHA256:{DIGEST}")).unwrap();
        assert_eq!((wanted.name.as_str(), wanted.version.as_str(), wanted.size), ("a", "1:1.2", 12));
        for bad in ["a.deb 1 SHA256", "../a_1_b.deb 1 SHA256", "a_1_b.deb 1 MD5Sum"] {
            let bad = format!("'x' {bad}:{DIGEST}");
            assert_eq!(Wanted::from_line(&bad), None, "{bad}");
        }
        for bad in ["", "'x'", "'x' a_1_b.deb 1 SHA256:ab"] {
            assert_eq!(Wanted::from_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_exact_versions_of_linux_packages_are_followed() {
        let stanza = "Package: linux-image-x\nDepends: kmod, linux-modules-x (= 7.2.13-1), initramfs-tools (>= 0.1) | linux-initramfs-tool, linux-base (>= 4), other (= 1)\n";
        assert_eq!(exact_kernel_dependencies(stanza), ["linux-modules-x=7.2.13-1"]);
        assert_eq!(exact_kernel_dependencies("Package: x\n"), Vec::<String>::new());
    }

    #[test]
    fn what_apt_would_install_is_read() {
        let line = "Inst libacl1 (2.3.2-2+b1 Debian:13.7/stable [amd64])";
        assert_eq!(to_install(line).as_deref(), Some("libacl1=2.3.2-2+b1"));
        for other in ["Conf libacl1 (2.3.2-2+b1 Debian:13.7/stable [amd64])", "Reading package lists...", "Inst x"] {
            assert_eq!(to_install(other), None, "{other}");
        }
    }
}
