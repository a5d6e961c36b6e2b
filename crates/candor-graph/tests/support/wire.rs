//! ONNX files written byte by byte, so that they can contain what no exporter would write.

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub nodes: Vec<Node>,
    pub weights: Vec<Weight>,
    /// Name and dimensions.
    pub inputs: Vec<(String, Vec<i64>)>,
    pub outputs: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Node {
    /// Empty: not written to the file.
    pub name: String,
    pub op: String,
    pub domain: String,
    pub inputs: Vec<String>,
    pub output: String,
    pub attributes: Vec<(String, Attribute)>,
}

#[derive(Clone, Debug)]
pub enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
    Text(String),
    /// A graph inside the node: of the model, what a graph has.
    Graph(Model),
}

/// An initializer with raw data.
#[derive(Clone, Debug)]
pub struct Weight {
    pub name: String,
    pub dims: Vec<i64>,
    pub data: Vec<u8>,
    /// ONNX's code of the element type.
    kind: u64,
    /// The length that the data field claims, if it is not the true one.
    pub claimed: Option<u64>,
    /// The file that holds the data, if it is not in the model.
    pub outside: Option<String>,
}

impl Weight {
    /// All-ones floats, as many as the dimensions say (none if they are not valid).
    pub fn new(name: &str, dims: &[i64]) -> Weight {
        let count = dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d)).filter(|n| (0..1000).contains(n));
        let data = 1f32.to_le_bytes().repeat(count.unwrap_or(0) as usize);
        Weight { name: name.into(), dims: dims.to_vec(), data, kind: 1, claimed: None, outside: None }
    }

    /// A vector of these 64-bit integers.
    pub fn of_integers(name: &str, values: &[i64]) -> Weight {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Weight {
            name: name.into(),
            dims: vec![values.len() as i64],
            data,
            kind: 7,
            claimed: None,
            outside: None,
        }
    }

    /// As a scalar, if it holds one number.
    pub fn scalar(self) -> Weight {
        Weight { dims: vec![], ..self }
    }

    /// Replaces the elements by as many 64-bit integers: 0, 1, 2, 0, 1, …
    pub fn make_integers(&mut self) {
        self.data = (0..self.data.len() as i64 / 4).flat_map(|i| (i % 3).to_le_bytes()).collect();
        self.kind = 7;
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.dims.iter().flat_map(|&d| number(1, d as u64)).collect();
        bytes.extend(number(2, self.kind));
        bytes.extend(text(8, &self.name));
        if let Some(file) = &self.outside {
            bytes.extend(field(13, &[text(1, "location"), text(2, file)].concat()));
            bytes.extend(number(14, 1));
            return bytes;
        }
        bytes.extend(varint(9 << 3 | 2));
        bytes.extend(varint(self.claimed.unwrap_or(self.data.len() as u64)));
        bytes.extend(&self.data);
        bytes
    }
}

impl Node {
    pub fn new(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> Node {
        Node {
            name: String::new(),
            op: op.into(),
            domain: String::new(),
            inputs: inputs.iter().map(|&i| i.into()).collect(),
            output: output.into(),
            attributes: attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        }
    }

    pub fn named(self, name: &str) -> Node {
        Node { name: name.into(), ..self }
    }

    /// With the operator in ONNX Runtime's domain.
    pub fn of_microsoft(self) -> Node {
        Node { domain: "com.microsoft".into(), ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.inputs.iter().flat_map(|i| text(1, i)).collect();
        bytes.extend(text(2, &self.output));
        if !self.name.is_empty() {
            bytes.extend(text(3, &self.name));
        }
        bytes.extend(text(4, &self.op));
        for (name, value) in &self.attributes {
            bytes.extend(field(5, &[text(1, name), value.bytes()].concat()));
        }
        bytes.extend(text(7, &self.domain));
        bytes
    }
}

impl Attribute {
    fn bytes(&self) -> Vec<u8> {
        let (mut bytes, kind) = match self {
            Attribute::Float(v) => ([varint(2 << 3 | 5), v.to_le_bytes().to_vec()].concat(), 1),
            Attribute::Int(v) => (number(3, *v as u64), 2),
            Attribute::Text(v) => (text(4, v), 3),
            Attribute::Ints(v) => (v.iter().flat_map(|&i| number(8, i as u64)).collect(), 7),
            Attribute::Graph(v) => (field(6, &v.graph_bytes()), 5),
        };
        bytes.extend(number(20, kind));
        bytes
    }
}

impl Model {
    /// The file: operator set 18, and set 1 of ONNX Runtime's domain.
    pub fn bytes(&self) -> Vec<u8> {
        let set = |domain: &str, version| field(8, &[text(1, domain), number(2, version)].concat());
        [number(1, 8), field(7, &self.graph_bytes()), set("", 18), set("com.microsoft", 1)].concat()
    }

    fn graph_bytes(&self) -> Vec<u8> {
        let mut graph: Vec<u8> = self.nodes.iter().flat_map(|n| field(1, &n.bytes())).collect();
        graph.extend(self.weights.iter().flat_map(|w| field(5, &w.bytes())));
        graph.extend(self.inputs.iter().flat_map(|(name, dims)| field(11, &value(name, Some(dims)))));
        graph.extend(self.outputs.iter().flat_map(|name| field(12, &value(name, None))));
        graph
    }
}

/// ValueInfoProto of floats.
fn value(name: &str, dims: Option<&[i64]>) -> Vec<u8> {
    let mut tensor = number(1, 1);
    if let Some(dims) = dims {
        let dims: Vec<u8> = dims.iter().flat_map(|&d| field(1, &number(1, d as u64))).collect();
        tensor.extend(field(2, &dims));
    }
    [text(1, name), field(2, &field(1, &tensor))].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn field(number: u64, inner: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(inner.len() as u64), inner.to_vec()].concat()
}

fn text(number: u64, text: &str) -> Vec<u8> {
    field(number, text.as_bytes())
}
