//! Pages of 1000 records, pages of 100, and polls that find nothing.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{Client, member};
use crate::process::Child;
use crate::roles::{CONNECTION, DRAINS, MODEL, PAGE};
use crate::{Arguments, Outcome, Role, Started, median, verdict};

/// How long requests are counted.
const COUNTED: Duration = Duration::from_secs(3);
/// Connections that ask at the same time.
const CLIENTS: usize = 4;
const POLLS: u32 = 20_000;

pub(crate) fn headers(server: &Started) -> String {
    let Started { key, .. } = server;
    format!("Authorization: Bearer {key}\r\nConnection-Id: {CONNECTION}\r\nProvider-Config-Key: bench\r\n")
}

pub(crate) fn measure(arguments: &Arguments, server: &Started, store: &Path, folder: &Path) -> Outcome<()> {
    let (mut drained, mut served, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=arguments.runs {
        eprintln!("  pages of {PAGE}, run {run}");
        let drain = drain(arguments, store)?;
        let serve = pages(server)?;
        drained.push(drain);
        served.push(serve);
        ratios.push(serve / drain);
    }
    let ratio = median(ratios.clone());
    println!("pages of {PAGE}, processor time per record, medians of {}:", arguments.runs);
    println!("  in-process drain and its payloads to a socket   {:8.2} µs", median(drained) / 1000.0);
    println!("  GET /records?limit={PAGE}, the server's process   {:8.2} µs", median(served) / 1000.0);
    println!("  ratio {ratio:.2} of {:.2?} (at most 2: {})", ratios, verdict(ratio <= 2.0));

    let body = folder.join("page.json");
    let mut client = Client::connect(&server.address, &headers(server))?;
    client.get(&format!("/records?model={MODEL}&limit=100"))?;
    std::fs::write(&body, &client.body)?;
    let mut bare = Child::start(Role::Bare, arguments, &body, "")?;
    let address = bare.line()?;
    let (mut rates, mut bare_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut bare_times) = (Vec::new(), Vec::new());
    for run in 1..=arguments.runs {
        eprintln!("  pages of 100, run {run}");
        let (rate, time) = rate(&bare, &address, &headers(server))?;
        let (own, own_time) = self::rate(&server.child, &server.address, &headers(server))?;
        bare_rates.push(rate);
        rates.push(own);
        ratios.push(own / rate);
        times.push(own_time);
        bare_times.push(time);
    }
    let ratio = median(ratios.clone());
    println!("pages of 100, {} bytes, {CLIENTS} connections:", client.body.len());
    println!(
        "  a bare handler with the same bytes  {:8.0} requests/s, {:6.1} µs each",
        median(bare_rates),
        median(bare_times)
    );
    println!("  GET /records                        {:8.0} requests/s, {:6.1} µs each", median(rates), median(times));
    println!("  ratio {ratio:.2} of {ratios:.2?} (at least 0.6: {})", verdict(ratio >= 0.6));

    let mut times = Vec::new();
    for _ in 0..arguments.runs {
        times.push(polls(server)?);
    }
    let time = median(times.clone());
    println!(
        "  a poll that finds nothing           {time:.1} µs of {times:.1?} (less than 40: {})",
        verdict(time < 40.0)
    );
    Ok(())
}

/// Nanoseconds of processor time per record.
fn drain(arguments: &Arguments, store: &Path) -> Outcome<f64> {
    let sink = TcpListener::bind("127.0.0.1:0")?;
    let mut child = Child::start(Role::Drain, arguments, store, &sink.local_addr()?.to_string())?;
    let (mut stream, _) = sink.accept()?;
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let mut passes = Vec::new();
    for _ in 0..DRAINS {
        passes.push(child.line()?.parse()?);
    }
    child.wait()?;
    reader.join().map_err(|_| "the reader failed")?;
    Ok(median(passes))
}

/// The same over HTTP.
fn pages(server: &Started) -> Outcome<f64> {
    let mut client = Client::connect(&server.address, &headers(server))?;
    let mut passes = Vec::new();
    for pass in 0..=DRAINS {
        let (mut records, begun) = (0, server.child.processor_time()?);
        walk(&mut client, PAGE, |client| {
            records += client.body.windows(22).filter(|found| *found == b"\"_highwater_metadata\":").count();
            true
        })?;
        if pass > 0 {
            let spent = server.child.processor_time()?.saturating_sub(begun);
            passes.push(spent.as_nanos() as f64 / records as f64);
        }
    }
    Ok(median(passes))
}

/// Reads page after page while `read` wants more.
fn walk(client: &mut Client, limit: usize, mut read: impl FnMut(&Client) -> bool) -> Outcome<()> {
    let mut cursor = String::new();
    loop {
        client.get(&format!("/records?model={MODEL}&limit={limit}{cursor}"))?;
        let next = member(&client.body, "next_cursor").map(|next| format!("&cursor={next}"));
        match next {
            Some(next) if read(client) => cursor = next,
            None if read(client) => return Ok(()),
            _ => return Ok(()),
        }
    }
}

/// Requests per second, and microseconds of the server's processor time for each.
fn rate(child: &Child, address: &str, headers: &str) -> Outcome<(f64, f64)> {
    let (begun, spent) = (Instant::now(), child.processor_time()?);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::connect(address, headers)?;
            Ok(std::thread::spawn(move || -> Outcome<u64> {
                let mut requests = 0;
                while begun.elapsed() < COUNTED {
                    walk(&mut client, 100, |_| {
                        requests += 1;
                        begun.elapsed() < COUNTED
                    })?;
                }
                Ok(requests)
            }))
        })
        .collect::<Outcome<_>>()?;
    let mut requests = 0;
    for client in clients {
        requests += client.join().map_err(|_| "a client failed")??;
    }
    let (wall, spent) = (begun.elapsed(), child.processor_time()?.saturating_sub(spent));
    Ok((requests as f64 / wall.as_secs_f64(), spent.as_secs_f64() * 1e6 / requests as f64))
}

/// Microseconds of the server's processor time for a poll at the end.
fn polls(server: &Started) -> Outcome<f64> {
    let mut client = Client::connect(&server.address, &headers(server))?;
    // From the last page on.
    let mut end = String::new();
    walk(&mut client, 10_000, |client| {
        end = member(&client.body, "resume_cursor").unwrap_or_default().to_owned();
        true
    })?;
    let poll = format!("/records?model={MODEL}&cursor={end}");
    client.get(&poll)?;
    if !client.body.starts_with(b"{\"records\":[]") {
        return Err("the end is none".into());
    }
    let begun = server.child.processor_time()?;
    for _ in 0..POLLS {
        client.get(&poll)?;
    }
    let spent = server.child.processor_time()?.saturating_sub(begun);
    Ok(spent.as_secs_f64() * 1e6 / f64::from(POLLS))
}
