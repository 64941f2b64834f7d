//! The steps of a rotation: each commit leaves a vault that opens.

use highwater_codec::EncryptionKey;
use highwater_core::{Document, Error, ErrorKind, Result, WriteBatch};
use highwater_engine::Secret;

use super::{Inner, MOST_KEYS, PAGE, ROWS, TRIES};
use crate::head::{DataKey, Head};
use crate::keys::{key_of, text_of};
use crate::mutants::mutant;
use crate::row::Row;
use crate::state::{HEAD, State, is, with};

impl Inner {
    /// Adds the next data key, which seals from now on, under the newest master key.
    pub(super) async fn add_key(&self) -> Result<()> {
        let state = self.state();
        let kept = self.secrets.load().await?;
        let newest = match kept.first() {
            Some(first) if !is(first, &state.master) => first.clone(),
            _ => self.add_master(&kept).await?,
        };
        let master = key_of(&newest)?;
        let number = (1..=u8::MAX).find(|number| state.keys.iter().all(|key| key.number != *number)).unwrap_or(1);
        let mut keys = vec![DataKey { number, key: EncryptionKey::generate()? }];
        keys.extend(state.keys.iter().cloned());
        self.replace(&state, &keys, &master).await?;
        // Another process may have replaced the list in the meantime, where it cannot be changed in one step.
        self.secrets.update(&|list| with(list, &newest)).await.map(drop)
    }

    /// Adds a master key in front of those that are kept.
    async fn add_master(&self, kept: &[Secret]) -> Result<Secret> {
        if kept.len() >= MOST_KEYS {
            let message = "there is no room for another key of the vault: forget the former ones first, with Vault::forget_former_keys";
            return Err(Error::new(ErrorKind::Invalid, message)
                .with("key_from", self.secrets.location())
                .with("keys", kept.len()));
        }
        let new = text_of(&EncryptionKey::generate()?);
        if mutant!("former-key-forgotten-early") {
            self.secrets.save(std::slice::from_ref(&new)).await?;
        }
        self.secrets.update(&|list| with(list, &new)).await?;
        Ok(new)
    }

    /// Drops every data key but the one that seals.
    pub(super) async fn drop_old_keys(&self) -> Result<()> {
        let state = self.state();
        self.replace(&state, state.keys.get(..1).unwrap_or_default(), &state.master).await
    }

    async fn replace(&self, state: &State, keys: &[DataKey], master: &EncryptionKey) -> Result<()> {
        let head = Head::new(state.head.id.clone(), keys, master, &self.environment)?;
        let mut batch = WriteBatch::new();
        batch.expect_document(HEAD, Some(&state.stored)).put_document(HEAD, &head)?;
        self.store.commit(batch).await?;
        self.refresh().await.map(drop)
    }

    /// Seals every row that is not under the newest data key.
    pub(super) async fn seal_anew(&self) -> Result<u64> {
        let (mut after, mut count, mut tries) = (String::new(), 0, 0);
        loop {
            let page = self.store.documents(ROWS, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            match self.seal_page(&page).await {
                Ok(sealed) => count += sealed,
                // One of them was saved in the meantime: the page is read again.
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            tries = 0;
            if mutant!("rotation-skips-rows") {
                return Ok(count);
            }
            after.clone_from(&last.key);
        }
    }

    async fn seal_page(&self, page: &[Document]) -> Result<u64> {
        let state = self.state();
        let mut batch = WriteBatch::new();
        batch.expect_document(HEAD, Some(&state.stored));
        let mut sealed = 0;
        for document in page {
            let Some(connection) = document.key.strip_prefix(ROWS) else { continue };
            if Row::read(&document.value).is_some_and(|row| row.is_sealed_with(state.sealer.number)) {
                continue;
            }
            let credentials = match self.open_row(connection, &document.value).await {
                Err(error) if self.is_outdated(connection, &document.value, &error).await? => {
                    return Err(Error::new(ErrorKind::Conflict, "the credentials were replaced: read them again"));
                }
                outcome => outcome?,
            };
            if !mutant!("rotation-overwrites") {
                batch.expect_document(&*document.key, Some(&document.value));
            }
            batch.put_document(&*document.key, &state.sealer.seal(connection, &credentials)?)?;
            sealed += 1;
        }
        if sealed > 0 {
            self.store.commit(batch).await?;
        }
        Ok(sealed)
    }
}
