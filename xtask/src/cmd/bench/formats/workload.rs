//! Generated packages: the same bytes in every run, with the mix of content that packages have.

use std::fs::File;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use formats::{Content, Entry, Package};
use model::{Cancel, Failure, Result};

/// Packages and bytes of the set that is written and read whole.
pub(super) const PACKAGES: usize = 200;
pub(super) const BYTES: usize = 60_000_000;

/// A set of packages whose files lie in a folder, so that all writers read the same.
pub(super) struct Workload {
    /// Plans; their files are read from `trees`.
    pub(super) plans: Vec<Package>,
    /// Each package's root folder, in the order of the plans.
    pub(super) trees: Vec<Utf8PathBuf>,
    /// Bytes of all files.
    pub(super) bytes: u64,
}

/// Makes `count` packages with `bytes` bytes of files in all below `folder`.
pub(super) fn generate(folder: &Utf8Path, count: usize, bytes: usize, cancel: &Cancel) -> Result<Workload> {
    let mut random = Random(1);
    let mut workload = Workload { plans: Vec::new(), trees: Vec::new(), bytes: 0 };
    // Few packages are large: shares grow with the third power.
    let weight = |number: usize| (number + 1).pow(3);
    let weights: usize = (0..count).map(weight).sum();
    for number in 0..count {
        cancel.check()?;
        let tree = folder.join(format!("{number:05}"));
        let size = (bytes as u128 * weight(number) as u128 / weights as u128).try_into().unwrap_or(usize::MAX);
        let name = format!("sample-{number:05}");
        let files = [
            (format!("usr/share/{name}/messages"), 0o644, text(size * 35 / 100, &mut random)),
            (format!("usr/lib/lib{name}.so"), 0o755, program(size / 2, &mut random)),
            (format!("usr/share/{name}/firmware.bin"), 0o644, noise(size * 15 / 100, &mut random)),
        ];
        let mut entries = Vec::new();
        for (path, mode, content) in files {
            let target = tree.join(&path);
            let length = content.len() as u64;
            put(&target, mode, &content)?;
            let open = Arc::new(move || Ok(Box::new(File::open(&target)?) as Box<dyn std::io::Read>));
            entries.push(Entry::file(path, mode, Content::Source { length, open }));
            workload.bytes += length;
        }
        workload.plans.push(Package {
            name,
            version: "1.0-r1".into(),
            architecture: "x86_64".into(),
            description: format!("Generated package number {number}"),
            license: "MIT".into(),
            section: "utils".into(),
            source_date_epoch: 1_700_000_000,
            files: entries,
            ..Package::default()
        });
        workload.trees.push(tree);
    }
    Ok(workload)
}

fn put(path: &Utf8Path, mode: u32, content: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("write the sample", path, &error);
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    std::fs::write(path, content).map_err(failed)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(failed)
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        (wide >> 64).try_into().unwrap_or(0)
    }

    /// Small numbers are much more frequent, as with words of a language.
    fn skewed(&mut self, bound: usize) -> usize {
        let below = self.below(bound) + 1;
        self.below(below)
    }
}

/// Sentences of made-up words.
fn text(length: usize, random: &mut Random) -> Vec<u8> {
    const SYLLABLES: [&str; 16] =
        ["ba", "con", "de", "er", "flow", "ing", "ka", "lo", "mi", "net", "or", "per", "re", "st", "ti", "u"];
    let words: Vec<String> =
        (0..4000).map(|_| (0..=random.below(4)).map(|_| SYLLABLES[random.below(SYLLABLES.len())]).collect()).collect();
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        text.extend(words[random.skewed(words.len())].as_bytes());
        text.extend(if random.below(9) == 0 { ".\n" } else { " " }.as_bytes());
    }
    text.truncate(length);
    text
}

/// Instructions, addresses and tables, as in machine code.
fn program(length: usize, random: &mut Random) -> Vec<u8> {
    let opcodes: Vec<Vec<u8>> =
        (0..600).map(|_| (0..random.below(5) + 1).map(|_| random.next().to_le_bytes()[0]).collect()).collect();
    let mut code = b"\x7fELF".to_vec();
    let mut address = 0x40_0000_u32;
    while code.len() < length {
        for _ in 0..random.below(60) + 4 {
            code.extend(&opcodes[random.skewed(opcodes.len())]);
            if random.below(5) == 0 {
                let target = address.wrapping_sub(u32::try_from(random.skewed(1 << 16)).unwrap_or(0));
                code.extend(target.to_le_bytes());
            }
            if random.below(7) == 0 {
                code.push(random.next().to_le_bytes()[0]);
            }
        }
        address += 16;
        code.resize(code.len().next_multiple_of(16), 0x90);
    }
    code.truncate(length);
    code
}

/// What does not compress: firmware, pictures, archives.
fn noise(length: usize, random: &mut Random) -> Vec<u8> {
    std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_made_every_time_and_their_sizes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let make = |name: &str| {
            let workload = generate(&root.join(name), 5, 200_000, &Cancel::default()).unwrap();
            let last = &workload.plans[4];
            (workload.bytes, formats::ipk::to_vec(last).unwrap())
        };
        let (bytes, ipk) = make("one");
        assert_eq!((bytes, ipk.clone()), make("two"));
        assert!(bytes > 199_900 && bytes <= 200_000, "{bytes}");
        // Neither all noise nor all zeros.
        assert!((30_000..90_000).contains(&ipk.len()), "{}", ipk.len());
    }
}
