//! The demo API behind a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater::engine::syncs::DeletePolicy;
use highwater::engine::{EngineBuilder, TriggerMode};
use highwater::template::actions::ActionTemplate;
use highwater::{ConnectionSettings, Engine, IntegrationSettings, Result, RunOptions, SyncOptions};
use highwater_testkit::demo::{CreateContact, Crm, Records};
use tokio::task::JoinHandle;

use super::super::demo::{TEMPLATE, temporary_db};
use crate::args::{DEFAULT_DB, StoreOptions};

pub(super) const INTEGRATION: &str = "demo-crm";
pub(super) const CONNECTION: &str = "demo";
const PROVIDER: &str = "crm";

/// How often the demo is synced.
const INTERVAL: Duration = Duration::from_millis(400);

/// Puts the store into a temporary folder unless the user named a place.
pub(super) fn set_place(options: &mut StoreOptions) -> Result<()> {
    if options.db == Path::new(DEFAULT_DB) {
        options.db = temporary_db()?;
    }
    Ok(())
}

/// The demo API, whose users stop working when it is dropped.
pub(super) struct Demo {
    crm: Crm,
    base_url: String,
    users: Option<JoinHandle<()>>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(users) = &self.users {
            users.abort();
        }
    }
}

impl Demo {
    pub(super) async fn start() -> Result<Self> {
        let (crm, base_url) = Crm::start().await?;
        Ok(Demo { crm, base_url, users: None })
    }

    pub(super) fn add_to(&self, builder: EngineBuilder) -> EngineBuilder {
        let action = Arc::new(CreateContact::new(&self.base_url)) as Arc<dyn ActionTemplate>;
        builder.template(Arc::new(Records::new(&self.base_url))).actions([action])
    }

    /// Sets the integration up with its connection, and syncs it once. A store that has an earlier demo goes on with this one.
    pub(super) async fn connect(&self, engine: &Engine) -> Result<()> {
        let integration = engine.integration(INTEGRATION)?;
        let again = engine.integrations().await?.iter().any(|known| known.key == INTEGRATION);
        if again {
            integration.update(|settings| settings.base_url(&self.base_url)).await?;
        } else {
            let settings = IntegrationSettings::new(INTEGRATION, PROVIDER).display_name("Demo CRM");
            engine.create_integration(settings.base_url(&self.base_url)).await?;
        }
        engine.connect(ConnectionSettings::of_integration(CONNECTION, INTEGRATION).display_name("Demo")).await?;
        // The API begins anew each time, so that what its users did before is gone.
        let deletes = DeletePolicy::default().guard(u64::MAX, 1.0);
        integration.enable(TEMPLATE, SyncOptions::default().schedule(INTERVAL).deletes(deletes)).await?;
        let sync = engine.sync(CONNECTION, TEMPLATE)?;
        match again {
            // Where the process before was killed, its run ends with its lease: that is not waited for here.
            true => sync.trigger(TriggerMode::Reset).await,
            false => sync.run_once(RunOptions::default()).await.map(drop),
        }
    }

    /// Lets the API's users work.
    pub(super) fn work(&mut self) {
        self.users = Some(self.crm.work());
    }
}
