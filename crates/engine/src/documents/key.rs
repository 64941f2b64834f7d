//! The names of syncs, and the keys of their documents.

use std::fmt;

use highwater_core::{Error, ErrorKind, Result, StreamKey};

/// Separates a template's name from a variant's: `github/issues::closed`.
pub(super) const VARIANT_MARK: &str = "::";

/// The longest path of a sync, in bytes: it is part of document keys.
const MAX_PATH: usize = 440;

/// The name of a sync: a template for a connection, optionally with a variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SyncKey {
    pub(crate) connection: String,
    pub(crate) template: String,
    pub(crate) variant: Option<String>,
}

impl SyncKey {
    /// Of a connection and `provider/name` or `provider/name::variant`.
    pub(crate) fn new(connection: &str, sync: &str) -> Result<Self> {
        let (template, variant) = match sync.split_once(VARIANT_MARK) {
            Some((template, variant)) => (template, Some(variant)),
            None => (sync, None),
        };
        let sound = |text: &str| !text.is_empty() && !text.contains('/') && !text.contains(VARIANT_MARK);
        if !sound(connection) || variant.is_some_and(|variant| !sound(variant)) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a connection and a variant have names of at least one byte, without slash and double colon",
            )
            .with("connection", connection)
            .with("sync", sync));
        }
        let key = SyncKey {
            connection: connection.to_owned(),
            template: template.to_owned(),
            variant: variant.map(ToOwned::to_owned),
        };
        if key.path().len() > MAX_PATH {
            return Err(Error::new(ErrorKind::Invalid, "the names of connection, template and variant are too long")
                .with("bytes", key.path().len())
                .with("allowed", MAX_PATH));
        }
        Ok(key)
    }

    /// Parses the text from [`path`](SyncKey::path).
    pub(crate) fn from_path(path: &str) -> Result<Self> {
        let (connection, sync) = path
            .split_once('/')
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stored name of a sync is not valid").with("name", path))?;
        SyncKey::new(connection, sync)
    }

    /// The template, with the variant behind `::` if there is one.
    pub(crate) fn sync_name(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}{VARIANT_MARK}{variant}", self.template),
            None => self.template.clone(),
        }
    }

    /// An unambiguous text for document keys.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.connection, self.sync_name())
    }

    pub(crate) fn provider(&self) -> &str {
        self.template.split('/').next().unwrap_or_default()
    }

    pub(crate) fn stream(&self, model: &str) -> StreamKey {
        let stream = StreamKey::new(self.connection.as_str(), model);
        match &self.variant {
            Some(variant) => stream.with_variant(variant.as_str()),
            None => stream,
        }
    }

    /// The lease whose holder may write the sync's records.
    pub(crate) fn lease_name(&self) -> String {
        format!("run/{}", self.path())
    }

    pub(crate) fn settings_key(&self) -> String {
        format!("sync/{}", self.path())
    }

    /// Where a connection of an integration keeps that it turned the sync off itself.
    pub(crate) fn off_key(&self) -> String {
        format!("off/{}", self.path())
    }

    pub(crate) fn status_key(&self) -> String {
        format!("status/{}", self.path())
    }

    pub(crate) fn checkpoint_key(&self) -> String {
        format!("checkpoint/{}", self.path())
    }

    pub(crate) fn trigger_key(&self) -> String {
        format!("trigger/{}", self.path())
    }

    pub(crate) fn holder_key(&self) -> String {
        format!("holder/{}", self.path())
    }

    /// The document with the progress of a full refresh.
    pub(crate) fn open_key(&self) -> String {
        format!("open/{}", self.path())
    }

    pub(crate) fn strikes_key(&self, model: &str) -> String {
        format!("strikes/{}/{model}", self.path())
    }

    /// The document with a run's changes of a model, until the next run begins.
    pub(crate) fn counts_key(&self, model: &str) -> String {
        format!("counts/{}/{model}", self.path())
    }

    pub(crate) fn runs_prefix(&self) -> String {
        format!("run/{}/", self.path())
    }
}

impl fmt::Display for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unambiguous() {
        let plain = SyncKey::new("main", "github/issues").unwrap();
        let variant = SyncKey::new("main", "github/issues::closed").unwrap();
        assert_eq!(plain.path(), "main/github/issues");
        assert_eq!(variant.path(), "main/github/issues::closed");
        for key in [&plain, &variant] {
            assert_eq!(SyncKey::from_path(&key.path()).unwrap(), *key);
        }
        assert_eq!(variant.stream("Issue").to_string(), "main/Issue/closed");
        assert_eq!(plain.provider(), "github");
        for (connection, sync) in [("a/b", "p/t"), ("", "p/t"), ("a", "p/t::"), ("a", "p/t::x/y"), ("a", "p/t::x::y")] {
            assert_eq!(SyncKey::new(connection, sync).unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(SyncKey::new("a", &format!("p/{}", "t".repeat(500))).is_err());
    }
}
