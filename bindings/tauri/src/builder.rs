//! What an application sets before the plugin opens its store.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use highwater::engine::{CredentialStore, EngineBuilder};
use highwater::template::Template;
use highwater::template::actions::ActionTemplate;
use highwater::vault::{KeyFile, SecretStore, Vault};
use highwater::{Engine, Error, ErrorKind, Result, SqliteStore, Store};
use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Manager, Runtime, async_runtime};

use crate::failure::Failure;
use crate::managed::{Highwater, Managed};
use crate::sign_ins::{Open, SignIns};
use crate::{commands, lifetime};

/// The file's name in the application's data directory, unless the application says otherwise.
const FILE: &str = "highwater.db";
/// How long runs may take to stop at the end of the application.
const SHUTDOWN: Duration = Duration::from_secs(5);

type Settings = Box<dyn FnOnce(EngineBuilder) -> EngineBuilder + Send>;

/// Where credentials are kept.
enum Keeper {
    /// A vault of the store, with its key in a file beside it.
    Vault,
    VaultWithKeyIn(Arc<dyn SecretStore>),
    Own(Arc<dyn CredentialStore>),
}

/// Sets the plugin up.
///
/// ```
/// use std::time::Duration;
/// use tauri_plugin_highwater::{Builder, highwater};
/// # fn plugin<R: tauri::Runtime>() -> tauri::plugin::TauriPlugin<R> {
/// Builder::new()
///     .templates(highwater::templates::all())
///     .application_name("Notes")
///     .engine(|engine| engine.max_runs(4))
///     .shutdown_timeout(Duration::from_secs(3))
///     .build()
/// # }
/// ```
#[must_use]
pub struct Builder {
    templates: Vec<Arc<dyn Template>>,
    actions: Vec<Arc<dyn ActionTemplate>>,
    path: Option<PathBuf>,
    store: Option<Arc<dyn Store>>,
    keeper: Keeper,
    settings: Option<Settings>,
    name: Option<String>,
    open: Open,
    shutdown_timeout: Duration,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("path", &self.path).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// Returns a builder: no templates, the store in the application's data directory, credentials in a vault of that store.
    pub fn new() -> Self {
        Builder {
            templates: Vec::new(),
            actions: Vec::new(),
            path: None,
            store: None,
            keeper: Keeper::Vault,
            settings: None,
            name: None,
            open: Arc::new(open_in_browser),
            shutdown_timeout: SHUTDOWN,
        }
    }

    /// Adds templates.
    pub fn templates(mut self, templates: impl IntoIterator<Item = Arc<dyn Template>>) -> Self {
        self.templates.extend(templates);
        self
    }

    /// Adds actions.
    pub fn actions(mut self, actions: impl IntoIterator<Item = Arc<dyn ActionTemplate>>) -> Self {
        self.actions.extend(actions);
        self
    }

    /// Sets where the SQLite file lies: absolute, or in the application's data directory. Defaults to `highwater.db` there. Missing
    /// folders are created.
    pub fn store_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets a store that the application opened itself. The plugin closes it at the end.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Keeps the vault's key there, such as in the system's keychain. Defaults to a file beside the store, readable by its owner
    /// alone; a store of the application's own has no such place, and keeps no credentials unless one is set.
    pub fn secret_store(mut self, secrets: Arc<dyn SecretStore>) -> Self {
        self.keeper = Keeper::VaultWithKeyIn(secrets);
        self
    }

    /// Keeps credentials there instead of in a vault.
    pub fn credential_store(mut self, credentials: Arc<dyn CredentialStore>) -> Self {
        self.keeper = Keeper::Own(credentials);
        self
    }

    /// Changes settings of the engine: limits, a transport, providers, the log policy.
    pub fn engine(mut self, settings: impl FnOnce(EngineBuilder) -> EngineBuilder + Send + 'static) -> Self {
        self.settings = Some(Box::new(settings));
        self
    }

    /// Sets the name that the page after a sign-in shows. Defaults to the product name of the Tauri configuration.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets how the page of a sign-in is opened. Defaults to the system's browser, by the opener plugin.
    pub fn open_url(mut self, open: impl Fn(&str) -> Result<()> + Send + Sync + 'static) -> Self {
        self.open = Arc::new(open);
        self
    }

    /// Sets how long runs may take to stop at the end of the application. Defaults to 5 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Returns the plugin. It opens the store when the application is set up.
    ///
    /// A store that cannot be opened does not end the application: [`highwater`](crate::HighwaterExt::highwater) and every command return
    /// the error, so that the window can show it.
    pub fn build<R: Runtime>(self) -> TauriPlugin<R> {
        tauri::plugin::Builder::new("highwater")
            .invoke_handler(commands::handler())
            .setup(move |app, _| {
                let opened = self.open(app).map_err(Failure::from);
                if let Err(failure) = &opened {
                    tracing::error!(target: "highwater::tauri", error = %failure, "the store could not be opened");
                }
                app.manage(Managed(opened));
                Ok(())
            })
            .on_page_load(lifetime::page_loads)
            .on_event(lifetime::event)
            .build()
    }

    fn open<R: Runtime>(self, app: &AppHandle<R>) -> Result<Highwater> {
        let runtime = async_runtime::handle().inner().clone();
        let mut file = None;
        let store = match self.store {
            Some(store) => store,
            None => {
                let path = place(app, self.path.as_deref())?;
                let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path)?);
                file = Some(path);
                store
            }
        };
        let mut builder = Engine::builder(Arc::clone(&store)).templates(self.templates).actions(self.actions);
        let secrets: Option<Arc<dyn SecretStore>> = match self.keeper {
            Keeper::Own(own) => {
                builder = builder.credential_store(own);
                None
            }
            Keeper::VaultWithKeyIn(secrets) => Some(secrets),
            Keeper::Vault => file.map(|path| Arc::new(KeyFile::new(path.with_added_extension("key"))) as _),
        };
        if let Some(secrets) = secrets {
            let vault = async_runtime::block_on(Vault::open(Arc::clone(&store), secrets))?;
            builder = builder.credential_store(Arc::new(vault));
        }
        if let Some(settings) = self.settings {
            builder = settings(builder);
        }
        let name = self.name.or_else(|| app.config().product_name.clone());
        let sign_ins = SignIns::new(name.unwrap_or_else(|| app.package_info().name.clone()), self.open);
        Ok(Highwater::start(store, builder.build()?, runtime, sign_ins, self.shutdown_timeout))
    }
}

/// Returns the path of the store, in a folder that exists.
fn place<R: Runtime>(app: &AppHandle<R>, path: Option<&Path>) -> Result<PathBuf> {
    let path = path.unwrap_or(Path::new(FILE));
    let path = if path.is_absolute() {
        path.to_owned()
    } else {
        let data = app.path().app_data_dir().map_err(|source| {
            Error::new(ErrorKind::Unsupported, "the system names no folder for the application's data: set a path")
                .because(source)
        })?;
        data.join(path)
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|source| {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull => ErrorKind::Full,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::PermissionDenied
            }
            _ => ErrorKind::Io,
        };
        Error::new(kind, "cannot create the folder of the store: choose another one, or make it writable")
            .with("folder", folder.display())
            .because(source)
    })?;
    Ok(path)
}

fn open_in_browser(url: &str) -> Result<()> {
    tauri_plugin_opener::open_url(url, None::<&str>).map_err(|source| {
        Error::new(
            ErrorKind::Unsupported,
            "the system's browser cannot be opened: open the address of the sign-in by hand",
        )
        .because(source)
    })
}
