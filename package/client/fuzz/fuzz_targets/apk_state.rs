//! Whatever apk's files of a root hold, nothing panics, and what was written can be read again.
//!
//! Parts: triggers, world, a list of repositories, users, the database of what is installed, the archive of scripts.
#![no_main]

mod root;

use client::apk::{Client, Config, Root};
use formats::gzip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [triggers, world, repositories, users, installed, scripts] = root::parts::<6>(bytes);
    root::write("lib/apk/db/triggers", triggers);
    root::write("etc/apk/world", world);
    root::write("etc/apk/repositories", repositories);
    root::write("etc/passwd", users);
    root::write("lib/apk/db/installed", installed);
    // Past the checksum of the compression, which random changes hardly ever meet.
    let scripts = if scripts.is_empty() { &[0; 1024] } else { scripts };
    root::write(
        "lib/apk/db/scripts.tar.gz",
        &gzip::compress(scripts, gzip::Level::Default).expect("what is compressed"),
    );

    let root = Root::open(root::folder()).expect("the root");
    let Ok(config) = Config::load(&root) else { return };
    // No address from the input is fetched.
    let client = Client::new(root, Config { repositories: Vec::new(), run_scripts: false, ..config });
    let Ok(installed) = client.installed() else { return };
    for package in &installed {
        let _ = client.files(&package.info.name);
    }
    let names: Vec<String> = installed.first().map(|package| package.info.name.clone()).into_iter().collect();
    if client.del(&names, &mut |progress| drop(progress.to_string())).is_ok() {
        let left = client.installed().expect("what was written");
        assert!(left.iter().all(|package| installed.iter().any(|before| before.info.name == package.info.name)));
    }
});
