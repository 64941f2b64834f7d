//! How often a sync runs, as a text: `1h`, `every 5 minutes`, `every half day`.

use std::time::Duration;

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::Schedule;
use serde::Deserialize;
use serde_json::json;

use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::input::value;
use crate::route::Answer;
use crate::routes::common::{
    BASE, MAX_SYNC, connection_id, integration_key, provider_of, sync_name, text as body_text,
};

/// The shortest and the longest time between two runs that a text may ask for.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(366 * DAY);

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    sync_name: String,
    sync_variant: Option<String>,
    provider_config_key: String,
    connection_id: String,
    /// `null` restores the template's own; leaving it out is refused.
    #[serde(deserialize_with = "Option::deserialize")]
    frequency: Option<String>,
}

pub(super) fn about() -> About {
    let body = schema::closed([
        ("sync_name", schema::name(MAX_SYNC)),
        ("sync_variant?", schema::nullable(schema::name(MAX_SYNC))),
        ("provider_config_key", schema::name(MAX_NAME)),
        ("connection_id", schema::name(MAX_NAME)),
        ("frequency", schema::nullable(json!({ "type": "string", "pattern": "^(every )?[1-9][0-9]?(s|m|h|d)$" }))),
    ]);
    let example = json!({ "sync_name": "records", "provider_config_key": "demo-crm", "connection_id": "demo", "frequency": "5m" });
    About::new("Sets how often a sync runs, from every second to every 366 days; `null` restores the template's own.")
        .body(body, example)
        .answer(200, "How often it runs.", schema::object([("frequency", schema::text())]))
        .error(400, "unknown_connection")
        .error(400, "unknown_sync")
        .error(400, "unknown_provider_config")
}

pub(super) async fn update(mut call: Call) -> Answer {
    let body: Update = call.json().await?;
    let name = body_text("sync_name", &body.sync_name, MAX_SYNC)?;
    let variant = body.sync_variant.as_deref().map(|name| body_text("sync_variant", name, MAX_SYNC)).transpose()?;
    let key = integration_key(&body.provider_config_key)?;
    let id = connection_id(&body.connection_id)?;
    let wanted = match &body.frequency {
        None => None,
        Some(given) => {
            value::read(Place::Body, "frequency", given, value::text(64))?;
            let time = parse(given).filter(|time| (SHORTEST..=LONGEST).contains(time));
            let invalid =
                || ApiError::bad("invalid_body", "Sync interval is invalid: write it as 30s, 5m, 1h or every day");
            Some(Schedule::every(time.ok_or_else(invalid)?))
        }
    };
    let settings = call.connection_of(&key, &id).await?;
    let provider = provider_of(&call, &key).await?;
    let sync = sync_name(Place::Body, &provider, &name, variant.as_deref().unwrap_or(BASE))?;
    let changed = match call.engine().sync(&settings.id, &sync)?.set_schedule(wanted).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ApiError::bad("unknown_sync", "the connection has no such sync enabled: check sync_name"));
        }
        changed => changed?,
    };
    Ok(Json(json!({ "frequency": text(&changed.schedule) })).into_response())
}

/// Writes a schedule: `30s`, `5m`, `1h`, `2d`, or its cron expression.
pub(super) fn text(schedule: &Schedule) -> String {
    let Some(interval) = schedule.interval() else {
        return match schedule {
            Schedule::Cron(expression) => expression.clone(),
            _ => String::new(),
        };
    };
    let (seconds, rest) = (interval.as_secs(), interval.subsec_millis());
    match seconds {
        _ if rest != 0 => format!("{}ms", interval.as_millis()),
        _ if seconds >= DAY && seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
        _ if seconds >= HOUR && seconds.is_multiple_of(HOUR) => format!("{}h", seconds / HOUR),
        _ if seconds >= MINUTE && seconds.is_multiple_of(MINUTE) => format!("{}m", seconds / MINUTE),
        _ => format!("{seconds}s"),
    }
}

/// Reads a length of time as people write it; `None` for anything else.
fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix("every ").unwrap_or(text);
    let fixed = match text {
        "month" => Some(30 * DAY),
        "week" => Some(7 * DAY),
        "half day" => Some(12 * HOUR),
        "half hour" => Some(30 * MINUTE),
        "quarter hour" => Some(15 * MINUTE),
        _ => None,
    };
    if let Some(seconds) = fixed {
        return Some(Duration::from_secs(seconds));
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (amount, unit) = text.split_at(digits);
    let amount: u64 = if amount.is_empty() { 1 } else { amount.parse().ok()? };
    let unit = match unit.strip_prefix(' ').unwrap_or(unit) {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        _ => return None,
    };
    amount.checked_mul(unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_read_as_people_write_them() {
        for (given, seconds) in [
            ("30s", 30),
            ("every 5 minutes", 300),
            ("every hour", 3600),
            ("1h", 3600),
            ("2 hrs", 7200),
            ("1d", 86_400),
            ("every half day", 43_200),
            ("week", 604_800),
            ("every quarter hour", 900),
        ] {
            assert_eq!(parse(given), Some(Duration::from_secs(seconds)), "{given}");
        }
        for given in ["", "every", "1", "h1", "1 fortnight", "-1h", "1.5h", "1h ", "99999999999999999999d", "1d1h"] {
            assert_eq!(parse(given), None, "{given}");
        }
    }

    #[test]
    fn schedules_are_written_in_the_largest_whole_unit() {
        for (ms, written) in
            [(1_000, "1s"), (90_000, "90s"), (300_000, "5m"), (7_200_000, "2h"), (86_400_000, "1d"), (1_500, "1500ms")]
        {
            assert_eq!(text(&Schedule::every(Duration::from_millis(ms))), written);
        }
    }
}
