//! The console: pages that show whether every sign-in is in the database, explain a user, and start what repairs it.
//! Reads by a role of its own, and acts by the queue, SQS and processes beside it. Must not name the `Applier`, nor
//! change a row of `users`, nor ask Cognito.
//!
//! | part | what it is for |
//! |---|---|
//! | `server`, `listen` | all routes, and the layers around them; connections |
//! | `page`, `trouble`, `status`, `words`, `assets` | a page's frame, its failures, its marks, its words, its files |
//! | `access` | who may what |
//! | `now`, `users`, `analytics`, `dead_letters`, `plans`, `drift`, `trail` | the pages |
//! | `help`, `manual` | help; the runbook, there when the database is not |
//! | `charts` | figures as SVG; pure |

mod access;
mod analytics;
mod assets;
mod charts;
mod dead_letters;
mod drift;
mod help;
mod listen;
mod manual;
mod now;
mod page;
mod plans;
mod server;
mod status;
mod trail;
mod trouble;
mod users;
mod words;

use std::sync::Arc;

use tokio::net::TcpListener;

pub use self::access::{Access, Asked, AskedOidc, NoRandomness, Refused, Right, Rights, SetupError};
pub use self::dead_letters::QueueUrls;
pub use self::now::{Options as NowOptions, Services, WORKERS_MAX, metrics_url};
pub use self::plans::{
    COMMANDS_DATABASE_URL_VARIABLE, RUN_ID_VARIABLE, STARTED_BY_VARIABLE, TaskPlace, Tasks,
};
use crate::postgres::Database;

/// How many connections the pages read by.
pub const READING_CONNECTIONS: usize = 4;

/// How many connections what the console writes has, on the primary.
pub const WRITING_CONNECTIONS: usize = 2;

/// What the console is told when it starts.
#[derive(Debug)]
pub struct Options {
    /// What the deployment is called, as people say it: `production · eu-west-1`.
    pub environment: String,
    /// Who may enter, and what they may.
    pub access: Arc<Access>,
    /// The database that takes writes.
    pub primary: Database,
    /// What the pages read: a replica if there is one, else the primary by connections of their own.
    pub reads: Database,
    /// Where the figures of the Now page come from.
    pub now: NowOptions,
    /// The queue of events, and its dead letters.
    pub events: QueueUrls,
    /// The queue of records of sign-ins, and its dead letters.
    pub records: QueueUrls,
    /// Where commands run.
    pub tasks: Tasks,
}

/// What all requests share.
#[derive(Debug)]
pub(in crate::console) struct Console {
    pub(in crate::console) environment: String,
    pub(in crate::console) access: Arc<Access>,
    /// The replica, if one is given; else the primary by connections of their own.
    pub(in crate::console) reads: Database,
    /// What is written goes there.
    pub(in crate::console) primary: Database,
    pub(in crate::console) now: Arc<now::Watch>,
    pub(in crate::console) letters: Arc<dead_letters::Reader>,
    pub(in crate::console) acts: plans::Acts,
}

pub(in crate::console) type Shared = Arc<Console>;

impl Console {
    async fn of(options: Options) -> Self {
        let Options { environment, access, primary, reads, now, events, records, tasks } = options;
        let now = Arc::new(now::Watch::new(now, reads.clone(), primary.clone()));
        let letters = dead_letters::Reader::new(events, records).await;
        let dealer = dead_letters::Dealer::new(Arc::clone(&letters), primary.clone(), reads.clone());
        let acts = plans::Acts::new(primary.clone(), tasks.runner())
            .with(plans::Kind::RedriveLetters, dealer.clone())
            .with(plans::Kind::DropLetters, dealer)
            .with(plans::Kind::CountUsers, users::Counter::new(reads.clone()));
        Self { environment, access, reads, primary, now, letters, acts }
    }
}

/// Serves the pages until `stop` completes, and then what is under way.
pub async fn serve(listener: TcpListener, options: Options, stop: impl Future<Output = ()> + Send) {
    let shared = Arc::new(Box::pin(Console::of(options)).await);
    let head_within = listen::head_within(shared.access.is_behind_tls());
    let router = server::router(shared.clone());
    listen::serve(listener, router, listen::CONNECTIONS_MAX, head_within, stop).await;
    tokio::join!(shared.acts.end(), shared.letters.end());
}
