//! A user as the table holds it. Pure.

use uuid::Uuid;

use crate::store::model::columns::{Owned, Since};
use crate::store::model::state::UserState;

/// A row of `users`, as far as events are merged into it.
#[derive(Debug, Clone)]
pub(in crate::store) struct StoredUser {
    pub(in crate::store) id: Uuid,
    /// The row's `xmin`, the transaction that wrote this version of it: to be compared, since it has no order.
    pub(in crate::store) written_by: i64,
    pub(in crate::store) state: UserState,
    pub(in crate::store) owned: Owned,
    pub(in crate::store) since: Since,
    pub(in crate::store) referred_by: Option<Uuid>,
    /// Nothing of the person is stored any more, and nothing may be.
    pub(in crate::store) is_erased: bool,
}
