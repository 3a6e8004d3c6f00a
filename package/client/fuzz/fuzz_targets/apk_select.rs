//! Packages with any dependencies: a selection is found or refused in bounded time, and never panics.
//!
//! The first line is world, the others are packages: name, version, and what they depend on, provide, and are installed
//! by, between `|`; a fourth `|` and a number give the priority.
#![no_main]

mod root;

use client::apk::{Client, Config, Root};
use formats::adb::Compression;
use formats::apk::index::{Index, Listed};
use formats::apk::{Dependency, Info};
use formats::ec::SecretKey;
use formats::sha256::Digest;
use libfuzzer_sys::fuzz_target;

fn list(text: &str) -> Option<Vec<Dependency>> {
    text.split_ascii_whitespace().map(|item| item.parse().ok()).collect()
}

fn package(line: &str) -> Option<Listed> {
    let mut fields = line.split('|');
    let mut field = || fields.next().unwrap_or_default();
    let (name, version) = field().split_once(' ')?;
    let info = Info {
        name: name.into(),
        version: version.into(),
        arch: "noarch".into(),
        depends: list(field())?,
        provides: list(field())?,
        install_if: list(field())?,
        provider_priority: field().parse().ok(),
        ..Info::default()
    };
    Some(Listed { info, sha256: Digest::of(line), file_size: 1 })
}

fuzz_target!(|text: &str| {
    let (world, packages) = text.split_once('\n').unwrap_or((text, ""));
    let mut index = Index { packages: packages.lines().filter_map(package).collect(), ..Index::default() };
    index.merge(Index::default());
    let Ok(mut adb) = index.to_adb() else { return };
    let key = SecretKey::from_random([7; 32]).expect("a key");
    adb.sign(&key).expect("a signature");
    let mut bytes = Vec::new();
    adb.write(&mut bytes, Compression::None).expect("an index");
    root::write("packages.adb", &bytes);
    root::write("etc/apk/world", b"");
    root::write("etc/apk/keys/key.pem", key.public().to_pem().expect("a key").as_bytes());

    let root = Root::open(root::folder()).expect("the root");
    let config = Config::load(&root).expect("an empty configuration");
    let index = root::folder().join("packages.adb").into_string();
    let client = Client::new(root, Config { repositories: vec![index], run_scripts: false, ..config });
    client.update(&mut |_progress| ()).expect("a good index");
    // The packages have no files: what is selected cannot be fetched.
    let wishes: Vec<String> =
        world.split_ascii_whitespace().filter(|word| !word.contains('/')).map(str::to_owned).collect();
    let _ = client.add(&wishes, &mut |progress| drop(progress.to_string()));
});
