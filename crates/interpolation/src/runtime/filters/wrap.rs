//! `wordwrap`: Python's `textwrap`, line by line.

use fancy_regex::Regex;

use super::super::arguments::{Given, int_or, text_or};
use super::super::data::{Budget, Data};
use super::super::strings::lines;
use super::super::{Fault, Outcome};

/// Whitespace; dashes between words; words, which may be parted after a hyphen between letters.
const CHUNKS: &str = r#"[\t\n\x0b\x0c\r ]+|(?<=[\w!"'&.,?])-{2,}(?=\w)|[^\t\n\x0b\x0c\r ]+?(?:-(?:(?<=[^\d\W]{2}-)|(?<=[^\d\W]-[^\d\W]-))(?=[^\d\W]-?[^\d\W])|(?=[\t\n\x0b\x0c\r ]|\z)|(?<=[\w!"'&.,?])(?=-{2,}\w))"#;
const WORDS: &str = r"[\t\n\x0b\x0c\r ]+|[^\t\n\x0b\x0c\r ]+";

/// How lines are broken.
struct Rules {
    width: usize,
    break_words: bool,
    break_hyphens: bool,
}

pub(super) fn wrapped(text: &str, given: Given<'_>, budget: &Budget) -> Outcome<String> {
    let [width, long, end, hyphens] = given.bind(["width", "break_long_words", "wrapstring", "break_on_hyphens"], 0)?;
    let width = usize::try_from(int_or(width, 79)?).ok().filter(|width| *width > 0);
    let rules = Rules {
        width: width.ok_or_else(|| Fault::Other("invalid width (must be > 0)".to_owned()))?,
        break_words: long.is_none_or(|flag| flag.is_true()),
        break_hyphens: hyphens.is_none_or(|flag| flag.is_true()),
    };
    let end = text_or(end.filter(|end| !matches!(end, Data::None)), "\n")?;
    let pattern = if rules.break_hyphens { CHUNKS } else { WORDS };
    let pattern = Regex::new(pattern).map_err(|error| Fault::Other(error.to_string()))?;
    let mut output = Vec::new();
    for line in lines(text, false) {
        budget.spend_bytes(line.len() + end.len())?;
        output.push(rules.wrap(line, &pattern, budget)?.join(&end));
    }
    Ok(output.join(&end))
}

impl Rules {
    fn wrap(&self, line: &str, pattern: &Regex, budget: &Budget) -> Outcome<Vec<String>> {
        let mut chunks = Vec::new();
        for found in pattern.find_iter(line) {
            budget.spend(1)?;
            let found = found.map_err(|error| Fault::Other(format!("a text cannot be wrapped: {error}")))?;
            chunks.push(found.as_str());
        }
        chunks.reverse();
        let mut wrapped: Vec<String> = Vec::new();
        while let Some(first) = chunks.last() {
            if first.trim().is_empty() && !wrapped.is_empty() {
                chunks.pop();
            }
            let mut current: Vec<&str> = Vec::new();
            let mut length = 0;
            while let Some(chunk) = chunks.pop_if(|chunk| length + size(chunk) <= self.width) {
                length += size(chunk);
                current.push(chunk);
            }
            if let Some(long) = chunks.pop_if(|chunk| size(chunk) > self.width) {
                budget.spend(1)?;
                self.part(long, length, &mut current, &mut chunks);
            }
            if current.last().is_some_and(|last| last.trim().is_empty()) {
                current.pop();
            }
            if !current.is_empty() {
                wrapped.push(current.concat());
            }
        }
        Ok(wrapped)
    }

    /// Fills the line with the beginning of a word that fits into none.
    fn part<'t>(&self, word: &'t str, length: usize, current: &mut Vec<&'t str>, chunks: &mut Vec<&'t str>) {
        if !self.break_words {
            match current.is_empty() {
                true => current.push(word),
                false => chunks.push(word),
            }
            return;
        }
        let mut end = byte_of(word, self.width - length);
        if self.break_hyphens
            && let Some((before, _)) = word.get(..end).and_then(|part| part.rsplit_once('-'))
            && before.contains(|c| c != '-')
        {
            end = before.len() + 1;
        }
        let (part, rest) = word.split_at_checked(end).unwrap_or((word, ""));
        current.push(part);
        if !rest.is_empty() {
            chunks.push(rest);
        }
    }
}

fn size(text: &str) -> usize {
    text.chars().count()
}

/// Where the character at a position begins.
fn byte_of(text: &str, position: usize) -> usize {
    text.char_indices().nth(position).map_or(text.len(), |(at, _)| at)
}
