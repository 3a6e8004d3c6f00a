//! Serves a feed directory over HTTP, for a router on the desk or a test on loopback.

use std::fs::File;
use std::io::Empty;
use std::net::SocketAddr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use model::{Cancel, Exit, Failure, Problem, Result};
use tiny_http::{Header, Method, Request, Response, StatusCode};

/// How long to wait for a request before checking for an interrupt.
const LOOK_UP: Duration = Duration::from_millis(200);

/// A listening server; requests are answered by [`Server::run`].
pub struct Server {
    http: tiny_http::Server,
    address: SocketAddr,
    folder: Utf8PathBuf,
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    pub fn bind(folder: &Utf8Path, address: SocketAddr) -> Result<Server> {
        let refused = |why: String| {
            Failure::of(Problem {
                exit: Exit::Host,
                id: "FEED001",
                what: format!("cannot listen on {address}"),
                why,
                fix: "choose another address, such as `--serve 127.0.0.1:0` for any free port",
            })
        };
        let http = tiny_http::Server::http(address).map_err(|error| refused(error.to_string()))?;
        let address = http.server_addr().to_ip().ok_or_else(|| refused("not an IP address".into()))?;
        Ok(Server { http, address, folder: folder.to_owned() })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until the run is cancelled; calls `log` with method, path and status of each.
    pub fn run(&self, cancel: &Cancel, mut log: impl FnMut(&str)) -> Result<()> {
        while !cancel.is_cancelled() {
            match self.http.recv_timeout(LOOK_UP) {
                Ok(Some(request)) => log(&self.answer(request)),
                Ok(None) => {}
                Err(error) => return Err(Failure::io("receive a request", self.address, &error)),
            }
        }
        Ok(())
    }

    fn answer(&self, request: Request) -> String {
        let line = format!("{} {}", request.method(), request.url());
        let status = |code: u16| -> Response<Empty> { Response::empty(StatusCode(code)) };
        let head = *request.method() == Method::Head;
        if !head && *request.method() != Method::Get {
            let _gone = request.respond(status(405));
            return format!("{line} 405");
        }
        let Some(file) = self.find(request.url()) else {
            let _gone = request.respond(status(404));
            return format!("{line} 404");
        };
        // A client that hangs up early must not stop the server.
        let mut response = Response::from_file(file);
        if let Ok(kind) = Header::from_bytes("Content-Type", "application/octet-stream") {
            response.add_header(kind);
        }
        let _gone = request.respond(response);
        format!("{line} 200")
    }

    /// The regular file that a URL names, below the folder; `..`, hidden names and links are not followed.
    fn find(&self, url: &str) -> Option<File> {
        let path = url.split(['?', '#']).next()?.strip_prefix('/')?;
        // Split at slashes before decoding, so an escaped slash does not separate.
        let parts: Vec<String> = path.split('/').map(decoded).collect::<Option<_>>()?;
        let plain = |part: &String| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', '\0']);
        if !parts.iter().all(plain) {
            return None;
        }
        let file = self.folder.join(parts.join("/"));
        if !file.symlink_metadata().ok()?.is_file() {
            return None;
        }
        File::open(file).ok()
    }
}

/// Decodes the `%` escapes in a path component: opkg asks for `a%2b%2b_1%3a2.ipk`.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: feed\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_of_the_folder_are_served_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::create_dir(root.join("feed")).unwrap();
        std::fs::write(root.join("feed/Packages"), "Package: a\n").unwrap();
        std::fs::write(root.join("secret"), "key").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("feed/link")).unwrap();
        let server = Server::bind(&root.join("feed"), "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = server.address();
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            scope.spawn(|| server.run(&cancel, |_line| {}).unwrap());
            let answer = ask(address, "GET /Packages");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("Package: a\n"), "{answer}");
            let answer = ask(address, "HEAD /Packages");
            assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("Package: a"), "{answer}");
            let odd = "a:b?c#d[e]@!$&'()*+,;=%.ipk";
            std::fs::write(root.join("feed").join(odd), "odd").unwrap();
            // The path as opkg escapes it.
            let path = "/a%3ab%3fc%23d%5be%5d%40%21%24%26%27%28%29%2a%2b%2c%3b%3d%25.ipk";
            assert!(ask(address, &format!("GET {path}")).ends_with("odd"));
            for path in ["/a%3", "/a%zz", "/%ff", "/..%2fsecret", "/%2fetc%2fpasswd", "/%00"] {
                let answer = ask(address, &format!("GET {path}"));
                assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
            }
            for path in ["/../secret", "/%2e%2e/secret", "/link", "/", "/missing", "/./Packages"] {
                let answer = ask(address, &format!("GET {path}"));
                assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
            }
            assert!(ask(address, "PUT /Packages").starts_with("HTTP/1.1 405"));
            cancel.cancel();
        });
    }

    #[test]
    fn a_taken_address_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let first = Server::bind(root, "127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Server::bind(root, first.address()).err().unwrap();
        assert_eq!((error.id(), error.exit()), ("FEED001", Exit::Host));
    }
}
