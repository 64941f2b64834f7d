//! Cursors: how far a stream was read.

mod clamping;
mod count;
mod datetime;
mod partitioned;

pub(crate) use count::CountState;
pub(crate) use datetime::{DatetimeRules, DatetimeState, Instant};
pub(crate) use partitioned::PartitionedState;

use highwater_core::Result;
use highwater_interpolation::{Map, Value};

use super::context::Run;
use super::record::Record;
use super::slice::Slice;

/// The state of a stream without a cursor, once it was read.
pub(crate) const NO_CURSOR: &str = "__ab_no_cursor_state_message";

/// The position of one stream.
pub(crate) enum StreamCursor {
    None,
    Datetime(Box<DatetimeState>),
    Count(Box<CountState>),
    Partitioned(Box<PartitionedState>),
}

impl StreamCursor {
    /// A record of the open slice was read; whether it has a value of the cursor.
    pub(crate) fn observe(&mut self, record: &Record, slice: &Slice) -> bool {
        match self {
            StreamCursor::None => true,
            StreamCursor::Datetime(state) => state.observe(record),
            StreamCursor::Count(state) => state.observe(record),
            StreamCursor::Partitioned(state) => state.observe(record, slice),
        }
    }

    /// A slice was read to its end.
    pub(crate) fn close(&mut self, slice: &Slice) -> Result<()> {
        match self {
            StreamCursor::None => Ok(()),
            StreamCursor::Datetime(state) => state.close(slice),
            StreamCursor::Count(state) => {
                state.close();
                Ok(())
            }
            StreamCursor::Partitioned(state) => state.close(slice),
        }
    }

    pub(crate) fn state(&self) -> Result<Value> {
        match self {
            StreamCursor::None => Ok(Value::Object(Map::from_iter([(NO_CURSOR.to_owned(), Value::Bool(true))]))),
            StreamCursor::Datetime(state) => state.state(),
            StreamCursor::Count(state) => Ok(state.state()),
            StreamCursor::Partitioned(state) => state.state(),
        }
    }

    /// A test for records of the slice about to be read that does not hold the cursor.
    pub(crate) fn bounds(&self, slice: &Slice) -> Option<Bounds> {
        match self {
            StreamCursor::Datetime(state) => Some(state.bounds()),
            StreamCursor::Partitioned(state) => Some(state.bounds(slice)),
            StreamCursor::None | StreamCursor::Count(_) => None,
        }
    }
}

/// What records must lie between.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    rules: std::sync::Arc<DatetimeRules>,
    lowest: chrono::DateTime<chrono::FixedOffset>,
    highest: chrono::DateTime<chrono::FixedOffset>,
}

impl Bounds {
    pub(crate) fn into_rules(self) -> std::sync::Arc<DatetimeRules> {
        self.rules
    }

    pub(crate) fn contain(&self, record: &Record) -> bool {
        match self.rules.value_of(record) {
            Some(value) => self.lowest <= value && value <= self.highest,
            None => true,
        }
    }
}

/// A cursor's settings, evaluated with the config.
pub(crate) fn rules(run: &Run<'_>, cursor: &crate::model::DatetimeCursor) -> Result<std::sync::Arc<DatetimeRules>> {
    DatetimeRules::new(run, cursor).map(std::sync::Arc::new)
}
