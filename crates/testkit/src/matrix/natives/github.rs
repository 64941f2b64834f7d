//! GitHub's five lists.

use std::sync::Arc;

use highwater_template::Template;

use super::stock::{Hands, stocked};
use crate::fakes::GitHub;
use crate::matrix::subject::Subject;

pub(super) fn subject(id: &str, template: Arc<dyn Template>) -> Option<Subject> {
    let hands = |put, delete| Hands {
        make: GitHub::default,
        put,
        delete: Some(delete),
        now: Some(|api: &GitHub| api.now),
        set_now: |api, now| api.now = now,
    };
    let (hands, timed) = match id {
        "github/issues" => (hands(put_issue, |api, n| api.delete("issues", n)), true),
        "github/comments" => (hands(put_comment, |api, n| api.delete("comments", n)), true),
        "github/pull_requests" => (hands(put_pull, |api, n| api.delete("pulls", n)), true),
        "github/releases" => (hands(put_release, |api, n| api.delete("releases", n)), false),
        "github/repositories" => (hands(put_repository, |api, n| api.delete("repos", n)), false),
        _ => return None,
    };
    let subject = stocked(template, hands).setting("owner", "acme");
    let subject = if id == "github/repositories" { subject } else { subject.setting("repo", "pump") };
    Some(if timed { subject.time_at("/updated_at") } else { subject })
}

fn put_issue(api: &mut GitHub, n: u64, text: &str) -> (String, String) {
    api.put_issue(n, text);
    (n.to_string(), text.to_owned())
}

fn put_comment(api: &mut GitHub, n: u64, text: &str) -> (String, String) {
    api.put_comment(n, text);
    (n.to_string(), text.to_owned())
}

fn put_pull(api: &mut GitHub, n: u64, text: &str) -> (String, String) {
    api.put_pull(n, text);
    (n.to_string(), text.to_owned())
}

fn put_release(api: &mut GitHub, n: u64, text: &str) -> (String, String) {
    api.put_release(n, text);
    (n.to_string(), text.to_owned())
}

fn put_repository(api: &mut GitHub, n: u64, text: &str) -> (String, String) {
    api.put_repository(n, text);
    (n.to_string(), text.to_owned())
}
