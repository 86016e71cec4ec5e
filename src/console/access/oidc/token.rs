//! What the load balancer says of a visitor: the JWT in `x-amzn-oidc-data`. Pure: must not know where keys come from, nor
//! what a claim is worth.
//!
//! "Authenticate users using an Application Load Balancer" (Elastic Load Balancing): the token's first part has `alg`,
//! `kid`, `signer`, `iss`, `client` and `exp`, its parts are padded, and who decides anything by it must verify the
//! signature and compare the signer. Before the signature is verified nothing of it is believed: what is compared before
//! only saves a question for a key.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cognito_user_sync_triggers::timestamp::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The longest token that is looked at. Claims of more than 11 KB do not pass a load balancer (the same page).
pub(super) const TOKEN_MAX_BYTES: usize = 16 * 1_024;

/// The longest key id that is asked for.
const KID_MAX_BYTES: usize = 64;

/// Padded, as the load balancer writes it, or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a token lets nobody in. Never what it says: others wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("it is no token of a load balancer's")]
    Malformed,
    #[error("its algorithm is not ES256")]
    Algorithm,
    #[error("its key id is none")]
    KeyId,
    #[error("another load balancer signed it")]
    Signer,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another client")]
    Client,
    #[error("it has expired")]
    Expired,
    #[error("there is no such key")]
    NoKey,
    #[error("its signature is wrong")]
    Signature,
}

/// Whom a token must be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// The load balancer's ARN.
    pub(super) signer: String,
    pub(super) issuer: String,
    /// The id of the load balancer's client at the issuer.
    pub(super) client: String,
}

/// The first part.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    signer: String,
    iss: String,
    client: String,
    /// Seconds since 1970.
    exp: u64,
    /// What must be understood (RFC 7515, section 4.1.11): we understand nothing of it.
    #[serde(default)]
    crit: Option<Value>,
}

/// A token that is from whom it must be, if its signature is right.
pub(super) struct Token<'a> {
    header: Header,
    claims: Map<String, Value>,
    /// What is signed: the first two parts as they came, padding included.
    signed: &'a str,
    signature: Vec<u8>,
}

impl fmt::Debug for Token<'_> {
    /// Without what it says of anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Reads a token, and compares all of it that needs no key.
    pub(super) fn read(text: &'a str, expected: &Expected, now: Timestamp) -> Result<Self, Why> {
        let token = Self::parse(text).ok_or(Why::Malformed)?;
        let header = &token.header;
        if header.alg != "ES256" || header.crit.is_some() {
            return Err(Why::Algorithm);
        }
        if !is_key_id(&header.kid) {
            return Err(Why::KeyId);
        }
        if header.signer != expected.signer {
            return Err(Why::Signer);
        }
        if header.client != expected.client {
            return Err(Why::Client);
        }
        let issuer = token.claims.get("iss");
        if header.iss != expected.issuer || issuer.is_some_and(|issuer| *issuer != *expected.issuer) {
            return Err(Why::Issuer);
        }
        let is_over = |exp: u64| Timestamp::from_unix_millis(exp.saturating_mul(1_000)) <= now;
        let claimed = token.claims.get("exp");
        if is_over(header.exp) || claimed.is_some_and(|exp| exp.as_u64().is_none_or(is_over)) {
            return Err(Why::Expired);
        }
        Ok(token)
    }

    fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) =
            Some(text).filter(|text| text.len() <= TOKEN_MAX_BYTES)?.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decoded = |part: &str| BASE64.decode(part).ok();
        Some(Self {
            header: serde_json::from_slice(&decoded(header)?).ok()?,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
            signed,
            signature: decoded(signature)?,
        })
    }

    /// The key that it says it is signed by; harmless within a URL.
    pub(super) fn key_id(&self) -> &str {
        &self.header.kid
    }

    /// What it says, if it is signed by this key.
    pub(super) fn verify(self, key: &Key) -> Result<Map<String, Value>, Why> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.0);
        key.verify(self.signed.as_bytes(), &self.signature).map_err(|_| Why::Signature)?;
        Ok(self.claims)
    }
}

/// AWS writes UUIDs, and promises nothing: letters, digits and hyphens can be no other path and no other host.
fn is_key_id(kid: &str) -> bool {
    (1..=KID_MAX_BYTES).contains(&kid.len())
        && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The public half of a load balancer's key: a point of the curve P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

/// What stands before the point in a key's DER: ecPublicKey, prime256v1, uncompressed (RFC 5480).
const BEFORE_POINT: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The length of an uncompressed point: a mark and two coordinates.
const POINT_BYTES: usize = 65;

impl Key {
    /// From PEM, as the key host answers; `None` if it is anything else than one key of P-256.
    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(pem).ok()?.trim();
        let body = body.strip_prefix("-----BEGIN PUBLIC KEY-----")?;
        let body: String = body.strip_suffix("-----END PUBLIC KEY-----")?.split_ascii_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
        let is_key = der.starts_with(&BEFORE_POINT) && der.len() == BEFORE_POINT.len() - 1 + POINT_BYTES;
        is_key.then(|| Self(der.get(BEFORE_POINT.len() - 1..).unwrap_or_default().to_vec()))
    }
}

#[cfg(test)]
pub(super) mod tests;
