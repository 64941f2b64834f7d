//! The endpoints of an integration: the templates of its provider, and how each stands.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::Result;
use serde::Serialize;

use super::handle::IntegrationHandle;
use crate::documents::ConnectionSettings;
use crate::documents::{SyncKey, SyncOptions, SyncOrigin, SyncSettings};
use crate::walk::Walk;

/// A template of an integration's provider, and how it stands with the integration's connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Endpoint {
    /// The template, and the variant behind it, such as `github/issues`.
    pub sync: String,
    /// Its options while it is enabled, with the schedule that stands for the template's own; `None` while it is not.
    pub options: Option<SyncOptions>,
    /// For how many connections the sync is enabled, by the integration or by their own decision.
    pub connections: u64,
    /// How many of these wait for a setting.
    pub waiting: u64,
    /// The settings they wait for, and how many lack each.
    pub missing_settings: BTreeMap<String, u64>,
    /// How many connections decided for themselves about the sync: they have it off, or under settings of their own.
    pub own_decisions: u64,
}

impl Endpoint {
    fn new(sync: String, options: Option<SyncOptions>) -> Self {
        let missing_settings = BTreeMap::new();
        Endpoint { sync, options, connections: 0, waiting: 0, missing_settings, own_decisions: 0 }
    }

    /// Returns whether the integration has it enabled.
    pub fn is_enabled(&self) -> bool {
        self.options.is_some()
    }
}

impl IntegrationHandle {
    /// Returns every template of the integration's provider, and every variant that the integration enabled or a connection
    /// decided about, in order of their names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown integration.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let engine = &self.engine;
        let (_, integration) = engine.stored_integration(&self.key).await?;
        let members = engine.members(&self.key).await?.into_iter();
        let members: BTreeMap<String, ConnectionSettings> =
            members.map(|connection| (connection.id.clone(), integration.settings.fill_in(connection))).collect();
        let of_provider = engine.templates().filter(|info| info.provider.name == integration.settings.provider);
        let names: BTreeSet<String> =
            of_provider.map(|info| info.id()).chain(integration.endpoints.keys().cloned()).collect();
        let mut endpoints: BTreeMap<String, Endpoint> = BTreeMap::new();
        for name in names {
            let options = integration.endpoints.get(&name).cloned();
            endpoints.insert(name.clone(), Endpoint::new(name, options));
        }
        let store = engine.store().as_ref();
        let (mut enabled, mut off) = (Walk::new(store, "sync/"), Walk::new(store, "off/"));
        while let Some(document) = enabled.next().await? {
            let settings: SyncSettings = document.value.to()?;
            let Some(connection) = members.get(&settings.connection) else { continue };
            let name = settings.sync();
            let endpoint = endpoints.entry(name.clone()).or_insert_with(|| Endpoint::new(name, None));
            endpoint.connections += 1;
            endpoint.own_decisions += u64::from(settings.origin == SyncOrigin::Connection);
            let Ok(template) = engine.template(&settings.template) else { continue };
            let missing = connection.missing(&template.info().config);
            endpoint.waiting += u64::from(!missing.is_empty());
            for setting in missing {
                *endpoint.missing_settings.entry(setting).or_default() += 1;
            }
        }
        while let Some(document) = off.next().await? {
            let key = SyncKey::from_path(document.key.strip_prefix("off/").unwrap_or_default())?;
            if members.contains_key(&key.connection) {
                let name = key.sync_name();
                endpoints.entry(name.clone()).or_insert_with(|| Endpoint::new(name, None)).own_decisions += 1;
            }
        }
        Ok(endpoints.into_values().collect())
    }
}
