//! The lists of columns in the statements on `users`, made of [`COLUMNS`], and the values that they are given.

use std::borrow::Cow;
use std::sync::LazyLock;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::store::model::columns::{COLUMNS, Column, Compared, TextOf, UserRow, Values};

/// The statements that name every column of `users`.
pub(in crate::store) struct Statements {
    columns: Vec<Column>,
    /// Writes rows: as [`Statements::bind`] binds them.
    pub(in crate::store) write: String,
    /// Compares rows, as [`Statements::bind`] binds them, with those stored.
    pub(in crate::store) compare: String,
    /// Reads the users `$1`.
    pub(in crate::store) read: String,
    /// The same, locked; an error where somebody holds one.
    pub(in crate::store) lock: String,
    /// Reads and locks every row that some keys affect, but for those that somebody holds.
    pub(in crate::store) lock_affected: String,
}

/// The statements of this build.
pub(in crate::store) fn statements() -> &'static Statements {
    static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| Statements::of(COLUMNS));
    #[cfg(test)]
    if let Some(statements) = OVERRIDE.get() {
        return statements;
    }
    &STATEMENTS
}

#[cfg(test)]
std::thread_local! {
    /// What a test has instead, with columns of its own.
    pub(in crate::store) static OVERRIDE: std::cell::Cell<Option<&'static Statements>> = const { std::cell::Cell::new(None) };
}

impl Statements {
    pub(in crate::store) fn of(columns: &[Column]) -> Self {
        let rows = rows(columns);
        let list = |line: fn(&Column) -> Option<String>| {
            columns.iter().filter_map(line).collect::<Vec<_>>().join(",\n    ")
        };
        let state = include_str!("state_of_users.sql");
        let read = state.replace("{state_columns}", &list(read_column));
        Self {
            columns: columns.to_vec(),
            write: include_str!("write_users.sql")
                .replace("{assignments}", &list(assignment))
                .replace("{rows}", &rows),
            compare: include_str!("compare_users.sql")
                .replace("{comparisons}", &list(comparison))
                .replace("{rows}", &rows),
            // `no key`, since no key changes: whoever refers to a row holds that against it. No row is waited for.
            lock: format!("{read}where id = any ($1) order by id for no key update nowait"),
            lock_affected: format!(
                "{}, locked as materialized ({}where id in (select id from touched) order by id for no key update skip locked
                ) select touched.id as touched_id, locked.* from touched left join locked on locked.id = touched.id",
                include_str!("touched_users.sql"),
                state.replace("{state_columns}", &list(read_column_of_touched))
            ),
            read: format!("{read}where id = any ($1)"),
        }
    }

    /// Binds rows as arrays, the ids and then a column each.
    pub(in crate::store) fn bind<'q>(
        &self,
        statement: &'static str,
        rows: &[UserRow<'_>],
    ) -> Query<'q, Postgres, PgArguments> {
        let mut arrays: Vec<Array<'_>> =
            self.columns.iter().map(|column| Array::new(column.values, rows.len())).collect();
        // Row by row: what a row's columns are derived from is in the processor's cache then.
        for row in rows {
            arrays.iter_mut().for_each(|array| array.push(row));
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        arrays.into_iter().fold(sqlx::query(statement).bind(ids), |query, array| match array {
            Array::Text(_, values) => query.bind(values),
            Array::Bool(_, values) => query.bind(values),
            Array::BigInt(_, values) => query.bind(values),
            Array::Date(_, values) => query.bind(values),
            Array::Time(_, values) => query.bind(values),
            Array::Uuid(_, values) => query.bind(values),
        })
    }
}

/// A column of many rows: how a value is derived, and the values.
enum Array<'a> {
    Text(TextOf, Vec<Option<Cow<'a, str>>>),
    Bool(fn(&UserRow<'_>) -> bool, Vec<bool>),
    BigInt(fn(&UserRow<'_>) -> i64, Vec<i64>),
    Date(fn(&UserRow<'_>) -> Option<Date>, Vec<Option<Date>>),
    Time(fn(&UserRow<'_>) -> Option<OffsetDateTime>, Vec<Option<OffsetDateTime>>),
    Uuid(fn(&UserRow<'_>) -> Option<Uuid>, Vec<Option<Uuid>>),
}

impl<'a> Array<'a> {
    fn new(values: Values, rows: usize) -> Self {
        match values {
            Values::Text(value) => Self::Text(value, Vec::with_capacity(rows)),
            Values::Bool(value) => Self::Bool(value, Vec::with_capacity(rows)),
            Values::BigInt(value) => Self::BigInt(value, Vec::with_capacity(rows)),
            Values::Date(value) => Self::Date(value, Vec::with_capacity(rows)),
            Values::Time(value) => Self::Time(value, Vec::with_capacity(rows)),
            Values::Uuid(value) => Self::Uuid(value, Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, row: &UserRow<'a>) {
        match self {
            Self::Text(value, values) => values.push(value(row)),
            Self::Bool(value, values) => values.push(value(row)),
            Self::BigInt(value, values) => values.push(value(row)),
            Self::Date(value, values) => values.push(value(row)),
            Self::Time(value, values) => values.push(value(row)),
            Self::Uuid(value, values) => values.push(value(row)),
        }
    }
}

/// The rows of [`Statements::bind`] as a table named `new`.
fn rows(columns: &[Column]) -> String {
    let key = ("id", "uuid");
    let columns =
        || std::iter::once(key).chain(columns.iter().map(|column| (column.name, column.values.sql_type())));
    let arrays: Vec<String> =
        columns().zip(1..).map(|((_, sql_type), at)| format!("${at}::{sql_type}[]")).collect();
    let names: Vec<&str> = columns().map(|(name, _)| name).collect();
    format!("unnest({}) as new ({})", arrays.join(", "), names.join(", "))
}

/// A column as it is written.
fn assignment(column: &Column) -> Option<String> {
    Some(format!(
        "{} = {}",
        column.name,
        unless_owned(column, new_value(column), |name| format!("users.{name}"))
    ))
}

/// A column as it is compared: its name, the stored value and the expected one, both as text.
fn comparison(column: &Column) -> Option<String> {
    let name = column.name;
    let stored = |name: &str| format!("users.{name}::text");
    let new = format!("{}::text", new_value(column));
    let expected = match column.compared {
        Compared::Always => unless_owned(column, new, stored),
        Compared::Where(condition) => format!("case when {condition} then {new} else {} end", stored(name)),
        Compared::Never => return None,
    };
    Some(format!("('{name}', {}, {expected})", stored(name)))
}

/// A column as its state is read.
fn read_column(column: &Column) -> Option<String> {
    let name = column.name;
    // As `inet` is written, a network's length would follow an address.
    column.is_state.then(|| {
        if column.cast == Some("inet") { format!("host({name}) as {name}") } else { name.to_owned() }
    })
}

/// As [`read_column`], but of users outside the batch `$1` only what decides who owns an address: a batch touches as many
/// of them as it shows addresses.
fn read_column_of_touched(column: &Column) -> Option<String> {
    let of_others = match column.name {
        "cognito_attributes" => {
            "coalesce((select jsonb_object_agg(key, value) from jsonb_each(cognito_attributes)
                where key in ('email', 'email_verified', 'phone_number', 'phone_number_verified')), '{}')"
        }
        "attribute_versions" => "'{}'",
        _ => return read_column(column),
    };
    let name = column.name;
    Some(format!("case when id = any ($1) then {name} else {of_others} end as {name}"))
}

fn new_value(column: &Column) -> String {
    match column.cast {
        Some(sql_type) => format!("new.{}::{sql_type}", column.name),
        None => format!("new.{}", column.name),
    }
}

/// What the application made its own stays as it is stored.
fn unless_owned(column: &Column, new: String, stored: impl Fn(&str) -> String) -> String {
    let name = column.name;
    if !column.is_ownable {
        return new;
    }
    format!("case when '{name}' = any (users.app_owned) then {} else {new} end", stored(name))
}

impl Values {
    fn sql_type(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Bool(_) => "bool",
            Self::BigInt(_) => "bigint",
            Self::Date(_) => "date",
            Self::Time(_) => "timestamptz",
            Self::Uuid(_) => "uuid",
        }
    }
}
