//! What table is there: whether it is the documented old `users`, and whether every row of it can be adopted.
//! Reads only; knows nothing of events.

use std::collections::BTreeMap;

use sqlx::Row as _;

use crate::postgres::Transaction;
use crate::store::maintenance::adopt::AdoptError;

/// The name that an adopted table has from then on.
pub const KEPT_AS: &str = "users_before_user_sync";

/// The documented table as it was found, and nothing that it could not be adopted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldTable {
    oid: sqlx::postgres::types::Oid,
    /// `metadata`, or `user_metadata` as some deployments name it.
    pub(super) metadata_column: &'static str,
    /// Rows.
    pub rows: u64,
}

impl OldTable {
    /// The relation, whatever its name.
    pub(crate) fn oid(&self) -> sqlx::postgres::types::Oid {
        self.oid
    }
}

/// The types that a column's values can be read from.
#[derive(Debug, Clone, Copy)]
enum Family {
    Text,
    Boolean,
    Number,
    Time,
    Json,
    Address,
}

impl Family {
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["varchar", "text", "bpchar", "uuid"],
            Self::Boolean => &["bool"],
            Self::Number => &["int4", "int8", "int2"],
            Self::Time => &["timestamptz", "timestamp", "date"],
            Self::Json => &["json", "jsonb"],
            Self::Address => &["varchar", "text", "bpchar", "inet"],
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Text => "varchar, text, char or uuid",
            Self::Boolean => "boolean",
            Self::Number => "integer, bigint or smallint",
            Self::Time => "timestamptz, timestamp or date",
            Self::Json => "json or jsonb",
            Self::Address => "varchar, text, char or inet",
        }
    }
}

/// The documented columns. `metadata` may be named `user_metadata`.
const COLUMNS: [(&str, Family); 35] = [
    ("id", Family::Text),
    ("phone_number", Family::Text),
    ("phone_number_verified", Family::Boolean),
    ("name", Family::Text),
    ("email", Family::Text),
    ("email_verified", Family::Boolean),
    ("first_name", Family::Text),
    ("last_name", Family::Text),
    ("date_of_birth", Family::Time),
    ("gender", Family::Text),
    ("country_code", Family::Text),
    ("timezone", Family::Text),
    ("language", Family::Text),
    ("is_active", Family::Boolean),
    ("is_deleted", Family::Boolean),
    ("is_verified", Family::Boolean),
    ("is_premium", Family::Boolean),
    ("cognito_username", Family::Text),
    ("cognito_status", Family::Text),
    ("profile_picture_url", Family::Text),
    ("bio", Family::Text),
    ("last_login_at", Family::Time),
    ("last_login_ip", Family::Address),
    ("last_login_device", Family::Text),
    ("last_login_location", Family::Text),
    ("login_count", Family::Number),
    ("created_at", Family::Time),
    ("created_ip", Family::Address),
    ("updated_at", Family::Time),
    ("deleted_at", Family::Time),
    ("preferences", Family::Json),
    ("settings", Family::Json),
    ("metadata", Family::Json),
    ("referral_code", Family::Text),
    ("referred_by", Family::Text),
];

/// The old table in the current schema, if there is any relation of the name `users`. What else has a name that the new
/// tables need is `taken`, a line each.
///
/// # Errors
/// With every difference from the documented table and all that is taken, or with the rows that cannot be adopted.
pub(crate) async fn inspect(
    tx: &mut Transaction,
    taken: Vec<String>,
) -> Result<Option<OldTable>, AdoptError> {
    let find = "select pg_class.oid from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where nspname = current_schema() and relname = 'users'";
    let Some(oid) = sqlx::query_scalar(find).fetch_optional(&mut *tx).await? else { return Ok(None) };
    let columns = sqlx::query(include_str!("old_columns.sql")).bind(oid).fetch_all(&mut *tx).await?;
    let columns: Vec<(String, String, String)> = columns
        .iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("type")?, row.try_get("shown")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let mut differences = column_differences(&columns);
    let obstacles = sqlx::query_scalar(include_str!("old_obstacles.sql")).bind(oid).bind(KEPT_AS);
    differences.extend(obstacles.fetch_all(&mut *tx).await?);
    differences.extend(taken);
    if !differences.is_empty() {
        return Err(AdoptError::AnotherTable { differences });
    }
    let rows: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&mut *tx).await?;
    let problems = row_problems(tx).await?;
    if !problems.is_empty() {
        return Err(AdoptError::Rows { problems });
    }
    let is_renamed = columns.iter().any(|(name, _, _)| name == "user_metadata");
    let metadata_column = if is_renamed { "user_metadata" } else { "metadata" };
    Ok(Some(OldTable { oid, metadata_column, rows: u64::try_from(rows).unwrap_or(0) }))
}

/// A line for each column (name, type, type as shown) that is missing, of another type, or too much.
fn column_differences(found: &[(String, String, String)]) -> Vec<String> {
    let documented = |name: &str| if name == "user_metadata" { "metadata" } else { name }.to_owned();
    let mut left: BTreeMap<&str, Family> = COLUMNS.into_iter().collect();
    let mut differences = Vec::new();
    for (name, kind, shown) in found {
        match left.remove(documented(name).as_str()) {
            Some(family) if family.types().contains(&kind.as_str()) => {}
            Some(family) => {
                differences.push(format!("column {name}: is {shown}, expected {}", family.expected()));
            }
            None => differences.push(format!("column {name}: is {shown}, expected no such column")),
        }
    }
    let missing = COLUMNS.iter().filter(|(name, _)| left.contains_key(name));
    differences.extend(
        missing.map(|(name, family)| format!("column {name}: is missing, expected {}", family.expected())),
    );
    differences
}

/// A line for each reason that rows cannot be adopted for, with how many and the first ids.
async fn row_problems(tx: &mut Transaction) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(include_str!("old_row_problems.sql")).fetch_all(tx).await?;
    let line = |row: &sqlx::postgres::PgRow| {
        let (problem, count): (String, i64) = (row.try_get("problem")?, row.try_get("rows")?);
        let ids: Vec<String> = row.try_get("ids")?;
        let ids: Vec<String> = ids.iter().map(|id| format!("{id:?}")).collect();
        let more = if usize::try_from(count).is_ok_and(|count| count > ids.len()) { ", …" } else { "" };
        Ok(format!("{problem}: {count} rows, {}{more}", ids.join(", ")))
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documented() -> Vec<(String, String, String)> {
        let own = |text: &str| text.to_owned();
        let column = |(name, family): &(&str, Family)| {
            (own(name), family.types().first().map_or_else(String::new, |kind| own(kind)), own("a type"))
        };
        COLUMNS.iter().map(column).collect()
    }

    #[test]
    fn the_documented_columns_are_no_difference_under_either_name_of_metadata() {
        assert_eq!(column_differences(&documented()), [""; 0]);
        let mut renamed = documented();
        for (name, _, _) in renamed.iter_mut().filter(|(name, _, _)| name == "metadata") {
            *name = "user_metadata".into();
        }
        assert_eq!(column_differences(&renamed), [""; 0]);
    }

    #[test]
    fn every_difference_is_a_line() {
        let mut found = documented();
        found.retain(|(name, _, _)| name != "gender");
        found.push(("user_metadata".into(), "json".into(), "json".into()));
        for (name, kind, shown) in found.iter_mut().filter(|(name, _, _)| name == "login_count") {
            (*name, *kind, *shown) = ("login_count".into(), "varchar".into(), "character varying(5)".into());
        }
        assert_eq!(
            column_differences(&found),
            [
                "column login_count: is character varying(5), expected integer, bigint or smallint",
                "column user_metadata: is json, expected no such column",
                "column gender: is missing, expected varchar, text, char or uuid",
            ]
        );
    }
}
