//! Names of the local functions a model defines: the field of ModelProto that the parser skips.

use rten_onnx::protobuf::{DecodeMessage, Fields, OwnedValues, ProtobufError, ReadValue};

/// Names of the functions in a ModelProto.
#[derive(Default)]
pub(super) struct FunctionNames(pub Vec<String>);

impl DecodeMessage for FunctionNames {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = Self::Types>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        const FUNCTIONS: u64 = 25;
        let mut names = FunctionNames::default();
        while let Some(mut field) = fields.next()? {
            if field.number() == FUNCTIONS {
                names.0.push(FunctionName::decode_field(&mut field)?.0);
            } else {
                field.skip()?;
            }
        }
        Ok(names)
    }
}

/// Name of one FunctionProto.
#[derive(Default)]
struct FunctionName(String);

impl DecodeMessage for FunctionName {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = Self::Types>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        const NAME: u64 = 1;
        let mut name = FunctionName::default();
        while let Some(mut field) = fields.next()? {
            if field.number() == NAME {
                name.0 = field.read_string()?;
            } else {
                field.skip()?;
            }
        }
        Ok(name)
    }
}
