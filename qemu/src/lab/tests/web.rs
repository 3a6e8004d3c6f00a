//! The web server, asked by a stack of our own in the router's place.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use super::Place;
use crate::lab::host::Host;
use crate::lab::link::{Link, Record};
use crate::lab::{HostPlan, Lab, Plan, Side, stream};

/// A host on the WAN link that asks the web server.
struct Client {
    host: Host,
    stream: UnixStream,
    link: Link,
    record: Record,
    next_port: u16,
}

impl Client {
    fn connect(lab: &Lab) -> Client {
        let HostPlan { ipv4, ipv6, link_local, .. } = super::bridged().lan;
        let plan = HostPlan { ipv4, ipv6, link_local, ..Plan::masquerade().lan };
        let stream = super::connect(lab, Side::Wan);
        stream.set_nonblocking(true).unwrap();
        let (host, link, record) = (Host::new(plan, Instant::now()), Link::default(), Record::default());
        Client { host, stream, link, record, next_port: 1024 }
    }

    fn open(&mut self, to: &str) -> SocketHandle {
        let to = std::net::SocketAddr::new(to.parse().unwrap(), 80);
        let from = std::net::SocketAddr::new(self.host.source_for(to.ip()), self.next_port);
        self.next_port += 1;
        let socket = self.host.add_tcp(64 << 10);
        assert!(self.host.connect(socket, from, to));
        socket
    }

    /// Runs the stack until `done`.
    fn until(&mut self, mut done: impl FnMut(&mut Host) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(&mut self.host) {
            assert!(Instant::now() < deadline, "the server does not answer");
            stream::receive(&self.stream, &mut self.link.inbox).unwrap();
            self.host.poll(&mut self.link, &mut self.record);
            stream::send(&self.stream, &mut self.link.outbox).unwrap();
            std::thread::yield_now();
        }
    }

    /// Sends a request and reads until an answer of `length` bytes of body has arrived.
    fn ask(&mut self, socket: SocketHandle, request: &str, length: usize) -> (String, Vec<u8>) {
        self.send(socket, request);
        self.read(socket, length)
    }

    fn send(&mut self, socket: SocketHandle, request: &str) {
        let mut sent = 0;
        self.until(|host| {
            if host.tcp(socket).can_send() {
                sent += host.tcp(socket).send_slice(&request.as_bytes()[sent..]).unwrap();
            }
            sent == request.len()
        });
    }

    fn read(&mut self, socket: SocketHandle, length: usize) -> (String, Vec<u8>) {
        let mut answer = Vec::new();
        let mut split = None;
        self.until(|host| {
            let socket = host.tcp(socket);
            // One byte at a time where the head ends, so that nothing of the next answer is taken.
            while split.is_none_or(|split| answer.len() < split + length) && socket.can_recv() {
                let most = split.map_or(1, |split| split + length - answer.len());
                socket.recv(|data| (data.len().min(most), answer.extend(&data[..data.len().min(most)]))).unwrap();
                if split.is_none() && answer.ends_with(b"\r\n\r\n") {
                    split = Some(answer.len());
                }
            }
            split.is_some_and(|split| answer.len() == split + length)
        });
        let body = answer.split_off(split.unwrap());
        (String::from_utf8(answer).unwrap(), body)
    }

    /// Waits for the server to end the connection.
    fn ended(&mut self, socket: SocketHandle) -> State {
        self.until(|host| !matches!(host.tcp(socket).state(), State::Established | State::SynSent));
        self.host.tcp(socket).state()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: feed\r\n\r\n")
}

/// A directory with some files, and one outside it.
fn fill(root: &Utf8Path) -> Vec<u8> {
    let big: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::create_dir_all(root.join("feed/sub")).unwrap();
    fs::write(root.join("secret"), "secret").unwrap();
    fs::write(root.join("feed/Packages"), "Package: a\n").unwrap();
    fs::write(root.join("feed/sub/a+b~1.ipk"), &big).unwrap();
    fs::write(root.join("feed/empty"), "").unwrap();
    std::os::unix::fs::symlink("../secret", root.join("feed/link")).unwrap();
    big
}

#[test]
fn files_are_served_whole_over_kept_and_closed_connections() {
    let place = Place::new();
    let big = fill(&place.path());
    let lab = place.lab();
    lab.serve(&place.path().join("feed")).unwrap();
    let mut client = Client::connect(&lab);
    for server in ["10.0.0.2", "2001:db8::2"] {
        let socket = client.open(server);
        for _ in 0..2 {
            let (head, body) = client.ask(socket, &get("/Packages"), 11);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 11\r\n"), "{head}");
            assert_eq!(body, b"Package: a\n");
        }
        let (_, body) = client.ask(socket, &get("/sub/a%2Bb~1.ipk?x"), big.len());
        assert!(body == big);
        let (head, _) = client.ask(socket, "HEAD /sub/a+b~1.ipk HTTP/1.1\r\n\r\n", 0);
        assert!(head.contains("Content-Length: 4000000\r\n"), "{head}");
        let (_, none) = client.ask(socket, &get("/empty"), 0);
        assert!(none.is_empty());
        // Two at once, in one piece.
        client.send(socket, &(get("/Packages") + "GET /Packages HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert_eq!(client.read(socket, 11).1, b"Package: a\n");
        let (head, body) = client.read(socket, 11);
        assert!(head.contains("Connection: close") && body == b"Package: a\n");
        assert_eq!(client.ended(socket), State::CloseWait);
    }
    let log = lab.requests().unwrap();
    assert_eq!(log.len(), 14);
    assert!(log.iter().all(|request| request.status == 200 && request.complete));
    assert_eq!((log[2].line.as_str(), log[2].bytes), ("GET /sub/a%2Bb~1.ipk?x HTTP/1.1", 4_000_000));
    assert_eq!((log[3].bytes, log[3].peer), (0, Some(([10, 0, 0, 1], 1024).into())));
}

#[test]
fn what_is_not_served_is_refused_and_written_down() {
    let place = Place::new();
    fill(&place.path());
    let lab = place.lab();
    lab.serve(&place.path().join("feed")).unwrap();
    let mut client = Client::connect(&lab);
    let socket = client.open("10.0.0.2");
    for (path, status) in [
        ("/nothing", 404),
        ("/sub", 404),
        ("/", 404),
        ("/../secret", 403),
        ("/sub/../../secret", 403),
        ("/%2e%2e/secret", 403),
        ("/link", 403),
    ] {
        let (head, _) = client.ask(socket, &get(path), 0);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
    }
    for (request, status) in [
        ("POST /Packages HTTP/1.1\r\n\r\n".to_owned(), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)), 431),
    ] {
        let socket = client.open("10.0.0.2");
        let (head, _) = client.ask(socket, &request, 0);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(client.ended(socket), State::CloseWait);
    }
    let statuses: Vec<u16> = lab.requests().unwrap().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [404, 404, 404, 403, 403, 403, 403, 405, 400, 431]);
}

#[test]
fn another_directory_takes_over_without_a_new_connection() {
    let place = Place::new();
    fill(&place.path());
    fs::create_dir(place.path().join("tampered")).unwrap();
    fs::write(place.path().join("tampered/Packages"), "Package: b\n").unwrap();
    let lab = place.lab();
    let mut client = Client::connect(&lab);
    let refused = client.open("10.0.0.2");
    assert_eq!(client.ended(refused), State::Closed, "nothing is served before it is asked for");
    lab.serve(&place.path().join("feed")).unwrap();
    let socket = client.open("10.0.0.2");
    assert_eq!(client.ask(socket, &get("/Packages"), 11).1, b"Package: a\n");
    lab.serve(&place.path().join("tampered")).unwrap();
    assert_eq!(client.ask(socket, &get("/Packages"), 11).1, b"Package: b\n");

    let failure = lab.serve(&place.path().join("missing")).unwrap_err();
    assert_eq!(failure.id(), "IO004");
    assert_eq!(client.ask(socket, &get("/Packages"), 11).1, b"Package: b\n", "the one before stays");
}

#[test]
fn many_connections_are_served_at_once() {
    let place = Place::new();
    let big = fill(&place.path());
    let lab = place.lab();
    lab.serve(&place.path().join("feed")).unwrap();
    let mut client = Client::connect(&lab);
    let sockets: Vec<_> = (0..6).map(|_| client.open("10.0.0.2")).collect();
    for &socket in &sockets {
        client.send(socket, &get("/sub/a+b~1.ipk"));
    }
    for &socket in sockets.iter().rev() {
        assert!(client.read(socket, big.len()).1 == big);
    }
    assert_eq!(lab.requests().unwrap().iter().map(|request| request.bytes).sum::<u64>(), 24_000_000);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let place = Place::new();
    fill(&place.path());
    let lab = place.lab();
    lab.serve(&place.path().join("feed")).unwrap();
    let mut client = Client::connect(&lab);
    let socket = client.open("10.0.0.2");
    client.send(socket, &get("/sub/a+b~1.ipk"));
    client.read(socket, 0);
    // Both ends' buffers hold a small part of the file: the rest is still to be read.
    fs::write(place.path().join("feed/sub/a+b~1.ipk"), "short").unwrap();
    client.until(|host| {
        let socket = host.tcp(socket);
        while socket.can_recv() {
            socket.recv(|data| (data.len(), ())).unwrap();
        }
        socket.state() == State::Closed
    });
    let log = lab.requests().unwrap();
    assert!(!log[0].complete && log[0].bytes < 4_000_000, "{log:?}");
}
