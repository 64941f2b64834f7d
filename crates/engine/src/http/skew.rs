//! Whether this machine's clock agrees with an API's: signatures and tokens are refused where it does not.

use std::time::{Duration, SystemTime};

use highwater_core::{Error, Timestamp};
use highwater_template::HttpResponse;

/// A difference that is no reason for a refusal: the header has whole seconds, and answers take a while.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Adds to a refusal how far this machine's clock is off, if the answer's `Date` shows it.
pub(super) fn with_skew(error: Error, response: &HttpResponse, now: Timestamp) -> Error {
    match skew(response, now) {
        Some((length, direction)) => {
            let text = format!("this machine's clock is {} {direction} the API's: correct it", words(length));
            error.with("clock", text)
        }
        None => error,
    }
}

fn skew(response: &HttpResponse, now: Timestamp) -> Option<(Duration, &'static str)> {
    let there = httpdate::parse_http_date(response.header("date")?).ok()?;
    let there = there.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let here = Duration::from_millis(now.unix_ms());
    let (length, direction) =
        if here < there { (there - here, "behind") } else { (here.saturating_sub(there), "ahead of") };
    (length > TOLERANCE).then_some((length, direction))
}

/// A length of time in its largest unit, rounded down.
fn words(length: Duration) -> String {
    let seconds = length.as_secs();
    let (number, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3_600.. => (seconds / 3_600, "hour"),
        60.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_core::ErrorKind;

    #[test]
    fn a_refusal_names_how_far_the_clock_is_off() {
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        for (date_s, clock) in [
            (1_700_000_000, None),
            (1_700_000_060, None),
            (1_699_999_940, None),
            (1_700_000_061, Some("this machine's clock is 1 minute behind the API's: correct it")),
            (1_700_007_300, Some("this machine's clock is 2 hours behind the API's: correct it")),
            (1_699_000_000, Some("this machine's clock is 11 days ahead of the API's: correct it")),
        ] {
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(date_s));
            let response = HttpResponse::new(401, vec![("Date".to_owned(), date)], Vec::new());
            let error = with_skew(Error::new(ErrorKind::Unauthorized, "refused"), &response, now);
            assert_eq!(error.context("clock"), clock);
        }
        for date in ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT1"] {
            let response = HttpResponse::new(401, vec![("Date".to_owned(), date.to_owned())], Vec::new());
            assert_eq!(skew(&response, now), None, "{date}");
        }
    }
}
