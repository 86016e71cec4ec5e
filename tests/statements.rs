//! Every SQL statement of the product is prepared on a migrated database: a typo in one that is rarely used fails here.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::support::source::{Source, files, is_punct, sources};
use crate::support::{TestDatabase, old_table};

/// sqlx's functions whose first argument is SQL.
const QUERIES: [&str; 5] = ["query", "query_as", "query_scalar", "raw_sql", "begin_with"];

/// Methods of the product's own that take SQL, and at which place.
const METHODS: [(&str, usize); 3] = [("read", 0), ("is", 0), ("run", 1)];

/// Files that are parts of statements: `store::statements` has them whole.
const PARTS: [&str; 5] = [
    "store/directory/listed.sql",
    "store/tables/compare_users.sql",
    "store/tables/state_of_users.sql",
    "store/tables/touched_users.sql",
    "store/tables/write_users.sql",
];

/// Files that read the table of an application, before its adoption.
const OLD_TABLE: [&str; 2] =
    ["store/maintenance/adopt/declare_old_rows.sql", "store/maintenance/adopt/old_row_problems.sql"];

/// Arguments that are no text in their file, each with an example of what it is. None where it is a parameter, or
/// where the text is found by itself.
const BUILT: &[(&str, &str, &[&str])] = &[
    (
        "ops/deployment/logins.rs",
        "AssertSqlSafe(question.to_owned())",
        &["select exists (
                select from pg_auth_members
                join pg_roles as groups on groups.oid = roleid
                join pg_roles as members on members.oid = member
                where groups.rolname = 'rds_iam' and members.rolname = $1)"],
    ),
    (
        "ops/deployment/logins.rs",
        "AssertSqlSafe(text.to_owned())",
        &[
            "select format('create role %I login in role user_sync_consumer', $1)",
            "select format('alter role %I password %L', $1, 'SCRAM-SHA-256$4096:')",
            "select format('grant rds_iam to %I', $1)",
            "select format('revoke rds_iam from %I', $1)",
        ],
    ),
    (
        "ops/deployment/logins.rs",
        "AssertSqlSafe(statement)",
        &["create role \"a login\" login in role user_sync_consumer"],
    ),
    (
        "postgres/transaction.rs",
        "AssertSqlSafe(purpose.begin(&self.schema))",
        &["begin isolation level read committed; call \"public\".user_sync_begin('logins')"],
    ),
    // What cannot be in a transaction.
    ("postgres/transaction.rs", "AssertSqlSafe(statement)", &[]),
    // tests/console/acts.rs runs each of them.
    ("store/console/mod.rs", "statement", &[]),
    ("store/console/trail.rs", "AssertSqlSafe(query)", &[]),
    // These are files.
    ("store/daily/mod.rs", "counted.count", &[]),
    (
        "store/daily/mod.rs",
        "counted.stale",
        &[
            "select day from user_sync_daily where day >= $1 and logins_stale order by day desc limit $2",
            "select day from user_sync_daily where day >= $1 and active_stale order by day desc limit $2",
            "select day from user_sync_daily where day >= $1 and first_stale order by day desc limit $2",
        ],
    ),
    // One of two files.
    ("store/directory/count.rs", "statement", &[]),
    // tests/console/users_at_scale.rs runs each of them.
    (
        "store/directory/find.rs",
        "AssertSqlSafe(statement)",
        &["select found.* from (select id from users where id = $1::uuid) as found limit 26"],
    ),
    ("store/directory/listed.rs", "AssertSqlSafe(statement)", &[]),
    ("store/directory/listed.rs", "AssertSqlSafe(statement.to_owned())", &[]),
    (
        "store/directory/mod.rs",
        "sqlx::AssertSqlSafe(count)",
        &["select count(*) from (select from users order by id limit 10001) as users"],
    ),
    ("store/maintenance/adopt/mod.rs", "AssertSqlSafe(declare)", &[]),
    (
        "store/maintenance/adopt/mod.rs",
        "AssertSqlSafe(format!(\"fetch {CHUNK_ROWS} from old_rows\"))",
        &["fetch 1000 from old_rows"],
    ),
    (
        "store/maintenance/audit/mod.rs",
        "sqlx::AssertSqlSafe(format!(\"fetch {FETCH_ROWS} from audited\"))",
        &["fetch 1000 from audited"],
    ),
    ("store/maintenance/indexes.rs", "AssertSqlSafe(attach.clone())", &[]),
    ("store/maintenance/partitions.rs", "AssertSqlSafe(attempts.limit())", &["set local lock_timeout = 100"]),
    (
        "store/maintenance/partitions.rs",
        "AssertSqlSafe(drop)",
        &["drop table if exists \"user_events_2026_01\""],
    ),
    (
        "store/maintenance/partitions.rs",
        "AssertSqlSafe(lock)",
        &["lock table \"user_events\" in exclusive mode"],
    ),
    (
        "store/maintenance/record_months.rs",
        "AssertSqlSafe(lock)",
        &["lock table \"user_sync_contexts\", \"user_sync_failures\" in exclusive mode"],
    ),
    ("store/maintenance/repair.rs", "sqlx::AssertSqlSafe(fetch)", &["fetch 1000 from rederived"]),
    (
        "store/maintenance/repair.rs",
        "sqlx::AssertSqlSafe(setting)",
        &["set local statement_timeout = 0", "set local idle_in_transaction_session_timeout = 0"],
    ),
    ("store/migrate/deployment.rs", "AssertSqlSafe(create)", &["create schema \"a schema\""]),
    (
        "store/migrate/deployment.rs",
        "AssertSqlSafe(grants)",
        &["alter table user_sync_deployment owner to postgres"],
    ),
    ("store/migrate/deployment.rs", "AssertSqlSafe(prefix.rename(include_str!(\"create_roles.sql\")))", &[]),
    ("store/migrate/deployment.rs", "AssertSqlSafe(set_owner)", &[]),
    // What change_roles.sql and mark_role.sql make.
    ("store/migrate/deployment.rs", "AssertSqlSafe(statement)", &["alter table users owner to postgres"]),
    // The migrations, which every test runs.
    ("store/migrate/files.rs", "AssertSqlSafe(grant)", &[]),
    ("store/migrate/files.rs", "AssertSqlSafe(offer)", &[]),
    ("store/migrate/files.rs", "AssertSqlSafe(roles)", &[]),
    ("store/migrate/files.rs", "AssertSqlSafe(sql)", &[]),
    ("store/migrate/mod.rs", "AssertSqlSafe(rename)", &["alter table \"users\" rename to \"users_before\""]),
    ("store/tables/columns.rs", "statement", &[]),
    (
        "store/tables/history.rs",
        "declare",
        &["declare history no scroll cursor for
            select user_id, id, type, user_pool_id, data, null::jsonb as state, null::jsonb as claims
            from \"user_events\" order by user_id",
            "declare history no scroll cursor for
            select user_id, id, 'user.login_context' as type, user_pool_id,
                data || jsonb_build_object(
                    'reported_by', reported_by, 'occasion', occasion, 'witness', is_witness, 'client_id', client_id) as data,
                null::jsonb as state, null::jsonb as claims
            from \"user_sync_contexts\" where user_id is not null order by user_id"],
    ),
    (
        "store/tables/history.rs",
        "sqlx::AssertSqlSafe(format!(\"fetch {FETCH_ROWS} from history\"))",
        &["fetch 1000 from history"],
    ),
    ("store/tables/users.rs", "statements().lock.as_str()", &[]),
    ("store/tables/users.rs", "statements().lock_affected.as_str()", &[]),
    ("store/tables/users.rs", "statements().read.as_str()", &[]),
];

/// What the sources say of SQL.
#[derive(Default)]
struct Found {
    /// Each text, by the file that it is from.
    statements: BTreeMap<String, BTreeSet<String>>,
    /// Files and arguments that are no text there.
    unresolved: BTreeSet<(String, String)>,
}

impl Found {
    fn add(&mut self, path: &str, text: String) {
        self.statements.entry(path.to_owned()).or_default().insert(text);
    }
}

struct Reader<'a> {
    source: &'a Source,
    /// The text of each macro that stands for one.
    macros: &'a BTreeMap<String, String>,
    sql: &'a BTreeMap<String, String>,
}

fn tokens(token: &TokenTree) -> Vec<TokenTree> {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The value of a literal string.
fn literal(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    if let Some(raw) = text.strip_prefix('r') {
        return Some(raw.trim_matches('#').strip_prefix('"')?.strip_suffix('"')?.to_owned());
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    // A backslash at a line's end takes the next one's indentation away.
    let mut value = String::new();
    let mut rest = inner.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('\\', Some('\n')) => while rest.next_if(|next| next.is_whitespace()).is_some() {},
            ('\\', Some('n')) => {
                rest.next();
                value.push('\n');
            }
            ('\\', Some(_)) => value.extend(rest.next()),
            _ => value.push(next),
        }
    }
    Some(value)
}

impl Reader<'_> {
    fn read(&self, within: &[TokenTree], found: &mut Found) {
        for (at, token) in within.iter().enumerate() {
            let (before, after) = (&within[..at], &within[at + 1..]);
            if let TokenTree::Ident(name) = token
                && let Some((argument, is_query)) = sql_argument(&name.to_string(), before)
                && let Some(arguments) = arguments(after)
            {
                let argument =
                    arguments.split(|token| is_punct(token, ',')).nth(argument).unwrap_or_default();
                self.read_argument(argument, is_query, found);
            }
            // A text that is passed by its name, here or from another file.
            if let Some(text) = self.named_value(&within[at..]).filter(|text| is_sql(text)) {
                found.add(&self.source.path, text);
            }
            self.read(&tokens(token), found);
        }
    }

    fn read_argument(&self, argument: &[TokenTree], is_query: bool, found: &mut Found) {
        let (texts, from_file) = match argument {
            [TokenTree::Ident(name)] => (self.values(&self.source.tokens, &name.to_string()), false),
            [_, _, TokenTree::Group(_)] => (self.value(argument).into_iter().collect(), true),
            expression => (self.value(expression).into_iter().collect::<Vec<_>>(), false),
        };
        if texts.is_empty() && is_query {
            let argument = argument.iter().map(compact).collect();
            found.unresolved.insert((self.source.path.clone(), argument));
        }
        let is_file = |text: &String| from_file && self.sql.values().any(|file| file == text);
        for text in texts.into_iter().filter(|text| !is_file(text) && (is_query || is_sql(text))) {
            found.add(&self.source.path, text);
        }
    }

    /// The text that an expression is.
    fn value(&self, expression: &[TokenTree]) -> Option<String> {
        match expression {
            [one] => literal(one),
            [sign, rest @ ..] if is_punct(sign, '&') => self.value(rest),
            [TokenTree::Ident(name), bang, arguments, ..] if is_punct(bang, '!') => {
                let arguments = tokens(arguments);
                match name.to_string().as_str() {
                    "include_str" if expression.len() == 3 => {
                        let folder = self.source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                        self.sql.get(&format!("{folder}/{}", literal(arguments.first()?)?)).cloned()
                    }
                    "concat" => {
                        let parts =
                            arguments.split(|token| is_punct(token, ',')).filter(|part| !part.is_empty());
                        parts.map(|part| self.value(part)).collect()
                    }
                    name => self.macros.get(name).cloned(),
                }
            }
            _ => None,
        }
    }

    /// The texts that `name` stands for in this file.
    fn values(&self, within: &[TokenTree], name: &str) -> Vec<String> {
        let mut values = Vec::new();
        for (at, token) in within.iter().enumerate() {
            if within.get(at + 1).is_some_and(|named| named.to_string() == name) {
                values.extend(self.named_value(&within[at..]));
            }
            values.extend(self.values(&tokens(token), name));
        }
        values
    }

    /// The text of `let name = …;` and of `const NAME: … = …;` at the start of `tokens`.
    fn named_value(&self, tokens: &[TokenTree]) -> Option<String> {
        let [TokenTree::Ident(word), TokenTree::Ident(_), rest @ ..] = tokens else { return None };
        if word != "let" && word != "const" {
            return None;
        }
        let end = rest.iter().position(|token| is_punct(token, ';'))?;
        let start = rest[..end].iter().position(|token| is_punct(token, '='))? + 1;
        self.value(&rest[start..end])
    }
}

/// Which argument of a call is SQL, and whether it is a query's, of which nothing may be overlooked.
fn sql_argument(name: &str, before: &[TokenTree]) -> Option<(usize, bool)> {
    let is_method = before.last().is_some_and(|token| is_punct(token, '.'));
    let is_of_sqlx = matches!(before, [.., TokenTree::Ident(of), _, _] if of == "sqlx");
    if QUERIES.contains(&name) {
        return (is_of_sqlx || is_method && name == "begin_with").then_some((0, true));
    }
    let (_, argument) = METHODS.iter().find(|(method, _)| *method == name)?;
    is_method.then_some((*argument, false))
}

/// Whether a text is a statement.
fn is_sql(text: &str) -> bool {
    let verbs =
        ["select ", "insert ", "update ", "delete ", "with ", "declare ", "lock ", "set local ", "begin "];
    verbs.iter().any(|verb| text.trim_start().starts_with(verb))
}

fn compact(token: &TokenTree) -> String {
    match token {
        TokenTree::Group(group) => {
            let inner: String = group.stream().into_iter().map(|token| compact(&token)).collect();
            format!("({inner})")
        }
        other => other.to_string(),
    }
}

/// The arguments of a call, after its name: `::<…>(…)` or `(…)`.
fn arguments(after: &[TokenTree]) -> Option<Vec<TokenTree>> {
    let is_start = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
    let at = match after {
        [first, ..] if is_start(first) => 0,
        [a, b, c, ..] if is_punct(a, ':') && is_punct(b, ':') && is_punct(c, '<') => {
            let mut open = 0_i32;
            let end = after.iter().position(|token| {
                open += i32::from(is_punct(token, '<')) - i32::from(is_punct(token, '>'));
                is_punct(token, '>') && open == 0
            })?;
            end + 1
        }
        _ => return None,
    };
    after.get(at).filter(|token| is_start(token)).map(tokens)
}

/// `macro_rules! name { () => { "text" } }`, of all files.
fn macros(within: &[TokenTree], found: &mut BTreeMap<String, String>) {
    for (at, token) in within.iter().enumerate() {
        if let [TokenTree::Ident(word), _, TokenTree::Ident(name), body, ..] = &within[at..]
            && word == "macro_rules"
            && let Some(text) = tokens(body).iter().find_map(|arm| literal(tokens(arm).first()?))
        {
            found.insert(name.to_string(), text);
        }
        macros(&tokens(token), found);
    }
}

fn found() -> Found {
    let (sources, sql) = (sources(), files("sql"));
    let mut texts = BTreeMap::new();
    sources.iter().for_each(|source| macros(&source.tokens, &mut texts));
    let mut found = Found::default();
    for source in &sources {
        Reader { source, macros: &texts, sql: &sql }.read(&source.tokens, &mut found);
    }
    for (path, text) in sql.into_iter().filter(|(path, _)| !PARTS.contains(&path.as_str())) {
        found.statements.entry(path).or_default().insert(text);
    }
    for (path, _, examples) in BUILT {
        examples.iter().for_each(|text| found.add(path, (*text).to_owned()));
    }
    found
}

/// Prepares a statement, or runs it where that says nothing; undoes it.
async fn check(connection: &mut PgConnection, text: &str, before: &str) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(before.to_owned())).execute(&mut *tx).await?;
    // Nothing of these is looked at before they run.
    let is_run = ["lock ", "set ", "analyze ", "begin"].iter().any(|verb| text.starts_with(verb));
    let is_run = is_run || text.contains("begin;") || text.contains("do $$");
    let checked = if is_run {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut *tx).await.map(drop)
    } else {
        (&mut *tx).prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await.map(drop)
    };
    tx.rollback().await?;
    match checked {
        // A parameter of any type, which the product's own values give: PostgreSQL has looked at all the rest by then.
        Err(error) if code(&error).as_deref() == Some("42P18") => Ok(()),
        checked => checked,
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}

/// What is wrong with statements, each after its file.
async fn faults(database: &TestDatabase, statements: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut connection = database.owner.acquire().await.unwrap();
    let old_table =
        format!("create schema application; set local search_path = application; {}", old_table::CREATE);
    let mut faults = Vec::new();
    for (path, texts) in statements {
        for text in texts {
            let checked = if OLD_TABLE.contains(&path.as_str()) {
                let text =
                    text.replace("old_users as", "users as").replace("old.old_metadata", "old.metadata");
                check(&mut connection, &text, &old_table).await
            } else {
                check(&mut connection, text, "").await
            };
            if let Err(error) = checked {
                faults.push(format!("{path}: {error}: {text}"));
            }
        }
    }
    faults
}

#[test]
fn no_statement_is_overlooked() {
    let built: BTreeSet<(String, String)> =
        BUILT.iter().map(|(path, argument, _)| ((*path).to_owned(), (*argument).to_owned())).collect();
    let product = found().unresolved.into_iter().filter(|(path, _)| !path.starts_with("dev/"));
    assert_eq!(product.collect::<BTreeSet<_>>(), built, "each argument that is no text has an example");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
    let mut statements = found().statements;
    statements
        .entry("store::statements".to_owned())
        .or_default()
        .extend(cognito_user_sync::store::statements());
    let count: usize = statements.values().map(BTreeSet::len).sum();
    assert!(count > 100, "only {count} statements are found");
    let database = TestDatabase::create().await;
    let faults = faults(&database, &statements).await;
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_is_found() {
    let database = TestDatabase::create().await;
    for text in
        ["select login_cuont from users", "lock table user_event in share mode", "update users set nmae = $1"]
    {
        let source =
            Source::parse("a.rs", format!("fn f() {{ let q = {text:?}; sqlx::query_as::<_, (i64,)>(q) }}"));
        let mut found = Found::default();
        Reader { source: &source, macros: &BTreeMap::new(), sql: &BTreeMap::new() }
            .read(&source.tokens, &mut found);
        assert!(found.unresolved.is_empty());
        assert_eq!(faults(&database, &found.statements).await.len(), 1, "{text}");
    }
}

/// Whoever reads a row and writes it later depends on it (`users::lock_read`).
#[test]
fn every_change_of_a_user_raises_the_rows_version() {
    let statements = found().statements.into_values().flatten().chain(cognito_user_sync::store::statements());
    let is_change =
        |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ").contains("update users set");
    let changes: Vec<String> = statements.filter(is_change).collect();
    assert!(changes.len() > 6, "only {} are found", changes.len());
    for change in changes {
        assert!(change.contains("row_version"), "{change}");
    }
}
