//! Locales as phones, browsers and identity providers write them, and what a reader of the row would call right.

use super::*;

/// Each text with its language and its region; `-` is none.
fn check(cases: &[(&str, &str, &str)]) {
    for (text, language, region) in cases {
        let Locale { language: is_language, region: is_region } = Locale::of(text);
        assert_eq!((is_language.unwrap_or("-"), is_region.unwrap_or("-")), (*language, *region), "{text}");
    }
}

#[test]
fn the_cases_from_the_field() {
    check(&[
        (r#"{"country":"ES","language":"es"}"#, "es", "ES"),
        ("en_NZ@rg=uszzzz", "en", "US"),
        ("ar@numbers=latn", "ar", "-"),
        ("en-UK", "en", "GB"),
        ("en_EN", "en", "-"),
        ("en-EU", "en", "-"),
        ("fr_FR.UTF-8", "fr", "FR"),
        ("de.UTF-8", "de", "-"),
        ("fr-CH, fr;q=0.9", "fr", "CH"),
        ("iw_IL", "he", "IL"),
        ("es_LA", "es", "-"),
    ]);
}

#[test]
fn bcp_47() {
    check(&[
        ("en-US", "en", "US"),
        ("pt_br", "pt", "BR"),
        ("zh-Hant-TW", "zh", "TW"),
        ("zh_Hans", "zh", "-"),
        ("EN-gb", "en", "GB"),
        ("de-DE-1996", "de", "DE"),
        ("ca-ES-valencia", "ca", "ES"),
        ("sl-rozaj-biske", "sl", "-"),
        ("zh-cmn-Hans-CN", "zh", "CN"),
        ("zh-yue-HK", "yue", "HK"),
        ("es-419", "es", "-"),
        ("ar-001", "ar", "-"),
        ("en-u-ca-gregory", "en", "-"),
        ("en-NZ-u-rg-uszzzz", "en", "US"),
        ("en-GB-u-ca-buddhist-rg-gbsct", "en", "GB"),
        ("fr-t-en-us-x-DE", "fr", "-"),
        ("en-x-US", "en", "-"),
        ("x-pig-latin", "-", "-"),
        ("i-klingon", "tlh", "-"),
        ("i-lux", "lb", "-"),
        ("art-lojban", "jbo", "-"),
        ("zh-min-nan", "nan", "-"),
        ("no-bok", "nb", "-"),
        ("en-GB-oed", "en", "GB"),
        ("sr-RS-Latn", "sr", "RS"),
        ("fil-PH", "fil", "PH"),
        ("gsw-CH", "gsw", "CH"),
        ("haw", "haw", "-"),
        ("und-AT", "-", "AT"),
        ("en\u{2011}AU", "en", "AU"),
    ]);
}

#[test]
fn posix_java_and_ios() {
    check(&[
        ("de_DE@euro", "de", "DE"),
        ("sr_RS@latin", "sr", "RS"),
        ("pt_BR.iso88591", "pt", "BR"),
        ("ca_ES.utf8@valencia", "ca", "ES"),
        ("en_US.utf8@calendar=buddhist", "en", "US"),
        ("C", "-", "-"),
        ("C.UTF-8", "-", "-"),
        ("POSIX", "-", "-"),
        ("en_US_POSIX", "en", "US"),
        ("zh_TW_#Hant", "zh", "TW"),
        ("zh__#Hans", "zh", "-"),
        ("th_TH_TH_#u-nu-thai", "th", "TH"),
        ("_GB", "-", "GB"),
        ("ja_JP@calendar=japanese", "ja", "JP"),
        ("en_DE@calendar=gregorian;rg=atzzzz", "en", "AT"),
        ("nl_BE@rg=nlzzzz;currency=EUR", "nl", "NL"),
        ("en_GB@rg=zzzzzz", "en", "GB"),
        ("en_GB@rg=", "en", "GB"),
    ]);
}

#[test]
fn lists_by_what_is_liked_most() {
    check(&[
        ("en-US,en;q=0.5", "en", "US"),
        ("en;q=0.5, de-AT", "de", "AT"),
        ("*, da;q=0.8", "da", "-"),
        ("*", "-", "-"),
        ("sv;q=0, nb-NO;q=0.1", "nb", "NO"),
        ("da, en-gb;q=0.8, en;q=0.7", "da", "-"),
        ("it-IT; q=0.3 , el-GR ;q=0.9", "el", "GR"),
        ("xx, pl-PL;q=0.2", "pl", "PL"),
        ("hu;q=high", "hu", "-"),
        (r#"["pt-BR","en"]"#, "pt", "BR"),
        ("en_AU@rg=nzzzzz, de", "en", "NZ"),
        (",", "-", "-"),
    ]);
}

#[test]
fn other_codes_of_languages() {
    check(&[
        ("in_ID", "id", "ID"),
        ("ji", "yi", "-"),
        ("mo_MD", "ro", "MD"),
        ("jw", "jv", "-"),
        ("sh_BA", "sh", "BA"),
        ("no_NO", "no", "NO"),
        ("nn", "nn", "-"),
        ("tl_PH", "tl", "PH"),
        ("eng", "en", "-"),
        ("deu-DEU", "de", "DE"),
        ("ger", "de", "-"),
        ("fre_CA", "fr", "CA"),
        ("zho_CHN", "zh", "CN"),
        ("en_USA", "en", "US"),
        ("cx_PH", "ceb", "PH"),
        ("english", "-", "-"),
        ("xx", "-", "-"),
        ("und", "-", "-"),
        ("mul", "-", "-"),
        ("zxx-FR", "-", "FR"),
        ("qaa", "-", "-"),
    ]);
}

#[test]
fn objects_in_any_spelling() {
    check(&[
        (r#"{"language":"pt","region":"BR"}"#, "pt", "BR"),
        (r#"{"locale":"nl_BE"}"#, "nl", "BE"),
        (r#" {"Language": "DE", "Country": "at", "variant": ""} "#, "de", "AT"),
        ("{'country': 'FR', 'language': 'fr'}", "fr", "FR"),
        ("{country=IE, language=en}", "en", "IE"),
        (r#"{"lang":"en-GB"}"#, "en", "GB"),
        (r#"{"languageCode":"es","countryCode":"USA"}"#, "es", "US"),
        (r#"{"locale":{"language":"it","country":"CH"}}"#, "it", "CH"),
        (r#""{\"country\":\"JP\",\"language\":\"ja\"}""#, "ja", "JP"),
        (r#"{"language":"es","country":"LA"}"#, "es", "-"),
        (r#"{"country":"UK","language":"en"}"#, "en", "GB"),
        (r#"{"country":null,"language":"cs"}"#, "cs", "-"),
        (r#"{"country":"DE"}"#, "-", "DE"),
        (r#""en-US""#, "en", "US"),
        ("{}", "-", "-"),
        (r#"{"a":"de"}"#, "-", "-"),
    ]);
}

#[test]
fn regions_that_are_no_countries() {
    check(&[
        ("lo_LA", "lo", "LA"),
        ("en-LA", "en", "LA"),
        ("ar_AR", "ar", "-"),
        ("sv_SV", "sv", "-"),
        ("ca_CA", "ca", "-"),
        ("uk_UK", "uk", "-"),
        ("cs_CS", "cs", "-"),
        ("ja_JA", "ja", "-"),
        ("pt_PT", "pt", "PT"),
        ("es_ES", "es", "ES"),
        ("swe_SV", "sv", "-"),
        ("en_PI", "en", "-"),
        ("en_UD", "en", "-"),
        ("fb_LT", "-", "-"),
        ("lt_LT", "lt", "LT"),
        ("tl_ST", "tlh", "-"),
        ("eo_EO", "eo", "-"),
        ("la_VA", "la", "VA"),
        ("de-XK", "de", "-"),
        ("en-UN", "en", "-"),
        ("en-ZZ", "en", "-"),
        ("en-AA", "en", "-"),
        ("en-XA", "en", "-"),
        ("pt-TP", "pt", "TL"),
        ("my-BU", "my", "MM"),
        ("de-DD", "de", "DE"),
        ("fr-FX", "fr", "FR"),
        ("fr-ZR", "fr", "CD"),
        ("ru-SU", "ru", "-"),
        ("sr-YU", "sr", "-"),
        ("sr-CS", "sr", "-"),
        ("nl-AN", "nl", "-"),
    ]);
}

#[test]
fn what_else_comes() {
    check(&[
        (r#"[{"language":"de","country":"DE"}]"#, "de", "DE"),
        (r#"{:country=>"FR", :language=>"fr"}"#, "fr", "FR"),
        ("map[country:US language:en]", "en", "US"),
        ("LocaleInfo(language=en, country=US)", "en", "US"),
        ("country=US&language=en", "en", "US"),
        (r#"{"primaryLocale":"fr_FR"}"#, "fr", "FR"),
        (r#"{"identifier":"de_AT"}"#, "de", "AT"),
        (r#"{"preferredLocale":{"country":"US","language":"en"}}"#, "en", "US"),
        (r#"{"localeCode":"en_GB"}"#, "en", "GB"),
        (r#"{"name":"en-GB"}"#, "en", "GB"),
        ("qc_GT", "quc", "GT"),
        ("bp_IN", "bho", "IN"),
        ("zz_TR", "zza", "TR"),
        ("em_ZM", "bem", "ZM"),
        ("qb_DE", "hsb", "DE"),
        ("scc_RS", "sr", "RS"),
        ("scr_HR", "hr", "HR"),
        ("fr:CA", "fr", "CA"),
        ("en_US:en", "en", "US"),
        ("pt_BR:pt:en", "pt", "BR"),
        ("en US", "en", "US"),
        ("en/US", "en", "US"),
        ("en.US", "en", "US"),
        ("locale=en_US", "en", "US"),
        ("en-840", "en", "US"),
        ("de-276", "de", "DE"),
        ("en_US@RG=GBZZZZ", "en", "GB"),
        ("de;Q=0.5, en-US", "en", "US"),
        ("cmn-Hans-CN", "zh", "CN"),
        ("arb-EG", "ar", "EG"),
        ("nan", "-", "-"),
        ("all", "-", "-"),
        ("None", "-", "-"),
        ("NA", "-", "-"),
        ("jp_JP", "-", "JP"),
        ("cz-CZ", "-", "CZ"),
        ("dk-DK", "-", "DK"),
        ("us_US", "-", "US"),
        ("gr_GR", "-", "GR"),
        ("ua_UA", "-", "UA"),
        ("sy_SY", "syr", "SY"),
    ]);
}

#[test]
fn what_says_nothing_and_what_surrounds_it() {
    check(&[
        ("", "-", "-"),
        (" ", "-", "-"),
        ("undefined", "-", "-"),
        ("null", "-", "-"),
        ("klingon!", "-", "-"),
        ("e-US", "-", "-"),
        ("1033", "-", "-"),
        ("\u{feff}de-AT\u{200b}", "de", "AT"),
        ("\u{a0}fr_CA\n", "fr", "CA"),
        ("'it'", "it", "-"),
        ("\u{202a}he_IL\u{202c}", "he", "IL"),
    ]);
    for text in ["{\"", "[", "{{{{", "-", "@", ";;", "_", "[[[[[[", "\"", "'"] {
        assert_eq!(Locale::of(text), Locale::default(), "{text}");
    }
}

#[test]
fn objects_as_other_runtimes_write_them() {
    check(&[
        (r#"[{"language":"de","country":"DE"}]"#, "de", "DE"),
        (r#"[{"language":"de","country":"DE"},{"language":"en","country":"US"}]"#, "de", "DE"),
        (r#"{:country=>"FR", :language=>"fr"}"#, "fr", "FR"),
        ("map[country:US language:en]", "en", "US"),
        ("{language=[it], country=[CH]}", "it", "CH"),
        ("{locale={language=it, country=CH}}", "it", "CH"),
        ("map[locale:map[language:it country:CH]]", "it", "CH"),
        ("LocaleInfo(language=en, country=US)", "en", "US"),
        ("country=US&language=en", "en", "US"),
        ("{u'country': u'US', u'language': u'en'}", "en", "US"),
        (r#"{"preferredLocale":{"country":"US","language":"en"}}"#, "en", "US"),
        (r#"{"localeCode":"en_US"}"#, "en", "US"),
        (r#"{"name":"en-US"}"#, "en", "US"),
        (r#"{"language":{"code":"en"},"country":{"code":"US"}}"#, "en", "US"),
        (r#"{"country":["US"],"language":"en"}"#, "en", "US"),
        ("locale=en_US", "en", "US"),
        (r#"{"primaryLocale":"fr_FR"}"#, "fr", "FR"),
        (r#"{"identifier":"de_AT"}"#, "de", "AT"),
    ]);
}

#[test]
fn names() {
    check(&[
        ("German_Germany.1252", "de", "DE"),
        ("English_United States.1252", "en", "US"),
        ("English_United Kingdom.1252", "en", "GB"),
        ("English (United States)", "en", "US"),
        ("Spanish", "es", "-"),
        ("Français", "fr", "-"),
        ("Deutsch", "de", "-"),
        ("German", "de", "-"),
        ("English", "en", "-"),
        ("Chinese (Simplified)_China.936", "zh", "CN"),
        ("Korean_Korea.949", "ko", "-"),
        (r#"{"country":"Germany","language":"German"}"#, "de", "DE"),
    ]);
}

#[test]
fn facebook_and_posix_lists() {
    check(&[
        ("qc_GT", "quc", "GT"),
        ("bp_IN", "bho", "IN"),
        ("zz_TR", "zza", "TR"),
        ("em_ZM", "bem", "ZM"),
        ("qb_DE", "hsb", "DE"),
        ("scc_RS", "sr", "RS"),
        ("scr_HR", "hr", "HR"),
        ("fr:CA", "fr", "CA"),
        ("en_US:en", "en", "US"),
        ("pt_BR:pt:en", "pt", "BR"),
        ("en:de_DE", "en", "-"),
    ]);
}

#[test]
fn no_languages() {
    check(&[
        ("nan", "-", "-"),
        ("nil", "-", "-"),
        ("nul", "-", "-"),
        ("any", "-", "-"),
        ("all", "-", "-"),
        ("not", "-", "-"),
        ("non", "-", "-"),
        ("str", "-", "-"),
        ("none", "-", "-"),
        ("None", "-", "-"),
        ("NA", "-", "-"),
        ("na", "-", "-"),
        ("na_NR", "na", "NR"),
        ("nan-TW", "nan", "TW"),
        ("no idea", "-", "-"),
    ]);
}

#[test]
fn countries_said_twice() {
    check(&[
        ("jp_JP", "-", "JP"),
        ("cz-CZ", "-", "CZ"),
        ("dk-DK", "-", "DK"),
        ("us_US", "-", "US"),
        ("cn_CN", "-", "CN"),
        ("gr_GR", "-", "GR"),
        ("ua_UA", "-", "UA"),
        ("sy_SY", "syr", "SY"),
    ]);
}

#[test]
fn other_separators_and_codes() {
    check(&[
        ("en-840", "en", "US"),
        ("de-276", "de", "DE"),
        ("en_US@RG=GBZZZZ", "en", "GB"),
        ("de-AT;Q=0.5,fr", "fr", "-"),
        ("cmn-Hans-CN", "zh", "CN"),
        ("arb-EG", "ar", "EG"),
        ("pes-IR", "fa", "IR"),
        ("zsm-MY", "ms", "MY"),
        ("swh-KE", "sw", "KE"),
        ("en US", "en", "US"),
        ("en/US", "en", "US"),
        ("en|US", "en", "US"),
        ("en.US", "en", "US"),
        ("en-US (English)", "en", "US"),
        ("(en_US)", "en", "US"),
        ("<en-US>", "en", "US"),
        (r#"en-US""#, "en", "US"),
        ("no-nyn", "nn", "-"),
        ("zh-xiang", "hsn", "-"),
        ("zh-min-nan-TW", "nan", "TW"),
        ("zh_CHN", "zh", "CN"),
    ]);
}

#[test]
fn no_text_is_too_odd_to_read() {
    for part in [
        "[",
        "{",
        "(",
        "\"",
        "é",
        "_",
        "a,",
        "en-",
        "=",
        "locale=",
        "{\"locale\":",
        "map[",
        "u'",
        "German_",
        ":",
    ] {
        let long = part.repeat(4_000);
        for text in [
            long.clone(),
            format!("{{{long}"),
            format!("map[{long}"),
            format!("{long}é"),
            format!("en_US@{long}"),
        ] {
            let _ = Locale::of(&text);
        }
    }
}
