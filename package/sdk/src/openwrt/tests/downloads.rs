//! Downloads: failures during transfers, and what remains in the cache.

use std::sync::Arc;
use std::time::Instant;

use host::lock::Lock;
use model::{Exit, Status};

use super::*;
use crate::openwrt::fixture::Fault;

const SDK: &str = ".Linux-x86_64.tar.zst";

/// A bench whose SDK is large enough to be interrupted.
fn bench() -> (Bench, String) {
    let bench = Bench::new();
    let name = bench.mirror.publish_standard(RELEASE, TARGET);
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    bench.mirror.publish(RELEASE, TARGET, &[(&name, &bytes)]);
    bench.mirror.remove(RELEASE, TARGET, "openwrt-imagebuilder-25.12.5-x86-64.Linux-x86_64.tar.zst");
    (bench, name)
}

fn fetch_sdk(upstream: &Upstream) -> Result<Utf8PathBuf, Failure> {
    upstream.obtain(&standard(), &[Role::Sdk]).map(|(_, files)| files[0].clone())
}

#[test]
fn files_come_into_the_cache_once_under_their_digest() {
    let (bench, name) = bench();
    let server = bench.mirror.serve();
    let upstream = bench.at(&server);
    let roles = [Role::Rootfs, Role::Sdk, Role::Kernel];
    let (resolved, files) = upstream.obtain(&standard(), &roles).unwrap();
    for (role, file) in roles.into_iter().zip(&files) {
        let artifact = resolved.require(role).unwrap();
        assert_eq!(file.file_name(), Some(artifact.sha256.to_string().as_str()));
        assert_eq!(std::fs::read(file).unwrap(), std::fs::read(bench.mirror.root().join(&artifact.path)).unwrap());
        assert!(std::fs::metadata(file).unwrap().permissions().readonly());
    }
    assert_eq!(bench.store(), [["file"; 3], ["lock"; 3], ["stamp"; 3]].concat());
    let events: Vec<Event> = bench.events.try_iter().collect();
    assert!(events.iter().any(|event| matches!(event, Event::StageEnd { status: Status::Done, .. })), "{events:?}");

    let before = server.seen().len();
    assert_eq!(upstream.obtain(&standard(), &roles).unwrap().1, files);
    assert_eq!(bench.directory().obtain(&standard(), &roles).unwrap().1, files, "whatever the mirror");
    assert_eq!(server.seen().len(), before, "nothing is asked for twice");
    assert!(bench.events.try_iter().any(|event| matches!(event, Event::StageSkipped { .. })));
    assert_eq!(server.count(&name), 1);
}

#[test]
fn a_file_of_the_cache_that_lost_its_size_is_fetched_again() {
    let (bench, _) = bench();
    let file = fetch_sdk(&bench.directory()).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "short").unwrap();
    assert_eq!(fetch_sdk(&bench.directory()).unwrap(), file);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 200_000);
}

#[test]
fn what_passes_by_itself_is_tried_again_and_completed() {
    for fault in [
        Fault::Status(503),
        Fault::Status(429),
        Fault::HangUp,
        Fault::Cut(0),
        Fault::Cut(70_000),
        Fault::Trickle(50_000, Duration::from_millis(1)),
        Fault::Bare,
    ] {
        let (bench, _) = bench();
        let server = bench.mirror.serve();
        server.next(SDK, [fault.clone()]);
        let file = fetch_sdk(&bench.at(&server)).unwrap_or_else(|failure| panic!("{fault:?}: {failure}"));
        assert_eq!(std::fs::metadata(file).unwrap().len(), 200_000, "{fault:?}");
        let resumed: Vec<Option<u64>> =
            server.seen().iter().filter(|seen| seen.path.ends_with(SDK)).map(|seen| seen.from).collect();
        let expected: &[Option<u64>] = match fault {
            Fault::Cut(70_000) => &[None, Some(70_000)],
            Fault::Trickle(..) | Fault::Bare => &[None],
            _ => &[None, None],
        };
        assert_eq!(resumed, expected, "{fault:?}");
        assert_eq!(bench.lines().len(), expected.len() - 1, "{fault:?}: each failed attempt has a line");
    }
}

#[test]
fn a_part_that_cannot_be_completed_is_fetched_whole() {
    for second in [Fault::NoRange, Fault::OtherRange, Fault::Status(416), Fault::Other(b"changed".to_vec())] {
        let (bench, _) = bench();
        let server = bench.mirror.serve();
        server.next(SDK, [Fault::Cut(70_000), second.clone()]);
        let fetched = fetch_sdk(&bench.at(&server));
        match second {
            // These bytes all come from the mirror, so the mirror is at fault.
            Fault::Other(_) => assert_eq!((id(fetched), server.count(SDK)), (("DIG001", Exit::Mismatch), 2)),
            _ => assert_eq!(std::fs::metadata(fetched.unwrap()).unwrap().len(), 200_000, "{second:?}"),
        }
    }
}

#[test]
fn a_server_that_sends_a_part_of_the_rest_is_asked_for_the_rest_of_it() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    server.next(SDK, [Fault::Cut(70_000), Fault::Part(50_000)]);
    let file = fetch_sdk(&bench.at(&server)).unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().len(), 200_000);
    let asked: Vec<Option<u64>> =
        server.seen().iter().filter(|seen| seen.path.ends_with(SDK)).map(|seen| seen.from).collect();
    assert_eq!(asked, [None, Some(70_000), Some(120_000)]);
}

#[test]
fn the_next_run_completes_what_the_last_one_left() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    server.next(SDK, [Fault::Cut(50_000), Fault::Status(500), Fault::Status(500)]);
    let failure = fetch_sdk(&bench.at(&server)).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("MIR005", Exit::Upstream));
    assert_eq!(bench.store(), ["lock", "tmp"], "the part, and nothing that looks whole");
    fetch_sdk(&bench.at(&server)).unwrap();
    assert_eq!(server.seen().last().unwrap().from, Some(50_000));
    assert_eq!(bench.store(), ["file", "lock", "stamp"]);
}

#[test]
fn a_damaged_part_costs_one_more_download_and_no_more() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    server.next(SDK, [Fault::Cut(50_000), Fault::Status(403)]);
    assert_eq!(id(fetch_sdk(&bench.at(&server))), ("MIR004", Exit::Upstream));
    for entry in bench.cache().join("openwrt-files").read_dir_utf8().unwrap().map(Result::unwrap) {
        let part = entry.path().join("part");
        if part.exists() {
            std::fs::write(part, vec![0; 50_000]).unwrap();
        }
    }
    let file = fetch_sdk(&bench.at(&server)).unwrap();
    assert_eq!(std::fs::read(file).unwrap()[1..4], [1, 2, 3]);
    let asked: Vec<Option<u64>> = server.seen().iter().rev().take(2).map(|seen| seen.from).collect();
    assert_eq!(asked, [None, Some(50_000)]);
}

#[test]
fn wrong_bytes_end_the_run_with_both_digests_and_are_asked_for_once() {
    let (bench, name) = bench();
    let server = bench.mirror.serve();
    server.always(SDK, Fault::Other(vec![7; 200_000]));
    let failure = fetch_sdk(&bench.at(&server)).unwrap_err();
    assert_eq!((failure.id(), failure.exit()), ("DIG001", Exit::Mismatch));
    let wanted = sdk(&bench.directory().resolve(&standard()).unwrap()).sha256.to_string();
    let found = model::Digest::of(vec![7; 200_000]).to_string();
    let why = &failure.finding().why;
    assert!(why.contains(&wanted) && why.contains(&found), "{failure}");
    assert_eq!((server.count(SDK), bench.store()), (1, vec!["lock".to_owned()]));

    std::fs::write(bench.mirror.folder(RELEASE, TARGET).join(name), "damaged copy").unwrap();
    assert_eq!(id(fetch_sdk(&bench.directory())), ("DIG001", Exit::Mismatch));
}

#[test]
fn what_does_not_pass_is_told_at_once_and_what_does_after_some_attempts() {
    for (fault, id_and_requests) in [
        (Fault::Status(404), ("MIR003", 1)),
        (Fault::Status(403), ("MIR004", 1)),
        (Fault::Status(502), ("MIR005", 3)),
        (Fault::HangUp, ("MIR006", 3)),
        (Fault::Cut(10), ("MIR006", 3)),
    ] {
        let (bench, _) = bench();
        let server = bench.mirror.serve();
        server.always(SDK, fault.clone());
        let (found, exit) = id(fetch_sdk(&bench.at(&server)));
        assert_eq!(((found, server.count(SDK)), exit), (id_and_requests, Exit::Upstream), "{fault:?}");
    }
    let (bench, _) = bench();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(id(fetch_sdk(&bench.upstream(&format!("http://{nobody}")))), ("MIR006", Exit::Upstream));
}

#[test]
fn a_mirror_that_says_https_is_spoken_to_in_tls() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    let failure = fetch_sdk(&bench.upstream(&server.url().replace("http:", "https:"))).unwrap_err();
    assert_eq!((failure.id(), server.seen()), ("MIR006", Vec::new()), "a TLS greeting is no request");
    assert!(failure.finding().why.contains("InvalidContentType"), "its answer is no TLS: {failure}");
}

#[test]
fn a_server_that_falls_silent_or_trickles_is_left() {
    // The kernel has so few bytes that it arrives even one byte at a time.
    const KERNEL: &str = "generic-kernel.bin";
    for fault in [Fault::Stall(0), Fault::Stall(10), Fault::Trickle(1, Duration::from_millis(40))] {
        let (mut bench, _) = bench();
        let server = bench.mirror.serve();
        bench.at(&server).resolve(&standard()).unwrap();
        bench.patience = Patience { silence: SHORT, least: 1000, attempts: 2, ..bench.patience.clone() };
        server.always(KERNEL, fault.clone());
        let begin = Instant::now();
        let fetched = bench.at(&server).obtain(&standard(), &[Role::Kernel]);
        assert_eq!(id(fetched), ("MIR007", Exit::Upstream), "{fault:?}");
        assert!(begin.elapsed() < LONG / 2 && server.count(KERNEL) == 2, "{fault:?}");
    }
}

#[test]
fn more_bytes_than_a_file_may_have_are_not_taken() {
    for fault in [Fault::None, Fault::Bare] {
        let (bench, _) = bench();
        let server = bench.mirror.serve();
        let upstream = bench.at(&server);
        let mut artifact = sdk(&upstream.resolve(&standard()).unwrap());
        artifact.size = Some(100_000);
        server.always(SDK, fault.clone());
        assert_eq!(id(upstream.fetch("sdk", &[&artifact])), ("MIR008", Exit::Upstream), "{fault:?}");
        assert_eq!(server.count(SDK), 1);
    }
}

#[test]
fn an_interrupt_ends_a_transfer_that_hangs() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    let upstream = bench.at(&server);
    upstream.resolve(&standard()).unwrap();
    server.always(SDK, Fault::Stall(1000));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch_sdk(&upstream));
        while server.count(SDK) == 0 && begin.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(2));
        }
        upstream.cancel.cancel();
        assert_eq!(fetching.join().unwrap().unwrap_err().exit(), Exit::Interrupted);
    });
    assert!(begin.elapsed() < LONG, "the server would have been silent for longer");
}

#[test]
fn one_failure_ends_the_other_transfers() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    server.always(SDK, Fault::Trickle(10, Duration::from_millis(20)));
    server.always("kernel.bin", Fault::Status(404));
    let failure = bench.at(&server).obtain(&standard(), &[Role::Sdk, Role::Kernel]).unwrap_err();
    assert_eq!((failure.id(), server.count("kernel.bin")), ("MIR003", 1));
    // The SDK would take minutes; its lock shows that nothing fetches it any more.
    let digest = sdk(&bench.directory().resolve(&standard()).unwrap()).sha256;
    let lock = bench.cache().join(format!("openwrt-files/{digest}.lock"));
    let begin = Instant::now();
    while Lock::try_take(&lock).unwrap().is_none() {
        assert!(begin.elapsed() < LONG, "the other transfer goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_runs_at_once_fetch_each_file_once() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    server.always(SDK, Fault::Trickle(20_000, Duration::from_millis(5)));
    let upstream = Arc::new(bench.at(&server));
    upstream.resolve(&standard()).unwrap();
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let upstream = Arc::clone(&upstream);
            std::thread::spawn(move || fetch_sdk(&upstream).unwrap())
        })
        .collect();
    let files: Vec<Utf8PathBuf> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    assert!(files.iter().all(|file| *file == files[0]));
    assert_eq!(server.count(SDK), 1);
}

#[test]
fn a_snapshot_that_is_replaced_while_it_is_fetched_is_begun_anew() {
    let bench = Bench::new();
    let row = row("SNAPSHOT", TARGET);
    let name = bench.mirror.publish_standard("SNAPSHOT", TARGET);
    let server = bench.mirror.serve();
    let folder = bench.mirror.folder("SNAPSHOT", TARGET);
    let old = |file: &str| Fault::Other(std::fs::read(folder.join(file)).unwrap());
    let (list, signature) = (old("sha256sums"), old("sha256sums.sig"));
    bench.mirror.publish("SNAPSHOT", TARGET, &[(&name, b"the next build")]);
    server.next("sha256sums", [list]);
    server.next("sha256sums.sig", [signature]);
    let (resolved, files) = bench.at(&server).obtain(&row, &[Role::Sdk]).unwrap();
    assert_eq!(
        (read(&files[0]).as_str(), sdk(&resolved).sha256),
        ("the next build", model::Digest::of("the next build"))
    );
    assert_eq!(server.count("sha256sums"), 2);

    std::fs::write(folder.join(&name), "damaged copy").unwrap();
    std::fs::remove_dir_all(bench.cache().join("openwrt-files")).unwrap();
    let before = server.count("sha256sums");
    assert_eq!(id(bench.at(&server).obtain(&row, &[Role::Sdk])), ("DIG001", Exit::Mismatch));
    assert_eq!(server.count("sha256sums") - before, 2, "the list stayed, so the file is damaged");
}

#[test]
fn offline_uses_the_cache_and_nothing_else() {
    let (bench, _) = bench();
    let server = bench.mirror.serve();
    let mut upstream = bench.at(&server);
    let resolved = upstream.resolve(&standard()).unwrap();
    upstream.offline = true;
    let mut elsewhere = bench.upstream("http://mirror.invalid");
    elsewhere.offline = true;
    assert_eq!(id(elsewhere.fetch_roles(&resolved, &[Role::Sdk])), ("MIR002", Exit::Upstream));
    // This machine itself does not count as network.
    let files = upstream.fetch_roles(&resolved, &[Role::Sdk]).unwrap();
    let before = server.seen().len();
    assert_eq!(elsewhere.fetch_roles(&resolved, &[Role::Sdk]).unwrap(), files);
    assert_eq!(upstream.obtain(&standard(), &[Role::Sdk]).unwrap().1, files);
    assert_eq!(server.seen().len(), before);
}

#[test]
fn a_file_that_the_mirror_lacks_leaves_nothing_to_complete() {
    let (bench, _) = bench();
    let upstream = bench.directory();
    let resolved = upstream.resolve(&standard()).unwrap();
    bench.mirror.remove(RELEASE, TARGET, sdk(&resolved).path.file_name().unwrap());
    assert_eq!(id(upstream.fetch_roles(&resolved, &[Role::Sdk])), ("MIR003", Exit::Upstream));
    assert_eq!(bench.store(), ["lock"]);
}

/// A lock's files are compared with the list that the lock names.
#[test]
fn a_locked_list_is_the_one_that_was_locked() {
    let (bench, _) = bench();
    let upstream = bench.directory();
    let locked = upstream.resolve(&standard()).unwrap();
    let archive = sdk(&locked);
    let name = archive.path.file_name().unwrap();
    assert_eq!(upstream.locked_list(&standard(), &locked).unwrap().get(name), Some(archive.sha256));
    bench.mirror.publish(RELEASE, TARGET, &[(name, b"since then")]);
    let now = upstream.resolve_now(&standard()).unwrap();
    assert_eq!(upstream.list(&standard()).unwrap().get(name), Some(sdk(&now).sha256));
    assert_eq!(id(upstream.locked_list(&standard(), &locked)), ("DIG001", Exit::Mismatch));
}

#[test]
fn a_folder_in_the_way_of_the_cache_is_named() {
    let (bench, _) = bench();
    let upstream = bench.directory();
    let resolved = upstream.resolve(&standard()).unwrap();
    std::fs::write(bench.cache().join("openwrt-files"), "a file").unwrap();
    let failure = upstream.fetch_roles(&resolved, &[Role::Sdk]).unwrap_err();
    assert_eq!(failure.exit(), Exit::Host, "{failure}");
}
