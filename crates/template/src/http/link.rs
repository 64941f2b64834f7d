//! Links of an API: `Link` headers (RFC 8288), and references resolved against the requested URL (RFC 3986).

use super::unescape;

/// A link of a `Link` header (RFC 8288).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Where it leads, as the header has it; [`HttpResponse::resolve`](crate::HttpResponse::resolve) makes it a whole URL.
    pub target: String,
    /// Names and values of its parameters, in order, without quotes and escapes. A parameter without a value has an empty one.
    pub parameters: Vec<(String, String)>,
}

impl Link {
    /// Returns the value of the parameter `name`, whatever the case of the name. Of several the first counts.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns whether the link has a relation, such as `next`, whatever its case.
    pub fn has_relation(&self, relation: &str) -> bool {
        let relations = self.parameter("rel").unwrap_or_default();
        relations.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(relation))
    }
}

/// Reads a `Link` header. Text that is not a link is passed over.
pub(super) fn links(header: &str) -> Vec<Link> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let Some((target, behind)) = rest[start + 1..].split_once('>') else { break };
        let mut link = Link { target: target.trim().to_owned(), parameters: Vec::new() };
        rest = behind;
        while let Some((name, value, behind)) = parameter(rest) {
            link.parameters.push((name.to_owned(), value));
            rest = behind;
        }
        found.push(link);
    }
    found
}

/// Returns the next parameter of a link: its name, its value, and the rest of the text. `None` at the link's end.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let end = text.find(['=', ';', ',']).unwrap_or(text.len());
    let (name, rest) = (text[..end].trim_end(), &text[end..]);
    let Some(rest) = rest.strip_prefix('=') else { return Some((name, String::new(), rest)) };
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([';', ',']).unwrap_or(rest.len());
        return Some((name, rest[..end].trim_end().to_owned(), &rest[end..]));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            '"' if !escaped => return Some((name, value, &quoted[at + 1..])),
            '\\' if !escaped => escaped = true,
            _ => {
                value.push(character);
                escaped = false;
            }
        }
    }
    Some((name, value, ""))
}

/// The parts of a reference without its fragment, which is never sent.
struct Reference<'r> {
    scheme: Option<&'r str>,
    authority: Option<&'r str>,
    path: &'r str,
    query: Option<&'r str>,
}

impl<'r> Reference<'r> {
    fn of(text: &'r str) -> Self {
        let text = text.split('#').next().unwrap_or_default();
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, text),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Reference { scheme, authority, path, query }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Resolves `reference` to a whole URL without a fragment (RFC 3986, 5.2). Returns it unchanged where `base` is not a whole
/// URL.
pub(super) fn resolve(base: &str, reference: &str) -> String {
    let (known, wanted) = (Reference::of(base), Reference::of(reference.trim()));
    let Some(scheme) = known.scheme else { return reference.to_owned() };
    let (scheme, authority, path, query) = match (wanted.scheme, wanted.authority) {
        (Some(scheme), authority) => (scheme, authority, without_dots(wanted.path), wanted.query),
        (None, Some(authority)) => (scheme, Some(authority), without_dots(wanted.path), wanted.query),
        (None, None) if wanted.path.is_empty() => {
            (scheme, known.authority, known.path.to_owned(), wanted.query.or(known.query))
        }
        (None, None) if wanted.path.starts_with('/') => {
            (scheme, known.authority, without_dots(wanted.path), wanted.query)
        }
        (None, None) => {
            let folder = known.path.rfind('/').map_or("/", |slash| &known.path[..=slash]);
            (scheme, known.authority, without_dots(&format!("{folder}{}", wanted.path)), wanted.query)
        }
    };
    let authority = authority.map(|authority| format!("//{authority}")).unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}:{authority}{path}{query}")
}

/// Removes the query parameters of a URL whose values are dropped. The others keep their text.
pub(super) fn without_values(url: &str, dropped: impl Fn(&str) -> bool) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let is_kept = |pair: &&str| pair.split_once('=').is_none_or(|(_, value)| !dropped(&unescape(value)));
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// Removes the segments `.` and `..` of a path (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                // The empty segment before a leading slash stays.
                if segment == ".." && kept.len() > usize::from(path.starts_with('/')) {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_by_relation() {
        let next = |value| links(value).into_iter().find(|link| link.has_relation("next")).map(|link| link.target);
        assert_eq!(
            next(r#"<https://a/?x=1,2>; rel="prev", <https://a/?p=2>; rel="next""#).as_deref(),
            Some("https://a/?p=2")
        );
        assert_eq!(
            next(r#"<https://a/?p=2>; rel="next", <https://a/?p=9>; rel="last""#).as_deref(),
            Some("https://a/?p=2")
        );
        assert_eq!(next("<b>;title=x;REL=\"last next\"").as_deref(), Some("b"));
        assert_eq!(next(r#"<b>; title="x <y> z, w; rel=prev"; rel="next""#).as_deref(), Some("b"));
        assert_eq!(next(r#"<a>; title="say \"<next>\""; rel=prev,<b>;rel=next"#).as_deref(), Some("b"));
        assert_eq!(next("< b > ; rel = next ,").as_deref(), Some("b"));
        assert_eq!(next("<b>; crossorigin; rel=NEXT").as_deref(), Some("b"));
        assert_eq!(next("<>; rel=next").as_deref(), Some(""));
        assert_eq!(next(r#"<a>; rel="prev"; rel="next""#), None, "of two relations the first counts");
        assert_eq!(next(r#"<b>; rel="nextish""#), None);
        assert_eq!(next(r#"<b>; title="rel=next""#), None);
        for broken in ["<b", "", "rel=next", "<b>; rel=\"next-page", "<b>; ;; rel=", "<b> rel=next"] {
            assert_eq!(next(broken), None, "{broken}");
        }
    }

    #[test]
    fn values_are_dropped_however_they_are_written() {
        let without = |url| without_values(url, |value| value == "a b%");
        assert_eq!(without("/x?k=a+b%25&y=1%20&k=%61%20b%"), "/x?y=1%20");
        assert_eq!(without("/x?k=a%20b%25"), "/x");
        assert_eq!(without("/x?flag&k=a%2&z=é%"), "/x?flag&k=a%2&z=é%");
        assert_eq!(without("/x"), "/x");
    }

    // https://www.rfc-editor.org/rfc/rfc3986#section-5.4
    #[test]
    fn the_examples_of_rfc_3986() {
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
        ] {
            assert_eq!(resolve("http://a/b/c/d;p?q#f", reference), expected, "{reference}");
        }
        assert_eq!(resolve("https://a", "g"), "https://a/g");
        assert_eq!(resolve("https://a?x", "?y"), "https://a?y");
        assert_eq!(resolve("/list", "/next"), "/next", "nothing to resolve it against");
    }
}
