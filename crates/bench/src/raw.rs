//! The ceiling: the same bytes in a bare SQLite table with an integer key, and a scan of it.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use crate::latency::{self, Latencies};
use crate::measure::{self, Figures, Meter, micros, process_time};
use crate::records::{Ids, record};
use crate::{Outcome, progress};

/// How often everything is read: a single pass is too short to measure.
pub(crate) const SCANS: u64 = 5;

/// Loads and scans a bare table, in batches, with the settings of the SQLite store.
pub(crate) fn run(records: u64, batch: u64, ids: Ids, directory: &Path) -> Outcome<Figures> {
    let path = directory.join("raw.db");
    let mut figures = Figures::new();
    let connection = Connection::open(&path)?;
    connection.pragma_update(None, "page_size", 8192)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 2048, |_| Ok(()))?;
    connection.execute_batch("CREATE TABLE raw (key INTEGER PRIMARY KEY, payload TEXT NOT NULL)")?;

    progress("raw: load");
    let mut payload_bytes = 0_u64;
    let written = measure::written_bytes();
    let reader = Connection::open(&path)?;
    reader.pragma_update(None, "cache_size", -4 * 1024)?;
    let mut latencies = Latencies::default();
    let mut meter = Meter::start();
    let mut next = 0;
    while next < records {
        let until = records.min(next + batch);
        let payloads: Vec<_> = meter.aside(|| (next..until).map(|number| record(ids, number, 0)).collect());
        let began = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut insert = connection.prepare_cached("INSERT INTO raw (payload) VALUES (?1)")?;
            for payload in &payloads {
                insert.execute([std::str::from_utf8(payload)?])?;
            }
        }
        connection.execute_batch("COMMIT")?;
        meter.piece(began);
        payload_bytes += payloads.iter().map(|payload| payload.len() as u64).sum::<u64>();
        if Latencies::due(records, next, until) {
            let before = process_time();
            latencies.add(until, page_times(&reader, until, batch)?);
            meter.leave_out_since(before);
        }
        next = until;
    }
    meter.finish(&mut figures, "load", records);
    latencies.finish(&mut figures);
    drop(reader);
    if let (Some(before), Some(after)) = (written, measure::written_bytes()) {
        figures.insert("load_written_bytes".into(), after - before);
    }
    figures.insert("payload_bytes".into(), payload_bytes as f64);

    progress("raw: scan");
    let mut meter = Meter::start();
    let began = Instant::now();
    let mut select = connection.prepare("SELECT key, payload FROM raw")?;
    let mut bytes = 0_u64;
    for _ in 0..SCANS {
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(1)?.as_bytes()?.len() as u64;
        }
    }
    meter.piece(began);
    meter.finish(&mut figures, "scan", records * SCANS);
    if bytes != payload_bytes * SCANS {
        return Err(format!("the scans read {bytes} bytes, not {payload_bytes} each").into());
    }
    drop(select);
    connection.close().map_err(|(_, error)| error)?;
    figures.insert("file_bytes".into(), measure::size_of(&path) as f64);
    Ok(figures)
}

/// A page by the integer key, its payloads copied out as a page of a store's has them.
fn page_times(reader: &Connection, records: u64, batch: u64) -> Outcome<Vec<f64>> {
    let mut times = Vec::new();
    for place in Latencies::places(records.div_ceil(batch)) {
        let before = process_time();
        let mut select = reader.prepare_cached("SELECT key, payload FROM raw WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let mut rows = select.query([i64::try_from(place * batch)?, i64::try_from(latency::PAGE)?])?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            page.push((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        }
        times.push(micros(process_time().saturating_sub(before)));
        if page.is_empty() {
            return Err("a page of the bare table is empty".into());
        }
    }
    Ok(times)
}
