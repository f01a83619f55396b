//! Whatever a client sends as a body, every protocol's parser ends: in records or in a problem.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| poststelle_server::parse_bodies(body));
