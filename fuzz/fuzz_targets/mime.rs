//! Any bytes as a raw mail.

#![no_main]

mod laws;

use libfuzzer_sys::fuzz_target;
use poststelle_mail::{Message, mbox};

fuzz_target!(|raw: &[u8]| {
    laws::check(&Message::parse(raw));
    // A mailbox of the same bytes ends and gives mails that can be read.
    for mail in mbox::messages(raw).flatten() {
        Message::parse(&mail);
    }
});
