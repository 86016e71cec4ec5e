//! A user pool that is as strict as Cognito where the emulator is lenient: what an update does not send is reset,
//! what cannot be set or contradicts itself is refused, and it has settings that no SDK knows.
//!
//! Each rule is AWS's ("UpdateUserPool", "AdminCreateUserConfigType", "LambdaConfigType", "SetUserPoolMfaConfig",
//! Amazon Cognito user pools API reference), or stricter than what AWS was seen to do. A request whose signature
//! does not fit its body is refused like everything else that is wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::retry::RetryConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::pool;

pub const ID: &str = "eu-west-1_Strict123";

const READ_ONLY: [&str; 15] = [
    "Id",
    "Arn",
    "Name",
    "Status",
    "LastModifiedDate",
    "CreationDate",
    "SchemaAttributes",
    "AliasAttributes",
    "UsernameAttributes",
    "UsernameConfiguration",
    "EstimatedNumberOfUsers",
    "SmsConfigurationFailure",
    "EmailConfigurationFailure",
    "Domain",
    "CustomDomain",
];

/// The pool, served on a loopback port until the test's runtime ends.
pub struct StrictPool {
    pub client: Client,
    pub endpoint: String,
    shared: Arc<Mutex<Pool>>,
}

/// What the server holds, for tests to see and to change.
#[derive(Default)]
pub struct Pool {
    /// As DescribeUserPool says it.
    pub settings: Map<String, Value>,
    /// As GetUserPoolMfaConfig says it.
    pub mfa: Map<String, Value>,
    /// The requests of UpdateUserPool that were taken.
    pub updates: Vec<Value>,
    /// How often SetUserPoolMfaConfig was taken.
    pub mfa_updates: u32,
    pub faults: Faults,
    /// As ListUserPoolReplicas says it.
    pub replicas: Vec<Value>,
    /// The triggers that DescribeUserPool says where another Region than the pool's is asked.
    pub elsewhere: BTreeMap<String, Value>,
    /// The tags of Lambda functions, by ARN without a qualifier; `null` is a function that does not exist. Others have none.
    pub functions: BTreeMap<String, Value>,
    /// Of which functions Lambda was asked for the tags.
    pub tags_asked: Vec<String>,
    former: Map<String, Value>,
    changed_at: Option<Instant>,
}

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    /// These operations are refused by IAM, with these sentences.
    pub denied: Vec<(&'static str, &'static str)>,
    /// These are so from the first update on.
    pub denied_later: Vec<(&'static str, &'static str)>,
    /// A setting that every update resets, whatever is sent.
    pub resets: Option<&'static str>,
    /// Every update turns the software token off.
    pub loses_factors: bool,
    /// So many descriptions after an update are those of before.
    pub stale: u32,
    /// After so many descriptions, somebody else has changed the pool.
    pub edits: u32,
    /// So many updates meet another one.
    pub concurrent: u32,
    /// So many updates fail without a word, and somebody else changes the pool before the next one.
    pub failing: u32,
    /// After an update the pool is not described any more.
    pub undescribed: bool,
    /// So many updates are done, and their answer is lost.
    pub lost: u32,
    /// After so many answers of GetUserPoolMfaConfig, somebody else has changed a factor.
    pub mfa_edits: u32,
    /// An update that comes sooner after another change is refused, as meeting it.
    pub busy: Duration,
    /// Every update loses the two triggers at once: somebody else takes them away.
    pub strips: bool,
    /// Somebody else changes this right after the next update.
    pub followed: Option<(&'static str, Value)>,
    /// A secondary replica: only what each Region has of its own can be set.
    pub is_secondary: bool,
    /// After so many updates, the primary's next setting has arrived.
    pub replicates: u32,
    /// These operations do not exist in this Region.
    pub not_enabled: Vec<&'static str>,
    pub gone: bool,
}

impl StrictPool {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (settings, mfa) = every_setting();
        let shared = Arc::new(Mutex::new(Pool { settings, mfa, ..Pool::default() }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // As every program has it: the SDK itself sends nothing twice.
        let config = pool::client(&endpoint).config().to_builder().retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()), endpoint, shared }
    }

    pub fn pool(&self) -> MutexGuard<'_, Pool> {
        self.shared.lock().unwrap()
    }

    pub fn trigger(&self, name: &str) -> Option<String> {
        Some(self.pool().settings["LambdaConfig"].get(name)?.as_str()?.to_owned())
    }

    /// Sets a trigger as somebody else would; `None` removes it.
    pub fn set_trigger(&self, name: &str, arn: Option<&str>) {
        let mut pool = self.pool();
        let config = pool.settings["LambdaConfig"].as_object_mut().unwrap();
        match arn {
            Some(arn) => config.insert(name.to_owned(), arn.into()),
            None => config.remove(name),
        };
    }

    /// Changes one setting as somebody else's update would, and returns its former value.
    pub fn edit(&self, name: &str, value: Value) -> Option<Value> {
        let mut pool = self.pool();
        let former = pool.settings.insert(name.to_owned(), value);
        pool.touch();
        former
    }

    /// Takes both triggers away, as an update does that does not send them.
    pub fn strip(&self) {
        for name in ["PostConfirmation", "PostAuthentication"] {
            self.set_trigger(name, None);
        }
        self.pool().touch();
    }

    /// Everything but the two triggers and the time of the last change.
    pub fn others(&self) -> Value {
        let pool = self.pool();
        let mut settings = pool.settings.clone();
        settings.remove("LastModifiedDate");
        for name in ["PostConfirmation", "PostAuthentication"] {
            settings["LambdaConfig"].as_object_mut().unwrap().remove(name);
        }
        json!([settings, pool.mfa])
    }
}

/// A pool with every setting that there is set, and some that there are not yet.
fn every_setting() -> (Map<String, Value>, Map<String, Value>) {
    let function = |name: &str| format!("arn:aws:lambda:eu-west-1:111122223333:function:{name}");
    let sms = json!({
        "SnsCallerArn": "arn:aws:iam::111122223333:role/sms", "ExternalId": "external", "SnsRegion": "eu-west-1"
    });
    let settings = json!({
        "Id": ID,
        "Name": "Everything",
        "Arn": format!("arn:aws:cognito-idp:eu-west-1:111122223333:userpool/{ID}"),
        "Status": "Enabled",
        "CreationDate": 1_700_000_000.25,
        "LastModifiedDate": 1_700_000_001.5,
        "EstimatedNumberOfUsers": 12,
        "SchemaAttributes": [{ "Name": "sub", "AttributeDataType": "String", "Required": true }],
        "AliasAttributes": ["email"],
        "UsernameAttributes": ["email"],
        "UsernameConfiguration": { "CaseSensitive": false },
        "Domain": "everything",
        "CustomDomain": "auth.example.com",
        "SmsConfigurationFailure": "",
        "EmailConfigurationFailure": null,
        "Policies": {
            "PasswordPolicy": {
                "MinimumLength": 12, "RequireUppercase": false, "RequireLowercase": true, "RequireNumbers": false,
                "RequireSymbols": true, "PasswordHistorySize": 3, "TemporaryPasswordValidityDays": 2
            },
            "SignInPolicy": { "AllowedFirstAuthFactors": ["PASSWORD", "WEB_AUTHN"] }
        },
        "DeletionProtection": "ACTIVE",
        "LambdaConfig": {
            "PreSignUp": function("pre-sign-up"), "CustomMessage": function("custom-message"),
            "PreAuthentication": function("pre-authentication"),
            "PostConfirmation": function("theirs:live"),
            "DefineAuthChallenge": function("define"), "CreateAuthChallenge": function("create"),
            "VerifyAuthChallengeResponse": function("verify"), "UserMigration": function("migration"),
            "PreTokenGeneration": function("tokens"),
            "PreTokenGenerationConfig": { "LambdaVersion": "V2_0", "LambdaArn": function("tokens") },
            "CustomSMSSender": { "LambdaVersion": "V1_0", "LambdaArn": function("sms") },
            "CustomEmailSender": { "LambdaVersion": "V1_0", "LambdaArn": function("email") },
            "KMSKeyID": "arn:aws:kms:eu-west-1:111122223333:key/abc",
            "InboundFederation": { "LambdaVersion": "V1_0", "LambdaArn": function("federation") },
            "FutureTrigger": { "LambdaArn": function("future") }
        },
        "AutoVerifiedAttributes": ["email", "phone_number"],
        "SmsVerificationMessage": "sms {####}",
        "EmailVerificationMessage": "email {####}",
        "EmailVerificationSubject": "subject",
        "VerificationMessageTemplate": {
            "SmsMessage": "sms {####}", "EmailMessage": "email {####}", "EmailSubject": "subject",
            "EmailMessageByLink": "{##here##}", "EmailSubjectByLink": "link", "DefaultEmailOption": "CONFIRM_WITH_LINK"
        },
        "SmsAuthenticationMessage": "code {####}",
        "UserAttributeUpdateSettings": { "AttributesRequireVerificationBeforeUpdate": ["email"] },
        "MfaConfiguration": "OPTIONAL",
        "DeviceConfiguration": { "ChallengeRequiredOnNewDevice": true, "DeviceOnlyRememberedOnUserPrompt": false },
        "EmailConfiguration": {
            "SourceArn": "arn:aws:ses:eu-west-1:111122223333:identity/example.com", "From": "A <a@example.com>",
            "ReplyToEmailAddress": "b@example.com", "EmailSendingAccount": "DEVELOPER", "ConfigurationSet": "set"
        },
        "SmsConfiguration": sms,
        "UserPoolTags": { "team": "identity", "aws:cloudformation:stack-name": "auth" },
        "AdminCreateUserConfig": {
            "AllowAdminCreateUserOnly": true, "UnusedAccountValidityDays": 2,
            "InviteMessageTemplate": { "SMSMessage": "{username} {####}", "EmailMessage": "{username} {####}", "EmailSubject": "in" }
        },
        "UserPoolAddOns": {
            "AdvancedSecurityMode": "ENFORCED", "AdvancedSecurityAdditionalFlows": { "CustomAuthMode": "AUDIT" }
        },
        "AccountRecoverySetting": { "RecoveryMechanisms": [{ "Priority": 1, "Name": "verified_email" }] },
        "UserPoolTier": "PLUS",
        "FutureSetting": { "Deep": { "List": [1, 2.5, null, "x"], "Flag": false } },
        "FutureWord": "later"
    });
    let mfa = json!({
        "MfaConfiguration": "OPTIONAL",
        "SoftwareTokenMfaConfiguration": { "Enabled": true },
        "EmailMfaConfiguration": { "Message": "mfa {####}", "Subject": "mfa" },
        "WebAuthnConfiguration": { "RelyingPartyId": "example.com", "UserVerification": "required" },
        "FutureFactor": { "Enabled": true }
    });
    (object(settings), object(mfa))
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("{value} is no object") };
    members
}

type Refusal = (&'static str, String);

async fn serve(
    State(shared): State<Arc<Mutex<Pool>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut pool = shared.lock().unwrap();
    if let Some(arn) = uri.path().strip_prefix("/2017-03-31/tags/") {
        let (status, answer) = pool.tags_of(&arn.replace("%3A", ":"));
        let headers = [("x-amzn-errortype", answer["code"].as_str().unwrap_or_default().to_owned())];
        return (status, headers, answer.to_string()).into_response();
    }
    let target = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let scope = headers["authorization"].to_str().unwrap();
    let region = scope.split('/').nth(2).unwrap();
    let answered = match is_signed(&headers, &body) {
        true => pool.answer(&target, region, object(serde_json::from_slice(&body).unwrap())),
        false => Err(("InvalidSignatureException", "the signature does not fit".to_owned())),
    };
    match answered {
        Ok(answer) => answer.to_string().into_response(),
        Err((code, message)) => {
            let error = json!({ "__type": code, "message": message }).to_string();
            let is_internal = code == "InternalErrorException";
            let status =
                if is_internal { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
            (status, error).into_response()
        }
    }
}

impl Pool {
    /// Lambda's ListTags, which takes no version and no alias.
    fn tags_of(&mut self, arn: &str) -> (StatusCode, Value) {
        self.tags_asked.push(arn.to_owned());
        if self.faults.denied.iter().any(|(denied, _)| *denied == "ListTags") {
            return (StatusCode::FORBIDDEN, json!({ "code": "AccessDeniedException" }));
        }
        assert_eq!(arn.matches(':').count(), 6, "{arn}");
        match self.functions.get(arn) {
            Some(Value::Null) => (StatusCode::NOT_FOUND, json!({ "code": "ResourceNotFoundException" })),
            tags => (StatusCode::OK, json!({ "Tags": tags.unwrap_or(&json!({})) })),
        }
    }

    fn answer(
        &mut self,
        operation: &str,
        region: &str,
        request: Map<String, Value>,
    ) -> Result<Value, Refusal> {
        if let Some((_, message)) = self.faults.denied.iter().find(|(denied, _)| *denied == operation) {
            return Err(("AccessDeniedException", (*message).to_owned()));
        }
        if self.faults.not_enabled.contains(&operation) {
            return Err(("OperationNotEnabledException", operation.to_owned()));
        }
        if self.faults.gone || request["UserPoolId"] != ID {
            return Err(("ResourceNotFoundException", format!("User pool {ID} does not exist.")));
        }
        match operation {
            "DescribeUserPool" if self.faults.undescribed && !self.updates.is_empty() => {
                Err(("InternalErrorException", String::new()))
            }
            "DescribeUserPool" => Ok(match self.elsewhere.get(region) {
                Some(triggers) => json!({ "UserPool": { "Id": ID, "LambdaConfig": triggers } }),
                None => json!({ "UserPool": self.describe() }),
            }),
            "ListUserPoolReplicas" => Ok(json!({ "UserPoolReplicas": self.replicas })),
            "GetUserPoolMfaConfig" => {
                let answer = self.mfa.clone();
                if self.faults.mfa_edits > 0 {
                    self.faults.mfa_edits -= 1;
                    self.mfa["EmailMfaConfiguration"]["Subject"] = "another".into();
                }
                Ok(answer.into())
            }
            "UpdateUserPool" if self.faults.failing > 0 => {
                self.faults.failing -= 1;
                self.settings.insert("SmsAuthenticationMessage".into(), "meanwhile {####}".into());
                self.touch();
                Err(("InternalErrorException", String::new()))
            }
            "UpdateUserPool" if self.faults.lost > 0 => {
                self.faults.lost -= 1;
                self.update(request)?;
                Err(("InternalErrorException", String::new()))
            }
            "UpdateUserPool" => self.update(request),
            "SetUserPoolMfaConfig" => self.set_mfa(request),
            _ => Err(("UnknownOperationException", operation.to_owned())),
        }
    }

    fn describe(&mut self) -> Map<String, Value> {
        if self.faults.stale > 0 && !self.former.is_empty() {
            self.faults.stale -= 1;
            return self.former.clone();
        }
        let described = self.settings.clone();
        if self.faults.edits > 0 {
            self.faults.edits -= 1;
            self.settings
                .insert("SmsAuthenticationMessage".into(), format!("edit {}", self.faults.edits).into());
            self.touch();
        }
        described
    }

    fn touch(&mut self) {
        self.changed_at = Some(Instant::now());
        let at = self.settings["LastModifiedDate"].as_f64().unwrap();
        self.settings.insert("LastModifiedDate".into(), (at + 1.0).into());
    }

    fn update(&mut self, request: Map<String, Value>) -> Result<Value, Refusal> {
        let is_busy = self.changed_at.is_some_and(|at| at.elapsed() < self.faults.busy);
        if self.faults.concurrent > 0 || is_busy {
            self.faults.concurrent = self.faults.concurrent.saturating_sub(1);
            return Err(("ConcurrentModificationException", "busy".to_owned()));
        }
        self.check(&request)?;
        self.former = self.settings.clone();
        let mut after: Map<_, _> = self.former.clone();
        after.retain(|name, _| READ_ONLY.contains(&name.as_str()));
        for (name, default) in [
            ("MfaConfiguration", json!("OFF")),
            ("DeletionProtection", json!("INACTIVE")),
            ("UserPoolTier", json!("ESSENTIALS")),
            ("EmailConfiguration", json!({ "EmailSendingAccount": "COGNITO_DEFAULT" })),
            (
                "Policies",
                json!({ "PasswordPolicy": { "MinimumLength": 8, "TemporaryPasswordValidityDays": 7 } }),
            ),
            ("AdminCreateUserConfig", json!({ "AllowAdminCreateUserOnly": false })),
            ("UserPoolTags", json!({})),
            ("LambdaConfig", json!({})),
        ] {
            after.insert(name.to_owned(), default);
        }
        after.extend(request.clone());
        after.remove("UserPoolId");
        if let Some(name) = after.remove("PoolName") {
            after.insert("Name".into(), name);
        }
        // What AWS itself tagged stays, and what replaced an old setting is described in its place too.
        let own = self.former["UserPoolTags"].as_object().unwrap().iter();
        let own: Vec<_> = own.filter(|(key, _)| key.starts_with("aws:")).collect();
        for (key, value) in own {
            after["UserPoolTags"][key] = value.clone();
        }
        for (old, new) in MIRRORED {
            if let Some(value) =
                after.get("VerificationMessageTemplate").and_then(|template| template.get(new))
            {
                let value = value.clone();
                after.insert(old.into(), value);
            }
        }
        let days = after["Policies"]["PasswordPolicy"]["TemporaryPasswordValidityDays"].clone();
        after["AdminCreateUserConfig"]["UnusedAccountValidityDays"] = days;
        if let Some(name) = self.faults.resets {
            after.remove(name);
        }
        if self.faults.is_secondary {
            self.check_global(&after)?;
        }
        if after["MfaConfiguration"] == "OFF" {
            self.mfa.retain(|name, _| name == "WebAuthnConfiguration");
        }
        let mode = after["MfaConfiguration"].clone();
        self.mfa.insert("MfaConfiguration".into(), mode);
        if self.faults.loses_factors {
            self.mfa.remove("SoftwareTokenMfaConfiguration");
        }
        self.settings = after;
        if let Some((name, value)) = self.faults.followed.take() {
            self.settings.insert(name.to_owned(), value);
        }
        if self.faults.strips {
            let config = self.settings["LambdaConfig"].as_object_mut().unwrap();
            config.retain(|name, _| !matches!(name.as_str(), "PostConfirmation" | "PostAuthentication"));
        }
        if self.faults.replicates > 0 {
            self.faults.replicates -= 1;
            self.settings.insert("SmsAuthenticationMessage".into(), "the primary's {####}".into());
        }
        self.touch();
        let later = std::mem::take(&mut self.faults.denied_later);
        self.faults.denied.extend(later);
        self.updates.push(request.into());
        Ok(json!({}))
    }

    fn check(&self, request: &Map<String, Value>) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(("InvalidParameterException", message.to_owned()));
        let at = |pointer: &str| Value::Object(request.clone()).pointer(pointer).cloned();
        if let Some(name) = READ_ONLY.iter().find(|name| request.contains_key(**name)) {
            return refuse(&format!("{name} cannot be set"));
        }
        if let Some((name, _)) = request.iter().find(|(_, value)| value.is_null() || **value == json!("")) {
            return refuse(&format!(
                "1 validation error detected: Value at '{name}' failed to satisfy constraint"
            ));
        }
        let temporary = self.settings["Policies"]["PasswordPolicy"].get("TemporaryPasswordValidityDays");
        if temporary.is_some() && at("/AdminCreateUserConfig/UnusedAccountValidityDays").is_some() {
            return refuse(
                "Please use TemporaryPasswordValidityDays in PasswordPolicy instead of UnusedAccountValidityDays",
            );
        }
        let mirrored =
            MIRRORED.map(|(old, new)| (format!("/{old}"), format!("/VerificationMessageTemplate/{new}")));
        let tokens = ["/LambdaConfig/PreTokenGeneration", "/LambdaConfig/PreTokenGenerationConfig/LambdaArn"];
        let tokens = tokens.map(str::to_owned).into();
        for (old, new) in mirrored.into_iter().chain([tokens]) {
            if at(&old).is_some() && at(&new).is_some() && at(&old) != at(&new) {
                return refuse(&format!("{old} and {new} differ"));
            }
        }
        let tags = at("/UserPoolTags").unwrap_or_default();
        if tags.as_object().is_some_and(|tags| tags.keys().any(|key| key.starts_with("aws:"))) {
            return refuse("aws: prefixed tag key names are not allowed for external use.");
        }
        let is_on = at("/MfaConfiguration").is_some_and(|mode| mode != "OFF");
        if is_on
            && !self.mfa.keys().any(|name| name.ends_with("MfaConfiguration") && name != "MfaConfiguration")
        {
            return refuse("Cannot turn MFA functionality ON, once the user pool has been created.");
        }
        Ok(())
    }

    /// "Both global and regional settings must be provided as inputs, with global settings required to match existing
    /// values" (UpdateUserPool).
    fn check_global(&self, after: &Map<String, Value>) -> Result<(), Refusal> {
        const REGIONAL: [&str; 4] =
            ["EmailConfiguration", "SmsConfiguration", "LambdaConfig", "UserPoolTags"];
        let names =
            self.settings.keys().chain(after.keys()).filter(|name| !REGIONAL.contains(&name.as_str()));
        let is_set = |value: &&Value| !value.is_null() && **value != json!("");
        let is_same =
            |name: &String| self.settings.get(name).filter(is_set) == after.get(name).filter(is_set);
        match names.into_iter().find(|name| !is_same(name)) {
            Some(name) => Err(("InvalidParameterException", format!("{name} is set in the primary Region"))),
            None => Ok(()),
        }
    }

    fn set_mfa(&mut self, mut request: Map<String, Value>) -> Result<Value, Refusal> {
        request.remove("UserPoolId");
        let factors = request.keys().filter(|name| name.ends_with("MfaConfiguration")).count() - 1;
        if request["MfaConfiguration"] == "OFF" && factors > 0 {
            let message =
                "Invalid MFA configuration given, can't turn off MFA and configure an MFA together.";
            return Err(("InvalidParameterException", message.to_owned()));
        }
        self.mfa = request;
        self.mfa_updates += 1;
        Ok(self.mfa.clone().into())
    }
}

const MIRRORED: [(&str, &str); 3] = [
    ("SmsVerificationMessage", "SmsMessage"),
    ("EmailVerificationMessage", "EmailMessage"),
    ("EmailVerificationSubject", "EmailSubject"),
];

/// Whether the request is signed as it is: "Create a signed AWS API request" (IAM User Guide).
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let value = |name: &str| headers[name].to_str().unwrap().trim().to_owned();
    let authorization = value("authorization");
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap().trim().to_owned()
    };
    let (signed_headers, scope) = (part("SignedHeaders"), part("Credential"));
    let (_, scope) = scope.split_once('/').unwrap();
    let canonical: String = signed_headers.split(';').fold(String::new(), |mut lines, name| {
        writeln!(lines, "{name}:{}", value(name)).unwrap();
        lines
    });
    let request = format!("POST\n/\n\n{canonical}\n{signed_headers}\n{}", hex(&Sha256::digest(body)));
    let text =
        format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", value("x-amz-date"), hex(&Sha256::digest(request)));
    let key = scope.split('/').fold(b"AWS4test".to_vec(), |key, part| hmac(&key, part.as_bytes()));
    hex(&hmac(&key, text.as_bytes())) == part("Signature")
}

/// RFC 2104, for keys of at most a block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad =
        |with: u8| -> Vec<u8> { (0..64).map(|n| key.get(n).copied().unwrap_or_default() ^ with).collect() };
    let inner = Sha256::digest([&pad(0x36), text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
