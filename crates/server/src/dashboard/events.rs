//! What pages that are open hear of: that something has changed. They read themselves again then.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use highwater_engine::RunEvent;
use highwater_engine::connections::ConnectionEvent;
use highwater_engine::syncs::SyncEvent;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::visit::{Answer, Visit};

/// How often a comment is sent while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What happens within this time is one change.
const GATHER: Duration = Duration::from_millis(400);

/// Sends an event without content after each change of a run, a sync or a connection of this process.
pub(super) async fn follow(visit: Visit) -> Answer {
    let engine = visit.engine();
    let news =
        News { runs: engine.events(), syncs: engine.sync_events(), connections: engine.connection_events(), visit };
    let beginning = Some(Bytes::from_static(b"retry: 2000\n\n"));
    let body = stream::unfold((beginning, news), |(beginning, mut news)| async move {
        let piece = match beginning {
            Some(beginning) => Some(beginning),
            None => news.next().await,
        };
        piece.map(|piece| (Ok::<_, Infallible>(piece), (None, news)))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response())
}

struct News {
    runs: Receiver<RunEvent>,
    syncs: Receiver<SyncEvent>,
    connections: Receiver<ConnectionEvent>,
    visit: Visit,
}

impl News {
    /// `None` when the session has ended, or the server is to stop.
    async fn next(&mut self) -> Option<Bytes> {
        let stopping = self.visit.state().stopping.clone();
        let lost = tokio::select! {
            heard = self.runs.recv() => matches!(heard, Err(RecvError::Closed)),
            heard = self.syncs.recv() => matches!(heard, Err(RecvError::Closed)),
            heard = self.connections.recv() => matches!(heard, Err(RecvError::Closed)),
            () = tokio::time::sleep(HEARTBEAT) => {
                return self.visit.is_signed_in().await.then(|| Bytes::from_static(b": still here\n\n"));
            }
            () = stopping.cancelled() => true,
        };
        if lost {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = stopping.cancelled() => return None,
        }
        self.runs = self.runs.resubscribe();
        self.syncs = self.syncs.resubscribe();
        self.connections = self.connections.resubscribe();
        self.visit.is_signed_in().await.then(|| Bytes::from_static(b"data: changed\n\n"))
    }
}
