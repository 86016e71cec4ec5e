//! What a visitor may by what its claims say: exactly, or not at all. Pure: must not know who vouches for a claim.

use serde_json::{Map, Value};

use crate::console::access::rights::{Right, Rights};

/// The values of a claim that give rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roles {
    /// The claim's name, such as `groups`.
    pub(super) claim: String,
    pub(super) read: Vec<String>,
    pub(super) reveal: Vec<String>,
    pub(super) act: Vec<String>,
}

impl Roles {
    /// What somebody may of whom these are the claims; nothing if no value is one of ours.
    pub(super) fn rights(&self, claims: &Map<String, Value>) -> Rights {
        let values = claims.get(&self.claim).map(values).unwrap_or_default();
        let has = |ours: &[String]| ours.iter().any(|ours| values.contains(&ours.as_str()));
        let of = [(&self.read, Right::Read), (&self.reveal, Right::Reveal), (&self.act, Right::Act)];
        let rights: Vec<Right> =
            of.into_iter().filter_map(|(ours, right)| has(ours).then_some(right)).collect();
        Rights::of(&rights)
    }
}

/// The values that a claim has. An element of an array is one value, whatever it holds. A text is several where commas
/// divide it, or else blanks; Cognito writes what an identity provider sent as an array as `[a, b]`.
fn values(claim: &Value) -> Vec<&str> {
    match claim {
        Value::Array(elements) => elements.iter().filter_map(Value::as_str).collect(),
        Value::String(text) => {
            let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let parts: Vec<&str> = match inner.contains(',') {
                true => inner.split(',').map(str::trim).collect(),
                false => inner.split_whitespace().collect(),
            };
            parts.into_iter().filter(|part| !part.is_empty()).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn check(claims: &Value) -> Vec<Right> {
        let values = |text: &str| vec![text.to_owned()];
        let roles = Roles {
            claim: "groups".to_owned(),
            read: values("support"),
            reveal: values("support-lead"),
            act: values("operators"),
        };
        roles.rights(claims.as_object().unwrap()).all()
    }

    #[test]
    fn a_value_gives_its_right_in_every_form_that_providers_send() {
        for groups in
            [json!("operators"), json!(["x", "operators"]), json!("x operators"), json!("x,operators, y")]
        {
            assert_eq!(check(&json!({ "groups": groups })), [Right::Read, Right::Act], "{groups}");
        }
        assert_eq!(check(&json!({ "groups": "[support, support-lead]" })), [Right::Read, Right::Reveal]);
        assert_eq!(check(&json!({ "groups": ["support", "operators", "support-lead"] })), Right::ALL);
        assert_eq!(check(&json!({ "groups": "support" })), [Right::Read]);
    }

    #[test]
    fn what_only_looks_like_a_value_gives_nothing() {
        let nothing = [
            json!(["operators "]),
            json!(["x operators"]),
            json!(["x,operators"]),
            json!([["operators"]]),
            json!("Operators"),
            json!("operators-x"),
            json!("operators;support"),
            json!("x operators, y"),
            json!({ "operators": true }),
            json!(true),
            json!(7),
            json!(null),
            json!(""),
            json!([]),
        ];
        for groups in nothing {
            assert_eq!(check(&json!({ "groups": groups })), [], "{groups}");
        }
        assert_eq!(check(&json!({ "Groups": "operators", "roles": ["operators"] })), []);
    }
}
