//! The walls between the wings of `src/`: what each part must not name. ARCHITECTURE.md says why.

use std::collections::BTreeSet;

use crate::support::source::{Source, root, sources};

/// What some files may name, of a part of all names.
struct Wall {
    /// The places of the files, with all below them; none is all of `src/`.
    who: &'static [&'static str],
    except: &'static [&'static str],
    /// The names in question, with all below them; a star at the end stands for any rest of a name.
    of: &'static [&'static str],
    /// What is allowed of them.
    only: &'static [&'static str],
    /// The rule holds for files that name this, too; none is every file.
    beside: &'static [&'static str],
    /// A file and a text that break the rule.
    broken: (&'static str, &'static str),
}

const INFRASTRUCTURE: [&str; 4] = ["sqlx", "tokio", "aws_*", "lambda_runtime"];
const WINGS: [&str; 9] = [
    "crate::store",
    "crate::postgres",
    "crate::sqs",
    "crate::cognito",
    "crate::consumer",
    "crate::console",
    "crate::ops",
    "crate::dev",
    "crate::commands",
];

const ANY: Wall = Wall { who: &[], except: &[], of: &[], only: &[], beside: &[], broken: ("", "") };

const WALLS: &[Wall] = &[
    Wall {
        who: &["sqs"],
        of: &["crate::store"],
        only: &["crate::store::outcome"],
        broken: ("sqs/queue.rs", "use crate::store::{outcome, Applier};"),
        ..ANY
    },
    Wall {
        who: &["store::model"],
        of: &INFRASTRUCTURE,
        broken: ("store/model/state.rs", "fn f(pool: &sqlx::PgPool) {}"),
        ..ANY
    },
    Wall {
        who: &["store::model"],
        of: &["crate"],
        only: &["crate::store::model", "crate::geoip"],
        broken: ("store/model/state.rs", "use super::super::tables::users;"),
        ..ANY
    },
    // The console reads; what it writes is its own, and what it starts is a command's.
    Wall {
        who: &["console"],
        of: &["crate::store"],
        only: &[
            "crate::store::StoreError",
            "crate::store::report",
            "crate::store::directory",
            "crate::store::timeline",
            "crate::store::daily",
            "crate::store::runs",
            "crate::store::console",
            "crate::store::maintenance::explain",
            "crate::store::maintenance::heartbeat",
            "crate::store::maintenance::drift",
        ],
        broken: ("console/users/mod.rs", "use crate::store::{report, Applier};"),
        ..ANY
    },
    Wall {
        who: &["console"],
        of: &[
            "crate::cognito",
            "crate::consumer",
            "crate::dev",
            "crate::commands",
            "aws_sdk_cognitoidentityprovider",
        ],
        broken: ("console/now/mod.rs", "use crate::cognito::user_pool;"),
        ..ANY
    },
    Wall {
        who: &["console::charts", "console::words", "console::status"],
        of: &INFRASTRUCTURE,
        broken: ("console/charts/bars.rs", "use sqlx::PgPool;"),
        ..ANY
    },
    Wall {
        except: &["console", "commands"],
        of: &["crate::console"],
        broken: ("ops/doctor.rs", "use crate::console::Options;"),
        ..ANY
    },
    Wall {
        except: &["ops", "commands", "bin", "main", "console"],
        of: &["crate::ops"],
        broken: ("consumer/worker.rs", "use crate::ops::doctor;"),
        ..ANY
    },
    Wall {
        who: &["store::tables"],
        of: &[
            "crate::store::apply",
            "crate::store::Applier",
            "crate::store::merge",
            "crate::store::maintenance",
            "crate::store::migrate",
            "crate::store::report",
        ],
        broken: ("store/tables/users.rs", "use crate::store::merge::write;"),
        ..ANY
    },
    Wall {
        who: &["store::merge", "store::apply"],
        of: &["crate::store::maintenance"],
        broken: ("store/apply/batch.rs", "fn f() { crate::store::maintenance::verify::verify() }"),
        ..ANY
    },
    Wall {
        who: &["store::merge"],
        of: &["crate::store::apply", "crate::store::Applier"],
        broken: ("store/merge.rs", "use super::apply::batch::Batch;"),
        ..ANY
    },
    Wall {
        who: &["store"],
        of: &["crate"],
        only: &[
            "crate::store",
            "crate::postgres",
            "crate::geoip",
            "crate::metrics",
            "crate::logging",
            "crate::text",
        ],
        broken: ("store/report.rs", "use crate::{geoip, config::Config};"),
        ..ANY
    },
    Wall {
        who: &["store"],
        of: &["aws_*", "lambda_runtime"],
        broken: ("store/report.rs", "use aws_sdk_sqs::Client;"),
        ..ANY
    },
    Wall {
        who: &["postgres"],
        of: &["crate"],
        only: &["crate::postgres", "crate::config", "crate::aws"],
        broken: ("postgres/session.rs", "fn f() { debug!(\"{}\", crate::metrics::name()); }"),
        ..ANY
    },
    Wall {
        who: &["cognito"],
        of: &["crate::store"],
        only: &["crate::store::maintenance::drift"],
        broken: ("cognito/lifecycle.rs", "use crate::store::maintenance::{drift::Kind, verify};"),
        ..ANY
    },
    Wall {
        except: &["store", "consumer", "commands", "main", "bin", "dev", "ops"],
        of: &["crate::store::apply", "crate::store::Applier"],
        beside: &["crate::sqs"],
        broken: ("cognito/user_pool.rs", "use crate::{sqs::queue, store}; fn f(applier: &store::Applier) {}"),
        ..ANY
    },
    Wall {
        who: &["commands", "main"],
        except: &["commands::output"],
        of: &["std::io::stdout", "std::io::stderr", "std::io::Stdout", "std::io::Stderr"],
        broken: ("commands/report.rs", "use std::io::{Write, stdout};"),
        ..ANY
    },
    // A client of SQS is made for its queue's Region, by `aws::sqs`.
    Wall {
        except: &["aws", "dev"],
        of: &["aws_sdk_sqs::Client::new", "aws_sdk_sqs::Client::from_conf", "aws_sdk_sqs::Config"],
        broken: ("sqs/queue.rs", "use aws_sdk_sqs::Client; fn f(config: &C) { Client::new(config); }"),
        ..ANY
    },
    Wall {
        except: &["dev", "commands"],
        of: &["crate::dev"],
        broken: ("main.rs", "fn f() { cognito_user_sync::dev::local::connect() }"),
        ..ANY
    },
    Wall {
        who: &["config", "aws", "geoip", "metrics", "logging", "text"],
        of: &WINGS,
        broken: ("config.rs", "mod inner { use super::super::sqs::queue; }"),
        ..ANY
    },
];

fn is_within(name: &str, of: &str) -> bool {
    match of.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")),
    }
}

impl Wall {
    /// The names that break the rule, each after its file.
    fn breaches(&self, source: &Source, names: &BTreeSet<String>) -> Vec<String> {
        let any = |name: &str, of: &[&str]| of.iter().any(|of| is_within(name, of));
        let place = source.place();
        let is_beside = self.beside.is_empty() || names.iter().any(|name| any(name, self.beside));
        if any(&place, self.except) || !(self.who.is_empty() || any(&place, self.who)) || !is_beside {
            return Vec::new();
        }
        let breaks = |name: &&String| any(name, self.of) && !any(name, self.only);
        names.iter().filter(breaks).map(|name| format!("{} names {name}", source.path)).collect()
    }
}

#[test]
fn every_wall_stands() {
    let sources = sources();
    assert!(sources.len() > 50, "the sources are read");
    let of_source = |source: &Source| {
        let names = source.names();
        WALLS.iter().flat_map(|wall| wall.breaches(source, &names)).collect::<Vec<_>>()
    };
    let breaches: Vec<String> = sources.iter().flat_map(of_source).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_wall_is_seen_to_break() {
    for wall in WALLS {
        let (path, text) = wall.broken;
        let source = Source::parse(path, text.to_owned());
        let breaches = wall.breaches(&source, &source.names());
        assert_eq!(breaches.len(), 1, "{path}: {text}: {breaches:?}");
    }
}

#[test]
fn every_kind_of_name_is_read() {
    let text = r#"
        //! Not [`crate::one`], and
        /// not [`crate::two`].
        use crate::{a, b::{self, c as d}, e::*};
        pub(in crate::three) use super::sibling::Thing;
        mod child;
        fn f() -> sqlx::Result<()> { a::inner(); child::g(); d::h(); vec![crate::i::j, self::k::l::<crate::m::N>()] }
        mod nested { use super::child; fn n() { super::super::up::o(); child::p(); } }
        #[cfg(test)] mod tests { use crate::four; }
        #[cfg(test)] use crate::five::{self};
        /* crate::six */ const S: &str = "crate::seven";
    "#;
    let names = Source::parse("x/y.rs", text.to_owned()).names();
    let expected = [
        "crate::a",
        "crate::a::inner",
        "crate::b",
        "crate::b::c",
        "crate::b::c::h",
        "crate::e::*",
        "crate::i::j",
        "crate::m::N",
        "crate::x::sibling::Thing",
        "crate::x::up::o",
        "crate::x::y::child",
        "crate::x::y::child::g",
        "crate::x::y::child::p",
        "crate::x::y::k::l",
        "sqlx::Result",
    ];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// A replica of a user pool has the same id in another Region, so the id's first part says nothing of a Region.
#[test]
fn nobody_divides_an_id_at_its_underscore() {
    const DIVIDES: [&str; 4] = ["split('_')", "split_once('_')", "rsplit_once('_')", "split_terminator('_')"];
    // What an id may look like, and the name of a trigger source.
    const ALLOWED: [&str; 2] = ["user_pool_id.rs", "chain.rs"];
    let triggers = root().join("../triggers/src");
    let triggers = std::fs::read_dir(triggers).unwrap().map(|entry| entry.unwrap().path());
    let triggers =
        triggers.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
        });
    let ours = sources().into_iter().map(|source| (source.path, source.text));
    let divide = |text: &str| DIVIDES.iter().any(|divides| text.contains(divides));
    let found: Vec<String> =
        triggers.chain(ours).filter(|(_, text)| divide(text)).map(|(path, _)| path).collect();
    assert!(found.iter().any(|path| path == "chain.rs"), "the sources are read: {found:?}");
    let others: Vec<_> = found.iter().filter(|path| !ALLOWED.contains(&path.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
}
