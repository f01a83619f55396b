//! What holds for every mail, whoever wrote it.

use poststelle_mail::{Cleaner, Message, Nature, Profile};

/// Cleans `message` by every profile and checks what the crate promises.
pub fn check(message: &Message) {
    let nature = message.nature();
    let reply = Message::plain("AW: Depot", format!("Wann ist das Konto bereit?\n\n{}", message.body()));
    assert_eq!(reply.nature(), Nature::Letter, "who asks is heard");
    for profile in [Profile::Request, Profile::Author, Profile::Decode] {
        let cleaner = Cleaner::new(profile);
        let clean = cleaner.clean(message);
        assert_eq!(clean.nature(), nature, "what is cut tells nothing of who wrote");
        assert_eq!(clean.rebuild(), clean.body(), "kept and cut spans tile the body");
        let words = |text: &str| text.contains(char::is_alphanumeric);
        assert!(words(clean.text()) || !words(clean.body()), "words never clean to nothing");
        let again = cleaner.clean(&Message::plain("", clean.text()));
        assert_eq!(again.text(), clean.text(), "a cleaned text is clean");
        if profile == Profile::Decode {
            assert!(clean.cuts().is_empty(), "decoding cuts nothing");
        }
    }
}
