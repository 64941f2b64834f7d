//! Detects paging that does not end: one page over and over, or a circle of pages.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use highwater_interpolation::Value;

const MAX_REPEATS: usize = 2;

/// What is known of the pages of a slice so far.
#[derive(Default)]
pub(super) struct Circles {
    last_page: Option<u64>,
    /// How often the last page came in a row, beyond the first time.
    repeated: usize,
    /// How often each page came with the token after it.
    seen: HashMap<u64, u8>,
}

impl Circles {
    /// Notes a page, and says what circle it closes, if any. A page is the same if its items are, whatever else its body
    /// tells. `token` is what it was asked for with, `next` the token behind it.
    pub(super) fn closed_by(
        &mut self,
        next: Option<&Value>,
        token: Option<&Value>,
        items: Option<u64>,
        body: &Bytes,
    ) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        match items {
            Some(items) => items.hash(&mut hasher),
            None => body.hash(&mut hasher),
        }
        let page = hasher.finish();
        // One token for many pages is fine (a scroll), and so is a page that comes twice.
        let same = self.last_page == Some(page);
        self.last_page = Some(page);
        self.repeated = if same { self.repeated + 1 } else { 0 };
        if self.repeated >= MAX_REPEATS {
            let token = if next == token { " for the same token" } else { "" };
            return Some(format!("the same page came {} times in a row{token}", MAX_REPEATS + 1));
        }
        // Pages that come round again, each behind the token that it came with before.
        next.map(Value::to_string).hash(&mut hasher);
        let times = self.seen.entry(hasher.finish()).or_insert(0_u8);
        *times = times.saturating_add(1);
        let round = usize::from(*times) > MAX_REPEATS;
        round.then(|| format!("the pages go round in a circle: one came {times} times with the same token after it"))
    }
}
