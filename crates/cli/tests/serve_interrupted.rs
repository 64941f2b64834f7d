//! `highwater serve`, killed or asked to stop while readers wait and while they read: nothing is lost, and nothing comes twice.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)] // signals

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use support::reader::{Copy, continue_and_compare};
use support::served::{Served, parse};
use support::until;

#[test]
fn a_reader_by_long_polls_loses_nothing_and_gets_nothing_twice_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let poll = |served: &Served, copy: &mut Copy| {
        let cursor = copy.resume.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/records?model=Contact&limit=50&wait=20s{cursor}");
        let page = served.get(&path).expect("an answer");
        page["records"].as_array().unwrap().iter().for_each(|record| copy.take(record));
        copy.resume = Some(page["resume_cursor"].as_str().unwrap().to_owned());
        path
    };
    let (mut live, mut late) = (Copy::default(), Copy::default());
    let served = Served::demo(folder.path());
    while live.cursors.len() < 606 {
        poll(&served, &mut live);
    }
    // In the middle of a poll that waits.
    let waiting =
        served.open(&format!("/records?model=Contact&wait=300s&cursor={}", live.resume.as_ref().unwrap()), "");
    served.kill();
    drop(waiting);
    for pages in [2, 3, 4] {
        let served = Served::start(folder.path(), &[]);
        let mut path = String::new();
        for _ in 0..pages {
            path = poll(&served, &mut late);
        }
        // In the middle of an answer: what did not arrive whole is asked for again.
        let mut open = served.open(&path, "");
        let mut some = [0; 512];
        open.read_exact(&mut some).unwrap();
        served.kill();
    }
    continue_and_compare(folder.path(), live);
    continue_and_compare(folder.path(), late);
}

#[test]
fn a_reader_of_events_loses_nothing_and_gets_nothing_twice_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let follow = |served: &Served, copy: &mut Copy, count: usize| {
        let last = copy.resume.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let mut lines = BufReader::new(served.open("/stream?model=Contact", &last)).lines();
        for _ in 0..count {
            let data = loop {
                let line = lines.next().unwrap().unwrap();
                if let Some(id) = line.strip_prefix("id: ") {
                    copy.resume = Some(id.to_owned());
                }
                if let Some(data) = line.strip_prefix("data: ") {
                    break data.to_owned();
                }
            };
            copy.take(&serde_json::from_str(&data).unwrap());
        }
    };
    let (mut live, mut late) = (Copy::default(), Copy::default());
    let served = Served::demo(folder.path());
    follow(&served, &mut live, 606);
    served.kill();
    for count in [7, 150, 300] {
        let served = Served::start(folder.path(), &[]);
        follow(&served, &mut late, count);
        served.kill();
    }
    continue_and_compare(folder.path(), live);
    continue_and_compare(folder.path(), late);
}

#[test]
fn a_server_that_is_asked_to_stop_ends_well_with_requests_open() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::demo(folder.path());
        let mut open = served.open("/stream?model=Deal", "");
        let mut first = [0; 64];
        open.read_exact(&mut first).unwrap();
        served.signal(signal);
        // The stream ends, and with it the process.
        let mut rest = Vec::new();
        open.read_to_end(&mut rest).unwrap();
        assert_eq!(served.ended().code(), Some(0), "{signal}");
    }
}

/// The events of a part of a stream that arrived whole.
fn events(text: &str) -> Vec<(String, Value)> {
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let of = |event: &str, name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let event = |event: &str| Some((of(event, "id: ")?, serde_json::from_str(&of(event, "data: ")?).unwrap()));
    whole.split("\n\n").filter_map(event).collect()
}

/// Takes what arrived of a stream, and notes where to go on.
fn take(copy: &mut Copy, text: &str) {
    for (id, record) in events(text) {
        copy.take(&record);
        copy.resume = Some(id);
    }
}

fn resumed(copy: &Copy) -> String {
    copy.resume.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default()
}

/// Follows a stream, and kills the server once this many bytes have arrived.
fn cut_off(folder: &Path, copy: &mut Copy, least: usize) {
    let served = Served::start(folder, &[]);
    let mut stream = served.open("/stream?model=Contact", &resumed(copy));
    let arrived = AtomicUsize::new(0);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut read, mut part) = (Vec::new(), [0; 1000]);
            // The end is a reset, or no end of the chunks.
            while let Ok(count @ 1..) = stream.read(&mut part) {
                read.extend_from_slice(&part[..count]);
                arrived.store(read.len(), Ordering::Release);
            }
            read
        });
        until(|| arrived.load(Ordering::Acquire) >= least);
        served.kill();
        reader.join().unwrap()
    });
    take(copy, &without_chunks(&read));
    println!("killed after {} bytes, {} events so far", read.len(), copy.cursors.len());
}

#[test]
fn a_stream_that_is_cut_off_anywhere_is_continued_where_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    Served::demo(folder.path()).kill();
    for least in [1, 700, 5_000, 20_000, 90_000] {
        let mut copy = Copy::default();
        cut_off(folder.path(), &mut copy, least);
        // By its id, and then by the same as a cursor.
        cut_off(folder.path(), &mut copy, 1);
        continue_and_compare(folder.path(), copy);
    }
}

/// The text of chunks, as far as they arrived.
fn without_chunks(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let Some((_, mut rest)) = text.split_once("\r\n\r\n") else { return String::new() };
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(behind.get(..size).unwrap_or(behind));
        rest = behind.get(size + 2..).unwrap_or("");
    }
    body
}

#[test]
fn streams_and_polls_end_whole_when_the_server_is_asked_to_stop_and_are_continued() {
    let folder = tempfile::tempdir().unwrap();
    Served::demo(folder.path()).kill();
    let mut copy = Copy::default();
    for first in [64, 4_000, 60_000] {
        let served = Served::start(folder.path(), &[]);
        let page = served.get("/records?model=Contact&limit=10000").unwrap();
        let wait = format!("/records?model=Contact&wait=300s&cursor={}", page["resume_cursor"].as_str().unwrap());
        let mut waiting = served.open(&wait, "");
        let mut stream = served.open("/stream?model=Contact", &resumed(&copy));
        let mut read = vec![0; first];
        // What is there may be less: then the stream waits.
        let count = stream.read(&mut read).unwrap();
        read.truncate(count);
        served.signal("TERM");
        stream.read_to_end(&mut read).unwrap();
        let answer = parse(&read).expect("the stream has an end");
        take(&mut copy, &answer.body);
        let mut read = Vec::new();
        waiting.read_to_end(&mut read).unwrap();
        let answer = parse(&read).expect("the poll is answered");
        assert_eq!((answer.status, answer.json()["records"].as_array().map(Vec::len)), (200, Some(0)), "{answer:?}");
        assert_eq!(served.ended().code(), Some(0));
    }
    continue_and_compare(folder.path(), copy);
}
