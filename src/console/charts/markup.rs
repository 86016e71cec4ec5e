//! Texts as they may stand in HTML, in attributes too. Must not know what they say.

use std::borrow::Cow;

/// Characters of a name of others that a chart shows.
const MAX_CHARACTERS: usize = 200;

/// A text in HTML or in an attribute between quotes.
pub(super) fn text(value: &str) -> Cow<'_, str> {
    if !value.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(value);
    }
    let escaped = |character| match character {
        '&' => Cow::Borrowed("&amp;"),
        '<' => Cow::Borrowed("&lt;"),
        '>' => Cow::Borrowed("&gt;"),
        '"' => Cow::Borrowed("&quot;"),
        '\'' => Cow::Borrowed("&#39;"),
        other => Cow::Owned(String::from(other)),
    };
    Cow::Owned(value.chars().map(escaped).collect())
}

/// A name that others chose: what acts is spelled (U+202E), and what is long is cut. Not escaped yet.
pub(super) fn foreign(value: &str) -> String {
    let mut shown = String::new();
    for (index, character) in value.chars().enumerate() {
        if index == MAX_CHARACTERS {
            shown.push('…');
            break;
        }
        match crate::text::line(character.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(_) => shown.push(character),
            Cow::Owned(_) => shown.push_str(&format!("U+{:04X}", u32::from(character))),
        }
    }
    shown
}
