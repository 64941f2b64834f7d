//! Many event streams of one model: how long after a change the last one has it, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::pages::headers;
use crate::roles::{TICK, now};
use crate::{Arguments, Outcome, Started, verdict};

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(arguments: &Arguments, server: &mut Started) -> Outcome<()> {
    let before = server.child.memory("VmRSS:")?;
    server.child.reset_peak()?;
    eprintln!("  {} event streams", arguments.followers);
    // One thread reads all streams: its work is part of the delays.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(arguments, server, before))
}

async fn follow(arguments: &Arguments, server: &mut Started, before: f64) -> Outcome<()> {
    let followers = arguments.followers;
    let (sender, mut arrivals) = unbounded_channel();
    let request = format!("GET /stream?model={TICK} HTTP/1.1\r\nHost: {}\r\n{}\r\n", server.address, headers(server));
    let request: Arc<str> = request.into();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..followers {
        streams.spawn(read(server.address.clone(), Arc::clone(&request), sender.clone()));
    }
    // Each says once that it has begun.
    for _ in 0..followers {
        next(&mut arrivals).await?;
    }
    let connected = server.child.memory("VmRSS:")?;
    let spent = server.child.processor_time()?;
    let (mut lasts, mut all) = (Vec::new(), Vec::new());
    for _ in 0..arguments.changes {
        server.child.ask("change")?;
        let mut last = 0_f64;
        for _ in 0..followers {
            let delay = next(&mut arrivals).await? as f64 / 1e6;
            last = last.max(delay);
            all.push(delay);
        }
        lasts.push(last);
        tokio::time::sleep(PAUSE).await;
    }
    let spent = server.child.processor_time()?.saturating_sub(spent).as_secs_f64() * 1e6;
    let each = spent / f64::from(arguments.changes) / f64::from(followers);
    let peak = server.child.memory("VmHWM:")?;
    streams.abort_all();
    lasts.sort_unstable_by(f64::total_cmp);
    all.sort_unstable_by(f64::total_cmp);
    let at = |figures: &[f64], share: usize| figures.get((figures.len() - 1) * share / 100).copied().unwrap_or(0.0);
    let grown = peak - before;
    println!("{followers} event streams of one model, {} changes:", arguments.changes);
    println!("  a change has reached one   p50 {:.1} ms, p99 {:.1} ms", at(&all, 50), at(&all, 99));
    let (middle, p99) = (at(&lasts, 50), at(&lasts, 99));
    println!(
        "  a change has reached all   p50 {middle:.1} ms, p99 {p99:.1} ms (at most 100: {})",
        verdict(p99 <= 100.0)
    );
    println!("  processor time per change and stream {each:.1} µs");
    println!(
        "  memory {before:.0} MB before, {connected:.0} connected, {peak:.0} at most: grown by {grown:.0} MB (less than 100: {})",
        verdict(grown < 100.0)
    );
    Ok(())
}

async fn next(arrivals: &mut UnboundedReceiver<u64>) -> Outcome<u64> {
    let arrival = tokio::time::timeout(PATIENCE, arrivals.recv()).await.map_err(|_| "a stream got nothing")?;
    arrival.ok_or_else(|| "the streams ended".into())
}

/// Reports the delay of each change, after a zero for its beginning.
async fn read(address: String, request: Arc<str>, arrivals: UnboundedSender<u64>) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let (mut buffer, mut text, mut begun) = (vec![0; 4096], Vec::new(), false);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err("the server ended a stream".into());
        }
        let arrived = now();
        text.extend_from_slice(&buffer[..read]);
        // Each piece of the answer ends with an empty line and the end of its chunk.
        while let Some(end) = text.windows(4).position(|found| found == b"\n\n\r\n") {
            let piece = String::from_utf8_lossy(&text[..end]).into_owned();
            text.drain(..end + 4);
            if let Some((_, rest)) = piece.split_once("\"at\":") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                arrivals.send(arrived.saturating_sub(digits.parse()?))?;
            } else if !begun {
                begun = true;
                arrivals.send(0)?;
            }
        }
    }
}
