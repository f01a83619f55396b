//! Records in CSV (RFC 4180), with a header line, or without one in the order of a dataset's columns.

use super::{FIELDS, Record, json};
use crate::Problem;
use crate::media::Format;
use serde_json::{Map, Value};

/// The columns of a table without a header.
const HEADLESS: [&str; 4] = ["id", "subject", "body", "broker"];

pub(super) fn records(text: &str, headless: bool) -> Result<Vec<Record>, Problem> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut rows = reader.records();
    let columns: Vec<String> = if headless {
        HEADLESS.map(str::to_owned).to_vec()
    } else {
        match rows.next() {
            None => return Ok(Vec::new()),
            Some(header) => header
                .map_err(malformed)?
                .iter()
                .map(|name| name.trim().to_ascii_lowercase())
                .collect(),
        }
    };
    // Which field of ours each column is.
    let columns: Vec<Option<&str>> = columns
        .iter()
        .map(|name| FIELDS.into_iter().find(|field| field == name))
        .collect();
    rows.enumerate()
        .map(|(at, row)| {
            let cells = row.map_err(malformed)?;
            let fields = columns.iter().zip(&cells).filter_map(|(field, cell)| {
                Some(((*field)?.to_owned(), Value::from(cell))).filter(|(field, cell)| {
                    // An empty cell is no id, no raw mail and no encoding, but an empty subject is a subject.
                    cell != "" || field == "subject" || field == "body"
                })
            });
            json::record(at, Map::from_iter(fields))
        })
        .collect()
}

fn malformed(error: csv::Error) -> Problem {
    let line = error.position().map_or(0, |position| position.line() as usize);
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => Problem::Lengths {
            field: format!("the row at line {line}"),
            found: *len as usize,
            expected: *expected_len as usize,
        },
        _ => Problem::Malformed {
            format: Format::Csv.name(),
            line,
            column: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poststelle_predict::Mail;

    #[test]
    fn reads_quoted_cells_by_column_name() {
        let records = records("Body,id,queue\n\"a, \"\"b\"\"\nc\",007,tax\n,,\n", false).unwrap();
        assert_eq!(records[0].mail, Mail::new("", "a, \"b\"\nc"));
        assert_eq!(
            (&records[0].id, &records[1].id),
            (&Value::from("007"), &Value::Null)
        );
    }

    #[test]
    fn reads_a_table_without_header_or_rows() {
        assert_eq!(
            records("1,s,b,x\n", true).unwrap()[0].mail.broker.as_deref(),
            Some("x")
        );
        assert!(records("", false).unwrap().is_empty());
        assert!(records("id,body\n", false).unwrap().is_empty());
    }

    #[test]
    fn refuses_rows_of_other_lengths_and_tables_without_text() {
        let problem = records("id,body\n1,a\n2\n", false).unwrap_err();
        assert_eq!(
            problem,
            Problem::Lengths {
                field: "the row at line 3".into(),
                found: 1,
                expected: 2
            }
        );
        assert_eq!(
            records("id,text\n1,a\n", false).unwrap_err(),
            Problem::NoText { record: 0 }
        );
    }
}
