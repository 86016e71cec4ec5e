//! Fetches passwords that change: a token of RDS, which is signed here, or a secret of Secrets Manager. Must not know
//! connections.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::retry::Schedule;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::aws::{self, Timeouts};

/// A request takes milliseconds; a batch that waits for it must not wait long.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(3) };

/// How long the first request is retried, at start.
const START_BUDGET: Duration = Duration::from_secs(5);
const START_SCHEDULE: Schedule = Schedule { first: Duration::from_millis(200), cap: Duration::from_secs(1) };

/// A token opens connections for 15 minutes ("Connecting to your DB instance using IAM authentication", Amazon
/// RDS User Guide).
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How old a token may get: the rest of its life is left for fetching another one when AWS is slow.
const TOKEN_MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// How old a secret's value may get. A connection that is refused fetches it at once.
const SECRET_MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// What SigV4 leaves as it is ("Create a signed AWS API request", IAM User Guide: `UriEncode`).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// There are no credentials. Never quotes a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The SDK knows no region.
    #[error(
        "no AWS region is known to sign the database's token for: set AWS_REGION to the database's region"
    )]
    NoRegion,
    /// The SDK has no credentials.
    #[error(
        "no AWS credentials to sign the database's token with ({reason}): give this process a role that may \
         rds-db:connect as {user}"
    )]
    NoCredentials {
        /// The database's user.
        user: String,
        /// The SDK's error, without its causes: they may quote what a credential process printed.
        reason: String,
    },
    /// The token could not be signed.
    #[error("the database's token for {user} cannot be signed ({reason})")]
    NotSigned {
        /// The database's user.
        user: String,
        /// The signer's error, without its causes.
        reason: String,
    },
    /// Secrets Manager did not give the secret.
    #[error(
        "the secret {arn} cannot be read ({}): allow secretsmanager:GetSecretValue on it (and kms:Decrypt \
         on its key), and see that Secrets Manager can be reached from here",
        .error.describe("Secrets Manager")
    )]
    SecretNotRead {
        /// `USER_SYNC_DATABASE_SECRET_ARN`.
        arn: String,
        /// What became of the request.
        error: RequestError,
    },
    /// The secret is not RDS's JSON.
    #[error("the secret {arn} does not hold what RDS writes: JSON with the texts username and password")]
    SecretNotRds {
        /// `USER_SYNC_DATABASE_SECRET_ARN`.
        arn: String,
    },
}

/// Who a new connection logs in as.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: SecretString,
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// Where logins come from.
#[derive(Debug)]
pub enum Source {
    /// Tokens signed for one user of one server.
    Iam(TokenSigner),
    /// A secret in RDS's form.
    Secret {
        /// Its ARN.
        arn: String,
        /// The client of Secrets Manager.
        client: aws_sdk_secretsmanager::Client,
    },
}

impl Source {
    /// Tokens for `user` on the server at `host`, signed with the SDK's credentials for the SDK's region.
    pub(crate) async fn iam(host: &str, port: u16, user: &str) -> Result<Self, CredentialsError> {
        let config = aws::sdk_config(TIMEOUTS).await;
        let region = config.region().ok_or(CredentialsError::NoRegion)?.to_string();
        let provider = config.credentials_provider().ok_or_else(|| CredentialsError::NoCredentials {
            user: user.to_owned(),
            reason: "none are configured".to_owned(),
        })?;
        let endpoint = format!("{host}:{port}");
        Ok(Self::Iam(TokenSigner { endpoint, user: user.to_owned(), region, provider }))
    }

    /// The secret of this ARN, read by a client that the SDK's own variables configure.
    pub(crate) async fn secret(arn: &str) -> Self {
        let client = aws_sdk_secretsmanager::Client::new(&aws::sdk_config(TIMEOUTS).await);
        Self::Secret { arn: arn.to_owned(), client }
    }

    /// How old a login may get before it is fetched again.
    pub(crate) fn max_age(&self) -> Duration {
        match self {
            Self::Iam(_) => TOKEN_MAX_AGE,
            Self::Secret { .. } => SECRET_MAX_AGE,
        }
    }

    /// Fetches a login, once.
    pub(crate) async fn fetch(&self) -> Result<Login, CredentialsError> {
        match self {
            // Boxed: the SDK's futures are deep, and whoever connects holds them in its own.
            Self::Iam(signer) => Box::pin(signer.token(SystemTime::now())).await,
            Self::Secret { arn, client } => Box::pin(read_secret(arn, client)).await,
        }
    }

    /// Fetches the first login; retries a transient failure for some seconds.
    pub(crate) async fn fetch_first(&self) -> Result<Login, CredentialsError> {
        let is_transient = |error: &CredentialsError| match error {
            CredentialsError::SecretNotRead { error, .. } => error.is_transient(),
            CredentialsError::NoCredentials { .. } => true,
            CredentialsError::NoRegion
            | CredentialsError::NotSigned { .. }
            | CredentialsError::SecretNotRds { .. } => false,
        };
        START_SCHEDULE.retry(START_BUDGET, is_transient, || self.fetch()).await
    }
}

/// Signs RDS's authentication tokens.
#[derive(Debug)]
pub struct TokenSigner {
    /// `host:port`, as RDS calls the server: it refuses a token for another name.
    pub endpoint: String,
    /// The database's user.
    pub user: String,
    /// The server's region.
    pub region: String,
    /// The AWS credentials to sign with, asked for each token.
    pub provider: SharedCredentialsProvider,
}

impl TokenSigner {
    /// The token is a presigned request `Action=connect` of the service `rds-db`, without its scheme
    /// ("Connecting to your DB instance using IAM authentication", Amazon RDS User Guide).
    async fn token(&self, now: SystemTime) -> Result<Login, CredentialsError> {
        let credentials = tokio::time::timeout(TIMEOUTS.attempt, self.provider.provide_credentials()).await;
        let credentials = credentials.map_err(|_| self.no_credentials("no answer in time"))?;
        let identity = credentials.map_err(|error| self.no_credentials(error))?.into();
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(TOKEN_LIFETIME);
        settings.signature_location = SignatureLocation::QueryParams;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("rds-db")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|error| self.not_signed(error))?
            .into();
        let user = utf8_percent_encode(&self.user, RESERVED);
        let request = format!("{}/?Action=connect&DBUser={user}", self.endpoint);
        let url = format!("https://{request}");
        let signable = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(|error| self.not_signed(error))?;
        let signed = sign(signable, &parameters).map_err(|error| self.not_signed(error))?;
        let (instructions, _) = signed.into_parts();
        let password = instructions.params().iter().fold(request, |token, (name, value)| {
            format!("{token}&{name}={}", utf8_percent_encode(value, RESERVED))
        });
        Ok(Login { user: self.user.clone(), password: password.into() })
    }

    fn no_credentials(&self, error: impl std::fmt::Display) -> CredentialsError {
        CredentialsError::NoCredentials { user: self.user.clone(), reason: error.to_string() }
    }

    fn not_signed(&self, error: impl std::fmt::Display) -> CredentialsError {
        CredentialsError::NotSigned { user: self.user.clone(), reason: error.to_string() }
    }
}

/// What RDS writes into a secret, as far as it is needed ("JSON structure of AWS Secrets Manager secrets",
/// Secrets Manager User Guide). Host, port and database are `DATABASE_URL`'s.
#[derive(Deserialize)]
struct RdsSecret {
    username: String,
    password: String,
}

async fn read_secret(arn: &str, client: &aws_sdk_secretsmanager::Client) -> Result<Login, CredentialsError> {
    let answer = client.get_secret_value().secret_id(arn).send().await;
    let answer = answer.map_err(|error| not_read(arn, &error))?;
    // What serde says of text that it cannot read quotes it.
    let secret: Option<RdsSecret> = answer.secret_string().and_then(|text| serde_json::from_str(text).ok());
    let RdsSecret { username, password } =
        secret.ok_or_else(|| CredentialsError::SecretNotRds { arn: arn.to_owned() })?;
    Ok(Login { user: username, password: password.into() })
}

fn not_read(arn: &str, error: &SdkError<GetSecretValueError>) -> CredentialsError {
    CredentialsError::SecretNotRead { arn: arn.to_owned(), error: RequestError::of(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_credential_types::Credentials;

    use super::*;

    /// Made with botocore's signer, and checked with an HMAC written out by hand.
    #[tokio::test]
    async fn a_token_is_what_botocore_signs() {
        for (session_token, signature) in [
            (None, "09c5ade5643bc2a7b37cb30bf17535430c4c7c69a15b219900bb8a688a74f6e4"),
            (Some("SESSION/token+="), "14db719c9698aeb07bd3d5938acfc39f10953fdd7e4e106617825f51f610924e"),
        ] {
            let token = token("user_sync", session_token).await;
            assert!(token.contains(&format!("&X-Amz-Signature={signature}")), "{token}");
            let start = "db.example.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=user_sync&X-Amz-";
            assert!(token.starts_with(start), "{token}");
            let session = token.ends_with("&X-Amz-Security-Token=SESSION%2Ftoken%2B%3D");
            assert_eq!(session, session_token.is_some(), "{token}");
        }
    }

    #[tokio::test]
    async fn a_user_is_quoted_and_adds_no_parameter() {
        let token = token("a&DBUser=b c", None).await;
        assert!(token.contains("&DBUser=a%26DBUser%3Db%20c&"), "{token}");
    }

    async fn token(user: &str, session_token: Option<&str>) -> String {
        let (id, key) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let credentials = Credentials::new(id, key, session_token.map(str::to_owned), None, "test");
        let signer = TokenSigner {
            endpoint: "db.example.eu-west-1.rds.amazonaws.com:5432".to_owned(),
            user: user.to_owned(),
            region: "eu-west-1".to_owned(),
            provider: SharedCredentialsProvider::new(credentials),
        };
        // 2026-01-02T03:04:05Z.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let login = signer.token(now).await.unwrap();
        assert_eq!(login.user, user);
        assert!(!format!("{login:?}").contains("Signature"));
        login.password.expose_secret().to_owned()
    }
}
