//! `highwater templates`

mod declarative;
mod trial;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use highwater::Result;

use super::account;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct TemplatesOptions {
    #[command(subcommand)]
    command: Option<TemplatesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplatesCommand {
    /// List the templates (the default without a subcommand).
    List,
    /// Show the details of one template.
    Show {
        /// Its name, such as `github/issues`.
        name: String,
    },
    /// Create a crate for a new template.
    New {
        /// The crate's name.
        name: String,
    },
    /// Check a declarative manifest: list its streams, and why some of them cannot run.
    Check {
        /// The manifest, or its folder.
        file: PathBuf,
    },
    /// Test templates against every known misbehaviour of APIs, in memory and in virtual time.
    Trial(trial::TrialOptions),
    /// Compare manifests with recorded exchanges of the reference implementation.
    Replay {
        /// A folder with one folder for each connector.
        #[arg(long)]
        connectors: PathBuf,
        /// A folder with `CONNECTOR.json.gz` files.
        #[arg(long)]
        cassettes: PathBuf,
    },
}

pub(crate) async fn run(options: &TemplatesOptions, output: &Output) -> Result<()> {
    match &options.command {
        None | Some(TemplatesCommand::List) => list(output),
        Some(TemplatesCommand::Show { name }) => show(name, output),
        Some(TemplatesCommand::New { name }) => super::scaffold::run(name, output),
        Some(TemplatesCommand::Check { file }) => declarative::check(file, output),
        Some(TemplatesCommand::Trial(options)) => trial::run(options, output),
        Some(TemplatesCommand::Replay { connectors, cassettes }) => {
            declarative::replay(connectors, cassettes, output).await
        }
    }
}

fn list(output: &Output) -> Result<()> {
    for template in highwater::templates::all() {
        let info = template.info();
        output.object("template", info);
        output.line(format!("{:28} {}", info.id(), info.description));
    }
    output.line("Details: highwater templates show NAME");
    Ok(())
}

fn show(wanted: &str, output: &Output) -> Result<()> {
    let templates = highwater::templates::all();
    let infos = || templates.iter().map(|template| template.info());
    let info = infos().find(|info| info.id() == wanted).ok_or_else(|| account::no_such_template(wanted, infos()))?;
    output.object("template", info);
    output.line(format!("{}: {}", info.id(), info.description));
    output.line(format!("  API       {}", info.provider.base_url));
    output.line(format!("  token     {}", format!("{:?}", info.credentials).to_lowercase()));
    output.line(format!("  interval  {} s", info.interval.as_secs()));
    output.line(format!("  deletes   {}", info.deletes));
    super::providers::tell_sign_in(&info.provider, &info.scopes, output);
    for model in &info.models {
        output.line(format!("  model     {}: {}", model.name, model.description));
    }
    for key in &info.config {
        let need = match (&key.default, key.required) {
            (Some(default), _) => format!("default {default}"),
            (None, true) => "required".to_owned(),
            (None, false) => "optional".to_owned(),
        };
        output.line(format!("  config    {} ({need}): {}", key.name, key.help));
    }
    Ok(())
}
