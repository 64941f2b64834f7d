//! `/consumers`: named readers whose position the store keeps.
//!
//! A reader fetches a batch, stores it, and acknowledges it with the batch's token; one that could not store it says so, and gets
//! its records again, one at a time. The rules are those of [`Consumer`](highwater_core::Consumer).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use highwater_core::{
    AckToken, Consumer, ConsumerStatus, DEFAULT_VARIANT, MAX_NAME_BYTES, PollOptions, Seek, Store, StoreExt, StreamKey,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::records::page::answer_with;
use super::records::reading::MAX_LIMIT;
use crate::about::{About, Parameter, param, schema};
use crate::call::Call;
use crate::error::{ApiError, Place};
use crate::input::value::text;
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The longest lease of a batch.
const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// The parameters that name a consumer's stream.
fn stream_parameters() -> [Parameter; 2] {
    [
        param("model", schema::name(MAX_NAME_BYTES), "The model.").required().example("Contact"),
        param("variant", schema::name(MAX_NAME_BYTES), "The variant of the sync; `base` by default."),
    ]
}

pub(crate) fn routes() -> Vec<Route> {
    let about = |summary| {
        About::new(summary)
            .of_connection()
            .error(400, "invalid_cursor")
            .error(410, "cursor_expired")
            .error(409, "lease_lost")
    };
    let of_batch = |summary| {
        let body = schema::closed([("token", schema::text())]);
        about(summary).body(body, json!({ "token": "the token of the batch" })).success("It is done.")
    };
    let fetched = schema::closed([
        ("limit?", schema::integer(1, MAX_LIMIT as u64)),
        ("lease_ms?", schema::integer(1, u64::try_from(LONGEST_LEASE.as_millis()).unwrap_or(u64::MAX))),
    ]);
    let to = schema::closed([("to", schema::text())]);
    let all = schema::object([("consumers", schema::array(schema::reference("Consumer")))]);
    let ids = schema::object([("unparked", schema::array(schema::text()))]);
    vec![
        Route::get("/consumers", Scope::Read, list)
            .query(stream_parameters())
            .about(about("Lists the named consumers of a stream.").answer(200, "The consumers.", all)),
        Route::get("/consumers/{name}", Scope::Read, show)
            .query(stream_parameters())
            .about(about("Returns where a consumer stands.").answer(200, "The consumer.", schema::reference("Consumer"))),
        Route::post("/consumers/{name}/fetch", Scope::Read, fetch).query(stream_parameters()).about(
            about("Takes the lease and the next batch; makes the consumer if there is none.")
                .body(fetched, json!({ "limit": 100 }))
                .answer(200, "A batch, with the token to acknowledge it with.", schema::reference("Batch"))
                .error(429, "backing_off"),
        ),
        Route::post("/consumers/{name}/ack", Scope::Read, ack)
            .query(stream_parameters())
            .about(of_batch("Acknowledges a batch: it was stored.")),
        Route::post("/consumers/{name}/nack", Scope::Read, nack)
            .query(stream_parameters())
            .about(of_batch("Gives a batch back: it could not be stored.")),
        Route::post("/consumers/{name}/renew", Scope::Read, renew)
            .query(stream_parameters())
            .about(of_batch("Makes the lease of a batch last longer.")),
        Route::post("/consumers/{name}/seek", Scope::Write, seek).query(stream_parameters()).about(
            about("Continues elsewhere: at `start`, at `end`, behind a cursor, or with what was modified at or after a time.")
                .body(to, json!({ "to": "start" }))
                .success("It is done."),
        ),
        Route::post("/consumers/{name}/unpark", Scope::Write, unpark)
            .query(stream_parameters())
            .about(about("Delivers parked records again.").answer(200, "Their ids.", ids)),
        Route::delete("/consumers/{name}", Scope::Write, remove)
            .query(stream_parameters())
            .about(about("Removes a consumer with its position.").success("It is removed.")),
    ]
}

/// The stream and the consumer that a request names.
struct Reader {
    store: Arc<dyn Store>,
    stream: StreamKey,
    name: String,
}

impl Reader {
    async fn of(call: &Call) -> Result<Self, ApiError> {
        let name = call.path("name", MAX_NAME_BYTES)?;
        Ok(Reader { store: Arc::clone(call.store()), stream: stream(call).await?, name })
    }

    fn consumer(&self) -> Consumer<'_> {
        self.store.consumer(&self.stream, &*self.name)
    }
}

async fn stream(call: &Call) -> Result<StreamKey, ApiError> {
    let model = call.query.required("model", text(MAX_NAME_BYTES))?;
    let variant = call.query.optional("variant", text(MAX_NAME_BYTES))?;
    let connection = call.connection().await?;
    Ok(StreamKey::new(&connection.id, model).with_variant(variant.as_deref().unwrap_or(DEFAULT_VARIANT)))
}

async fn list(call: Call) -> Answer {
    let stream = stream(&call).await?;
    let store = call.store();
    let mut consumers = Vec::new();
    for name in store.consumers(&stream).await? {
        match store.consumer(&stream, name).status().await {
            // Removed in the meantime.
            Err(error) if error.kind() == highwater_core::ErrorKind::NotFound => {}
            status => consumers.push(shown(&status?)),
        }
    }
    Ok(Json(json!({ "consumers": consumers })).into_response())
}

async fn show(call: Call) -> Answer {
    let status = Reader::of(&call).await?.consumer().status().await?;
    Ok(Json(shown(&status)).into_response())
}

fn shown(status: &ConsumerStatus) -> Value {
    let ms = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    json!({
        "name": status.name, "acknowledged": status.acknowledged, "lag": status.lag, "lag_ms": ms(status.lag_time),
        "leased": status.leased, "backoff_ms": ms(status.backoff), "parked": status.parked, "evicted": status.evicted,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetch {
    limit: Option<usize>,
    lease_ms: Option<u64>,
}

/// Takes the lease and the next batch: a page with the token to acknowledge it with.
async fn fetch(mut call: Call) -> Answer {
    let wanted: Fetch = call.json().await?;
    let mut options = PollOptions::default();
    if let Some(limit) = wanted.limit {
        options = options.limit(within("limit", limit, 1, MAX_LIMIT)?);
    }
    if let Some(lease) = wanted.lease_ms {
        let longest = u64::try_from(LONGEST_LEASE.as_millis()).unwrap_or(u64::MAX);
        options = options.lease(Duration::from_millis(within("lease_ms", lease, 1, longest)?));
    }
    let reader = Reader::of(&call).await?;
    let delivery = reader.consumer().options(options).poll().await?;
    let tail = format!(",\"token\":\"{}\",\"attempt\":{}", delivery.token, delivery.attempt);
    Ok::<Response, _>(answer_with(delivery.page, call.state.compat, tail))
}

fn within<N: PartialOrd + std::fmt::Display>(name: &str, number: N, least: N, most: N) -> Result<N, ApiError> {
    if number >= least && number <= most {
        return Ok(number);
    }
    Err(ApiError::parameter(Place::Body, name, "invalid", format!("must be a whole number from {least} to {most}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfBatch {
    token: String,
}

async fn token(call: &mut Call) -> Result<AckToken, ApiError> {
    let body: OfBatch = call.json().await?;
    body.token.parse().map_err(|_| {
        let why = "is not the token of a batch: pass it exactly as the batch came with it";
        ApiError::parameter(Place::Body, "token", "invalid", why)
    })
}

async fn ack(mut call: Call) -> Answer {
    let token = token(&mut call).await?;
    Reader::of(&call).await?.consumer().ack(token).await?;
    done()
}

async fn nack(mut call: Call) -> Answer {
    let token = token(&mut call).await?;
    Reader::of(&call).await?.consumer().nack(token).await?;
    done()
}

async fn renew(mut call: Call) -> Answer {
    let token = token(&mut call).await?;
    Reader::of(&call).await?.consumer().renew(token).await?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: String,
}

/// Continues elsewhere: at `start`, `end`, behind a cursor, or with what was modified at or after a time.
async fn seek(mut call: Call) -> Answer {
    let To { to } = call.json().await?;
    let seek = match to.as_str() {
        "start" => Some(Seek::Start),
        "end" => Some(Seek::End),
        text => text.parse().map(Seek::Cursor).or_else(|_| text.parse().map(Seek::Time)).ok(),
    };
    let seek = seek.ok_or_else(|| {
        let why = "must be `start`, `end`, a cursor, or a time such as 2026-11-30T12:00:00Z";
        ApiError::parameter(Place::Body, "to", "invalid", why)
    })?;
    Reader::of(&call).await?.consumer().seek(seek).await?;
    done()
}

/// Delivers parked records again.
async fn unpark(call: Call) -> Answer {
    let ids = Reader::of(&call).await?.consumer().unpark().await?;
    Ok(Json(json!({ "unparked": ids })).into_response())
}

async fn remove(call: Call) -> Answer {
    Reader::of(&call).await?.consumer().remove().await?;
    done()
}

fn done() -> Answer {
    Ok(Json(json!({ "success": true })).into_response())
}
