//! Texts of others, made fit for a terminal and a log line.

use std::fmt::{self, Display, Formatter, Write};

/// Shows `text` with every character escaped (`\\n`, `\\u{1b}`) that a terminal would obey, that would begin another line, or
/// that changes the direction or the place of what is beside it. Everything else stays as it is, whatever its script.
///
/// For texts that come from an API, a record or a user, wherever they are shown as plain text. [`Error`](crate::Error) does this
/// by itself.
///
/// ```
/// let id = "7\u{1b}[2K\u{202e}\ndeleted";
/// assert_eq!(highwater_core::printable(id).to_string(), r"7\u{1b}[2K\u{202e}\ndeleted");
/// ```
pub fn printable(text: &str) -> impl Display + '_ {
    Printable(text)
}

struct Printable<'t>(&'t str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(unprintable) {
            match piece.chars().next_back().filter(|last| unprintable(*last)) {
                Some(last) => {
                    f.write_str(&piece[..piece.len() - last.len_utf8()])?;
                    last.escape_default().try_for_each(|escaped| f.write_char(escaped))?;
                }
                None => f.write_str(piece)?,
            }
        }
        Ok(())
    }
}

fn unprintable(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    let annotates = matches!(c, '\u{fff9}'..='\u{fffb}');
    c.is_control() || turns || breaks || annotates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_obeys_is_escaped() {
        let shown = |text: &str| printable(text).to_string();
        assert_eq!(shown("größer 数 שלום 👩\u{200d}🚀 \\ \"q\""), "größer 数 שלום 👩\u{200d}🚀 \\ \"q\"");
        for bad in '\0'..=' ' {
            assert_eq!(shown(&bad.to_string()).len() == 1, bad == ' ', "{bad:?}");
        }
        for bad in ['\u{7f}', '\u{85}', '\u{9b}', '\u{9d}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{200f}'] {
            assert_eq!(shown(&format!("a{bad}b")), format!("a{}b", bad.escape_default()));
        }
    }
}
