//! A cursor over time for each partition, and a global one for new partitions.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_core::Result;
use highwater_interpolation::{Map, Value};

use super::datetime::{DatetimeRules, DatetimeState};
use super::{Bounds, datetime::Instant};
use crate::run::record::Record;
use crate::run::slice::Slice;

/// From here on one cursor over all partitions is kept.
const SWITCH_TO_GLOBAL: usize = 10_000;
/// Cursors kept at most.
const MAX_PARTITIONS: usize = 25_000;

pub(crate) struct PartitionedState {
    rules: Arc<DatetimeRules>,
    order: Vec<String>,
    partitions: HashMap<String, (Map, DatetimeState)>,
    seen: std::collections::HashSet<String>,
    use_global: bool,
    /// What all partitions have reached when the last read ended.
    global: Value,
    new_global: Option<(Instant, Value)>,
    lookback_seconds: i64,
    pub parent_state: Option<Value>,
    synced: bool,
}

impl PartitionedState {
    pub(crate) fn new(rules: Arc<DatetimeRules>, state: &Value, use_global: bool) -> Result<Self> {
        let mut this = PartitionedState {
            rules,
            order: Vec::new(),
            partitions: HashMap::new(),
            seen: std::collections::HashSet::new(),
            use_global,
            global: Value::Object(Map::new()),
            new_global: None,
            lookback_seconds: 0,
            parent_state: None,
            synced: false,
        };
        let Some(members) = state.as_object().filter(|members| !members.is_empty()) else { return Ok(this) };
        if !members.contains_key("states") && !members.contains_key("state") {
            this.set_global(state)?;
        } else {
            this.use_global = members.get("use_global_cursor").and_then(Value::as_bool).unwrap_or(use_global);
            this.lookback_seconds = members.get("lookback_window").and_then(Value::as_i64).unwrap_or(0);
            for entry in members.get("states").and_then(Value::as_array).into_iter().flatten() {
                let (Some(Value::Object(partition)), Some(cursor)) = (entry.get("partition"), entry.get("cursor"))
                else {
                    continue;
                };
                let key = Slice::new(partition.clone(), Map::new(), Map::new()).partition_key();
                let state = DatetimeState::new(Arc::clone(&this.rules), cursor, 0)?;
                this.insert(key, partition.clone(), state);
            }
            if let Some(global) = members.get("state") {
                this.set_global(global)?;
            }
        }
        this.parent_state = members
            .get("parent_state")
            .filter(|state| state.as_object().is_some_and(|state| !state.is_empty()))
            .cloned();
        Ok(this)
    }

    fn set_global(&mut self, state: &Value) -> Result<()> {
        if let Some(value) = state.get(&self.rules.field).and_then(|value| self.rules.parse(value)) {
            let written = self.rules.write(value)?;
            self.global = Value::Object(Map::from_iter([(self.rules.field.clone(), written.clone())]));
            self.new_global = Some((value, written));
        }
        Ok(())
    }

    fn insert(&mut self, key: String, partition: Map, state: DatetimeState) {
        if self.partitions.insert(key.clone(), (partition, state)).is_none() {
            self.order.push(key);
        }
    }

    fn fresh(&self) -> Result<DatetimeState> {
        let known = self.global.as_object().is_some_and(|global| !global.is_empty());
        DatetimeState::new(Arc::clone(&self.rules), &self.global, if known { self.lookback_seconds } else { 0 })
    }

    /// The windows of a partition; none for one that was read in this run already.
    pub(crate) fn windows(&mut self, partition: &Slice) -> Result<Vec<Map>> {
        if !self.use_global && self.partitions.len() > SWITCH_TO_GLOBAL {
            self.use_global = true;
        }
        let key = partition.partition_key();
        if !self.seen.insert(key.clone()) {
            return Ok(Vec::new());
        }
        while self.order.len() >= MAX_PARTITIONS {
            let oldest = self.order.remove(0);
            self.partitions.remove(&oldest);
        }
        if !self.partitions.contains_key(&key) {
            let state = self.fresh()?;
            self.insert(key.clone(), partition.partition.clone(), state);
        }
        match self.partitions.get_mut(&key) {
            Some((_, state)) => state.windows(),
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn observe(&mut self, record: &Record, slice: &Slice) -> bool {
        let Some(value) = self.rules.value_of(record) else { return false };
        self.synced = true;
        self.raise_global(value);
        if !self.use_global
            && let Some((_, state)) = self.partitions.get_mut(&slice.partition_key())
        {
            state.observe(record);
        }
        true
    }

    fn raise_global(&mut self, value: Instant) {
        if self.new_global.as_ref().is_none_or(|(known, _)| *known < value)
            && let Ok(written) = self.rules.write(value)
        {
            self.new_global = Some((value, written));
        }
    }

    pub(crate) fn close(&mut self, slice: &Slice) -> Result<()> {
        if !self.use_global
            && let Some((_, state)) = self.partitions.get_mut(&slice.partition_key())
        {
            state.close(slice)?;
        }
        Ok(())
    }

    /// The last window of a partition was closed.
    pub(crate) fn close_partition(&mut self, partition: &Slice) -> Result<()> {
        if self.use_global {
            return Ok(());
        }
        if let Some((_, state)) = self.partitions.get(&partition.partition_key())
            && let Some(value) = self.rules.parse(&state.position()?)
        {
            self.raise_global(value);
        }
        Ok(())
    }

    /// Every partition was read: what they all reached becomes the place to begin at for new ones.
    pub(crate) fn finish(&mut self, seconds: i64, parent_state: Option<Value>) {
        if self.synced {
            if let Some((_, written)) = &self.new_global {
                self.global = Value::Object(Map::from_iter([(self.rules.field.clone(), written.clone())]));
            }
            self.lookback_seconds = seconds;
        }
        self.parent_state = parent_state;
    }

    pub(crate) fn bounds(&self, slice: &Slice) -> Bounds {
        let fresh = || self.fresh().map(|state| state.bounds());
        let known = self.partitions.get(&slice.partition_key()).filter(|_| !self.use_global);
        match known.map_or_else(fresh, |(_, state)| Ok(state.bounds())) {
            Ok(bounds) => bounds,
            Err(_) => Bounds { rules: Arc::clone(&self.rules), lowest: self.rules.start, highest: self.rules.end },
        }
    }

    pub(crate) fn state(&self) -> Result<Value> {
        let mut state = Map::new();
        state.insert("use_global_cursor".into(), self.use_global.into());
        if !self.use_global {
            let mut states = Vec::new();
            for (partition, cursor) in self.order.iter().filter_map(|key| self.partitions.get(key)) {
                let mut entry = Map::new();
                entry.insert("partition".into(), Value::Object(partition.clone()));
                entry.insert("cursor".into(), cursor.state()?);
                states.push(Value::Object(entry));
            }
            state.insert("states".into(), Value::Array(states));
        }
        if self.global.as_object().is_some_and(|global| !global.is_empty()) {
            state.insert("state".into(), self.global.clone());
        }
        state.insert("lookback_window".into(), self.lookback_seconds.into());
        if let Some(parent) = &self.parent_state {
            state.insert("parent_state".into(), parent.clone());
        }
        Ok(Value::Object(state))
    }
}
