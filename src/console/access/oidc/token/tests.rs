#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use base64::engine::general_purpose::{STANDARD, URL_SAFE as PADDED, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const KID: &str = "8a4bd1e4-7f0d-4e3a-9b0f-6f2f4f5a1c11";

fn expected() -> Expected {
    Expected {
        signer:
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/console/50dc6c495c0c9188"
                .to_owned(),
        issuer: "https://idp.example.com".to_owned(),
        client: "client-1".to_owned(),
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000)
}

fn key_pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random).unwrap()
}

fn pem(pair: &EcdsaKeyPair) -> String {
    let der = [&BEFORE_POINT[..26], pair.public_key().as_ref()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn header() -> Value {
    let Expected { signer, issuer, client } = expected();
    json!({ "typ": "JWT", "alg": "ES256", "kid": KID, "signer": signer, "iss": issuer, "client": client,
            "exp": 1_800_000_120 })
}

fn claims() -> Value {
    json!({ "sub": "ada", "email": "ada@example.com", "exp": 1_800_000_120, "iss": "https://idp.example.com" })
}

/// As a load balancer writes it.
fn signed(pair: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", PADDED.encode(header.to_string()), PADDED.encode(claims.to_string()));
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", PADDED.encode(signature.as_ref()))
}

fn check(token: &str, key: &Key) -> Result<Map<String, Value>, Why> {
    Token::read(token, &expected(), now())?.verify(key)
}

#[test]
fn a_token_of_the_load_balancers_is_believed_with_padding_and_without() {
    let pair = key_pair();
    let key = Key::from_pem(pem(&pair).as_bytes()).unwrap();
    let token = signed(&pair, &header(), &claims());
    assert!(token.contains('='), "the load balancer pads");
    assert_eq!(Value::Object(check(&token, &key).unwrap()), claims());
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header().to_string()),
        URL_SAFE_NO_PAD.encode(claims().to_string())
    );
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    assert!(check(&token, &key).is_ok());
    let other = Key::from_pem(pem(&key_pair()).as_bytes()).unwrap();
    assert_eq!(check(&token, &other), Err(Why::Signature));
}

#[test]
fn whatever_a_token_says_otherwise_is_refused_before_a_key_is_asked_for() {
    let pair = key_pair();
    let refused = [
        ("alg", json!("none"), Why::Algorithm),
        ("alg", json!("HS256"), Why::Algorithm),
        ("alg", json!("es256"), Why::Algorithm),
        ("crit", json!(["exp"]), Why::Algorithm),
        ("kid", json!("../../evil"), Why::KeyId),
        ("kid", json!("a/b"), Why::KeyId),
        ("kid", json!("a?b"), Why::KeyId),
        ("kid", json!("%2e%2e"), Why::KeyId),
        ("kid", json!("a@evil.example"), Why::KeyId),
        ("kid", json!(""), Why::KeyId),
        ("kid", json!("a".repeat(65)), Why::KeyId),
        (
            "signer",
            json!("arn:aws:elasticloadbalancing:eu-west-1:666666666666:loadbalancer/app/x/1"),
            Why::Signer,
        ),
        ("client", json!("client-2"), Why::Client),
        ("iss", json!("https://idp.example.com/"), Why::Issuer),
        ("exp", json!(1_800_000_000), Why::Expired),
        ("exp", json!(0), Why::Expired),
        ("exp", json!("1800000120"), Why::Malformed),
        ("exp", json!(-1), Why::Malformed),
        ("signer", json!(null), Why::Malformed),
    ];
    for (name, value, why) in refused {
        let mut header = header();
        header[name] = value;
        let token = signed(&pair, &header, &claims());
        assert_eq!(Token::read(&token, &expected(), now()).unwrap_err(), why, "{header}");
    }
    for (name, value, why) in [
        ("iss", json!("https://other.example.com"), Why::Issuer),
        ("exp", json!(1_799_999_999), Why::Expired),
        ("exp", json!("soon"), Why::Expired),
    ] {
        let mut claims = claims();
        claims[name] = value;
        let token = signed(&pair, &header(), &claims);
        assert_eq!(Token::read(&token, &expected(), now()).unwrap_err(), why, "{claims}");
    }
}

#[test]
fn what_is_cut_changed_or_too_long_is_refused() {
    let pair = key_pair();
    let key = Key::from_pem(pem(&pair).as_bytes()).unwrap();
    let token = signed(&pair, &header(), &claims());
    for at in 0..token.trim_end_matches('=').len() {
        assert!(check(&token[..at], &key).is_err(), "cut at {at}");
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'Q' { b'R' } else { b'Q' };
        assert!(check(&String::from_utf8(changed).unwrap(), &key).is_err(), "changed at {at}");
    }
    let long = signed(&pair, &header(), &json!({ "groups": "x".repeat(TOKEN_MAX_BYTES) }));
    for malformed in [long.as_str(), "", ".", "..", "a.b.c", "....", "e30=.e30=."] {
        assert_eq!(check(malformed, &key), Err(Why::Malformed));
    }
    let twice = header().to_string().replace("\"alg\":", "\"alg\":\"none\",\"alg\":");
    let text = format!("{}.{}", PADDED.encode(twice), PADDED.encode(claims().to_string()));
    let signature = PADDED.encode(pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref());
    assert_eq!(check(&format!("{text}.{signature}"), &key), Err(Why::Malformed), "a field said twice");
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let pair = key_pair();
    let key = Key::from_pem(pem(&pair).as_bytes()).unwrap();
    let mut forged = header();
    forged["alg"] = json!("HS256");
    for header in [forged, header()] {
        let text = format!("{}.{}", PADDED.encode(header.to_string()), PADDED.encode(claims().to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem(&pair).as_bytes()), text.as_bytes());
        assert!(check(&format!("{text}.{}", PADDED.encode(tag.as_ref())), &key).is_err());
        assert!(check(&format!("{text}."), &key).is_err());
    }
}

#[test]
fn a_key_is_one_of_the_curve_and_nothing_else() {
    let pem = pem(&key_pair());
    assert!(Key::from_pem(pem.as_bytes()).is_some());
    assert!(Key::from_pem(pem.replace('\n', "\r\n").as_bytes()).is_some());
    let p384 = [&[0x30, 0x76][..], &[0; 118]].concat();
    let p384 = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(p384));
    let cut = pem.replace("A\n", "\n").replacen("M", "", 1);
    for other in
        ["", "<html>", "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----", &p384, &cut, &pem.repeat(2)]
    {
        assert_eq!(Key::from_pem(other.as_bytes()), None, "{other}");
    }
    assert_eq!(Key::from_pem(&[0xff; 200]), None);
}
