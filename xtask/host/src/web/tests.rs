//! Downloads from servers on loopback that answer well, badly, slowly, or in the name of somebody else.

use std::net::TcpListener;
use std::time::Instant;

use camino::Utf8Path;

use super::*;

/// A client that trusts the authorities of a file, or those of the web.
fn web(authority: Option<&Utf8Path>) -> Web {
    let roots = authority.map_or(RootCerts::WebPki, |file| authorities("", &std::fs::read(file).unwrap()).unwrap());
    let tls = TlsConfig::builder().root_certs(roots).build();
    Web { agent: settings(tls).new_agent(), cancel: Cancel::default() }
}

fn id(outcome: Result<Vec<u8>>) -> (&'static str, String) {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.exit(), Exit::Upstream);
    (failure.id(), failure.finding().why.clone())
}

#[test]
fn a_file_comes_over_tls_from_a_server_whose_authority_is_trusted_and_from_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    std::fs::write(root.join("file"), "abc").unwrap();
    let address = fixture::serve(root);
    let trusting = web(Some(&fixture::authority()));
    for host in [address.to_string(), format!("localhost:{}", address.port())] {
        assert_eq!(trusting.get(&format!("https://{host}/file"), 10).unwrap(), b"abc");
    }
    let url = format!("https://{address}/file");
    assert_eq!(trusting.get(&url, 2).unwrap().len(), 3, "one byte more than the limit");
    assert_eq!(id(trusting.get(&format!("https://{address}/absent"), 10)).0, "WEB001");
    let started = Instant::now();
    for stranger in [None, Some(fixture::stranger())] {
        let (id, why) = id(web(stranger.as_deref()).get(&url, 10));
        assert!(id == "WEB002" && why.contains("UnknownIssuer"), "{why}");
    }
    // The server answers on an address that its certificate does not name.
    let elsewhere = fixture::serve_at(root, "127.0.0.2:0");
    let (id, why) = id(trusting.get(&format!("https://{elsewhere}/file"), 10));
    assert!(id == "WEB002" && !why.contains("tried"), "{why}");
    assert!(started.elapsed() < PAUSE, "who a server is does not change by asking again");
}

#[test]
fn a_server_that_is_not_there_is_asked_a_few_times_and_an_interrupt_ends_that() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut web = web(None);
    let (id, why) = id(web.get(&format!("http://{refused}/"), 10));
    assert!(id == "WEB002" && why.contains("tried 3 times"), "{why}");
    web.cancel.cancel();
    assert_eq!(web.get(&format!("http://{refused}/"), 10).unwrap_err().exit(), Exit::Interrupted);
    web.cancel = Cancel::default();
    assert_eq!(web.get("no address", 10).unwrap_err().id(), "WEB002");
}

#[test]
fn authorities_are_read_from_a_file_that_has_some() {
    let read = |text: &[u8]| authorities("f", text).map(drop).map_err(|failure| failure.id());
    assert_eq!(read(&std::fs::read(fixture::authority()).unwrap()), Ok(()));
    for bad in [&b""[..], b"no certificate", include_bytes!("../../tests/tls/server.key")] {
        assert_eq!(read(bad), Err("WEB003"));
    }
}
