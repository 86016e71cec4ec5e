//! Makes one user, signs it in by each flow of a [`Plan`], watches whether the logins arrive, and deletes it, whatever
//! happened meanwhile. Must not show its passwords, its tokens or the client's secret to anybody.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::types::{
    AttributeType, AuthFlowType, AuthenticationResultType, ChallengeNameType, MessageActionType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Flow, Plan, Target};
use crate::cognito::user_pool::{PoolError, RETRY_BUDGET, SCHEDULE};
use crate::postgres::Database;
use crate::store::maintenance::drift;

/// How often the row is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// With this the name of every test user begins.
pub const NAME: &str = "user-sync-test-";

/// How long to watch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a login that should arrive.
    pub wait: Duration,
    /// For one that should not.
    pub quiet: Duration,
    /// For a user whose creation was not answered, twice.
    pub settle: Duration,
}

/// What became of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub flow: Flow,
    /// `login_count` before it.
    pub before: i64,
    /// `login_count` after it.
    pub after: i64,
    /// Why it did not end in tokens, if it should have.
    pub failed: Option<String>,
}

impl Tried {
    /// Whether it is as docs/flows.md expects.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.failed.is_none() && self.after - self.before == self.flow.logins()
    }
}

/// What is to be told while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// The user of this name is about to be made.
    Making(&'a str),
    /// A flow begins.
    Trying(Flow),
    /// A flow has ended.
    Tried(&'a Tried),
}

/// Why a trial ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cognito refused, or could not be reached.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The row could not be read.
    #[error("cannot read the test user's row")]
    Database(#[from] sqlx::Error),
    /// Cognito made a user without a `sub`.
    #[error("Cognito: AdminCreateUser answered without a sub")]
    NoSub,
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
}

/// All that became of a trial.
#[derive(Debug)]
pub struct Trial {
    /// The test user's name.
    pub user: String,
    /// The flows that were tried.
    pub tried: Vec<Tried>,
    /// Why it ended early, if it did.
    pub ended_early: Option<Error>,
    /// Why the test user may still be there, if it may.
    pub not_deleted: Option<NotDeleted>,
}

/// Why a test user may still be there.
#[derive(Debug, thiserror::Error)]
pub enum NotDeleted {
    /// Cognito refused, or could not be reached.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Its creation was not answered, and there was nobody to delete.
    #[error("nobody answered its creation, and it was not seen afterwards")]
    NotSeen,
}

/// The test user as it was made.
struct TestUser {
    username: String,
    sub: Uuid,
    password: String,
    refresh_token: Option<String>,
}

/// What a sign-in, or a part of it, came to.
struct Answer {
    tokens: Option<AuthenticationResultType>,
    challenge: Option<ChallengeNameType>,
    session: Option<String>,
}

impl Answer {
    fn new(
        tokens: Option<AuthenticationResultType>,
        challenge: Option<ChallengeNameType>,
        session: Option<String>,
    ) -> Self {
        Self { tokens, challenge, session }
    }

    /// The challenge that is in the way of tokens.
    fn challenge(&self) -> String {
        self.challenge.as_ref().map_or("nothing", ChallengeNameType::as_str).to_owned()
    }
}

/// Why a flow did not end in tokens.
enum Failure {
    Cognito(PoolError),
    Challenge(String),
    NoRefreshToken,
}

impl Failure {
    fn describe(&self) -> String {
        match self {
            Self::Cognito(error) => error.to_string(),
            Self::Challenge(name) => format!("the pool asked for {name} in place of tokens"),
            Self::NoRefreshToken => "no sign-in before it gave a refresh token".to_owned(),
        }
    }
}

/// Tries what is planned. The test user is deleted at the end, also if `asked_to_end` completes before.
pub async fn run(
    target: &Target,
    plan: &Plan,
    database: &Database,
    limits: Limits,
    asked_to_end: impl Future<Output = ()>,
    mut tell: impl FnMut(Progress<'_>),
) -> Trial {
    let runner = Runner { target, plan, database, limits };
    let email = format!("{NAME}{}@example.com", Uuid::now_v7().simple());
    let name = if plan.names_are_addresses { &email } else { email.trim_end_matches("@example.com") };
    let mut trial = Trial { user: name.to_owned(), tried: Vec::new(), ended_early: None, not_deleted: None };
    tell(Progress::Making(name));
    // Never cut short: a user that was made unseen would stay.
    trial.ended_early = match runner.create(name, &email).await {
        Ok(user) => tokio::select! {
            biased;
            () = asked_to_end => Some(Error::Interrupted),
            ended = runner.try_all(user, &mut trial.tried, tell) => ended.err(),
        },
        Err(Error::Pool(error)) => {
            // After Cognito's own no there is no user.
            if error.is_transient() {
                trial.not_deleted = runner.delete_unanswered(name).await.err();
            }
            return Trial { ended_early: Some(error.into()), ..trial };
        }
        Err(error) => Some(error),
    };
    Trial { not_deleted: runner.delete(name).await.err().map(NotDeleted::from), ..trial }
}

struct Runner<'a> {
    target: &'a Target,
    plan: &'a Plan,
    database: &'a Database,
    limits: Limits,
}

impl Runner<'_> {
    async fn create(&self, name: &str, email: &str) -> Result<TestUser, Error> {
        let password = self.new_password();
        let attribute = AttributeType::builder().name("email").value(email).build();
        let attribute = attribute.map_err(|_| Error::NoSub)?;
        let request = self.target.cognito.admin_create_user().user_pool_id(&*self.target.user_pool_id);
        let request = request.username(name).user_attributes(attribute).temporary_password(&password);
        let created = request.message_action(MessageActionType::Suppress).send().await;
        let created = created.map_err(|error| PoolError::new("AdminCreateUser", &error))?.user;
        let user = created.ok_or(Error::NoSub)?;
        let sub = user.attributes().iter().find(|attribute| attribute.name() == "sub");
        let sub = sub.and_then(|sub| Uuid::try_parse(sub.value()?).ok()).ok_or(Error::NoSub)?;
        let username = user.username.unwrap_or_else(|| name.to_owned());
        Ok(TestUser { username, sub, password, refresh_token: None })
    }

    /// A creation that nobody answered may end later.
    async fn delete_unanswered(&self, name: &str) -> Result<(), NotDeleted> {
        for _ in 0..2 {
            sleep(self.limits.settle).await;
            if self.delete(name).await? {
                return Ok(());
            }
        }
        Err(NotDeleted::NotSeen)
    }

    /// Whether the user was there. One that is not is as good as deleted, once it was made.
    async fn delete(&self, name: &str) -> Result<bool, PoolError> {
        let delete = || async {
            let request = self.target.cognito.admin_delete_user().user_pool_id(&*self.target.user_pool_id);
            match request.username(name).send().await {
                Err(error) if error.code() == Some("UserNotFoundException") => Ok(false),
                deleted => deleted.map(|_| true).map_err(|error| PoolError::new("AdminDeleteUser", &error)),
            }
        };
        SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, delete).await
    }

    async fn try_all(
        &self,
        mut user: TestUser,
        tried: &mut Vec<Tried>,
        mut tell: impl FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        let mut before = 0;
        for flow in self.plan.flows.iter().copied() {
            tell(Progress::Trying(flow));
            let failed = self.attempt(flow, &mut user).await.err().map(|failure| failure.describe());
            let expected = if failed.is_none() { flow.logins() } else { 0 };
            let after = self.watch(user.sub, before + expected).await?;
            let outcome = Tried { flow, before, after, failed };
            tell(Progress::Tried(&outcome));
            let is_stuck = flow == Flow::NewPassword && outcome.failed.is_some();
            tried.push(outcome);
            if is_stuck {
                break;
            }
            before = after;
        }
        Ok(())
    }

    /// Waits until `login_count` has risen, and a while longer for what should not come.
    async fn watch(&self, sub: Uuid, expected: i64) -> Result<i64, sqlx::Error> {
        let deadline = Instant::now() + self.limits.wait;
        while drift::logins(self.database, sub).await? < expected && Instant::now() < deadline {
            sleep(POLL_INTERVAL).await;
        }
        sleep(self.limits.quiet).await;
        drift::logins(self.database, sub).await
    }

    async fn attempt(&self, flow: Flow, user: &mut TestUser) -> Result<(), Failure> {
        match flow {
            // It is made already.
            Flow::AdminCreate => Ok(()),
            Flow::NewPassword => self.first_sign_in(user).await,
            Flow::AdminPassword | Flow::UserPassword | Flow::UserAuthPassword => {
                let answer = self.sign_in(flow, user).await?;
                keep(answer, user)
            }
            Flow::Refresh => self.refresh(user).await,
            Flow::RotatedRefresh => self.rotate(user).await,
            Flow::SetPassword => self.set_password(user).await,
            Flow::SignOut => self.sign_out(user).await,
        }
    }

    async fn first_sign_in(&self, user: &mut TestUser) -> Result<(), Failure> {
        let answer = self.sign_in(self.plan.sign_in, user).await?;
        let (Some(ChallengeNameType::NewPasswordRequired), Some(session)) =
            (&answer.challenge, &answer.session)
        else {
            return Err(Failure::Challenge(answer.challenge()));
        };
        let password = self.new_password();
        let mut responses = self.parameters(user);
        responses.insert("NEW_PASSWORD".to_owned(), password.clone());
        user.password = password;
        let name = ChallengeNameType::NewPasswordRequired;
        let (cognito, client_id) = (&self.target.cognito, &self.target.client_id);
        let answer = if self.plan.sign_in == Flow::AdminPassword {
            let request = cognito.admin_respond_to_auth_challenge().user_pool_id(&*self.target.user_pool_id);
            let request = request.client_id(client_id).challenge_name(name).session(session);
            let answered = request.set_challenge_responses(Some(responses)).send().await;
            let answered = answered.map_err(|error| refused("AdminRespondToAuthChallenge", &error))?;
            Answer::new(answered.authentication_result, answered.challenge_name, answered.session)
        } else {
            let request = cognito.respond_to_auth_challenge().client_id(client_id).challenge_name(name);
            let answered = request.session(session).set_challenge_responses(Some(responses)).send().await;
            let answered = answered.map_err(|error| refused("RespondToAuthChallenge", &error))?;
            Answer::new(answered.authentication_result, answered.challenge_name, answered.session)
        };
        keep(answer, user)
    }

    /// Never tried again: an attempt that was not answered may have been a login.
    async fn sign_in(&self, flow: Flow, user: &TestUser) -> Result<Answer, Failure> {
        let mut parameters = self.parameters(user);
        parameters.insert("PASSWORD".to_owned(), user.password.clone());
        if flow == Flow::AdminPassword {
            let request = self.target.cognito.admin_initiate_auth().user_pool_id(&*self.target.user_pool_id);
            let request =
                request.client_id(&self.target.client_id).auth_flow(AuthFlowType::AdminUserPasswordAuth);
            let answered = request.set_auth_parameters(Some(parameters)).send().await;
            let answered = answered.map_err(|error| refused("AdminInitiateAuth", &error))?;
            return Ok(Answer::new(
                answered.authentication_result,
                answered.challenge_name,
                answered.session,
            ));
        }
        if flow == Flow::UserPassword {
            return self.initiate(AuthFlowType::UserPasswordAuth, parameters).await;
        }
        parameters.insert("PREFERRED_CHALLENGE".to_owned(), "PASSWORD".to_owned());
        self.initiate(AuthFlowType::UserAuth, parameters).await
    }

    async fn initiate(
        &self,
        flow: AuthFlowType,
        parameters: HashMap<String, String>,
    ) -> Result<Answer, Failure> {
        let request = self.target.cognito.initiate_auth().client_id(&self.target.client_id).auth_flow(flow);
        let answered = request.set_auth_parameters(Some(parameters)).send().await;
        let answered = answered.map_err(|error| refused("InitiateAuth", &error))?;
        Ok(Answer::new(answered.authentication_result, answered.challenge_name, answered.session))
    }

    async fn refresh(&self, user: &mut TestUser) -> Result<(), Failure> {
        let token = user.refresh_token.clone().ok_or(Failure::NoRefreshToken)?;
        let mut parameters = self.parameters(user);
        parameters.insert("REFRESH_TOKEN".to_owned(), token);
        let answer = self.initiate(AuthFlowType::RefreshTokenAuth, parameters).await?;
        keep(answer, user)
    }

    async fn rotate(&self, user: &mut TestUser) -> Result<(), Failure> {
        let token = user.refresh_token.clone().ok_or(Failure::NoRefreshToken)?;
        let secret = self.plan.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let request = self.target.cognito.get_tokens_from_refresh_token().client_id(&self.target.client_id);
        let answered = request.refresh_token(token).set_client_secret(secret).send().await;
        let answered = answered.map_err(|error| refused("GetTokensFromRefreshToken", &error))?;
        keep(Answer::new(answered.authentication_result, None, None), user)
    }

    async fn set_password(&self, user: &mut TestUser) -> Result<(), Failure> {
        let password = self.new_password();
        let request = self.target.cognito.admin_set_user_password().user_pool_id(&*self.target.user_pool_id);
        let request = request.username(&user.username).password(&password).permanent(true);
        request.send().await.map_err(|error| refused("AdminSetUserPassword", &error))?;
        user.password = password;
        Ok(())
    }

    async fn sign_out(&self, user: &TestUser) -> Result<(), Failure> {
        let request =
            self.target.cognito.admin_user_global_sign_out().user_pool_id(&*self.target.user_pool_id);
        let signed_out = request.username(&user.username).send().await;
        signed_out.map(drop).map_err(|error| refused("AdminUserGlobalSignOut", &error))
    }

    /// What every sign-in says: who, and that the client knows its secret.
    fn parameters(&self, user: &TestUser) -> HashMap<String, String> {
        let name = &user.username;
        let mut parameters = HashMap::from([("USERNAME".to_owned(), name.clone())]);
        if let Some(secret) = &self.plan.client_secret {
            let hash = secret_hash(secret.expose_secret(), &format!("{name}{}", self.target.client_id));
            parameters.insert("SECRET_HASH".to_owned(), hash);
        }
        parameters
    }

    /// One that every password policy takes, and that nobody can guess.
    fn new_password(&self) -> String {
        let mut password = "Aa1!".to_owned();
        while password.len() < self.plan.password_length.max(40) {
            password.push_str(&Uuid::now_v7().simple().to_string());
        }
        password
    }
}

/// Keeps the refresh token of a sign-in that ended in tokens.
fn keep(answer: Answer, user: &mut TestUser) -> Result<(), Failure> {
    let Some(tokens) = answer.tokens else { return Err(Failure::Challenge(answer.challenge())) };
    // A refresh gives a new one only where they rotate.
    user.refresh_token = tokens.refresh_token.or(user.refresh_token.take());
    Ok(())
}

fn refused<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Failure {
    Failure::Cognito(PoolError::new(operation, error))
}

/// `SECRET_HASH`: HMAC-SHA256 of the user name and the client id, by the client's secret, in base64.
fn secret_hash(secret: &str, message: &str) -> String {
    const BLOCK: usize = 64;
    let mut key = match secret.len() {
        0..=BLOCK => secret.as_bytes().to_vec(),
        _ => Sha256::digest(secret).to_vec(),
    };
    key.resize(BLOCK, 0);
    let padded = |byte: u8| key.iter().map(|key| key ^ byte).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    STANDARD.encode(Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_hash_is_hmac_sha256() {
        let hex = |text: &str| {
            let bytes = STANDARD.decode(text).unwrap_or_default();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        // RFC 4231, test case 2, and what Python's hmac says of a key that is longer than a block.
        assert_eq!(
            hex(&secret_hash("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&secret_hash(&"k".repeat(100), "message")),
            "1c28735416d320163f56f81bdbb83d651eed508d184e6b8b03662740a533293e"
        );
    }
}
