//! Repositories of a user or an organisation.

use async_trait::async_trait;
use highwater_core::template::{ConfigKey, HttpRequest, SyncContext, Template, TemplateInfo};
use highwater_core::{Error, ErrorKind, Result};

use super::{PER_PAGE, describe};

/// Repositories of a user or an organisation: read whole each time.
#[derive(Debug)]
pub struct Repositories(TemplateInfo);

impl Repositories {
    /// The template.
    pub fn new() -> Self {
        let info = describe("repositories")
            .description("Repositories of a user or an organisation")
            .model("Repository", "A repository")
            .config(ConfigKey::with_default("kind", "what the owner is: user or org", "user"))
            .deletes("noticed by every run");
        Repositories(info)
    }
}

impl Default for Repositories {
    fn default() -> Self {
        Repositories::new()
    }
}

#[async_trait]
impl Template for Repositories {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let owner = context.config("owner")?;
        let path = match context.config("kind")? {
            "user" => format!("/users/{owner}/repos"),
            "org" => format!("/orgs/{owner}/repos"),
            other => {
                return Err(Error::new(ErrorKind::Invalid, "the setting `kind` is `user` or `org`").with("kind", other));
            }
        };
        let mut request = HttpRequest::get(path).query("per_page", PER_PAGE).query("sort", "full_name");
        loop {
            let page = context.send(request).await?;
            let next = page.next_link();
            context.save("Repository", page.elements()?).await?;
            match next {
                Some(next) => request = HttpRequest::get(next),
                None => break,
            }
        }
        context.complete("Repository").await
    }
}
