//! Partition routers: what a stream is partitioned by.

use highwater_core::Result;

use super::decode::{Context, Node};
use super::{RequestOption, StreamKind, Template};

#[derive(Debug)]
pub(crate) enum Router {
    Substream(Vec<Parent>),
    List(Box<ListRouter>),
    Grouping {
        size: usize,
        deduplicate: bool,
        router: Box<Router>,
    },
    Union {
        field: String,
        routers: Vec<Router>,
    },
    /// Every combination.
    Product(Vec<Router>),
}

#[derive(Debug)]
pub(crate) struct ListRouter {
    pub values: Values,
    pub field: Template,
    pub option: Option<RequestOption>,
}

#[derive(Debug)]
pub(crate) enum Values {
    Template(Template),
    Fixed(Vec<highwater_interpolation::Value>),
}

#[derive(Debug)]
pub(crate) struct Parent {
    pub path: String,
    pub stream: StreamKind,
    pub key: Template,
    pub field: Template,
    pub option: Option<RequestOption>,
    pub extra_fields: Vec<Vec<Template>>,
    pub incremental: bool,
    pub lazy_pointer: Vec<Template>,
}

const KNOWN: [&str; 4] =
    ["SubstreamPartitionRouter", "ListPartitionRouter", "GroupingPartitionRouter", "UnionPartitionRouter"];

impl Router {
    pub(crate) fn of(retriever: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Option<Self>> {
        let Some(node) = retriever.get("partition_router") else { return Ok(None) };
        if !node.value.is_array() {
            return Router::decode(&node, context, depth, true).map(Some);
        }
        let mut routers = Vec::new();
        for item in node.items()? {
            routers.push(Router::decode(&item, context, depth, true)?);
        }
        Ok(if routers.is_empty() { None } else { Some(Router::Product(routers)) })
    }

    fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize, grouping: bool) -> Result<Self> {
        match node.kind()? {
            "SubstreamPartitionRouter" => {
                let parents = node.require("parent_stream_configs", "name the parent streams")?.items()?;
                if parents.is_empty() {
                    return Err(node.invalid("`parent_stream_configs` is empty: name the parent stream"));
                }
                let parents = parents.iter().map(|parent| Parent::decode(parent, context, depth));
                parents.collect::<Result<_>>().map(Router::Substream)
            }
            "ListPartitionRouter" => {
                let values = node.require("values", "list the values")?;
                Ok(Router::List(Box::new(ListRouter {
                    values: match values.value.is_array() {
                        true => Values::Fixed(values.items()?.iter().map(|item| item.value.clone()).collect()),
                        false => Values::Template(values.template(context, &node.parameters())?),
                    },
                    field: node.required_template(context, "cursor_field", "name the partition's field")?,
                    option: RequestOption::bare(node, context, "request_option")?,
                })))
            }
            "GroupingPartitionRouter" if grouping => {
                let size = node.integer("group_size")?.and_then(|size| usize::try_from(size).ok());
                let router = node.require("underlying_partition_router", "give the partitions to group")?;
                Ok(Router::Grouping {
                    size: size
                        .filter(|size| *size > 0)
                        .ok_or_else(|| node.invalid("`group_size` must be 1 or more"))?,
                    deduplicate: node.boolean("deduplicate")?.unwrap_or(true),
                    router: Box::new(Router::decode(&router, context, depth, false)?),
                })
            }
            "UnionPartitionRouter" => {
                let routers = node.require("partition_routers", "give the partitions to unite")?.items()?;
                let routers = routers.iter().map(|router| Router::decode(router, context, depth, false));
                Ok(Router::Union {
                    field: node.require("partition_field", "name the partition's field")?.text()?,
                    routers: routers.collect::<Result<_>>()?,
                })
            }
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => Router::decode(&Node::at(&replacement, &node.path), context, depth, grouping),
                None => Err(node.unknown(other, &KNOWN)),
            },
        }
    }

    pub(crate) fn parents(&self, visit: &mut dyn FnMut(&Parent)) {
        match self {
            Router::Substream(parents) => parents.iter().for_each(visit),
            Router::List(_) => {}
            Router::Grouping { router, .. } => router.parents(visit),
            Router::Union { routers, .. } | Router::Product(routers) => {
                for router in routers {
                    router.parents(visit);
                }
            }
        }
    }
}

impl Parent {
    fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        let stream = node.require("stream", "give the parent stream")?;
        let mut stream = StreamKind::decode(&stream, context, depth + 1)?;
        // The reference answers a parent's equal requests once, and asks again for a parent's own parents.
        if depth == 0 {
            stream.each_mut(&mut |stream| stream.answer_once());
        }
        let parameters = node.parameters();
        let mut extra_fields = Vec::new();
        for path in node.list("extra_fields")? {
            extra_fields
                .push(path.items()?.iter().map(|part| part.template(context, &parameters)).collect::<Result<_>>()?);
        }
        Ok(Parent {
            path: node.path.clone(),
            stream,
            key: node.required_template(context, "parent_key", "name the parent's field")?,
            field: node.required_template(context, "partition_field", "name the partition's field")?,
            option: RequestOption::bare(node, context, "request_option")?,
            extra_fields,
            incremental: node.boolean("incremental_dependency")?.unwrap_or(false),
            lazy_pointer: node.templates(context, "lazy_read_pointer")?,
        })
    }
}
