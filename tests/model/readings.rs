//! What texts say, told plainly: by the lists that crates ship, and otherwise for the forms that the histories have.

use std::net::{IpAddr, SocketAddr};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Iso8601;
use time::{Date, OffsetDateTime};

/// A text, without what nobody sees around it; what programs write for nothing is none.
pub(super) fn text(text: &str) -> Option<&str> {
    let is_invisible = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || "\u{ad}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2060}\u{3164}\u{feff}".contains(character)
    };
    let text = text.trim_matches(is_invisible);
    let is_nothing = ["", "null", "undefined", "undefined undefined", "N/A"].contains(&text);
    (!is_nothing).then_some(text)
}

/// A text that is neither the user's own address nor looks like one.
pub(super) fn name<'a>(name: &'a str, email: Option<&str>, phone_number: Option<&str>) -> Option<&'a str> {
    let name = text(name)?;
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let is_own = email.is_some_and(|email| text(email).is_some_and(|email| email.eq_ignore_ascii_case(name)));
    let looks_like_email = name.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !name.contains(' ') && domain.contains('.') && !domain.contains('@')
    });
    let is_of_digits = digits(name).len() > 6 && name.chars().all(|character| !character.is_alphabetic());
    let looks_like_phone = is_of_digits
        && (name.starts_with('+') || phone_number.is_some_and(|number| digits(number) == digits(name)));
    (!is_own && !looks_like_email && !looks_like_phone).then_some(name)
}

/// The language and the country of a locale.
pub(super) fn locale(locale: &str) -> (Option<String>, Option<String>) {
    let Some(locale) = text(locale) else { return (None, None) };
    if let Ok(object) = serde_json::from_str::<Map<String, Value>>(locale) {
        let member = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
        return tag(&format!("{}-{}", member("language"), member("country")));
    }
    let quality = |entry: &str| match entry.split_once(";q=") {
        Some((_, quality)) => quality.parse::<f32>().unwrap(),
        None => 1.0,
    };
    let mut entries: Vec<&str> = locale.split(',').collect();
    entries.sort_by(|a, b| quality(b).total_cmp(&quality(a)));
    let entry = entries[0].trim();
    let (language, mut country) = tag(entry.split(['.', '@', ';']).next().unwrap());
    if let Some((_, overridden)) = entry.split_once("@rg=") {
        country = Some(overridden[..2].to_uppercase());
    }
    (language, country)
}

/// The parts of one tag: a language that ISO 639 knows, and the first country before an extension.
fn tag(tag: &str) -> (Option<String>, Option<String>) {
    let parts: Vec<&str> = tag.split(['-', '_']).collect();
    let is_letters = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphabetic());
    if !is_letters(parts[0]) || parts[0].len() < 2 {
        return (None, None);
    }
    let code = match parts[0].to_lowercase().as_str() {
        "iw" => "he".to_owned(),
        "in" => "id".to_owned(),
        "ger" => "de".to_owned(),
        other => other.to_owned(),
    };
    let known = isolang::Language::from_639_1(&code).or_else(|| isolang::Language::from_639_3(&code));
    let language = known.map(|known| known.to_639_1().unwrap_or(known.to_639_3()).to_owned());
    let before_extensions: Vec<&str> = parts[1..].iter().copied().take_while(|part| part.len() > 1).collect();
    let region = before_extensions.into_iter().find(|part| part.len() == 2 && is_letters(part));
    let country = region.map(str::to_uppercase).and_then(|region| {
        let repeats = language.as_deref().is_some_and(|language| language.to_uppercase() == region);
        let is_none =
            repeats && !["de", "es", "fr", "pt"].contains(&code.as_str()) || (code == "es" && region == "LA");
        let region = if region == "UK" { "GB".to_owned() } else { region };
        (!is_none && rust_iso3166::from_alpha2(&region).is_some()).then_some(region)
    });
    (language, country)
}

/// `1984-02-29`, also with slashes or with the midnight that runtimes add, and nothing else that ISO 8601 allows: from
/// 1900 to the day on which it was said, where that began first.
pub(super) fn birthdate(date: &str, said: Timestamp) -> Option<Date> {
    let date = text(date)?;
    let date = date.strip_suffix("T00:00:00Z").unwrap_or(date).replace('/', "-");
    let has_form = date.len() == 10
        && date.char_indices().all(|(at, character)| match at {
            4 | 7 => character == '-',
            _ => character.is_ascii_digit(),
        });
    let date = has_form.then(|| Date::parse(&date, &Iso8601::DATE).ok()).flatten()?;
    let latest = (OffsetDateTime::from(said) + time::Duration::hours(14)).date();
    (date.year() >= 1900 && date <= latest).then_some(date)
}

pub(super) fn zone(zone: &str) -> Option<&'static str> {
    let zone = text(zone)?;
    let mut names = chrono_tz::TZ_VARIANTS.iter().map(|known| known.name());
    names.find(|name| name.eq_ignore_ascii_case(zone))
}

/// A URL, as it is or in the JSON that some providers send.
pub(super) fn picture(picture: &str) -> Option<String> {
    let picture = text(picture)?;
    let url = match serde_json::from_str::<Value>(picture) {
        Ok(json) => json.pointer("/data/url").or_else(|| json.pointer("/0/url"))?.as_str()?.to_owned(),
        Err(_) => picture.to_owned(),
    };
    ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)).then_some(url)
}

/// The first public address of a list, else its first address; each may have a port or brackets.
pub(super) fn ip(list: &str) -> Option<IpAddr> {
    let address = |text: &str| {
        let text = text.trim();
        let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
        let ip = with_port.or_else(|_| text.trim_matches(['[', ']']).parse()).ok()?;
        Some(IpAddr::to_canonical(&ip)).filter(|ip| !ip.is_unspecified())
    };
    let is_private = |ip: &IpAddr| {
        ["10.", "127.", "192.168.", "fd", "fe80:"].iter().any(|start| ip.to_string().starts_with(start))
    };
    let addresses: Vec<IpAddr> = list.split(',').filter_map(address).collect();
    addresses.iter().find(|ip| !is_private(ip)).or(addresses.first()).copied()
}

/// What Cognito has linked: the JSON text's boolean and milliseconds, or the token's strings.
pub(super) fn identities(attribute: &str) -> Value {
    let linked: Vec<Map<String, Value>> = serde_json::from_str(attribute).unwrap_or_default();
    let identity = |identity: &Map<String, Value>| {
        let text = |name: &str| match identity.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => None,
            Some(other) => Some(other.to_string()),
        };
        let linked_at =
            text("dateCreated").map(|millis| Timestamp::from_unix_millis(millis.parse().unwrap()));
        json!({
            "provider_name": text("providerName"),
            "provider_type": text("providerType"),
            "provider_user_id": text("userId"),
            "linked_at": linked_at,
            "is_primary": text("primary").map(|text| text == "true"),
        })
    };
    let mut identities: Vec<Value> = linked.iter().map(identity).collect();
    identities.sort_by_key(|identity| {
        (identity["provider_name"].to_string(), identity["provider_user_id"].to_string())
    });
    identities.dedup();
    if identities.is_empty() { Value::Null } else { identities.into() }
}
