//! The directory that packages are installed into, and file operations that cannot leave it.
//!
//! A path is walked one component at a time from the open root, and symbolic links are resolved as if the root were
//! `/`: absolute links start at the root, and `..` does not leave it. This is what the system sees once it runs from
//! that root, and no package, and no link of an earlier one, can reach a file outside. Every path is absolute, seen
//! from the root.

use std::fs::{File, FileTimes};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use model::Digest;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// How many links are followed on one path before it counts as a loop, as in the kernel.
const MAX_LINKS: usize = 40;

/// What is at a path; links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// Mode, owner and time of a new file or folder. The owner is only set when we run as root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// Time of last change, in seconds since 1970; `None` for now.
    pub(crate) time: Option<u64>,
}

impl Access {
    /// Owned by root, with these permission bits.
    pub(crate) fn root(mode: u32) -> Access {
        Access { mode, user: 0, group: 0, time: None }
    }
}

/// An open root directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Root {
    dir: Arc<OwnedFd>,
    path: Utf8PathBuf,
    /// Whether we run as root, and so can set the owner of new files.
    owns: bool,
    /// The last folder that was walked to, if it is cached.
    last: Option<Arc<Mutex<Option<Arc<Folder>>>>>,
}

/// A folder that was walked to.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: OwnedFd,
    /// The path that was asked for.
    path: Utf8PathBuf,
    /// The path after all links were followed.
    real: Utf8PathBuf,
    /// Real paths of the links that were followed.
    links: Vec<Utf8PathBuf>,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Root {
    /// Opens `path`: `/` for the running system, or a directory.
    pub fn open(path: &Utf8Path) -> Result<Root> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path.as_std_path(), flags, Mode::empty())
            .map_err(|error| Error::io("open the root", path)(error.into()))?;
        let owns = rustix::process::geteuid().is_root();
        Ok(Root { dir: Arc::new(dir), path: path.to_owned(), owns, last: None })
    }

    /// The same root, but it keeps the last folder open: for many files in a row, while nothing else, such as a script,
    /// makes changes.
    pub(crate) fn remembering(&self) -> Root {
        Root { last: Some(Arc::default()), ..self.clone() }
    }

    /// Its path on the host.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Turns a path in the root into a path on the host, for programs.
    pub(crate) fn outside(&self, path: &Utf8Path) -> Utf8PathBuf {
        self.path.join(path.as_str().trim_start_matches('/'))
    }

    /// What is at `path`; `None` when nothing is.
    pub(crate) fn kind(&self, path: &Utf8Path) -> Result<Option<Kind>> {
        let stat = self
            .parent(path)
            .and_then(|(folder, name)| Ok(rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match stat {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            })),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(Error::io("look at", path)(error)),
        }
    }

    /// Whether `path` is a directory, or a link to one.
    pub(crate) fn is_folder(&self, path: &Utf8Path) -> bool {
        self.walk(path).is_ok()
    }

    /// Whether `path` is a symbolic link.
    pub(crate) fn is_link(&self, path: &Utf8Path) -> bool {
        matches!(self.kind(path), Ok(Some(Kind::Link)))
    }

    /// The real path of the directory that `path` leads to; `None` when it leads to none.
    pub(crate) fn folder_of(&self, path: &Utf8Path) -> Option<Utf8PathBuf> {
        self.walk(path).ok().map(|folder| folder.real.clone())
    }

    /// The permission bits of the directory that `path` leads to; `None` when it leads to none.
    pub(crate) fn folder_mode(&self, path: &Utf8Path) -> Option<u32> {
        let folder = self.walk(path).ok()?;
        Some(rustix::fs::fstat(&folder).ok()?.st_mode & 0o7777)
    }

    /// Real paths of the links that are followed on the way into the directory `path`.
    pub(crate) fn links_into(&self, path: &Utf8Path) -> Vec<Utf8PathBuf> {
        self.walk(path).map(|folder| folder.links.clone()).unwrap_or_default()
    }

    /// Opens a regular file for reading; `None` when there is none.
    pub(crate) fn open_file(&self, path: &Utf8Path) -> Result<Option<File>> {
        // A link in the last component is resolved like the others.
        let open = |path: &Utf8Path| -> io::Result<File> {
            let mut path = path.to_owned();
            for _link in 0..MAX_LINKS {
                let (folder, name) = self.parent(&path)?;
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
                    Ok(file) => return Ok(File::from(file)),
                    Err(Errno::LOOP) => {
                        let target = read_link(&folder, name)?;
                        let place = path.parent().unwrap_or(Utf8Path::new("/")).to_owned();
                        path = place.join(target);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(Errno::LOOP.into())
        };
        match open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(Error::io("open", path)(error)),
        }
    }

    /// Reads a file of at most `limit` bytes; `None` when there is none.
    pub(crate) fn read(&self, path: &Utf8Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        if bytes.len() as u64 > limit {
            let problem = format!("the file has more than {limit} bytes");
            return Err(Error::State { path: path.to_owned(), problem });
        }
        Ok(Some(bytes))
    }

    /// The digest of a file's content; `None` when there is no file.
    pub(crate) fn sha256(&self, path: &Utf8Path) -> Result<Option<Digest>> {
        let Some(mut file) = self.open_file(path)? else { return Ok(None) };
        let (digest, _length) = Digest::of_reader(&mut file).map_err(Error::io("read", path))?;
        Ok(Some(digest))
    }

    /// The target of a link; `None` when there is no link.
    pub(crate) fn link_target(&self, path: &Utf8Path) -> Result<Option<String>> {
        match self.parent(path).and_then(|(folder, name)| read_link(&folder, name)) {
            Ok(target) => Ok(Some(target)),
            Err(error) if missing(&error) || error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(Error::io("read the link", path)(error)),
        }
    }

    /// Names of the entries in a directory, sorted; empty when there is no directory.
    pub(crate) fn names(&self, path: &Utf8Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let Ok(folder) = self.walk(path) else { return Ok(names) };
        let read = || -> io::Result<rustix::fs::Dir> { Ok(rustix::fs::Dir::read_from(reopen(&folder)?)?) };
        for entry in read().map_err(Error::io("list", path))? {
            let entry = entry.map_err(|error| Error::io("list", path)(error.into()))?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort();
        Ok(names)
    }

    /// Writes a file in one step: aside, then renamed. With `durable` it also survives a power cut right afterwards.
    pub(crate) fn write(&self, path: &Utf8Path, access: Access, durable: bool, content: &mut dyn Read) -> Result<()> {
        self.write_with(path, access, durable, &mut |file| io::copy(content, file).map(drop))
    }

    /// As [`Root::write`], with content that `fill` writes piece by piece.
    pub(crate) fn write_with(
        &self,
        path: &Utf8Path,
        access: Access,
        durable: bool,
        fill: &mut dyn FnMut(&mut File) -> io::Result<()>,
    ) -> Result<()> {
        let mut write = || -> io::Result<()> {
            let (folder, name) = self.parent(path)?;
            let aside = aside(path);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = || rustix::fs::openat(&folder, &aside, flags, Mode::from_raw_mode(0o600));
            let opened = match open() {
                Err(Errno::EXIST) => {
                    remove_at(&folder, &aside)?;
                    open()?
                }
                opened => opened?,
            };
            let mut file = File::from(opened);
            let filled = (|| -> io::Result<()> {
                fill(&mut file)?;
                file.flush()?;
                // Set the owner first: changing it clears setuid.
                self.own(&file, access)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(access.mode))?;
                if let Some(time) = access.time {
                    set_time(&file, time)?;
                }
                if durable {
                    rustix::fs::fsync(&file)?;
                }
                self.changes(&folder, name);
                Ok(rustix::fs::renameat(&folder, &aside, &folder, name)?)
            })();
            if filled.is_err() {
                let _gone = remove_at(&folder, &aside);
            } else if durable {
                rustix::fs::fsync(&reopen(&folder)?)?;
            }
            filled
        };
        write().map_err(Error::io("write", path))
    }

    /// Makes a symbolic link in one step. Any target is allowed: following it cannot leave the root.
    pub(crate) fn link(&self, path: &Utf8Path, target: &str) -> Result<()> {
        let link = || -> io::Result<()> {
            let (folder, name) = self.parent(path)?;
            let aside = aside(path);
            remove_at(&folder, &aside)?;
            rustix::fs::symlinkat(target, &folder, &aside)?;
            self.changes(&folder, name);
            Ok(rustix::fs::renameat(&folder, &aside, &folder, name)?)
        };
        link().map_err(Error::io("link", path))
    }

    /// Makes a hard link to the file `target` in one step.
    pub(crate) fn hard_link(&self, path: &Utf8Path, target: &Utf8Path) -> Result<()> {
        let link = || -> io::Result<()> {
            let (folder, name) = self.parent(path)?;
            let (target_folder, target_name) = self.parent(target)?;
            let aside = aside(path);
            remove_at(&folder, &aside)?;
            rustix::fs::linkat(&target_folder, target_name, &folder, &aside, AtFlags::empty())?;
            self.changes(&folder, name);
            rustix::fs::renameat(&folder, &aside, &folder, name)?;
            // rename(2) does nothing when both names already are the same file.
            remove_at(&folder, &aside)?;
            Ok(())
        };
        link().map_err(Error::io("link", path))
    }

    /// `path` with the links on its way resolved, as far as it exists; its last component is not followed.
    pub(crate) fn canonical(&self, path: &Utf8Path) -> Utf8PathBuf {
        for folder in path.ancestors().skip(1) {
            if let (Ok(walked), Ok(rest)) = (self.walk(folder), path.strip_prefix(folder)) {
                return walked.real.join(rest);
            }
        }
        path.to_owned()
    }

    /// Makes the missing directories above `path`, and returns them.
    pub(crate) fn make_parents(&self, path: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
        let mut made = Vec::new();
        for folder in self.missing_parents(path) {
            if self.make_folder(&folder, Access::root(0o755))? {
                made.push(folder);
            }
        }
        Ok(made)
    }

    /// The missing directories above `path`, outermost first.
    pub(crate) fn missing_parents(&self, path: &Utf8Path) -> Vec<Utf8PathBuf> {
        let mut missing: Vec<_> =
            path.ancestors().skip(1).take_while(|folder| !self.is_folder(folder)).map(Utf8Path::to_owned).collect();
        missing.reverse();
        missing
    }

    /// Makes one directory in one step, with mode and owner; false when it exists.
    pub(crate) fn make_folder(&self, path: &Utf8Path, access: Access) -> Result<bool> {
        let make = || -> io::Result<bool> {
            let (folder, name) = self.parent(path)?;
            if rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Ok(false);
            }
            let aside = aside(path);
            match rustix::fs::mkdirat(&folder, &aside, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(&folder, &aside, flags, Mode::empty())?;
            self.own(&made, access)?;
            rustix::fs::fchmod(&made, Mode::from_raw_mode(access.mode))?;
            rustix::fs::renameat(&folder, &aside, &folder, name)?;
            Ok(true)
        };
        make().map_err(Error::io("make the folder", path))
    }

    /// Removes a file or link, and leftovers of an interrupted write; false when it did not exist.
    pub(crate) fn remove(&self, path: &Utf8Path) -> Result<bool> {
        let remove = || -> io::Result<bool> {
            let (folder, name) = self.parent(path)?;
            remove_at(&folder, &aside(path))?;
            self.changes(&folder, name);
            remove_at(&folder, name)
        };
        match remove() {
            Err(error) if missing(&error) => Ok(false),
            result => result.map_err(Error::io("remove", path)),
        }
    }

    /// Removes a file or link that was written completely; false when it did not exist, or is a folder.
    pub(crate) fn remove_whole(&self, path: &Utf8Path) -> Result<bool> {
        let remove = || -> io::Result<bool> {
            let (folder, name) = self.parent(path)?;
            self.changes(&folder, name);
            remove_at(&folder, name)
        };
        match remove() {
            Err(error) if missing(&error) || error.kind() == io::ErrorKind::IsADirectory => Ok(false),
            result => result.map_err(Error::io("remove", path)),
        }
    }

    /// Removes an empty directory, and leftovers of an interrupted creation; false when it is not empty, or not a
    /// directory.
    pub(crate) fn remove_empty(&self, path: &Utf8Path) -> bool {
        self.parent(path).is_ok_and(|(folder, name)| {
            let _gone = rustix::fs::unlinkat(&folder, aside(path), AtFlags::REMOVEDIR);
            self.changes(&folder, name);
            rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR).is_ok()
        })
    }

    /// As [`Root::write`], with text that is written piece by piece, because there can be very much of it.
    pub(crate) fn write_text(
        &self,
        path: &Utf8Path,
        access: Access,
        durable: bool,
        text: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        self.write_with(path, access, durable, &mut |file| {
            let mut file = BufWriter::with_capacity(64 << 10, file);
            text(&mut file)?;
            file.flush()
        })
    }

    /// Flushes everything written so far to disk.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&*self.dir).map_err(|error| Error::io("sync", &self.path)(error.into()))
    }

    /// Bytes that an ordinary user can still write; `None` when the file system does not say.
    pub(crate) fn free(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&*self.dir).ok()?;
        (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The open directory that holds `path`, and the last component.
    pub(crate) fn parent<'a>(&self, path: &'a Utf8Path) -> io::Result<(Arc<Folder>, &'a str)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.walk(path.parent().unwrap_or(Utf8Path::new("/")))?, name))
    }

    /// Opens the directory `path`, following links inside the root; also tells its real path.
    fn walk(&self, path: &Utf8Path) -> io::Result<Arc<Folder>> {
        let Some(last) = &self.last else { return self.walk_all(path).map(Arc::new) };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = last.as_ref().filter(|folder| folder.path == path) {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(self.walk_all(path)?);
        // A path that goes through links is not cached, because a change elsewhere could redirect it.
        *last = (folder.real == folder.path).then(|| Arc::clone(&folder));
        Ok(folder)
    }

    /// Something with this name is about to be replaced or removed: forget a cached folder below it.
    fn changes(&self, folder: &Folder, name: &str) {
        let Some(last) = &self.last else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let leads_through = |way: &Arc<Folder>| {
            way.real
                .strip_prefix(&folder.real)
                .is_ok_and(|below| below.iter().next().is_some_and(|first| first == name))
        };
        last.take_if(|way| leads_through(way));
    }

    fn walk_all(&self, path: &Utf8Path) -> io::Result<Folder> {
        // The directories from the root to here; `..` pops one, so it never leaves the root.
        let mut way: Vec<(OwnedFd, String)> = Vec::new();
        let mut left: Vec<String> = components(path.as_str());
        let real = |way: &[(OwnedFd, String)]| {
            let names = way.iter().map(|(_, name)| name.as_str());
            std::iter::once("/").chain(names).collect::<Utf8PathBuf>()
        };
        let mut links = Vec::new();
        while let Some(name) = left.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here = way.last().map_or(self.dir.as_fd(), |(folder, _)| folder.as_fd());
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = rustix::fs::openat(here, &name, flags, Mode::empty())?;
            match FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) {
                FileType::Directory => way.push((next, name)),
                FileType::Symlink => {
                    if links.len() == MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    links.push(real(&way).join(&name));
                    let target = read_link(here, &name)?;
                    if target.starts_with('/') {
                        way.clear();
                    }
                    left.extend(components(&target));
                }
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        let real = real(&way);
        let dir = match way.pop() {
            Some((folder, _)) => folder,
            None => self.dir.try_clone()?,
        };
        Ok(Folder { dir, path: path.to_owned(), real, links })
    }

    fn own(&self, file: impl AsFd, access: Access) -> io::Result<()> {
        if self.owns {
            let owner = (Uid::from_raw(access.user), Gid::from_raw(access.group));
            rustix::fs::fchown(file, Some(owner.0), Some(owner.1))?;
        }
        Ok(())
    }
}

/// The components of a path, last first, to be popped.
fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").rev().map(str::to_owned).collect()
}

fn read_link(folder: impl AsFd, name: &str) -> io::Result<String> {
    let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
    target.into_string().map_err(|_not_utf8| Errno::ILSEQ.into())
}

/// The temporary name of a file: the same in each attempt, so that leftovers do not pile up.
fn aside(path: &Utf8Path) -> String {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(path.as_str()).0;
    format!(".opkg-{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

fn remove_at(folder: &Folder, name: &str) -> io::Result<bool> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reopens an `O_PATH` directory so that it can be synced.
fn reopen(folder: &Folder) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Not by rustix 1.1, which takes musl's time for one of 64 bits where the crate libc has one of 32: on MIPS.
fn set_time(file: &File, seconds: u64) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(io::ErrorKind::InvalidInput)?;
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
