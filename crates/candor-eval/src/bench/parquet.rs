//! The figures of all items as a Parquet file.

use std::sync::Arc;

use candor_report::ReportError;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::values::Value;

/// The bytes of the file.
pub(super) fn bytes(values: &[Value<'_>]) -> Result<Vec<u8>, ReportError> {
    written(values).map_err(ReportError::encode("the table as Parquet"))
}

fn written(values: &[Value<'_>]) -> parquet::errors::Result<Vec<u8>> {
    let schema = "message candor { REQUIRED BYTE_ARRAY table (UTF8); REQUIRED BYTE_ARRAY method (UTF8); \
                  REQUIRED BYTE_ARRAY item (UTF8); REQUIRED BYTE_ARRAY figure (UTF8); REQUIRED DOUBLE value; }";
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(vec![], Arc::new(parse_message_type(schema)?), properties)?;
    let mut group = writer.next_row_group()?;
    let texts: [&dyn Fn(&Value<'_>) -> ByteArray; 4] = [
        &|v| ByteArray::from(v.table),
        &|v| ByteArray::from(v.method),
        &|v| ByteArray::from(v.item.as_str()),
        &|v| ByteArray::from(v.figure),
    ];
    for text in texts {
        if let Some(mut column) = group.next_column()? {
            let all: Vec<ByteArray> = values.iter().map(text).collect();
            column.typed::<ByteArrayType>().write_batch(&all, None, None)?;
            column.close()?;
        }
    }
    if let Some(mut column) = group.next_column()? {
        let all: Vec<f64> = values.iter().map(|v| v.value).collect();
        column.typed::<DoubleType>().write_batch(&all, None, None)?;
        column.close()?;
    }
    group.close()?;
    writer.into_inner()
}
