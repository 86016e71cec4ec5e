//! A Cognito user-pool trigger event, read leniently, as a [`UserEvent`]. Pure: no clock, no network.
//!
//! The shapes are those of "Customizing user pool workflows with Lambda triggers" (Cognito Developer
//! Guide). What is documented as a string is accepted as a boolean or a number too, anything may be null or
//! missing or there twice, and sources that do not concern us, or that do not exist yet, are told apart, never an error.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::client_metadata::ClientMetadataKeys;
use crate::event::{Data, EventId, Kind, UserEvent};
use crate::json::{self, Object};
use crate::text::Text;
use crate::user_pool_id;

/// Why a trigger event is not published. Cognito gets its event back all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The trigger source says nothing that we record, or is one that this build does not know.
    TriggerSource,
    /// There is no `sub`, or it is not a UUID, so there is no row to write.
    NoSub,
    /// There is no user pool id, or none that can be one, so the event has no source.
    NoUserPool,
    /// The payload cannot be read as a JSON object.
    Unreadable,
    /// The function that was the pool's trigger before ours failed it, so it did not happen.
    ChainRefused,
}

impl Ignored {
    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TriggerSource => "trigger_source",
            Self::NoSub => "no_sub",
            Self::NoUserPool => "no_user_pool",
            Self::Unreadable => "unreadable",
            Self::ChainRefused => "chain_refused",
        }
    }
}

/// What a trigger event says, if it says anything that we record.
///
/// # Errors
/// Why it does not; see [`Ignored`].
pub fn user_event(
    payload: &str,
    keys: &ClientMetadataKeys,
    id: EventId,
) -> Result<UserEvent<'static>, Ignored> {
    let event: Object<'_> = serde_json::from_str(payload).map_err(|_| Ignored::Unreadable)?;
    let kind = match json::scalar(&event, "triggerSource").as_deref() {
        Some("PostConfirmation_ConfirmSignUp") => Kind::Confirmed,
        Some("PostConfirmation_ConfirmForgotPassword") => Kind::PasswordReset,
        Some("PostAuthentication_Authentication") => Kind::Authenticated,
        Some(_) | None => return Err(Ignored::TriggerSource),
    };
    let request = json::object(&event, "request");
    let attributes = json::object(&request, "userAttributes");
    let mut attributes: BTreeMap<Text<'static>, Text<'static>> = attributes
        .into_members()
        .filter_map(|(name, value)| Some((name.into_owned().into(), json::scalar_of(value)?.into())))
        .collect();
    let sub = attributes.remove("sub").and_then(|sub| Uuid::try_parse(&sub).ok()).ok_or(Ignored::NoSub)?;
    let user_pool_id = json::scalar(&event, "userPoolId").filter(|id| user_pool_id::is_carried(id));
    let user_pool_id = user_pool_id.ok_or(Ignored::NoUserPool)?;
    let status = attributes.remove("cognito:user_status");
    let metadata = json::object(&request, "clientMetadata");
    let mut client = keys.select(|key| json::scalar(&metadata, key));
    if kind == Kind::Confirmed
        && let Some(code) = keys.referral_code(&client, &attributes)
    {
        client.referral_code = Some(code);
    }
    let mut data = Data {
        user_name: json::scalar(&event, "userName").map(Text::from),
        client_id: json::scalar(&json::object(&event, "callerContext"), "clientId").map(Text::from),
        federated: status.as_deref() == Some("EXTERNAL_PROVIDER"),
        status,
        enabled: None,
        created_at: None,
        partial: false,
        attributes,
        client,
    };
    data.bound();
    Ok(UserEvent { id, user_pool_id: user_pool_id.into(), sub, kind, data })
}

/// What fired, such as `PostConfirmation_ConfirmSignUp`; `None` where the payload does not say.
#[must_use]
pub fn trigger_source(payload: &str) -> Option<String> {
    let event: Object<'_> = serde_json::from_str(payload).ok()?;
    json::scalar(&event, "triggerSource")
}
