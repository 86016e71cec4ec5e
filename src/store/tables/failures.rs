//! The ledger of failed sign-ins, `user_sync_failures`: inserts rows, and says which are new. Knows the SQL; decides nothing.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cognito_user_sync_triggers::event::EventId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::tables::refusal::all_written;

/// A row.
#[derive(Debug, Clone)]
pub(in crate::store) struct Row<'a> {
    pub(in crate::store) id: EventId,
    pub(in crate::store) user: Option<Uuid>,
    pub(in crate::store) user_pool_id: &'a str,
    pub(in crate::store) client_id: Option<&'a str>,
    pub(in crate::store) reason: Option<&'a str>,
    pub(in crate::store) network: Option<Network>,
    pub(in crate::store) reported_by: &'static str,
    /// The details as JSON.
    pub(in crate::store) data: Option<String>,
}

/// A network as `cidr` takes it: no bit is set behind its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The network of an address, of this length.
    pub(in crate::store) fn of(address: IpAddr, length: u8) -> Self {
        // A shift by all bits is none.
        let kept = |bits: u32| bits.saturating_sub(u32::from(length));
        let address = match address {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(kept(32)).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(kept(128)).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        };
        Self { address, length }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Inserts the failures that the ledger does not have, and returns which these are; `None` is all of them.
///
/// Waits for another transaction that is inserting one of them. `rows` holds each id once, in ascending order.
pub(in crate::store) async fn insert(
    tx: &mut Transaction,
    rows: &[Row<'_>],
) -> Result<Option<HashSet<Uuid>>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.uuid()).collect();
    // Only these rows have something to leave out.
    let is_detailed = |row: &&Row<'_>| row.data.is_some() || row.network.is_some();
    let detailed: BTreeSet<Uuid> = rows.iter().filter(is_detailed).filter_map(|row| row.user).collect();
    let fresh: Option<Vec<Uuid>> = sqlx::query_scalar(include_str!("insert_failures.sql"))
        .bind(&ids)
        .bind(rows.iter().map(|row| row.user).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.user_pool_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.client_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.reason).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.network.map(|network| network.to_string())).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.reported_by).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id.time().into()).collect::<Vec<OffsetDateTime>>())
        .bind(rows.iter().map(|row| row.data.as_deref()).collect::<Vec<_>>())
        .bind(detailed.into_iter().collect::<Vec<_>>())
        .fetch_one(&mut *tx)
        .await?;
    let Some(fresh) = fresh else { return Ok(None) };
    let fresh: HashSet<Uuid> = fresh.into_iter().collect();
    let others: Vec<Uuid> = ids.into_iter().filter(|id| !fresh.contains(id)).collect();
    // What is neither new nor there was kept out by something of others', which says nothing.
    let there = "select count(*) from user_sync_failures where id = any ($1)";
    let there: i64 = sqlx::query_scalar(there).bind(&others).fetch_one(tx).await?;
    all_written("user_sync_failures", others.len(), u64::try_from(there).unwrap_or(0))?;
    Ok(Some(fresh))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_network_has_no_bit_behind_its_length() {
        for (address, length, expected) in [
            ("203.0.113.9", 24, "203.0.113.0/24"),
            ("203.0.113.9", 32, "203.0.113.9/32"),
            ("203.0.113.9", 0, "0.0.0.0/0"),
            ("2001:db8:1:2::3", 48, "2001:db8:1::/48"),
            ("2001:db8:1:2::3", 128, "2001:db8:1:2::3/128"),
            ("2001:db8:1:2::3", 0, "::/0"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap(), length).to_string(), expected);
        }
    }
}
