//! A page at a cold cursor, while the log grows: it should cost the same at every size.

use crate::measure::{Figures, median};
use crate::records::Random;

/// Records in such a page.
pub(crate) const PAGE: usize = 100;
/// Sizes of the log at which pages are read.
pub(crate) const SIZES: [u64; 4] = [10_000, 100_000, 1_000_000, 5_000_000];
/// Pages at each size.
const PAGES: u64 = 40;

/// Processor time of a page at each size, in µs.
#[derive(Default)]
pub(crate) struct Latencies(Vec<(u64, f64)>);

impl Latencies {
    /// Whether to look, once a batch has taken the log from `from` to `until` of `records`.
    pub(crate) fn due(records: u64, from: u64, until: u64) -> bool {
        SIZES.iter().any(|size| (from + 1..=until).contains(size)) || (records < SIZES[0] && from == 0)
    }

    /// The batches at whose beginning a page is read.
    pub(crate) fn places(batches: u64) -> impl Iterator<Item = u64> {
        let mut random = Random(batches);
        (0..PAGES).map(move |_| random.below(batches))
    }

    /// Takes the processor times, in µs, that pages of a log of `size` records took.
    pub(crate) fn add(&mut self, size: u64, times: Vec<f64>) {
        self.0.push((size, median(times)));
    }

    pub(crate) fn finish(&self, figures: &mut Figures) {
        for (size, time) in &self.0 {
            figures.insert(format!("page_latency_at_{size}_us"), *time);
        }
        figures.insert("page_latency_us".into(), self.0.last().map_or(0.0, |(_, time)| *time));
        figures.insert("page_flatness".into(), flatness(self.0.iter().map(|(_, time)| *time)));
    }
}

/// How much more pages cost at the slowest size than at the fastest.
pub(crate) fn flatness(times: impl Iterator<Item = f64>) -> f64 {
    let (least, most) = times.fold((f64::MAX, 0.0), |(a, b), at| (at.min(a), at.max(b)));
    most / least
}
