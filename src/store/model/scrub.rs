//! What is left of an erased user's event, and of what its events amount to. Pure.
//!
//! That there were so many logins, and when, under the `sub`. Nothing that says who it was.

use cognito_user_sync_triggers::event::{Context, ContextEvent, Data, UserEvent};

use crate::store::model::state::{Delta, Login, STATUS, SignUp, USER_POOL_ID, UserState};

/// Members of [`Data`] that say nothing of the person.
pub(in crate::store) const IMPERSONAL: [&str; 6] =
    ["client_id", "status", "federated", "enabled", "created_at", "partial"];

/// Members of a context's data that say nothing of the person.
pub(in crate::store) const IMPERSONAL_OF_CONTEXTS: [&str; 5] =
    ["reported_by", "occasion", "witness", "client_id", "flow"];

/// What an event of an erased user says: that it was, and when.
pub(in crate::store) fn scrub<'a>(event: &UserEvent<'a>) -> UserEvent<'a> {
    let Data {
        user_name: _,
        client_id,
        status,
        federated,
        enabled,
        created_at,
        partial,
        attributes: _,
        client: _,
    } = event.data.clone();
    let data = Data { client_id, status, federated, enabled, created_at, partial, ..Data::default() };
    UserEvent { data, user_pool_id: event.user_pool_id.clone(), ..*event }
}

/// What a context of an erased user says: that somebody recorded it, and when.
pub(in crate::store) fn scrub_context<'a>(event: &ContextEvent<'a>) -> ContextEvent<'a> {
    let Context { reported_by, occasion, witness, client_id, flow, .. } = event.data.clone();
    let data = Context { occasion, witness, client_id, flow, ..Context::by(reported_by) };
    ContextEvent { data, user_pool_id: event.user_pool_id.clone(), ..*event }
}

/// Leaves of what events amount to what scrubbed events amount to.
pub(in crate::store) fn forget(delta: &mut Delta) {
    forget_state(&mut delta.state);
    delta.claims.clear();
}

pub(in crate::store) fn forget_state(state: &mut UserState) {
    state.registers.retain(|name, _| name == STATUS || name == USER_POOL_ID);
    if let Some(login) = &mut state.last_login {
        let client_id = login.client_id.take();
        *login = Login { id: login.id, client_id, ip: None, device: None, location: None, user_agent: None };
    }
    if let Some(sign_up) = &mut state.sign_up {
        *sign_up = SignUp { id: sign_up.id, ip: None, referral_code: None };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cognito_user_sync_triggers::event::{Client, EventId, Kind, Reporter};
    use cognito_user_sync_triggers::text::Text;
    use cognito_user_sync_triggers::timestamp::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::geoip::GeoIp;
    use crate::store::model::contexts::fold as fold_contexts;
    use crate::store::model::state::fold;

    fn events() -> impl Strategy<Value = Vec<UserEvent<'static>>> {
        let text = || proptest::option::of("[a-z]{1,3}");
        let kind = proptest::sample::select(Kind::ALL.to_vec());
        let event = (kind, 0..50_u64, any::<[u8; 10]>(), text(), text(), any::<(bool, bool, bool)>());
        let event = event.prop_map(|(kind, second, bytes, name, code, (federated, enabled, partial))| {
            let time = Timestamp::from_unix_millis(1_700_000_000_000 + second * 1_000);
            let id = uuid::Builder::from_unix_timestamp_millis(time.unix_millis(), &bytes).into_uuid();
            let code = code.map(Text::from);
            let mut data =
                Data { user_name: name.clone().map(Text::from), federated, partial, ..Data::default() };
            data.status = federated.then(|| "EXTERNAL_PROVIDER".into());
            data.enabled = Some(enabled);
            data.attributes.extend(name.map(|name| ("email".into(), name.into())));
            data.client = Client {
                ip: Some("192.0.2.1".into()),
                user_agent: None,
                device: Some("Mobile".into()),
                location: code.clone(),
                referral_code: code,
            };
            UserEvent {
                id: EventId::from_uuid(id).unwrap(),
                user_pool_id: "eu-west-1_Test00000".into(),
                sub: Uuid::nil(),
                kind,
                data,
            }
        });
        proptest::collection::vec(event, 1..20)
    }

    proptest! {
        /// Erasing what events amount to is what erased events amount to: so it does not matter which of a user's
        /// events came before the erasure.
        #[test]
        fn erasing_goes_through_the_fold(events in events()) {
            let mut whole = fold(&events, &GeoIp::default()).remove(&Uuid::nil()).unwrap();
            forget(&mut whole);
            let scrubbed: Vec<UserEvent<'static>> = events.iter().map(scrub).collect();
            let parts = fold(&scrubbed, &GeoIp::default()).remove(&Uuid::nil()).unwrap();
            prop_assert_eq!(whole, parts);
        }

        /// Nothing of a context that could tell who it was, and what a statement over the ledger leaves.
        #[test]
        fn a_context_keeps_what_is_impersonal(texts in proptest::collection::vec(proptest::option::of("[a-z]{1,3}"), 8), witness: bool) {
            let text = |at: usize| texts.get(at).cloned().flatten().map(Text::from);
            let data = Context {
                witness,
                client_id: text(0),
                ip: text(1),
                user_agent: text(2),
                device: text(3),
                city: text(4),
                country: text(5),
                flow: text(6),
                risk: text(7),
                ..Context::by(Reporter::ThreatProtection)
            };
            let id = EventId::new(Timestamp::from_unix_millis(1_700_000_000_000));
            let event = ContextEvent { id, user_pool_id: "p".into(), sub: Some(Uuid::nil()), data };
            let mut kept = serde_json::to_value(&event.data).unwrap();
            kept.as_object_mut().unwrap().retain(|key, _| IMPERSONAL_OF_CONTEXTS.contains(&key.as_str()));
            prop_assert_eq!(&kept, &serde_json::to_value(&scrub_context(&event).data).unwrap());
            prop_assert!(fold_contexts([&scrub_context(&event)], &GeoIp::default()).is_empty());
        }

        /// The ledger's statement and [`scrub`] leave the same.
        #[test]
        fn the_ledger_keeps_what_a_late_event_would(events in events()) {
            for event in &events {
                let mut kept = serde_json::to_value(&event.data).unwrap();
                kept.as_object_mut().unwrap().retain(|key, _| IMPERSONAL.contains(&key.as_str()));
                prop_assert_eq!(kept, serde_json::to_value(&scrub(event).data).unwrap());
            }
        }
    }
}
