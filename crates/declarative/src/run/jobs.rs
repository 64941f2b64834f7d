//! Asynchronous retrievers: create a job, poll until it is done, and download the result.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, python_text};
use highwater_template::HttpResponse;

use super::context::Run;
use super::errors::headers_value;
use super::extract::extract_values;
use super::pages::{PageReader, PageRules, RecordPage};
use super::request::Parts;
use super::select::refine;
use super::slice::Slice;
use crate::exchange::Purpose;
use crate::model::{AsyncRetriever, JobStatus, Requester, Template};

/// Seconds between two looks at a job.
const POLL_SECONDS: u64 = 5;
const MAX_ATTEMPTS: u32 = 3;

/// The records of one slice's job.
pub(crate) struct JobReader<'r> {
    run: &'r Run<'r>,
    retriever: &'r AsyncRetriever,
    slice: Slice,
    rules: PageRules<'r>,
    stage: Stage<'r>,
}

/// A job that is done: its slice with the API's answers, and what to download.
pub(crate) struct Job {
    slice: Slice,
    targets: Vec<Value>,
}

enum Stage<'r> {
    Fetching { job: Box<Slice>, targets: std::vec::IntoIter<Value>, pages: Option<Box<PageReader<'r>>> },
    Done,
}

impl<'r> JobReader<'r> {
    /// The records of `job`; none of a job that made nothing.
    pub(crate) fn new(
        run: &'r Run<'r>,
        retriever: &'r AsyncRetriever,
        slice: Slice,
        rules: PageRules<'r>,
        job: Option<Job>,
    ) -> Self {
        let stage = match job {
            Some(job) => Stage::Fetching { job: Box::new(job.slice), targets: job.targets.into_iter(), pages: None },
            None => Stage::Done,
        };
        JobReader { run, retriever, slice, rules, stage }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    pub(crate) async fn next(&mut self) -> Result<Option<RecordPage>> {
        loop {
            match &mut self.stage {
                Stage::Done => return Ok(None),
                Stage::Fetching { job, targets, pages } => {
                    if let Some(reader) = pages {
                        match Box::pin(reader.next()).await? {
                            Some(page) => return self.refined(page).map(Some),
                            None => *pages = None,
                        }
                        continue;
                    }
                    match targets.next() {
                        Some(target) => {
                            let slice = job.with_extra("download_target", target);
                            *pages = Some(Box::new(PageReader::plain(self.run, &self.retriever.download, slice)));
                        }
                        None => {
                            if let Some(delete) = &self.retriever.delete {
                                let slice = job.clone();
                                ask(self.run, delete, &slice).await?;
                            }
                            self.stage = Stage::Done;
                        }
                    }
                }
            }
        }
    }

    fn refined(&self, page: RecordPage) -> Result<RecordPage> {
        let changes = self.rules.changes();
        let mut odd = page.odd;
        let records = refine(self.run, &self.retriever.selector, page.records, &self.slice, &changes, &mut odd)?;
        Ok(RecordPage { records, odd, next: None })
    }
}

/// Creates the job of a slice and waits for it to be done.
pub(crate) async fn prepare(run: &Run<'_>, retriever: &AsyncRetriever, slice: &Slice) -> Result<Option<Job>> {
    Preparation { run, retriever, slice }.completed().await
}

struct Preparation<'p> {
    run: &'p Run<'p>,
    retriever: &'p AsyncRetriever,
    slice: &'p Slice,
}

impl Preparation<'_> {
    async fn completed(&self) -> Result<Option<Job>> {
        let retriever = self.retriever;
        let minutes = self.number(retriever.timeout_minutes.as_ref())?.unwrap_or(60);
        let retry_wait = self.number(retriever.retry_wait.as_ref())?;
        let mut attempt = 1;
        loop {
            let created = ask(self.run, &retriever.create, self.slice).await?;
            let job = self.slice.with_extra("creation_response", context(&created));
            let (status, response) = self.poll(&job, minutes).await?;
            match status {
                JobStatus::Completed => {
                    let slice = job.with_extra("polling_response", context(&response));
                    let targets = self.targets(&slice, &response).await?;
                    return Ok(Some(Job { slice, targets }));
                }
                JobStatus::Skipped => return Ok(None),
                JobStatus::Running | JobStatus::TimedOut | JobStatus::Failed => {}
            }
            if status != JobStatus::Failed
                && let Some(abort) = &retriever.abort
            {
                ask(self.run, abort, &job).await?;
            }
            if attempt >= MAX_ATTEMPTS {
                let what = if status == JobStatus::Failed { "failed" } else { "did not end in time" };
                let message = format!("the job {what} {MAX_ATTEMPTS} times: look at the API's own job list");
                return Err(Error::new(ErrorKind::Remote, message).with("at", &retriever.path));
            }
            attempt += 1;
            if let (Some(seconds), JobStatus::Failed) = (retry_wait, status) {
                self.run.exchange.sleep(Duration::from_secs(seconds)).await;
            }
        }
    }

    async fn poll(&self, job: &Slice, minutes: u64) -> Result<(JobStatus, HttpResponse)> {
        let retriever = self.retriever;
        let mut left = minutes.saturating_mul(60) / POLL_SECONDS;
        loop {
            let response = ask(self.run, &retriever.poll, job).await?;
            let bodies = super::body::decode(&retriever.decoder, &response.body, self.run.limits.body_bytes)
                .map_err(|error| error.with("at", &retriever.path))?;
            let at = &retriever.path;
            let found = Box::pin(extract_values(self.run, &retriever.status, &bodies, at, &mut Vec::new())).await?;
            let text = found.first().map(python_text).unwrap_or_default();
            let known = retriever.statuses.iter().find(|(name, _)| *name == text).map(|(_, status)| *status);
            let status = known.ok_or_else(|| {
                let message = format!("the job's status `{text}` is not in `status_mapping`: add it");
                Error::new(ErrorKind::Remote, message).with("at", &retriever.path)
            })?;
            if status != JobStatus::Running {
                return Ok((status, response));
            }
            if left == 0 {
                return Ok((JobStatus::TimedOut, response));
            }
            left -= 1;
            self.run.exchange.sleep(Duration::from_secs(POLL_SECONDS)).await;
        }
    }

    async fn targets(&self, job: &Slice, polled: &HttpResponse) -> Result<Vec<Value>> {
        let retriever = self.retriever;
        let Some(extractor) = &retriever.target else { return Ok(vec![Value::from("")]) };
        let asked;
        let response = match &retriever.download_target {
            Some(requester) => {
                asked = ask(self.run, requester, job).await?;
                &asked
            }
            None => polled,
        };
        let bodies = super::body::decode(&retriever.decoder, &response.body, self.run.limits.body_bytes)
            .map_err(|error| error.with("at", &retriever.path))?;
        let mut missing = Vec::new();
        let found = Box::pin(extract_values(self.run, extractor, &bodies, &retriever.path, &mut missing)).await?;
        for path in missing {
            self.run.notes.unsound(format!("a job that is done has no `{path}` to fetch (at: {})", retriever.path));
        }
        Ok(found)
    }

    fn number(&self, template: Option<&Template>) -> Result<Option<u64>> {
        let Some(template) = template else { return Ok(None) };
        let value = template.value(&self.run.scope())?;
        Ok(value.as_u64().or_else(|| python_text(&value).trim().parse().ok()))
    }
}

async fn ask(run: &Run<'_>, requester: &Requester, slice: &Slice) -> Result<HttpResponse> {
    let answer = run.send(requester, slice, None, None, Parts::default(), Purpose::Records).await?;
    Ok(answer.response)
}

/// A response as templates of later requests see it.
fn context(response: &HttpResponse) -> Value {
    let mut members = match serde_json::from_slice(&response.body) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.get_or_insert_with("headers", || headers_value(response));
    Value::Object(members)
}
