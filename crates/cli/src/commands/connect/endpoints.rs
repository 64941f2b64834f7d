//! What a new connection can sync.

use std::io::{self, BufRead, IsTerminal, Write};

use highwater::engine::SyncOptions;
use highwater::template::TemplateInfo;
use highwater::{ConnectionSettings, Result};

use crate::args::StoreOptions;
use crate::commands::integrations;
use crate::output::Output;
use crate::{stores, vaults};

/// Lists the templates of a connection's provider. On a terminal the user chooses some to enable.
pub(super) async fn offer(settings: &ConnectionSettings, options: &StoreOptions, output: &Output) -> Result<()> {
    if let Some(key) = &settings.integration {
        return of_integration(key, options, output).await;
    }
    let templates = options.catalogue.templates()?;
    let infos: Vec<&TemplateInfo> = templates
        .iter()
        .map(|template| template.info())
        .filter(|info| info.provider.name == settings.provider)
        .collect();
    if infos.is_empty() || output.json {
        return Ok(());
    }
    output.line("It can sync:");
    for (place, info) in infos.iter().enumerate() {
        output.line(format!("  {:2}  {:28} {}", place + 1, info.id(), info.description));
    }
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    let chosen = if interactive { choose(infos.len())? } else { Vec::new() };
    if chosen.is_empty() {
        let first = infos.first().map(|info| info.id()).unwrap_or_default();
        output.line(format!("Enable one with: highwater enable {} {first}{}", settings.id, options.repeated()));
        return Ok(());
    }
    let store = stores::open_existing(options)?;
    let engine = vaults::engine(&store, options).await?;
    for info in chosen.into_iter().filter_map(|place| infos.get(place)) {
        match engine.sync(&settings.id, info.id())?.enable(SyncOptions::default()).await {
            Ok(_) => output.line(format!("{} {} is enabled", settings.id, info.id())),
            // A setting is missing, say: the others may be enabled.
            Err(error) => output.fail(&error),
        }
    }
    store.close().await
}

/// The integration says what is synced.
async fn of_integration(key: &str, options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    let integration = stores::engine(&store, options)?.integration(key)?;
    output.line(integrations::next_of(&integration, options).await?);
    store.close().await
}

/// The numbers that the user types, counted from 0.
fn choose(count: usize) -> Result<Vec<usize>> {
    let mut stdout = io::stdout().lock();
    let asked = write!(stdout, "Enable which? Numbers, or nothing: ").and_then(|()| stdout.flush());
    let mut line = String::new();
    if asked.is_err() || io::stdin().lock().read_line(&mut line).is_err() {
        return Ok(Vec::new());
    }
    let numbers = line.split([' ', ',']).filter_map(|word| word.trim().parse::<usize>().ok());
    Ok(numbers.filter(|number| (1..=count).contains(number)).map(|number| number - 1).collect())
}
