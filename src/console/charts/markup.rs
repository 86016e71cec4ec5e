//! Texts as they may stand in HTML, in attributes too. Must not know what they say.

use std::borrow::Cow;
use std::fmt;

use crate::console::words::Foreign;

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
    Foreign(value).to_string()
}

/// Appends what is written by `format_args!`.
pub(super) fn put(to: &mut String, written: fmt::Arguments<'_>) {
    to.push_str(&written.to_string());
}
