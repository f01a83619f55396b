//! Writes predictions in the contract's shape: a record per mail, and per task the label, its confidence and decision.

use crate::media::Format;
use poststelle_labels::Schema;
use poststelle_predict::{Decision, Prediction};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// One mail's answer. A task without an answer has a null label and confidence, and is asked.
struct Row<'a> {
    schema: &'a Schema,
    id: &'a Value,
    prediction: &'a Prediction,
}

impl<'a> Row<'a> {
    fn cells(&self) -> impl Iterator<Item = (&'a str, Option<(&'a str, f32)>, Decision)> {
        self.schema
            .tasks()
            .iter()
            .zip(&self.prediction.answers)
            .map(|(task, answer)| {
                let known = answer
                    .as_ref()
                    .map(|answer| (task.label(answer.class).name.as_str(), answer.confidence));
                (
                    task.name().as_str(),
                    known,
                    answer.as_ref().map_or(Decision::Ask, |answer| answer.decision),
                )
            })
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + 3 * self.prediction.answers.len()))?;
        map.serialize_entry("id", self.id)?;
        for (task, known, decision) in self.cells() {
            map.serialize_entry(task, &known.map(|(label, _)| label))?;
            map.serialize_entry(
                &format!("{task}_confidence"),
                &known.map(|(_, confidence)| confidence),
            )?;
            map.serialize_entry(&format!("{task}_decision"), &decision)?;
        }
        map.end()
    }
}

/// Writes the answers to `ids`, in order.
pub(crate) fn answers(
    format: Format,
    schema: &Schema,
    ids: &[Value],
    predictions: &[Prediction],
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut rows = ids.iter().zip(predictions).map(|(id, prediction)| Row {
        schema,
        id,
        prediction,
    });
    let mut out = Vec::new();
    match format {
        Format::Json => serde_json::to_writer(&mut out, &rows.collect::<Vec<_>>())?,
        Format::JsonLines => rows.try_for_each(|row| {
            serde_json::to_writer(&mut out, &row)?;
            out.push(b'\n');
            Ok::<_, serde_json::Error>(())
        })?,
        Format::Csv => {
            let mut table = csv::Writer::from_writer(&mut out);
            let names = schema.tasks().iter().flat_map(|task| {
                let name = task.name().as_str();
                [
                    name.to_owned(),
                    format!("{name}_confidence"),
                    format!("{name}_decision"),
                ]
            });
            table.write_record(std::iter::once("id".to_owned()).chain(names))?;
            for row in rows {
                let id = match row.id {
                    Value::Null => String::new(),
                    Value::String(id) => id.clone(),
                    other => other.to_string(),
                };
                let cells = row.cells().flat_map(|(_, known, decision)| {
                    let (label, confidence) = known.map_or_else(Default::default, |(label, confidence)| {
                        (label.to_owned(), confidence.to_string())
                    });
                    [label, confidence, decision.as_str().to_owned()]
                });
                table.write_record(std::iter::once(id).chain(cells))?;
            }
            table.flush()?;
            drop(table);
        }
    }
    Ok(out)
}
