//! A provider from the tree of its file.

use highwater_core::Result;
use highwater_template::limits::RateLimits;
use highwater_template::paging::RequestField;
use highwater_template::{ConfigKey, Lists, Paging, Provider, Verification};

use crate::addresses::{Settings, page};
use crate::at;
use crate::auth::{self, check_header};
use crate::fields::{Fields, json};
use crate::tree::{Member, Node};

/// Reads a provider.
pub(crate) fn read(root: &Node) -> Result<Provider> {
    let fields = Fields::of(root, "the file")?;
    let name = name(&fields)?;
    let config: Vec<ConfigKey> = fields.named("config")?.iter().map(setting).collect::<Result<_>>()?;
    let settings = Settings(config.iter().map(|key| key.name.as_str()).collect());
    let base_url = fields.placed("base_url")?;
    // A key that is misspelt is the mistake, where it is the one that is missing.
    let mut provider = Provider::new(name, "");
    provider.docs = fields.placed("docs")?.map_or(Ok(String::new()), |(line, url)| page(line, "docs", url))?;
    for (line, url) in fields.texts("origins")? {
        provider.origins.push(settings.url(line, "origins", url)?);
    }
    for node in fields.list("auth")? {
        provider.auth.push(auth::read(node, &settings)?);
    }
    for (line, name, value) in fields.pairs("headers")? {
        check_header(line, &name)?;
        provider.headers.push((name, value));
    }
    provider.limits = fields.fields("limits")?.map_or(Ok(RateLimits::new()), limits)?;
    for node in fields.list("expired_token_texts")? {
        let text = Fields::of(node, "an entry of `expired_token_texts`")?;
        let pointer = pointer(&text, "pointer")?;
        provider = provider.expired_token_text(pointer, text.text("value")?);
        text.end()?;
    }
    provider.lists = fields.fields("paging")?.map(paging).transpose()?;
    provider.verification = fields.fields("verification")?.map(verification).transpose()?;
    let line = fields.line();
    fields.end()?;
    let (url_line, base_url) = base_url.ok_or_else(|| at(line, "the file lacks `base_url`: add it"))?;
    provider.base_url = settings.url(url_line, "base_url", base_url)?;
    provider.config = config;
    Ok(provider)
}

fn name(fields: &Fields<'_>) -> Result<String> {
    let Some((line, name)) = fields.placed("name")? else { return missing_name(fields) };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.len() > 100 || !name.chars().all(fits) {
        let message = "`name` is not a name: use at most 100 lower-case letters, digits, `-` and `_`";
        return Err(at(line, message));
    }
    Ok(name)
}

fn missing_name<T>(fields: &Fields<'_>) -> Result<T> {
    Err(at(fields.line(), "the file lacks `name`: add the provider's name, such as `name: acme`"))
}

fn setting(member: &Member) -> Result<ConfigKey> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !member.key.chars().all(fits) {
        let message = format!("{:?} is not the name of a setting: use letters, digits, `-` and `_`", member.key);
        return Err(at(member.line, message));
    }
    let fields = Fields::of(&member.node, format!("the setting `{}`", member.key))?;
    let help = fields.text("help")?;
    let key = match fields.optional("default")? {
        Some(default) => ConfigKey::with_default(&member.key, help, default),
        None => ConfigKey::required(&member.key, help),
    };
    fields.end()?;
    Ok(key)
}

fn limits(fields: Fields<'_>) -> Result<RateLimits> {
    let mut limits = RateLimits::new();
    if let Some(rate) = fields.fields("rate")? {
        let lacks =
            |key: &str| at(rate.line(), format!("`rate` lacks `{key}`: write how many requests in how many seconds"));
        let requests = rate.number("requests")?.ok_or_else(|| lacks("requests"))?;
        limits = limits.rate(requests, rate.seconds("seconds")?.ok_or_else(|| lacks("seconds"))?);
        rate.end()?;
    }
    for node in fields.list("statuses")? {
        let status = Fields::of(node, "an entry of `statuses`")?;
        let code: u16 = status
            .number("status")?
            .filter(|code| (100..600).contains(code))
            .ok_or_else(|| at(status.line(), "an entry of `statuses` lacks `status`: give a number from 100 to 599"))?;
        limits = match status.optional("body")? {
            Some(text) => limits.status_with_text(code, text),
            None => limits.status(code),
        };
        status.end()?;
    }
    for node in fields.list("texts")? {
        let text = Fields::of(node, "an entry of `texts`")?;
        limits = limits.text(pointer(&text, "pointer")?, text.text("value")?);
        text.end()?;
    }
    limits.remaining_headers = headers(&fields, "remaining_headers")?;
    limits.reset_headers = headers(&fields, "reset_headers")?;
    limits.first_backoff = fields.seconds("first_backoff_seconds")?;
    fields.end()?;
    Ok(limits)
}

fn headers(fields: &Fields<'_>, key: &'static str) -> Result<Vec<String>> {
    let names = fields.texts(key)?;
    names.into_iter().map(|(line, name)| check_header(line, &name).map(|()| name)).collect()
}

#[derive(Clone, Copy)]
enum PagingKind {
    Link,
    HeaderUrl,
    BodyUrl,
    Cursor,
    Number,
    Offset,
    LastId,
}

const PAGINGS: [(&str, PagingKind); 7] = [
    ("link", PagingKind::Link),
    ("header_url", PagingKind::HeaderUrl),
    ("body_url", PagingKind::BodyUrl),
    ("cursor", PagingKind::Cursor),
    ("number", PagingKind::Number),
    ("offset", PagingKind::Offset),
    ("last_id", PagingKind::LastId),
];

fn paging(fields: Fields<'_>) -> Result<Lists> {
    let Some(kind) = fields.word("kind", &PAGINGS)? else {
        let words: Vec<&str> = PAGINGS.iter().map(|(word, _)| *word).collect();
        return Err(at(fields.line(), format!("`paging` lacks `kind`: use one of {}", words.join(", "))));
    };
    let to = || fields.text("to").map(|to| RequestField::from(to.as_str()));
    let more = || fields.find("more").map(|_| pointer(&fields, "more")).transpose();
    let paging = match kind {
        PagingKind::Link => Paging::Link,
        PagingKind::HeaderUrl => Paging::HeaderUrl(fields.text("header")?),
        PagingKind::BodyUrl => Paging::BodyUrl(pointer(&fields, "at")?),
        PagingKind::Cursor => Paging::Cursor { at: pointer(&fields, "at")?, to: to()?, more: more()? },
        PagingKind::Number => Paging::Number { to: to()?, first: fields.number("first")?.unwrap_or(1) },
        PagingKind::Offset => Paging::offset(to()?),
        PagingKind::LastId => {
            let id = fields.find("id").map_or(Ok("/id".to_owned()), |_| pointer(&fields, "id"))?;
            Paging::LastId { to: to()?, id, more: more()? }
        }
    };
    let lists = Lists::new(paging);
    let lists = match fields.find("records") {
        Some(_) => lists.records_at(pointer(&fields, "records")?),
        None => lists,
    };
    fields.end()?;
    Ok(lists)
}

fn verification(fields: Fields<'_>) -> Result<Verification> {
    const METHODS: [(&str, &str); 4] = [("GET", "GET"), ("HEAD", "HEAD"), ("POST", "POST"), ("PROPFIND", "PROPFIND")];
    let method = fields.word("method", &METHODS)?.unwrap_or("GET");
    let Some((line, path)) = fields.placed("path")? else {
        return Err(at(fields.line(), "`verification` lacks `path`: add the path behind the base URL, such as `/me`"));
    };
    if !path.starts_with('/') {
        return Err(at(line, "`path` does not begin with a slash: write it behind the base URL"));
    }
    let mut verification = Verification::new(method, path);
    for (line, name, value) in fields.pairs("headers")? {
        check_header(line, &name)?;
        verification = verification.header(name, value);
    }
    verification.body = fields.find("body").map(json);
    for (line, id) in fields.texts("ids")? {
        check_pointer(line, "an entry of `ids`", &id)?;
        verification = verification.id(id);
    }
    for (line, name) in fields.texts("names")? {
        check_pointer(line, "an entry of `names`", &name)?;
        verification = verification.name(name);
    }
    if fields.find("refusal").is_some() {
        verification = verification.refusal(pointer(&fields, "refusal")?);
    }
    fields.end()?;
    Ok(verification)
}

/// A JSON pointer.
pub(crate) fn pointer(fields: &Fields<'_>, key: &'static str) -> Result<String> {
    let text = fields.text(key)?;
    let line = fields.find(key).map_or(fields.line(), |node| node.line);
    check_pointer(line, &format!("`{key}`"), &text)?;
    Ok(text)
}

fn check_pointer(line: usize, what: &str, text: &str) -> Result<()> {
    if text.starts_with('/') {
        return Ok(());
    }
    Err(at(line, format!("{what} is not a JSON pointer: write `/{}`", text.replace('.', "/"))))
}
