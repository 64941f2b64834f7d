//! The codec by itself: what goes in comes out, and nothing else does.

use std::sync::{Arc, LazyLock};

use highwater_codec::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater_core::{Environment, ErrorKind, PayloadCodec, PayloadContext, StreamKey};
use proptest::prelude::*;

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes(&[byte; 32]).unwrap()
}

fn encode(codec: &Arc<dyn PayloadCodec>, stream: &StreamKey, id: &str, payload: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    codec.encode(&PayloadContext { stream, id }, payload, &mut stored).unwrap();
    stored
}

fn decode(
    codec: &Arc<dyn PayloadCodec>,
    stream: &StreamKey,
    id: &str,
    stored: &[u8],
) -> highwater_core::Result<Vec<u8>> {
    let mut payload = Vec::new();
    codec.decode(&PayloadContext { stream, id }, stored, &mut payload)?;
    Ok(payload)
}

fn samples() -> Vec<String> {
    (0..2000)
        .map(|n| {
            format!(
                r#"{{"id":{n},"state":"{}","title":"Water level {n} at the gauge","user":{{"login":"user{}","type":"User","site_admin":false}},"labels":["bug","urgent"]}}"#,
                ["open", "closed"][n % 2],
                n % 37
            )
        })
        .collect()
}

/// Every combination, the last with a dictionary.
static CODECS: LazyLock<Vec<Arc<dyn PayloadCodec>>> = LazyLock::new(|| {
    let dictionary = Dictionary::train(&samples(), 8192).unwrap();
    vec![
        Codec::builder().compress(Compression::new()).build(),
        Codec::builder().encrypt(KeyRing::new(1, key(1))).build(),
        Codec::builder().compress(Compression::new().level(1)).encrypt(KeyRing::new(1, key(1))).build(),
        Codec::builder()
            .compress(Compression::new().dictionary(dictionary))
            .encrypt(KeyRing::new(255, key(2)))
            .require_encryption()
            .build(),
    ]
});

#[test]
fn a_dictionary_makes_small_records_smaller() {
    let stream = StreamKey::new("c", "M");
    let samples = samples();
    let plain = Codec::builder().compress(Compression::new()).build();
    let dictionary = Dictionary::train(&samples[..1000], 8192).unwrap();
    let with = Codec::builder().compress(Compression::new().dictionary(dictionary.clone())).build();
    let size = |codec| samples[1000..].iter().map(|s| encode(codec, &stream, "x", s.as_bytes()).len()).sum::<usize>();
    let raw: usize = samples[1000..].iter().map(String::len).sum();
    assert!(size(&with) * 2 < raw && size(&with) * 2 < size(&plain), "{raw} {} {}", size(&plain), size(&with));

    let stored = encode(&with, &stream, "x", samples[0].as_bytes());
    let error = decode(&plain, &stream, "x", &stored).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let later = Codec::builder().compress(Compression::new().also_decompress(dictionary.clone())).build();
    assert_eq!(decode(&later, &stream, "x", &stored).unwrap(), samples[0].as_bytes());
    let kept = Dictionary::from_bytes(dictionary.bytes().to_vec()).unwrap();
    let reopened = Codec::builder().compress(Compression::new().dictionary(kept)).build();
    assert_eq!(decode(&reopened, &stream, "x", &stored).unwrap(), samples[0].as_bytes());
    assert_eq!(Dictionary::from_bytes(vec![1, 2, 3]).unwrap_err().kind(), ErrorKind::Invalid);
    // With the header of a dictionary, and nothing that could be one behind it.
    let broken = [&dictionary.bytes()[..8], &[7; 500]].concat();
    let error = Dictionary::from_bytes(broken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.context("dictionary").is_some(), "{error}");
    assert_eq!(Dictionary::train(&["a"], 100).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_bomb_does_not_go_off() {
    let stream = StreamKey::new("c", "M");
    let big = Codec::builder().compress(Compression::new()).build();
    let payload = format!(r#"{{"id":"{}"}}"#, " ".repeat(10 << 20));
    let stored = encode(&big, &stream, "x", payload.as_bytes());
    assert!(stored.len() < 4096);
    let careful = Codec::builder().compress(Compression::new().max_payload(1 << 20)).build();
    assert_eq!(decode(&careful, &stream, "x", &stored).unwrap_err().kind(), ErrorKind::Corrupt);
    // A frame that does not say how long it is, one that lies about it, and one with another behind it.
    for frame in [zstd::stream::encode_all(payload.as_bytes(), 1).unwrap(), [&stored[1..], &stored[1..]].concat(), {
        // Single segment, 1-byte content size: the frame of `{}` that claims 255 bytes.
        let mut frame = zstd::bulk::compress(b"{}", 1).unwrap();
        frame[5] = 255;
        frame
    }] {
        let stored = [&[0xc1], frame.as_slice()].concat();
        assert_eq!(decode(&big, &stream, "x", &stored).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn keys_rotate_and_wrong_ones_are_named() {
    let stream = StreamKey::new("c", "M");
    let one = Codec::builder().encrypt(KeyRing::new(1, key(1))).build();
    let stored = encode(&one, &stream, "x", br#"{"id":1}"#);
    let rotated = Codec::builder().encrypt(KeyRing::new(2, key(2)).also_decrypt(1, key(1))).build();
    assert_eq!(decode(&rotated, &stream, "x", &stored).unwrap(), br#"{"id":1}"#);
    let renewed = encode(&rotated, &stream, "x", br#"{"id":1}"#);
    let error = decode(&one, &stream, "x", &renewed).unwrap_err();
    assert_eq!((error.kind(), error.context("key")), (ErrorKind::WrongKey, Some("2")));
    let other = Codec::builder().encrypt(KeyRing::new(1, key(9))).build();
    assert_eq!(decode(&other, &stream, "x", &stored).unwrap_err().kind(), ErrorKind::WrongKey);
    let none = Codec::builder().build();
    assert_eq!(decode(&none, &stream, "x", &stored).unwrap_err().kind(), ErrorKind::WrongKey);
    let back = Codec::builder().encrypt(KeyRing::decrypt_only(1, key(1))).build();
    assert_eq!(encode(&back, &stream, "x", &decode(&back, &stream, "x", &stored).unwrap()), br#"{"id":1}"#);
    assert_eq!(EncryptionKey::from_bytes(&[0; 31]).unwrap_err().kind(), ErrorKind::Invalid);
    assert_ne!(EncryptionKey::generate().unwrap().expose(), EncryptionKey::generate().unwrap().expose());
}

#[test]
fn secrets_do_not_show() {
    let codec = Codec::builder().encrypt(KeyRing::new(1, key(0xab))).build();
    for shown in [format!("{codec:?}"), format!("{:?}", key(0xab)), format!("{:?}", KeyRing::new(1, key(0xab)))] {
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    }
}

#[test]
fn plain_payloads_are_refused_where_encryption_is_required() {
    let strict = Codec::builder().encrypt(KeyRing::new(1, key(1))).require_encryption().build();
    let stream = StreamKey::new("c", "M");
    assert!(!strict.accepts_plain());
    assert_eq!(decode(&strict, &stream, "x", b"{}").unwrap_err().kind(), ErrorKind::Corrupt);
    let compressed = encode(&CODECS[0], &stream, "x", format!("{{{}}}", " ".repeat(200)).as_bytes());
    assert_eq!(decode(&strict, &stream, "x", &compressed).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A source of randomness that always says the same.
#[derive(Debug)]
struct Stuck;

impl Environment for Stuck {
    fn now(&self) -> highwater_core::Timestamp {
        highwater_core::Timestamp::from_unix_ms(0)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

#[test]
fn nonces_differ_even_when_randomness_does_not() {
    let codec = Codec::builder().encrypt(KeyRing::new(1, key(1))).environment(Arc::new(Stuck)).build();
    let stream = StreamKey::new("c", "M");
    let nonce = |id: &str, payload: &[u8]| encode(&codec, &stream, id, payload)[6..30].to_vec();
    assert_ne!(nonce("a", b"{}"), nonce("b", b"{}"));
    assert_ne!(nonce("a", b"{}"), nonce("a", b"{ }"));
    assert_eq!(nonce("a", b"{}"), nonce("a", b"{}"));
    let real = Codec::builder().encrypt(KeyRing::new(1, key(1))).build();
    assert_ne!(encode(&real, &stream, "a", b"{}"), encode(&real, &stream, "a", b"{}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip_and_binding(text in "\\PC{0,400}", id in "\\PC{1,20}", other in "\\PC{1,20}", flip in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let payload = serde_json::json!({ "id": id, "text": text, "again": text }).to_string();
        let (here, there) = (StreamKey::new("c", "M"), StreamKey::new("cM", "M").with_variant("v"));
        for codec in CODECS.iter() {
            let mut stored = encode(codec, &here, &id, payload.as_bytes());
            if stored[0] == b'{' {
                continue; // compression alone, where it does not help
            }
            prop_assert_eq!(decode(codec, &here, &id, &stored).unwrap(), payload.as_bytes());
            if stored[0] == 0xe1 {
                prop_assert!(decode(codec, &there, &id, &stored).is_err());
                prop_assert!(other == id || decode(codec, &here, &other, &stored).is_err());
            }
            let place = flip.index(stored.len());
            stored[place] ^= 1 << bit;
            // Never garbage: an error, or (a bit of zstd's that means nothing) the payload.
            if let Ok(found) = decode(codec, &here, &id, &stored) {
                prop_assert!(stored[0] != 0xe1);
                prop_assert_eq!(found, payload.as_bytes());
            }
            for end in [0, 1, place] {
                prop_assert!(decode(codec, &here, &id, &stored[..end]).is_err());
            }
        }
    }
}
