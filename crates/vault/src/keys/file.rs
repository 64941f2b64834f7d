//! Keys in a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use highwater_core::files::beside;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::Secret;
use zeroize::Zeroizing;

use super::{ChangeSecrets, SecretStore, split};
use crate::mutants::mutant;

/// Longer than any list of keys: a larger file is something else.
const MAX_BYTES: u64 = 4096;

/// Keeps keys in a file, one per line, that only its owner can read (mode 0600; on Windows the folder's permissions decide).
///
/// Keep it away from the store and its backups: whoever has both can read the credentials. The file and its folder are
/// created as needed, the folder with mode 0700.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// Uses the file at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        KeyFile(path.into())
    }

    fn read(&self) -> io::Result<Option<Zeroizing<String>>> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() || found.len() > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of keys"));
        }
        if is_open_to_others(&found) && !mutant!("key-file-mode-unchecked") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, OPEN_TO_OTHERS));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// Locks out other writers, in any process, for as long as the file is open.
    fn lock(&self) -> io::Result<File> {
        make_folder(folder_of(&self.0))?;
        let file =
            private(OpenOptions::new().write(true).create(true).truncate(false)).open(beside(&self.0, ".lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn write(&self, secrets: &[Secret]) -> io::Result<()> {
        // A link stays one: what it leads to is replaced.
        let path = fs::canonicalize(&self.0).unwrap_or_else(|_| self.0.clone());
        // Written to a temporary file and renamed: a crash leaves the old list or the new one.
        let new = beside(&path, ".new");
        let _ = fs::remove_file(&new);
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
        for secret in secrets {
            writeln!(file, "{}", secret.expose())?;
        }
        file.sync_all()?;
        drop(file);
        fs::rename(&new, &path)?;
        if cfg!(unix) { File::open(folder_of(&path))?.sync_all() } else { Ok(()) }
    }

    fn explain(&self, source: io::Error) -> Error {
        let message = match source.kind() {
            io::ErrorKind::PermissionDenied if source.to_string() == OPEN_TO_OTHERS => {
                "other users can read the file with the vault's key: remove their permission (chmod 600), and rotate the key if they may have read it"
            }
            io::ErrorKind::InvalidData => "the file does not contain vault keys: use another path",
            _ => "the file with the vault's key cannot be read or written: check the path and its permissions",
        };
        let kind = match ErrorKind::of_io(&source) {
            ErrorKind::Corrupt => ErrorKind::Invalid,
            kind => kind,
        };
        Error::new(kind, message).because(source).with("file", self.0.display())
    }
}

const OPEN_TO_OTHERS: &str = "others may read it";

#[async_trait]
impl SecretStore for KeyFile {
    async fn load(&self) -> Result<Vec<Secret>> {
        let text = self.read().map_err(|error| self.explain(error))?;
        Ok(text.map(|text| split(&text)).unwrap_or_default())
    }

    async fn save(&self, secrets: &[Secret]) -> Result<()> {
        let written = self.lock().and_then(|_locked| self.write(secrets));
        written.map_err(|error| self.explain(error))
    }

    async fn update(&self, change: &ChangeSecrets<'_>) -> Result<Vec<Secret>> {
        let changed = self.lock().and_then(|_locked| {
            let before = self.read()?.map(|text| split(&text)).unwrap_or_default();
            let after = change(before.clone());
            if after != before {
                self.write(&after)?;
            }
            Ok(after)
        });
        changed.map_err(|error| self.explain(error))
    }

    fn location(&self) -> String {
        format!("the file {}", self.0.display())
    }
}

#[cfg(unix)]
fn is_open_to_others(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(if mutant!("key-file-for-all") { 0o644 } else { 0o600 })
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
