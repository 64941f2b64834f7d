//! Streams of a manifest as templates of the engine.
//!
//! Each stream becomes a sync with one model of its name. The settings are the properties of the manifest's spec: secret ones
//! belong to the connection's credentials, mappings and lists are JSON texts. Requests go to the base URLs that the manifest
//! names, and nowhere else. The checkpoint is the state after each page. A stream without a cursor reads everything and leaves
//! no checkpoint; the engine deletes the records that such a run did not see.

mod clock;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::{CredentialUse, SecretRenewal};
use highwater_template::host::RunHost;
use highwater_template::{
    HttpResponse, LogLevel, ModelInfo, Provider, Secret, SourceRecord, SyncContext, Template, TemplateInfo,
};
use sha2::Digest as _;
use tokio::sync::Mutex;

use crate::exchange::{ConfigRenewal, Exchange, Page, Request, Sink};
use crate::manifest::Manifest;
use crate::model::StreamEntry;
use crate::run::Spent;
use crate::source::Source;
use clock::RunClock;
use highwater_interpolation::{Value, python_text};
use settings::{Setting, settings_of};

/// Returns the templates of a manifest for the provider `provider`: one for each stream that can run with any config.
///
/// Streams that a config or the API lists come from [`Source::templates`].
///
/// # Errors
/// [`ErrorKind::Invalid`] if the manifest's rules for configs cannot be applied to an empty config.
///
/// ```
/// use highwater_declarative::{Files, Manifest, templates};
/// let manifest = r#"
/// streams:
///   - name: things
///     primary_key: id
///     retriever:
///       requester: {url_base: "https://api.example", path: things}
///       record_selector: {extractor: {field_path: [things]}}
/// "#;
/// let manifest = Manifest::parse(manifest, &Files::new())?;
/// let ids: Vec<String> = templates("example", &manifest)?.iter().map(|template| template.info().id()).collect();
/// assert_eq!(ids, ["example/things"]);
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn templates(provider: &str, manifest: &Manifest) -> Result<Vec<Arc<dyn Template>>> {
    templates_for(&unsigned(provider, manifest), manifest)
}

/// Returns the templates of a manifest for a provider that is described elsewhere, such as in a file: connections sign in as the
/// provider says, its headers and limits hold, and the engine adds the credentials to requests to which the manifest adds none of
/// its own.
///
/// The manifest's base URLs must be at the provider's base URL or its other origins.
///
/// # Errors
/// As [`templates`].
///
/// ```
/// use highwater_declarative::{Files, Manifest, templates_for};
/// use highwater_template::Provider;
/// use highwater_template::auth::AuthKind;
/// let manifest = r#"
/// streams:
///   - name: things
///     primary_key: id
///     retriever:
///       requester: {url_base: "https://api.example", path: things}
///       record_selector: {extractor: {field_path: [things]}}
/// "#;
/// let provider = Provider::new("example", "https://api.example").auth(AuthKind::bearer("a token, from Settings > API"));
/// let templates = templates_for(&provider, &Manifest::parse(manifest, &Files::new())?)?;
/// assert_eq!(templates[0].info().provider, provider);
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn templates_for(provider: &Provider, manifest: &Manifest) -> Result<Vec<Arc<dyn Template>>> {
    let source = Source::without_config(manifest, Arc::new(RunClock::default()))?;
    let mut entries: Vec<&StreamEntry> = manifest.model.streams.iter().collect();
    for entry in source.dynamic() {
        if !entries.iter().any(|known| known.name == entry.name) {
            entries.push(entry);
        }
    }
    Ok(templates_of(provider, &source, &entries))
}

impl Source {
    /// Returns the streams of this config as templates of the engine: those of the manifest, those that the config lists, and
    /// those that [`discover`](Source::discover) added.
    ///
    /// A run uses the config of its own connection, and requests the list of streams again where the API has it. A stream that
    /// is no longer listed fails its run.
    ///
    /// # Errors
    /// As [`streams`](Source::streams).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use highwater_core::SystemEnvironment;
    /// use highwater_declarative::{Files, Manifest, Source};
    /// let manifest = r#"
    /// dynamic_streams:
    ///   - type: DynamicDeclarativeStream
    ///     stream_template:
    ///       name: ""
    ///       primary_key: id
    ///       retriever:
    ///         requester: {url_base: "https://api.example", path: ""}
    ///         record_selector: {extractor: {field_path: []}}
    ///     components_resolver:
    ///       type: ConfigComponentsResolver
    ///       stream_config: {type: StreamConfig, configs_pointer: [tables]}
    ///       components_mapping:
    ///         - {type: ComponentMappingDefinition, field_path: [name], value: "{{ components_values.name }}"}
    ///         - {type: ComponentMappingDefinition, field_path: [retriever, requester, path], value: "{{ components_values.name }}"}
    /// "#;
    /// let manifest = Manifest::parse(manifest, &Files::new())?;
    /// let config = highwater_declarative::json!({"tables": [{"name": "north"}, {"name": "south"}]});
    /// let source = Source::new(&manifest, config, Arc::new(SystemEnvironment))?;
    /// let ids: Vec<String> = source.templates("example")?.iter().map(|template| template.info().id()).collect();
    /// assert_eq!(ids, ["example/north", "example/south"]);
    /// # Ok::<(), highwater_core::Error>(())
    /// ```
    pub fn templates(&self, provider: &str) -> Result<Vec<Arc<dyn Template>>> {
        Ok(templates_of(&unsigned(provider, self.manifest()), self, &self.entries()?))
    }
}

/// The provider that a manifest itself describes. Its sign-in is the manifest's own, out of secret settings.
fn unsigned(name: &str, manifest: &Manifest) -> Provider {
    // The same for every config: the engine uses it to check that all templates of one provider have the same API.
    let unconfigured = Source::without_config(manifest, Arc::new(RunClock::default()));
    let base_urls = unconfigured.and_then(|source| source.base_urls()).unwrap_or_default();
    let base_url = base_urls.into_iter().next().unwrap_or_default();
    Provider::new(name, base_url).docs(manifest.documentation_url().unwrap_or_default())
}

fn templates_of(provider: &Provider, source: &Source, entries: &[&StreamEntry]) -> Vec<Arc<dyn Template>> {
    let manifest = source.manifest();
    let spec = manifest.model.spec.as_ref();
    let renewed = crate::origins::renewed_paths(manifest.model.streams.iter().chain(entries.iter().copied()));
    let settings = Arc::new(settings_of(spec.map_or(&Value::Null, |spec| &spec.connection), &renewed));
    let credentials = if provider.auth.is_empty() { CredentialUse::Unused } else { CredentialUse::Optional };
    let budgets = Arc::new(Budgets::default());
    let scope = source.scope();
    let mut templates: Vec<Arc<dyn Template>> = Vec::new();
    for entry in entries {
        let Some(stream) = &entry.stream else { continue };
        let declaring = stream.declaring_stream();
        let schema = crate::schema::static_schema(manifest, declaring, &scope).unwrap_or(Value::Null);
        let mut model = ModelInfo::new(&entry.name, format!("A record of `{}`", entry.name));
        if schema.as_object().is_some_and(|schema| !schema.is_empty()) {
            model = model.schema(schema.into());
        }
        let mut info = TemplateInfo::of(provider.clone(), &entry.name)
            .description(format!("The stream `{}` of a declarative manifest", entry.name))
            .credentials(credentials)
            .model_info(model);
        if declaring.cursor.is_some() {
            info = info.incremental("by the manifest's cursor").deletes("on a full refresh");
        } else {
            info = info.deletes("every run reads everything; what is missing was deleted");
        }
        for setting in settings.iter() {
            info = info.config(setting.key.clone());
        }
        templates.push(Arc::new(StreamTemplate {
            info,
            manifest: manifest.clone(),
            settings: Arc::clone(&settings),
            budgets: Arc::clone(&budgets),
            stream: entry.name.clone(),
            primary_key: declaring.primary_key.clone(),
            incremental: declaring.cursor.is_some(),
        }));
    }
    templates
}

/// The manifest's budget of requests, one for each connection: its streams share it.
#[derive(Debug, Default)]
struct Budgets(std::sync::Mutex<BTreeMap<String, Arc<Spent>>>);

impl Budgets {
    fn of(&self, connection: &str) -> Arc<Spent> {
        let mut budgets = lock(&self.0);
        Arc::clone(budgets.entry(connection.to_owned()).or_default())
    }
}

#[derive(Debug)]
struct StreamTemplate {
    info: TemplateInfo,
    manifest: Manifest,
    settings: Arc<Vec<Setting>>,
    budgets: Arc<Budgets>,
    stream: String,
    primary_key: Vec<Vec<String>>,
    incremental: bool,
}

#[async_trait]
impl Template for StreamTemplate {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    fn origins(&self, config: &BTreeMap<String, String>) -> Result<Vec<String>> {
        let config = settings::config_of(&self.settings, config, |_| None)?;
        let source = Source::unchecked(&self.manifest, config, Arc::new(RunClock::default()))?;
        let urls = source.base_urls()?;
        if urls.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the manifest's base URL is not known from the settings alone")
                .with("stream", &self.stream));
        }
        Ok(urls)
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let secret = |name: &str| context.secret(name).map(|secret| secret.expose().to_owned());
        let config = settings::config_of(&self.settings, context.config_values(), secret)?;
        let clock = Arc::new(RunClock::at(context.now()));
        let budget = self.budgets.of(context.connection());
        let mut source = Source::new(&self.manifest, config, Arc::clone(&clock) as _)?.with_budget(budget);
        let state = context.last_checkpoint::<Value>()?.unwrap_or(Value::Null);
        let full = context.is_full_refresh();
        let (host, settings) = (context.host(), context.config_values().clone());
        let door = Door { context: Mutex::new(context), host, settings, template: self, clock };
        if source.asks_for_streams() && source.stream(&self.stream).is_err() {
            let discovered = source.discover(&door).await;
            if source.stream(&self.stream).is_err() {
                discovered?;
            }
        }
        let mut sink = Saver { template: self, door: &door };
        let summary = source.read(&self.stream, &state, &door, &mut sink).await?;
        let context = door.context.into_inner();
        if let Some(reason) = summary.unsound.as_ref().filter(|_| summary.records == 0) {
            return Err(
                Error::new(ErrorKind::Remote, format!("nothing could be read: {reason}")).with("stream", &self.stream)
            );
        }
        if let Some(reason) = &summary.unsound {
            context.mark_uncertain(&self.stream, reason);
        }
        if self.incremental {
            context.checkpoint(&summary.state)?;
        } else {
            // The next run reads everything again.
            context.checkpoint(&Value::Null)?;
        }
        match full {
            true => context.complete(&self.stream).await,
            false => Ok(()),
        }
    }
}

/// Requests of a read through the run's context.
struct Door<'d, 'h> {
    context: Mutex<&'d mut SyncContext<'h>>,
    /// For what lasts over several requests.
    host: &'h dyn RunHost,
    settings: BTreeMap<String, String>,
    template: &'d StreamTemplate,
    clock: Arc<RunClock>,
}

#[async_trait]
impl Exchange for Door<'_, '_> {
    async fn send(&self, request: Request) -> Result<HttpResponse> {
        let context = self.context.lock().await;
        self.clock.set(context.now());
        let response = context.send(request.http.any_status()).await;
        self.clock.set(context.now());
        response
    }

    async fn sleep(&self, duration: Duration) {
        let context = self.context.lock().await;
        context.sleep(duration).await;
        self.clock.set(context.now());
    }

    async fn renew_config(&self, renewal: &mut dyn ConfigRenewal) -> Result<()> {
        self.host.renew_secrets(&mut Renewal { door: self, renewal }).await
    }
}

/// A renewal of the config as one of the connection's secrets.
struct Renewal<'r, 'd, 'h> {
    door: &'r Door<'d, 'h>,
    renewal: &'r mut dyn ConfigRenewal,
}

#[async_trait]
impl SecretRenewal for Renewal<'_, '_, '_> {
    async fn renew(
        &mut self,
        current: &(dyn for<'n> Fn(&'n str) -> Option<Secret> + Sync),
    ) -> Result<Vec<(String, Secret)>> {
        let Door { template, settings, clock, .. } = self.door;
        let secret = |name: &str| current(name).map(|secret| secret.expose().to_owned());
        let given = settings::config_of(&template.settings, settings, secret)?;
        let source = Source::new(&template.manifest, given.clone(), Arc::clone(clock) as _)?;
        let changes = self.renewal.renew(Some(source.config().clone())).await?;
        Ok(settings::secrets_of(&template.settings, &given, changes))
    }
}

struct Saver<'s, 'd, 'h> {
    template: &'s StreamTemplate,
    door: &'s Door<'d, 'h>,
}

#[async_trait]
impl Sink for Saver<'_, '_, '_> {
    async fn page(&mut self, page: Page) -> Result<()> {
        let mut context = self.door.context.lock().await;
        if let Some(reason) = &page.incomplete {
            context.mark_incomplete(&self.template.stream, reason);
        }
        context.checkpoint(&page.state)?;
        if page.records.is_empty() {
            return Ok(());
        }
        let stream = &self.template.stream;
        context.save_each(stream, page.records, |record| self.template.identified(record.clone())).await.map(drop)
    }

    async fn set_aside(&mut self, payload: Bytes, reason: &Error) -> Result<()> {
        self.door.context.lock().await.set_aside(&self.template.stream, payload, reason);
        Ok(())
    }

    fn warn(&mut self, message: &str) {
        if let Ok(context) = self.door.context.try_lock() {
            context.log(LogLevel::Warning, message);
        }
    }
}

impl StreamTemplate {
    /// A record under the manifest's primary key; without one, under its `id`, or else under its content.
    fn identified(&self, record: Bytes) -> Result<SourceRecord> {
        let missing = || {
            let key = self.primary_key.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(", ");
            Error::new(ErrorKind::Remote, format!("a record has no primary key `{key}`: check the manifest"))
                .with("stream", &self.stream)
        };
        let plain = |value: &Value| match value {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(_) | Value::Bool(_) => Some(python_text(value)),
            _ => None,
        };
        if let [path] = self.primary_key.as_slice()
            && let [name] = path.as_slice()
        {
            let value = crate::run::member(&record, name);
            let id = value.as_ref().and_then(plain).ok_or_else(missing)?;
            return Ok(SourceRecord::with_id(id, record));
        }
        if self.primary_key.is_empty() {
            let id = crate::run::member(&record, "id").as_ref().and_then(plain);
            let id = id.unwrap_or_else(|| {
                let digest = sha2::Sha256::digest(&record);
                hex::encode(digest.get(..16).unwrap_or(&digest))
            });
            return Ok(SourceRecord::with_id(id, record));
        }
        let value: Value = serde_json::from_slice(&record)
            .map_err(|_| Error::new(ErrorKind::Remote, "a record is not JSON").with("stream", &self.stream))?;
        let part = |path: &Vec<String>| crate::dpath::dpath_get(&value, path).and_then(plain).ok_or_else(missing);
        let parts = self.primary_key.iter().map(part).collect::<Result<Vec<_>>>()?;
        Ok(SourceRecord::with_id(parts.join("|"), record))
    }
}
