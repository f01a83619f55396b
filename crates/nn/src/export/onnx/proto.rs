//! The messages of an ONNX file that an encoder needs, declared by hand.
//!
//! Fields an encoder never has are left out; protocol buffers pass over what a reader does not know.
//!
//! Source: `onnx/onnx.proto` of ONNX 1.12 (IR version 8).

/// Element types of tensors.
pub mod element {
    /// IEEE 754 single.
    pub const FLOAT: i32 = 1;
    /// Signed 64-bit integer.
    pub const INT64: i32 = 7;
    /// IEEE 754 half.
    pub const FLOAT16: i32 = 10;
    /// bfloat16.
    pub const BFLOAT16: i32 = 16;
}

/// A whole file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    /// Version of the format.
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    /// The program that wrote it.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// Its version.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The operator sets it uses.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
}

/// A set of operators.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSet {
    /// Empty for ONNX's own.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// Its version.
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// Nodes in the order they are computed, with their constants.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Graph {
    /// The operations.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// A name for people.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// The constants.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// What goes in.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<Value>,
    /// What comes out.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<Value>,
}

/// One operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// Names of values.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of values.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its own name.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// The operator.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// Its settings.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// One setting of an operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// A number, if `kind` is 1.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer, if `kind` is 2.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Integers, if `kind` is 7.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of the fields counts.
    #[prost(int32, optional, tag = "20")]
    pub kind: Option<i32>,
}

/// A constant.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tensor {
    /// Its shape.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// One of [`element`].
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Its name.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// Its elements, little-endian, unless they stand in another file.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    /// `location`, `offset` and `length` in another file.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    /// 1 if the elements stand in another file.
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

/// A key and its value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// The key.
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    /// The value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// An input or output.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

/// A type; always a tensor's here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Type {
    /// The tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// Element type and shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// One of [`element`].
    #[prost(int32, optional, tag = "1")]
    pub element: Option<i32>,
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// A shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Shape {
    /// Outermost first.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One dimension: a size or a name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// A fixed size.
    #[prost(int64, optional, tag = "1")]
    pub value: Option<i64>,
    /// The name of a size that is known when the graph runs.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}
