//! GitHub: issues, pull requests, repositories. Works with GitHub Enterprise through the
//! connection's base URL.

mod issues;
mod models;
mod pull_requests;
mod repositories;

pub use issues::Issues;
pub use models::{Issue, Label, PullRequest, Repository, User};
pub use pull_requests::PullRequests;
pub use repositories::Repositories;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use highwater_core::template::{AuthKind, ConfigKey, Provider, TemplateInfo, TokenUse};
use highwater_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// Records in a page: the most GitHub gives.
const PER_PAGE: &str = "100";

/// How far before the checkpoint to begin: GitHub shows some changes late.
const OVERLAP: Duration = Duration::from_secs(120);

/// Where an incremental sync goes on: GitHub's own text of the latest `updated_at`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoint {
    updated_at: String,
}

/// What paging needs of a record.
#[derive(Debug, Deserialize)]
struct Position {
    updated_at: String,
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

impl Position {
    fn of(record: &Bytes) -> Result<Self> {
        serde_json::from_slice(record).map_err(|source| {
            Error::new(ErrorKind::Remote, "GitHub sent a record without `updated_at`").because(source)
        })
    }
}

/// The overlap before a checkpoint, as GitHub reads it.
fn before(updated_at: &str) -> Result<String> {
    let time: DateTime<Utc> = updated_at.parse().map_err(|source| {
        Error::new(ErrorKind::Remote, "GitHub sent a time that cannot be read")
            .with("updated_at", updated_at)
            .because(source)
    })?;
    Ok((time - OVERLAP).format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn describe(name: &str) -> TemplateInfo {
    Provider::new("github", "https://api.github.com")
        .auth(AuthKind::bearer("a personal access token, from Settings > Developer settings"))
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
        .template(name)
        .token(TokenUse::Optional)
        .config(ConfigKey::required("owner", "the user or organisation, as in github.com/OWNER"))
        .every(Duration::from_secs(300))
}

fn with_repository(info: TemplateInfo) -> TemplateInfo {
    info.config(ConfigKey::required("repo", "the repository's name, as in github.com/OWNER/REPO"))
}
