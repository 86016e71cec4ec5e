//! What is printed is data: names, messages and addresses of others are shown so that they cannot move a terminal's cursor,
//! change its colours, turn lines around, or pass for other lines. Must not know what is printed.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a character does something else than to be seen: the control characters C0, DEL and C1, the marks that change the
/// direction of text, and the separators of lines and paragraphs.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A text on one line: what acts is written as JSON would write it, such as `\u001b`.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// A text that may have several lines.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character != '\n' && acts(character))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_escaped(character) {
            // All of them are below U+10000. Writing to a string does not fail.
            true => drop(write!(out, "\\u{:04x}", u32::from(character))),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// A cell of CSV. Programs that open it take a cell that begins like a formula for one: an apostrophe before it makes it
/// text ("CSV Injection", OWASP). A plain number stays one.
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    const STARTS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    // A program may pass over what stands before it.
    let is_formula = text.starts_with(STARTS) || text.trim_start().starts_with(STARTS);
    let is_number = || {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if is_formula && !is_number() { Cow::Owned(format!("'{}", line(text))) } else { line(text) }
}

/// Passes on what is written, and escapes what acts, except for the ends of lines. What it does to a text within JSON leaves
/// its value as it is.
#[derive(Debug)]
pub struct Escaped<W: Write> {
    inner: W,
    /// The first bytes of a character whose others are not written yet.
    begun: Vec<u8>,
}

impl<W: Write> Escaped<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, begun: Vec::new() }
    }

    /// Writes a word of our own, in a colour of a terminal's (ECMA-48, "SGR").
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn coloured(&mut self, colour: u8, word: &str) -> io::Result<()> {
        write!(self.inner, "\u{1b}[{colour}m{}\u{1b}[0m", line(word))
    }
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = std::mem::replace(&mut self.begun, rest);
        self.inner.write_all(lines(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_acts_is_shown_and_everything_else_is_left() {
        assert_eq!(
            line("a\u{1b}[31mb\u{9b}2Jc\u{202e}d\ne\tf\u{7f}"),
            r"a\u001b[31mb\u009b2Jc\u202ed\u000ae\u0009f\u007f"
        );
        assert_eq!(lines("a\nb\r\u{2028}"), "a\nb\\u000d\\u2028");
        for text in ["Łukasz 😀 née 山田", "नमस्ते", "שלום", "a\u{200d}b", ""] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text));
        }
        for character in (0..=0x2_ffff).filter_map(char::from_u32) {
            let is_listed = matches!(
                u32::from(character),
                0..=0x1f | 0x7f..=0x9f | 0x61c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069
            );
            assert_eq!(acts(character), is_listed, "{character:?}");
        }
    }

    #[test]
    fn a_cell_is_no_formula() {
        for text in ["=1+1", "+4366", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "-", "+1"] {
            assert!(cell(text).starts_with('\''), "{text:?}");
        }
        for text in ["-1", "17", "a=b", "Ada", "", "2026-01-31"] {
            assert_eq!(cell(text), text);
        }
    }

    #[test]
    fn a_character_in_two_parts_is_one() {
        let mut out = Escaped::new(Vec::new());
        for byte in "ż\u{9b}😀\u{202e}\n".bytes() {
            out.write_all(&[byte]).unwrap();
        }
        out.write_all(&[0xff, b'!']).unwrap();
        assert_eq!(String::from_utf8(out.inner).unwrap(), "ż\\u009b😀\\u202e\n\u{fffd}!");
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "na\u{9b}me": "\u{1b}[2J\u{85}\u{202e}\n\u{7f}" });
        let mut out = Escaped::new(Vec::new());
        serde_json::to_writer_pretty(&mut out, &value).unwrap();
        assert!(out.inner.is_ascii());
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out.inner).unwrap(), value);
    }
}
