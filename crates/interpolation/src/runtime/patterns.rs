//! Regular expressions in Python's notation, with a bound on backtracking.

use fancy_regex::{Captures, Regex, RegexBuilder};

use super::{Fault, Outcome};
use crate::limits;

fn compile(pattern: &str) -> Outcome<Regex> {
    let pattern = pattern.replace("\\Z", "\\z");
    RegexBuilder::new(&pattern)
        .backtrack_limit(limits::REGEX_BACKTRACKS)
        .delegate_size_limit(1 << 20)
        .build()
        .map_err(|error| Fault::Other(format!("broken regular expression: {error}")))
}

fn too_slow(error: fancy_regex::Error) -> Fault {
    Fault::Other(format!("a regular expression failed: {error}"))
}

/// The first group of the first match; empty without one.
pub(super) fn search(value: &str, pattern: &str) -> Outcome<String> {
    let captures = compile(pattern)?.captures(value).map_err(too_slow)?;
    let group = captures.and_then(|captures| captures.get(1).map(|found| found.as_str().to_owned()));
    Ok(group.unwrap_or_default())
}

/// Every match replaced; `\1` and `\g<name>` in the replacement stand for groups.
pub(super) fn replace(value: &str, pattern: &str, replacement: &str, limit: usize) -> Outcome<String> {
    let regex = compile(pattern)?;
    let mut output = String::new();
    let (mut copied, mut position) = (0, 0);
    while let Some(captures) = regex.captures_from_pos(value, position).map_err(too_slow)? {
        let Some(whole) = captures.get(0) else {
            break;
        };
        output.push_str(value.get(copied..whole.start()).unwrap_or(""));
        expand(&captures, replacement, &mut output)?;
        copied = whole.end();
        if output.len() > limit {
            return Err(Fault::Other("a replaced text is too large".to_owned()));
        }
        // An empty match may follow another match, yet not an empty one at its place.
        position = whole.end();
        if whole.start() == whole.end() {
            match value.get(position..).and_then(|rest| rest.chars().next()) {
                Some(next) => position += next.len_utf8(),
                None => break,
            }
        }
    }
    output.push_str(value.get(copied..).unwrap_or(""));
    Ok(output)
}

fn expand(captures: &Captures<'_, str>, template: &str, output: &mut String) -> Outcome<()> {
    let broken = || Fault::Other("broken replacement of a regular expression".to_owned());
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        output.push_str(rest.get(..at).unwrap_or(""));
        let after = rest.get(at + 1..).unwrap_or("");
        let kind = after.chars().next().ok_or_else(broken)?;
        let mut tail = after.get(kind.len_utf8()..).unwrap_or("");
        match kind {
            '1'..='9' => {
                let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
                let group: usize = after.get(..digits).and_then(|digits| digits.parse().ok()).ok_or_else(broken)?;
                if group >= captures.len() {
                    return Err(broken());
                }
                output.push_str(captures.get(group).map_or("", |found| found.as_str()));
                tail = after.get(digits..).unwrap_or("");
            }
            'g' => {
                let (name, end) = tail.strip_prefix('<').and_then(|tail| tail.split_once('>')).ok_or_else(broken)?;
                let found = match name.parse::<usize>() {
                    Ok(group) if group < captures.len() => captures.get(group),
                    Ok(_) => return Err(broken()),
                    Err(_) => captures.name(name),
                };
                output.push_str(found.map_or("", |found| found.as_str()));
                tail = end;
            }
            'n' => output.push('\n'),
            'r' => output.push('\r'),
            't' => output.push('\t'),
            '\\' => output.push('\\'),
            letter if letter.is_ascii_alphanumeric() => return Err(broken()),
            other => {
                output.push('\\');
                output.push(other);
            }
        }
        rest = tail;
    }
    output.push_str(rest);
    Ok(())
}
