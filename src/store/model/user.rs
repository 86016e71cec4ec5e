//! A user as the table holds it. Pure.

use uuid::Uuid;

use crate::store::model::columns::{Owned, Since};
use crate::store::model::contexts::Contexts;
use crate::store::model::state::UserState;

/// A row of `users`, as far as events are merged into it.
#[derive(Debug, Clone)]
pub(in crate::store) struct StoredUser {
    pub(in crate::store) id: Uuid,
    /// Raised by whoever changes the row (migrations/0012_sessions.sql).
    pub(in crate::store) row_version: i64,
    pub(in crate::store) state: UserState,
    pub(in crate::store) owned: Owned,
    pub(in crate::store) since: Since,
    pub(in crate::store) referred_by: Option<Uuid>,
    /// Nothing of the person is stored any more, and nothing may be.
    pub(in crate::store) is_erased: bool,
    /// What others recorded of the user's sign-ins.
    pub(in crate::store) contexts: Contexts,
}
