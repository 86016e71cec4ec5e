//! Visitors whom a load balancer has signed in: its header says who they are, and their claims what they may. Must not know
//! cookies.

mod keys;
mod roles;
mod token;

use axum::http::{HeaderMap, HeaderName};
use cognito_user_sync_triggers::timestamp::Timestamp;
use ring::digest;
use serde_json::{Map, Value};

use self::keys::{Found, Keys};
use self::roles::Roles;
use self::token::{Expected, Token, Why};
use super::asked::{AskedOidc, Refused};
use super::origin::only;
use super::rights::Rights;

/// Where the load balancer says who it is.
const DATA: HeaderName = HeaderName::from_static("x-amzn-oidc-data");

/// The longest name that is shown and written down, in characters.
const NAME_MAX_CHARS: usize = 128;

/// Why nobody comes in by the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSignIn {
    /// There is none.
    Missing,
    /// It has expired: the load balancer makes the next one.
    Expired,
    /// It is not what our load balancer says.
    Forged,
    /// The key host is silent, so nobody can say.
    Later,
    /// It is, and its claims give no right.
    NoRole,
}

/// Somebody whom the load balancer has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedIn {
    pub(super) name: String,
    /// The same person at the same provider: what is revealed is bound to it.
    pub(super) session: String,
    /// By the claims alone.
    pub(super) rights: Rights,
}

/// Who is believed, and what for.
#[derive(Debug)]
pub(super) struct Oidc {
    expected: Expected,
    roles: Roles,
    name_claim: String,
    keys: Keys,
}

impl Oidc {
    pub(super) fn of(asked: &AskedOidc) -> Result<Self, Refused> {
        let signer = asked.load_balancer.clone().unwrap_or_default();
        let base = key_host(&signer).ok_or_else(|| Refused {
            setting: "--oidc-load-balancer",
            value: signer.clone(),
            remedy: "give the ARN of the Application Load Balancer, as arn:aws:elasticloadbalancing:eu-west-1:123456789012:\
                     loadbalancer/app/NAME/ID; load balancers of AWS's partitions aws and aws-us-gov are known"
                .to_owned(),
        })?;
        let missing = |setting: &'static str, remedy: &str| Refused {
            setting,
            value: String::new(),
            remedy: remedy.to_owned(),
        };
        let issuer = asked.issuer.clone().ok_or_else(|| {
            missing(
                "--oidc-issuer",
                "give the issuer of the load balancer's rule, such as https://idp.example.com",
            )
        })?;
        let client = asked.client.clone().ok_or_else(|| {
            missing("--oidc-client", "give the id of the client that the load balancer signs people in by")
        })?;
        let roles = Roles {
            claim: asked.claim.clone(),
            read: asked.read.clone(),
            reveal: asked.reveal.clone(),
            act: asked.act.clone(),
        };
        if [&roles.read, &roles.reveal, &roles.act].into_iter().all(Vec::is_empty) {
            let remedy =
                format!("name the values of the claim {:?} that may read, or nobody comes in", asked.claim);
            return Err(missing("--oidc-read", &remedy));
        }
        let keys = Keys::at(base, asked.keys_address);
        let expected = Expected { signer, issuer, client };
        Ok(Self { expected, roles, name_claim: asked.name_claim.clone(), keys })
    }

    /// Who sent this request, by the header alone.
    pub(super) async fn visitor(&self, headers: &HeaderMap, now: Timestamp) -> Result<SignedIn, NoSignIn> {
        let data = only(headers, &DATA).map_err(|()| NoSignIn::Forged)?.ok_or(NoSignIn::Missing)?;
        let claims = self.claims(data, now).await.map_err(|why| match why {
            None => NoSignIn::Later,
            Some(why) => {
                tracing::warn!(reason = %why, "a load balancer's header was refused");
                if why == Why::Expired { NoSignIn::Expired } else { NoSignIn::Forged }
            }
        })?;
        let rights = self.roles.rights(&claims);
        let sub = claims.get("sub").and_then(Value::as_str).ok_or(NoSignIn::Forged)?;
        if !rights.read {
            return Err(NoSignIn::NoRole);
        }
        Ok(SignedIn { name: self.name(&claims, sub), session: self.session(sub), rights })
    }

    /// What the load balancer says; `Err(None)` where nobody can say whether it does.
    async fn claims(&self, data: &str, now: Timestamp) -> Result<Map<String, Value>, Option<Why>> {
        let token = Token::read(data, &self.expected, now)?;
        match self.keys.find(token.key_id()).await {
            Found::Key(key) => Ok(token.verify(&key)?),
            Found::Missing => Err(Some(Why::NoKey)),
            Found::Unknown => Err(None),
        }
    }

    /// What somebody is called, which the trail keeps. An address that the provider does not vouch for is nobody's.
    fn name(&self, claims: &Map<String, Value>, sub: &str) -> String {
        let is_verified = match claims.get("email_verified") {
            Some(Value::String(word)) => word == "true",
            Some(other) => *other == Value::Bool(true),
            None => true,
        };
        let claimed =
            claims.get(&self.name_claim).and_then(Value::as_str).filter(|name| !name.trim().is_empty());
        let name = claimed.filter(|_| is_verified || self.name_claim != "email").unwrap_or(sub);
        name.chars().take(NAME_MAX_CHARS).collect()
    }

    fn session(&self, sub: &str) -> String {
        let whole = [&self.expected.issuer, "\0", &self.expected.client, "\0", sub].concat();
        let hash = digest::digest(&digest::SHA256, whole.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Where the keys of a load balancer's Region are: "Authenticate users using an Application Load Balancer", which names other
/// hosts for GovCloud. The Region is the ARN's own, not what a request says.
fn key_host(arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "elasticloadbalancing", region, account, resource] = parts[..] else {
        return None;
    };
    let is_region = (1..=32).contains(&region.len())
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if !is_region || !is_account || !resource.starts_with("loadbalancer/app/") {
        return None;
    }
    match partition {
        "aws" => Some(format!("https://public-keys.auth.elb.{region}.amazonaws.com")),
        "aws-us-gov" => Some(format!("https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_host_is_of_the_load_balancers_own_region() {
        let arn = |partition: &str, region: &str| {
            format!(
                "arn:{partition}:elasticloadbalancing:{region}:123456789012:loadbalancer/app/console/50dc6c495c0c9188"
            )
        };
        let host = key_host(&arn("aws", "eu-west-1"));
        assert_eq!(host.as_deref(), Some("https://public-keys.auth.elb.eu-west-1.amazonaws.com"));
        let host = key_host(&arn("aws-us-gov", "us-gov-west-1"));
        let expected = "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1";
        assert_eq!(host.as_deref(), Some(expected));
        let other =
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/console/50dc6c495c0c9188";
        for refused in [
            &arn("aws-cn", "cn-north-1"),
            &arn("aws", "evil.example/"),
            &arn("aws", ""),
            other,
            "",
            "arn:aws",
        ] {
            assert_eq!(key_host(refused), None, "{refused}");
        }
    }

    fn oidc() -> Oidc {
        let arn =
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/console/50dc6c495c0c9188";
        let some = |text: &str| Some(text.to_owned());
        Oidc::of(&AskedOidc {
            load_balancer: some(arn),
            issuer: some("https://idp.example.com"),
            client: some("client-1"),
            read: vec!["support".to_owned()],
            ..AskedOidc::default()
        })
        .unwrap()
    }

    #[test]
    fn a_name_is_what_the_provider_vouches_for() {
        let oidc = oidc();
        let name = |claims: Value| oidc.name(claims.as_object().unwrap(), "sub-1");
        assert_eq!(name(json!({ "email": "ada@example.com" })), "ada@example.com");
        for verified in [json!(true), json!("true")] {
            assert_eq!(
                name(json!({ "email": "ada@example.com", "email_verified": verified })),
                "ada@example.com"
            );
        }
        for unverified in [json!(false), json!("false"), json!(null), json!(1)] {
            assert_eq!(name(json!({ "email": "ada@example.com", "email_verified": unverified })), "sub-1");
        }
        assert_eq!(name(json!({ "email": " " })), "sub-1");
        assert_eq!(name(json!({ "email": "a".repeat(9_000) })).len(), 128);
    }

    #[test]
    fn a_session_is_one_persons_and_says_not_whose() {
        let oidc = oidc();
        assert_eq!(oidc.session("sub-1"), oidc.session("sub-1"));
        assert_ne!(oidc.session("sub-1"), oidc.session("sub-2"));
        assert!(!oidc.session("sub-1").contains("sub"));
    }
}
