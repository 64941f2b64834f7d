//! Filters: `value | name`.

mod lists;
mod numbers;
mod texts;

use super::arguments::{Given, made, text_or};
use super::data::Data;
use super::evaluate::Evaluator;
use super::{Fault, Outcome, digest, json, methods, patterns};
use crate::builtins::{LANGUAGE, LISTS, NUMBERS, TEXTS};

/// Filters by the function that knows them.
pub(super) fn filter<'a>(
    evaluator: &mut Evaluator<'a>,
    name: &str,
    value: Data<'a>,
    given: Given<'a>,
) -> Outcome<Data<'a>> {
    let result = if LANGUAGE.contains(&name) {
        language(evaluator, name, &value, given)?
    } else if NUMBERS.contains(&name) {
        numbers::filter(name, &value, given, &evaluator.budget)?
    } else if LISTS.contains(&name) {
        lists::filter(evaluator, name, value, given)?
    } else if TEXTS.contains(&name) {
        texts::filter(name, value, given, &evaluator.budget)?
    } else {
        return Err(Fault::Other(format!("unknown filter '{name}'")));
    };
    result.check_nesting(&evaluator.budget)?;
    Ok(result)
}

/// The filters that the language adds to Jinja's.
fn language<'a>(evaluator: &Evaluator<'a>, name: &str, value: &Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let budget = &evaluator.budget;
    match name {
        "hash" => {
            let [kind, salt] = given.bind(["hash_type", "salt"], 0)?;
            let salt = salt.filter(Data::is_true).map(|salt| salt.to_text(budget)).transpose()?;
            made(digest::hash(&text_or(kind, "md5")?, &value.to_text(budget)?, salt.as_deref())?, budget)
        }
        "hmac" => {
            let [key, kind] = given.bind(["key", "hash_type"], 1)?;
            let kind = text_or(kind, "sha256")?;
            if &*kind != "sha256" {
                return Err(Fault::Other(format!("Hash type '{kind}' is not allowed. Allowed types: sha256")));
            }
            let key = key.unwrap_or(Data::None).to_text(budget)?;
            made(digest::hmac_sha256(&value.to_text(budget)?, &key)?, budget)
        }
        "string" => {
            given.none()?;
            match value {
                Data::Text(_) => Ok(value.clone()),
                other => made(format!("\"\"\"{}\"\"\"", json::dumps(other, false, budget)?), budget),
            }
        }
        "regex_search" => {
            let pattern = subject(&given.one("regex")?)?.to_owned();
            made(patterns::search(expect_str(value)?, &pattern)?, budget)
        }
        "regex_replace" => {
            let [pattern, replacement] = given.bind(["regex", "replacement"], 2)?;
            let (pattern, replacement) = (pattern.unwrap_or(Data::None), replacement.unwrap_or(Data::None));
            let (pattern, replacement) = (expect_str(&pattern)?, expect_str(&replacement)?);
            made(patterns::replace(expect_str(value)?, pattern, replacement, 1 << 20)?, budget)
        }
        _ => {
            given.none()?;
            let text = subject(value)?;
            made(
                if name == "base64decode" { digest::base64_decode(text)? } else { digest::base64_encode(text) },
                budget,
            )
        }
    }
}

fn expect_str<'d>(value: &'d Data<'_>) -> Outcome<&'d str> {
    value.as_text().ok_or_else(|| Fault::Type(format!("expected string, got '{}'", value.type_name())))
}

/// Values that have `.encode` in Python; for other values the attribute is undefined, which is not a type error.
fn subject<'d>(value: &'d Data<'_>) -> Outcome<&'d str> {
    match value {
        Data::Undefined(what) => Err(Fault::undefined(what)),
        other => other
            .as_text()
            .ok_or_else(|| Fault::Other(format!("'{}' object has no attribute 'encode'", other.type_name()))),
    }
}

/// Jinja's idea of a text for sorting: lower case.
fn folded<'a>(value: Data<'a>, sensitive: bool) -> Data<'a> {
    match value.as_text() {
        Some(text) if !sensitive => Data::text(text.to_lowercase()),
        _ => value,
    }
}

/// `strip` for `trim`.
fn trimmed(value: &str, chars: Option<Data<'_>>) -> Outcome<String> {
    methods::stripped(value, "strip", chars).map(str::to_owned)
}
