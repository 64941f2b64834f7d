//! Pools of tokens for one API, each token with its own quotas.

use super::decode::{Context, Node};
use super::{Parameters, RequestMatcher, Template};
use highwater_core::Result;

#[derive(Debug)]
pub(crate) struct TokenPool {
    pub path: String,
    /// Equal definitions share their counters, wherever they stand.
    pub key: String,
    pub tokens: Tokens,
    pub header: String,
    /// Stands before the token.
    pub method: String,
    pub status: QuotaStatus,
    pub quotas: Vec<Quota>,
    /// The longest wait for a quota, an ISO 8601 duration.
    pub max_wait: Template,
    /// The part of a quota, and the number of calls, from which on calls are spread over the time that is left.
    pub reserve_fraction: f64,
    pub min_reserve: f64,
}

#[derive(Debug)]
pub(crate) enum Tokens {
    /// One text, with a delimiter between the tokens.
    Joined(Template, String),
    Listed(Vec<Template>),
}

/// Where a token's quotas are asked for.
#[derive(Debug)]
pub(crate) struct QuotaStatus {
    pub url: Template,
    pub method: String,
    pub headers: Vec<(String, Template)>,
    /// Statuses that say that there are no quotas.
    pub unavailable: Vec<u16>,
}

/// Calls that are counted together.
#[derive(Debug)]
pub(crate) struct Quota {
    pub name: String,
    pub remaining_path: Vec<String>,
    pub reset_path: Vec<String>,
    pub limit_path: Option<Vec<String>>,
    pub matchers: Vec<RequestMatcher>,
    pub remaining_header: Option<String>,
    pub reset_header: Option<String>,
    pub limit_header: Option<String>,
    /// Statuses that say that the quota is used up.
    pub exhausted: Vec<u16>,
}

impl TokenPool {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        // The reference evaluates these without the parameters of the component.
        let none = Parameters::default();
        let text = |name: &str, usual: &str| -> Result<String> {
            let given = node.get(name).map(|node| node.text()).transpose()?;
            Ok(given.filter(|given| !given.is_empty()).unwrap_or_else(|| usual.to_owned()))
        };
        let number = |name: &str, usual: f64| -> Result<f64> {
            let Some(node) = node.get(name) else { return Ok(usual) };
            node.text()?
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .ok_or_else(|| node.wrong("a number"))
        };
        let tokens = node.require("tokens", "give the tokens to take turns with")?;
        let tokens = match tokens.value.is_array() {
            true => {
                Tokens::Listed(tokens.items()?.iter().map(|item| item.template(context, &none)).collect::<Result<_>>()?)
            }
            false => Tokens::Joined(tokens.template(context, &none)?, text("token_delimiter", ",")?),
        };
        let quotas = node.require("quotas", "say where the quotas of a token stand")?.items()?;
        if quotas.is_empty() {
            return Err(node.invalid("`quotas` is empty: say where at least one quota of a token stands"));
        }
        let status = node.require("quota_status_source", "say where a token's quotas are asked for")?;
        let max_wait = node.get("max_wait_time").map(|node| node.template(context, &none)).transpose()?;
        let mut pool = TokenPool {
            path: String::new(),
            key: String::new(),
            tokens,
            header: text("header", "Authorization")?,
            method: text("auth_method", "Bearer")?,
            status: QuotaStatus::decode(&status, context)?,
            quotas: quotas.iter().map(|node| Quota::decode(node, context)).collect::<Result<_>>()?,
            max_wait: max_wait.unwrap_or_else(|| Template::new("PT2H", none.clone())),
            reserve_fraction: number("budget_reserve_fraction", 0.1)?,
            min_reserve: number("budget_min_reserve", 50.0)?,
        };
        // Where it stands does not belong to the definition.
        pool.key = format!("{pool:?}");
        pool.path.clone_from(&node.path);
        Ok(pool)
    }
}

impl QuotaStatus {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let none = Parameters::default();
        let method = node.get("http_method").map_or(Ok("GET".to_owned()), |method| method.text())?.to_ascii_uppercase();
        let mut headers = Vec::new();
        if let Some(given) = node.get("request_headers") {
            for (name, value) in given.members()? {
                let value = Node::at(value, format!("{}.{name}", given.path));
                headers.push((name.clone(), value.template(context, &none)?));
            }
        }
        Ok(QuotaStatus {
            url: node.require("url", "give the whole URL")?.template(context, &none)?,
            method,
            headers,
            unavailable: statuses(node, "unavailable_status_codes")?,
        })
    }
}

impl Quota {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let path = |name: &str| -> Result<Vec<String>> {
            node.require(name, "say where it stands in the answer about quotas")?;
            node.texts(name)
        };
        let header = |name: &str| node.get(name).map(|header| header.text()).transpose();
        Ok(Quota {
            name: node.require("name", "name the quota")?.text()?,
            remaining_path: path("remaining_path")?,
            reset_path: path("reset_path")?,
            limit_path: node
                .get("limit_path")
                .map(|_| node.texts("limit_path"))
                .transpose()?
                .filter(|path| !path.is_empty()),
            matchers: RequestMatcher::list(node, context)?,
            remaining_header: header("remaining_header")?,
            reset_header: header("reset_header")?,
            limit_header: header("limit_header")?,
            exhausted: statuses(node, "exhaustion_status_codes")?,
        })
    }

    /// Whether answers say how the quota stands.
    pub(crate) fn is_told(&self) -> bool {
        let headers = [&self.remaining_header, &self.reset_header, &self.limit_header];
        headers.iter().any(|header| header.is_some()) || !self.exhausted.is_empty()
    }
}

/// A list of HTTP statuses.
pub(super) fn statuses(node: &Node<'_>, name: &str) -> Result<Vec<u16>> {
    let status = |node: &Node<'_>| node.text()?.trim().parse().map_err(|_| node.wrong("a status code"));
    node.list(name)?.iter().map(status).collect()
}
