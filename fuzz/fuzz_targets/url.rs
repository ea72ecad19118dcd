//! No text makes `Url::parse` panic, and what it takes it gives back.
#![no_main]

use httptime::net::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(url) = Url::parse(text) else { return };
    let again = Url::parse(&url.to_string()).expect("what it prints, it can read");
    assert_eq!(again.to_string(), url.to_string());
    assert_eq!(
        (again.host(), again.port(), again.path()),
        (url.host(), url.port(), url.path()),
        "{text:?}"
    );
    assert_eq!(again.credentials(), None, "the printed form has no password");
});
