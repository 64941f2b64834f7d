//! What the fuzz targets check. Each takes any bytes and panics when a promise is broken.

pub mod declarative;
pub mod interpolation;

use std::sync::{Arc, LazyLock};

use highwater_codec::{Codec, Compression, EncryptionKey, KeyRing};
use highwater_core::backend::LogRow;
use highwater_core::content::{Canonicalizer, canonical, canonical_eq, deep_merge, guess_id};
use highwater_core::row_codec::{decode_row, encode_row};
use highwater_core::{
    Action, ContentRules, Cursor, ErrorKind, MemoryStore, PayloadCodec, PayloadContext, Store, StoreExt, StreamKey,
    WriteBatch,
};
use highwater_template::HttpResponse;
use highwater_template::records::value_at;
use serde_json::Value;
use serde_json::value::RawValue;

/// A store with a few positions, and the cursors it gave out.
struct Issued {
    runtime: tokio::runtime::Runtime,
    store: MemoryStore,
    cursors: Vec<String>,
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

static ISSUED: LazyLock<std::sync::Mutex<Issued>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = MemoryStore::new().unwrap();
    let cursors = runtime.block_on(async {
        let mut cursors = Vec::new();
        for n in 0..8 {
            let mut batch = WriteBatch::new();
            batch.on(&notes()).upsert(format!(r#"{{"id":{n}}}"#));
            store.commit(batch).await.unwrap();
            cursors.push(store.records(&notes()).page().await.unwrap().next_cursor.to_string());
        }
        cursors
    });
    std::sync::Mutex::new(Issued { runtime, store, cursors })
});

/// A text is no cursor, or one that prints as it was read; and a store takes only its own (P32).
pub fn cursor_token(data: &[u8]) {
    let issued = ISSUED.lock().unwrap();
    // The first byte may ask for a true cursor with the rest of the bytes over it.
    let text = match data.split_first() {
        Some((first, rest)) if *first < 8 => {
            let mut bytes = issued.cursors[usize::from(*first)].clone().into_bytes();
            for pair in rest.chunks_exact(2) {
                let place = usize::from(pair[0]) % bytes.len();
                bytes[place] = pair[1];
            }
            bytes
        }
        _ => data.to_vec(),
    };
    let Ok(text) = String::from_utf8(text) else { return };
    let Ok(cursor) = text.parse::<Cursor>() else { return };
    let printed = cursor.to_string();
    assert_eq!(printed.parse::<Cursor>().unwrap(), cursor);
    let answer = issued.runtime.block_on(issued.store.records(&notes()).since(cursor).page());
    match answer {
        Ok(_) => assert!(cursor.is_start() || issued.cursors.contains(&printed), "taken: {text:?}"),
        Err(error) => assert!(
            matches!(
                error.kind(),
                ErrorKind::CursorForeign
                    | ErrorKind::CursorFuture
                    | ErrorKind::CursorForked
                    | ErrorKind::CursorExpired
                    | ErrorKind::FilterMismatch
            ),
            "{error}"
        ),
    }
}

/// Two texts have one hash exactly when they mean the same, judged by another parser.
pub fn canonical_hash(data: &[u8]) {
    let rules = ContentRules::new();
    let (one, two) = halves(data);
    let hash = |text: &[u8]| canonical(&rules, text).ok();
    // What was read before changes nothing, not even what is refused.
    let mut practised = Canonicalizer::new(&rules);
    for text in [one, two, one, one, two, two, one] {
        assert_eq!(practised.read(text).ok(), hash(text), "{}", String::from_utf8_lossy(text));
    }
    let Some(first) = hash(one) else { return };
    let spaced = [b" \n".as_slice(), one, b"\t"].concat();
    assert_eq!(hash(&spaced).unwrap().hash, first.hash);
    if let (Some(guessed), Some(id)) = (guess_id(one), &first.id) {
        assert_eq!(*guessed, **id);
    }
    let Some(meaning) = exactly(one) else { return };
    let respelled = serde_json::to_vec(&meaning).unwrap();
    assert_eq!(hash(&respelled).unwrap().hash, first.hash, "{}", String::from_utf8_lossy(one));
    let (Some(second), Some(other)) = (hash(two), exactly(two)) else { return };
    assert_eq!(first.hash == second.hash, meaning == other);
    assert_eq!(canonical_eq(one, two), meaning == other);
}

/// What is decoded was encoded; what comes out of a round trip is what went in.
pub fn payload_codec(data: &[u8]) {
    static CODECS: LazyLock<[Arc<dyn PayloadCodec>; 3]> = LazyLock::new(|| {
        let ring = || KeyRing::new(1, EncryptionKey::from_bytes(&[7; 32]).unwrap());
        let small = || Compression::new().max_payload(1 << 20);
        [
            Codec::builder().compress(small()).build(),
            Codec::builder().encrypt(ring()).build(),
            Codec::builder().compress(small()).encrypt(ring()).require_encryption().build(),
        ]
    });
    let stream = notes();
    let context = PayloadContext { stream: &stream, id: "a" };
    for (place, codec) in CODECS.iter().enumerate() {
        let mut out = Vec::new();
        if codec.decode(&context, data, &mut out).is_ok() {
            // Nobody guesses an authentic payload.
            assert!(place == 0 || data.first() != Some(&0xe1));
            assert!(place != 2 && out.len() <= 1 << 20);
        }
        let payload = [b"{", data].concat();
        let (mut stored, mut back) = (Vec::new(), Vec::new());
        codec.encode(&context, &payload, &mut stored).unwrap();
        if codec.decode(&context, &stored, &mut back).is_ok() || stored[0] != b'{' {
            assert_eq!(back, payload);
        }
        // One byte of it changed: an error, or the same payload.
        if let [first, second, ..] = *data
            && stored[0] == 0xe1
        {
            let place = (usize::from(first) << 8 | usize::from(second)) % stored.len();
            stored[place] ^= first | 1;
            assert!(codec.decode(&context, &stored, &mut Vec::new()).is_err());
        }
    }
}

/// Merging never panics, and keeps what it should.
pub fn json(data: &[u8]) {
    let (one, two) = halves(data);
    let sound = |text: &[u8]| canonical(&ContentRules::new(), text).is_ok();
    if let Ok(merged) = deep_merge(one, two)
        && sound(one)
        && sound(two)
    {
        assert!(sound(&merged), "{}", String::from_utf8_lossy(&merged));
        let again = deep_merge(&merged, two).unwrap();
        assert!(canonical_eq(&again, &merged));
        if let Some(base) = exactly(one) {
            let same = deep_merge(one, b"{}").unwrap();
            assert_eq!(exactly(&same), Some(base));
        }
    }
}

/// An answer is parted as strict reading parts it; one that is no JSON is refused, or one of its parts is none.
pub fn answer(data: &[u8]) {
    let (body, path) = halves(data);
    let path = String::from_utf8_lossy(path);
    let is_json = |text: &[u8]| serde_json::from_slice::<&RawValue>(text).is_ok();
    let shallow = body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() < 100;
    let parts = HttpResponse::new(200, Vec::new(), body.to_vec()).elements();
    match (serde_json::from_slice::<Vec<&RawValue>>(body), parts) {
        (Ok(strict), parts) => {
            assert!(parts.unwrap().iter().eq(strict.iter().map(|part| part.get().as_bytes())));
        }
        (Err(_), Ok(parts)) if shallow => assert!(!parts.iter().all(|part| is_json(part))),
        _ => {}
    }
    let found = value_at(body, &path);
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let found: Option<Value> = found.unwrap().map(|found| serde_json::from_slice(found).unwrap());
        assert_eq!(found.as_ref(), value.pointer(&path));
    }
}

/// Any bytes are an error or a row; a row comes back as it was written.
pub fn row_codec(data: &[u8]) {
    if let Ok(row) = decode_row(7, data) {
        let mut written = Vec::new();
        encode_row(&row, &mut written);
        assert!(decode_row(7, &written).unwrap() == row);
    }
    let (head, payload) = data.split_at(data.len().min(40));
    let byte = |place: usize| head.get(place).copied().unwrap_or(0);
    let wide = |from: usize| (0..16).fold(0_u128, |sum, place| sum << 8 | u128::from(byte(from + place)));
    let id = String::from_utf8_lossy(&head[head.len().min(20)..]).into_owned();
    let row = LogRow {
        sequence: u64::from(byte(0)),
        cursor: wide(0),
        epoch: u32::from(byte(1)),
        birth: if byte(2) & 1 == 0 { wide(0) } else { wide(3) },
        action: Action::from_code(byte(4) % 3).unwrap(),
        first_seen_at: i64::from(byte(5)) - 100,
        pruned_at: (byte(6) & 1 == 0).then_some(i64::from(byte(7))),
        id: &id,
        hashes: &head[..head.len().min(usize::from(byte(8)))],
        extra: (byte(9) & 1 == 0).then_some(head),
        payload: (byte(10) & 1 == 0).then_some(payload),
    };
    let mut written = Vec::new();
    encode_row(&row, &mut written);
    assert!(decode_row(row.sequence, &written).unwrap() == row);
    for end in [0, written.len() / 2, written.len().saturating_sub(1)] {
        let _ = decode_row(0, &written[..end]);
    }
}

/// Two texts in one: split at the first zero byte.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(place) => (&data[..place], &data[place + 1..]),
        None => (data, data),
    }
}

/// The meaning of a text, where the other parser keeps it whole: no fractions, no integers beyond 64 bits.
fn exactly(text: &[u8]) -> Option<Value> {
    fn whole(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::Array(items) => items.iter().all(whole),
            Value::Object(members) => members.values().all(whole),
            _ => true,
        }
    }
    serde_json::from_slice(text).ok().filter(whole)
}
