//! The matrix finds what it is made to find: each invariant is broken by a template with one mistake.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::{HttpRequest, HttpResponse, Pages, Paging, SyncContext, Template, TemplateInfo};
use highwater_testkit::matrix::{Faults, Invariant, Live, Matrix, MatrixReport, Outcome, Subject, TrialApi};
use highwater_testkit::{FakeApi, FakeRequest, json};

/// What a template does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// A failure ends the list.
    FailureIsTheEnd,
    /// A failure ends the run, as a success.
    FailureIsSuccess,
    /// The checkpoint moves past changes that were not read.
    CheckpointFirst,
    /// The next page is read as long as there is one.
    NoEnd,
    /// Each error is another one.
    NoCause,
    /// One try.
    NoRetries,
}

#[derive(Debug)]
struct Notes(TemplateInfo, Mistake);

#[async_trait]
impl Template for Notes {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let since: u64 = context.last_checkpoint()?.unwrap_or(0);
        match self.1 {
            Mistake::NoEnd => return without_end(context).await,
            Mistake::CheckpointFirst if since > 0 => {
                // The changes are there again next time, the writer thought.
                context.checkpoint(&(since + 100))?;
                context.save("Note", Vec::new()).await?;
            }
            _ => {}
        }
        let request = HttpRequest::get("/notes").query("since", since.to_string());
        let request = if self.1 == Mistake::NoRetries { request.any_status() } else { request };
        let mut pages = Pages::new(request, Paging::cursor("/next", "page")).records_at("/notes");
        loop {
            let page = match pages.next(context).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(_) if self.1 == Mistake::FailureIsTheEnd => break,
                Err(_) if self.1 == Mistake::FailureIsSuccess => return Ok(()),
                Err(_) if self.1 == Mistake::NoCause => {
                    return Err(Error::new(ErrorKind::Internal, "something went wrong"));
                }
                Err(error) => return Err(error),
            };
            let serial: u64 = page.response.string_at("/serial")?.parse().unwrap_or(0);
            if page.next.is_none() {
                context.checkpoint(&serial)?;
            }
            context.save("Note", page.records).await?;
        }
        if context.is_full_refresh() { context.complete("Note").await } else { Ok(()) }
    }
}

async fn without_end(context: &mut SyncContext<'_>) -> Result<()> {
    let mut page = Some("0".to_owned());
    while let Some(number) = page {
        let response = context.send(HttpRequest::get("/notes").query("page", number)).await?;
        page = response.text_at("/next")?;
        context.save("Note", response.elements_at("/notes")?).await?;
    }
    context.complete("Note").await
}

/// Notes with the number of their last change, three a page.
#[derive(Default)]
struct NotesApi {
    notes: BTreeMap<u64, (u64, String)>,
    serial: u64,
}

impl NotesApi {
    fn new() -> Self {
        let mut api = NotesApi::default();
        (1..=9).for_each(|id| api.put(id, "first"));
        api
    }

    fn put(&mut self, id: u64, text: &str) {
        self.serial += 1;
        self.notes.insert(id, (self.serial, text.to_owned()));
    }
}

impl FakeApi for NotesApi {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let (since, from) = (request.number("since").unwrap_or(0), request.number("page").unwrap_or(0) as usize);
        let found: Vec<_> = self.notes.iter().filter(|(_, (at, _))| *at > since).collect();
        let notes = found.iter().skip(from).take(3).map(|(id, (_, text))| format!(r#"{{"id":{id},"text":"{text}"}}"#));
        let notes = notes.collect::<Vec<_>>().join(",");
        let next = if from + 3 < found.len() { format!(r#""{}""#, from + 3) } else { "null".to_owned() };
        json(200, format!(r#"{{"notes":[{notes}],"next":{next},"serial":"{}"}}"#, self.serial))
    }
}

impl TrialApi for NotesApi {
    fn live(&self) -> Live {
        self.notes.iter().map(|(id, (_, text))| (("Note".to_owned(), id.to_string()), text.clone())).collect()
    }

    fn change(&mut self, round: u32) {
        self.put(2, &format!("changed {round}"));
        self.put(u64::from(100 + round), "new");
    }

    fn delete(&mut self, round: u32) {
        self.notes.remove(&u64::from(4 + round));
    }
}

fn tried(mistake: Mistake, fault: &str) -> MatrixReport {
    let info = TemplateInfo::new("notes", "notes", "https://notes.example").model("Note", "A note");
    let subject = Subject::new(Arc::new(Notes(info, mistake)), NotesApi::new);
    let report = Matrix::new(subject).faults(Faults::named(fault)).run();
    assert!(!report.cells.is_empty(), "there is no fault {fault}");
    report
}

fn broken(mistake: Mistake, fault: &str) -> Vec<Invariant> {
    tried(mistake, fault).violations().map(|(_, violation)| violation.invariant).collect()
}

#[test]
fn a_template_without_mistakes_breaks_nothing() {
    for fault in ["server-down", "200-error", "server-burst", "lost-once", "truncated"] {
        assert_eq!(broken(Mistake::None, fault), [], "{fault}");
    }
}

#[test]
fn live_records_deleted_are_found() {
    assert!(broken(Mistake::FailureIsTheEnd, "200-error").contains(&Invariant::NothingLiveDeleted));
}

#[test]
fn a_success_with_records_missing_is_found() {
    assert!(broken(Mistake::FailureIsSuccess, "200-error").contains(&Invariant::NoFalseSuccess));
}

#[test]
fn records_lost_after_the_fault_are_found() {
    assert!(broken(Mistake::CheckpointFirst, "server-down").contains(&Invariant::NothingLost));
}

#[test]
fn requests_without_bound_are_found() {
    assert!(broken(Mistake::NoEnd, "page-repeats").contains(&Invariant::Bounded));
}

#[test]
fn a_message_without_its_cause_is_found() {
    assert_eq!(broken(Mistake::NoCause, "server-down"), [Invariant::CauseNamed]);
}

#[test]
fn what_could_be_borne_is_found() {
    assert_eq!(broken(Mistake::NoRetries, "server-burst"), [Invariant::Borne]);
}

#[test]
fn a_violation_names_sync_fault_invariant_and_what_happened() {
    let report = tried(Mistake::NoCause, "server-down");
    let (cell, violation) = report.violations().next().unwrap();
    assert_eq!((cell.sync.as_str(), cell.fault), ("notes/notes", "server-down"));
    assert_eq!(violation.what, "incremental run: Internal: something went wrong");
    assert_eq!(report.summary(), "trial: 1 syncs x 1 faults, 1 violations");
}

#[test]
fn a_fault_without_a_place_is_no_pass() {
    let report = tried(Mistake::None, "link-path");
    assert_eq!(report.cells[0].outcome, Outcome::NotApplicable { reason: "pages have no URLs".to_owned() });
    assert_eq!(report.counts(), (0, 1));
}
