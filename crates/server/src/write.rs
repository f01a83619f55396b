//! Writes answers in SageMaker's shape: a record per mail, and per task the label, its confidence and decision.

use crate::Problem;
use crate::answer::{Answers, Include, Told};
use crate::media::{Format, Wanted};
use poststelle_labels::Schema;
use poststelle_predict::{Answer, Decision, Prediction};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

/// One mail's answer. A task without an answer has a null label and confidence, and is asked. A record that could not be read
/// has its error instead.
struct Row<'a> {
    schema: &'a Schema,
    id: &'a Value,
    answer: Result<&'a Prediction, &'a Problem>,
    told: Option<&'a Told>,
    include: Include,
}

/// A task's name, its answer with the label's name, and the decision.
struct Cell<'a> {
    task: &'a poststelle_labels::Task,
    answer: Option<&'a Answer>,
}

impl<'a> Cell<'a> {
    fn label(&self) -> Option<&'a str> {
        self.answer
            .map(|answer| self.task.label(answer.class).name.as_str())
    }

    fn decision(&self) -> Decision {
        self.answer.map_or(Decision::Ask, |answer| answer.decision)
    }
}

fn cells<'a>(schema: &'a Schema, prediction: &'a Prediction) -> impl Iterator<Item = Cell<'a>> {
    let tasks = schema.tasks().iter().zip(&prediction.answers);
    tasks.map(|(task, answer)| Cell {
        task,
        answer: answer.as_ref(),
    })
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.id)?;
        let prediction = match self.answer {
            Ok(prediction) => prediction,
            Err(problem) => {
                map.serialize_entry("error", &error(problem))?;
                return map.end();
            }
        };
        for cell in cells(self.schema, prediction) {
            let task = cell.task.name().as_str();
            map.serialize_entry(task, &cell.label())?;
            map.serialize_entry(
                &format!("{task}_confidence"),
                &cell.answer.map(|answer| answer.confidence),
            )?;
            map.serialize_entry(&format!("{task}_decision"), &cell.decision())?;
            if self.include.top {
                let top = cell.answer.map(|answer| answer.ranked(cell.task));
                map.serialize_entry(&format!("{task}_top"), &top)?;
            }
        }
        map.serialize_entry("scope", &prediction.scope)?;
        if prediction.truncated {
            map.serialize_entry("truncated", &true)?;
        }
        if let Some(Told { text, cuts, evidence }) = self.told {
            if let Some(text) = text {
                map.serialize_entry("text", text)?;
            }
            if let Some(cuts) = cuts {
                map.serialize_entry("cuts", cuts)?;
            }
            if let Some(evidence) = evidence {
                map.serialize_entry("evidence", evidence)?;
            }
        }
        map.end()
    }
}

/// A record's own problem.
fn error(problem: &Problem) -> Value {
    json!({"code": problem.kind().1, "detail": problem.to_string()})
}

/// Writes the answers, in order. `headless` leaves out a table's header.
pub(crate) fn answers(
    wanted: Wanted,
    headless: bool,
    include: Include,
    answers: &Answers,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let schema = answers.served.predictor.schema();
    let told = |at: usize| answers.told.get(at);
    let rows = answers.ids.iter().zip(&answers.rows).enumerate();
    let mut rows = rows.map(|(at, (id, answer))| Row {
        schema,
        id,
        answer: answer.as_ref(),
        told: told(at),
        include,
    });
    let mut out = Vec::new();
    match wanted.format {
        Format::Json if wanted.columns => serde_json::to_writer(&mut out, &columns(rows)?)?,
        Format::Json => serde_json::to_writer(&mut out, &rows.collect::<Vec<_>>())?,
        Format::JsonLines => rows.try_for_each(|row| {
            serde_json::to_writer(&mut out, &row)?;
            out.push(b'\n');
            Ok::<_, serde_json::Error>(())
        })?,
        Format::Csv => table(schema, rows, headless, &mut out)?,
    }
    Ok(out)
}

/// The rows as a record of lists; a field that a row lacks is null there.
fn columns<'a>(rows: impl Iterator<Item = Row<'a>>) -> Result<Map<String, Value>, serde_json::Error> {
    let mut lists: Map<String, Value> = Map::new();
    let mut count = 0;
    for row in rows {
        // Through text, for a number as a value would be an f64 with digits that say nothing.
        let fields: Map<String, Value> = serde_json::from_str(&serde_json::to_string(&row)?)?;
        for (name, value) in fields {
            let list = lists.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.resize(count, Value::Null);
                list.push(value);
            }
        }
        count += 1;
    }
    for list in lists.values_mut() {
        if let Value::Array(list) = list {
            list.resize(count, Value::Null);
        }
    }
    Ok(lists)
}

fn table<'a>(
    schema: &Schema,
    rows: impl Iterator<Item = Row<'a>>,
    headless: bool,
    out: &mut Vec<u8>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut table = csv::Writer::from_writer(out);
    if !headless {
        let names = schema.tasks().iter().flat_map(|task| {
            let name = task.name().as_str();
            [
                name.to_owned(),
                format!("{name}_confidence"),
                format!("{name}_decision"),
            ]
        });
        let names = std::iter::once("id".to_owned()).chain(names);
        table.write_record(names.chain(["scope".to_owned(), "error".to_owned()]))?;
    }
    for row in rows {
        let id = match row.id {
            Value::Null => String::new(),
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let mut record = vec![id];
        match row.answer {
            Ok(prediction) => {
                for cell in cells(schema, prediction) {
                    record.push(cell.label().unwrap_or_default().to_owned());
                    record.push(
                        cell.answer
                            .map(|answer| answer.confidence.to_string())
                            .unwrap_or_default(),
                    );
                    record.push(cell.decision().as_str().to_owned());
                }
                record.push(prediction.scope.as_str().to_owned());
                record.push(String::new());
            }
            Err(problem) => {
                record.resize(2 + 3 * schema.tasks().len(), String::new());
                record.push(problem.kind().1.to_owned());
            }
        }
        table.write_record(record)?;
    }
    table.flush()?;
    Ok(())
}
