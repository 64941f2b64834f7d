//! Receivers of webhooks, and what a delivery tells them.

use highwater_core::Cursor;
use highwater_engine::Secret;
use highwater_engine::webhooks::Destination;
use serde_json::Value;

use crate::disk::NAMES;

/// A receiver.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: &'static str,
    pub(crate) url: &'static str,
    pub(crate) secret: &'static str,
    /// The only connection that it subscribes to.
    pub(crate) connection: Option<usize>,
    /// The maximum of rows that are kept for it.
    pub(crate) max_rows: usize,
}

pub(crate) const PLACES: [Place; 3] = [
    Place {
        id: "every",
        url: "https://every.hook/",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        connection: None,
        max_rows: 3,
    },
    Place {
        id: "only-a",
        url: "https://only-a.hook/",
        secret: "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        connection: Some(0),
        max_rows: 1000,
    },
    Place {
        id: "leaving",
        url: "https://leaving.hook/",
        secret: "whsec_GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG",
        connection: Some(1),
        max_rows: 1000,
    },
];

/// The receiver that sometimes answers 410.
pub(crate) const LEAVING: usize = 2;

/// A receiver's settings.
pub(crate) fn destination(place: usize) -> Destination {
    let Place { id, url, connection, max_rows, .. } = PLACES[place];
    let destination = Destination::new(id, url).max_rows(max_rows);
    match connection {
        Some(connection) => destination.connection(NAMES[connection]),
        None => destination,
    }
}

/// Every receiver's id and secret.
pub(crate) fn secrets() -> impl Iterator<Item = (&'static str, Secret)> {
    PLACES.iter().map(|place| (place.id, Secret::new(place.secret)))
}

pub(crate) fn places() -> std::ops::Range<usize> {
    0..PLACES.len()
}

/// The contents of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) connection: usize,
    pub(crate) model: String,
    pub(crate) success: bool,
    /// The range that the receiver should read; none for a failure.
    pub(crate) range: Option<(Cursor, Cursor)>,
    /// How the connection stands, if this is about that.
    pub(crate) health: Option<Health>,
}

/// How a connection stands, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) name: String,
    pub(crate) operation: String,
}

impl Health {
    pub(crate) fn signed_in(&self) -> bool {
        self.operation != "refresh"
    }
}

impl Told {
    pub(crate) fn read(body: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(body).ok()?;
        let cursor = |name: &str| body["cursor"][name].as_str()?.parse::<Cursor>().ok();
        if body["type"] == "auth" {
            let text = |name: &str| body[name].as_str().map(str::to_owned);
            let health = Health { name: text("health")?, operation: text("operation")? };
            return Some(Told {
                connection: NAMES.iter().position(|name| body["connectionId"] == *name)?,
                model: String::new(),
                success: body["success"].as_bool()?,
                range: None,
                health: Some(health),
            });
        }
        Some(Told {
            health: None,
            connection: NAMES.iter().position(|name| body["connectionId"] == *name)?,
            model: body["model"].as_str()?.to_owned(),
            success: body["success"].as_bool()?,
            range: cursor("from").zip(cursor("to")),
        })
    }

    /// Whether a receiver that processed this has also processed `other`.
    pub(crate) fn covers(&self, other: &Told) -> bool {
        if self.health.is_some() || other.health.is_some() {
            let operation = |told: &Told| told.health.as_ref().map(|health| health.operation.clone());
            return self.connection == other.connection && operation(self) == operation(other);
        }
        let around = match (self.range, other.range) {
            (Some((from, to)), Some((first, last))) => {
                from.position() <= first.position() && to.position() >= last.position()
            }
            _ => true,
        };
        let same_model = self.model == other.model || !self.success;
        self.connection == other.connection && self.success == other.success && same_model && around
    }

    /// Whether a receiver that processed this has read up to a change of the connection.
    pub(crate) fn tells_of(&self, connection: usize, position: &Cursor) -> bool {
        self.connection == connection
            && self.success
            && self
                .range
                .is_some_and(|(from, to)| from.position() < position.position() && position.position() <= to.position())
    }

    /// Whether a receiver that processed this knows that the stream was emptied when it ended here.
    pub(crate) fn tells_of_clear(&self, connection: usize, end: &Cursor) -> bool {
        self.connection == connection
            && self.success
            && self.range.is_some_and(|(from, to)| from.is_start() && end.position() <= to.position())
    }
}
