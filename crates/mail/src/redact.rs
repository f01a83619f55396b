//! Replaces personal details by typed placeholders.
//!
//! A classifier learns nothing from whose account it is, and what a model has read or a disk keeps
//! can come to light. So an IBAN becomes `[IBAN]` and a name `[NAME]`: the text still says that
//! somebody gave an account and a name, and reads the same for every client.
//!
//! One file per kind proposes spans, the surest kinds first; this file keeps those that do not
//! overlap. A kind is told by its own arithmetic (the check digits of IBAN, card, tax and document
//! numbers), by its form (a mail address, a phone number with its separators), or by the word that
//! stands before it, from the `[personal]` section of `lang/*.toml`. What says what a mail is
//! about stays: amounts, dates, order numbers, ISIN and WKN.
//!
//! **Invariants.** Placeholders are never touched, so masking twice is masking once. Time is linear
//! in the length: every rule looks a bounded way ahead and back.
//!
//! **Not here.** Names in running prose and postal addresses: they cannot be told without reading.

mod account;
mod bank;
mod birth;
mod card;
mod date;
mod email;
mod identity;
mod level;
mod name;
mod page;
mod phone;
mod tax;
mod words;

pub use level::{Redact, UnknownRedact};
pub(crate) use words::Personal;

use crate::message::Hidden;
use page::Page;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Times a text is read. Masking can part what stood together, so a text is read until nothing is
/// found; one reading does for all but contrived texts.
const READINGS: usize = 6;

/// A kind of personal detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaskKind {
    /// An international bank account number.
    Iban,
    /// A bank's identifier, which with a name and a place leads to an account.
    Bic,
    /// A payment card's number.
    Card,
    /// A phone or fax number.
    Phone,
    /// A mail address.
    Email,
    /// A tax payer's number.
    TaxId,
    /// A number of an identity document or of social insurance.
    IdNumber,
    /// An account, securities account, bank code or customer number.
    Account,
    /// A date of birth.
    BirthDate,
    /// A person's name in a greeting, below a closing formula, or where the writer gives it.
    Name,
}

impl MaskKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Iban,
        Self::Bic,
        Self::Card,
        Self::Phone,
        Self::Email,
        Self::TaxId,
        Self::IdNumber,
        Self::Account,
        Self::BirthDate,
        Self::Name,
    ];

    /// What stands in the text instead.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Iban => "[IBAN]",
            Self::Bic => "[BIC]",
            Self::Card => "[CARD]",
            Self::Phone => "[PHONE]",
            Self::Email => "[EMAIL]",
            Self::TaxId => "[TAXID]",
            Self::IdNumber => "[IDNUMBER]",
            Self::Account => "[ACCOUNT]",
            Self::BirthDate => "[BIRTHDATE]",
            Self::Name => "[NAME]",
        }
    }

    /// A stable word for output: the placeholder's, in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Iban => "iban",
            Self::Bic => "bic",
            Self::Card => "card",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::TaxId => "taxid",
            Self::IdNumber => "idnumber",
            Self::Account => "account",
            Self::BirthDate => "birthdate",
            Self::Name => "name",
        }
    }
}

/// How many details of each kind were masked, never which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Masked {
    counts: [usize; MaskKind::ALL.len()],
}

impl Masked {
    /// How many of `kind`.
    pub fn count(&self, kind: MaskKind) -> usize {
        self.counts[kind as usize]
    }

    /// How many of all kinds.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The kinds that were masked, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (MaskKind, usize)> + '_ {
        MaskKind::ALL
            .into_iter()
            .map(|kind| (kind, self.count(kind)))
            .filter(|(_, count)| *count > 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

impl Serialize for Masked {
    /// A map of the masked kinds' words to their counts.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (kind, count) in self.iter() {
            map.serialize_entry(kind.word(), &count)?;
        }
        map.end()
    }
}

/// A text with its personal details masked.
///
/// `Debug` shows its length instead of its words.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The text with placeholders.
    pub text: String,
    /// What they stand for.
    pub masked: Masked,
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redacted")
            .field("text", &Hidden(&self.text))
            .field("masked", &self.masked)
            .finish()
    }
}

/// Masks the personal details of `text`, in time linear in its length.
///
/// # Source
/// ISO 13616 and ISO 7064 MOD 97-10 (IBAN), ISO 9362 (BIC), ISO/IEC 7812 (Luhn), ISO 7064 MOD 11,10
/// and §139b AO (German tax number), §147 SGB VI with VKVV §4 (social insurance number), ICAO 9303
/// (documents), ITU-T E.164 (phone numbers).
pub fn redact(text: &str) -> Redacted {
    let mut masked = Masked::default();
    let mut text = text.to_owned();
    for _ in 0..READINGS {
        let found = find(&text);
        if found.spans.is_empty() {
            break;
        }
        let mut written = String::with_capacity(text.len());
        let mut at = 0;
        for (start, (end, kind)) in found.spans {
            written.push_str(&text[at..start]);
            written.push_str(kind.placeholder());
            masked.counts[kind as usize] += 1;
            at = end;
        }
        written.push_str(&text[at..]);
        text = written;
    }
    Redacted { text, masked }
}

/// The text with its placeholders left out.
pub(crate) fn without_placeholders(text: &str) -> String {
    MaskKind::ALL
        .into_iter()
        .fold(text.to_owned(), |text, kind| text.replace(kind.placeholder(), ""))
}

/// One reading, the surest kinds first.
fn find(text: &str) -> Found {
    let mut found = Found::default();
    email::find(text, &mut found);
    let page = Page::read(text);
    if page.has_numbers() {
        bank::find(&page, &mut found);
        identity::find_checked(&page, &mut found);
        tax::find(&page, &mut found);
        card::find(&page, &mut found);
        birth::find(&page, &mut found);
        identity::find(&page, &mut found);
        account::find(&page, &mut found);
        phone::find(&page, &mut found);
    }
    bank::find_codes(&page, &mut found);
    identity::find_machine_readable(&page, &mut found);
    name::find(&page, &mut found);
    found
}

/// Spans that do not overlap, by their start.
#[derive(Default)]
struct Found {
    spans: BTreeMap<usize, (usize, MaskKind)>,
}

impl Found {
    /// Takes a span unless it meets one that is there already.
    fn add(&mut self, span: Range<usize>, kind: MaskKind) {
        if !self.meets(&span) {
            self.spans.insert(span.start, (span.end, kind));
        }
    }

    fn meets(&self, span: &Range<usize>) -> bool {
        span.is_empty()
            || self
                .spans
                .range(..span.end)
                .next_back()
                .is_some_and(|(_, (end, _))| *end > span.start)
    }
}

#[cfg(test)]
mod tests;
