//! What events amount to. Pure: the same events give the same answer, whenever and in whatever order they came.
//!
//! Must not know SQL, a clock or a network.

pub(in crate::store) mod affected;
pub(in crate::store) mod claims;
pub(in crate::store) mod columns;
pub(in crate::store) mod contexts;
pub(in crate::store) mod country;
pub(in crate::store) mod deletions;
pub(in crate::store) mod device;
pub(in crate::store) mod digest;
pub(in crate::store) mod groups;
pub(in crate::store) mod identities;
pub(in crate::store) mod ip;
pub(in crate::store) mod locale;
pub(in crate::store) mod memo;
pub(in crate::store) mod profile;
pub(in crate::store) mod referral;
pub(in crate::store) mod scrub;
pub(in crate::store) mod state;
pub(in crate::store) mod user;

#[cfg(test)]
mod tests;
