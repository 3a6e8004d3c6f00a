//! Reading HTTP requests and turning their targets into paths that stay below a directory.

/// The longest request, in bytes: those of package managers are a few hundred.
pub(super) const MAX_HEAD: usize = 8 << 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The file.
    Get,
    /// Its length only.
    Head,
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: Method,
    /// The target as it was sent.
    pub(super) target: String,
    /// Whether the connection stays open for another request.
    pub(super) keep: bool,
}

/// Why a request is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no HTTP, or has a body.
    Malformed,
    /// Its target leads out of the directory.
    Forbidden,
    /// There is no such file.
    NotFound,
    /// Neither GET nor HEAD.
    Method,
    /// It is longer than [`MAX_HEAD`].
    TooLong,
}

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Refusal::Malformed => 400,
            Refusal::Forbidden => 403,
            Refusal::NotFound => 404,
            Refusal::Method => 405,
            Refusal::TooLong => 431,
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Refusal::Malformed => "Bad Request",
            Refusal::Forbidden => "Forbidden",
            Refusal::NotFound => "Not Found",
            Refusal::Method => "Method Not Allowed",
            Refusal::TooLong => "Request Header Fields Too Large",
        }
    }

    /// Whether the next request's start is known after this one.
    pub(super) fn keeps(self) -> bool {
        matches!(self, Refusal::Forbidden | Refusal::NotFound)
    }
}

/// The first request in `received` and how many bytes it takes; `None` while it is not complete.
pub(super) fn parse(received: &[u8]) -> Option<(usize, Result<Head, Refusal>)> {
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return (received.len() > MAX_HEAD).then_some((received.len(), Err(Refusal::TooLong)));
    };
    let head = std::str::from_utf8(&received[..end]).map_err(|_| Refusal::Malformed).and_then(parse_head);
    Some((end + 4, head))
}

fn parse_head(text: &str) -> Result<Head, Refusal> {
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { return Err(Refusal::Malformed) };
    let mut keep = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(Refusal::Malformed),
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => return Err(Refusal::Method),
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Refusal::Malformed)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("connection") {
            for option in value.split(',').map(str::trim) {
                keep = (keep || option.eq_ignore_ascii_case("keep-alive")) && !option.eq_ignore_ascii_case("close");
            }
        }
        let has_body = name.eq_ignore_ascii_case("content-length") && value != "0"
            || name.eq_ignore_ascii_case("transfer-encoding");
        if has_body {
            return Err(Refusal::Malformed);
        }
    }
    Ok(Head { method, target: target.into(), keep })
}

/// The first line for the log, made printable.
pub(super) fn first_line(received: &[u8]) -> String {
    let line = received.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = &line[..line.len().min(300)];
    String::from_utf8_lossy(line).chars().filter(|letter| !letter.is_control()).collect()
}

/// The path below the root that a target names: query dropped, percent-encoding (RFC 3986 §2.1)
/// undone, empty and `.` parts passed over, anything that leads upwards refused.
pub(super) fn relative_path(target: &str) -> Result<String, Refusal> {
    let path = match target.strip_prefix("http://") {
        // The absolute form, which proxies are asked with.
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(Refusal::Malformed);
    }
    let path = percent_decoded(path).ok_or(Refusal::Malformed)?;
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(Refusal::Forbidden),
            part if part.contains('\0') => return Err(Refusal::Malformed),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (digits, tail) = tail.split_first_chunk::<2>()?;
            let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Head, Refusal> {
        let (used, head) = parse(text.as_bytes()).unwrap();
        assert_eq!(used, text.len());
        head
    }

    #[test]
    fn requests_of_package_managers_are_understood() {
        let get = |target: &str, keep| Ok(Head { method: Method::Get, target: target.into(), keep });
        assert_eq!(
            head("GET /Packages.gz HTTP/1.1\r\nHost: 203.0.113.2\r\nAccept: */*\r\n\r\n"),
            get("/Packages.gz", true)
        );
        assert_eq!(head("GET /a HTTP/1.1\r\nconnection: Close\r\n\r\n"), get("/a", false));
        assert_eq!(head("GET /a HTTP/1.0\r\n\r\n"), get("/a", false));
        assert_eq!(head("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), get("/a", true));
        assert_eq!(head("HEAD /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap().method, Method::Head);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), None, "not complete");
        let (used, _) = parse(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(used, 19, "the second one is left");
    }

    #[test]
    fn what_cannot_be_granted_is_told_apart() {
        for (text, refusal) in [
            ("POST /a HTTP/1.1\r\n\r\n", Refusal::Method),
            ("GET /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n", Refusal::Malformed),
            ("GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Malformed),
            ("GET /a HTTP/1.1\r\nno colon\r\n\r\n", Refusal::Malformed),
            ("GET /a\r\n\r\n", Refusal::Malformed),
            ("GET /a HTTP/2\r\n\r\n", Refusal::Malformed),
            ("\r\n\r\n", Refusal::Malformed),
        ] {
            assert_eq!(head(text), Err(refusal), "{text:?}");
        }
        let (_, long) = parse(&[b'a'; MAX_HEAD + 1]).unwrap();
        assert_eq!(long, Err(Refusal::TooLong));
    }

    #[test]
    fn targets_become_paths_that_lead_downwards() {
        for (target, path) in [
            ("/", Ok("")),
            ("/a/b.ipk", Ok("a/b.ipk")),
            ("//a/./b?x=..", Ok("a/b")),
            ("/kmod_6.12~0123%2Br1.ipk", Ok("kmod_6.12~0123+r1.ipk")),
            ("/c%7e1", Ok("c~1")),
            ("http://203.0.113.2/feed/Packages", Ok("feed/Packages")),
            ("http://203.0.113.2", Ok("")),
            ("/a/../b", Err(Refusal::Forbidden)),
            ("/%2e%2E/b", Err(Refusal::Forbidden)),
            ("/a/%2e./b", Err(Refusal::Forbidden)),
            ("/..%2fb", Err(Refusal::Forbidden)),
            ("a", Err(Refusal::Malformed)),
            ("/%", Err(Refusal::Malformed)),
            ("/%+1", Err(Refusal::Malformed)),
            ("/%ff", Err(Refusal::Malformed)),
            ("/a%00", Err(Refusal::Malformed)),
        ] {
            assert_eq!(relative_path(target), path.map(str::to_owned), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_path_that_leads_out(received in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _line = first_line(&received);
            let _head = parse(&received);
        }

        #[test]
        fn no_target_leads_out(target in "(/|%2f|\\.|%2e|\\.\\.|a|%00|%|\\\\|\\?){0,12}") {
            if let Ok(path) = relative_path(&format!("/{target}")) {
                prop_assert!(!path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| part != ".." && part != "."));
                prop_assert!(!path.contains('\0'));
            }
        }
    }
}
