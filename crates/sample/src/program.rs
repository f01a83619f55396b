//! The program a mail is written with: it decides structure, quoting style and charset.

use crate::chance::Chance;
use crate::plan::Plan;

/// A family of mail programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Outlook,
    Gmail,
    /// A telephone's mail app.
    Phone,
    Apple,
    Thunderbird,
    /// A mail provider's web page.
    Web,
    /// A broker's customer management, HTML only.
    Office,
}

impl Program {
    /// The author's program, the same in all their mails.
    pub fn of(plan: &Plan) -> Self {
        let name = plan
            .author
            .address
            .bytes()
            .fold(0u64, |hash, byte| hash.wrapping_mul(131) ^ u64::from(byte));
        let mut chance = Chance::for_item(name, 0);
        use Program::*;
        let all = [Outlook, Gmail, Phone, Apple, Thunderbird, Web, Office];
        let weights = if plan.by_broker {
            [0.58, 0.02, 0.10, 0.10, 0.10, 0.02, 0.08]
        } else {
            [0.12, 0.25, 0.25, 0.06, 0.10, 0.22, 0.0]
        };
        all[chance.weighted(&weights)]
    }

    /// The header by which it names itself, if it does.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Outlook => Some("X-Mailer: Microsoft Outlook 16.0"),
            Self::Apple => Some("X-Mailer: Apple Mail (2.3774.600.62)"),
            Self::Thunderbird => Some("User-Agent: Mozilla Thunderbird"),
            Self::Office => Some("X-Mailer: MaklerOffice 9.2"),
            Self::Gmail | Self::Web | Self::Phone => None,
        }
    }
}
