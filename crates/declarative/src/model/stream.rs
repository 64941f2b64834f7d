//! Streams and their schemas.

use std::collections::BTreeSet;

use highwater_core::Result;
use highwater_interpolation::Value;

use super::decode::{Context, Node};
use super::{Condition, Cursor, Retriever, Router, SimpleRetriever, Template, Transformation, transformations};

#[derive(Debug)]
pub(crate) enum StreamKind {
    Plain(Box<Stream>),
    /// One way to read everything, another for changes.
    Delegating {
        full: Box<Stream>,
        incremental: Box<Stream>,
        retention: Option<Template>,
    },
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub name: String,
    pub path: String,
    pub primary_key: Vec<Vec<String>>,
    pub retriever: Retriever,
    pub cursor: Option<Cursor>,
    pub transformations: Vec<Transformation>,
    pub schema: Vec<SchemaLoader>,
    pub migrates_state: bool,
}

#[derive(Debug)]
pub(crate) enum SchemaLoader {
    Inline(Value),
    /// A file beside the manifest; none where the stream's own name is taken.
    File {
        path: Option<Template>,
        name: String,
    },
    Dynamic(Box<DynamicSchema>),
}

#[derive(Debug)]
pub(crate) struct DynamicSchema {
    pub retriever: SimpleRetriever,
    pub schema_pointer: Vec<Template>,
    pub key_pointer: Vec<Template>,
    pub type_pointer: Vec<Template>,
    pub types: Vec<TypesMap>,
    pub filter: Option<Condition>,
    pub transformations: Vec<Transformation>,
}

#[derive(Debug)]
pub(crate) struct TypesMap {
    pub current: Value,
    pub target: Value,
    pub condition: Option<Condition>,
}

impl StreamKind {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        match node.kind()? {
            "DeclarativeStream" => {
                Stream::decode(node, context, depth).map(|stream| StreamKind::Plain(Box::new(stream)))
            }
            "StateDelegatingStream" => {
                let part = |name: &str| -> Result<Box<Stream>> {
                    let node = node.require(name, "give both streams")?;
                    Stream::decode(&node, context, depth).map(Box::new)
                };
                Ok(StreamKind::Delegating {
                    full: part("full_refresh_stream")?,
                    incremental: part("incremental_stream")?,
                    retention: node.optional_template(context, "api_retention_period")?,
                })
            }
            other => Err(node.unknown(other, &["DeclarativeStream", "StateDelegatingStream", "ConditionalStreams"])),
        }
    }

    pub(crate) fn each(&self, visit: &mut dyn FnMut(&Stream)) {
        match self {
            StreamKind::Plain(stream) => visit(stream),
            StreamKind::Delegating { full, incremental, .. } => {
                visit(full);
                visit(incremental);
            }
        }
    }

    pub(crate) fn each_mut(&mut self, visit: &mut dyn FnMut(&mut Stream)) {
        match self {
            StreamKind::Plain(stream) => visit(stream),
            StreamKind::Delegating { full, incremental, .. } => {
                visit(full);
                visit(incremental);
            }
        }
    }

    /// The stream that names, keys and schema are taken from.
    pub(crate) fn declaring_stream(&self) -> &Stream {
        match self {
            StreamKind::Plain(stream) => stream,
            StreamKind::Delegating { incremental, .. } => incremental,
        }
    }
}

impl Stream {
    /// Whether the API alone knows the schema.
    pub(crate) fn has_dynamic_schema(&self) -> bool {
        self.schema.iter().any(|loader| matches!(loader, SchemaLoader::Dynamic(_)))
    }

    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        if depth > 16 {
            return Err(node.invalid("parent streams are nested more than 16 deep"));
        }
        let name = node.get("name").map_or(Ok(String::new()), |name| name.text())?;
        let retriever = node.require("retriever", "say how the stream is read")?;
        let schema = match node.get("schema_loader") {
            None => vec![SchemaLoader::File { path: None, name: name.clone() }],
            Some(loaders) if loaders.value.is_array() => {
                loaders.items()?.iter().map(|item| SchemaLoader::decode(item, context, &name)).collect::<Result<_>>()?
            }
            Some(loader) => vec![SchemaLoader::decode(&loader, context, &name)?],
        };
        Ok(Stream {
            path: node.path.clone(),
            primary_key: primary_key(node)?,
            retriever: Retriever::decode(&retriever, context, depth)?,
            cursor: node.get("incremental_sync").map(|node| Cursor::decode(&node, context)).transpose()?,
            transformations: transformations(node, context, "transformations")?,
            schema,
            migrates_state: migrates_state(node, context)?,
            name,
        })
    }

    pub(crate) fn parent_names(&self, names: &mut BTreeSet<String>) {
        if let Some(router) = self.retriever.router() {
            router.parents(&mut |parent| {
                names.insert(parent.stream.declaring_stream().name.clone());
            });
        }
    }

    /// Answers equal requests of this stream once per read, unless the manifest forbids it.
    pub(crate) fn answer_once(&mut self) {
        if let Retriever::Simple(retriever) = &mut self.retriever {
            let requester = &mut retriever.requester;
            requester.use_cache = requester.use_cache || !requester.cache_forbidden;
        }
    }

    pub(crate) fn router(&self) -> Option<&Router> {
        self.retriever.router()
    }
}

fn primary_key(node: &Node<'_>) -> Result<Vec<Vec<String>>> {
    let Some(key) = node.get("primary_key") else { return Ok(Vec::new()) };
    match key.value {
        Value::String(name) if name.is_empty() => Ok(Vec::new()),
        Value::String(name) => Ok(vec![vec![name.clone()]]),
        _ => key
            .items()?
            .iter()
            .map(|part| match part.value {
                Value::Array(_) => part.items()?.iter().map(Node::text).collect(),
                _ => Ok(vec![part.text()?]),
            })
            .collect(),
    }
}

fn migrates_state(node: &Node<'_>, context: &Context<'_>) -> Result<bool> {
    let mut migrates = false;
    for migration in node.list("state_migrations")? {
        match migration.kind()? {
            "LegacyToPerPartitionStateMigration" => migrates = true,
            _ if migration.is_class() => context.note_class(&migration, "that converts the state of an older version"),
            other => return Err(migration.unknown(other, &["LegacyToPerPartitionStateMigration"])),
        }
    }
    Ok(migrates)
}

impl SchemaLoader {
    fn decode(node: &Node<'_>, context: &Context<'_>, stream: &str) -> Result<Self> {
        match node.kind()? {
            "InlineSchemaLoader" => Ok(SchemaLoader::Inline(
                node.get("schema").map_or_else(|| Value::Object(Default::default()), |node| node.value.clone()),
            )),
            "JsonFileSchemaLoader" => {
                let parameters = node.parameters();
                let name = parameters.name().unwrap_or(stream).to_owned();
                Ok(SchemaLoader::File { path: node.optional_template(context, "file_path")?, name })
            }
            "DynamicSchemaLoader" => {
                let identifier = node.require("schema_type_identifier", "say where names and types are")?;
                let retriever = node.require("retriever", "give the retriever of the schema")?;
                let mut retriever = SimpleRetriever::decode(&retriever, context, 1)?;
                retriever.requester.use_cache = true;
                let types = |node: &Node<'_>| -> Result<TypesMap> {
                    Ok(TypesMap {
                        current: node.require("current_type", "give the type to replace")?.value.clone(),
                        target: node.require("target_type", "give the type to put there")?.value.clone(),
                        condition: node.condition(context, "condition")?,
                    })
                };
                let filter =
                    node.get("schema_filter").map(|filter| filter.condition(context, "condition")).transpose()?;
                Ok(SchemaLoader::Dynamic(Box::new(DynamicSchema {
                    retriever,
                    schema_pointer: identifier.templates(context, "schema_pointer")?,
                    key_pointer: identifier.templates(context, "key_pointer")?,
                    type_pointer: identifier.templates(context, "type_pointer")?,
                    types: identifier.list("types_mapping")?.iter().map(types).collect::<Result<_>>()?,
                    filter: filter.flatten(),
                    transformations: transformations(node, context, "schema_transformations")?,
                })))
            }
            other => Err(node.unknown(other, &["InlineSchemaLoader", "JsonFileSchemaLoader", "DynamicSchemaLoader"])),
        }
    }
}
