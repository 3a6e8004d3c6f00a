//! Files from the web, by http or https, for this machine. (Routers have a client of their own, without TLS.)
//!
//! Signatures and digests establish trust in what is downloaded; TLS only hides from eavesdroppers what is asked for.
//! The authorities are those of the web, or those in the file that SSL_CERT_FILE names, as with other programs.

use std::io::Read as _;
use std::time::Duration;

use model::{Cancel, Deadline, Exit, Failure, Problem, Result};
use ureq::config::Config;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// The variable that names a file of certificate authorities, in place of those of the web.
const AUTHORITIES: &str = "SSL_CERT_FILE";
/// The failure when the server says that there is no such file.
pub const ABSENT: &str = "WEB001";
/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one file may take in all.
const WHOLE: Duration = Duration::from_secs(600);
/// How often a file is asked for when its server fails, or does not answer.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; it doubles before each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a pause looks whether the user interrupted.
const TICK: Duration = Duration::from_millis(20);

/// Asks servers for files; connections are reused.
#[derive(Debug, Clone)]
pub struct Web {
    agent: ureq::Agent,
    cancel: Cancel,
}

/// Why a file did not come, and whether another attempt may help.
enum Trouble {
    Absent(u16),
    Lasts(String),
    Passes(String),
}

impl Web {
    /// A client that has not connected to any server yet.
    ///
    /// # Errors
    /// Those of [`tls`].
    pub fn new(cancel: &Cancel) -> Result<Web> {
        Ok(Web { agent: settings(tls()?).new_agent(), cancel: cancel.clone() })
    }

    /// The bytes of a file, cut off after `limit` + 1: the caller decides whether more than `limit` means a wrong size
    /// or a file too large.
    ///
    /// # Errors
    /// `WEB001` when the server says that there is no such file, `WEB002` when it cannot be fetched.
    pub fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            self.cancel.check()?;
            match self.attempt(url, limit) {
                Ok(bytes) => return Ok(bytes),
                Err(Trouble::Absent(status)) => return Err(absent(url, status)),
                Err(Trouble::Lasts(why)) => return Err(failed(url, &why)),
                Err(Trouble::Passes(why)) if attempt == ATTEMPTS => {
                    return Err(failed(url, &format!("{why}; it was tried {ATTEMPTS} times")));
                }
                Err(Trouble::Passes(_)) => self.wait(pause)?,
            }
            pause *= 2;
        }
        Err(failed(url, "it was not tried"))
    }

    fn attempt(&self, url: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        let answer = self.agent.get(url).call().map_err(|error| trouble(&error))?;
        let mut bytes = Vec::new();
        let mut body = answer.into_body().into_reader().take(limit.saturating_add(1));
        body.read_to_end(&mut bytes).map_err(|error| Trouble::Passes(error.to_string()))?;
        Ok(bytes)
    }

    fn wait(&self, pause: Duration) -> Result<()> {
        let deadline = Deadline::after(pause);
        while !deadline.passed() {
            self.cancel.check()?;
            std::thread::sleep(TICK.min(deadline.left()));
        }
        Ok(())
    }
}

fn settings(tls: TlsConfig) -> Config {
    ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .timeout_global(Some(WHOLE))
        .tls_config(tls)
        .max_redirects(5)
        .max_idle_connections_per_host(8)
        .proxy(None)
        .user_agent(concat!("openwrt-offload/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The certificate authorities to trust.
///
/// # Errors
/// `WEB003` when SSL_CERT_FILE names no file with certificates.
pub fn tls() -> Result<TlsConfig> {
    let roots = match std::env::var_os(AUTHORITIES).filter(|file| !file.is_empty()) {
        Some(file) => {
            let file = file.to_string_lossy().into_owned();
            let bytes = std::fs::read(&file).map_err(|error| no_authorities(&file, &error.to_string()))?;
            authorities(&file, &bytes)?
        }
        None => RootCerts::WebPki,
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

fn authorities(file: &str, bytes: &[u8]) -> Result<RootCerts> {
    let mut found = Vec::new();
    for item in parse_pem(bytes) {
        // A private key in the same file says nothing about whom to trust.
        if let PemItem::Certificate(certificate) = item.map_err(|error| no_authorities(file, &error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(no_authorities(file, "there is no certificate in it"));
    }
    Ok(found.into())
}

fn trouble(error: &ureq::Error) -> Trouble {
    match error {
        ureq::Error::StatusCode(status @ (404 | 410)) => Trouble::Absent(*status),
        ureq::Error::StatusCode(status @ (408 | 429 | 500..)) => {
            Trouble::Passes(format!("it failed with status {status}"))
        }
        ureq::Error::StatusCode(status) => Trouble::Lasts(format!("it answered with status {status}")),
        // Asking again does not change who the server is.
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Trouble::Lasts(error.to_string())
        }
        ureq::Error::Io(inner) if inner.kind() == std::io::ErrorKind::InvalidData => Trouble::Lasts(error.to_string()),
        error => Trouble::Passes(error.to_string()),
    }
}

fn absent(url: &str, status: u16) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: ABSENT,
        what: format!("there is no {url}"),
        why: format!("the server answered with status {status}"),
        fix: "check the address; what was published a moment ago may take a while to be there",
    })
    .at(url)
}

fn failed(url: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Upstream,
        id: "WEB002",
        what: format!("cannot fetch {url}"),
        why,
        fix: "check the address and the network, and try again; if a certificate authority of your own signed the \
              server's certificate, let SSL_CERT_FILE name the file with that authority's certificate",
    })
    .at(url)
}

fn no_authorities(file: &str, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "WEB003",
        what: format!("{AUTHORITIES} names `{file}`, which has no usable certificates"),
        why,
        fix: "name a PEM file with the certificates of the authorities to trust, or unset the variable to trust those of the web",
    })
    .at(file)
}

#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
#[cfg(test)]
mod tests;
