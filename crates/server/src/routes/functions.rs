//! Templates and actions as *functions*, in the words of other programs.

use highwater_engine::Engine;
use highwater_template::TemplateInfo;
use highwater_template::actions::ActionInfo;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sync,
    Action,
}

/// A template or an action.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// The library's name: `provider/name`.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) json: Value,
}

/// Returns what a provider has, syncs first.
pub(crate) fn of_provider(engine: &Engine, provider: &str) -> Vec<Function> {
    let syncs = engine.templates().filter(|info| info.provider.name == provider).map(sync);
    let actions = engine.actions().filter(|info| info.provider.name == provider).map(action);
    syncs.chain(actions).collect()
}

fn sync(info: &TemplateInfo) -> Function {
    let definitions: Map<String, Value> =
        info.models.iter().filter_map(|model| Some((model.name.clone(), model.schema.clone()?))).collect();
    let json = json!({
        "name": info.name,
        "type": "sync",
        "description": info.description,
        "scopes": info.scopes,
        "returns": info.models.iter().map(|model| &model.name).collect::<Vec<_>>(),
        "json_schema": { "definitions": definitions },
        "runs": format!("every {}s", info.interval.as_secs()),
        "auto_start": true,
        "track_deletes": info.deletes != "not noticed",
        "version": info.version.to_string(),
    });
    Function { id: info.id(), name: info.name.clone(), kind: Kind::Sync, json }
}

fn action(info: &ActionInfo) -> Function {
    let input = format!("ActionInput_{}", info.name);
    let json = json!({
        "name": info.name,
        "type": "action",
        "description": info.description,
        "scopes": info.scopes,
        "input": input,
        "returns": [],
        "json_schema": { "definitions": { input.as_str(): info.input } },
    });
    Function { id: info.id(), name: info.name.clone(), kind: Kind::Action, json }
}
