//! The words that vendors document, by what they say of the device. Must not know where in a user agent they stand.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a word says of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    /// A robot or a library, or what sends another device's words as its own: whatever else is said.
    Nobody,
    /// No phone, tablet or computer.
    Thing,
    /// The same, but an application may have the name, too: only where a system is described.
    SystemOfThing,
    /// The same, but a phone may have the name, too: only as a program, with its version.
    ProgramOfThing,
    /// A reader of books, unless the name goes on.
    Reader,
    IPad,
    IPhone,
    /// A system or a browser that only phones, or only tablets, have.
    Phone,
    Tablet,
    /// The same, where a device has its name.
    PhoneName,
    TabletName,
    ComputerName,
    Desktop,
    Android,
    /// After it stands the device's name.
    OtherMobileSystem,
    /// Told by `(compatible; …)`, which robots write.
    Compatible,
    InternetExplorer,
    Engine,
    /// On a phone or a tablet, also where it sends what a Mac sends.
    IosBrowser,
    /// "Silk user agents", developer.amazon.com: on tablets, television and displays, also where it sends what a
    /// computer sends. The device's name tells.
    Silk,
    /// Of an application for Android.
    WebView,
    /// The last that a browser on a phone says of itself.
    Safari,
}

/// Words, or two words that follow each other, in lower case, by what they say.
const WORDS: &[(Sense, &str)] = &[
    // "Overview of Google crawlers", developers.google.com; "Meta Web Crawlers", developers.facebook.com; "Lighthouse"
    // and "Headless mode", developer.chrome.com; the monitors' and the libraries' own documents. Most robots are found by
    // their conventions: an address, `compatible`, or a name that ends as in `NAMES_OF_ROBOTS`.
    (
        Sense::Nobody,
        "appinsights, bingpreview, catchpoint, cypress, datadogsynthetics, duplexweb google, externalhit, facebookexternalhit, favicon, \
         google inspectiontool, google safety, gtmetrix, jsdom, lighthouse, mediapartners, pagespeed, phantomjs, pingdompagespeed, pingdomtms, playwright, powershell, preview, \
         prerender, ptst, puppeteer, ruxitsynthetic, selenium, site24x7, skypeuripreview, slurp, statuscake, storebot google, \
         windowspowershell",
    ),
    // Apple Vision Pro, which may name an iPad, too.
    (Sense::Nobody, "vision pro, visionos"),
    // Television: ETSI TS 102 796 (HbbTV); "User agent string format", developer.samsung.com/smarttv; "Web engine",
    // webostv.developer.lge.com; "User agents", developers.google.com/cast; the vendors' browsers.
    (
        Sense::Thing,
        "aquosbrowser, aquostv, bravia, chromecast, crkey, googletv, hbbtv, inettvbrowser, iptv, netcast, nettv, opentv, \
         smartcast, smarttv, sonycebrowser, stb, stbapp, tv, tvbox, tvos, vidaa, viera, web0s",
    ),
    // "Browser user agent", developers.meta.com/horizon; "Browser", developer.picoxr.com; wolvic.com.
    (Sense::Thing, "hololens, magic leap, oculusbrowser, picobrowser, vr, wolvic"),
    (Sense::Thing, "aaos, automotive, qtcarbrowser"),
    (Sense::Thing, "apple watch, familyhub, watchos, wear os"),
    (Sense::ProgramOfThing, "tesla"),
    (
        Sense::SystemOfThing,
        "box, boox, nintendo, nook, pico 4, pico neo, playstation, polestar, psp, quest, vive, watch, wearable, xbox",
    ),
    // The names of cars, of projectors and of displays with assistants.
    (Sense::SystemOfThing, "android auto, bmw car, facebook portal, projector, smart display, volvo cars"),
    // "User agent strings", developer.amazon.com (Kindle); the browsers of the others name themselves.
    (Sense::Reader, "kindle, kobo, pocketbook, tolino"),
    // "User agents", developer.kaiostech.com; JSR 118 (MIDP), JSR 139 (CLDC); "Opera's user agent", dev.opera.com;
    // "Windows Phone 8.1 user agent", learn.microsoft.com; documents of BlackBerry, Nokia, NTT Docomo, KDDI and SoftBank.
    (
        Sense::Phone,
        "bada, bb10, blackberry, cldc, docomo, fire phone, iemobile, j2me, kaios, kddi, maemo, maui, meego, midp, msiemobile, \
         opera mini, opera mobi, s40ovibrowser, series40, series60, softbank, symbian, symbianos, symbos, up browser, \
         willcom, windows ce, windows mobile, windows phone, wpdesktop",
    ),
    (Sense::Tablet, "kindle fire, opera tablet, playbook, tolino tab, touchpad"),
    // Foldables leave `Mobile` out while they are open.
    (Sense::PhoneName, "fold, phone, surface duo"),
    (Sense::TabletName, "pad, tab, tablet"),
    // Chromebooks and Windows run Android's applications.
    (Sense::ComputerName, "chromebook, pixelbook, subsystem"),
    (
        Sense::Desktop,
        "cros, mac powerpc, macintosh, wayland, win95, win98, windows 95, windows 98, windows nt, winnt, x11",
    ),
    (Sense::Android, "android, harmonyos"),
    (Sense::OtherMobileSystem, "openharmony, tizen"),
    (Sense::Compatible, "compatible"),
    (Sense::InternetExplorer, "konqueror, msie"),
    (Sense::Engine, "opera, applewebkit, chrome, firefox, gecko, khtml, presto, trident"),
    // "User agent in Chrome for iOS", chromium.org, and those of the other browsers for iOS.
    (Sense::IosBrowser, "crios, edgios, fxios, gsa"),
    (Sense::Silk, "silk"),
    (Sense::WebView, "wv"),
    (Sense::Safari, "safari"),
];

/// How robots' names end.
pub(super) const NAMES_OF_ROBOTS: [&str; 9] =
    ["bot", "bots", "crawl", "crawler", "crawling", "scraper", "spider", "spiders", "synthetics"];

/// How robots' names end, and those of applications: `Baby Monitor/3.2`.
pub(super) const NAMES_OF_ROBOTS_AND_APPS: [&str; 4] = ["agent", "monitor", "monitoring", "scan"];

/// Ends of a host's name. `.net` is a part of Windows, too.
pub(super) const DOMAINS: [&str; 5] = ["ai", "co", "com", "io", "org"];

/// "User agent" of ArkWeb, developer.huawei.com, and "Firefox user agent string reference", MDN: a field of its own.
pub(super) const FORMS: [(&str, Sense); 6] = [
    ("phone", Sense::Phone),
    ("tablet", Sense::Tablet),
    ("pc", Sense::Desktop),
    ("2in1", Sense::Desktop),
    ("tv", Sense::Thing),
    ("car", Sense::Thing),
];

/// The senses of a word, each with the word that it must follow; `""` is any.
type Senses = Vec<(&'static str, Sense)>;

static SENSES: LazyLock<HashMap<&str, Senses>> = LazyLock::new(|| {
    let mut senses = HashMap::<_, Senses>::new();
    for (sense, words) in WORDS {
        for words in words.split(", ") {
            let (before, word) = words.split_once(' ').unwrap_or(("", words));
            senses.entry(word).or_default().push((before, *sense));
        }
    }
    senses
});

/// What a word says after another one, both in lower case.
pub(super) fn sense(before: &str, word: &str) -> Option<Sense> {
    let senses = SENSES.get(word)?;
    let of = |wanted: &str| senses.iter().find(|(before, _)| *before == wanted).map(|(_, sense)| *sense);
    of(before).or_else(|| of(""))
}
