//! The request budget that all syncs of a connection share.

use std::time::Duration;

use highwater_template::limits::Rate;

use crate::mutants::mutant;

/// A token bucket, and the time before which the API wants no request at all.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    quiet_until_ms: u64,
    /// The clock's time at the last update.
    looked_at_ms: u64,
    bucket: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at_ms: u64,
}

impl Budget {
    /// Takes a token for one request, or returns how long to wait before the next attempt.
    pub(crate) fn take(&mut self, rate: Option<Rate>, now_ms: u64) -> Result<(), Duration> {
        self.look(now_ms);
        if self.quiet_until_ms > now_ms {
            return Err(Duration::from_millis(self.quiet_until_ms - now_ms));
        }
        let Some(rate) = rate else { return Ok(()) };
        let bucket = self.bucket.get_or_insert(Bucket { rate, tokens: f64::from(rate.requests), filled_at_ms: now_ms });
        bucket.take(rate, now_ms)
    }

    /// The end of the pause in Unix milliseconds; in the past if requests are allowed.
    pub(crate) fn quiet_until_ms(&self) -> u64 {
        self.quiet_until_ms
    }

    /// Pauses all requests for this long.
    pub(crate) fn quiet_for(&mut self, wait: Duration, now_ms: u64) {
        self.look(now_ms);
        let until_ms = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.quiet_until_ms = until_ms.max(self.quiet_until_ms);
    }

    /// Shortens the pause after a clock was set back, so that no wait becomes longer.
    fn look(&mut self, now_ms: u64) {
        if mutant!("quiet-follows-clock") {
            return;
        }
        let back_ms = self.looked_at_ms.saturating_sub(now_ms);
        self.quiet_until_ms = self.quiet_until_ms.saturating_sub(back_ms);
        self.looked_at_ms = now_ms;
    }

    /// Adjusts to the number of remaining requests that the API reports: other clients use the same account.
    pub(crate) fn left(&mut self, requests: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.tokens = bucket.tokens.min(u32::try_from(requests).map_or(f64::MAX, f64::from));
        }
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), Duration> {
        self.rate = rate;
        let period_ms = (rate.period.as_millis() as f64).max(1.0);
        let per_ms = f64::from(rate.requests) / period_ms;
        // A clock that went back adds no tokens.
        let elapsed = now_ms.saturating_sub(self.filled_at_ms) as f64;
        self.tokens = (self.tokens + elapsed * per_ms).min(f64::from(rate.requests));
        self.filled_at_ms = now_ms;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_millis(((1.0 - self.tokens) / per_ms).ceil().max(1.0) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_in_any_period() {
        let rate = Some(Rate { requests: 3, period: Duration::from_secs(1) });
        let mut budget = Budget::default();
        let mut now_ms = 1_000_000;
        let mut times = Vec::new();
        while times.len() < 12 {
            match budget.take(rate, now_ms) {
                Ok(()) => times.push(now_ms),
                Err(wait) => now_ms += u64::try_from(wait.as_millis()).unwrap(),
            }
        }
        // The burst at the beginning, then one each third of a second.
        assert_eq!(times[..3], [1_000_000; 3]);
        assert!(times.windows(2).skip(2).all(|pair| pair[1] - pair[0] >= 333), "{times:?}");
    }

    #[test]
    fn pauses_hold_and_headers_count() {
        let rate = Some(Rate { requests: 10, period: Duration::from_secs(10) });
        let mut budget = Budget::default();
        budget.quiet_for(Duration::from_secs(5), 1000);
        budget.quiet_for(Duration::from_secs(2), 1000);
        assert_eq!(budget.take(rate, 2000), Err(Duration::from_secs(4)));
        assert_eq!(budget.take(rate, 6000), Ok(()));
        budget.left(1);
        assert_eq!(budget.take(rate, 6000), Ok(()));
        assert_eq!(budget.take(rate, 6000), Err(Duration::from_secs(1)));
        assert!(budget.take(rate, 0).is_err(), "a clock that went back");
    }

    #[test]
    fn a_pause_is_no_longer_for_a_clock_that_is_set_back() {
        let hour_ms = 3_600_000;
        let mut budget = Budget::default();
        budget.quiet_for(Duration::from_secs(5), 2 * hour_ms);
        assert_eq!(budget.take(None, 2 * hour_ms + 2000), Err(Duration::from_secs(3)));
        assert_eq!(budget.take(None, hour_ms), Err(Duration::from_secs(3)));
        assert_eq!(budget.take(None, hour_ms + 1000), Err(Duration::from_secs(2)));
        assert_eq!(budget.quiet_until_ms(), hour_ms + 3000);
        assert_eq!(budget.take(None, hour_ms + 3000), Ok(()));
        // A clock that was set ahead ends a pause early, at worst.
        budget.quiet_for(Duration::from_secs(5), hour_ms + 3000);
        assert_eq!(budget.take(None, 3 * hour_ms), Ok(()));
    }
}
