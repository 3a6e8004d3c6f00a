//! Copies somebody's live feed: fetches index, signature and files as a router would, to check them. Nothing of it is
//! installed or run.

use camino::{Utf8Path, Utf8PathBuf};
use formats::apk::index::Index;
use formats::{Limits, adb, packages};
use host::web::{ABSENT, Web};
use model::{Cancel, Exit, Failure, Problem, Result};

use crate::{apk, explain, opkg};

/// The largest index that is fetched.
const LARGEST_INDEX: u64 = 64 << 20;
/// The largest signature that is fetched.
const LARGEST_SIGNATURE: u64 = 4 << 10;
/// The compressed index that routers fetch.
const COMPRESSED: &str = "Packages.gz";
const SIGNATURE: &str = "Packages.sig";

/// A file of a live feed.
#[derive(Debug)]
pub struct Item {
    /// The address that it was fetched from.
    pub url: String,
    /// Path of the copy; or why it was not fetched. Files that the server does not have are left out.
    pub copy: std::result::Result<Utf8PathBuf, String>,
}

/// Whether an argument is a web address and not a path.
pub fn is_address(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// Copies a feed into the folder `into`. `url` names an index, or a folder with the index of either manager. Calls
/// `progress` with the number of files fetched, and of all files. A file that the server does not have is left out.
///
/// # Errors
/// `FEED011` when there is no index, and errors about one that cannot be read.
pub fn copy(url: &str, into: &Utf8Path, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Item>> {
    let mut copy = Copy { web: Web::new(cancel)?, into, items: Vec::new() };
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
        let why = |problem: &Failure| format!("{}: {}", problem.finding().what, problem.finding().why);
        let why = problems.iter().map(why).collect::<Vec<_>>().join("; ");
        return Err(Failure::of(Problem {
            exit: Exit::Upstream,
            id: "FEED011",
            what: format!("found no feed index at {url}"),
            why,
            fix: "give the address as in the router's /etc/opkg or /etc/apk: a folder with Packages.gz, or \
                  packages.adb itself",
        }));
    }
    // An index that cannot be read has its own finding; the files that it lists are not known.
    let total = wanted.len() as u64;
    for (number, Wanted { url, address, size }) in (1..).zip(wanted) {
        copy.fetch(&url, &address, size)?;
        progress(number, total);
    }
    Ok(copy.items)
}

/// A file that an index lists.
struct Wanted {
    /// Its address for messages, and for finding it beside the index.
    url: String,
    /// Its address as requested from the server.
    address: String,
    size: u64,
}

struct Copy<'a> {
    web: Web,
    into: &'a Utf8Path,
    items: Vec<Item>,
}

impl Copy<'_> {
    fn opkg(&mut self, base: &str) -> std::result::Result<Vec<Wanted>, Failure> {
        let compressed = self.small(&format!("{base}/{COMPRESSED}"), LARGEST_INDEX)?;
        let limits = Limits::default();
        // An index that cannot be read is reported by the lint rules.
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

    /// Each file gets a folder of its own, since its name may be anything.
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
        let bytes = self.web.get(url, limit)?;
        if bytes.len() as u64 > limit {
            return Err(explain(Exit::Failed, url, &formats::Error::IndexTooLarge { limit }));
        }
        self.put(url, &bytes)?;
        Ok(bytes)
    }

    fn fetch(&mut self, url: &str, address: &str, size: u64) -> Result<()> {
        // One byte more than the index says is enough to see that the file is too long.
        match self.web.get(address, size) {
            Ok(bytes) => self.put(url, &bytes),
            Err(failure) if failure.exit() == Exit::Interrupted => Err(failure),
            Err(failure) if failure.id() == ABSENT => Ok(()),
            Err(failure) => {
                self.items.push(Item { url: url.to_owned(), copy: Err(failure.finding().why.clone()) });
                Ok(())
            }
        }
    }
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
