#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use aws_sdk_cognitoidentityprovider::types::{
    CustomSmsLambdaVersionConfigType, CustomSmsSenderLambdaVersionType, ExplicitAuthFlowsType, FeatureType,
    RefreshTokenRotationType, UsernameAttributeType,
};

use super::*;

const PAGE: &str = include_str!("../../../docs/flows.md");
const ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:trigger";

/// The table's lines: id, flow, what fires, what counts, where it is read, who saw it.
fn lines() -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    lines.map(cells).collect()
}

#[test]
fn the_page_counts_its_unconfirmed_lines() {
    let lines = lines();
    assert!(lines.iter().all(|line| line.len() == 6), "{lines:?}");
    // Who saw a part of a line has not confirmed it.
    let is_confirmed = |line: &&Vec<&str>| !line[5].starts_with("**no**");
    let unconfirmed = lines.iter().filter(|line| !is_confirmed(line)).count();
    let said = format!("**{unconfirmed} of these {} lines are confirmed by nobody.**", lines.len());
    assert!(PAGE.contains(&said), "the page should say: {said}");
    // Whoever is named is named by a link.
    for line in lines.iter().filter(is_confirmed) {
        assert!(line[5].starts_with('[') && line[5].contains("](https://github.com/"), "{line:?}");
    }
    let ids: BTreeSet<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(ids.len(), lines.len(), "two lines have one id");
    // Each word for where it is read has its page.
    for word in lines.iter().flat_map(|line| line[4].split(", ")).filter(|word| *word != "derived") {
        assert!(PAGE.lines().any(|line| line.starts_with(&format!("| {word} | "))), "{word} is no page");
    }
}

#[test]
fn the_page_and_the_command_expect_the_same() {
    for flow in Flow::ALL {
        let line = lines().into_iter().find(|line| line[0].trim_matches('`') == flow.as_str());
        let counts = line.unwrap_or_else(|| panic!("docs/flows.md has no line {flow}"))[3];
        let expected = if flow.logins() == 1 { "login" } else { "nothing" };
        assert_eq!(counts.split([':', ';']).next().unwrap(), expected, "{flow}");
        assert!(PAGE.contains(&format!("`{flow}`")));
    }
}

fn client(flows: &[&str]) -> UserPoolClientType {
    let flows = flows.iter().map(|flow| ExplicitAuthFlowsType::from(*flow));
    UserPoolClientType::builder().set_explicit_auth_flows(Some(flows.collect())).build()
}

fn pool() -> UserPoolType {
    UserPoolType::builder().build()
}

fn wired() -> LambdaConfigType {
    LambdaConfigType::builder().post_confirmation(ARN).post_authentication(format!("{ARN}:live")).build()
}

fn names(client: &UserPoolClientType) -> Result<String, Refusal> {
    let planned = plan(&pool(), client, &wired())?;
    Ok(planned.flows.iter().map(|flow| flow.as_str()).collect::<Vec<_>>().join(" "))
}

#[test]
fn only_what_the_client_permits_is_tried() {
    let check = |permitted: &[&str], expected: &str| {
        assert_eq!(names(&client(permitted)).unwrap(), expected, "{permitted:?}");
    };
    check(
        &[
            "ALLOW_ADMIN_USER_PASSWORD_AUTH",
            "ALLOW_USER_PASSWORD_AUTH",
            "ALLOW_USER_AUTH",
            "ALLOW_REFRESH_TOKEN_AUTH",
        ],
        "admin-create new-password admin-password user-password user-auth-password refresh rotated-refresh \
         set-password sign-out",
    );
    check(
        &["ALLOW_USER_AUTH", "ALLOW_USER_SRP_AUTH"],
        "admin-create new-password user-auth-password rotated-refresh set-password sign-out",
    );
    // The older names, with which a refresh is always permitted.
    check(
        &["ADMIN_NO_SRP_AUTH"],
        "admin-create new-password admin-password refresh rotated-refresh set-password sign-out",
    );
    let rotation = RefreshTokenRotationType::builder().feature(FeatureType::Enabled).build().unwrap();
    let mut rotating = client(&["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]);
    rotating.refresh_token_rotation = Some(rotation);
    let expected = "admin-create new-password user-password rotated-refresh set-password sign-out";
    assert_eq!(names(&rotating).unwrap(), expected);
    for none in [&["ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"][..], &[]] {
        assert_eq!(names(&client(none)), Err(Refusal::NoFlow));
    }
}

#[test]
fn the_calls_and_actions_are_those_of_the_flows() {
    let by_user = plan(&pool(), &client(&["ALLOW_USER_PASSWORD_AUTH"]), &wired()).unwrap();
    let calls = "AdminCreateUser InitiateAuth RespondToAuthChallenge GetTokensFromRefreshToken AdminSetUserPassword \
                 AdminUserGlobalSignOut AdminDeleteUser";
    assert_eq!(by_user.calls().join(" "), calls);
    let actions = by_user.actions().join(" ");
    assert!(!actions.contains("cognito-idp:InitiateAuth") && !actions.contains("AdminGetUser"), "{actions}");
    assert!(actions.starts_with("cognito-idp:DescribeUserPool "), "{actions}");
    let by_admin = plan(&pool(), &client(&["ALLOW_ADMIN_USER_PASSWORD_AUTH"]), &wired()).unwrap();
    assert!(by_admin.actions().contains(&"cognito-idp:AdminRespondToAuthChallenge".to_owned()));
}

#[test]
fn a_pool_that_a_test_user_cannot_go_through_is_refused() {
    let any = client(&["ALLOW_USER_PASSWORD_AUTH"]);
    let refused = |pool: UserPoolType| plan(&pool, &any, &wired()).unwrap_err();
    let named = |names| UserPoolType::builder().set_username_attributes(Some(names)).build();
    let (email, phone) = (UsernameAttributeType::Email, UsernameAttributeType::PhoneNumber);
    assert_eq!(refused(named(vec![phone.clone()])), Refusal::PhoneNumbers);
    assert!(plan(&named(vec![phone, email]), &any, &wired()).unwrap().names_are_addresses);
    let demanding = UserPoolType::builder().mfa_configuration(UserPoolMfaType::On).build();
    assert_eq!(refused(demanding), Refusal::SecondFactor);
    let attribute = |name: &str| SchemaAttributeType::builder().name(name).required(true).build();
    let schema = ["sub", "email", "birthdate", "custom:team"].map(attribute).to_vec();
    let demanding = UserPoolType::builder().set_schema_attributes(Some(schema)).build();
    assert_eq!(refused(demanding), Refusal::Attributes(vec!["birthdate".into(), "custom:team".into()]));
}

#[test]
fn a_trigger_that_is_not_ours_alone_is_refused() {
    assert_eq!(triggers_are_ours(&wired(), ARN), Ok(()));
    let theirs = LambdaConfigType::builder().post_confirmation(format!("{ARN}-of-theirs")).build();
    let refusal = triggers_are_ours(&theirs, ARN).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::NotOurs { triggers: vec!["PostConfirmation", "PostAuthentication"], arn: ARN.into() }
    );
    assert!(
        refusal.to_string().contains("PostConfirmation trigger and its PostAuthentication trigger"),
        "{refusal}"
    );
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(is_not_chained(ARN, &set(&["USER_SYNC_QUEUE_URL"])), Ok(()));
    assert_eq!(is_not_chained(ARN, &set(&[])), Err(Refusal::NotTheTrigger(ARN.into())));
    for chain in ["USER_SYNC_CHAIN_POST_CONFIRMATION", "USER_SYNC_CHAIN_POST_AUTHENTICATION"] {
        assert_eq!(is_not_chained(ARN, &set(&["USER_SYNC_QUEUE_URL", chain])), Err(Refusal::Chained(chain)));
    }
}

#[test]
fn other_triggers_are_named_and_those_that_no_test_user_fires_are_not() {
    let sms = CustomSmsLambdaVersionConfigType::builder();
    let sms = sms.lambda_version(CustomSmsSenderLambdaVersionType::V10).lambda_arn(ARN).build().unwrap();
    let busy = LambdaConfigType::builder()
        .pre_sign_up(ARN)
        .pre_authentication(ARN)
        .pre_token_generation(ARN)
        .user_migration(ARN)
        .custom_message(ARN)
        .custom_sms_sender(sms);
    let expected = [
        "PreSignUp",
        "PreAuthentication",
        "PreTokenGeneration",
        "UserMigration",
        "CustomMessage",
        "CustomSMSSender",
    ];
    assert_eq!(other_triggers(&busy.build()), expected);
    let challenges = LambdaConfigType::builder().define_auth_challenge(ARN).create_auth_challenge(ARN);
    assert_eq!(other_triggers(&challenges.verify_auth_challenge_response(ARN).build()), Vec::<&str>::new());
}
