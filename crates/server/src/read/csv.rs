//! Records in CSV (RFC 4180), with a header line, or without one in the order of a dataset's columns.

use super::{FIELDS, Record, json};
use crate::Problem;
use crate::media::Format;
use serde_json::{Map, Value};

/// The columns of a table without a header.
const HEADLESS: [&str; 4] = ["id", "subject", "body", "broker"];

/// Whether the first line holds names of fields and nothing else.
pub(super) fn begins_with_header(text: &str) -> bool {
    let first = reader(text).records().next();
    let known = |cell: &str| FIELDS.contains(&cell.trim().to_ascii_lowercase().as_str());
    matches!(first, Some(Ok(cells)) if cells.iter().all(known))
}

fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

/// All rows of a table.
pub(super) fn records(text: &str, headless: bool) -> Result<Vec<Record>, Problem> {
    let mut reader = reader(text);
    let mut rows = reader.records();
    let columns = if headless {
        Columns::usual()
    } else {
        match rows.next() {
            None => return Ok(Vec::new()),
            Some(header) => Columns::of(&header.map_err(malformed)?),
        }
    };
    rows.enumerate()
        .map(|(at, row)| {
            let cells = row.map_err(malformed)?;
            let line = cells.position().map_or(0, |position| position.line() as usize);
            Ok(columns.record(at, line, &cells))
        })
        .collect()
}

/// A row for each line, whatever is in it: a quotation that is not closed spoils no other.
pub(super) fn lines(text: &str, headless: bool) -> Vec<Record> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate();
    let columns = if headless {
        Columns::usual()
    } else {
        let header = lines
            .next()
            .and_then(|(_, line)| reader(line).records().next()?.ok());
        header.map_or_else(Columns::usual, |header| Columns::of(&header))
    };
    let record = |(at, (number, line)): (usize, (usize, &str))| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let closed = line.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
        match reader(line).records().next() {
            Some(Ok(cells)) if closed => columns.record(at, number + 1, &cells),
            _ => Record {
                id: Value::Null,
                mail: Err(Problem::Malformed {
                    format: Format::Csv.name(),
                    line: number + 1,
                    column: 0,
                }),
            },
        }
    };
    lines.enumerate().map(record).collect()
}

/// Which field of ours each column is.
struct Columns {
    fields: Vec<Option<&'static str>>,
    /// A table without a header may leave out its last columns.
    may_be_fewer: bool,
}

impl Columns {
    fn usual() -> Self {
        Self {
            fields: HEADLESS.map(Some).to_vec(),
            may_be_fewer: true,
        }
    }

    fn of(header: &csv::StringRecord) -> Self {
        let field = |name: &str| {
            let name = name.trim().to_ascii_lowercase();
            FIELDS.into_iter().find(|field| *field == name)
        };
        Self {
            fields: header.iter().map(field).collect(),
            may_be_fewer: false,
        }
    }

    /// A row as a record.
    fn record(&self, at: usize, line: usize, cells: &csv::StringRecord) -> Record {
        let (found, expected) = (cells.len(), self.fields.len());
        let fields = self.fields.iter().zip(cells).filter_map(|(field, cell)| {
            Some(((*field)?.to_owned(), Value::from(cell))).filter(|(field, cell)| {
                // An empty cell is no id, no raw mail and no encoding, but an empty subject is a subject.
                cell != "" || field == "subject" || field == "body"
            })
        });
        let record = json::record(at, Map::from_iter(fields));
        if found > expected || found < expected && !self.may_be_fewer {
            let mail = Err(Problem::Lengths {
                field: format!("the row at line {line}"),
                found,
                expected,
            });
            return Record { mail, ..record };
        }
        record
    }
}

fn malformed(error: csv::Error) -> Problem {
    let line = error.position().map_or(0, |position| position.line() as usize);
    Problem::Malformed {
        format: Format::Csv.name(),
        line,
        column: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poststelle_predict::Mail;

    #[test]
    fn reads_quoted_cells_by_column_name() {
        let records = records("Body,id,queue\n\"a, \"\"b\"\"\nc\",007,tax\n,,\n", false).unwrap();
        assert_eq!(records[0].mail, Ok(Mail::new("", "a, \"b\"\nc")));
        assert_eq!(
            (&records[0].id, &records[1].id),
            (&Value::from("007"), &Value::Null)
        );
    }

    #[test]
    fn reads_a_table_without_header_or_rows() {
        assert_eq!(
            records("1,s,b,x\n", true).unwrap()[0]
                .mail
                .clone()
                .unwrap()
                .broker
                .as_deref(),
            Some("x")
        );
        assert!(records("", false).unwrap().is_empty());
        assert!(records("id,body\n", false).unwrap().is_empty());
    }

    #[test]
    fn a_row_of_another_length_or_without_text_is_its_own_problem() {
        let records_of = |text| records(text, false).unwrap();
        let rows = records_of("id,body\n1,a\n2\n3,c\n");
        let wrong = Problem::Lengths {
            field: "the row at line 3".into(),
            found: 1,
            expected: 2,
        };
        assert_eq!(rows[1].mail, Err(wrong));
        assert_eq!(rows[2].mail, Ok(Mail::new("", "c")));
        let text = records_of("id,text\n1,a\n");
        assert_eq!(
            (&text[0].id, &text[0].mail),
            (&Value::from("1"), &Err(Problem::NoText { record: 0 }))
        );
    }

    #[test]
    fn line_by_line_each_is_a_row() {
        let rows = lines("1,a,b\n\n2,\"a\n3,\"a, \"\"b\"\"\",c\r\n", true);
        assert_eq!(rows.len(), 4);
        let lines: Vec<usize> = rows
            .iter()
            .filter_map(|row| match row.mail {
                Err(Problem::Malformed { line, .. }) => Some(line),
                _ => None,
            })
            .collect();
        assert_eq!(lines, [2, 3]);
        assert_eq!(rows[3].mail, Ok(Mail::new("a, \"b\"", "c")));
        assert!(super::lines("", true).is_empty());
        assert_eq!(super::lines("body\na\n", false)[0].mail, Ok(Mail::new("", "a")));
    }

    #[test]
    fn tells_a_header_from_a_mail() {
        assert!(begins_with_header("ID, Subject,body\n1,a,b\n"));
        assert!(!begins_with_header("1,subject,body\n") && !begins_with_header(""));
    }
}
