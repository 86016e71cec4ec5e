//! Generates a morning of sign-ups and logins, as Cognito reports them, of invented people with reserved addresses. Must
//! not know where they are sent.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::referral_code;

/// One call of the trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When Cognito makes it.
    pub at: Timestamp,
    /// The event, as Cognito sends it.
    pub payload: String,
    /// Whether it is a login by the documented rule.
    pub is_login: bool,
}

const FIRST_NAMES: [&str; 12] =
    ["Ada", "Bruno", "Chidi", "Dalia", "Emre", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kavya", "Luis"];
const LAST_NAMES: [&str; 7] = ["Okafor", "Silva", "Novak", "Haddad", "Lindqvist", "Tanaka", "Moreau"];
const LOCALES: [&str; 6] = ["en-US", "pt-BR", "de-DE", "fr-FR", "ja-JP", "en-GB"];
const DEVICES: [(&str, &str); 3] = [
    ("Mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"),
    ("Desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Tablet", "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15"),
];

/// How a user comes in; users take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    EmailSignUp,
    PhoneSignUp,
    FederatedFirstSignIn,
    CreatedByAdministrator,
    ForgottenPassword,
    ReferredSignUp,
}

const STORIES: [Story; 6] = [
    Story::EmailSignUp,
    Story::PhoneSignUp,
    Story::FederatedFirstSignIn,
    Story::CreatedByAdministrator,
    Story::ForgottenPassword,
    Story::ReferredSignUp,
];

/// The calls of `users` users, between `from` and `to`, in no order. The users come in one after another in the
/// first half of that time, so the first of any run are one of each story.
#[must_use]
pub fn morning(users: usize, from: Timestamp, to: Timestamp) -> Vec<Call> {
    let mut random = fastrand::Rng::new();
    let mut first_user = None;
    let mut calls = Vec::new();
    let first_half = from.unix_millis()..(from.unix_millis() + to.unix_millis()) / 2;
    let apart = usize::try_from(first_half.end - first_half.start).unwrap_or(usize::MAX) / users.max(1);
    for (number, arrives) in first_half.step_by(apart.max(1)).enumerate().take(users) {
        let user = User::new(number, &mut random);
        let referrer = *first_user.get_or_insert(user.sub);
        user.live(referrer, arrives, to, &mut random, &mut calls);
    }
    random.shuffle(&mut calls);
    calls
}

struct User {
    number: usize,
    sub: Uuid,
    story: Story,
    given_name: &'static str,
    family_name: &'static str,
    locale: &'static str,
}

impl User {
    fn new(number: usize, random: &mut fastrand::Rng) -> Self {
        let pick =
            |list: &[&'static str], index: usize| list.get(index % list.len()).copied().unwrap_or("Ada");
        Self {
            number,
            sub: uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid(),
            story: STORIES.get(number % STORIES.len()).copied().unwrap_or(Story::EmailSignUp),
            given_name: pick(&FIRST_NAMES, number),
            family_name: pick(&LAST_NAMES, number / 3),
            locale: pick(&LOCALES, number / 2),
        }
    }

    fn live(
        &self,
        referrer: Uuid,
        mut now: u64,
        to: Timestamp,
        random: &mut fastrand::Rng,
        calls: &mut Vec<Call>,
    ) {
        let mut call = |payload: Value, is_login: bool, random: &mut fastrand::Rng| {
            calls.push(Call { at: Timestamp::from_unix_millis(now), payload: payload.to_string(), is_login });
            now = random.u64(now..=to.unix_millis()).min(now + 3_600_000);
        };
        let metadata = self.metadata(random);
        let first = match self.story {
            Story::EmailSignUp | Story::PhoneSignUp | Story::ForgottenPassword => {
                Some(self.event("PostConfirmation_ConfirmSignUp", Some(metadata)))
            }
            Story::FederatedFirstSignIn => Some(self.event("PostConfirmation_ConfirmSignUp", None)),
            Story::ReferredSignUp => {
                let mut metadata = metadata;
                if let Some(members) = metadata.as_object_mut() {
                    members.insert("referral_code".into(), referral_code(referrer).into());
                }
                Some(self.event("PostConfirmation_ConfirmSignUp", Some(metadata)))
            }
            Story::CreatedByAdministrator => None,
        };
        if let Some(first) = first {
            call(first, self.story == Story::FederatedFirstSignIn, random);
        }
        if self.story == Story::ForgottenPassword {
            call(self.event("PostConfirmation_ConfirmForgotPassword", None), false, random);
        }
        for login in 0..random.usize(1..=4) {
            // InitiateAuth brings no ClientMetadata to PostAuthentication; RespondToAuthChallenge (an OTP) does.
            let metadata =
                (login % 2 == 0 || self.story == Story::PhoneSignUp).then(|| self.metadata(random));
            let mut event = self.event("PostAuthentication_Authentication", metadata);
            let is_stale = self.story == Story::CreatedByAdministrator && login == 0;
            if let Some(status) =
                event.pointer_mut("/request/userAttributes/cognito:user_status").filter(|_| is_stale)
            {
                *status = "FORCE_CHANGE_PASSWORD".into();
            }
            call(event, true, random);
        }
    }

    fn event(&self, source: &str, metadata: Option<Value>) -> Value {
        let is_federated = self.story == Story::FederatedFirstSignIn;
        let status = if is_federated { "EXTERNAL_PROVIDER" } else { "CONFIRMED" };
        let mut attributes = json!({
            "sub": self.sub,
            "cognito:user_status": status,
            "given_name": self.given_name,
            "family_name": self.family_name,
            "locale": self.locale,
        });
        if let Some(members) = attributes.as_object_mut() {
            if self.story == Story::PhoneSignUp {
                members.insert("phone_number".into(), format!("+1206555{:04}", self.number % 10_000).into());
                members.insert("phone_number_verified".into(), "true".into());
            } else {
                let name = format!("{}.{}.{}", self.given_name, self.family_name, self.number).to_lowercase();
                members.insert("email".into(), format!("{name}@example.com").into());
                members.insert("email_verified".into(), (!is_federated).to_string().into());
            }
        }
        let user_name = if is_federated {
            format!("Google_{}", self.sub.as_u128() % 1_000_000_007)
        } else {
            self.sub.to_string()
        };
        let mut event = json!({
            "version": "1",
            "triggerSource": source,
            "region": "eu-west-1",
            "userPoolId": "eu-west-1_DemoPool1",
            "userName": user_name,
            "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "5demoappclient0" },
            "request": { "userAttributes": attributes },
            "response": {},
        });
        if let (Some(metadata), Some(request)) =
            (metadata, event.get_mut("request").and_then(Value::as_object_mut))
        {
            request.insert("clientMetadata".into(), metadata);
        }
        event
    }

    fn metadata(&self, random: &mut fastrand::Rng) -> Value {
        let (device, user_agent) = random.choice(DEVICES).unwrap_or(("Desktop", ""));
        json!({
            "ip": format!("203.0.113.{}", random.u8(1..=254)),
            "user_agent": user_agent,
            "device": device,
            "location": self.locale.split('-').next_back().unwrap_or_default(),
        })
    }
}
