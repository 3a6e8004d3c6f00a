//! Whatever opkg's files of a root hold, nothing panics, and what was written can be read again.
//!
//! Parts: the status file, the list of files of the package `a`, a configuration file, a list of packages.
#![no_main]

mod root;

use client::opkg::{Client, Config, Root, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [status, files, config, list] = root::parts::<4>(bytes);
    root::write("usr/lib/opkg/status", status);
    root::write("usr/lib/opkg/info/a.list", files);
    root::write("etc/opkg/feeds.conf", config);
    root::write("var/opkg-lists/feed", list);
    let root = Root::open(root::folder()).expect("the root");
    let config = Config::load_offline(&root).unwrap_or_default();

    // A feed without files: everything up to the first download, and no address from the input.
    let source = Source { name: "feed".into(), url: "/nowhere/feed".into(), gzip: true };
    let client = Client::new(
        root,
        Config {
            sources: vec![source],
            lists: "/var/opkg-lists".into(),
            check_signature: false,
            run_scripts: false,
            ..config
        },
    );
    let offered = client.available().ok().and_then(|offers| offers.into_iter().next());
    let wanted = offered.map_or("a".to_owned(), |control| control.package);
    let _ = client.files("a");
    let _ = client.install(&[wanted], &mut |progress| drop(progress.to_string()));
    let Ok(installed) = client.installed() else { return };
    let first = installed.first().map_or("a".to_owned(), |package| package.control.package.clone());
    let before = installed.len();
    if client.remove(&[first], &mut |progress| drop(progress.to_string())).is_ok() {
        // With nothing installed there is nothing to remove, which is no failure.
        assert_eq!(client.installed().expect("what was written").len(), before.saturating_sub(1));
    }
});
