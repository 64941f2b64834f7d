//! Retention of runs and log lines.

use highwater_template::LogLevel;

/// Which runs and log lines are kept, and for how long.
///
/// ```
/// use std::time::Duration;
/// use highwater_engine::logs::LogPolicy;
/// let policy = LogPolicy::default().runs_per_sync(10).max_age(Duration::from_secs(7 * 24 * 3600)).calls(false);
/// assert_eq!(policy.runs_per_sync, 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPolicy {
    /// Lines below this level are not kept.
    pub level: LogLevel,
    /// Lines kept of one run; beyond that only errors are kept.
    pub lines_per_run: u64,
    /// Requests kept of one run: the first half of them, and the last. 0 keeps none, and no [phases](crate::runs::RunPhase).
    pub requests_per_run: u32,
    /// The number of runs kept of one sync.
    pub runs_per_sync: usize,
    /// Runs older than this are removed.
    pub max_age: std::time::Duration,
    /// Whether actions and proxied requests are kept too, each in its own commit.
    pub calls: bool,
}

impl Default for LogPolicy {
    /// Returns the defaults: level info and above, 5,000 lines and 200 requests of a run, 50 runs of a sync (as many webhooks, calls of an action,
    /// requests), 30 days.
    fn default() -> Self {
        LogPolicy {
            level: LogLevel::Info,
            lines_per_run: 5000,
            requests_per_run: 200,
            runs_per_sync: 50,
            max_age: std::time::Duration::from_secs(30 * 24 * 3600),
            calls: true,
        }
    }
}

impl LogPolicy {
    /// Sets the lowest level that is kept.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = level;
        self
    }

    /// Sets how many lines of a run are kept.
    #[must_use]
    pub fn lines_per_run(mut self, lines: u64) -> Self {
        self.lines_per_run = lines;
        self
    }

    /// Sets how many requests of a run are kept.
    #[must_use]
    pub fn requests_per_run(mut self, requests: u32) -> Self {
        self.requests_per_run = requests;
        self
    }

    /// Sets how many runs of a sync are kept.
    #[must_use]
    pub fn runs_per_sync(mut self, runs: usize) -> Self {
        self.runs_per_sync = runs.max(1);
        self
    }

    /// Sets whether actions and proxied requests are kept.
    #[must_use]
    pub fn calls(mut self, keep: bool) -> Self {
        self.calls = keep;
        self
    }

    /// Sets how long runs are kept.
    #[must_use]
    pub fn max_age(mut self, age: std::time::Duration) -> Self {
        self.max_age = age;
        self
    }
}
