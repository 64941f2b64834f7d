//! Paginators: how one page leads to the next.

use highwater_core::Result;

use super::decode::{Context, Node};
use super::{Condition, RequestOption, Template};

#[derive(Debug)]
pub(crate) struct Paginator {
    pub path: String,
    pub size_option: Option<RequestOption>,
    pub token_option: Option<TokenOption>,
    pub strategy: Strategy,
}

#[derive(Debug)]
pub(crate) enum TokenOption {
    /// The token is the next request's URL or path.
    Path,
    Option(RequestOption),
}

#[derive(Debug)]
pub(crate) enum Strategy {
    Page { size: Option<Template>, start: i64, on_first: bool },
    Offset { size: Option<Template>, on_first: bool },
    Cursor { value: Template, size: Option<Template>, stop: Option<Condition> },
}

impl Paginator {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Option<Self>> {
        match node.kind()? {
            "NoPagination" => return Ok(None),
            "DefaultPaginator" => {}
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => return Paginator::decode(&Node::at(&replacement, &node.path), context),
                None => return Err(node.unknown(other, &["DefaultPaginator", "NoPagination"])),
            },
        }
        let strategy = node.require("pagination_strategy", "say how the next page is found")?;
        let paginator = Paginator {
            path: node.path.clone(),
            size_option: RequestOption::bare(node, context, "page_size_option")?,
            token_option: match node.get("page_token_option") {
                None => None,
                Some(option)
                    if option.value.get("type").and_then(highwater_interpolation::Value::as_str)
                        == Some("RequestPath") =>
                {
                    Some(TokenOption::Path)
                }
                Some(_) => RequestOption::bare(node, context, "page_token_option")?.map(TokenOption::Option),
            },
            strategy: Strategy::decode(&strategy, context)?,
        };
        if paginator.size_option.is_some() && paginator.strategy.size().is_none() {
            return Err(node.invalid("`page_size_option` needs a page size: give `page_size` to the strategy"));
        }
        Ok(Some(paginator))
    }
}

impl Strategy {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let size = node.optional_template(context, "page_size")?;
        let on_first = node.boolean("inject_on_first_request")?.unwrap_or(false);
        Ok(match node.kind()? {
            "PageIncrement" => Strategy::Page { size, start: node.integer("start_from_page")?.unwrap_or(0), on_first },
            "OffsetIncrement" => Strategy::Offset { size, on_first },
            "CursorPagination" => Strategy::Cursor {
                value: node.required_template(context, "cursor_value", "give the template of the next token")?,
                size,
                stop: node.condition(context, "stop_condition")?,
            },
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => Strategy::decode(&Node::at(&replacement, &node.path), context)?,
                None => return Err(node.unknown(other, &["PageIncrement", "OffsetIncrement", "CursorPagination"])),
            },
        })
    }

    pub(crate) fn size(&self) -> Option<&Template> {
        match self {
            Strategy::Page { size, .. } | Strategy::Offset { size, .. } | Strategy::Cursor { size, .. } => {
                size.as_ref()
            }
        }
    }
}
