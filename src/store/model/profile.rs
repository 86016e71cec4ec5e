//! What the texts of a user's profile say: names, a birthdate, a zone, a picture. Pure, and without a clock. A text that
//! says nothing is none; what is not shown stays in `cognito_attributes`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use cognito_user_sync_triggers::timestamp::Timestamp;
use icu_properties::props::DefaultIgnorableCodePoint;
use icu_properties::{CodePointSetData, CodePointSetDataBorrowed};
use serde_json::Value;
use time::{Date, Duration, Month, OffsetDateTime};
use url::Url;

use crate::store::model::state::UserState;

static IGNORABLE: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<DefaultIgnorableCodePoint>();

/// A picture in JSON in JSON: nobody nests deeper.
const DEPTH_MAX: usize = 4;

/// Nobody who is alive was born earlier; runtimes write `0001-01-01` for none.
const FIRST_YEAR: i32 = 1900;

/// Where a day begins first: UTC+14.
const FIRST_ZONE: Duration = Duration::hours(14);

/// A text without the white space and the invisible characters around it; `None` where that leaves nothing, or what
/// programs write for nothing. Characters that join others stay inside, as in Persian words and in emoji.
pub(in crate::store) fn text(text: &str) -> Option<&str> {
    let start = text.trim_start_matches(is_invisible);
    let text =
        start.trim_end_matches(|character| is_invisible(character) && !belongs_to_the_one_before(character));
    (!text.is_empty() && !says_nothing(text)).then_some(text)
}

fn is_invisible(character: char) -> bool {
    // Of Braille, the pattern without dots is no ignorable character, and a blank all the same.
    character.is_whitespace()
        || character.is_control()
        || character == '\u{2800}'
        || (!character.is_ascii() && IGNORABLE.contains(character))
}

/// Variation selectors and the tags of flags: without them an emoji is another one.
fn belongs_to_the_one_before(character: char) -> bool {
    matches!(character, '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
        && character != '\u{180E}'
}

/// What programs write where they have no value. People are called Null, and None may be an answer.
fn says_nothing(text: &str) -> bool {
    let is_nothing = |word: &str| matches!(word, "null" | "(null)") || word.eq_ignore_ascii_case("undefined");
    let words = || text.split([' ', ',']).filter(|word| !word.is_empty());
    matches!(text, "[object Object]" | "<null>" | "NaN" | "\"\"" | "''" | "{}" | "[]")
        || text.eq_ignore_ascii_case("n/a")
        || (words().next().is_some() && words().all(is_nothing))
}

/// A text without the pair of quotes around it.
pub(in crate::store) fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).map_or(text, str::trim)
}

/// A name, or a part of one: a text that is no address, neither the user's own nor one of that form.
pub(in crate::store) fn name_of<'a>(state: &'a UserState, attribute: &str) -> Option<&'a str> {
    let name = state.attribute(attribute).and_then(text).map(without_nothing).and_then(text)?;
    let own = |attribute| state.attribute(attribute).and_then(text);
    let is_own_email = || own("email").is_some_and(|email| email.eq_ignore_ascii_case(name));
    let is_phone_number = || {
        let digits = phone_digits(name)?;
        Some(name.starts_with('+') || own("phone_number").and_then(phone_digits) == Some(digits))
    };
    let is_address =
        name.split_whitespace().all(has_form_of_email) || is_own_email() || is_phone_number() == Some(true);
    (!is_address).then_some(name)
}

/// A name without the words for nothing before and after it: `Ada undefined`, where programs join what is not there.
fn without_nothing(mut name: &str) -> &str {
    let is_nothing = |word: &str| matches!(word, "undefined" | "null" | "(null)");
    while let Some((_, rest)) = name.split_once(char::is_whitespace).filter(|(word, _)| is_nothing(word)) {
        name = rest.trim_start();
    }
    while let Some((rest, _)) = name.rsplit_once(char::is_whitespace).filter(|(_, word)| is_nothing(word)) {
        name = rest.trim_end();
    }
    name
}

fn has_form_of_email(text: &str) -> bool {
    let text = text.trim_end_matches(['.', ',', ';']);
    let bare = text.strip_prefix("mailto:").unwrap_or(text);
    let Some((local, domain)) = bare.split_once('@') else { return false };
    let is_domain = domain.split('.').count() > 1 && domain.split('.').all(|label| !label.is_empty());
    !local.is_empty() && is_domain && !domain.contains('@') && !bare.contains(char::is_whitespace)
}

/// The digits of a text that has no more than digits and what people write between them, if they may be a number.
fn phone_digits(text: &str) -> Option<String> {
    const DIGITS_MIN: usize = 7;
    let is_between =
        |character: char| matches!(character, '+' | '-' | '.' | '/' | '(' | ')') || character.is_whitespace();
    if !text.chars().all(|character| character.is_ascii_digit() || is_between(character)) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= DIGITS_MIN).then_some(digits)
}

/// A birthdate, by the day that it was reported, in the zone where that day began first. Only forms that leave no doubt
/// about which part is the month: `1984-02-29`, `1984/02/29`, and the midnight that runtimes add.
pub(in crate::store) fn birthdate(birthdate: &str, reported: Timestamp) -> Option<Date> {
    date(birthdate).filter(|date| *date <= last_day(reported))
}

/// Whether a birthdate was none yet when it was reported, and would be one later.
pub(in crate::store) fn is_yet_to_come(birthdate: &str, reported: Timestamp) -> bool {
    date(birthdate).is_some_and(|date| date > last_day(reported))
}

/// The day at a moment, where it is latest.
fn last_day(moment: Timestamp) -> Date {
    OffsetDateTime::from(moment).checked_add(FIRST_ZONE).map_or(Date::MAX, OffsetDateTime::date)
}

fn date(birthdate: &str) -> Option<Date> {
    let text = unquoted(text(birthdate)?);
    let (day, rest) = text.split_at_checked(10)?;
    let is_midnight = rest.strip_prefix(['T', ' ']).is_some_and(|time| {
        let time = time.strip_suffix('Z').or_else(|| time.strip_suffix("+00:00")).unwrap_or(time);
        time.strip_prefix("00:00:00").is_some_and(|fraction| fraction.trim_matches(['.', '0']).is_empty())
    });
    let separator = day.chars().nth(4).filter(|separator| matches!(separator, '-' | '/'))?;
    let parts: Vec<&str> = day.split(separator).collect();
    let [year, month, day] = *parts.as_slice() else { return None };
    let number = |text: &str, length: usize| {
        let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
    ((rest.is_empty() || is_midnight) && date.year() >= FIRST_YEAR).then_some(date)
}

/// A zone of IANA's list, older names included, as the list writes it. PostgreSQL knows more: it computes with `-8`,
/// and the other way round than who wrote it.
pub(in crate::store) fn zone(zone: &str) -> Option<&'static str> {
    static ZONES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        names.map(|name| (name.to_ascii_lowercase(), name)).collect()
    });
    let name = unquoted(text(zone)?).to_ascii_lowercase().replace(' ', "_");
    ZONES.get(&name).copied()
}

/// The URL of a picture on the web, also where a provider's JSON holds it.
pub(in crate::store) fn picture(picture: &str) -> Option<Cow<'_, str>> {
    let text = text(picture)?;
    if text.starts_with(['{', '[', '"']) {
        return picture_in_json(text, 0).map(Cow::Owned);
    }
    url(unquoted(text))
}

fn picture_in_json(text: &str, depth: usize) -> Option<String> {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    if let Some(json) = read(text).or_else(|| read(&text.replace('\'', "\""))) {
        return picture_in(&json, depth);
    }
    // As Java writes a map, or cut off by the provider's limit.
    let start = text.find("https:").or_else(|| text.find("http:"))?;
    let (_, rest) = text.split_at_checked(start)?;
    let end = rest.find(|character: char| character.is_whitespace() || "\"',{}[]".contains(character))?;
    url(rest.split_at_checked(end)?.0).map(Cow::into_owned)
}

fn picture_in(json: &Value, depth: usize) -> Option<String> {
    if depth == DEPTH_MAX {
        return None;
    }
    match json {
        Value::String(nested) if nested.trim_start().starts_with(['{', '[']) => {
            picture_in_json(nested, depth + 1)
        }
        Value::String(text) => url(self::text(text)?).map(Cow::into_owned),
        Value::Array(values) => values.iter().find_map(|value| picture_in(value, depth + 1)),
        Value::Object(members) => {
            let named = ["url", "data", "picture", "src", "href", "value"].into_iter().filter_map(|name| {
                members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            });
            named.into_iter().find_map(|value| picture_in(value, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// An absolute URL of the web, as it is written but for what no URL holds. One without a scheme is of the page that
/// shows it, and such a page is encrypted.
fn url(text: &str) -> Option<Cow<'_, str>> {
    let mut text =
        if text.contains("\\/") { Cow::Owned(text.replace("\\/", "/")) } else { Cow::Borrowed(text) };
    if text.starts_with("//") {
        text = Cow::Owned(format!("https:{text}"));
    }
    let is_of_the_web = ["http://", "https://"]
        .into_iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let url = is_of_the_web.then(|| Url::parse(&text).ok()).flatten()?;
    let is_written_so = !text.contains(|character: char| character.is_whitespace() || character.is_control());
    Some(if is_written_so { text } else { Cow::Owned(url.into()) })
}

#[cfg(test)]
mod tests;
