//! A cursor over a number that only grows.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, python_text};

use crate::model::CountCursor;
use crate::run::context::Run;
use crate::run::record::Record;

#[derive(Clone, Debug)]
pub(crate) struct CountState {
    field: String,
    /// Where this read begins.
    pub start: i64,
    reached: i64,
    latest: Option<i64>,
}

impl CountState {
    pub(crate) fn new(run: &Run<'_>, cursor: &CountCursor, state: &Value) -> Result<Self> {
        let scope = run.scope();
        let field = cursor.field.text(&scope)?;
        let number = |value: &Value| value.as_i64().or_else(|| python_text(value).trim().parse().ok());
        let configured = match &cursor.start {
            Some(template) => number(&template.value(&scope)?).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, "`start_value` is not a whole number: correct the cursor or the config")
            })?,
            None => 0,
        };
        let start = state.get(&field).and_then(number).unwrap_or(configured);
        Ok(CountState { field, start, reached: start, latest: None })
    }

    /// The one slice, as templates see it.
    pub(crate) fn window(&self) -> Map {
        Map::from_iter([("start".to_owned(), Value::from(self.start)), ("end".to_owned(), Value::from(i64::MAX))])
    }

    pub(crate) fn observe(&mut self, record: &Record) -> bool {
        let value = record.member(&self.field);
        let value = value.and_then(|value| value.as_i64().or_else(|| python_text(&value).trim().parse().ok()));
        self.latest = self.latest.max(value);
        value.is_some()
    }

    pub(crate) fn close(&mut self) {
        self.reached = self.latest.take().map_or(self.reached, |latest| latest.max(self.reached));
    }

    pub(crate) fn state(&self) -> Value {
        Value::Object(Map::from_iter([(self.field.clone(), Value::from(self.reached))]))
    }
}
