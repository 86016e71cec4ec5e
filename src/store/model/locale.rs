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

/// More subtags than any locale has.
const SUBTAGS_MAX: usize = 32;

/// What else languages are called: withdrawn codes, ISO 639-2's bibliographic ones, BCP 47's names from before RFC 4646,
/// the one language that a code of ISO 639-1 is said for, and Facebook's own.
const OTHER_CODES: [(&str, &str); 54] = [
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
    ("scc", "sr"),
    ("scr", "hr"),
    ("no-bok", "nb"),
    ("no-nyn", "nn"),
    ("zh-min-nan", "nan"),
    ("zh-xiang", "hsn"),
    ("arb", "ar"),
    ("cmn", "zh"),
    ("pes", "fa"),
    ("swh", "sw"),
    ("zsm", "ms"),
    ("bp", "bho"),
    ("cb", "ckb"),
    ("ck", "chr"),
    ("cx", "ceb"),
    ("em", "bem"),
    ("gx", "grc"),
    ("qb", "hsb"),
    ("qc", "quc"),
    ("qz", "my"),
    ("sy", "syr"),
    ("sz", "szl"),
    ("tz", "tzm"),
    ("zz", "zza"),
];

/// What programs write where they have no language, though ISO 639 has one of that code.
const NOTHING: [&str; 10] = ["all", "any", "na", "nan", "nil", "non", "none", "not", "nul", "str"];

/// Languages that BCP 47 lets others extend: `zh-yue`. Beside all others three letters are a country's.
const EXTENDED: [&str; 4] = ["ar", "ms", "sw", "zh"];

/// Members of objects that say a language, a country, and both.
const LANGUAGE_NAMES: [&str; 3] = ["language", "lang", "languagecode"];
const COUNTRY_NAMES: [&str; 5] = ["country", "region", "countrycode", "regioncode", "territory"];
const LOCALE_NAMES: [&str; 10] = [
    "locale",
    "languagetag",
    "tag",
    "value",
    "code",
    "localecode",
    "identifier",
    "primarylocale",
    "preferredlocale",
    "name",
];

/// Codes of ISO 639-3 that name no language.
const NO_LANGUAGES: [&str; 4] = ["mis", "mul", "und", "zxx"];

/// Languages whose code is their own country's, too. Of all others a region that repeats the language is no country:
/// `ar_AR` is not said of Argentina, nor `sv_SV` of El Salvador.
const OF_THEIR_COUNTRY: [&str; 36] = [
    "az", "bg", "de", "es", "fi", "fj", "fo", "fr", "hr", "ht", "hu", "id", "is", "it", "lt", "lv", "mg",
    "mh", "mk", "mn", "mt", "nl", "no", "pl", "pt", "ro", "ru", "rw", "se", "sk", "so", "sy", "th", "to",
    "tr", "uz",
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
        // A list of JSON is one like another.
        let list = text.trim_start_matches('[').trim_end_matches(']');
        let members = members(list);
        let is_known = |name: &str| {
            [&LANGUAGE_NAMES[..], &COUNTRY_NAMES, &LOCALE_NAMES].iter().any(|names| names.contains(&name))
        };
        if list.starts_with('{') || members.iter().any(|(name, _)| is_known(name)) {
            return Self::of_members(&members, depth);
        }
        let said = Self::of_list(list);
        if said.language.is_some() { said } else { Self::of_names(list).unwrap_or(said) }
    }

    /// An `Accept-Language`, or a `LANGUAGE` of POSIX, which has colons.
    fn of_list(list: &str) -> Self {
        let ends_in_country = country_apart(list).is_some();
        let mut entries: Vec<(f64, &str)> = list
            .split(|character| character == ',' || (character == ':' && !ends_in_country))
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
        let read = |text: Option<&str>| text.map(|text| Self::read(text, depth + 1)).unwrap_or_default();
        let written = member(members, &LANGUAGE_NAMES);
        let (language, whole) = (read(written), read(member(members, &LOCALE_NAMES)));
        let country = member(members, &COUNTRY_NAMES).map(code_within);
        let region = country.as_deref().and_then(profile::text).and_then(|code| {
            region_beside(written.unwrap_or_default(), code).or_else(|| country_named(code))
        });
        Self {
            language: language.language.or(whole.language),
            region: region.or(language.region).or(whole.region),
        }
    }

    /// One locale, with what follows it: `@` before a modifier or keywords, `;` between those and before a quality, `.`
    /// before a character set, and a name in parentheses.
    fn of_entry(entry: &str) -> Self {
        let entry = entry.trim_matches(|character: char| " \t\r\n\"'()<>".contains(character));
        let tag = entry.split(['@', ';', '(']).next().unwrap_or_default().trim();
        if NOTHING.iter().any(|nothing| nothing.eq_ignore_ascii_case(tag)) {
            return Self::default();
        }
        let locale = match country_apart(tag) {
            Some((language, country)) => Self::of_tag(&format!("{language}-{country}")),
            None => Self::of_tag(tag.split('.').next().unwrap_or_default().trim()),
        };
        let keyword = entry.split(['@', ';']).skip(1).find_map(|word| after(word, "rg="));
        Self { region: keyword.and_then(region_of_subdivision).or(locale.region), ..locale }
    }

    /// Names, as Windows writes them: `German_Germany.1252`.
    fn of_names(text: &str) -> Option<Self> {
        let names = text.split('.').next().unwrap_or_default();
        let mut names = names.split(['_', '(', ')']).map(str::trim);
        let language = language_named(names.next()?)?;
        Some(Self { language: Some(language), region: names.find_map(country_named) })
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
        subtags.truncate(SUBTAGS_MAX);
        while !subtags.is_empty() {
            let text = subtags.join("-");
            // A whole of more subtags is a name from before RFC 4646. Where it is unknown, its beginning says as much.
            let is_read = |language: &str| !language.contains('-') || known_language(language).is_some();
            match LanguageTag::parse(text.as_str()) {
                Ok(tag) if is_read(tag.primary_language()) => return Self::of_parsed(&tag),
                Ok(_) | Err(_) => subtags.truncate(subtags.len() - 1),
            }
        }
        Self::default()
    }

    fn of_parsed(tag: &LanguageTag<&str>) -> Self {
        let written = tag.primary_language();
        // Where three letters are no extended language, they are a country's.
        let extension = tag.extended_language();
        let region = tag.region().or(extension);
        let is_extended = EXTENDED.iter().any(|language| language.eq_ignore_ascii_case(written));
        let extension = extension.filter(|code| is_extended && country(code).is_none());
        let extended = extension.and_then(|codes| known_language(codes.rsplit('-').next()?));
        // Facebook's Klingon.
        let is_klingon = written.eq_ignore_ascii_case("tl")
            && region.is_some_and(|region| region.eq_ignore_ascii_case("st"));
        let overridden =
            tag.extension_subtags().filter(|(singleton, _)| singleton.eq_ignore_ascii_case(&'u'));
        let mut overridden = overridden.filter_map(|(_, keywords)| {
            let mut subtags = keywords.split('-').skip_while(|subtag| !subtag.eq_ignore_ascii_case("rg"));
            region_of_subdivision(subtags.nth(1)?)
        });
        Self {
            language: if is_klingon { Some("tlh") } else { extended.or_else(|| known_language(written)) },
            region: overridden.next().or_else(|| region_beside(written, region?)),
        }
    }
}

/// How much an entry of an `Accept-Language` is liked: 1 where it does not say, nearly nothing where it cannot be read.
fn quality(entry: &str) -> f64 {
    let said = entry.split(';').skip(1).find_map(|word| after(word, "q="));
    said.map_or(1.0, |said| said.trim().parse().unwrap_or(f64::MIN_POSITIVE))
}

/// What a word says after its beginning, in upper case or in lower.
fn after<'a>(word: &'a str, beginning: &str) -> Option<&'a str> {
    let (start, rest) = word.trim().split_at_checked(beginning.len())?;
    start.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// A country in capitals, at the end, after what else separates words: `en US`, `en/US`, `fr:CA`.
fn country_apart(text: &str) -> Option<(&str, &str)> {
    let (language, country) = text.trim().rsplit_once([' ', '/', '|', '.', ':'])?;
    let is_code = country.len() == 2 && country.chars().all(|letter| letter.is_ascii_uppercase());
    is_code.then(|| (language.trim(), country))
}

/// The members of an object: JSON, JSON with the quotes of Python, or as Java, Ruby and Go write a map (`{language=es,
/// country=ES}`, `{:language=>"es"}`, `map[language:es]`), or a query. Names in lower case, without what separates
/// words.
fn members(text: &str) -> Vec<(String, String)> {
    let name = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let python = || text.replace("{u'", "{'").replace(" u'", " '").replace('\'', "\"");
    let json = || serde_json::from_str(text).or_else(|_| serde_json::from_str(&python()));
    if text.starts_with('{')
        && let Ok(Value::Object(object)) = json()
    {
        let value = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return object.into_iter().map(|(key, member)| (name(&key), value(member))).collect();
    }
    let is_go = text.starts_with("map[");
    let pairs = text.split(|character| matches!(character, ',' | '&') || (is_go && character == ' '));
    // Before a name: Ruby's colon, or the name of a class.
    let pairs = pairs.filter_map(|pair| {
        let (key, value) = pair.trim_start_matches([' ', '{', ':']).split_once(['=', ':'])?;
        Some((key.rsplit(['{', '[', '(']).next()?, value))
    });
    // What is left of brackets, and of quotes that were escaped.
    let is_mark = |character: char| " \\\"'>{}[]()".contains(character);
    pairs.map(|(key, value)| (name(key), value.trim_matches(is_mark).to_owned())).collect()
}

/// The first member that has one of the names, by their order.
fn member<'a>(members: &'a [(String, String)], names: &[&str]) -> Option<&'a str> {
    let found = |name: &&str| members.iter().find(|(key, _)| key == name);
    names.iter().find_map(found).map(|(_, value)| value.as_str())
}

/// A country's code, also where it is the first of a list or stands in an object.
fn code_within(text: &str) -> String {
    let first = text.strip_prefix('[').map_or(text, |list| list.split([',', ']']).next().unwrap_or_default());
    if !first.starts_with('{') {
        return first.trim_matches([' ', '"', '\'']).to_owned();
    }
    member(&members(first), &["code", "countrycode", "value", "name"]).unwrap_or_default().to_owned()
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

/// A language by its English name or its own. As short as a code, it is none.
fn language_named(name: &str) -> Option<&'static str> {
    use isolang::Language;
    let name = Some(name).filter(|name| name.len() > 3)?;
    let own = || Language::from_autonym(name).or_else(|| Language::from_autonym(&name.to_lowercase()));
    known_language(Language::from_name(name).or_else(own)?.to_639_3())
}

/// A country by its English name, also without what that explains: `United States` of America.
fn country_named(name: &str) -> Option<&'static str> {
    let explains = |rest: &str| rest.is_empty() || rest.starts_with(" of ") || rest.starts_with(" (");
    let is_named = |known: &str| known.strip_prefix(name).is_some_and(explains);
    let mut named = rust_iso3166::ALL.iter().filter(|country| !name.is_empty() && is_named(country.name));
    let exact = rust_iso3166::ALL.iter().find(|country| country.name == name);
    match (named.next(), named.next()) {
        (Some(country), None) => Some(country.alpha2),
        _ => exact.map(|country| country.alpha2),
    }
}

/// The country of a region subtag, beside the language as it is written.
fn region_beside(language: &str, region: &str) -> Option<&'static str> {
    let repeats = |code: &str| code.len() == 2 && code.eq_ignore_ascii_case(region);
    let is_own = |code: &str| OF_THEIR_COUNTRY.iter().any(|own| own.eq_ignore_ascii_case(code));
    // What is no language was meant as the country: `jp_JP`.
    let is_repeated = known_language(language)
        .is_some_and(|known| [language, known].into_iter().any(|code| repeats(code) && !is_own(code)));
    let is_none =
        |(of, none): &(&str, &str)| of.eq_ignore_ascii_case(language) && none.eq_ignore_ascii_case(region);
    if is_repeated || NO_REGIONS.iter().any(is_none) { None } else { country(region) }
}

/// A country by its code of two or three letters or of three digits, also one that ISO 3166-1 has withdrawn, where one
/// country followed.
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
