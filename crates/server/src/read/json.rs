//! Records in JSON: a list of records, a record of lists (as pandas writes it), one record, or a record a line.

use super::{FIELDS, Record};
use crate::Problem;
use crate::media::Format;
use poststelle_mail::base64;
use poststelle_predict::{Content, Mail};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

pub(super) fn records(text: &str) -> Result<Vec<Record>, Problem> {
    let value = parse(text, Format::Json, 0)?;
    match value {
        Value::Array(rows) => Ok(rows
            .into_iter()
            .enumerate()
            .map(|(at, row)| record_of(at, Ok(row)))
            .collect()),
        Value::Object(object)
            if FIELDS
                .iter()
                .any(|field| object.get(*field).is_some_and(Value::is_array)) =>
        {
            columns(object)
        }
        Value::Object(object) => Ok(vec![record(0, object)]),
        other => Err(Problem::Shape { found: kind(&other) }),
    }
}

/// A record a line. Blank lines are none, unless `every` line is one.
pub(super) fn lines(text: &str, every: bool) -> Vec<Record> {
    if text.is_empty() {
        return Vec::new();
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n')
        .enumerate()
        .filter(|(_, line)| every || !line.trim().is_empty())
        .enumerate()
        .map(|(at, (line, text))| record_of(at, parse(text, Format::JsonLines, line)))
        .collect()
}

/// A record of what should be an object.
fn record_of(at: usize, value: Result<Value, Problem>) -> Record {
    match value.and_then(object) {
        Ok(object) => record(at, object),
        Err(problem) => Record {
            id: Value::Null,
            mail: Err(problem),
        },
    }
}

/// Parses one value. The error of the parser may quote the input, so only its place is kept.
fn parse(text: &str, format: Format, lines_before: usize) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|error| Problem::Malformed {
        format: format.name(),
        line: lines_before + error.line(),
        column: error.column(),
    })
}

fn object(value: Value) -> Result<Object, Problem> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(Problem::Shape { found: kind(&other) }),
    }
}

/// Turns a record of lists into records.
fn columns(mut object: Object) -> Result<Vec<Record>, Problem> {
    let mut rows: Vec<Object> = Vec::new();
    let mut expected = None;
    for field in FIELDS {
        let values = match object.remove(field) {
            None => continue,
            Some(Value::Array(values)) => values,
            Some(other) => {
                return Err(Problem::Field {
                    record: 0,
                    field,
                    found: kind(&other),
                    expected: "a list, like the others",
                });
            }
        };
        let length = *expected.get_or_insert(values.len());
        if values.len() != length {
            return Err(Problem::Lengths {
                field: field.into(),
                found: values.len(),
                expected: length,
            });
        }
        rows.resize_with(length, Object::new);
        for (row, value) in rows.iter_mut().zip(values) {
            row.insert(field.into(), value);
        }
    }
    Ok(rows
        .into_iter()
        .enumerate()
        .map(|(at, row)| record(at, row))
        .collect())
}

/// One record from its fields.
pub(super) fn record(at: usize, mut object: Object) -> Record {
    let (id, wrong_id) = match object.remove("id") {
        None => (Value::Null, None),
        Some(id @ (Value::Null | Value::String(_) | Value::Number(_))) => (id, None),
        Some(other) => (Value::Null, Some(wrong(at, "id", &other, "a string or a number"))),
    };
    let mail = match wrong_id {
        Some(problem) => Err(problem),
        None => mail(at, object),
    };
    Record { id, mail }
}

/// The mail of a record's fields.
fn mail(at: usize, mut object: Object) -> Result<Mail, Problem> {
    if !["subject", "body", "raw"]
        .iter()
        .any(|field| object.contains_key(*field))
    {
        return Err(Problem::NoText { record: at });
    }
    let mut text = |field: &'static str| match object.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        // Tables turn a subject "4711" into a number on the way.
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(wrong(at, field, &other, "a string")),
    };
    let (subject, body, raw) = (text("subject")?, text("body")?, text("raw")?);
    let (broker, encoding) = (text("broker")?, text("raw_encoding")?);
    let content = match raw {
        None => Content::Parts {
            subject: subject.unwrap_or_default(),
            body: body.unwrap_or_default(),
        },
        Some(raw) => Content::Raw(decode(at, raw, encoding.as_deref())?),
    };
    Ok(Mail {
        content,
        broker: broker.filter(|broker| !broker.trim().is_empty()),
    })
}

/// The bytes of a raw mail.
pub(crate) fn decode(record: usize, raw: String, encoding: Option<&str>) -> Result<Vec<u8>, Problem> {
    let refuse = |field, found, expected| Problem::Field {
        record,
        field,
        found,
        expected,
    };
    match encoding.unwrap_or_default() {
        "" | "text" => Ok(raw.into_bytes()),
        "base64" => base64(raw.as_bytes()).ok_or_else(|| refuse("raw", "something else", "base64")),
        _ => Err(refuse("raw_encoding", "another encoding", "`base64` or `text`")),
    }
}

fn wrong(record: usize, field: &'static str, found: &Value, expected: &'static str) -> Problem {
    Problem::Field {
        record,
        field,
        found: kind(found),
        expected,
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record: &Record) -> (&str, &str) {
        match &record.mail.as_ref().unwrap().content {
            Content::Parts { subject, body } => (subject, body),
            other => panic!("{} is no subject and body", matches!(other, Content::Raw(_))),
        }
    }

    #[test]
    fn every_shape_means_the_same_records() {
        let list =
            records(r#"[{"id":1,"subject":"a","body":"b","broker":"x"},{"id":2,"body":"c","subject":null}]"#);
        let lists =
            records(r#"{"id":[1,2],"subject":["a",null],"body":["b","c"],"broker":["x",null],"other":5}"#);
        let rows = lines(
            "{\"id\":1,\"subject\":\"a\",\"body\":\"b\",\"broker\":\"x\"}\r\n\n{\"id\":2,\"body\":\"c\"}\n",
            false,
        );
        for records in [list.unwrap(), lists.unwrap(), rows] {
            assert_eq!(records.len(), 2);
            assert_eq!((text(&records[0]), text(&records[1])), (("a", "b"), ("", "c")));
            assert_eq!(
                (&records[0].id, &records[1].mail.as_ref().unwrap().broker),
                (&Value::from(1), &None)
            );
        }
        assert_eq!(records(r#"{"subject":4711}"#).unwrap().len(), 1);
        assert!(records("[]").unwrap().is_empty() && lines(" \n", false).is_empty());
        assert!(records(r#"{"id":[],"body":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn raw_mail_comes_as_text_or_base64() {
        let raw =
            records(r#"[{"raw":"Subject: a\n\nb"},{"raw":"U3ViamVjdDogYQoKYg==","raw_encoding":"base64"}]"#);
        let raw = raw.unwrap();
        assert_eq!(raw[0].mail, raw[1].mail);
    }

    #[test]
    fn says_where_and_what_but_never_quotes() {
        let problem = |json: &str| records(json).unwrap_err();
        let at = |json: &str, at: usize| records(json).unwrap()[at].mail.clone().unwrap_err();
        assert_eq!(
            problem("{\"a\": \n  tru}"),
            Problem::Malformed {
                format: "JSON",
                line: 2,
                column: 6
            }
        );
        assert_eq!(problem("\"secret\""), Problem::Shape { found: "a string" });
        assert_eq!(at("[{\"body\":\"\"},3]", 1), Problem::Shape { found: "a number" });
        let field = Problem::Field {
            record: 1,
            field: "body",
            found: "a list",
            expected: "a string",
        };
        assert_eq!(at(r#"[{"body":"x"},{"body":["secret"]}]"#, 1), field);
        assert_eq!(
            problem(r#"{"id":["a","b"],"body":["x"]}"#),
            Problem::Lengths {
                field: "body".into(),
                found: 1,
                expected: 2
            }
        );
        assert_eq!(
            at(r#"[{"id":1,"text":"secret"}]"#, 0),
            Problem::NoText { record: 0 }
        );
        assert!(matches!(
            problem(r#"{"id":"a","body":["x"]}"#),
            Problem::Field { field: "id", .. }
        ));
        assert!(matches!(
            at(r#"[{"raw":"x","raw_encoding":"rot13"}]"#, 0),
            Problem::Field {
                field: "raw_encoding",
                ..
            }
        ));
        let deep = "[".repeat(100_000);
        assert!(matches!(problem(&deep), Problem::Malformed { .. }));
        let rows = lines("{\"body\":\"\"}\n\n{\"body\":", false);
        let line = rows[1].mail.clone().unwrap_err();
        assert!(
            matches!(
                line,
                Problem::Malformed {
                    format: "JSON Lines",
                    line: 3,
                    ..
                }
            ),
            "{line:?}"
        );
    }
}
