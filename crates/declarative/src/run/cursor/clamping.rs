//! Clamps datetimes to the bounds of days, weeks and months.

use chrono::{Datelike, Days, Months, NaiveTime, TimeZone};

use super::datetime::Instant;
use crate::model::Clamping;

/// The edge at or after `instant` (`up`), or at or before it.
pub(super) fn clamp(clamping: Clamping, instant: Instant, up: bool) -> Instant {
    let floor = match clamping {
        Clamping::Day => midnight(instant),
        Clamping::Week(first) => {
            let back = (instant.weekday().num_days_from_monday() + 7 - first) % 7;
            midnight(instant).checked_sub_days(Days::new(u64::from(back))).unwrap_or(instant)
        }
        Clamping::Month => midnight(instant).with_day(1).unwrap_or(instant),
    };
    // A week or a month begins with its first day, whatever the hour.
    let aligned = match clamping {
        Clamping::Day => floor == instant,
        Clamping::Week(_) | Clamping::Month => floor == midnight(instant),
    };
    if !up || aligned {
        return floor;
    }
    let next = match clamping {
        Clamping::Day => floor.checked_add_days(Days::new(1)),
        Clamping::Week(_) => floor.checked_add_days(Days::new(7)),
        Clamping::Month => floor.checked_add_months(Months::new(1)),
    };
    next.unwrap_or(instant)
}

fn midnight(instant: Instant) -> Instant {
    let start = instant.date_naive().and_time(NaiveTime::MIN);
    instant.offset().from_local_datetime(&start).single().unwrap_or(instant)
}
