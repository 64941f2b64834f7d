//! The careless receivers of webhooks, and the books about what must be sent to them: each delivery that was
//! committed arrives, together they cover what was committed, none comes after a 410 or too early, none goes to another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Cursor, Error, ErrorKind, Page, Result, Timestamp, WriteBatch};
use highwater_engine::Secret;
use highwater_engine::webhooks::{OutboxRow, SIGNATURE_TOLERANCE, verify};
use highwater_template::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::disk::NAMES;
use crate::plan::{CONNECTIONS, Knob};
use crate::shared::Shared;
use crate::told::{LEAVING, PLACES, Told, places};

/// A row: its receiver, and its id.
type Row = (usize, String);

/// The state of the disk, according to the commits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    waiting: BTreeMap<Row, u32>,
    dead: BTreeMap<Row, u32>,
    disabled: [bool; PLACES.len()],
    /// The last health that a receiver is told of a connection.
    health: BTreeMap<(usize, usize), String>,
    /// Where each change of a connection was committed.
    positions: Vec<(usize, Cursor)>,
    /// The end of a connection's stream when it was cleared.
    clears: Vec<(usize, Cursor)>,
}

#[derive(Debug, Default)]
struct Books {
    kept: Kept,
    /// Every row that was ever committed.
    known: BTreeMap<Row, Told>,
    /// Rows that a receiver processed.
    received: BTreeMap<Row, u32>,
    /// The end of the pause that a receiver asked for, in true time. It applies once it was recorded.
    asked_ms: [Option<(Row, u64)>; PLACES.len()],
    quiet_ms: [u64; PLACES.len()],
    /// No receiver accepts anything.
    closed: bool,
}

impl Books {
    /// A connection is removed: what a run did that this cuts off is told to nobody, and what is told already stays so. That its
    /// streams were emptied with it is told, if the commit says so.
    fn cut_off(&mut self, connection: usize, is_told: bool) {
        let kept = &self.kept;
        let held = |row: &Row| {
            self.received.contains_key(row) || kept.waiting.contains_key(row) || kept.dead.contains_key(row)
        };
        let told: Vec<(usize, &Told)> =
            self.known.iter().filter(|(row, _)| held(row)).map(|(row, told)| (row.0, told)).collect();
        let by_all = |tells: &dyn Fn(&Told) -> bool| {
            let mut wanted = places().filter(|place| PLACES[*place].connection.is_none_or(|of| of == connection));
            wanted.all(|place| told.iter().any(|(to, told)| *to == place && tells(told)))
        };
        let emptied = kept.clears.iter().rfind(|(of, _)| is_told && *of == connection);
        let positions = kept
            .positions
            .iter()
            .filter(|(of, position)| *of != connection || by_all(&|told| told.tells_of(connection, position)));
        let clears = kept.clears.iter().filter(|clear| {
            Some(*clear) == emptied
                || clear.0 != connection
                || by_all(&|told| told.tells_of_clear(connection, &clear.1))
        });
        let (positions, clears) = (positions.copied().collect(), clears.copied().collect());
        (self.kept.positions, self.kept.clears) = (positions, clears);
        self.kept.health.retain(|(_, of), _| *of != connection);
    }
}

/// All receivers; they outlive every process.
#[derive(Debug)]
pub(crate) struct Receivers {
    shared: Arc<Shared>,
    books: Mutex<Books>,
}

impl Receivers {
    pub(crate) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Receivers { shared: Arc::clone(shared), books: Mutex::default() })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// The receiver of a request, if it is a delivery.
    pub(crate) fn place(&self, request: &HttpRequest) -> Option<usize> {
        PLACES.iter().position(|place| request.url == place.url)
    }

    /// The current state, for a backup.
    pub(crate) fn kept(&self) -> Kept {
        self.books().kept.clone()
    }

    /// The disk was replaced by a backup.
    pub(crate) fn restore(&self, kept: Kept) {
        let mut books = self.books();
        books.kept = kept;
        (books.asked_ms, books.quiet_ms) = Default::default();
    }

    /// Sets whether all receivers refuse everything from now on.
    pub(crate) fn close(&self, closed: bool) {
        self.books().closed = closed;
    }

    /// The host adds the receiver again.
    pub(crate) fn welcome(&self, place: usize) {
        let mut books = self.books();
        if std::mem::take(&mut books.kept.disabled[place]) {
            self.shared.reached("receiver came back");
        }
        (books.asked_ms[place], books.quiet_ms[place]) = (None, 0);
    }

    /// A batch was committed.
    pub(crate) fn committed(&self, batch: &WriteBatch) {
        let mut books = self.books();
        let (mut removed, mut put) = (Vec::new(), Vec::new());
        for (key, value) in batch.documents() {
            if let (Some(name), None) = (key.strip_prefix("connection/"), value) {
                let connection = NAMES.iter().position(|known| *known == name);
                let drafts = format!("outbox/draft/{name}/");
                let is_told = batch.documents().any(|(key, value)| key.starts_with(&drafts) && value.is_some());
                connection.into_iter().for_each(|connection| books.cut_off(connection, is_told));
            }
            let Some((kind, rest)) = key.strip_prefix("outbox/").and_then(|key| key.split_once('/')) else { continue };
            let (id, row) = rest.split_once('/').unwrap_or((rest, ""));
            let Some(place) = PLACES.iter().position(|place| place.id == id) else { continue };
            let name = (place, row.to_owned());
            match (kind, value) {
                ("destination", Some(value)) => {
                    let settings: Value = serde_json::from_slice(value).unwrap_or_default();
                    books.kept.disabled[place] = settings["disabled"].is_string();
                    if books.kept.disabled[place] {
                        self.shared.reached("receiver gone");
                    }
                }
                ("row" | "dead", Some(value)) => {
                    let Ok(row) = serde_json::from_slice::<OutboxRow>(value) else {
                        self.shared.broken("outbox", format!("the row {name:?} does not read"));
                        continue;
                    };
                    self.put(&mut books, kind, name.clone(), &row);
                    put.push(name);
                }
                ("row", None) => {
                    books.kept.waiting.remove(&name);
                    removed.push(name);
                }
                ("dead", None) => {
                    books.kept.dead.remove(&name);
                    removed.push(name);
                }
                _ => {}
            }
        }
        for row in removed {
            if books.received.contains_key(&row) || put.contains(&row) {
                continue;
            }
            let Some(gone) = books.known.get(&row) else { continue };
            // News of a connection's health give way to later ones, which stay as they are.
            let stay = books.kept.waiting.keys().chain(books.kept.dead.keys()).filter(|heir| heir.1 > row.1);
            let stay = stay.filter(|_| gone.health.is_some());
            let heir = put.iter().chain(stay).filter(|heir| heir.0 == row.0).filter_map(|heir| books.known.get(heir));
            if heir.into_iter().any(|heir| heir.covers(gone)) {
                self.shared.reached("deliveries collapsed");
            } else {
                self.shared.broken("outbox", format!("{row:?} went unsent: {gone:?}"));
            }
        }
    }

    fn put(&self, books: &mut Books, kind: &str, name: Row, row: &OutboxRow) {
        let Some(told) = Told::read(&row.body) else {
            self.shared.broken("outbox", format!("{name:?} tells something strange: {}", row.body));
            return;
        };
        let place = name.0;
        if PLACES[place].connection.is_some_and(|connection| connection != told.connection) {
            self.shared.broken("outbox", format!("{name:?} is told of another connection: {told:?}"));
        }
        if let Some(health) = told.health.clone().filter(|_| !books.known.contains_key(&name)) {
            self.shared.reached("health told");
            let before = books.kept.health.insert((place, told.connection), health.name.clone());
            // One in between may have given way.
            let all_kept = PLACES[place].max_rows > 100;
            if place != LEAVING && all_kept && !health.signed_in() && before.as_ref() == Some(&health.name) {
                self.shared.broken("outbox", format!("{name:?} tells again that {told:?}"));
            }
        }
        books.known.entry(name.clone()).or_insert(told);
        if kind == "dead" {
            self.shared.reached("delivery given up");
            books.kept.dead.insert(name, row.attempts);
            return;
        }
        let before = books.kept.waiting.insert(name.clone(), row.attempts);
        if before.is_some_and(|before| before < row.attempts)
            && let Some((_, until_ms)) = books.asked_ms[place].take_if(|(asked, _)| *asked == name)
        {
            books.quiet_ms[place] = until_ms;
        }
    }

    /// A commit changed a stream: `before` is its former end, `page` its complete contents.
    pub(crate) fn changed(&self, connection: usize, before: Option<Cursor>, page: &Page) {
        let cursors = page.changes.iter().map(|change| change.record.metadata.cursor);
        let minted = cursors.filter(|cursor| before.is_none_or(|before| *cursor > before));
        self.books().kept.positions.extend(minted.map(|cursor| (connection, cursor)));
    }

    /// A commit cleared a stream, which now ends here: its former contents are no longer reported, but the clearing is, if
    /// it had any.
    pub(crate) fn cleared(&self, connection: usize, had_records: bool, end: Cursor) {
        let kept = &mut self.books().kept;
        kept.positions.retain(|(of, _)| *of != connection);
        if had_records {
            kept.clears.push((connection, end));
        }
    }

    /// A delivery is sent.
    pub(crate) fn sent(&self, place: usize, request: &HttpRequest) -> Row {
        let body = request.body.clone().unwrap_or_default();
        let timestamp = request.headers.iter().find(|(name, _)| name == "webhook-timestamp");
        let seconds: u64 = timestamp.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
        let at = Timestamp::from_unix_ms(seconds * 1000);
        let secrets = [Secret::new(PLACES[place].secret)];
        let id = match verify(&request.headers, &body, &secrets, at, SIGNATURE_TOLERANCE) {
            Ok(verified) => verified.id.strip_prefix("msg_").unwrap_or_default().to_owned(),
            Err(error) => {
                self.shared.broken("outbox", format!("a delivery to {} is not genuine: {error}", PLACES[place].id));
                String::new()
            }
        };
        let (row, mut books) = ((place, id), self.books());
        // A pause that it asked for, but that the process did not live to record, is forgotten.
        books.asked_ms[place] = None;
        if !books.known.contains_key(&row) {
            self.shared.broken("outbox", format!("{row:?} was sent and never committed"));
        }
        if books.kept.disabled[place] {
            self.shared.broken("outbox", format!("{row:?} was sent after a 410 was noted"));
        }
        let now_ms = self.shared.true_ms();
        if now_ms < books.quiet_ms[place] && !self.shared.plan.has(Knob::ClockJumps) {
            self.shared.broken("outbox", format!("{row:?} was sent {} ms too early", books.quiet_ms[place] - now_ms));
        }
        row
    }

    /// The receiver's answer to a delivery that arrived.
    pub(crate) async fn answer(&self, row: Row, life: u64) -> Result<HttpResponse> {
        let (shared, place) = (&self.shared, row.0);
        let late = || async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(Error::new(ErrorKind::Unavailable, "the receiver did not answer"))
        };
        if self.books().closed && !shared.is_calm() {
            let headers = vec![("Retry-After".to_owned(), "86400".to_owned())];
            return Ok(HttpResponse::new(503, headers, "closed for days"));
        }
        if shared.chance(Knob::BadReceivers, 8) {
            shared.reached("delivery lost");
            return late().await;
        }
        if shared.chance(Knob::BadReceivers, 20) {
            shared.reached("delivery refused");
            return Ok(HttpResponse::new([500, 503, 404, 302][shared.below(4)], Vec::new(), ""));
        }
        if shared.chance(Knob::BadReceivers, 12) {
            shared.reached("receiver asked for a pause");
            let seconds = 1 + shared.below(900) as u64;
            self.books().asked_ms[place] = Some((row, shared.true_ms() + seconds * 1000));
            let headers = vec![("Retry-After".to_owned(), seconds.to_string())];
            return Ok(HttpResponse::new(429, headers, "slow down"));
        }
        if place == LEAVING && shared.chance(Knob::BadReceivers, 15) {
            return Ok(HttpResponse::new(410, Vec::new(), "no more"));
        }
        {
            let mut books = self.books();
            let times = books.received.entry(row.clone()).or_default();
            *times += 1;
            shared.reached(if *times > 1 { "delivery came twice" } else { "delivery received" });
        }
        shared.note(|| format!("{row:?} was received"));
        shared.gate(life, "delivered").await;
        if shared.chance(Knob::BadReceivers, 8) {
            shared.reached("answer to a delivery lost");
            return late().await;
        }
        Ok(HttpResponse::new(204, Vec::new(), ""))
    }

    /// Whether no deliverable row is waiting.
    pub(crate) fn is_done(&self) -> bool {
        let kept = &self.books().kept;
        kept.dead.keys().chain(kept.waiting.keys()).all(|(place, _)| kept.disabled[*place])
    }

    /// At the end: everything that was committed for a receiver has arrived there.
    pub(crate) fn check_end(&self) {
        let books = self.books();
        if !self.is_done_in(&books.kept) {
            self.shared.broken("outbox", format!("not everything is delivered: {:?}", books.kept.waiting));
        }
        for place in places().filter(|place| *place != LEAVING) {
            let arrived: Vec<&Told> = books
                .known
                .iter()
                .filter(|(row, told)| row.0 == place && told.success && books.received.contains_key(*row))
                .map(|(_, told)| told)
                .collect();
            let wanted =
                (0..CONNECTIONS).filter(|connection| PLACES[place].connection.is_none_or(|of| of == *connection));
            for connection in wanted {
                for (_, position) in books.kept.positions.iter().filter(|(of, _)| *of == connection) {
                    let told = arrived.iter().any(|told| told.tells_of(connection, position));
                    if !told {
                        let place = PLACES[place].id;
                        self.shared.broken("outbox", format!("{place} was never told of {position:?} of {connection}"));
                    }
                }
                for (_, end) in books.kept.clears.iter().filter(|(of, _)| *of == connection) {
                    let told = arrived.iter().any(|told| told.tells_of_clear(connection, end));
                    if !told {
                        let place = PLACES[place].id;
                        self.shared.broken("outbox", format!("{place} was never told that {connection} was emptied"));
                    }
                }
            }
        }
    }

    fn is_done_in(&self, kept: &Kept) -> bool {
        kept.waiting.keys().all(|(place, _)| kept.disabled[*place])
    }
}
