//! The id of a record, held so that a page of a thousand records needs no thousand allocations.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id that lies within the value itself, in bytes: a UUID as text does.
const SHORT: usize = 38;

/// The id of a record: text that is cheap to clone and keeps nothing else in memory.
///
/// ```
/// use highwater_core::RecordId;
/// let id = RecordId::from("4711");
/// assert_eq!(id, "4711");
/// assert!(id.starts_with("47"));
/// let known: std::collections::HashMap<RecordId, u32> = [(id, 1)].into();
/// assert_eq!(known.get("4711"), Some(&1));
/// ```
#[derive(Clone)]
pub struct RecordId(Text);

#[derive(Clone)]
enum Text {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Arc<str>),
}

impl RecordId {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Made from a whole text below, so always UTF-8.
            Text::Short { length, bytes } => {
                bytes.get(..usize::from(*length)).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
            }
            Text::Long(text) => text,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Text::Long(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for RecordId {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                RecordId(Text::Short { length, bytes })
            }
            _ => RecordId(Text::Long(text.into())),
        }
    }
}

impl From<String> for RecordId {
    fn from(text: String) -> Self {
        RecordId::from(&*text)
    }
}

impl From<Arc<str>> for RecordId {
    fn from(text: Arc<str>) -> Self {
        if text.len() > SHORT { RecordId(Text::Long(text)) } else { RecordId::from(&*text) }
    }
}

impl From<RecordId> for Arc<str> {
    fn from(id: RecordId) -> Self {
        match id.0 {
            Text::Long(text) => text,
            Text::Short { .. } => id.as_str().into(),
        }
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.as_str().to_owned()
    }
}

impl Deref for RecordId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for RecordId {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for RecordId {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for RecordId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RecordId {}

impl PartialEq<str> for RecordId {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for RecordId {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialEq<String> for RecordId {
    fn eq(&self, other: &String) -> bool {
        self == other.as_str()
    }
}

impl PartialOrd for RecordId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordId {
    fn cmp(&self, other: &Self) -> Ordering {
        // As texts are ordered.
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer).map(|text| RecordId::from(&*text))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn an_id_is_the_text_it_was_made_from_whatever_its_length() {
        let texts: Vec<String> = (0..80).map(|length| "é~x".chars().cycle().take(length).collect()).collect();
        for text in &texts {
            let id = RecordId::from(text.as_str());
            assert_eq!(id.as_str(), text);
            assert_eq!(id, RecordId::from(Arc::<str>::from(text.as_str())));
            assert_eq!(id, RecordId::from(text.clone()));
            assert_eq!((id.to_string(), format!("{id:?}")), (text.clone(), format!("{text:?}")));
            assert_eq!(String::from(id.clone()), *text);
            assert_eq!(&*Arc::<str>::from(id.clone()), text);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<RecordId>(&json).unwrap(), id);
        }
        let ids: Vec<RecordId> = texts.iter().map(|text| RecordId::from(text.as_str())).collect();
        assert!(ids.iter().zip(&texts).all(|(id, text)| HashSet::from([id.clone()]).contains(text.as_str())));
        let sorted: Vec<String> = ids.into_iter().collect::<BTreeSet<_>>().iter().map(ToString::to_string).collect();
        assert_eq!(sorted, texts.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_uuid_needs_no_memory_of_its_own() {
        assert!(matches!(RecordId::from("0190a0f4-5f0b-7cc3-98c4-dc0c0c07398f").0, Text::Short { .. }));
        assert_eq!(size_of::<RecordId>(), 40);
    }
}
