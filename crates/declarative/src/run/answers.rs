//! Answers that a read keeps, for requests that are equal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.get(key).cloned()
    }

    /// Keeps an answer, unless the bodies of all would then have more than `max_bytes`.
    pub(super) fn keep(&self, key: String, response: &HttpResponse, max_bytes: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + response.body.len() <= max_bytes {
            kept.bytes += response.body.len();
            kept.answers.insert(key, response.clone());
        }
    }
}
