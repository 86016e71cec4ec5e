//! The language and the region that a locale says, however phones, browsers and identity providers write it. Pure: must
//! not know whose locale it is. Lists and parsing are crates'; the tables here are closed, or say whose habit they are.

use oxilangtag::LanguageTag;
use serde_json::Value;

use crate::store::model::memo::Memo;
use crate::store::model::profile;

/// What a locale says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Locale {
    /// ISO 639-1 where it has a code, else ISO 639-3.
    pub(in crate::store) language: Option<&'static str>,
    /// ISO 3166-1 alpha-2.
    pub(in crate::store) region: Option<&'static str>,
}

/// An object in an object, and a text in JSON in a text: nobody nests deeper.
const DEPTH_MAX: usize = 4;

/// What else languages are called: withdrawn codes, ISO 639-2's bibliographic ones, BCP 47's names from before RFC 4646,
/// and Facebook's own.
const OTHER_CODES: [(&str, &str); 50] = [
    ("iw", "he"),
    ("in", "id"),
    ("ji", "yi"),
    ("jw", "jv"),
    ("mo", "ro"),
    ("mol", "ro"),
    ("alb", "sq"),
    ("arm", "hy"),
    ("baq", "eu"),
    ("bur", "my"),
    ("chi", "zh"),
    ("cze", "cs"),
    ("dut", "nl"),
    ("fre", "fr"),
    ("geo", "ka"),
    ("ger", "de"),
    ("gre", "el"),
    ("ice", "is"),
    ("mac", "mk"),
    ("mao", "mi"),
    ("may", "ms"),
    ("per", "fa"),
    ("rum", "ro"),
    ("slo", "sk"),
    ("tib", "bo"),
    ("wel", "cy"),
    ("klingon", "tlh"),
    ("lojban", "jbo"),
    ("lux", "lb"),
    ("navajo", "nv"),
    ("cb", "ckb"),
    ("ck", "chr"),
    ("cx", "ceb"),
    ("gx", "grc"),
    ("qz", "my"),
    ("sy", "syr"),
    ("sz", "szl"),
    ("tz", "tzm"),
    ("qc", "quc"),
    ("bp", "bho"),
    ("zz", "zza"),
    ("em", "bem"),
    ("qb", "hsb"),
    ("scc", "sr"),
    ("scr", "hr"),
    // The languages that stand for a whole: Mandarin, Arabic, Persian, Malay, Swahili.
    ("cmn", "zh"),
    ("arb", "ar"),
    ("pes", "fa"),
    ("zsm", "ms"),
    ("swh", "sw"),
];

/// Codes of ISO 639-3 that name no language.
const NO_LANGUAGES: [&str; 4] = ["mis", "mul", "und", "zxx"];

/// Codes of languages that programs write for nothing, where they stand alone.
const NOTHING: [&str; 9] = ["nan", "nil", "nul", "any", "all", "not", "non", "str", "none"];

/// How objects begin that are no JSON: Go's, and a form's.
const NAMED: [&str; 6] = ["map[", "LocaleInfo(", "country=", "language=", "locale=", "lang="];

/// Languages whose code is their own country's, too. Of all others a region that repeats the language is no country:
/// `ar_AR` is not said of Argentina, nor `sv_SV` of El Salvador.
const OF_THEIR_COUNTRY: [&str; 35] = [
    "az", "bg", "de", "es", "fi", "fj", "fo", "fr", "hr", "ht", "hu", "id", "is", "it", "lt", "lv", "mg",
    "mh", "mk", "mn", "mt", "nl", "no", "pl", "pt", "ro", "ru", "rw", "se", "sk", "so", "th", "to", "tr",
    "uz",
];

/// Facebook's locales whose region is none: Latin America, "leet speak", Klingon.
const NO_REGIONS: [(&str, &str); 3] = [("es", "LA"), ("fb", "LT"), ("tl", "ST")];

impl Locale {
    /// What a text says. A text that is known is not read again.
    pub(in crate::store) fn of(text: &str) -> Self {
        static LOCALES: Memo<Locale> = Memo::new(|text| Locale::read(text, 0));
        LOCALES.of(text)
    }

    fn read(text: &str, depth: usize) -> Self {
        let Some(text) = profile::text(text).filter(|_| depth < DEPTH_MAX) else { return Self::default() };
        let text = profile::unquoted(text);
        if text.starts_with('{') {
            return Self::of_members(&members(text), depth);
        }
        // A list of JSON is one like another.
        let list = text.trim_start_matches('[').trim_end_matches(']');
        if list.starts_with('{') || NAMED.iter().any(|start| list.starts_with(start)) {
            return Self::of_members(&members(list), depth);
        }
        // `fr:CA`; else colons divide the languages of POSIX's `LANGUAGE`.
        let is_country = |code: &str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let joined = list.split_once([':', ' ', '/', '|', '.']).filter(|(_, code)| is_country(code));
        let joined = joined.map(|(language, code)| format!("{language}-{code}"));
        let list = joined.as_deref().unwrap_or(list);
        let mut entries: Vec<(f64, &str)> = list
            .split([',', ':'])
            .map(|entry| (quality(entry), entry))
            .filter(|(quality, _)| *quality > 0.0)
            .collect();
        // Stable: of those that are liked equally, the first comes first.
        entries.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let locales: Vec<Self> = entries.into_iter().map(|(_, entry)| Self::of_entry(entry)).collect();
        let known = locales.iter().find(|locale| locale.language.is_some());
        known.or_else(|| locales.iter().find(|locale| locale.region.is_some())).copied().unwrap_or_default()
    }

    /// An object that was made a text: a language and a country, or a locale.
    fn of_members(members: &[(String, String)], depth: usize) -> Self {
        let member = |names: &[&str]| {
            let found = |name: &&str| members.iter().find(|(key, _)| key == name);
            names.iter().find_map(found).map(|(_, value)| value.as_str())
        };
        let read = |text: Option<&str>| text.map(|text| Self::read(text, depth + 1)).unwrap_or_default();
        let written = member(&["language", "lang", "languagecode"]);
        let (language, whole) = (
            read(written),
            read(member(&[
                "locale",
                "primarylocale",
                "preferredlocale",
                "localecode",
                "identifier",
                "languagetag",
                "tag",
                "value",
                "code",
                "name",
            ])),
        );
        let country = member(&["country", "region", "countrycode", "regioncode", "territory"]);
        let region =
            country.and_then(profile::text).and_then(|code| region_beside(written.unwrap_or_default(), code));
        Self {
            language: language.language.or(whole.language),
            region: region.or(language.region).or(whole.region),
        }
    }

    /// One locale, with what follows it: `@` before a modifier or keywords, `;` between those and before a quality.
    fn of_entry(entry: &str) -> Self {
        let entry = profile::unquoted(entry.trim());
        if entry == "NA" || NOTHING.iter().any(|nothing| entry.eq_ignore_ascii_case(nothing)) {
            return Self::default();
        }
        let tag = entry.split(['@', ';', '.']).next().unwrap_or_default();
        let keyword = entry.split(['@', ';']).skip(1).find_map(|word| {
            let (name, value) = word.trim().split_once('=')?;
            name.eq_ignore_ascii_case("rg").then_some(value)
        });
        let overridden = keyword.and_then(region_of_subdivision);
        let locale = Self::of_tag(tag.trim());
        Self { region: overridden.or(locale.region), ..locale }
    }

    /// BCP 47, with whatever stands between the subtags. What is not well-formed is read as far as it is.
    fn of_tag(tag: &str) -> Self {
        let mut subtags: Vec<&str> = tag
            .split(|character| matches!(character, '-' | '_' | '#' | '\u{2010}'..='\u{2015}' | '\u{2212}'))
            .collect();
        // Java's locale without a language: `_US`.
        let has_no_language = subtags.first() == Some(&"") && subtags.len() > 1;
        subtags.retain(|subtag| !subtag.is_empty());
        match subtags.first() {
            Some(first) if first.eq_ignore_ascii_case("i") || first.eq_ignore_ascii_case("art") => {
                subtags = subtags.split_off(1);
            }
            _ if has_no_language => subtags.insert(0, "und"),
            _ => {}
        }
        while !subtags.is_empty() {
            let text = subtags.join("-");
            // A whole of more subtags is a name from before RFC 4646: its beginning says the same.
            match LanguageTag::parse(text.as_str()) {
                Ok(tag) if !tag.primary_language().contains('-') => return Self::of_parsed(&tag),
                Ok(_) | Err(_) => subtags.truncate(subtags.len() - 1),
            }
        }
        Self::default()
    }

    fn of_parsed(tag: &LanguageTag<&str>) -> Self {
        let written = tag.primary_language();
        // Where three letters are no extended language, they are a country's.
        let region = tag.region().or_else(|| tag.extended_language());
        let overridden =
            tag.extension_subtags().filter(|(singleton, _)| singleton.eq_ignore_ascii_case(&'u'));
        let mut overridden = overridden.filter_map(|(_, keywords)| {
            let mut subtags = keywords.split('-').skip_while(|subtag| !subtag.eq_ignore_ascii_case("rg"));
            region_of_subdivision(subtags.nth(1)?)
        });
        Self {
            language: known_language(written),
            region: overridden.next().or_else(|| region_beside(written, region?)),
        }
    }
}

/// How much an entry of an `Accept-Language` is liked: 1 where it does not say, nearly nothing where it cannot be read.
fn quality(entry: &str) -> f64 {
    let said =
        entry.split(';').skip(1).find_map(|word| word.trim().strip_prefix(['q', 'Q'])?.strip_prefix('='));
    said.map_or(1.0, |said| said.trim().parse().unwrap_or(f64::MIN_POSITIVE))
}

/// The members of an object: JSON, JSON with the quotes of Python, or as Java writes a map (`{language=es, country=ES}`).
/// Names in lower case, without what separates words.
fn members(text: &str) -> Vec<(String, String)> {
    let name = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let json = || serde_json::from_str(text).or_else(|_| serde_json::from_str(&text.replace('\'', "\"")));
    if let Ok(Value::Object(object)) = json() {
        let value = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return object.into_iter().map(|(key, member)| (name(&key), value(member))).collect();
    }
    let inner =
        text.split_once(['{', '[', '(']).map_or(text, |(_, inner)| inner).trim_end_matches(['}', ']', ')']);
    let has_commas = inner.contains([',', '&']);
    let is_between = |character| if has_commas { matches!(character, ',' | '&') } else { character == ' ' };
    let pairs = inner.split(is_between);
    // Ruby's names begin with a colon.
    let pairs = pairs.filter_map(|pair| pair.trim_matches([' ', ':']).split_once(['=', ':']));
    // What is left of quotes that were escaped.
    let bare = |value: &str| value.trim_matches(|character: char| " \\\"'>{}".contains(character)).to_owned();
    pairs.map(|(key, value)| (name(key), bare(value))).collect()
}

/// The code of a language that somebody speaks.
fn known_language(subtag: &str) -> Option<&'static str> {
    let code = subtag.to_ascii_lowercase();
    if let Some((_, language)) = OTHER_CODES.iter().find(|(other, _)| *other == code) {
        return Some(language);
    }
    let language = isolang::Language::from_639_1(&code).or_else(|| isolang::Language::from_639_3(&code))?;
    let code = language.to_639_3();
    (!NO_LANGUAGES.contains(&code)).then(|| language.to_639_1().unwrap_or(code))
}

/// The country of a region subtag, beside the language as it is written.
fn region_beside(language: &str, region: &str) -> Option<&'static str> {
    let repeats = |code: &str| code.len() == 2 && code.eq_ignore_ascii_case(region);
    let is_own = |code: &str| OF_THEIR_COUNTRY.iter().any(|own| own.eq_ignore_ascii_case(code));
    let is_repeated = [Some(language), known_language(language)]
        .into_iter()
        .flatten()
        .any(|code| repeats(code) && !is_own(code));
    // What is no language repeats none: `cz_CZ` is Czechia.
    let is_repeated =
        is_repeated && known_language(language).is_some() && !language.eq_ignore_ascii_case("sy");
    let is_none =
        |(of, none): &(&str, &str)| of.eq_ignore_ascii_case(language) && none.eq_ignore_ascii_case(region);
    if is_repeated || NO_REGIONS.iter().any(is_none) { None } else { country(region) }
}

/// A country by its code of two or three letters, also one that ISO 3166-1 has withdrawn, where one country followed.
fn country(code: &str) -> Option<&'static str> {
    let code = code.to_ascii_uppercase();
    let assigned = rust_iso3166::from_alpha2(&code).or_else(|| rust_iso3166::from_alpha3(&code));
    let assigned = assigned.or_else(|| rust_iso3166::from_numeric_str(&code));
    if let Some(country) = assigned {
        return Some(country.alpha2);
    }
    // Reserved for the United Kingdom, which is GB.
    if code == "UK" {
        return Some("GB");
    }
    let mut former = rust_iso3166::iso3166_3::ALL.iter().filter(|former| former.former.alpha2 == code);
    match (former.next().map(|former| former.new_countries), former.next()) {
        (Some([country]), None) => rust_iso3166::from_alpha2(country.alpha2).map(|country| country.alpha2),
        _ => None,
    }
}

/// The country of a subdivision as Unicode writes it: `gbsct`, and `uszzzz` for the whole.
fn region_of_subdivision(code: &str) -> Option<&'static str> {
    country(code.get(..2)?).filter(|_| code.len() > 2)
}

#[cfg(test)]
mod tests;
