//! The requests that this server has answered, counted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use highwater_core::locks::lock;

use super::family::{Family, Kind};

/// The upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

/// A route: its method, and its path as it was written: `/runs/{id}`.
type Route = (&'static str, &'static str);

/// The requests that this server has answered, by route.
#[derive(Debug, Default)]
pub(crate) struct Served(Mutex<BTreeMap<Route, OfRoute>>);

#[derive(Debug, Default)]
struct OfRoute {
    statuses: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    time: Duration,
}

impl Served {
    /// Counts an answer that began after this time.
    pub(crate) fn count(&self, method: &'static str, path: &'static str, status: u16, took: Duration) {
        let mut routes = lock(&self.0);
        let route = routes.entry((method, path)).or_default();
        *route.statuses.entry(status).or_default() += 1;
        for (bucket, end) in route.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(took.as_secs_f64() <= end);
        }
        route.count += 1;
        route.time += took;
    }

    /// Appends the counts in Prometheus' format.
    pub(super) fn write(&self, text: &mut String) {
        let help = "Requests to this server, by route and status.";
        let mut requests = Family::new("highwater_http_requests_total", Kind::Counter, help);
        let help = "The time until answers of this server began, waits on purpose included.";
        let mut seconds = Family::new("highwater_http_request_duration_seconds", Kind::Histogram, help);
        for ((method, path), route) in &*lock(&self.0) {
            let method = method.to_ascii_uppercase();
            let labels = [("method", method.as_str()), ("route", *path)];
            for (status, count) in &route.statuses {
                let status = status.to_string();
                requests.add(&[labels[0], labels[1], ("status", &status)], *count as f64);
            }
            for (bucket, end) in route.buckets.iter().zip(BUCKETS) {
                let end = end.to_string();
                seconds.add_part("_bucket", &[labels[0], labels[1], ("le", &end)], *bucket as f64);
            }
            seconds.add_part("_bucket", &[labels[0], labels[1], ("le", "+Inf")], route.count as f64);
            seconds.add_part("_sum", &labels, route.time.as_secs_f64());
            seconds.add_part("_count", &labels, route.count as f64);
        }
        requests.write(text);
        seconds.write(text);
    }
}
