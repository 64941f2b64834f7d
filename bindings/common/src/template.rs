//! Templates whose fetch is a function of the host's language.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::template::async_trait::async_trait;
use highwater::template::auth::CredentialUse;
use highwater::template::{ConfigKey, ModelInfo, Provider, SyncContext, Template, TemplateInfo};
use highwater::{Error, ErrorKind, Result, provider_file};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arguments;
use crate::failure::Outcome;
use crate::run::{HostRun, drive, inbox};

/// Begins a run: hands it to the host's function, on whatever thread that has to run on, and returns at once.
pub type StartRun = Arc<dyn Fn(HostRun) + Send + Sync>;

/// The most runs of a template whose functions have not returned, those of runs that ended long ago included.
const MOST_ALIVE: usize = 64;

/// A template of the host's language, for [`Engine::open`](crate::Engine::open).
pub struct HostTemplate {
    info: TemplateInfo,
    start: StartRun,
}

impl HostTemplate {
    /// Describes a template. `info` is JSON:
    ///
    /// | member | value | default |
    /// |---|---|---|
    /// | `provider` | the name of a ready API, or a description as in `docs/providers.md` | required |
    /// | `name` | its name among the provider's templates | required |
    /// | `models` | its record types: names, or `{"name", "description", "schema", "version"}` (`version`: a JSON pointer) | required |
    /// | `description`, `deletes` | one line each | |
    /// | `version` | grows when the shape of its records changes | 1 |
    /// | `config` | its settings, each `{"name", "help", "required", "default", "secret"}` | none |
    /// | `credentials` | `required`, `optional` or `unused` | `required` if the provider has a sign-in |
    /// | `scopes` | the scopes that a token must have | none |
    /// | `interval_ms` | the time between two runs | an hour |
    /// | `incremental` | how a run finds what changed, in one line | runs read everything |
    ///
    /// `start` is called for each run. It returns at once and hands the [`HostRun`] to the host's function.
    ///
    /// # Errors
    ///
    /// `invalid` for a description that cannot be used, `not_found` for an API that is not known.
    pub fn new(info: &str, start: StartRun) -> Outcome<Self> {
        let info = arguments::read::<InfoRead>("template", info)?.read()?;
        Ok(HostTemplate { info, start })
    }

    /// Returns the template's id: `provider/name`.
    pub fn id(&self) -> String {
        self.info.id()
    }

    pub(crate) fn into_template(self) -> Result<Arc<dyn Template>> {
        Ok(Arc::new(Fetched { info: self.info, start: self.start, alive: Arc::default() }))
    }
}

impl fmt::Debug for HostTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostTemplate").field(&self.id()).finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InfoRead {
    provider: Box<RawValue>,
    name: String,
    models: Vec<ModelRead>,
    description: Option<String>,
    deletes: Option<String>,
    version: Option<u32>,
    #[serde(default)]
    config: Vec<ConfigRead>,
    credentials: Option<CredentialsRead>,
    #[serde(default)]
    scopes: Vec<String>,
    interval_ms: Option<u64>,
    incremental: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a model, or an object of name, description, schema and version")]
enum ModelRead {
    Name(String),
    Whole(ModelWhole),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelWhole {
    name: String,
    #[serde(default)]
    description: String,
    schema: Option<Value>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigRead {
    name: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    required: bool,
    default: Option<String>,
    #[serde(default)]
    secret: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CredentialsRead {
    Required,
    Optional,
    Unused,
}

impl InfoRead {
    fn read(self) -> Result<TemplateInfo> {
        let named = serde_json::from_str::<String>(self.provider.get());
        let provider = match named {
            Ok(name) => ready_provider(&name)?,
            Err(_) => provider_file::parse(self.provider.get())?,
        };
        if self.name.is_empty() || self.name.contains(['/', ':']) {
            let message = "a template's name has at least one character, and no slash and no colon";
            return Err(Error::new(ErrorKind::Invalid, message).with("member", "name"));
        }
        if self.models.is_empty() {
            let message = "a template saves records: name its models";
            return Err(Error::new(ErrorKind::Invalid, message).with("member", "models"));
        }
        let mut info = provider.template(self.name);
        for model in self.models {
            info = info.model_info(match model {
                ModelRead::Name(name) => ModelInfo::new(name, ""),
                ModelRead::Whole(whole) => {
                    let mut read = ModelInfo::new(whole.name, whole.description);
                    (read.schema, read.version_pointer) = (whole.schema, whole.version);
                    read
                }
            });
        }
        for key in self.config {
            let mut read = match key.required {
                true => ConfigKey::required(key.name, key.help),
                false => ConfigKey::optional(key.name, key.help),
            };
            (read.default, read.secret) = (key.default, key.secret);
            info = info.config(read);
        }
        info.scopes = self.scopes;
        if let Some(description) = self.description {
            info = info.description(description);
        }
        if let Some(deletes) = self.deletes {
            info = info.deletes(deletes);
        }
        if let Some(version) = self.version {
            info = info.version(version);
        }
        if let Some(interval) = self.interval_ms {
            info = info.interval(Duration::from_millis(interval));
        }
        if let Some(how) = self.incremental {
            info = info.incremental(how);
        }
        Ok(match self.credentials {
            None => info,
            Some(CredentialsRead::Required) => info.credentials(CredentialUse::Required),
            Some(CredentialsRead::Optional) => info.credentials(CredentialUse::Optional),
            Some(CredentialsRead::Unused) => info.credentials(CredentialUse::Unused),
        })
    }
}

fn ready_provider(name: &str) -> Result<Provider> {
    let templates = highwater::templates::all();
    let found = templates.iter().map(|template| &template.info().provider).find(|provider| provider.name == name);
    found.cloned().ok_or_else(|| {
        let message = "no ready API has this name: check it, or describe the API in its place";
        Error::new(ErrorKind::NotFound, message).with("provider", name)
    })
}

/// The template that hands its runs to the host.
struct Fetched {
    info: TemplateInfo,
    start: StartRun,
    /// Runs that the host still holds.
    alive: Arc<AtomicUsize>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fetched").field(&self.info.id()).finish()
    }
}

#[async_trait]
impl Template for Fetched {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        if self.alive.load(Ordering::Acquire) >= MOST_ALIVE {
            let message =
                "too many fetch functions of this template never returned: have them return once the run is stopped";
            return Err(Error::new(ErrorKind::Busy, message).with("template", self.info.id()));
        }
        let (commands, mut inbox) = inbox();
        let run = HostRun::new(&self.info.id(), context, commands, Arc::clone(&self.alive))?;
        std::panic::catch_unwind(AssertUnwindSafe(|| (self.start)(run))).map_err(|panic| {
            let message = "the run could not be handed to the fetch function";
            Error::new(ErrorKind::Internal, message).because(crate::call::panicked(&*panic))
        })?;
        drive(context, &mut inbox).await.map_err(|error| error.during("fetch"))
    }
}
