//! The whole manifest: streams, dynamic streams, spec, and limits on requests.

use std::collections::BTreeSet;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::Value;

use super::decode::{Context, Node, again};
use super::{Budget, Condition, Parameters, Spec, StreamKind, Template};

#[derive(Debug)]
pub(crate) struct Model {
    pub streams: Vec<StreamEntry>,
    pub dynamic: Vec<DynamicStreams>,
    /// A list of streams that cannot be made.
    pub broken: Option<Error>,
    pub spec: Option<Spec>,
    pub budget: Option<Budget>,
}

/// A stream of the manifest, or why it cannot run.
#[derive(Debug)]
pub(crate) struct StreamEntry {
    pub name: String,
    pub condition: Option<std::sync::Arc<Condition>>,
    pub stream: Option<std::sync::Arc<StreamKind>>,
    pub problem: Option<Error>,
}

/// Streams made from a template and a list.
#[derive(Debug)]
pub(crate) struct DynamicStreams {
    pub path: String,
    pub template: Value,
    pub parents_win: bool,
    pub resolver: Resolver,
    pub mapping: Vec<Mapping>,
}

#[derive(Debug)]
pub(crate) enum Resolver {
    /// The records of a retriever.
    Http(Box<super::SimpleRetriever>),
    /// Lists within the config, and fixed values.
    Config(Vec<ConfigList>),
    /// A list of the manifest itself.
    Fixed(Vec<Value>),
}

#[derive(Debug)]
pub(crate) struct ConfigList {
    pub pointer: Vec<Template>,
    pub default_values: Vec<Value>,
}

#[derive(Debug)]
pub(crate) struct Mapping {
    pub path: Vec<Template>,
    pub value: Template,
    pub value_type: Option<highwater_interpolation::LiteralTypes>,
    pub create: bool,
    pub condition: Option<Condition>,
}

impl Model {
    pub(crate) fn decode(root: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let spec = Spec::decode(root, context)?;
        let mut streams = Vec::new();
        for node in root.list("streams")? {
            if node.value.get("type").and_then(Value::as_str) == Some("ConditionalStreams") {
                let condition = node.condition(context, "condition");
                let (condition, fault) = match condition {
                    Ok(condition) => (condition.map(std::sync::Arc::new), None),
                    Err(fault) => (None, Some(fault)),
                };
                for nested in node.require("streams", "list the streams of the condition")?.items()? {
                    let entry = StreamEntry::decode(&nested, context, spec.as_ref(), condition.clone())?;
                    streams.push(match &fault {
                        Some(fault) => StreamEntry { stream: None, problem: Some(again(fault)), ..entry },
                        None => entry,
                    });
                }
                continue;
            }
            streams.push(StreamEntry::decode(&node, context, spec.as_ref(), None)?);
        }
        let mut dynamic = Vec::new();
        let mut broken = None;
        for node in root.list("dynamic_streams")? {
            match DynamicStreams::decode(&node, context) {
                Ok(streams) => dynamic.push(streams),
                Err(error) => {
                    context.fault(&error);
                    broken.get_or_insert(error);
                }
            }
        }
        if let Some(error) = broken.take_if(|_| streams.is_empty() && dynamic.is_empty()) {
            return Err(error);
        }
        if streams.is_empty() && dynamic.is_empty() {
            return Err(root.invalid("the manifest has no streams: list them under `streams`"));
        }
        // A fault stops its own stream; where no stream is left, it is the manifest's.
        if dynamic.is_empty() && streams.iter().all(|entry| entry.stream.is_none()) {
            let fault = streams
                .iter_mut()
                .filter_map(|entry| entry.problem.take_if(|error| error.kind() == ErrorKind::Invalid));
            if let Some(error) = fault.into_iter().next() {
                return Err(error);
            }
        }
        mark_parents(&mut streams);
        Ok(Model { streams, dynamic, broken, spec, budget: Budget::of(root, context)? })
    }
}

/// Requests of a stream that is another's parent are answered once per read.
fn mark_parents(streams: &mut [StreamEntry]) {
    let mut names = BTreeSet::new();
    for stream in streams.iter().filter_map(|entry| entry.stream.as_ref()) {
        stream.each(&mut |stream| stream.parent_names(&mut names));
    }
    for entry in streams.iter_mut().filter(|entry| names.contains(&entry.name)) {
        if let Some(stream) = entry.stream.as_mut().and_then(std::sync::Arc::get_mut) {
            stream.each_mut(&mut |stream| stream.answer_once());
        }
    }
}

impl StreamEntry {
    pub(crate) fn decode(
        node: &Node<'_>,
        context: &Context<'_>,
        spec: Option<&Spec>,
        condition: Option<std::sync::Arc<Condition>>,
    ) -> Result<Self> {
        let name = node.require("name", "name the stream")?.text()?;
        if let Some(problem) = spec.and_then(|spec| spec.problem_of(node.value)) {
            return Ok(StreamEntry { name, condition, stream: None, problem: Some(problem) });
        }
        match StreamKind::decode(node, context, 0) {
            Ok(stream) => Ok(StreamEntry { name, condition, stream: Some(std::sync::Arc::new(stream)), problem: None }),
            Err(error) => Ok(StreamEntry { name, condition, stream: None, problem: Some(error) }),
        }
    }
}

impl DynamicStreams {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let template = node.require("stream_template", "give the stream to fill in")?.value.clone();
        let resolver = node.require("components_resolver", "say where the streams come from")?;
        let kind = resolver.kind()?;
        let source = match kind {
            "HttpComponentsResolver" => {
                let retriever = resolver.require("retriever", "give the retriever of the list")?;
                let mut retriever = super::SimpleRetriever::decode(&retriever, context, 1)?;
                retriever.requester.use_cache = true;
                Resolver::Http(Box::new(retriever))
            }
            "ConfigComponentsResolver" => {
                let lists = resolver.require("stream_config", "say where in the config the list is")?;
                let lists = if lists.value.is_array() { lists.items()? } else { vec![lists] };
                let list = |node: &Node<'_>| -> Result<ConfigList> {
                    Ok(ConfigList {
                        pointer: node.templates(context, "configs_pointer")?,
                        default_values: node.list("default_values")?.iter().map(|item| item.value.clone()).collect(),
                    })
                };
                Resolver::Config(lists.iter().map(list).collect::<Result<_>>()?)
            }
            "ParametrizedComponentsResolver" => {
                let parameters = resolver.require("stream_parameters", "give the list of parameters")?;
                let items = parameters.list("list_of_parameters_for_stream")?;
                Resolver::Fixed(items.iter().map(|item| item.value.clone()).collect())
            }
            other => {
                let known = ["HttpComponentsResolver", "ConfigComponentsResolver", "ParametrizedComponentsResolver"];
                return Err(resolver.unknown(other, &known));
            }
        };
        let parameters = resolver.parameters();
        let mapping = |node: &Node<'_>| -> Result<Mapping> {
            Ok(Mapping {
                path: node
                    .require("field_path", "say which field of the stream to fill")?
                    .items()?
                    .iter()
                    .map(|item| item.template(context, &parameters))
                    .collect::<Result<_>>()?,
                value: node.required_template(context, "value", "give the value to fill in")?,
                value_type: super::transformation::value_type(node)?,
                create: node.boolean("create_or_update")?.unwrap_or(false),
                condition: node.condition(context, "condition")?,
            })
        };
        let mapping = resolver.list("components_mapping")?.iter().map(mapping).collect::<Result<_>>()?;
        Ok(DynamicStreams {
            path: node.path.clone(),
            template,
            parents_win: node.boolean("use_parent_parameters")?.unwrap_or(true),
            resolver: source,
            mapping,
        })
    }
}

impl Parameters {
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.get("name").and_then(Value::as_str)
    }
}
