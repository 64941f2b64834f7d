//! How payloads are stored: plainly, or through a codec.

use std::fmt;

use crate::error::Result;
use crate::stream::StreamKey;

/// Whose payload it is. A codec binds the stored bytes to it, so that they cannot be moved to another record.
#[derive(Clone, Copy, Debug)]
pub struct PayloadContext<'a> {
    /// The stream.
    pub stream: &'a StreamKey,
    /// The record's id.
    pub id: &'a str,
}

/// Turns payloads into what is stored and back: encryption, compression.
///
/// Stored bytes must not begin with `{`: those are taken for plain JSON, so that rows written without the codec stay
/// readable. The crate `highwater-codec` has ready ones.
pub trait PayloadCodec: fmt::Debug + Send + Sync + 'static {
    /// Appends the stored form of `payload` to `out`.
    ///
    /// # Errors
    ///
    /// Any: the batch fails, and nothing of it is written.
    fn encode(&self, context: &PayloadContext<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// Appends the payload of `stored` to `out`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongKey`](crate::ErrorKind::WrongKey) if the codec lacks the key or dictionary, or the bytes belong to another
    /// record; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if they make no sense.
    fn decode(&self, context: &PayloadContext<'_>, stored: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// Names each key or dictionary that payloads written from now on need to be read again, such as `key 2 (5f0c11aa)`.
    ///
    /// The names are stored and shown, so they must not be secret. A store does not open with a codec that lacks one of them.
    /// Empty by default.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the name of the key or dictionary that a stored payload needs, as far as its outer form tells. `None` by default.
    fn need_of(&self, stored: &[u8]) -> Option<String> {
        let _ = stored;
        None
    }

    /// Returns whether the codec has the key or dictionary of this name. `true` by default.
    fn has(&self, need: &str) -> bool {
        let _ = need;
        true
    }

    /// Returns whether plain JSON is read as it is. Where not, it is passed to [`decode`](Self::decode) too. `true` by default.
    fn accepts_plain(&self) -> bool {
        true
    }
}
