//! Error handlers: whether a response is accepted, fails, is retried or ignored.

use highwater_core::Result;

use super::decode::{Context, Node};
use super::{Condition, Template};

#[derive(Debug)]
pub(crate) enum ErrorHandler {
    Default(DefaultHandler),
    Composite(Vec<ErrorHandler>),
}

#[derive(Debug, Default)]
pub(crate) struct DefaultHandler {
    pub filters: Vec<ResponseFilter>,
    pub max_retries: Option<Template>,
    pub backoffs: Vec<Backoff>,
}

#[derive(Debug)]
pub(crate) struct ResponseFilter {
    pub action: Option<ResponseAction>,
    pub codes: Vec<u16>,
    pub contains: Option<String>,
    pub predicate: Option<Condition>,
    pub message: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseAction {
    Success,
    Fail,
    Retry,
    Ignore,
    ResetPagination,
    RateLimited,
    RefreshToken,
    ReducePageSize,
    SplitWindow,
}

#[derive(Debug)]
pub(crate) enum Backoff {
    Constant { seconds: Template },
    Exponential { factor: Template },
    Header { header: Template, regex: Option<Template>, max: Option<Template> },
    Until { header: Template, regex: Option<Template>, min: Option<Template>, max: Option<Template> },
    Response { seconds: Template, max: Option<Template> },
}

impl ErrorHandler {
    pub(crate) fn of(requester: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        match requester.get("error_handler") {
            Some(node) => ErrorHandler::decode(&node, context, 0),
            None => Ok(ErrorHandler::Default(DefaultHandler::default())),
        }
    }

    fn decode(node: &Node<'_>, context: &Context<'_>, depth: usize) -> Result<Self> {
        match node.kind()? {
            "DefaultErrorHandler" => DefaultHandler::decode(node, context).map(ErrorHandler::Default),
            "CompositeErrorHandler" if depth < 8 => {
                let handlers = node.require("error_handlers", "list the handlers")?.items()?;
                if handlers.is_empty() {
                    return Err(node.invalid("`error_handlers` is empty: list at least one handler"));
                }
                let handlers = handlers.iter().map(|handler| ErrorHandler::decode(handler, context, depth + 1));
                handlers.collect::<Result<_>>().map(ErrorHandler::Composite)
            }
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => ErrorHandler::decode(&Node::at(&replacement, &node.path), context, depth + 1),
                None => Err(node.unknown(other, &["DefaultErrorHandler", "CompositeErrorHandler"])),
            },
        }
    }

    /// The waiting rules, in order.
    pub(crate) fn backoffs(&self) -> Vec<&Backoff> {
        match self {
            ErrorHandler::Default(handler) => handler.backoffs.iter().collect(),
            ErrorHandler::Composite(handlers) => handlers.iter().flat_map(ErrorHandler::backoffs).collect(),
        }
    }

    pub(crate) fn max_retries(&self) -> Option<&Template> {
        match self {
            ErrorHandler::Default(handler) => handler.max_retries.as_ref(),
            ErrorHandler::Composite(handlers) => handlers.first().and_then(ErrorHandler::max_retries),
        }
    }
}

impl DefaultHandler {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let filters = node.list("response_filters")?;
        let backoffs = node.list("backoff_strategies")?;
        Ok(DefaultHandler {
            filters: filters.iter().map(|node| ResponseFilter::decode(node, context)).collect::<Result<_>>()?,
            max_retries: node.optional_template(context, "max_retries")?,
            backoffs: backoffs.iter().map(|node| Backoff::decode(node, context)).collect::<Result<_>>()?,
        })
    }
}

impl ResponseFilter {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let action = match node.get("action") {
            None => None,
            Some(action) => Some(match action.text()?.as_str() {
                "SUCCESS" => ResponseAction::Success,
                "FAIL" => ResponseAction::Fail,
                "RETRY" => ResponseAction::Retry,
                "IGNORE" => ResponseAction::Ignore,
                "RESET_PAGINATION" => ResponseAction::ResetPagination,
                "RATE_LIMITED" => ResponseAction::RateLimited,
                "REFRESH_TOKEN_THEN_RETRY" => ResponseAction::RefreshToken,
                "REDUCE_PAGE_SIZE" => ResponseAction::ReducePageSize,
                "SPLIT_REQUEST_WINDOW" => ResponseAction::SplitWindow,
                other => {
                    return Err(
                        action.invalid(format!("`{other}` is not an action: use SUCCESS, FAIL, RETRY or IGNORE"))
                    );
                }
            }),
        };
        let code =
            |node: &Node<'_>| -> Result<u16> { node.text()?.trim().parse().map_err(|_| node.wrong("a status code")) };
        Ok(ResponseFilter {
            action,
            codes: node.list("http_codes")?.iter().map(code).collect::<Result<_>>()?,
            contains: match node.get("error_message_contains") {
                Some(text) => Some(text.text()?).filter(|text| !text.is_empty()),
                None => None,
            },
            predicate: node.condition(context, "predicate")?,
            message: node.optional_template(context, "error_message")?,
        })
    }
}

impl Backoff {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let template = |name: &str| node.optional_template(context, name);
        let max = || node.optional_template(context, "max_waiting_time_in_seconds");
        Ok(match node.kind()? {
            "ConstantBackoffStrategy" => Backoff::Constant {
                seconds: node.required_template(context, "backoff_time_in_seconds", "give the seconds to wait")?,
            },
            "ExponentialBackoffStrategy" => Backoff::Exponential {
                factor: template("factor")?.unwrap_or_else(|| Template::new("5", node.parameters())),
            },
            "WaitTimeFromHeader" => Backoff::Header {
                header: node.required_template(context, "header", "name the header")?,
                regex: template("regex")?,
                max: max()?,
            },
            "WaitUntilTimeFromHeader" => Backoff::Until {
                header: node.required_template(context, "header", "name the header")?,
                regex: template("regex")?,
                min: template("min_wait")?,
                max: max()?,
            },
            "WaitTimeFromResponse" => Backoff::Response {
                seconds: node.required_template(context, "wait_time_in_seconds", "give the seconds to wait")?,
                max: max()?,
            },
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => Backoff::decode(&Node::at(&replacement, &node.path), context)?,
                None => {
                    let known = [
                        "ConstantBackoffStrategy",
                        "ExponentialBackoffStrategy",
                        "WaitTimeFromHeader",
                        "WaitUntilTimeFromHeader",
                        "WaitTimeFromResponse",
                    ];
                    return Err(node.unknown(other, &known));
                }
            },
        })
    }
}
