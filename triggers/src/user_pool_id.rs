//! The id of a user pool, such as `eu-west-1_Abc123Def`: the one place that says what one looks like.
//!
//! There are two bounds. What an operator configures is a [`UserPoolId`], by AWS's own rule. What an event of the
//! contract carries needs only `is_carried`: it was made by Cognito, and messages that exist stay readable.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::event::TEXT_MAX_CHARS;

/// Most characters of an id ("DescribeUserPool", Amazon Cognito user pools API Reference: `UserPoolId`).
pub const MAX_CHARS: usize = 55;

/// The id of a user pool, by AWS's rule: 1 to 55 characters of the pattern `[\w-]+_[0-9a-zA-Z]+`.
///
/// It holds no `/` and no `.`, so it may be part of a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserPoolId(String);

/// A text is not the id of a user pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a user pool's id: a region and a name, such as eu-west-1_Abc123Def, of at most {MAX_CHARS} characters"
)]
pub struct InvalidUserPoolId(String);

impl UserPoolId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserPoolId {
    type Error = InvalidUserPoolId;

    fn try_from(text: String) -> Result<Self, InvalidUserPoolId> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        // `\w` holds the underscore too, so the last one parts the region from the name.
        let is_valid = text.rsplit_once('_').is_some_and(|(region, name)| {
            !region.is_empty()
                && region.chars().all(is_word)
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if is_valid && text.len() <= MAX_CHARS { Ok(Self(text)) } else { Err(InvalidUserPoolId(text)) }
    }
}

impl FromStr for UserPoolId {
    type Err = InvalidUserPoolId;

    fn from_str(text: &str) -> Result<Self, InvalidUserPoolId> {
        text.to_owned().try_into()
    }
}

impl From<UserPoolId> for String {
    fn from(id: UserPoolId) -> Self {
        id.0
    }
}

impl Deref for UserPoolId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an event may carry this text as its user pool's id: any text within the contract's limit, without U+0000,
/// which PostgreSQL cannot store. A stricter rule would reject messages that are accepted today.
pub(crate) fn is_carried(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_MAX_CHARS && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_awss_pattern_matches() {
        let longest = format!("eu-west-1_{}", "a".repeat(MAX_CHARS - 10));
        for id in ["eu-west-1_Abc123Def", "us-gov-west-1_0", "local_1", "a_b_c", "_x_1", &longest] {
            assert_eq!(id.parse::<UserPoolId>().map(String::from), Ok(id.to_owned()));
        }
        for text in [
            "",
            "_",
            "a_",
            "_a",
            "no pool",
            "../x",
            "../x_1",
            "eu-west-1",
            "eu-west-1_a-b",
            "eu-west-1_é",
            "é_1",
            &format!("{longest}a"),
        ] {
            let error = text.parse::<UserPoolId>().map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains("is not a user pool's id")), "{text}");
        }
    }

    #[test]
    fn an_event_carries_more_than_an_operator_may_configure() {
        for text in ["p", "any text", &"a".repeat(TEXT_MAX_CHARS)] {
            assert!(is_carried(text) && text.parse::<UserPoolId>().is_err(), "{text}");
        }
        for text in ["", "a\0b", &"a".repeat(TEXT_MAX_CHARS + 1)] {
            assert!(!is_carried(text), "{text:?}");
        }
    }
}
