//! Texts as text-embeddings-inference takes them for `/predict`.

use crate::Problem;
use serde::Deserialize;
use serde_json::Value;

/// A request of `/predict`.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// Subject, where one came as the first of a pair, and text.
    pub texts: Vec<(String, String)>,
    /// It was a batch, so the answer is one.
    pub batch: bool,
    /// A text may be cut to what the model reads.
    pub truncate: bool,
    /// Scores before the softmax are wanted.
    pub raw_scores: bool,
}

#[derive(Deserialize)]
struct Body {
    inputs: Value,
    #[serde(default)]
    truncate: Option<bool>,
    #[serde(default)]
    raw_scores: bool,
}

/// Reads `{"inputs": "text" | ["subject", "text"] | [["text"], ["subject", "text"], …]}`.
pub(crate) fn inputs(body: &[u8]) -> Result<Inputs, Problem> {
    let Body {
        inputs,
        truncate,
        raw_scores,
    } = serde_json::from_slice(body).map_err(|error| Problem::Malformed {
        format: "JSON",
        line: error.line(),
        column: error.column(),
    })?;
    let (texts, batch) = match inputs {
        Value::Array(items) if items.iter().any(Value::is_array) => {
            let texts = items.into_iter().enumerate().map(|(at, item)| pair(at, item));
            (texts.collect::<Result<_, _>>()?, true)
        }
        Value::Array(items) if items.is_empty() => (Vec::new(), true),
        one => (vec![pair(0, one)?], false),
    };
    Ok(Inputs {
        texts,
        batch,
        truncate: truncate.unwrap_or(false),
        raw_scores,
    })
}

fn pair(record: usize, item: Value) -> Result<(String, String), Problem> {
    let wrong = |found: &Value| Problem::Field {
        record,
        field: "inputs",
        found: super::kind(found),
        expected: "a text, or a list of one or two",
    };
    match item {
        Value::String(text) => Ok((String::new(), text)),
        Value::Array(items) => match <[Value; 2]>::try_from(items) {
            Ok([Value::String(subject), Value::String(text)]) => Ok((subject, text)),
            Ok([_, other]) => Err(wrong(&other)),
            Err(items) => match <[Value; 1]>::try_from(items) {
                Ok([Value::String(text)]) => Ok((String::new(), text)),
                _ => Err(wrong(&Value::Array(Vec::new()))),
            },
        },
        other => Err(wrong(&other)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_a_pair_and_a_batch() {
        let read = |inputs: &str| super::inputs(format!(r#"{{"inputs":{inputs}}}"#).as_bytes());
        let own = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect::<Vec<_>>()
        };
        let text = read(r#""a""#).unwrap();
        assert_eq!((text.texts, text.batch), (own(&[("", "a")]), false));
        assert_eq!(read(r#"["a","b"]"#).unwrap().texts, own(&[("a", "b")]));
        let batch = read(r#"[["a"],["b","c"]]"#).unwrap();
        assert_eq!((batch.texts, batch.batch), (own(&[("", "a"), ("b", "c")]), true));
        for wrong in ["1", "[1]", r#"[["a","b","c"]]"#, r#"["a","b","c"]"#, "null"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
