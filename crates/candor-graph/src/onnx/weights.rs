//! The large constants of several models, each stored once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::save::ALIGNMENT;
use super::tensor::write_bytes;
use crate::tensor::Tensor;

/// The data that models refer to as [`super::WEIGHTS`]: their large constants one after the other, equal ones only once.
#[derive(Debug, Default)]
pub struct Weights {
    bytes: Vec<u8>,
    /// Start and end of constants, by a hash of their bytes.
    places: HashMap<u64, Vec<(usize, usize)>>,
}

impl Weights {
    /// The bytes of the file of weights.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Offset of a tensor's elements; they are appended unless they are there already.
    pub(super) fn place(&mut self, tensor: &Tensor) -> usize {
        let mut own = vec![];
        write_bytes(tensor, &mut own);
        let mut hasher = DefaultHasher::new();
        own.hash(&mut hasher);
        let places = self.places.entry(hasher.finish()).or_default();
        if let Some(&(begin, _)) = places.iter().find(|&&(begin, end)| self.bytes[begin..end] == own[..]) {
            return begin;
        }
        let begin = self.bytes.len();
        places.push((begin, begin + own.len()));
        self.bytes.extend(own);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_constants_are_kept_once() {
        let mut weights = Weights::default();
        let [a, b] = [1.0, 2.0].map(|v| Tensor::full(&[300], v));
        let places = [&a, &b, &a].map(|t| weights.place(t));
        assert_eq!(places, [0, 1216, 0]);
        assert_eq!(weights.bytes().len(), 1216 * 2);
        assert_eq!(weights.bytes()[1216..1220], 2.0f32.to_le_bytes());
    }
}
