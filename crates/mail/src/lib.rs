//! Bytes of a mail to the text worth reading.
//!
//! A classifier should see what this client wrote now, and nothing else: no markup, no
//! quoted history with yesterday's request in it, no letterhead that every colleague shares.
//! [`Message`] decodes what came over the wire and never fails; [`Cleaner`] decides what of
//! it is worth reading and accounts for every byte it leaves out; [`redact`] masks whose mail it was.
//!
//! **Not here.** Reading files: callers bring bytes. Labels and datasets: `corpus`.

mod calendar;
mod charset;
mod clean;
mod defect;
mod encoded;
pub mod explain;
mod flowed;
mod html;
mod language;
mod lines;
mod markers;
pub mod mbox;
mod message;
mod mime;
mod nature;
mod profile;
mod protection;
mod redact;
mod rtf;
mod subject;
mod tnef;
mod transfer;

pub use clean::{CleanText, Cleaner, Cut, CutKind, Profile, Rule, Span};
pub use defect::Defect;
pub use language::language;
pub use message::Message;
pub use nature::Nature;
pub use profile::UnknownProfile;
pub use protection::Protection;
pub use redact::{MaskKind, Masked, Redact, Redacted, UnknownRedact, redact};
pub use transfer::base64;
