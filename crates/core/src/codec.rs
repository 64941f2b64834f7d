//! How payloads are stored: plainly, or through a codec.

use std::fmt;

use crate::error::Result;
use crate::stream::StreamKey;

/// Whose payload it is: bound to the stored bytes, so that they cannot be moved to another record.
#[derive(Clone, Copy, Debug)]
pub struct PayloadContext<'a> {
    /// The stream.
    pub stream: &'a StreamKey,
    /// The record's id.
    pub id: &'a str,
}

/// Turns payloads into what is stored and back: encryption, compression.
///
/// Stored bytes never begin with `{`: a payload that does is taken for plain JSON, so that rows
/// from before the codec stay readable.
pub trait PayloadCodec: fmt::Debug + Send + Sync + 'static {
    /// Appends the stored form of `payload` to `out`.
    fn encode(&self, context: &PayloadContext<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<()>;
    /// Appends the payload of `stored` to `out`.
    fn decode(&self, context: &PayloadContext<'_>, stored: &[u8], out: &mut Vec<u8>) -> Result<()>;
    /// Names each key or dictionary that payloads written from now on need to be read again: `key 2 (5f0c11aa)`. Never
    /// secret: the names are stored and shown. The store keeps them, and does not open with a codec that lacks one.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }
    /// The name of the key or dictionary that a stored payload needs, as far as its outer form tells.
    fn need_of(&self, stored: &[u8]) -> Option<String> {
        let _ = stored;
        None
    }
    /// Whether the codec has the key or dictionary of this name.
    fn has(&self, need: &str) -> bool {
        let _ = need;
        true
    }
    /// Whether plain JSON is taken as it is. When not, it comes to [`decode`](Self::decode) too.
    fn accepts_plain(&self) -> bool {
        true
    }
}
