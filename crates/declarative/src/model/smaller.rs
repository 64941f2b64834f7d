//! Smaller pages and shorter windows, for an API that refuses one because of its size.

use highwater_core::Result;
use highwater_interpolation::duration::Duration;

use super::decode::Node;

/// How pages become smaller.
#[derive(Debug)]
pub(crate) struct PageReduction {
    pub factor: f64,
    pub minimum: u64,
    /// Reductions in a row before the read fails.
    pub attempts: u32,
    pub backoff_seconds: f64,
    /// Further tries once pages cannot be smaller.
    pub tries_at_minimum: u32,
    pub message: Option<String>,
    /// Whether the page after a good one has the full size again.
    pub restores: bool,
}

/// How windows become smaller.
#[derive(Debug)]
pub(crate) struct WindowSplitting {
    /// Windows of this length are not split.
    pub minimum: Option<Duration>,
    pub message: Option<String>,
}

impl PageReduction {
    pub(crate) fn of(retriever: &Node<'_>) -> Result<Option<Self>> {
        let Some(node) = retriever.get("page_size_reduction") else { return Ok(None) };
        let whole = |name: &str, least: i64, usual: i64| -> Result<i64> {
            match node.integer(name)?.unwrap_or(usual) {
                number if number >= least => Ok(number),
                _ => Err(node.invalid(format!("`{name}` must be at least {least}"))),
            }
        };
        let number = |name: &str, usual: f64| -> Result<f64> {
            let Some(value) = node.get(name) else { return Ok(usual) };
            value.text()?.trim().parse().map_err(|_| value.wrong("a number"))
        };
        let factor = number("reduction_factor", 2.0)?;
        let backoff_seconds = number("backoff_seconds", 0.5)?;
        if factor <= 1.0 || !factor.is_finite() {
            return Err(node.invalid("`reduction_factor` must be greater than 1"));
        }
        if backoff_seconds < 0.0 || !backoff_seconds.is_finite() {
            return Err(node.invalid("`backoff_seconds` must be 0 or more"));
        }
        let paginator = retriever.get("paginator");
        let strategy = paginator.as_ref().and_then(|paginator| paginator.get("pagination_strategy"));
        let sized = strategy.as_ref().is_some_and(|strategy| strategy.get("page_size").is_some());
        let placed = paginator.as_ref().is_some_and(|paginator| paginator.get("page_size_option").is_some());
        if !sized || !placed {
            return Err(
                node.invalid("pages have no size to reduce: give the paginator `page_size` and `page_size_option`")
            );
        }
        if strategy.is_some_and(|strategy| strategy.kind().is_ok_and(|kind| kind == "PageIncrement")) {
            return Err(node.invalid("numbered pages cannot be reduced: records would be skipped; use OffsetIncrement"));
        }
        Ok(Some(PageReduction {
            factor,
            minimum: whole("minimum_page_size", 1, 1)?.unsigned_abs(),
            attempts: u32::try_from(whole("max_attempts", 1, 5)?).unwrap_or(u32::MAX),
            backoff_seconds,
            tries_at_minimum: u32::try_from(whole("retries_at_minimum_page_size", 0, 0)?).unwrap_or(u32::MAX),
            message: node.get("failure_message").map(|text| text.text()).transpose()?,
            restores: node.get("reset_policy").map(|text| text.text()).transpose()?.as_deref()
                == Some("AFTER_SUCCESSFUL_PAGE"),
        }))
    }
}

impl WindowSplitting {
    pub(crate) fn of(retriever: &Node<'_>) -> Result<Option<Self>> {
        let Some(node) = retriever.get("request_window_splitting") else { return Ok(None) };
        let minimum = match node.get("min_split_window") {
            None => None,
            Some(text) => match Duration::parse(&text.text()?) {
                Ok(minimum) if minimum.months == 0 && minimum.microseconds > 0 => Some(minimum),
                _ => return Err(text.invalid("`min_split_window` must be a fixed length of time, such as P1D or PT1H")),
            },
        };
        let message = node.get("failure_message").map(|text| text.text()).transpose()?;
        Ok(Some(WindowSplitting { minimum, message }))
    }
}
