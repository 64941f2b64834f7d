//! Methods of texts.

use super::super::arguments::{Bound, Given, int_or, made, text_or};
use super::super::data::{Budget, Data, Text};
use super::super::strings::{Align, capitalize, is_lower, is_upper, lines, padded, title, zero_filled};
use super::super::{Fault, Outcome};

pub(super) fn call<'a>(text: &Text<'a>, name: &str, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    let value = text.as_str();
    budget.spend_bytes(value.len())?;
    if !given.named.is_empty() && !matches!(name, "split" | "rsplit" | "splitlines" | "format") {
        return Err(Fault::Type(format!("{name} takes no named arguments")));
    }
    if name.starts_with("is") {
        given.none()?;
        return predicate(value, name).map(Data::Bool);
    }
    match name {
        "upper" | "lower" | "casefold" | "swapcase" | "capitalize" | "title" => {
            given.none()?;
            made(recased(value, name), budget)
        }
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = given.bind(["chars"], 0)?;
            made(stripped(value, name, chars)?.to_owned(), budget)
        }
        "split" | "rsplit" => split(value, name == "rsplit", given, budget),
        "splitlines" => {
            let [keep] = given.bind(["keepends"], 0)?;
            let keep = keep.is_some_and(|keep| keep.is_true());
            texts(lines(value, keep), budget)
        }
        "replace" => {
            let [old, new, count] = given.bind(["old", "new", "count"], 2)?;
            let old = old.unwrap_or(Data::None).expect_text()?;
            let new = new.unwrap_or(Data::None).expect_text()?;
            made(replaced(value, &old, &new, int_or(count, -1)?, budget)?, budget)
        }
        "startswith" | "endswith" => affix(value, name == "startswith", given, budget),
        "find" | "rfind" | "index" | "rindex" | "count" => search(value, name, given),
        "join" => {
            let mut joined = String::new();
            for (position, item) in given.one("iterable")?.items(budget)?.iter().enumerate() {
                if position > 0 {
                    budget.spend_bytes(value.len())?;
                    joined.push_str(value);
                }
                let Some(item) = item.as_text() else {
                    if let Data::Undefined(what) = item {
                        return Err(Fault::Type(format!("expected str, {what} is undefined")));
                    }
                    return Err(Fault::Type(format!("expected str, found {}", item.type_name())));
                };
                budget.spend_bytes(item.len())?;
                joined.push_str(item);
            }
            Ok(Data::text(joined))
        }
        "format" => made(formatted(value, given, budget)?, budget),
        "zfill" => made(zero_filled(value, given.one("width")?.expect_int()?, budget)?, budget),
        "ljust" | "rjust" | "center" => {
            let [width, fill] = given.bind(["width", "fillchar"], 1)?;
            let fill = text_or(fill, " ")?;
            let mut fills = fill.chars();
            let (Some(fill), None) = (fills.next(), fills.next()) else {
                return Err(Fault::Type("the fill character must be one character".to_owned()));
            };
            let align = match name {
                "ljust" => Align::Left,
                "rjust" => Align::Right,
                _ => Align::Center,
            };
            made(padded(value, int_or(width, 0)?, fill, align, budget)?, budget)
        }
        "removeprefix" => {
            let affix = given.one("prefix")?.expect_text()?;
            made(value.strip_prefix(&*affix).unwrap_or(value).to_owned(), budget)
        }
        "removesuffix" => {
            let affix = given.one("suffix")?.expect_text()?;
            made(value.strip_suffix(&*affix).unwrap_or(value).to_owned(), budget)
        }
        _ => {
            let separator = given.one("sep")?.expect_text()?;
            if separator.is_empty() {
                return Err(Fault::Other("empty separator".to_owned()));
            }
            let parts =
                if name == "partition" { value.split_once(&*separator) } else { value.rsplit_once(&*separator) };
            let parts = match (parts, name) {
                (Some((before, after)), _) => [before, &separator, after],
                (None, "partition") => [value, "", ""],
                (None, _) => ["", "", value],
            };
            Ok(Data::tuple(parts.into_iter().map(Data::text).collect()))
        }
    }
}

fn recased(value: &str, name: &str) -> String {
    match name {
        "upper" => value.to_uppercase(),
        "capitalize" => capitalize(value),
        "title" => title(value, |c| !c.is_alphabetic()),
        "swapcase" => {
            let mut swapped = String::with_capacity(value.len());
            for c in value.chars() {
                if c.is_uppercase() {
                    swapped.extend(c.to_lowercase());
                } else {
                    swapped.extend(c.to_uppercase());
                }
            }
            swapped
        }
        _ => value.to_lowercase(),
    }
}

fn predicate(value: &str, name: &str) -> Outcome<bool> {
    let all = |accept: fn(char) -> bool| !value.is_empty() && value.chars().all(accept);
    Ok(match name {
        "islower" => is_lower(value),
        "isupper" => is_upper(value),
        "isascii" => value.is_ascii(),
        "isspace" => all(char::is_whitespace),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isnumeric" => all(char::is_numeric),
        _ => all(|c| c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())),
    })
}

pub(in super::super) fn stripped<'t>(value: &'t str, name: &str, chars: Option<Data<'_>>) -> Outcome<&'t str> {
    let chars = match chars {
        None | Some(Data::None) => None,
        Some(chars) => Some(chars.expect_text()?),
    };
    let matches = |c: char| match &chars {
        Some(chars) => chars.contains(c),
        None => c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}'),
    };
    Ok(match name {
        "strip" => value.trim_matches(matches),
        "lstrip" => value.trim_start_matches(matches),
        _ => value.trim_end_matches(matches),
    })
}

pub(in super::super) fn replaced(value: &str, old: &str, new: &str, count: i128, budget: &Budget) -> Outcome<String> {
    let matches = value.len().checked_div(old.len()).unwrap_or(value.len() + 1).saturating_add(1);
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    budget.spend_bytes(matches.min(limit).saturating_mul(new.len().saturating_sub(old.len())))?;
    Ok(if count < 0 { value.replace(old, new) } else { value.replacen(old, new, limit) })
}

fn texts<'a, 't>(parts: impl IntoIterator<Item = &'t str>, budget: &Budget) -> Outcome<Data<'a>> {
    let mut items = Vec::new();
    for part in parts {
        budget.spend_bytes(part.len())?;
        items.push(Data::text(part));
    }
    Ok(Data::list(items))
}

fn split<'a>(value: &str, from_end: bool, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    let [separator, limit] = given.bind(["sep", "maxsplit"], 0)?;
    let limit = usize::try_from(int_or(limit, -1)?).unwrap_or(usize::MAX - 1);
    let separator = match separator {
        None | Some(Data::None) => None,
        Some(separator) => Some(separator.expect_text()?),
    };
    match separator.as_deref() {
        Some("") => Err(Fault::Other("empty separator".to_owned())),
        Some(separator) if from_end => {
            let mut parts: Vec<&str> = value.rsplitn(limit.saturating_add(1), separator).collect();
            parts.reverse();
            texts(parts, budget)
        }
        Some(separator) => texts(value.splitn(limit.saturating_add(1), separator), budget),
        None if from_end => {
            let mut parts = Vec::new();
            let mut rest = value.trim_end();
            while !rest.is_empty() && parts.len() < limit {
                let at = rest.rfind(char::is_whitespace);
                let start =
                    at.map_or(0, |at| at + rest.get(at..).and_then(|r| r.chars().next()).map_or(1, char::len_utf8));
                parts.push(rest.get(start..).unwrap_or(""));
                rest = rest.get(..start).unwrap_or("").trim_end();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
            parts.reverse();
            texts(parts, budget)
        }
        None => {
            let mut parts = Vec::new();
            let mut rest = value.trim_start();
            while !rest.is_empty() && parts.len() < limit {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                parts.push(rest.get(..end).unwrap_or(""));
                rest = rest.get(end..).unwrap_or("").trim_start();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
            texts(parts, budget)
        }
    }
}

fn affix<'a>(value: &str, start: bool, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    let wanted = given.one("affix")?;
    let candidates = match &wanted {
        Data::Tuple(_) => wanted.items(budget)?,
        _ => vec![wanted],
    };
    for candidate in candidates {
        let candidate = candidate.expect_text()?;
        if if start { value.starts_with(&*candidate) } else { value.ends_with(&*candidate) } {
            return Ok(Data::Bool(true));
        }
    }
    Ok(Data::Bool(false))
}

fn search<'a>(value: &str, name: &str, given: Given<'a>) -> Outcome<Data<'a>> {
    let wanted = given.one("sub")?.expect_text()?;
    if name == "count" {
        return Ok(Data::Int(i128::try_from(value.matches(&*wanted).count()).unwrap_or(0)));
    }
    let found = if name.starts_with('r') { value.rfind(&*wanted) } else { value.find(&*wanted) };
    match found {
        Some(at) => {
            let position = value.get(..at).unwrap_or("").chars().count();
            Ok(Data::Int(i128::try_from(position).unwrap_or(0)))
        }
        None if name.ends_with("index") => Err(Fault::Other("substring not found".to_owned())),
        None => Ok(Data::Int(-1)),
    }
}

/// `str.format` with plain fields: `{}`, `{0}`, `{name}`.
fn formatted(format: &str, given: Given<'_>, budget: &Budget) -> Outcome<String> {
    let mut output = String::new();
    let mut chars = format.char_indices().peekable();
    let mut next = 0;
    while let Some((at, c)) = chars.next() {
        if matches!(c, '{' | '}') && chars.peek().is_some_and(|(_, following)| *following == c) {
            chars.next();
            output.push(c);
            continue;
        }
        if c != '{' {
            output.push(c);
            continue;
        }
        let rest = format.get(at + 1..).unwrap_or("");
        let Some((field, _)) = rest.split_once('}') else {
            return Err(Fault::Other("a field of a format is not closed".to_owned()));
        };
        let value = if field.is_empty() {
            next += 1;
            given.positional.get(next - 1)
        } else if let Ok(position) = field.parse::<usize>() {
            given.positional.get(position)
        } else if field.chars().all(|c| c == '_' || c.is_alphanumeric()) {
            given.named.iter().find(|(name, _)| name == field).map(|(_, value)| value)
        } else {
            return Err(Fault::Other(format!("the format field '{field}' is not supported")));
        };
        let value = value.ok_or_else(|| Fault::Other(format!("no value for the format field '{field}'")))?;
        value.write(&mut output, budget)?;
        for _ in 0..=field.chars().count() {
            chars.next();
        }
    }
    Ok(output)
}
