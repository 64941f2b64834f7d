//! The store's methods, each a piece of work for the right thread.

use std::sync::atomic::Ordering;

use super::idle::{End, Moment};
use super::writer::Job;
use super::{Threaded, closed, on_caller};
use crate::backend::{Backend, BackendRead, Table};
use crate::batch::{Commit, Document, Fence, WriteBatch};
use crate::capabilities::Capabilities;
use crate::consumer::{ConsumerCommand, ConsumerReply};
use crate::cursor::Cursor;
use crate::error::{ErrorKind, Result};
use crate::locks::lock;
use crate::log;
use crate::log::read::{Attempt, StreamView};
use crate::log::shared::Shared;
use crate::maintenance::{FilesHealth, Maintenance, MaintenanceReport, StreamHead, Version};
use crate::mutants::mutant;
use crate::page::{ContentFilter, Page, PageRequest};
use crate::record::{Json, Record};
use crate::store::{Store, StoreFuture};
use crate::stream::{StreamKey, StreamVersion};
use crate::wakeups::{Wakeups, wake_closed};

/// Streams and documents read in one go, at most.
const MAX_DOCUMENTS: usize = 10_000;

impl<B: Backend> Store for Threaded<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities
    }

    fn commit(&self, batch: WriteBatch) -> StoreFuture<'_, Commit> {
        Box::pin(async move {
            let (answer, answered) = self.inner.requests.open();
            self.send(Job::Commit(batch, answer))?;
            answered.await.map_err(|_| closed())?.map_err(|error| self.named(error).during("commit"))
        })
    }

    fn page(&self, request: PageRequest) -> StoreFuture<'_, Page> {
        Box::pin(async move {
            let moment = {
                let mut idle = lock(&self.inner.idle);
                let moment = idle.look(self.inner.generation.load(Ordering::Acquire));
                if moment.is_some()
                    && !request.after.is_start()
                    && let Some(end) = idle.look_up_end(&self.inner.shared, &request.stream)
                    && let Some(page) = nothing_new(&request, end)
                {
                    return Ok(page);
                }
                moment
            };
            if request.after.is_start() && request.matching.is_some() {
                Box::pin(self.track(&request)).await;
            }
            // Boxed, so that the future of a poll that finds nothing stays small.
            Box::pin(self.read_page(request, moment)).await
        })
    }

    fn get<'s>(&'s self, stream: &'s StreamKey, ids: &'s [&'s str]) -> StoreFuture<'s, Vec<Option<Record>>> {
        Box::pin(async move {
            let records = if ids.len() <= on_caller::MOST_IDS {
                self.inner.caller_reader.read(&self.inner.shared, |shared, read| {
                    let view = StreamView::load(shared, read, stream)?;
                    if !view.finds_at_once() {
                        return Ok(Attempt::Done(None));
                    }
                    view.get_all(read, ids).map(|records| records.map(Some))
                })
            } else {
                None
            };
            let records = match records.map(Result::transpose).and_then(|records| records) {
                Some(records) => records,
                None => {
                    let stream = stream.clone();
                    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
                    self.read(move |shared, read| StreamView::load(shared, read, &stream)?.get_all(read, &ids)).await
                }
            };
            records.map_err(|error| self.named(error).during("get"))
        })
    }

    fn head<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, StreamHead> {
        Box::pin(async move {
            let look = |stream: StreamKey| {
                move |shared: &Shared, read: &mut dyn BackendRead| {
                    Ok(Attempt::Done(StreamView::load(shared, read, &stream)?.head()))
                }
            };
            match self.inner.caller_reader.read(&self.inner.shared, look(stream.clone())) {
                Some(head) => head.map_err(|error| self.named(error)),
                None => self.read(look(stream.clone())).await,
            }
        })
    }

    fn streams(&self) -> StoreFuture<'_, Vec<StreamHead>> {
        Box::pin(async move { self.read(|shared, read| log::read::streams(shared, read).map(Attempt::Done)).await })
    }

    fn versions<'s>(&'s self, stream: &'s StreamKey, id: &'s str) -> StoreFuture<'s, Vec<Version>> {
        Box::pin(async move {
            let (stream, id) = (stream.clone(), id.to_owned());
            self.read(move |shared, read| StreamView::load(shared, read, &stream)?.versions(read, &id)).await
        })
    }

    fn as_of<'s>(
        &'s self,
        stream: &'s StreamKey,
        cursor: Cursor,
        after_id: &'s str,
        limit: usize,
    ) -> StoreFuture<'s, Vec<Record>> {
        Box::pin(async move {
            let (stream, after_id) = (stream.clone(), after_id.to_owned());
            self.read(move |shared, read| {
                StreamView::load(shared, read, &stream)?.as_of(read, &cursor, &after_id, limit).map(Attempt::Done)
            })
            .await
        })
    }

    fn document<'s>(&'s self, key: &'s str) -> StoreFuture<'s, Option<Json>> {
        Box::pin(async move {
            let look = |key: Vec<u8>| {
                move |_: &Shared, read: &mut dyn BackendRead| {
                    let value = read.get(Table::State, &key)?;
                    value.map(|value| Json::from_stored(value.into())).transpose().map(Attempt::Done)
                }
            };
            let (known, moment) = lock(&self.inner.idle).document(&self.inner.generation, key);
            if let Some(value) = known {
                return Ok(value);
            }
            let bytes = log::document_key(key);
            let value = match self.inner.caller_reader.read(&self.inner.shared, look(bytes.clone())) {
                Some(value) => value.map_err(|error| self.named(error)),
                None => self.read(look(bytes)).await,
            }?;
            if let Some(moment) = moment {
                lock(&self.inner.idle).note_document(moment, key, value.as_ref());
            }
            Ok(value)
        })
    }

    fn documents<'s>(&'s self, prefix: &'s str, after: &'s str, limit: usize) -> StoreFuture<'s, Vec<Document>> {
        Box::pin(async move {
            let (prefix, after) = (prefix.to_owned(), after.to_owned());
            let limit = limit.min(MAX_DOCUMENTS);
            self.read(move |_, read| log::read::documents(read, &prefix, &after, limit).map(Attempt::Done)).await
        })
    }

    fn lease<'s>(&'s self, name: &'s str) -> StoreFuture<'s, Fence> {
        Box::pin(async move {
            let name = name.to_owned();
            self.write(move |transaction| {
                let token = transaction.next_fence(&name)?;
                Ok(Fence { name: name.into(), token })
            })
            .await
        })
    }

    fn consumer_command<'s>(
        &'s self,
        stream: &'s StreamKey,
        name: &'s str,
        command: ConsumerCommand,
    ) -> StoreFuture<'s, ConsumerReply> {
        Box::pin(async move {
            let (stream, name) = (stream.clone(), name.to_owned());
            if matches!(command, ConsumerCommand::Status) {
                return self.consumer_status(stream, name).await.map_err(|error| error.during("consumer"));
            }
            self.write(move |transaction| transaction.consumer_command(&stream, &name, &command))
                .await
                .map_err(|error| error.during("consumer"))
        })
    }

    fn consumers<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, Vec<String>> {
        Box::pin(async move {
            let stream = stream.clone();
            self.read(move |shared, read| {
                let number = StreamView::load(shared, read, &stream)?.state.number;
                log::consumers::consumer_names(read, number).map(Attempt::Done)
            })
            .await
        })
    }

    fn maintain(&self, task: Maintenance) -> StoreFuture<'_, MaintenanceReport> {
        Box::pin(async move {
            match task {
                Maintenance::Configure(stream, options) => {
                    self.write(move |transaction| transaction.configure(&stream, &options)).await
                }
                Maintenance::Prune { stream, what, up_to } => {
                    self.write(move |transaction| transaction.prune(&stream, what, &up_to)).await
                }
                Maintenance::Clear(stream) => self.write(move |transaction| transaction.clear(&stream)).await,
                Maintenance::Verify(stream) => {
                    self.read(move |shared, read| {
                        let found = StreamView::load(shared, read, &stream)?.verify(read)?;
                        Ok(Attempt::Done(MaintenanceReport::Verified(found)))
                    })
                    .await
                }
                Maintenance::CheckFiles => {
                    let mut problems = self.read(|_, read| log::lost::orphans(read).map(Attempt::Done)).await?;
                    let of_pages = self.on_writer(|writer| writer.with_backend(Backend::check_files)).await?;
                    let pages_checked = of_pages.is_some();
                    problems.extend(of_pages.into_iter().flatten());
                    Ok(MaintenanceReport::Files(FilesHealth { problems, pages_checked }))
                }
                Maintenance::CheckClock => {
                    self.read(|shared, read| {
                        let (head, environment) = (log::state::Head::load(read)?, &*shared.environment);
                        let known = head.signs_of_time(read, shared.clock.expected_ms(environment))?;
                        Ok(Attempt::Done(MaintenanceReport::Clock(
                            head.clock_health(environment.now().unix_ms(), &known),
                        )))
                    })
                    .await
                }
                Maintenance::AcceptClock => self.write(|transaction| transaction.accept_clock()).await,
                Maintenance::RebaseClock => self.write(|transaction| transaction.rebase_clock()).await,
                Maintenance::Recode => self.recode().await,
                Maintenance::CheckCodec => {
                    self.read(|_, read| {
                        log::needs::health(read).map(|health| Attempt::Done(MaintenanceReport::Codec(health)))
                    })
                    .await
                }
                Maintenance::BackUp(backup) => self.back_up(backup).await.map(MaintenanceReport::BackedUp),
                Maintenance::Compact => {
                    self.with_backend(|backend| backend.compact().map(MaintenanceReport::Compacted)).await
                }
            }
            .map_err(|error| error.during("maintain"))
        })
    }

    fn stream_version(&self, stream: &StreamKey) -> Option<StreamVersion> {
        stream.check().ok()?;
        lock(&self.inner.idle).stream_version(&self.inner.generation, &self.inner.shared, stream)
    }

    fn subscribe(&self) -> Wakeups {
        let wakeups = self.inner.wakeups.starting_now();
        // The writer may be asleep without watching other processes: let it start watching.
        let _ = self.send(Job::Task(Box::new(|_| ())));
        wakeups
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // Reading threads end first: they hold handles to the files.
            let readers = lock(&self.inner.readers).take();
            drop(readers);
            self.inner.backups.stop();
            self.inner.caller_reader.stop();
            let outcome = self.on_writer(|writer| writer.close()).await;
            self.inner.executor.stop_accepting();
            wake_closed(&self.inner.wake);
            match outcome {
                Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
                outcome => outcome,
            }
        })
    }
}

impl<B: Backend> Threaded<B> {
    /// The page, and what it shows about the stream's end at `moment`.
    async fn read_page(&self, request: PageRequest, moment: Option<Moment>) -> Result<Page> {
        let stream = request.stream.clone();
        let limit = request.limit.clamp(1, crate::page::MAX_LIMIT);
        let request = PageRequest { limit, ..request };
        let page = match self.page_on_caller(&request) {
            Some(page) => page,
            None => {
                let whole = move |shared: &Shared, read: &mut dyn BackendRead| {
                    StreamView::load(shared, read, &request.stream)?.page(read, &request)
                };
                self.read(whole).await
            }
        };
        let mut page = page.map_err(|error| self.named(error).during("page"))?;
        if mutant!("high-water-second-transaction") && page.caught_up {
            page.high_water = self.head(&stream).await?.high_water;
            page.next_cursor = page.high_water;
        }
        if page.caught_up
            && let Some(moment) = moment
        {
            lock(&self.inner.idle).note(moment, &self.inner.shared, &stream, page.high_water.position_in_epoch());
        }
        Ok(page)
    }

    /// Makes the stream track the filter of a reading that begins. Where it cannot, or while somebody is writing (a reading waits
    /// for no writer), the reading reports more records as left than have left the filter, never fewer.
    async fn track(&self, request: &PageRequest) {
        let Some(filter) = request.matching.clone().filter(|filter| filter.check().is_ok()) else { return };
        let (stream, wanted) = (request.stream.clone(), filter.clone());
        let wanting = self
            .read(move |shared, read| {
                let number = StreamView::load(shared, read, &stream)?.state.number;
                Ok(Attempt::Done(number != 0 && log::filters::Filters::load(read, number)?.wants(&wanted)))
            })
            .await;
        if wanting.is_ok_and(|wanting| wanting) {
            let stream = request.stream.clone();
            let tracked: Result<Option<()>> = self
                .write_at_once(move |transaction| {
                    let slot = transaction.open(&stream)?;
                    transaction.track(slot, &filter)
                })
                .await;
            drop(tracked);
        }
    }

    /// A consumer's status, from a snapshot: it waits for no writer.
    async fn consumer_status(&self, stream: StreamKey, name: String) -> Result<ConsumerReply> {
        let look = move |shared: &Shared, read: &mut dyn BackendRead| {
            let status = log::consumers::status(&StreamView::load(shared, read, &stream)?, read, &name)?;
            Ok(Attempt::Done(ConsumerReply::Status(status)))
        };
        match self.inner.caller_reader.read(&self.inner.shared, &look) {
            Some(status) => status.map_err(|error| self.named(error)),
            None => self.read(look).await,
        }
    }

    /// The page, read on this thread, if it is a small one.
    fn page_on_caller(&self, request: &PageRequest) -> Option<Result<Page>> {
        let small = on_caller::small(request)?;
        let page = self.inner.caller_reader.read(&self.inner.shared, |shared, read| {
            let view = StreamView::load(shared, read, &small.stream)?;
            if !on_caller::fits(&small, &view.state) {
                return Ok(Attempt::Done(None));
            }
            view.page(read, &small).map(|page| page.map(Some))
        })?;
        let page = page.transpose()?;
        // Large records cut it short: another thread reads it whole.
        let short = |page: &Page| page.has_more && page.changes.len() < small.limit;
        Some(page).filter(|page| small.max_bytes == request.max_bytes || !page.as_ref().is_ok_and(short))
    }

    /// Slice by slice, so that other writers get their turn.
    async fn recode(&self) -> Result<MaintenanceReport> {
        let mut payloads = 0;
        self.write(|transaction| transaction.begin_recode()).await?;
        for head in self.streams().await? {
            let stream = head.stream.clone();
            let mut next = Some(self.write(move |transaction| transaction.recode_all(&stream)).await?);
            while let Some(from) = next {
                let stream = head.stream.clone();
                let (rewritten, then) = self.write(move |transaction| transaction.recode(&stream, from)).await?;
                payloads += rewritten;
                next = then;
            }
        }
        self.write(|transaction| transaction.finish_recode()).await?;
        Ok(MaintenanceReport::Recoded { payloads })
    }
}

/// The empty page, if the request's cursor is the stream's end and valid.
fn nothing_new(request: &PageRequest, End { position: end, cursor, token_key }: End) -> Option<Page> {
    if request.after == cursor && request.matching.is_none() {
        let (changes, next_cursor, high_water) = (Vec::new(), cursor, cursor);
        return Some(Page { changes, next_cursor, has_more: false, caught_up: true, high_water });
    }
    let filter = request.matching.as_ref().map_or(0, ContentFilter::fingerprint);
    // The whole position: another history may have minted the same ULID.
    let same_ulid = request.after.position() == end.ulid;
    let at_end = request.after.position_in_epoch() == end || (same_ulid && mutant!("idle-end-without-epoch"));
    let filter = log::filters::binding(&token_key, &request.after, filter);
    (at_end && token_key.vouches_for(&request.after, filter)).then(|| Page {
        changes: Vec::new(),
        next_cursor: request.after,
        has_more: false,
        caught_up: true,
        high_water: match request.after.drain() {
            0 => request.after,
            _ => token_key.cursor(request.after.position_in_epoch(), filter),
        },
    })
}
