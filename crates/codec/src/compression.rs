//! zstd: each payload is one frame that names its length and its dictionary.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, MAX_PAYLOAD_BYTES, Result};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{get_dict_id_from_dict, get_dict_id_from_frame, get_frame_content_size};

use crate::tags::COMPRESSED;

/// A zstd dictionary: what payloads have in common. Records of one kilobyte shrink to about a third with one, and to about
/// half without.
///
/// It contains parts of the payloads that it was trained from, so protect it as you protect them. Keep its
/// [bytes](Dictionary::bytes): nothing compressed with it can be read without them.
#[derive(Clone)]
pub struct Dictionary {
    bytes: Arc<[u8]>,
    id: NonZeroU32,
}

impl Dictionary {
    /// Trains a dictionary of at most `max_bytes` from payloads: a few hundred of each model, together at least a hundred times
    /// its size. 64 KiB suit most stores.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if there are too few samples.
    pub fn train<S: AsRef<[u8]>>(samples: &[S], max_bytes: usize) -> Result<Self> {
        let bytes = zstd::dict::from_samples(samples, max_bytes).map_err(|source| {
            Error::new(ErrorKind::Invalid, "no dictionary can be trained from these samples: give more of them")
                .with("samples", samples.len())
                .because(source)
        })?;
        Dictionary::from_bytes(bytes)
    }

    /// Loads a dictionary from the bytes that [`bytes`](Self::bytes) returned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if they are not an undamaged dictionary.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        let Some(id) = get_dict_id_from_dict(&bytes) else {
            return Err(Error::new(ErrorKind::Invalid, "the bytes are not a zstd dictionary: train one from samples"));
        };
        // zstd reads behind the header only when it is used, and would then call payloads damaged.
        let tried = Compressor::with_dictionary(1, &bytes)
            .and_then(|mut compressor| compressor.compress(b"{}"))
            .and_then(|frame| Decompressor::with_dictionary(&bytes)?.decompress(&frame, 2));
        tried.map(|_| Dictionary { bytes, id }).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the dictionary is damaged: take it from where it was kept first")
                .with("dictionary", id)
                .because(source)
        })
    }

    /// Returns the bytes to keep.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("id", &self.id).field("bytes", &self.bytes.len()).finish()
    }
}

/// Settings for compressing payloads.
///
/// ```
/// use highwater_codec::{Compression, Dictionary};
/// let samples: Vec<String> = (0..2000).map(|n| format!(r#"{{"id": {n}, "title": "A title that many have"}}"#)).collect();
/// let dictionary = Dictionary::train(&samples, 4 << 10)?; // keep its bytes: payloads cannot be read without it
/// let compression = Compression::new().level(3).dictionary(dictionary);
/// # let _ = compression;
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub struct Compression {
    level: i32,
    /// Whether the first dictionary compresses; all of them decompress.
    with_dictionary: bool,
    max_payload: usize,
    compressors: Pool<Compressor<'static>>,
    /// For frames without a dictionary; each dictionary has its own.
    plain: Pool<Decompressor<'static>>,
    dictionaries: Vec<(Dictionary, Pool<Decompressor<'static>>)>,
}

impl Compression {
    /// Compresses at zstd's default level, without a dictionary.
    pub fn new() -> Self {
        Compression {
            level: zstd::DEFAULT_COMPRESSION_LEVEL,
            with_dictionary: false,
            max_payload: MAX_PAYLOAD_BYTES,
            compressors: Pool::default(),
            plain: Pool::default(),
            dictionaries: Vec::new(),
        }
    }

    /// Sets the level, from 1 (fast) to 19 (small). 3 by default.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self.compressors = Pool::default();
        self
    }

    /// Sets the dictionary that compresses.
    #[must_use]
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionaries.retain(|(known, _)| known.id != dictionary.id);
        self.dictionaries.insert(0, (dictionary, Pool::default()));
        self.with_dictionary = true;
        self.compressors = Pool::default();
        self
    }

    /// Adds an earlier dictionary, to read what was compressed with it.
    #[must_use]
    pub fn also_decompress(mut self, dictionary: Dictionary) -> Self {
        if !self.dictionaries.iter().any(|(known, _)| known.id == dictionary.id) {
            self.dictionaries.push((dictionary, Pool::default()));
        }
        self
    }

    /// Sets the largest payload that is decompressed, in bytes, so that a forged one cannot exhaust memory. The largest that a
    /// store accepts by default.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Returns the name of the dictionary that compresses.
    pub(crate) fn writes_with(&self) -> Option<String> {
        self.dictionaries.first().filter(|_| self.with_dictionary).map(|(known, _)| name_of(known.id))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.dictionaries.iter().any(|(known, _)| name_of(known.id) == name)
    }

    /// Appends the compressed form if it is shorter, and otherwise the payload.
    pub(crate) fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let frame = self.compressors.with(
            || {
                let dictionary = self.dictionaries.first().filter(|_| self.with_dictionary);
                let mut compressor =
                    Compressor::with_dictionary(self.level, dictionary.map_or(&[], |(known, _)| known.bytes()))?;
                // Reading does not check a payload's hash, so the frame has to detect damage.
                compressor.include_checksum(true)?;
                Ok(compressor)
            },
            |compressor| compressor.compress(payload),
        );
        let frame = frame
            .map_err(|source| Error::new(ErrorKind::Internal, "the payload could not be compressed").because(source))?;
        if frame.len() + 1 < payload.len() {
            out.push(COMPRESSED);
            out.extend_from_slice(&frame);
        } else {
            out.extend_from_slice(payload);
        }
        Ok(())
    }

    /// Appends the payload that [`encode`](Self::encode) compressed.
    pub(crate) fn decode(&self, stored: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let frame = stored.get(1..).unwrap_or_default();
        let length = match get_frame_content_size(frame) {
            Ok(Some(length)) => usize::try_from(length).unwrap_or(usize::MAX),
            Ok(None) | Err(_) => return Err(damaged()),
        };
        if length > self.max_payload {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the compressed payload claims to be longer than a record may be: it was changed; restore a backup",
            )
            .with("bytes", length)
            .with("limit", self.max_payload));
        }
        let (dictionary, pool) = match get_dict_id_from_frame(frame) {
            None => (&[] as &[u8], &self.plain),
            Some(id) => {
                let found = self.dictionaries.iter().find(|(known, _)| known.id == id);
                let (dictionary, pool) = found.ok_or_else(|| {
                    Error::new(
                        ErrorKind::Incompatible,
                        "the payload was compressed with a dictionary that the codec does not have: add it with Compression::also_decompress",
                    )
                    .with("dictionary", id)
                    .with("needs", name_of(id))
                })?;
                (dictionary.bytes(), pool)
            }
        };
        let payload = pool.with(
            || Decompressor::with_dictionary(dictionary),
            |decompressor| {
                let mut payload = Vec::with_capacity(length);
                decompressor.decompress_to_buffer(frame, &mut payload).map(|_| payload)
            },
        );
        let payload = payload.map_err(|source| damaged().because(source))?;
        if payload.len() != length {
            return Err(damaged());
        }
        if out.is_empty() {
            *out = payload;
        } else {
            out.extend_from_slice(&payload);
        }
        Ok(())
    }
}

impl Default for Compression {
    fn default() -> Self {
        Compression::new()
    }
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&Dictionary> = self.dictionaries.iter().map(|(dictionary, _)| dictionary).collect();
        f.debug_struct("Compression")
            .field("level", &self.level)
            .field("with_dictionary", &self.with_dictionary)
            .field("dictionaries", &known)
            .finish_non_exhaustive()
    }
}

/// Contexts that wait for their next use: making one costs more than a payload.
struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool(Mutex::default())
    }
}

impl<T> Pool<T> {
    fn with<V>(
        &self,
        make: impl FnOnce() -> std::io::Result<T>,
        work: impl FnOnce(&mut T) -> std::io::Result<V>,
    ) -> std::io::Result<V> {
        let waiting = lock(&self.0).pop();
        let mut context = match waiting {
            Some(context) => context,
            None => make()?,
        };
        let value = work(&mut context);
        lock(&self.0).push(context);
        value
    }
}

/// The name of the dictionary that a compressed payload needs.
pub(crate) fn dictionary_of(stored: &[u8]) -> Option<String> {
    get_dict_id_from_frame(stored.get(1..)?).map(name_of)
}

fn name_of(id: NonZeroU32) -> String {
    format!("dictionary {id}")
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the compressed payload is damaged: restore a backup, or clear the stream and sync again",
    )
}
