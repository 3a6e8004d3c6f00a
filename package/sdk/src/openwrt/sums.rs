//! `sha256sums`: the digests of all files in a target's folder; finds those that we need.

use std::collections::BTreeMap;

use model::{Digest, Exit, Failure, KernelId, Problem, Result, Target};

/// The list for a target's folder: digests by path below that folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, Digest>);

impl Sums {
    /// Parses lines `DIGEST *PATH`; sha256sum(1) allows a space in place of the asterisk.
    ///
    /// # Errors
    /// `SUM001` for any other line, for a path that leaves the folder, and for a path that is listed twice with
    /// different digests. (Merged lists of snapshots repeat lines.)
    pub fn parse(text: &str) -> Result<Self> {
        let mut sums = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let refuse = |why: &str| Err(unreadable(number + 1, why));
            let Some((digest, path)) = line.split_once(" *").or_else(|| line.split_once("  ")) else {
                return refuse("it is not a digest and a path");
            };
            let Ok(digest) = digest.parse::<Digest>() else { return refuse("the digest is not 64 hex digits") };
            if !is_plain(path) {
                return refuse("the path leads out of the folder");
            }
            if sums.insert(path.to_owned(), digest).is_some_and(|known| known != digest) {
                return refuse("the path was listed before, with another digest");
            }
        }
        Ok(Sums(sums))
    }

    /// The digest of a file.
    pub fn get(&self, path: &str) -> Option<Digest> {
        self.0.get(path).copied()
    }

    /// Paths below the folder with their digests, sorted: images and archives, and files in `packages/…` and `kmods/…`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.0.iter().map(|(path, digest)| (path.as_str(), *digest))
    }

    /// The SDK's archive. Its name contains the compiler's version, which is not known beforehand.
    ///
    /// # Errors
    /// `SUM002` when there is none, `SUM003` when there are several.
    pub(super) fn sdk(&self) -> Result<(&str, Digest)> {
        let archives: Vec<(&str, Digest)> = self.iter().filter(|(path, _)| is_sdk(path)).collect();
        match archives[..] {
            [one] => Ok(one),
            [] => Err(Failure::of(Problem {
                exit: Exit::Upstream,
                id: "SUM002",
                what: "no SDK is published here",
                why: format!("the list has no `openwrt-sdk-*.tar.xz` or `.tar.zst` among its {} files", self.0.len()),
                fix: "use another release or target, or try later: a build may still be uploading",
            })),
            [..] => Err(Failure::of(Problem {
                exit: Exit::Upstream,
                id: "SUM003",
                what: format!("{} SDKs are published here", archives.len()),
                why: archives.iter().map(|(path, _)| *path).collect::<Vec<_>>().join("\n"),
                fix: "try later: a build may be replacing one by the other, and nothing says which of them fits the \
                      images",
            })),
        }
    }

    /// The image whose name ends in one of these suffixes; the first suffix with a match counts. Only the text before
    /// the target's name (release and revision) may vary, so a suffix never matches a longer one.
    ///
    /// # Errors
    /// `SUM004` when two files match the same suffix.
    pub(super) fn image(&self, published: &Target, ends: &[String]) -> Result<Option<(&str, Digest)>> {
        for end in ends {
            let whole = format!("-{}-{end}", published.slug());
            let matching: Vec<(&str, Digest)> = self
                .iter()
                .filter(|(path, _)| path.starts_with("openwrt-") && path.ends_with(&whole) && !path.contains('/'))
                .collect();
            match matching[..] {
                [] => {}
                [one] => return Ok(Some(one)),
                [..] => return Err(ambiguous(end, &matching)),
            }
        }
        Ok(None)
    }

    /// The kernel, from the file name of the package `kernel`, which every release has beside its kmods. The name
    /// contains version, hash and release, in one of two spellings (`include/kernel.mk`).
    pub(super) fn kernel(&self) -> Option<KernelId> {
        let mut found = self.iter().filter_map(|(path, _)| kernel_of(path.strip_prefix("packages/")?));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}

fn is_sdk(path: &str) -> bool {
    path.starts_with("openwrt-sdk-") && !path.contains('/') && (path.ends_with(".tar.xz") || path.ends_with(".tar.zst"))
}

/// Whether a path stays below its folder, with characters that URLs take as they are or percent-encoded.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path.chars().all(|character| character.is_ascii_graphic() && !matches!(character, '\\' | '"' | '<' | '>'))
}

/// Parses `kernel_6.6.141~HASH-r1_x86_64.ipk`, `kernel_5.15.167-1-HASH_x86_64.ipk` or `kernel-6.12.94~HASH-r1.apk`.
fn kernel_of(name: &str) -> Option<KernelId> {
    let version = match name.strip_suffix(".apk") {
        Some(name) => name.strip_prefix("kernel-")?,
        None => name.strip_suffix(".ipk")?.strip_prefix("kernel_")?.split('_').next()?,
    };
    let (version, config_hash, release) = match version.split_once('~') {
        Some((version, rest)) => {
            let (hash, release) = rest.split_once("-r")?;
            (version, hash, release)
        }
        None => {
            let (version, rest) = version.split_once('-')?;
            let (release, hash) = rest.split_once('-')?;
            (version, hash, release)
        }
    };
    kernel_id(version, config_hash, release)
}

/// The id, if its parts have the form that packages use.
pub(super) fn kernel_id(version: &str, config_hash: &str, release: &str) -> Option<KernelId> {
    let is_hash = config_hash.len() == 32 && config_hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_version = version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
    (is_hash && is_version).then_some(())?;
    Some(KernelId { version: version.into(), config_hash: config_hash.into(), release: release.parse().ok()? })
}

fn unreadable(line: usize, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "SUM001",
        what: format!("line {line} of the signed list is not understood"),
        why,
        fix: "try another mirror; if all have the same line, this program must be taught the list's new form",
    })
}

fn ambiguous(end: &str, files: &[(&str, Digest)]) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "SUM004",
        what: format!("{} images end in `{end}`", files.len()),
        why: files.iter().map(|(path, _)| *path).collect::<Vec<_>>().join("\n"),
        fix: "try later: a build may be replacing one by the other; or make the suffix in feeds/matrix.yaml longer",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "50daf8372d971124fb3519e8d87e02ae";

    fn sums(paths: &[&str]) -> Sums {
        Sums::parse(&paths.iter().map(|path| format!("{} *{path}\n", Digest::of(path))).collect::<String>()).unwrap()
    }

    #[test]
    fn both_spellings_of_a_line_are_read_and_nothing_else() {
        let digest = Digest::of("a");
        let read = Sums::parse(&format!("{digest} *a\n{digest}  packages/b.ipk\n{digest} *a\n")).unwrap();
        assert_eq!(read.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["a", "packages/b.ipk"]);
        assert_eq!((read.get("a"), read.get("b.ipk")), (Some(digest), None));
        let other = Digest::of("b");
        for line in [
            "a".to_owned(),
            format!("{digest} a"),
            format!("{digest} *../a"),
            format!("{digest} */a"),
            format!("{digest} *a//b"),
            format!("{digest} *a b"),
            format!("{digest} *"),
            format!("{} *a", &digest.to_string()[1..]),
            format!("{digest} *a\n{other} *a"),
            "<html><body>Welcome to the hotel</body></html>".into(),
        ] {
            let failure = Sums::parse(&line).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("SUM001", Exit::Upstream), "{line}");
        }
    }

    #[test]
    fn exactly_one_sdk_whatever_its_compiler() {
        let one = "openwrt-sdk-25.12.5-x86-64_gcc-14.3.0_musl.Linux-x86_64.tar.zst";
        let others = [
            "openwrt-imagebuilder-25.12.5-x86-64.Linux-x86_64.tar.zst",
            "packages/openwrt-sdk-x.tar.zst",
            "openwrt-sdk-25.12.5.tar.zst.sig",
        ];
        assert_eq!(sums(&[&[one][..], &others].concat()).sdk().unwrap().0, one);
        assert_eq!(sums(&others).sdk().unwrap_err().id(), "SUM002");
        let two = "openwrt-sdk-25.12.5-x86-64_gcc-14.4.0_musl.Linux-x86_64.tar.xz";
        let failure = sums(&[one, two]).sdk().unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("SUM003", Exit::Upstream));
        assert!(failure.finding().why.contains(one) && failure.finding().why.contains(two), "{failure}");
    }

    #[test]
    fn images_are_found_by_their_ends_in_the_order_given() {
        let ends = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let published: Target = "armvirt/64".parse().unwrap();
        let list = sums(&[
            "openwrt-22.03.7-armvirt-64-Image",
            "openwrt-22.03.7-armvirt-64-Image-initramfs",
            "openwrt-22.03.7-armvirt-64-rootfs-squashfs.img.gz",
            "openwrt-22.03.7-armvirt-64-default-rootfs.tar.gz",
        ]);
        let image = |words: &[&str]| list.image(&published, &ends(words)).unwrap().map(|(path, _)| path);
        assert_eq!(image(&["generic-kernel.bin", "Image"]), Some("openwrt-22.03.7-armvirt-64-Image"));
        let rootfs = image(&["rootfs-ext4.img.gz", "rootfs-squashfs.img.gz"]);
        assert_eq!(rootfs, Some("openwrt-22.03.7-armvirt-64-rootfs-squashfs.img.gz"));
        assert_eq!(image(&["zImage", "rootfs.tar.gz"]), None, "an end is whole");
        let list =
            sums(&["openwrt-24.10-snapshot-r1-x-armvirt-64-Image", "openwrt-24.10-snapshot-r2-x-armvirt-64-Image"]);
        let failure = list.image(&published, &ends(&["Image"])).unwrap_err();
        assert_eq!(failure.id(), "SUM004");
        assert!(failure.finding().why.contains("r2-x"), "{failure}");
    }

    #[test]
    fn the_kernel_is_read_in_each_lines_spelling() {
        for (name, version) in [
            (format!("kernel_6.6.141~{HASH}-r1_x86_64.ipk"), "6.6.141"),
            (format!("kernel_5.15.167-1-{HASH}_x86_64.ipk"), "5.15.167"),
            (format!("kernel-6.12.94~{HASH}-r1.apk"), "6.12.94"),
            (format!("kernel-6.18_rc1~{HASH}-r1.apk"), "6.18_rc1"),
        ] {
            let kernel = sums(&[&format!("packages/{name}"), "packages/kmod-x.ipk"]).kernel().unwrap();
            assert_eq!((kernel.version.as_str(), kernel.config_hash.as_str(), kernel.release), (version, HASH, 1));
        }
        for name in ["kernel_6.6.141-r1_x86_64.ipk", "kernel-headers.apk", "kernel_6.6~abc-r1_x86_64.ipk"] {
            assert_eq!(sums(&[&format!("packages/{name}")]).kernel(), None, "{name}");
        }
        let two = [format!("packages/kernel-6.12.94~{HASH}-r1.apk"), format!("packages/kernel-6.12.95~{HASH}-r1.apk")];
        assert_eq!(sums(&[&two[0], &two[1]]).kernel(), None, "two kernels are none");
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "([0-9a-f]{64} [ *][a-z_/.~-]{0,20}\n){0,3}\\PC{0,80}", name in "kernel[_-]\\PC{0,40}") {
            let _ = Sums::parse(&text).map(|sums| (sums.kernel(), sums.sdk().is_ok()));
            let _ = kernel_of(&name);
        }
    }
}
