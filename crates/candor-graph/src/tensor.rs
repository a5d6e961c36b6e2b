//! Constant tensors: the data of initializers, and the inputs and outputs of engines.

use crate::error::GraphError;

/// Element types that a graph can hold. Wider and narrower floats become [`DataType::Float`] at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 32-bit float.
    Float,
    /// 64-bit signed integer.
    Int64,
    /// 32-bit signed integer.
    Int32,
    /// Boolean.
    Bool,
    /// 8-bit unsigned integer.
    Uint8,
    /// 8-bit signed integer.
    Int8,
}

impl DataType {
    /// Whether values of this type can carry a gradient.
    pub fn is_float(self) -> bool {
        self == DataType::Float
    }

    /// Whether values of this type represent floats between QuantizeLinear and DequantizeLinear.
    pub fn is_quantized(self) -> bool {
        matches!(self, DataType::Uint8 | DataType::Int8)
    }
}

/// Elements of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// 32-bit floats.
    Float(Vec<f32>),
    /// 64-bit signed integers.
    Int64(Vec<i64>),
    /// 32-bit signed integers.
    Int32(Vec<i32>),
    /// Booleans.
    Bool(Vec<bool>),
    /// 8-bit unsigned integers.
    Uint8(Vec<u8>),
    /// 8-bit signed integers.
    Int8(Vec<i8>),
}

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of the given shape.
    ///
    /// # Errors
    /// If the product of `shape` is not the number of elements.
    pub fn new(shape: Vec<usize>, data: TensorData) -> Result<Self, GraphError> {
        let want = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let have = match &data {
            TensorData::Float(v) => v.len(),
            TensorData::Int64(v) => v.len(),
            TensorData::Int32(v) => v.len(),
            TensorData::Bool(v) => v.len(),
            TensorData::Uint8(v) => v.len(),
            TensorData::Int8(v) => v.len(),
        };
        if want != Some(have) {
            return Err(GraphError::TensorLength { shape, have });
        }
        Ok(Tensor { shape, data })
    }

    /// A float tensor.
    ///
    /// # Errors
    /// If the product of `shape` is not the number of elements.
    pub fn floats(shape: &[usize], data: Vec<f32>) -> Result<Self, GraphError> {
        Tensor::new(shape.to_vec(), TensorData::Float(data))
    }

    /// A float tensor filled with one value.
    pub fn full(shape: &[usize], value: f32) -> Self {
        Tensor { shape: shape.to_vec(), data: TensorData::Float(vec![value; shape.iter().product()]) }
    }

    /// A float scalar (shape `[]`).
    pub fn scalar(value: f32) -> Self {
        Tensor { shape: vec![], data: TensorData::Float(vec![value]) }
    }

    /// A vector of 64-bit integers, as shapes and axes are.
    pub fn ints(values: &[i64]) -> Self {
        Tensor { shape: vec![values.len()], data: TensorData::Int64(values.to_vec()) }
    }

    /// Shape; `[]` for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Concatenates float tensors along the first axis.
    ///
    /// # Errors
    /// [`GraphError::TensorLength`] for a tensor that is a scalar, holds no floats, or has rows of another size.
    pub fn stacked<'t>(parts: impl IntoIterator<Item = &'t Tensor>) -> Result<Self, GraphError> {
        let (mut shape, mut values) = (vec![], vec![]);
        for part in parts {
            values.extend_from_slice(part.as_floats().unwrap_or_default());
            match shape.first_mut() {
                Some(rows) => *rows += part.shape.first().copied().unwrap_or(1),
                None => shape.clone_from(&part.shape),
            }
        }
        Tensor::floats(&shape, values)
    }

    /// Splits a float tensor into `count` parts with equal numbers of rows.
    ///
    /// # Errors
    /// [`GraphError::TensorLength`] if the rows cannot be divided evenly.
    pub fn split(self, count: usize) -> Result<Vec<Self>, GraphError> {
        if count == 1 {
            return Ok(vec![self]);
        }
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows /= count.max(1);
        }
        let values = self.as_floats().unwrap_or_default();
        let parts = values.chunks((values.len() / count.max(1)).max(1));
        parts.map(|part| Tensor::floats(&shape, part.to_vec())).collect()
    }

    /// Element type.
    pub fn dtype(&self) -> DataType {
        match self.data {
            TensorData::Float(_) => DataType::Float,
            TensorData::Int64(_) => DataType::Int64,
            TensorData::Int32(_) => DataType::Int32,
            TensorData::Bool(_) => DataType::Bool,
            TensorData::Uint8(_) => DataType::Uint8,
            TensorData::Int8(_) => DataType::Int8,
        }
    }

    /// The elements if they are floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::Float(v) => Some(v),
            _ => None,
        }
    }

    /// The elements if they are floats, without a copy.
    pub fn into_floats(self) -> Option<Vec<f32>> {
        match self.data {
            TensorData::Float(v) => Some(v),
            _ => None,
        }
    }

    /// The elements as 64-bit integers if they are integers of any width.
    pub fn to_ints(&self) -> Option<Vec<i64>> {
        match &self.data {
            TensorData::Int64(v) => Some(v.clone()),
            TensorData::Int32(v) => Some(v.iter().map(|&x| x.into()).collect()),
            _ => None,
        }
    }

    /// Index and value of the first element that is not a finite number.
    pub fn first_not_finite(&self) -> Option<(usize, f32)> {
        let values = self.as_floats()?;
        values.iter().position(|v| !v.is_finite()).map(|i| (i, values[i]))
    }

    /// Converts integers and booleans to another integer or boolean type (engines with fewer types return wider ones).
    /// Floats and equal types are returned unchanged.
    pub fn cast_integers(self, to: DataType) -> Self {
        if self.dtype() == to || self.dtype() == DataType::Float {
            return self;
        }
        let wide: Vec<i64> = match &self.data {
            TensorData::Float(_) => return self,
            TensorData::Int64(v) => v.clone(),
            TensorData::Int32(v) => v.iter().map(|&x| x.into()).collect(),
            TensorData::Bool(v) => v.iter().map(|&x| x.into()).collect(),
            TensorData::Uint8(v) => v.iter().map(|&x| x.into()).collect(),
            TensorData::Int8(v) => v.iter().map(|&x| x.into()).collect(),
        };
        let data = match to {
            DataType::Float => return self,
            DataType::Int64 => TensorData::Int64(wide),
            DataType::Int32 => TensorData::Int32(wide.into_iter().map(|x| x as i32).collect()),
            DataType::Bool => TensorData::Bool(wide.into_iter().map(|x| x != 0).collect()),
            DataType::Uint8 => TensorData::Uint8(wide.into_iter().map(|x| x as u8).collect()),
            DataType::Int8 => TensorData::Int8(wide.into_iter().map(|x| x as i8).collect()),
        };
        Tensor { shape: self.shape, data }
    }
}
