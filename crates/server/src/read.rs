//! Parses a body into records.

mod csv;
mod inputs;
mod json;
mod tensors;

use crate::Problem;
use crate::media::{Content, Format};
use poststelle_predict::Mail;
use serde_json::Value;

pub(crate) use inputs::inputs;
pub(crate) use json::{decode, kind};
pub(crate) use tensors::{Inference, inference};

/// One mail of a request.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// What the client named it: a string, a number or null. Echoed as it is.
    pub id: Value,
    /// The mail, or what is wrong with this record alone.
    pub mail: Result<Mail, Problem>,
}

/// The records of a body.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    pub records: Vec<Record>,
    /// It was a table without a header.
    pub headless: bool,
}

/// The fields that are read; others are ignored.
pub(crate) const FIELDS: [&str; 6] = ["id", "subject", "body", "broker", "raw", "raw_encoding"];

/// All records of a body, in order. What is wrong with one of them is its own [`Problem`]; an error is about the body.
///
/// In batch transform a body is some lines of a file: each, blank ones too, is a record, and a table has a header only where its
/// first line looks like one.
pub(crate) fn records(body: &[u8], content: Content, batch_transform: bool) -> Result<Records, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| Problem::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let listed = |records| Records {
        records,
        headless: false,
    };
    match content.format {
        Format::Json => json::records(text).map(listed),
        Format::JsonLines => Ok(listed(json::lines(text, batch_transform))),
        Format::Csv if batch_transform => {
            let headless = content.headless || !csv::begins_with_header(text);
            let records = csv::lines(text, headless);
            Ok(Records { records, headless })
        }
        Format::Csv => {
            let headless = content.headless;
            let records = csv::records(text, headless)?;
            Ok(Records { records, headless })
        }
    }
}
