//! What whoever starts the console asks for, and what of it is refused. Pure: must not know where it was written.

use std::net::SocketAddr;

use axum::http::uri::Authority;
use secrecy::{ExposeSecret as _, SecretString};

use super::oidc::Oidc;
use super::origin::Place;
use super::rights::{Right, Rights};
use super::seal::{KEY_MIN_BYTES, NoRandomness, Seal, random};

/// How people come in, and what they may.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where the console listens.
    pub listen: SocketAddr,
    /// The name under which TLS stands in front.
    pub behind_tls: Option<String>,
    /// What anybody may at most; reading is always among it.
    pub allow: Vec<Right>,
    /// What sessions are signed with; else random, so that they end with the process.
    pub key: Option<SecretString>,
    /// What whoever comes in by a one-time link is called.
    pub name: String,
    /// The load balancer that signs people in, in place of one-time links.
    pub oidc: AskedOidc,
}

/// How a load balancer signs people in.
#[derive(Debug, Clone)]
pub struct AskedOidc {
    /// Its ARN, which each header must name as its signer.
    pub load_balancer: Option<String>,
    /// The issuer of its rule.
    pub issuer: Option<String>,
    /// The id of its client at the issuer.
    pub client: Option<String>,
    /// The claim that gives rights.
    pub claim: String,
    /// The values of it that may read.
    pub read: Vec<String>,
    /// The values of it that may read and reveal.
    pub reveal: Vec<String>,
    /// The values of it that may read and act.
    pub act: Vec<String>,
    /// The claim that names people.
    pub name_claim: String,
    /// What is dialled in place of the key host, whose certificate it must have.
    pub keys_address: Option<SocketAddr>,
}

impl Default for AskedOidc {
    fn default() -> Self {
        Self {
            load_balancer: None,
            issuer: None,
            client: None,
            claim: "groups".to_owned(),
            read: Vec::new(),
            reveal: Vec::new(),
            act: Vec::new(),
            name_claim: "email".to_owned(),
            keys_address: None,
        }
    }
}

impl AskedOidc {
    /// The first setting that means nothing without a load balancer.
    fn without_load_balancer(&self) -> Option<(&'static str, String)> {
        let values = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        let settings = [
            ("--oidc-issuer", self.issuer.clone()),
            ("--oidc-client", self.client.clone()),
            ("--oidc-read", values(&self.read)),
            ("--oidc-reveal", values(&self.reveal)),
            ("--oidc-act", values(&self.act)),
            ("--oidc-keys-address", self.keys_address.map(|address| address.to_string())),
        ];
        settings.into_iter().find_map(|(setting, value)| Some((setting, value?)))
    }
}

/// What was asked for is not safe, or means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {}: {remedy}", shown(value))]
pub struct Refused {
    /// The option.
    pub setting: &'static str,
    /// What it is; never a secret. Empty where it is not given.
    pub value: String,
    /// What to do.
    pub remedy: String,
}

fn shown(value: &str) -> String {
    if value.is_empty() { "is not given".to_owned() } else { format!("is {value:?}") }
}

/// Access could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// By what was asked for.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// By the system.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// How people come in.
#[derive(Debug)]
pub(super) enum Way {
    /// By a one-time link; this is what they are called.
    Link(String),
    /// By the load balancer's header.
    Oidc(Box<Oidc>),
}

/// What was asked for, if it is safe.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) place: Place,
    pub(super) allow: Rights,
    pub(super) seal: Seal,
    pub(super) way: Way,
}

impl Asked {
    pub(super) fn grant(self) -> Result<Granted, SetupError> {
        let place = self.place()?;
        let way = match (&self.oidc.load_balancer, self.oidc.without_load_balancer()) {
            (Some(_), _) => Way::Oidc(Box::new(Oidc::of(&self.oidc)?)),
            (None, None) => Way::Link(self.name),
            (None, Some((setting, value))) => {
                let remedy =
                    "give the ARN of the load balancer that signs people in by --oidc-load-balancer, too";
                return Err(Refused { setting, value, remedy: remedy.to_owned() }.into());
            }
        };
        if let (Way::Oidc(_), Place::Loopback) = (&way, &place) {
            let remedy = "give the name that the load balancer has a certificate of, as --behind-tls console.example.com, \
                          since people are signed in there";
            let (setting, value) = ("--behind-tls", String::new());
            return Err(Refused { setting, value, remedy: remedy.to_owned() }.into());
        }
        let allow = Rights::of(&[&self.allow[..], &[Right::Read]].concat());
        Ok(Granted { place, allow, seal: seal(self.key.as_ref())?, way })
    }

    fn place(&self) -> Result<Place, Refused> {
        match &self.behind_tls {
            Some(name) => {
                let is_name = name.parse().is_ok_and(|authority: Authority| authority.host().contains('.'));
                if !is_name || name.contains('@') {
                    let remedy = "give a host's name, with its port if that is not 443, as console.example.com";
                    let (setting, value) = ("--behind-tls", name.clone());
                    return Err(Refused { setting, value, remedy: remedy.to_owned() });
                }
                let name = name.to_ascii_lowercase();
                Ok(Place::Behind(name.strip_suffix(":443").unwrap_or(&name).to_owned()))
            }
            None if self.listen.ip().is_loopback() => Ok(Place::Loopback),
            None => Err(Refused {
                setting: "--listen",
                value: self.listen.to_string(),
                remedy: "without TLS everybody on the way could read what is shown, and enter as whoever reads it; listen on \
                         127.0.0.1, or put TLS in front and name its host, as --behind-tls console.example.com"
                    .to_owned(),
            }),
        }
    }
}

fn seal(key: Option<&SecretString>) -> Result<Seal, SetupError> {
    let Some(key) = key else { return Ok(Seal::with(&random()?)) };
    let key = key.expose_secret().trim();
    if key.len() < KEY_MIN_BYTES {
        return Err(Refused {
            setting: "USER_SYNC_CONSOLE_KEY",
            value: format!("{} bytes long", key.len()),
            remedy: format!("give at least {KEY_MIN_BYTES} random bytes, as of: openssl rand -base64 48"),
        }
        .into());
    }
    Ok(Seal::with(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(listen: &str) -> Asked {
        let (listen, name) = (listen.parse().unwrap(), "ada".to_owned());
        Asked { listen, behind_tls: None, allow: Vec::new(), key: None, name, oidc: AskedOidc::default() }
    }

    fn oidc() -> AskedOidc {
        let some = |text: &str| Some(text.to_owned());
        AskedOidc {
            load_balancer: some(
                "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/console/50dc6c495c0c9188",
            ),
            issuer: some("https://idp.example.com"),
            client: some("client-1"),
            read: vec!["support".to_owned()],
            ..AskedOidc::default()
        }
    }

    fn check(asked: Asked) -> String {
        asked.grant().map_or_else(|error| error.to_string(), |granted| format!("{:?}", granted.place))
    }

    #[test]
    fn only_this_machine_comes_in_unless_tls_stands_in_front() {
        for loopback in ["127.0.0.1:8787", "[::1]:0", "127.9.9.9:80"] {
            assert_eq!(check(asked(loopback)), "Loopback");
        }
        for open in ["0.0.0.0:8787", "10.0.0.7:8787", "[::]:8787"] {
            let refused = check(asked(open));
            assert!(refused.starts_with(&format!("--listen is {open:?}: without TLS")), "{refused}");
            assert!(refused.contains("--behind-tls console.example.com"), "{refused}");
            let behind_tls = Some("Console.example.com:443".to_owned());
            let behind = Asked { behind_tls, ..asked(open) };
            assert_eq!(check(behind), "Behind(\"console.example.com\")");
        }
        for name in
            ["", "console", "https://console.example.com", "a@console.example.com", "console.example.com/x"]
        {
            let refused = check(Asked { behind_tls: Some(name.to_owned()), ..asked("0.0.0.0:8787") });
            assert!(refused.starts_with("--behind-tls is"), "{name}: {refused}");
        }
    }

    #[test]
    fn a_load_balancer_is_named_whole_or_not_at_all() {
        let behind = |oidc| {
            check(Asked { oidc, behind_tls: Some("console.example.com".to_owned()), ..asked("0.0.0.0:8787") })
        };
        assert_eq!(behind(oidc()), "Behind(\"console.example.com\")");
        let cases: [(&str, AskedOidc); 5] = [
            ("--oidc-issuer is not given", AskedOidc { issuer: None, ..oidc() }),
            ("--oidc-client is not given", AskedOidc { client: None, ..oidc() }),
            ("--oidc-read is not given", AskedOidc { read: Vec::new(), ..oidc() }),
            ("--oidc-issuer is \"https://idp.example.com\"", AskedOidc { load_balancer: None, ..oidc() }),
            (
                "--oidc-load-balancer is \"console\"",
                AskedOidc { load_balancer: Some("console".to_owned()), ..oidc() },
            ),
        ];
        for (expected, oidc) in cases {
            let refused = behind(oidc);
            assert!(refused.starts_with(expected), "{refused}");
        }
        let refused = check(Asked { oidc: oidc(), ..asked("127.0.0.1:8787") });
        assert!(refused.starts_with("--behind-tls is not given"), "{refused}");
    }

    #[test]
    fn a_short_key_is_refused_and_no_key_is_shown() {
        let with = |key: &str| Asked { key: Some(key.to_owned().into()), ..asked("127.0.0.1:8787") };
        let refused = check(with("secret"));
        assert!(refused.starts_with("USER_SYNC_CONSOLE_KEY is \"6 bytes long\""), "{refused}");
        assert!(check(with(&" ".repeat(64))).starts_with("USER_SYNC_CONSOLE_KEY"));
        let key = "k".repeat(32);
        assert_eq!(check(with(&key)), "Loopback");
        assert!(!format!("{:?}", with(&key)).contains(&key));
    }

    #[test]
    fn nobody_may_more_than_is_allowed_and_everybody_may_read() {
        assert_eq!(asked("127.0.0.1:0").grant().unwrap().allow.all(), [Right::Read]);
        let allowing = Asked { allow: vec![Right::Act], ..asked("127.0.0.1:0") };
        assert_eq!(allowing.grant().unwrap().allow.all(), [Right::Read, Right::Act]);
    }
}
