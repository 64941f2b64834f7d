//! Responses that a read caches for equal requests.

use std::collections::HashMap;
use std::sync::Mutex;

use highwater_core::locks::lock;
use highwater_template::HttpResponse;

/// The answers kept, by request.
#[derive(Default)]
pub(super) struct AnswerCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<String, HttpResponse>,
    bytes: usize,
}

impl AnswerCache {
    pub(super) fn get(&self, key: &str) -> Option<HttpResponse> {
        lock(&self.0).answers.get(key).cloned()
    }

    /// Keeps an answer, unless the bodies of all would then have more than `max_bytes`.
    pub(super) fn keep(&self, key: String, response: &HttpResponse, max_bytes: usize) {
        let mut kept = lock(&self.0);
        if kept.bytes + response.body.len() <= max_bytes {
            kept.bytes += response.body.len();
            kept.answers.insert(key, response.clone());
        }
    }
}
