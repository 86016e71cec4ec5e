//! Tries the ways to sign in that need no person, and sees which of them fire the pool's triggers. Knows Cognito's and
//! Lambda's calls; must not change a pool, a client or a function, nor write to the database.
//!
//! This half reads and decides: [`examine`] says what would be tried, or why nothing should be. [`trial`] does it, with
//! one user that it makes and deletes. docs/flows.md says what each flow should count.

pub mod trial;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::types::{
    LambdaConfigType, SchemaAttributeType, UserPoolClientType, UserPoolMfaType, UserPoolType,
};
use cognito_user_sync_triggers::chain;
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use secrecy::SecretString;

use crate::aws::{self, Timeouts};
use crate::cognito::user_pool::{PoolError, RETRY_BUDGET, SCHEDULE};

/// A sign-in waits for the pool's triggers, of which each may take 5 s.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(20) };

/// A way to get tokens, or a call beside it, as docs/flows.md names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// AdminCreateUser.
    AdminCreate,
    /// The first sign-in, which sets the password.
    NewPassword,
    /// `ADMIN_USER_PASSWORD_AUTH`.
    AdminPassword,
    /// `USER_PASSWORD_AUTH`.
    UserPassword,
    /// `USER_AUTH` with the choice `PASSWORD`.
    UserAuthPassword,
    /// `REFRESH_TOKEN_AUTH`.
    Refresh,
    /// GetTokensFromRefreshToken.
    RotatedRefresh,
    /// AdminSetUserPassword.
    SetPassword,
    /// AdminUserGlobalSignOut.
    SignOut,
}

impl Flow {
    /// Every flow, in the order in which they are tried.
    pub const ALL: [Self; 9] = [
        Self::AdminCreate,
        Self::NewPassword,
        Self::AdminPassword,
        Self::UserPassword,
        Self::UserAuthPassword,
        Self::Refresh,
        Self::RotatedRefresh,
        Self::SetPassword,
        Self::SignOut,
    ];

    /// The ways to sign in by a password.
    const SIGN_INS: [Self; 3] = [Self::AdminPassword, Self::UserPassword, Self::UserAuthPassword];

    /// Its id in docs/flows.md.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminCreate => "admin-create",
            Self::NewPassword => "new-password",
            Self::AdminPassword => "admin-password",
            Self::UserPassword => "user-password",
            Self::UserAuthPassword => "user-auth-password",
            Self::Refresh => "refresh",
            Self::RotatedRefresh => "rotated-refresh",
            Self::SetPassword => "set-password",
            Self::SignOut => "sign-out",
        }
    }

    /// By how much `login_count` should rise.
    #[must_use]
    pub fn logins(self) -> i64 {
        match self {
            Self::NewPassword | Self::AdminPassword | Self::UserPassword | Self::UserAuthPassword => 1,
            Self::AdminCreate | Self::Refresh | Self::RotatedRefresh | Self::SetPassword | Self::SignOut => 0,
        }
    }

    /// The calls of it, where the first sign-in goes by `sign_in`.
    fn calls(self, sign_in: Self) -> &'static [&'static str] {
        match self {
            Self::AdminCreate => &["AdminCreateUser"],
            Self::NewPassword if sign_in == Self::AdminPassword => {
                &["AdminInitiateAuth", "AdminRespondToAuthChallenge"]
            }
            Self::NewPassword => &["InitiateAuth", "RespondToAuthChallenge"],
            Self::AdminPassword => &["AdminInitiateAuth"],
            Self::UserPassword | Self::UserAuthPassword | Self::Refresh => &["InitiateAuth"],
            Self::RotatedRefresh => &["GetTokensFromRefreshToken"],
            Self::SetPassword => &["AdminSetUserPassword"],
            Self::SignOut => &["AdminUserGlobalSignOut"],
        }
    }

    /// Whether the client permits it, by its ExplicitAuthFlows; without any of the newer names a refresh is permitted.
    fn is_permitted(self, client: &UserPoolClientType) -> bool {
        let flows: BTreeSet<&str> =
            client.explicit_auth_flows().iter().map(|permitted| permitted.as_str()).collect();
        let has = |names: &[&str]| names.iter().any(|name| flows.contains(name));
        match self {
            Self::AdminPassword => has(&["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ADMIN_NO_SRP_AUTH"]),
            Self::UserPassword => has(&["ALLOW_USER_PASSWORD_AUTH", "USER_PASSWORD_AUTH"]),
            Self::UserAuthPassword => has(&["ALLOW_USER_AUTH"]),
            Self::Refresh => {
                let is_old = !flows.iter().any(|flow| flow.starts_with("ALLOW_"));
                !rotates(client) && (is_old || has(&["ALLOW_REFRESH_TOKEN_AUTH"]))
            }
            Self::AdminCreate
            | Self::NewPassword
            | Self::RotatedRefresh
            | Self::SetPassword
            | Self::SignOut => true,
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn rotates(client: &UserPoolClientType) -> bool {
    client.refresh_token_rotation().is_some_and(|rotation| rotation.feature().as_str() == "ENABLED")
}

/// What is to be tried, and where.
#[derive(Debug)]
pub struct Target {
    /// Calls of Cognito.
    pub cognito: aws_sdk_cognitoidentityprovider::Client,
    /// Calls of Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// The pool.
    pub user_pool_id: UserPoolId,
    /// The app client.
    pub client_id: String,
    /// The function that both triggers must be.
    pub trigger_arn: String,
    /// Whether other triggers may fire.
    pub with_other_triggers: bool,
}

impl Target {
    /// Calls by whatever credentials the SDK finds.
    pub async fn new(user_pool_id: UserPoolId, client_id: String, trigger_arn: String) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        let cognito = aws_sdk_cognitoidentityprovider::Client::new(&config);
        let lambda = aws_sdk_lambda::Client::new(&config);
        Self { cognito, lambda, user_pool_id, client_id, trigger_arn, with_other_triggers: false }
    }
}

/// What would be tried on a pool that may be tried on.
#[derive(Debug)]
pub struct Plan {
    /// The flows that the client permits, in their order.
    pub flows: Vec<Flow>,
    /// By which of them the first sign-in goes.
    sign_in: Flow,
    /// The pool's other triggers, which fire too.
    pub other_triggers: Vec<&'static str>,
    client_secret: Option<SecretString>,
    /// Whether e-mail addresses are the pool's user names.
    names_are_addresses: bool,
    password_length: usize,
}

impl Plan {
    /// The calls that change or sign in the test user, in their order, each once.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        let mut calls = Vec::new();
        let all = self.flows.iter().flat_map(|flow| flow.calls(self.sign_in));
        for call in all.chain(&["AdminDeleteUser"]) {
            if !calls.contains(call) {
                calls.push(call);
            }
        }
        calls
    }

    /// The IAM actions that are needed, those of the reads among them.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let reads = [
            "cognito-idp:DescribeUserPool",
            "cognito-idp:DescribeUserPoolClient",
            "lambda:GetFunctionConfiguration",
        ];
        // The others are the users' own, which IAM does not see.
        let calls = self.calls().into_iter().filter(|call| call.starts_with("Admin"));
        reads.map(str::to_owned).into_iter().chain(calls.map(|call| format!("cognito-idp:{call}"))).collect()
    }
}

/// Why nothing is tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another function, or none, is one of the two triggers.
    #[error(
        "the pool's {} does not call {arn}, so nobody would see the logins: attach the triggers first, or name the \
         function that they call", .triggers.join(" trigger and its ") + " trigger"
    )]
    NotOurs {
        /// Which of the two.
        triggers: Vec<&'static str>,
        /// The function that was named.
        arn: String,
    },
    /// The function is not the service's.
    #[error(
        "{0} has no {QUEUE_URL_VARIABLE}, so it is not this service's trigger: name the function that is"
    )]
    NotTheTrigger(String),
    /// The function calls another one first.
    #[error("{0} is set: the trigger calls a function of yours first, which a test user should not reach")]
    Chained(&'static str),
    /// Whether it does cannot be known.
    #[error(
        "{arn}: its configuration cannot be read, so nobody knows whether it calls another function first: {why}; permit lambda:GetFunctionConfiguration"
    )]
    Unreadable {
        /// The function.
        arn: String,
        /// What Lambda said.
        why: String,
    },
    /// Other triggers of the pool would fire.
    #[error(
        "the pool has other triggers that the test user would fire: {}; --with-other-triggers accepts that", .0.join(", ")
    )]
    OtherTriggers(Vec<&'static str>),
    /// No sign-in ends without a second factor.
    #[error(
        "the pool demands a second factor, so no sign-in ends without a person: try a pool that does not"
    )]
    SecondFactor,
    /// Attributes would have to be invented.
    #[error("the pool requires attributes that are not made up here: {}; try a pool that does not", .0.join(", "))]
    Attributes(Vec<String>),
    /// User names are phone numbers.
    #[error(
        "the pool's user names are phone numbers, and no number is made up here: try a pool with another kind"
    )]
    PhoneNumbers,
    /// The client permits no password.
    #[error(
        "the app client permits neither ALLOW_ADMIN_USER_PASSWORD_AUTH nor ALLOW_USER_PASSWORD_AUTH nor ALLOW_USER_AUTH: \
         name another client of the pool, or make one for this"
    )]
    NoFlow,
}

/// The pool could not be examined, or should not be tried on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cognito refused, or could not be reached.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Nothing is tried.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Reads the pool, the client and the trigger's configuration, and says what would be tried. Changes nothing.
///
/// # Errors
/// When one of them cannot be read, or the pool should not be tried on.
pub async fn examine(target: &Target) -> Result<Plan, Error> {
    let pool = describe_pool(target).await?;
    let client = describe_client(target).await?;
    let wired = pool.lambda_config().cloned().unwrap_or_else(|| LambdaConfigType::builder().build());
    triggers_are_ours(&wired, &target.trigger_arn)?;
    // A version or an alias has variables of its own.
    let called = BTreeSet::from([wired.post_confirmation(), wired.post_authentication()]);
    for called in called.into_iter().flatten() {
        is_not_chained(called, &environment(&target.lambda, called).await?)?;
    }
    let plan = plan(&pool, &client, &wired)?;
    if !plan.other_triggers.is_empty() && !target.with_other_triggers {
        return Err(Refusal::OtherTriggers(plan.other_triggers).into());
    }
    Ok(plan)
}

async fn describe_pool(target: &Target) -> Result<UserPoolType, PoolError> {
    let describe = || async {
        let described = target.cognito.describe_user_pool().user_pool_id(&*target.user_pool_id).send().await;
        described.map_err(|error| PoolError::new("DescribeUserPool", &error))
    };
    let described = SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, describe).await?;
    Ok(described.user_pool.unwrap_or_else(|| UserPoolType::builder().build()))
}

async fn describe_client(target: &Target) -> Result<UserPoolClientType, PoolError> {
    let describe = || async {
        let request = target.cognito.describe_user_pool_client().user_pool_id(&*target.user_pool_id);
        let described = request.client_id(&target.client_id).send().await;
        described.map_err(|error| PoolError::new("DescribeUserPoolClient", &error))
    };
    let described = SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, describe).await?;
    Ok(described.user_pool_client.unwrap_or_else(|| UserPoolClientType::builder().build()))
}

/// The variables of a function that are set; a value may be a secret of somebody's.
async fn environment(lambda: &aws_sdk_lambda::Client, arn: &str) -> Result<BTreeSet<String>, Refusal> {
    let unreadable = |why: String| Refusal::Unreadable { arn: arn.to_owned(), why };
    let read = || async {
        let read = lambda.get_function_configuration().function_name(arn).send().await;
        read.map_err(|error| RequestError::of(&error))
    };
    let read = SCHEDULE.retry(RETRY_BUDGET, RequestError::is_transient, read).await;
    let configuration = read.map_err(|error| unreadable(error.describe("Lambda")))?;
    let environment = configuration.environment();
    if environment.is_some_and(|environment| environment.error().is_some()) {
        return Err(unreadable("its variables cannot be decrypted".to_owned()));
    }
    let variables = environment.and_then(|environment| environment.variables()).into_iter().flatten();
    Ok(variables.filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.clone()).collect())
}

/// Whether both triggers call the function, or one version or alias of it.
fn triggers_are_ours(wired: &LambdaConfigType, arn: &str) -> Result<(), Refusal> {
    let is_ours = |trigger: Option<&str>| {
        let rest = trigger.and_then(|trigger| trigger.strip_prefix(arn));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let both = [
        ("PostConfirmation", wired.post_confirmation()),
        ("PostAuthentication", wired.post_authentication()),
    ];
    let others: Vec<&'static str> =
        both.into_iter().filter(|(_, trigger)| !is_ours(*trigger)).map(|(name, _)| name).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Refusal::NotOurs { triggers: others, arn: arn.to_owned() })
}

fn is_not_chained(arn: &str, variables: &BTreeSet<String>) -> Result<(), Refusal> {
    let chains = [chain::POST_CONFIRMATION_VARIABLE, chain::POST_AUTHENTICATION_VARIABLE];
    match chains.into_iter().find(|chain| variables.contains(*chain)) {
        Some(chain) => Err(Refusal::Chained(chain)),
        None if !variables.contains(QUEUE_URL_VARIABLE) => Err(Refusal::NotTheTrigger(arn.to_owned())),
        None => Ok(()),
    }
}

/// The triggers beside our two that making, signing in and deleting a user may fire. Those of custom challenges and of
/// federation are not among them.
fn other_triggers(wired: &LambdaConfigType) -> Vec<&'static str> {
    let has_tokens = wired.pre_token_generation().is_some() || wired.pre_token_generation_config().is_some();
    let all = [
        ("PreSignUp", wired.pre_sign_up().is_some()),
        ("PreAuthentication", wired.pre_authentication().is_some()),
        ("PreTokenGeneration", has_tokens),
        ("UserMigration", wired.user_migration().is_some()),
        ("CustomMessage", wired.custom_message().is_some()),
        ("CustomEmailSender", wired.custom_email_sender().is_some()),
        ("CustomSMSSender", wired.custom_sms_sender().is_some()),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

fn plan(pool: &UserPoolType, client: &UserPoolClientType, wired: &LambdaConfigType) -> Result<Plan, Refusal> {
    if pool.mfa_configuration() == Some(&UserPoolMfaType::On) {
        return Err(Refusal::SecondFactor);
    }
    let names = pool.username_attributes();
    let names_are_addresses = names.iter().any(|name| name.as_str() == "email");
    if !names.is_empty() && !names_are_addresses {
        return Err(Refusal::PhoneNumbers);
    }
    let is_demanded = |attribute: &&SchemaAttributeType| {
        attribute.required() == Some(true) && !matches!(attribute.name(), None | Some("sub" | "email"))
    };
    let demanded = pool.schema_attributes().iter().filter(is_demanded);
    let demanded: Vec<String> =
        demanded.filter_map(|attribute| attribute.name().map(str::to_owned)).collect();
    if !demanded.is_empty() {
        return Err(Refusal::Attributes(demanded));
    }
    let sign_in = Flow::SIGN_INS.into_iter().find(|flow| flow.is_permitted(client)).ok_or(Refusal::NoFlow)?;
    let policy = pool.policies().and_then(|policies| policies.password_policy());
    let length =
        policy.and_then(|policy| policy.minimum_length()).and_then(|length| usize::try_from(length).ok());
    Ok(Plan {
        flows: Flow::ALL.into_iter().filter(|flow| flow.is_permitted(client)).collect(),
        sign_in,
        other_triggers: other_triggers(wired),
        client_secret: client.client_secret().map(SecretString::from),
        names_are_addresses,
        password_length: length.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
