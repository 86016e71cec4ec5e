//! The whole chain on real parts: Runtime API → trigger → SQS → consumer → row.

use std::time::Duration;

use crate::support::binaries;
use crate::support::conformance::Adapter;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::{TestDatabase, deployment};

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_and_three_logins_become_one_row() {
    for adapter in Adapter::ALL {
        let deployment = deployment().await;
        let api = LambdaRuntimeApi::start().await;
        let mut function = Function::spawn(&binaries::trigger(), &api, &deployment.environment());
        api.wait_until_ready(Duration::from_secs(20)).await;
        let sub = uuid::Uuid::from_u128(0xabda62a8_5732_41ef_8c00_31d8dc083c34);
        let event = |source: &str, metadata: serde_json::Value| {
            serde_json::json!({
                "version": "1", "triggerSource": source, "region": "eu-west-1", "userPoolId": "eu-west-1_Abc123Def",
                "userName": sub, "callerContext": { "awsSdkVersion": "x", "clientId": "client" },
                "request": {
                    "userAttributes": {
                        "sub": sub, "cognito:user_status": "CONFIRMED", "email": "Yusra.Kamara@Example.net",
                        "email_verified": "true", "name": "Yusra Kamara", "locale": "fr-CA", "birthdate": "1990-02-28",
                        "custom:plan": "blue"
                    },
                    "clientMetadata": metadata
                },
                "response": {}
            })
            .to_string()
        };
        let confirmation =
            event("PostConfirmation_ConfirmSignUp", serde_json::json!({ "ip": "2001:db8::7" }));
        let plain = event("PostAuthentication_Authentication", serde_json::Value::Null);
        let known = serde_json::json!({ "ip": "203.0.113.9", "device": "tablet", "location": "Lyon, FR", "password": "x" });
        let last = event("PostAuthentication_Authentication", known);
        for payload in [confirmation, plain.clone(), plain, last] {
            let Invocation::Response { .. } = api.invoke(payload, Duration::from_secs(5)).await else {
                panic!("the trigger failed");
            };
            // So that the last login is the last by its time, which has milliseconds.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(function.is_alive());
        let consumer = adapter.start(&deployment, &[]).await;
        consumer.drained(&deployment).await;
        consumer.end().await;

        let database = TestDatabase::of(deployment).await;
        assert_eq!(database.count("users").await, 1);
        for (column, expected) in [
            ("login_count", Some("3")),
            ("email", Some("yusra.kamara@example.net")),
            ("email_verified", Some("true")),
            ("is_verified", Some("true")),
            ("is_active", Some("true")),
            ("phone_number", None),
            ("name", Some("Yusra Kamara")),
            ("language", Some("fr")),
            ("country_code", Some("CA")),
            ("date_of_birth", Some("1990-02-28")),
            ("cognito_status", Some("CONFIRMED")),
            ("cognito_username", Some("abda62a8-5732-41ef-8c00-31d8dc083c34")),
            ("user_pool_id", Some("eu-west-1_Abc123Def")),
            ("created_ip", Some("2001:db8::7")),
            ("last_login_ip", Some("203.0.113.9")),
            ("last_login_device", Some("Tablet")),
            ("last_login_location", Some("Lyon, FR")),
        ] {
            assert_eq!(database.column(sub, column).await.as_deref(), expected, "{adapter:?}: {column}");
        }
        let attributes = database.column(sub, "cognito_attributes").await.unwrap();
        assert!(
            attributes.contains("custom:plan") && attributes.contains("Yusra.Kamara@Example.net"),
            "{attributes}"
        );
        for column in
            ["created_at", "confirmed_at", "last_login_at", "synced_at", "updated_at", "referral_code"]
        {
            assert!(database.column(sub, column).await.is_some(), "{column}");
        }
    }
}
