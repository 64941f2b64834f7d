//! Memory that the payloads of a page share.

use std::sync::{Arc, Mutex};

use crate::locks::lock;
use bytes::Bytes;

/// Bytes of payloads in one allocation: enough for several, but few enough that a record which a caller keeps does not hold much
/// else in memory.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Chunks that are kept for the next pages: as many as a page of a thousand records of 1 KB takes.
const SPARE: usize = 64;

/// Unused chunks. A page is built by one thread and dropped by another; memory that went through
/// the allocator each time was returned to the system and faulted in again, page by page.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Chunks {
    /// An empty chunk with room for [`CHUNK`] bytes.
    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = lock(&self.spare).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(CHUNK))
    }

    /// The bytes of a chunk, which comes back when the last part of it is dropped.
    pub(crate) fn share(self: &Arc<Self>, chunk: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { chunk, home: Arc::clone(self) })
    }
}

struct Lent {
    chunk: Vec<u8>,
    home: Arc<Chunks>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.chunk
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = lock(&self.home.spare);
        if spare.len() < SPARE && self.chunk.capacity() >= CHUNK {
            self.chunk.clear();
            spare.push(std::mem::take(&mut self.chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_when_its_last_part_is_dropped_and_no_more_than_some_stay() {
        let chunks = Arc::new(Chunks::default());
        let mut chunk = chunks.take();
        chunk.extend_from_slice(b"one two");
        let at = chunk.as_ptr();
        let whole = chunks.share(chunk);
        let part = whole.slice(4..);
        drop(whole);
        assert_eq!(part, "two");
        let other = chunks.take();
        assert_ne!(other.as_ptr(), at);
        drop(part);
        let again = chunks.take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));

        let many: Vec<Bytes> = (0..SPARE + 9).map(|_| chunks.share(chunks.take())).collect();
        drop(many);
        assert_eq!(chunks.spare.lock().unwrap().len(), SPARE);
    }
}
