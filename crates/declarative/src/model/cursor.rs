//! Cursors: the position in a stream by a field of its records.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::duration::Duration;

use super::decode::{Context, Node};
use super::{Parameters, RequestOption, Scope, Template};
use crate::wording::has_markup;

#[derive(Debug)]
pub(crate) enum Cursor {
    Datetime(Box<DatetimeCursor>),
    Count(Box<CountCursor>),
}

#[derive(Debug)]
pub(crate) struct DatetimeCursor {
    pub path: String,
    pub field: Template,
    pub start: Moment,
    pub end: Option<Moment>,
    pub format: String,
    pub formats: Vec<String>,
    pub granularity: Option<String>,
    pub step: Option<Template>,
    pub lookback: Option<Template>,
    pub start_option: Option<RequestOption>,
    pub end_option: Option<RequestOption>,
    pub start_field: Template,
    pub end_field: Template,
    pub data_feed: bool,
    pub client_side: bool,
    pub strict: bool,
    pub global: bool,
    pub clamping: Option<ClampingRule>,
}

/// The edges that windows are moved to, as the manifest says it.
#[derive(Debug)]
pub(crate) struct ClampingRule {
    path: String,
    target: Template,
    weekday: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clamping {
    Day,
    /// Days from Monday.
    Week(u32),
    Month,
}

/// A datetime, kept within bounds.
#[derive(Debug)]
pub(crate) struct Moment {
    pub value: Template,
    pub format: String,
    pub min: Option<Template>,
    pub max: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct CountCursor {
    pub field: Template,
    pub start: Option<Template>,
    pub option: Option<RequestOption>,
}

impl Cursor {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        match node.kind()? {
            "DatetimeBasedCursor" => {
                DatetimeCursor::decode(node, context).map(|cursor| Cursor::Datetime(Box::new(cursor)))
            }
            "IncrementingCountCursor" => Ok(Cursor::Count(Box::new(CountCursor {
                field: node.required_template(context, "cursor_field", "name the field that counts")?,
                start: node.optional_template(context, "start_value")?,
                option: RequestOption::of(node, context, "start_value_option")?,
            }))),
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => Cursor::decode(&Node::at(&replacement, &node.path), context),
                None => Err(node.unknown(other, &["DatetimeBasedCursor", "IncrementingCountCursor"])),
            },
        }
    }

    pub(crate) fn field(&self) -> &Template {
        match self {
            Cursor::Datetime(cursor) => &cursor.field,
            Cursor::Count(cursor) => &cursor.field,
        }
    }
}

impl DatetimeCursor {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let parameters = node.parameters();
        let format = node.require("datetime_format", "give the format of the cursor's values")?.text()?;
        let start = node.require("start_datetime", "say where to begin")?;
        let or = |name: &str, default: &str| -> Result<Template> {
            let given = node.optional_template(context, name)?;
            Ok(given.unwrap_or_else(|| Template::new(default, parameters.clone())))
        };
        let granularity = node.get("cursor_granularity").map(|text| text.text()).transpose()?;
        for name in ["cursor_granularity", "step", "lookback_window"] {
            let Some(length) = node.get(name) else { continue };
            let text = length.text()?;
            if !text.is_empty() && !has_markup(&text) {
                Duration::parse(&text).map_err(|error| length.invalid(error.message().to_owned()))?;
            }
        }
        let step = node.optional_template(context, "step")?;
        if step.is_some() != granularity.is_some() {
            return Err(node.invalid("`step` and `cursor_granularity` go together: give both or none"));
        }
        Ok(DatetimeCursor {
            path: node.path.clone(),
            field: node.required_template(context, "cursor_field", "name the field of the records' time")?,
            start: Moment::decode(&start, context, &parameters, &format)?,
            end: match node.get("end_datetime") {
                Some(end) if end.value.as_str() != Some("") => {
                    Some(Moment::decode(&end, context, &parameters, &format)?)
                }
                _ => None,
            },
            formats: node.texts("cursor_datetime_formats")?,
            format,
            granularity,
            step,
            lookback: node.optional_template(context, "lookback_window")?,
            start_option: RequestOption::of(node, context, "start_time_option")?,
            end_option: RequestOption::of(node, context, "end_time_option")?,
            start_field: or("partition_field_start", "start_time")?,
            end_field: or("partition_field_end", "end_time")?,
            data_feed: node.boolean("is_data_feed")?.unwrap_or(false),
            client_side: node.boolean("is_client_side_incremental")?.unwrap_or(false),
            strict: node.boolean("is_compare_strictly")?.unwrap_or(false),
            global: node.boolean("global_substream_cursor")?.unwrap_or(false),
            clamping: node.get("clamping").map(|node| ClampingRule::decode(&node, context)).transpose()?,
        })
    }
}

impl ClampingRule {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let target = node.required_template(context, "target", "say what to clamp to")?;
        let weekday = node.get("target_details").and_then(|details| details.get("weekday"));
        let weekday = weekday.map(|weekday| weekday.text()).transpose()?;
        let rule = ClampingRule { path: node.path.clone(), target, weekday };
        if !rule.target.mentions("{") {
            rule.target_of(rule.target.source())?;
        }
        Ok(rule)
    }

    /// What to clamp to, under a config.
    pub(crate) fn clamping(&self, scope: &Scope<'_>) -> Result<Clamping> {
        self.target_of(&self.target.text(scope)?)
    }

    fn target_of(&self, target: &str) -> Result<Clamping> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, message).with("at", &self.path);
        Ok(match target {
            "DAY" => Clamping::Day,
            "MONTH" => Clamping::Month,
            "WEEK" => {
                let missing =
                    || invalid("a week begins on some day: give `target_details` with a `weekday`".to_owned());
                let weekday = self.weekday.as_deref().ok_or_else(missing)?;
                let days = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
                let day = days.iter().position(|day| day.eq_ignore_ascii_case(weekday));
                Clamping::Week(
                    day.and_then(|day| u32::try_from(day).ok())
                        .ok_or_else(|| invalid(format!("`{weekday}` is not a weekday: write it like MONDAY")))?,
                )
            }
            other => return Err(invalid(format!("`{other}` cannot be clamped to: use DAY, WEEK or MONTH"))),
        })
    }
}

impl Moment {
    fn decode(node: &Node<'_>, context: &Context<'_>, parameters: &Parameters, format: &str) -> Result<Self> {
        if !node.value.is_object() {
            let value = node.template(context, parameters)?;
            return Ok(Moment { value, format: format.to_owned(), min: None, max: None });
        }
        match node.kind()? {
            "MinMaxDatetime" => {}
            other => return Err(node.unknown(other, &["MinMaxDatetime"])),
        }
        let own = node.get("datetime_format").map(|format| format.text()).transpose()?;
        let not_empty = |template: Template| Some(template).filter(|template| !template.source().is_empty());
        Ok(Moment {
            value: node.required_template(context, "datetime", "give the datetime")?,
            format: own.filter(|own| !own.is_empty()).unwrap_or_else(|| format.to_owned()),
            min: node.optional_template(context, "min_datetime")?.and_then(not_empty),
            max: node.optional_template(context, "max_datetime")?.and_then(not_empty),
        })
    }
}
