//! Reads the environment's variables, for every program of the project. A variable that is empty is unset. Must not
//! know what a variable is for.

use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// A variable is missing or holds what it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is unset or empty.
    #[error("{variable} is not set: {meaning}")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// What it should hold.
        meaning: &'static str,
    },
    /// A variable holds what it must not.
    #[error("{variable} is {value:?}: it must be {expected}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// What it holds. Never a secret: no variable with a secret is reported so.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// A variable is not text. Its value is not repeated: it may be a secret.
    #[error("{variable} is not valid UTF-8")]
    NotUtf8 {
        /// The variable.
        variable: &'static str,
    },
}

/// Where variables are looked up.
#[derive(Clone, Copy)]
pub struct Environment<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl fmt::Debug for Environment<'_> {
    /// Without the variables, some of which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

impl Environment<'static> {
    /// The process's own.
    #[must_use]
    pub fn process() -> Self {
        Self(&|variable| std::env::var_os(variable))
    }
}

impl<'a> Environment<'a> {
    /// What `lookup` finds.
    #[must_use]
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self(lookup)
    }

    /// The value as it is.
    #[must_use]
    pub fn raw(self, variable: &str) -> Option<OsString> {
        (self.0)(variable).filter(|value| !value.is_empty())
    }

    /// A path, which need not be UTF-8.
    #[must_use]
    pub fn path(self, variable: &str) -> Option<PathBuf> {
        self.raw(variable).map(PathBuf::from)
    }

    /// A text that may be unset.
    ///
    /// # Errors
    /// [`ConfigError::NotUtf8`].
    pub fn optional(self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        let text = self.raw(variable).map(OsString::into_string).transpose();
        text.map_err(|_| ConfigError::NotUtf8 { variable })
    }

    /// A text that must be set.
    ///
    /// # Errors
    /// [`ConfigError::Missing`], or [`ConfigError::NotUtf8`].
    pub fn required(self, variable: &'static str, meaning: &'static str) -> Result<String, ConfigError> {
        self.optional(variable)?.ok_or(ConfigError::Missing { variable, meaning })
    }

    /// A number within `range`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`], with the range, or [`ConfigError::NotUtf8`].
    pub fn number(
        self,
        variable: &'static str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        let Some(value) = self.optional(variable)? else { return Ok(default) };
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            ConfigError::Invalid { variable, value, expected }
        })
    }

    /// `true` or `false`, the default.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`], or [`ConfigError::NotUtf8`].
    pub fn flag(self, variable: &'static str) -> Result<bool, ConfigError> {
        match self.optional(variable)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(value) => {
                let (value, expected) = (value.to_owned(), "true or false".to_owned());
                Err(ConfigError::Invalid { variable, value, expected })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn check<T>(value: Option<&[u8]>, read: impl FnOnce(Environment<'_>) -> T) -> T {
        read(Environment::new(&|_| value.map(|bytes| OsString::from_vec(bytes.to_vec()))))
    }

    #[test]
    fn an_empty_variable_is_unset_for_every_reader() {
        for value in [None, Some(&b""[..])] {
            assert_eq!(check(value, |environment| environment.raw("V")), None);
            assert_eq!(check(value, |environment| environment.path("V")), None);
            assert_eq!(check(value, |environment| environment.optional("V")), Ok(None));
            assert_eq!(check(value, |environment| environment.flag("V")), Ok(false));
            assert_eq!(check(value, |environment| environment.number("V", 7, 0..=9)), Ok(7));
            let missing = ConfigError::Missing { variable: "V", meaning: "what for" };
            assert_eq!(check(value, |environment| environment.required("V", "what for")), Err(missing));
        }
    }

    #[test]
    fn a_value_that_is_not_utf8_is_an_error_and_not_unset() {
        let (value, error) = (Some(&b"secret\xff"[..]), ConfigError::NotUtf8 { variable: "V" });
        assert_eq!(check(value, |environment| environment.optional("V")), Err(error.clone()));
        assert_eq!(check(value, |environment| environment.required("V", "")), Err(error.clone()));
        assert_eq!(check(value, |environment| environment.flag("V")), Err(error.clone()));
        assert_eq!(check(value, |environment| environment.number("V", 7, 0..=9)), Err(error.clone()));
        assert_eq!(error.to_string(), "V is not valid UTF-8");
        assert!(check(value, |environment| environment.path("V")).is_some());
    }
}
