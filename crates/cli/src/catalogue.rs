//! What commands know of APIs: the ready-made templates and actions, and what files add to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use highwater::declarative::{Files, Manifest, Registry, replay::read_manifest, templates_for};
use highwater::engine::EngineBuilder;
use highwater::template::{Provider, Template};
use highwater::{Engine, Error, ErrorKind, Result, Store};

/// Files that describe APIs that are not in the catalogue.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CatalogueOptions {
    /// The YAML file that describes the provider, if it is not one of the catalogue.
    #[arg(
        help_heading = "APIs that are not in the catalogue",
        long,
        value_name = "FILE",
        env = "HIGHWATER_PROVIDER_FILE"
    )]
    pub(crate) provider_file: Option<PathBuf>,
    /// The declarative manifest, or its folder, whose streams become templates of that provider.
    #[arg(
        help_heading = "APIs that are not in the catalogue",
        long,
        value_name = "FILE",
        requires = "provider_file",
        env = "HIGHWATER_MANIFEST"
    )]
    pub(crate) manifest: Option<PathBuf>,
}

impl CatalogueOptions {
    /// The provider that a file describes.
    pub(crate) fn provider(&self) -> Result<Option<Provider>> {
        self.provider_file.as_deref().map(highwater::provider_file::read).transpose()
    }

    /// The ready-made templates, and those of the manifest.
    pub(crate) fn templates(&self) -> Result<Vec<Arc<dyn Template>>> {
        let mut templates = highwater::templates::all();
        if let (Some(provider), Some(file)) = (self.provider()?, &self.manifest) {
            templates.extend(templates_for(&provider, &manifest(file)?)?);
        }
        Ok(templates)
    }

    /// An engine to be built: it knows every template, action and provider, and no credentials.
    pub(crate) fn builder(&self, store: &Arc<dyn Store>) -> Result<EngineBuilder> {
        let builder =
            Engine::builder(Arc::clone(store)).templates(self.templates()?).actions(highwater::templates::actions());
        Ok(match self.provider()? {
            Some(provider) => builder.provider(provider),
            None => builder,
        })
    }
}

/// Reads a manifest with the files beside it.
pub(crate) fn manifest(file: &Path) -> Result<Manifest> {
    if file.is_dir() {
        return read_manifest(file, &Registry::new());
    }
    let text = std::fs::read_to_string(file).map_err(|source| {
        Error::new(ErrorKind::NotFound, "the manifest cannot be read: check the path")
            .with("file", file.display())
            .because(source)
    })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Manifest::parse(&text, &Files::of_folder(folder)?)
}
