//! Secrets of the emulated Secrets Manager, in the form that RDS writes.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use cognito_user_sync::aws;
use serde_json::json;
use uuid::Uuid;

/// A client of the emulator at `endpoint`.
pub fn client(endpoint: &str) -> Client {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws::http_client())
        .build();
    Client::from_conf(config)
}

/// Makes a secret of a new name, and returns its ARN.
pub async fn create(client: &Client, username: &str, password: &str) -> String {
    let value = value(username, password);
    let name = format!("user-sync/{}", Uuid::now_v7().simple());
    client.create_secret().name(name).secret_string(value).send().await.unwrap().arn.unwrap()
}

/// Gives a secret another password.
pub async fn put(client: &Client, arn: &str, username: &str, password: &str) {
    let value = value(username, password);
    client.put_secret_value().secret_id(arn).secret_string(value).send().await.unwrap();
}

/// Where the database is, too: nobody must look for it there.
fn value(username: &str, password: &str) -> String {
    let (engine, host) = ("postgres", "elsewhere.example.com");
    json!({
        "engine": engine, "host": host, "port": 1, "dbname": "another", "username": username, "password": password,
    })
    .to_string()
}
