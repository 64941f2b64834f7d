//! The files beside a manifest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};

/// The files beside a manifest (its schemas and its spec), by the path that the manifest has for them.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, Arc<str>>);

/// More than a connector's folder ever holds.
const MAX_FILES: usize = 4096;

impl Files {
    /// Creates a set without files.
    pub fn new() -> Self {
        Files::default()
    }

    /// Adds a file, or replaces the one at `path`.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        self.0.insert(path.into(), text.into());
        self
    }

    /// Reads the files of a connector's folder: its manifest, its spec and its schemas, at most 4,096 of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the folder or one of the files cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let mut files = Files::new();
        files.add_folder(folder, "", 0)?;
        Ok(files)
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        let unreadable = |source: std::io::Error| {
            Error::new(ErrorKind::NotFound, "a folder of the manifest cannot be read: check the path")
                .with("folder", folder.display())
                .because(source)
        };
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            // The manifest's folder may contain other files.
            let belongs = depth > 0 || name == "schemas" || path.join("schemas").is_dir();
            let known = depth > 0 || name.starts_with("manifest.") || name.starts_with("spec.");
            if path.is_dir() {
                if !belongs || depth >= 4 {
                    continue;
                }
                self.add_folder(&path, &format!("{name}/"), depth + 1)?;
            } else if known
                && matches!(path.extension().and_then(|text| text.to_str()), Some("json" | "yaml" | "yml"))
                && self.0.len() < MAX_FILES
            {
                let text = std::fs::read_to_string(&path).map_err(unreadable)?;
                self.0.insert(name, text.into());
            }
        }
        Ok(())
    }

    /// The file at `path`; a leading `./` or package folder is not counted.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        let mut path = path.trim_start_matches("./");
        loop {
            if let Some(text) = self.0.get(path) {
                return Some(text);
            }
            path = path.split_once('/')?.1;
        }
    }
}
