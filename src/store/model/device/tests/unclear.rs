//! Words that say one thing in one place and another thing in another place.

use super::{DESKTOP, MOBILE, TABLET, all};

#[test]
fn what_is_like_an_iphone_is_none() {
    all(
        None,
        &[
            "Mozilla/5.0 (New Nintendo 3DS like iPhone) AppleWebKit/536.30 (KHTML, like Gecko) NX/3.0.0.5.24 Mobile NintendoBrowser/1.12.10178.EU",
            "Mozilla/5.0 (New Nintendo 3DS like iPad) AppleWebKit/536.30 (KHTML, like Gecko) NX/3.0.0.5.24 Mobile NintendoBrowser/1.12.10178.EU",
            "Mozilla/5.0 (AppleTV; CPU OS 17_0 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (AppleTV11,1; CPU OS 17_0 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (Apple TV; CPU iPhone OS 17_0 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (Apple Watch; CPU iPhone OS 10_0 like Mac OS X) {ios} Mobile/15E148",
        ],
    );
    // Apple's application for iPhones.
    all(MOBILE, &["Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {ios} Mobile/15E148 Apple TV/3.1"]);
}

#[test]
fn an_address_for_mail_has_a_host() {
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) {ios} Version/17.2.1 Mobile/15E148 Safari/604.1";
    let phone = "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36";
    for ending in [
        "(Ecosia ios@9.2.3.1367)",
        "user@app",
        "v2@3.1",
        "(build@12)",
        "@mail.example",
        "ios@v9.2",
        "a@b.",
        "a@",
    ] {
        all(MOBILE, &[&format!("{iphone} {ending}"), &format!("{phone} {ending}")]);
        all(TABLET, &[&format!("{} {ending}", iphone.replacen("iPhone", "iPad", 1))]);
    }
    for ending in
        ["(someone@mail.example)", "spider-feedback@bytedance.com", "(a@b.example.)", "a@mail-1.example;"]
    {
        all(None, &[&format!("{iphone} {ending}"), &format!("{phone} {ending}")]);
    }
    all(
        None,
        &[
            "someone@mail.example Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
        ],
    );
    all(
        MOBILE,
        &["@mail.example Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36"],
    );
}

#[test]
fn after_a_known_phone_a_product_is_an_application() {
    let webview = |model: &str| {
        format!("Mozilla/5.0 (Linux; Android 14; {model} Build/UP1A; wv) {{webkit}} Version/4.0")
    };
    for app in ["Pluto TV/5.40", "Sky TV App/3.2", "Kindle/7", "Kobo/9", "Automotive/3", "VR/1", "Tesla/4.30"]
    {
        all(MOBILE, &[&format!("{} Chrome/124.0 Mobile Safari/537.36 {app}", webview("SM-S928B"))]);
        // Who knows what this is?
        all(None, &[&format!("{} Chrome/124.0 Mobile Safari/537.36 {app}", webview("M7"))]);
        all(None, &[&format!("{} Chrome/124.0 Safari/537.36 {app}", webview("SM-S928B"))]);
    }
    // A headset that holds a phone.
    all(
        None,
        &[
            "Mozilla/5.0 (Linux; Android 7.0; SM-G920F Build/NRD90M) {webkit} SamsungBrowser/4.0 Chrome/57.0.2987.146 Mobile VR Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.0; SM-G920F Build/NRD90M) {webkit} OculusBrowser/3.4.9 Chrome/57.0.2987.146 Mobile VR Safari/537.36",
        ],
    );
}

#[test]
fn names_of_things_and_of_computers() {
    all(
        None,
        &[
            "Mozilla/5.0 (Linux; Android 11; Pixel 2; DuplexWeb-Google/1.0) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 8.0; Pixel 2; Storebot-Google/1.0) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 Google-Safety",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/124.0.0.0 Safari/537.36 Google-Safety",
        ],
    );
    let things = [
        "SM-I610",
        "Volvo Cars",
        "BMW Car",
        "Android Auto",
        "XGIMI Projector",
        "Facebook Portal+",
        "Lenovo Smart Display",
        "Onyx BOOX Note Air",
        "NOOK BNTV600",
    ];
    for (expected, names) in [
        (None, things.as_slice()),
        (DESKTOP, &["HP Chromebook x360", "Pixelbook Go", "Subsystem for Android(TM)"]),
    ] {
        for name in names {
            all(
                expected,
                &[
                    &format!(
                        "Mozilla/5.0 (Linux; Android 13; {name}) {{webkit}} Chrome/124.0.0.0 Safari/537.36"
                    ),
                    &format!(
                        "Mozilla/5.0 (Linux; Android 13; {name} Build/TP1A; wv) {{webkit}} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36"
                    ),
                ],
            );
        }
    }
}

#[test]
fn an_application_in_its_own_browser_may_be_called_like_a_robot() {
    let browsers = [
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {ios} Mobile/15E148",
        "Mozilla/5.0 (Linux; Android 14; K Build/UP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36",
    ];
    let apps = [
        "Baby Monitor/3.2",
        "HomeMonitor/3.2",
        "QRScan/3.2",
        "MyRealEstateAgent/3.2",
        "Realtor.com/11.2",
        "myapp.io/2.3",
    ];
    let robots = [
        "ExampleBot/3.2",
        "Crawler/3.2",
        "ExampleSpider/3.2",
        "example.com/policy",
        "HeadlessMonitor/3.2",
        "http://example.com/3",
        "www.example.com/3",
    ];
    for (expected, products) in [(MOBILE, apps.as_slice()), (None, &robots)] {
        for product in products {
            all(
                expected,
                &browsers.map(|browser| format!("{browser} {product}")).each_ref().map(String::as_str),
            );
        }
    }
    // Not in an application.
    all(
        None,
        &[
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {ios} Version/17.4 Mobile/15E148 Safari/604.1 SiteMonitor/3.2",
            "Mozilla/5.0 (Linux; Android 14; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 SiteMonitor/3.2",
        ],
    );
}
