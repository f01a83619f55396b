//! A slow evaluator in f64 of the ONNX operators that exports use, and checks on the file it reads.

use half::{bf16, f16};
use poststelle_nn::export::proto::{Attribute, Model, Node, Tensor, element};
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// Any tensor; integers are small enough for f64.
#[derive(Debug, Clone)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// A graph with its constants read.
pub struct Run {
    model: Model,
    constants: BTreeMap<String, Array>,
}

impl Run {
    /// Reads `model.onnx` of a folder, checking that it survives writing and that its constants are where it says.
    pub fn open(folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("model.onnx")).unwrap();
        let model = Model::decode(&bytes[..]).unwrap();
        assert_eq!(model.encode_to_vec(), bytes);
        assert_eq!(model.opset_import[0].version, Some(17));
        let graph = model.graph.as_ref().unwrap();
        let mut constants = BTreeMap::new();
        for tensor in &graph.initializer {
            let name = tensor.name.clone().unwrap();
            let again = constants.insert(name.clone(), constant(folder, tensor));
            assert!(again.is_none(), "{name} stands twice");
        }
        Self { model, constants }
    }

    /// Every output for `rows` texts: ids and mask are `[rows, sequence]`.
    pub fn outputs(&self, ids: &[f64], mask: &[f64], rows: usize) -> BTreeMap<String, Vec<f32>> {
        let graph = self.model.graph.as_ref().unwrap();
        let mut values = self.constants.clone();
        for (input, given) in graph.input.iter().zip([ids, mask]) {
            let array = Array {
                shape: vec![rows, given.len() / rows],
                values: given.to_vec(),
            };
            values.insert(input.name.clone().unwrap(), array);
        }
        for node in &graph.node {
            let inputs: Vec<&Array> = node
                .input
                .iter()
                .map(|name| {
                    values
                        .get(name)
                        .unwrap_or_else(|| panic!("`{name}` is not computed yet"))
                })
                .collect();
            let output = compute(node, &inputs);
            assert_eq!(output.values.len(), output.shape.iter().product::<usize>());
            assert!(
                values.insert(node.output[0].clone(), output).is_none(),
                "{:?}",
                node.output
            );
        }
        let outputs = graph.output.iter().map(|output| {
            let name = output.name.clone().unwrap();
            let shape = output
                .kind
                .as_ref()
                .unwrap()
                .tensor
                .as_ref()
                .unwrap()
                .shape
                .as_ref()
                .unwrap();
            assert_eq!(shape.dim[0].name.as_deref(), Some("batch"));
            let found = &values[&name];
            assert_eq!(found.shape, [rows, shape.dim[1].value.unwrap() as usize]);
            (name, found.values.iter().map(|x| *x as f32).collect())
        });
        outputs.collect()
    }
}

fn constant(folder: &Path, tensor: &Tensor) -> Array {
    let shape: Vec<usize> = tensor.dims.iter().map(|size| *size as usize).collect();
    let bytes = if tensor.data_location == Some(1) {
        let entry = |key: &str| {
            let found = tensor
                .external_data
                .iter()
                .find(|entry| entry.key.as_deref() == Some(key));
            found.and_then(|entry| entry.value.clone()).unwrap()
        };
        let file = std::fs::read(folder.join(entry("location"))).unwrap();
        let [offset, length] = ["offset", "length"].map(|key| entry(key).parse::<usize>().unwrap());
        assert_eq!(offset % 4096, 0);
        file[offset..offset + length].to_vec()
    } else {
        tensor.raw_data.clone().unwrap()
    };
    let values: Vec<f64> = match tensor.data_type.unwrap() {
        element::FLOAT => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x).into())
            .collect(),
        element::INT64 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|x| i64::from_le_bytes(*x) as f64)
            .collect(),
        element::FLOAT16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|x| f16::from_le_bytes(*x).to_f64())
            .collect(),
        element::BFLOAT16 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|x| bf16::from_le_bytes(*x).to_f64())
            .collect(),
        other => panic!("element type {other}"),
    };
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{:?}", tensor.name);
    Array { shape, values }
}

fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name.as_deref() == Some(name))
}

fn compute(node: &Node, inputs: &[&Array]) -> Array {
    let int =
        |name: &str, default: i64| attribute(node, name).map_or(default, |attribute| attribute.i.unwrap());
    match (node.op_type.as_deref().unwrap(), inputs) {
        ("Cast", [x]) => {
            assert_eq!(int("to", 0), i64::from(element::FLOAT));
            (*x).clone()
        }
        ("Shape", [x]) => Array {
            shape: vec![x.shape.len()],
            values: x.shape.iter().map(|size| *size as f64).collect(),
        },
        ("Gather", [x, at]) => gather(x, at, int("axis", 0) as usize),
        ("Slice", [x, start, end, axes]) => {
            assert_eq!(axes.values, [0.0]);
            let row: usize = x.shape[1..].iter().product();
            let (start, end) = (start.values[0] as usize, end.values[0] as usize);
            Array {
                shape: [&[end - start], &x.shape[1..]].concat(),
                values: x.values[start * row..end * row].to_vec(),
            }
        }
        ("Unsqueeze", [x, axes]) => {
            let mut shape = x.shape.clone();
            axes.values
                .iter()
                .for_each(|axis| shape.insert(*axis as usize, 1));
            let values = x.values.clone();
            Array { shape, values }
        }
        ("Reshape", [x, to]) => {
            let sizes = to.values.iter().enumerate();
            let shape = sizes.map(|(n, size)| if *size == 0.0 { x.shape[n] } else { *size as usize });
            Array {
                shape: shape.collect(),
                values: x.values.clone(),
            }
        }
        ("Add", [a, b]) => pairwise(a, b, |a, b| a + b),
        ("Sub", [a, b]) => pairwise(a, b, |a, b| a - b),
        ("Mul", [a, b]) => pairwise(a, b, |a, b| a * b),
        ("Div", [a, b]) => pairwise(a, b, |a, b| a / b),
        ("Erf", [x]) => each_row(x, |row| row.iter_mut().for_each(|x| *x = erf(*x))),
        ("Softmax", [x]) => {
            assert_eq!(int("axis", 0), -1);
            each_row(x, |row| {
                let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.iter_mut().for_each(|x| *x = (*x - most).exp());
                let total: f64 = row.iter().sum();
                row.iter_mut().for_each(|x| *x /= total);
            })
        }
        ("LayerNormalization", [x, gain, bias]) => {
            let epsilon = f64::from(attribute(node, "epsilon").unwrap().f.unwrap());
            each_row(x, |row| {
                let width = row.len() as f64;
                let mean = row.iter().sum::<f64>() / width;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
                for (x, (gain, bias)) in row.iter_mut().zip(gain.values.iter().zip(&bias.values)) {
                    *x = (*x - mean) / (variance + epsilon).sqrt() * gain + bias;
                }
            })
        }
        ("Transpose", [x]) => {
            let order: Vec<usize> = attribute(node, "perm")
                .unwrap()
                .ints
                .iter()
                .map(|n| *n as usize)
                .collect();
            let shape: Vec<usize> = order.iter().map(|axis| x.shape[*axis]).collect();
            let values = (0..x.values.len()).map(|flat| {
                let place = unflatten(flat, &shape);
                let mut from = vec![0; place.len()];
                order.iter().zip(place).for_each(|(axis, at)| from[*axis] = at);
                x.values[flatten(&from, &x.shape)]
            });
            let values = values.collect();
            Array { shape, values }
        }
        ("ReduceSum", [x, axes]) => {
            assert_eq!((&axes.values[..], int("keepdims", 1)), (&[1.0][..], 0));
            let (rows, count, width) = (x.shape[0], x.shape[1], x.shape[2]);
            let sum = |i: usize| {
                (0..count)
                    .map(|n| x.values[(i / width * count + n) * width + i % width])
                    .sum()
            };
            Array {
                shape: vec![rows, width],
                values: (0..rows * width).map(sum).collect(),
            }
        }
        ("MatMul", [a, b]) => multiply(a, b),
        ("Gemm", [x, weight, bias]) => {
            assert_eq!(int("transB", 0), 1);
            let inner = x.shape[1];
            let (rows, columns) = (x.shape[0], weight.shape[0]);
            let one = |i: usize| {
                let (row, column) = (i / columns, i % columns);
                let pairs = x.values[row * inner..][..inner]
                    .iter()
                    .zip(&weight.values[column * inner..][..inner]);
                bias.values[column] + pairs.map(|(x, w)| x * w).sum::<f64>()
            };
            Array {
                shape: vec![rows, columns],
                values: (0..rows * columns).map(one).collect(),
            }
        }
        (other, inputs) => panic!("operator {other} of {} inputs", inputs.len()),
    }
}

fn each_row(x: &Array, change: impl Fn(&mut [f64])) -> Array {
    let mut out = x.clone();
    out.values.chunks_mut(*x.shape.last().unwrap()).for_each(change);
    out
}

fn gather(x: &Array, at: &Array, axis: usize) -> Array {
    let inner: usize = x.shape[axis + 1..].iter().product();
    let outer: usize = x.shape[..axis].iter().product();
    let mut values = Vec::new();
    for block in 0..outer {
        for index in &at.values {
            let first = (block * x.shape[axis] + *index as usize) * inner;
            values.extend_from_slice(&x.values[first..first + inner]);
        }
    }
    Array {
        shape: [&x.shape[..axis], &at.shape, &x.shape[axis + 1..]].concat(),
        values,
    }
}

/// `[…, n, k]·[…, k, m]`, or `[…, n, k]·[k, m]`.
fn multiply(a: &Array, b: &Array) -> Array {
    let (&inner, &columns) = (a.shape.last().unwrap(), b.shape.last().unwrap());
    let rows = a.shape[a.shape.len() - 2];
    assert_eq!(b.shape[b.shape.len() - 2], inner);
    let mut values = Vec::new();
    for (block, a) in a.values.chunks(rows * inner).enumerate() {
        let from = if b.shape.len() == 2 {
            0
        } else {
            block * inner * columns
        };
        let b = &b.values[from..from + inner * columns];
        for row in a.chunks(inner) {
            let dot = |column: usize| {
                row.iter()
                    .enumerate()
                    .map(|(k, x)| x * b[k * columns + column])
                    .sum::<f64>()
            };
            values.extend((0..columns).map(dot));
        }
    }
    let mut shape = a.shape.clone();
    *shape.last_mut().unwrap() = columns;
    Array { shape, values }
}

fn pairwise(a: &Array, b: &Array, op: impl Fn(f64, f64) -> f64) -> Array {
    let depth = a.shape.len().max(b.shape.len());
    let padded = |x: &Array| [vec![1; depth - x.shape.len()], x.shape.clone()].concat();
    let (left, right) = (padded(a), padded(b));
    let shape: Vec<usize> = left.iter().zip(&right).map(|(a, b)| *a.max(b)).collect();
    let value = |flat: usize| {
        let place = unflatten(flat, &shape);
        let at = |sizes: &[usize]| {
            let place: Vec<usize> = place
                .iter()
                .zip(sizes)
                .map(|(at, size)| if *size == 1 { 0 } else { *at })
                .collect();
            flatten(&place, sizes)
        };
        op(a.values[at(&left)], b.values[at(&right)])
    };
    let values = (0..shape.iter().product()).map(value).collect();
    Array { shape, values }
}

fn unflatten(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut place = vec![0; shape.len()];
    for (at, size) in place.iter_mut().zip(shape).rev() {
        *at = flat % size;
        flat /= size;
    }
    place
}

fn flatten(place: &[usize], shape: &[usize]) -> usize {
    place
        .iter()
        .zip(shape)
        .fold(0, |flat, (at, size)| flat * size + at)
}

/// Source: Abramowitz & Stegun 1964, 7.1.6; every term is positive, so nothing cancels.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}
