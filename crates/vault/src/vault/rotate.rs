//! The steps of a rotation: each commit leaves a vault that opens.

use highwater_codec::EncryptionKey;
use highwater_core::{Document, ErrorKind, Result, WriteBatch};

use super::{HEAD, Inner, PAGE, ROWS, State, TRIES, no_key};
use crate::head::{DataKey, Head};
use crate::keys::{key_of, text_of};
use crate::mutants::mutant;
use crate::row::Row;

impl Inner {
    /// Adds the next data key, which seals from now on, under the newest master key.
    pub(super) async fn add_key(&self) -> Result<()> {
        let state = self.state();
        let mut secrets = self.secrets.load().await?;
        if state.master == 0 {
            if mutant!("former-key-forgotten-early") {
                secrets.clear();
            }
            secrets.insert(0, text_of(&EncryptionKey::generate()?));
            self.secrets.save(&secrets).await?;
        }
        let newest = secrets.first().map(key_of).transpose()?.ok_or_else(|| no_key(&*self.secrets))?;
        let number = (1..=u8::MAX).find(|number| state.keys.iter().all(|key| key.number != *number)).unwrap_or(1);
        let mut keys = vec![DataKey { number, key: EncryptionKey::generate()? }];
        keys.extend(state.keys.iter().cloned());
        self.replace(&state, &keys, &newest).await
    }

    /// Drops every data key but the one that seals.
    pub(super) async fn drop_old_keys(&self) -> Result<()> {
        let state = self.state();
        let secrets = self.secrets.load().await?;
        let master = secrets.get(state.master).map(key_of).transpose()?.ok_or_else(|| no_key(&*self.secrets))?;
        self.replace(&state, state.keys.get(..1).unwrap_or_default(), &master).await
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
            if document.value.to::<Row>().is_ok_and(|row| row.is_sealed_with(state.sealer.number)) {
                continue;
            }
            let credentials = self.open_row(connection, &document.value).await?;
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
