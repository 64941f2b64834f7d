//! Payload codecs for Highwater stores: encryption at rest and compression, for every store.
//!
//! ```
//! # #[cfg(all(feature = "encryption", feature = "zstd"))] {
//! use highwater_codec::{Codec, Compression, EncryptionKey, KeyRing};
//! use highwater_core::{MemoryStore, StoreOptions};
//!
//! let key = EncryptionKey::generate()?; // once; then keep it in the system's keychain
//! let codec = Codec::builder().compress(Compression::new()).encrypt(KeyRing::new(1, key)).build();
//! let store = MemoryStore::with_options(StoreOptions::new().codec(codec))?;
//! # }
//! # Ok::<(), highwater_core::Error>(())
//! ```
//!
//! What is covered and what is not, key rotation and dictionaries: `docs/encryption.md`.
#![deny(missing_docs, clippy::missing_errors_doc)]

mod codec;
#[cfg(feature = "zstd")]
mod compression;
#[cfg(feature = "encryption")]
mod encryption;
#[cfg(feature = "encryption")]
mod keys;
mod tags;

pub use codec::{Codec, CodecBuilder};
#[cfg(feature = "zstd")]
pub use compression::{Compression, Dictionary};
#[cfg(feature = "encryption")]
pub use keys::{EncryptionKey, KeyRing};
