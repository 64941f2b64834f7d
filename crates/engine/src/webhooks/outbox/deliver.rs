//! Delivers due rows and handles the responses.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Timestamp, WriteBatch};
use highwater_template::{HttpRequest, HttpResponse, Secret};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Outbox;
use super::collapse::collapse_dead;
use super::draft::tell;
use super::lease::{Bid, Lease};
use crate::cancel::CancelToken;
use crate::documents::{
    DRAFTS, Destination, OutboxRow, Rest, WebhookFormat, dead_key, destination_key, rest_key, row_key,
};
use crate::http::time_until;
use crate::mutants::mutant;
use crate::reach::Reach;
use crate::timer;
use crate::webhooks::signature::{hex_signature, plain_signature, standard_signatures};

/// The longest wait for a receiver's answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Rows read at a time.
pub(super) const PAGE: usize = 64;

/// Destinations served at the same time.
const AT_ONCE: usize = 8;

/// The longest that a failed delivery delays the others of its destination, unless the receiver asks for more.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How long to collect wake-ups, so that a busy store is not searched after every commit.
const GATHER: Duration = Duration::from_millis(100);

/// The longest sleep: changes by other processes and of the clock are noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The result of one pass over the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// Deliveries that were accepted.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// When something is due next, as far as is known.
    pub next_at: Option<Timestamp>,
}

impl DeliveryReport {
    fn add(&mut self, other: DeliveryReport) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.dead += other.dead;
        if let Some(next) = other.next_at {
            self.due(next);
        }
    }

    /// There is something to do at this time.
    pub(super) fn due(&mut self, at: Timestamp) {
        self.next_at = Some(self.next_at.map_or(at, |known| known.min(at)));
    }
}

/// Delivers the rows of an outbox in the background. Returned by [`Outbox::start`].
///
/// A clone controls the same work. It is asked to stop when the last clone is dropped.
#[derive(Clone, Debug)]
#[must_use = "dropping it stops the deliveries"]
pub struct BackgroundDelivery {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cancel: CancelToken,
    /// Whether the work has ended; closed without a value if it failed.
    ended: watch::Receiver<bool>,
}

impl BackgroundDelivery {
    /// Starts no further attempt, and waits for those in progress: at most 20 seconds, the time that a receiver has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`] if the background work had failed.
    pub async fn shutdown(&self) -> Result<()> {
        self.inner.cancel.cancel();
        let mut ended = self.inner.ended.clone();
        match ended.wait_for(|ended| *ended).await {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::new(ErrorKind::Internal, "the deliveries failed").because(source)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Outbox {
    /// Starts to deliver on `runtime`, until the returned value and its clones are dropped or shut down.
    pub fn start(&self, runtime: &Handle) -> BackgroundDelivery {
        let cancel = CancelToken::new();
        let (end, ended) = watch::channel(false);
        let (outbox, token) = (self.clone(), cancel.clone());
        runtime.spawn(async move {
            work(outbox, token).await;
            end.send_replace(true);
        });
        BackgroundDelivery { inner: Arc::new(Inner { cancel, ended }) }
    }

    /// Delivers everything that is due now, once. For hosts with their own schedule.
    ///
    /// ```no_run
    /// # async fn example(outbox: highwater_engine::webhooks::Outbox) -> highwater_core::Result<()> {
    /// let pass = outbox.deliver_due().await?;
    /// println!("{} delivered, {} failed", pass.delivered, pass.failed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] or [`ErrorKind::Fenced`] if this process stalled for longer than its lease (the computer slept, or the
    /// disk did not respond for 15 s): call it again. And those of the store.
    pub async fn deliver_due(&self) -> Result<DeliveryReport> {
        self.pass(&CancelToken::new()).await
    }

    async fn pass(&self, cancel: &CancelToken) -> Result<DeliveryReport> {
        let (store, environment) = (&*self.parts.store, &*self.parts.environment);
        // Drafts that a process committed but did not turn into rows.
        if !mutant!("draft-told-by-its-run-alone") {
            tell(store, environment, DRAFTS).await?;
        }
        let mut pass = DeliveryReport::default();
        if self.due(&mut pass).await?.is_empty() {
            return Ok(pass);
        }
        let lease = match Lease::bid(store, environment).await? {
            Bid::Won(lease) => Arc::new(lease),
            Bid::HeldUntil(until) => {
                pass.due(until);
                return Ok(pass);
            }
        };
        // Changes by the former holder count: a destination that answered 410, for example.
        pass = DeliveryReport::default();
        let outcome = match self.due(&mut pass).await {
            Ok(wanted) => {
                tokio::select! {
                    biased;
                    served = self.serve(wanted, &lease, cancel) => served,
                    // Attempts in progress end with it.
                    lost = lease.keep(store, environment) => Err(lost),
                }
            }
            Err(error) => Err(error),
        };
        if let Some(lease) = Arc::into_inner(lease) {
            // After a takeover there is nothing to release.
            let _ = lease.release(store).await;
        }
        pass.add(outcome?);
        Ok(pass)
    }

    async fn serve(
        &self,
        mut wanted: Vec<Destination>,
        lease: &Arc<Lease>,
        cancel: &CancelToken,
    ) -> Result<DeliveryReport> {
        let mut pass = DeliveryReport::default();
        let mut serving: JoinSet<Result<DeliveryReport>> = JoinSet::new();
        loop {
            while serving.len() < AT_ONCE
                && let Some(destination) = wanted.pop()
            {
                let (outbox, lease, cancel) = (self.clone(), Arc::clone(lease), cancel.clone());
                serving.spawn(async move { outbox.serve_one(&destination, &lease, &cancel).await });
            }
            match serving.join_next().await {
                Some(Ok(served)) => pass.add(served?),
                Some(Err(source)) => {
                    return Err(Error::new(ErrorKind::Internal, "a delivery failed unexpectedly").because(source));
                }
                None => return Ok(pass),
            }
        }
    }

    /// Attempts a destination's due rows, oldest first, until one fails.
    async fn serve_one(
        &self,
        destination: &Destination,
        lease: &Lease,
        cancel: &CancelToken,
    ) -> Result<DeliveryReport> {
        let environment = &*self.parts.environment;
        let mut pass = DeliveryReport::default();
        let mut after = String::new();
        'rows: loop {
            let rows = self.waiting(&destination.id, &after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            for row in rows {
                if cancel.is_cancelled() {
                    break 'rows;
                }
                if !row.is_due(environment.now()) {
                    continue;
                }
                lease.check(&*self.parts.store, environment).await?;
                if !self.try_one(destination, row, lease, &mut pass).await? {
                    break 'rows;
                }
            }
        }
        if let Some(next) = self.next_due(destination).await? {
            pass.due(next);
        }
        Ok(pass)
    }

    /// One attempt and its consequences; returns whether the destination accepted it.
    async fn try_one(
        &self,
        destination: &Destination,
        mut row: OutboxRow,
        lease: &Lease,
        pass: &mut DeliveryReport,
    ) -> Result<bool> {
        let environment = &*self.parts.environment;
        let verdict = self.send(destination, &row).await;
        let now = environment.now();
        let mut batch = lease.batch();
        let dead = pass.dead;
        let well = match verdict {
            Verdict::Accepted => {
                pass.delivered += 1;
                batch.remove_document(row_key(&destination.id, &row.id)).remove_document(rest_key(&destination.id));
                true
            }
            Verdict::Gone => {
                pass.failed += 1;
                let reason = "the receiver answered 410: it wants no more deliveries".to_owned();
                let destination = Destination { disabled: Some(reason), ..destination.clone() };
                batch.put_document(destination_key(&destination.id), &destination)?;
                false
            }
            Verdict::Failed { error, retry_after } => {
                pass.failed += 1;
                let mut chance = [0; 4];
                environment.fill_random(&mut chance);
                if row.failed(error, retry_after, now, u32::from_le_bytes(chance)) {
                    pass.dead += 1;
                    batch.remove_document(row_key(&destination.id, &row.id));
                    batch.put_document(dead_key(&destination.id, &row.id), &row)?;
                } else {
                    batch.put_document(row_key(&destination.id, &row.id), &row)?;
                }
                // A receiver may ask for a longer pause.
                let rest = now + LONGEST_REST;
                let rest = if retry_after.is_some() { row.next_try_at } else { row.next_try_at.min(rest) };
                if !mutant!("rest-forgotten") {
                    batch.put_document(rest_key(&destination.id), &Rest::new(now, rest))?;
                }
                false
            }
        };
        self.conclude(destination, &row, batch).await?;
        if pass.dead > dead {
            collapse_dead(&*self.parts.store, environment, destination).await?;
        }
        Ok(well)
    }

    /// Stores the outcome of an attempt, unless the row or its destination was removed in the meantime.
    async fn conclude(&self, destination: &Destination, row: &OutboxRow, mut batch: WriteBatch) -> Result<()> {
        let store = &*self.parts.store;
        let (place, row_place) = (destination_key(&destination.id), row_key(&destination.id, &row.id));
        let (known, waiting) = (store.document(&place).await?, store.document(&row_place).await?);
        if known.is_none() || waiting.is_none() {
            return Ok(());
        }
        batch.expect_document(place, known.as_ref()).expect_document(row_place, waiting.as_ref());
        match store.commit(batch).await {
            // It was changed at this moment: it is attempted again, with the same id.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    pub(super) async fn send(&self, destination: &Destination, row: &OutboxRow) -> Verdict {
        let secrets = match self.secrets_of(&destination.id).await {
            Ok(secrets) if secrets.is_empty() => {
                let why = "the destination has no secret: set one with `set_secrets` or `rotate_secret`";
                return Verdict::failed(why.to_owned());
            }
            Ok(secrets) => secrets,
            Err(error) => return Verdict::failed(error.to_string()),
        };
        let now = self.parts.environment.now();
        let request = match request(destination, row, &secrets, now) {
            Ok(request) => request,
            Err(error) => return Verdict::failed(error.to_string()),
        };
        match timer::timeout(PATIENCE, self.parts.transport.send(request)).await {
            Some(Ok(response)) => verdict(&response, now),
            Some(Err(error)) => Verdict::failed(error.to_string()),
            None => Verdict::failed("the receiver did not answer in 20 seconds".to_owned()),
        }
    }
}

pub(super) enum Verdict {
    Accepted,
    Gone,
    Failed { error: String, retry_after: Option<Duration> },
}

impl Verdict {
    fn failed(error: String) -> Self {
        Verdict::Failed { error, retry_after: None }
    }
}

fn verdict(response: &HttpResponse, now: Timestamp) -> Verdict {
    match response.status {
        200..=299 => Verdict::Accepted,
        410 => Verdict::Gone,
        300..=399 => Verdict::failed(format!(
            "the receiver answered {}: redirects are not followed, use the final URL",
            response.status
        )),
        status => Verdict::Failed {
            error: format!("the receiver answered {status}"),
            retry_after: response.header("retry-after").and_then(|value| time_until(value, now.unix_ms())),
        },
    }
}

fn request(destination: &Destination, row: &OutboxRow, secrets: &[Secret], now: Timestamp) -> Result<HttpRequest> {
    // This also covers a destination that was stored by other means.
    let reach = destination.check()?;
    let id = format!("msg_{}", row.id);
    let timestamp = i64::try_from(now.unix_ms() / 1000).unwrap_or(i64::MAX);
    let body = row.body.as_bytes();
    let mut request = HttpRequest::new("POST", destination.url.as_str())
        // Only the status counts. The body, of any size, is not read.
        .body_limit(if mutant!("answers-are-read") { u64::MAX } else { 0 })
        .global_only(reach == Reach::Public && !destination.allow_private)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", standard_signatures(secrets, &id, timestamp, body)?);
    if let Some(secret) = secrets.first() {
        let signature = hex_signature(secret, body);
        if destination.format == WebhookFormat::Nango {
            request = request.header("X-Nango-Hmac-Sha256", signature.as_str());
            request = request.header("X-Nango-Signature", plain_signature(secret, body));
        }
        request = request.header("X-Highwater-Hmac-Sha256", signature);
    }
    request.body = Some(row.body.clone().into());
    Ok(request)
}

async fn work(outbox: Outbox, cancel: CancelToken) {
    let mut wakeups = outbox.parts.store.subscribe();
    while !cancel.is_cancelled() {
        let now = outbox.parts.environment.now();
        let pause = match outbox.pass(&cancel).await {
            Ok(pass) => pass.next_at.map_or(LONGEST_SLEEP, |next| next.duration_since(now)),
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                tracing::warn!(target: "highwater::outbox", "{error}");
                Duration::from_secs(1)
            }
        };
        let pause = pause.min(LONGEST_SLEEP).max(GATHER);
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            woken = wakeups.changed() => {
                if woken.is_err() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => {}
                    () = timer::sleep(GATHER) => {}
                }
            }
            () = timer::sleep(pause) => {}
        }
    }
}
