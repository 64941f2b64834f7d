//! Filters of texts, and of any value to text.

use super::super::arguments::{Bound, Given, int_or, made, text_or};
use super::super::data::{Budget, Data};
use super::super::strings::{Align, capitalize, lines, padded, percent_format, quote, quote_plus, title};
use super::super::{Fault, Outcome, json, methods};
use super::trimmed;

pub(super) fn filter<'a>(name: &str, value: Data<'a>, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    match name {
        "default" | "d" => {
            let [default, boolean] = given.bind(["default_value", "boolean"], 0)?;
            let replace = value.is_undefined() || (boolean.is_some_and(|flag| flag.is_true()) && !value.is_true());
            return Ok(if replace { default.unwrap_or_else(|| Data::text("")) } else { value });
        }
        "tojson" => {
            let [indent] = given.bind(["indent"], 0)?;
            let indent = match indent {
                None | Some(Data::None) => None,
                Some(Data::Text(text)) => Some(text.as_str().to_owned()),
                Some(width) => Some(padded("", width.expect_int()?, ' ', Align::Left, budget)?),
            };
            return made(json::dumps_for_html(&value, indent, budget)?, budget);
        }
        "urlencode" => {
            given.none()?;
            return made(url_encoded(&value, budget)?, budget);
        }
        "pprint" => {
            given.none()?;
            let mut text = String::new();
            value.write_repr(&mut text, budget)?;
            return made(text, budget);
        }
        "safe" => {
            given.none()?;
            return made(value.to_text(budget)?, budget);
        }
        "format" => {
            let text = value.to_text(budget)?;
            let arguments = if given.named.is_empty() {
                Data::tuple(given.positional)
            } else if given.positional.is_empty() {
                Data::dict(given.named.into_iter().map(|(name, value)| (Data::text(name), value)).collect())
            } else {
                return Err(Fault::Other("can't handle positional and keyword arguments at the same time".to_owned()));
            };
            return percent_format(&text, &arguments, budget);
        }
        // Nothing is short enough.
        "truncate" if value.is_undefined() => return Ok(value),
        "truncate" | "indent" => {
            let Some(text) = value.as_text() else {
                return Err(Fault::Type(format!("expected str, not {}", value.type_name())));
            };
            let changed = if name == "truncate" { truncated(text, given)? } else { indented(text, given, budget)? };
            return made(changed, budget);
        }
        _ => {}
    }
    let text = value.to_text(budget)?;
    let changed = match name {
        "trim" => {
            let [chars] = given.bind(["chars"], 0)?;
            trimmed(&text, chars)?
        }
        "replace" => {
            let [old, new, count] = given.bind(["old", "new", "count"], 2)?;
            let old = old.unwrap_or(Data::None).to_text(budget)?;
            let new = new.unwrap_or(Data::None).to_text(budget)?;
            let count = match count {
                None | Some(Data::None) => -1,
                Some(count) => count.expect_int()?,
            };
            methods::replaced(&text, &old, &new, count, budget)?
        }
        "center" => {
            let [width] = given.bind(["width"], 0)?;
            padded(&text, int_or(width, 80)?, ' ', Align::Center, budget)?
        }
        "wordcount" => {
            given.none()?;
            let words = text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty());
            return Ok(Data::Int(i128::try_from(words.count()).unwrap_or(0)));
        }
        _ => {
            given.none()?;
            match name {
                "lower" => text.to_lowercase(),
                "upper" => text.to_uppercase(),
                "capitalize" => capitalize(&text),
                "title" => title(&text, |c| c.is_whitespace() || matches!(c, '-' | '(' | '{' | '[' | '<')),
                _ => text
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&#34;")
                    .replace('\'', "&#39;"),
            }
        }
    };
    made(changed, budget)
}

/// A text percent-encoded (slashes stay), or pairs as a query.
fn url_encoded(value: &Data<'_>, budget: &Budget) -> Outcome<String> {
    let pairs = match (value.entries(budget)?, value) {
        (Some(entries), _) => entries,
        (None, Data::Text(_) | Data::None | Data::Bool(_) | Data::Int(_) | Data::Float(_)) => {
            return Ok(quote(&value.to_text(budget)?));
        }
        (None, Data::DateTime(_) | Data::Date(_) | Data::Duration(_)) => {
            return Ok(quote(&value.to_text(budget)?));
        }
        (None, list) => {
            let mut pairs = Vec::new();
            for item in list.items(budget)? {
                let mut pair = item.items(budget)?.into_iter();
                let (Some(key), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
                    return Err(Fault::Other("urlencode takes pairs".to_owned()));
                };
                pairs.push((key, value));
            }
            pairs
        }
    };
    let mut query = String::new();
    for (position, (key, value)) in pairs.iter().enumerate() {
        query.push_str(if position > 0 { "&" } else { "" });
        query.push_str(&quote_plus(&key.to_text(budget)?));
        query.push('=');
        query.push_str(&quote_plus(&value.to_text(budget)?));
    }
    Ok(query)
}

fn truncated(text: &str, given: Given<'_>) -> Outcome<String> {
    let [length, killwords, end, leeway] = given.bind(["length", "killwords", "end", "leeway"], 0)?;
    let length = int_or(length, 255)?;
    let end = text_or(end, "...")?;
    let leeway = match leeway {
        None | Some(Data::None) => 5,
        Some(leeway) => leeway.expect_int()?,
    };
    let size = |text: &str| i128::try_from(text.chars().count()).unwrap_or(i128::MAX);
    if length < size(&end) || leeway < 0 {
        return Err(Fault::Other(format!("expected length >= {}, got {length}", size(&end))));
    }
    if size(text) <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let kept: String = text.chars().take(usize::try_from(length - size(&end)).unwrap_or(0)).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((before, _)) if !killwords.is_some_and(|flag| flag.is_true()) => before,
        _ => &kept,
    };
    Ok(format!("{kept}{end}"))
}

fn indented(text: &str, given: Given<'_>, budget: &Budget) -> Outcome<String> {
    let [width, first, blank] = given.bind(["width", "first", "blank"], 0)?;
    let indention = match width {
        Some(Data::Text(text)) => text.as_str().to_owned(),
        width => padded("", int_or(width, 4)?, ' ', Align::Left, budget)?,
    };
    let (first, blank) = (first.is_some_and(|flag| flag.is_true()), blank.is_some_and(|flag| flag.is_true()));
    let text = format!("{text}\n");
    let mut output = String::new();
    for (position, line) in lines(&text, false).into_iter().enumerate() {
        budget.spend_bytes(indention.len() + line.len())?;
        if position > 0 {
            output.push('\n');
        }
        if if position == 0 { first } else { blank || !line.is_empty() } {
            output.push_str(&indention);
        }
        output.push_str(line);
    }
    Ok(output)
}
