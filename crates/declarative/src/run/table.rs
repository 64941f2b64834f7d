//! Files of comma-separated values, as `ResponseToFileExtractor` reads them: with pandas, everything as text.

use std::collections::BTreeSet;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use super::body::{read_bounded, refuse_page};

/// What pandas takes for a missing value.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZLIB: u8 = 0x78;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The rows of a file, packed or not. With `keep_missing`, only empty cells are null.
pub(super) fn rows(bytes: &[u8], keep_missing: bool, limit: usize) -> Result<Vec<Map>> {
    let unpacked = match bytes {
        packed if packed.starts_with(GZIP) => Some(read_bounded(MultiGzDecoder::new(packed), limit)?),
        packed if packed.first() == Some(&ZLIB) => read_bounded(ZlibDecoder::new(packed), limit).ok(),
        _ => None,
    };
    let plain = unpacked.unwrap_or_else(|| bytes.iter().copied().filter(|byte| *byte != 0).collect());
    let text = plain.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&plain);
    refuse_page(text)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text);
    let mut lines = reader.records();
    let failed = |error: csv::Error| Error::new(ErrorKind::Remote, format!("the file is not CSV: {error}"));
    let Some(header) = lines.find(|line| line.as_ref().map_or(true, |line| !is_blank(line))) else {
        return Ok(Vec::new());
    };
    let names = names(&header.map_err(failed)?);
    let mut rows = Vec::new();
    // Where the first row has more fields than there are names, the first ones are an index, which is dropped.
    let mut index = None;
    for line in lines {
        let line = line.map_err(failed)?;
        if is_blank(&line) {
            continue;
        }
        let index = *index.get_or_insert(line.len().saturating_sub(names.len()));
        if line.len() > names.len() + index {
            let place = line.position().map(csv::Position::line).unwrap_or_default();
            let message = format!("line {place} of the file has more fields than its header: it is not CSV");
            return Err(Error::new(ErrorKind::Remote, message));
        }
        let value = |place: usize| match line.get(index + place) {
            None | Some("") => Value::Null,
            Some(text) if !keep_missing && MISSING.contains(&text) => Value::Null,
            Some(text) => Value::from(text),
        };
        rows.push(names.iter().enumerate().map(|(place, name)| (name.clone(), value(place))).collect());
    }
    Ok(rows)
}

fn is_blank(line: &csv::StringRecord) -> bool {
    line.len() <= 1 && line.iter().all(|field| field.trim().is_empty())
}

/// Each name once: `a`, `a.1`; a column without one is `Unnamed: 2`.
fn names(header: &csv::StringRecord) -> Vec<String> {
    let given: Vec<String> = header
        .iter()
        .enumerate()
        .map(|(place, name)| if name.is_empty() { format!("Unnamed: {place}") } else { name.to_owned() })
        .collect();
    let mut seen = BTreeSet::new();
    let mut unique = Vec::with_capacity(given.len());
    for name in &given {
        let mut candidate = name.clone();
        let mut count = 0;
        while seen.contains(&candidate) || (count > 0 && given.contains(&candidate)) {
            count += 1;
            candidate = format!("{name}.{count}");
        }
        seen.insert(candidate.clone());
        unique.push(candidate);
    }
    unique
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    fn read(text: &[u8], keep: bool) -> Value {
        Value::Array(rows(text, keep, 1 << 20).unwrap().into_iter().map(Value::Object).collect())
    }

    #[test]
    fn names_missing_values_and_short_rows_are_as_in_pandas() {
        assert_eq!(
            read(b"a,a,,b\n1,NA,3\n\n\"x,y\",null,\"\",NaN\n", false),
            json!([{"a": "1", "a.1": null, "Unnamed: 2": "3", "b": null}, {"a": "x,y", "a.1": null, "Unnamed: 2": null, "b": null}])
        );
        assert_eq!(read("\u{feff}a\nNA\n".as_bytes(), true), json!([{"a": "NA"}]));
        assert_eq!(read(b"a,b\n1,2,3\n4,5,6\n", false), json!([{"a": "2", "b": "3"}, {"a": "5", "b": "6"}]));
        assert_eq!(read(b"", false), json!([]));
        let error = rows(b"a,b\n1,2\n3,4,5\n", false, 1 << 20).unwrap_err();
        assert_eq!(error.message(), "line 3 of the file has more fields than its header: it is not CSV");
    }

    #[test]
    fn packed_files_are_unpacked_within_the_limit() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, b"a\n1\n").unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut zlib, b"a\n1\n").unwrap();
        for packed in [gzip.clone(), zlib.finish().unwrap(), b"a\n\x001\n".to_vec(), b"a\n1\n".to_vec()] {
            assert_eq!(read(&packed, false), json!([{"a": "1"}]));
        }
        assert!(rows(&gzip, false, 2).unwrap_err().message().contains("larger than the limit"));
        assert_eq!(read(b"x\n1\n", false), json!([{"x": "1"}]), "a name that looks packed");
    }
}
