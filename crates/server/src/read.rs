//! Parses a body into records.

mod csv;
mod json;

use crate::Problem;
use crate::media::{Content, Format};
use poststelle_predict::Mail;
use serde_json::Value;

/// One mail of a request.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// What the client named it: a string, a number or null. Echoed as it is.
    pub id: Value,
    pub mail: Mail,
}

/// The fields that are read; others are ignored.
pub(crate) const FIELDS: [&str; 6] = ["id", "subject", "body", "broker", "raw", "raw_encoding"];

/// All records of a body, in order.
pub(crate) fn records(body: &[u8], content: Content) -> Result<Vec<Record>, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| Problem::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match content.format {
        Format::Json => json::records(text),
        Format::JsonLines => json::lines(text),
        Format::Csv => csv::records(text, content.headless),
    }
}
