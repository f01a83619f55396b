//! What is asked: mails, and what is told of them besides their labels.

use crate::answer::Include;
use crate::api::document::{Object, Word};
use crate::problem::Problem;
use crate::read::{Record, decode};
use poststelle_predict::{Content, Mail};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Mails to be labelled
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictionsRequest {
    /// The mails, answered in this order.
    #[schema(value_type = Vec<MailInput>)]
    pub(super) mails: Vec<Object<MailInput>>,
    /// What is told of each mail besides its labels. `evidence` is for few mails: it costs as much as labelling a mail's every sentence.
    #[serde(default)]
    #[schema(value_type = Vec<Part>)]
    pub(super) include: Vec<Word<Part>>,
}

/// A mail: its subject and body, or all of it as it came over the wire
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MailInput {
    /// What the client calls the mail: it comes back, and feedback can name the mail by it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]+$")]
    pub(super) external_id: Option<String>,
    /// The subject line.
    #[serde(default)]
    subject: Option<String>,
    /// The body, plain text or HTML.
    #[serde(default)]
    body: Option<String>,
    /// The broker it concerns.
    #[serde(default)]
    broker: Option<String>,
    /// The whole message (RFC 5322), instead of subject and body.
    #[serde(default)]
    raw: Option<String>,
    /// How `raw` is written.
    #[serde(default)]
    #[schema(value_type = Option<Encoding>)]
    raw_encoding: Option<Word<Encoding>>,
}

/// How a raw mail is written
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Text,
    Base64,
}

/// Something that is told of a mail
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// The text the model read.
    Text,
    /// What cleaning cut, and by which rule.
    Cuts,
    /// How much each part of the text speaks for each label.
    Evidence,
}

impl PredictionsRequest {
    /// What is told of each mail.
    pub(super) fn include(&self) -> Include {
        let mut include = Include::default();
        for Word(part) in &self.include {
            match part {
                Part::Text => include.text = true,
                Part::Cuts => include.cuts = true,
                Part::Evidence => include.evidence = true,
            }
        }
        include
    }
}

impl MailInput {
    pub(super) fn into_record(self, at: usize) -> Record {
        let Self {
            external_id: _,
            subject,
            body,
            broker,
            raw,
            raw_encoding,
        } = self;
        let content = match raw {
            Some(raw) => {
                let encoding = match raw_encoding {
                    Some(Word(Encoding::Base64)) => Some("base64"),
                    Some(Word(Encoding::Text)) | None => None,
                };
                decode(at, raw, encoding).map(Content::Raw)
            }
            None if subject.is_none() && body.is_none() => Err(Problem::NoText { record: at }),
            None => Ok(Content::Parts {
                subject: subject.unwrap_or_default(),
                body: body.unwrap_or_default(),
            }),
        };
        let broker = broker.filter(|broker| !broker.trim().is_empty());
        Record {
            id: Value::Null,
            mail: content.map(|content| Mail { content, broker }),
        }
    }
}
