//! Who owns an e-mail address or a phone number. Pure: the rule, and the locks that make it safe to apply.
//!
//! Cognito lets several users hold one address ("Signing in with a verified alias", Cognito Developer
//! Guide); the table has `UNIQUE(email)`. The column goes to one claimant, chosen by [`Claimant`]'s order,
//! and reads null on the others. The choice depends on nothing but the claimants, so it does not matter who
//! arrived first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::store::model::state::least;

/// Longest address that can be claimed, in bytes: over the 320 that RFC 5321 section 4.5.3.1 allows an
/// address, and within what an index entry can hold. A longer one stays in `cognito_attributes` alone.
const IDENTIFIER_MAX_BYTES: usize = 512;

/// Shards of the value locks. Locks are taken for the whole server, so their number is bounded.
pub(in crate::store) const SHARDS: i32 = 1_024;

/// The two kinds of unique address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::store) enum IdentifierKind {
    Email,
    Phone,
}

impl IdentifierKind {
    pub(in crate::store) const ALL: [Self; 2] = [Self::Email, Self::Phone];

    /// The `kind` of `user_claims`.
    pub(in crate::store) fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }

    pub(in crate::store) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The Cognito attribute that holds it.
    pub(in crate::store) fn attribute(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone_number",
        }
    }
}

/// An address as it is compared: ASCII-lowercased.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(in crate::store) struct Identifier {
    pub(in crate::store) kind: IdentifierKind,
    pub(in crate::store) value: String,
}

impl Identifier {
    /// `None` for what cannot be claimed: nothing at all, or more than an address can be.
    pub(in crate::store) fn new(kind: IdentifierKind, value: &str) -> Option<Self> {
        is_claimable(value).then(|| Self { kind, value: value.to_ascii_lowercase() })
    }
}

/// Whether a value can be claimed.
pub(in crate::store) fn is_claimable(value: &str) -> bool {
    !value.is_empty() && value.len() <= IDENTIFIER_MAX_BYTES
}

/// When a user showed an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Claim {
    /// The earliest time that it was shown verified.
    pub(in crate::store) since: Option<Timestamp>,
    /// The earliest time that it was shown at all. `None` is not known, in rows that an older release wrote, and counts
    /// as earlier than any time: whoever comes now was not first.
    pub(in crate::store) shown: Option<Timestamp>,
}

impl Claim {
    pub(in crate::store) fn merge(&mut self, other: Self) {
        self.since = least(self.since, other.since);
        self.shown = self.shown.min(other.shown);
    }

    /// Whether it says nothing that `known` does not say.
    pub(in crate::store) fn is_within(self, known: Self) -> bool {
        let mut both = known;
        both.merge(self);
        both == known
    }
}

/// Addresses shown, each with its times.
pub(in crate::store) type Claims = BTreeMap<Identifier, Claim>;

/// A user who holds an address now and is not deleted. The greatest one owns it, by these in turn. The SQL that chooses
/// an owner has the same order: `touched_users.sql` and `verify_owners.sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Claimant {
    /// Verified comes before unverified.
    verified: bool,
    /// Then the one verified last, by the earliest time of each.
    since: Option<Timestamp>,
    /// Then who did not show another address after it had shown this one.
    never_left: bool,
    /// Then who showed it first: who comes later takes nothing, whatever its `sub`.
    shown: Reverse<Option<Timestamp>>,
    /// Then the smallest `sub`.
    sub: Reverse<Uuid>,
}

impl Claimant {
    /// `left` is when the user last showed another address, or none.
    pub(in crate::store) fn new(sub: Uuid, verified: bool, claim: Claim, left: Option<Timestamp>) -> Self {
        let Claim { since, shown } = claim;
        Self { verified, since, never_left: left <= shown, shown: Reverse(shown), sub: Reverse(sub) }
    }

    pub(in crate::store) fn sub(&self) -> Uuid {
        self.sub.0
    }
}

/// The value locks of a transaction: whoever changes who may hold an address, or resolves a referral code,
/// holds its shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Shards(BTreeSet<i32>);

impl Shards {
    pub(in crate::store) fn add_identifier(&mut self, identifier: &Identifier) {
        self.add(identifier.kind.as_str(), &identifier.value);
    }

    pub(in crate::store) fn add_referral_code(&mut self, code: &str) {
        self.add("referral", code);
    }

    pub(in crate::store) fn add_group(&mut self, user_pool_id: &str, name: &str) {
        self.add("group", &format!("{user_pool_id} {name}"));
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, kind: &str, value: &str) {
        let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(value).finalize();
        let hash = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        self.0.insert(i32::try_from(hash % u64::from(SHARDS.unsigned_abs())).unwrap_or(0));
    }

    /// In ascending order: every transaction takes them so, and none waits in a circle.
    pub(in crate::store) fn sorted(&self) -> Vec<i32> {
        self.0.iter().copied().collect()
    }
}
