//! `highwater serve`: the HTTP interface of a store, and its syncs.

mod demo;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use highwater::engine::CancelToken;
use highwater::engine::transport::PrivateAddresses;
use highwater::engine::webhooks::Outbox;
use highwater::server::{Compat, Scope, Server};
use highwater::{Engine, Error, ErrorKind, Result, Store};
use serde_json::json;
use tokio::net::TcpListener;

use crate::args::StoreOptions;
use crate::output::Output;
use crate::{stores, vaults};
use demo::Demo;

/// How long runs may take to end.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Where to listen. Port 0 is any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3003")]
    listen: SocketAddr,
    /// Serve a demo API too: integration `demo-crm`, connection `demo`, models Contact, Company and Deal. The store is in a
    /// temporary folder unless --db names one.
    #[arg(long)]
    demo: bool,
    /// A name under which clients reach the server, such as that of a proxy in front. May be repeated; addresses and
    /// `localhost` need none.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// The URL under which people reach the server, for links on which users connect an account, such as
    /// `https://sync.example.com`.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// An origin whose pages may use the server, such as `https://app.example.com`. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// Let settings of connections, which clients with a key may choose, lead to addresses of this machine and of private
    /// networks too. Without it only base URLs that commands and programs set may.
    #[arg(long)]
    allow_private_addresses: bool,
    /// Whose words the answers and new webhook destinations use.
    #[arg(long, value_enum, default_value = "highwater")]
    compat: CompatName,
    #[command(flatten)]
    tls: tls::TlsOptions,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompatName {
    /// A record's metadata is its member `_highwater_metadata`.
    Highwater,
    /// It is `_nango_metadata`, and webhooks are signed as Nango's, for programs that use its client.
    Nango,
}

pub(crate) async fn run(options: &ServeOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    // Before any file is created.
    let tls = options.tls.read()?;
    let listener = listen(options.listen).await?;
    let address = listener.local_addr().unwrap_or(options.listen);
    let mut store_options = options.store.clone();
    if options.demo {
        demo::set_place(&mut store_options)?;
    }
    vaults::check_key(&store_options).await?;
    let store = stores::open(&store_options)?;
    stores::tell_unfinished(&*store, output).await?;
    // Made now if there is none: credentials that arrive over HTTP must outlive the process.
    let vault = vaults::open(&store, &store_options).await?;
    let addresses = match options.allow_private_addresses {
        true => PrivateAddresses::OfAnyone,
        false => PrivateAddresses::OfTheProgram,
    };
    let builder =
        store_options.catalogue.builder(&store)?.credential_store(Arc::new(vault)).private_addresses(addresses);
    let (engine, demo) = if options.demo {
        let mut demo = Demo::start().await?;
        let engine = demo.add_to(builder).build()?;
        demo.connect(&engine).await?;
        demo.work();
        (engine, Some(demo))
    } else {
        (builder.build()?, None)
    };
    let server = server(options, &engine)?;
    let runtime = tokio::runtime::Handle::current();
    let (background, delivering) = (engine.start(&runtime), Outbox::new(&engine).start(&runtime));
    announce(&server, &place(address, tls.is_some()), &store_options.db, options.demo, output);
    if tls.is_none() && !address.ip().is_loopback() {
        output.note(
            "Other machines can reach this address, and keys travel unencrypted: give --tls-cert and --tls-key, or put a proxy with TLS in front.",
        );
    }
    match tls {
        Some(certificate) => {
            let tls = certificate.tls.clone();
            tokio::select! {
                served = server.serve_tls(listener, &tls, ended(cancel)) => served?,
                () = certificate.follow_files(output) => {}
            }
        }
        None => server.serve(listener, ended(cancel)).await?,
    }
    drop(demo);
    background.shutdown(GRACE).await?;
    delivering.shutdown().await?;
    store.close().await
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| {
        let (kind, message) = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                (ErrorKind::Busy, "another program listens here: choose another port with --listen, or 0 for any")
            }
            std::io::ErrorKind::PermissionDenied => {
                (ErrorKind::PermissionDenied, "this port may not be listened on: choose one above 1023 with --listen")
            }
            _ => {
                (ErrorKind::Unavailable, "this address cannot be listened on: choose one of this machine with --listen")
            }
        };
        Error::new(kind, message).with("address", address).because(source)
    })
}

fn server(options: &ServeOptions, engine: &Engine) -> Result<Server> {
    let compat = match options.compat {
        CompatName::Highwater => Compat::Highwater,
        CompatName::Nango => Compat::Nango,
    };
    let mut builder = Server::builder(engine.clone()).compat(compat).temporary_key(Scope::Admin);
    for host in &options.host {
        builder = builder.host(host);
    }
    if let Some(url) = &options.public_url {
        builder = builder.public_url(url);
    }
    for origin in &options.origin {
        builder = builder.origin(origin);
    }
    builder.build()
}

/// The URL under which this machine reaches the server.
fn place(mut address: SocketAddr, encrypted: bool) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("{}://{address}", if encrypted { "https" } else { "http" })
}

fn announce(server: &Server, url: &str, db: &Path, demo: bool, output: &Output) {
    let key = server.temporary_key().map_or("", |key| key.expose());
    let dashboard = format!("{url}{}", server.dashboard_link(Scope::Admin).expose());
    output.object("serving", &json!({ "url": url, "api_key": key, "dashboard": dashboard }));
    output.line(format!("Serving {} at {url}", db.display()));
    output.line(format!("Key (admin, until the server stops): {key}"));
    output.line(format!("Dashboard (signs in once, within 15 minutes): {dashboard}"));
    if demo {
        output.line(format!(
            "Try: curl -H 'Authorization: Bearer {key}' -H 'Provider-Config-Key: {}' -H 'Connection-Id: {}' '{url}/records?model=Contact'",
            demo::INTEGRATION,
            demo::CONNECTION
        ));
    }
    output.line("Ctrl-C stops it.");
}

/// Ends when the user or the system asks the process to stop.
async fn ended(cancel: &CancelToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
