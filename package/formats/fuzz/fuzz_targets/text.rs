//! Versions and dependencies: an order that is the same from both sides, and texts that print as they are read.
#![no_main]

use formats::apk;
use formats::depend::{self, Dependency};
use formats::version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (a, b) = text.split_once(',').unwrap_or((text, ""));
    assert_eq!(version::opkg::compare(a, b), version::opkg::compare(b, a).reverse());
    assert_eq!(version::apk::compare(a, b), version::apk::compare(b, a).reverse());
    assert!(version::opkg::compare(a, a).is_eq() && version::apk::compare(a, a).is_eq());
    let _ = version::apk::is_valid(a);
    if let Ok(list) = depend::list::<Dependency>(text) {
        let printed = depend::join(&list);
        assert_eq!(depend::list::<Dependency>(&printed).unwrap(), list);
    }
    if let Ok(dependency) = a.parse::<apk::Dependency>() {
        assert_eq!(dependency.to_string().parse::<apk::Dependency>().unwrap(), dependency);
    }
});
