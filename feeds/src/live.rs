//! Anybody's feed where it lies: index, signature and files fetched as a router would fetch them, to be looked at.
//! Nothing of them is installed or run.

use std::fs::File;
use std::io::BufWriter;

use camino::{Utf8Path, Utf8PathBuf};
use formats::apk::index::Index;
use formats::{Limits, adb, packages};
use model::{Cancel, Exit, Failure, Problem, Result};

use crate::{apk, explain, opkg};

/// Largest index that is fetched.
const LARGEST_INDEX: u64 = 64 << 20;
/// Largest signature.
const LARGEST_SIGNATURE: u64 = 4 << 10;
/// The compressed index, which routers fetch, and its signature.
const COMPRESSED: &str = "Packages.gz";
const SIGNATURE: &str = "Packages.sig";

/// A file of a live feed.
#[derive(Debug)]
pub struct Item {
    /// Its address.
    pub url: String,
    /// Where its copy is; else why there is none, unless the server does not have it.
    pub copy: std::result::Result<Utf8PathBuf, String>,
}

/// Whether a word of the command line is an address and not a path.
pub fn is_address(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// Copies a feed into the folder `into`: the one whose index `url` is, or those of either manager at `url`. `progress` is
/// told how many files of how many are there. A file that the server does not have is left out.
///
/// # Errors
/// `FEED011` when there is no index, and what is wrong with one that cannot be read.
pub fn copy(url: &str, into: &Utf8Path, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Item>> {
    let mut copy = Copy { into, items: Vec::new() };
    let name = url.rsplit('/').next().unwrap_or_default();
    let base = url.strip_suffix(name).unwrap_or(url).trim_end_matches('/');
    let mut wanted = Vec::new();
    let mut problems = Vec::new();
    if name.ends_with(".adb") {
        wanted.extend(copy.apk(base, name).map_err(|problem| problems.push(problem)).unwrap_or_default());
    } else if matches!(name, opkg::INDEX | COMPRESSED | SIGNATURE) {
        wanted.extend(copy.opkg(base).map_err(|problem| problems.push(problem)).unwrap_or_default());
    } else {
        let base = url.trim_end_matches('/');
        wanted.extend(copy.opkg(base).map_err(|problem| problems.push(problem)).unwrap_or_default());
        wanted.extend(copy.apk(base, apk::INDEX).map_err(|problem| problems.push(problem)).unwrap_or_default());
    }
    if copy.items.is_empty() {
        let why = problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("; ");
        return Err(Failure::of(Problem {
            exit: Exit::Upstream,
            id: "FEED011",
            what: format!("no index of a feed could be had from {url}"),
            why,
            fix: "give the address that routers have in /etc/opkg or /etc/apk: a folder with Packages.gz, or packages.adb itself",
        }));
    }
    // An index that is there and cannot be read has its own finding; what else it lists is not known.
    let total = wanted.len() as u64;
    for (number, Wanted { url, address, size }) in (1..).zip(wanted) {
        cancel.check()?;
        copy.fetch(&url, &address, size)?;
        progress(number, total);
    }
    Ok(copy.items)
}

/// A file that an index lists.
struct Wanted {
    /// As it is shown, and found beside the index.
    url: String,
    /// As it is asked for.
    address: String,
    size: u64,
}

struct Copy<'a> {
    into: &'a Utf8Path,
    items: Vec<Item>,
}

impl Copy<'_> {
    fn opkg(&mut self, base: &str) -> std::result::Result<Vec<Wanted>, Failure> {
        let compressed = self.small(&format!("{base}/{COMPRESSED}"), LARGEST_INDEX)?;
        let limits = Limits::default();
        // The rules say what is wrong with one that cannot be read.
        let Ok(text) = packages::decompress(&compressed[..], &limits) else { return Ok(Vec::new()) };
        self.put(&format!("{base}/{}", opkg::INDEX), &text)?;
        let _missing = self.small(&format!("{base}/{SIGNATURE}"), LARGEST_SIGNATURE);
        let Ok((listed, _oddities)) = packages::read_each(&text, &limits) else { return Ok(Vec::new()) };
        let wanted = |listed: packages::Listed| {
            let name = listed.filename.strip_prefix("./").unwrap_or(&listed.filename);
            let address = format!("{base}/{}", client::opkg::encoded(name));
            Wanted { url: format!("{base}/{name}"), address, size: listed.size }
        };
        Ok(listed.into_iter().map(wanted).collect())
    }

    fn apk(&mut self, base: &str, name: &str) -> std::result::Result<Vec<Wanted>, Failure> {
        let url = format!("{base}/{name}");
        let bytes = self.small(&url, LARGEST_INDEX)?;
        let limits = Limits::default();
        let index = adb::Adb::read(&bytes[..], &limits).and_then(|adb| Index::from_adb(&adb, &limits));
        let Ok(index) = index else { return Ok(Vec::new()) };
        let wanted = |listed: &formats::apk::index::Listed| {
            let name = index.file_name(listed).map_err(|error| explain(Exit::Failed, url.as_str(), &error))?;
            let url = format!("{base}/{name}");
            Ok(Wanted { address: url.clone(), url, size: listed.file_size })
        };
        index.packages.iter().map(wanted).collect()
    }

    /// A place of its own for each file, since names may be anything.
    fn place(&self) -> Utf8PathBuf {
        self.into.join(self.items.len().to_string())
    }

    fn put(&mut self, url: &str, bytes: &[u8]) -> Result<()> {
        let place = self.place();
        std::fs::write(&place, bytes).map_err(|error| Failure::io("keep the copy of a feed's file", &place, &error))?;
        self.items.push(Item { url: url.to_owned(), copy: Ok(place) });
        Ok(())
    }

    fn small(&mut self, url: &str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let size = client::download(url, limit, &mut bytes).map_err(failure)?;
        if size > limit {
            return Err(explain(Exit::Failed, url, &formats::Error::IndexTooLarge { limit }));
        }
        self.put(url, &bytes)?;
        Ok(bytes)
    }

    fn fetch(&mut self, url: &str, address: &str, size: u64) -> Result<()> {
        let place = self.place();
        let file =
            File::create(&place).map_err(|error| Failure::io("keep the copy of a feed's file", &place, &error))?;
        // One byte more than the index says is enough to see that it is too long.
        match client::download(address, size, &mut BufWriter::new(file)) {
            Ok(_size) => self.items.push(Item { url: url.to_owned(), copy: Ok(place) }),
            Err(error) if told(&error).contains("404") => {}
            Err(error) => self.items.push(Item { url: url.to_owned(), copy: Err(told(&error)) }),
        }
        Ok(())
    }
}

/// Why the client failed.
fn told(error: &client::Error) -> String {
    error.why().unwrap_or_default()
}

fn failure(error: client::Error) -> Failure {
    let (what, why, fix) = (error.what(), told(&error), error.fix());
    Failure::of(Problem { exit: Exit::Upstream, id: error.id(), what, why, fix })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::{feed, keys};
    use crate::serve::Server;

    #[test]
    fn a_feed_is_copied_with_what_its_indexes_list() {
        let (_guard, folder) = feed(&keys(1));
        let place = tempfile::tempdir().unwrap();
        let into = Utf8Path::from_path(place.path()).unwrap();
        let server = Server::bind(&folder, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address();
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            scope.spawn(|| server.run(&cancel, |_line| {}).unwrap());
            let take = |path: &str| {
                let into = into.join(path.replace('/', "-"));
                std::fs::create_dir(&into).unwrap();
                copy(&format!("http://{address}/{path}"), &into, &Cancel::default(), &mut |_, _| ())
            };
            let names = |items: Vec<Item>| -> Vec<String> {
                items.into_iter().map(|item| item.url.rsplit('/').next().unwrap().to_owned()).collect()
            };
            let opkg = names(take("opkg/kmods/6.12.1-1-aa").unwrap());
            assert_eq!(opkg[..3], ["Packages.gz", "Packages", "Packages.sig"]);
            assert_eq!(opkg.len(), 5, "{opkg:?}");
            let apk = names(take("apk/kmods/6.12.1-1-aa/packages.adb").unwrap());
            assert_eq!((apk.len(), apk[0].as_str()), (3, "packages.adb"));
            std::fs::remove_file(folder.join("opkg/kmods/6.12.1-1-aa").join(&opkg[3])).unwrap();
            assert_eq!(names(take("opkg/kmods/6.12.1-1-aa/Packages.gz").unwrap()).len(), 4);
            assert_eq!(take("absent").unwrap_err().id(), "FEED011");
            cancel.cancel();
        });
    }
}
