//! `GET /runs/events`: what runs do, as it happens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use highwater_core::{Error, ErrorKind};
use highwater_engine::RunEvent;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::about::{About, Parameter, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::ApiError;
use crate::input::value::text;
use crate::keys::Key;
use crate::route::Answer;
use crate::routes::common::MAX_SYNC;
use crate::state::State;

/// How often a comment is sent while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) fn parameters() -> Vec<Parameter> {
    vec![
        param("connection", schema::name(MAX_NAME), "Only of this connection."),
        param("sync", schema::name(MAX_SYNC), "Only of this sync, such as `github/issues`."),
        param("run", schema::name(26), "Only of this run."),
    ]
}

pub(super) fn about() -> About {
    About::new(
        "Follows runs of this process as server-sent events: their progress, every log line, and their end; `missed` says how many \
         events a slow reader lost.",
    )
    .answer_as(200, "Events `run`, each with a `RunEvent`, without end.", "text/event-stream")
}

pub(super) async fn follow(call: Call) -> Answer {
    let query = &call.query;
    let filter = Filter {
        connection: query.optional("connection", text(MAX_NAME))?,
        sync: query.optional("sync", text(MAX_SYNC))?,
        run: query.optional("run", text(26))?,
    };
    let events = Events { received: call.engine().events(), filter, state: call.state, key: call.key, ended: false };
    let beginning = Bytes::from_static(b"retry: 1000\n\n");
    let body = stream::unfold((Some(beginning), events), |(beginning, mut events)| async move {
        let piece = match beginning {
            Some(beginning) => Some(beginning),
            None => events.next().await,
        };
        piece.map(|piece| (Ok::<_, Infallible>(piece), (None, events)))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response())
}

struct Filter {
    connection: Option<String>,
    sync: Option<String>,
    run: Option<String>,
}

impl Filter {
    fn takes(&self, event: &RunEvent) -> bool {
        let sync = || match &event.variant {
            Some(variant) => format!("{}::{variant}", event.template),
            None => event.template.clone(),
        };
        let is = |wanted: &Option<String>, found: &dyn Fn() -> String| wanted.as_ref().is_none_or(|is| *is == found());
        is(&self.connection, &|| event.connection.clone())
            && is(&self.sync, &sync)
            && is(&self.run, &|| event.run.map_or_else(String::new, |run| run.to_string()))
    }
}

/// An open event stream.
struct Events {
    received: Receiver<RunEvent>,
    filter: Filter,
    state: Arc<State>,
    key: Option<Key>,
    ended: bool,
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.piece().await {
            Ok(piece) => piece,
            Err(error) => {
                self.ended = true;
                Some(Bytes::from(format!("event: error\ndata: {}\n\n", error.json())))
            }
        }
    }

    /// `None` when the server is to stop.
    async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let received = tokio::select! {
                received = self.received.recv() => received,
                () = tokio::time::sleep(HEARTBEAT) => {
                    self.state.check_key(self.key.as_ref()).await?;
                    return Ok(Some(Bytes::from_static(b": still here\n\n")));
                }
                () = self.state.stopping.cancelled() => return Ok(None),
            };
            match received {
                Ok(event) if self.filter.takes(&event) => {
                    // A key that was revoked in the meantime learns nothing more.
                    self.state.check_key(self.key.as_ref()).await?;
                    let data = serde_json::to_string(&event).map_err(|source| {
                        Error::new(ErrorKind::Internal, "an event cannot be written").because(source)
                    })?;
                    return Ok(Some(Bytes::from(format!("event: run\ndata: {data}\n\n"))));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(events)) => {
                    return Ok(Some(Bytes::from(format!("event: missed\ndata: {{\"events\": {events}}}\n\n"))));
                }
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }
}
