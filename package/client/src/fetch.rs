//! Fetches the files of a feed: over HTTP, or from a directory of this system.
//!
//! There is no TLS on purpose: trust comes from signatures and digests, and TLS would triple the size of a static
//! binary. Each connection, each response and each file has a deadline, and a file that exceeds its limit ends the
//! transfer before it fills a router's memory.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use model::sha256::{Digest, Hasher};

use crate::error::{Error, Result};

/// The deadlines for a server.
struct Patience {
    /// For accepting a connection.
    connect: Duration,
    /// The longest pause before and within a response.
    silence: Duration,
    /// For one file in all.
    whole: Duration,
}

/// Bytes of what is sent and of what is received that are kept in memory.
const BUFFER: usize = 16 << 10;

const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(10), silence: Duration::from_secs(30), whole: Duration::from_secs(600) };

/// The result of a download.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Bytes received; limit + 1 when the file is larger than the limit.
    pub(crate) size: u64,
    /// Their SHA-256.
    pub(crate) sha256: Digest,
}

/// Fetches `http://…`, `file:///…` or a plain path into `into`, at most `limit` + 1 bytes: the caller knows whether
/// more than `limit` is a wrong size or a file too large.
pub(crate) fn fetch(url: &str, limit: u64, into: &mut dyn Write) -> Result<Fetched> {
    let mut content = open(url, &PATIENCE)?.take(limit + 1);
    let mut into = Hasher::new(into);
    let size = std::io::copy(&mut content, &mut into)
        .map_err(|error| Error::Download { url: url.to_owned(), problem: error.to_string() })?;
    Ok(Fetched { size, sha256: into.finish().1 })
}

/// Fetches `http://…`, `file:///…` or a plain path into `into`, with a router's deadlines. Returns how many bytes came:
/// `limit` + 1 when the file is larger.
///
/// # Errors
/// `INST005` when it cannot be fetched.
pub fn download(url: &str, limit: u64, into: &mut dyn Write) -> Result<u64> {
    Ok(fetch(url, limit, into)?.size)
}

/// Fetches a small file into memory; one that is larger than `limit` is an error.
pub(crate) fn fetch_small(url: &str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if fetch(url, limit, &mut bytes)?.size > limit {
        let problem = format!("it has more than the {limit} bytes that such a file may have");
        return Err(Error::Download { url: url.to_owned(), problem });
    }
    Ok(bytes)
}

fn open(url: &str, patience: &Patience) -> Result<Box<dyn Read>> {
    let failed = |problem: String| Error::Download { url: url.to_owned(), problem };
    let path = match url.split_once("://") {
        // opkg accepts a single slash, too.
        None => url.strip_prefix("file:").filter(|path| path.starts_with('/')).unwrap_or(url),
        Some(("http", _)) => {
            let settings = ureq::Agent::config_builder()
                .timeout_connect(Some(patience.connect))
                .timeout_recv_response(Some(patience.silence))
                .timeout_per_read(Some(patience.silence))
                .timeout_global(Some(patience.whole))
                // Files are many and small, and the usual buffers of 128 KiB are filled with zeros for each.
                .input_buffer_size(BUFFER)
                .output_buffer_size(BUFFER)
                .max_redirects(3)
                .proxy(None)
                .user_agent(concat!("openwrt-offload/", env!("CARGO_PKG_VERSION")))
                .build();
            let answer = settings.new_agent().get(url).call().map_err(|error| failed(error.to_string()))?;
            return Ok(Box::new(answer.into_body().into_reader()));
        }
        Some(("file", path)) if path.starts_with('/') => path,
        Some((scheme, _)) => {
            return Err(failed(format!("`{scheme}:` is not supported: only http:// and file:/// addresses are")));
        }
    };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    match file.metadata() {
        Ok(about) if about.is_file() => Ok(Box::new(file)),
        Ok(_) => Err(failed("it is not a regular file".into())),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    /// Serves one request with `answer` and closes the connection.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _peer) = listener.accept().unwrap();
            let _request = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn a_file_comes_with_size_and_digest_from_http_and_from_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let path = path.to_str().unwrap();
        let http = serve("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
        for url in [&http, path, &format!("file://{path}"), &format!("file:{path}")] {
            let mut bytes = Vec::new();
            let fetched = fetch(url, 100, &mut bytes).unwrap();
            assert_eq!((bytes.as_slice(), fetched), (&b"abc"[..], Fetched { size: 3, sha256: Digest::of("abc") }));
        }
        assert_eq!(fetch(path, 2, &mut Vec::new()).unwrap().size, 3, "one byte more than allowed is told");
    }

    #[test]
    fn what_cannot_be_fetched_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (url, word) in [
            (serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "404"),
            (serve("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nshort"), ""),
            (serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlarge"), "4 bytes"),
            (serve("no HTTP at all\r\n\r\n"), ""),
            (format!("http://{refused}/file"), "refused"),
            ("https://127.0.0.1/file".into(), "https"),
            ("/no/such/file".into(), "No such file"),
            (folder.path().to_str().unwrap().into(), "regular file"),
        ] {
            let error = fetch_small(&url, 4).unwrap_err();
            assert_eq!(error.id(), "INST005", "{url}");
            assert!(error.line().contains(word) && error.line().contains(&url), "{}", error.line());
        }
    }

    #[test]
    fn a_server_that_falls_silent_or_trickles_is_left() {
        const LIMIT: Duration = Duration::from_secs(20);
        let short = Duration::from_millis(100);
        for (silence, whole) in [(short, LIMIT * 2), (LIMIT * 2, short)] {
            for begins in ["", "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nhalf"] {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                let url = format!("http://{address}/file");
                let begin = Instant::now();
                let silent = std::thread::spawn(move || {
                    let (mut stream, _peer) = listener.accept().unwrap();
                    stream.write_all(begins.as_bytes()).unwrap();
                    // Waits until the client closes the connection.
                    while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
                });
                let patience = Patience { connect: LIMIT, silence, whole };
                let read = open(&url, &patience).map(|mut content| content.read_to_end(&mut Vec::new()).is_err());
                assert!(read.is_err() || read.is_ok_and(|failed| failed), "{begins:?}");
                assert!(begin.elapsed() < LIMIT, "{begins:?} with {silence:?} and {whole:?}");
                // On a busy machine the deadline may pass before the client connects.
                drop(TcpStream::connect(address));
                silent.join().unwrap();
            }
        }
    }
}
