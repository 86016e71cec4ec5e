//! The two triggers of a pool that somebody else made: attached, nothing else changed, and taken back. On the
//! emulator, and on a pool that is as strict as Cognito.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_cognitoidentityprovider::operation::create_user_pool::builders::CreateUserPoolFluentBuilder;
use aws_sdk_cognitoidentityprovider::types as cognito;
use cognito_user_sync::cognito::triggers::{Before, Error, Known, Wanted, attach, attach_before, detach};
use serde_json::{Value, json};

use crate::support::binaries;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::pool;
use crate::support::stack;
use crate::support::strict_pool::{ID, StrictPool};

const OURS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-trigger";
const OURS_NEXT: &str = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-trigger-next";
const THEIRS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:theirs:live";
const STRANGE: &str = "arn:aws:lambda:eu-west-1:111122223333:function:strange";
const OTHER: &str = "eu-west-1_Other123";

fn wanted(user_pool_id: &str, function_arn: &str) -> Wanted {
    Wanted {
        user_pool_id: user_pool_id.parse().unwrap(),
        function_arn: function_arn.to_owned(),
        chain_post_confirmation: Some(THEIRS.to_owned()),
        chain_post_authentication: None,
        overwrite: false,
        keep_foreign: false,
        known: Known::default(),
    }
}

fn before() -> Before {
    Before { post_confirmation: Some(THEIRS.to_owned()), post_authentication: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_triggers_changes_and_detaching_restores_it() {
    let strict = StrictPool::start().await;
    let settings = strict.pool().settings.clone();
    let mfa = strict.pool().mfa.clone();
    let others = strict.others();
    assert_eq!(attach(&strict.client, &wanted(ID, OURS), None, None).await, Ok(before()));
    assert_eq!(strict.others(), others);
    for name in ["PostConfirmation", "PostAuthentication"] {
        assert_eq!(strict.trigger(name).as_deref(), Some(OURS), "{name}");
    }

    // Again, as CloudFormation may: nothing is written, and what was before is still known.
    for known in [Some(before()), None] {
        assert_eq!(attach(&strict.client, &wanted(ID, OURS), None, known).await, Ok(before()));
    }
    assert_eq!(strict.pool().updates.len(), 1);

    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    assert_eq!(strict.others(), others);
    let mut restored = strict.pool().settings.clone();
    restored.insert("LastModifiedDate".into(), settings["LastModifiedDate"].clone());
    assert_eq!(restored, settings);
    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    let pool = strict.pool();
    assert_eq!((pool.updates.len(), pool.mfa_updates, &pool.mfa), (2, 0, &mfa));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulators_pool_with_every_setting_keeps_them_all() {
    let endpoint = stack().await.sqs.endpoint();
    let client = pool::client(endpoint);
    let created = every_setting(client.create_user_pool()).send().await.unwrap();
    let id = created.user_pool.unwrap().id.unwrap();
    let token = cognito::SoftwareTokenMfaConfigType::builder().enabled(true).build();
    let mfa = client.set_user_pool_mfa_config().user_pool_id(&id).software_token_mfa_configuration(token);
    mfa.mfa_configuration(cognito::UserPoolMfaType::Optional).send().await.unwrap();
    let describe = async || {
        let described =
            client.describe_user_pool().user_pool_id(&id).send().await.unwrap().user_pool.unwrap();
        let mfa = client.get_user_pool_mfa_config().user_pool_id(&id).send().await.unwrap();
        let mfa = (mfa.mfa_configuration, mfa.software_token_mfa_configuration, mfa.email_mfa_configuration);
        (cognito_pool(described), mfa)
    };
    let (first, factors) = describe().await;
    assert!(first.sms_configuration.is_some() && first.user_pool_tags.is_some(), "{first:?}");

    assert_eq!(attach(&client, &wanted(&id, OURS), None, None).await, Ok(before()));
    let mut expected = first.clone();
    let config = expected.lambda_config.as_mut().unwrap();
    config.post_confirmation = Some(OURS.to_owned());
    config.post_authentication = Some(OURS.to_owned());
    assert_eq!(describe().await, (expected, factors.clone()));

    detach(&client, &id, OURS, &before()).await.unwrap();
    assert_eq!(describe().await, (first, factors));
    client.update_user_pool().user_pool_id(&id).deletion_protection("INACTIVE".into()).send().await.unwrap();
    client.delete_user_pool().user_pool_id(&id).send().await.unwrap();
    detach(&client, &id, OURS, &before()).await.unwrap();
    assert_eq!(attach(&client, &wanted(&id, OURS), None, None).await, Err(Error::NoPool));
}

/// Without what moves by itself.
fn cognito_pool(mut described: cognito::UserPoolType) -> cognito::UserPoolType {
    described.last_modified_date = None;
    described
}

/// Every setting that CreateUserPool takes.
fn every_setting(create: CreateUserPoolFluentBuilder) -> CreateUserPoolFluentBuilder {
    let function = |name: &str| format!("arn:aws:lambda:eu-west-1:111122223333:function:{name}");
    let password = cognito::PasswordPolicyType::builder()
        .minimum_length(12)
        .require_symbols(true)
        .password_history_size(3)
        .temporary_password_validity_days(2);
    let factors = cognito::SignInPolicyType::builder().allowed_first_auth_factors("PASSWORD".into());
    let policies = cognito::UserPoolPolicyType::builder()
        .password_policy(password.build())
        .sign_in_policy(factors.build());
    let tokens = cognito::PreTokenGenerationVersionConfigType::builder()
        .lambda_version("V2_0".into())
        .lambda_arn(function("tokens"));
    let email = cognito::CustomEmailLambdaVersionConfigType::builder()
        .lambda_version("V1_0".into())
        .lambda_arn(function("email"));
    let sms = cognito::CustomSmsLambdaVersionConfigType::builder()
        .lambda_version("V1_0".into())
        .lambda_arn(function("sms"));
    let triggers = cognito::LambdaConfigType::builder()
        .pre_sign_up(function("pre-sign-up"))
        .custom_message(function("custom-message"))
        .post_confirmation(THEIRS)
        .pre_authentication(function("pre-authentication"))
        .define_auth_challenge(function("define"))
        .create_auth_challenge(function("create"))
        .verify_auth_challenge_response(function("verify"))
        .user_migration(function("migration"))
        .pre_token_generation(function("tokens"))
        .pre_token_generation_config(tokens.build().unwrap())
        .custom_email_sender(email.build().unwrap())
        .custom_sms_sender(sms.build().unwrap())
        .kms_key_id("arn:aws:kms:eu-west-1:111122223333:key/abc");
    let template = cognito::VerificationMessageTemplateType::builder()
        .email_message("email {####}")
        .email_subject("subject")
        .sms_message("sms {####}")
        .default_email_option("CONFIRM_WITH_LINK".into());
    let invitation =
        cognito::MessageTemplateType::builder().email_subject("in").email_message("{username} {####}");
    let administrators = cognito::AdminCreateUserConfigType::builder()
        .allow_admin_create_user_only(true)
        .invite_message_template(invitation.build());
    let recovery = cognito::RecoveryOptionType::builder().priority(1).name("verified_email".into());
    let recovery =
        cognito::AccountRecoverySettingType::builder().recovery_mechanisms(recovery.build().unwrap());
    let device = cognito::DeviceConfigurationType::builder().challenge_required_on_new_device(true);
    let email = cognito::EmailConfigurationType::builder()
        .source_arn("arn:aws:ses:eu-west-1:111122223333:identity/example.com")
        .from("A <a@example.com>")
        .reply_to_email_address("b@example.com")
        .email_sending_account("DEVELOPER".into())
        .configuration_set("set");
    let sms = cognito::SmsConfigurationType::builder()
        .sns_caller_arn("arn:aws:iam::111122223333:role/sms")
        .external_id("external")
        .sns_region("eu-west-1");
    let add_ons = cognito::UserPoolAddOnsType::builder().advanced_security_mode("ENFORCED".into());
    let updates = cognito::UserAttributeUpdateSettingsType::builder()
        .attributes_require_verification_before_update("email".into());
    let plan = cognito::SchemaAttributeType::builder().name("plan").attribute_data_type("String".into());
    create
        .pool_name("Everything")
        .policies(policies.build())
        .deletion_protection("ACTIVE".into())
        .lambda_config(triggers.build())
        .auto_verified_attributes("email".into())
        .alias_attributes("phone_number".into())
        .sms_verification_message("sms {####}")
        .email_verification_message("email {####}")
        .email_verification_subject("subject")
        .verification_message_template(template.build())
        .sms_authentication_message("code {####}")
        .mfa_configuration("OPTIONAL".into())
        .user_attribute_update_settings(updates.build())
        .device_configuration(device.build())
        .email_configuration(email.build())
        .sms_configuration(sms.build())
        .set_user_pool_tags(Some(HashMap::from([("team".to_owned(), "identity".to_owned())])))
        .admin_create_user_config(administrators.build())
        .schema(plan.build())
        .user_pool_add_ons(add_ons.build().unwrap())
        .username_configuration(
            cognito::UsernameConfigurationType::builder().case_sensitive(false).build().unwrap(),
        )
        .account_recovery_setting(recovery.build())
        .user_pool_tier("PLUS".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_trigger_is_refused_and_nothing_is_changed() {
    let strict = StrictPool::start().await;
    strict.set_trigger("PostAuthentication", Some(STRANGE));
    let settings = strict.pool().settings.clone();
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err();
    assert_eq!(error.to_string().matches("arn:").count(), 1, "only the one that is not chained: {error}");
    assert!(error.to_string().contains(&format!("{STRANGE} as its PostAuthentication trigger")), "{error}");
    assert_eq!(strict.pool().settings, settings);
    assert_eq!(strict.pool().updates.len(), 0);

    let overwriting = Wanted { overwrite: true, ..wanted(ID, OURS) };
    let found = attach(&strict.client, &overwriting, None, None).await.unwrap();
    assert_eq!(found, Before { post_authentication: Some(STRANGE.to_owned()), ..before() });
    detach(&strict.client, ID, OURS, &found.to_string().parse().unwrap()).await.unwrap();
    assert_eq!(strict.trigger("PostAuthentication").as_deref(), Some(STRANGE));
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_moves_to_a_new_function_and_still_knows_what_was_before() {
    let strict = StrictPool::start().await;
    let others = strict.others();
    let found = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    let moved = attach(&strict.client, &wanted(ID, OURS_NEXT), Some(OURS), Some(found)).await;
    assert_eq!(moved, Ok(before()));
    assert_eq!(strict.trigger("PostAuthentication").as_deref(), Some(OURS_NEXT));
    // The function of before is not ours any more: it takes nothing back.
    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(OURS_NEXT));
    detach(&strict.client, ID, OURS_NEXT, &before()).await.unwrap();
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
    assert_eq!(strict.trigger("PostAuthentication"), None);
    assert_eq!(strict.others(), others);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_somebody_changed_meanwhile_is_left_alone() {
    let strict = StrictPool::start().await;
    let found = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    strict.set_trigger("PostConfirmation", Some(STRANGE));
    let error = attach(&strict.client, &wanted(ID, OURS), None, Some(found.clone())).await.unwrap_err();
    assert!(matches!(&error, Error::Taken(taken) if taken.len() == 1), "{error}");
    detach(&strict.client, ID, OURS, &found).await.unwrap();
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(STRANGE));
    assert_eq!(strict.trigger("PostAuthentication"), None);
    strict.pool().faults.gone = true;
    detach(&strict.client, ID, OURS, &found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_somebody_is_changing_is_not_written_over() {
    let strict = StrictPool::start().await;
    strict.pool().faults.edits = 3;
    attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    assert_eq!(strict.pool().settings["SmsAuthenticationMessage"], "edit 0", "what somebody wrote is kept");
    strict.pool().faults.edits = 100;
    let error = detach(&strict.client, ID, OURS, &before()).await.unwrap_err();
    assert_eq!(error, Error::ConcurrentlyModified);
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(OURS));
    strict.pool().faults.edits = 0;
    strict.pool().faults.concurrent = 2;
    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
}

/// Each update is sent to the pool that was just read, also where the one before had no answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_while_an_update_has_no_answer_is_kept() {
    let strict = StrictPool::start().await;
    strict.pool().faults.failing = 1;
    assert_eq!(attach(&strict.client, &wanted(ID, OURS), None, None).await, Ok(before()));
    assert_eq!(strict.pool().settings["SmsAuthenticationMessage"], "meanwhile {####}");
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    // One that was done without an answer is not done twice.
    strict.pool().faults.lost = 1;
    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), None]), 2));

    let strict = StrictPool::start().await;
    strict.pool().faults.mfa_edits = 1;
    attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    let pool = strict.pool();
    assert_eq!((&pool.mfa["EmailMfaConfiguration"]["Subject"], pool.mfa_updates), (&"another".into(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_ours_stays_when_it_is_attached_and_goes_when_it_is_detached() {
    let (strict, live) = (StrictPool::start().await, format!("{OURS}:live"));
    strict.set_trigger("PostConfirmation", Some(&live));
    attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    assert_eq!(both(&strict), arns([Some(&live), Some(OURS)]));
    // The deployment's own alias, which it has given up: it may be gone.
    attach(&strict.client, &wanted(ID, OURS), Some(&live), None).await.unwrap();
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    strict.set_trigger("PostConfirmation", Some(&live));
    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_comes_late_is_no_difference() {
    let strict = StrictPool::start().await;
    strict.pool().faults.stale = 2;
    attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    assert_eq!(strict.pool().updates.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_update_changes_beside_the_triggers_is_named_and_put_back() {
    let strict = StrictPool::start().await;
    strict.pool().faults.resets = Some("FutureSetting");
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err();
    let Error::Changed { changed, remaining } = &error else { panic!("{error}") };
    assert_eq!((changed, remaining), (&vec!["FutureSetting".to_owned()], &vec!["FutureSetting".to_owned()]));
    assert!(!error.to_string().contains("Deep"), "no value: {error}");
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
    assert_eq!(strict.trigger("PostAuthentication"), None);
    let updates = strict.pool().updates.clone();
    assert_eq!(updates.len(), 2);
    assert_eq!(
        updates[1]["FutureSetting"],
        json!({ "Deep": { "List": [1, 2.5, null, "x"], "Flag": false } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_that_an_update_turned_off_is_turned_on_again() {
    let strict = StrictPool::start().await;
    let others = strict.others();
    strict.pool().faults.loses_factors = true;
    attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    assert_eq!((strict.others(), strict.pool().mfa_updates), (others, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_without_naming_who_lacks_it() {
    let strict = StrictPool::start().await;
    let check = async |operation, message, expected: &[&str]| {
        strict.pool().faults.denied = vec![(operation, message)];
        let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("111122223333"), "{error}");
        assert_eq!(strict.pool().updates.len(), 0);
    };
    const PASS_ROLE: &str = "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/sms";
    check("UpdateUserPool", PASS_ROLE, &["UpdateUserPool", "iam:PassRole", "smsRole"]).await;
    const DESCRIBE: &str = "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: cognito-idp:DescribeUserPool on resource: x";
    check("DescribeUserPool", DESCRIBE, &["cognito-idp:DescribeUserPool"]).await;
    check("UpdateUserPool", "denied", &["cognito-idp:UpdateUserPool"]).await;

    // MFA's factors are watched, not needed.
    strict.pool().faults.denied = vec![("GetUserPoolMfaConfig", "denied")];
    let others = strict.others();
    attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap();
    assert_eq!(strict.others(), others);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attach_that_fails_half_way_leaves_no_trigger_behind() {
    // Whoever deploys deletes the function now: a pool that still called it could sign nobody in.
    let strict = StrictPool::start().await;
    strict.pool().faults.loses_factors = true;
    strict.pool().faults.denied = vec![("SetUserPoolMfaConfig", "denied")];
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err();
    assert!(error.to_string().contains("cognito-idp:SetUserPoolMfaConfig"), "{error}");
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
    assert_eq!(strict.trigger("PostAuthentication"), None);

    let strict = StrictPool::start().await;
    strict.pool().faults.denied_later = vec![("DescribeUserPool", "denied")];
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err();
    assert!(matches!(error, Error::Denied { operation: "DescribeUserPool", .. }), "{error}");
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
    assert_eq!(strict.trigger("PostAuthentication"), None);

    let strict = StrictPool::start().await;
    strict.pool().faults.denied_later = vec![("DescribeUserPool", "denied"), ("UpdateUserPool", "denied")];
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err().to_string();
    let by_hand =
        format!("PostConfirmation trigger to {THEIRS} and its PostAuthentication trigger to none by hand");
    assert!(error.contains("cognito-idp:DescribeUserPool") && error.contains(&by_hand), "{error}");
}

/// What the construct asks for, and pins in the function's environment.
fn properties(pool: &str, function: &str, chain: &str) -> Value {
    json!({ "UserPoolId": pool, "FunctionArn": function, "ChainPostConfirmation": chain, "Overwrite": "false" })
}

/// The same with one of them changed.
fn but(properties: &Value, name: &str, value: &str) -> Value {
    let mut changed = properties.clone();
    changed[name] = value.into();
    changed
}

/// The operator's function, asked as CloudFormation asks.
struct Resource {
    api: LambdaRuntimeApi,
    _function: Function,
}

impl Resource {
    /// As the construct deploys it for these properties.
    async fn pinned(strict: &StrictPool, properties: &Value) -> Self {
        let api = LambdaRuntimeApi::start().await;
        let text = |name: &str| properties[name].as_str().unwrap_or_default();
        let env = [
            ("AWS_ENDPOINT_URL", strict.endpoint.as_str()),
            ("USER_SYNC_OPERATION", "pool-triggers"),
            ("USER_SYNC_USER_POOL_ID", text("UserPoolId")),
            ("USER_SYNC_TRIGGER_ARN", text("FunctionArn")),
            ("USER_SYNC_CHAIN_POST_CONFIRMATION", text("ChainPostConfirmation")),
            ("USER_SYNC_CHAIN_POST_AUTHENTICATION", text("ChainPostAuthentication")),
            ("USER_SYNC_OVERWRITE_TRIGGERS", text("Overwrite")),
        ];
        let function = Function::spawn(&binaries::operator(), &api, &env);
        Self { api, _function: function }
    }

    /// The name that the resource has then.
    async fn asked(&self, request_type: &str, name: &str, asked: &Value) -> Result<String, String> {
        self.asked_after(request_type, name, asked, asked).await
    }

    /// The same, where the properties were others before.
    async fn asked_after(
        &self,
        request_type: &str,
        name: &str,
        asked: &Value,
        before: &Value,
    ) -> Result<String, String> {
        let mut request = json!({ "RequestType": request_type, "ResourceProperties": asked });
        if request_type != "Create" {
            request["PhysicalResourceId"] = name.into();
            request["OldResourceProperties"] = before.clone();
        }
        match self.api.invoke(request.to_string(), Duration::from_secs(120)).await {
            Invocation::Response { body, .. } => {
                let answer: Value = serde_json::from_slice(&body).unwrap();
                Ok(answer["PhysicalResourceId"].as_str().unwrap().to_owned())
            }
            Invocation::Error { body, .. } => Err(String::from_utf8(body).unwrap()),
            Invocation::TimedOut => panic!("the operator did not answer"),
        }
    }
}

/// The pool's two triggers.
fn both(strict: &StrictPool) -> [Option<String>; 2] {
    ["PostConfirmation", "PostAuthentication"].map(|name| strict.trigger(name))
}

fn arns(arns: [Option<&str>; 2]) -> [Option<String>; 2] {
    arns.map(|arn| arn.map(str::to_owned))
}

/// CloudFormation deletes the function of a creation that fails: a pool that calls it could sign nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_cannot_be_taken_back_stays_and_an_update_fails() {
    let strict = StrictPool::start().await;
    let denied = vec![("DescribeUserPool", "denied"), ("UpdateUserPool", "denied")];
    strict.pool().faults.denied_later = denied.clone();
    let wanted = properties(ID, OURS, THEIRS);
    let resource = Resource::pinned(&strict, &wanted).await;
    let name = resource.asked("Create", "", &wanted).await.unwrap();
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    assert_eq!(name, format!("user-sync-triggers/{ID}/{THEIRS},"), "the stack knows what to put back");
    // The rollback of an update that failed sets the former function before anything is deleted.
    strict.pool().faults.denied = Vec::new();
    let next = properties(ID, OURS_NEXT, THEIRS);
    let of_next = Resource::pinned(&strict, &next).await;
    strict.pool().faults.denied_later = denied;
    let failed = of_next.asked_after("Update", &name, &next, &wanted).await.unwrap_err();
    assert!(failed.contains("by hand"), "{failed}");
    strict.pool().faults.denied = Vec::new();
    assert_eq!(resource.asked_after("Update", &name, &wanted, &next).await, Ok(name.clone()));
    resource.asked("Delete", &name, &wanted).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_that_could_not_be_put_back_in_time() {
    let strict = StrictPool::start().await;
    let wanted = properties(ID, OURS, THEIRS);
    let resource = Resource::pinned(&strict, &wanted).await;
    let create = json!({ "RequestType": "Create", "ResourceProperties": &wanted }).to_string();
    let Invocation::Error { body, .. } = resource.api.invoke(create, Duration::from_secs(100)).await else {
        panic!("there are 100 s left, and it was written");
    };
    let said = String::from_utf8(body).unwrap();
    assert!(said.contains("too little of the time is left"), "{said}");
    assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), None]), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_verified_in_time_is_put_back_before_the_end() {
    let strict = StrictPool::start().await;
    strict.pool().faults.undescribed = true;
    let deadline = Instant::now() + Duration::from_secs(107);
    let error = attach_before(&strict.client, &wanted(ID, OURS), None, None, Some(deadline)).await;
    assert_eq!(error, Err(Error::GaveUp));
    assert!(deadline > Instant::now() + Duration::from_secs(60), "the time was kept");
    assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), None]), 2));
}

/// CloudFormation has whatever changes its name deleted afterwards, under its former name.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_the_resources_name_whatever_is_chained() {
    let strict = StrictPool::start().await;
    let first = properties(ID, OURS, THEIRS);
    let name = Resource::pinned(&strict, &first).await.asked("Create", "", &first).await.unwrap();
    strict.set_trigger("PostConfirmation", Some(STRANGE));
    let next = properties(ID, OURS, STRANGE);
    let resource = Resource::pinned(&strict, &next).await;
    assert_eq!(resource.asked_after("Update", &name, &next, &first).await, Ok(name.clone()));
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(OURS));
    // What was there before is not what is chained: it may be gone, and nothing is put back.
    resource.asked("Delete", &name, &next).await.unwrap();
    assert_eq!(both(&strict), [None, None]);
}

/// The update and its rollback would both be refused, and the stack would be stuck.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_leaves_somebody_elses_trigger_and_moves_the_other_one() {
    let strict = StrictPool::start().await;
    let wanted = properties(ID, OURS, THEIRS);
    let resource = Resource::pinned(&strict, &wanted).await;
    strict.set_trigger("PostConfirmation", Some(STRANGE));
    let refused = resource.asked("Create", "", &wanted).await.unwrap_err();
    assert!(refused.contains(STRANGE), "{refused}");
    let name = format!("user-sync-triggers/{ID}/,");
    assert_eq!(resource.asked("Update", &name, &wanted).await, Ok(name));
    assert_eq!(both(&strict), arns([Some(STRANGE), Some(OURS)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_environment_does_not_say_is_refused_whoever_asks() {
    let strict = StrictPool::start().await;
    let wanted = properties(ID, OURS, THEIRS);
    let resource = Resource::pinned(&strict, &wanted).await;
    let name = format!("user-sync-triggers/{ID}/,");
    let elsewhere = properties(OTHER, OURS, THEIRS);
    let function_elsewhere = Resource::pinned(&strict, &elsewhere).await;
    for (property, value, resource, base) in [
        ("UserPoolId", ID, &function_elsewhere, &elsewhere),
        ("FunctionArn", STRANGE, &resource, &wanted),
        ("ChainPostConfirmation", STRANGE, &resource, &wanted),
        ("ChainPostAuthentication", STRANGE, &resource, &wanted),
        ("Overwrite", "true", &resource, &wanted),
    ] {
        for request in ["Create", "Update"] {
            let refused = resource.asked(request, &name, &but(base, property, value)).await.unwrap_err();
            assert!(refused.contains(&format!("differ in {property}, and nothing was changed")), "{refused}");
        }
    }
    assert_eq!(strict.pool().updates.len(), 0);

    // Nor does a deletion make another function the trigger, or take another one out.
    let name = resource.asked("Create", "", &wanted).await.unwrap();
    let strangers = but(&wanted, "FunctionArn", THEIRS);
    let refused = resource.asked("Delete", &name, &strangers).await.unwrap_err();
    assert!(refused.contains("differ in FunctionArn"), "{refused}");
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    let forged = format!("user-sync-triggers/{ID}/{STRANGE},{STRANGE}");
    let chained = but(&but(&wanted, "ChainPostConfirmation", STRANGE), "ChainPostAuthentication", STRANGE);
    resource.asked("Delete", &forged, &chained).await.unwrap();
    assert_eq!(both(&strict), [None, None]);

    // What is not pinned is not done.
    let unset = Resource::pinned(&strict, &json!({ "UserPoolId": ID })).await;
    let refused = unset.asked("Create", "", &wanted).await.unwrap_err();
    assert!(refused.contains("USER_SYNC_TRIGGER_ARN is not set"), "{refused}");
}

/// Refused before the former pool is left with our trigger. The rollback of the deployment finds everything as it was. And
/// whoever deletes the resource meanwhile does so by a function that is the new pool's.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_gets_another_pool_leaves_nothing_behind() {
    let strict = StrictPool::start().await;
    let (former, next) = (properties(ID, OURS, THEIRS), properties(OTHER, OURS, STRANGE));
    let of_former = Resource::pinned(&strict, &former).await;
    let name = of_former.asked("Create", "", &former).await.unwrap();
    let of_next = Resource::pinned(&strict, &next).await;
    let refused = of_next.asked_after("Update", &name, &next, &former).await.unwrap_err();
    for part in [ID, OTHER, "nothing was changed", "PoolTriggers.outputOnly()"] {
        assert!(refused.contains(part), "{refused}");
    }
    // The rollback: the function's environment first, then the resource.
    assert_eq!(of_former.asked_after("Update", &name, &former, &next).await, Ok(name.clone()));
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    assert_eq!(strict.pool().updates.len(), 1);
    // A resource that was replaced, or left out, in the deployment that changed the pool.
    of_next.asked("Delete", &name, &former).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_function_takes_the_place_of_the_former_one_which_no_deletion_takes_out_then() {
    let strict = StrictPool::start().await;
    let (former, next) = (properties(ID, OURS, THEIRS), properties(ID, OURS_NEXT, THEIRS));
    let name = Resource::pinned(&strict, &former).await.asked("Create", "", &former).await.unwrap();
    let resource = Resource::pinned(&strict, &next).await;
    assert_eq!(resource.asked_after("Update", &name, &next, &former).await, Ok(name.clone()));
    assert_eq!(both(&strict), arns([Some(OURS_NEXT), Some(OURS_NEXT)]));
    // Of the former function: the one that is the trigger now stays.
    let refused = resource.asked("Delete", &name, &former).await.unwrap_err();
    assert!(refused.contains("differ in FunctionArn"), "{refused}");
    assert_eq!(both(&strict), arns([Some(OURS_NEXT), Some(OURS_NEXT)]));
    resource.asked("Delete", &name, &next).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), None]));
}

/// An apply of Terraform stopped after the first invocation, whose payload has no name; at the end it is sent again, with a
/// word of Terraform's. The function is deleted next.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_stopped_half_way_leaves_no_trigger_behind_when_it_is_destroyed() {
    let strict = StrictPool::start().await;
    let (others, wanted) = (strict.others(), properties(ID, OURS, THEIRS));
    let resource = Resource::pinned(&strict, &wanted).await;
    let first = async |properties: &Value, action: &str| {
        let payload = json!({
            "RequestType": "Create", "ResourceProperties": properties, "tf": { "action": action, "prev_input": null },
        });
        match resource.api.invoke(payload.to_string(), Duration::from_secs(120)).await {
            Invocation::Response { .. } => {}
            Invocation::Error { body, .. } => panic!("{}", String::from_utf8(body).unwrap()),
            Invocation::TimedOut => panic!("the operator did not answer"),
        }
    };
    first(&wanted, "create").await;
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    // What it was made with is of the first apply, and what the function may set is of the latest.
    first(&but(&wanted, "FunctionArn", OURS_NEXT), "delete").await;
    assert_eq!((both(&strict), strict.others()), (arns([Some(THEIRS), None]), others));

    // The normal order: ours is out by then, and whatever is there stays.
    let updates = strict.pool().updates.len();
    strict.set_trigger("PostAuthentication", Some(STRANGE));
    first(&wanted, "delete").await;
    assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), Some(STRANGE)]), updates));
    // A chained function that is gone is not put back, and a pool that is gone keeps nothing from its end.
    strict.set_trigger("PostAuthentication", Some(OURS));
    strict.set_trigger("PostConfirmation", Some(OURS));
    strict.pool().functions.insert(THEIRS.trim_end_matches(":live").to_owned(), Value::Null);
    first(&wanted, "delete").await;
    assert_eq!(both(&strict), [None, None]);
    strict.pool().faults.gone = true;
    first(&wanted, "delete").await;
}

/// The environment is the former pool's again when CloudFormation deletes what the deployment had made.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_takes_our_function_out_of_the_pool_that_the_deployment_had_attached() {
    let strict = StrictPool::start().await;
    strict.set_trigger("PostAuthentication", Some(STRANGE));
    let attached = but(&properties(ID, OURS, THEIRS), "Overwrite", "true");
    let name = Resource::pinned(&strict, &attached).await.asked("Create", "", &attached).await.unwrap();
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    let rolled_back = Resource::pinned(&strict, &properties(OTHER, OURS, "")).await;
    let refused = rolled_back.asked("Delete", &name, &but(&attached, "FunctionArn", THEIRS)).await;
    assert!(refused.unwrap_err().contains("differ in FunctionArn"));
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
    rolled_back.asked("Delete", &name, &attached).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), Some(STRANGE)]));
    // Again, as CloudFormation may.
    rolled_back.asked("Delete", &name, &attached).await.unwrap();
    assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), Some(STRANGE)]), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_secondary_replica_only_the_triggers_are_set_and_taken_back() {
    let strict = StrictPool::start().await;
    strict.pool().faults.is_secondary = true;
    strict.pool().faults.not_enabled = vec!["SetUserPoolMfaConfig"];
    let others = strict.others();
    assert_eq!(attach(&strict.client, &wanted(ID, OURS), None, None).await, Ok(before()));
    assert_eq!(strict.trigger("PostAuthentication").as_deref(), Some(OURS));
    assert_eq!(strict.others(), others);
    detach(&strict.client, ID, OURS, &before()).await.unwrap();
    assert_eq!((strict.trigger("PostConfirmation").as_deref(), strict.others()), (Some(THEIRS), others));
    assert_eq!(strict.pool().updates.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_replica_that_takes_no_update_is_left_as_it_is_with_the_way_out() {
    let strict = StrictPool::start().await;
    strict.pool().faults.not_enabled = vec!["UpdateUserPool", "GetUserPoolMfaConfig"];
    let settings = strict.pool().settings.clone();
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err();
    assert_eq!(error, Error::NotEnabled { operation: "UpdateUserPool" });
    for part in ["secondary replica", "AWS::Cognito::UserPoolRegionalConfigurationAttachment"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(strict.pool().settings, settings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_arrives_from_the_primary_meanwhile_leaves_no_trigger_behind() {
    let strict = StrictPool::start().await;
    strict.pool().faults.is_secondary = true;
    strict.pool().faults.replicates = 1;
    let error = attach(&strict.client, &wanted(ID, OURS), None, None).await.unwrap_err();
    let changed = vec!["SmsAuthenticationMessage".to_owned()];
    assert_eq!(error, Error::Changed { changed: changed.clone(), remaining: changed });
    assert_eq!(strict.trigger("PostConfirmation").as_deref(), Some(THEIRS));
    assert_eq!(strict.trigger("PostAuthentication"), None);
    // The next time it is there already.
    assert_eq!(attach(&strict.client, &wanted(ID, OURS), None, None).await, Ok(before()));
}

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/ours/1";

/// Says of a function that it is a trigger of this service, as every deployment does of its own, and of which stack it is.
fn tag_as_of(strict: &StrictPool, arn: &str, stack: Option<&str>) {
    let mut tags = json!({ "user-sync:program": "trigger", "team": "identity" });
    if let Some(stack) = stack {
        tags["aws:cloudformation:stack-id"] = stack.into();
    }
    strict.pool().functions.insert(arn.to_owned(), tags);
}

/// The same of this function and of ours, in one stack.
fn tag_as_ours(strict: &StrictPool, arn: &str) {
    for arn in [arn, OURS] {
        tag_as_of(strict, arn, Some(STACK));
    }
}

/// Whoever may tag a function cannot have it replaced, and a second deployment does not take over from the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_of_another_stack_is_replaced_only_by_overwrite_and_never_put_back() {
    let other = STACK.replace("ours/1", "ours/2");
    for (ours, theirs) in
        [(Some(STACK), None), (Some(STACK), Some(other.as_str())), (None, None), (None, Some(STACK))]
    {
        let strict = StrictPool::start().await;
        tag_as_of(&strict, OURS, ours);
        tag_as_of(&strict, STRANGE, theirs);
        strict.set_trigger("PostAuthentication", Some(STRANGE));
        let wanted = properties(ID, OURS, THEIRS);
        let resource = Resource::pinned(&strict, &wanted).await;
        let refused = resource.asked("Create", "", &wanted).await.unwrap_err();
        for part in
            [STRANGE, "a trigger of this service", "another stack", "`overwrite`", "nothing was changed"]
        {
            assert!(refused.contains(part), "{refused}");
        }
        assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), Some(STRANGE)]), 0));
        let overwriting = but(&wanted, "Overwrite", "true");
        let resource = Resource::pinned(&strict, &overwriting).await;
        let name = resource.asked("Create", "", &overwriting).await.unwrap();
        assert_eq!((both(&strict), name.contains(STRANGE)), (arns([Some(OURS), Some(OURS)]), false));
        resource.asked("Delete", &name, &overwriting).await.unwrap();
        assert_eq!(both(&strict), arns([Some(THEIRS), None]));
    }
}

/// CloudFormation makes the resource of the new name before it deletes that of the former one.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_construct_replaces_its_own_former_function_whichever_resource_goes_first() {
    for overwrite in ["false", "true"] {
        let strict = StrictPool::start().await;
        let of = |function| but(&properties(ID, function, THEIRS), "Overwrite", overwrite);
        let (former, next) = (of(OURS), of(OURS_NEXT));
        let (of_former, of_next) =
            (Resource::pinned(&strict, &former).await, Resource::pinned(&strict, &next).await);
        for arn in [OURS, OURS_NEXT] {
            tag_as_ours(&strict, arn);
        }
        let former_name = of_former.asked("Create", "", &former).await.unwrap();
        let name = of_next.asked("Create", "", &next).await.unwrap();
        assert_eq!(both(&strict), arns([Some(OURS_NEXT), Some(OURS_NEXT)]));
        assert_eq!(name, former_name, "what is put back is what ours is called with, and never ours");
        let updates = strict.pool().updates.len();
        // Twice, as CloudFormation may.
        for _ in 0..2 {
            of_former.asked("Delete", &former_name, &former).await.unwrap();
        }
        assert_eq!(both(&strict), arns([Some(OURS_NEXT), Some(OURS_NEXT)]));
        assert_eq!(strict.pool().updates.len(), updates);
        of_next.asked("Delete", &name, &next).await.unwrap();
        assert_eq!(both(&strict), arns([Some(THEIRS), None]));

        // The other order: two stacks, or another tool.
        let former_name = of_former.asked("Create", "", &former).await.unwrap();
        of_former.asked("Delete", &former_name, &former).await.unwrap();
        assert_eq!(both(&strict), arns([Some(THEIRS), None]));
        let name = of_next.asked("Create", "", &next).await.unwrap();
        assert_eq!(both(&strict), arns([Some(OURS_NEXT), Some(OURS_NEXT)]));
        of_next.asked("Delete", &name, &next).await.unwrap();
        assert_eq!(both(&strict), arns([Some(THEIRS), None]));

        // A rename that is rolled back: the function of before is not put back, for it may be gone the next time.
        of_former.asked("Create", "", &former).await.unwrap();
        let name = of_next.asked("Create", "", &next).await.unwrap();
        of_next.asked("Delete", &name, &next).await.unwrap();
        assert_eq!(both(&strict), arns([Some(THEIRS), None]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_replaces_our_own_former_function_too_also_by_an_alias() {
    let strict = StrictPool::start().await;
    tag_as_ours(&strict, STRANGE);
    let wanted = properties(ID, OURS, THEIRS);
    let resource = Resource::pinned(&strict, &wanted).await;
    let name = resource.asked("Create", "", &wanted).await.unwrap();
    strict.set_trigger("PostAuthentication", Some(&format!("{STRANGE}:live")));
    assert_eq!(resource.asked("Update", &name, &wanted).await, Ok(name));
    assert_eq!(both(&strict), arns([Some(OURS), Some(OURS)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_not_known_to_be_ours_is_somebody_elses() {
    let elsewhere = STRANGE.replace("eu-west-1", "eu-central-1");
    let account = STRANGE.replace("111122223333", "999988887777");
    for (arn, denied) in [(STRANGE, true), (&elsewhere, false), (&account, false)] {
        let strict = StrictPool::start().await;
        tag_as_ours(&strict, arn);
        strict.set_trigger("PostAuthentication", Some(arn));
        if denied {
            strict.pool().faults.denied = vec![("ListTags", "")];
        }
        let wanted = properties(ID, OURS, THEIRS);
        let resource = Resource::pinned(&strict, &wanted).await;
        let refused = resource.asked("Create", "", &wanted).await.unwrap_err();
        assert!(refused.contains(&format!("{arn} as its PostAuthentication trigger")), "{refused}");
        assert_eq!((both(&strict), strict.pool().updates.len()), (arns([Some(THEIRS), Some(arn)]), 0));
    }
    // Another value of the tag, and another tag.
    for tags in [json!({ "user-sync:program": "consumer" }), json!({ "program": "trigger" })] {
        let strict = StrictPool::start().await;
        strict.pool().functions.insert(STRANGE.to_owned(), tags);
        strict.set_trigger("PostAuthentication", Some(STRANGE));
        let wanted = properties(ID, OURS, THEIRS);
        let refused = Resource::pinned(&strict, &wanted).await.asked("Create", "", &wanted).await;
        assert!(refused.unwrap_err().contains(STRANGE));
    }
}

/// Nobody can sign in at a pool whose function is gone: that is mended, and not made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_gone_is_replaced_and_never_put_back() {
    let strict = StrictPool::start().await;
    strict.pool().functions.insert(STRANGE.to_owned(), Value::Null);
    strict.set_trigger("PostAuthentication", Some(STRANGE));
    let wanted = but(&properties(ID, OURS, THEIRS), "Overwrite", "true");
    let resource = Resource::pinned(&strict, &wanted).await;
    let name = resource.asked("Create", "", &wanted).await.unwrap();
    assert_eq!((both(&strict), name.contains(STRANGE)), (arns([Some(OURS), Some(OURS)]), false));
    // Nor where it was there when ours was set.
    let known = format!("user-sync-triggers/{ID}/{THEIRS},{STRANGE}");
    resource.asked("Delete", &known, &wanted).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_function_is_never_put_back_whatever_the_resource_is_called() {
    let strict = StrictPool::start().await;
    tag_as_ours(&strict, STRANGE);
    let wanted = but(&properties(ID, OURS, THEIRS), "Overwrite", "true");
    let resource = Resource::pinned(&strict, &wanted).await;
    resource.asked("Create", "", &wanted).await.unwrap();
    let known = format!("user-sync-triggers/{ID}/{THEIRS},{STRANGE}");
    resource.asked("Delete", &known, &wanted).await.unwrap();
    assert_eq!(both(&strict), arns([Some(THEIRS), None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_function_is_not_chained_unless_it_was_already() {
    let strict = StrictPool::start().await;
    let theirs = THEIRS.trim_end_matches(":live");
    let (wanted, unchained) = (properties(ID, OURS, THEIRS), properties(ID, OURS, STRANGE));
    let resource = Resource::pinned(&strict, &wanted).await;
    let name = resource.asked("Create", "", &wanted).await.unwrap();
    tag_as_ours(&strict, theirs);
    for (request, before) in [("Create", &wanted), ("Update", &unchained)] {
        let refused = resource.asked_after(request, &name, &wanted, before).await.unwrap_err();
        for part in [THEIRS, "user-sync:program", "counted twice", "take it out of the chain"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
    // A rollback to it must succeed.
    assert_eq!(resource.asked_after("Update", &name, &wanted, &wanted).await, Ok(name));
}

/// The emulator's Lambda says what a tag says, and that a function is gone.
#[tokio::test(flavor = "multi_thread")]
async fn on_lambda_our_former_function_is_recognised_by_hand_too() {
    use aws_sdk_lambda::types::{FunctionCode, Runtime};
    let endpoint = stack().await.sqs.endpoint();
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
        .region(aws_sdk_lambda::config::Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(aws_sdk_lambda::config::Credentials::new("test", "test", None, None, "test"))
        .http_client(cognito_user_sync::aws::http_client());
    let lambda = aws_sdk_lambda::Client::from_conf(config.build());
    let empty_zip = aws_sdk_lambda::primitives::Blob::new([&b"PK\x05\x06"[..], &[0; 18]].concat());
    let create = async |tags: Option<(&str, &str)>| {
        let tags = tags.map(|(name, value)| HashMap::from([(name.to_owned(), value.to_owned())]));
        let created = lambda
            .create_function()
            .function_name(format!("former-{}", uuid::Uuid::now_v7().simple()))
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .role("arn:aws:iam::000000000000:role/function")
            .code(FunctionCode::builder().zip_file(empty_zip.clone()).build())
            .set_tags(tags);
        created.send().await.unwrap().function_arn.unwrap()
    };
    let client = pool::client(endpoint);
    let ours = create(Some(("user-sync:program", "trigger"))).await;
    let (former, theirs) = (create(Some(("user-sync:program", "trigger"))).await, create(None).await);
    let created = client.create_user_pool().pool_name("renamed").send().await.unwrap();
    let id = created.user_pool.unwrap().id.unwrap();
    let set = async |confirmation: &str, authentication: &str| {
        let config = cognito::LambdaConfigType::builder();
        let config = config.post_confirmation(confirmation).post_authentication(authentication).build();
        client.update_user_pool().user_pool_id(&id).lambda_config(config).send().await.unwrap();
    };
    let attach = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(binaries::user_sync());
        let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
        command
            .env_clear()
            .envs(credentials)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ENDPOINT_URL", endpoint);
        command.args(["triggers", "attach", "--user-pool-id", &id, "--trigger-arn", &ours]);
        let output = command.args(arguments).output().await.unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), said.concat())
    };
    set(&former, &theirs).await;
    let (succeeded, said) = attach(&[]).await;
    assert!(!succeeded && said.contains(&theirs) && said.contains("chain it"), "{said}");
    let (succeeded, said) = attach(&["--chain-post-confirmation", &former]).await;
    assert!(!succeeded && said.contains("is not chained"), "{said}");
    set(&former, &former).await;
    lambda.delete_function().function_name(&theirs).send().await.unwrap();
    set(&former, &theirs).await;
    // No stack has made them, so the tag alone says it, which anybody can give.
    let (succeeded, said) = attach(&[]).await;
    assert!(!succeeded && said.contains(&former) && said.contains("--overwrite"), "{said}");
    let (succeeded, said) = attach(&["--overwrite"]).await;
    assert!(succeeded && said.contains("--put-back ','"), "{said}");
    let described = client.describe_user_pool().user_pool_id(&id).send().await.unwrap();
    let config = described.user_pool.unwrap().lambda_config.unwrap();
    assert_eq!([config.post_confirmation, config.post_authentication], [Some(ours.clone()), Some(ours)]);
}
