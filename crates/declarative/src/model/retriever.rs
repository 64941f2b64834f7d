//! Retrievers: how the records of a stream are fetched.

use highwater_core::Result;
use highwater_interpolation::Value;

use super::decode::{Context, Node};
use super::{
    Decoder, Extractor, Inputs, PageReduction, Paginator, Requester, Router, Selector, Template, Transformation,
    WindowSplitting,
};

#[derive(Debug)]
pub(crate) enum Retriever {
    Simple(Box<SimpleRetriever>),
    Async(Box<AsyncRetriever>),
}

#[derive(Debug)]
pub(crate) struct SimpleRetriever {
    pub path: String,
    pub requester: Requester,
    pub decoder: Decoder,
    pub selector: Selector,
    pub paginator: Option<Paginator>,
    pub router: Option<Router>,
    pub reset: Option<PaginationReset>,
    pub reduction: Option<PageReduction>,
    pub splitting: Option<WindowSplitting>,
    /// Once a page token is there, the slice's own parameters are left out.
    pub token_alone: bool,
    pub query_properties: Option<QueryProperties>,
}

#[derive(Debug)]
pub(crate) struct PaginationReset {
    pub split: bool,
    pub limit: Option<usize>,
}

/// Which properties of a record to ask for, in as many requests as needed.
#[derive(Debug)]
pub(crate) struct QueryProperties {
    /// The request parameter that carries them; none where the request's own templates name them.
    pub parameter: Option<String>,
    pub list: PropertyList,
    pub always: Vec<String>,
    pub chunking: Option<PropertyChunking>,
    /// Only properties of the stream's schema are asked for, once these changes were made to it.
    pub selector: Option<Vec<Transformation>>,
}

#[derive(Debug)]
pub(crate) enum PropertyList {
    Fixed(Vec<String>),
    Endpoint { retriever: Box<SimpleRetriever>, path: Vec<Template> },
}

#[derive(Debug)]
pub(crate) struct PropertyChunking {
    pub characters: bool,
    pub limit: Option<usize>,
    pub merge_keys: Vec<String>,
}

/// Records that the server prepares first: create a job, ask until it is done, fetch what it made.
#[derive(Debug)]
pub(crate) struct AsyncRetriever {
    pub path: String,
    pub create: Requester,
    pub poll: Requester,
    pub download: SimpleRetriever,
    pub download_target: Option<Requester>,
    pub abort: Option<Requester>,
    pub delete: Option<Requester>,
    pub status: Extractor,
    pub target: Option<Extractor>,
    pub decoder: Decoder,
    pub selector: Selector,
    pub statuses: Vec<(String, JobStatus)>,
    pub router: Option<Router>,
    pub timeout_minutes: Option<Template>,
    pub retry_wait: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobStatus {
    Running,
    Completed,
    Failed,
    TimedOut,
    Skipped,
}

impl Retriever {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        match node.kind()? {
            "SimpleRetriever" => {
                SimpleRetriever::decode(node, context, depth).map(|retriever| Retriever::Simple(Box::new(retriever)))
            }
            "AsyncRetriever" => {
                AsyncRetriever::decode(node, context, depth).map(|retriever| Retriever::Async(Box::new(retriever)))
            }
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => Retriever::decode(&Node::at(&replacement, &node.path), context, depth),
                None => Err(node.unknown(other, &["SimpleRetriever", "AsyncRetriever"])),
            },
        }
    }

    pub(crate) fn router(&self) -> Option<&Router> {
        match self {
            Retriever::Simple(retriever) => retriever.router.as_ref(),
            Retriever::Async(retriever) => retriever.router.as_ref(),
        }
    }
}

impl SimpleRetriever {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        if node.is_class() {
            return match context.registry.component_of(node.value)? {
                Some(replacement) if depth < 16 => {
                    SimpleRetriever::decode(&Node::at(&replacement, &node.path), context, depth + 1)
                }
                _ => Err(node.unknown(node.kind()?, &["SimpleRetriever"])),
            };
        }
        let requester = node.require("requester", "give the component there")?;
        let selector = node.require("record_selector", "say where the records are")?;
        let query_properties = QueryProperties::decode(&requester, context)?;
        let reset = match node.get("pagination_reset") {
            None => None,
            Some(reset) => Some(PaginationReset {
                split: reset.get("action").map(|action| action.text()).transpose()?.as_deref()
                    == Some("SPLIT_USING_CURSOR"),
                limit: match reset.get("limits") {
                    Some(limits) => limits.integer("number_of_records")?.and_then(|limit| usize::try_from(limit).ok()),
                    None => None,
                },
            }),
        };
        Ok(SimpleRetriever {
            path: node.path.clone(),
            requester: Requester::decode(&requester, context, &["HttpRequester"])?,
            decoder: Decoder::of(node, context, "decoder")?,
            selector: Selector::decode(&selector, context)?,
            paginator: match node.get("paginator") {
                Some(paginator) => Paginator::decode(&paginator, context)?,
                None => None,
            },
            router: Router::of(node, context, depth)?,
            reset,
            reduction: PageReduction::of(node)?,
            splitting: WindowSplitting::of(node)?,
            token_alone: node.boolean("ignore_stream_slicer_parameters_on_paginated_requests")?.unwrap_or(false),
            query_properties,
        })
    }
}

impl QueryProperties {
    fn decode(requester: &Node<'_>, context: &Context<'_>) -> Result<Option<Self>> {
        if let Some(parameters) = requester.get("request_parameters").filter(|node| node.value.is_object()) {
            for (name, value) in parameters.members()? {
                if value.get("type").and_then(Value::as_str) == Some("QueryProperties") {
                    let node = Node::at(value, format!("{}.{name}", parameters.path));
                    return QueryProperties::properties(&node, context, Some(name.clone())).map(Some);
                }
            }
        }
        if let Some(endpoint) = requester.get("fetch_properties_from_endpoint") {
            let list = PropertyList::endpoint(&endpoint, context)?;
            return Ok(Some(QueryProperties {
                parameter: None,
                list,
                always: Vec::new(),
                chunking: None,
                selector: None,
            }));
        }
        requester.get("query_properties").map(|node| QueryProperties::properties(&node, context, None)).transpose()
    }

    fn properties(node: &Node<'_>, context: &Context<'_>, parameter: Option<String>) -> Result<Self> {
        let list = node.require("property_list", "list the properties to ask for")?;
        let list = match list.value.is_array() {
            true => PropertyList::Fixed(list.items()?.iter().map(Node::text).collect::<Result<_>>()?),
            false => PropertyList::endpoint(&list, context)?,
        };
        let chunking = match node.get("property_chunking") {
            None => None,
            Some(chunking) => {
                let kind = chunking.require("property_limit_type", "say what the limit counts")?.text()?;
                let merge = chunking.get("record_merge_strategy");
                let merge_keys = match merge.as_ref().and_then(|merge| merge.get("key")) {
                    None => vec!["id".to_owned()],
                    Some(key) if key.value.is_array() => key.items()?.iter().map(Node::text).collect::<Result<_>>()?,
                    Some(key) => vec![key.text()?],
                };
                let limit = chunking.integer("property_limit")?.and_then(|limit| usize::try_from(limit).ok());
                Some(PropertyChunking { characters: kind == "characters", limit, merge_keys })
            }
        };
        let selector = match node.get("property_selector") {
            None => None,
            Some(selector) => match selector.kind()? {
                "JsonSchemaPropertySelector" => {
                    let changes = selector.list("transformations")?;
                    Some(changes.iter().map(|change| Transformation::decode(change, context)).collect::<Result<_>>()?)
                }
                other => return Err(selector.unknown(other, &["JsonSchemaPropertySelector"])),
            },
        };
        Ok(QueryProperties { parameter, list, always: node.texts("always_include_properties")?, chunking, selector })
    }
}

impl PropertyList {
    fn endpoint(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let retriever = node.require("retriever", "give the retriever of the properties")?;
        let mut retriever = SimpleRetriever::decode(&retriever, context, 1)?;
        retriever.requester.use_cache = true;
        Ok(PropertyList::Endpoint {
            retriever: Box::new(retriever),
            path: node.templates(context, "property_field_path")?,
        })
    }
}

impl AsyncRetriever {
    fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        let required = |name: &str| -> Result<Requester> {
            Requester::decode(&node.require(name, "give the requester of this step")?, context, &["HttpRequester"])
        };
        let optional = |name: &str| -> Result<Option<Requester>> {
            node.get(name).map(|node| Requester::decode(&node, context, &["HttpRequester"])).transpose()
        };
        let extractor = |name: &str| node.get(name).map(|node| Extractor::decode(&node, context)).transpose();
        let mapping = node.require("status_mapping", "say what the statuses of a job mean")?;
        let mut statuses = Vec::new();
        for (name, status) in [
            ("running", JobStatus::Running),
            ("completed", JobStatus::Completed),
            ("failed", JobStatus::Failed),
            ("timeout", JobStatus::TimedOut),
            ("skipped", JobStatus::Skipped),
        ] {
            statuses.extend(mapping.texts(name)?.into_iter().map(|text| (text, status)));
        }
        let status = extractor("status_extractor")?
            .ok_or_else(|| node.invalid("`status_extractor` is missing: say where the status of a job is"))?;
        let target = extractor("download_target_extractor")?;
        let download_target = optional("download_target_requester")?;
        if download_target.is_some() && target.is_none() {
            return Err(node.invalid("`download_target_extractor` is missing: `download_target_requester` needs it"));
        }
        let download = SimpleRetriever {
            path: format!("{}.download_requester", node.path),
            requester: required("download_requester")?,
            decoder: Decoder::of(node, context, "download_decoder")?,
            selector: Selector::of(extractor("download_extractor")?.unwrap_or_else(Extractor::whole)),
            paginator: match node.get("download_paginator") {
                Some(paginator) => Paginator::decode(&paginator, context)?,
                None => None,
            },
            router: None,
            reset: None,
            reduction: None,
            splitting: None,
            token_alone: false,
            query_properties: None,
        };
        Ok(AsyncRetriever {
            path: node.path.clone(),
            create: required("creation_requester")?,
            poll: required("polling_requester")?,
            download,
            download_target,
            abort: optional("abort_requester")?,
            delete: optional("delete_requester")?,
            status,
            target,
            decoder: Decoder::of(node, context, "decoder")?,
            selector: Selector::decode(&node.require("record_selector", "say where the records are")?, context)?,
            statuses,
            router: Router::of(node, context, depth)?,
            timeout_minutes: node.optional_template(context, "polling_job_timeout")?,
            retry_wait: node.optional_template(context, "failed_retry_wait_time_in_seconds")?,
        })
    }
}

impl Inputs {
    /// Drops components that are not templates.
    pub(crate) fn without_components(mut self) -> Self {
        if let Inputs::Map(entries, _) = &mut self {
            entries.retain(|_, value| value.get("type").is_none());
        }
        self
    }
}
