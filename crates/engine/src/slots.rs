//! Limits the number of concurrent runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Slots for runs. The run that has waited longest comes first.
#[derive(Debug)]
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    per_provider: usize,
    providers: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[allow(dead_code)] [OwnedSemaphorePermit; 2]);

impl Slots {
    pub(crate) fn new(all: usize, per_provider: usize) -> Self {
        let limited = |places: usize| places.clamp(1, Semaphore::MAX_PERMITS);
        Slots {
            all: Arc::new(Semaphore::new(limited(all))),
            per_provider: limited(per_provider),
            providers: Mutex::default(),
        }
    }

    /// Takes a slot without waiting, if one is free.
    pub(crate) fn try_enter(&self, provider: &str) -> Option<Place> {
        let of_provider = self.provider(provider).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place([of_provider, of_all]))
    }

    /// Waits for a slot: first for one of the provider's, so that a busy provider blocks no others.
    pub(crate) async fn enter(&self, provider: &str) -> Result<Place> {
        let closed = |source| Error::new(ErrorKind::Internal, "the slots for runs were closed").because(source);
        let of_provider = self.provider(provider).acquire_owned().await.map_err(closed)?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.map_err(closed)?;
        Ok(Place([of_provider, of_all]))
    }

    fn provider(&self, provider: &str) -> Arc<Semaphore> {
        let mut providers = lock(&self.providers);
        if let Some(known) = providers.get(provider) {
            return Arc::clone(known);
        }
        let places = Arc::new(Semaphore::new(self.per_provider));
        providers.insert(provider.to_owned(), Arc::clone(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_provider_holds_up_nobody_else() {
        let slots = Slots::new(3, 2);
        let first = slots.try_enter("a").unwrap();
        let _second = slots.try_enter("a").unwrap();
        assert!(slots.try_enter("a").is_none());
        let _other = slots.try_enter("b").unwrap();
        assert!(slots.try_enter("c").is_none());
        drop(first);
        assert!(slots.try_enter("c").is_some());
    }
}
