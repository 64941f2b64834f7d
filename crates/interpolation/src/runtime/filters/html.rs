//! HTML to text: `striptags`.

/// The text between tags and comments, on one line, its references replaced.
pub(super) fn without_tags(text: &str) -> String {
    let text = without(&without(text, "<!--", "-->"), "<", ">");
    unescaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn without(text: &str, start: &str, end: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once(start) {
        let Some((_, after)) = tail.split_once(end) else { break };
        output.push_str(before);
        rest = after;
    }
    output.push_str(rest);
    output
}

/// The names that pages use; those of before HTML 4 may lack their semicolon.
const NAMED: [(&str, char); 46] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("nbsp", '\u{a0}'),
    ("iexcl", '¡'),
    ("cent", '¢'),
    ("pound", '£'),
    ("yen", '¥'),
    ("sect", '§'),
    ("uml", '¨'),
    ("copy", '©'),
    ("laquo", '«'),
    ("not", '¬'),
    ("reg", '®'),
    ("deg", '°'),
    ("plusmn", '±'),
    ("micro", 'µ'),
    ("para", '¶'),
    ("middot", '·'),
    ("raquo", '»'),
    ("frac12", '½'),
    ("iquest", '¿'),
    ("Auml", 'Ä'),
    ("auml", 'ä'),
    ("Ouml", 'Ö'),
    ("ouml", 'ö'),
    ("Uuml", 'Ü'),
    ("uuml", 'ü'),
    ("szlig", 'ß'),
    ("eacute", 'é'),
    ("egrave", 'è'),
    ("ccedil", 'ç'),
    ("times", '×'),
    ("apos", '\''),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bull", '•'),
    ("euro", '€'),
    ("trade", '™'),
    ("rarr", '→'),
];
/// So many of them may lack it.
const OLD: usize = 34;

fn unescaped(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('&') {
        output.push_str(before);
        let (character, after) = numbered(tail).or_else(|| named(tail)).unwrap_or(('&', tail));
        output.push(character);
        rest = after;
    }
    output.push_str(rest);
    output
}

fn numbered(tail: &str) -> Option<(char, &str)> {
    let tail = tail.strip_prefix('#')?;
    let (radix, digits) = match tail.strip_prefix(['x', 'X']) {
        Some(digits) => (16, digits),
        None => (10, tail),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, after) = digits.split_at(end);
    let character =
        char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|c| *c != '\0').unwrap_or('\u{fffd}');
    Some((character, after.strip_prefix(';').unwrap_or(after)))
}

fn named(tail: &str) -> Option<(char, &str)> {
    let whole = |(name, character): &(&str, char)| Some((*character, tail.strip_prefix(name)?.strip_prefix(';')?));
    let open = |(name, character): &(&str, char)| Some((*character, tail.strip_prefix(name)?));
    NAMED.iter().find_map(whole).or_else(|| NAMED.iter().take(OLD).find_map(open))
}
