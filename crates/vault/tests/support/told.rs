//! What is told, and heard, about secrets.
#![allow(dead_code)]

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};

use highwater_core::Error;

/// Every text that `tracing` is given.
#[derive(Clone, Default)]
pub(crate) struct Heard(pub(crate) Arc<Mutex<String>>);

impl tracing::field::Visit for Heard {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}: {value:?}");
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

pub(crate) fn tell(told: &mut String, text: impl fmt::Debug) {
    let _ = writeln!(told, "{text:?}");
}

pub(crate) fn tell_error(told: &mut String, error: &Error) {
    let _ = writeln!(told, "{error} {error:?} {error:#?} {}", serde_json::to_string(error).unwrap());
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let _ = writeln!(told, "{next} {next:?}");
        cause = next.source();
    }
}
