//! Which pools are followed, and where the events of each go: the variables of `user-sync-lifecycle`. Must not know what
//! is done with them.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;

use crate::cognito::user_pool::VARIABLE as POOL_VARIABLE;
use crate::config::{ConfigError, Environment};

/// The name of the variable that holds several pools, each with the queue of its events. For one pool, its id and its
/// queue have a variable each.
pub const POOLS_VARIABLE: &str = "USER_SYNC_POOLS";

/// The name of the variable that holds the function which the pool's two triggers should call; for several pools, each with
/// its function.
pub const TRIGGER_VARIABLE: &str = "USER_SYNC_TRIGGER_ARN";

/// A pool that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolSettings {
    pub(super) id: UserPoolId,
    pub(super) queue_url: String,
    pub(super) trigger_arn: Option<String>,
}

/// Reads the variables: at least one pool, each once.
pub(super) fn read(environment: Environment<'_>) -> Result<Vec<PoolSettings>, ConfigError> {
    let pools = match environment.optional(POOLS_VARIABLE)? {
        None => vec![one(environment)?],
        Some(value) => several(environment, value)?,
    };
    let mut triggers = triggers(environment, &pools)?;
    let with_trigger = pools.into_iter().map(|(id, queue_url)| {
        let trigger_arn = triggers.remove(&id);
        PoolSettings { id, queue_url, trigger_arn }
    });
    Ok(with_trigger.collect())
}

fn one(environment: Environment<'_>) -> Result<(UserPoolId, String), ConfigError> {
    let meaning = "the id of the user pool to read, such as eu-west-1_Abc123Def";
    let value = environment.required(POOL_VARIABLE, meaning)?;
    let id = value.parse().map_err(|_| {
        let expected = format!(
            "the id of a user pool, such as eu-west-1_Abc123Def; several, with their queues, are {POOLS_VARIABLE}"
        );
        ConfigError::Invalid { variable: POOL_VARIABLE, value, expected }
    })?;
    Ok((id, environment.required(QUEUE_URL_VARIABLE, "the URL of the queue to send to")?))
}

fn several(environment: Environment<'_>, value: String) -> Result<Vec<(UserPoolId, String)>, ConfigError> {
    let refuse =
        |expected: String| ConfigError::Invalid { variable: POOLS_VARIABLE, value: value.clone(), expected };
    for single in [POOL_VARIABLE, QUEUE_URL_VARIABLE] {
        if environment.raw(single).is_some() {
            return Err(refuse(format!(
                "unset where {single} is set, which is for one pool: unset one of the two"
            )));
        }
    }
    let mut pools: Vec<(UserPoolId, String)> = Vec::new();
    for (id, url) in by_pool(&value).ok_or_else(|| refuse(expected("the URL of its queue", "https://…")))? {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(refuse(expected("the URL of its queue", "https://…")));
        }
        if pools.iter().any(|(other, _)| *other == id) {
            return Err(refuse(format!("without {} a second time: a pool has one queue", id.as_str())));
        }
        pools.push((id, url));
    }
    Ok(pools)
}

/// The function of each pool that has one.
fn triggers(
    environment: Environment<'_>,
    pools: &[(UserPoolId, String)],
) -> Result<BTreeMap<UserPoolId, String>, ConfigError> {
    let Some(value) = environment.optional(TRIGGER_VARIABLE)? else { return Ok(BTreeMap::new()) };
    if let ([(id, _)], false) = (pools, value.contains('=')) {
        return Ok([(id.clone(), value)].into());
    }
    let refuse = |expected: String| ConfigError::Invalid {
        variable: TRIGGER_VARIABLE,
        value: value.clone(),
        expected,
    };
    let mut triggers = BTreeMap::new();
    for (id, arn) in by_pool(&value).ok_or_else(|| refuse(expected("the ARN of its trigger", "arn:…")))? {
        if !arn.starts_with("arn:") {
            return Err(refuse(expected("the ARN of its trigger", "arn:…")));
        }
        if !pools.iter().any(|(pool, _)| *pool == id) {
            return Err(refuse(format!("of pools that are followed: {} is none", id.as_str())));
        }
        let repeated = format!("without {} a second time: a pool has one trigger function", id.as_str());
        if triggers.insert(id, arn).is_some() {
            return Err(refuse(repeated));
        }
    }
    Ok(triggers)
}

fn expected(what: &str, such_as: &str) -> String {
    format!(
        "each pool's id with {what}, separated by commas: eu-west-1_Abc123Def={such_as},eu-west-1_Ghi456Jkl={such_as}"
    )
}

/// `pool=text,pool=text`; `None` if it is not that.
pub(in crate::cognito) fn by_pool(value: &str) -> Option<Vec<(UserPoolId, String)>> {
    let pair = |pair: &str| {
        let (id, text) = pair.split_once('=')?;
        let text = text.trim();
        let id = id.trim().parse().ok()?;
        (!text.is_empty()).then(|| (id, text.to_owned()))
    };
    value.split(',').map(pair).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str = "eu-west-1_A";
    const B: &str = "eu-west-1_B";

    fn read_of(variables: &[(&str, &str)]) -> Result<Vec<PoolSettings>, String> {
        let find = |name: &str| variables.iter().find(|(variable, _)| *variable == name);
        read(Environment::new(&|name| find(name).map(|(_, value)| (*value).into())))
            .map_err(|error| error.to_string())
    }

    fn pool(id: &str, queue_url: &str, trigger_arn: Option<&str>) -> PoolSettings {
        let (id, queue_url) = (id.parse().unwrap(), queue_url.to_owned());
        PoolSettings { id, queue_url, trigger_arn: trigger_arn.map(str::to_owned) }
    }

    #[test]
    fn one_pool_or_several_are_followed() {
        let single = [(POOL_VARIABLE, A), (QUEUE_URL_VARIABLE, "https://q")];
        assert_eq!(read_of(&single), Ok(vec![pool(A, "https://q", None)]));
        let with_trigger = [&single[..], &[(TRIGGER_VARIABLE, "arn:a")]].concat();
        assert_eq!(read_of(&with_trigger), Ok(vec![pool(A, "https://q", Some("arn:a"))]));
        let several = (POOLS_VARIABLE, "eu-west-1_A=https://q/a?x=y, eu-west-1_B=http://q/b");
        let expected = |a, b| vec![pool(A, "https://q/a?x=y", a), pool(B, "http://q/b", b)];
        assert_eq!(read_of(&[several]), Ok(expected(None, None)));
        let triggers = (TRIGGER_VARIABLE, "eu-west-1_B=arn:b,eu-west-1_A=arn:a");
        assert_eq!(read_of(&[several, triggers]), Ok(expected(Some("arn:a"), Some("arn:b"))));
        let one_trigger = (TRIGGER_VARIABLE, "eu-west-1_B=arn:b");
        assert_eq!(read_of(&[several, one_trigger]), Ok(expected(None, Some("arn:b"))));
        let alone = (POOLS_VARIABLE, "eu-west-1_A=https://q");
        for trigger in ["arn:a", "eu-west-1_A=arn:a"] {
            let read = read_of(&[alone, (TRIGGER_VARIABLE, trigger)]);
            assert_eq!(read, Ok(vec![pool(A, "https://q", Some("arn:a"))]), "{trigger}");
        }
    }

    #[test]
    fn what_is_not_as_expected_is_named_with_what_is() {
        let both = "eu-west-1_A=https://a,eu-west-1_B=https://b";
        let refused = |variables: &[(&str, &str)], words: &[&str]| {
            let error = read_of(variables).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{variables:?}: {error}");
        };
        refused(&[], &[POOL_VARIABLE, "is not set"]);
        refused(&[(POOL_VARIABLE, A)], &[QUEUE_URL_VARIABLE, "is not set"]);
        refused(&[(POOL_VARIABLE, "eu-west-1_A,eu-west-1_B")], &[POOL_VARIABLE, POOLS_VARIABLE]);
        for value in [
            "eu-west-1_A",
            ",",
            "eu-west-1_A=https://a,",
            "eu-west-1_A=",
            "=https://a",
            "pool=https://a",
            "eu-west-1_A=a-queue",
        ] {
            refused(&[(POOLS_VARIABLE, value)], &[POOLS_VARIABLE, "URL of its queue", "=https://…,"]);
        }
        refused(
            &[(POOLS_VARIABLE, "eu-west-1_A=https://a,eu-west-1_A=https://b")],
            &["eu-west-1_A a second time"],
        );
        refused(&[(POOLS_VARIABLE, both), (POOL_VARIABLE, A)], &["where USER_SYNC_USER_POOL_ID is set"]);
        refused(&[(POOLS_VARIABLE, both), (QUEUE_URL_VARIABLE, "q")], &["where USER_SYNC_QUEUE_URL is set"]);
        for trigger in ["arn:a", "eu-west-1_A=name", "eu-west-1_A"] {
            let variables = [(POOLS_VARIABLE, both), (TRIGGER_VARIABLE, trigger)];
            refused(&variables, &[TRIGGER_VARIABLE, "ARN of its trigger", "=arn:…,"]);
        }
        let foreign = (TRIGGER_VARIABLE, "eu-west-1_C=arn:c");
        refused(&[(POOLS_VARIABLE, both), foreign], &["eu-west-1_C is none"]);
        let twice = (TRIGGER_VARIABLE, "eu-west-1_A=arn:a,eu-west-1_A=arn:b");
        refused(&[(POOLS_VARIABLE, both), twice], &["eu-west-1_A a second time"]);
    }
}
