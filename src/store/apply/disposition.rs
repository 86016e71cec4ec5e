//! What becomes of an event that fails alone: whose fault it is, and what to do.

use crate::logging::causes;
use crate::store::apply::batch::Batch;
use crate::store::apply::{Applier, cause};
use crate::store::outcome::{Outcome, Rejection};
use crate::store::tables::failure::Failure;
use crate::store::tables::refusal::{Refusal, obstacles, silencers};
use crate::store::tables::users;

impl Applier {
    /// What becomes of the single event that a failure is about.
    pub(super) async fn disposition_of(&self, failure: &Failure, single: &Batch<'_>) -> Outcome {
        let id = single.ids().next().map(tracing::field::display);
        tracing::warn!(event.id = id, error = causes(failure), "an event failed alone");
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Conflict { .. } if self.is_hidden(single).await => &Refusal::hidden(),
            Failure::Conflict { .. }
            | Failure::Blocked { .. }
            | Failure::Held(_)
            | Failure::TooLarge(_)
            | Failure::AlreadyRecorded(_)
            | Failure::HorizonMoved
            | Failure::Unavailable(_) => return Outcome::Retry(cause(failure)),
            Failure::Misconfigured(error) => &Refusal::suspected(error),
        };
        let rejection = |detail| Rejection { reason: "refused_by_database", field: "$".to_owned(), detail };
        let obstacles = match refusal.may_be_foreign && !refusal.is_foreign {
            true => obstacles(self.database.questions()).await.unwrap_or_default(),
            false => Vec::new(),
        };
        if matches!(failure, Failure::Misconfigured(_)) && obstacles.is_empty() {
            return Outcome::Retry(cause(failure));
        }
        if !refusal.is_foreign && obstacles.is_empty() {
            return Outcome::Rejected(rejection(format!(
                "PostgreSQL refuses the row ({refusal}); please report this with the event's shape"
            )));
        }
        let trigger = match &refusal.function {
            Some(function) => users::trigger_of(&self.database, function).await.ok().flatten(),
            None => None,
        };
        let trigger = trigger.map(|trigger| format!(", trigger {trigger}")).unwrap_or_default();
        let silencers = match refusal.unwritten {
            Some(table) => silencers(self.database.questions(), table).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let one_of = obstacles.into_iter().map(|(obstacle, _)| obstacle).chain(silencers);
        let one_of: Vec<String> = one_of.map(|obstacle| format!(", maybe {obstacle}")).collect();
        Outcome::Obstructed(rejection(format!(
            "the database refuses the row ({refusal}{trigger}{}), by something that is not this service's: mend it, then \
             redrive",
            one_of.concat()
        )))
    }

    /// Whether row security hides the user of a single event from being changed.
    async fn is_hidden(&self, single: &Batch<'_>) -> bool {
        users::are_hidden(&self.database, &single.subs()).await.unwrap_or_default()
    }

    /// Whether what passes for the set-up may be something of others' on `users`: an expression of theirs may raise any class.
    pub(super) async fn is_suspected(&self, failure: &Failure) -> bool {
        matches!(failure, Failure::Misconfigured(_))
            && obstacles(self.database.questions()).await.is_ok_and(|obstacles| !obstacles.is_empty())
    }
}
