//! How a backend in Rust tells user-sync where a login came from. With the crates `aws-sdk-sqs`, `serde_json`, `sha2`,
//! `time`, `tokio` and `uuid`.

use std::net::IpAddr;
use std::time::Duration;

use aws_sdk_sqs::Client;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What is sent. `claims` are those of the access token that the login ended in, verified. `None` if that is none.
pub fn login_context(claims: &Value, ip: IpAddr, user_agent: Option<&str>) -> Option<Value> {
    // When the sign-in was complete, in whole seconds.
    let at = claims["auth_time"].as_u64()?;
    // A UUIDv7 of that time, whose other bits follow from the token: sent again, it is the same event.
    let digest = Sha256::digest(format!("application:{}", claims["jti"].as_str()?));
    let bits = digest.get(6..16)?.try_into().ok()?;
    let id = uuid::Builder::from_unix_timestamp_millis(at.checked_mul(1_000)?, bits).into_uuid();
    let time = OffsetDateTime::from_unix_timestamp(at.try_into().ok()?).ok()?;
    let user_agent = user_agent.map(|text| text.chars().take(1_024).collect::<String>());
    let mut data = json!({ "reported_by": "application", "client_id": claims["client_id"], "ip": ip });
    if let Some(user_agent) = user_agent {
        data["user_agent"] = user_agent.into();
    }
    Some(json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("cognito/{}", claims["iss"].as_str()?.rsplit('/').next()?),
        "type": "user.login_context",
        "subject": claims["sub"],
        "time": time.format(&Rfc3339).ok()?,
        "datacontenttype": "application/json",
        "schemaversion": 1,
        "data": data,
    }))
}

/// Sends it beside whatever goes on: `tokio::spawn` it once the answer is on its way. Nothing that goes wrong here is the
/// user's business, and no log has the values.
pub async fn tell(sqs: Client, queue_url: String, message: Value) {
    let sent = sqs.send_message().queue_url(queue_url).message_body(message.to_string()).send();
    // Short: nobody waits for it, and what it may lose is an address.
    if !matches!(tokio::time::timeout(Duration::from_secs(3), sent).await, Ok(Ok(_))) {
        eprintln!("where a login came from is not recorded");
    }
}
