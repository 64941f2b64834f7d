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

    hundreds(arguments, server, folder)?;

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

/// Pages of 100 beside a handler that has the bytes: the same page again, and one page after another.
fn hundreds(arguments: &Arguments, server: &Started, folder: &Path) -> Outcome<()> {
    let path = format!("/records?model={MODEL}&limit=100");
    let body = folder.join("page.json");
    let mut client = Client::connect(&server.address, &headers(server))?;
    client.get(&path)?;
    std::fs::write(&body, &client.body)?;
    let mut bare = Child::start(Role::Bare, arguments, &body, "")?;
    let bare_address = bare.line()?;
    let places = places(server)?;
    let (mut same, mut walked) = (Compared::default(), Compared::default());
    for run in 1..=arguments.runs {
        eprintln!("  pages of 100, run {run}");
        let again = |client: &mut Client, _: usize| client.get(&path);
        let ceiling = rate(&bare, &bare_address, "", again)?;
        same.push(rate(&server.child, &server.address, &headers(server), again)?, ceiling);
        let (path, mut cursors) = (path.clone(), places.clone());
        let next = move |client: &mut Client, place: usize| {
            client.get(&format!("{path}{}", cursors[place]))?;
            cursors[place] =
                member(&client.body, "next_cursor").map_or(String::new(), |next| format!("&cursor={next}"));
            Ok(())
        };
        walked.push(rate(&server.child, &server.address, &headers(server), next)?, ceiling);
    }
    println!("pages of 100, {} bytes, {CLIENTS} connections:", client.body.len());
    same.print("a bare handler with the same bytes", "the same page again", 0.6);
    walked.print("", "one page after another, each connection elsewhere", 0.0);
    Ok(())
}

/// Cursors at which the store falls into a part for each connection.
fn places(server: &Started) -> Outcome<Vec<String>> {
    let mut client = Client::connect(&server.address, &headers(server))?;
    let mut cursors = vec![String::new()];
    walk(&mut client, 10_000, |client| {
        cursors.extend(member(&client.body, "next_cursor").map(|next| format!("&cursor={next}")));
        true
    })?;
    Ok((0..CLIENTS).map(|place| cursors[place * cursors.len() / CLIENTS].clone()).collect())
}

/// Requests per second, and microseconds of the server's processor time for each.
#[derive(Clone, Copy)]
struct Rate {
    requests: f64,
    time: f64,
}

/// Rates, and those of the ceiling in the same run.
#[derive(Default)]
struct Compared {
    own: Vec<Rate>,
    ceiling: Vec<Rate>,
}

impl Compared {
    fn push(&mut self, own: Rate, ceiling: Rate) {
        self.own.push(own);
        self.ceiling.push(ceiling);
    }

    /// Prints both, or only our own, and the ratio, which is at least `least`.
    fn print(&self, ceiling: &str, own: &str, least: f64) {
        let line = |name: &str, rates: &[Rate]| {
            let requests = median(rates.iter().map(|rate| rate.requests).collect());
            let time = median(rates.iter().map(|rate| rate.time).collect());
            println!("  {name:50} {requests:8.0} requests/s, {time:6.1} µs each");
        };
        if !ceiling.is_empty() {
            line(ceiling, &self.ceiling);
        }
        line(own, &self.own);
        let ratios: Vec<f64> =
            self.own.iter().zip(&self.ceiling).map(|(own, ceiling)| own.requests / ceiling.requests).collect();
        let ratio = median(ratios.clone());
        let judged =
            if least > 0.0 { format!(" (at least {least}: {})", verdict(ratio >= least)) } else { String::new() };
        println!("  ratio {ratio:.2} of {ratios:.2?}{judged}");
    }
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

/// Asks again and again on each connection.
fn rate(
    child: &Child,
    address: &str,
    headers: &str,
    ask: impl FnMut(&mut Client, usize) -> Outcome<()> + Clone + Send,
) -> Outcome<Rate> {
    let (begun, spent) = (Instant::now(), child.processor_time()?);
    let requests = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|place| {
                let mut ask = ask.clone();
                scope.spawn(move || -> Outcome<u64> {
                    let mut client = Client::connect(address, headers)?;
                    let mut requests = 0;
                    while begun.elapsed() < COUNTED {
                        ask(&mut client, place)?;
                        requests += 1;
                    }
                    Ok(requests)
                })
            })
            .collect();
        clients.into_iter().try_fold(0, |sum, client| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sum + client.join().map_err(|_| "a client failed")??)
        })
    })?;
    let (wall, spent) = (begun.elapsed(), child.processor_time()?.saturating_sub(spent));
    Ok(Rate { requests: requests as f64 / wall.as_secs_f64(), time: spent.as_secs_f64() * 1e6 / requests as f64 })
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
