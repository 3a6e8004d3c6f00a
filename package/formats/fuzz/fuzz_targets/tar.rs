//! No member of an archive leaves the root, comes twice, or lies below a link; what is read can be written.
#![no_main]

use std::collections::HashSet;

use formats::{Content, Kind, Limits, tar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { devices: true, ..Limits::default() };
    let mut reader = tar::Reader::new(bytes, &limits);
    let mut writer = tar::Writer::new(Vec::new(), 0);
    let mut links: HashSet<String> = HashSet::new();
    while let Ok(Some(member)) = reader.next_member() {
        let path = &member.entry.path;
        assert!(tar::path_problem(path).is_none());
        for (at, _) in path.match_indices('/') {
            assert!(!links.contains(&path[..at]), "{path} is below a link");
        }
        if member.entry.kind != Kind::Dir {
            assert!(links.insert(path.clone()), "{path} is there twice");
        }
        let Ok(content) = reader.bytes() else { return };
        let mut entry = member.entry.clone();
        if let Kind::File(slot) = &mut entry.kind {
            *slot = Content::from(content);
        }
        // Numbers may be larger than a header of ours holds; nothing else may fail.
        if let Err(error) = writer.entry(&entry) {
            assert_eq!(error.id(), "TAR014");
        }
    }
});
