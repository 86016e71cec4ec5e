//! What a heartbeat says beside its time: what its sender last saw of the user pools' triggers. Reading it never fails: a
//! heartbeat says that messages get through, and does so whatever it carries. So what is not as it should be is left out.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Event;
use crate::user_pool_id::UserPoolId;

/// How many pools a heartbeat may tell of.
pub const POOLS_SEEN_MAX: usize = 32;
/// The length of a function's ARN, in bytes.
const ARN_MAX_BYTES: usize = 512;
/// The length of a Region's name, in bytes.
const REGION_MAX_BYTES: usize = 32;

/// The two triggers of a user pool, as the sender of a heartbeat saw them just before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSeen {
    /// The user pool, such as `eu-west-1_Abc123Def`.
    pub user_pool_id: String,
    /// Where it was asked: each Region of a pool has triggers of its own.
    pub region: String,
    /// How many of the two do not call the function that they should.
    pub missing: u8,
    /// PostConfirmation's function, by ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_confirmation: Option<String>,
    /// PostAuthentication's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_authentication: Option<String>,
}

impl PoolSeen {
    /// Whether each text is what it says it is, and bounded.
    fn is_plausible(&self) -> bool {
        let is_arn = |arn: &String| {
            arn.starts_with("arn:") && arn.len() <= ARN_MAX_BYTES && arn.bytes().all(|b| b.is_ascii_graphic())
        };
        let is_region = |region: &str| {
            let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            region.len() <= REGION_MAX_BYTES && region.bytes().all(is_part)
        };
        self.missing <= 2
            && self.user_pool_id.parse::<UserPoolId>().is_ok()
            && is_region(&self.region)
            && [&self.post_confirmation, &self.post_authentication].into_iter().flatten().all(is_arn)
    }
}

/// Each is read by itself, so that one that cannot be read hides no other.
#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow)]
    pools: Vec<&'a RawValue>,
}

/// What the `data` of a heartbeat says that can be read.
pub(super) fn read(data: Option<&RawValue>) -> Vec<PoolSeen> {
    let carried = data.and_then(|data| serde_json::from_str::<Carried<'_>>(data.get()).ok());
    let pools = carried.map(|carried| carried.pools).unwrap_or_default();
    let pools = pools.into_iter().filter_map(|pool| serde_json::from_str::<PoolSeen>(pool.get()).ok());
    pools.filter(PoolSeen::is_plausible).take(POOLS_SEEN_MAX).collect()
}

impl Event<'_> {
    /// A heartbeat whose sender did not look at the pools' triggers.
    #[must_use]
    pub fn heartbeat(id: super::EventId) -> Self {
        Self::Heartbeat { id, pools: Vec::new() }
    }
}
