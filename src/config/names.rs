//! The names that a deployment has in a database: its schema, and the prefix of its roles.

use std::fmt;

use cognito_user_sync_triggers::environment::{ConfigError, Environment};

/// The name of the variable that names the schema.
pub const SCHEMA_VARIABLE: &str = "USER_SYNC_DATABASE_SCHEMA";

/// The name of the variable that holds the prefix of the roles.
pub const ROLE_PREFIX_VARIABLE: &str = "USER_SYNC_ROLE_PREFIX";

/// Longest name that PostgreSQL keeps whole ("Identifiers and Key Words"), in bytes.
pub const NAME_MAX_BYTES: usize = 63;

/// So that `<prefix>_consumer_login` is a whole name.
const PREFIX_MAX_BYTES: usize = 48;

/// A name as an identifier in a statement, whatever characters it has.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The schema that holds the tables. Any name that PostgreSQL takes: it is quoted wherever it stands in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(String);

impl Default for Schema {
    fn default() -> Self {
        Self("public".to_owned())
    }
}

impl Schema {
    /// The schema of this name; `None` where PostgreSQL would not keep it, or keeps it for itself (`pg_…`).
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_taken = (1..=NAME_MAX_BYTES).contains(&name.len())
            && !name.starts_with("pg_")
            && name != "information_schema"
            && !name.contains('\0');
        is_taken.then(|| Self(name.to_owned()))
    }

    pub(super) fn read(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let Some(value) = environment.optional(SCHEMA_VARIABLE)? else { return Ok(Self::default()) };
        let expected =
            "the name of a schema: 1 to 63 bytes, and not one of PostgreSQL's own (pg_…)".to_owned();
        Self::new(&value).ok_or(ConfigError::Invalid { variable: SCHEMA_VARIABLE, value, expected })
    }

    /// The name as it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in a statement.
    #[must_use]
    pub fn quoted(&self) -> String {
        quoted(&self.0)
    }

    /// What a session searches for names: this schema, and nobody else's.
    #[must_use]
    pub fn search_path(&self) -> String {
        format!("{}, pg_temp", self.quoted())
    }
}

/// What the names of a deployment's roles begin with. Roles belong to the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePrefix(String);

impl Default for RolePrefix {
    fn default() -> Self {
        Self("user_sync".to_owned())
    }
}

impl RolePrefix {
    /// The prefix; `None` where it is not 1 to 48 of `a` to `z`, `0` to `9` and `_`, begins with a digit or is `pg_…`.
    #[must_use]
    pub fn new(prefix: &str) -> Option<Self> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_taken = (1..=PREFIX_MAX_BYTES).contains(&prefix.len())
            && prefix.bytes().all(is_word)
            && !prefix.starts_with(|first: char| first.is_ascii_digit())
            && !prefix.starts_with("pg_");
        is_taken.then(|| Self(prefix.to_owned()))
    }

    /// The prefix that the process's environment asks for; `None` where it asks for none.
    ///
    /// # Errors
    /// When it is no prefix.
    pub fn from_env() -> Result<Option<Self>, ConfigError> {
        let Some(value) = Environment::process().optional(ROLE_PREFIX_VARIABLE)? else { return Ok(None) };
        let expected =
            "1 to 48 of a to z, 0 to 9 and _, beginning with a letter or _, and not with pg_".to_owned();
        let prefix = Self::new(&value);
        prefix.map(Some).ok_or(ConfigError::Invalid { variable: ROLE_PREFIX_VARIABLE, value, expected })
    }

    /// The group role of this kind. Needs no quotes in a statement.
    #[must_use]
    pub fn role(&self, kind: Role) -> String {
        format!("{}_{}", self.0, kind.as_str())
    }

    /// All group roles.
    #[must_use]
    pub fn roles(&self) -> [String; Role::ALL.len()] {
        Role::ALL.map(|role| self.role(role))
    }

    /// `text`, which names the roles by the default prefix, with the names of this one.
    #[must_use]
    pub fn rename(&self, text: &str) -> String {
        const DEFAULT: &str = "user_sync_";
        let is_of_a_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut renamed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(DEFAULT) {
            let end = after.find(|c| !is_of_a_word(c)).unwrap_or(after.len());
            let (kind, next) = after.split_at(end);
            let role = Role::ALL.into_iter().find(|role| role.as_str() == kind);
            renamed.push_str(before);
            match role.filter(|_| !before.ends_with(is_of_a_word)) {
                Some(role) => renamed.push_str(&self.role(role)),
                None => renamed.extend([DEFAULT, kind]),
            }
            rest = next;
        }
        renamed + rest
    }
}

impl fmt::Display for RolePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a group role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Owns the tables and migrates them.
    Owner,
    /// Applies events.
    Consumer,
    /// The application.
    App,
    /// Reads.
    Reader,
    /// The console: reads, and writes down what it did.
    Console,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Consumer, Self::App, Self::Reader, Self::Console];

    /// What the role's name ends with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Consumer => "consumer",
            Self::App => "app",
            Self::Reader => "reader",
            Self::Console => "console",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_schema_is_quoted() {
        assert_eq!(Schema::default().search_path(), "\"public\", pg_temp");
        assert_eq!(Schema::new("My \"own\"").unwrap().quoted(), "\"My \"\"own\"\"\"");
        let long = "s".repeat(64);
        for name in ["", "pg_temp", "information_schema", "a\0b", &long] {
            assert_eq!(Schema::new(name), None, "{name}");
        }
    }

    #[test]
    fn a_prefix_is_a_plain_word_and_renames_the_roles() {
        let prefix = RolePrefix::new("shop_a").unwrap();
        assert_eq!(prefix.rename("to user_sync_app, user_sync_reader"), "to shop_a_app, shop_a_reader");
        assert_eq!(RolePrefix::default().rename("user_sync_owner"), "user_sync_owner");
        let own = RolePrefix::new("user_sync_app").unwrap();
        assert_eq!(
            own.rename("'user_sync_owner' my_user_sync_app user_sync_apple"),
            "'user_sync_app_owner' my_user_sync_app user_sync_apple"
        );
        let long = "p".repeat(49);
        for name in ["", "1st", "Shop", "a-b", "a\"b", "pg_shop", &long] {
            assert_eq!(RolePrefix::new(name), None, "{name}");
        }
    }
}
