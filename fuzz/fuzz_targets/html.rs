//! Any text as an HTML body.

#![no_main]

mod laws;

use libfuzzer_sys::fuzz_target;
use poststelle_mail::Message;

fuzz_target!(|html: &str| laws::check(&Message::html("AW: Depot", html)));
