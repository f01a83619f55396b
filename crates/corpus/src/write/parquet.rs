//! Parquet: every column optional UTF-8 text, Snappy.

use super::Cells;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::io::{self, Write};
use std::sync::Arc;

/// Rows held in memory and written as one row group.
const GROUP: usize = 10_000;

/// Writes all rows.
pub(super) fn write(
    out: &mut (dyn Write + Send),
    columns: &[String],
    mut rows: &mut dyn Iterator<Item = Cells>,
) -> io::Result<()> {
    let field = |name: &String| {
        let field = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        field
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::String))
            .build()
    };
    let fields = columns
        .iter()
        .map(|name| field(name).map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let schema = Type::group_type_builder("mail")
        .with_fields(fields)
        .build()
        .map_err(failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer =
        SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
    loop {
        let group: Vec<Cells> = (&mut rows).take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        write_group(&mut writer, &group).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    rows: &[Cells],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    let mut position = 0;
    while let Some(mut column) = group.next_column()? {
        let cells = || rows.iter().map(|row| row[position].as_deref());
        let values: Vec<ByteArray> = cells().flatten().map(ByteArray::from).collect();
        let present: Vec<i16> = cells().map(|cell| i16::from(cell.is_some())).collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&present), None)?;
        column.close()?;
        position += 1;
    }
    group.close()?;
    Ok(())
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
