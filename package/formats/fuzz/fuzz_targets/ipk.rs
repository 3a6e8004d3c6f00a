//! Reading a package never panics, and looking at it without keeping it finds the same.
#![no_main]

use formats::{Limits, gzip, ipk};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { unpacked: 1 << 20, ..Limits::default() };
    let read = ipk::read(bytes, &limits);
    let inspected = ipk::inspect(bytes, &limits);
    match (&read, &inspected) {
        (Ok(read), Ok(metadata)) => assert_eq!(read.metadata, *metadata),
        (Err(a), Err(b)) => assert_eq!(a.id(), b.id()),
        _ => panic!("read and inspect disagree"),
    }
    // Past the checksum of the outer compression, which random changes hardly ever meet.
    if let Ok(packed) = gzip::compress(bytes, gzip::Level::Default) {
        let _ = ipk::inspect(&packed[..], &limits);
    }
});
