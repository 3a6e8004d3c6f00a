//! A TLS server on loopback whose certificate is signed by a test authority.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The server's own certificate.
const CERTIFICATE: &[u8] = include_bytes!("../../tests/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../tests/tls/server.key");

/// The file with the certificate of the authority that signed the server's, for SSL_CERT_FILE.
pub fn authority() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/authority.pem")
}

/// The file of an authority that signed nothing.
pub fn stranger() -> Utf8PathBuf {
    authority().with_file_name("stranger.pem")
}

/// Serves a folder on 127.0.0.1 until this process ends; returns the address.
pub fn serve(folder: &Utf8Path) -> SocketAddr {
    serve_at(folder, "127.0.0.1:0")
}

/// The same on another address; the certificate is for 127.0.0.1 and localhost only.
pub fn serve_at(folder: &Utf8Path, address: &str) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, folder) = (config.clone(), folder.clone());
            // A client that hangs up, or does not trust us, ends only its own connection.
            std::thread::spawn(move || drop(answer(stream, config, &folder)));
        }
    });
    address
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, folder: &Utf8Path) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while stream.read_line(&mut header)? > 2 {
            header.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
        let (status, bytes) = match std::fs::read(folder.join(path)) {
            Ok(bytes) => ("200 OK", bytes),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let stream = stream.get_mut();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
        stream.write_all(&bytes)?;
        stream.flush()?;
    }
}
