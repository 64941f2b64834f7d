//! Pages of the dashboard.

use std::time::Instant;

use crate::client::Client;
use crate::records::{Ids, id};
use crate::roles::{CONNECTION, MODEL};
use crate::{Outcome, Started, median, verdict};

const VISITS: usize = 20;

pub(crate) fn measure(server: &Started) -> Outcome<()> {
    let mut client = Client::connect(&server.address, "")?;
    let (path, token) = server.link.split_once("?link=").ok_or("the link has no token")?;
    client.post(path, &format!("link={token}&next="))?;
    let cookie = client.headers.lines().find_map(|line| line.strip_prefix("set-cookie: ")).ok_or("not signed in")?;
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap_or_default());
    client.add_header(&cookie);
    let of = format!("connection={CONNECTION}&model={MODEL}");
    println!("pages of the dashboard, {VISITS} visits: median and longest time, processor time of the server:");
    for (name, path) in [
        ("home", "/dashboard".to_owned()),
        ("models", "/dashboard/records".to_owned()),
        ("records", format!("/dashboard/records?{of}")),
        ("records, deleted only", format!("/dashboard/records?{of}&action=deleted")),
        ("one record", format!("/dashboard/record?{of}&id={}", id(Ids::Time, 500))),
        ("integrations", "/dashboard/integrations".to_owned()),
        ("connections", "/dashboard/connections".to_owned()),
        ("one connection", format!("/dashboard/connections/{CONNECTION}")),
        ("runs", "/dashboard/runs".to_owned()),
        ("webhooks", "/dashboard/webhooks".to_owned()),
        ("environment", "/dashboard/environment".to_owned()),
    ] {
        let mut times = Vec::new();
        let spent = server.child.processor_time()?;
        for _ in 0..VISITS {
            let begun = Instant::now();
            client.get(&path)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let spent = server.child.processor_time()?.saturating_sub(spent).as_secs_f64() * 1e3 / VISITS as f64;
        let longest = times.iter().copied().fold(0.0, f64::max);
        let time = median(times);
        println!("  {name:24} {time:8.2} ms {longest:8.2} ms {spent:8.2} ms (less than 20: {})", verdict(time < 20.0));
    }
    Ok(())
}
