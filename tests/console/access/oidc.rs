//! Whom a load balancer signs in: its header is believed if it is its own, and in no other way.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cognito_user_sync::dev::local::Deployment;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::console::{Answer, Console};
use crate::support::events::sub;
use crate::support::key_host::{KeyHost, Mood};
use crate::support::{TestDatabase, deployment, eventually, refusing};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/console/50dc6c495c0c9188";
const KEY_HOST: &str = "public-keys.auth.elb.eu-west-1.amazonaws.com";
const HOST: &str = "console.example.com";
const KID: &str = "8a4bd1e4-7f0d-4e3a-9b0f-6f2f4f5a1c11";

/// A load balancer.
struct Balancer(EcdsaKeyPair);

impl Balancer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random).unwrap())
    }

    /// As the key host answers.
    fn pem(&self) -> String {
        let before = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let byte = |at| u8::from_str_radix(&before[at..at + 2], 16).unwrap();
        let before: Vec<u8> = (0..before.len()).step_by(2).map(byte).collect();
        let der = [&before, self.0.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE.encode(signature.as_ref()))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE.encode(header.to_string()), URL_SAFE.encode(claims.to_string()))
}

fn header() -> Value {
    let exp = OffsetDateTime::now_utc().unix_timestamp() + 120;
    json!({ "typ": "JWT", "alg": "ES256", "kid": KID, "signer": ARN, "iss": "https://idp.example.com",
            "client": "client-1", "exp": exp })
}

fn claims(groups: &Value) -> Value {
    json!({ "sub": "sub-1", "email": "mara.ekdahl@example.com", "email_verified": "true", "groups": groups })
}

fn with(mut value: Value, name: &str, other: Value) -> Value {
    value[name] = other;
    value
}

struct Setting {
    deployment: Deployment,
    host: KeyHost,
    balancer: Balancer,
    folder: tempfile::TempDir,
}

impl Setting {
    async fn make() -> Self {
        let (host, balancer) = (KeyHost::start(KEY_HOST).await, Balancer::new());
        host.held().keys.insert(KID.to_owned(), balancer.pem());
        Self { deployment: deployment().await, host, balancer, folder: tempfile::tempdir().unwrap() }
    }

    async fn console(&self) -> Console {
        self.console_asking(&self.host.address.to_string()).await
    }

    async fn console_asking(&self, keys: &str) -> Console {
        self.console_with(keys, &[]).await
    }

    async fn console_with(&self, keys: &str, more: &[&str]) -> Console {
        let bundle = self.host.bundle(self.folder.path());
        let mut environment = crate::support::console::environment(&self.deployment);
        environment.push(("SSL_CERT_FILE", bundle.to_str().unwrap()));
        let arguments = [
            ["--behind-tls", HOST],
            ["--oidc-load-balancer", ARN],
            ["--oidc-issuer", "https://idp.example.com"],
            ["--oidc-client", "client-1"],
            ["--oidc-read", "support"],
            ["--oidc-reveal", "care"],
            ["--oidc-act", "operators"],
            ["--oidc-keys-address", keys],
        ];
        let arguments = [arguments.as_flattened(), more].concat();
        Console::start_signed_out(&environment, &arguments).await
    }

    fn token(&self) -> String {
        self.balancer.sign(&header(), &claims(&json!(["support"])))
    }
}

async fn now(console: &Console, token: &str) -> Answer {
    console.ask("GET", "/now", &[("host", HOST), ("x-amzn-oidc-data", token)], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_load_balancer_signs_in_comes_in_by_a_role() {
    let setting = Setting::make().await;
    let console = setting.console().await;
    assert_eq!(console.url, format!("https://{HOST}"));
    assert_eq!(now(&console, &setting.token()).await.status, 200);
    for groups in [json!("support"), json!("x, operators"), json!(["operators"]), json!("[a, support]")] {
        let token = setting.balancer.sign(&header(), &claims(&groups));
        assert_eq!(now(&console, &token).await.status, 200, "{groups}");
    }
    for groups in
        [json!([]), json!("Support"), json!(["support "]), json!(["a support"]), json!({ "support": 1 })]
    {
        let token = setting.balancer.sign(&header(), &claims(&groups));
        let answer = now(&console, &token).await;
        assert_eq!(answer.status, 403, "{groups}");
        answer.says("You have no right here").never_says("mara");
    }
    let asked = setting.host.held().asked.clone();
    assert_eq!(asked, [format!("/{KID}")], "the key is kept");
    let none = console.ask("GET", "/now", &[("host", HOST)], "").await;
    assert_eq!(none.status, 401);
    none.says("Nobody has signed you in");
    assert_eq!(
        console.ask("GET", "/enter?token=x", &[("host", HOST)], "").await.status,
        404,
        "no link leads in"
    );
    let twice = [("host", HOST), ("x-amzn-oidc-data", &*setting.token()), ("x-amzn-oidc-data", "x")];
    assert_eq!(console.ask("GET", "/now", &twice, "").await.status, 401);
    assert!(!console.stderr().contains("mara"), "nobody is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_header_lets_nobody_in() {
    let setting = Setting::make().await;
    let console = setting.console().await;
    let (ours, forger, claims) = (&setting.balancer, Balancer::new(), claims(&json!(["operators"])));
    let text = unsigned(&with(header(), "alg", json!("HS256")), &claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, ours.pem().as_bytes()), text.as_bytes());
    let whole = ours.sign(&header(), &claims);
    let (signed, signature) = whole.rsplit_once('.').unwrap();
    let raised = unsigned(&header(), &with(claims.clone(), "sub", json!("root")));
    let past = OffsetDateTime::now_utc().unix_timestamp() - 1;
    let otherwise = |name: &str, value: Value| ours.sign(&with(header(), name, value), &claims);
    let forged = [
        format!("{}.", unsigned(&with(header(), "alg", json!("none")), &claims)),
        otherwise("alg", json!("none")),
        format!("{text}.{}", URL_SAFE.encode(tag.as_ref())),
        otherwise("signer", json!(ARN.replace("123456789012", "666666666666"))),
        otherwise("client", json!("client-2")),
        otherwise("iss", json!("https://evil.example")),
        otherwise("exp", json!(past)),
        otherwise("kid", json!("../../latest/meta-data")),
        otherwise("kid", json!("x@evil.example/y")),
        otherwise("kid", json!("00000000-0000-0000-0000-000000000000")),
        forger.sign(&header(), &claims),
        format!("{raised}.{signature}"),
        signed.to_owned(),
        format!("{signed}."),
        whole[..whole.len() - 8].to_owned(),
        whole[8..].to_owned(),
        "x".to_owned(),
        String::new(),
        "x".repeat(20_000),
    ];
    for token in &forged {
        let answer = now(&console, token).await;
        assert_eq!(answer.status, 401, "{token}");
        answer.never_says("Users</h1>");
    }
    let asked = setting.host.held().asked.clone();
    let known = |path: &String| {
        [format!("/{KID}"), "/00000000-0000-0000-0000-000000000000".to_owned()].contains(path)
    };
    assert!(asked.iter().all(known) && asked.len() == 2, "no other path was asked for: {asked:?}");
    assert!(matches!(now(&console, &"x".repeat(1 << 20)).await.status, 400..500), "1 MB");
    assert_eq!(now(&console, &whole).await.status, 200, "and the console goes on");
    // The header counts only where a load balancer was named.
    let by_link = Console::start_signed_out(&setting.deployment.environment(), &[]).await;
    let answer = by_link.ask("GET", "/now", &[("x-amzn-oidc-data", &whole)], "").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_asked_for_once_and_known_ones_outlive_their_host() {
    let setting = Setting::make().await;
    let console = setting.console().await;
    let token = setting.token();
    assert_eq!(now(&console, &token).await.status, 200);
    let next = Balancer::new();
    setting.host.held().keys.insert("next-1".to_owned(), next.pem());
    let rotated = next.sign(&with(header(), "kid", json!("next-1")), &claims(&json!("support")));
    let all = futures::future::join_all((0..20).map(|_| now(&console, &rotated))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    assert_eq!(setting.host.held().asked, [format!("/{KID}"), "/next-1".to_owned()], "20 at once ask once");
    setting.host.held().mood = Mood::Failing;
    assert_eq!(now(&console, &token).await.status, 200);
    assert_eq!(now(&console, &rotated).await.status, 200);
    let unknown = setting.balancer.sign(&with(header(), "kid", json!("next-2")), &claims(&json!("support")));
    assert_eq!(now(&console, &unknown).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_host_that_does_not_answer_means_later_and_never_in() {
    let setting = Setting::make().await;
    let moods = [Mood::Silent, Mood::Garbage, Mood::Endless, Mood::Failing, Mood::Elsewhere];
    for mood in moods {
        setting.host.held().mood = mood;
        let console = setting.console().await;
        let (before, began) = (setting.host.held().asked.len(), Instant::now());
        check_later(&console, &setting.token()).await;
        for _ in 0..3 {
            assert_eq!(now(&console, &setting.token()).await.status, 503, "{mood:?}");
        }
        // It is left alone for 5 s, however long that took.
        let asked = setting.host.held().asked.len() - before;
        let most = 1 + usize::try_from(began.elapsed().as_secs() / 5).unwrap();
        assert!((1..=most).contains(&asked), "{mood:?}: {asked} of {most}");
    }
    setting.host.held().mood = Mood::Well;
    let (_bound, endpoint) = refusing();
    let console = setting.console_asking(endpoint.strip_prefix("http://").unwrap()).await;
    check_later(&console, &setting.token()).await;
    // A host that cannot prove that it is AWS's.
    let impostor = KeyHost::start("evil.example").await;
    impostor.held().keys.insert(KID.to_owned(), setting.balancer.pem());
    let console = setting.console_asking(&impostor.address.to_string()).await;
    check_later(&console, &setting.token()).await;
    assert!(impostor.held().asked.is_empty(), "it was told nothing");
    eventually("it is in the log", Duration::from_secs(30), async || {
        console.stderr().contains("did not answer")
    })
    .await;
}

async fn check_later(console: &Console, token: &str) {
    let answer = now(console, token).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
    answer.says("Nobody can be signed in at the moment");
    let health = console.ask("GET", "/healthz", &[("host", "10.0.0.7:8787")], "").await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"), "the load balancer goes on asking");
}

/// A right takes both: the claim's role, and what the console was started with.
#[tokio::test(flavor = "multi_thread")]
async fn who_acts_has_the_role_and_the_consoles_leave_and_is_written_down_once() {
    let setting = Setting::make().await;
    let database = TestDatabase::of(setting.deployment.clone()).await;
    let keys = setting.host.address.to_string();
    let cases: [(&[&str], &str, bool, bool); 6] = [
        (&[], "operators", false, false),
        (&["--allow", "reveal"], "operators", false, false),
        (&["--allow", "act"], "support", false, false),
        (&["--allow", "act"], "operators", true, false),
        (&["--allow", "act,reveal"], "care", false, true),
        (&["--allow", "act"], "care", false, false),
    ];
    for (number, (allow, role, acts, reveals)) in cases.into_iter().enumerate() {
        let console = setting.console_with(&keys, allow).await;
        let claims = with(claims(&json!([role])), "email", json!(format!("person{number}@example.com")));
        let token = setting.balancer.sign(&header(), &with(claims, "sub", json!(format!("sub-{number}"))));
        let post = async |path: &str, form: &str| {
            let headers = [
                ("host", HOST),
                ("x-amzn-oidc-data", token.as_str()),
                ("origin", "https://console.example.com"),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            console.ask("POST", path, &headers, form).await
        };
        let planned = post("/plans", "kind=verify").await;
        assert_eq!(planned.status, if acts { 303 } else { 403 }, "{allow:?}, {role}: {planned:?}");
        let path = format!("/users/{}/reveal", sub(1));
        let revealed = post(&path, "reason=ticket+882").await;
        assert_eq!(revealed.status, if reveals { 303 } else { 403 }, "{allow:?}, {role}: {revealed:?}");
        for _ in 0..3 {
            assert_eq!(now(&console, &token).await.status, 200);
        }
        let signed_in =
            format!("user_sync_console_trail where did = 'signed_in' and who = 'person{number}@example.com'");
        assert_eq!(database.count(&signed_in).await, 1, "{number}: once, not with each request");
    }
    assert_eq!(database.count("user_sync_console_trail where did = 'refused'").await, 10);
    assert_eq!(database.count("user_sync_console_plans").await, 1);
}
