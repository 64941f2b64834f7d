//! `highwater templates`

mod declarative;
mod trial;

use highwater::Result;

use super::account;
use crate::args::{TemplatesCommand, TemplatesOptions};
use crate::output::Output;

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
        output.object(info);
        output.line(format!("{:28} {}", info.id(), info.description));
    }
    output.line("Details: highwater templates show NAME");
    Ok(())
}

fn show(wanted: &str, output: &Output) -> Result<()> {
    let templates = highwater::templates::all();
    let infos = || templates.iter().map(|template| template.info());
    let info = infos().find(|info| info.id() == wanted).ok_or_else(|| account::no_such_template(wanted, infos()))?;
    output.object(info);
    output.line(format!("{}: {}", info.id(), info.description));
    output.line(format!("  API       {}", info.provider.base_url));
    output.line(format!("  token     {}", format!("{:?}", info.token).to_lowercase()));
    output.line(format!("  interval  {} s", info.interval.as_secs()));
    output.line(format!("  deletes   {}", info.deletes));
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
