//! JSON documents as `/v1` takes them: of exactly the documented shape.

use crate::app::App;
use crate::media::{self, Format};
use crate::{Problem, body};
use axum::body::Body;
use axum::http::HeaderMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;
use sha2::{Digest, Sha256};
use std::fmt;
use std::marker::PhantomData;

/// A document, and what its bytes are.
pub(super) struct Document<T> {
    pub value: T,
    pub size: usize,
    pub share: crate::budget::Share,
    /// Of the bytes: a request that is sent again has the same.
    pub fingerprint: String,
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// [`Problem`] of the body; of its shape [`Problem::Document`] with the place alone, because a parser's own words may quote the mail.
pub(super) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    app: &App,
    limit: usize,
) -> Result<Document<T>, Problem> {
    if media::content(headers)?.format != Format::Json {
        return Err(Problem::MediaType {
            found: "another of ours".into(),
        });
    }
    let body::Read { bytes, share } = body::read(headers, body, app, limit).await?;
    let value = parse(&bytes)?;
    let fingerprint = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Document {
        value,
        size: bytes.len(),
        share,
        fingerprint,
    })
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    std::str::from_utf8(bytes).map_err(|error| Problem::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut *deserializer).map_err(|error| {
        let (line, column) = (error.inner().line(), error.inner().column());
        if error.inner().is_data() {
            let path = path(&error);
            Problem::Document { path, line, column }
        } else {
            Problem::Malformed {
                format: "JSON",
                line,
                column,
            }
        }
    })?;
    deserializer.end().map_err(|error| Problem::Malformed {
        format: "JSON",
        line: error.line(),
        column: error.column(),
    })?;
    Ok(value)
}

/// A JSON object, read as one: serde would take a list of its members in order for it.
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// A word of a few, read as a JSON string: serde would take an object with the word as its key for it.
pub(super) struct Word<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        T::deserialize(word.into_deserializer()).map(Word)
    }
}

/// Where the document is wrong. A name that is no field's or task's may be anything, and is not repeated.
fn path(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let mut path = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => path.push_str(&format!("[{index}]")),
            Segment::Map { key } if is_plain(key) => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(key);
            }
            _ => path.push_str(if path.is_empty() { "?" } else { ".?" }),
        }
    }
    if path.is_empty() { ".".to_owned() } else { path }
}

/// A name as tasks and fields have it.
fn is_plain(key: &str) -> bool {
    key.len() <= 64
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::predictions::PredictionsRequest;
    use super::*;

    #[test]
    fn a_list_is_no_object_and_an_object_no_word() {
        let wrong_at = |body: &str| match parse::<PredictionsRequest>(body.as_bytes()) {
            Ok(_) => None,
            Err(Problem::Document { path, .. }) => Some(path),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(
            wrong_at(r#"{"mails": [{"body": "a", "raw_encoding": "text"}], "include": ["cuts"]}"#),
            None
        );
        assert_eq!(wrong_at(r#"[[], []]"#), Some(".".to_owned()));
        assert_eq!(
            wrong_at(r#"{"mails": [{}, ["a", "b"]]}"#),
            Some("mails[1]".to_owned())
        );
        assert_eq!(
            wrong_at(r#"{"mails": [], "include": [{"cuts": null}]}"#),
            Some("include[0]".to_owned())
        );
        let encoding = r#"{"mails": [{"raw": "a", "raw_encoding": {"text": null}}]}"#;
        assert_eq!(wrong_at(encoding), Some("mails[0].raw_encoding".to_owned()));
        assert_eq!(
            wrong_at(r#"{"mails": [{"boddy": "a"}]}"#),
            Some("mails[0].boddy".to_owned())
        );
    }
}
