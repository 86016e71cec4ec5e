//! Names a custom resource by what it was made with, so that CloudFormation's rollback of an update is known. Must not know
//! what a resource does.
//!
//! A rollback asks again for the former properties. If the update had failed, the resource still has the former name; if it had
//! succeeded, it has the next one, which names the former properties too. No other update asks for properties that its
//! resource has, since CloudFormation asks only when one has changed; but who goes back by hand to the deployment just before,
//! with the same `userSyncDeployment`, looks like a rollback.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ops::deployment::{Request, RequestType};

/// The name of a resource that is as the request wants it: `<prefix>/<these properties>/<those before>`.
pub(super) fn after(prefix: &str, request: &Request<Value>) -> String {
    let now = digest(&request.resource_properties);
    // A rollback names nothing before it: the next update may well ask for that again, and is none.
    match request.old_resource_properties.as_ref().filter(|_| !is_rollback(prefix, request)) {
        Some(old) => format!("{prefix}/{now}/{}", digest(old)),
        None => format!("{prefix}/{now}"),
    }
}

/// Whether the request is a rollback's, to properties with which all was well.
pub(super) fn is_rollback(prefix: &str, request: &Request<Value>) -> bool {
    let name = request.physical_resource_id.as_deref();
    let known = name.and_then(|name| name.strip_prefix(prefix)?.strip_prefix('/'));
    let now = digest(&request.resource_properties);
    request.request_type == RequestType::Update
        && known.is_some_and(|known| known.split('/').any(|known| known == now))
}

/// The same for the same properties, whatever their order. 16 bytes: CloudFormation takes 1,024 characters for the name.
fn digest(properties: &Value) -> String {
    let bytes = Sha256::digest(properties.to_string());
    let number = bytes.iter().take(16).fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(
        request_type: RequestType,
        name: Option<&str>,
        now: &str,
        old: Option<&str>,
    ) -> Request<Value> {
        let properties = |code: &str| json!({ "Code": code, "ServiceToken": "arn" });
        Request {
            request_type,
            physical_resource_id: name.map(str::to_owned),
            resource_properties: properties(now),
            old_resource_properties: old.map(properties),
        }
    }

    #[test]
    fn a_rollback_is_known_by_the_name_whichever_the_resource_has_then() {
        let update = |name: &str, now, old| request(RequestType::Update, Some(name), now, Some(old));
        let first = after("prefix", &request(RequestType::Create, None, "1", None));
        let next = update(&first, "2", "1");
        assert!(!is_rollback("prefix", &next));
        let second = after("prefix", &next);
        assert_ne!(first, second);
        assert!(second.len() < 128, "{second}");

        // The update failed, or another resource's did.
        for name in [&first, &second] {
            let back = update(name, "1", "2");
            assert!(is_rollback("prefix", &back), "{name}");
            assert_eq!(after("prefix", &back), first);
        }
        // What was rolled back is tried again.
        assert!(!is_rollback("prefix", &update(&first, "2", "1")));
        // Another property, a name of before, of another resource, and what is no update.
        assert!(!is_rollback("prefix", &update(&second, "3", "2")));
        assert!(!is_rollback("prefix", &update("prefix", "1", "2")));
        assert!(!is_rollback("pre", &update(&first, "1", "2")));
        assert!(!is_rollback("prefix", &request(RequestType::Update, None, "1", None)));
        assert!(!is_rollback("prefix", &request(RequestType::Delete, Some(&first), "1", None)));
    }

    #[test]
    fn the_order_of_properties_says_nothing() {
        let read = |text: &str| serde_json::from_str::<Value>(text).map(|value| digest(&value)).ok();
        assert_eq!(read(r#"{"A":"1","B":"2"}"#), read(r#"{"B":"2","A":"1"}"#));
        assert_ne!(read(r#"{"A":"1","B":"2"}"#), read(r#"{"A":"2","B":"1"}"#));
    }
}
