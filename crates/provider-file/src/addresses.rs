//! URLs of a description: whole, by https, with settings that are declared.

use std::collections::BTreeSet;

use highwater_core::Result;
use url::{Host, Url};

use crate::at;
use crate::fields::nearest;

/// The names of the settings that a URL may have in braces.
pub(crate) struct Settings<'s>(pub(crate) BTreeSet<&'s str>);

/// A URL for a person to open.
pub(crate) fn page(line: usize, key: &str, url: String) -> Result<String> {
    whole(line, key, &url)?;
    Ok(url)
}

impl Settings<'_> {
    /// A URL that requests go to.
    pub(crate) fn url(&self, line: usize, key: &str, pattern: String) -> Result<String> {
        let filled = self.filled(line, key, &pattern)?;
        let url = whole(line, key, &filled)?;
        if key == "base_url" && (url.query().is_some() || url.fragment().is_some()) {
            return Err(at(
                line,
                format!("`{key}` has a query or a fragment, which no request would keep: leave it out"),
            ));
        }
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() == "http" && !loopback {
            return Err(at(
                line,
                format!("`{key}` begins with http://: secrets would be readable on their way; use https://"),
            ));
        }
        Ok(pattern)
    }

    /// The pattern with a text in place of each setting.
    fn filled(&self, line: usize, key: &str, pattern: &str) -> Result<String> {
        let (mut filled, mut rest) = (String::new(), pattern);
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind
                .split_once('}')
                .ok_or_else(|| at(line, format!("`{key}` has an open brace: close it behind the setting's name")))?;
            if !self.0.contains(name) {
                let hint = match nearest(name, self.0.iter().copied()) {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => format!("describe it under `config`, as `{name}: {{help: ...}}`"),
                };
                return Err(at(line, format!("`{key}` names a setting `{{{name}}}` that there is none of: {hint}")));
            }
            filled.push_str(before);
            filled.push('x');
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn whole(line: usize, key: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && !text.contains(char::is_whitespace))
        .ok_or_else(|| at(line, format!("`{key}` is not a URL: write it whole, beginning with https://")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(at(line, format!("`{key}` has a name or a password: credentials do not belong into this file")));
    }
    Ok(url)
}
