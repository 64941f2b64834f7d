//! A cursor over time: windows to read, and the merged windows that were read.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, datetime, duration::Duration, python_text};

use super::Bounds;
use super::clamping::clamp;
use crate::document::is_truthy;
use crate::model::{Clamping, DatetimeCursor, Moment, Template};
use crate::run::context::Run;
use crate::run::record::Record;
use crate::run::slice::Slice;

pub(crate) type Instant = DateTime<FixedOffset>;

/// A cursor's settings, evaluated with the config.
#[derive(Debug)]
pub(crate) struct DatetimeRules {
    pub field: String,
    pub start_field: String,
    pub end_field: String,
    pub start: Instant,
    pub end: Instant,
    format: String,
    formats: Vec<String>,
    granularity: Option<Duration>,
    step: Option<Duration>,
    lookback: Option<Duration>,
    clamping: Option<Clamping>,
    strict: bool,
    path: String,
    max_windows: usize,
}

impl DatetimeRules {
    pub(crate) fn new(run: &Run<'_>, cursor: &DatetimeCursor) -> Result<Self> {
        let scope = run.scope();
        let located = |error: Error| error.with("at", &cursor.path);
        let length = |template: &Option<Template>| -> Result<Option<Duration>> {
            let Some(template) = template else { return Ok(None) };
            let value = template.value(&scope)?;
            match is_truthy(&value) {
                true => Duration::parse(&python_text(&value)).map(Some),
                false => Ok(None),
            }
        };
        let granularity = cursor.granularity.as_deref().map(Duration::parse).transpose().map_err(located)?;
        let end = match &cursor.end {
            Some(moment) => instant(moment, run).map_err(located)?,
            None => run.now(),
        };
        let clamping = cursor.clamping.as_ref().map(|rule| rule.clamping(&scope)).transpose()?;
        let end = match clamping {
            // The end is clamped down, and lies one unit before the next window.
            Some(clamping) => {
                let unit = granularity.unwrap_or(match clamping {
                    Clamping::Day => Duration { months: 0, microseconds: 1_000_000 },
                    Clamping::Week(_) | Clamping::Month => Duration { months: 0, microseconds: 86_400_000_000 },
                });
                unit.before(clamp(clamping, end, false))?
            }
            None => end,
        };
        Ok(DatetimeRules {
            field: cursor.field.text(&scope).map_err(located)?,
            start_field: cursor.start_field.text(&scope).map_err(located)?,
            end_field: cursor.end_field.text(&scope).map_err(located)?,
            start: instant(&cursor.start, run).map_err(located)?,
            end,
            format: cursor.format.clone(),
            formats: cursor.formats.clone(),
            granularity,
            step: length(&cursor.step).map_err(located)?,
            lookback: length(&cursor.lookback).map_err(located)?,
            clamping,
            strict: cursor.strict,
            path: cursor.path.clone(),
            max_windows: run.limits.windows,
        })
    }

    pub(crate) fn parse(&self, value: &Value) -> Option<Instant> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) => python_text(value),
            _ => return None,
        };
        let formats = self.formats.iter().chain(std::iter::once(&self.format));
        formats.into_iter().find_map(|format| datetime::parse(&text, format).ok())
    }

    pub(crate) fn write(&self, instant: Instant) -> Result<Value> {
        datetime::format(instant, &self.format).map(Value::String).map_err(|error| error.with("at", &self.path))
    }

    pub(crate) fn value_of(&self, record: &Record) -> Option<Instant> {
        self.parse(&record.member(&self.field)?)
    }

    /// Where a window is split in two, each of whole units: the end of the first half and the start of the second.
    /// None where it is too short for that, or has no units.
    pub(crate) fn middle(
        &self,
        start: Instant,
        end: Instant,
        minimum: Option<Duration>,
    ) -> Result<Option<(Instant, Instant)>> {
        let unit = self.granularity.filter(|unit| unit.months == 0 && unit.microseconds > 0);
        let (Some(unit), Some(span)) = (unit, (end - start).num_microseconds().filter(|span| *span > 0)) else {
            return Ok(None);
        };
        if minimum.is_some_and(|minimum| span <= minimum.microseconds) {
            return Ok(None);
        }
        let units = span / unit.microseconds + 1;
        let first = Duration { months: 0, microseconds: (units / 2 - 1).saturating_mul(unit.microseconds) };
        let first_end = first.after(start)?;
        let second_start = unit.after(first_end)?;
        Ok((units > 1 && start <= first_end && second_start <= end).then_some((first_end, second_start)))
    }

    fn next(&self, instant: Instant) -> Result<Instant> {
        self.granularity.unwrap_or(Duration { months: 0, microseconds: 1000 }).after(instant)
    }

    fn clamp(&self, instant: Instant) -> Instant {
        self.clamping.map_or(instant, |clamping| clamp(clamping, instant, true))
    }
}

fn instant(moment: &Moment, run: &Run<'_>) -> Result<Instant> {
    let scope = run.scope();
    let mut value = datetime::parse(&moment.value.text(&scope)?, &moment.format)?;
    for (template, later) in [(&moment.min, true), (&moment.max, false)] {
        let Some(template) = template else { continue };
        let text = template.text(&scope)?;
        if !text.is_empty() {
            let bound = datetime::parse(&text, &moment.format)?;
            value = if later { value.max(bound) } else { value.min(bound) };
        }
    }
    Ok(value)
}

/// A window that was read, or the place to begin at.
#[derive(Clone, Debug)]
struct Covered {
    start: Instant,
    end: Instant,
    latest: Option<Instant>,
}

/// Where one partition stands.
#[derive(Clone, Debug)]
pub(crate) struct DatetimeState {
    rules: Arc<DatetimeRules>,
    covered: Vec<Covered>,
    /// Members of the state that are not ours.
    others: Map,
    begin: Instant,
    /// The greatest value of the open window.
    latest: Option<Instant>,
}

impl DatetimeState {
    pub(crate) fn new(rules: Arc<DatetimeRules>, state: &Value, lookback_seconds: i64) -> Result<Self> {
        let others = state.as_object().cloned().unwrap_or_default();
        if let Some(windows) = others.get("slices").filter(|_| others.contains_key("state_type")) {
            let windows = windows.as_array().cloned().unwrap_or_default();
            let window = |window: &Value| -> Option<Covered> {
                Some(Covered {
                    start: rules.parse(window.get("start")?)?,
                    end: rules.parse(window.get("end")?)?,
                    latest: window.get("most_recent_cursor_value").and_then(|value| rules.parse(value)),
                })
            };
            let covered: Vec<_> = windows.iter().filter_map(window).collect();
            if let Some(first) = covered.first() {
                let begin = first.latest.unwrap_or(first.end);
                let mut others = others.clone();
                others.retain(|name, _| name != "slices" && name != "state_type");
                return Ok(DatetimeState { rules, covered, others, begin, latest: None });
            }
        }
        let mut known = None;
        if let Some(value) = others.get(&rules.field) {
            let parsed = rules.parse(value).ok_or_else(|| {
                Error::new(
                    ErrorKind::Invalid,
                    "the stored state's value is not a date or time: run a full refresh once",
                )
                .with("at", &rules.path)
            })?;
            let lookback = chrono::Duration::try_seconds(lookback_seconds).unwrap_or_default();
            known = Some(parsed.checked_sub_signed(lookback).unwrap_or(parsed));
        }
        let begin = known.filter(|known| *known >= rules.start).unwrap_or(rules.start);
        let covered = vec![Covered { start: rules.start, end: begin, latest: Some(begin) }];
        Ok(DatetimeState { rules, covered, others, begin, latest: None })
    }

    pub(crate) fn observe(&mut self, record: &Record) -> bool {
        let value = self.rules.value_of(record);
        self.latest = self.latest.max(value);
        value.is_some()
    }

    pub(crate) fn close(&mut self, slice: &Slice) -> Result<()> {
        let bound = |name: &str| {
            slice.cursor.get(name).and_then(|value| self.rules.parse(value)).ok_or_else(|| {
                Error::new(ErrorKind::Internal, format!("the slice has no `{name}`")).with("at", &self.rules.path)
            })
        };
        let window = Covered {
            start: bound(&self.rules.start_field)?,
            end: bound(&self.rules.end_field)?,
            latest: self.latest.take(),
        };
        self.covered.push(window);
        self.merge()
    }

    fn merge(&mut self) -> Result<()> {
        self.covered.sort_by_key(|window| (window.start, window.end));
        let mut merged: Vec<Covered> = Vec::new();
        for window in self.covered.drain(..) {
            match merged.last_mut() {
                Some(last) if self.rules.next(last.end)? >= window.start => {
                    last.end = last.end.max(window.end);
                    last.latest = last.latest.max(window.latest);
                }
                _ => merged.push(window),
            }
        }
        self.covered = merged;
        Ok(())
    }

    pub(crate) fn state(&self) -> Result<Value> {
        let mut state = self.others.clone();
        if let Some(first) = self.covered.first() {
            state.insert(self.rules.field.clone(), self.rules.write(first.latest.unwrap_or(first.start))?);
        }
        Ok(Value::Object(state))
    }

    pub(crate) fn position(&self) -> Result<Value> {
        let first = self.covered.first().map_or(self.rules.start, |first| first.latest.unwrap_or(first.start));
        self.rules.write(first)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let mut lowest = self.begin;
        if let Some(Ok(lower)) = self.rules.lookback.map(|lookback| lookback.before(self.begin)) {
            lowest = lower.max(self.begin.min(self.rules.start));
        }
        Bounds { rules: Arc::clone(&self.rules), lowest, highest: self.rules.end }
    }

    /// The windows that are still to be read.
    pub(crate) fn windows(&mut self) -> Result<Vec<Map>> {
        self.merge()?;
        let rules = Arc::clone(&self.rules);
        let mut windows = Vec::new();
        let Some(first) = self.covered.first() else { return Ok(windows) };
        if rules.start < first.start {
            rules.split(rules.start, first.start, false, &mut windows)?;
        }
        for pair in self.covered.windows(2) {
            if let [left, right] = pair {
                let from = match rules.granularity {
                    Some(granularity) => granularity.after(left.end)?,
                    None => left.end,
                };
                rules.split(from, right.start, false, &mut windows)?;
            }
        }
        if let Some(last) = self.covered.last() {
            let from = match rules.lookback {
                Some(lookback) => lookback.before(last.end)?,
                None => last.end,
            };
            rules.split(from, rules.end, true, &mut windows)?;
        }
        Ok(windows)
    }
}

impl DatetimeRules {
    /// Windows of one step each from `lower` to `upper`, each but the last ending one unit before the next.
    fn split(&self, lower: Instant, upper: Instant, to_end: bool, windows: &mut Vec<Map>) -> Result<()> {
        if lower > upper || (lower == upper && self.granularity.is_none()) || upper < self.start {
            return Ok(());
        }
        let lower = self.clamp(lower.max(self.start));
        if lower > upper || (lower == upper && (self.strict || !to_end)) {
            return Ok(());
        }
        let beyond = |from: Instant| match self.step {
            Some(step) => step.after(from).unwrap_or(upper),
            None => upper,
        };
        if beyond(lower) >= upper {
            let clamped = if to_end && self.granularity.is_some() { upper } else { self.clamp(upper) };
            let end = match self.granularity.filter(|_| !to_end) {
                Some(granularity) => granularity.before(clamped)?,
                None => clamped,
            };
            return self.push(lower, end, windows);
        }
        let mut from = lower;
        loop {
            let next = beyond(from).min(upper);
            let clamped = if next == upper { next } else { self.clamp(next) };
            let reached = next >= upper || clamped == upper;
            let clamped_from = self.clamp(from);
            if clamped_from >= clamped {
                return Ok(());
            }
            let end = match self.granularity.filter(|_| !(to_end && reached)) {
                Some(granularity) => granularity.before(clamped)?,
                None => clamped,
            };
            self.push(clamped_from, end, windows)?;
            from = clamped;
            if reached {
                return Ok(());
            }
        }
    }

    fn push(&self, start: Instant, end: Instant, windows: &mut Vec<Map>) -> Result<()> {
        if windows.len() >= self.max_windows {
            let message = format!("the cursor makes more than {} windows: use a longer `step`", self.max_windows);
            return Err(Error::new(ErrorKind::Invalid, message).with("at", &self.path));
        }
        let mut window = Map::new();
        window.insert(self.start_field.clone(), self.write(start)?);
        window.insert(self.end_field.clone(), self.write(end)?);
        windows.push(window);
        Ok(())
    }
}
