//! Checks what the parser relies on: that lengths fit into the message that contains them, and that the nesting depth is limited.
//! Otherwise a length greater than the file would be allocated before anything is read.

use std::collections::BTreeSet;

/// Maximum nesting depth of messages: a graph inside a node adds three.
const DEEPEST: usize = 64;

/// A message whose fields the parser reads one by one, or that contains such a message.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    ValueInfo,
    Type,
    Sequence,
    TypeOfTensor,
    Shape,
    Tensor,
    /// Holds no other message.
    Flat,
}

impl Message {
    /// What a field of this message holds, if it is a message (onnx.proto's field numbers).
    fn field(self, number: u64) -> Option<Message> {
        use Message::{
            Attribute, Flat, Graph, Model, Node, Sequence, Shape, Tensor, Type, TypeOfTensor, ValueInfo,
        };
        Some(match (self, number) {
            (Model, 7) | (Attribute, 6 | 11) => Graph,
            (Model, 8 | 14 | 25) => Flat,
            (Graph, 1) => Node,
            (Graph, 5) | (Attribute, 5 | 10) => Tensor,
            (Graph, 11..=13) => ValueInfo,
            (Node, 5) => Attribute,
            (ValueInfo, 2) | (Sequence, 1) => Type,
            (Type, 1) => TypeOfTensor,
            (Type, 4) => Sequence,
            (TypeOfTensor, 2) => Shape,
            (Shape, 1) | (Tensor, 13) => Flat,
            _ => return None,
        })
    }

    /// For a field that holds a packed list of numbers, whether its bytes are complete numbers: at an incomplete one the parser would
    /// lose its position, and at one that is too long it would loop for ever.
    fn holds_whole_numbers(self, number: u64, bytes: &[u8]) -> bool {
        match (self, number) {
            (Message::Tensor, 1 | 5 | 7) | (Message::Attribute, 8) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    if varint(&mut rest).is_err() {
                        return false;
                    }
                }
                true
            }
            (Message::Tensor, 4) | (Message::Attribute, 7) => bytes.len().is_multiple_of(4),
            (Message::Tensor, 10) => bytes.len().is_multiple_of(8),
            _ => true,
        }
    }
}

/// Checks the bytes of a ModelProto. Returns the locations of external data.
///
/// # Errors
/// What is wrong with the first malformed message.
pub(super) fn check(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let mut locations = BTreeSet::new();
    message(bytes, Message::Model, 0, &mut locations)?;
    Ok(locations)
}

fn message(
    bytes: &[u8],
    kind: Message,
    depth: usize,
    locations: &mut BTreeSet<String>,
) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("messages are nested more than {DEEPEST} deep"));
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                varint(&mut rest)?;
            }
            1 => {
                take(&mut rest, 8)?;
            }
            5 => {
                take(&mut rest, 4)?;
            }
            2 => {
                let length = varint(&mut rest)?;
                let part = take(&mut rest, length)?;
                if !kind.holds_whole_numbers(tag >> 3, part) {
                    return Err(
                        "a list of numbers ends inside one, or holds one that is too long".to_string()
                    );
                }
                if let Some(inner) = kind.field(tag >> 3) {
                    message(part, inner, depth + 1, locations)?;
                }
                if matches!((kind, tag >> 3), (Message::Tensor, 13)) {
                    locations.extend(location(part)?);
                }
            }
            other => return Err(format!("a field has the wire type {other}, which ONNX does not use")),
        }
    }
    Ok(())
}

/// The value of a StringStringEntryProto whose key is `location`.
fn location(entry: &[u8]) -> Result<Option<String>, String> {
    let (mut rest, mut found) = (entry, [None, None]);
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        if tag & 7 != 2 {
            return Ok(None);
        }
        let length = varint(&mut rest)?;
        let part = take(&mut rest, length)?;
        if let Some(field) = found.get_mut((tag >> 3).wrapping_sub(1) as usize) {
            *field = Some(part);
        }
    }
    let [key, value] = found;
    Ok(value.filter(|_| key == Some(b"location".as_slice())).map(|v| String::from_utf8_lossy(v).into_owned()))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let parts = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n));
    let (part, behind) =
        parts.ok_or_else(|| format!("a field claims {length} bytes where {} are left", rest.len()))?;
    *rest = behind;
    Ok(part)
}

/// A varint (base 128) of at most ten bytes, of which the tenth holds one bit.
fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, behind) = rest.split_first().ok_or("it ends inside a number")?;
        *rest = behind;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if shift == 63 && byte > 1 {
            break;
        }
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is longer than 64 bits".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that holds `inner`.
    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = inner.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn a_claim_of_more_than_there_is_is_refused_before_it_is_allocated() {
        // raw_data that claims two gigabytes in a tensor of a few bytes, at each level whose length could be believed.
        let raw = [9 << 3 | 2, 0x80, 0x80, 0x80, 0x80, 0x08];
        for bytes in [raw.to_vec(), field(7, &raw), field(7, &field(5, &raw))] {
            let error = check(&bytes).expect_err("refused");
            assert_eq!(error, "a field claims 2147483648 bytes where 0 are left");
        }
        let endless = [9 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(check(&field(7, &field(5, &endless))).is_err());
    }

    /// Found by the fuzzer: the parser looped for ever at such a number.
    #[test]
    fn a_list_with_a_number_that_is_too_long_is_refused() {
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(check(&field(7, &field(5, &field(5, &longest)))), Ok(BTreeSet::new()));
        for tail in [&[0x02][..], &[0xff, 0x01][..]] {
            let numbers = [&longest[..9], tail].concat();
            let error = check(&field(7, &field(5, &field(5, &numbers)))).expect_err("refused");
            assert_eq!(error, "a list of numbers ends inside one, or holds one that is too long");
        }
    }

    #[test]
    fn what_lies_outside_is_named() {
        let entry = |key: &[u8], value: &[u8]| field(13, &[field(1, key), field(2, value)].concat());
        let tensor = [entry(b"location", b"weights.bin"), entry(b"offset", b"0")].concat();
        let found = check(&field(7, &field(5, &tensor))).expect("sound");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["weights.bin"]);
    }

    #[test]
    fn endless_nesting_is_refused() {
        let mut graph = field(2, b"innermost");
        for _ in 0..40 {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        let error = check(&field(7, &graph)).expect_err("refused");
        assert_eq!(error, "messages are nested more than 64 deep");
        let mut kind = vec![];
        for _ in 0..100 {
            kind = field(4, &field(1, &kind));
        }
        assert!(check(&field(7, &field(11, &field(2, &kind)))).is_err());
    }
}
