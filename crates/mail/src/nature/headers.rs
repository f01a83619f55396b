//! What headers and structure say of a mail's nature; nothing else of them is kept.
//!
//! Sources: RFC 3834 (`Auto-Submitted`), RFC 5436 (`auto-notified`), RFC 6522 and 3464 (reports), Exim's
//! `X-Failed-Recipients`, and what spam filters document of the headers they add. Where one of those stands
//! several times the first counts: a system writes its own above what it got.
//!
//! **Not evidence.** `X-Auto-Response-Suppress`, `Precedence: bulk` and `list`, addresses like `noreply`:
//! helpdesks and forms set them on what people wrote. Answers to invitations: somebody pressed that button.

use mail_parser::{ContentType, HeaderName, HeaderValue, Message, MimeHeaders};

/// What headers and structure say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evidence {
    /// A filter in front calls the mail spam.
    pub(super) spam: bool,
    /// A program says that it answers by itself.
    pub(super) replied: bool,
    /// A program says that it sent this by itself; whose words it sent is open.
    pub(super) generated: bool,
    /// A rule of an Exchange mailbox answered, or passed a mail on.
    pub(super) rule: bool,
    /// The envelope names nobody to return the mail to.
    pub(super) unreturnable: bool,
    /// Somebody sent it on as it was.
    pub(super) resent: bool,
    /// A mail system names those it could not reach.
    pub(super) failed_recipients: bool,
    /// A part tells what became of a mail.
    pub(super) delivery_status: bool,
    pub(super) report: Option<Report>,
    pub(super) sender: Sender,
}

/// What a `multipart/report` reports on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Delivery,
    /// That a mail was read, a complaint, encryption on the way.
    Other,
}

/// Who the sender's address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Sender {
    #[default]
    Person,
    /// A mail system, or a person who looks after one: `postmaster`.
    System,
    /// `mailer-daemon`.
    Daemon,
}

/// A header, and which of its values call a mail spam.
type Verdict = (&'static str, fn(&str) -> bool);

/// Headers of spam filters.
const VERDICTS: [Verdict; 10] = [
    ("X-Spam", |value| says(value, "yes")),
    ("X-Spam-Flag", |value| says(value, "yes") || says(value, "true")),
    ("X-Spam-Status", |value| says(value, "yes")),
    ("X-Bogosity", |value| says(value, "spam") || says(value, "yes")),
    ("X-Rspamd-Action", |value| {
        ["reject", "add header", "add_header", "rewrite subject"]
            .iter()
            .any(|action| says(value, action))
    }),
    ("X-Barracuda-Spam-Flag", |value| says(value, "yes")),
    ("X-Barracuda-Spam-Status", |value| says(value, "yes")),
    ("X-DSPAM-Result", |value| says(value, "spam")),
    ("X-MS-Exchange-Organization-SCL", is_spam_level),
    ("X-Forefront-Antispam-Report", |value| {
        let mut fields = value.split(';').map(str::trim);
        // What a sender's own Exchange says on the way out is no verdict on what came in.
        let outgoing = fields.clone().any(|field| field.eq_ignore_ascii_case("DIR:OUT"));
        !outgoing && fields.any(|field| field.strip_prefix("SCL:").is_some_and(is_spam_level))
    }),
];

/// Exchange's levels run from -1 to 9; from 5 on a mail goes to junk.
fn is_spam_level(level: &str) -> bool {
    level.trim().parse::<i8>().is_ok_and(|level| level >= 5)
}

/// True when a value begins with a word, which a comment or details may follow.
fn says(value: &str, word: &str) -> bool {
    value
        .get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

impl Evidence {
    /// Reads the headers of the mail itself and the kinds of its parts, not those of mails inside.
    pub(crate) fn read(mail: &Message<'_>) -> Self {
        let mut found = Self::default();
        let mut heard = [false; VERDICTS.len()];
        for header in mail.headers() {
            match (&header.name, &header.value) {
                (HeaderName::ReturnPath, _) => {
                    let raw = mail.raw_message();
                    let value = raw.get(header.offset_start as usize..header.offset_end as usize);
                    found.unreturnable |= value.is_some_and(|value| value.trim_ascii() == b"<>");
                }
                (HeaderName::ResentFrom, _) => found.resent = true,
                (HeaderName::From, HeaderValue::Address(from)) => {
                    let from = from.first();
                    let sender = from.map(|from| Sender::of(from.name(), from.address()));
                    found.sender = sender.unwrap_or_default();
                }
                (name, HeaderValue::Text(value)) => {
                    found.hear(name.as_str(), value.trim(), &mut heard);
                }
                _ => {}
            }
        }
        found.delivery_status = mail
            .parts
            .iter()
            .any(|part| part.content_type().is_some_and(is_delivery_status));
        let root = mail.parts.first().and_then(|part| part.content_type());
        if let Some(kind) = root.filter(|kind| is(kind, "multipart", "report")) {
            let delivery = kind
                .attribute("report-type")
                .map_or(found.delivery_status, |report| {
                    report.to_ascii_lowercase().ends_with("delivery-status")
                });
            found.report = Some(if delivery { Report::Delivery } else { Report::Other });
        }
        found
    }

    /// True when nothing was found: the headers are those of a letter.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// A header that says something in a word.
    fn hear(&mut self, name: &str, value: &str, heard: &mut [bool; VERDICTS.len()]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("Auto-Submitted") {
            self.replied |= says(value, "auto-replied");
            self.generated |= says(value, "auto-generated") || says(value, "auto-notified");
        } else if is("Precedence") {
            self.replied |= says(value, "auto_reply") || says(value, "auto-reply");
        } else if is("X-Autoreply") || is("X-Autorespond") {
            self.replied |= !says(value, "no") && !says(value, "false");
        } else if is("X-Autogenerated") {
            self.replied |= says(value, "reply");
        } else if is("X-Failed-Recipients") {
            self.failed_recipients = true;
        } else if is("X-MS-Exchange-Generated-Message-Source") {
            self.generated = true;
            self.rule |= says(value, "Mailbox Rules Agent");
        } else if let Some(place) = VERDICTS.iter().position(|(verdict, _)| is(verdict))
            && !std::mem::replace(&mut heard[place], true)
        {
            self.spam |= VERDICTS[place].1(value);
        }
    }
}

impl Sender {
    /// `MAILER-DAEMON` may stand alone, as a name or as an address.
    fn of(name: Option<&str>, address: Option<&str>) -> Self {
        let name = name.unwrap_or_default();
        let user = address.map_or(name, |address| {
            address.split_once('@').map_or(address, |(user, _)| user)
        });
        let is = |other: &str| user.eq_ignore_ascii_case(other);
        if is("mailer-daemon") || is("mailerdaemon") || is("mail-daemon") {
            Self::Daemon
        } else if is("postmaster")
            // Exchange's own mailbox: the word and 32 hexadecimal digits.
            || user.len() == 49 && says(user, "MicrosoftExchange")
            || ["mail delivery ", "mailer daemon", "mailer-daemon"]
                .iter()
                .any(|system| says(name, system))
        {
            Self::System
        } else {
            Self::Person
        }
    }
}

fn is(kind: &ContentType<'_>, main: &str, sub: &str) -> bool {
    let found = kind.subtype().unwrap_or_default();
    kind.ctype().eq_ignore_ascii_case(main) && found.eq_ignore_ascii_case(sub)
}

/// RFC 3464, and RFC 6533 for addresses beyond ASCII.
fn is_delivery_status(kind: &ContentType<'_>) -> bool {
    is(kind, "message", "delivery-status") || is(kind, "message", "global-delivery-status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_mail_systems_by_their_address() {
        let exchange = "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.com";
        for (name, address, sender) in [
            (None, Some("MAILER-DAEMON@mx.example.com"), Sender::Daemon),
            (
                Some("Mail System"),
                Some("mailer-daemon@example.com"),
                Sender::Daemon,
            ),
            (Some("MAILER-DAEMON"), None, Sender::Daemon),
            (None, Some("Postmaster@example.com"), Sender::System),
            (Some("Microsoft Outlook"), Some(exchange), Sender::System),
            (
                Some("Mail Delivery System"),
                Some("mx@example.com"),
                Sender::System,
            ),
            (Some("Mailer Müller"), Some("mailer@example.com"), Sender::Person),
            (None, Some("noreply@example.com"), Sender::Person),
            (None, None, Sender::Person),
        ] {
            assert_eq!(Sender::of(name, address), sender, "{name:?} {address:?}");
        }
    }

    #[test]
    fn spam_starts_at_level_five() {
        for (level, spam) in [
            ("-1", false),
            ("4", false),
            (" 5", true),
            ("9", true),
            ("x", false),
        ] {
            assert_eq!(is_spam_level(level), spam, "{level}");
        }
    }
}
