//! Where OpenWrt's files are: on a site, or in a directory with a copy of one.
//!
//! Signatures and digests establish trust, so anybody's mirror will do, and plain HTTP is as good as HTTPS. One request
//! is one attempt; [`super::transfer`] handles its [`Trouble`].

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Exit, Failure, Problem, Result};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use ureq::http::{HeaderName, Response, StatusCode};

use super::trouble::{Patience, Trouble};

/// OpenWrt's own download site.
pub const DEFAULT_MIRROR: &str = "https://downloads.openwrt.org";

/// The root of a tree with `releases/` and `snapshots/`.
#[derive(Debug, Clone)]
pub struct Mirror(Place);

#[derive(Debug, Clone)]
enum Place {
    /// A URL without trailing slash.
    Site {
        url: String,
        agent: ureq::Agent,
    },
    Folder(Utf8PathBuf),
}

/// A file that is being read.
pub(super) struct Stream {
    /// The bytes from `begins` on.
    pub(super) reader: Box<dyn Read + Send>,
    /// Offset of the first byte: zero, or the requested offset.
    pub(super) begins: u64,
    /// Size of the whole file, if known.
    pub(super) size: Option<u64>,
    /// Identifies this version of the file, so that a part can be completed later.
    pub(super) validator: Option<String>,
}

/// The part of a file that was already fetched.
pub(super) struct Part<'a> {
    /// Its length in bytes.
    pub(super) length: u64,
    /// The version that it belongs to.
    pub(super) validator: &'a str,
}

impl Mirror {
    /// A mirror from the command line: a URL, or a directory with `releases/` or `snapshots/`.
    ///
    /// # Errors
    /// `MIR001` when it is neither; those of [`host::web::tls`].
    pub fn named(text: &str, patience: &Patience) -> Result<Self> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = text.trim_end_matches('/');
            if text.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some() && uri.query().is_none()) {
                return Ok(Mirror(Place::Site { url: url.to_owned(), agent: agent(url, patience)? }));
            }
        }
        let folder = Utf8Path::new(text.strip_prefix("file://").unwrap_or(text));
        if ["releases", "snapshots"].iter().any(|child| folder.join(child).is_dir()) {
            let folder = folder.canonicalize_utf8().map_err(|error| Failure::io("open the mirror", folder, &error))?;
            return Ok(Mirror(Place::Folder(folder)));
        }
        Err(Failure::of(Problem {
            exit: Exit::Usage,
            id: "MIR001",
            what: format!("`{text}` is not a mirror of OpenWrt"),
            why: "it is neither a URL nor a directory that has `releases` or `snapshots`",
            fix: format!("give the address up to `/releases`, such as {DEFAULT_MIRROR}"),
        }))
    }

    /// Whether fetching a file needs the network; this machine itself does not count.
    pub fn is_remote(&self) -> bool {
        match &self.0 {
            Place::Site { url, .. } => !is_loopback(url),
            Place::Folder(_) => false,
        }
    }

    /// The address of a file, or of the root for the empty path.
    pub fn address(&self, path: &Utf8Path) -> String {
        match &self.0 {
            Place::Site { url, .. } => escaped(path.as_str()).fold(format!("{url}/"), |url, part| url + &part),
            Place::Folder(folder) => folder.join(path).into_string(),
        }
    }

    /// Starts to read a file, after the part that was already fetched.
    pub(super) fn open(&self, path: &Utf8Path, part: Option<Part>) -> Result<Stream, Trouble> {
        match &self.0 {
            Place::Site { agent, .. } => get(agent, &self.address(path), part),
            Place::Folder(folder) => read(&folder.join(path)),
        }
    }

    /// The size of a file, if known.
    pub(super) fn size(&self, path: &Utf8Path) -> Result<Option<u64>, Trouble> {
        match &self.0 {
            Place::Site { agent, .. } => {
                let answer = agent.head(self.address(path)).call().map_err(|error| trouble(&error))?;
                accept(answer.status())?;
                Ok(number(&answer, &CONTENT_LENGTH))
            }
            Place::Folder(folder) => Ok(read(&folder.join(path))?.size),
        }
    }
}

/// Whether a URL is on this machine.
fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<ureq::http::Uri>().ok();
    uri.as_ref().and_then(|uri| uri.host()).is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(host == "localhost", |address| address.is_loopback())
    })
}

/// A mirror on this machine counts as offline, so it must not redirect to the network.
fn agent(url: &str, patience: &Patience) -> Result<ureq::Agent> {
    let settings = ureq::Agent::config_builder()
        .tls_config(host::web::tls()?)
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.silence))
        .timeout_per_read(Some(patience.silence))
        .http_status_as_error(false)
        .max_redirects(if is_loopback(url) { 0 } else { 5 })
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("openwrt-offload/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(settings.new_agent())
}

fn get(agent: &ureq::Agent, url: &str, part: Option<Part>) -> Result<Stream, Trouble> {
    let mut request = agent.get(url);
    if let Some(Part { length, validator }) = &part {
        request = request.header(RANGE, format!("bytes={length}-")).header(IF_RANGE, *validator);
    }
    let answer = request.call().map_err(|error| trouble(&error))?;
    let asked = part.map_or(0, |part| part.length);
    let (begins, size) = match answer.status() {
        StatusCode::PARTIAL_CONTENT => match content_range(&answer) {
            Some((begins, size)) if begins == asked => (begins, size),
            _ => return Err(Trouble::OtherRange),
        },
        StatusCode::RANGE_NOT_SATISFIABLE if asked > 0 => return Err(Trouble::OtherRange),
        status => {
            accept(status)?;
            (0, number(&answer, &CONTENT_LENGTH))
        }
    };
    // A weak ETag does not identify exact bytes, so it cannot join two parts (RFC 9110, 13.1.5).
    let validator = text(&answer, &ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(&answer, &LAST_MODIFIED));
    Ok(Stream { begins, size, validator, reader: Box::new(answer.into_body().into_reader()) })
}

fn accept(status: StatusCode) -> Result<(), Trouble> {
    match status.as_u16() {
        200 => Ok(()),
        404 | 410 => Err(Trouble::Absent),
        status @ (408 | 429 | 500..) => Err(Trouble::Failing(status)),
        status => Err(Trouble::Refused(status)),
    }
}

/// Parses `bytes FIRST-LAST/SIZE`: the first byte, and the size unless it is `*`.
fn content_range<T>(answer: &Response<T>) -> Option<(u64, Option<u64>)> {
    let range = text(answer, &CONTENT_RANGE)?;
    let (bytes, size) = range.strip_prefix("bytes ")?.split_once('/')?;
    Some((bytes.split_once('-')?.0.parse().ok()?, size.parse().ok()))
}

fn text<T>(answer: &Response<T>, name: &HeaderName) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

fn number<T>(answer: &Response<T>, name: &HeaderName) -> Option<u64> {
    text(answer, name)?.parse().ok()
}

fn read(path: &Utf8Path) -> Result<Stream, Trouble> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Trouble::Absent,
        _ => Trouble::Ended(Failure::io("read the mirror", path, &error)),
    };
    let file = File::open(path).map_err(refused)?;
    let about = file.metadata().map_err(refused)?;
    if !about.is_file() {
        return Err(Trouble::Absent);
    }
    Ok(Stream { begins: 0, size: Some(about.len()), validator: None, reader: Box::new(file) })
}

fn trouble(error: &ureq::Error) -> Trouble {
    match error {
        ureq::Error::Timeout(_) => Trouble::Silent,
        error => Trouble::Broken(error.to_string()),
    }
}

/// The trouble behind a failed read of a response.
pub(super) fn read_trouble(error: &std::io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        Some(inner) => trouble(inner),
        None if error.kind() == ErrorKind::TimedOut => Trouble::Silent,
        None => Trouble::Broken(error.to_string()),
    }
}

/// Escapes a path for a URL.
fn escaped(path: &str) -> impl Iterator<Item = String> {
    path.chars().map(|character| match character {
        '%' | '#' | '?' => {
            let mut text = String::new();
            let _infallible = write!(text, "%{:02X}", u32::from(character));
            text
        }
        plain => plain.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_url_or_a_directory_with_releases() {
        let named = |text: &str| Mirror::named(text, &Patience::default());
        let site = named("https://mirror.example/openwrt/").unwrap();
        assert!(site.is_remote());
        let path = Utf8Path::new("releases/x/kmod-a_5+1~2#3.ipk");
        assert_eq!(site.address(path), "https://mirror.example/openwrt/releases/x/kmod-a_5+1~2%233.ipk");
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().canonicalize_utf8().unwrap();
        for bad in [root.as_str(), "", "downloads.openwrt.org", "ftp://mirror.example", "http://", "http://x/?y"] {
            let failure = named(bad).unwrap_err();
            assert_eq!((failure.id(), failure.exit()), ("MIR001", Exit::Usage), "{bad}");
        }
        std::fs::create_dir(root.join("snapshots")).unwrap();
        for text in [root.to_string(), format!("file://{root}")] {
            let mirror = named(&text).unwrap();
            assert_eq!((mirror.address("a/b".into()), mirror.is_remote()), (format!("{root}/a/b"), false));
        }
        assert!(named(DEFAULT_MIRROR).is_ok());
    }

    #[test]
    fn a_mirror_on_this_machine_is_not_remote() {
        for (text, is_remote) in [
            ("http://127.0.0.1:8080", false),
            ("http://127.1.2.3/openwrt", false),
            ("http://[::1]:8080/", false),
            ("http://localhost:80", false),
            ("http://localhost.example", true),
            ("http://127.0.0.1.example", true),
            ("http://192.168.1.1", true),
            ("https://mirror.example/127.0.0.1", true),
        ] {
            assert_eq!(Mirror::named(text, &Patience::default()).unwrap().is_remote(), is_remote, "{text}");
        }
    }
}
