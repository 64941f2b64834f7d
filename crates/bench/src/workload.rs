//! What a host does with a store, phase by phase.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use highwater_codec::{Codec, Compression, Dictionary};
use highwater_core::content::Canonicalizer;
use highwater_core::{
    ContentRules, Cursor, DeleteGuard, MemoryStore, PageRequest, RunId, Seek, Store, StoreExt, StoreOptions, StreamKey,
    Timestamp, WriteBatch,
};
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;

use crate::args::{Compressed, Subject, Workload};
use crate::latency::{self, Latencies};
use crate::measure::{self, Figures, Meter, median, micros, process_time, thread_time};
use crate::raw::SCANS;
use crate::records::{Random, id, record};
use crate::{Outcome, progress};

/// One record in this many changes, or goes missing.
const RARE: u64 = 100;

/// Runs every phase on a new store.
pub(crate) fn run(subject: Subject, workload: &Workload, directory: &Path) -> Outcome<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut bench = Bench {
        subject,
        workload: *workload,
        path: directory.join("store"),
        stream: StreamKey::new("tracker-main", "Issue"),
        runs: 0,
        figures: Figures::new(),
    };
    runtime.block_on(bench.all())?;
    Ok(bench.figures)
}

struct Bench {
    subject: Subject,
    workload: Workload,
    path: PathBuf,
    stream: StreamKey,
    runs: u64,
    figures: Figures,
}

/// What a run over the source finds.
#[derive(Clone, Copy)]
struct Source {
    /// The version of every record.
    version: fn(u64) -> u64,
    /// Whether the source still has a record.
    has: fn(u64) -> bool,
}

impl Bench {
    async fn all(&mut self) -> Outcome<()> {
        let mut store = self.open()?;
        self.load(&store).await?;
        if self.subject != Subject::Memory {
            store.close().await?;
            drop(store);
            self.figures.insert("file_bytes".into(), measure::size_of(&self.path) as f64);
            let began = Instant::now();
            store = self.open()?;
            self.figures.insert("open_ms".into(), micros(began.elapsed()) / 1000.0);
        }
        self.drain(&store).await?;
        self.polls(&store).await?;
        self.statuses(&store).await?;
        self.gets(&store).await?;
        let same = Source { version: |_| 0, has: |_| true };
        if self.subject != Subject::Memory {
            self.resync(&store, "unchanged_reopened", same).await?;
        }
        self.resync(&store, "unchanged", same).await?;
        let changed = Source { version: |number| u64::from(number % RARE == 7), has: |_| true };
        self.resync(&store, "changed1", changed).await?;
        let missing = Source { version: changed.version, has: |number| number % RARE != 11 };
        self.resync(&store, "missing1", missing).await?;
        store.close().await?;
        Ok(())
    }

    fn open(&self) -> Outcome<Arc<dyn Store>> {
        Ok(match self.subject {
            Subject::Sqlite => Arc::new(SqliteStore::builder(&self.path).options(self.options()?).open()?),
            Subject::Redb => Arc::new(RedbStore::builder(&self.path).options(self.options()?).open()?),
            Subject::Sled => Arc::new(SledStore::builder(&self.path).options(self.options()?).open()?),
            Subject::Memory => Arc::new(MemoryStore::with_options(self.options()?)?),
            Subject::Raw => return Err("raw is not a store".into()),
        })
    }

    /// The defaults, and the codec that was asked for. Its dictionary is the same at every opening.
    fn options(&self) -> Outcome<StoreOptions> {
        let options = StoreOptions::new();
        if self.workload.codec == Compressed::None {
            return Ok(options);
        }
        let samples: Vec<_> = (0..4000).map(|number| record(self.workload.ids, number, 0)).collect();
        let dictionary = Dictionary::train(&samples, 32 * 1024)?;
        let compression = Compression::new().dictionary(dictionary);
        Ok(options.codec(Codec::builder().compress(compression).build()))
    }

    /// The initial load, as the first run of a sync makes it; looks at pages on the way.
    async fn load(&mut self, store: &Arc<dyn Store>) -> Outcome<()> {
        progress(&format!("{}: load", self.subject.name()));
        let Workload { records, batch, ids, .. } = self.workload;
        let run = self.next_run();
        let mut ends: Vec<Cursor> = Vec::new();
        let mut latencies = Latencies::default();
        let mut payload_bytes = 0;
        measure::reset_peak_memory();
        let written = measure::written_bytes();
        let mut meter = Meter::start();
        let mut next = 0;
        while next < records {
            let until = records.min(next + batch);
            let payloads: Vec<_> = meter.aside(|| (next..until).map(|number| record(ids, number, 0)).collect());
            payload_bytes += payloads.iter().map(|payload| payload.len() as u64).sum::<u64>();
            let began = Instant::now();
            let writes = self.page(run, next == 0, payloads, until)?;
            let commit = store.commit(writes).await?;
            meter.piece(began);
            let done = &commit.streams[0];
            if done.added != until - next {
                return Err(format!("{} of {} records were added", done.added, until - next).into());
            }
            ends.push(done.cursor);
            if Latencies::due(records, next, until) {
                let before = process_time();
                latencies.add(until, self.page_times(store, &ends).await?);
                meter.leave_out_since(before);
            }
            next = until;
        }
        let began = Instant::now();
        self.complete(store, run).await?;
        meter.piece(began);
        meter.finish(&mut self.figures, "load", records);
        if let (Some(before), Some(after)) = (written, measure::written_bytes()) {
            self.figures.insert("load_written_bytes".into(), after - before);
        }
        if let Some(peak) = measure::peak_memory_mb() {
            self.figures.insert("rss_mb".into(), peak);
        }
        self.figures.insert("payload_bytes".into(), payload_bytes as f64);
        latencies.finish(&mut self.figures);
        Ok(())
    }

    async fn page_times(&self, store: &Arc<dyn Store>, ends: &[Cursor]) -> Outcome<Vec<f64>> {
        let mut times = Vec::new();
        for place in Latencies::places(ends.len() as u64) {
            let after = place.checked_sub(1).map_or(Cursor::START, |before| ends[before as usize]);
            let request = PageRequest::new(self.stream.clone()).since(after).limit(latency::PAGE);
            let before = process_time();
            let page = store.page(request).await?;
            times.push(micros(process_time().saturating_sub(before)));
            if page.changes.is_empty() {
                return Err("a page in the midst of the log is empty".into());
            }
        }
        Ok(times)
    }

    /// Reads the whole log, payloads included, as often as the bare table was scanned.
    async fn drain(&mut self, store: &Arc<dyn Store>) -> Outcome<()> {
        for limit in [1000, 100, 10_000] {
            progress(&format!("{}: drain by {limit}", self.subject.name()));
            measure::reset_peak_memory();
            let mut meter = Meter::start();
            let (mut records, mut bytes) = (0, 0);
            for _ in 0..SCANS {
                let mut after = Cursor::START;
                loop {
                    let began = Instant::now();
                    let page = store.page(PageRequest::new(self.stream.clone()).since(after).limit(limit)).await?;
                    records += page.changes.len() as u64;
                    for change in &page.changes {
                        bytes += change.record.payload.as_ref().map_or(0, |payload| payload.as_bytes().len());
                    }
                    after = page.next_cursor;
                    let done = page.caught_up;
                    drop(page);
                    meter.piece(began);
                    if done {
                        break;
                    }
                }
            }
            meter.finish(&mut self.figures, &format!("drain{limit}"), records);
            let wanted = (self.workload.records * SCANS, self.figures["payload_bytes"] * SCANS as f64);
            if (records, bytes as f64) != wanted {
                return Err(format!("the drain read {records} records with {bytes} bytes").into());
            }
            if let Some(peak) = measure::peak_memory_mb() {
                self.figures.insert(format!("drain{limit}_rss_mb"), peak);
            }
        }
        Ok(())
    }

    /// Polls at the end of the log: after a commit that did not concern the stream, and after none.
    async fn polls(&mut self, store: &Arc<dyn Store>) -> Outcome<()> {
        progress(&format!("{}: empty polls", self.subject.name()));
        let end = store.head(&self.stream).await?.high_water;
        let request = PageRequest::new(self.stream.clone()).since(end).limit(1000);
        let (mut times, mut walls) = (Vec::new(), Vec::new());
        for round in 0..300 {
            let mut elsewhere = WriteBatch::new();
            elsewhere.put_document("checkpoint/tracker-main/others", &round)?;
            store.commit(elsewhere).await?;
            let request = request.clone();
            let (began, cpu) = (Instant::now(), process_time());
            let page = store.page(request).await?;
            times.push(micros(process_time().saturating_sub(cpu)));
            walls.push(micros(began.elapsed()));
            if !page.changes.is_empty() || !page.caught_up {
                return Err("a poll at the end found something".into());
            }
        }
        self.figures.insert("empty_poll_us".into(), median(times));
        self.figures.insert("empty_poll_wall_us".into(), median(walls));
        let polls = 20_000;
        let requests: Vec<_> = (0..polls).map(|_| request.clone()).collect();
        let mut meter = Meter::start();
        let began = Instant::now();
        for request in requests {
            store.page(request).await?;
        }
        meter.piece(began);
        meter.finish(&mut self.figures, "idle_poll", polls);
        Ok(())
    }

    /// Measures the status of a named reader with the whole log before it, without concurrent writes.
    async fn statuses(&mut self, store: &Arc<dyn Store>) -> Outcome<()> {
        progress(&format!("{}: status of a named reader", self.subject.name()));
        let reader = store.consumer(&self.stream, "bench");
        reader.seek(Seek::Start).await?;
        let (mut times, mut walls) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let (began, cpu) = (Instant::now(), process_time());
            let status = reader.status().await?;
            times.push(micros(process_time().saturating_sub(cpu)));
            walls.push(micros(began.elapsed()));
            if status.lag != self.workload.records {
                return Err(format!("a reader at the start is {} behind", status.lag).into());
            }
        }
        self.figures.insert("consumer_status_us".into(), median(times));
        self.figures.insert("consumer_status_wall_us".into(), median(walls));
        reader.remove().await?;
        Ok(())
    }

    /// Reads records by id in random order, one and a hundred in a call.
    async fn gets(&mut self, store: &Arc<dyn Store>) -> Outcome<()> {
        progress(&format!("{}: get by id", self.subject.name()));
        let Workload { records, ids, .. } = self.workload;
        let mut random = Random(42);
        for (name, calls, each) in [("get", 20_000, 1), ("get100", 400, 100_usize)] {
            // Made ahead: asking for the time twice a call would be a good part of what is measured.
            let wanted: Vec<String> = (0..calls * each).map(|_| id(ids, random.below(records))).collect();
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let mut meter = Meter::start();
            for wanted in wanted.chunks(each) {
                let began = Instant::now();
                let found = store.get(&self.stream, wanted).await?;
                meter.piece(began);
                if found.iter().any(Option::is_none) {
                    return Err("a record was not found by its id".into());
                }
            }
            meter.finish(&mut self.figures, name, wanted.len() as u64);
        }
        Ok(())
    }

    /// A run over the whole source, its end and its deletes included.
    async fn resync(&mut self, store: &Arc<dyn Store>, name: &str, source: Source) -> Outcome<()> {
        progress(&format!("{}: {name}", self.subject.name()));
        let Workload { records, batch, ids, .. } = self.workload;
        let before = store.head(&self.stream).await?;
        let run = self.next_run();
        measure::reset_peak_memory();
        let mut meter = Meter::start();
        let (mut next, mut updated) = (0, 0);
        while next < records {
            let until = records.min(next + batch);
            let payloads: Vec<_> = meter.aside(|| {
                let numbers = (next..until).filter(|number| (source.has)(*number));
                numbers.map(|number| record(ids, number, (source.version)(number))).collect()
            });
            let began = Instant::now();
            let writes = self.page(run, next == 0, payloads, until)?;
            updated += store.commit(writes).await?.streams[0].updated;
            meter.piece(began);
            next = until;
        }
        let began = Instant::now();
        let deleted = self.complete(store, run).await?;
        self.figures.insert(format!("run_end_{name}_ms"), micros(began.elapsed()) / 1000.0);
        meter.piece(began);
        meter.finish(&mut self.figures, name, records);
        let missing = (0..records).filter(|number| !(source.has)(*number)).count() as u64;
        let expected = if name == "changed1" { records.div_ceil(RARE) } else { 0 };
        let after = store.head(&self.stream).await?;
        if deleted != missing || updated.abs_diff(expected) > 1 || after.live != before.live - missing {
            return Err(format!("{name}: {updated} updated, {deleted} deleted, {} live", after.live).into());
        }
        if let Some(peak) = measure::peak_memory_mb() {
            self.figures.insert(format!("{name}_rss_mb"), peak);
        }
        if name == "changed1" {
            self.figures.insert("canonical_us".into(), self.canonical_us()?);
        }
        Ok(())
    }

    /// What one canonical hash costs, for scale.
    fn canonical_us(&self) -> Outcome<f64> {
        let payloads: Vec<_> = (0..1000).map(|number| record(self.workload.ids, number, 0)).collect();
        let mut canonicalizer = Canonicalizer::new(&ContentRules::new());
        let before = thread_time();
        for payload in &payloads {
            canonicalizer.read(payload)?;
        }
        Ok(micros(thread_time() - before) / 1000.0)
    }

    /// Builds the batch of one page of a run, with the checkpoint `until`.
    fn page(&self, run: RunId, first: bool, payloads: Vec<Bytes>, until: u64) -> Outcome<WriteBatch> {
        let mut writes = WriteBatch::new();
        let stream = writes.on(&self.stream);
        if first {
            stream.begin_run(run);
        }
        stream.in_run(run);
        for payload in payloads {
            stream.upsert(payload);
        }
        writes.put_document("checkpoint/tracker-main/issues", &until)?;
        Ok(writes)
    }

    async fn complete(&self, store: &Arc<dyn Store>, run: RunId) -> Outcome<u64> {
        let mut end = WriteBatch::new();
        end.on(&self.stream).complete_run(run, DeleteGuard::default());
        let commit = store.commit(end).await?;
        Ok(commit.streams[0].deleted)
    }

    fn next_run(&mut self) -> RunId {
        self.runs += 1;
        RunId::new(Timestamp::from_unix_ms(self.runs), 1)
    }
}
