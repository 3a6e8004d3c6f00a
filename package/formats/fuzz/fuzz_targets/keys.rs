//! Key and signature files never panic, and print as they are read.
#![no_main]

use formats::{ec, usign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = (usign::SecretKey::parse(text), ec::SecretKey::parse(text));
    if let Ok(key) = usign::PublicKey::parse(text) {
        assert_eq!(usign::PublicKey::parse(&key.to_text("again")).unwrap(), key);
    }
    if let Ok(signature) = usign::Signature::parse(text) {
        assert_eq!(usign::Signature::parse(&signature.to_text()).unwrap(), signature);
    }
    if let Ok(key) = ec::PublicKey::parse(text) {
        assert_eq!(ec::PublicKey::parse(&key.to_pem().unwrap()).unwrap(), key);
    }
});
