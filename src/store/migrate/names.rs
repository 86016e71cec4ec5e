//! The names that migrations make, as their own texts have them, and what of somebody else's has one of these already. Must
//! not name one itself: a list by hand would forget the next migration.

use std::collections::{BTreeMap, BTreeSet};

use crate::postgres::Transaction;
use crate::store::migrate::files::{self, MIGRATIONS};
use crate::store::migrate::{Error, deployment};

const MIGRATIONS_TABLE: &str = include_str!("migrations_table.sql");
const DEPLOYMENT_TABLE: &str = include_str!("deployment.sql");

/// What shares a name with nothing else in a schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Tables, views, indexes and sequences.
    relations: BTreeSet<String>,
    /// Types: a table's and a view's rows have one of its name.
    types: BTreeSet<String>,
    /// Functions and procedures, whatever they take.
    routines: BTreeSet<String>,
    /// What precedes `YYYY_MM` in the name of a month's table.
    months: BTreeSet<String>,
}

/// A part of a statement, without white space and comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Mark(char),
}

/// As far as our own migrations need it: in lower case, and no name is quoted.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_of_word = |character: char| character.is_alphanumeric() || character == '_';
        let (token, length) = if rest.starts_with("--") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if first == '\'' {
            let text = rest.get(1..).and_then(|after| after.split('\'').next()).unwrap_or_default();
            (Some(Token::Text(text)), text.len() + 2)
        } else if is_of_word(first) {
            let word = rest.split(|character| !is_of_word(character)).next().unwrap_or_default();
            (Some(Token::Word(word)), word.len())
        } else {
            (Some(Token::Mark(first)), first.len_utf8())
        };
        tokens.extend(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    tokens
}

impl Names {
    /// The names that a migration makes. One that it asks for itself (`to_regclass('…')`) is made only where it is free.
    fn of(sql: &str) -> Self {
        use Token::{Mark, Text, Word};

        let (mut names, mut asked, mut table) = (Self::default(), BTreeSet::new(), "");
        let tokens = tokens(sql);
        for at in 0..tokens.len() {
            let own = |name: &str| name.to_owned();
            match tokens.get(at..).unwrap_or_default() {
                [Word("create"), of @ ..] => table = names.created(of).unwrap_or(table),
                [Word("alter"), Word("table"), Word(name), ..] => table = name,
                [Word("rename"), Word("to"), Word(name), ..]
                | [Word("constraint"), Word(name), Word("primary" | "unique" | "exclude"), ..] => {
                    names.relations.insert(own(name));
                }
                [Word("to_regclass"), Mark('('), Text(name), ..] => {
                    asked.insert(own(name));
                }
                [Text(start), Mark('|'), Mark('|'), Word("to_char"), ..] => {
                    names.months.insert(own(start));
                }
                // PostgreSQL names it.
                [before, _, Word("primary"), Word("key"), ..] if *before != Word("constraint") => {
                    names.relations.insert(format!("{table}_pkey"));
                }
                _ => {}
            }
        }
        names.without(&Self { relations: asked.clone(), types: asked, ..Self::default() })
    }

    /// Adds what a `create` makes; returns a table's name.
    fn created<'a>(&mut self, tokens: &[Token<'a>]) -> Option<&'a str> {
        const AROUND: [&str; 11] = [
            "or",
            "replace",
            "unique",
            "materialized",
            "temporary",
            "temp",
            "unlogged",
            "concurrently",
            "if",
            "not",
            "exists",
        ];
        let of_words = |token: &Token<'a>| match token {
            Token::Word(word) => Some(*word),
            Token::Text(_) | Token::Mark(_) => None,
        };
        let mut words = tokens.iter().map_while(of_words).filter(|word| !AROUND.contains(word));
        let (kind, name) = (words.next()?, words.next()?);
        match kind {
            "table" | "view" | "type" | "domain" => {
                self.relations.insert(name.to_owned());
                self.types.insert(name.to_owned());
            }
            "index" | "sequence" => {
                self.relations.insert(name.to_owned());
            }
            "function" | "procedure" | "aggregate" => {
                self.routines.insert(name.to_owned());
            }
            _ => {}
        }
        (kind == "table").then_some(name)
    }

    fn all_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for Self { relations, types, routines, months } in texts.into_iter().map(Self::of) {
            all.relations.extend(relations);
            all.types.extend(types);
            all.routines.extend(routines);
            all.months.extend(months);
        }
        all
    }

    fn without(self, others: &Self) -> Self {
        Self {
            relations: &self.relations - &others.relations,
            types: &self.types - &others.types,
            routines: &self.routines - &others.routines,
            months: &self.months - &others.months,
        }
    }

    /// What is there under these names: what it is, and its name. A line each.
    async fn taken(&self, tx: &mut Transaction, sets_users_aside: bool) -> Result<Vec<String>, sqlx::Error> {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
        let query = sqlx::query_scalar(include_str!("taken_names.sql"));
        let query = query.bind(list(&self.relations)).bind(list(&self.types)).bind(list(&self.routines));
        query.bind(list(&self.months)).bind(sets_users_aside).fetch_all(tx).await
    }
}

/// The names that are still to be made: those of pending migrations that no other one has made.
///
/// `beside` are the texts of the two tables that are made beside the migrations, if they are not there.
fn to_be_made(pending: &BTreeMap<i64, &'static str>, beside: &[&'static str]) -> Names {
    let (waiting, ran): (Vec<_>, Vec<_>) =
        MIGRATIONS.into_iter().partition(|(version, _, _)| pending.contains_key(version));
    let text = |(_, _, text): (i64, &'static str, &'static str)| text;
    let waiting = Names::all_of(waiting.into_iter().map(text).chain(beside.iter().copied()));
    waiting.without(&Names::all_of(ran.into_iter().map(text)))
}

/// What of somebody else's has a name that a pending migration makes. Where the table `users` is set aside, it and what is
/// its own make room.
pub(super) async fn taken(
    tx: &mut Transaction,
    pending: &BTreeMap<i64, &'static str>,
    sets_users_aside: bool,
) -> Result<Vec<String>, sqlx::Error> {
    if pending.is_empty() {
        return Ok(Vec::new());
    }
    let mut beside = Vec::new();
    if !files::has_table(&mut *tx).await? {
        beside.push(MIGRATIONS_TABLE);
    }
    if !deployment::is_there(&mut *tx).await? {
        beside.push(DEPLOYMENT_TABLE);
    }
    to_be_made(pending, &beside).taken(tx, sets_users_aside).await
}

/// Fails where a name is taken.
pub(super) async fn refuse_taken(
    tx: &mut Transaction,
    pending: &BTreeMap<i64, &'static str>,
    sets_users_aside: bool,
) -> Result<(), Error> {
    match taken(tx, pending, sets_users_aside).await? {
        taken if taken.is_empty() => Ok(()),
        taken => Err(Error::NamesTaken { taken }),
    }
}

/// The error where `_sqlx_migrations` is another program's: sharing it would stop that one's next migration.
pub(super) async fn another_programs_migrations(tx: &mut Transaction) -> Result<Error, sqlx::Error> {
    let mut taken = Names::of(MIGRATIONS_TABLE);
    taken.relations.retain(|name| taken.types.contains(name));
    let taken = taken.taken(tx, false).await?;
    let taken = taken.into_iter().map(|line| format!("{line}, and is another program's")).collect();
    Ok(Error::NamesTaken { taken })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_text_says_what_it_makes() {
        let sql = "-- create table comment (x integer);
            create table a (x integer primary key, y text constraint a_y_key unique, constraint a_check check (x > 0));
            create unique index concurrently if not exists a_idx on a (y);
            comment on table a is 'create table b (it''s none)';
            alter table c add primary key (x); alter index a_idx rename to b_idx;
            create or replace view v as select 1; create materialized view m as select 1; create sequence s;
            create function f() returns text language sql as $$ create procedure inner_one() $$;
            do $$ begin
                if to_regclass('free') is null then create view free as select 1; end if;
                execute format('create table %I ()', 'month_' || to_char(now(), 'YYYY_MM'));
            end $$;
            create type t as enum ('one'); create trigger tr before update on a execute function f();
            alter table a add constraint a_x_check check (x > 1)";
        let names = Names::of(sql);
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(
            names.relations,
            set(&["a", "a_pkey", "a_y_key", "a_idx", "b_idx", "c_pkey", "v", "m", "s", "t"])
        );
        assert_eq!(names.types, set(&["a", "v", "m", "t"]));
        assert_eq!(names.routines, set(&["f", "inner_one"]));
        assert_eq!(names.months, set(&["month_"]));
    }

    #[test]
    fn what_has_been_made_is_not_asked_for() {
        let pending = |first| MIGRATIONS.into_iter().filter(|m| m.0 >= first).map(|m| (m.0, m.1)).collect();
        let all = to_be_made(&pending(1), &[MIGRATIONS_TABLE, DEPLOYMENT_TABLE]);
        for name in ["users", "sync_status_pkey", "user_sync_deployment", "_sqlx_migrations"] {
            assert!(all.relations.contains(name), "{name}");
        }
        let rest = to_be_made(&pending(12), &[]);
        assert!(
            rest.routines.contains("user_sync_begin")
                && !rest.routines.contains("user_event_create_partitions")
        );
        for name in [
            "users",
            "users_email_key",
            "user_contested_identifiers",
            "user_sync_deployment",
            "_sqlx_migrations",
        ] {
            assert!(!rest.relations.contains(name), "{name}");
        }
        let of_records = ["user_sync_contexts_", "user_sync_failures_"].map(str::to_owned);
        assert_eq!(rest.months, BTreeSet::from(of_records), "those of events are there");
    }
}

#[cfg(all(test, feature = "dev"))]
mod against_the_catalogs {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::postgres::Purpose;
    use crate::store::tests::{database, server};

    /// Whoever adds a migration need not think of its names: they are read from its text, or this fails.
    #[tokio::test]
    async fn every_name_that_a_migration_makes_is_known() {
        let server = server().await;
        let database = database(&server).await;
        let mut tx = database.begin(Purpose::Inspection).await.unwrap();
        let known = to_be_made(
            &MIGRATIONS.into_iter().map(|m| (m.0, m.1)).collect(),
            &[MIGRATIONS_TABLE, DEPLOYMENT_TABLE],
        );
        let query = "select 'relation', relname::text from pg_class
            where relnamespace = (select oid from pg_namespace where nspname = current_schema())
            union all
            select 'type', typname::text from pg_type
            where typnamespace = (select oid from pg_namespace where nspname = current_schema())
                and typelem = 0
            union all
            select 'routine', proname::text from pg_proc
            where pronamespace = (select oid from pg_namespace where nspname = current_schema())";
        let mut found: BTreeSet<(String, String)> =
            sqlx::query_as(query).fetch_all(&mut tx).await.unwrap().into_iter().collect();
        // Made only where the name is free.
        found.retain(|(_, name)| name != "user_groups");
        let is_a_months = |name: &str| {
            let after = known.months.iter().find_map(|start| name.strip_prefix(start.as_str()));
            after.is_some_and(|after| {
                let month = after.trim_end_matches("_pkey").trim_end_matches("_user_id_idx");
                let month = month.trim_end_matches("_by_user");
                month.chars().all(|c| c.is_ascii_digit() || c == '_')
            })
        };
        let unknown: Vec<_> = found
            .iter()
            .filter(|(kind, name)| {
                let names = match kind.as_str() {
                    "relation" => &known.relations,
                    "type" => &known.types,
                    _ => &known.routines,
                };
                !names.contains(name) && !is_a_months(name)
            })
            .collect();
        assert!(unknown.is_empty(), "made by a migration, and nobody is refused for it: {unknown:?}");
        assert!(found.iter().any(|(_, name)| is_a_months(name)));
        // And no other name is asked for, but those for a moment.
        let all = known.relations.iter().chain(&known.routines).chain(&known.types);
        let never: BTreeSet<_> = all.filter(|name| !found.iter().any(|(_, made)| made == *name)).collect();
        let text = MIGRATIONS.map(|(_, _, text)| text).concat();
        for name in never {
            assert!(text.contains(&format!("alter index {name} rename to")), "no migration leaves {name}");
        }
        // All of it is found, where nothing is ours.
        let taken = known.taken(&mut tx, false).await.unwrap();
        let relations = found.iter().filter(|(kind, _)| kind != "type").count();
        assert_eq!(taken.len(), relations, "{taken:#?}");
        drop(tx);
        database.close().await;
        server.stop().await.unwrap();
    }
}
