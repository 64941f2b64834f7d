//! The trial matrix: every sync against every known misbehaviour of APIs.
//!
//! A [`Subject`] is a template and the API that it reads, a [`Fault`] is what that API does wrong. For each pair, the matrix
//! puts the fault into a first run, an incremental run and a full refresh, at the first, the middle and the last request,
//! and then runs the sync without a fault. The [`Invariant`]s have to hold throughout. All waits pass in virtual time.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//! use highwater_template::async_trait::async_trait;
//! use highwater_template::{HttpRequest, HttpResponse, Pages, Paging, SyncContext, Template, TemplateInfo};
//! use highwater_testkit::matrix::{Faults, Live, Matrix, Subject, TrialApi};
//! use highwater_testkit::{FakeApi, FakeRequest, json};
//!
//! #[derive(Debug)]
//! struct Notes(TemplateInfo);
//!
//! #[async_trait]
//! impl Template for Notes {
//!     fn info(&self) -> &TemplateInfo {
//!         &self.0
//!     }
//!     async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
//!         let mut pages = Pages::new(HttpRequest::get("/notes"), Paging::cursor("/next", "page")).records_at("/notes");
//!         while let Some(page) = pages.next(context).await? {
//!             context.save("Note", page.records).await?;
//!         }
//!         context.complete("Note").await
//!     }
//! }
//!
//! /// The API, shaped after its documentation: three notes a page.
//! struct NotesApi(BTreeMap<u32, String>);
//!
//! impl FakeApi for NotesApi {
//!     fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
//!         let from = request.number("page").unwrap_or(0) as usize;
//!         let notes = self.0.iter().skip(from).take(3).map(|(id, text)| format!(r#"{{"id":{id},"text":"{text}"}}"#));
//!         let notes = notes.collect::<Vec<_>>().join(",");
//!         let next = if from + 3 < self.0.len() { format!(r#""{}""#, from + 3) } else { "null".to_owned() };
//!         json(200, format!(r#"{{"notes":[{notes}],"next":{next}}}"#))
//!     }
//! }
//!
//! impl TrialApi for NotesApi {
//!     fn live(&self) -> Live {
//!         self.0.iter().map(|(id, text)| (("Note".to_owned(), id.to_string()), text.clone())).collect()
//!     }
//!     fn change(&mut self, round: u32) {
//!         self.0.insert(2, format!("changed in round {round}"));
//!         self.0.insert(100 + round, "new".to_owned());
//!     }
//!     fn delete(&mut self, round: u32) {
//!         self.0.remove(&(4 + round));
//!     }
//! }
//!
//! let info = TemplateInfo::new("notes", "notes", "https://notes.example").model("Note", "A note");
//! let notes = Subject::new(Arc::new(Notes(info)), || NotesApi((1..=9).map(|n| (n, "first".to_owned())).collect()));
//! let report = Matrix::new(notes).faults(Faults::named("server")).run();
//! assert_eq!(report.summary(), "trial: 1 syncs x 2 faults, 0 violations");
//! ```

mod catalogue;
mod cell;
mod faults;
mod hostile;
mod invariants;
pub mod natives;
mod page;
mod pages;
pub mod recorded;
mod report;
mod subject;
mod trial;
mod watch;
mod wire;

pub use faults::{Fault, Faults};
pub use report::{Cell, Invariant, MatrixReport, Outcome, Violation};
pub use subject::{Live, Subject, TrialApi};

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use highwater_core::locks::lock;

/// Called with each cell when it is done.
type Watcher = Arc<dyn Fn(&Cell) + Send + Sync>;

/// Some syncs and some faults, to be tried with each other.
#[derive(Clone)]
pub struct Matrix {
    subjects: Vec<Subject>,
    faults: Faults,
    threads: usize,
    watcher: Option<Watcher>,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("subjects", &self.subjects)
            .field("faults", &self.faults.len())
            .finish_non_exhaustive()
    }
}

impl Matrix {
    /// Makes a matrix of one sync and every fault.
    pub fn new(subject: Subject) -> Self {
        Matrix::of([subject])
    }

    /// Makes a matrix of some syncs and every fault.
    pub fn of(subjects: impl IntoIterator<Item = Subject>) -> Self {
        Matrix { subjects: subjects.into_iter().collect(), faults: Faults::all(), threads: 2, watcher: None }
    }

    /// Chooses faults. Defaults to all.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Sets how many syncs are tried at a time, each on a thread of its own. Defaults to 2.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Calls `watcher` with each cell as soon as it is done, from any of the threads.
    #[must_use]
    pub fn watch(mut self, watcher: impl Fn(&Cell) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Arc::new(watcher));
        self
    }

    /// Runs every pair, in virtual time, and returns the results. Blocks the caller; it has its own threads and runtimes, so
    /// that it may be called within a runtime.
    pub fn run(&self) -> MatrixReport {
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<usize, Vec<Cell>>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..self.threads.min(self.subjects.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(subject) = self.subjects.get(index) else { return };
                        let cells = self.row(subject);
                        lock(&done).insert(index, cells);
                    }
                });
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        MatrixReport { cells: done.into_values().flatten().collect() }
    }

    /// The cells of one sync, on a runtime with a paused clock.
    fn row(&self, subject: &Subject) -> Vec<Cell> {
        let runtime = paused();
        let mut sound = BTreeMap::new();
        let mut cells = Vec::new();
        for fault in self.faults.iter() {
            let outcome = match &runtime {
                Ok(runtime) => runtime.block_on(tried(subject, fault, &mut sound)),
                Err(error) => broken(format!("no runtime: {error}")),
            };
            let cell = Cell { sync: subject.name(), fault: fault.name(), outcome };
            if let Some(watcher) = &self.watcher {
                watcher(&cell);
            }
            cells.push(cell);
        }
        cells
    }
}

/// One cell; `sound` keeps what is known of runs without a fault, by whether all records have one time.
async fn tried(subject: &Subject, fault: &Fault, sound: &mut BTreeMap<bool, cell::Known>) -> Outcome {
    let known = match sound.entry(fault.ties()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(empty) => empty.insert(match cell::sound(subject, fault).await {
            Ok(known) => known,
            Err(error) => Err(format!("the trial itself fails: {error}")),
        }),
    };
    match known {
        Ok(sound) => cell::cell(subject, &fault.met_by(subject), *sound).await,
        Err(what) => broken(what.clone()),
    }
}

/// Returns what is wrong with a subject without a fault.
fn check(subject: &Subject) -> Result<(), String> {
    let Some(fault) = catalogue::ALL.first() else { return Ok(()) };
    let on_a_thread = || {
        let runtime = paused().map_err(|error| format!("no runtime: {error}"))?;
        match runtime.block_on(cell::sound(subject, fault)) {
            Ok(known) => known.map(drop),
            Err(error) => Err(format!("the trial itself fails: {error}")),
        }
    };
    // A runtime must not be blocked on within another.
    std::thread::scope(|scope| scope.spawn(on_a_thread).join()).unwrap_or_else(|_| Err("the trial panicked".to_owned()))
}

/// A runtime whose waits pass at once.
fn paused() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
}

fn broken(what: String) -> Outcome {
    Outcome::Violated { violations: vec![Violation { invariant: Invariant::NothingLost, what }] }
}
