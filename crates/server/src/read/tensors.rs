//! Records in tensors: KServe's Open Inference Protocol v2, with Triton's extension for binary data.
//!
//! Each field is a tensor of texts (`BYTES`), one element per mail. Binary tensors follow the JSON in its order; an element is its length
//! (four bytes, little-endian) and its bytes.
//!
//! Source: Open Inference Protocol 2.0; Triton Inference Server, "Binary Tensor Data Extension".

use super::{FIELDS, Record, json};
use crate::Problem;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Inference {
    /// Echoed.
    pub id: Option<String>,
    pub records: Vec<Record>,
    /// The outputs that are wanted, all where it is empty, and whether each is wanted in binary.
    pub outputs: Vec<(String, bool)>,
    /// Whether those are that are not named.
    pub binary: bool,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

enum Data<'a> {
    Json(Option<Value>),
    Binary(&'a [u8]),
}

fn is_set(parameters: &Map<String, Value>, name: &str) -> bool {
    parameters.get(name) == Some(&Value::Bool(true))
}

/// Reads a request whose first `json_bytes` are JSON; all of them where that is not said.
pub(crate) fn inference(body: &[u8], json_bytes: Option<usize>) -> Result<Inference, Problem> {
    let (head, mut rest) =
        body.split_at_checked(json_bytes.unwrap_or(body.len()))
            .ok_or(Problem::Parameter {
                name: "Inference-Header-Content-Length",
                expected: "at most the bytes of the body",
            })?;
    let Head {
        id,
        parameters,
        inputs,
        outputs,
    } = serde_json::from_slice(head).map_err(|error| Problem::Malformed {
        format: "inference request",
        line: error.line(),
        column: error.column(),
    })?;
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    let mut expected = None;
    for input in inputs {
        let field = FIELDS.into_iter().find(|field| **field == input.name);
        let binary = input
            .parameters
            .get("binary_data_size")
            .map(|size| size.as_u64().unwrap_or(u64::MAX));
        let data = match binary {
            Some(size) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let (tensor, after) = rest.split_at_checked(size).ok_or(Problem::Parameter {
                    name: "binary_data_size",
                    expected: "at most what is left of the body",
                })?;
                rest = after;
                Data::Binary(tensor)
            }
            None => Data::Json(input.data),
        };
        // A tensor that is none of ours was read past, for the ones behind it.
        let Some(field) = field else { continue };
        if input.datatype != "BYTES" {
            return Err(Problem::Parameter {
                name: "datatype",
                expected: "`BYTES`",
            });
        }
        let texts = match data {
            Data::Binary(tensor) => binary_texts(tensor)?,
            Data::Json(data) => texts(data)?,
        };
        let elements = input
            .shape
            .iter()
            .try_fold(1u64, |product, side| product.checked_mul(*side));
        if elements != Some(texts.len() as u64) {
            return Err(Problem::Lengths {
                field: field.to_owned(),
                found: texts.len(),
                expected: elements
                    .and_then(|count| usize::try_from(count).ok())
                    .unwrap_or(usize::MAX),
            });
        }
        let length = *expected.get_or_insert(texts.len());
        if texts.len() != length {
            return Err(Problem::Lengths {
                field: field.to_owned(),
                found: texts.len(),
                expected: length,
            });
        }
        rows.resize_with(length, Map::new);
        for (row, text) in rows.iter_mut().zip(texts) {
            // An empty element is no raw mail and no encoding, for a tensor has no gaps.
            if !text.is_empty() || field == "subject" || field == "body" {
                row.insert(field.to_owned(), Value::String(text));
            }
        }
    }
    if expected.is_none() {
        return Err(Problem::NoText { record: 0 });
    }
    Ok(Inference {
        id,
        records: rows
            .into_iter()
            .enumerate()
            .map(|(at, row)| json::record(at, row))
            .collect(),
        outputs: outputs
            .into_iter()
            .map(|output| {
                let binary = is_set(&output.parameters, "binary_data");
                (output.name, binary)
            })
            .collect(),
        binary: is_set(&parameters, "binary_data_output"),
    })
}

/// The texts of a tensor in JSON; it may be nested as its shape is.
fn texts(data: Option<Value>) -> Result<Vec<String>, Problem> {
    let wrong = |found: &Value| Problem::Field {
        record: 0,
        field: "data",
        found: super::kind(found),
        expected: "a list of strings",
    };
    let mut texts = Vec::new();
    let mut open = vec![data.unwrap_or_default()];
    if !open[0].is_array() {
        return Err(wrong(&open[0]));
    }
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items.into_iter().rev()),
            Value::String(text) => texts.push(text),
            other => return Err(wrong(&other)),
        }
    }
    Ok(texts)
}

fn binary_texts(mut tensor: &[u8]) -> Result<Vec<String>, Problem> {
    let wrong = |expected| Problem::Field {
        record: 0,
        field: "data",
        found: "something else",
        expected,
    };
    let mut texts = Vec::new();
    while !tensor.is_empty() {
        let (length, rest) = tensor
            .split_first_chunk::<4>()
            .ok_or(wrong("a length before each element"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) = rest
            .split_at_checked(length)
            .ok_or(wrong("as many bytes as the length says"))?;
        texts.push(String::from_utf8(text.to_vec()).map_err(|_| wrong("UTF-8"))?);
        tensor = rest;
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use poststelle_predict::Mail;

    #[test]
    fn reads_json_and_binary_tensors_alike() {
        let json = br#"{"id":"7","inputs":[{"name":"subject","shape":[2],"datatype":"BYTES","data":["a",""]},
            {"name":"body","shape":[2,1],"datatype":"BYTES","data":[["b"],["c"]]}],"outputs":[{"name":"queue"}]}"#;
        let plain = inference(json, None).unwrap();
        let head = r#"{"inputs":[{"name":"other","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}},
            {"name":"subject","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":9}},
            {"name":"body","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}}],
            "outputs":[{"name":"queue","parameters":{"binary_data":true}}],"parameters":{"binary_data_output":true}}"#;
        let mut body = head.as_bytes().to_vec();
        body.extend(b"\0\0\0\0\x01\0\0\0a\0\0\0\0\x01\0\0\0b\x01\0\0\0c");
        let binary = inference(&body, Some(head.len())).unwrap();
        for found in [&plain, &binary] {
            let mails: Vec<Mail> = found
                .records
                .iter()
                .map(|record| record.mail.clone().unwrap())
                .collect();
            assert_eq!(mails, [Mail::new("a", "b"), Mail::new("", "c")]);
        }
        assert_eq!((plain.id.as_deref(), plain.binary), (Some("7"), false));
        assert_eq!(
            (&binary.outputs[..], binary.binary),
            (&[("queue".to_owned(), true)][..], true)
        );
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let problem = |json: &str, bytes| inference(json.as_bytes(), bytes).unwrap_err();
        assert!(matches!(problem("{}", None), Problem::Malformed { .. }));
        assert!(matches!(problem("{}", Some(9)), Problem::Parameter { .. }));
        assert!(matches!(
            problem(r#"{"inputs":[]}"#, None),
            Problem::NoText { .. }
        ));
        let one = |more: &str| format!(r#"{{"inputs":[{{"name":"body","datatype":"BYTES",{more}}}]}}"#);
        assert!(matches!(
            problem(&one(r#""shape":[2],"data":["a"]"#), None),
            Problem::Lengths { .. }
        ));
        assert!(matches!(
            problem(&one(r#""shape":[18446744073709551615,2],"data":["a"]"#), None),
            Problem::Lengths { .. }
        ));
        assert!(matches!(
            problem(&one(r#""shape":[1],"data":[5]"#), None),
            Problem::Field { .. }
        ));
        let lying = one(r#""shape":[1],"parameters":{"binary_data_size":99}"#);
        assert!(matches!(problem(&lying, None), Problem::Parameter { .. }));
    }
}
