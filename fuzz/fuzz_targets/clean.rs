//! Any text as a plain body, its first line as the subject.

#![no_main]

mod laws;

use libfuzzer_sys::fuzz_target;
use poststelle_mail::Message;

fuzz_target!(|text: &str| {
    let (subject, body) = text.split_once('\n').unwrap_or(("", text));
    laws::check(&Message::plain(subject, body));
});
