//! The demo API as a template and an action, like any other.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result, content};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::async_trait::async_trait;
use highwater_template::records::value_at;
use highwater_template::{HttpRequest, SyncContext, Template, TemplateInfo};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MODELS;

/// The template `crm/records`: all three models of the demo API, by their change feeds.
#[derive(Debug)]
pub struct Records(TemplateInfo);

impl Records {
    /// Returns the template, for the demo API at this URL.
    pub fn new(base_url: &str) -> Self {
        let info =
            TemplateInfo::new("crm", "records", base_url).description("The demo CRM").deletes("reported by the feed");
        Records(MODELS.into_iter().fold(info, |info, model| info.model(model, "A record of the demo CRM")))
    }
}

/// The action `crm/create_contact`: adds a contact.
#[derive(Debug)]
pub struct CreateContact(ActionInfo);

impl CreateContact {
    /// Returns the action, for the demo API at this URL.
    pub fn new(base_url: &str) -> Self {
        let text = || json!({ "type": "string", "minLength": 1, "maxLength": 200 });
        let input = json!({
            "type": "object", "required": ["name"], "properties": { "name": text(), "email": text() },
        });
        let action = Records::new(base_url).0.provider.action("create_contact");
        CreateContact(action.description("Adds a contact").input(input))
    }
}

#[async_trait]
impl ActionTemplate for CreateContact {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        context.send(HttpRequest::post_json("Contact", &input)?.repeatable(false)).await?.json()
    }
}

#[derive(Deserialize)]
struct Feed {
    next: u64,
    more: bool,
}

#[async_trait]
impl Template for Records {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let mut versions: BTreeMap<String, u64> = context.last_checkpoint()?.unwrap_or_default();
        for model in MODELS {
            loop {
                let after = versions.get(model).copied().unwrap_or(0);
                let request = HttpRequest::get(model).query("after", after.to_string()).query("limit", "200");
                let page = context.send(request).await?;
                let feed: Feed = page.json()?;
                let (mut records, mut deleted) = (Vec::new(), Vec::new());
                for item in page.elements_at("/items")? {
                    if value_at(&item, "/deleted")?.is_none() {
                        records.push(item);
                        continue;
                    }
                    let id = content::guess_id(&item)
                        .ok_or_else(|| Error::new(ErrorKind::Remote, "a tombstone of the demo API has no id"))?;
                    deleted.push(id.into_owned());
                }
                if !deleted.is_empty() {
                    context.delete(model, deleted).await?;
                }
                // Deletes may be repeated after a crash, so the checkpoint goes with the page's last commit.
                versions.insert(model.to_owned(), feed.next);
                context.checkpoint(&versions)?;
                context.save(model, records).await?;
                if !feed.more {
                    break;
                }
            }
        }
        Ok(())
    }
}
