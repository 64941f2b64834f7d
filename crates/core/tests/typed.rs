//! Typed pages: each record by itself, numbers as they were written.
#![allow(clippy::disallowed_methods)]

use highwater_core::{Cursor, ErrorKind, MemoryStore, PollOptions, Store, StoreExt, StreamKey, WriteBatch};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, PartialEq)]
struct Note {
    text: String,
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn store_of(payloads: &[&str]) -> MemoryStore {
    let store = MemoryStore::new().unwrap();
    let mut batch = WriteBatch::new();
    for payload in payloads {
        batch.on(&notes()).upsert((*payload).to_owned());
    }
    store.commit(batch).await.unwrap();
    store
}

#[tokio::test]
async fn a_record_that_does_not_fit_keeps_no_other_back() {
    let store =
        store_of(&[r#"{"id":"a","text":"one"}"#, r#"{"id":"b","text":2}"#, r#"{"id":"c","text":"three"}"#]).await;
    let mut cursor = Cursor::START;
    let mut seen = Vec::new();
    loop {
        let page = store.records_as::<Note>(&notes()).since(cursor).limit(2).page().await.unwrap();
        for change in page.changes {
            let raw = change.raw.expect("the payload as it was saved").to_string();
            seen.push(match change.value.expect("there is something to store") {
                Ok(note) => note.text,
                Err(error) => {
                    assert_eq!((error.kind(), error.context("id")), (ErrorKind::Invalid, Some("b")));
                    raw
                }
            });
        }
        cursor = page.next_cursor;
        if page.caught_up {
            break;
        }
    }
    assert_eq!(seen, ["one", r#"{"id":"b","text":2}"#, "three"]);
}

#[tokio::test]
async fn a_reader_gets_past_a_record_that_does_not_fit() {
    let store = store_of(&[r#"{"id":"a","text":null}"#, r#"{"id":"b","text":"two"}"#]).await;
    let reader = store.consumer(&notes(), "index").options(PollOptions::default().limit(1));
    let mut fits = Vec::new();
    for _ in 0..2 {
        let delivery = reader.poll().await.unwrap();
        let page = delivery.page.typed::<Note>();
        fits.extend(page.changes.iter().map(|change| change.value.as_ref().is_some_and(Result::is_ok)));
        reader.ack(delivery.token).await.unwrap();
    }
    assert_eq!(fits, [false, true]);
    assert_eq!(reader.status().await.unwrap().lag, 0);
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
struct Place {
    id: String,
    lat: f64,
}

#[tokio::test]
async fn floats_are_read_as_they_were_written() {
    // Each is the shortest text of its float: written back, it must be the same text, or the record changes.
    let floats =
        ["31.245270191439438", "0.1", "5e-324", "1.7976931348623157e308", "9007199254740993.0", "-71.05890000000001"];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let made = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from_bits(state)
    });
    let texts = floats.iter().map(|text| text.parse::<f64>().unwrap()).chain(made.filter(|x| x.is_finite()).take(2000));
    for float in texts {
        let payload = format!(r#"{{"id":"a","lat":{float:?}}}"#);
        let store = store_of(&[&payload]).await;
        let page = store.records_as::<Place>(&notes()).page().await.unwrap();
        let place = page.changes.into_iter().next().unwrap().value.unwrap().unwrap();
        assert_eq!(place.lat.to_bits(), float.to_bits(), "{payload}");
    }
    // What is no number of 64 bits is an error of its record, never infinity.
    let store = store_of(&[r#"{"id":"a","lat":1e400}"#]).await;
    let page = store.records_as::<Place>(&notes()).page().await.unwrap();
    assert!(page.changes[0].value.as_ref().unwrap().is_err());
}
